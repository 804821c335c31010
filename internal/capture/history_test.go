package capture

import (
	"fmt"
	"io"
	"testing"
	"time"

	"pgregory.net/rapid"

	"allod"
	"allod/internal/source"
)

// A run that claims to be whole is: whatever happened before, the vault then
// holds what the source holds. No run records as deleted what is there, nor a
// null that is none. Once it is quiet, three runs make the vault whole.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		for step := range rapid.IntRange(2, 5).Draw(rt, "steps") {
			mutate(rt, r, step)
			o := Options{
				Full: rapid.IntRange(0, 5).Draw(rt, "full") == 0, NoFiles: rapid.IntRange(0, 4).Draw(rt, "nofiles") == 0,
				Checkpoint: int64(rapid.IntRange(5, 40).Draw(rt, "checkpoint")), Parallel: rapid.IntRange(1, 2).Draw(rt, "parallel"),
			}
			if rapid.IntRange(0, 5).Draw(rt, "some") == 0 {
				o.Tables = []string{rapid.SampledFrom([]string{"account", "contact"}).Draw(rt, "only")}
			}
			quiet := trouble(rt, r)
			before := map[string]map[allod.GUID]bool{}
			if step > 0 {
				for _, table := range []string{"account", "contact"} {
					before[table] = map[allod.GUID]bool{}
					for k := range r.stored(table) {
						before[table][k] = true
					}
				}
			}
			res, err := r.run(t.Context(), o)
			r.beforeRow, r.openFile = nil, nil
			if err != nil {
				if allod.KindOf(err) != allod.Unavailable {
					rt.Fatal(err)
				}
				continue
			}
			for _, table := range []string{"account", "contact"} {
				noLoss(rt, r, table, before[table])
				whole := quiet && len(gaps(res, table)) == 0
				compare(rt, r, table, whole, res)
			}
		}
		r.change(func() {
			clear(r.rights.Hidden)
			r.rights.Depth["account"], r.rights.Depth["contact"] = source.DepthGlobal, source.DepthGlobal
		})
		var res *Result
		for range 3 {
			var err error
			if res, err = r.run(t.Context(), Options{}); err != nil {
				rt.Fatal(err)
			}
		}
		if res.Partial() {
			rt.Fatalf("still partial: %+v", res.Gaps)
		}
		compare(rt, r, "account", true, res)
		compare(rt, r, "contact", true, res)
	})
}

// mutate changes rows and rights between two runs.
func mutate(rt *rapid.T, r *rig, step int) {
	r.page = rapid.IntRange(3, 60).Draw(rt, "page")
	for range rapid.IntRange(0, 4).Draw(rt, "changes") {
		table := rapid.SampledFrom([]string{"account", "contact"}).Draw(rt, "table")
		from := rapid.IntRange(0, 80).Draw(rt, "from")
		n := rapid.IntRange(1, 40).Draw(rt, "n")
		switch rapid.IntRange(0, 5).Draw(rt, "change") {
		case 0, 1, 2:
			for i := from; i < from+n; i++ {
				if i%7 == 0 {
					r.change(func() { r.files[nth(i)] = fmt.Sprint("file", step) })
				}
				r.put(table, i, fmt.Sprint("s", step, "row", i))
			}
		case 3:
			for i := from; i < from+min(n, 10); i++ {
				if _, ok := r.rows[table][nth(i)]; ok {
					r.remove(table, i)
				}
			}
		case 4:
			d := rapid.SampledFrom([]source.Depth{source.DepthGlobal, source.DepthGlobal, source.DepthLocal, source.DepthNone}).Draw(rt, "depth")
			r.change(func() { r.rights.Depth[table] = d })
		case 5:
			if hide := rapid.Bool().Draw(rt, "hide"); hide {
				r.change(func() { r.rights.Hidden[table] = []string{"secret"} })
			} else {
				r.change(func() { delete(r.rights.Hidden, table) })
			}
		}
	}
	if rapid.IntRange(0, 4).Draw(rt, "expire") == 0 {
		r.change(func() { r.oldest = r.version })
	}
	r.partly = func(row *allod.Row) bool { return row.Key[15]%3 == 0 }
}

// trouble makes the next run fail or meet changes; true if it meets none.
func trouble(rt *rapid.T, r *rig) bool {
	at, page := rapid.SampledFrom([]string{"", "", "start", "next", "keys", "delta", "get"}).Draw(rt, "trouble"), rapid.IntRange(0, 5).Draw(rt, "at page")
	what := rapid.SampledFrom([]string{"fail", "fail", "put", "remove", "hide", "depth"}).Draw(rt, "what")
	table := rapid.SampledFrom([]string{"account", "contact"}).Draw(rt, "troubled")
	if rapid.IntRange(0, 4).Draw(rt, "files") == 0 {
		r.openFile = func(row *allod.Row) (io.ReadCloser, error) {
			if row.Key[15]%2 == 0 {
				return nil, unavailable()
			}
			return nil, nil
		}
	}
	if at == "" {
		return true
	}
	done := false
	r.beforeRow = func(name, w string, n int) error {
		if name != table || w != at || n < page && w != "delta" && w != "get" {
			return nil
		}
		switch {
		case what == "fail":
			return unavailable()
		case done:
		case what == "put":
			r.put(table, 2, "meanwhile "+time.Duration(n).String())
		case what == "remove":
			r.remove(table, 5)
		case what == "hide":
			r.change(func() { r.rights.Hidden[table] = []string{"secret"} })
		case what == "depth":
			r.change(func() { r.rights.Depth[table] = source.DepthLocal })
		}
		done = true
		return nil
	}
	return false
}

// noLoss checks that what was stored and is in the source is still stored.
func noLoss(rt *rapid.T, r *rig, table string, before map[allod.GUID]bool) {
	got := r.stored(table)
	for k := range before {
		if _, there := r.rows[table][k]; there {
			if _, ok := got[k]; !ok {
				rt.Fatalf("%s: row %s was recorded as deleted, and is there", table, k)
			}
		}
	}
	for k, row := range got {
		if row.Cell(2).IsNull() {
			rt.Fatalf("%s: row %s has a null that the source has not", table, k)
		}
	}
}

// compare checks that what is stored of a table is what the source has.
func compare(rt *rapid.T, r *rig, table string, whole bool, res *Result) {
	if !whole {
		return
	}
	got := r.stored(table)
	for k, want := range r.rows[table] {
		row, ok := got[k]
		if !ok {
			rt.Fatalf("%s: row %s is not stored: %+v", table, k, res.Gaps)
		}
		for c := range 3 {
			if row.Cell(c) != want.Cells[c] {
				rt.Fatalf("%s: row %s, cell %d: got %v, want %v: %+v", table, k, c, row.Cell(c), want.Cells[c], res.Gaps)
			}
		}
		if want.Cells[3].Type() == allod.File {
			if f, err := row.Cell(3).FileRef(); err != nil || f.Content == "" {
				rt.Fatalf("%s: row %s: the file has no bytes: %+v, %v", table, k, f, err)
			}
		}
	}
	if len(got) != len(r.rows[table]) {
		rt.Fatalf("%s: %d rows are stored, the source has %d: %+v", table, len(got), len(r.rows[table]), res.Gaps)
	}
}
