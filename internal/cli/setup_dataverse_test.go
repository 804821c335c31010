package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"allod/internal/source"
)

func TestRolesText(t *testing.T) {
	show := func(p *source.RolePlan) string {
		var out bytes.Buffer
		(&app{deps: Deps{Out: &out}}).showRoles("prod", p)
		return out.String()
	}
	if d := cmp.Diff(show(&source.RolePlan{}), "Nothing to do in prod: all is as it should be.\n"); d != "" {
		t.Errorf("nothing to do (-got +want):\n%s", d)
	}
	got := show(&source.RolePlan{
		Steps: []source.RoleStep{
			{Op: "create", What: "make the role Allod reader"},
			{Op: "grant", What: "give the role Allod reader 8 privileges, for the whole organization where they can be", Names: strings.Fields("prvReadAccount prvReadActivity prvReadContact prvReadIncident prvReadLead prvReadOpportunity prvReadQuote prvReadTeam")},
			{Op: "grant", What: "let Allod reader read the secured column contact.governmentid", Names: []string{"contact.governmentid"}},
			{Op: "assign", What: "give the application 00000000-0000-4000-a000-000000000002 the column security profile Allod reader"},
		},
		Notes: []string{"There is no privilege prvReadRecordAuditHistory here; the role Allod reader goes without."},
	})
	want := `In prod, this will be done:
  create   make the role Allod reader
  grant    give the role Allod reader 8 privileges, for the whole organization
    where they can be
           prvReadAccount, prvReadActivity, prvReadContact, prvReadIncident,
           prvReadLead, prvReadOpportunity and 2 more (` + "`--json`" + ` lists them)
  grant    let Allod reader read the secured column contact.governmentid
  assign   give the application 00000000-0000-4000-a000-000000000002 the column
    security profile Allod reader
Note: There is no privilege prvReadRecordAuditHistory here; the role Allod
  reader goes without.
`
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
	for line := range strings.Lines(got) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("wider than 80 columns: %q", line)
		}
	}
}

// What has to be registered is said without an Allod, in 80 columns, and names
// every command with its environment.
func TestRegistrationText(t *testing.T) {
	code, out, _ := run(t, Deps{}, "setup", "dataverse", "prod", "--register")
	if code != 0 {
		t.Fatalf("ends with %d", code)
	}
	for _, want := range []string{"az ad app create", "App registrations, New registration", "Application users, New app user", "allod connect prod URL --tenant-id", "allod setup dataverse prod --reader", "allod check source prod"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	for line := range strings.Lines(out) {
		if utf8.RuneCountInString(line) > 81 || strings.Contains(line, "%!") {
			t.Errorf("wider than 80 columns: %q", line)
		}
	}
}

// Only a typed yes at a terminal is one.
func TestAgreed(t *testing.T) {
	for _, c := range []struct {
		typed    string
		terminal bool
		want     bool
	}{{"yes\n", true, true}, {"yes\n", false, false}, {"y\n", true, false}, {"yes", true, false}, {"", true, false}} {
		var errs bytes.Buffer
		a := &app{deps: Deps{In: strings.NewReader(c.typed), Err: &errs, Terminal: c.terminal}}
		if got := a.agreed(); got != c.want {
			t.Errorf("%q, terminal %t: got %t", c.typed, c.terminal, got)
		}
	}
}
