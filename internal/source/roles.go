package source

import (
	"context"

	"allod"
)

// RoleOptions say for whom the roles of Allod are written.
type RoleOptions struct {
	Reader   string // client id of the application that reads; "" = give the role to nobody
	Restorer string // client id of the application that restores; "" = give the role to nobody
	Remove   bool   // take back what was written instead
}

// RolePlan is what has to be done so that the roles are as they should be. No
// steps = they are.
type RolePlan struct {
	Steps []RoleStep `json:"steps"`
	Notes []string   `json:"notes,omitempty"` // what to know besides
}

// RoleStep is one change to the environment. Steps are carried out in order; a
// step that is repeated does no harm.
type RoleStep struct {
	Op    string   `json:"op"`              // create, grant, assign, disable, remove
	What  string   `json:"what"`            // one sentence without a full stop
	Names []string `json:"names,omitempty"` // privileges, columns

	Run func(context.Context) error `json:"-"`
}

// RoleKeeper is a source that can write the two roles Allod works with: the
// reader, who may read everything and write nothing, and the restorer, who may
// write data and is disabled until a restore is approved. PlanRoles changes
// nothing. Denied when its caller may not even look.
type RoleKeeper interface {
	PlanRoles(ctx context.Context, schema *allod.Schema, o RoleOptions) (*RolePlan, error)
}
