package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/source"
	"allod/internal/survey"
)

// What `allod check source` says of an environment with everything wrong is
// what stands in the golden file (-update writes it), in 80 columns.
func TestFindingsText(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	f := &survey.Facts{
		Environment: "prod", Now: now, TokenLife: 7 * 24 * time.Hour, OldestToken: now.Add(-100 * time.Hour), LastGood: now.AddDate(0, 0, -4),
		Schema: &allod.Schema{Tables: []allod.Table{
			{Name: "account", SchemaName: "Account", Class: allod.ClassData, Tracking: true},
			{Name: "activitypointer", Class: allod.ClassData, Unreadable: "its rows are base columns of the concrete activity tables"},
			{Name: "incident", SchemaName: "Incident", Class: allod.ClassData, Tracking: true},
			{Name: "listmember", Class: allod.ClassLink, Intersect: true},
			{Name: "plugintracelog", Class: allod.ClassPlatform},
			{Name: "workflow", Class: allod.ClassConfiguration, Tracking: true},
		}},
		Rights: &source.Rights{
			Depth:         map[string]source.Depth{"account": source.DepthLocal, "listmember": source.DepthGlobal, "plugintracelog": source.DepthGlobal, "workflow": source.DepthGlobal},
			Hidden:        map[string][]string{"account": {"new_iban"}},
			Grants:        map[string][]string{"account": {"prvReadAccount"}, "incident": {"prvReadIncident"}},
			RetentionRuns: map[string]time.Time{"incident": now.AddDate(-1, 0, 0)},
		},
		Around: &source.Surroundings{
			Triggers: []source.Trigger{
				{Kind: source.TriggerFlow, Name: "Thank the customer", Table: "incident"},
				{Kind: source.TriggerFlow, Name: "Nightly figures"},
				{Kind: source.TriggerStep, Name: "Contoso.Plugins.CheckNumber: Update of account", Table: "account", Managed: true},
				{Kind: source.TriggerWebhook, Name: "Web shop", Table: "account"},
			},
			Unlisted: []string{"sdkmessagefilter"}, NativeDays: 28, NeverTracked: []string{"plugintracelog"},
			Outside: []source.Outside{{What: "documents in SharePoint", Of: "document locations", Count: 12}, {What: "interactions of Customer Insights - Journeys", Count: -1}},
		},
		Excluded: []string{"account.new_health"},
	}
	var out bytes.Buffer
	a := &app{deps: Deps{Out: &out}}
	a.showFindings(survey.Findings(f), false)
	a.showItems([]survey.Item{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}, {Name: "e"}, {Name: "f"}, {Name: "g"}, {Name: "h"}, {Name: "i"}, {Name: "j"}, {Name: "k"}, {Name: "l"}, {Name: "m"}, {Name: "n"}}, false)
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	const golden = "testdata/findings.golden"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(out.String(), string(want)); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
}
