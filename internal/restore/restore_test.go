package restore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/history"
	"allod/internal/relate"
	"allod/internal/source"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var updateGolden = flag.Bool("update", false, "rewrite golden files")

func at() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }

func loopback() Options { return Options{Loopback: true, Now: at} }

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func build(t fataler, snap, live *org, sel Selection, o Options) *Plan {
	t.Helper()
	p, err := Build(context.Background(), snap, live, sel, o)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return p
}

func apply(t fataler, p *Plan, snap, live *org, o ApplyOptions) *Report {
	t.Helper()
	o.Now = at
	r, err := Apply(context.Background(), p, snap, live, live, o)
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
	o.put("account", a1, cells{"name": str("Contoso"), "parentaccountid": ref("account", a2), "primarycontactid": ref("contact", c1),
		"revenue": allod.TextValue(allod.Decimal, "20000.0000"), "revenue_base": allod.TextValue(allod.Decimal, "18000.0000"), "address1_addressid": allod.IDValue(gid("address", 1)), "address1_city": str("Oslo")})
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
	r := apply(t, p, src, dst, ApplyOptions{})
	if r.Err() != nil || len(r.Failures) > 0 {
		t.Fatalf("report: %v, failures %+v, conflicts %v", r.Err(), r.Failures, r.Conflicts)
	}
	mustEqual(t, src, dst)
	if got, want := dst.get("account", gid("account", 1), "createdon").Text(), "2020-01-02T03:04:05Z"; got != want {
		t.Errorf("createdon: got %s, want %s", got, want)
	}
	v, err := Verify(t.Context(), p, src, dst)
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
	apply(t, p, snap, live, ApplyOptions{})
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
	r := apply(t, p, snap, live, ApplyOptions{Batch: 1})
	if r.Err() != nil || r.Failed != 0 {
		t.Fatalf("report %+v", r)
	}
	mustEqual(t, snap, live)
	if r.Created != 1+1+2 { // account, case, two pairs; its address came by itself
		t.Errorf("created: got %d, want 4", r.Created)
	}
}

func TestConflicts(t *testing.T) {
	a1 := gid("account", 1)
	for _, tc := range []struct {
		on        OnConflict
		want      string
		conflicts int
		paused    bool
	}{
		{Stop, "touched", 1, true},
		{Backup, "Contoso", 0, false},
		{Live, "wrong", 0, false},
		{FillEmpty, "wrong", 0, false},
	} {
		t.Run(string(tc.on), func(t *testing.T) {
			live := sample()
			live.name = "live"
			snap := live.snapshot("snap")
			live.touch("account", a1, "name", str("wrong"))
			o := loopback()
			o.OnConflict = tc.on
			p := build(t, snap, live, Selection{Tables: []TableSelection{{Table: "account", IDs: []allod.GUID{a1}}}}, o)
			if !p.Empty() {
				live.touch("account", a1, "name", str("touched"))
			}
			r := apply(t, p, snap, live, ApplyOptions{})
			if got := live.get("account", a1, "name").Text(); got != tc.want {
				t.Errorf("name: got %q, want %q", got, tc.want)
			}
			if len(r.Conflicts) != tc.conflicts || (r.Paused != "") != tc.paused {
				t.Errorf("conflicts %v, paused %q", r.Conflicts, r.Paused)
			}
			if tc.conflicts > 0 && allod.KindOf(r.Err()) != allod.Conflict {
				t.Errorf("kind: got %v", allod.KindOf(r.Err()))
			}
		})
	}
}

func TestFillEmptyFillsOnlyNulls(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	a1 := gid("account", 1)
	live.touch("account", a1, "name", str("newer"))
	live.touch("account", a1, "revenue", allod.NullValue())
	o := loopback()
	o.OnConflict = FillEmpty
	p := build(t, snap, live, Selection{Tables: []TableSelection{{Table: "account", IDs: []allod.GUID{a1}}}}, o)
	apply(t, p, snap, live, ApplyOptions{})
	if got := live.get("account", a1, "name").Text() + "/" + live.get("account", a1, "revenue").Text(); got != "newer/20000.0000" {
		t.Errorf("got %s", got)
	}
}

