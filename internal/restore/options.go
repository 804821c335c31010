// Package restore decides how records are brought back: Build compares a
// snapshot with the live environment and computes the plan of it.
//
// Build is pure given its two views and writes nothing. What a plan is, kept,
// shown and read back, says package plan; package apply carries one out; what
// the platform does by itself, and what is therefore treated apart or refused,
// says package traps. A restore that broke off is resumed by planning again:
// what is equal is not in the new plan. What is restored are the classes data
// and link.
package restore

import (
	"context"
	"slices"
	"time"

	"allod"
	"allod/internal/relate"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// Selection says which rows of the snapshot to restore.
type Selection struct {
	// All is every row of the classes data and link.
	All bool
	// Tables names whole tables, rows of them, or rows that a filter admits.
	Tables []TableSelection
	// Exact takes the named rows alone, without what is attached to them.
	Exact bool
	// DeletedOnly leaves out rows that exist live.
	DeletedOnly bool
}

// TableSelection chooses rows of one table.
type TableSelection struct {
	Table  string
	IDs    []allod.GUID          // nil = all rows, of a table of pairs see Pairs
	Pairs  [][2]allod.GUID       // of a table of pairs, with Exact
	Filter func(*allod.Row) bool // nil = all; with IDs both must hold
}

// Options of Build. The zero value plans the selected rows with what is
// attached to them into a non-production environment that is not on this
// machine.
type Options struct {
	// Columns, when not empty, are the only ones written (COLUMN or
	// TABLE.COLUMN), and rows that are missing live are not made;
	// ExcludeColumns are never written.
	Columns        []string
	ExcludeColumns []string

	// Related is followed from the selected rows in addition to what is
	// attached to them and to what is found so (relate.Attached);
	// RelatedLimit is the largest number of rows that this may give, 0 =
	// relate.DefaultLimit. Not used with All.
	Related      []relate.Follow
	RelatedLimit int

	OnConflict plan.OnConflict
	Security   bool // Invalid: does not exist yet
	Production bool // the target is a production environment: the plan says so
	// Because says why the target counts as production, or not.
	Because string
	// Loopback says that the target is an emulator on this machine. Anywhere
	// else tables with traps that are not handled yet are refused.
	Loopback bool
	// DisabledOwners gives rows back to owners that are disabled in the target
	// too. The real platform refuses that; an emulator may not.
	DisabledOwners bool
	// Map names counterparts in the target for records of the snapshot, e.g.
	// users; it goes before what Build finds by itself.
	Map map[allod.RecordRef]allod.RecordRef
	// Remove are rows and pairs to take away: those that a restore made, which is
	// undone. Undoes is its id, Conflicts and Skipped what is left alone.
	Remove             []Removal
	Undoes             string
	Conflicts, Skipped []plan.Skip
	Warnings           []string // of the caller
	// AllowContact names the records of which permissions to reach the person may
	// be given back as they were; of others they are never loosened.
	AllowContact map[allod.RecordRef]bool
	// Approvers are the people who approved; one alone is recorded as such.
	Approvers []allod.Actor
	// Replayed, if there is one, is asked at the end what was corrected in the
	// rows of the snapshot that were read; the plan shows what concerns it.
	Replayed func() []plan.Replayed
	// Look, when not nil, is shown the steps before the plan is finished, and adds
	// warnings and what is done after them; see package beside.
	Look func(ctx context.Context, p *plan.Plan, snap, live source.View) error
	// Now is the clock; nil = time.Now.
	Now func() time.Time
}

// Removal is a row or a pair of the target to be taken away. Rows of one table go
// by rising Wave.
type Removal struct {
	Ref     allod.RecordRef
	Version uint64
	Wave    uint8
}

func (o *Options) check() error {
	if o.Security {
		return allod.WithHint(allod.Errorf(allod.Invalid, "plan restore: restoring users, teams, roles and business units does not exist yet"),
			"leave out --security; references to them are mapped")
	}
	if !slices.Contains([]plan.OnConflict{"", plan.Stop, plan.Backup, plan.Live, plan.FillEmpty}, o.OnConflict) {
		return allod.WithHint(allod.Errorf(allod.Invalid, "plan restore: no such choice for conflicts %q", string(o.OnConflict)),
			"choose stop, backup, live or fill-empty")
	}
	return nil
}

func (s *Selection) check() error {
	if s.All && len(s.Tables) > 0 {
		return allod.Errorf(allod.Invalid, "plan restore: everything and single tables exclude each other")
	}
	if !s.All && !s.Exact && len(s.Tables) == 0 {
		return allod.WithHint(allod.Errorf(allod.Invalid, "plan restore: nothing is selected"), "name a table, with or without ids, or everything")
	}
	return nil
}
