package capture

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"allod"
	"allod/internal/capture/judge"
	"allod/internal/capture/past"
	"allod/internal/source"
)

// checkLine decides whether the environment is still the one that was captured
// before, and starts a new line if not.
func (r *runner) checkLine(ctx context.Context, before bool) error {
	defer func() { r.state.Identity = r.schema.Identity }()
	if !before {
		r.state.Line = 1
		return nil
	}
	now, err := r.past().Now(ctx, r.state.Witnesses)
	var missing []judge.Witness
	if err == nil {
		missing, err = r.missing(ctx, r.state.Missing)
	}
	if err != nil {
		return fmt.Errorf("back up %s: look whether it was put back to an earlier moment: %w", r.env, err)
	}
	took := ""
	if len(missing) > 0 {
		took = judge.TookBack
	}
	if r.lineWhy = cmp.Or(r.state.Broken, judge.LineBreak(r.state.Identity, r.schema.Identity, r.state.Witnesses, now), took); r.lineWhy != "" {
		r.state.restartLine()
	}
	r.state.Missing = nil
	r.before = slices.Clone(r.state.Witnesses)
	return nil
}

// checkPast looks whether the environment was put back to an earlier moment
// while it was read: then the tables read before and after belong to two pasts,
// the run is not complete, and the next one begins a new line. Where nothing
// changed, the next run's own look at the witnesses is enough.
func (r *runner) checkPast(ctx context.Context) error {
	r.mu.Lock()
	seen := slices.Clone(r.seen)
	r.mu.Unlock()
	if len(seen) == 0 {
		return nil
	}
	list := judge.Newest(r.before, seen)
	now, err := r.past().Now(ctx, list)
	var missing []judge.Witness
	if err == nil {
		missing, err = r.missing(ctx, r.unexplained(list, now))
	}
	if err != nil {
		return fmt.Errorf("look whether it was put back to an earlier moment meanwhile: %w", err)
	}
	why := judge.LineBreak(r.schema.Identity, r.schema.Identity, list, now)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case why != "":
		r.state.Broken = why
		return allod.WithHint(allod.Errorf(allod.Partial, "while it was read, %s", why), "Back it up again: the next snapshot begins a new line. This one mixes both pasts and is not complete.")
	case len(missing) > 0:
		r.state.Missing = missing
		return allod.WithHint(allod.Errorf(allod.Partial, "%s", judge.TookBack), "Back it up again: if they are still gone without a word, the next snapshot begins a new line. This one may mix two pasts and is not complete.")
	}
	// Those that are gone are explained, and those that are back are of no more use.
	r.seen = slices.DeleteFunc(list, func(w judge.Witness) bool { _, here := now[w.Ref()]; return here == w.Gone })
	r.state.Witnesses = nil
	return nil
}

// missing returns those of the witnesses that are gone without a word, and that
// the reader would see if they were not.
func (r *runner) missing(ctx context.Context, list []judge.Witness) ([]judge.Witness, error) {
	out, err := r.past().Unnamed(ctx, list)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	rights, err := r.asker.since(ctx, r.asker.moment())
	if err != nil || rights == nil {
		return out, err
	}
	return slices.DeleteFunc(out, func(w judge.Witness) bool { return rights.Depth[w.Table] != source.DepthGlobal }), nil
}

// unexplained are the witnesses that are gone and whose deletion the source has
// still to say: those that this run read, and older ones of tables whose changes
// it followed. Of a table that was read whole deletions show by absence alone.
func (r *runner) unexplained(list []judge.Witness, now map[allod.RecordRef]uint64) []judge.Witness {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[allod.RecordRef]bool{}
	for _, w := range r.seen {
		seen[w.Ref()] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(w judge.Witness) bool {
		_, here := now[w.Ref()]
		return here || w.Gone || !seen[w.Ref()] && r.manifests[w.Table].State != allod.TableDelta
	})
}

// past asks the source for witnesses.
func (r *runner) past() *past.Asker {
	same := func(t *allod.Table) bool {
		return t != nil && t.Unreadable == "" && t.ID == r.state.Tables[t.Name].ID && r.seesAll(t.Name)
	}
	return &past.Asker{
		Source: r.src, Schema: r.schema, Parallel: r.o.Parallel, Sees: same,
		Token: func(t *allod.Table) (req source.ReadRequest, ok bool) {
			ts, life := r.state.Tables[t.Name], r.src.Capabilities().DeltaLife
			req = source.ReadRequest{Table: t, Columns: []string{t.Key}, Cursor: ts.Delta, PageSize: firstPage}
			if !ts.KeyOnly {
				req.Columns = r.wanted(t)
			}
			return req, t.Tracking && ts.Delta != (source.Cursor{}) && (life == 0 || r.o.Now().Sub(ts.DeltaAt) <= life)
		},
	}
}

// witness notes by which rows of the table it will show that time went back:
// the newest, and some of those that are deleted. The caller holds mu.
func (t *tableRun) witness(state allod.TableState) {
	name := t.table.Name
	known := max(t.base, t.said)
	if state == allod.TableFull { // what an attempt before this one read counts no more
		t.seen = slices.DeleteFunc(t.seen, func(w judge.Witness) bool { return w.Table == name })
	}
	t.seen = append(append(t.seen, t.newest...), t.lost...)
	for _, w := range slices.Concat(t.runner.before, t.newest) {
		if w.Table == name && !w.Gone && t.gone[w.Key] {
			t.seen = append(t.seen, judge.Witness{Table: name, Key: w.Key, Version: max(known, w.Version), Gone: true})
		}
	}
	for i, key := range slices.SortedFunc(maps.Keys(t.gone), compareKeys) {
		if i == judge.MinWitnesses {
			break
		}
		t.seen = append(t.seen, judge.Witness{Table: name, Key: key, Version: known, Gone: true})
	}
}

// noteLost notes the rows that a full read has shown to be deleted: those by
// which the run began, and a few more.
func (t *tableRun) noteLost(ctx context.Context) error {
	known := map[allod.GUID]uint64{}
	for _, w := range t.runner.before {
		if w.Table == t.table.Name {
			known[w.Key] = w.Version
		}
	}
	n := 0
	for ref, err := range t.w.Missing(ctx) {
		if err != nil {
			return err
		}
		version, is := known[ref.Key]
		if ref.Key.IsZero() || !is && n == judge.MinWitnesses {
			continue
		}
		if !is {
			n++
		}
		t.lost = append(t.lost, judge.Witness{Table: t.table.Name, Key: ref.Key, Version: max(version, t.base), Gone: true})
	}
	return nil
}
