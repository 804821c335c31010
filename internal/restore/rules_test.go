package restore

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// Tables of the classes data and link are written, others never, whatever is
// asked for; so it is on both sides.
func TestClasses(t *testing.T) {
	for _, tc := range []struct {
		name       string
		snap, live allod.Class
		unreadable string
		gone       bool
		want       string // in the reason; "" = written
	}{
		{name: "data", snap: allod.ClassData, live: allod.ClassData},
		{name: "link", snap: allod.ClassLink, live: allod.ClassLink},
		{name: "security", snap: allod.ClassSecurity, live: allod.ClassSecurity, want: "security"},
		{name: "configuration", snap: allod.ClassConfiguration, live: allod.ClassConfiguration, want: "configuration"},
		{name: "platform", snap: allod.ClassPlatform, live: allod.ClassPlatform, want: "platform"},
		{name: "no class", want: "class"},
		{name: "platform live", snap: allod.ClassData, live: allod.ClassPlatform, want: "platform"},
		{name: "platform then", snap: allod.ClassPlatform, live: allod.ClassData, want: "platform"},
		{name: "unreadable live", snap: allod.ClassData, live: allod.ClassData, unreadable: "no privilege", want: "no privilege"},
		{name: "gone live", snap: allod.ClassData, gone: true, want: "no such table"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := newOrg("src"), newOrg("dst")
			src.put("product", gid("product", 1), cells{"name": str("Bolt")})
			src.schema.Table("product").Class = tc.snap
			lt := dst.schema.Table("product")
			lt.Class, lt.Unreadable = tc.live, tc.unreadable
			if tc.gone {
				dst.schema.Tables = slices.DeleteFunc(dst.schema.Tables, func(t allod.Table) bool { return t.Name == "product" })
			}
			p := build(t, src, dst, Selection{Tables: []TableSelection{{Table: "product"}}}, loopback())
			if tc.want == "" {
				if len(p.Refused) > 0 || p.Counts.Create != 1 {
					t.Errorf("refused %+v, %d to create", p.Refused, p.Counts.Create)
				}
				return
			}
			if len(p.Refused) != 1 || !strings.Contains(p.Refused[0].Reason, tc.want) || p.Refused[0].Rows != 1 || !p.Empty() {
				t.Errorf("refused %+v, empty %v", p.Refused, p.Empty())
			}
		})
	}
}

// Every write to a row that is there carries the version that the row has at
// that moment, and every creation can only create.
func TestVersionOnEveryWrite(t *testing.T) {
	damaged := func() (snap, live *org) {
		live = sample()
		live.file("product", gid("product", 1), "sheet", "sheet", true)
		live.file("product", gid("product", 1), "manual", "manual", true)
		live.name = "live"
		snap = live.snapshot("snap")
		live.touch("incident", gid("case", 2), "name", str("overwritten"))
		live.touch("task", gid("task", 1), "name", str("overwritten"))
		live.touch("contact", gid("contact", 1), "parentcustomerid", allod.NullValue())
		live.touch("product", gid("product", 1), "name", str("overwritten"))
		live.touch("product", gid("product", 1), "sheet", allod.NullValue())
		live.touch("product", gid("product", 1), "manual", allod.NullValue())
		live.put("systemuser", gid("user", 2), cells{"domainname": str("other@contoso")})
		live.touch("product", gid("product", 1), "ownerid", ref("systemuser", gid("user", 2)))
		delete(live.rows["account"], gid("account", 2))
		delete(live.rows["customeraddress"], gid("address", 2))
		delete(live.rows["activityparty"], gid("party", 1))
		return snap, live
	}
	for _, tc := range []struct {
		name string
		make func() (snap, live *org)
	}{
		{"into an empty one", func() (*org, *org) { return sample(), newOrg("dst") }},
		{"over a damaged one", damaged},
	} {
		for _, batch := range []int{1, 3, 100} {
			t.Run(fmt.Sprintf("%s in batches of %d", tc.name, batch), func(t *testing.T) {
				snap, live := tc.make()
				kinds := map[source.OpKind]int{}
				live.before = func(op *source.Op) error {
					kinds[op.Kind]++
					row := live.rows[op.Table.Name][op.Key]
					switch {
					case op.Kind == source.OpCreate && op.Version != 0, op.Kind == source.OpAssociate:
						// pairs have no version
					case op.Kind != source.OpCreate && (row == nil || op.Version != row.Version):
						t.Errorf("%s of %s(%v) asks for version %d, the row is %+v", op.Kind, op.Table.Name, op.Key, op.Version, row)
					}
					return nil
				}
				r := run(t, build(t, snap, live, Selection{All: true}, loopback()), snap, live, apply.Options{Batch: batch})
				if r.Err() != nil {
					t.Fatalf("%v: %+v %+v", r.Err(), r.Failures, r.Conflicts)
				}
				live.before = nil
				mustEqual(t, snap, live)
				for _, k := range []source.OpKind{source.OpCreate, source.OpUpdate, source.OpState, source.OpFile, source.OpReplaceParty} {
					if kinds[k] == 0 {
						t.Errorf("there was no %s", k)
					}
				}
			})
		}
	}
}

