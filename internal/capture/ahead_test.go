package capture

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/sync/semaphore"

	"allod"
	"allod/internal/source"
)

// pagedSource yields pages of one row, then err if there is one.
type pagedSource struct {
	source.Source
	pages int
	err   error
	asked atomic.Int64 // pages asked for
}

func (s *pagedSource) Read(ctx context.Context, _ source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		for i := range s.pages {
			s.asked.Add(1)
			if ctx.Err() != nil {
				yield(source.Page{}, ctx.Err())
				return
			}
			if !yield(source.Page{Rows: make([]allod.Row, 1), Last: i == s.pages-1 && s.err == nil}, nil) {
				return
			}
		}
		if s.err != nil {
			yield(source.Page{}, s.err)
		}
	}
}

// The tests run in bubbles, which fail when something of a read runs on after
// its loop was left.
func TestAhead(t *testing.T) { synctest.Test(t, testAhead) }

func testAhead(t *testing.T) {
	broken := errors.New("broken")
	for _, two := range []bool{false, true} {
		for _, want := range []error{nil, broken} {
			src := &pagedSource{pages: 5, err: want}
			run := &tableRun{runner: &runner{src: src}, twoPages: two}
			pages, last := 0, false
			var got error
			for page, err := range run.ahead(t.Context(), source.ReadRequest{}) {
				if got = err; err != nil {
					break
				}
				pages++
				last = page.Last
			}
			if pages != 5 || last != (want == nil) || !errors.Is(got, want) {
				t.Errorf("two pages %v: %d pages, last %v, %v; want 5, %v, %v", two, pages, last, got, want == nil, want)
			}
		}
	}
}

// One page further and no more; nothing runs on when the loop is left.
func TestAheadIsOnePage(t *testing.T) { synctest.Test(t, testAheadIsOnePage) }

func testAheadIsOnePage(t *testing.T) {
	src := &pagedSource{pages: 5}
	run := &tableRun{runner: &runner{src: src}, twoPages: true}
	for range run.ahead(t.Context(), source.ReadRequest{}) {
		synctest.Wait() // until the reader waits
		break
	}
	if n := src.asked.Load(); n != 2 {
		t.Errorf("asked for %d pages while the first was taken, want 2", n)
	}
}

// A read that is interrupted must not look like one that has ended.
func TestAheadInterrupted(t *testing.T) { synctest.Test(t, testAheadInterrupted) }

func testAheadInterrupted(t *testing.T) {
	run := &tableRun{runner: &runner{src: &pagedSource{pages: 5}}, twoPages: true}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	pages := 0
	for _, err := range run.ahead(ctx, source.ReadRequest{}) {
		cancel()
		if last = err; err == nil {
			pages++
		}
	}
	if !errors.Is(last, context.Canceled) || pages > 3 {
		t.Errorf("%d pages, then %v; want an interruption", pages, last)
	}
}

func TestSecondPageLeavesRoom(t *testing.T) {
	of := semaphore.NewWeighted(100)
	first, second := claim{of: of}, claim{of: of}
	if err := first.take(t.Context(), 40); err != nil {
		t.Fatal(err)
	}
	if !first.more(20, 40) {
		t.Error("20 of 60 were refused although 40 are left")
	}
	if err := second.take(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	if second.more(5, 10) {
		t.Error("a second page was given that leaves no room for another table")
	}
	first.drop()
	second.drop()
	if !of.TryAcquire(100) {
		t.Error("something is still claimed")
	}
}
