package restore

import (
	"slices"
	"strings"
	"testing"

	"allod"
	"allod/internal/relate"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
)

// What a selection takes along, and what it leaves alone.
func TestSelections(t *testing.T) {
	a1, c1, c2 := gid("account", 1), gid("contact", 1), gid("contact", 2)
	parse := func(s string) relate.Follow {
		f, err := relate.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	// Account 1 and all that hangs on it is gone, two contacts are overwritten.
	damage := func() (snap, live *org) {
		live = sample()
		live.name = "live"
		snap = live.snapshot("snap")
		delete(live.rows["account"], a1)
		delete(live.rows["customeraddress"], gid("address", 1))
		delete(live.rows["annotation"], gid("note", 1))
		delete(live.rows["incident"], gid("case", 1))
		live.touch("contact", c1, "name", str("overwritten"))
		live.touch("contact", c2, "name", str("overwritten"))
		delete(live.rows["activityparty"], gid("party", 1))
		return snap, live
	}
	byName := func(r *allod.Row) bool { return slices.Contains(r.Cells, str("Kari")) }
	for _, tc := range []struct {
		name    string
		sel     Selection
		related []relate.Follow
		want    []string // tables of creations and updates, sorted
		skipped string
	}{
		{"all", Selection{All: true}, nil, []string{"create account", "create annotation", "create incident", "replace-parties email", "update contact", "update contact", "update customeraddress"}, ""},
		{"deleted", Selection{All: true, DeletedOnly: true}, nil, []string{"create account", "create annotation", "create incident", "update customeraddress"}, ""},
		{"a table", Selection{Tables: []TableSelection{{Table: "contact"}}}, nil, []string{"update contact", "update contact"}, ""},
		{"deleted of a table", Selection{DeletedOnly: true, Tables: []TableSelection{{Table: "contact"}}}, nil, nil, ""},
		{"a row", Selection{Tables: []TableSelection{{Table: "account", IDs: []allod.GUID{a1}}}}, nil, []string{"create account"}, ""},
		{"a row with its children", Selection{Tables: []TableSelection{{Table: "account", IDs: []allod.GUID{a1}}}}, []relate.Follow{parse("children:1")}, []string{"create account", "create annotation", "create incident", "replace-parties email", "update contact", "update customeraddress"}, ""},
		{"a row that nobody has", Selection{Tables: []TableSelection{{Table: "account", IDs: []allod.GUID{gid("nowhere", 1)}}}}, nil, nil, "not in snap"},
		{"a filter", Selection{Tables: []TableSelection{{Table: "contact", Filter: byName}}}, nil, []string{"update contact"}, ""},
		{"a filter over ids", Selection{Tables: []TableSelection{{Table: "contact", IDs: []allod.GUID{c2}, Filter: byName}}}, nil, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			snap, live := damage()
			o := loopback()
			o.Related = tc.related
			p := build(t, snap, live, tc.sel, o)
			var got []string
			for s := range p.Steps() {
				if s.Pass == plan.PassRows || s.Pass == plan.PassLinks {
					got = append(got, string(s.Op)+" "+s.Table)
				}
			}
			got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "associate") })
			slices.Sort(got)
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if tc.skipped != "" && !slices.ContainsFunc(p.Skipped, func(s plan.Skip) bool { return s.Reason == tc.skipped }) {
				t.Errorf("skipped %+v", p.Skipped)
			}
			if r := run(t, p, snap, live, apply.Options{}); r.Failed > 0 || len(r.Conflicts) > 0 {
				t.Errorf("%+v %+v", r.Failures, r.Conflicts)
			}
			if again := build(t, snap, live, tc.sel, o); !again.Empty() {
				t.Errorf("second plan has steps: %+v", slices.Collect(again.Steps()))
			}
		})
	}
	o := loopback()
	o.Related, o.RelatedLimit = []relate.Follow{parse("children:1")}, 1
	snap, live := damage()
	if _, err := Build(t.Context(), snap, live, Selection{Tables: []TableSelection{{Table: "account"}}}, o); allod.KindOf(err) != allod.Invalid {
		t.Errorf("more than the limit is related: %v", err)
	}
}

