package restore

import (
	"context"
	"slices"
	"testing"
	"time"

	"allod"
	"allod/internal/history"
	"allod/internal/relate"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
)

func at() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }

func loopback() Options { return Options{Loopback: true, Now: at} }

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func build(t fataler, snap, live *org, sel Selection, o Options) *plan.Plan {
	t.Helper()
	p, err := Build(context.Background(), snap, live, sel, o)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return p
}

func run(t fataler, p *plan.Plan, snap, live *org, o apply.Options) *apply.Report {
	t.Helper()
	o.Now = at
	r, err := apply.Run(context.Background(), p, snap, live, live, o)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	return r
}

func mustEqual(t fataler, a, b *org) {
	t.Helper()
	d, err := history.Compare(context.Background(), a, b, history.Options{Classes: []allod.Class{allod.ClassData, allod.ClassLink}, ColumnOptions: history.ColumnOptions{Writable: true}, Rows: true})
	if err != nil {
		t.Fatalf("Compare: %v", err)
	}
	if !d.Same() {
		for _, tb := range d.Tables {
			for _, r := range tb.Rows {
				t.Fatalf("%s %v %v; totals added %d removed %d changed %d", r.Change, r.Record, r.Columns, d.Added, d.Removed, d.Changed)
			}
		}
	}
	if d.CellsCompared == 0 && d.Equal > 0 {
		t.Fatalf("no cell was compared in %d equal rows", d.Equal)
	}
}

// sample is a small company with one of everything that is hard.
func sample() *org {
	o := newOrg("src")
	a1, a2, c1, c2 := gid("account", 1), gid("account", 2), gid("contact", 1), gid("contact", 2)
	// A cycle: account 1 → contact 1 → account 1, and accounts that are each other's parent.
	o.put("account", a1, cells{
		"name": str("Contoso"), "parentaccountid": ref("account", a2), "primarycontactid": ref("contact", c1),
		"revenue": allod.TextValue(allod.Decimal, "20000.0000"), "revenue_base": allod.TextValue(allod.Decimal, "18000.0000"), "address1_addressid": allod.IDValue(gid("address", 1)), "address1_city": str("Oslo"),
	})
	o.put("customeraddress", gid("address", 1), cells{"parentid": ref("account", a1), "addressnumber": num(1), "city": str("Oslo")})
	o.put("account", a2, cells{"name": str("Fabrikam"), "parentaccountid": ref("account", a1), "address1_addressid": allod.IDValue(gid("address", 2))})
	o.put("customeraddress", gid("address", 2), cells{"parentid": ref("account", a2), "addressnumber": num(1)})
	o.put("customeraddress", gid("address", 5), cells{"parentid": ref("account", a2), "addressnumber": num(5), "city": str("Bergen")})
	o.put("contact", c1, cells{"name": str("Kari"), "parentcustomerid": ref("account", a1)})
	o.put("contact", c2, cells{"name": str("Ola"), "parentcustomerid": ref("contact", c1), "birthdate": allod.TextValue(allod.Date, "1980-02-29")})
	o.put("incident", gid("case", 1), cells{"name": str("open"), "customerid": ref("account", a1)})
	o.put("incident", gid("case", 2), cells{"name": str("closed"), "customerid": ref("contact", c2), "statecode": num(1), "statuscode": num(4)})
	o.put("incidentresolution", gid("resolution of", 2), cells{"incidentid": ref("incident", gid("case", 2)), "statecode": num(1), "statuscode": num(2)})
	o.put("annotation", gid("note", 1), cells{"name": str("note"), "objectid": ref("account", a1)})
	o.file("annotation", gid("note", 1), "documentbody", "hello", true)
	o.file("account", a1, "entityimage", "png", true)
	o.put("task", gid("task", 1), cells{"name": str("call"), "regardingobjectid": ref("incident", gid("case", 2)), "statecode": num(1), "statuscode": num(2)})
	o.put("email", gid("email", 1), cells{"subject": str("sent"), "regardingobjectid": ref("account", a1), "statecode": num(1), "statuscode": num(3)})
	for i, who := range []allod.Value{ref("contact", c1), ref("account", a2), allod.NullValue()} {
		c := cells{"activityid": ref("email", gid("email", 1)), "participationtypemask": num(int64(i + 1)), "partyid": who}
		if who.IsNull() {
			c["addressused"] = str("x@example.com")
		}
		o.put("activityparty", gid("party", i), c)
	}
	o.put("product", gid("product", 1), cells{"name": str("Bolt"), "number": str("B-1")})
	o.pair("accountleads", a1, c1)
	o.pair("accountleads", a1, c2)
	return o
}

func TestRestoreEverythingIntoEmpty(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	p := build(t, src, dst, Selection{All: true}, loopback())
	r := run(t, p, src, dst, apply.Options{})
	if r.Err() != nil || len(r.Failures) > 0 {
		t.Fatalf("report: %v, failures %+v, conflicts %v", r.Err(), r.Failures, r.Conflicts)
	}
	mustEqual(t, src, dst)
	if got, want := dst.get("account", gid("account", 1), "createdon").Text(), "2020-01-02T03:04:05Z"; got != want {
		t.Errorf("createdon: got %s, want %s", got, want)
	}
	v, err := apply.Verify(t.Context(), p, src, dst)
	if err != nil || !v.OK() || v.Rows == 0 || v.Equal != v.Rows {
		t.Errorf("Verify: %+v, %v", v, err)
	}
	again := build(t, src, dst, Selection{All: true}, loopback())
	if !again.Empty() {
		t.Errorf("second plan has steps: %+v", slices.Collect(again.Steps()))
	}
}

// A lost file, a wrong one and a removed one are all found and mended.
func TestFiles(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	live.file("annotation", gid("note", 1), "documentbody", "jello", false) // same size
	live.touch("account", gid("account", 1), "entityimage", allod.NullValue())
	p := build(t, snap, live, Selection{Tables: []TableSelection{{Table: "annotation"}, {Table: "account"}}}, loopback())
	if p.Counts.Files != 2 {
		t.Fatalf("files: got %d, want 2", p.Counts.Files)
	}
	run(t, p, snap, live, apply.Options{})
	mustEqual(t, snap, live)
	if got := string(live.files[fileKey("annotation", gid("note", 1), "documentbody")]); got != "hello" {
		t.Errorf("file: got %q", got)
	}
}

func TestRestoreDeletedAccount(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	a1 := gid("account", 1)
	delete(live.rows["account"], a1)
	delete(live.rows["customeraddress"], gid("address", 1))
	delete(live.rows["incident"], gid("case", 1))
	live.touch("account", gid("account", 2), "parentaccountid", allod.NullValue())
	live.touch("contact", gid("contact", 1), "parentcustomerid", allod.NullValue())
	live.pairs["accountleads"] = map[[2]allod.GUID]bool{}
	f, err := relate.Parse("children:1")
	if err != nil {
		t.Fatal(err)
	}
	o := loopback()
	o.Related = []relate.Follow{f}
	p := build(t, snap, live, Selection{Tables: []TableSelection{{Table: "account", IDs: []allod.GUID{a1}}}}, o)
	r := run(t, p, snap, live, apply.Options{Batch: 1})
	if r.Err() != nil || r.Failed != 0 {
		t.Fatalf("report %+v", r)
	}
	mustEqual(t, snap, live)
	if r.Created != 1+1+2 { // account, case, two pairs; its address came by itself
		t.Errorf("created: got %d, want 4", r.Created)
	}
}
