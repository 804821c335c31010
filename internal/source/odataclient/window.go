package odataclient

import (
	"maps"
	"slices"
	"time"
)

const (
	// margin is the part of each limit that is left unused, so that clocks
	// that disagree and the service's own rounding do not matter.
	margin = 0.03
	// depth is the part of a budget that may be taken at once in a steady
	// flow. What is taken at once is missing from the steady rate, so that no
	// window holds more than the budget.
	depth = 0.02
	// burst is the part of a budget that may be taken at once after a rest;
	// the other part stays for others who use the same identity.
	burst = 0.5
	// probe is how long what others used is believed without a new answer.
	probe = 5 * time.Second
	// recheck bounds a wait for the windows: an answer may change the view.
	recheck = time.Second
	// maxServers is how many web servers are told apart. An affinity cookie
	// with more values than that names something else.
	maxServers = 32
	// cut and regrow move the share of the budget that is used: what is left
	// of it after a 429, and what comes back a minute.
	cut, regrow, leastShare = 0.8, 0.03, 0.1
	// settle is in how many requests a wrong charge is put right.
	settle = 16
)

// seen is what an answer says of the limits: which web server gave it and what
// remains there of its windows for this user, whoever used it
// (protocols/dataverse.md §7). Without a cookie server is ""; -1 = not said.
type seen struct {
	server   string
	requests int64
	left     time.Duration
}

// spell is a request that ended at a time after d, of which the service counts
// charged as execution time.
type spell struct {
	at         time.Time
	d, charged time.Duration
}

// web is one web server: the limits hold on each of them on its own.
type web struct {
	spells  []spell
	busy    time.Duration // sum of spells' d
	charged time.Duration // and of what was charged for them
	// others is how many requests in the window are not ours.
	others int
	// offset is what the service counts as execution time beyond our clock's
	// (others' requests) or, negative, short of it (the way there and back).
	offset time.Duration
	// part is how much of the time a request takes here the service counts as
	// execution time; the rest is the way there and back. It shows only while
	// nobody else uses the identity and is kept meanwhile. 0 = not known yet.
	part  float64
	heard time.Time // last answer
}

// add counts a request that ended.
func (w *web) add(now time.Time, d, window time.Duration) {
	w.spells, w.busy = append(w.spells, spell{at: now, d: d}), w.busy+d
	w.expire(now.Add(-window))
}

// charge says what the request that was added last is charged for.
func (w *web) charge(d time.Duration) {
	w.spells[len(w.spells)-1].charged = d
	w.charged += d
}

// expire forgets what fell out of the window.
func (w *web) expire(from time.Time) {
	n := 0
	for n < len(w.spells) && !w.spells[n].at.After(from) {
		w.busy -= w.spells[n].d
		w.charged -= w.spells[n].charged
		n++
	}
	w.spells = w.spells[n:]
}

// windows keep the budgets of requests and execution time. The sliding window
// of each server is what may never be exceeded; the buckets make the flow
// even, so that others who use the same identity find room at any time. The
// service's own figures of what remains are advised against as a pace, since
// each describes one server only (protocols/dataverse.md §7): here they are
// kept by server. Of requests they can only lower what is used; of time they
// also say which part of it was the way there and back
// (docs/decisions/0005-pacing.md).
type windows struct {
	lim      Limits
	webs     map[string]*web
	blind    bool // servers cannot be told apart
	requests bucket
	time     bucket // seconds
	mean     time.Duration
	share    float64 // of the budget; 429s lower it
	at       time.Time
}

func newWindows(l Limits) windows {
	return windows{
		lim: l, webs: map[string]*web{}, share: 1,
		requests: bucket{credit: burst * (1 - margin) * float64(l.Requests)},
		time:     bucket{credit: burst * (1 - margin) * l.Busy.Seconds()},
	}
}

// budget is the part of a limit that is ours on each server.
func (w *windows) budget(limit float64) float64 { return limit * (1 - margin) * w.share }

