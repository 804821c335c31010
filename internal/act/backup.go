package act

import (
	"cmp"
	"context"
	"fmt"

	"allod"
	"allod/internal/capture"
	"allod/internal/govern/gate"
	"allod/internal/runlog"
	"allod/internal/source"
	"allod/internal/source/pace"
)

// Backup captures one environment. What capture.Run says of errors and
// partial results holds here too; the result may be there beside an error.
func (o *Office) Backup(ctx context.Context, env string, opts capture.Options) (*capture.Result, error) {
	c, err := o.connection(env)
	if err != nil {
		return nil, err
	}
	s, err := o.session(ctx, gate.ActionCapture, env, allod.PurposeOperate)
	if err != nil {
		return nil, err
	}
	opts.Now = o.deps.Now
	opts.Config, opts.Once = c.Exclude, len(opts.Presets) > 0
	if !opts.Once {
		opts.Presets = c.Presets
	}
	var res *capture.Result
	all, err := o.vault.Snapshots(ctx, env)
	if err == nil && len(all) > 0 {
		opts.PutBack, err = runlog.PutBack(ctx, o.ledger, env, all[len(all)-1].From)
	}
	c.Pace, c.Paused = opts.Pace.Over(c.Pace), opts.Paused
	src, serr := o.reach(ctx, env, c)
	if err = cmp.Or(err, serr); err == nil {
		res, err = capture.Run(ctx, s, o.vault, src, env, opts)
		err = cmp.Or(err, source.Close(src))
	}
	if res != nil {
		if aerr := o.gate.Act(ctx, s, runlog.Captured, captureCounts(res, opts)); aerr != nil && err == nil {
			err = fmt.Errorf("back up %s: %w", env, aerr)
		}
	}
	if err != nil {
		return res, o.failed(ctx, s, err)
	}
	return res, o.proveOwn(ctx)
}

// captureCounts is what the ledger keeps of a capture.
func captureCounts(res *capture.Result, opts capture.Options) map[string]int64 {
	counts := map[string]int64{"rows": res.Rows, "created": res.Created, "updated": res.Updated, "deleted": res.Deleted, "gaps": int64(len(res.Gaps))}
	for _, g := range res.Gaps {
		if !g.Accepted {
			counts[runlog.Open]++
		}
	}
	if n := len(res.Alarms); n > 0 {
		counts[runlog.Alarms] = int64(n)
	}
	n := len(opts.Tables)
	if opts.Once {
		n += len(opts.Presets)
	}
	if n > 0 {
		counts[runlog.Narrowed] = int64(n)
	}
	return counts
}

// PlanBackup estimates a backup without reading rows.
func (o *Office) PlanBackup(ctx context.Context, env string, opts capture.Options) (*capture.Plan, error) {
	c, err := o.connection(env)
	if err != nil {
		return nil, err
	}
	allowed := opts.Pace.Over(c.Pace)
	c.Pace = pace.Pace{MaxConcurrency: allowed.MaxConcurrency}
	src, err := o.reach(ctx, env, c)
	if err != nil {
		return nil, err
	}
	opts.Now = o.deps.Now
	opts.Config, opts.Once = c.Exclude, len(opts.Presets) > 0
	if !opts.Once {
		opts.Presets = c.Presets
	}
	p, err := capture.Estimate(ctx, o.vault, src, env, opts)
	if err == nil {
		p.Allow(allowed)
	}
	return p, err
}

// Environments lists the connected environments, sorted.
func (o *Office) Environments() []string { return sortedKeys(o.config.Environments) }