// A row that somebody touched since the plan is a conflict also where the
// platform would take the write: files and party lists have addresses of their
// own and no version.
func TestTouchedSincePlan(t *testing.T) {
	mail, note, task := gid("email", 1), gid("note", 1), gid("task", 1)
	for _, tc := range []struct {
		name   string
		damage func(live *org)
		table  string
		id     allod.GUID
		on     plan.OnConflict
		wins   bool
	}{
		{"cell", func(o *org) { o.touch("task", task, "name", str("wrong")) }, "task", task, plan.Stop, false},
		{"cell, backup wins", func(o *org) { o.touch("task", task, "name", str("wrong")) }, "task", task, plan.Backup, true},
		{"file", func(o *org) { o.touch("annotation", note, "documentbody", allod.NullValue()) }, "annotation", note, plan.Stop, false},
		{"file, backup wins", func(o *org) { o.touch("annotation", note, "documentbody", allod.NullValue()) }, "annotation", note, plan.Backup, true},
		{"parties", func(o *org) { delete(o.rows["activityparty"], gid("party", 1)) }, "email", mail, plan.Stop, false},
		{"parties, backup wins", func(o *org) { delete(o.rows["activityparty"], gid("party", 1)) }, "email", mail, plan.Backup, true},
		{"state", func(o *org) { o.touch("task", task, "statecode", num(0)); o.touch("task", task, "statuscode", num(1)) }, "task", task, plan.Stop, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			live := sample()
			live.name = "live"
			snap := live.snapshot("snap")
			tc.damage(live)
			o := loopback()
			o.OnConflict = tc.on
			p := build(t, snap, live, Selection{All: true}, o)
			if p.Empty() {
				t.Fatal("nothing to do")
			}
			live.touch(tc.table, tc.id, "name_computed", str("touched"))
			writes := 0
			live.before = func(*source.Op) error { writes++; return nil }
			r := run(t, p, snap, live, apply.Options{})
			if tc.wins {
				if r.Err() != nil {
					t.Fatalf("%v: %+v", r.Err(), r.Conflicts)
				}
				if again := build(t, snap, live, Selection{All: true}, o); !again.Empty() {
					t.Errorf("not restored: %+v", slices.Collect(again.Steps()))
				}
				return
			}
			if len(r.Conflicts) == 0 || r.Conflicts[0].ID != tc.id || r.Paused == "" || allod.KindOf(r.Err()) != allod.Conflict {
				t.Errorf("conflicts %+v, paused %q, %v", r.Conflicts, r.Paused, r.Err())
			}
			if tc.table != "task" && writes > 0 {
				t.Errorf("%d writes were sent", writes)
			}
		})
	}
}

