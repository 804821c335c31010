//go:build linux

package bench_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/source/odataclient"
)

// The limits of a user on a web server within pacingWindow
// (protocols/dataverse.md §7).
const (
	pacingRequests = 6000
	pacingTime     = 1200.0 // seconds
	pacingWindow   = 300 * time.Second
	pacingGoal     = 0.90
)

// pacingEnv is how long the run against the limits takes, e.g. 3m.
const pacingEnv = "ALLOD_BENCH_PACING"

// gauge reads what the service says remains of the limits, in every answer.
type gauge struct {
	begin time.Time

	mu       sync.Mutex
	requests int
	early    int        // refused within the first window
	late     int        // and after
	last     [2]float64 // used parts of the window: requests, execution time
	sums     [2]float64 // of these by second, after the first window
	seconds  int
	at       time.Time // of the last second that was added
}

func (g *gauge) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests++
	now := time.Now()
	settled := now.Sub(g.begin) >= pacingWindow
	if res.StatusCode == http.StatusTooManyRequests {
		if settled {
			g.late++
		} else {
			g.early++
		}
		return res, nil
	}
	for i, limit := range []struct {
		header string
		of     float64
	}{{"x-ms-ratelimit-burst-remaining-xrm-requests", pacingRequests}, {"x-ms-ratelimit-time-remaining-xrm-requests", pacingTime}} {
		n, err := strconv.ParseFloat(strings.ReplaceAll(res.Header.Get(limit.header), ",", ""), 64)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", limit.header, err)
		}
		g.last[i] = 1 - n/limit.of
	}
	if settled && now.Sub(g.at) >= time.Second {
		g.at, g.seconds = now, g.seconds+1
		g.sums[0], g.sums[1] = g.sums[0]+g.last[0], g.sums[1]+g.last[1]
	}
	return res, nil
}

// TestPacingByTheClock reads full pages as fast as the client lets itself, with
// the service's limits on both sides and nothing simulated.
func TestPacingByTheClock(t *testing.T) {
	together(t)
	lasts := pick(time.Second, 15*time.Minute)
	if s := os.Getenv(pacingEnv); s != "" && full() {
		var err error
		if lasts, err = time.ParseDuration(s); err != nil {
			t.Fatalf("%s: %v", pacingEnv, err)
		}
	}
	spec := emulatorSpec{Wide: []int{pick(50, 5000)}, Latency: pick(5*time.Millisecond, 80*time.Millisecond), Cost: full(), Limits: true}
	server := startEmulator(t, spec)
	g := &gauge{begin: time.Now()}
	src, err := dataverse.New(dataverse.Options{
		URL: server.url, Environment: "bench", Transport: g,
		Credential: odataclient.Loopback{}, // without one it would keep no limits
	})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := src.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	req := source.ReadRequest{Table: schema.Table(wideName(0)), Columns: []string{"new_text00"}} // what it costs depends on the rows
	var work sync.WaitGroup
	for range 32 { // more than may be sent at once
		work.Go(func() {
			for ctx.Err() == nil {
				for _, err := range src.Read(ctx, req) {
					if err != nil && ctx.Err() == nil {
						t.Error(err)
						cancel()
					}
				}
			}
		})
	}
	work.Wait()
	g.report(t, lasts)
}

func (g *gauge) report(t *testing.T, lasts time.Duration) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	what := fmt.Sprintf("%v against the limits: ", lasts)
	figure(t, what+"requests, refused in the first window and after", fmt.Sprintf("%d, %d and %d", g.requests, g.early, g.late), "none")
	check(t, g.early+g.late == 0 && g.requests > 0, what+"refused")
	if g.seconds == 0 {
		figure(t, what+"used of one window: requests, execution time", fmt.Sprintf("%.3f, %.3f", g.last[0], g.last[1]), "")
		return
	}
	// After the first window less shows than was used: the half of a budget that
	// may be taken at once is missing in the second one.
	figure(t, what+"in the windows after the first: requests, execution time", fmt.Sprintf("%.3f, %.3f", g.sums[0]/float64(g.seconds), g.sums[1]/float64(g.seconds)), "")
	each := g.last[1] * pacingTime / (g.last[0] * pacingRequests) // seconds charged for a request
	windows := lasts.Seconds() / pacingWindow.Seconds()
	requests, busy := float64(g.requests)/(pacingRequests*windows), float64(g.requests)*each/(pacingTime*windows)
	figure(t, what+"used of all that the limits allow in that time: requests, execution time", fmt.Sprintf("%.3f, %.3f", requests, busy), fmt.Sprintf("%.2f of one", pacingGoal))
	check(t, max(requests, busy) >= pacingGoal, what+"used")
}
