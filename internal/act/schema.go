package act

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/history"
)

// SchemaHistory says how the schema of an environment changed from snapshot to
// snapshot.
type SchemaHistory struct {
	Environment string           `json:"environment"`
	First       allod.SnapshotID `json:"first"`    // the oldest snapshot
	FirstTo     time.Time        `json:"first_to"` // when its last read ended; UTC
	Tables      int              `json:"tables"`   // tables of the oldest snapshot
	Snapshots   int              `json:"snapshots"`
	Changes     []SchemaChange   `json:"changes"` // oldest first; never nil
}

// SchemaChange is what differs between a snapshot and the one before it.
type SchemaChange struct {
	Before   allod.SnapshotID `json:"before"`
	Snapshot allod.SnapshotID `json:"snapshot"` // 0 = the environment itself
	To       time.Time        `json:"to"`       // when the last read of Snapshot ended; UTC
	*history.SchemaDiff
}

// SchemaHistory compares the schemas of all snapshots up to the moment, each
// with the one before it; of a live moment also the newest one with the
// environment as it is now. With a table ("" = all), only what concerns it;
// NotFound when no schema has it.
func (o *Office) SchemaHistory(ctx context.Context, m Moment, table string) (*SchemaHistory, error) {
	s, err := o.session(ctx, gate.ActionRead, m.Environment, allod.PurposeOperate)
	if err != nil {
		return nil, err
	}
	upTo := m
	if m.Live {
		upTo = Moment{Environment: m.Environment}
	}
	last, err := o.pick(ctx, upTo)
	if err != nil {
		return nil, err
	}
	all, err := o.vault.Snapshots(ctx, m.Environment)
	if err != nil {
		return nil, err
	}
	h := &schemaWalk{table: table, out: SchemaHistory{Environment: m.Environment, Changes: []SchemaChange{}}}
	for i := range all {
		if all[i].ID > last.ID {
			break
		}
		snap, err := o.vault.At(ctx, s, m.Environment, all[i].ID)
		if err != nil {
			return nil, fmt.Errorf("read the schema of %s@%d: %w", m.Environment, all[i].ID, err)
		}
		h.out.Snapshots++
		if n := snap.SchemaNumber(); n != h.number {
			h.number = n
			h.next(all[i].ID, all[i].To, snap.Schema())
		}
		h.before = all[i].ID
	}
	if m.Live {
		v, err := o.view(ctx, s, m)
		if err != nil {
			return nil, err
		}
		h.next(0, o.deps.Now().UTC(), v.Schema())
	}
	if table != "" && !h.known {
		return nil, NoTable(cmp.Or(h.schema, &allod.Schema{}), upTo.String(), table)
	}
	return &h.out, nil
}

// schemaWalk goes from schema to schema.
type schemaWalk struct {
	table  string
	out    SchemaHistory
	schema *allod.Schema    // the one before; nil = none yet
	number uint32           // its number in the vault
	before allod.SnapshotID // the snapshot before
	known  bool             // some schema has the table
}

func (h *schemaWalk) next(id allod.SnapshotID, to time.Time, s *allod.Schema) {
	if s == nil {
		return
	}
	h.known = h.known || s.Table(h.table) != nil
	if h.schema == nil {
		h.out.First, h.out.FirstTo, h.out.Tables = id, to, len(s.Tables)
	} else {
		d := history.CompareSchemas(h.schema, s)
		if h.table != "" {
			d = d.Only(h.table)
		}
		if !d.Same() {
			h.out.Changes = append(h.out.Changes, SchemaChange{Before: h.before, Snapshot: id, To: to, SchemaDiff: d})
		}
	}
	h.schema = s
}
