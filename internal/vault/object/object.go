// Package object reads and writes the objects of a vault by name. Whatever a
// store gives back is hostile: lengths are bounded before anything is kept, and
// an error names the object.
package object

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"

	"allod"
	"allod/internal/blob"
	"allod/internal/durable"
)

// Get reads a whole object of at most limit bytes. Corrupt if it is larger;
// the error of a missing one is blob.ErrNotFound, of kind NotFound.
func Get(ctx context.Context, s blob.Store, name string, limit int64) (_ []byte, err error) {
	r, err := s.Get(ctx, name, 0, limit+1)
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "read %s: %w", name, err)
	}
	defer func() { _ = r.Close() }()                 // what was read is checked by the caller
	b, err := io.ReadAll(io.LimitReader(r, limit+1)) // a store may give more than was asked
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, allod.Errorf(allod.Corrupt, "read %s: it is larger than %d bytes", name, limit)
	}
	return b, nil
}

// Put stores a small object, durably once it returns nil. Conflict if there is
// one of this name.
func Put(ctx context.Context, s blob.Store, name string, b []byte) error {
	if err := s.Put(ctx, name, bytes.NewReader(b), int64(len(b)), blob.PutOptions{}); err != nil {
		kind := allod.KindOf(err)
		if errors.Is(err, blob.ErrExists) {
			kind = allod.Conflict
		}
		return allod.WithHint(allod.Errorf(kind, "write %s: %w", name, err), "%s", allod.HintOf(err))
	}
	return nil
}

// PutDigest stores size bytes under a name that is made of their digest, so
// that an object of this name is the same object: it is left as it is. Corrupt
// if that one has another size.
func PutDigest(ctx context.Context, s blob.Store, name string, size int64, from io.ReaderAt) error {
	err := s.Put(ctx, name, io.NewSectionReader(from, 0, size), size, blob.PutOptions{})
	if err == nil {
		return nil
	}
	if errors.Is(err, blob.ErrExists) {
		info, statErr := s.Stat(ctx, name)
		if statErr == nil && info.Size == size {
			return nil
		}
		return allod.Errorf(allod.Corrupt, "write %s: another object has its name", name)
	}
	return allod.WithHint(allod.Errorf(allod.KindOf(err), "write %s: %w", name, err), "%s", allod.HintOf(err))
}

// Reader reads an object at random. It may be used by several goroutines.
type Reader struct {
	ctx  context.Context
	s    blob.Store
	name string
}

// NewReader returns a Reader of an object that the log names: a missing one is
// Corrupt. The context is that of every read.
func NewReader(ctx context.Context, s blob.Store, name string) *Reader {
	return &Reader{ctx, s, name}
}

// ReadAt implements io.ReaderAt.
func (o *Reader) ReadAt(p []byte, off int64) (int, error) {
	r, err := o.s.Get(o.ctx, o.name, off, int64(len(p)))
	if err != nil {
		return 0, Missing(o.name, err)
	}
	n, err := io.ReadFull(r, p)
	if e := r.Close(); err == nil && e != nil {
		err = e
	}
	if err == io.ErrUnexpectedEOF { //nolint:errorlint // a wrapped EOF is a connection that broke, not the end
		err = io.EOF
	}
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped EOF is a connection that broke, not the end
		err = allod.Errorf(allod.KindOf(err), "read %s: %w", o.name, err)
	}
	return n, err
}

// Missing turns "no such object" into Corrupt, for objects that the log names.
func Missing(name string, err error) error {
	if errors.Is(err, blob.ErrNotFound) {
		return allod.Errorf(allod.Corrupt, "read %s: it is missing", name)
	}
	return allod.Errorf(allod.KindOf(err), "read %s: %w", name, err)
}

// Named puts the name of an object, or what was being done to it, before an
// error, keeping kind and hint. nil stays nil.
func Named(name string, err error) error {
	if err == nil {
		return nil
	}
	return allod.WithHint(allod.Errorf(allod.KindOf(err), "%s: %w", name, err), "%s", allod.HintOf(err))
}

// Copy copies until r ends, looking at the context every 4 MiB. It returns the
// number of bytes copied.
func Copy(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := io.CopyN(w, r, 4<<20)
		total += n
		if err == io.EOF { //nolint:errorlint // a wrapped EOF is a connection that broke, not the end
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Temp makes a temporary file in dir ("" = the system's) for an object on its
// way: what is written to it must be sealed. Let it go with RemoveTemp.
func Temp(dir, pattern string) (*durable.Scratch, error) {
	f, err := durable.NewScratch(dir, pattern)
	if err != nil {
		return nil, allod.WithHint(allod.Errorf(allod.Unavailable, "%w", err), "%s", cmp.Or(allod.HintOf(err), "Make room on the disk of the temporary folder, or name another one."))
	}
	return f, nil
}

// RemoveTemp lets a temporary file go. What it holds is sealed, so failing to
// remove it harms nobody.
func RemoveTemp(f *durable.Scratch) {
	_ = f.Close() // see above
}
