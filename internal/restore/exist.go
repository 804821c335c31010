package restore

import (
	"context"
	"strings"

	"allod"
	"allod/internal/history"
	"allod/internal/restore/plan"
)

// liveTable is what is known of one table of the live environment.
type liveTable struct {
	whole bool // every row is in rows
	rows  map[allod.GUID]liveRow
	asked map[allod.GUID]struct{}
}

type liveRow struct {
	digest  history.Digest
	version uint64
}

// ensure makes exists answer for ids; whole reads the table once.
func (b *builder) ensure(ctx context.Context, table string, ids []allod.GUID, whole bool) error {
	t := b.live.Schema().Table(table)
	if t == nil || t.Unreadable != "" {
		return nil
	}
	l := b.lives[table]
	if l == nil {
		l = &liveTable{rows: map[allod.GUID]liveRow{}, asked: map[allod.GUID]struct{}{}}
		b.lives[table] = l
	}
	if l.whole {
		return nil
	}
	cols := b.compare(table)
	note := func(r *allod.Row) {
		lr := liveRow{version: r.Version}
		if cols != nil {
			lr.digest = cols.DigestB(r)
		}
		l.rows[r.Key] = lr
	}
	if whole || b.sel.All {
		for row, err := range b.live.Rows(ctx, table) {
			if err != nil {
				return err
			}
			note(&row)
		}
		l.whole, l.asked = true, nil
		return nil
	}
	var ask []allod.RecordRef
	for _, id := range ids {
		if _, done := l.asked[id]; !done {
			l.asked[id] = struct{}{}
			ask = append(ask, allod.RecordRef{Table: table, Key: id})
		}
	}
	if len(ask) == 0 {
		return nil
	}
	rows, err := b.live.Get(ctx, table, ask)
	if err != nil {
		return err
	}
	for i := range rows {
		note(&rows[i])
	}
	return nil
}

// exists reports whether the row is there live; ensure comes first. Of a table
// that cannot be read it is believed within one organisation only.
func (b *builder) exists(table string, id allod.GUID) bool {
	if l := b.lives[table]; l != nil {
		_, ok := l.rows[id]
		return ok
	}
	t := b.live.Schema().Table(table)
	return t != nil && t.Unreadable != "" && b.sameSource()
}

func (b *builder) sameSource() bool {
	x, y := b.snap.Schema().Identity.Organization, b.live.Schema().Identity.Organization
	return !x.IsZero() && x == y
}

// compare returns the comparison of a chosen table's columns, nil for others.
func (b *builder) compare(table string) *history.Columns {
	if c, ok := b.columns[table]; ok {
		return c
	}
	st, lt := b.snap.Schema().Table(table), b.live.Schema().Table(table)
	if b.chosen[table] == nil || st == nil || lt == nil {
		return nil
	}
	c := history.NewColumns(st, lt, history.ColumnOptions{Writable: true, Include: b.o.Columns, Exclude: b.o.ExcludeColumns, Map: b.mapped, SameSource: b.sameSource()})
	b.columns[table] = c
	return c
}

// mapped translates a reference into the target's terms.
func (b *builder) mapped(v allod.Value) allod.Value { return b.maps.Translate(v) }

// matchedTables are the tables whose rows are matched by what they say when
// their id is not there: users, business units, teams, currencies.
func matchedTables() []string {
	return []string{"businessunit", "systemuser", "team", "transactioncurrency"}
}

// mappings finds the counterparts of the snapshot's people and units.
func (b *builder) mappings(ctx context.Context) error {
	for from, to := range b.o.Map {
		b.maps[from] = to.Key
		b.p.Mappings = append(b.p.Mappings, plan.Mapping{Table: from.Table, From: from.Key, To: to.Key, How: "as told"})
	}
	for _, name := range matchedTables() {
		st, lt := b.snap.Schema().Table(name), b.live.Schema().Table(name)
		if st == nil || lt == nil || st.Unreadable != "" || lt.Unreadable != "" {
			continue
		}
		if err := b.counterpart(ctx, st, lt); err != nil {
			return err
		}
	}
	sortMappings(b.p.Mappings)
	return nil
}

func (b *builder) counterpart(ctx context.Context, st, lt *allod.Table) error {
	have := map[allod.GUID]bool{}
	by := map[string]allod.GUID{} // how and value → id; zero = ambiguous
	for row, err := range b.live.Rows(ctx, lt.Name) {
		if err != nil {
			return err
		}
		have[row.Key] = true
		if lt.Name == "systemuser" && row.Cell(lt.ColumnIndex("isdisabled")).Bool() {
			b.off[row.Key] = true
		}
		for _, m := range marks(lt, &row, nil) {
			k := m.how + "\x00" + m.value
			if _, twice := by[k]; twice {
				by[k] = allod.GUID{}
			} else {
				by[k] = row.Key
			}
		}
	}
	for row, err := range b.snap.Rows(ctx, st.Name) {
		if err != nil {
			return err
		}
		ref := row.Ref()
		if _, told := b.maps[ref]; told || have[row.Key] {
			continue
		}
		for _, m := range marks(st, &row, b.maps) {
			if id := by[m.how+"\x00"+m.value]; !id.IsZero() {
				b.maps[ref] = id
				b.p.Mappings = append(b.p.Mappings, plan.Mapping{Table: st.Name, From: row.Key, To: id, How: m.how})
				break
			}
		}
	}
	return nil
}

type mark struct{ how, value string }

// marks returns by what a row may be recognised, best first.
func marks(t *allod.Table, r *allod.Row, maps plan.Counterparts) []mark {
	var out []mark
	text := func(how, column string) {
		v := r.Cell(t.ColumnIndex(column))
		if s := strings.ToLower(v.Text()); s != "" {
			out = append(out, mark{how, s})
		} else if v.Type() == allod.ID {
			out = append(out, mark{how, v.GUID().String()})
		}
	}
	switch t.Name {
	case "systemuser":
		text("same Entra user", "azureactivedirectoryobjectid")
		text("same user name", "domainname")
		text("same e-mail address", "internalemailaddress")
	case "businessunit":
		if i := t.ColumnIndex("parentbusinessunitid"); i >= 0 && r.Cell(i).IsNull() {
			out = append(out, mark{"root business unit", ""})
		}
		text("same name", "name")
	case "team":
		if r.Cell(t.ColumnIndex("isdefault")).Bool() {
			_, bu := maps.Translate(r.Cell(t.ColumnIndex("businessunitid"))).Target()
			out = append(out, mark{"default team of the business unit", bu.String()})
		}
		text("same name", "name")
	case "transactioncurrency":
		text("same currency code", "isocurrencycode")
	}
	return out
}
