package beside

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// keeper is a source with a recycle bin, by "TABLE COLUMN".
type keeper struct {
	platform
	bin map[string][]source.Binned
}

func (s *keeper) Binned(_ context.Context, t *allod.Table, column string, _ []allod.GUID) ([]source.Binned, error) {
	return s.bin[t.Name+" "+column], s.refuses
}

// A row comes back from the bin as it was captured or newer, in the state it is to
// have, and only with others that the plan brings back too.
func TestBin(t *testing.T) {
	keeps := table(binSettings, "name", "isreadyforrecyclebin", "statecode")
	incident, task := table("incident", "statecode"), table("task", "statecode")
	task.Activity = true
	tables := []allod.Table{keeps, incident, table("account", "statecode"), table("contact", "statecode", "parentid"), table("other", "statecode"), task}
	here := allod.GUID{1}
	look := func(side Side, org allod.GUID, made map[string][]byte) ([]string, string) {
		t.Helper()
		snap, live := views(tables...)
		snap.schema.Identity.Organization, live.schema = org, &allod.Schema{
			Tables: snap.schema.Tables, Identity: allod.Identity{Organization: here},
			Relationships: []allod.Relationship{{Name: "of", One: "account", Many: "contact", Column: "parentid"}},
		}
		for i, name := range []string{"incident", "account", "contact", "task", "organization"} {
			live.put(binSettings, byte(i), allod.StringValue(name), allod.BooleanValue(true), allod.IntegerValue(0))
		}
		live.put(binSettings, 9, allod.StringValue("other"), allod.BooleanValue(true), allod.IntegerValue(1))
		p := &plan.Plan{From: snap.name, To: live.name}
		w := plan.NewWriter(p)
		for name, keys := range made {
			for _, k := range keys {
				state := int64(0)
				if k >= 50 {
					state = 1
				}
				snap.put(name, k, allod.IntegerValue(state))
				snap.rows[name][len(snap.rows[name])-1].Version = 100
				w.Add(name, []string{"statecode"}, "missing live", plan.Packed{Key: id(k), Op: plan.OpCreate, Pass: plan.PassRows})
			}
		}
		if err := side.Look(t.Context(), p, snap, live); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range p.Bin {
			out = append(out, r.Table+" "+r.Key.String()[34:])
		}
		return out, finished(t, p, w)
	}
	src := &keeper{bin: map[string][]source.Binned{
		"account accountid":   {{Key: id(1), By: id(1), Version: 100}, {Key: id(2), Version: 99}, {Key: id(3), State: 1}, {Key: id(0x50), State: 1}, {Key: id(4)}},
		"incident incidentid": {{Key: id(5)}, {Key: id(0x51), State: 1}},
		"contact contactid":   {{Key: id(6)}, {Key: id(7)}},
		"contact parentid":    {{Key: id(6), By: id(1)}, {Key: id(7), By: id(4)}},
		"other otherid":       {{Key: id(8)}},
		"task taskid":         {{Key: id(9)}},
	}}
	all := map[string][]byte{"account": {1, 2, 3, 4, 0x50}, "incident": {5, 0x51}, "contact": {6}, "other": {8}, "task": {9}}
	got, text := look(Side{Source: src}, here, all)
	if d := cmp.Diff([]string{"account 01", "account 50", "contact 06", "incident 05"}, got); d != "" {
		t.Errorf("from the bin (-want +got):\n%s", d)
	}
	if !strings.Contains(text, `
From the recycle bin
  account: 2 rows with who made it and when, then written as captured; made anew
    if the bin has lost it by then
`) {
		t.Errorf("got %s", text)
	}
	if got, _ := look(Side{Source: src}, here, map[string][]byte{"account": {1}}); len(got) > 0 {
		t.Errorf("a contact would come back that is not in the plan: %v", got)
	}
	if got, _ := look(Side{Source: src, Part: true}, here, all); len(got) > 0 {
		t.Errorf("columns that are left out would come back: %v", got)
	}
	if got, _ := look(Side{Source: src}, allod.GUID{2}, all); len(got) > 0 {
		t.Errorf("rows of another environment: %v", got)
	}
	src.refuses = allod.Errorf(allod.Denied, "no privilege")
	if got, text := look(Side{Source: src}, here, all); len(got) > 0 || !strings.Contains(text, "the recycle bin: contoso@live does not let the restorer look (denied)") {
		t.Errorf("refused: %v, %s", got, text)
	}
}
