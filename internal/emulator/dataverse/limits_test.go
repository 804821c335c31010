package dataverse_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/protect"
)

// refused checks a 429 against protocols/dataverse.md §7 and returns its
// Retry-After in seconds.
func refused(t *testing.T, res reply, code, message string) int {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatalf("status %d: %v", res.StatusCode, err)
	}
	if res.StatusCode != http.StatusTooManyRequests || body.Error.Code != code || body.Error.Message != message {
		t.Fatalf("got %d %+v, want 429 %s %q", res.StatusCode, body.Error, code, message)
	}
	wait, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || wait < 1 {
		t.Fatalf("Retry-After: got %q, want whole seconds", res.Header.Get("Retry-After"))
	}
	return wait
}

const (
	tooMany  = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
	tooLong  = "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later."
	tooWide  = "Number of concurrent requests exceeded the limit of 52."
	remained = "x-ms-ratelimit-burst-remaining-xrm-requests"
)

func limited(t *testing.T, o dvemu.Options) *dvemu.Server {
	t.Helper()
	o.Model, o.Limits = model(), "real"
	s, err := dvemu.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLimitOfRequests(t *testing.T) {
	k := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s := limited(t, dvemu.Options{Now: k.now})
	h := s.Handler()
	for i := range 6000 {
		res := direct(t, h, "WhoAmI")
		if got, want := res.Header.Get(remained), strconv.Itoa(5999-i); res.StatusCode != 200 || got != want {
			t.Fatalf("request %d: got %d with %q remaining, want 200 with %s", i+1, res.StatusCode, got, want)
		}
	}
	first := refused(t, direct(t, h, "WhoAmI"), "0x80072322", tooMany)
	if next := refused(t, direct(t, h, "WhoAmI"), "0x80072322", tooMany); next <= first {
		t.Errorf("Retry-After does not grow while a client pushes: %d, then %d", first, next)
	}
	if n := s.Counters()["throttled"]; n != 2 {
		t.Errorf("throttled: got %d, want 2", n)
	}
	k.at = k.at.Add(time.Duration(first) * time.Second)
	if res := direct(t, h, "WhoAmI"); res.StatusCode != 200 {
		t.Errorf("after Retry-After: got %d", res.StatusCode)
	}
}

// The budget is that of one user on one web server.
func TestLimitsAreOfUserAndServer(t *testing.T) {
	s := limited(t, dvemu.Options{Servers: 2, Now: (&clock{time.Unix(1_700_000_000, 0)}).now})
	h := s.Handler()
	for range 12000 { // without affinity the servers take turns
		if res := direct(t, h, "WhoAmI"); res.StatusCode != 200 {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	refused(t, direct(t, h, "WhoAmI"), "0x80072322", tooMany)
}

func TestLimitOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := limited(t, dvemu.Options{Cost: &protect.Cost{Other: 100_000}}).Handler()
		for range 2 { // six at a time, 100 s each: 1,200 s in all
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					if res := direct(t, h, "WhoAmI"); res.StatusCode != 200 {
						t.Errorf("got %d", res.StatusCode)
					}
				})
			}
			wg.Wait()
		}
		wait := refused(t, direct(t, h, "WhoAmI"), "0x80072321", tooLong)
		time.Sleep(time.Duration(wait) * time.Second)
		if res := direct(t, h, "WhoAmI"); res.StatusCode != 200 {
			t.Errorf("after Retry-After: got %d", res.StatusCode)
		}
	})
}

func TestLimitOfConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := limited(t, dvemu.Options{Latency: time.Second}).Handler()
		var wg sync.WaitGroup
		for range 52 {
			wg.Go(func() {
				if res := direct(t, h, "WhoAmI"); res.StatusCode != 200 {
					t.Errorf("got %d", res.StatusCode)
				}
			})
		}
		synctest.Wait() // all 52 wait out the latency
		refused(t, direct(t, h, "WhoAmI"), "0x80072326", tooWide)
		wg.Wait()
		if res := direct(t, h, "WhoAmI"); res.StatusCode != 200 {
			t.Errorf("when the others are done: got %d", res.StatusCode)
		}
	})
}

// With a scaled clock the windows pass faster and Retry-After is in seconds of
// the client.
func TestTimeScalePassesWindows(t *testing.T) {
	k := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	h := limited(t, dvemu.Options{Now: k.now, TimeScale: 100}).Handler()
	for range 6000 {
		direct(t, h, "WhoAmI")
	}
	if wait := refused(t, direct(t, h, "WhoAmI"), "0x80072322", tooMany); wait != 3 {
		t.Errorf("Retry-After: got %d, want 3", wait)
	}
	k.at = k.at.Add(3 * time.Second)
	if res := direct(t, h, "WhoAmI"); res.StatusCode != 200 {
		t.Errorf("after Retry-After: got %d", res.StatusCode)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []dvemu.Options{{Limits: "reel"}, {Auth: "stric"}, {}} {
		if o.Limits+o.Auth != "" {
			o.Model = model()
		}
		if _, err := dvemu.New(o); err == nil {
			t.Errorf("limits %q, auth %q: accepted", o.Limits, o.Auth)
		}
	}
}
