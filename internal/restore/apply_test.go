package restore

import (
	"context"
	"errors"
	"testing"
	"time"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

func TestConflicts(t *testing.T) {
	a1 := gid("account", 1)
	for _, tc := range []struct {
		on        plan.OnConflict
		want      string
		conflicts int
		paused    bool
	}{
		{plan.Stop, "touched", 1, true},
		{plan.Backup, "Contoso", 0, false},
		{plan.Live, "wrong", 0, false},
		{plan.FillEmpty, "wrong", 0, false},
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
			r := run(t, p, snap, live, apply.Options{})
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
	o.OnConflict = plan.FillEmpty
	p := build(t, snap, live, Selection{Tables: []TableSelection{{Table: "account", IDs: []allod.GUID{a1}}}}, o)
	run(t, p, snap, live, apply.Options{})
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
	r := run(t, p, src, dst, apply.Options{})
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
	r := run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{Parallel: 1})
	if len(touched) == 0 || r.Err() != nil {
		t.Fatalf("%d touched, %v", len(touched), r.Err())
	}
	mustEqual(t, src, dst)
}

// Killed at each single write, and planned again, a restore ends equal.
func TestKilledAtEachStep(t *testing.T) {
	src := sample()
	whole := newOrg("dst")
	run(t, build(t, src, whole, Selection{All: true}, loopback()), src, whole, apply.Options{})
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
		r, err := apply.Run(ctx, p, src, dst, dst, apply.Options{Now: at, Batch: 1 + k%3, Parallel: 1 + k%2})
		cancel()
		if r == nil || (err == nil || r.Paused == "") && r.Failed == 0 {
			t.Fatalf("k=%d: no error, or no report: %v", k, err)
		}
		dst.before = nil
		r = run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{})
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
	r := run(t, p, src, dst, apply.Options{})
	if r.Failed != 1 || allod.KindOf(r.Err()) != allod.Partial {
		t.Errorf("failed %d: %+v", r.Failed, r.Failures)
	}
	dst.before = nil
	if r := run(t, build(t, src, dst, Selection{All: true}, loopback()), src, dst, apply.Options{}); r.Err() != nil {
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
	r := run(t, p, src, dst, apply.Options{Batch: 5, Parallel: 1, PauseAtErrors: 7})
	if r.Failed != 10 || r.Paused == "" {
		t.Errorf("failed %d, paused %q", r.Failed, r.Paused)
	}
	dst.before = nil
	var waited time.Duration
	o := apply.Options{Batch: 5, Parallel: 1, Rate: 10, Now: at, Sleep: func(_ context.Context, d time.Duration) error { waited = max(waited, d); return nil }}
	if _, err := apply.Run(t.Context(), p, src, dst, dst, o); err != nil {
		t.Fatal(err)
	}
	if want := 4500 * time.Millisecond; waited != want {
		t.Errorf("50 ops at 10/s in batches of 5: last waits %v, want %v", waited, want)
	}
}
