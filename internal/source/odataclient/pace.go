package odataclient

import (
	"context"
	"sync"
	"time"

	"allod"
)

// margin is the part of each limit that is left unused, so that clocks that
// disagree and the service's own rounding do not matter.
const margin = 0.03

// pacer decides when a request may start: concurrency that adapts to what the
// service suggests and punishes, a sliding window of requests and busy time, a
// common pause after 429, and a daily number.
type pacer struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	lim   Limits
	day   int
	fixed int // wanted concurrency; 0 = from the hint

	mu      sync.Mutex
	slots   int     // requests at once now
	ceiling int     // the most slots may grow to
	gain    float64 // successes on the way to one more slot
	active  int
	waiters []chan struct{}
	pause   time.Time // nothing starts before
	begun   []time.Time
	busy    []spell
	busySum time.Duration
	daily   []time.Time // starts of runs of requests, by minute
	counts  []int
	total   int
}

type spell struct {
	at time.Time
	d  time.Duration
}

func newPacer(o Options) *pacer {
	p := &pacer{now: o.Now, sleep: o.Sleep, lim: o.Limits, day: o.MaxRequestsPerDay, fixed: o.MaxConcurrency}
	p.ceiling = 4
	if p.fixed > 0 {
		p.ceiling = p.fixed
	}
	p.cap()
	p.slots = p.ceiling
	return p
}

func (p *pacer) cap() {
	if p.lim.Concurrent > 0 {
		p.ceiling = min(p.ceiling, p.lim.Concurrent)
	}
	p.ceiling = max(p.ceiling, 1)
}

func (p *pacer) parallel() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slots
}

// hint takes the service's suggested parallelism: half of it is ours, unless
// the caller fixed a number.
func (p *pacer) hint(n int) {
	if n < 1 || n > 10_000 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fixed > 0 {
		p.ceiling = min(p.fixed, n)
	} else {
		p.ceiling = max(n/2, 2)
	}
	p.cap()
	p.slots = min(p.slots, p.ceiling)
	p.wake()
}

// acquire waits until a request may start.
func (p *pacer) acquire(ctx context.Context) error {
	for {
		p.mu.Lock()
		now := p.now()
		wait := p.pause.Sub(now)
		if wait <= 0 {
			wait = p.windowWait(now)
		}
		if wait <= 0 && p.dayFull(now) {
			p.mu.Unlock()
			return allod.WithHint(allod.Errorf(allod.Unavailable, "the daily number of %d requests is used up", p.day),
				"raise --max-requests-per-day or go on tomorrow; what was read stays")
		}
		if wait <= 0 && p.active < p.slots {
			p.active++
			p.begun = append(p.begun, now)
			p.countDay(now)
			p.mu.Unlock()
			return nil
		}
		var turn chan struct{}
		if wait <= 0 {
			turn = make(chan struct{})
			p.waiters = append(p.waiters, turn)
		}
		p.mu.Unlock()
		if turn == nil {
			if err := p.sleep(ctx, wait); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			p.mu.Lock()
			p.wake() // the turn may have been ours
			p.mu.Unlock()
			return ctx.Err()
		case <-turn:
		}
	}
}

// windowWait is how long the sliding windows make a request wait.
func (p *pacer) windowWait(now time.Time) time.Duration {
	if p.lim.Window <= 0 {
		p.begun = p.begun[:0]
		return 0
	}
	from := now.Add(-p.lim.Window)
	n := 0
	for n < len(p.begun) && !p.begun[n].After(from) {
		n++
	}
	p.begun = p.begun[n:]
	n = 0
	for n < len(p.busy) && !p.busy[n].at.After(from) {
		p.busySum -= p.busy[n].d
		n++
	}
	p.busy = p.busy[n:]
	var wait time.Duration
	if most := int(float64(p.lim.Requests) * (1 - margin)); p.lim.Requests > 0 && len(p.begun) >= max(most, 1) {
		wait = max(wait, p.begun[0].Sub(from))
	}
	if most := time.Duration(float64(p.lim.Busy) * (1 - margin)); p.lim.Busy > 0 && p.busySum >= most && len(p.busy) > 0 {
		wait = max(wait, p.busy[0].at.Sub(from))
	}
	if wait > 0 {
		wait += time.Millisecond
	}
	return wait
}

func (p *pacer) dayFull(now time.Time) bool {
	if p.day <= 0 {
		return false
	}
	n := 0
	for n < len(p.daily) && now.Sub(p.daily[n]) >= 24*time.Hour {
		p.total -= p.counts[n]
		n++
	}
	p.daily, p.counts = p.daily[n:], p.counts[n:]
	return p.total >= p.day
}

func (p *pacer) countDay(now time.Time) {
	if p.day <= 0 {
		return
	}
	if last := len(p.daily) - 1; last >= 0 && now.Sub(p.daily[last]) < time.Minute {
		p.counts[last]++
	} else {
		p.daily, p.counts = append(p.daily, now), append(p.counts, 1)
	}
	p.total++
}

// release ends a request that took d. Success lets concurrency grow slowly.
func (p *pacer) release(d time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	if p.lim.Window > 0 {
		p.busy = append(p.busy, spell{p.now(), d})
		p.busySum += d
	}
	if ok && p.slots < p.ceiling {
		if p.gain++; p.gain >= float64(4*p.slots) {
			p.gain = 0
			p.slots++
		}
	}
	p.wake()
}

// throttled is told of a 429: nothing starts until the service said so, and
// fewer go at once afterwards.
func (p *pacer) throttled(wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if now.After(p.pause) { // one halving per pause, not one per answer
		p.slots = max(p.slots/2, 1)
		p.gain = 0
	}
	if until := now.Add(wait); until.After(p.pause) {
		p.pause = until
	}
}

func (p *pacer) wake() {
	for n := p.slots - p.active; n > 0 && len(p.waiters) > 0; n-- {
		close(p.waiters[0])
		p.waiters = p.waiters[1:]
	}
}
