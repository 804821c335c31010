package dataverse

import (
	"context"
	"io"
	"net/http"
	"strings"

	"allod"
	"allod/internal/source/dataverse/files"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

// chunk is how many bytes of a file one request moves
// (protocols/dataverse.md §8.2).
const chunk = files.Range

// maxBody bounds the base64 text of a note or attachment: 131,072,000 bytes is
// the most an organisation can allow (protocols/dataverse.md §8.1).
const maxBody = files.MaxWhole

// maxImage bounds an image column: 30 MB is the most it can be set to
// (protocols/dataverse.md §8.3).
const maxImage = 32 << 20

// OpenFile opens the bytes of a File cell: file columns in ranges of 4 MiB,
// each of which is asked for again if it is cut off; images and the bodies of
// notes and attachments whole, these out of base64. NotFound when there is none any more. A file
// that is replaced while it is read ends with Conflict.
func (s *Source) OpenFile(ctx context.Context, table *allod.Table, row *allod.Row, column string) (io.ReadCloser, error) {
	c := table.Column(column)
	if c == nil || c.Type != allod.File {
		return nil, allod.Errorf(allod.Invalid, "%s, table %s: %q is no file column", s.name, table.Name, column)
	}
	if c.Native == rows.NativePackage {
		if e := s.exporter(); e != nil {
			return e.Open(ctx, table, row)
		}
		return nil, s.noFile(table, column)
	}
	at := rowURL(table, row.Key) + "/" + column + "/$value"
	switch {
	case rows.IsBody(table.Name, column):
		res, err := s.getBytes(ctx, table, at, maxBody)
		if err != nil {
			return nil, err
		}
		if res.Status == http.StatusNoContent || strings.TrimSpace(res.Body) == "" {
			return nil, s.noFile(table, column)
		}
		return files.Text(files.Place{Environment: s.name, Table: table.Name, Column: column}, res.Body), nil
	case c.Native == rows.NativeImage:
		for _, size := range []string{"?size=full", ""} { // 204 = only a thumbnail
			res, err := s.getBytes(ctx, table, at+size, maxImage)
			if err != nil {
				return nil, err
			}
			if res.Status != http.StatusNoContent && res.Body != "" {
				return io.NopCloser(strings.NewReader(res.Body)), nil
			}
		}
		return nil, s.noFile(table, column)
	}
	return files.Open(ctx, s.client, files.Place{Environment: s.name, Table: table.Name, Column: column, URL: at})
}

func (s *Source) noFile(table *allod.Table, column string) error {
	return files.Place{Environment: s.name, Table: table.Name, Column: column}.None()
}

func (s *Source) getBytes(ctx context.Context, table *allod.Table, at string, limit int64) (*odataclient.Response, error) {
	return s.client.Do(ctx, &odataclient.Request{URL: at, Table: table.Name, Header: http.Header{"Accept": {"*/*"}}, MaxBytes: limit})
}
