package cli

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	"allod/internal/capture/reckon"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// firstPlan is what a large organisation takes, with names as long as they come.
func firstPlan() *capture.Plan {
	p := &capture.Plan{Environment: "production", Absent: []string{"msdyn_workorder", "msdyn_workorderservicetask"}}
	p.Add(reckon.Table{Table: "activitypointer_of_the_longest_name_that_there_is", Method: "full", Rows: 41_250_000, Requests: 16_520, Twice: true})
	p.Add(reckon.Table{Table: "annotation", Method: "full", Rows: 9_870_123, Requests: 3_960, Twice: true, Files: true, FileCount: 1_204_311, FileBytes: 183 << 30})
	p.Add(reckon.Table{Table: "contact", Method: "full", Rows: 2_300_000, Requests: 930, Twice: true, Files: true, Unsized: true})
	p.Add(reckon.Table{Table: "audit", Method: "full", Rows: -1, Requests: 1})
	p.Add(reckon.Table{Table: "account", Method: "full", Rows: 1, Requests: 1, Files: true, FileCount: 1, FileBytes: 1})
	p.Time(source.Budget{PerDay: 500_000, PerSecond: 20, Busy: 4}, 24)
	p.Gaps = []allod.Gap{
		{Table: "msdyn_salesaccelerationinsight", Kind: allod.GapTableUnreadable, Reason: "the application user may not read this table"},
		{Table: "contact", Column: "governmentid", Kind: allod.GapColumnSecured, Reason: "column security hides its values from the application user; stored as absent"},
		{Table: "activitypointer", Kind: allod.GapDerived, Accepted: true},
	}
	return p
}

// laterPlan is what the captures after it take.
func laterPlan() *capture.Plan {
	p := &capture.Plan{Environment: "prod", NewLine: "row 49b0be2e-d01c-ed11-b83e-000d3a572421 of account has an older version than was read before: the environment was put back to an earlier moment"}
	for i := range 17 {
		p.Add(reckon.Table{Table: fmt.Sprintf("new_table%02d", i), Method: "delta", Rows: -1, Requests: 1, Files: i == 3})
	}
	p.Time(source.Budget{}, 4)
	return p
}

// restorePlan is a plan of a restore, as it is stored.
const restorePlan = `{"id":"0123456789abcdef","from":"production@1234","to":"production@live","built":"2026-11-20T08:00:00Z","approval":"one person","production":true,
"tables":["account","activitypointer_of_the_longest_name_that_there_is"],
"counts":{"rows":12345678,"create":1234567,"update":123456,"unchanged":10987655,"pairs":1234,"parties":123,"files":12,"states":1,"steps":3,"skipped":1},
"warnings":["The environment has cloud flows that start when rows are created; they are kept from running where the platform lets them be."],
"refused":[{"table":"systemuser","reason":"security tables are written with --security only","rows":12}],
"skipped":[{"table":"contact","id":"49b0be2e-d01c-ed11-b83e-000d3a572421","reason":"its key was destroyed when the person was erased; it can not come back"}],
"not_written":[{"table":"account","column":"opendeals_of_a_long_name","reason":"computed","rows":1234567},{"table":"account","column":"createdby","reason":"set by the platform","rows":1}],
"steps":[
{"op":"create","table":"account","id":"49b0be2e-d01c-ed11-b83e-000d3a572421","pass":1,"reason":"missing live","columns":["accountid","accountnumber","address1_city","address1_line1","creditlimit","name","new_a_column_with_quite_a_long_name_of_its_own","ownerid"]},
{"op":"update","table":"account","id":"49b0be2e-d01c-ed11-b83e-000d3a572422","pass":2,"reason":"differs live","columns":["a","b","c","d","e","f","g","h","i","j","k","l","m"]},
{"op":"state","table":"activitypointer_of_the_longest_name_that_there_is","id":"49b0be2e-d01c-ed11-b83e-000d3a572423","pass":6,"reason":"closed in the snapshot","columns":["statecode","statuscode"]}]}`

// clockText matches what the bar says of time, which no fake clock reaches.
var clockText = regexp.MustCompile(`\[[^\[\]]*\]`)

// TestPlansAndProgressText pins the text of plans and of progress (-update writes
// it), in 80 columns, also with the longest names and numbers.
func TestPlansAndProgressText(t *testing.T) {
	var out bytes.Buffer
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	a := &app{deps: Deps{Deps: act.Deps{Now: func() time.Time { return at }}, Out: &out, Err: &out}}
	title := func(s string) { fmt.Fprintf(&out, "\n── %s\n", s) }

	title("allod backup --plan, the first time")
	a.showEstimate("production", firstPlan())
	title("allod backup --plan, later")
	a.showEstimate("prod", laterPlan())
	title("allod restore --plan")
	var p plan.Plan
	if err := p.UnmarshalJSON([]byte(restorePlan)); err != nil {
		t.Fatal(err)
	}
	if err := a.planText(&p, 2, lookupsStay); err != nil {
		t.Fatal(err)
	}

	title("progress without a terminal")
	long := capture.Progress{
		Table: "activitypointer_of_the_longest_name_that_there_is", Rows: 123_456_789, Expected: 987_654_321, TablesDone: 1234, Tables: 2345, Files: 12_345_678, FileBytes: 1 << 40,
	}
	m := a.newMeter("back up an-environment-with-the-longest-name-of-al", -1)
	for range 12 { // a line every five seconds
		at = at.Add(time.Second)
		m.captureProgress(capture.Progress{Table: "contact", Rows: 1000 * int64(at.Second()), TablesDone: 3, Tables: 94, Files: 7})
	}
	at = at.Add(5 * time.Second)
	m.captureProgress(long)
	m.done()

	title("progress on a terminal")
	text := out.String()
	out.Reset()
	for _, what := range []string{"back up prod", "back up an-environment-with-the-longest-name-of-al"} {
		m := &meter{out: &out, what: what, now: a.deps.Now, bar: newBar(&out, what, -1, 0)}
		m.captureProgress(capture.Progress{Rows: 10, Expected: 1000})
		m.captureProgress(long)
		m.done()
	}
	for line := range strings.SplitSeq(out.String(), "\r") {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("the bar is %d columns wide: %q", n, line)
		}
		if line = clockText.ReplaceAllString(strings.TrimSpace(line), "[…]"); line != "" {
			text += line + "\n"
		}
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("wider than 80 columns: %q", line)
		}
	}
	const golden = "testdata/plans.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(text, string(want)); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
}
