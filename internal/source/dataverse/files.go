package dataverse

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"

	"allod"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

// chunk is how many bytes of a file one request moves
// (protocols/dataverse.md §8.2).
const chunk = 4 << 20

// maxBody bounds the base64 text of a note or attachment: 131,072,000 bytes is
// the most an organisation can allow (protocols/dataverse.md §8.1).
const maxBody = 140 << 20

// maxImage bounds an image column: 30 MB is the most it can be set to
// (protocols/dataverse.md §8.3).
const maxImage = 32 << 20

// OpenFile opens the bytes of a File cell: file columns in ranges of 4 MiB,
// each of which is asked for again if it is cut off; images and the bodies of
// notes and attachments whole. NotFound when there is none any more. A file
// that is replaced while it is read ends with Conflict.
func (s *Source) OpenFile(ctx context.Context, table *allod.Table, row *allod.Row, column string) (io.ReadCloser, error) {
	c := table.Column(column)
	if c == nil || c.Type != allod.File {
		return nil, allod.Errorf(allod.Invalid, "%s, table %s: %q is no file column", s.name, table.Name, column)
	}
	at := rowURL(table, row.Key) + "/" + column + "/$value"
	switch {
	case rows.IsBody(table.Name, column):
		res, err := s.getBytes(ctx, table, at, maxBody, "")
		if err != nil {
			return nil, err
		}
		if res.Status == http.StatusNoContent || strings.TrimSpace(res.Body) == "" {
			return nil, s.noFile(table, column)
		}
		return io.NopCloser(base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.TrimPrefix(res.Body, "\ufeff")))), nil
	case c.Native == rows.NativeImage:
		for _, size := range []string{"?size=full", ""} { // 204 = only a thumbnail
			res, err := s.getBytes(ctx, table, at+size, maxImage, "")
			if err != nil {
				return nil, err
			}
			if res.Status != http.StatusNoContent && res.Body != "" {
				return io.NopCloser(strings.NewReader(res.Body)), nil
			}
		}
		return nil, s.noFile(table, column)
	}
	f := &fileReader{ctx: ctx, s: s, table: table, column: column, at: at, size: -1}
	// The first range is read at once, so that a missing file is said here.
	if err := f.fill(); err != nil && err != io.EOF { //nolint:errorlint // exact: a broken connection wraps it, and that is no end
		return nil, err
	}
	return f, nil
}

func (s *Source) noFile(table *allod.Table, column string) error {
	return allod.Errorf(allod.NotFound, "%s, table %s: the row has no file in %s any more", s.name, table.Name, column)
}

func (s *Source) getBytes(ctx context.Context, table *allod.Table, at string, limit int64, span string) (*odataclient.Response, error) {
	h := http.Header{"Accept": {"*/*"}}
	if span != "" {
		h["Range"] = []string{span}
	}
	return s.client.Do(ctx, &odataclient.Request{URL: at, Table: table.Name, Header: h, MaxBytes: limit})
}

// fileReader reads a file column range by range. It keeps the context of
// OpenFile, since io.Reader has none.
type fileReader struct {
	ctx    context.Context
	s      *Source
	table  *allod.Table
	column string
	at     string
	offset int64
	size   int64 // of the whole file; -1 = not known yet
	rest   string
	whole  bool // the service sent everything at once
}

// Read reads on.
func (f *fileReader) Read(p []byte) (int, error) {
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
func (f *fileReader) Close() error { f.whole, f.rest = true, ""; return nil }

// fill reads the next range; io.EOF after the last.
func (f *fileReader) fill() error {
	if f.whole || (f.size >= 0 && f.offset >= f.size) {
		return io.EOF
	}
	span := "bytes=" + strconv.FormatInt(f.offset, 10) + "-" + strconv.FormatInt(f.offset+chunk-1, 10)
	limit := int64(2 * chunk)
	if f.offset == 0 {
		limit = maxBody // a service that takes no ranges
	}
	res, err := f.s.getBytes(f.ctx, f.table, f.at, limit, span)
	if st := odataclient.AsStatus(err); st != nil && st.Status == http.StatusRequestedRangeNotSatisfiable && f.size < 0 {
		if f.offset > 0 {
			return io.EOF
		}
		// A file without a byte has no first range either.
		res, err = f.s.getBytes(f.ctx, f.table, f.at, limit, "")
	}
	if err != nil {
		return err
	}
	if res.Status == http.StatusNoContent {
		if f.offset > 0 && f.size < 0 {
			return io.EOF
		}
		return f.s.noFile(f.table, f.column)
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
	if want := min(int64(chunk), f.size-f.offset); f.size >= 0 && got != want {
		return allod.Errorf(allod.Unavailable, "%s, table %s: a range of %s has %d bytes instead of %d", f.s.name, f.table.Name, f.column, got, want)
	}
	f.rest = res.Body
	f.offset += got
	if f.size < 0 && got < chunk {
		f.whole = true // the last one
	}
	if got == 0 {
		return io.EOF
	}
	return nil
}

func (f *fileReader) changed() error {
	return allod.Errorf(allod.Conflict, "%s, table %s: the file in %s changed while it was read", f.s.name, f.table.Name, f.column)
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