// A row that came into being since the plan is a conflict, never overwritten.
func TestCreateConflict(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	sel := Selection{Tables: []TableSelection{{Table: "product"}}}
	p := build(t, src, dst, sel, loopback())
	dst.put("product", gid("product", 1), cells{"name": str("theirs")})
	r := apply(t, p, src, dst, ApplyOptions{})
	if len(r.Conflicts) != 1 || dst.get("product", gid("product", 1), "name").Text() != "theirs" {
		t.Errorf("conflicts %v", r.Conflicts)
	}
}

// The platform's own logic touches a row right after it is made: no conflict.
func TestPlatformTouchesNewRows(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	touched := map[allod.GUID]bool{}
	dst.before = func(op *source.Op) error {
		if (op.Kind == source.OpUpdate || op.Kind == source.OpState) && dst.rows[op.Table.Name][op.Key] != nil && !touched[op.Key] {
			touched[op.Key] = true
			dst.touch(op.Table.Name, op.Key, "name_computed", str("touched"))
		}
		return nil
	}
	r := apply(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, ApplyOptions{Parallel: 1})
	if len(touched) == 0 || r.Err() != nil {
		t.Fatalf("%d touched, %v", len(touched), r.Err())
	}
	mustEqual(t, src, dst)
}

func TestTrapsOutsideLoopback(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	src.put("caseprocess", gid("process", 1), cells{"caseid": ref("incident", gid("case", 1))})
	o := loopback()
	o.Loopback = false
	p := build(t, src, dst, Selection{All: true}, o)
	var got []string
	for _, r := range p.Refused {
		got = append(got, r.Table)
	}
	want := []string{"caseprocess", "customeraddress", "email", "incident", "incidentresolution"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("refused (-want +got):\n%s", d)
	}
	for s := range p.Steps() {
		if slices.Contains(want, s.Table) {
			t.Errorf("step on refused table: %+v", s)
		}
	}
	for _, name := range []string{"appointment", "opportunity", "quotedetail", "salesorderdetail", "invoicedetail", "opportunityproduct", "opportunityclose", "quoteclose", "orderclose"} {
		if unproven(&allod.Table{Name: name}) == "" {
			t.Errorf("%s is not refused", name)
		}
	}
	r := apply(t, p, src, dst, ApplyOptions{})
	if r.Failed > 0 {
		t.Errorf("failures: %+v", r.Failures)
	}
}

// Messages that waited to be sent never do again, wherever they are restored.
func TestPendingSendStaysDraft(t *testing.T) {
	for _, status := range []int64{6, 7} {
		src, dst := sample(), newOrg("dst")
		id := gid("pending", int(status))
		src.put("email", id, cells{"subject": str("wait"), "statecode": num(1), "statuscode": num(status)})
		// The platform itself would take it: nothing but the plan stands between.
		dst.before = func(op *source.Op) error {
			if s := op.Cells["statuscode"].Int(); s == 6 || s == 7 {
				t.Errorf("status %d was written by %s", s, op.Kind)
			}
			return nil
		}
		p := build(t, src, dst, Selection{All: true}, loopback())
		apply(t, p, src, dst, ApplyOptions{})
		if got := dst.get("email", id, "statuscode").Int(); got != 1 {
			t.Errorf("status: got %d, want 1 (Draft)", got)
		}
		if !slices.ContainsFunc(p.Skipped, func(s Skip) bool { return s.ID == id && strings.Contains(s.Reason, "Draft") }) {
			t.Errorf("it is not listed: %+v", p.Skipped)
		}
		// An existing draft is not sent by restoring over it, nor is a waiting one touched.
		dst.touch("email", id, "subject", str("other"))
		apply(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, ApplyOptions{})
		if got := dst.get("email", id, "subject").Text(); got != "wait" {
			t.Errorf("subject: got %q", got)
		}
	}
}

