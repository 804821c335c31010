package beside

import (
	"bytes"
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// view is rows in memory.
type view struct {
	name   string
	schema *allod.Schema
	rows   map[string][]allod.Row
}

func (v *view) Name() string          { return v.name }
func (v *view) Schema() *allod.Schema { return v.schema }
func (v *view) Rows(_ context.Context, table string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		for _, r := range v.rows[table] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (v *view) Get(_ context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	var out []allod.Row
	for _, r := range v.rows[table] {
		if slices.Contains(refs, r.Ref()) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (v *view) OpenFile(context.Context, *allod.Row, string) (io.ReadCloser, error) {
	return nil, allod.Errorf(allod.NotFound, "no file")
}

func id(n byte) allod.GUID { return allod.GUID{15: n} }

// put stores a row; values follow the columns of the table, the key first.
func (v *view) put(table string, n byte, cells ...allod.Value) {
	v.rows[table] = append(v.rows[table], allod.Row{Table: table, Key: id(n), Cells: append([]allod.Value{allod.IDValue(id(n))}, cells...)})
}

func table(name string, columns ...string) allod.Table {
	t := allod.Table{Name: name, Set: name + "s", Key: name + "id", Columns: []allod.Column{{Name: name + "id", Type: allod.ID}}}
	for _, c := range columns {
		t.Columns = append(t.Columns, allod.Column{Name: c, Type: allod.String})
	}
	return t
}

func views(tables ...allod.Table) (snap, live *view) {
	schema := &allod.Schema{Tables: tables}
	return &view{"contoso@42", schema, map[string][]allod.Row{}}, &view{"contoso@live", schema, map[string][]allod.Row{}}
}

// making is a plan that makes rows of a table.
func making(t *testing.T, table string, columns []string, keys ...byte) (*plan.Plan, *plan.Writer) {
	t.Helper()
	p := &plan.Plan{From: "contoso@42", To: "contoso@live"}
	w := plan.NewWriter(p)
	for _, k := range keys {
		w.Add(table, columns, "missing live", plan.Packed{Key: id(k), Op: plan.OpCreate, Pass: plan.PassRows})
	}
	return p, w
}

// finished gives the plan as people see it, and checks that it is 80 columns wide.
func finished(t *testing.T, p *plan.Plan, w *plan.Writer) string {
	t.Helper()
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.WriteText(&b, 20); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(l, "\n"))); n > 80 {
			t.Errorf("line of %d columns: %s", n, l)
		}
	}
	return b.String()
}

// platform is a source that has nothing but what is beside rows.
type platform struct {
	numbers []source.Autonumber
	refuses error
	set     map[string]int64
}

func (s *platform) Describe(context.Context) (*allod.Schema, error) { return nil, nil }
func (s *platform) Read(context.Context, source.ReadRequest) iter.Seq2[source.Page, error] {
	return nil
}
func (s *platform) Capabilities() source.Capabilities { return source.Capabilities{} }

func (s *platform) Autonumbers(context.Context, []string) ([]source.Autonumber, error) {
	return s.numbers, s.refuses
}

func (s *platform) NextNumber(_ context.Context, table, column string) (int64, error) {
	for _, n := range s.numbers {
		if n.Table == table && n.Column == column {
			return n.Next, nil
		}
	}
	return 0, allod.Errorf(allod.NotFound, "no number")
}

func (s *platform) SetNumber(_ context.Context, o source.WriteOptions, table, column string, next int64) error {
	if s.refuses != nil {
		return s.refuses
	}
	s.set[table+"."+column+" "+o.Tag] = next
	return nil
}

func TestNumbers(t *testing.T) {
	snap, live := views(table("ticket", "number", "other"))
	for n, number := range []string{"T-01050-AB", "T-01007-XY", "by hand 9999", ""} {
		snap.put("ticket", byte(n), allod.StringValue(number), allod.StringValue("7"))
	}
	src := &platform{set: map[string]int64{}, numbers: []source.Autonumber{
		{Table: "ticket", Column: "number", Format: "T-{SEQNUM:5}-{RANDSTRING:2}", Next: 1000},
		{Table: "ticket", Column: "other", Format: "{SEQNUM:1}", Next: 8},
		{Table: "ticket", Column: "unwritten", Format: "{SEQNUM:1}", Next: 0},
	}}
	look := func(side Side) (*plan.Plan, *plan.Writer) {
		t.Helper()
		side.Source = src
		p, w := making(t, "ticket", []string{"number", "other"}, 0, 1, 2, 3)
		if err := side.Look(t.Context(), p, snap, live); err != nil {
			t.Fatal(err)
		}
		return p, w
	}
	p, w := look(Side{})
	want := []plan.Seed{{Table: "ticket", Column: "number", Next: 1000, Highest: 1050}}
	if p.After == nil || !slices.Equal(p.After.Seeds, want) {
		t.Fatalf("got %+v, want %+v", p.After, want)
	}
	if text := finished(t, p, w); !strings.Contains(text, `
Numbers that would be given out again
  ticket.number: 1000 comes next, and rows up to 1050 come back; --fix-seeds has
    it go on from 1051
`) {
		t.Errorf("got %s", text)
	}
	plain, err := p.Digest(nil)
	if err != nil {
		t.Fatal(err)
	}
	rep := &apply.Report{ID: "r"}
	if err := (Side{Source: src}).After(t.Context(), p, rep); err != nil || len(src.set) > 0 {
		t.Errorf("not asked for and set: %v, %v", src.set, err)
	}

	p, w = look(Side{Request: Request{FixSeeds: true}})
	if text := finished(t, p, w); !strings.Contains(text, "after the rows\n    it goes on from 1051\n") {
		t.Errorf("got %s", text)
	}
	if fixing, err := p.Digest(nil); err != nil || fixing == plain {
		t.Error("people would approve a plan that sets numbers by approving one that does not")
	}
	if err := (Side{Source: src}).After(t.Context(), p, rep); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int64{"ticket.number allod:r": 1051}, src.set); d != "" {
		t.Errorf("set (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]int64{"ticket.number": 1051}, rep.Numbers); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
	// Somebody has moved it since: it never goes back.
	src.numbers[0].Next, src.set = 2000, map[string]int64{}
	if err := (Side{Source: src}).After(t.Context(), p, rep); err != nil || len(src.set) > 0 {
		t.Errorf("moved back: %v, %v", src.set, err)
	}
	src.numbers[0].Next, src.refuses = 1000, allod.Errorf(allod.Denied, "no privilege")
	if err := (Side{Source: src}).After(t.Context(), p, rep); err != nil || rep.Failed != 1 || rep.Err() == nil {
		t.Errorf("refused: %v, %+v", err, rep)
	}
}

// What may not be read is said, and the plan is made all the same.
func TestRefusedLooks(t *testing.T) {
	snap, live := views(table("ticket", "number"))
	snap.put("ticket", 1, allod.StringValue("5"))
	src := &platform{refuses: allod.Errorf(allod.Denied, "no privilege")}
	p, _ := making(t, "ticket", []string{"number"}, 1)
	if err := (Side{Source: src}).Look(t.Context(), p, snap, live); err != nil {
		t.Fatal(err)
	}
	if want := []string{"numbers that the platform counts: contoso@live does not let the restorer look (denied)"}; !slices.Equal(p.Warnings, want) {
		t.Errorf("got %q, want %q", p.Warnings, want)
	}
	src.refuses = allod.Errorf(allod.Unavailable, "the line is down")
	if err := (Side{Source: src}).Look(t.Context(), p, snap, live); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a source that is not there: %v", err)
	}
}

func TestReader(t *testing.T) {
	for _, tc := range []struct {
		format, value string
		want          int64
	}{
		{"{SEQNUM:4}", "1042", 1042},
		{"{SEQNUM:4}", "123456", 123456},
		{"{SEQNUM:4}", "042", -1},
		{"CAS-{SEQNUM:5}-{RANDSTRING:6}", "CAS-01234-A1B2C3", 1234},
		{"CAS-{SEQNUM:5}-{RANDSTRING:6}", "CAS-01234-A1B2", -1},
		{"CAS-{SEQNUM:5}-{RANDSTRING:6}-{DATETIMEUTC:yyyyMMddhhmmss}", "CAS-01234-A1B2C3-20261122063000", 1234},
		{"{DATETIMEUTC:yyyy}/{SEQNUM}", "2026/7", 7},
		{"a.b{SEQNUM:1}", "axb7", -1},
		{"{SEQNUM:1}", "99999999999999999999", -1},
		{"{SEQNUM:1}", "", -1},
	} {
		if got := reader(tc.format)(tc.value); got != tc.want {
			t.Errorf("%q in %q: got %d, want %d", tc.value, tc.format, got, tc.want)
		}
	}
	for _, format := range []string{"", "text", "{RANDSTRING:4}", "{SEQNUM:400}", "{SEQNUM"} {
		if reader(format) != nil {
			t.Errorf("%q has a number", format)
		}
	}
}
