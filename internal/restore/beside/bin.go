package beside

import (
	"context"
	"maps"
	"slices"

	"allod"
	"allod/internal/restore/plan"
	"allod/internal/restore/traps"
	"allod/internal/source"
)

// binSettings is the table that says of which tables deleted rows are kept
// (protocols/dataverse.md §6.13).
const binSettings = "recyclebinconfig"

// bin finds the rows to be made that come back from the recycle bin first, with
// what nobody can write. A row brings those along that its deletion took with it;
// it stays in the bin unless all of these come back by the plan as well.
func (l *looker) bin(ctx context.Context) error {
	src, ok := l.Source.(source.Binner)
	t := l.live.Schema().Table(binSettings)
	here := l.live.Schema().Identity.Organization
	if !ok || t == nil || l.Part || here.IsZero() || l.snap.Schema().Identity.Organization != here {
		return nil
	}
	if t.Unreadable != "" {
		return l.refused("the recycle bin", allod.Errorf(allod.Denied, "%s", t.Unreadable))
	}
	on, err := l.kept(ctx, t)
	if err != nil || len(on) == 0 {
		return l.refused("the recycle bin", err)
	}
	held := l.p.Holding()
	b := binning{looker: l, src: src, on: on, fit: map[allod.RecordRef]bool{}}
	if err := b.candidates(ctx); err != nil {
		return l.refused("the recycle bin", err)
	}
	for ref := range held { // it would come back as its owner's
		delete(b.fit, ref)
	}
	if err := b.families(ctx); err != nil {
		return l.refused("the recycle bin", err)
	}
	for _, name := range l.names(func(t *touched) bool { return len(t.made) > 0 }) {
		for _, id := range l.tables[name].made {
			if ref := (allod.RecordRef{Table: name, Key: id}); b.fit[ref] {
				l.p.Bin = append(l.p.Bin, ref)
			}
		}
	}
	plan.SortRefs(l.p.Bin)
	return nil
}

// kept are the tables whose deleted rows are kept now.
func (l *looker) kept(ctx context.Context, t *allod.Table) (map[string]bool, error) {
	out := map[string]bool{}
	for row, err := range l.live.Rows(ctx, binSettings) {
		if err != nil {
			return nil, err
		}
		if row.Cell(t.ColumnIndex("isreadyforrecyclebin")).Bool() && row.Cell(t.ColumnIndex("statecode")).Int() == 0 {
			out[row.Cell(t.ColumnIndex("name")).Text()] = true
		}
	}
	return out, nil
}

// binning is the work on the rows of one plan.
type binning struct {
	*looker
	src source.Binner
	on  map[string]bool
	fit map[allod.RecordRef]bool
}

// candidates are rows that are in the bin as they were captured or newer, in the
// state that they are to have. Activities are never among them: lists of their
// participants come back with them, which the plan could not show, and mail that
// waited to be sent would wait again.
func (b *binning) candidates(ctx context.Context) error {
	for name, of := range b.tables {
		t := b.live.Schema().Table(name)
		if len(of.made) == 0 || t == nil || !b.on[name] || t.Intersect || t.Activity || traps.Sends(name) || traps.CloseParent(t) != "" {
			continue
		}
		found, err := b.src.Binned(ctx, t, t.Key, of.made)
		if err != nil {
			return err
		}
		in := map[allod.GUID]source.Binned{}
		for _, f := range found {
			in[f.Key] = f
		}
		err = b.rows(ctx, name, slices.Collect(maps.Keys(in)), func(st *allod.Table, row *allod.Row) {
			f, state := in[row.Key], row.Cell(st.ColumnIndex("statecode")).Int()
			older := f.Version != 0 && f.Version < row.Version
			if !older && f.State == state && (state == traps.ActiveState || !traps.LockedWhenClosed(t)) {
				b.fit[row.Ref()] = true
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// families takes out rows that would bring others along which do not come back
// from the bin by the plan, and so on upwards. Addresses and participants are parts
// of their row, and written with it.
func (b *binning) families(ctx context.Context) error {
	parents := map[allod.RecordRef][]allod.RecordRef{} // child → rows that bring it along
	for _, rel := range b.live.Schema().Relationships {
		many, one := b.live.Schema().Table(rel.Many), b.live.Schema().Table(rel.One)
		if rel.ManyToMany() || many == nil || one == nil || many.Unreadable != "" || many.Name == "customeraddress" || many.Name == "leadaddress" || many.Name == "activityparty" || !b.on[many.Name] {
			continue
		}
		var ids []allod.GUID
		for ref := range b.fit {
			if ref.Table == one.Name {
				ids = append(ids, ref.Key)
			}
		}
		if len(ids) == 0 {
			continue
		}
		found, err := b.src.Binned(ctx, many, rel.Column, ids)
		if err != nil {
			return err
		}
		for _, f := range found {
			child := allod.RecordRef{Table: many.Name, Key: f.Key}
			parents[child] = append(parents[child], allod.RecordRef{Table: one.Name, Key: f.By})
		}
	}
	for again := true; again; {
		again = false
		for child, of := range parents {
			if b.fit[child] {
				continue
			}
			for _, parent := range of {
				if b.fit[parent] {
					delete(b.fit, parent)
					again = true
				}
			}
		}
	}
	return nil
}
