package job

import (
	"fmt"
	"time"

	"allod/internal/vault/lease"
)

// Past is what the vault and its ledger tell of one task: its newest attempt
// and how it went.
type Past struct {
	Begun    time.Time // of the newest attempt; zero = there was none
	Failures int       // attempts in a row that failed, the newest included
	CutOff   bool      // the newest was interrupted on purpose: it goes on at once
	Open     bool      // nothing is recorded of how the newest ended
	Stirred  time.Time // newest sign of life of it: begin or commit; only with Open
	Held     time.Time // another process does it, by its lease, at least until then; zero = none does
	Gone     bool      // the process that began the newest did not renew its lease, and so does it no more; only with Open
}

// Run is the answer of Due.
type Run struct {
	Due    bool
	At     time.Time // when it was due, or will be next; zero = never. UTC
	Missed int       // how many earlier runs are made up by this one
}

// Times of Due.
const (
	firstBackoff = 5 * time.Minute  // after the first failure; it doubles
	lastBackoff  = time.Hour        // and does not grow beyond
	silence      = 30 * time.Minute // an attempt without an end that did not commit for so long is dead: captures commit every 30 s, or 100,000 rows
	clockSlack   = lease.Slack      // a begin that much in the future is still now: clocks of machines differ
	punctual     = 15 * time.Minute // a run that late was missed
	countMissed  = 1000             // missed runs are counted up to this
)

// Due decides whether a task is to be done now, and says why, in words that
// follow "prod: ". It is a pure function. Runs that were missed are made up
// once; a failed one is tried again after 5 minutes, doubling up to an hour; what
// another process has the lease of is left to it; an attempt of which nobody
// wrote how it ended has failed when the lease of its process has run out, and,
// where it had none (a backup by hand), counts as running until it was silent
// for 30 minutes.
func Due(now time.Time, s Schedule, p Past) (Run, string) {
	switch {
	case s.Off():
		return Run{}, "it is switched off"
	case !p.Held.IsZero():
		return Run{At: p.Held.UTC()}, "another process does it"
	case p.Begun.IsZero():
		return Run{Due: true, At: now.UTC()}, "it was never done"
	case p.Begun.After(now.Add(clockSlack)):
		return Run{Due: true, At: now.UTC()}, "the last run lies in the future: the clock was set back"
	case p.CutOff:
		return Run{Due: true, At: p.Begun.UTC()}, "the last run was interrupted"
	case p.Open && p.Gone:
		return Run{Due: true, At: p.Begun.UTC()}, "the process that did it is gone"
	case p.Open:
		alive := later(p.Begun, p.Stirred)
		if until := alive.Add(silence); now.Before(until) && !alive.After(now.Add(clockSlack)) {
			return Run{At: until.UTC()}, "a run is under way, or broke off without a word"
		}
		return Run{Due: true, At: alive.Add(silence).UTC()}, "the last run broke off without a word"
	case p.Failures > 0:
		at := p.Begun.Add(backoff(p.Failures)).UTC()
		return Run{Due: !now.Before(at), At: at}, fmt.Sprintf("the last %s failed", attempts(p.Failures))
	}
	at := s.Next(p.Begun)
	if at.IsZero() || now.Before(at) {
		return Run{At: at}, "it is not time yet"
	}
	run := Run{Due: true, At: at}
	for next := s.Next(at); !next.IsZero() && !next.After(now) && run.Missed < countMissed; next = s.Next(next) {
		run.Missed, run.At = run.Missed+1, next
	}
	switch {
	case run.Missed > 0:
		return run, fmt.Sprintf("it is time, and %d earlier runs were missed", run.Missed)
	case now.Sub(at) > punctual:
		return run, "it was missed"
	}
	return run, "it is time"
}

func attempts(n int) string {
	if n == 1 {
		return "attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// backoff is how long after the begin of the n-th failure in a row it is tried
// again.
func backoff(n int) time.Duration {
	d := firstBackoff
	for ; n > 1 && d < lastBackoff; n-- {
		d *= 2
	}
	return min(d, lastBackoff)
}