// People, units and currencies are found again by what they say; what could be
// two is neither.
func TestCounterparts(t *testing.T) {
	for _, tc := range []struct {
		name, table string
		from        cells
		there       []cells // in the target, under other ids
		how         string  // "" = not mapped
	}{
		{
			"Entra user before name", "systemuser",
			cells{"azureactivedirectoryobjectid": allod.IDValue(gid("entra", 1)), "domainname": str("b@x")},
			[]cells{{"domainname": str("b@x")}, {"azureactivedirectoryobjectid": allod.IDValue(gid("entra", 1)), "domainname": str("a@x")}},
			"same Entra user",
		},
		{"user name", "systemuser", cells{"domainname": str("Kari@X")}, []cells{{"domainname": str("kari@x")}}, "same user name"},
		{"address", "systemuser", cells{"domainname": str("old"), "internalemailaddress": str("kari@x")}, []cells{{"domainname": str("new"), "internalemailaddress": str("KARI@x")}}, "same e-mail address"},
		{"two of a name", "systemuser", cells{"domainname": str("kari@x")}, []cells{{"domainname": str("kari@x")}, {"domainname": str("kari@x")}}, ""},
		{"nobody", "systemuser", cells{"domainname": str("kari@x")}, nil, ""},
		{"nameless", "systemuser", cells{"isdisabled": allod.BooleanValue(false)}, []cells{{"isdisabled": allod.BooleanValue(false)}}, ""},
		{
			"unit of a name", "businessunit",
			cells{"name": str("North"), "parentbusinessunitid": ref("businessunit", gid("bu", 1))},
			[]cells{{"name": str("North"), "parentbusinessunitid": ref("businessunit", gid("bu", 1))}},
			"same name",
		},
		{"currency", "transactioncurrency", cells{"isocurrencycode": str("NOK")}, []cells{{"isocurrencycode": str("EUR")}, {"isocurrencycode": str("nok")}}, "same currency code"},
		{"team", "team", cells{"name": str("Sales"), "isdefault": allod.BooleanValue(false)}, []cells{{"name": str("Sales"), "isdefault": allod.BooleanValue(false)}}, "same name"},
		{
			"default team", "team",
			cells{"name": str("Then"), "isdefault": allod.BooleanValue(true), "businessunitid": ref("businessunit", gid("bu", 1))},
			[]cells{{"name": str("Now"), "isdefault": allod.BooleanValue(true), "businessunitid": ref("businessunit", gid("bu", 1))}},
			"default team of the business unit",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := newOrg("src"), newOrg("dst")
			src.put(tc.table, gid("from", 1), tc.from)
			for i, c := range tc.there {
				dst.put(tc.table, gid("there", i), c)
			}
			p := build(t, src, dst, Selection{All: true}, loopback())
			got, to := "", allod.GUID{}
			for _, m := range p.Mappings {
				if m.From == gid("from", 1) {
					got, to = m.How, m.To
				}
			}
			if got != tc.how {
				t.Errorf("got %q, want %q", got, tc.how)
			}
			if want := gid("there", len(tc.there)-1); tc.how != "" && to != want {
				t.Errorf("got %v, want %v", to, want)
			}
			told := loopback()
			told.Map = map[allod.RecordRef]allod.RecordRef{{Table: tc.table, Key: gid("from", 1)}: {Table: tc.table, Key: gid("told", 1)}}
			p = build(t, src, dst, Selection{All: true}, told)
			if i := slices.IndexFunc(p.Mappings, func(m plan.Mapping) bool { return m.From == gid("from", 1) }); i < 0 || p.Mappings[i].To != gid("told", 1) || p.Mappings[i].How != "as told" {
				t.Errorf("as told: %+v", p.Mappings)
			}
		})
	}
}
