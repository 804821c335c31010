package act

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"allod"
	"allod/internal/restore"
	"allod/internal/restore/apply"
	"allod/internal/restore/kept"
	"allod/internal/restore/plan"
)

// BrokenOff are the ids of the plans whose restore into an environment was begun
// and did not come to its end, sorted. Rows may be half made until they are
// carried out to the end.
func (o *Office) BrokenOff(ctx context.Context, env string) ([]string, error) {
	ids, err := o.Plans().Begun()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, id := range ids {
		if r, err := o.Plans().Run(id); err != nil {
			return nil, err
		} else if r == nil || !r.Ended.IsZero() || !r.Undone.IsZero() {
			continue
		}
		req, pl, err := o.LoadPlan(ctx, id)
		if allod.KindOf(err) == allod.NotFound {
			continue // an erasure removes plans that name the record
		}
		if err != nil {
			return nil, err
		}
		if req.to() == env && pl.Undoes == "" {
			out = append(out, id)
		}
	}
	return out, nil
}

// The parts of a plan that broke off, as RestoreSelection.Part names them.
const (
	partMade     = "made"     // rows that it was to make: their references, files, owner and state come last
	partReopened = "reopened" // closed rows that it opened to write them: they are to be closed again
)

// goOn says how a plan goes on that was carried out before. A plan that came to
// its end is Conflict. Of one that broke off, the next part that is left is
// planned and kept, and named by the hint of a Conflict; a plan that has not
// written anything yet is returned afresh, nil when nothing is left.
func (o *Office) goOn(ctx context.Context, r RestoreRequest, pl *plan.Plan, before *kept.Run) (*plan.Plan, error) {
	if !before.Undone.IsZero() {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "carry out the plan %s: it was carried out, and undone", pl.ID), "Plan it anew: the same `allod restore … --plan` as before.")
	}
	if !before.Ended.IsZero() {
		err := allod.Errorf(allod.Conflict, "carry out the plan %s: it was carried out already, until %s", pl.ID, before.Ended.UTC().Format("2006-01-02 15:04:05Z"))
		return nil, allod.WithHint(err, "If something is still missing, plan it anew: the same `allod restore … --plan` as before.")
	}
	for _, part := range []string{partMade, partReopened, ""} {
		req := r
		if part != "" {
			req.Selection = RestoreSelection{Rest: pl.ID, Part: part}
			req.Related = []string{"pairs:1"}
			if req.Conflict != string(plan.Backup) {
				req.Conflict = string(plan.Stop)
			}
			if part == partReopened {
				req.Columns, req.Related = []string{"statecode", "statuscode"}, nil
			}
		}
		p, err := o.prepare(ctx, &req)
		if err != nil {
			return nil, err
		}
		if part != "" && len(p.sel.Tables) == 0 {
			continue
		}
		fresh, err := restore.Build(ctx, p.snapshot, p.live, p.sel, p.opts)
		if err != nil {
			return nil, err
		}
		switch {
		case part == "" && plan.Compare(pl, fresh) == (plan.Change{}):
			return fresh, nil
		case fresh.Empty():
			continue
		}
		err = allod.Errorf(allod.Conflict, "carry out the plan %s: it was begun at %s and broke off", pl.ID, before.Begun.UTC().Format("2006-01-02 15:04:05Z"))
		return nil, allod.WithHint(errors.Join(err, o.SavePlan(ctx, req, fresh)),
			"What is left first is the plan %s: look at it with `allod restore --apply %s --plan`, carry it out with `allod restore --apply %s`, then come back to this one, until nothing is left.", fresh.ID, fresh.ID, fresh.ID)
	}
	return nil, nil
}

// nothingLeft is the report of a plan that broke off and was completed since.
func (o *Office) nothingLeft(id string) (*apply.Report, error) {
	before, err := o.Plans().Run(id)
	if err != nil {
		return nil, err
	}
	now := o.deps.Now().UTC()
	rep := &apply.Report{
		ID: id, Plan: id, Notes: []string{"plan: nothing is left of it"}, Started: now, Finished: now,
		Conflicts: []plan.Skip{}, Skipped: []plan.Skip{}, Failures: []apply.Failure{}, Warnings: []string{}, Refused: []plan.Refusal{},
	}
	return rep, o.Plans().Note(id, kept.Run{Begun: before.Begun, Ended: now, Kept: before.Kept, Uncounted: true})
}

// rest selects rows of a plan that broke off.
func (o *Office) rest(ctx context.Context, id, part string) (restore.Selection, error) {
	_, pl, err := o.LoadPlan(ctx, id)
	if err != nil {
		return restore.Selection{}, err
	}
	ids := map[string]map[allod.GUID]struct{}{}
	for _, s := range pl.Packed() {
		row := !s.Op.OfPair() && s.Op != plan.OpParties
		if part == partMade && row && s.Version == 0 || part == partReopened && s.Pass == plan.PassReopen {
			t := pl.TableOf(s)
			if ids[t] == nil {
				ids[t] = map[allod.GUID]struct{}{}
			}
			ids[t][s.Key] = struct{}{}
		}
	}
	var sel restore.Selection
	for _, t := range slices.Sorted(maps.Keys(ids)) {
		keys := slices.SortedFunc(maps.Keys(ids[t]), func(x, y allod.GUID) int { return bytes.Compare(x[:], y[:]) })
		sel.Tables = append(sel.Tables, restore.TableSelection{Table: t, IDs: keys})
	}
	return sel, nil
}
