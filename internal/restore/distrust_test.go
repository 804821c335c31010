package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"

	"github.com/google/go-cmp/cmp"
)

// No plan makes a message wait to be sent, not even one that was edited.
func TestEditedPlanSendsNothing(t *testing.T) {
	src, dst := newOrg("src"), newOrg("dst")
	id := gid("pending", 1)
	src.put("email", id, cells{"subject": str("wait"), "statecode": num(1), "statuscode": num(6)})
	js, err := json.Marshal(build(t, src, dst, Selection{All: true}, loopback()))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(js), `"steps":[`, fmt.Sprintf(`"steps":[{"op":"create","table":"email","id":"%v","columns":["statuscode","subject"],"reason":"x","pass":1},{"op":"state","table":"email","id":"%v","columns":["statecode","statuscode"],"reason":"x","pass":6},`, id, id), 1)
	var p plan.Plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	dst.before = func(op *source.Op) error {
		if s := op.Cells["statuscode"].Int(); s == 6 || s == 7 {
			t.Errorf("status %d was written by %s", s, op.Kind)
		}
		return nil
	}
	r := run(t, &p, src, dst, apply.Options{})
	if got := dst.get("email", id, "statuscode").Int(); got != 1 {
		t.Errorf("status: got %d, want 1 (Draft)", got)
	}
	if !slices.ContainsFunc(r.Skipped, func(s plan.Skip) bool { return s.ID == id && strings.Contains(s.Reason, "Draft") }) {
		t.Errorf("not listed: %+v", r.Skipped)
	}
}

// What was erased from the vault since the plan is left out and listed; the
// rest is restored.
func TestErasedSincePlan(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	p := build(t, src, dst, Selection{All: true}, loopback())
	delete(src.rows["contact"], gid("contact", 1))
	for i := range 3 {
		delete(src.rows["activityparty"], gid("party", i))
	}
	r := run(t, p, src, dst, apply.Options{})
	if r.Failed > 0 || len(r.Conflicts) > 0 || r.Paused != "" {
		t.Fatalf("failures %+v, conflicts %+v, %q", r.Failures, r.Conflicts, r.Paused)
	}
	erased := 0
	for _, s := range r.Skipped {
		if strings.Contains(s.Reason, "any more") {
			erased++
		}
	}
	if erased != 4 {
		t.Errorf("%d are listed as not in the snapshot any more, want 4: %+v", erased, r.Skipped)
	}
	if dst.rows["contact"][gid("contact", 1)] != nil || dst.rows["account"][gid("account", 1)] == nil || !dst.get("account", gid("account", 1), "primarycontactid").IsNull() {
		t.Errorf("the contact, or a reference to it, was made, or its account was not")
	}
}

// What requires a row that could not be made is not tried.
func TestRequiredRowFails(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	dst.before = func(op *source.Op) error {
		if op.Kind == source.OpCreate && op.Key == gid("contact", 2) {
			return allod.Errorf(allod.Invalid, "refused by a plug-in")
		}
		if op.Key == gid("case", 2) {
			t.Errorf("%s of the case whose customer failed", op.Kind)
		}
		return nil
	}
	r := run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{})
	if r.Failed != 1 || r.Failures[0].ID != gid("contact", 2) {
		t.Errorf("failures: %+v", r.Failures)
	}
	if !slices.ContainsFunc(r.Skipped, func(s plan.Skip) bool {
		return s.ID == gid("case", 2) && strings.Contains(s.Reason, "customerid")
	}) {
		t.Errorf("not listed: %+v", r.Skipped)
	}
}

// A target that is gone stops the restore; what was done is in the report.
func TestTargetGone(t *testing.T) {
	src, dst := newOrg("src"), newOrg("dst")
	for i := range 200 {
		src.put("product", gid("product", i), cells{"name": str("p")})
	}
	gone := errors.New("gone")
	calls := 0
	target := targetFunc(func(ctx context.Context, o source.WriteOptions, ops []source.Op) ([]source.Result, error) {
		if calls++; calls > 3 {
			return nil, gone
		}
		return dst.Apply(ctx, o, ops)
	})
	var results []source.Result
	r, err := apply.Run(t.Context(), build(t, src, dst, Selection{All: true}, loopback()), src, dst, target, apply.Options{
		Batch: 5, Parallel: 1, Now: at,
		OnResult: func(_ plan.Step, res source.Result) error { results = append(results, res); return nil },
	})
	if !errors.Is(err, gone) || r == nil || r.Created != 15 || len(results) != 15 || calls != 4 {
		t.Errorf("%v after %d calls, %d results, report %+v", err, calls, len(results), r)
	}
}

