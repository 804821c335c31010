package roles

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/gate"
	"allod/internal/runlog"
	"allod/internal/vault/compact"
)

// Compact merges packs and removes what was replaced and is due, and records how
// much; with plan it only says what there is to do. It needs a slot of role
// maintain, or one of all. What the report says was done even where there is an
// error.
func Compact(ctx context.Context, o *act.Office, opts compact.Options, plan bool) (compact.Report, error) {
	v, g, _, deps := o.Inside()
	s, err := g.Open(ctx, gate.Request{
		Actor: deps.Actor, Action: gate.ActionCompact, Purpose: cmp.Or(deps.Purpose, allod.PurposeOperate),
		Resource: gate.Resource{Environment: gate.AllEnvironments, Class: allod.ClassCustomerData},
	})
	if err != nil {
		return compact.Report{}, err
	}
	c, err := v.Compactor(s)
	if err != nil {
		return compact.Report{}, allod.WithHint(allod.Errorf(allod.KindOf(err), "compact: %w", err), "Name a slot of role maintain with --key.")
	}
	run := c.Run
	if plan {
		run = c.Plan
	}
	r, err := run(ctx, opts)
	switch {
	case err != nil && ctx.Err() != nil:
		return r, errors.Join(fmt.Errorf("compact: %w", err), g.Act(ctx, s, runlog.Interrupted, nil))
	case err != nil:
		return r, errors.Join(fmt.Errorf("compact: %w", err), g.Act(ctx, s, runlog.Failed, map[string]int64{runlog.KindOf: int64(allod.KindOf(err))}))
	}
	if plan {
		return r, g.Act(ctx, s, runlog.Compacted, map[string]int64{runlog.Narrowed: 1})
	}
	counts := map[string]int64{"merges": int64(len(r.Merged))}
	if opts.Environment != "" {
		counts[runlog.Narrowed] = 1
	}
	for _, m := range r.Merged {
		counts["packs"] += int64(m.Packs)
		counts["made"] += int64(m.PacksMade)
	}
	for _, old := range r.Replaced {
		counts["removed"] += int64(old.Removed)
	}
	return r, g.Act(ctx, s, runlog.Compacted, counts)
}