// The order of writes: rows, then lookups, pairs, files, states; what is
// referred to before what refers; states of children before their parents'.
func TestOrderOfWrites(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	var got []string
	dst.before = func(op *source.Op) error {
		got = append(got, fmt.Sprintf("%s %s", op.Kind, op.Table.Name))
		if op.Kind == source.OpCreate && op.CreatedOn.IsZero() && op.Table.Column("createdon") != nil {
			t.Errorf("%s(%v) is not backdated", op.Table.Name, op.Key)
		}
		return nil
	}
	run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{Parallel: 1})
	got = slices.Compact(got)
	before := func(a, b string) {
		t.Helper()
		last, first := -1, slices.Index(got, b)
		for i, g := range got {
			if g == a {
				last = i
			}
		}
		if last < 0 || first < 0 || last > first {
			t.Errorf("%q, last at %d, is to come before %q, first at %d, in %q", a, last, b, first, got)
		}
	}
	before("create account", "create contact")
	before("create contact", "create incident")
	before("create incident", "create task")
	before("create task", "update account") // the second pass of the cycle
	before("update account", "associate account")
	before("associate account", "file account")
	before("file account", "state incident")
	before("state task", "state incident")
	before("state incident", "create incidentresolution")
}

// Rows of one table that need each other come in waves, also when the plan has
// been kept on disk meanwhile.
func TestWavesOfAKeptPlan(t *testing.T) {
	src, dst := newOrg("src"), newOrg("dst")
	src.put("account", gid("account", 1), cells{"address1_addressid": allod.IDValue(gid("address", 1))})
	src.put("customeraddress", gid("address", 1), cells{"parentid": ref("account", gid("account", 1)), "addressnumber": num(1)})
	src.put("node", gid("node", 0), cells{"parentnodeid": ref("account", gid("account", 1))})
	for i := 1; i < 40; i++ {
		src.put("node", gid("node", i), cells{"parentnodeid": ref("node", gid("node", (i-1)/2))})
	}
	js, err := json.Marshal(build(t, src, dst, Selection{All: true}, loopback()))
	if err != nil {
		t.Fatal(err)
	}
	var p plan.Plan
	if err := json.Unmarshal(js, &p); err != nil {
		t.Fatal(err)
	}
	var seen []plan.Packed
	for _, s := range p.Packed() {
		if p.TableOf(s) == "node" && s.Op == plan.OpCreate {
			seen = append(seen, s)
		}
	}
	if len(seen) != 40 || seen[0].Wave != 0 || seen[39].Wave == 0 {
		t.Fatalf("%d nodes, waves %d to %d", len(seen), seen[0].Wave, seen[len(seen)-1].Wave)
	}
	if r := run(t, &p, src, dst, apply.Options{Batch: 1}); r.Err() != nil {
		t.Fatalf("%v: %+v", r.Err(), r.Failures)
	}
	mustEqual(t, src, dst)
}

// Parties of an e-mail or appointment that is there are as refused as the
// message itself.
func TestPartiesOfRefusedTables(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	delete(live.rows["activityparty"], gid("party", 1))
	o := loopback()
	o.Loopback = false
	p := build(t, snap, live, Selection{All: true}, o)
	for s := range p.Steps() {
		if s.Table == "email" {
			t.Errorf("step on a refused table: %+v", s)
		}
	}
	if !slices.ContainsFunc(p.Skipped, func(s plan.Skip) bool { return s.Table == "activityparty" && strings.Contains(s.Reason, "e-mails") }) {
		t.Errorf("skipped: %+v", p.Skipped)
	}
}

// A message that waits to be sent now gets no other recipients.
func TestPartiesOfWaitingMessage(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	live.touch("email", gid("email", 1), "statuscode", num(6))
	delete(live.rows["activityparty"], gid("party", 1))
	p := build(t, snap, live, Selection{All: true}, loopback())
	for s := range p.Steps() {
		if s.Table == "email" {
			t.Errorf("a waiting message is touched: %+v", s)
		}
	}
	if n := len(p.Skipped); n != 4 { // the message and its three parties
		t.Errorf("skipped: %+v", p.Skipped)
	}
}

// Later steps of a row for which the platform's own stands go to that row.
func TestLaterStepsOfRowThatStands(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	src.touch("account", gid("account", 1), "address1_addressid", allod.NullValue())
	src.touch("customeraddress", gid("address", 1), "contactid", ref("contact", gid("contact", 1)))
	r := run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{})
	if r.Failed > 0 {
		t.Fatalf("failures: %+v", r.Failures)
	}
	n := 0
	for id := range dst.rows["customeraddress"] {
		if _, who := dst.get("customeraddress", id, "contactid").Target(); who == gid("contact", 1) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d addresses refer to the contact, want 1", n)
	}
}

