package act

import (
	"context"
	"errors"
	"fmt"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/source"
)

// PlanRoles says what has to be done in an environment so that it has the roles
// of Allod, or no longer has them. Nothing is changed. Invalid for a source
// without roles.
func (o *Office) PlanRoles(ctx context.Context, env string, opts source.RoleOptions) (*source.RolePlan, error) {
	src, err := o.source(ctx, env)
	if err != nil {
		return nil, err
	}
	keeper, ok := src.(source.RoleKeeper)
	if !ok {
		return nil, allod.Errorf(allod.Invalid, "set up %s: this kind of source has no roles", env)
	}
	schema, err := src.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("set up %s: %w", env, err)
	}
	plan, err := keeper.PlanRoles(ctx, schema, opts)
	if err != nil {
		return nil, fmt.Errorf("set up %w", err)
	}
	return plan, nil
}

// CarryOutRoles carries a plan out step by step, calls done after each, and
// puts on record how many there were. A step that fails ends it: the same plan
// made again goes on from there.
func (o *Office) CarryOutRoles(ctx context.Context, env string, plan *source.RolePlan, done func(source.RoleStep)) error {
	s, err := o.session(ctx, gate.ActionRestore, env, allod.PurposeRestore)
	if err != nil {
		return err
	}
	n := int64(0)
	for _, step := range plan.Steps {
		if err = step.Run(ctx); err != nil {
			err = fmt.Errorf("set up %s: %s: %w", env, step.What, err)
			break
		}
		n++
		done(step)
	}
	return errors.Join(err, o.gate.Act(ctx, s, "roles-written", map[string]int64{"steps": n, "planned": int64(len(plan.Steps))}))
}
