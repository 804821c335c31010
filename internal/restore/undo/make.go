package undo

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"allod"
	"allod/internal/history"
	"allod/internal/relate"
	"allod/internal/restore"
	"allod/internal/restore/kept"
	"allod/internal/restore/mask"
	"allod/internal/restore/plan"
	"allod/internal/restore/traps"
	"allod/internal/source"
	"allod/internal/vault/preimage"
)

// Of is a run that is to be taken back.
type Of struct {
	Plan      *plan.Plan
	BrokenOff bool           // it did not come to its end: its journal may lack writes
	Before    *preimage.View // what is kept from before it
	Corrected source.View    // the same, with the corrections that are kept for restores
	Written   source.View    // what it wrote values of; used when it broke off
	// Left are the versions that rows were left in by it, and by undos of runs
	// that came after it.
	Left []kept.Left
	Live source.View
}

// The choices for rows that were touched since, besides those of package plan.
const reasonTouched = "it was touched since the restore"

// Make plans how to take a run back, and writes nothing. Rows that it created are
// deleted, the columns it wrote get back what was there, pairs it added are
// removed; the other way round where the run was an undo itself. A row that is
// not as the run left it is a conflict, as o.OnConflict says; one whose key is
// gone or locked is left alone and listed with the kind.
func Make(ctx context.Context, of Of, o restore.Options) (*plan.Plan, error) {
	m := &maker{Of: of, mode: cmp.Or(o.OnConflict, plan.Stop), view: &masked{View: mask.View{View: of.Corrected, Columns: map[allod.RecordRef]map[string]bool{}}, identity: of.Live.Schema().Identity}, chosen: map[allod.RecordRef]bool{}}
	all := targets(of.Plan)
	for _, table := range slices.Sorted(maps.Keys(all)) {
		if err := m.table(ctx, table, all[table]); err != nil {
			return nil, err
		}
	}
	if err := m.parties(ctx, all); err != nil {
		return nil, err
	}
	if err := m.attached(ctx); err != nil {
		return nil, err
	}
	if err := m.waves(ctx); err != nil {
		return nil, err
	}
	o.OnConflict = plan.Stop
	if m.mode == plan.Backup {
		o.OnConflict = plan.Backup
	}
	o.Remove, o.Undoes, o.Conflicts, o.Skipped = m.remove, of.Plan.ID, m.conflicts, m.skipped
	if len(m.chosen)+len(m.remove)+len(m.pairs) > 0 {
		o.Warnings = effects(of.Plan)
	}
	return restore.Build(ctx, m.view, of.Live, restore.Selection{Tables: m.selection(), Exact: true}, o)
}

// View is what the values of a plan by Make are read from.
func View(of Of) source.View {
	return &masked{View: mask.View{View: of.Corrected}, identity: of.Live.Schema().Identity}
}

type maker struct {
	Of
	mode      plan.OnConflict
	view      *masked
	chosen    map[allod.RecordRef]bool // rows that get something back
	remove    []restore.Removal
	conflicts []plan.Skip
	skipped   []plan.Skip
	pairs     []allod.RecordRef
}

func (m *maker) skip(ref allod.RecordRef, why string) {
	m.skipped = append(m.skipped, plan.Skip{Table: ref.Table, ID: idOfRef(ref), Reason: why})
}

func idOfRef(r allod.RecordRef) allod.GUID {
	if r.IsPair() {
		return r.Pair[0]
	}
	return r.Key
}

// one is one record and what is known of it.
type one struct {
	ref     allod.RecordRef
	what    *target
	kept    preimage.Kept
	live    *allod.Row
	diff    []string // columns that the run wrote and that are not as they were before
	touched bool     // it is not as the run left it
}

func (m *maker) table(ctx context.Context, table string, targets map[allod.RecordRef]*target) error {
	lt, bt := m.Live.Schema().Table(table), m.Before.Schema().Table(table)
	if lt == nil || bt == nil {
		for _, ref := range sorted(targets) {
			m.skip(ref, "its table is gone since")
		}
		return nil
	}
	cols := history.NewColumns(bt, lt, history.ColumnOptions{Writable: true, SameSource: true})
	for refs := range slices.Chunk(sorted(targets), readBatch) {
		before, err := m.Before.Of(ctx, table, refs)
		if err != nil {
			return err
		}
		now, err := lives(ctx, m.Live, lt, refs)
		if err != nil {
			return err
		}
		same := map[allod.RecordRef]bool{}
		if m.BrokenOff && !lt.Intersect {
			if same, err = asWritten(ctx, m.Written, m.Live, m.Plan, table, refs, targets, now); err != nil {
				return err
			}
		}
		for _, ref := range refs {
			k, is := before[ref]
			if !is {
				m.skip(ref, "nothing is kept of it: its key was gone already")
				continue
			}
			r := one{ref: ref, what: targets[ref], kept: k, live: now[ref]}
			r.touched = r.live != nil && !m.left(ref, r.live.Version) && !same[ref]
			if k.Row != nil && r.live != nil {
				r.diff = m.differing(cols, &r)
			}
			m.decide(lt, &r)
		}
	}
	return nil
}

