package ranges_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/ranges"
)

// holds evaluates a filter that Cut made for a row made at the given time; "" =
// the row has none.
func holds(t interface{ Fatalf(string, ...any) }, filter, made string) bool {
	if inner, ok := strings.CutPrefix(filter, "("); ok {
		before, after, _ := strings.Cut(strings.TrimSuffix(inner, ")"), " or ")
		if after != "createdon eq null" {
			t.Fatalf("the first part is %q", filter)
		}
		return made == "" || holds(t, before, made)
	}
	for term := range strings.SplitSeq(filter, " and ") {
		f := strings.Fields(term)
		if len(f) != 3 || f[0] != "createdon" {
			t.Fatalf("a part is %q", filter)
		}
		if made == "" || f[1] == "lt" && made >= f[2] || f[1] == "ge" && made < f[2] {
			return false
		}
	}
	return true
}

// TestCut checks that whatever the sample was, a row belongs to exactly one
// part, and that the parts of what was sampled are about equal.
func TestCut(t *testing.T) {
	stamp := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 9).Draw(t, "none") == 0 {
			return ""
		}
		return time.Unix(rapid.Int64Range(1_500_000_000, 1_500_000_500).Draw(t, "made"), 0).UTC().Format(time.RFC3339)
	})
	rapid.Check(t, func(t *rapid.T) {
		var sample []allod.Value
		for _, s := range rapid.SliceOfN(stamp, 0, 300).Draw(t, "sample") {
			if s == "" {
				sample = append(sample, allod.NullValue())
			} else {
				sample = append(sample, allod.TextValue(allod.DateTime, s))
			}
		}
		n := rapid.IntRange(0, 40).Draw(t, "n")
		parts := ranges.Cut(sample, n)
		if len(parts) == 1 || len(parts) > max(n, 0) {
			t.Fatalf("%d parts, asked for %d", len(parts), n)
		}
		if parts == nil {
			return
		}
		for range 20 {
			made := stamp.Draw(t, "row")
			in := 0
			for _, p := range parts {
				if holds(t, p, made) {
					in++
				}
			}
			if in != 1 {
				t.Fatalf("a row made at %q is in %d of %q", made, in, parts)
			}
		}
	})
	var even []allod.Value
	for i := range 1000 {
		even = append(even, allod.TextValue(allod.DateTime, time.Unix(int64(1_600_000_000+i*i), 0).UTC().Format(time.RFC3339)))
	}
	parts := ranges.Cut(even, 8)
	for _, p := range parts {
		n := 0
		for _, v := range even {
			if holds(t, p, v.Text()) {
				n++
			}
		}
		if len(parts) != 8 || n != 125 {
			t.Errorf("%q holds %d of 1000 rows", p, n)
		}
	}
}

// TestRead reads parts of several pages, breaks off after each number of pages
// and goes on: every page comes once.
func TestRead(t *testing.T) {
	const pages = 3
	open := func(fail string) func(ranges.Part) ranges.Pager {
		return func(p ranges.Part) ranges.Pager {
			at := p.Link
			return func(ctx context.Context) (source.Page, string, error) {
				n := 0
				if at != "" {
					if _, err := fmt.Sscanf(at, p.Filter+"/%d", &n); err != nil {
						return source.Page{}, "", err
					}
				}
				if p.Filter == fail && n == 1 {
					return source.Page{}, "", errors.New("broken")
				}
				row := allod.Row{Table: fmt.Sprintf("%s/%d", p.Filter, n)}
				if at = ""; n+1 < pages {
					at = fmt.Sprintf("%s/%d", p.Filter, n+1)
				}
				return source.Page{Rows: []allod.Row{row}}, at, ctx.Err()
			}
		}
	}
	all := []ranges.Part{{Filter: "a"}, {Filter: "b"}, {Filter: "c"}, {Filter: "d"}}
	for stop := 1; stop < pages*len(all); stop++ {
		var got []string
		var left []ranges.Part
		place := func(p []ranges.Part) source.Cursor {
			left = p
			return source.Cursor{Kind: source.CursorNext, Token: "x"}
		}
		take := func(limit int) func(source.Page, error) bool {
			return func(p source.Page, err error) bool {
				if err != nil {
					t.Fatal(err)
				}
				if p.Last != (p.Next == source.Cursor{}) {
					t.Errorf("last %v with cursor %v", p.Last, p.Next)
				}
				got = append(got, p.Rows[0].Table)
				return len(got) < limit
			}
		}
		ranges.Read(t.Context(), all, 3, open(""), place, take(stop))
		if len(got) != stop {
			t.Fatalf("stopped after %d pages, got %d", stop, len(got))
		}
		ranges.Read(t.Context(), left, 2, open(""), place, take(100))
		slices.Sort(got)
		if len(slices.Compact(got)) != pages*len(all) {
			t.Errorf("stopped after %d, then %v", stop, got)
		}
	}
	var end error
	for _, ctx := range []context.Context{t.Context(), canceled(t)} {
		end = nil
		ranges.Read(ctx, all, 2, open("b"), func([]ranges.Part) source.Cursor { return source.Cursor{} }, func(_ source.Page, err error) bool { end = err; return err == nil })
		if end == nil {
			t.Error("a read that broke off looks like one that ended")
		}
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestBy(t *testing.T) {
	made := allod.Column{Name: "createdon", Type: allod.DateTime}
	secured := made
	secured.Secured = true
	for _, c := range []struct {
		name  string
		table allod.Table
		want  string
	}{
		{"a table", allod.Table{Key: "id", Columns: []allod.Column{made}}, "createdon"},
		{"without the column", allod.Table{Key: "id"}, ""},
		{"a secured column, whose nulls say nothing", allod.Table{Key: "id", Columns: []allod.Column{secured}}, ""},
		{"pairs", allod.Table{Intersect: true, Columns: []allod.Column{made}}, ""},
	} {
		if got := ranges.By(&c.table); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
