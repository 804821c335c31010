// Package undo takes a restore back: Keep stores in the vault what rows are like
// before a plan is carried out, and Make plans how to bring that back. An undo is
// carried out like any restore, by package apply, and can itself be undone.
package undo

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"allod"
	"allod/internal/history"
	"allod/internal/restore/kept"
	"allod/internal/restore/plan"
	"allod/internal/source"
	"allod/internal/vault/preimage"
)

const (
	readBatch = 500  // rows read at once
	keepBatch = 1000 // rows of one log entry
)

// Keeper keeps what rows are like before they are written to, and writes down
// what they are left in. Methods may be called from several goroutines.
type Keeper struct {
	site    *preimage.Site
	p       *plan.Plan
	live    source.View
	journal *kept.Journal

	mu   sync.Mutex
	rows map[allod.RecordRef]*version
}

// version is what is known of a row that is written to.
type version struct {
	kept  uint64 // as it is kept; 0 = it was not there
	wrote bool   // this run has written it
	left  uint64 // as the run left it; 0 = not known
}

// target is what a plan does to one record.
type target struct {
	columns map[string]bool
	files   []string
	ops     [8]bool // by plan.Op
	order   int
}

func (t *target) does(op plan.Op) bool { return t.ops[op] }

// targets returns what the plan does to each record, by table.
func targets(p *plan.Plan) map[string]map[allod.RecordRef]*target {
	out := map[string]map[allod.RecordRef]*target{}
	held := p.Holding()
	for i, s := range p.Packed() {
		table := p.TableOf(s)
		ref := allod.RecordRef{Table: table, Key: s.Key}
		if s.Op.OfPair() {
			ref = allod.RecordRef{Table: table, Pair: [2]allod.GUID{s.Key, s.Other}}
		}
		if out[table] == nil {
			out[table] = map[allod.RecordRef]*target{}
		}
		t := out[table][ref]
		if t == nil {
			t = &target{columns: map[string]bool{}, order: i}
			out[table][ref] = t
		}
		t.ops[s.Op] = true
		switch s.Op {
		case plan.OpFile:
			t.files = append(t.files, p.ColumnsOf(s)[0])
			t.columns[p.ColumnsOf(s)[0]] = true
		case plan.OpCreate, plan.OpUpdate, plan.OpState:
			for _, c := range p.ColumnsOf(s) {
				t.columns[c] = true
			}
			if _, is := held[ref]; is {
				delete(t.columns, "ownerid") // it is not what the snapshot has
			}
		case plan.OpAssociate, plan.OpParties, plan.OpDelete, plan.OpDissociate:
		}
	}
	return out
}

// Keep stores in the vault, for the run that is named like the plan, what the
// rows are like that the plan writes to, or that they are not there; what it
// returns stands by while the plan is carried out. When it returns nil that is
// durable. Conflict where the environment's newest snapshot does not know a
// table or a column that is written.
func Keep(ctx context.Context, site *preimage.Site, p *plan.Plan, live source.View, journal *kept.Journal) (*Keeper, error) {
	k := &Keeper{site: site, p: p, live: live, journal: journal, rows: map[allod.RecordRef]*version{}}
	all := targets(p)
	if err := k.check(all); err != nil {
		return nil, err
	}
	var rows []preimage.Row
	add := func(r preimage.Row) error {
		rows = append(rows, r)
		if len(rows) < keepBatch {
			return nil
		}
		err := site.Keep(ctx, p.ID, rows)
		rows = rows[:0]
		return err
	}
	for _, table := range slices.Sorted(maps.Keys(all)) {
		if err := k.table(ctx, table, all[table], add); err != nil {
			return nil, err
		}
	}
	if err := k.parties(ctx, all, add); err != nil {
		return nil, err
	}
	return k, site.Keep(ctx, p.ID, rows)
}