// left reports whether a run of Allod has left the row in the version.
func (m *maker) left(ref allod.RecordRef, version uint64) bool {
	return slices.ContainsFunc(m.Left, func(l kept.Left) bool { return l[ref] == version && version != 0 })
}

// wrote reports whether the run is known to have written the row.
func (m *maker) wrote(ref allod.RecordRef) bool {
	if m.BrokenOff {
		return true // perhaps
	}
	_, did := m.Left[0][ref]
	return did
}

// differing returns what the run wrote of a row and what is not as before; files
// count as long as nobody has compared their bytes.
func (m *maker) differing(cols *history.Columns, r *one) []string {
	d := cols.Diff(r.kept.Row, r.live)
	return slices.DeleteFunc(append(d.Columns, d.Files...), func(c string) bool { return !r.what.columns[c] })
}

// decide says what becomes of one record.
func (m *maker) decide(lt *allod.Table, r *one) {
	switch {
	case r.kept.Withheld != "":
		m.skip(r.ref, "what was there is "+r.kept.Withheld+": left alone")
	case r.ref.IsPair():
		m.pair(r)
	case r.kept.Row == nil:
		m.made(lt, r)
	case r.live == nil && r.what.does(plan.OpDelete):
		m.choose(r.ref, nil)
	case r.live == nil:
		m.skip(r.ref, "it was deleted since the restore")
	case r.what.does(plan.OpDelete):
		if r.live.Version != r.kept.Row.Version {
			m.skip(r.ref, "it was made again since")
		}
	case !r.what.does(plan.OpParties) && (len(r.diff) == 0 || r.live.Version == r.kept.Row.Version):
	case !r.touched:
		m.choose(r.ref, r.what.columns)
	case m.mode == plan.FillEmpty:
		m.choose(r.ref, maps.Collect(empty(lt, r)))
	case m.conflict(r):
		m.choose(r.ref, r.what.columns)
	}
}

// empty yields the columns that are empty now.
func empty(lt *allod.Table, r *one) iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for _, c := range r.diff {
			if r.live.Cell(lt.ColumnIndex(c)).IsNull() && !yield(c, true) {
				return
			}
		}
	}
}

// conflict notes a row that was touched since; true when it is written all the
// same.
func (m *maker) conflict(r *one) bool {
	switch m.mode {
	case plan.Backup:
		return true
	case plan.Live, plan.FillEmpty:
		m.skip(r.ref, reasonTouched)
	case plan.Stop:
		m.conflicts = append(m.conflicts, plan.Skip{Table: r.ref.Table, ID: r.ref.Key, Reason: reasonTouched})
	}
	return false
}

// made says what becomes of a row that was not there before the run.
func (m *maker) made(lt *allod.Table, r *one) {
	switch {
	case r.live == nil, !m.wrote(r.ref):
	case traps.CloseParent(lt) != "":
		m.skip(r.ref, "closing the row it belongs to has made it: it stays, to say that this happened")
	case !r.touched || m.conflict(r):
		m.remove = append(m.remove, restore.Removal{Ref: r.ref, Version: r.live.Version})
	}
}

func (m *maker) pair(r *one) {
	switch {
	case r.kept.Row == nil && r.live != nil:
		m.remove = append(m.remove, restore.Removal{Ref: r.ref})
	case r.kept.Row != nil && r.live == nil:
		m.pairs = append(m.pairs, r.ref)
	}
}

// choose has a row given back; of one that is there the columns alone.
func (m *maker) choose(ref allod.RecordRef, columns map[string]bool) {
	m.chosen[ref] = true
	if columns != nil {
		m.view.Columns[ref] = columns
	}
}

// parties chooses the lists of participants that were replaced.
func (m *maker) parties(ctx context.Context, all map[string]map[allod.RecordRef]*target) error {
	const name = "activityparty"
	homes := map[allod.GUID]allod.RecordRef{}
	for table, refs := range all {
		for ref, what := range refs {
			if m.chosen[ref] && (what.does(plan.OpParties) || what.does(plan.OpDelete) && m.Live.Schema().Table(table).Activity) {
				homes[ref.Key] = ref
			}
		}
	}
	t := m.Before.Schema().Table(name)
	if len(homes) == 0 || t == nil {
		return nil
	}
	at, had := t.ColumnIndex("activityid"), map[allod.GUID]bool{}
	for row, err := range m.Corrected.Rows(ctx, name) {
		if err != nil {
			return err
		}
		if id := idOf(row.Cell(at)); homes[id] != (allod.RecordRef{}) {
			m.chosen[row.Ref()], had[id] = true, true
		}
	}
	for id, ref := range homes {
		if !had[id] && all[ref.Table][ref].does(plan.OpParties) {
			m.skip(ref, "the list of its participants was empty: it stays as it is")
		}
	}
	return nil
}

