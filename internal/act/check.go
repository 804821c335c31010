package act

import (
	"context"
	"errors"
	"fmt"

	"allod"
	"allod/internal/blob/blobcheck"
	"allod/internal/source"
	"allod/internal/source/sourcecheck"
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

// CheckStore proves that a folder can hold a vault. What the checks write they
// remove.
func CheckStore(ctx context.Context, path string, deps Deps, report func(Checked)) error {
	if err := noURL(path); err != nil {
		return err
	}
	store, err := deps.OpenStore(ctx, path, true)
	if err != nil {
		return fmt.Errorf("check the store %s: %w", path, err)
	}
	failed := 0
	for _, c := range blobcheck.Checks() {
		failed += reportCheck(report, c.Name, c.Why, func() error { return c.Run(ctx, store) })
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return allod.Errorf(allod.Partial, "check the store %s: %d checks failed", path, failed)
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

// Rights says what the application user of an environment may not see, as
// gaps a backup would have.
func (o *Office) Rights(ctx context.Context, env string) ([]allod.Gap, error) {
	src, err := o.source(ctx, env)
	if err != nil {
		return nil, err
	}
	rr, ok := src.(source.RightsReader)
	if !ok {
		return nil, nil
	}
	schema, err := src.Describe(ctx)
	if err != nil {
		return nil, err
	}
	rights, err := rr.Rights(ctx, schema)
	if err != nil {
		return nil, err
	}
	var gaps []allod.Gap
	for i := range schema.Tables {
		t := &schema.Tables[i]
		if t.Unreadable != "" {
			continue
		}
		switch d := rights.Depth[t.Name]; {
		case d == source.DepthNone:
			gaps = append(gaps, allod.Gap{Table: t.Name, Kind: allod.GapTableUnreadable, Reason: "the application user may not read this table"})
		case d != source.DepthGlobal:
			gaps = append(gaps, allod.Gap{Table: t.Name, Kind: allod.GapReadDepth, Reason: "the application user sees only part of the rows"})
		}
		for _, c := range rights.Hidden[t.Name] {
			gaps = append(gaps, allod.Gap{Table: t.Name, Column: c, Kind: allod.GapColumnSecured, Reason: "column security hides its values"})
		}
	}
	return gaps, nil
}
