package restore

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"

	"github.com/google/go-cmp/cmp"
)

var updateGolden = flag.Bool("update", false, "rewrite golden files")

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
	r := run(t, p, src, dst, apply.Options{})
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
	if r := run(t, p, src, dst, apply.Options{Batch: 1}); r.Failed > 0 {
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
	r := run(t, p, src, dst, apply.Options{})
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
	run(t, p, snap, live, apply.Options{})
	if got := live.get("account", a1, "revenue").Text(); got != "20000.0000" {
		t.Errorf("revenue: got %q", got)
	}
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
	if allod.KindOf(mustErr(apply.Run(t.Context(), p, dst, src, dst, apply.Options{Now: at}))) != allod.Invalid {
		t.Error("a plan is applied to other views than its own")
	}
	p = build(t, src, dst, Selection{All: true}, loopback())
	later := func() time.Time { return at().Add(25 * time.Hour) }
	if allod.KindOf(mustErr(apply.Run(t.Context(), p, src, dst, dst, apply.Options{Now: later}))) != allod.Conflict {
		t.Error("a stale plan is applied")
	}
}

func mustErr(_ *apply.Report, err error) error { return err }

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

	var back plan.Plan
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
	if c := plan.Compare(p, &back); c != (plan.Change{}) {
		t.Errorf("Compare with itself: %+v", c)
	}
	// A plan that was read from disk does the same.
	r := run(t, &back, snap, live, apply.Options{})
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
