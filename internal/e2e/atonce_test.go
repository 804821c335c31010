package e2e_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"allod/internal/act"
	"allod/internal/capture"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/source/pace"
)

// width counts the requests that are under way.
type width struct {
	mu          sync.Mutex
	now, widest int
}

func (w *width) RoundTrip(r *http.Request) (*http.Response, error) {
	w.step(1)
	defer w.step(-1)
	return http.DefaultTransport.RoundTrip(r)
}

func (w *width) step(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now += n
	w.widest = max(w.widest, w.now)
}

// `backup --max-concurrency N` has no more than N requests under way, also where one
// table asks for several; without it there are more than one.
func TestMaxConcurrency(t *testing.T) {
	integration(t)
	s := newScene(t, nil)
	for n, least := range map[int]int{1: 1, 2: 2, 0: 2} {
		w := &width{}
		s.desk.deps.OpenSource = func(_ context.Context, env string, c act.Connection) (source.Source, error) {
			return dataverse.New(dataverse.Options{Environment: env, URL: c.URL, Now: s.clock.Now, Sleep: s.clock.sleep, Transport: w, MaxConcurrency: c.Pace.MaxConcurrency})
		}
		s.desk.reopen()
		if res := s.desk.backup("demo", capture.Options{Full: true, Pace: pace.Pace{MaxConcurrency: n}}); !res.Complete {
			t.Errorf("%d at once: gaps %+v", n, res.Gaps)
		}
		if w.widest < least || n > 0 && w.widest > n {
			t.Errorf("--max-concurrency %d: %d requests at once", n, w.widest)
		}
	}
}
