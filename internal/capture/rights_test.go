package capture

import (
	"context"
	"testing"

	"golang.org/x/sync/semaphore"

	"allod"
)

func TestMemoryIsClaimed(t *testing.T) {
	wide := &allod.Table{Name: "wide", Columns: make([]allod.Column, 200)}
	long := &allod.Table{Name: "long", Columns: []allod.Column{{Type: allod.String, MaxLength: 1 << 20}, {Type: allod.String, MaxLength: 100}}}
	for _, tt := range []struct {
		table    *allod.Table
		min, max int
	}{
		{&allod.Table{Name: "small", Columns: make([]allod.Column, 10)}, maxPage, maxPage},
		{wide, firstPage, 2000},
		{long, maxPage, maxPage},
		{&allod.Table{Name: "huge", Columns: make([]allod.Column, 2000)}, firstPage, firstPage},
	} {
		j := job{table: tt.table}
		if n := j.pageRows(); n < tt.min || n > tt.max {
			t.Errorf("%s: pages of %d rows, want %d to %d", tt.table.Name, n, tt.min, tt.max)
		}
	}

	// As many tables at once as fit, and not one more; dropping lets one in.
	budget := semaphore.NewWeighted(memoryBudget)
	var held []*tableRun
	for {
		run := &tableRun{job: job{table: wide}, memory: claim{of: budget}}
		ctx, cancel := context.WithCancel(t.Context())
		if len(held) > 0 && !budget.TryAcquire(held[0].memory.n) {
			cancel() // it would have to wait
		} else if len(held) > 0 {
			budget.Release(held[0].memory.n)
		}
		err := run.large(ctx)
		cancel()
		if err != nil {
			break
		}
		held = append(held, run)
	}
	if n := len(held); n < 2 || n > 8 {
		t.Errorf("%d wide tables at once, want 2 to 8", n)
	}
	for _, run := range held {
		run.memory.drop()
		run.memory.drop() // twice is harmless
	}
	if !budget.TryAcquire(memoryBudget) {
		t.Error("something is still claimed")
	}
}

// refusedSignIn is what a source returns when its credential is not taken.
type refusedSignIn struct{ error }

func (refusedSignIn) SignInRefused() bool { return true }
func (r refusedSignIn) Unwrap() error     { return r.error }

// A credential that is no longer taken in mid-run ends the run: the tables to
// come are not unreadable. One that is refused for one table only, and taken
// for everything else, is a Gap of that table.
func TestCredentialIsRefusedMeanwhile(t *testing.T) {
	for _, everywhere := range []bool{true, false} {
		r := newRig(t)
		r.fill("account", 0, 5)
		r.fill("contact", 0, 5)
		refusal := refusedSignIn{allod.Errorf(allod.Denied, "401")}
		refused := false
		r.beforeRow = func(table, _ string, _ int) error {
			if table == "account" {
				refused = true
				return refusal
			}
			return nil
		}
		r.noRights = func() error {
			if refused && everywhere {
				return refusal
			}
			return nil
		}
		res, err := r.run(t.Context(), Options{})
		if everywhere {
			if allod.KindOf(err) != allod.Denied || res.Complete || len(res.Gaps) > 0 {
				t.Errorf("refused everywhere: got %+v, %v; want Denied and no gap", res, err)
			}
			continue
		}
		if err != nil || len(res.Gaps) != 1 || res.Gaps[0].Kind != allod.GapTableUnreadable || res.Gaps[0].Table != "account" {
			t.Errorf("refused for one table: got %+v, %v; want a gap of that table", res, err)
		}
	}
}
