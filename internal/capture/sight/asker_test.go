package sight

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

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
	r := NewAsker(src, nil)
	ask := func(moment int64, want int64) {
		t.Helper()
		got, err := r.Since(t.Context(), moment)
		if err != nil || got.Depth["n"] != source.Depth(want) {
			t.Errorf("got answer %v, %v, want answer %d", got, err, want)
		}
	}
	early, late := r.Moment(), r.Moment()
	ask(late, 1)
	ask(early, 1) // asked for after the earlier moment too
	ask(late, 1)
	now := r.Moment()
	ask(now, 2) // the first answer is older than now
	ask(early, 2)

	src.err = errors.New("no answer")
	if _, err := r.Since(t.Context(), r.Moment()); err == nil {
		t.Error("an error was swallowed")
	}
	src.err = nil
	ask(now, 2) // an error replaces nothing
	ask(r.Moment(), 4)
}

func TestRightsAreAskedOnceForManyTables(t *testing.T) {
	src := &askedSource{}
	r := NewAsker(src, nil)
	ended := make([]int64, 50)
	for i := range ended {
		ended[i] = r.Moment()
	}
	var wg sync.WaitGroup
	for _, e := range ended {
		wg.Go(func() {
			if _, err := r.Since(t.Context(), e); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := src.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}
