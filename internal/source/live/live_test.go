package live

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"allod"
	"allod/internal/source"
)

// src is a source in memory that yields its rows in pages of two, one of them
// twice, as a table that changes while it is read does.
type src struct {
	rows []allod.Row
	fail error
	asks []int // keys per Get
}

func (s *src) Capabilities() source.Capabilities {
	return source.Capabilities{Environment: "contoso", Kind: "test"}
}

func (s *src) Describe(context.Context) (*allod.Schema, error) {
	return &allod.Schema{Tables: []allod.Table{{Name: "account"}, {Name: "pairs", Intersect: true}, {Name: "virtual", Unreadable: "virtual"}}}, s.fail
}

func (s *src) Read(_ context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		var mine []allod.Row
		for _, r := range s.rows {
			if r.Table == req.Table.Name {
				mine = append(mine, r)
			}
		}
		if len(mine) > 0 {
			mine = append(mine, mine[0])
		}
		for p := range slices.Chunk(mine, 2) {
			if !yield(source.Page{Rows: p}, nil) {
				return
			}
		}
		yield(source.Page{Last: true}, s.fail)
	}
}

func (s *src) Get(_ context.Context, t *allod.Table, keys []allod.GUID, _ []string) ([]allod.Row, error) {
	s.asks = append(s.asks, len(keys))
	var out []allod.Row
	for _, r := range s.rows {
		if r.Table == t.Name && slices.Contains(keys, r.Key) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (s *src) Query(context.Context, *allod.Table, string, []string) iter.Seq2[allod.Row, error] {
	return nil
}
func (s *src) Count(context.Context, *allod.Table) (int64, error) { return -1, nil }

type files struct{ *src }

func (files) OpenFile(_ context.Context, t *allod.Table, _ *allod.Row, column string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(t.Name + "." + column)), nil
}

// blind is a source that can only read.
type blind struct{ source.Source }

func id(n int) (g allod.GUID) { g[14], g[15] = byte(n>>8), byte(n); return g }

func TestView(t *testing.T) {
	s := &src{}
	for i := range 5 {
		s.rows = append(s.rows, allod.Row{Table: "account", Key: id(i)}, allod.Row{Table: "pairs", Pair: [2]allod.GUID{id(i), id(i + 1)}})
	}
	v, err := New(t.Context(), files{s})
	if err != nil {
		t.Fatal(err)
	}
	if v.Name() != "contoso@live" {
		t.Errorf("name: got %s", v.Name())
	}
	for _, table := range []string{"account", "pairs"} {
		n := 0
		for _, err := range v.Rows(t.Context(), table) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 5 {
			t.Errorf("%s: got %d rows, want each of 5 once", table, n)
		}
	}
	rows, err := v.Get(t.Context(), "pairs", []allod.RecordRef{{Table: "pairs", Pair: [2]allod.GUID{id(1), id(2)}}, {Table: "pairs", Pair: [2]allod.GUID{id(2), id(1)}}})
	if err != nil || len(rows) != 1 || rows[0].Pair[0] != id(1) {
		t.Errorf("pairs: got %v, %v", rows, err)
	}
	var refs []allod.RecordRef
	for i := range 2500 {
		refs = append(refs, allod.RecordRef{Table: "account", Key: id(i)})
	}
	rows, err = v.Get(t.Context(), "account", refs)
	if err != nil || len(rows) != 5 || !slices.Equal(s.asks, []int{1000, 1000, 500}) {
		t.Errorf("got %d rows, asked %v, %v", len(rows), s.asks, err)
	}
	rc, err := v.OpenFile(t.Context(), &rows[0], "body")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(rc); err != nil || string(b) != "account.body" {
		t.Errorf("file: got %q, %v", b, err)
	}
}

func TestErrors(t *testing.T) {
	if _, err := New(t.Context(), blind{&src{}}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a source without Finder: %v", err)
	}
	down := allod.Errorf(allod.Unavailable, "down")
	if _, err := New(t.Context(), &src{fail: down}); !errors.Is(err, down) {
		t.Errorf("describe: %v", err)
	}
	v, err := New(t.Context(), &src{})
	if err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]allod.Kind{"nix": allod.NotFound, "virtual": allod.Invalid} {
		for _, err := range v.Rows(t.Context(), table) {
			if allod.KindOf(err) != want {
				t.Errorf("rows of %s: %v", table, err)
			}
		}
		if _, err := v.Get(t.Context(), table, nil); allod.KindOf(err) != want {
			t.Errorf("get of %s: %v", table, err)
		}
	}
	if _, err := v.OpenFile(t.Context(), &allod.Row{Table: "account"}, "body"); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a source without files: %v", err)
	}
	v.src.(*src).fail = down
	n := 0
	for _, err := range v.Rows(t.Context(), "account") {
		if err != nil {
			n++
		}
	}
	if n != 1 {
		t.Errorf("a failing read: %d errors", n)
	}
}
