package e2e_test

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"allod/internal/act"
	"allod/internal/capture"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/history"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/source/dataverse/several"
)

// byToken counts what was asked for with each token.
type byToken struct {
	mu    sync.Mutex
	asked map[string]int
}

func (b *byToken) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	b.asked[r.Header.Get("Authorization")]++
	b.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

// An environment is read as three application users: they share the work, what they
// bring together is what is there, and what one of them may not see proves nothing.
func TestSeveralApplicationUsers(t *testing.T) {
	s := &scene{t: t, clock: &clock{}}
	s.co, s.desk = startCompany(t, s.clock, func(o *emu.Options) { o.AppUsers = emu.DefaultAppUsers(3) }), newDesk(t, s.clock)
	seen := &byToken{asked: map[string]int{}}
	s.desk.deps.OpenSource = func(_ context.Context, env string, c act.Connection) (source.Source, error) {
		var all []*dataverse.Source
		for _, u := range s.co.server.Users() {
			src, err := dataverse.New(dataverse.Options{
				Environment: env, URL: c.URL, Credential: registration{u, s.co.server.Handler()}, Now: s.clock.Now, Sleep: s.clock.sleep, Transport: seen,
			})
			if err != nil {
				return nil, err
			}
			all = append(all, src)
		}
		return several.New(all[0], all[1:]...), nil
	}
	s.desk.reopen()
	s.desk.connect("demo", s.co.url)
	if res := s.desk.backup("demo", capture.Options{}); !res.Complete {
		t.Errorf("gaps %+v", res.Gaps)
	}
	s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
	users := map[string]int{}
	for _, n := range seen.asked {
		if n > 0 {
			users["asked"]++
		}
	}
	if users["asked"] < 3 {
		t.Errorf("asked as %d of 3 users", users["asked"])
	}

	// The third one loses its sight of accounts: none of them counts as deleted.
	third := s.co.server.Users()[2].ClientID
	s.co.call(http.MethodPost, "/_emulator/actions/set-depth", map[string]any{"client_id": third, "table": "account", "depth": "Basic"})
	res := s.desk.backup("demo", capture.Options{Full: true})
	found := false
	for _, g := range res.Gaps {
		found = found || g.Table == "account" && !g.Accepted
	}
	if !found || res.Deleted != 1 { // the role that it lost
		t.Errorf("%d deleted, gaps %+v", res.Deleted, res.Gaps)
	}
}