func TestCloseActivityOfPlatformStands(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	dst.closes = "own id"
	p := build(t, src, dst, Selection{All: true}, loopback())
	r := apply(t, p, src, dst, ApplyOptions{})
	if r.Failed > 0 {
		t.Fatalf("failures %+v", r.Failures)
	}
	if n := len(dst.rows["incidentresolution"]); n != 1 {
		t.Errorf("resolutions: got %d, want the platform's own one", n)
	}
	if !slices.ContainsFunc(r.Skipped, func(s Skip) bool { return s.Table == "incidentresolution" }) {
		t.Errorf("it is not listed: %+v", r.Skipped)
	}
}

// Closing a case again makes its resolution again, the same one.
func TestClosedWithCapturedRecord(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	// It was closed twice; the older resolution is still there.
	src.put("incidentresolution", gid("older resolution", 1), cells{"incidentid": ref("incident", gid("case", 2)), "statecode": num(1), "statuscode": num(2),
		"createdon": allod.TextValue(allod.DateTime, "2019-01-01T00:00:00Z")})
	dst.closes = "given id"
	r := apply(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, ApplyOptions{})
	if r.Err() != nil || len(r.Conflicts) > 0 {
		t.Fatalf("%v %+v %+v", r.Err(), r.Failures, r.Conflicts)
	}
	mustEqual(t, src, dst)
	// A closed case that is overwritten is opened and closed again; that its
	// resolution is there already is no obstacle.
	dst.touch("incident", gid("case", 2), "name", str("overwritten"))
	r = apply(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, ApplyOptions{})
	if r.Err() != nil || dst.get("incident", gid("case", 2), "name").Text() != "closed" || dst.get("incident", gid("case", 2), "statecode").Int() != 1 {
		t.Errorf("%v %+v", r.Err(), r.Failures)
	}
}

func TestAddressMatchedByNumber(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	// The account does not say which row is its address: the platform picks an id.
	src.touch("account", gid("account", 1), "address1_addressid", allod.NullValue())
	src.touch("customeraddress", gid("address", 1), "city", str("Trondheim"))
	p := build(t, src, dst, Selection{All: true}, loopback())
	r := apply(t, p, src, dst, ApplyOptions{})
	if r.Failed > 0 {
		t.Fatalf("failures %+v", r.Failures)
	}
	n := 0
	for _, row := range dst.rows["customeraddress"] {
		if _, parent := row.Cell(dst.schema.Table("customeraddress").ColumnIndex("parentid")).Target(); parent == gid("account", 1) {
			n++
			if got := dst.get("customeraddress", row.Key, "city").Text(); got != "Trondheim" {
				t.Errorf("city: got %q", got)
			}
		}
	}
	if n != 1 {
		t.Errorf("addresses of the account: got %d, want 1", n)
	}
}

func TestMissingTargets(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	delete(src.rows["contact"], gid("contact", 2)) // customer of case 2, required there
	src.touch("contact", gid("contact", 1), "parentcustomerid", ref("account", gid("nowhere", 1)))
	p := build(t, src, dst, Selection{All: true}, loopback())
	if !slices.ContainsFunc(p.Warnings, func(s string) bool { return strings.HasPrefix(s, "contact.parentcustomerid: 1 reference") }) {
		t.Errorf("warnings: %q", p.Warnings)
	}
	skipped := map[allod.GUID]string{}
	for _, s := range p.Skipped {
		skipped[s.ID] = s.Reason
	}
	for _, id := range []allod.GUID{gid("case", 2), gid("resolution of", 2)} {
		if !strings.Contains(skipped[id], "required") {
			t.Errorf("%v: got %q, want a reason that names the required column", id, skipped[id])
		}
	}
	r := apply(t, p, src, dst, ApplyOptions{})
	if r.Failed > 0 {
		t.Errorf("failures %+v", r.Failures)
	}
	if again := build(t, src, dst, Selection{All: true}, loopback()); !again.Empty() {
		t.Errorf("second plan has steps: %+v", slices.Collect(again.Steps()))
	}
}

