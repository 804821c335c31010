package odataclient

import (
	"context"
	"sync"
	"time"

	"allod"
	"allod/internal/source/pace"
)

// pacer decides when a request may start: concurrency that adapts to what the
// service suggests and punishes, windows of requests and execution time, a
// common pause after 429, and a daily number.
type pacer struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	lim   Limits
	day   *pace.Day
	fixed int                               // wanted concurrency; 0 = from the hint
	shut  func(now time.Time) time.Duration // how long nothing may start; nil = never
	tell  func(until time.Time)
	told  time.Time // what tell was told last

	turn  chan struct{} // held by the one who is next; the others queue for it
	freed chan struct{} // tells the next one that a slot may be free

	mu      sync.Mutex
	slots   int     // requests at once now
	ceiling int     // the most slots may grow to
	gain    float64 // successes on the way to one more slot
	active  int
	pause   time.Time // nothing starts before
	win     windows
}

func newPacer(o Options) *pacer {
	p := &pacer{
		now: o.Now, sleep: o.Sleep, lim: o.Limits, day: o.Day, fixed: o.MaxConcurrency, shut: o.Window, tell: o.Paused, win: newWindows(o.Limits),
		turn: make(chan struct{}, 1), freed: make(chan struct{}, 1),
	}
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

// acquire waits until a request may start. Requests start in the order they
// were asked for, and only the next one watches the clock.
func (p *pacer) acquire(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case p.turn <- struct{}{}:
	}
	defer func() { <-p.turn }()
	for {
		wait, started, err := p.start()
		switch {
		case err != nil || started:
			return err
		case wait > 0:
			if err := p.sleep(ctx, wait); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.freed:
		}
	}
}

// start starts a request, or says how long to wait; 0 is until a slot is free.
func (p *pacer) start() (wait time.Duration, started bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if wait = p.pause.Sub(now); wait <= 0 {
		wait = p.win.wait(now, p.active)
	}
	if shut := p.closed(now); shut > wait {
		wait = shut
	}
	if wait > 0 || p.active >= p.slots {
		return max(wait, 0), false, nil
	}
	ok, err := p.day.Take(now)
	if err == nil && !ok {
		err = allod.WithHint(allod.Errorf(allod.Unavailable, "the daily number of %d requests is used up", p.day.Most),
			"raise --max-requests-per-day or go on tomorrow; what was read stays")
	}
	if err != nil {
		return 0, false, err
	}
	p.active++
	p.win.begin(now)
	return 0, true, nil
}

// closed returns how long the window is shut, and tells of it once.
func (p *pacer) closed(now time.Time) time.Duration {
	if p.shut == nil {
		return 0
	}
	wait := p.shut(now)
	if until := now.Add(wait); wait > 0 && p.tell != nil && until.Sub(p.told).Abs() > time.Minute {
		p.told = until
		p.tell(until)
	}
	return wait
}

// release ends a request that took d, with what its answer said. Success lets
// concurrency grow slowly.
func (p *pacer) release(d time.Duration, v seen, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	p.win.end(p.now(), d, v, p.active)
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
		p.win.throttled()
	}
	if until := now.Add(wait); until.After(p.pause) {
		p.pause = until
	}
}

func (p *pacer) wake() {
	select {
	case p.freed <- struct{}{}:
	default: // told already
	}
}
