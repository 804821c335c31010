package capture

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/semaphore"

	"allod"
	"allod/internal/source"
)

// askedSource answers with rights that carry the number of the question.
type askedSource struct {
	source.Source
	asked atomic.Int64
	err   error
}

func (s *askedSource) Rights(context.Context, *allod.Schema) (*source.Rights, error) {
	n := s.asked.Add(1)
	return &source.Rights{Depth: map[string]source.Depth{"n": source.Depth(n)}}, s.err
}

func TestRightsAreSharedOnlyWithTheFuture(t *testing.T) {
	src := &askedSource{}
	r := &rightsReader{src: src}
	ask := func(moment int64, want int64) {
		t.Helper()
		got, err := r.since(t.Context(), moment)
		if err != nil || got.Depth["n"] != source.Depth(want) {
			t.Errorf("got answer %v, %v, want answer %d", got, err, want)
		}
	}
	early, late := r.moment(), r.moment()
	ask(late, 1)
	ask(early, 1) // asked for after the earlier moment too
	ask(late, 1)
	now := r.moment()
	ask(now, 2) // the first answer is older than now
	ask(early, 2)

	src.err = errors.New("no answer")
	if _, err := r.since(t.Context(), r.moment()); err == nil {
		t.Error("an error was swallowed")
	}
	src.err = nil
	ask(now, 2) // an error replaces nothing
	ask(r.moment(), 4)
}

func TestRightsAreAskedOnceForManyTables(t *testing.T) {
	src := &askedSource{}
	r := &rightsReader{src: src}
	ended := make([]int64, 50)
	for i := range ended {
		ended[i] = r.moment()
	}
	var wg sync.WaitGroup
	for _, e := range ended {
		wg.Go(func() {
			if _, err := r.since(t.Context(), e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := src.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

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
