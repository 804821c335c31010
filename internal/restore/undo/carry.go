package undo

import (
	"context"
	"errors"
	"time"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/kept"
	"allod/internal/restore/plan"
	"allod/internal/source"
	"allod/internal/vault/preimage"
)

// Carrier carries plans out so that they can be taken back.
type Carrier struct {
	Site   *preimage.Site // nil = nothing of the environment is in the vault: what is written cannot be undone
	Folder kept.Folder
	// After, when not nil, does what the plan has done once its rows are written.
	After func(ctx context.Context, p *plan.Plan, snap, live source.View, rep *apply.Report) error
	Now   func() time.Time
}

// Run keeps what is there in the vault, then carries the plan out as apply.Run
// does, and writes down beside the plan when it began and ended and what rows were
// left in. Before and OnResult of the options are set here. Conflict, with nothing
// written, where what is there cannot be kept. One that does not come to its end
// has no end beside its plan.
func (c Carrier) Run(ctx context.Context, p *plan.Plan, snap, live source.View, target source.Target, o apply.Options) (*apply.Report, error) {
	run := kept.Run{Begun: c.Now().UTC(), Kept: c.Site != nil}
	var k *Keeper
	switch {
	case c.Site != nil:
		journal, err := c.Folder.Journal(p.ID)
		if err != nil {
			return nil, err
		}
		defer func() { _ = journal.Close() }() // what it lacks is found by comparing
		if k, err = Keep(ctx, c.Site, p, live, journal); err != nil {
			return nil, err
		}
		o.Before, o.OnResult = k.Before, k.Result
	case p.Counts.Update > 0:
		err := allod.Errorf(allod.Conflict, "carry out the plan %s: it writes over rows of %s, which was never backed up, so that it could not be undone", p.ID, p.To)
		return nil, allod.WithHint(err, "Run `allod backup` for it first, then plan the restore anew.")
	}
	if err := c.Folder.Note(p.ID, run); err != nil {
		return nil, err
	}
	rep, err := apply.Run(ctx, p, snap, live, target, o)
	if c.After != nil && err == nil && ctx.Err() == nil && rep.Paused == "" {
		err = c.After(ctx, p, snap, live, rep)
	}
	run.Numbers = rep.Numbers
	run.Created, run.Updated, run.Deleted, run.Failed, run.Conflicts = rep.Created, rep.Updated, rep.Deleted, rep.Failed, int64(len(rep.Conflicts))
	if err == nil && ctx.Err() == nil && rep.Paused == "" {
		if k != nil {
			err = k.Finish(ctx, snap)
		}
		run.Ended = c.Now().UTC()
	}
	if err != nil {
		run.Ended = time.Time{}
	}
	return rep, errors.Join(err, c.Folder.Note(p.ID, run))
}