type targetFunc func(context.Context, source.WriteOptions, []source.Op) ([]source.Result, error)

func (f targetFunc) Apply(ctx context.Context, o source.WriteOptions, ops []source.Op) ([]source.Result, error) {
	return f(ctx, o, ops)
}

func TestStalePlan(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	p := build(t, src, dst, Selection{All: true}, loopback())
	for _, tc := range []struct {
		age    time.Duration
		reread bool
		want   string
	}{
		{0, false, ""},
		{24 * time.Hour, false, ""},
		{24*time.Hour + time.Second, false, "conflict"},
		{-time.Hour, false, "conflict"},
		{48 * time.Hour, true, ""},
	} {
		_, err := apply.Run(t.Context(), p, src, dst, dst.snapshot(dst.name), apply.Options{Reread: tc.reread, Now: func() time.Time { return at().Add(tc.age) }})
		got := ""
		if err != nil {
			got = allod.KindOf(err).String()
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("a plan %v old (-want +got):\n%s", tc.age, d)
		}
	}
}

// A plan is for one environment, not for whatever has its name later.
func TestPlanOfAnotherEnvironment(t *testing.T) {
	src, dst := sample(), newOrg("dst")
	p := build(t, src, dst, Selection{All: true}, loopback())
	dst.schema.Identity.Organization = gid("another organization", 1)
	r, err := apply.Run(t.Context(), p, src, dst, dst, apply.Options{Now: at})
	if allod.KindOf(err) != allod.Conflict || r.Steps > 0 || len(dst.log) > 0 {
		t.Errorf("%v, %d steps, %d writes", err, r.Steps, len(dst.log))
	}
	fresh := build(t, src, dst, Selection{All: true}, loopback())
	if c := plan.Compare(p, fresh); c == (plan.Change{}) {
		t.Error("the plans are the same")
	}
}

