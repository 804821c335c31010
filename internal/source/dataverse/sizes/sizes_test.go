package sizes_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/sizes"
	"allod/internal/source/odataclient"
)

// schema has notes, files of file columns, and a table whose file column nobody
// has filled.
func schema(tables ...string) *allod.Schema {
	s := &allod.Schema{}
	for _, name := range tables {
		t := allod.Table{Name: name, Set: name + "s"}
		for _, c := range []string{"createdon", "filesize", "filesizeinbytes", "objecttypecode"} {
			t.Columns = append(t.Columns, allod.Column{Name: c})
		}
		if strings.HasPrefix(name, "new_") {
			t.Columns = append(t.Columns, allod.Column{Name: "new_file", Native: "File"})
		}
		s.Tables = append(s.Tables, t)
	}
	return s
}

func status(n int) error { return fmt.Errorf("ask: %w", &odataclient.StatusError{Status: n}) }

var between = regexp.MustCompile(`createdon ge (\S+) and createdon lt ([^)\s]+)`)

func TestOf(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	sum := func(into any, rows ...map[string]any) {
		into.(*struct{ Value []map[string]any }).Value = rows
	}
	for _, c := range []struct {
		name   string
		tables []string
		answer func(link string, into any) error
		want   map[string]source.FileSize
		fails  bool
	}{
		{
			name: "sums", tables: []string{"annotation", "fileattachment", "new_paper", "new_empty", "account"},
			answer: func(link string, into any) error {
				switch link {
				case "annotations?$apply=filter(isdocument eq true)/aggregate($count as n,filesize with sum as bytes)":
					sum(into, map[string]any{"n": 12.0, "bytes": 3e9})
				case "fileattachments?$apply=groupby((objecttypecode),aggregate($count as n,filesizeinbytes with sum as bytes))":
					sum(into, map[string]any{"objecttypecode": "new_paper", "n": 2.0, "bytes": 500.0})
				default:
					return fmt.Errorf("not expected: %s", link)
				}
				return nil
			},
			want: map[string]source.FileSize{"annotation": {Files: 12, Bytes: 3e9}, "new_paper": {Files: 2, Bytes: 500}, "new_empty": {}},
		},
		{
			name: "no documents", tables: []string{"annotation"},
			answer: func(_ string, into any) error { sum(into, map[string]any{"n": 0.0, "bytes": nil}); return nil },
			want:   map[string]source.FileSize{"annotation": {}},
		},
		{
			name: "too many for one sum", tables: []string{"annotation"},
			answer: func(link string, into any) error { // one document a day for 400,000 days, 50 days at most
				m := between.FindStringSubmatch(link)
				if m == nil {
					return status(400)
				}
				from, err1 := time.Parse(time.RFC3339, m[1])
				to, err2 := time.Parse(time.RFC3339, m[2])
				if err := errors.Join(err1, err2); err != nil {
					return err
				}
				if years := to.Sub(from).Hours() / 24 / 365; years > 3 {
					return status(400)
				}
				sum(into, map[string]any{"n": 1.0, "bytes": 10.0})
				return nil
			},
			want: map[string]source.FileSize{"annotation": {Files: 16, Bytes: 160}},
		},
		{
			name: "too many for all the sums that are worth it", tables: []string{"annotation"},
			answer: func(string, any) error { return status(400) }, want: map[string]source.FileSize{},
		},
		{
			name: "not allowed", tables: []string{"annotation"},
			answer: func(string, any) error { return status(403) }, want: map[string]source.FileSize{},
		},
		{
			name: "nonsense", tables: []string{"annotation"},
			answer: func(_ string, into any) error { sum(into, map[string]any{"n": -1.0, "bytes": "many"}); return nil },
			want:   map[string]source.FileSize{},
		},
		{name: "no answer", tables: []string{"annotation"}, answer: func(string, any) error { return status(503) }, fails: true},
		{name: "credential refused", tables: []string{"annotation"}, answer: func(string, any) error { return status(401) }, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			got, err := sizes.Of(t.Context(), func(_ context.Context, link, _ string, into any) error {
				if asked++; asked > 200 {
					t.Fatal("it asks for ever")
				}
				return c.answer(link, into)
			}, func(s string) string { return s }, now, schema(c.tables...))
			if (err != nil) != c.fails {
				t.Fatalf("got %v", err)
			}
			if d := cmp.Diff(got, c.want); d != "" && !c.fails {
				t.Errorf("-got +want:\n%s", d)
			}
		})
	}
}
