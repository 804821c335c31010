package e2e_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// The limits of a user on each web server within pacingWindow, as the protocol
// documents them (protocols/dataverse.md §7), written down again here so that
// neither side is measured with its own constants.
const (
	pacingRequests   = 6000
	pacingTime       = 1200 * time.Second
	pacingConcurrent = 52
	pacingWindow     = 300 * time.Second
	pacingRun        = time.Hour             // of simulated time (design/capture.md)
	pacingRoot       = "https://pacing.test" // not this machine: the client keeps its windows
	pacingLatency    = 80 * time.Millisecond
)

// fullPage is what a page of 5,000 rows × 100 columns costs by the cost model of
// design/capture.md, charged on a page without rows, so that an hour of them
// need not be decoded: 30 ms + 5,000 × 0.05 ms + 1 ms.
func fullPage() *protect.Cost { return &protect.Cost{Page: 281, Metadata: 200, Other: 10} }

// pipe is the way to the server without a network, and the clerk that counts
// what goes over it, by minute of simulated time.
type pipe struct {
	handler http.Handler
	began   time.Time
	latency time.Duration
	silent  bool // take the headers of what remains away

	mu      sync.Mutex
	active  int
	widest  int
	minutes [61]struct {
		passed, refused int
		charged, flying time.Duration
	}
}

// RoundTrip hands the request to the handler, in a bubble's time.
func (p *pipe) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.active++
	p.widest = max(p.widest, p.active)
	p.mu.Unlock()
	start := time.Now()
	in := r.Clone(r.Context())
	in.Host, in.TLS = r.URL.Host, &tls.ConnectionState{}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, in)
	res := w.Result()
	if p.silent {
		res.Header.Del("x-ms-ratelimit-burst-remaining-xrm-requests")
		res.Header.Del("x-ms-ratelimit-time-remaining-xrm-requests")
	}
	took := time.Since(start)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	m := &p.minutes[min(int(time.Since(p.began)/time.Minute), len(p.minutes)-1)]
	m.flying += took
	if w.Code == http.StatusTooManyRequests {
		m.refused++
	} else {
		m.passed++
		m.charged += max(took-p.latency, 0)
	}
	return res, nil
}

// traffic is what a pipe counted from one minute up to another.
type traffic struct {
	passed, refused int
	charged, flying time.Duration
}

func (p *pipe) between(from, to int) traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	var t traffic
	for _, m := range p.minutes[from:to] {
		t.passed, t.refused, t.charged, t.flying = t.passed+m.passed, t.refused+m.refused, t.charged+m.charged, t.flying+m.flying
	}
	return t
}

// registration signs an application user in at the emulated authority.
type registration struct {
	user    emu.AppUser
	handler http.Handler
}

// GetToken asks for a new token each time.
func (g registration) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {g.user.ClientID}, "client_secret": {g.user.Secret}, "scope": {o.Scopes[0]}}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, pacingRoot+"/tenant/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	var out struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Token == "" {
		return azcore.AccessToken{}, fmt.Errorf("no token: status %d: %w", w.Code, err)
	}
	return azcore.AccessToken{Token: out.Token, ExpiresOn: time.Now().Add(time.Duration(out.Expires) * time.Second)}, nil
}

// pacing is one organisation in a bubble.
type pacing struct {
	t      *testing.T
	server *emu.Server
	began  time.Time
	cancel context.CancelFunc
	ctx    context.Context
	work   sync.WaitGroup
}

