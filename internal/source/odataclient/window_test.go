package odataclient

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// service imitates one user's windows on each web server: a request counts when
// it begins, its time when it ends.
type service struct {
	lim     Limits
	servers [][2][]spell // begun, and spent
}

// used sums up what a server counts at a time and forgets the rest.
func (s *service) used(server int, now time.Time) (requests int, busy time.Duration) {
	for i := range s.servers[server] {
		all := s.servers[server][i]
		n := 0
		for n < len(all) && !all[n].at.After(now.Add(-s.lim.Window)) {
			n++
		}
		s.servers[server][i] = all[n:]
	}
	for _, v := range s.servers[server][1] {
		busy += v.d
	}
	return len(s.servers[server][0]), busy
}

// admit begins a request, unless a limit is used up.
func (s *service) admit(server int, now time.Time) bool {
	requests, busy := s.used(server, now)
	if requests >= s.lim.Requests || busy >= s.lim.Busy {
		return false
	}
	s.servers[server][0] = append(s.servers[server][0], spell{at: now})
	return true
}

func (s *service) done(server int, now time.Time, d time.Duration) {
	s.servers[server][1] = append(s.servers[server][1], spell{at: now, d: d})
}

// world is a service, a pacer that wants as much as it may, and perhaps
// another integration with the same user.
type world struct {
	service
	now     time.Time
	pace    *pacer
	named   bool // answers name their server
	says    bool // answers say what remains
	loses   int  // each how many-th answer is lost; 0 = none, coprime to the servers
	cost    func() time.Duration
	latency time.Duration

	flying  []flight
	sent    int
	served  time.Duration // of our requests
	refused int           // of anybody's requests
	next    int           // server of the next request
	landed  int
}

type flight struct {
	ends    time.Time // at the service
	server  int
	began   time.Time
	took    time.Duration // at the service
	ours    bool
	refused bool
}

func newWorld(servers int, lim Limits, slots int) *world {
	w := &world{now: time.Unix(1_800_000_000, 0), service: service{lim, make([][2][]spell, servers)}}
	w.pace = newPacer(Options{
		Now: func() time.Time { return w.now }, Sleep: func(context.Context, time.Duration) error { return nil },
		Limits: lim, MaxConcurrency: slots,
	})
	return w
}

// send puts a request on its way.
func (w *world) send(ours bool) {
	f := flight{server: w.next, began: w.now, took: w.cost(), ours: ours}
	w.next = (w.next + 1) % len(w.servers)
	if f.refused = !w.admit(f.server, w.now); f.refused {
		w.refused++
		f.took = 0
	}
	f.ends = w.now.Add(f.took)
	if ours {
		f.ends = f.ends.Add(w.latency)
		w.sent++
	}
	i, _ := slices.BinarySearchFunc(w.flying, f, func(a, b flight) int { return a.ends.Compare(b.ends) })
	w.flying = slices.Insert(w.flying, i, f)
}

// land ends the flights that have come.
func (w *world) land() {
	for len(w.flying) > 0 && !w.flying[0].ends.After(w.now) {
		f := w.flying[0]
		w.flying = w.flying[1:]
		if !f.refused {
			w.done(f.server, w.now, f.took)
		}
		if !f.ours {
			continue
		}
		w.served += f.took
		v := seen{requests: -1, left: -1}
		w.landed++
		lost := w.loses > 0 && w.landed%w.loses == 0
		if w.named && !lost {
			v.server = strconv.Itoa(f.server)
		}
		if w.says && !lost {
			requests, busy := w.used(f.server, w.now)
			v.requests, v.left = int64(max(w.lim.Requests-requests, 0)), max(w.lim.Busy-busy, 0).Truncate(time.Second)
		}
		w.pace.release(w.now.Sub(f.began), v, !f.refused && !lost)
		if f.refused {
			w.pace.throttled(5 * time.Second)
		}
	}
}

