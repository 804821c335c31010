package plan

import (
	"testing"
	"time"

	"allod"
)

func id(n byte) allod.GUID { return allod.GUID{15: n} }

// Only what changes a row that is there, and that the plan has not made, counts.
func TestOverwrites(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []Packed
		want  int64
	}{
		{"nothing", nil, 0},
		{"a row is made and completed", []Packed{{Op: OpCreate, Key: id(1)}, {Op: OpUpdate, Key: id(1), Pass: PassLookups}, {Op: OpFile, Key: id(1), Pass: PassFiles}, {Op: OpState, Key: id(1), Pass: PassState}, {Op: OpParties, Key: id(1), Pass: PassLinks}}, 0},
		{"a pair is added", []Packed{{Op: OpAssociate, Key: id(1), Other: id(2), Pass: PassLinks}}, 0},
		{"columns", []Packed{{Op: OpUpdate, Key: id(1), Version: 7}}, 1},
		{"one row in several steps", []Packed{{Op: OpState, Key: id(1), Version: 7}, {Op: OpUpdate, Key: id(1), Version: 7}, {Op: OpUpdate, Key: id(1), Version: 7, Pass: PassOwner}}, 1},
		{"parties of two", []Packed{{Op: OpParties, Key: id(1), Version: 7}, {Op: OpParties, Key: id(1), Other: id(3), Version: 7}, {Op: OpParties, Key: id(2), Version: 8}}, 2},
		{"a file", []Packed{{Op: OpFile, Key: id(1), Version: 7}}, 1},
		{"a state", []Packed{{Op: OpState, Key: id(1), Version: 7}}, 1},
		{"a version that nobody knows", []Packed{{Op: OpUpdate, Key: id(1)}}, 1},
		{"made and changed", []Packed{{Op: OpCreate, Key: id(1)}, {Op: OpUpdate, Key: id(2), Version: 7}}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &Plan{}
			w := NewWriter(p)
			for _, s := range tc.steps {
				w.Add("account", []string{"name"}, "differs", s)
			}
			if err := w.Finish(); err != nil {
				t.Fatal(err)
			}
			if got := p.Overwrites(); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
	p := &Plan{}
	w := NewWriter(p)
	w.Add("customeraddress", []string{"city"}, ReasonParentMade, Packed{Op: OpUpdate, Key: id(1)})
	w.Add("account", []string{"name"}, "missing", Packed{Op: OpCreate, Key: id(1)})
	if n := p.Overwrites(); n != 0 {
		t.Errorf("a row that comes with its parent: got %d, want 0", n)
	}
}

// Whatever decides what is written changes the digest, nothing else does.
func TestDigest(t *testing.T) {
	type change struct {
		name   string
		plan   func(*Plan)
		step   func(*Packed)
		col    string
		bypass []string
		same   bool
	}
	digest := func(c change) [32]byte {
		p := &Plan{From: "prod@3", To: "prod@live", Mappings: []Mapping{}, Dropped: []allod.RecordRef{}, Production: true}
		if c.plan != nil {
			c.plan(p)
		}
		s := Packed{Op: OpUpdate, Key: id(1), Version: 7, Pass: PassRows}
		if c.step != nil {
			c.step(&s)
		}
		if c.col == "" {
			c.col = "name"
		}
		w := NewWriter(p)
		w.Add("account", []string{c.col}, "differs", s)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		d, err := p.Digest(c.bypass)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	want := digest(change{})
	for _, c := range []change{
		{name: "planned later", plan: func(p *Plan) { p.Built = time.Unix(9, 0); p.Approval = "x"; p.Warnings = []string{"x"} }, same: true},
		{name: "no logic kept from running, said otherwise", bypass: []string{}, same: true},
		{name: "from another moment", plan: func(p *Plan) { p.From = "prod@4" }},
		{name: "into another environment", plan: func(p *Plan) { p.To = "test@live" }},
		{name: "another organization behind the name", plan: func(p *Plan) { p.Organization = id(9) }},
		{name: "who wins", plan: func(p *Plan) { p.OnConflict = Backup }},
		{name: "mappings", plan: func(p *Plan) { p.Mappings = []Mapping{{Table: "systemuser"}} }},
		{name: "dropped rows", plan: func(p *Plan) { p.Dropped = []allod.RecordRef{{Table: "lead"}} }},
		{name: "corrections", plan: func(p *Plan) { p.Replayed = []Replayed{{Table: "account"}} }},
		{name: "logic kept from running", bypass: []string{"plugins"}},
		{name: "column", col: "telephone1"},
		{name: "row", step: func(s *Packed) { s.Key = id(2) }},
		{name: "version", step: func(s *Packed) { s.Version = 8 }},
		{name: "operation", step: func(s *Packed) { s.Op = OpState }},
		{name: "round", step: func(s *Packed) { s.Pass = PassOwner }},
	} {
		if got := digest(c); (got == want) != c.same {
			t.Errorf("%s: the same digest: %t, want %t", c.name, got == want, c.same)
		}
	}
}
