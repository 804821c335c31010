// Package files reads file columns in ranges (protocols/dataverse.md §8.2).
package files

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"allod"
	"allod/internal/source/odataclient"
)

// Range is how many bytes of a file one request moves.
const Range = 4 << 20

// MaxWhole bounds what a service sends that takes no ranges, in bytes.
const MaxWhole = 140 << 20

// Place is where a file lies.
type Place struct {
	Environment, Table, Column string // for errors
	URL                        string // relative to the service root
}

// None is the error where there is no file any more: NotFound.
func (p Place) None() error {
	return allod.Errorf(allod.NotFound, "%s, table %s: the row has no file in %s any more", p.Environment, p.Table, p.Column)
}

// Open opens the file of a file column. Each range is asked for again if it is
// cut off; the first is read at once, so that a missing file is said here, as
// NotFound. A file that is replaced while it is read ends with Conflict.
func Open(ctx context.Context, client *odataclient.Client, p Place) (io.ReadCloser, error) {
	f := &reader{ctx: ctx, client: client, Place: p, size: -1}
	if err := f.fill(); err != nil && err != io.EOF { //nolint:errorlint // exact: a broken connection wraps it, and that is no end
		return nil, err
	}
	return f, nil
}

// reader reads a file column range by range. It keeps the context of Open,
// since io.Reader has none.
type reader struct {
	Place
	ctx    context.Context
	client *odataclient.Client
	offset int64
	size   int64 // of the whole file; -1 = not known yet
	rest   string
	whole  bool // the service sent everything at once
}

// Read reads on.
func (f *reader) Read(p []byte) (int, error) {
	if f.rest == "" {
		if err := f.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Close does nothing: no connection is held between ranges.
func (f *reader) Close() error { f.whole, f.rest = true, ""; return nil }

// fill reads the next range; io.EOF after the last.
func (f *reader) fill() error {
	if f.whole || (f.size >= 0 && f.offset >= f.size) {
		return io.EOF
	}
	span := "bytes=" + strconv.FormatInt(f.offset, 10) + "-" + strconv.FormatInt(f.offset+Range-1, 10)
	limit := int64(2 * Range)
	if f.offset == 0 {
		limit = MaxWhole // a service that takes no ranges
	}
	res, err := f.get(limit, span)
	if st := odataclient.AsStatus(err); st != nil && st.Status == http.StatusRequestedRangeNotSatisfiable && f.size < 0 {
		if f.offset > 0 {
			return io.EOF
		}
		// A file without a byte has no first range either.
		res, err = f.get(limit, "")
	}
	if err != nil {
		return err
	}
	if res.Status == http.StatusNoContent {
		if f.offset > 0 && f.size < 0 {
			return io.EOF
		}
		return f.None()
	}
	if res.Status != http.StatusPartialContent {
		if f.offset > 0 {
			return f.changed()
		}
		f.rest, f.whole = res.Body, true
		if f.rest == "" {
			return io.EOF
		}
		return nil
	}
	size := totalSize(res.Header)
	if size >= 0 {
		if f.size >= 0 && size != f.size {
			return f.changed()
		}
		f.size = size
	}
	got := int64(len(res.Body))
	if want := min(int64(Range), f.size-f.offset); f.size >= 0 && got != want {
		return allod.Errorf(allod.Unavailable, "%s, table %s: a range of %s has %d bytes instead of %d", f.Environment, f.Table, f.Column, got, want)
	}
	f.rest = res.Body
	f.offset += got
	if f.size < 0 && got < Range {
		f.whole = true // the last one
	}
	if got == 0 {
		return io.EOF
	}
	return nil
}

func (f *reader) get(limit int64, span string) (*odataclient.Response, error) {
	h := http.Header{"Accept": {"*/*"}}
	if span != "" {
		h["Range"] = []string{span}
	}
	return f.client.Do(f.ctx, &odataclient.Request{URL: f.URL, Table: f.Table, Header: h, MaxBytes: limit})
}

func (f *reader) changed() error {
	return allod.Errorf(allod.Conflict, "%s, table %s: the file in %s changed while it was read", f.Environment, f.Table, f.Column)
}

// totalSize reads the size of the whole file from Content-Range or
// x-ms-file-size; -1 if neither says.
func totalSize(h http.Header) int64 {
	if _, total, ok := strings.Cut(h.Get("Content-Range"), "/"); ok {
		if n, err := strconv.ParseInt(total, 10, 64); err == nil && n >= 0 {
			return n
		}
	}
	if n, err := strconv.ParseInt(h.Get("X-Ms-File-Size"), 10, 64); err == nil && n >= 0 {
		return n
	}
	return -1
}