// roll brings everything to the time.
func (w *windows) roll(now time.Time) {
	if !w.at.IsZero() {
		w.share = min(1, w.share+regrow*max(now.Sub(w.at), 0).Minutes())
	}
	w.at = now
	for name, s := range w.webs {
		s.expire(now.Add(-w.lim.Window))
		if len(s.spells) == 0 && now.Sub(s.heard) > w.lim.Window {
			delete(w.webs, name)
		}
	}
	n := float64(w.servers())
	w.requests.roll(now, n*w.budget(float64(w.lim.Requests)), w.lim.Window)
	w.time.roll(now, n*w.budget(w.lim.Busy.Seconds()), w.lim.Window)
}

// servers is how many web servers there are budgets of. Requests that were lost
// before any answer named one are of none of its own.
func (w *windows) servers() int {
	n := len(w.webs)
	if n > 1 && w.webs[""] != nil {
		n--
	}
	return max(n, 1)
}

// wait is how long a request must wait when active others are on their way.
func (w *windows) wait(now time.Time, active int) time.Duration {
	if w.lim.Window <= 0 {
		return 0
	}
	w.roll(now)
	var wait time.Duration
	if w.lim.Requests > 0 {
		wait = w.requests.wait(1)
	}
	if w.lim.Busy > 0 {
		wait = max(wait, w.time.wait(w.mean.Seconds()*float64(active)))
	}
	for _, s := range w.webs {
		wait = max(wait, w.waitAt(s, now, active))
	}
	if wait > 0 {
		wait = min(wait+time.Millisecond, recheck)
	}
	return wait
}

// waitAt is how long the windows of one server make a request wait. Nobody
// knows where those on their way land: here, if it comes to the worst.
func (w *windows) waitAt(s *web, now time.Time, active int) time.Duration {
	most := max(int(w.budget(float64(w.lim.Requests))), 1)
	long := time.Duration(w.budget(float64(w.lim.Busy)))
	own, busy := len(s.spells)+active, s.busy+min(s.offset, 0)+time.Duration(active)*w.mean
	full := w.lim.Requests > 0 && own >= most || w.lim.Busy > 0 && busy >= long
	shared := w.lim.Requests > 0 && own+s.others >= most || w.lim.Busy > 0 && busy+max(s.offset, 0) >= long
	if !full && !shared {
		return 0
	}
	wait := recheck
	if len(s.spells) > 0 {
		wait = s.spells[0].at.Add(w.lim.Window).Sub(now)
	}
	if !full { // others may have stopped: ask now and then
		if active == 0 {
			wait = min(wait, s.heard.Add(probe).Sub(now))
		}
		return max(wait, 0)
	}
	return max(wait, time.Millisecond)
}

// begin takes a request out of the budget.
func (w *windows) begin(now time.Time) {
	if w.lim.Window > 0 {
		w.requests.take(1, now)
	}
}

// end counts a request that took d where it was answered, while active others
// are on their way.
func (w *windows) end(now time.Time, d time.Duration, v seen, active int) {
	if w.lim.Window <= 0 {
		return
	}
	if v.server == "" && w.lost(now, d) {
		return
	}
	s := w.web(v.server)
	s.heard = now
	s.add(now, d, w.lim.Window)
	if v.requests >= 0 {
		s.others = max(w.lim.Requests-int(min(v.requests, int64(w.lim.Requests)))-len(s.spells), 0)
	}
	charged := d
	if s.part > 0 {
		charged = time.Duration(s.part * float64(d))
	}
	if v.left >= 0 {
		used := max(w.lim.Busy-v.left, 0)
		s.offset = used - s.busy
		// Of one of several servers, or where nothing is left, it does not tell
		// that less was used.
		if v.server == "" || w.blind || v.left == 0 {
			s.offset = max(s.offset, 0)
		}
		if alone := v.requests >= 0 && s.others <= active; alone && s.busy > 0 {
			s.part = min(1, (s.busy+s.offset).Seconds()/s.busy.Seconds())
			// The way grows longer and shorter, and part is that of a whole window:
			// what was charged too much or too little in it is put right in small
			// steps, since one answer says it of several requests at once.
			charged += (min(s.busy+s.offset, s.busy) - s.charged - charged) / settle
		}
	}
	s.charge(charged)
	w.mean += (max(charged, 0) - w.mean) / 16
	w.time.take(charged.Seconds(), now)
}

