package act

import (
	"context"
	"fmt"
	"slices"

	"allod"
	"allod/internal/capture"
	"allod/internal/govern/gate"
)

// Backup captures one environment. What capture.Run says of errors and
// partial results holds here too; the result may be there beside an error.
func (o *Office) Backup(ctx context.Context, env string, opts capture.Options) (*capture.Result, error) {
	c, err := o.connection(env)
	if err != nil {
		return nil, err
	}
	src, err := o.source(ctx, env)
	if err != nil {
		return nil, err
	}
	s, err := o.session(ctx, gate.ActionCapture, env, allod.PurposeOperate)
	if err != nil {
		return nil, err
	}
	opts.Now = o.deps.Now
	opts.Exclude = slices.Concat(opts.Exclude, c.Exclude)
	res, err := capture.Run(ctx, s, o.vault, src, env, opts)
	if res != nil {
		counts := map[string]int64{"rows": res.Rows, "created": res.Created, "updated": res.Updated, "deleted": res.Deleted, "gaps": int64(len(res.Gaps))}
		if aerr := o.gate.Act(ctx, s, "captured", counts); aerr != nil && err == nil {
			err = fmt.Errorf("back up %s: %w", env, aerr)
		}
	}
	if err == nil {
		err = o.proveOwn(ctx)
	}
	return res, err
}

// PlanBackup estimates a backup without reading rows.
func (o *Office) PlanBackup(ctx context.Context, env string, opts capture.Options) (*capture.Plan, error) {
	c, err := o.connection(env)
	if err != nil {
		return nil, err
	}
	src, err := o.source(ctx, env)
	if err != nil {
		return nil, err
	}
	opts.Now = o.deps.Now
	opts.Exclude = slices.Concat(opts.Exclude, c.Exclude)
	return capture.Estimate(ctx, o.vault, src, env, opts)
}

// Environments lists the connected environments, sorted.
func (o *Office) Environments() []string { return sortedKeys(o.config.Environments) }
