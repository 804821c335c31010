// Package blob holds the contract of an object store: small, so that a local
// folder, S3 and Azure Blob keep it alike. Adapters live in subpackages; the
// checks that each must pass live in blobcheck and also run in
// `allod check store`.
package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"allod"
)

// Store holds immutable objects under names like "packs/3f…". Names use
// lower-case letters, digits and "-_.@" in segments joined by "/"; at most 255 bytes, no
// empty, "." or ".." segment. Methods may be called from several goroutines.
type Store interface {
	// Put stores r under name if no object of that name exists; if one does,
	// it returns ErrExists and stores nothing. When it returns nil the object
	// is durable and visible to every later Get and List. After any other
	// error the object may or may not exist: ask with Stat or Get. size is the
	// exact number of bytes of r, or -1.
	Put(ctx context.Context, name string, r io.Reader, size int64, opts PutOptions) error

	// Get opens n bytes from offset off; n < 0 means to the end. ErrNotFound
	// if there is no such object. A range beyond the end is cut short; an
	// offset beyond the end gives no bytes.
	Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error)

	// List yields objects whose name begins with prefix, in ascending order
	// of name, in the caller's goroutine.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Stat describes one object; ErrNotFound if there is none.
	Stat(ctx context.Context, name string) (Info, error)

	// Delete removes an object; removing one that is not there is not an
	// error. ErrLocked while it is retained.
	Delete(ctx context.Context, name string) error
}

// PutOptions of one Put. The zero value retains nothing.
type PutOptions struct {
	RetainUntil time.Time // refuse deletion before; zero = no lock. ErrLockUnsupported where a store cannot
}

// Info describes an object. Times are UTC.
type Info struct {
	Name     string
	Size     int64
	Modified time.Time // the store's own clock
}

// Mutable is a store whose objects may be replaced: the places of slots. The
// replacement is atomic: a reader sees the old or the new bytes.
type Mutable interface {
	Store
	Replace(ctx context.Context, name string, data []byte) error
}

// Errors that adapters wrap; each also carries the allod.Kind in brackets.
var (
	ErrExists          = errors.New("object exists already")             // Conflict
	ErrNotFound        = errors.New("no such object")                    // NotFound
	ErrLocked          = errors.New("object is locked against deletion") // Denied
	ErrLockUnsupported = errors.New("store cannot lock objects")         // Invalid
)

// maxName is the length in bytes of the longest name.
const maxName = 255

// CheckName refuses, with Kind Invalid, a name that no object may have. The
// rules are in the comment of Store. Every adapter calls it first.
func CheckName(name string) error {
	if len(name) == 0 || len(name) > maxName {
		return allod.Errorf(allod.Invalid, "object name of %d bytes: want 1 to %d", len(name), maxName)
	}
	for seg := range strings.SplitSeq(name, "/") {
		if err := checkSegment(seg); err != nil {
			return allod.Errorf(allod.Invalid, "object name %q: %w", name, err)
		}
	}
	return nil
}

// CheckPrefix refuses, with Kind Invalid, a prefix that no name begins with.
// The empty prefix is that of every name.
func CheckPrefix(prefix string) error {
	if len(prefix) > maxName {
		return allod.Errorf(allod.Invalid, "prefix of %d bytes: want at most %d", len(prefix), maxName)
	}
	folders, last := "", prefix
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folders, last = prefix[:i], prefix[i+1:]
		if err := CheckName(folders); err != nil {
			return err
		}
	}
	if err := checkBytes(last); err != nil {
		return allod.Errorf(allod.Invalid, "prefix %q: %w", prefix, err)
	}
	return nil
}

func checkSegment(seg string) error {
	if seg == "" || seg == "." || seg == ".." {
		return errors.New("empty, \".\" or \"..\" segment")
	}
	return checkBytes(seg)
}

func checkBytes(seg string) error {
	for i := range len(seg) {
		switch c := seg[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '@':
		default:
			return errors.New("only a-z, 0-9 and \"-_.@\" may stand in a segment")
		}
	}
	return nil
}
