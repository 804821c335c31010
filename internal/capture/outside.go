package capture

import (
	"context"

	"allod"
	"allod/internal/source"
)

// noteOutside says in the snapshot what belongs to the environment and lies
// elsewhere, counted where the source can. A source that does not answer that is
// no reason to end a run: then the snapshot says so.
func (r *runner) noteOutside(ctx context.Context) error {
	o, ok := r.src.(source.Outsider)
	if !ok {
		return nil
	}
	list, err := o.Outside(ctx, r.schema)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.addGap(allod.Gap{Kind: allod.GapOutside, Accepted: true, Reason: "what lies outside could not be asked for: " + err.Error()})
		return nil
	}
	for i := range list {
		g := allod.Gap{Table: list[i].Table, Kind: allod.GapOutside, Accepted: true, Reason: list[i].What, Rows: max(list[i].Count, 0)}
		if how := list[i].Text(); how != "" {
			g.Reason += ": " + how
		}
		r.addGap(g)
	}
	return nil
}