func TestApproval(t *testing.T) {
	for _, tc := range []struct {
		who  []allod.Actor
		want string
	}{
		{nil, "none"},
		{[]allod.Actor{"os:alice"}, "one person"},
		{[]allod.Actor{"os:alice", "os:alice"}, "one person"},
		{[]allod.Actor{"os:bob", "os:alice"}, "2 people"},
	} {
		o := loopback()
		o.Approvers = tc.who
		src, dst := sample(), newOrg("dst")
		p := build(t, src, dst, Selection{All: true}, o)
		if r := run(t, p, src, dst, apply.Options{}); p.Approval != tc.want || r.Approval != tc.want {
			t.Errorf("%v: plan says %q, report %q, want %q", tc.who, p.Approval, r.Approval, tc.want)
		}
	}
}

// Every table with a trap, existing or missing there, is named as refused
// outside an emulator and has no step; at home it is written.
func TestEachTrapIsRefused(t *testing.T) {
	for _, name := range []string{
		"email", "appointment", "recurringappointmentmaster", "serviceappointment", "incident", "opportunity", "quotedetail", "salesorderdetail", "invoicedetail",
		"opportunityproduct", "customeraddress", "incidentresolution", "opportunityclose", "quoteclose", "orderclose", "caseprocess", "salesprocess",
	} {
		t.Run(name, func(t *testing.T) {
			src, dst := newOrg("src"), newOrg("dst")
			for _, o := range []*org{src, dst} {
				if o.schema.Table(name) != nil {
					continue
				}
				tb := data(name)
				if name == "salesprocess" {
					tb.Key = "businessprocessflowinstanceid"
				}
				o.schema.Tables = append(o.schema.Tables, tb)
				slices.SortFunc(o.schema.Tables, func(x, y allod.Table) int { return strings.Compare(x.Name, y.Name) })
			}
			c := cells{}
			for _, col := range src.schema.Table(name).Columns {
				if col.Required {
					src.put("account", gid("account", 1), cells{"address1_addressid": allod.IDValue(gid("trap", 1))})
					c[col.Name] = ref("account", gid("account", 1))
				}
			}
			src.put(name, gid("trap", 1), c)
			for _, there := range []bool{false, true} {
				if there {
					dst.put(name, gid("trap", 1), c)
					if src.schema.Table(name).Column("name") != nil {
						dst.touch(name, gid("trap", 1), "name", str("wrong"))
					}
				}
				sel := Selection{Tables: []TableSelection{{Table: name, IDs: []allod.GUID{gid("trap", 1)}}}}
				o := loopback()
				o.Loopback = false
				p := build(t, src, dst, sel, o)
				if len(p.Refused) != 1 || p.Refused[0].Table != name || p.Refused[0].Rows != 1 || !strings.Contains(p.Refused[0].Reason, "outside an emulator") {
					t.Errorf("there %v: refused %+v", there, p.Refused)
				}
				for s := range p.Steps() {
					if s.Table == name {
						t.Errorf("there %v: step %+v", there, s)
					}
				}
				if p = build(t, src, dst, sel, loopback()); len(p.Refused) > 0 {
					t.Errorf("there %v: refused on this machine: %+v", there, p.Refused)
				}
			}
		})
	}
}

