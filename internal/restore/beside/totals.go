package beside

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// priced are the documents whose lines the platform prices by itself, which no
// header keeps it from (design/restore.md), by the table of their lines with the
// lookup to the document.
func priced() map[string][2]string {
	return map[string][2]string{
		"opportunityproduct": {"opportunity", "opportunityid"}, "quotedetail": {"quote", "quoteid"},
		"salesorderdetail": {"salesorder", "salesorderid"}, "invoicedetail": {"invoice", "invoiceid"},
	}
}

// amounts are the columns that the platform reckons, of lines and of documents.
func amounts() []string {
	return []string{"baseamount", "extendedamount", "tax", "totalamount", "totalamountlessfreight", "totaldiscountamount", "totallineitemamount", "totallineitemdiscountamount", "totaltax"}
}

// totals compares amounts of documents and lines that the plan wrote, and of the
// documents of such lines, with the captured ones, and lists rows where they
// differ. It names columns, never amounts.
func totals(ctx context.Context, p *plan.Plan, snap, live source.View, rep *apply.Report) error {
	rows := map[string]map[allod.GUID]bool{}
	add := func(table string, id allod.GUID) {
		if rows[table] == nil {
			rows[table] = map[allod.GUID]bool{}
		}
		rows[table][id] = true
	}
	lines := map[string]bool{}
	for _, s := range p.Packed() {
		table := p.TableOf(s)
		if of, ok := priced()[table]; ok && (s.Op == plan.OpCreate || s.Op == plan.OpUpdate) {
			add(table, s.Key)
			lines[of[0]] = true
		}
		for _, of := range priced() {
			if of[0] == table && (s.Op == plan.OpCreate || s.Op == plan.OpUpdate) {
				add(table, s.Key)
			}
		}
	}
	for line, of := range priced() {
		if t := snap.Schema().Table(line); lines[of[0]] && t != nil {
			err := each(ctx, snap, line, rows[line], func(row *allod.Row) {
				if _, id := row.Cell(t.ColumnIndex(of[1])).Target(); !id.IsZero() {
					add(of[0], id)
				}
			})
			if err != nil {
				return err
			}
		}
	}
	for _, table := range slices.Sorted(maps.Keys(rows)) {
		if err := compare(ctx, table, rows[table], snap, live, rep); err != nil {
			return err
		}
	}
	return nil
}

func compare(ctx context.Context, table string, ids map[allod.GUID]bool, snap, live source.View, rep *apply.Report) error {
	st, lt := snap.Schema().Table(table), live.Schema().Table(table)
	if st == nil || lt == nil {
		return nil
	}
	was := map[allod.GUID]*allod.Row{}
	if err := each(ctx, snap, table, ids, func(row *allod.Row) { was[row.Key] = row }); err != nil {
		return err
	}
	var found []plan.Skip
	err := each(ctx, live, table, ids, func(row *allod.Row) {
		before := was[row.Key]
		if before == nil {
			return
		}
		var differ []string
		for _, name := range amounts() {
			i, j := st.ColumnIndex(name), lt.ColumnIndex(name)
			if i >= 0 && j >= 0 && !before.Cell(i).IsAbsent() && !sameAmount(before.Cell(i), row.Cell(j)) {
				differ = append(differ, name)
			}
		}
		if len(differ) > 0 {
			found = append(found, plan.Skip{Table: table, ID: row.Key, Reason: "amounts are not as captured, the platform has priced anew: " + strings.Join(differ, ", ")})
		}
	})
	slices.SortFunc(found, func(a, b plan.Skip) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	rep.Skipped = append(rep.Skipped, found...)
	return err
}

// sameAmount compares as numbers: 12.5 is 12.5000. Empty is not nought.
func sameAmount(a, b allod.Value) bool {
	x, okx := new(big.Rat).SetString(a.Text())
	y, oky := new(big.Rat).SetString(b.Text())
	if !okx || !oky {
		return okx == oky
	}
	return x.Cmp(y) == 0
}

// each calls fn with the rows that exist, in no order.
func each(ctx context.Context, v source.View, table string, ids map[allod.GUID]bool, fn func(row *allod.Row)) error {
	for batch := range slices.Chunk(slices.Collect(maps.Keys(ids)), readBatch) {
		refs := make([]allod.RecordRef, len(batch))
		for i, id := range batch {
			refs[i] = allod.RecordRef{Table: table, Key: id}
		}
		rows, err := v.Get(ctx, table, refs)
		if err != nil {
			return fmt.Errorf("compare amounts afterwards: %w", err)
		}
		for i := range rows {
			fn(&rows[i])
		}
	}
	return nil
}
