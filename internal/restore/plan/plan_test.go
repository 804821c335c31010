package plan

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"allod"
)

const account = "00000000-0000-0000-0000-000000000001"

// What a plan on disk may not say, since an execution would stumble over it.
func TestHostilePlans(t *testing.T) {
	step := func(rest string) string {
		return `{"tables":["account"],"steps":[{"table":"account","id":"` + account + `","pass":1,` + rest + `}]}`
	}
	reasons := make([]string, 1<<16)
	for i := range reasons {
		reasons[i] = fmt.Sprintf(`{"op":"update","table":"account","reason":"%d"}`, i)
	}
	for _, tc := range []struct{ name, text string }{
		{"no JSON", `{"steps":`},
		{"operation", step(`"op":"merge"`)},
		{"a restore that deletes", step(`"op":"delete"`)},
		{"a restore that unlinks", step(`"op":"dissociate","relationship":"x","other":"` + account + `"`)},
		{"an undo of half a pair", `{"undoes":"0123456789abcdef","tables":["account"],"steps":[{"table":"account","id":"` + account + `","pass":3,"op":"dissociate","relationship":"x"}]}`},
		{"pass", `{"tables":["account"],"steps":[{"op":"create","table":"account","pass":16}]}`},
		{"pass below zero", `{"tables":["account"],"steps":[{"op":"create","table":"account","pass":-1}]}`},
		{"wave", step(`"op":"create","wave":256`)},
		{"table", `{"tables":["account"],"steps":[{"op":"create","table":"contact"}]}`},
		{"id", `{"tables":["account"],"steps":[{"op":"create","table":"account","id":"1"}]}`},
		{"pair with one end", step(`"op":"associate","relationship":"x"`)},
		{"file of no column", step(`"op":"file","columns":[]`)},
		{"file of two columns", step(`"op":"file","columns":["a","b"]`)},
		{"parties of nobody", step(`"op":"replace-parties"`)},
		{"tables", `{"tables":["` + strings.Repeat(`x","`, 1<<16) + `"]}`},
		{"reasons", `{"tables":["account"],"steps":[` + strings.Join(reasons, ",") + `]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p Plan
			if err := p.UnmarshalJSON([]byte(tc.text)); allod.KindOf(err) != allod.Corrupt {
				t.Errorf("got %v, want it to be Corrupt", err)
			}
		})
	}
}

// Two plans are the same only if they write the same, values included: the
// mappings and the rows that will not exist decide what references say.
func TestCompare(t *testing.T) {
	make := func() *Plan {
		p := &Plan{Mappings: []Mapping{{Table: "systemuser", How: "same e-mail address"}}, Dropped: []allod.RecordRef{{Table: "lead"}}}
		w := NewWriter(p)
		w.Add("account", []string{"name"}, "differs", Packed{Op: OpUpdate, Pass: PassRows, Version: 7})
		w.Add("account", []string{"name"}, "differs", Packed{Op: OpUpdate, Pass: PassRows, Version: 8})
		return p
	}
	for _, tc := range []struct {
		name   string
		change func(*Plan)
		want   Change
	}{
		{"same", func(*Plan) {}, Change{}},
		{"later", func(p *Plan) { p.Built = p.Built.Add(time.Hour) }, Change{}},
		{"version", func(p *Plan) { p.steps[0].Version++ }, Change{1, 1}},
		{"more", func(p *Plan) { p.steps = append(p.steps, p.steps[0]) }, Change{1, 0}},
		{"fewer", func(p *Plan) { p.steps = p.steps[:1] }, Change{0, 1}},
		{"another person", func(p *Plan) { p.Mappings[0].To[0] = 1 }, Change{1, 1}},
		{"one row less", func(p *Plan) { p.Dropped = nil }, Change{0, 1}},
	} {
		older, newer := make(), make()
		tc.change(newer)
		if got := Compare(older, newer); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func FuzzReadPlan(f *testing.F) {
	f.Add([]byte(`{"id":"x","tables":["account"],"steps":[{"op":"create","table":"account","id":"00000000-0000-0000-0000-000000000001","pass":1}]}`))
	f.Add([]byte(`{"steps":[{"op":"create","pass":99}]}`))
	f.Add([]byte(`{"tables":["email","account"],"steps":[{"op":"replace-parties","table":"email","parties":["00000000-0000-0000-0000-000000000002"]},{"op":"associate","table":"account","other":"00000000-0000-0000-0000-000000000003","relationship":"r","pass":3},{"op":"file","table":"account","columns":["f"],"wave":3}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Plan
		if json.Unmarshal(data, &p) != nil {
			return
		}
		js, err := json.Marshal(&p)
		if err != nil {
			t.Fatalf("a plan that was read cannot be written: %v", err)
		}
		var back Plan
		if err := json.Unmarshal(js, &back); err != nil {
			t.Fatalf("a plan that was written cannot be read: %v", err)
		}
		if c := Compare(&p, &back); c != (Change{}) {
			t.Errorf("it comes back as another one: %+v", c)
		}
	})
}