// lost counts a request that no server answered where some are known: it may
// have come to any of them. It reports whether some are.
func (w *windows) lost(now time.Time, d time.Duration) (known bool) {
	for name, s := range w.webs {
		if name != "" {
			s.add(now, d, w.lim.Window)
			s.charge(d)
			known = true
		}
	}
	if known {
		w.time.take(d.Seconds(), now)
	}
	return known
}

// web returns the server of the name, which may be new.
func (w *windows) web(name string) *web {
	if w.blind {
		name = ""
	}
	if s := w.webs[name]; s != nil {
		return s
	}
	if len(w.webs) >= maxServers {
		all := &web{}
		for _, s := range w.webs {
			all.spells, all.busy, all.charged = append(all.spells, s.spells...), all.busy+s.busy, all.charged+s.charged
		}
		slices.SortFunc(all.spells, func(a, b spell) int { return a.at.Compare(b.at) })
		maps.DeleteFunc(w.webs, func(string, *web) bool { return true })
		w.blind, w.webs[""] = true, all
		return all
	}
	s := &web{}
	if lost := w.webs[""]; lost != nil { // they may have come here
		s.spells, s.busy, s.charged = slices.Clone(lost.spells), lost.busy, lost.charged
	}
	w.webs[name] = s
	return s
}

// throttled lowers the share of the budget: somebody else uses it and the
// answers do not say so.
func (w *windows) throttled() { w.share = max(w.share*cut, leastShare) }

// bucket gives a budget out evenly over a window, but for a credit that a rest
// fills and that is taken at once.
type bucket struct {
	level, credit, rate float64
	bursts              []amount // taken from the credit within the window
	burstSum            float64
	at                  time.Time
}

type amount struct {
	at time.Time
	n  float64
}

// roll fills the bucket for the time since the last roll.
func (b *bucket) roll(now time.Time, budget float64, window time.Duration) {
	n := 0
	for n < len(b.bursts) && now.Sub(b.bursts[n].at) >= window+time.Second {
		b.burstSum -= b.bursts[n].n
		n++
	}
	b.bursts = b.bursts[n:]
	b.rate = max(budget*(1-depth)-b.burstSum, budget*depth) / window.Seconds()
	if !b.at.IsZero() {
		b.level += b.rate * max(now.Sub(b.at), 0).Seconds()
	}
	b.at = now
	if over := b.level - max(budget*depth, 1); over > 0 {
		b.level -= over
		b.credit = max(min(b.credit+over, burst*budget-b.burstSum), 0)
	}
}

// wait is how long until n can be taken.
func (b *bucket) wait(n float64) time.Duration {
	short := n - b.level - b.credit
	if short <= 0 || b.rate <= 0 {
		return 0
	}
	return time.Duration(min(short/b.rate, recheck.Seconds()) * float64(time.Second))
}

// take takes n, from the credit what the bucket does not have.
func (b *bucket) take(n float64, now time.Time) {
	b.level -= n
	more := min(-b.level, b.credit)
	if more <= 0 {
		return
	}
	b.level, b.credit, b.burstSum = b.level+more, b.credit-more, b.burstSum+more
	if last := len(b.bursts) - 1; last >= 0 && now.Sub(b.bursts[last].at) < time.Second {
		b.bursts[last].n += more
		return
	}
	b.bursts = append(b.bursts, amount{now, more})
}
