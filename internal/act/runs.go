package act

import (
	"context"
	"errors"
	"iter"
	"time"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/runlog"
)

// failed puts on record that what was allowed under a session ended with an
// error, or was interrupted, and returns the error.
func (o *Office) failed(ctx context.Context, s gate.Session, err error) error {
	if ctx.Err() != nil {
		return errors.Join(err, o.gate.Act(ctx, s, runlog.Interrupted, nil))
	}
	return errors.Join(err, o.gate.Act(ctx, s, runlog.Failed, map[string]int64{runlog.KindOf: int64(allod.KindOf(err))}))
}

// Runs yields what was captured and checked since a moment, by hand or by
// schedule, the newest first. It shows no content and records nothing.
func (o *Office) Runs(ctx context.Context, since time.Time) iter.Seq2[runlog.Run, error] {
	return runlog.Newest(ctx, o.ledger, o.Environments(), since)
}

// Captures is what the log tells of an environment without opening a row.
type Captures struct {
	Snapshots   []allod.Snapshot // oldest first
	OldestToken time.Time        // of change tracking; zero = none
}

// Captures reads what the log tells of an environment. Nothing is recorded.
func (o *Office) Captures(ctx context.Context, env string) (Captures, error) {
	all, err := o.vault.Snapshots(ctx, env)
	if err != nil || len(all) == 0 {
		return Captures{}, err
	}
	oldest, err := o.oldestToken(ctx, env)
	return Captures{all, oldest}, err
}

// Path resolves a path of the configuration against the folder of this Allod.
func (o *Office) Path(p string) string { return o.path(p) }
