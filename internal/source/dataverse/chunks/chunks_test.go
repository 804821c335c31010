package chunks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/source/dataverse/chunks"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

const key1 = "49b0be2e-d01c-ed11-b83e-000d3a572421"

// wideTable has n columns with names of 50 bytes, a lookup and a file.
func wideTable(n int) *allod.Table {
	t := &allod.Table{Name: "new_wide", Set: "new_wides", Key: "new_wideid", Columns: []allod.Column{
		{Name: "new_wideid", Type: allod.ID},
		{Name: "new_file", Type: allod.File, Native: rows.NativeFile},
		{Name: "new_owner", Type: allod.Lookup, Bind: map[string]string{"systemuser": "new_owner"}},
		{Name: "new_shadow", Type: allod.String, Derived: "of another column"},
	}}
	for i := range n {
		t.Columns = append(t.Columns, allod.Column{Name: fmt.Sprintf("new_%046d", i), Type: allod.String})
	}
	t.Columns = append(t.Columns, allod.Column{Name: "new_file_name", Type: allod.String, Derived: "kept with the file"})
	return t
}

func divide(t *testing.T, table *allod.Table, columns []string) *chunks.Plan {
	t.Helper()
	whole, err := rows.NewPlan(table, columns, [2]string{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := chunks.New(table, columns, whole)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestColumnsAreDivided(t *testing.T) {
	for _, n := range []int{10, 390} {
		if p := divide(t, wideTable(n), nil); p != nil {
			t.Errorf("%d columns fit one address and are read in %d parts", n, len(p.Parts))
		}
	}
	table := wideTable(1000)
	p := divide(t, table, nil)
	if p == nil || len(p.Parts) < 3 {
		t.Fatalf("1000 columns are read as %+v", p)
	}
	asked := map[string]int{}
	for i, part := range p.Parts {
		sel := part.Select()
		if len(sel) > 14100 || sel == "" {
			t.Errorf("part %d has a $select of %d bytes", i, len(sel))
		}
		for name := range strings.SplitSeq(sel, ",") {
			asked[name]++
		}
	}
	for i := range table.Columns {
		name, want := table.Columns[i].Name, 1
		switch name {
		case "new_owner":
			name = "_new_owner_value"
		case "new_wideid":
			want = len(p.Parts)
		case "new_shadow":
			want = 0
		}
		if asked[name] != want {
			t.Errorf("%s is asked for %d times, want %d", name, asked[name], want)
		}
	}
	if p := divide(t, table, []string{"new_wideid", "new_owner"}); p != nil {
		t.Error("two columns are read in parts")
	}
	table.Intersect = true
	if p := divide(t, table, nil); p != nil {
		t.Error("pairs, which have no key, are read in parts")
	}
}

// service answers reads of one row. version gives the version of the n-th
// answer; 0 = the row is not there.
type service struct {
	t       *testing.T
	version func(n int) int
	answers int
	batches int
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "$batch") {
		s.batches++
		w.WriteHeader(http.StatusNotFound) // a gateway that lets no batch through
		return
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(r.URL.String()) > 32768 {
		s.t.Errorf("query of %d bytes: %v", len(r.URL.RawQuery), err)
	}
	s.answers++
	v := s.version(s.answers)
	fmt.Fprint(w, `{"value":[`)
	if v > 0 {
		fmt.Fprintf(w, `{"@odata.etag":"W/\"%d\"","new_wideid":%q`, v, key1)
		for name := range strings.SplitSeq(q.Get("$select"), ",") {
			if strings.HasPrefix(name, "new_0") {
				fmt.Fprintf(w, `,%q:"%d"`, name, v)
			}
		}
		fmt.Fprint(w, "}")
	}
	fmt.Fprint(w, "]}")
}

// reader reads table from s; one is what a row is when it is read alone.
func (s *service) reader(t *testing.T, table *allod.Table, one *allod.Row) *chunks.Reader {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	c, err := odataclient.New(odataclient.Options{
		Base: h.URL + "/api/", Environment: "contoso",
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	return &chunks.Reader{
		Client: c, Plan: divide(t, table, nil), Header: http.Header{}, Escape: url.QueryEscape,
		One: func(context.Context, allod.GUID) (*allod.Row, error) { return one, nil },
	}
}

// TestPartsOfOneVersion reads a row that changes between its parts, vanishes, or
// is answered from a copy that lags behind.
func TestPartsOfOneVersion(t *testing.T) {
	key, err := allod.ParseGUID(key1)
	if err != nil {
		t.Fatal(err)
	}
	steps := func(versions ...int) func(int) int {
		return func(n int) int { return versions[min(n, len(versions))-1] }
	}
	for _, c := range []struct {
		name    string
		first   uint64 // version of the first part, read before; 0 = by key alone
		version func(int) int
		alone   uint64 // version of the row when it is read alone; 0 = gone
		want    uint64 // 0 = left out
		kind    allod.Kind
	}{
		{name: "at rest", first: 5, version: steps(5), want: 5},
		{name: "at rest, by key", version: steps(5), want: 5},
		{name: "changes once", first: 5, version: steps(5, 6), want: 6},
		{name: "changes once, by key", version: steps(5, 5, 6), want: 6},
		{name: "changes all the time", first: 5, version: func(n int) int { return n + 5 }, alone: 99, want: 99},
		{name: "answered from behind at first", first: 5, version: steps(4, 4, 4, 4, 5), want: 5},
		{name: "answered from behind all the time", first: 5, version: steps(4), alone: 4, kind: allod.Unavailable},
		{name: "vanishes", first: 5, version: steps(5, 0), want: 0},
		{name: "vanishes, by key", version: steps(5, 0), want: 0},
		{name: "is not there, by key", version: steps(0), want: 0},
		{name: "hidden, but there", first: 5, version: steps(0), alone: 5, want: 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := wideTable(800)
			s := &service{t: t, version: c.version}
			var alone *allod.Row
			if c.alone > 0 {
				alone = &allod.Row{Table: table.Name, Key: key, Version: c.alone}
			}
			r := s.reader(t, table, alone)
			var got []allod.Row
			var err error
			if c.first > 0 {
				first := allod.Row{Table: table.Name, Key: key, Version: c.first, Cells: make([]allod.Value, len(table.Columns))}
				for i := range first.Cells {
					first.Cells[i] = allod.StringValue(fmt.Sprint(c.first))
				}
				got, _, err = r.Fill(t.Context(), []allod.Row{first})
			} else {
				got, err = r.Get(t.Context(), []allod.GUID{key})
			}
			if allod.KindOf(err) != c.kind && err != nil || (err == nil) != (c.kind == 0) {
				t.Fatalf("got %v, want kind %v", err, c.kind)
			}
			if c.want == 0 {
				if len(got) != 0 {
					t.Errorf("got %d rows, want none", len(got))
				}
				return
			}
			if len(got) != 1 || got[0].Version != c.want {
				t.Fatalf("got %+v, want version %d", got, c.want)
			}
			for i, v := range got[0].Cells {
				if name := table.Columns[i].Name; strings.HasPrefix(name, "new_0") && v.Text() != fmt.Sprint(c.want) {
					t.Fatalf("%s is of version %q, want %d", name, v.Text(), c.want)
				}
			}
			if s.batches == 0 {
				t.Error("no batch was tried")
			}
		})
	}
}
