package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/source"
)

// tables is a finder over rows in memory that knows columns and no filters.
type tables struct {
	schema *allod.Schema
	rows   map[string][]map[string]allod.Value
	errs   map[string]error
	counts map[string]int64
}

func (f *tables) Get(context.Context, *allod.Table, []allod.GUID, []string) ([]allod.Row, error) {
	return nil, nil
}

func (f *tables) Count(_ context.Context, t *allod.Table) (int64, error) {
	return f.counts[t.Name], f.errs[t.Name]
}

func (f *tables) Query(_ context.Context, t *allod.Table, _ string, columns []string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		if err := f.errs[t.Name]; err != nil {
			yield(allod.Row{}, err)
			return
		}
		for _, cells := range f.rows[t.Name] {
			row := allod.Row{Table: t.Name, Key: cells["id"].GUID(), Cells: make([]allod.Value, len(t.Columns))}
			for _, name := range columns {
				if i := t.ColumnIndex(name); i >= 0 {
					row.Cells[i] = cells[name]
				}
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// mute is a service that answers no question.
type mute struct{}

func (mute) Get(context.Context, string, any) error { return allod.Errorf(allod.Denied, "no") }

// retaining is a service whose table of leads has rows in long-term retention.
type retaining struct {
	mute
	rows int
}

func (r retaining) Get(ctx context.Context, address string, into any) error {
	const fetch = `leads?fetchXml=%3Cfetch%20datasource%3D%22retained%22%20count%3D%225000%22%3E%3Centity%20name%3D%22lead%22%3E%3Cattribute%20name%3D%22leadid%22%20%2F%3E%3C%2Fentity%3E%3C%2Ffetch%3E`
	if address != fetch {
		return r.mute.Get(ctx, address, into)
	}
	return json.Unmarshal([]byte(`{"value":[`+strings.TrimSuffix(strings.Repeat(`{"leadid":"x"},`, r.rows), ",")+`]}`), into)
}

// Rows in retention are counted by the page; what is not known is no number.
func TestRetained(t *testing.T) {
	for n, want := range map[int]string{2: "2 rows", 5000: "more than 5000 rows", 0: "none"} {
		f := company()
		got, err := Outside(t.Context(), f, retaining{rows: n}, f.schema)
		if err != nil {
			t.Fatal(err)
		}
		text := "none"
		if last := got[len(got)-1]; last.Table == "lead" {
			text = last.Text()
		}
		if text != want {
			t.Errorf("%d rows: got %q, want %q", n, text, want)
		}
	}
	f := company()
	f.rows["retentionoperationdetail"], f.rows["retentionconfig"] = f.rows["retentionconfig"], nil
	if got, err := Outside(t.Context(), f, retaining{rows: 2}, f.schema); err != nil || got[len(got)-1].Table != "lead" || got[len(got)-1].Count != 2 {
		t.Errorf("rows of a table that no policy names: %+v, %v", got, err)
	}
	f = company()
	got, err := Outside(t.Context(), f, mute{}, f.schema)
	if err != nil || got[len(got)-1].Count != -1 || got[len(got)-1].Text() != "" {
		t.Errorf("a service that does not say: %+v, %v", got, err)
	}
}

func table(name, columns string) allod.Table {
	t := allod.Table{Name: name, Set: name + "s", Key: name + "id"}
	for c := range strings.FieldsSeq(columns) {
		t.Columns = append(t.Columns, allod.Column{Name: c})
	}
	return t
}

func text(s string) allod.Value { return allod.StringValue(s) }
func num(n int64) allod.Value   { return allod.IntegerValue(n) }

func company() *tables {
	id := func(n byte) allod.GUID { return allod.GUID{15: n} }
	lookup := func(target string, n byte) allod.Value { return allod.LookupValue(target, id(n)) }
	f := &tables{errs: map[string]error{}, counts: map[string]int64{"sharepointdocumentlocation": 3, "msdynmkt_journey": 12}}
	f.schema = &allod.Schema{Tables: []allod.Table{
		table("lead", "name"),
		table("mailbox", "name"),
		table("msdynmkt_journey", "name"),
		table("retentionconfig", "entitylogicalname"),
		table("retentionoperationdetail", "entitylogicalname"),
		table("sdkmessage", "name"),
		table("sdkmessagefilter", "primaryobjecttypecode"),
		table("sdkmessageprocessingstep", "name stage statecode customizationlevel eventhandler sdkmessageid sdkmessagefilterid ismanaged"),
		table("sharepointdocumentlocation", "name"),
		table("workflow", "name category type statecode primaryentity clientdata ismanaged triggeroncreate triggerondelete triggeronupdateattributelist"),
	}}
	f.rows = map[string][]map[string]allod.Value{
		"workflow": {
			{"name": text("Thank you"), "category": num(0), "type": num(1), "statecode": num(1), "primaryentity": text("lead"), "triggeroncreate": allod.BooleanValue(true), "triggerondelete": allod.BooleanValue(false), "triggeronupdateattributelist": text("subject")},
			{"name": text("draft"), "category": num(0), "type": num(1), "statecode": num(0), "primaryentity": text("lead")},
			{"name": text("activation"), "category": num(0), "type": num(2), "statecode": num(1), "primaryentity": text("lead")},
			{"name": text("Rule"), "category": num(2), "type": num(1), "statecode": num(1), "primaryentity": text("account"), "ismanaged": allod.BooleanValue(true)},
			{"name": text("action"), "category": num(3), "type": num(1), "statecode": num(1), "primaryentity": text("none")},
			{"name": text("stages"), "category": num(4), "type": num(1), "statecode": num(1), "primaryentity": text("lead")},
			{"name": text("Tell all"), "category": num(5), "type": num(1), "statecode": num(1), "primaryentity": text("none"), "clientdata": text(flowOnAccount)},
			{"name": text("nightly"), "category": num(5), "type": num(1), "statecode": num(1), "primaryentity": text("none"), "clientdata": text(flowByClock)},
		},
		"sdkmessage":       {{"id": allod.IDValue(id(1)), "name": text("Update")}, {"id": allod.IDValue(id(2)), "name": text("Retrieve")}},
		"sdkmessagefilter": {{"id": allod.IDValue(id(3)), "primaryobjecttypecode": text("contact")}, {"id": allod.IDValue(id(4)), "primaryobjecttypecode": text("none")}},
		"sdkmessageprocessingstep": {
			{"name": text("Check"), "stage": num(20), "customizationlevel": num(1), "sdkmessageid": lookup("sdkmessage", 1), "sdkmessagefilterid": lookup("sdkmessagefilter", 3), "eventhandler": lookup("plugintype", 9)},
			{"name": text("Shop"), "stage": num(40), "customizationlevel": num(1), "sdkmessageid": lookup("sdkmessage", 1), "sdkmessagefilterid": lookup("sdkmessagefilter", 4), "eventhandler": lookup("serviceendpoint", 9)},
			{"name": text("reads only"), "stage": num(40), "customizationlevel": num(1), "sdkmessageid": lookup("sdkmessage", 2)},
			{"name": text("the platform's"), "stage": num(20), "customizationlevel": num(0), "sdkmessageid": lookup("sdkmessage", 1)},
			{"name": text("core"), "stage": num(30), "customizationlevel": num(1), "sdkmessageid": lookup("sdkmessage", 1)},
			{"name": text("off"), "stage": num(40), "statecode": num(1), "customizationlevel": num(1), "sdkmessageid": lookup("sdkmessage", 1)},
		},
		"retentionconfig": {{"entitylogicalname": text("lead")}, {"entitylogicalname": text("lead")}, {"entitylogicalname": text("gone")}},
	}
	return f
}

const (
	flowOnAccount = `{"properties":{"definition":{"triggers":{"When_a_row_is_added":{"type":"OpenApiConnectionWebhook","inputs":{"parameters":{"subscriptionRequest/message":4,"subscriptionRequest/entityname":"account"}}}}}}}`
	flowByClock   = `{"properties":{"definition":{"triggers":{"Recurrence":{"type":"Recurrence"}}}}}`
)

func TestLook(t *testing.T) {
	f := company()
	got, err := Look(t.Context(), f, retaining{rows: 2}, f.schema)
	if err != nil {
		t.Fatal(err)
	}
	want := &source.Surroundings{
		Triggers: []source.Trigger{
			{Kind: source.TriggerRule, Name: "Rule", Table: "account", Managed: true},
			{Kind: source.TriggerFlow, Name: "Tell all", Table: "account", Messages: []string{"Create", "Update"}},
			{Kind: source.TriggerStep, Name: "Check", Table: "contact", Messages: []string{"Update"}},
			{Kind: source.TriggerWebhook, Name: "Shop", Messages: []string{"Update"}},
			{Kind: source.TriggerWorkflow, Name: "Thank you", Table: "lead", Messages: []string{"Create", "Update"}},
		},
		Outside: []source.Outside{
			{What: "documents in SharePoint", Table: "sharepointdocumentlocation", Of: "document locations", Count: 3},
			{What: "interactions of Customer Insights - Journeys", Table: "msdynmkt_journey", Of: "journeys", Count: 12},
			{What: "rows of lead in long-term retention", Table: "lead", Of: "rows", Count: 2},
		},
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
}

// What may not be read is named; a service that is not reached is an error.
func TestLookWithoutRights(t *testing.T) {
	f := company()
	for _, name := range []string{"workflow", "sdkmessagefilter", "mailbox"} {
		f.errs[name] = allod.Errorf(allod.Denied, "no")
	}
	f.schema.Table("retentionconfig").Unreadable = "virtual"
	got, err := Look(t.Context(), f, mute{}, f.schema)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got.Unlisted, []string{"sdkmessagefilter", "workflow"}); d != "" {
		t.Errorf("unlisted (-got +want):\n%s", d)
	}
	if len(got.Triggers) != 2 || got.Triggers[0].Table != "" {
		t.Errorf("triggers: got %v", got.Triggers)
	}
	if o := got.Outside[1]; o.Table != "mailbox" || o.Count != -1 {
		t.Errorf("what may not be counted: got %+v", o)
	}
	for _, name := range []string{"workflow", "sdkmessageprocessingstep", "sdkmessage", "mailbox"} {
		f := company()
		f.errs[name] = allod.Errorf(allod.Unavailable, "gone")
		if _, err := Look(t.Context(), f, mute{}, f.schema); allod.KindOf(err) != allod.Unavailable {
			t.Errorf("%s not reached: got %v", name, err)
		}
	}
	if got, err := Look(t.Context(), f, mute{}, &allod.Schema{}); err != nil || len(got.Triggers)+len(got.Unlisted)+len(got.Outside) > 0 {
		t.Errorf("without such tables: got %+v, %v", got, err)
	}
}

func TestFlowTrigger(t *testing.T) {
	for _, c := range []struct {
		clientdata string
		fires      bool
		table      string
	}{
		{flowOnAccount, true, "account"},
		{flowByClock, false, ""},
		{`{"properties":{"definition":{"triggers":{"manual":{"type":"Request","kind":"Button"}}}}}`, false, ""},
		{`{"properties":{"definition":{"triggers":{"x":{"type":"OpenApiConnectionWebhook","inputs":{"parameters":{"subscriptionRequest/entityname":7}}}}}}}`, true, ""},
		{"", true, ""},
		{"no json", true, ""},
		{`{"properties":{}}`, true, ""},
	} {
		if fires, table, _ := FlowTrigger(c.clientdata); fires != c.fires || table != c.table {
			t.Errorf("%s: got %t %q, want %t %q", c.clientdata, fires, table, c.fires, c.table)
		}
	}
}

// A workflow that nothing starts by itself is none that a restore sets off.
func TestStartsOn(t *testing.T) {
	yes, no := allod.BooleanValue(true), allod.BooleanValue(false)
	for _, c := range []struct {
		cells map[string]allod.Value
		want  string
	}{
		{map[string]allod.Value{"triggeroncreate": yes, "triggerondelete": yes, "triggeronupdateattributelist": text("name")}, "Create Delete Update"},
		{map[string]allod.Value{"triggeroncreate": no, "triggerondelete": no}, "on demand"},
		{map[string]allod.Value{}, ""},
	} {
		if got := strings.Join(startsOn(record{cells: c.cells}), " "); got != c.want {
			t.Errorf("%v: got %q, want %q", c.cells, got, c.want)
		}
	}
}

func TestChangesOfFlows(t *testing.T) {
	for number, want := range []string{"", "Create", "Delete", "Update", "Create Update", "Create Delete", "Update Delete", "", ""} {
		if got := strings.Join(changes(number), " "); got != want {
			t.Errorf("%d: got %q, want %q", number, got, want)
		}
	}
}

func FuzzFlowTrigger(f *testing.F) {
	for _, seed := range []string{flowOnAccount, flowByClock, "", "{", `{"properties":{"definition":{"triggers":{"":{}}}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, clientdata string) {
		if fires, table, _ := FlowTrigger(clientdata); !fires && table != "" {
			t.Errorf("does not fire, but for %q", table)
		}
	})
}

type says struct{ kind string }

func (s says) Get(_ context.Context, _ string, into any) error {
	if s.kind == "" {
		return allod.Errorf(allod.Denied, "not allowed")
	}
	return json.Unmarshal([]byte(`{"Detail":{"OrganizationType":`+s.kind+`}}`), into)
}

// The types that tell production from the rest, by name and by number; of the
// others nothing follows.
func TestStanding(t *testing.T) {
	for kind, want := range map[string]string{
		`"Customer"`: "true", `0`: "true", `"Secondary"`: "true", `4`: "true", `"Default"`: "true", `12`: "true", `"Teams"`: "true", `15`: "true",
		`"CustomerTest"`: "false", `5`: "false", `"CustomerFreeTest"`: "false", `6`: "false", `"TestDrive"`: "false", `9`: "false",
		`"Developer"`: "false", `13`: "false", `"Trial"`: "false", `14`: "false",
		`"Support"`: "", `1`: "", `"Platform"`: "", `null`: "", `""`: "", `"5"`: "", `-1`: "", `{}`: "", ``: "",
	} {
		got, err := Standing(t.Context(), says{kind})
		text := ""
		if got != nil {
			text = fmt.Sprint(got.Production)
		}
		if err != nil || text != want {
			t.Errorf("%s: got %q, %v, want %q", kind, text, err, want)
		}
	}
	if _, err := Standing(t.Context(), gone{}); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a service that was not reached: got %v", err)
	}
}

type gone struct{}

func (gone) Get(context.Context, string, any) error {
	return allod.Errorf(allod.Unavailable, "not reached")
}
