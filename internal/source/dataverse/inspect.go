package dataverse

import (
	"context"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/inspect"
)

// Inspect asks what stands around the rows; see package inspect.
func (s *Source) Inspect(ctx context.Context, schema *allod.Schema) (*source.Surroundings, error) {
	return inspect.Look(ctx, s, service{s}, schema)
}

// Outside asks what lies outside; see package inspect.
func (s *Source) Outside(ctx context.Context, schema *allod.Schema) ([]source.Outside, error) {
	return inspect.Outside(ctx, s, service{s}, schema)
}

// unlessRefused keeps an error of a service that could not be reached; what it
// answered with no is a fact, not a failure.
func unlessRefused(err error) error {
	switch allod.KindOf(err) {
	case allod.Denied, allod.NotFound, allod.Invalid:
		return nil
	default:
		return err
	}
}