func TestRequiredChainWithinTable(t *testing.T) {
	src, dst := newOrg("src"), newOrg("dst")
	src.put("account", gid("account", 1), cells{"address1_addressid": allod.IDValue(gid("address", 1))})
	src.put("node", gid("node", 0), cells{"parentnodeid": ref("account", gid("account", 1))})
	for i := 1; i < 8; i++ {
		src.put("node", gid("node", i), cells{"parentnodeid": ref("node", gid("node", i-1))})
	}
	src.put("customeraddress", gid("address", 1), cells{"parentid": ref("account", gid("account", 1)), "addressnumber": num(1)})
	p := build(t, src, dst, Selection{All: true}, loopback())
	if r := apply(t, p, src, dst, ApplyOptions{Batch: 1}); r.Failed > 0 {
		t.Fatalf("failures %+v", r.Failures)
	}
	mustEqual(t, src, dst)
}

func TestAlternateKeyTaken(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	dst.put("product", gid("other", 1), cells{"number": str("b-1")})
	p := build(t, src, dst, Selection{Tables: []TableSelection{{Table: "product"}}}, loopback())
	if len(p.Skipped) != 1 || !strings.Contains(p.Skipped[0].Reason, "byNumber") || !p.Empty() {
		t.Errorf("skipped %+v", p.Skipped)
	}
}

func TestOwners(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	moved, off, lost := gid("user", 2), gid("user", 3), gid("user", 4)
	for i, u := range []allod.GUID{moved, off, lost} {
		src.put("systemuser", u, cells{"domainname": str([]string{"kari@contoso", "off@contoso", "lost@contoso"}[i])})
		src.put("product", gid("owned", i), cells{"ownerid": ref("systemuser", u)})
	}
	dst.put("systemuser", gid("kari there", 1), cells{"domainname": str("Kari@Contoso")})
	dst.put("systemuser", off, cells{"domainname": str("off@contoso"), "isdisabled": allod.BooleanValue(true)})
	p := build(t, src, dst, Selection{Tables: []TableSelection{{Table: "product"}}}, loopback())
	r := apply(t, p, src, dst, ApplyOptions{})
	if r.Failed > 0 {
		t.Fatalf("failures %+v", r.Failures)
	}
	for i, want := range []allod.GUID{gid("kari there", 1), gid("user", 1), gid("user", 1)} {
		if got := dst.get("product", gid("owned", i), "ownerid").GUID(); got != want {
			t.Errorf("owner %d: got %v, want %v", i, got, want)
		}
	}
	n := 0
	for _, w := range p.Warnings {
		if strings.HasPrefix(w, "owner ") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("warnings: %q", p.Warnings)
	}
	if again := build(t, src, dst, Selection{Tables: []TableSelection{{Table: "product"}}}, loopback()); !again.Empty() {
		t.Errorf("second plan has steps: %+v", slices.Collect(again.Steps()))
	}
}

func TestAbsentCellsAreNeverWritten(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	a1 := gid("account", 1)
	snap.touch("account", a1, "revenue", allod.Value{})
	snap.touch("account", a1, "name", str("renamed"))
	p := build(t, snap, live, Selection{All: true}, loopback())
	for s := range p.Steps() {
		if slices.Contains(s.Columns, "revenue") {
			t.Errorf("step %+v", s)
		}
	}
	apply(t, p, snap, live, ApplyOptions{})
	if got := live.get("account", a1, "revenue").Text(); got != "20000.0000" {
		t.Errorf("revenue: got %q", got)
	}
}

func TestClosedRowIsReopenedAndClosedAgain(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	live.touch("incident", gid("case", 2), "name", str("overwritten"))
	p := build(t, snap, live, Selection{All: true}, loopback())
	r := apply(t, p, snap, live, ApplyOptions{})
	if r.Failed > 0 || r.Updated != 1 {
		t.Fatalf("report %+v", r)
	}
	mustEqual(t, snap, live)
}

