package restore

import (
	"slices"
	"strings"
	"testing"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"

	"github.com/google/go-cmp/cmp"
)

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
	r := run(t, p, src, dst, apply.Options{})
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
		run(t, p, src, dst, apply.Options{})
		if got := dst.get("email", id, "statuscode").Int(); got != 1 {
			t.Errorf("status: got %d, want 1 (Draft)", got)
		}
		if !slices.ContainsFunc(p.Skipped, func(s plan.Skip) bool { return s.ID == id && strings.Contains(s.Reason, "Draft") }) {
			t.Errorf("it is not listed: %+v", p.Skipped)
		}
		// An existing draft is not sent by restoring over it, nor is a waiting one touched.
		dst.touch("email", id, "subject", str("other"))
		run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{})
		if got := dst.get("email", id, "subject").Text(); got != "wait" {
			t.Errorf("subject: got %q", got)
		}
	}
}

func TestCloseActivityOfPlatformStands(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	dst.closes = "own id"
	p := build(t, src, dst, Selection{All: true}, loopback())
	r := run(t, p, src, dst, apply.Options{})
	if r.Failed > 0 {
		t.Fatalf("failures %+v", r.Failures)
	}
	if n := len(dst.rows["incidentresolution"]); n != 1 {
		t.Errorf("resolutions: got %d, want the platform's own one", n)
	}
	if !slices.ContainsFunc(r.Skipped, func(s plan.Skip) bool { return s.Table == "incidentresolution" }) {
		t.Errorf("it is not listed: %+v", r.Skipped)
	}
}

// Closing a case again makes its resolution again, the same one.
func TestClosedWithCapturedRecord(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	// It was closed twice; the older resolution is still there.
	src.put("incidentresolution", gid("older resolution", 1), cells{
		"incidentid": ref("incident", gid("case", 2)), "statecode": num(1), "statuscode": num(2),
		"createdon": allod.TextValue(allod.DateTime, "2019-01-01T00:00:00Z"),
	})
	dst.closes = "given id"
	r := run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{})
	if r.Err() != nil || len(r.Conflicts) > 0 {
		t.Fatalf("%v %+v %+v", r.Err(), r.Failures, r.Conflicts)
	}
	mustEqual(t, src, dst)
	// A closed case that is overwritten is opened and closed again; that its
	// resolution is there already is no obstacle.
	dst.touch("incident", gid("case", 2), "name", str("overwritten"))
	r = run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{})
	if r.Err() != nil || dst.get("incident", gid("case", 2), "name").Text() != "closed" || dst.get("incident", gid("case", 2), "statecode").Int() != 1 {
		t.Errorf("%v %+v", r.Err(), r.Failures)
	}
}

func TestClosedRowIsReopenedAndClosedAgain(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	live.touch("incident", gid("case", 2), "name", str("overwritten"))
	p := build(t, snap, live, Selection{All: true}, loopback())
	r := run(t, p, snap, live, apply.Options{})
	if r.Failed > 0 || r.Updated != 1 {
		t.Fatalf("report %+v", r)
	}
	mustEqual(t, snap, live)
}

func TestAddressMatchedByNumber(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	// The account does not say which row is its address: the platform picks an id.
	src.touch("account", gid("account", 1), "address1_addressid", allod.NullValue())
	src.touch("customeraddress", gid("address", 1), "city", str("Trondheim"))
	p := build(t, src, dst, Selection{All: true}, loopback())
	r := run(t, p, src, dst, apply.Options{})
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

// A row that refers to a close activity gets the reference after everything
// else, and its own state after that.
func TestReferencesToCloseActivities(t *testing.T) {
	for _, tc := range []struct {
		closes string
		kept   bool
	}{{"", true}, {"given id", true}, {"own id", false}} {
		src, dst := sample(), newOrg("dst")
		dst.closes = tc.closes
		res := gid("resolution of", 2)
		src.touch("task", gid("task", 1), "regardingobjectid", ref("incidentresolution", res))
		r := run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{})
		if r.Failed > 0 || len(r.Conflicts) > 0 {
			t.Fatalf("%q: failures %+v, conflicts %+v", tc.closes, r.Failures, r.Conflicts)
		}
		want := allod.NullValue()
		if tc.kept {
			want = ref("incidentresolution", res)
		}
		if got := dst.get("task", gid("task", 1), "regardingobjectid"); got != want {
			t.Errorf("%q: the task refers to %v, want %v", tc.closes, got, want)
		}
		if got := dst.get("task", gid("task", 1), "statecode").Int(); got != 1 {
			t.Errorf("%q: the task's state is %d, want 1", tc.closes, got)
		}
		if tc.kept {
			mustEqual(t, src, dst)
		}
	}
}

// What the platform does by itself when rows come back stands in the plan, for
// those that are made and no others.
func TestPlanSaysWhatThePlatformDoes(t *testing.T) {
	said := func(change func(src, dst *org)) string {
		t.Helper()
		src, dst := newOrg("src"), newOrg("dst")
		for _, o := range []*org{src, dst} {
			contact := o.schema.Table("contact")
			contact.Columns = append(contact.Columns, look("masterid", "contact"))
			slices.SortFunc(contact.Columns, func(x, y allod.Column) int { return strings.Compare(x.Name, y.Name) })
		}
		for i := range 2 {
			src.put("contact", gid("contact", i), cells{"name": str("N")})
		}
		change(src, dst)
		return strings.Join(build(t, src, dst, Selection{All: true}, loopback()).Warnings, "\n")
	}
	got := said(func(src, _ *org) {
		src.touch("contact", gid("contact", 1), "masterid", ref("contact", gid("contact", 0)))
	})
	for _, want := range []string{"contact: 2 rows made again; Exchange gets them", "contact: 1 row made again had been merged into another"} {
		if !strings.Contains(got, want) {
			t.Errorf("the plan does not say %q: %s", want, got)
		}
	}
	if got := said(func(_, dst *org) {
		for i := range 2 {
			dst.put("contact", gid("contact", i), cells{"name": str("other")})
		}
	}); got != "" {
		t.Errorf("rows that are there: got %s", got)
	}
}