// check refuses what nothing could be kept of.
func (k *Keeper) check(all map[string]map[allod.RecordRef]*target) error {
	for _, table := range slices.Sorted(maps.Keys(all)) {
		columns, there := map[string]bool{}, false
		for _, t := range all[table] {
			if t.does(plan.OpCreate) {
				continue // it is not there yet: deleting it takes all of it back
			}
			there = true
			maps.Copy(columns, t.columns)
		}
		lost, whole := k.site.Lacks(table, slices.Sorted(maps.Keys(columns)))
		what := "table " + table
		switch {
		case whole && !there:
			delete(all, table) // rows that are made cannot be taken back, and nothing is lost
			continue
		case whole:
		case len(lost) > 0:
			what += ", column " + lost[0]
		default:
			continue
		}
		err := allod.Errorf(allod.Conflict, "keep what is there before %s is written: the newest snapshot of %s does not know %s", k.p.ID, k.site.Name, what)
		return allod.WithHint(err, "Run `allod backup %s` first, then plan the restore anew.", k.site.Name)
	}
	return nil
}

func sorted(refs map[allod.RecordRef]*target) []allod.RecordRef {
	return slices.SortedFunc(maps.Keys(refs), func(a, b allod.RecordRef) int {
		if n := bytes.Compare(a.Key[:], b.Key[:]); n != 0 {
			return n
		}
		return strings.Compare(a.String(), b.String())
	})
}

// table keeps the rows of one table.
func (k *Keeper) table(ctx context.Context, table string, targets map[allod.RecordRef]*target, add func(preimage.Row) error) error {
	t := k.live.Schema().Table(table)
	if t == nil {
		return allod.Errorf(allod.Conflict, "keep what is there: table %s is gone since the plan was made", table)
	}
	for refs := range slices.Chunk(sorted(targets), readBatch) {
		found, err := lives(ctx, k.live, t, refs)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if err := add(k.row(t, ref, found[ref], targets[ref])); err != nil {
				return err
			}
		}
	}
	return nil
}

// lives reads live rows; pairs by reading their table.
func lives(ctx context.Context, live source.View, t *allod.Table, refs []allod.RecordRef) (map[allod.RecordRef]*allod.Row, error) {
	out := map[allod.RecordRef]*allod.Row{}
	if !t.Intersect {
		rows, err := live.Get(ctx, t.Name, refs)
		for i := range rows {
			out[rows[i].Ref()] = &rows[i]
		}
		return out, err
	}
	want := map[allod.RecordRef]bool{}
	for _, r := range refs {
		want[r] = true
	}
	for row, err := range live.Rows(ctx, t.Name) {
		if err != nil {
			return nil, err
		}
		if ref := (allod.RecordRef{Table: t.Name, Pair: row.Pair}); want[ref] {
			out[ref] = &row
		}
	}
	return out, nil
}

