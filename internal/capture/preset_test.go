package capture

import (
	"cmp"
	"slices"
	"testing"

	"allod"
	"allod/internal/source"
)

// shop is an environment with a table of no preset and an audit log.
func shop(t *testing.T) *rig {
	r := newRig(t)
	for i, name := range []string{"alp_boat", "audit"} {
		r.schema.Tables = append(r.schema.Tables, fakeTable(byte(3+i), name, false))
		r.rows[name] = map[allod.GUID]allod.Row{}
		r.rights.Depth[name] = source.DepthGlobal
		r.fill(name, 0, 3)
	}
	slices.SortFunc(r.schema.Tables, func(a, b allod.Table) int { return cmp.Compare(a.Name, b.Name) })
	r.fill("account", 0, 4)
	return r
}

func reason(res *Result, table string) string {
	for _, g := range res.Gaps {
		if g.Table == table {
			return g.Reason
		}
	}
	return ""
}

// A preset of the connection is a choice: what it leaves out is excluded, and
// the backup whole. One of a single run leaves the rest not asked for. Rows
// captured before stay.
func TestPresetLeavesOutTheRest(t *testing.T) {
	r := shop(t)
	res := r.backupWith(Options{Presets: []string{"sales"}})
	wantPartial(t, res, false)
	wantGaps(t, res, "account")
	wantGaps(t, res, "alp_boat", allod.GapExcluded)
	if got := reason(res, "alp_boat"); got != "not in the preset sales" {
		t.Errorf("reason: got %q", got)
	}
	if !slices.Contains(res.Absent, "opportunity") || slices.Contains(res.Absent, "account") {
		t.Errorf("absent: got %v", res.Absent)
	}
	if n := len(r.stored("alp_boat")); n != 0 {
		t.Errorf("%d rows of a table outside the preset", n)
	}
	r.same("account")

	wantGaps(t, r.backup(), "alp_boat")
	res = r.backupWith(Options{Presets: []string{"sales"}, Once: true})
	wantGaps(t, res, "alp_boat", allod.GapNotAsked)
	r.same("alp_boat")

	res = r.backupWith(Options{Presets: []string{"sales"}, Include: []string{"alp_boat"}})
	wantGaps(t, res, "alp_boat")
}

func TestUnknownPreset(t *testing.T) {
	r := shop(t)
	if _, err := r.run(t.Context(), Options{Presets: []string{"sails"}}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("run: got %v", err)
	}
	if _, err := Estimate(t.Context(), r.v, r.fakeSource, "contoso", Options{Presets: []string{"sails"}}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("plan: got %v", err)
	}
}

func TestPlanWithPreset(t *testing.T) {
	r := shop(t)
	p, err := Estimate(t.Context(), r.v, r.fakeSource, "contoso", Options{Presets: []string{"sales"}, Now: r.now})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Tables) != 3 || !slices.Contains(p.Absent, "lead") {
		t.Errorf("got tables %v, absent %v", p.Tables, p.Absent)
	}
}

// The audit log is read unless it is not wanted; then what was read before stays.
func TestAuditIsAnOption(t *testing.T) {
	r := shop(t)
	res := r.backupWith(Options{NoAudit: true})
	wantPartial(t, res, false)
	wantGaps(t, res, "audit", allod.GapExcluded)
	if got := reason(res, "audit"); got != "the audit log was not asked for (--audit=false)" {
		t.Errorf("reason: got %q", got)
	}
	wantGaps(t, r.backup(), "audit")
	r.fill("audit", 3, 5)
	wantGaps(t, r.backupWith(Options{NoAudit: true}), "audit", allod.GapExcluded)
	if n := len(r.stored("audit")); n != 3 {
		t.Errorf("%d rows of the audit log, want the 3 read before", n)
	}
	wantGaps(t, r.backupWith(Options{NoAudit: true, Include: []string{"audit"}}), "audit")
	r.same("audit")
}