// run goes on for d; another sends every so often, 0 = there is none.
func (w *world) run(d, every time.Duration) {
	end, other := w.now.Add(d), w.now
	for w.now.Before(end) {
		w.land()
		for every > 0 && !other.After(w.now) {
			w.send(false)
			other = other.Add(every)
		}
		next := end
		if every > 0 {
			next = other
		}
		for {
			wait, started, err := w.pace.start()
			if err != nil {
				panic(err)
			}
			if !started {
				if at := w.now.Add(wait); wait > 0 && at.Before(next) {
					next = at
				}
				break
			}
			w.send(true)
		}
		if len(w.flying) > 0 && w.flying[0].ends.Before(next) {
			next = w.flying[0].ends
		}
		w.now = next
	}
	w.land()
}

// Answers say much, little or nonsense of what remains.
func TestWhatRemainsIsRead(t *testing.T) {
	for _, c := range []struct {
		name, requests, left, cookie string
		want                         seen
	}{
		{"all", "5,999", "1,199.62", "ARRAffinity=7f; path=/; HttpOnly", seen{"7f", 5999, 1199 * time.Second}},
		{"nothing", "", "", "", seen{"", -1, -1}},
		{"nonsense", "-1", "soon", "ARRAffinity=" + strings.Repeat("x", 300), seen{"", -1, -1}},
		{"another cookie", "8000", "0.00", "session=7f", seen{"", 8000, 0}},
		{"too much time", "0", "9,000,000,000,000", "", seen{"", 0, (1 << 20) * time.Second}},
	} {
		h := http.Header{}
		h.Set("x-ms-ratelimit-burst-remaining-xrm-requests", c.requests)
		h.Set("x-ms-ratelimit-time-remaining-xrm-requests", c.left)
		h.Set("Set-Cookie", c.cookie)
		if got := remaining(&http.Response{Header: h}); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// small are limits of the real proportions, but few enough to try often.
var small = Limits{Window: 300 * time.Second, Requests: 600, Busy: 120 * time.Second, Concurrent: 52}

// No window of any server is ever used up by us alone, whatever requests cost,
// how long the way is, how many servers there are and what the answers say.
func TestWindowsAreNeverUsedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.IntRange(1, 4).Draw(t, "servers"), small, rapid.IntRange(1, 24).Draw(t, "slots"))
		w.named, w.says = rapid.Bool().Draw(t, "named"), rapid.Bool().Draw(t, "says")
		w.loses = rapid.SampledFrom([]int{0, 1, 7, 53}).Draw(t, "loses")
		w.latency = time.Duration(rapid.IntRange(0, 300).Draw(t, "latency")) * time.Millisecond
		least := rapid.IntRange(1, 1500).Draw(t, "least")
		more := rapid.SliceOfN(rapid.IntRange(0, 500), 1, 8).Draw(t, "more")
		n := 0
		w.cost = func() time.Duration {
			n++
			return time.Duration(least+more[n%len(more)]) * time.Millisecond
		}
		w.run(16*time.Minute, 0)
		if w.refused != 0 {
			t.Fatalf("got %d of %d requests refused, want none", w.refused, w.sent)
		}
		if got := w.pace.win.servers(); got > len(w.servers) {
			t.Fatalf("got budgets of %d servers, want at most %d", got, len(w.servers))
		}
	})
}

// Of the limit that binds 0.90 is used after the first window, alone; another
// integration gets what it wants and its part is used again when it has gone.
func TestWindowsAreSharedAndUsed(t *testing.T) {
	for _, c := range []struct {
		name    string
		cost    time.Duration
		every   time.Duration // of the other: half of the limit
		servers int
	}{
		{"requests", 50 * time.Millisecond, time.Second, 1},
		{"requests on 3 servers", 50 * time.Millisecond, time.Second / 3, 3},
		{"execution time", 280 * time.Millisecond, 1400 * time.Millisecond, 1},
		{"execution time on 3 servers", 280 * time.Millisecond, 1400 * time.Millisecond / 3, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(c.servers, small, 24)
			w.named, w.says, w.latency = true, true, 80*time.Millisecond
			w.cost = func() time.Duration { return c.cost }
			share := func(d, every time.Duration) float64 {
				sent, served := w.sent, w.served
				w.run(d, every)
				windows := d.Seconds() / small.Window.Seconds() * float64(c.servers)
				return max(float64(w.sent-sent)/(float64(small.Requests)*windows), (w.served-served).Seconds()/(small.Busy.Seconds()*windows))
			}
			share(5*time.Minute, 0)
			alone := share(15*time.Minute, 0)
			share(time.Minute, c.every)
			with := share(19*time.Minute, c.every)
			share(5*time.Minute, 0)
			after := share(15*time.Minute, 0)
			if alone < 0.90 || with < 0.40 || with > 0.5 || after < 0.90 {
				t.Errorf("got %.3f of the limit alone, %.3f beside the other, %.3f after; want 0.90, about half of it, 0.90", alone, with, after)
			}
			if w.refused != 0 {
				t.Errorf("got %d requests refused, want none", w.refused)
			}
		})
	}
}

