package capture

import (
	"context"
	"slices"

	"allod"
	"allod/internal/capture/judge"
	"allod/internal/capture/sight"
)

// doubtRounds is how often rows are read again because column security changed
// meanwhile.
const doubtRounds = 3

// readDoubted reads again what may hold nulls that are none, since the security
// of columns changed after this run had read the schema. What is still in doubt
// then is a Gap, and the next capture reads it again.
func (r *runner) readDoubted(ctx context.Context) error {
	r.o.Full = false // that is done
	for round := 0; ; round++ {
		list, err := r.watch.Judge(ctx, r.schema, func(table string) bool { return r.state.Tables[table].Run == r.run.ID() })
		if err != nil || len(list) == 0 {
			return err
		}
		var again []sight.Verdict
		for _, v := range list {
			now := v.Sure && !v.Remade && round < doubtRounds
			r.owe(v, !now)
			if now {
				again = append(again, v)
			}
		}
		if len(again) == 0 {
			return nil
		}
		if err := r.commit(ctx, false); err != nil { // a table is written once between two commits
			return err
		}
		for _, v := range again {
			if err := r.readOver(ctx, v); err != nil {
				return err
			}
		}
	}
}

// owe puts into the state what the next read of a table must look at again, and
// says so where that is not now.
func (r *runner) owe(v sight.Verdict, say bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ts := r.state.Tables[v.Table]
	ts.Again = append(slices.Clone(ts.Again), v.Keys...)
	slices.SortFunc(ts.Again, compareKeys)
	if ts.Again = slices.Compact(ts.Again); v.Whole || len(ts.Again) > maxAgain {
		ts.Again, ts.Whole = nil, true
	}
	g := allod.Gap{Table: v.Table, Kind: allod.GapConcurrentlyChanged, Reason: "column security changed while the table was read: nulls may be values that were hidden; the next capture reads it again"}
	if !v.Sure {
		g.Reason = "the service refuses to say whether column security changed while the table was read (RetrieveMetadataChanges): nulls may be values that were hidden; every capture reads the rows again until it does"
	}
	if v.Remade {
		g.Kind, g.Reason = allod.GapSchemaChanged, "the table was dropped and made again while the environment was read; the next capture reads the new one"
	}
	if say {
		r.gaps, ts.Gaps = append(r.gaps, g), append(slices.Clone(ts.Gaps), g)
	}
	r.state.Tables[v.Table] = ts
}

// readOver reads a table a second time in this run, the way the next run would.
func (r *runner) readOver(ctx context.Context, v sight.Verdict) error {
	before := r.manifests[v.Table]
	j, err := r.refresh(ctx, r.schema.Table(v.Table), judge.Lasting)
	if err == nil {
		err = r.readTable(ctx, j)
	} else if allod.KindOf(err) == allod.Denied {
		err = nil
	}
	if err != nil {
		return err
	}
	m := r.manifests[v.Table]
	if m.State != allod.TableFull && m.State != allod.TableDelta {
		r.owe(v, true)
		return nil
	}
	if m.Started = before.Started; before.State == allod.TableFull {
		m.State, m.Method = before.State, before.Method
	}
	m.Created, m.Updated, m.Deleted = m.Created+before.Created, m.Updated+before.Updated, m.Deleted+before.Deleted
	r.setManifest(m)
	return nil
}