func TestSingleColumns(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	a1, a2 := gid("account", 1), gid("account", 2)
	live.touch("account", a1, "name", str("wrong"))
	live.touch("account", a1, "revenue", allod.NullValue())
	delete(live.rows["account"], a2)
	o := loopback()
	o.Columns = []string{"account.name"}
	p := build(t, snap, live, Selection{Tables: []TableSelection{{Table: "account"}}}, o)
	steps := slices.Collect(p.Steps())
	if len(steps) != 1 || !slices.Equal(steps[0].Columns, []string{"name"}) || steps[0].ID != a1 {
		t.Errorf("steps %+v", steps)
	}
	if len(p.Skipped) != 1 || p.Skipped[0].ID != a2 {
		t.Errorf("skipped %+v", p.Skipped)
	}
}

func TestRefusals(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	for _, tc := range []struct {
		name string
		sel  Selection
		o    Options
		want allod.Kind
	}{
		{"security", Selection{All: true}, Options{Security: true}, allod.Invalid},
		{"nothing", Selection{}, Options{}, allod.Invalid},
		{"both", Selection{All: true, Tables: []TableSelection{{Table: "account"}}}, Options{}, allod.Invalid},
		{"conflict word", Selection{All: true}, Options{OnConflict: "ask"}, allod.Invalid},
		{"unknown table", Selection{Tables: []TableSelection{{Table: "nix"}}}, Options{}, allod.NotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Build(t.Context(), src, dst, tc.sel, tc.o); allod.KindOf(err) != tc.want {
				t.Errorf("got %v", err)
			}
		})
	}
	p := build(t, src, dst, Selection{Tables: []TableSelection{{Table: "systemuser"}, {Table: "workflow"}}}, loopback())
	if len(p.Refused) != 2 || !p.Empty() {
		t.Errorf("refused %+v", p.Refused)
	}
	if allod.KindOf(mustErr(Apply(t.Context(), p, dst, src, dst, ApplyOptions{Now: at}))) != allod.Invalid {
		t.Error("a plan is applied to other views than its own")
	}
	p = build(t, src, dst, Selection{All: true}, loopback())
	later := func() time.Time { return at().Add(25 * time.Hour) }
	if allod.KindOf(mustErr(Apply(t.Context(), p, src, dst, dst, ApplyOptions{Now: later}))) != allod.Conflict {
		t.Error("a stale plan is applied")
	}
}

func mustErr(_ *Report, err error) error { return err }

// Killed at each single write, and planned again, a restore ends equal.
func TestKilledAtEachStep(t *testing.T) {
	src := sample()
	whole := newOrg("dst")
	apply(t, build(t, src, whole, Selection{All: true}, loopback()), src, whole, ApplyOptions{})
	stop := errors.New("killed")
	for k := range whole.log {
		dst := newOrg("dst")
		p := build(t, src, dst, Selection{All: true}, loopback())
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		dst.before = func(*source.Op) error {
			if n++; n > k {
				cancel()
				return stop
			}
			return nil
		}
		r, err := Apply(ctx, p, src, dst, dst, ApplyOptions{Now: at, Batch: 1 + k%3, Parallel: 1 + k%2})
		cancel()
		if r == nil || (err == nil || r.Paused == "") && r.Failed == 0 {
			t.Fatalf("k=%d: no error, or no report: %v", k, err)
		}
		dst.before = nil
		r = apply(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, ApplyOptions{})
		if r.Err() != nil {
			t.Fatalf("k=%d: %v %+v", k, r.Err(), r.Failures)
		}
		mustEqual(t, src, dst)
	}
}

// A failing row takes what depends on it along, and nothing else.
func TestOneRowFails(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	dst.before = func(op *source.Op) error {
		if op.Kind == source.OpCreate && op.Key == gid("contact", 1) {
			return allod.Errorf(allod.Invalid, "refused by a plug-in")
		}
		return nil
	}
	p := build(t, src, dst, Selection{All: true}, loopback())
	r := apply(t, p, src, dst, ApplyOptions{})
	if r.Failed != 1 || allod.KindOf(r.Err()) != allod.Partial {
		t.Errorf("failed %d: %+v", r.Failed, r.Failures)
	}
	dst.before = nil
	if r := apply(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, ApplyOptions{}); r.Err() != nil {
		t.Fatalf("retry: %v %+v", r.Err(), r.Failures)
	}
	mustEqual(t, src, dst)
}

