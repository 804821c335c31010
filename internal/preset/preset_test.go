package preset

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
)

func schema(rels string, tables ...string) *allod.Schema {
	s := &allod.Schema{}
	for _, t := range tables {
		name, class, _ := strings.Cut(t, ":")
		table := allod.Table{Name: name, Class: allod.Class(class)}
		if class == "" {
			table.Class = allod.ClassData
		}
		if class == "virtual" {
			table.Class, table.Unreadable = allod.ClassData, "virtual"
		}
		s.Tables = append(s.Tables, table)
	}
	slices.SortFunc(s.Tables, func(a, b allod.Table) int { return strings.Compare(a.Name, b.Name) })
	for r := range strings.FieldsSeq(rels) {
		many, one, _ := strings.Cut(r, ">")
		if a, b, ok := strings.Cut(many, "+"); ok {
			s.Relationships = append(s.Relationships, allod.Relationship{Name: r, Table1: a, Table2: b, Intersect: one})
			continue
		}
		table, column, _ := strings.Cut(many, ".")
		s.Relationships = append(s.Relationships, allod.Relationship{Name: r, Many: table, Column: column, One: one})
	}
	return s
}

func TestSelect(t *testing.T) {
	s := schema(`
		incident.customerid>account incident.customerid>contact incident.new_boat>new_boat incident.gone>gone
		new_boat.harbour>new_harbour new_boat.makes>new_maker new_harbour.boss>new_boat
		annotation.objectid>account annotation.objectid>contact annotation.objectid>incident annotation.objectid>new_cargo annotation.objectid>new_boat
		account.crew>new_virtual account.log>asyncoperation account.flow>workflow account.style>template
		new_boat+contact>new_boat_contact new_cargo+contact>new_cargo_contact
		msdyn_ocsession.topic>new_topic`,
		"account", "contact", "annotation", "incident", "new_boat", "new_harbour", "new_maker", "new_cargo", "new_virtual:virtual", "new_topic", "lead",
		"asyncoperation:platform", "workflow:configuration", "template:configuration", "systemform:configuration", "systemuser:security", "principalobjectaccess:security",
		"new_boat_contact:link", "new_cargo_contact:link", "msdyn_ocsession", "msdyn_workorder")
	got, err := Select(s, []string{"customer-service"})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("account annotation contact incident msdyn_ocsession new_boat new_boat_contact new_harbour new_maker new_topic principalobjectaccess systemform systemuser workflow")
	if d := cmp.Diff(slices.Sorted(maps.Keys(got.Tables)), want); d != "" {
		t.Errorf("tables (-got +want):\n%s", d)
	}
	if d := cmp.Diff(got.LeftOut, map[string]string{"new_cargo": "annotation.objectid"}); d != "" {
		t.Errorf("left out (-got +want):\n%s", d)
	}
	for _, name := range []string{"entitlement", "email"} {
		if !slices.Contains(got.Absent, name) {
			t.Errorf("%s is not said to be absent", name)
		}
	}
	for _, name := range got.Absent {
		if strings.HasSuffix(name, "*") || s.Table(name) != nil || name == "quote" || name == "solution" {
			t.Errorf("%s is said to be absent", name)
		}
	}
	for table, want := range map[string]string{
		"incident": "", "lead": "not in the preset customer-service",
		"new_cargo": "not in the preset customer-service; rows that are read may refer to it (annotation.objectid)",
	} {
		if got := got.Why(table); got != want {
			t.Errorf("%s: got %q, want %q", table, got, want)
		}
	}
	if got := (*Selection)(nil).Why("lead"); got != "" {
		t.Errorf("without presets: got %q", got)
	}
}

// Two presets are both, and a pattern takes in what the environment has.
func TestSelectSeveral(t *testing.T) {
	s := schema("", "account", "msdynmkt_journey", "msdyn_workorder", "msdyn_workorderproduct", "opportunity")
	got, err := Select(s, []string{"field-service", "journeys"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(got.Tables)), []string{"account", "msdyn_workorder", "msdyn_workorderproduct", "msdynmkt_journey"}); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
}

func TestCheck(t *testing.T) {
	_, err := Select(&allod.Schema{}, []string{"sales", "sails"})
	if allod.KindOf(err) != allod.Invalid || allod.HintOf(err) != "The presets are sales, customer-service, field-service, journeys." {
		t.Errorf("got %v, hint %q", err, allod.HintOf(err))
	}
	if err := Check(Names()); err != nil {
		t.Error(err)
	}
}

// Every name of the lists is one that could be a table's, and none stands twice
// in a list.
func TestListsAreWellFormed(t *testing.T) {
	all := append(lists(), list{"base", base}, list{"components", components})
	for _, l := range all {
		seen := map[string]bool{}
		for name := range strings.FieldsSeq(l.tables) {
			bare := strings.TrimSuffix(name, "*")
			if bare == "" || strings.ToLower(bare) != bare || strings.Trim(bare, "abcdefghijklmnopqrstuvwxyz_") != "" {
				t.Errorf("%s: %q is no table's name", l.name, name)
			}
			if seen[name] {
				t.Errorf("%s: %s stands there twice", l.name, name)
			}
			seen[name] = true
		}
	}
}