// What a reference becomes when its row is made.
func TestLookups(t *testing.T) {
	a, b := gid("account", 1), gid("account", 2)
	for _, tc := range []struct {
		name    string
		from    allod.Value // contact 1's parentcustomerid
		prepare func(src, dst *org)
		want    allod.Value
		warning string
	}{
		{"made by this restore", ref("account", a), nil, ref("account", a), ""},
		{"polymorphic, the other table", ref("contact", gid("contact", 2)), nil, ref("contact", gid("contact", 2)), ""},
		{"itself", ref("contact", gid("contact", 1)), nil, ref("contact", gid("contact", 1)), ""},
		{"there already", ref("account", b), func(src, dst *org) { delete(src.rows["account"], b); dst.put("account", b, nil) }, ref("account", b), ""},
		{"nowhere", ref("account", gid("nowhere", 1)), nil, allod.NullValue(), "contact.parentcustomerid: 1 reference to a row of account"},
		{"a table it cannot refer to", ref("product", gid("product", 1)), nil, allod.NullValue(), "contact.parentcustomerid: 1 reference to a row of product"},
		{"empty", allod.NullValue(), nil, allod.NullValue(), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := sample(), newOrg("dst")
			src.touch("contact", gid("contact", 1), "parentcustomerid", tc.from)
			if tc.prepare != nil {
				tc.prepare(src, dst)
			}
			p := build(t, src, dst, Selection{All: true}, loopback())
			if r := run(t, p, src, dst, apply.Options{}); r.Failed > 0 {
				t.Fatalf("failures %+v", r.Failures)
			}
			if got := dst.get("contact", gid("contact", 1), "parentcustomerid"); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			got := ""
			for _, w := range p.Warnings {
				if strings.HasPrefix(w, "contact.parentcustomerid") {
					got = w
				}
			}
			if !strings.HasPrefix(got, tc.warning) || (got == "") != (tc.warning == "") {
				t.Errorf("warning: got %q, want %q", got, tc.warning)
			}
		})
	}
}

// Pairs are added where both ends will exist, never twice, and never taken away.
func TestPairs(t *testing.T) {
	a, c := gid("account", 1), gid("contact", 1)
	for _, tc := range []struct {
		name    string
		prepare func(src, dst *org)
		pairs   int64 // planned
		there   bool  // afterwards
		skipped string
	}{
		{"both ends made", func(*org, *org) {}, 1, true, ""},
		{"there already", func(src, dst *org) {
			dst.put("account", a, nil)
			dst.put("contact", c, nil)
			dst.pair("accountleads", a, c)
		}, 0, true, ""},
		{"both ends there", func(src, dst *org) { dst.put("account", a, nil); dst.put("contact", c, nil) }, 1, true, ""},
		{"an end nowhere", func(src, dst *org) { delete(src.rows["contact"], c) }, 0, false, "an end of the pair"},
		{"an end that cannot be made", func(src, dst *org) {
			dst.before = func(op *source.Op) error {
				if op.Kind == source.OpCreate && op.Key == c {
					return allod.Errorf(allod.Invalid, "no")
				}
				return nil
			}
		}, 1, false, "an end of the pair"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := newOrg("src"), newOrg("dst")
			src.put("account", a, cells{"address1_addressid": allod.IDValue(gid("address", 1))})
			src.put("contact", c, nil)
			src.pair("accountleads", a, c)
			dst.put("account", gid("account", 9), nil)
			dst.put("contact", gid("contact", 9), nil)
			dst.pair("accountleads", gid("account", 9), gid("contact", 9)) // theirs
			tc.prepare(src, dst)
			p := build(t, src, dst, Selection{All: true}, loopback())
			r := run(t, p, src, dst, apply.Options{})
			if p.Counts.Pairs != tc.pairs || dst.pairs["accountleads"][[2]allod.GUID{a, c}] != tc.there {
				t.Errorf("planned %d, want %d; there %v, want %v", p.Counts.Pairs, tc.pairs, !tc.there, tc.there)
			}
			if !dst.pairs["accountleads"][[2]allod.GUID{gid("account", 9), gid("contact", 9)}] {
				t.Error("a pair was taken away")
			}
			if tc.skipped != "" && !slices.ContainsFunc(r.Skipped, func(s plan.Skip) bool { return strings.Contains(s.Reason, tc.skipped) }) {
				t.Errorf("not listed: %+v", r.Skipped)
			}
		})
	}
}

// An alternate key that another row has by now is found by reading.
func TestAlternateKeyTakenByUpdate(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	live.touch("product", gid("product", 1), "number", str("B-2"))
	live.put("product", gid("product", 2), cells{"number": str("B-1")})
	p := build(t, snap, live, Selection{Tables: []TableSelection{{Table: "product"}}}, loopback())
	if len(p.Skipped) != 1 || !strings.Contains(p.Skipped[0].Reason, "byNumber") || !p.Empty() {
		t.Errorf("skipped %+v, empty %v", p.Skipped, p.Empty())
	}
	live.touch("product", gid("product", 2), "number", str("B-3"))
	if p = build(t, snap, live, Selection{Tables: []TableSelection{{Table: "product"}}}, loopback()); p.Counts.Update != 1 {
		t.Errorf("the key is free again: %+v", p.Counts)
	}
}

