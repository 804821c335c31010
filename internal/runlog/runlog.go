// Package runlog reads from the ledger which captures, checks and compactions were begun,
// and how each ended. The ledger holds a decision for each that was allowed to
// begin and an act for its end; nothing else is kept of them. It names nobody
// and nothing: environments are found by their pseudonyms.
package runlog

import (
	"context"
	"iter"
	"time"

	"allod"
	"allod/internal/ledger"
)

// The words of acts that end a run, and of their counts. The use cases write
// them, this package reads them.
const (
	Captured    = "captured"    // a capture was committed; with Gaps, Open, Alarms, Narrowed
	Verified    = "verified"    // a check came to its end; with Bad
	Compacted   = "compacted"   // a compaction came to its end; with Narrowed
	Failed      = "failed"      // any of them ended with an error; with KindOf
	Interrupted = "interrupted" // any of them was ended by a signal

	// Restoring is written before the platform is asked to restore an environment:
	// whatever came of it, what was known of its past holds no more.
	Restoring = "native-restore-asked"

	Open     = "open"     // count: gaps that nobody chose
	Alarms   = "alarms"   // count: alarms that the capture raised
	Narrowed = "narrowed" // count: tables that were asked for, of all there are; 1 for a compaction of one environment, or a plan
	Bad      = "bad"      // count: objects that are not what was stored
	KindOf   = "kind"     // count: the Kind of the error, as a number
)

// Task is what was done.
type Task string

// The tasks.
const (
	Backup Task = "backup" // of one environment
	Verify Task = "verify" // of the vault
	// Compact is a compaction of the vault.
	Compact Task = "compact"
)

// Result says how a run ended.
type Result string

// The results.
const (
	Done       Result = "done"
	Partial    Result = "partial"     // with gaps that nobody chose
	Broken     Result = "failed"      // with an error, see Run.Kind
	Stopped    Result = "interrupted" // by a signal; the next run goes on
	Unfinished Result = "unfinished"  // nothing tells of its end: it is under way, or was killed
)

// Run is one run. Times are UTC.
type Run struct {
	Task        Task             `json:"task"`
	Environment string           `json:"environment,omitempty"` // "" for a check, and for an environment that is not connected any more
	Begun       time.Time        `json:"begun"`
	Ended       time.Time        `json:"ended,omitzero"`
	Result      Result           `json:"result"`
	Kind        allod.Kind       `json:"-"`              // of the error, when Broken
	Failure     string           `json:"kind,omitempty"` // its name
	Counts      map[string]int64 `json:"counts,omitempty"`
}

// Live is a process that does a task now, as its lease tells. Times are UTC.
type Live struct {
	Process string           `json:"process"` // drawn anew by each; names nobody
	Since   time.Time        `json:"since"`
	Heard   time.Time        `json:"heard"` // newest sign of life, by the store's clock
	Counts  map[string]int64 `json:"counts,omitempty"`
}

// Counts of Live, for a capture; those of a table that is read do not rise
// while it is read.
const (
	Rows   = "rows"        // read so far
	Tables = "tables"      // there are to read
	Read   = "tables-done" // read to their end
)

// older is how many entries in a row must be from before the moment asked for
// until nothing newer is expected among those before them: clocks are set, and
// processes write at once.
const older = 64

// Newest yields the runs that the ledger tells of, the newest begin first, until
// it comes to entries from before since. envs are the names of the environments
// it may name. An error ends it: Corrupt or Unavailable, from the ledger.
func Newest(ctx context.Context, l *ledger.Ledger, envs []string, since time.Time) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		names := map[string]string{}
		for _, env := range envs {
			names[l.Opaque("environment", env)] = env
		}
		acts := map[string][]ledger.Entry{} // by session, of those whose decision is still to come
		past := 0                           // entries in a row that are older than since
		for n := l.Head().Size - 1; n >= 0 && past < older; n-- {
			e, err := l.Get(ctx, n)
			if err != nil {
				yield(Run{}, err)
				return
			}
			if past++; !e.Time.Before(since) {
				past = 0
			}
			if e.Kind == ledger.KindAct {
				if ends(e.Action) {
					acts[e.Session] = append(acts[e.Session], e)
				}
				continue
			}
			run, ok := begun(e, names)
			if !ok {
				continue
			}
			for _, a := range acts[e.Session] { // the last one first
				run.end(a)
			}
			delete(acts, e.Session)
			if !yield(run, nil) {
				return
			}
		}
	}
}

// PutBack says why the past of an environment ends behind its newest snapshot, of
// since: this vault had the platform restore it after that capture was begun, in the order
// of the ledger. "" when it did not. Corrupt or Unavailable, from the ledger.
func PutBack(ctx context.Context, l *ledger.Ledger, env string, since time.Time) (string, error) {
	name, past := l.Opaque("environment", env), 0
	captured := map[string]bool{} // sessions
	for n := l.Head().Size - 1; n >= 0 && past < older; n-- {
		e, err := l.Get(ctx, n)
		if err != nil {
			return "", err
		}
		if past++; !e.Time.Before(since) {
			past = 0
		}
		switch {
		case e.Environment != name:
		case e.Kind == ledger.KindAct && e.Action == Captured:
			captured[e.Session] = true
		case e.Kind == ledger.KindAct && e.Action == Restoring:
			return "allod native restore had the platform restore it", nil
		case e.Kind == ledger.KindDecision && captured[e.Session]:
			return "", nil
		}
	}
	return "", nil
}

func ends(action string) bool {
	return action == Captured || action == Verified || action == Compacted || action == Failed || action == Interrupted
}

// begun makes a run of a decision to begin one.
func begun(e ledger.Entry, names map[string]string) (Run, bool) {
	r := Run{Begun: e.Time.UTC(), Result: Unfinished}
	switch e.Action {
	case "capture":
		r.Task, r.Environment = Backup, names[e.Environment]
	case "verify":
		r.Task = Verify
	case "compact":
		r.Task = Compact
	default:
		return Run{}, false
	}
	if e.Effect != "allow" {
		r.Ended = r.Begun
		r.fail(allod.Denied)
	}
	return r, true
}

func (r *Run) fail(k allod.Kind) { r.Result, r.Kind, r.Failure = Broken, k, k.String() }

// end adds an act of the run. An error or a signal weighs more than what was
// committed before it.
func (r *Run) end(e ledger.Entry) {
	if r.Ended.IsZero() {
		r.Ended = e.Time.UTC()
	}
	switch e.Action {
	case Failed:
		r.fail(kind(e.Counts[KindOf]))
		return
	case Interrupted:
		r.Result = Stopped
		return
	}
	r.Counts = e.Counts
	switch {
	case r.Result == Broken || r.Result == Stopped:
	case e.Counts[Bad] > 0:
		r.fail(allod.Corrupt)
	case e.Counts[Open] > 0:
		r.Result = Partial
	default:
		r.Result = Done
	}
}

// kind is a Kind as it stands in the ledger; Internal for a number that is none.
func kind(n int64) allod.Kind {
	if n < int64(allod.Internal) || n > int64(allod.Unavailable) {
		return allod.Internal
	}
	return allod.Kind(n)
}