// selection is what is given back, for the planner.
func (m *maker) selection() []restore.TableSelection {
	ids := map[string][]allod.GUID{}
	for ref := range m.chosen {
		ids[ref.Table] = append(ids[ref.Table], ref.Key)
	}
	pairs := map[string][][2]allod.GUID{}
	for _, ref := range m.pairs {
		pairs[ref.Table] = append(pairs[ref.Table], ref.Pair)
	}
	var out []restore.TableSelection
	for _, table := range slices.Sorted(maps.Keys(ids)) {
		slices.SortFunc(ids[table], func(a, b allod.GUID) int { return bytes.Compare(a[:], b[:]) })
		out = append(out, restore.TableSelection{Table: table, IDs: ids[table]})
	}
	for _, table := range slices.Sorted(maps.Keys(pairs)) {
		out = append(out, restore.TableSelection{Table: table, Pairs: pairs[table]})
	}
	return out
}

// attached keeps rows from being deleted that others have come to belong to since:
// the platform would delete or unlink those with them.
func (m *maker) attached(ctx context.Context) error {
	at := map[allod.RecordRef]int{}
	var roots []allod.RecordRef
	for i, r := range m.remove {
		if !r.Ref.IsPair() {
			at[r.Ref], roots = i, append(roots, r.Ref)
		}
	}
	if len(roots) == 0 {
		return nil
	}
	g, err := relate.Closure(ctx, m.Live, roots, relate.Spec{Follow: []relate.Follow{{Kind: relate.All, Depth: 1}}, Limit: 10 * max(relate.DefaultLimit, len(roots))})
	if err != nil {
		return err
	}
	if g.Cut {
		return allod.Errorf(allod.Invalid, "undo %s: more than %d rows belong to those that it made", m.Plan.ID, g.Limit)
	}
	others := map[allod.RecordRef]int64{}
	for _, member := range g.Members {
		t := m.Live.Schema().Table(member.Record.Table)
		_, goes := at[member.Record]
		if member.Parent < 0 || goes || m.chosen[member.Record] || member.Record.IsPair() || t.Name == "activityparty" || traps.MadeWithParent(t, 1) || traps.CloseParent(t) != "" {
			continue
		}
		others[g.Members[member.Parent].Record]++
	}
	m.remove = slices.DeleteFunc(m.remove, func(r restore.Removal) bool {
		n := others[r.Ref]
		if n == 0 {
			return false
		}
		s := plan.Skip{Table: r.Ref.Table, ID: r.Ref.Key, Reason: fmt.Sprintf("%s that the restore did not make belong to it now", plan.Count(n, "row"))}
		if m.mode == plan.Stop {
			m.conflicts = append(m.conflicts, s)
		} else {
			m.skipped = append(m.skipped, s)
		}
		return true
	})
	return nil
}

// waves has rows deleted before those of the same table that they refer to.
func (m *maker) waves(ctx context.Context) error {
	at := map[allod.RecordRef]int{}
	tables := map[string][]allod.RecordRef{}
	for i, r := range m.remove {
		if !r.Ref.IsPair() {
			at[r.Ref] = i
			tables[r.Ref.Table] = append(tables[r.Ref.Table], r.Ref)
		}
	}
	for table, all := range tables {
		var refers [][2]int
		for refs := range slices.Chunk(all, readBatch) {
			rows, err := m.Live.Get(ctx, table, refs)
			if err != nil {
				return err
			}
			for i := range rows {
				for _, v := range rows[i].Cells {
					to, id := v.Target()
					if j, is := at[allod.RecordRef{Table: to, Key: id}]; is && to == table {
						refers = append(refers, [2]int{at[rows[i].Ref()], j})
					}
				}
			}
		}
		for range 255 { // rows that refer to each other in a ring go as they come
			moved := false
			for _, r := range refers {
				if from, to := &m.remove[r[0]], &m.remove[r[1]]; r[0] != r[1] && to.Wave <= from.Wave && from.Wave < 254 {
					to.Wave, moved = from.Wave+1, true
				}
			}
			if !moved {
				break
			}
		}
	}
	return nil
}

// masked shows what was kept of the rows that are named, as of the environment
// that is written to.
type masked struct {
	mask.View
	identity allod.Identity
}

// Schema implements source.View: what was kept is of the environment that is
// written to.
func (v *masked) Schema() *allod.Schema {
	s := *v.View.Schema()
	s.Identity = v.identity
	return &s
}

// effects are what no undo takes back, in the words of a plan.
func effects(p *plan.Plan) []string {
	out := []string{"not undone: mail that was sent, workflows and flows that ran and what they wrote, and numbers that were drawn"}
	for s := range p.Steps() {
		if traps.CloseTable(s.Table) != "" && s.Op == source.OpState {
			out = append(out, "not undone: opening and closing rows of "+s.Table+" leaves close activities, used entitlement and timers behind")
		}
	}
	if p.After != nil {
		for _, s := range p.After.Seeds {
			if s.Set {
				out = append(out, fmt.Sprintf("not undone: the numbers of %s.%s go on from %d, where the restore has set them", s.Table, s.Column, s.Highest+1))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
