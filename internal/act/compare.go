package act

import (
	"context"

	"allod/internal/govern/gate"
	"allod/internal/history"
)

// Compare compares two moments. Names and counts only: values are shown by Get.
func (o *Office) Compare(ctx context.Context, a, b Moment, opts history.Options) (*history.Diff, error) {
	va, sa, err := o.open(ctx, a, gate.ActionCompare)
	if err != nil {
		return nil, err
	}
	vb, sb, err := o.open(ctx, b, gate.ActionCompare)
	if err != nil {
		return nil, err
	}
	for _, t := range opts.Tables {
		if va.Schema().Table(t) == nil && vb.Schema().Table(t) == nil {
			return nil, NoTable(va.Schema(), va.Name(), t)
		}
	}
	opts.SameSource = a.Environment == b.Environment
	d, err := history.Compare(ctx, va, vb, opts)
	if err != nil {
		return nil, err
	}
	counts := map[string]int64{"added": d.Added, "removed": d.Removed, "changed": d.Changed}
	for _, s := range []gate.Session{sa, sb} {
		if err := o.gate.Act(ctx, s, "compared", counts); err != nil {
			return nil, err
		}
	}
	return d, nil
}
