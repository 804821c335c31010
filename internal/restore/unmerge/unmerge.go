// Package unmerge selects what brings a merged record back: the subordinate row as
// it was captured before the merge, and the references that the merge moved from
// it to the row it was merged into. It writes nothing; package restore plans it
// like any restore, and an undo takes it back.
package unmerge

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"allod"
	"allod/internal/relate"
	"allod/internal/restore"
	"allod/internal/restore/mask"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// Found is what is to be restored.
type Found struct {
	Selection restore.Selection
	View      source.View // the snapshot, of the rows that only referred to it the moved references alone
	Skipped   []plan.Skip
	Warnings  []string
}

const readBatch = 250

// Find reads the record, "TABLE:ID", in the snapshot and live, and finds what the
// merge moved: references that named it when they were captured and name now what
// it was merged into. References that name something else by now, and rows that
// are gone, are left alone and listed. Invalid for a record that is not merged, or
// was before the snapshot; NotFound for one that the snapshot or the environment
// does not have.
func Find(ctx context.Context, snap, live source.View, text string) (Found, error) {
	ref, err := parse(text)
	if err != nil {
		return Found{}, err
	}
	f := finder{snap: snap, live: live, ref: ref, columns: map[allod.RecordRef]map[string]bool{}}
	if err := f.merged(ctx); err != nil {
		return Found{}, err
	}
	g, err := relate.Closure(ctx, snap, []allod.RecordRef{ref}, relate.Spec{Follow: []relate.Follow{{Kind: relate.All, Depth: 1}}})
	if err != nil {
		return Found{}, err
	}
	if g.Cut {
		return Found{}, allod.Errorf(allod.Invalid, "unmerge %s: more than %d rows belonged to it", ref, g.Limit)
	}
	by := map[string][]allod.RecordRef{}
	for _, m := range g.Members {
		if m.Record != ref && !m.Record.IsPair() && m.Record.Table != "activityparty" {
			by[m.Record.Table] = append(by[m.Record.Table], m.Record)
		}
	}
	sel := restore.Selection{Exact: true, Tables: []restore.TableSelection{{Table: ref.Table, IDs: []allod.GUID{ref.Key}}}}
	for _, table := range slices.Sorted(maps.Keys(by)) {
		ids, err := f.moved(ctx, table, by[table])
		if err != nil {
			return Found{}, err
		}
		if len(ids) > 0 {
			sel.Tables = append(sel.Tables, restore.TableSelection{Table: table, IDs: ids})
		}
	}
	f.say()
	return Found{Selection: sel, View: &mask.View{View: snap, Columns: f.columns}, Skipped: f.skipped, Warnings: f.warnings}, nil
}

func parse(text string) (allod.RecordRef, error) {
	table, id, _ := strings.Cut(text, ":")
	key, err := allod.ParseGUID(id)
	if err != nil || table == "" {
		return allod.RecordRef{}, allod.WithHint(allod.Errorf(allod.Invalid, "unmerge %q: not TABLE:ID", text), "e.g. --unmerge account:49b0be2e-d01c-ed11-b83e-000d3a572421")
	}
	return allod.RecordRef{Table: table, Key: key}, nil
}

type finder struct {
	snap, live source.View
	ref        allod.RecordRef // the row that was merged into another
	master     allod.GUID      // that one
	columns    map[allod.RecordRef]map[string]bool
	skipped    []plan.Skip
	warnings   []string
	back       int64 // references that go back
}

// merged reads the record on both sides.
func (f *finder) merged(ctx context.Context) error {
	was, err := f.one(ctx, f.snap)
	if err != nil {
		return err
	}
	is, err := f.one(ctx, f.live)
	if err != nil {
		return err
	}
	if !was.IsZero() {
		return allod.WithHint(allod.Errorf(allod.Invalid, "unmerge %s: it was merged before %s already", f.ref, f.snap.Name()), "Name an earlier moment: `allod snapshots` lists them.")
	}
	if is.IsZero() {
		return allod.WithHint(allod.Errorf(allod.Invalid, "unmerge %s: in %s it is not merged into another", f.ref, f.live.Name()), "`allod restore %s %s %s` brings back what it was.", f.snap.Name(), f.ref.Table, f.ref.Key)
	}
	f.master = is
	return nil
}

