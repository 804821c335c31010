package capture

import (
	"cmp"
	"context"
	"fmt"
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
	var silent []judge.Witness
	if err == nil {
		silent, err = r.silent(ctx, r.state.Doubts)
	}
	if err != nil {
		return fmt.Errorf("back up %s: look whether it was put back to an earlier moment: %w", r.env, err)
	}
	took := ""
	if len(silent) > 0 {
		took = judge.TookBack
	}
	if r.lineWhy = cmp.Or(r.state.Broken, r.o.PutBack, judge.LineBreak(r.state.Identity, r.schema.Identity, r.state.Witnesses, now), took); r.lineWhy != "" {
		r.state.restartLine()
	}
	r.state.Doubts = nil
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
	if len(seen) == 0 && r.counter.Back() == "" {
		return nil
	}
	list := judge.Newest(r.before, seen)
	now, err := r.past().Now(ctx, list)
	why, silent := "", []judge.Witness(nil)
	if err == nil {
		if why = cmp.Or(r.counter.Back(), judge.LineBreak(r.schema.Identity, r.schema.Identity, list, now)); why == "" {
			silent, err = r.silent(ctx, r.unexplained(list, now))
		}
	}
	if err != nil {
		return fmt.Errorf("look whether it was put back to an earlier moment meanwhile: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if why != "" {
		r.state.Broken = why
		return allod.WithHint(allod.Errorf(allod.Partial, "while it was read, %s", why), "Back it up again: the next snapshot begins a new line. This one mixes both pasts and is not complete.")
	}
	r.state.Doubts = silent[:min(len(silent), judge.MaxWitnesses)]
	for _, w := range silent {
		if _, here := now[w.Ref()]; !here {
			return allod.WithHint(allod.Errorf(allod.Partial, "while it was read, %s", judge.TookBack), "Back it up again: if it still does not say so, the next snapshot begins a new line. This one may mix two pasts and is not complete.")
		}
		// A change may be said late, and comes with the next capture then.
		r.gaps = append(r.gaps, allod.Gap{Table: w.Table, Kind: allod.GapConcurrentlyChanged, Accepted: true, Reason: "rows changed while they were read and the source does not say so; the next capture asks again"})
	}
	// Those that are gone are explained, and those that are back are of no more use.
	r.seen = slices.DeleteFunc(list, func(w judge.Witness) bool { _, here := now[w.Ref()]; return here == w.Gone })
	r.state.Witnesses = nil
	return nil
}

// silent returns those of the witnesses that have changed without a word, and
// of which the reader would be told.
func (r *runner) silent(ctx context.Context, list []judge.Witness) ([]judge.Witness, error) {
	out, err := r.past().Unnamed(ctx, list)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	rights, err := r.asker.Since(ctx, r.asker.Moment())
	if err != nil || rights == nil {
		return out, err
	}
	return slices.DeleteFunc(out, func(w judge.Witness) bool { return rights.Depth[w.Table] != source.DepthGlobal }), nil
}

// unexplained are the witnesses that are not as this run read them, and those of
// tables whose changes it followed and that it did not meet: the source has still
// to say so. Of a table that was read whole deletions show by absence alone.
func (r *runner) unexplained(list []judge.Witness, now map[allod.RecordRef]uint64) []judge.Witness {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[allod.RecordRef]bool{}
	for _, w := range r.seen {
		seen[w.Ref()] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(w judge.Witness) bool {
		return !judge.Changed(w, now) || !seen[w.Ref()] && r.manifests[w.Table].State != allod.TableDelta
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

// note remembers a row that was read.
func (t *tableRun) note(row *allod.Row) {
	if row.Version != 0 && !row.Key.IsZero() {
		t.high = max(t.high, row.Version)
		t.notes.Row(row.Key, row.Version)
	}
}

// witness notes by which rows of the table it will show whether time went back.
// The caller holds mu.
func (t *tableRun) witness(state allod.TableState) {
	if state == allod.TableFull { // what an attempt before this one read counts no more
		t.seen = slices.DeleteFunc(t.seen, func(w judge.Witness) bool { return w.Table == t.table.Name })
	}
	t.runner.before = slices.DeleteFunc(t.runner.before, func(w judge.Witness) bool { return w.Table == t.table.Name && t.behind[w.Key] })
	t.seen = append(t.seen, t.notes.Witnesses(t.gone, t.behind)...)
}