// Whatever can be read as a plan can be carried out without a panic, and what it
// cannot do it says.
func FuzzRunPlan(f *testing.F) {
	src := sample()
	js, err := json.Marshal(build(f, src, newOrg("dst"), Selection{All: true}, loopback()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(js)
	id := gid("account", 1)
	for _, s := range []string{
		`{"op":"create","table":"account","id":"%v","columns":["nix","name","name","statecode","entityimage","primarycontactid"],"pass":1}`,
		`{"op":"file","table":"account","id":"%v","columns":["name"],"pass":4}`,
		`{"op":"associate","table":"accountleads","id":"%v","other":"%[1]v","relationship":"accountleads_association","pass":3}`,
		`{"op":"associate","table":"account","id":"%v","other":"%[1]v","relationship":"nix","pass":3}`,
		`{"op":"replace-parties","table":"nix","id":"%v","parties":["%[1]v"],"pass":3}`,
		`{"op":"state","table":"customeraddress","id":"%v","columns":["statecode"],"pass":6}`,
		`{"op":"update","table":"nix","id":"%v","columns":["name"],"reason":"the platform makes this row with its parent","pass":1}`,
	} {
		f.Add(fmt.Appendf(nil, `{"from":"src","to":"dst","built":"2026-11-21T09:00:00Z","tables":["account","accountleads","nix","customeraddress"],"steps":[`+s+`]}`, id))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p plan.Plan
		if json.Unmarshal(data, &p) != nil {
			return
		}
		dst := newOrg("dst")
		p.From, p.To, p.Organization = "src", "dst", dst.schema.Identity.Organization
		r, err := apply.Run(t.Context(), &p, src, dst, dst, apply.Options{Now: at, Reread: true})
		if r == nil {
			t.Errorf("no report: %v", err)
		}
		if _, err := apply.Verify(t.Context(), &p, src, dst); err != nil && allod.KindOf(err) == allod.Internal {
			t.Error(err)
		}
	})
}

// A kept plan is what it was, or is refused.
func TestKeptPlanIsWhatItWas(t *testing.T) {
	live := sample()
	live.name = "live"
	snap := live.snapshot("snap")
	delete(live.rows["account"], gid("account", 1))
	delete(live.rows["activityparty"], gid("party", 1))
	live.touch("task", gid("task", 1), "name", str("overwritten"))
	live.pairs["accountleads"] = nil
	for i := range 3 {
		snap.put("node", gid("node", i), cells{"parentnodeid": ref("node", gid("node", max(i-1, 0)))})
	}
	snap.touch("contact", gid("contact", 2), "parentcustomerid", ref("account", gid("nowhere", 1)))
	src := sample()
	for name, p := range map[string]*plan.Plan{
		"damage":     build(t, snap, live, Selection{All: true}, loopback()),
		"everything": build(t, src, newOrg("dst"), Selection{All: true}, loopback()),
		"nothing":    build(t, src, src.snapshot("same"), Selection{All: true}, loopback()),
	} {
		js, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back plan.Plan
		if err := json.Unmarshal(js, &back); err != nil {
			t.Fatal(err)
		}
		if err := back.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, edit := range [][2]string{
			{`"on_conflict":"stop"`, `"on_conflict":"backup"`},
			{`"approval":"none"`, `"approval":"2 people"`},
			{`"pass":1`, `"pass":2`},
			{`"name_computed"`, `"name"`},
			{`"op":"update"`, `"op":"create"`},
		} {
			text := strings.Replace(string(js), edit[0], edit[1], 1)
			if text == string(js) {
				continue
			}
			var edited plan.Plan
			if err := json.Unmarshal([]byte(text), &edited); err != nil {
				t.Fatal(err)
			}
			if err := edited.Check(); allod.KindOf(err) != allod.Corrupt {
				t.Errorf("%s, %s: got %v, want it to be Corrupt", name, edit[1], err)
			}
		}
	}
}

// Fresh reads find every planted difference in what the plan was to write, and
// nothing else.
func TestVerifyFindsDifferences(t *testing.T) {
	a1, note := gid("account", 1), gid("note", 1)
	for _, tc := range []struct {
		name  string
		plant func(*org)
		want  []apply.Different
	}{
		{"nothing", func(*org) {}, []apply.Different{}},
		{"a cell", func(o *org) { o.touch("account", a1, "name", str("planted")) }, []apply.Different{{Table: "account", ID: a1, Columns: []string{"name"}}}},
		{"a reference of the second pass", func(o *org) { o.touch("account", a1, "primarycontactid", allod.NullValue()) }, []apply.Different{{Table: "account", ID: a1, Columns: []string{"primarycontactid"}}}},
		{"a state", func(o *org) { o.touch("task", gid("task", 1), "statecode", num(0)) }, []apply.Different{{Table: "task", ID: gid("task", 1), Columns: []string{"statecode"}}}},
		{"a file of the same size", func(o *org) { o.file("annotation", note, "documentbody", "jello", false) }, []apply.Different{{Table: "annotation", ID: note, Columns: []string{"documentbody"}}}},
		{"a row", func(o *org) { delete(o.rows["annotation"], note) }, []apply.Different{{Table: "annotation", ID: note, Columns: []string{}}}},
		{"what is computed", func(o *org) { o.touch("account", a1, "name_computed", str("anew")) }, []apply.Different{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst := sample(), newOrg("dst")
			p := build(t, src, dst, Selection{All: true}, loopback())
			run(t, p, src, dst, apply.Options{})
			tc.plant(dst)
			v, err := apply.Verify(t.Context(), p, src, dst)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, v.Differ); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if v.OK() != (len(tc.want) == 0) || v.Equal+int64(len(tc.want)) != v.Rows || v.Rows == 0 {
				t.Errorf("%+v", v)
			}
		})
	}
}
