package capture

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"
	"testing"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/source"
)

// dividedSource can read its tables in parts: rows whose names end alike.
type dividedSource struct {
	*fakeSource
	asked  []source.Division
	leaves func(allod.GUID) bool // rows that are in no part
	refuse bool                  // reads in parts are refused
	mix    atomic.Int64
}

func (s *dividedSource) DivideBy(*allod.Table) string { return "name" }

func (s *dividedSource) Read(ctx context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	if req.Divide == nil || req.Cursor != (source.Cursor{}) {
		return s.fakeSource.Read(ctx, req)
	}
	s.asked = append(s.asked, *req.Divide)
	return func(yield func(source.Page, error) bool) {
		if s.refuse {
			yield(source.Page{}, allod.Errorf(allod.Invalid, "400"))
			return
		}
		for page, err := range s.fakeSource.Read(ctx, req) {
			if s.leaves != nil {
				page.Rows = slices.DeleteFunc(page.Rows, func(r allod.Row) bool { return s.leaves(r.Key) })
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// TestLongTableIsReadInParts reads a table of several full pages in parts, as many
// at once as memory is for; a source that refuses that, or whose parts lack rows,
// is read as a whole.
func TestLongTableIsReadInParts(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*dividedSource)
	}{
		{"all", func(*dividedSource) {}},
		{"refused", func(s *dividedSource) { s.refuse = true }},
		{"lacking", func(s *dividedSource) { s.leaves = func(k allod.GUID) bool { return k == nth(7) } }},
		{"deleted meanwhile", func(s *dividedSource) {
			s.beforeRow = func(_, what string, _ int) error {
				if what == "start" && len(s.asked) == 1 && s.mix.Add(1) == 1 {
					s.remove("account", 9)
					s.put("account", 10, "changed")
				}
				return nil
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			s := &dividedSource{fakeSource: r.fakeSource}
			s.page = 5000
			s.fill("account", 0, 12_000)
			c.change(s)
			res, err := Run(t.Context(), r.session(gate.ActionCapture), r.v, s, "contoso", Options{Now: r.now})
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Gaps) > 0 || res.Created != int64(len(s.rows["account"])) {
				t.Errorf("created %d of %d rows, gaps %v", res.Created, len(s.rows["account"]), res.Gaps)
			}
			r.same("account")
			if len(s.asked) != 1 || s.asked[0].AtOnce < 2 || s.asked[0].Parts < 3 || len(s.asked[0].Sample) < 1000 {
				t.Errorf("asked for %d divisions", len(s.asked))
			}
			whole := 0
			for _, what := range s.fakeSource.asked {
				if what == "account start" {
					whole++
				}
			}
			// The first look, a full page, the keys, the parts or the whole, and the
			// whole where the parts did not do.
			if want := map[string]int{"all": 4, "refused": 4, "lacking": 5, "deleted meanwhile": 4}[c.name]; whole != want {
				t.Errorf("%d reads from the start, want %d: %v", whole, want, s.fakeSource.asked)
			}
		})
	}
}