// A closed row that has to be opened for a change is closed again as it was, or
// not touched at all.
func TestClosedRowKeepsItsState(t *testing.T) {
	task, mail := gid("task", 1), gid("email", 1)
	for _, tc := range []struct {
		name    string
		table   string
		id      allod.GUID
		prepare func(snap, live *org)
		o       Options
		steps   int // reopen, change, close
		state   [2]int64
	}{
		{"same state", "task", task, func(snap, live *org) {}, Options{}, 3, [2]int64{1, 2}},
		{"another state then", "task", task, func(snap, live *org) { snap.touch("task", task, "statuscode", num(4)) }, Options{}, 3, [2]int64{1, 4}},
		{"open then", "task", task, func(snap, live *org) {
			snap.touch("task", task, "statecode", num(0))
			snap.touch("task", task, "statuscode", num(1))
		}, Options{}, 3, [2]int64{0, 1}},
		{"single column, same state", "task", task, func(snap, live *org) {}, Options{Columns: []string{"name"}}, 3, [2]int64{1, 2}},
		{"single column, another state", "task", task, func(snap, live *org) { snap.touch("task", task, "statuscode", num(4)) }, Options{Columns: []string{"name"}}, 0, [2]int64{1, 2}},
		{"state left out", "task", task, func(snap, live *org) { snap.touch("task", task, "statecode", num(0)) }, Options{ExcludeColumns: []string{"statecode", "statuscode"}}, 0, [2]int64{1, 2}},
		{"fill empty, open then", "task", task, func(snap, live *org) {
			snap.touch("task", task, "statecode", num(0))
			snap.touch("task", task, "statuscode", num(1))
			live.touch("task", task, "name", allod.NullValue())
		}, Options{OnConflict: plan.FillEmpty}, 0, [2]int64{1, 2}},
		{"state not read", "task", task, func(snap, live *org) {
			snap.touch("task", task, "statecode", allod.Value{})
			snap.touch("task", task, "statuscode", allod.Value{})
		}, Options{}, 0, [2]int64{1, 2}},
		{"sent since", "email", mail, func(snap, live *org) { snap.touch("email", mail, "statuscode", num(6)) }, Options{}, 0, [2]int64{1, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			live := sample()
			live.name = "live"
			snap := live.snapshot("snap")
			live.touch(tc.table, tc.id, "name", str("overwritten"))
			tc.prepare(snap, live)
			tc.o.Loopback, tc.o.Now = true, at
			p := build(t, snap, live, Selection{Tables: []TableSelection{{Table: tc.table, IDs: []allod.GUID{tc.id}}}}, tc.o)
			if got := slices.Collect(p.Steps()); len(got) != tc.steps {
				t.Errorf("steps: got %+v, want %d", got, tc.steps)
			}
			skips := map[plan.Skip]int{}
			for _, s := range p.Skipped {
				if skips[s]++; skips[s] > 1 {
					t.Errorf("listed twice: %+v", s)
				}
			}
			if tc.steps == 0 && len(skips) == 0 {
				t.Error("it is not listed")
			}
			if r := run(t, p, snap, live, apply.Options{}); r.Err() != nil {
				t.Fatalf("%v: %+v", r.Err(), r.Failures)
			}
			if got := [2]int64{live.get(tc.table, tc.id, "statecode").Int(), live.get(tc.table, tc.id, "statuscode").Int()}; got != tc.state {
				t.Errorf("state: got %v, want %v", got, tc.state)
			}
		})
	}
}