// one is what the record names as what it was merged into (masterid; table
// reference of account, contact, lead and incident), zero = nothing.
func (f *finder) one(ctx context.Context, v source.View) (allod.GUID, error) {
	t := v.Schema().Table(f.ref.Table)
	if t == nil || t.Unreadable != "" {
		return allod.GUID{}, allod.Errorf(allod.NotFound, "unmerge %s: %s has no such table", f.ref, v.Name())
	}
	at := t.ColumnIndex("masterid")
	if at < 0 {
		return allod.GUID{}, allod.Errorf(allod.Invalid, "unmerge %s: rows of %s are not merged", f.ref, f.ref.Table)
	}
	rows, err := v.Get(ctx, f.ref.Table, []allod.RecordRef{f.ref})
	if err != nil {
		return allod.GUID{}, err
	}
	if len(rows) == 0 {
		return allod.GUID{}, allod.WithHint(allod.Errorf(allod.NotFound, "unmerge %s: %s does not have it", f.ref, v.Name()), "A record that was deleted comes back with `allod restore ENV@WHEN %s %s`.", f.ref.Table, f.ref.Key)
	}
	_, id := rows[0].Cell(at).Target()
	return id, nil
}

// moved finds the rows of a table with references that go back, and notes which.
func (f *finder) moved(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.GUID, error) {
	st, lt := f.snap.Schema().Table(table), f.live.Schema().Table(table)
	if lt == nil || lt.Unreadable != "" {
		return nil, nil
	}
	var out []allod.GUID
	for batch := range slices.Chunk(refs, readBatch) {
		was, err := f.snap.Get(ctx, table, batch)
		if err != nil {
			return nil, err
		}
		rows, err := f.live.Get(ctx, table, batch)
		if err != nil {
			return nil, err
		}
		is := map[allod.GUID]*allod.Row{}
		for i := range rows {
			is[rows[i].Key] = &rows[i]
		}
		for i := range was {
			if columns := f.row(st, lt, &was[i], is[was[i].Key]); len(columns) > 0 {
				f.columns[was[i].Ref()] = columns
				out = append(out, was[i].Key)
				f.back += int64(len(columns))
			}
		}
	}
	return out, nil
}

// row returns the columns of one row that go back.
func (f *finder) row(st, lt *allod.Table, was, is *allod.Row) map[string]bool {
	var out map[string]bool
	for i := range st.Columns {
		name := st.Columns[i].Name
		table, id := was.Cell(i).Target()
		at := lt.ColumnIndex(name)
		if id != f.ref.Key || table != f.ref.Table || at < 0 || !lt.Columns[at].Update || name == "masterid" {
			continue // what nobody writes follows from other columns
		}
		if is == nil {
			f.skip(was.Ref(), "it referred to the merged record and is gone")
			return nil
		}
		switch _, now := is.Cell(at).Target(); now {
		case f.ref.Key:
		case f.master:
			if out == nil {
				out = map[string]bool{}
			}
			out[name] = true
		default:
			f.skip(was.Ref(), name+" has been changed to something else since the merge")
		}
	}
	return out
}

func (f *finder) skip(ref allod.RecordRef, why string) {
	f.skipped = append(f.skipped, plan.Skip{Table: ref.Table, ID: ref.Key, Reason: why})
}

// say tells what a merge does that this does not take back.
func (f *finder) say() {
	f.warnings = append(f.warnings,
		fmt.Sprintf("%s %v was merged into %v: it comes back as it was in %s, and %s to it with it; what that one took over of its columns stays there", f.ref.Table, f.ref.Key, f.master, f.snap.Name(), plan.Count(f.back, "reference")),
		"participants of activities and many-to-many pairs that the merge moved stay where they are")
	t := f.live.Schema().Table(f.ref.Table)
	if c := t.Column("masterid"); c != nil && !c.Update {
		f.warnings = append(f.warnings, f.ref.Table+".masterid and merged stay as they are: nobody can write them; the row is active again and takes changes")
	}
}
