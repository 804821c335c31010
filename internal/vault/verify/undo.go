package verify

import (
	"context"

	"allod"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
)

// undo opens what rows were like before a restore wrote to them, by the schema
// that the entry names.
func (c *check) undo(ctx context.Context, e *journal.Entry) error {
	var schema *meta.Schema
	part, err := c.Reader.Part(ctx, e)
	if err == nil {
		schema, err = c.Reader.Schema(e.Environment, part.Schema, part.SchemaEntry)
	}
	if err == nil && schema == nil {
		err = allod.Errorf(allod.Corrupt, "it names no schema")
	}
	if err != nil {
		return c.bad(objectOf(err, vlog.EntryName(e.N)), err)
	}
	return c.opened(ctx, e, schema, 0)
}