// row is what is kept of a record, and notes its version.
func (k *Keeper) row(t *allod.Table, ref allod.RecordRef, row *allod.Row, what *target) preimage.Row {
	out := preimage.Row{Ref: ref, Row: row, Table: t}
	v := &version{}
	if row != nil {
		v.kept = row.Version
		out.Open = func(ctx context.Context, column string) (io.ReadCloser, error) {
			return k.live.OpenFile(ctx, row, column)
		}
		out.Files = what.files
		if what.does(plan.OpDelete) {
			for i := range t.Columns {
				if row.Cell(i).Type() == allod.File {
					out.Files = append(out.Files, t.Columns[i].Name)
				}
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rows[ref] = v
	return out
}

// parties keeps the lists of participants that are written anew, or go with
// their activity.
func (k *Keeper) parties(ctx context.Context, all map[string]map[allod.RecordRef]*target, add func(preimage.Row) error) error {
	const name = "activityparty"
	t := k.live.Schema().Table(name)
	homes := map[allod.GUID]bool{}
	for table, refs := range all {
		home := k.live.Schema().Table(table)
		for ref, what := range refs {
			if what.does(plan.OpParties) || what.does(plan.OpDelete) && home != nil && home.Activity {
				homes[ref.Key] = true
			}
		}
	}
	if len(homes) == 0 || t == nil || t.Unreadable != "" {
		return nil
	}
	at := t.ColumnIndex("activityid")
	for row, err := range k.live.Rows(ctx, name) {
		if err != nil {
			return err
		}
		if !homes[idOf(row.Cell(at))] {
			continue
		}
		if err := add(k.row(t, row.Ref(), &row, &target{})); err != nil {
			return err
		}
	}
	return nil
}

// idOf is the id that a reference names.
func idOf(v allod.Value) allod.GUID {
	if _, id := v.Target(); !id.IsZero() {
		return id
	}
	return v.GUID()
}

// Before is for apply.Options.Before: where rows are about to be written over
// that are not as they are kept, what they are now is kept first.
func (k *Keeper) Before(ctx context.Context, ops []source.Op) error {
	var t *allod.Table
	var again []allod.RecordRef
	for i := range ops {
		op := &ops[i]
		if op.Kind == source.OpCreate || op.Relationship != nil {
			continue
		}
		ref := allod.RecordRef{Table: op.Table.Name, Key: op.Key}
		k.mu.Lock()
		v := k.rows[ref]
		moved := v == nil || !v.wrote && v.kept != op.Version
		k.mu.Unlock()
		if moved {
			t, again = op.Table, append(again, ref)
		}
	}
	if len(again) == 0 {
		return nil
	}
	found, err := lives(ctx, k.live, t, again)
	if err != nil {
		return err
	}
	var rows []preimage.Row
	for _, ref := range again {
		if row := found[ref]; row != nil { // one that is gone fails by itself
			rows = append(rows, k.row(t, ref, row, &target{ops: [8]bool{plan.OpDelete: true}}))
		}
	}
	return k.site.Keep(ctx, k.p.ID, rows)
}

// Result is for apply.Options.OnResult: it writes down what was written.
func (k *Keeper) Result(s plan.Step, res source.Result) error {
	if res.Err != nil || s.Op == source.OpAssociate || s.Op == source.OpDissociate {
		return nil
	}
	ref := allod.RecordRef{Table: s.Table, Key: s.ID}
	k.mu.Lock()
	v := k.rows[ref]
	if v == nil {
		v = &version{}
		k.rows[ref] = v
	}
	v.wrote, v.left = true, res.Version
	k.mu.Unlock()
	return k.journal.Add(kept.Written{Table: s.Table, Key: s.ID, Version: res.Version})
}

// Finish reads the rows that were written once more, when the run is over: the
// platform moves the versions of rows after they are written. One that holds what
// was written of snap is left in the version it has now. The journal is closed.
func (k *Keeper) Finish(ctx context.Context, snap source.View) error {
	all := targets(k.p)
	var err error
	for _, table := range slices.Sorted(maps.Keys(all)) {
		if t := k.live.Schema().Table(table); err == nil && t != nil && !t.Intersect {
			err = k.settle(ctx, snap, t, all[table])
		}
	}
	if err != nil {
		return err
	}
	return k.journal.Sync()
}

func (k *Keeper) settle(ctx context.Context, snap source.View, t *allod.Table, targets map[allod.RecordRef]*target) error {
	var refs []allod.RecordRef
	for _, ref := range sorted(targets) {
		if v := k.rows[ref]; v != nil && v.wrote {
			refs = append(refs, ref)
		}
	}
	for batch := range slices.Chunk(refs, readBatch) {
		now, err := lives(ctx, k.live, t, batch)
		if err != nil {
			return err
		}
		same, err := asWritten(ctx, snap, k.live, k.p, t.Name, batch, targets, now)
		if err != nil {
			return err
		}
		for _, ref := range batch {
			if row := now[ref]; row != nil && same[ref] && row.Version != k.rows[ref].left {
				if err := k.journal.Add(kept.Written{Table: ref.Table, Key: ref.Key, Version: row.Version}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// asWritten tells which live rows hold, in the columns that the plan writes, what
// snap has there.
func asWritten(ctx context.Context, snap, live source.View, p *plan.Plan, table string, refs []allod.RecordRef, targets map[allod.RecordRef]*target, now map[allod.RecordRef]*allod.Row) (map[allod.RecordRef]bool, error) {
	out := map[allod.RecordRef]bool{}
	st, lt := snap.Schema().Table(table), live.Schema().Table(table)
	if st == nil || lt == nil {
		return out, nil
	}
	rows, err := snap.Get(ctx, table, refs)
	if err != nil {
		return nil, err
	}
	cols := history.NewColumns(st, lt, history.ColumnOptions{Writable: true, Map: p.Counterparts().Translate})
	for i := range rows {
		ref := rows[i].Ref()
		if now[ref] == nil {
			continue
		}
		d := cols.Diff(&rows[i], now[ref])
		out[ref] = !slices.ContainsFunc(d.Columns, func(c string) bool { return targets[ref].columns[c] })
	}
	return out, nil
}