// A closed row whose change is refused is closed again all the same.
func TestClosedAgainAfterFailure(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	id := gid("case", 2)
	live.touch("incident", id, "name", str("overwritten"))
	live.before = func(op *source.Op) error {
		if op.Kind == source.OpUpdate && op.Key == id {
			return allod.Errorf(allod.Invalid, "refused by a plug-in")
		}
		return nil
	}
	r := run(t, build(t, snap, live, Selection{All: true}, loopback()), snap, live, apply.Options{})
	if r.Failed != 1 || allod.KindOf(r.Err()) != allod.Partial {
		t.Errorf("%v: %+v", r.Err(), r.Failures)
	}
	if got := live.get("incident", id, "statecode").Int(); got != 1 {
		t.Errorf("state: got %d, want 1", got)
	}
}

// A restore that stops closes what it has opened, once.
func TestClosedAgainAfterPause(t *testing.T) {
	for _, closes := range []string{"", "given id"} {
		live := sample()
		live.closes = closes
		live.put("incident", gid("case", 3), cells{"customerid": ref("account", gid("account", 1)), "name": str("closed too"), "statecode": num(1), "statuscode": num(2)})
		live.name = "live"
		snap := live.snapshot("snap")
		live.touch("incident", gid("case", 2), "name", str("overwritten"))
		live.touch("incident", gid("case", 3), "name", str("overwritten"))
		live.touch("product", gid("product", 1), "name", str("overwritten"))
		p := build(t, snap, live, Selection{All: true}, loopback())
		live.touch("product", gid("product", 1), "name", str("theirs"))
		r := run(t, p, snap, live, apply.Options{Parallel: 1})
		if r.Paused == "" || len(r.Conflicts) != 1 {
			t.Fatalf("paused %q, conflicts %+v", r.Paused, r.Conflicts)
		}
		for _, n := range []int{2, 3} {
			if got := live.get("incident", gid("case", n), "statecode").Int(); got != 1 {
				t.Errorf("case %d: state %d, want 1", n, got)
			}
		}
		opened := 0
		for _, l := range live.log {
			if l == "state incident" {
				opened++
			}
		}
		if opened != 4 {
			t.Errorf("%d states were written, want 4: %v", opened, live.log)
		}
	}
}

// Nulls are left to the platform when a row is made, but where it would put a
// default of its own they are said.
func TestNullsOfNewRows(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	seen := false
	dst.before = func(op *source.Op) error {
		if op.Kind != source.OpCreate || op.Table.Name != "product" {
			return nil
		}
		seen = true
		if v, said := op.Cells["optin"]; !said || !v.IsNull() {
			t.Errorf("the choice that was empty is not said to be: %v", op.Cells)
		}
		if _, said := op.Cells["sheet"]; said {
			t.Error("a file is a cell")
		}
		if src.get("product", op.Key, "number").IsNull() {
			t.Fatal("the sample has changed")
		}
		return nil
	}
	src.schema.Table("product").Column("optin").Native = "Boolean"
	dst.schema.Table("product").Column("optin").Native = "Boolean"
	run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{})
	if !seen {
		t.Error("no product was made")
	}
}

// Participants and owners who have another id in the target are given by that,
// and what says the same is equal.
func TestMappedParties(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	src.put("systemuser", gid("user", 2), cells{"domainname": str("kari@contoso")})
	dst.put("systemuser", gid("kari there", 1), cells{"domainname": str("kari@contoso")})
	src.put("activityparty", gid("party", 9), cells{"activityid": ref("email", gid("email", 1)), "participationtypemask": num(1), "partyid": ref("systemuser", gid("user", 2))})
	src.touch("product", gid("product", 1), "ownerid", ref("systemuser", gid("user", 2)))
	if r := run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{}); r.Err() != nil {
		t.Fatalf("%v: %+v", r.Err(), r.Failures)
	}
	n := 0
	for id := range dst.rows["activityparty"] {
		if _, who := dst.get("activityparty", id, "partyid").Target(); who == gid("kari there", 1) {
			n++
		}
	}
	if n != 1 || len(dst.rows["activityparty"]) != 4 {
		t.Errorf("%d of %d parties are the one mapped, want 1 of 4", n, len(dst.rows["activityparty"]))
	}
	if again := build(t, src, dst, Selection{All: true}, loopback()); !again.Empty() {
		t.Errorf("second plan has steps: %+v", slices.Collect(again.Steps()))
	}
}
