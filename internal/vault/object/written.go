package object

import (
	"bytes"
	"context"
	"errors"

	"allod"
	"allod/internal/blob"
)

// Written is what the making of a vault has put into a store, to be removed if
// it fails: it would stand in the way of the next attempt. It is used by one
// goroutine.
type Written struct {
	Store   blob.Store
	Unknown bool // the store does not say whether an object is stored: nothing may be removed

	names []string
}

// Put stores an object. One that the store holds after an error, as it was to
// be stored, is stored.
func (w *Written) Put(ctx context.Context, name string, data []byte) error {
	putErr := Put(ctx, w.Store, name, data)
	if putErr != nil {
		there, err := Get(context.WithoutCancel(ctx), w.Store, name, int64(len(data)))
		switch {
		case err == nil && bytes.Equal(there, data):
		case errors.Is(putErr, blob.ErrExists):
			return allod.WithHint(putErr, "If an earlier `allod init` was cut off, remove the folder of the vault and that of its slots, which hold nothing yet, and begin again.")
		default:
			w.Unknown = err != nil && !errors.Is(err, blob.ErrNotFound)
			return putErr
		}
	}
	w.names = append(w.names, name)
	return nil
}

// Remove deletes what was put.
func (w *Written) Remove(ctx context.Context) error {
	var errs []error
	for _, name := range w.names {
		errs = append(errs, w.Store.Delete(ctx, name))
	}
	return errors.Join(errs...)
}