// A way that grows longer and shorter again, as that of a busy machine does,
// costs nothing of the limit.
func TestAWayThatChangesCostsNothing(t *testing.T) {
	w := newWorld(1, small, 24)
	w.named, w.says = true, true
	w.cost = func() time.Duration { return 280 * time.Millisecond }
	for minute := range 35 {
		if minute == 5 {
			w.sent, w.served = 0, 0
		}
		w.latency = time.Duration([]int{40, 2500, 300, 1200, 3200, 100}[minute%6]) * time.Millisecond
		w.run(time.Minute, 0)
	}
	if used := w.served.Seconds() / (6 * small.Busy.Seconds()); used < 0.90 {
		t.Errorf("got %.3f of the limit, want 0.90", used)
	}
	if w.refused != 0 {
		t.Errorf("got %d requests refused, want none", w.refused)
	}
}

// A cookie that changes with every answer does not name a server, and servers
// that do not exist give no budget.
func TestCookiesThatNameNoServerGiveNoBudget(t *testing.T) {
	w := newWorld(1, small, 24)
	w.cost = func() time.Duration { return 50 * time.Millisecond }
	w.says = true
	n := 0
	release := func() seen { n++; return seen{server: strconv.Itoa(n), requests: -1, left: -1} }
	for range 2 * small.Requests {
		wait, started, err := w.pace.start()
		if err != nil {
			t.Fatal(err)
		}
		if !started {
			w.now = w.now.Add(max(wait, time.Millisecond))
			continue
		}
		if !w.admit(0, w.now) {
			t.Fatalf("request %d refused", n)
		}
		w.pace.release(50*time.Millisecond, release(), true)
	}
	if n <= maxServers || len(w.pace.win.webs) != 1 {
		t.Errorf("got %d servers after %d answers, want 1", len(w.pace.win.webs), n)
	}
}

// After a rest half of a budget may be taken at once, the rest of it evenly,
// so that others find room at any time.
func TestARestFillsHalfABudget(t *testing.T) {
	w := newWorld(1, small, 24)
	w.cost = func() time.Duration { return 50 * time.Millisecond }
	w.run(time.Minute, 0)
	before := w.sent
	w.now = w.now.Add(20 * time.Minute)
	w.run(time.Minute, 0)
	if got, want := w.sent-before, small.Requests/2+small.Requests/5; got < small.Requests/2-small.Requests/20 || got > want {
		t.Errorf("got %d requests in the minute after a rest, want at most %d", got, want)
	}
}

// What was taken from the credit is held against the flow for one window, also
// when it was taken little by little.
func TestCreditComesBack(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b := bucket{credit: 100}
	for range 200 {
		b.roll(now, 1000, time.Minute)
		b.take(b.level+0.5, now)
		now = now.Add(300 * time.Millisecond)
	}
	if b.burstSum < 99 {
		t.Fatalf("got %v taken from the credit, want 100", b.burstSum)
	}
	b.roll(now.Add(2*time.Second), 1000, time.Minute)
	if b.burstSum > 98 {
		t.Errorf("got %v still held a window after the first was taken, want less", b.burstSum)
	}
	b.roll(now.Add(2*time.Minute), 1000, time.Minute)
	if b.burstSum > 1e-9 || len(b.bursts) != 0 {
		t.Errorf("got %v held in %d parts after a window, want nothing", b.burstSum, len(b.bursts))
	}
}
