package source

import (
	"context"
	"time"

	"allod"
)

// NativeBackup is a backup of a whole environment that somebody had the platform
// make: a label on a moment. The platform's own are continuous and not listed.
type NativeBackup struct {
	ID      string    `json:"id"`
	Label   string    `json:"label"`
	Point   time.Time `json:"point"`   // UTC
	Expires time.Time `json:"expires"` // UTC
	Creator string    `json:"creator"` // kind of who made it: User, Application …; "" = not said
}

// NativeRestore says what the platform is to make of which environment.
type NativeRestore struct {
	Target    allod.GUID // its PlatformID; all of it is overwritten
	At        time.Time
	Name      string // new display name of the target; "" = as it is
	WithAudit bool   // bring the audit log as well
}

// Native has the platform back up and restore one environment
// (protocols/dataverse.md §12). It is safe for concurrent use.
type Native interface {
	// List returns the backups made by hand that have not ended.
	List(ctx context.Context) ([]NativeBackup, error)
	// Create makes one of the present. It can be restored after a while.
	Create(ctx context.Context, label string) (NativeBackup, error)
	Delete(ctx context.Context, id string) error
	// Check asks whether the platform would carry a restore out.
	Check(ctx context.Context, r NativeRestore) error
	// Restore overwrites the target and returns when that is done, or when ctx
	// ends: then the platform goes on.
	Restore(ctx context.Context, r NativeRestore) error
}

// PlatformMember is a source that the platform knows by an id.
type PlatformMember interface {
	// PlatformID is the platform's id of the environment; zero when the service
	// does not say.
	PlatformID(ctx context.Context) (allod.GUID, error)
}