func newPacing(t *testing.T, o emu.Options) *pacing {
	t.Helper()
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	o.Model, o.Limits, o.Auth, o.Latency = m, "real", "strict", pacingLatency
	s, err := emu.New(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &pacing{t: t, server: s, began: time.Now()}
	p.ctx, p.cancel = context.WithTimeout(t.Context(), pacingRun)
	return p
}

func (p *pacing) pipe() *pipe {
	return &pipe{handler: p.server.Handler(), began: p.began, latency: pacingLatency}
}

// capture reads a table again and again, as eagerly as it may, until the end.
func (p *pacing) capture(user int, via *pipe) {
	p.t.Helper()
	src, err := dataverse.New(dataverse.Options{
		Environment: "pacing", URL: pacingRoot, Transport: via,
		Credential: registration{p.server.Users()[user], p.server.Handler()}, Rand: func() float64 { return 0.5 },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	schema, err := src.Describe(p.ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	table := schema.Table("account") // without rows: what a page costs is in the model
	for range 32 {                   // more than may be sent at once
		p.work.Go(func() {
			for p.ctx.Err() == nil {
				for _, err := range src.Read(p.ctx, source.ReadRequest{Table: table, Columns: []string{"name"}}) {
					if err != nil && p.ctx.Err() == nil {
						p.t.Error(err)
						p.cancel()
						return
					}
				}
			}
		})
	}
}

// neighbour is another integration with the same user: it sends every so
// often, whatever comes back, between two moments of the run.
func (p *pacing) neighbour(via *pipe, every, from, to time.Duration) {
	auth := registration{p.server.Users()[0], p.server.Handler()}
	p.work.Go(func() {
		time.Sleep(from - time.Since(p.began)) // what came before took its time
		token, err := auth.GetToken(p.ctx, policy.TokenRequestOptions{Scopes: []string{pacingRoot + "/.default"}})
		if err != nil {
			p.t.Error(err)
			return
		}
		client := &http.Client{Transport: via}
		for time.Since(p.began) < to {
			p.work.Go(func() {
				r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, pacingRoot+"/api/data/v9.2/businessunits?$select=name", nil)
				if err != nil {
					p.t.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+token.Token)
				res, err := client.Do(r)
				if err != nil {
					p.t.Error(err)
					return
				}
				_ = res.Body.Close() // a recorder's
				if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusTooManyRequests {
					p.t.Errorf("the neighbour got status %d", res.StatusCode)
				}
			})
			time.Sleep(every)
		}
	})
}

func (p *pacing) finish() { p.work.Wait(); p.cancel() }

// Which cases run when.
const (
	always = iota
	inCI   // with ALLOD_INTEGRATION
	byHand // with ALLOD_LONG, as make pacing does
)

// hours makes the garbage of hours of requests be collected less often.
func hours(t *testing.T) {
	t.Helper()
	old := debug.SetGCPercent(400)
	t.Cleanup(func() { debug.SetGCPercent(old) })
}

// due reports whether a case is to run now.
func due(when int) bool {
	return when == always || os.Getenv("ALLOD_LONG") != "" || when == inCI && os.Getenv("ALLOD_INTEGRATION") != ""
}

// TestPacing captures for an hour as fast as the client lets it: of the limit
// that binds at least 0.90 is used after the first window, and none is hit.
func TestPacing(t *testing.T) {
	hours(t)
	for _, c := range []struct {
		name    string
		when    int
		users   int
		hint    int
		servers int
		cost    *protect.Cost
		binds   string
		silent  bool    // answers do not say what remains
		want    float64 // of the limit that binds
	}{
		{"3 users, hint 48, full pages", inCI, 3, 48, 1, fullPage(), "execution time", false, 0.90},
		{"1 user, hint 48, pages of few rows", inCI, 1, 48, 1, protect.DefaultCost(), "requests", false, 0.90},
		{"3 users, hint 4, full pages", inCI, 3, 4, 1, fullPage(), "half of the hint", false, 0.90},
		{"1 user, hint 4, full pages", always, 1, 4, 1, fullPage(), "half of the hint", false, 0.90},
		{"1 user, hint 48, full pages", byHand, 1, 48, 1, fullPage(), "execution time", false, 0.90},
		{"1 user, hint 4, pages of few rows", byHand, 1, 4, 1, protect.DefaultCost(), "half of the hint", false, 0.90},
		{"3 users, hint 48, pages of few rows", byHand, 3, 48, 1, protect.DefaultCost(), "requests", false, 0.90},
		{"1 user, hint 48, 3 servers, pages of few rows", byHand, 1, 48, 3, protect.DefaultCost(), "requests", false, 0.90},
		{"1 user, hint 48, 3 servers, full pages", byHand, 1, 48, 3, fullPage(), "execution time", false, 0.90},
		{"1 user, hint 48, pages of few rows, nothing said", byHand, 1, 48, 1, protect.DefaultCost(), "requests", true, 0.90},
		// Without the service's own figure the way there and back counts as
		// its time, which is 80 of 361 ms.
		{"1 user, hint 48, full pages, nothing said", byHand, 1, 48, 1, fullPage(), "execution time", true, 0.70},
	} {
		if !due(c.when) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPacing(t, emu.Options{AppUsers: emu.DefaultAppUsers(c.users), DOPHint: c.hint, Servers: c.servers, Cost: c.cost})
				var pipes []*pipe
				for i := range c.users {
					pipes = append(pipes, p.pipe())
					pipes[i].silent = c.silent
					p.capture(i, pipes[i])
				}
				p.finish()
				for i, via := range pipes {
					first, rest := via.between(0, 5), via.between(5, 60)
					share, binds := binding(rest, c.hint, c.servers)
					t.Logf("user %d: %.3f of %s, %d requests, %d and %d refused in the first window and after, %d at once at most",
						i+1, share, binds, rest.passed, first.refused, rest.refused, via.widest)
					if binds != c.binds {
						t.Errorf("user %d: got %s as the limit that binds, want %s", i+1, binds, c.binds)
					}
					if share < c.want || share > 1.001 {
						t.Errorf("user %d: got %.3f of %s, want at least %.2f", i+1, share, binds, c.want)
					}
					if rest.refused != 0 {
						t.Errorf("user %d: got %d requests refused after the first window, want none", i+1, rest.refused)
					}
					if via.widest > max(c.hint/2, 4) {
						t.Errorf("user %d: got %d requests at once with a hint of %d", i+1, via.widest, c.hint)
					}
				}
			})
		})
	}
}

