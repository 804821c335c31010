package source

import (
	"context"

	"allod"
)

// SchemaWatcher is a source that can say which parts of its schema changed since
// a moment, also those that changed and changed back.
type SchemaWatcher interface {
	// SchemaMark returns the present moment of the schema, opaque to the caller;
	// "" where the service refuses to say.
	SchemaMark(ctx context.Context) (string, error)
	// SchemaSince returns what changed since mark, which is not "".
	// ErrMarkExpired is wrapped where the service does not know any more.
	SchemaSince(ctx context.Context, mark string) (*SchemaChange, error)
}

// SchemaChange is what changed in a schema up to the moment Mark.
type SchemaChange struct {
	Mark string
	// Columns that were made or changed, table → column → whether column
	// security is on now.
	Columns map[string]map[string]bool
	// Made are tables that were made or changed in themselves, with their
	// present ids.
	Made map[string]allod.GUID
	Gone []allod.GUID // ids of tables and columns that were removed
}

// ErrMarkExpired says that a source cannot tell any more what changed in its
// schema since a mark.
var ErrMarkExpired = allod.Errorf(allod.Invalid, "it is not known any more what changed in the schema")
