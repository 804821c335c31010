package act

import (
	"context"
	"errors"
	"fmt"

	"allod"
	"allod/internal/source/sourcecheck"
	"allod/internal/survey"
)

// Checked is the outcome of one check.
type Checked struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	OK   bool   `json:"ok"`
	What string `json:"what,omitempty"` // what went wrong, or why it was not tried
}

// CheckSource proves that an environment behaves as Allod needs it to, calling
// report after each check. Nothing is written to it unless writeTo names a
// table: then rows of that table are made and removed again. The error is
// Partial when a check failed.
func (o *Office) CheckSource(ctx context.Context, env, writeTo string, report func(Checked)) error {
	src, err := o.source(ctx, env)
	if err != nil {
		return err
	}
	checks := sourcecheck.Read()
	if writeTo != "" {
		checks = append(checks, sourcecheck.Write(writeTo, o.deps.NewID)...)
	}
	failed := 0
	for _, c := range checks {
		failed += reportCheck(report, c.Name, c.Why, func() error { return c.Run(ctx, src) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return allod.Errorf(allod.Partial, "check %s: %d checks failed", env, failed)
	}
	return nil
}

func reportCheck(report func(Checked), name, why string, run func() error) int {
	c := Checked{Name: name, Why: why, OK: true}
	var skipped sourcecheck.Skipped
	switch err := run(); {
	case errors.As(err, &skipped):
		c.What = err.Error()
	case err != nil:
		c.OK, c.What = false, err.Error()
	}
	report(c)
	if c.OK {
		return 0
	}
	return 1
}

// Survey gathers what an administrator should know of an environment. Nothing
// is written to it, and no row of it is read but of configuration.
func (o *Office) Survey(ctx context.Context, env string) (*survey.Facts, error) {
	c, err := o.connection(env)
	if err != nil {
		return nil, err
	}
	src, err := o.source(ctx, env)
	if err != nil {
		return nil, err
	}
	status, err := o.statusOf(ctx, env, 0)
	if err != nil {
		return nil, err
	}
	known := survey.Facts{Environment: env, Now: o.deps.Now().UTC(), Excluded: c.Exclude}
	if status.LastGood != nil {
		known.LastGood = status.LastGood.UTC()
	}
	if known.OldestToken, err = o.oldestToken(ctx, env); err != nil {
		return nil, err
	}
	facts, err := survey.Look(ctx, src, known)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", env, err)
	}
	return facts, nil
}
