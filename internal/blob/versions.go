package blob

import (
	"context"
	"io"
	"iter"
	"time"
)

// Version is one version of an object in a store that keeps what was replaced
// or deleted.
type Version struct {
	Info
	ID      string // opaque, the store's own
	Current bool   // it is what Get and List of the store show, or, for a Marker, why they show nothing
	Marker  bool   // a delete marker: it has no bytes and hides the versions before it
}

// Versioned is an optional ability of a Store: it reaches the versions that it
// keeps. A store that has the methods and keeps no versions shows every object
// as its only version. Delete of such a store removes every version and delete
// marker of the name, the oldest first, and leaves the newest as it is while
// one before it is locked: nothing that was replaced comes to light again.
// Methods may be called from several goroutines.
type Versioned interface {
	// Versions yields the versions and delete markers of objects whose name
	// begins with prefix: ascending by name, of one name the newest first. In
	// the caller's goroutine.
	Versions(ctx context.Context, prefix string) iter.Seq2[Version, error]

	// GetVersion is Get of one version. ErrNotFound if there is none of this
	// id, or if it is a delete marker.
	GetVersion(ctx context.Context, name, id string, off, n int64) (io.ReadCloser, error)

	// DeleteVersion removes one version or delete marker for good; removing
	// one that is not there is not an error. ErrLocked while it is retained.
	DeleteVersion(ctx context.Context, name, id string) error

	// KeepsVersions says whether what is replaced or deleted stays behind as a
	// version; true where the store does not tell.
	KeepsVersions() bool
}

// Locker is an optional ability of a Store: it changes the lock of an object
// that is there already. Methods may be called from several goroutines.
type Locker interface {
	// Lock retains the current version of the object until a time, as
	// PutOptions.RetainUntil does. Denied, wrapping ErrLocked, if it is locked
	// for longer: locks only grow. ErrNotFound if there is no such object,
	// ErrLockUnsupported where the store cannot.
	Lock(ctx context.Context, name string, until time.Time) error

	// LockedUntil returns until when the current version is retained, in UTC;
	// zero = it is not locked. ErrNotFound if there is no such object.
	LockedUntil(ctx context.Context, name string) (time.Time, error)
}

// Describer is an optional ability of a Store: it says what is known of how
// the place keeps objects. What cannot be read is in Facts.Unread; the error is
// for a store that cannot be reached.
type Describer interface {
	Describe(ctx context.Context) (Facts, error)
}

// Keeping says whether a place keeps versions.
type Keeping string

// What a place may say of versions.
const (
	KeepsNone      Keeping = "off"       // what is replaced or deleted is gone
	KeepsAll       Keeping = "on"        // it stays behind as a version
	KeepsSuspended Keeping = "suspended" // versions from before are still there
	KeepsUnknown   Keeping = "unknown"   // the store does not tell
)

// Facts of a place, as read off the store. The zero value of a field other than
// Versions means that the place has nothing of the kind, unless Unread names it.
type Facts struct {
	Kind            string   `json:"kind"` // folder, s3, memory
	Versions        Keeping  `json:"versions"`
	Locks           bool     `json:"locks"`                       // objects can be locked
	DefaultLock     string   `json:"default_lock,omitempty"`      // mode of the lock that every new object gets
	DefaultLockDays int      `json:"default_lock_days,omitempty"` // for how long
	SoftDeleteDays  int      `json:"soft_delete_days,omitempty"`  // how long what was deleted for good can be brought back
	Copies          []string `json:"copies,omitempty"`            // where the store copies objects to by itself
	Rules           []Rule   `json:"rules,omitempty"`             // by which the store deletes by itself
	Unread          []Unread `json:"unread,omitempty"`            // in the order of asking
}

// Rule is one by which a store deletes objects by itself.
type Rule struct {
	Name    string `json:"name"`
	Prefix  string `json:"prefix,omitempty"`  // names it is for; "" = all
	Current bool   `json:"current,omitempty"` // it deletes current objects, not only old versions
	Days    int    `json:"days,omitempty"`    // after so many; 0 = on a date
}

// Unread is a fact that could not be read.
type Unread struct {
	What    string `json:"what"` // e.g. "replication"
	Why     string `json:"why"`
	Refused bool   `json:"refused,omitempty"` // the store knows and did not say; otherwise nobody could say it
}

// Witness is an optional ability of a Store: it has noticed that somebody
// changed objects behind its back, and has read what was first stored.
type Witness interface {
	// Tampered returns what was noticed so far, ascending by name. It may be
	// called from any goroutine.
	Tampered() []Tampering
}

// Tampering is one object that does not stand as it was stored.
type Tampering struct {
	Name string
	What string // what was done to it and what is read instead
}