// binding tells which limit is used most over 55 minutes, and how much of it.
// Of the hint half is ours (design/capture.md "Being a good neighbour").
func binding(rest traffic, hint, servers int) (share float64, name string) {
	span := pacingRun - pacingWindow
	windows := span.Seconds() / pacingWindow.Seconds() * float64(servers)
	for _, l := range []struct {
		name string
		used float64
	}{
		{"requests", float64(rest.passed) / (pacingRequests * windows)},
		{"execution time", rest.charged.Seconds() / (pacingTime.Seconds() * windows)},
		{"half of the hint", rest.flying.Seconds() / span.Seconds() / float64(min(hint/2, pacingConcurrent))},
	} {
		if l.used > share {
			share, name = l.used, l.name
		}
	}
	return share, name
}

// TestPacingYields gives half of the budget to another integration with the
// same user from minute 20 to minute 40: it gets what it asks for, nobody is
// refused, and what it leaves is used, also after it ended.
func TestPacingYields(t *testing.T) {
	integration(t)
	hours(t)
	for _, c := range []struct {
		name    string
		when    int
		cost    *protect.Cost
		servers int
		every   time.Duration // half of the binding limit
	}{
		{"requests", inCI, protect.DefaultCost(), 1, 100 * time.Millisecond},
		{"execution time", inCI, fullPage(), 1, 140 * time.Millisecond},
		{"requests on 3 servers", byHand, protect.DefaultCost(), 3, 100 * time.Millisecond / 3},
	} {
		if !due(c.when) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPacing(t, emu.Options{Servers: c.servers, Cost: c.cost})
				ours, theirs := p.pipe(), p.pipe()
				p.capture(0, ours)
				p.neighbour(theirs, c.every, 20*time.Minute, 40*time.Minute)
				p.finish()
				yields(t, ours, theirs, c.every, c.servers)
			})
		})
	}
}

func yields(t *testing.T, ours, theirs *pipe, every time.Duration, servers int) {
	t.Helper()
	use := func(p *pipe, from, to int) float64 {
		m, windows := p.between(from, to), float64(to-from)/5*float64(servers)
		return max(float64(m.passed)/(pacingRequests*windows), m.charged.Seconds()/(pacingTime.Seconds()*windows))
	}
	before, at, with, after := use(ours, 5, 20), use(ours, 21, 25), use(ours, 25, 40), use(ours, 46, 60)
	other := use(theirs, 20, 40)
	t.Logf("ours: %.3f alone, %.3f from the 2nd to the 5th minute of the other, %.3f later, %.3f when it had gone; the other's: %.3f; refused: ours %d, the other's %d",
		before, at, with, after, other, ours.between(5, 60).refused, theirs.between(0, 60).refused)
	if n := ours.between(5, 60).refused; n != 0 {
		t.Errorf("%d of our requests were refused", n)
	}
	if n := theirs.between(0, 60).refused; n != 0 {
		t.Errorf("%d of the other's requests were refused", n)
	}
	if got, want := theirs.between(20, 40).passed, int(20*time.Minute/every); got < want*99/100 {
		t.Errorf("the other: %d requests passed, want %d", got, want)
	}
	if at > 0.5 { // a minute after it began
		t.Errorf("ours still uses %.3f of the budget a minute after the other took half of it", at)
	}
	if before < 0.90 || with+other < 0.90 || after < 0.90 {
		t.Errorf("the budget is not used: %.3f before, %.3f together, %.3f after", before, with+other, after)
	}
}