func TestPauseAtErrorsAndRate(t *testing.T) {
	src, dst := newOrg("src"), newOrg("dst")
	for i := range 50 {
		src.put("product", gid("product", i), cells{"name": str("p")})
	}
	dst.before = func(*source.Op) error { return allod.Errorf(allod.Invalid, "no") }
	p := build(t, src, dst, Selection{All: true}, loopback())
	r := apply(t, p, src, dst, ApplyOptions{Batch: 5, Parallel: 1, PauseAtErrors: 7})
	if r.Failed != 10 || r.Paused == "" {
		t.Errorf("failed %d, paused %q", r.Failed, r.Paused)
	}
	dst.before = nil
	var waited time.Duration
	o := ApplyOptions{Batch: 5, Parallel: 1, Rate: 10, Now: at, Sleep: func(_ context.Context, d time.Duration) error { waited = max(waited, d); return nil }}
	if _, err := Apply(t.Context(), p, src, dst, dst, o); err != nil {
		t.Fatal(err)
	}
	if want := 4500 * time.Millisecond; waited != want {
		t.Errorf("50 ops at 10/s in batches of 5: last waits %v, want %v", waited, want)
	}
}

func TestGoldenPlan(t *testing.T) {
	live := sample()
	live.name = "contoso@live"
	snap := live.snapshot("contoso@42")
	delete(live.rows["account"], gid("account", 1))
	delete(live.rows["customeraddress"], gid("address", 1))
	live.touch("contact", gid("contact", 1), "parentcustomerid", ref("account", gid("account", 2)))
	snap.put("email", gid("pending", 1), cells{"statecode": num(1), "statuscode": num(6)})
	snap.touch("contact", gid("contact", 2), "parentcustomerid", ref("account", gid("nowhere", 1)))
	o := loopback()
	o.Production, o.Approvers = true, []allod.Actor{"os:alice"}
	p := build(t, snap, live, Selection{All: true}, o)
	js, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", append(js, '\n'))
	var b bytes.Buffer
	if err := p.WriteText(&b, 20); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(l, "\n"))); n > 80 {
			t.Errorf("line of %d columns: %s", n, l)
		}
	}
	golden(t, "plan.txt", b.Bytes())

	var back Plan
	if err := json.Unmarshal(js, &back); err != nil {
		t.Fatal(err)
	}
	js2, err := json.MarshalIndent(&back, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(js), string(js2)); d != "" {
		t.Errorf("read back (-want +got):\n%s", d)
	}
	if c := Compare(p, &back); c != (Change{}) {
		t.Errorf("Compare with itself: %+v", c)
	}
	// A plan that was read from disk does the same.
	r := apply(t, &back, snap, live, ApplyOptions{})
	if r.Failed > 0 || r.Created != 2 { // account and pending e-mail
		t.Errorf("report %+v", r)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func FuzzReadPlan(f *testing.F) {
	f.Add([]byte(`{"id":"x","tables":["account"],"steps":[{"op":"create","table":"account","id":"00000000-0000-0000-0000-000000000001","pass":1}]}`))
	f.Add([]byte(`{"steps":[{"op":"create","pass":99}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Plan
		if json.Unmarshal(data, &p) != nil {
			return
		}
		if _, err := json.Marshal(&p); err != nil {
			t.Errorf("a plan that was read cannot be written: %v", err)
		}
	})
}

// Any graph of records comes back whole from an empty environment.
func TestAnyGraphComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, dst := newOrg("src"), newOrg("dst")
		dst.closes = rapid.SampledFrom([]string{"", "given id"}).Draw(t, "closes")
		randomOrg(t, src)
		o := loopback()
		p := build(t, src, dst, Selection{All: true}, o)
		r := apply(t, p, src, dst, ApplyOptions{Batch: rapid.IntRange(1, 7).Draw(t, "batch"), Parallel: rapid.IntRange(1, 3).Draw(t, "parallel")})
		if r.Err() != nil {
			t.Fatalf("%v: %+v", r.Err(), r.Failures)
		}
		mustEqual(t, src, dst)
		if again := build(t, src, dst, Selection{All: true}, o); !again.Empty() {
			t.Fatalf("second plan has steps: %+v", slices.Collect(again.Steps()))
		}
		// And after somebody has damaged it.
		for _, id := range dst.ids("contact") {
			if rapid.Bool().Draw(t, "damage") {
				dst.touch("contact", id, "name", str("damaged"))
			}
		}
		r = apply(t, build(t, src, dst, Selection{All: true}, o), src, dst, ApplyOptions{})
		if r.Err() != nil {
			t.Fatalf("%v: %+v", r.Err(), r.Failures)
		}
		mustEqual(t, src, dst)
	})
}

func randomOrg(t *rapid.T, o *org) {
	n := func(name string, hi int) int { return rapid.IntRange(0, hi).Draw(t, name) }
	na, nc := 1+n("accounts", 5), 1+n("contacts", 5)
	oneOf := func(name string, tables ...string) allod.Value {
		switch tbl := rapid.SampledFrom(append(tables, "")).Draw(t, name); tbl {
		case "account":
			return ref("account", gid("account", n("which", na-1)))
		case "contact":
			return ref("contact", gid("contact", n("which", nc-1)))
		default:
			return allod.NullValue()
		}
	}
	state := func(c cells, tbl string) cells {
		s := rapid.SampledFrom(o.schema.Table(tbl).Column("statuscode").Options).Draw(t, "status")
		if tbl == "email" && s.Value >= 6 && s.Value <= 7 {
			return c
		}
		c["statecode"], c["statuscode"] = num(s.State), num(s.Value)
		return c
	}
	for i := range na {
		id, addr := gid("account", i), gid("address", i)
		o.put("account", id, state(cells{"parentaccountid": oneOf("parent", "account"), "primarycontactid": oneOf("primary", "contact"), "address1_addressid": allod.IDValue(addr)}, "account"))
		o.put("customeraddress", addr, cells{"parentid": ref("account", id), "addressnumber": num(1)})
		if rapid.Bool().Draw(t, "image") {
			o.file("account", id, "entityimage", rapid.String().Draw(t, "bytes"), rapid.Bool().Draw(t, "digest"))
		}
	}
	for i := range nc {
		o.put("contact", gid("contact", i), state(cells{"name": str(rapid.String().Draw(t, "name")), "parentcustomerid": oneOf("customer", "account", "contact")}, "contact"))
	}
	for i := range n("cases", 3) {
		c := state(cells{"customerid": ref("account", gid("account", n("customer", na-1)))}, "incident")
		o.put("incident", gid("case", i), c)
		if c["statecode"].Int() == 1 {
			o.put("incidentresolution", gid("resolution of", i), cells{"incidentid": ref("incident", gid("case", i)), "statecode": num(1), "statuscode": num(2)})
		}
		o.put("task", gid("task", i), state(cells{"regardingobjectid": ref("incident", gid("case", i))}, "task"))
	}
	for i := range n("emails", 3) {
		o.put("email", gid("email", i), state(cells{"regardingobjectid": oneOf("regarding", "account")}, "email"))
		for j := range n("parties", 3) {
			o.put("activityparty", gid("party", 10*i+j), cells{"activityid": ref("email", gid("email", i)), "participationtypemask": num(int64(n("mask", 2))),
				"partyid": oneOf("who", "account", "contact"), "addressused": str("a@b")})
		}
	}
	for range n("pairs", 6) {
		o.pair("accountleads", gid("account", n("end", na-1)), gid("contact", n("end", nc-1)))
	}
}
