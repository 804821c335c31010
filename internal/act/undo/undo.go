// Package undo takes restores back, and tells which there were.
package undo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/overwrite"
	"allod/internal/govern/gate"
	"allod/internal/restore"
	"allod/internal/restore/apply"
	"allod/internal/restore/beside"
	"allod/internal/restore/consent"
	"allod/internal/restore/kept"
	"allod/internal/restore/plan"
	"allod/internal/restore/replay"
	"allod/internal/restore/undo"
	"allod/internal/source"
	"allod/internal/source/live"
	"allod/internal/vault"
	"allod/internal/vault/preimage"
)

// Request says which restore, or undo, is to be taken back, and what becomes of
// rows that were touched since.
type Request struct {
	ID       string
	Conflict string // stop, backup, live, fill-empty; "" = stop
	Bypass   []string
	Contact  []string // TABLE:ID of who may be reached again
	Planning func()   // called, if there is one, when it is found and the reading begins
}

// Ready is an undo that is planned.
type Ready struct {
	Plan *plan.Plan

	o       *act.Office
	r       Request
	env     string
	session gate.Session
	site    *preimage.Site
	of      undo.Of
	src     source.Source
}

// Make plans the undo of a restore, and writes nothing but the plan itself.
// NotFound for an id that is none; Conflict for a plan that was never carried
// out, and for one that was undone already; Invalid where nothing was kept.
func Make(ctx context.Context, o *act.Office, r Request) (*Ready, error) {
	req, pl, run, err := load(ctx, o, r.ID)
	if err != nil {
		return nil, err
	}
	if r.Planning != nil {
		r.Planning()
	}
	v, g, _, deps := o.Inside()
	u := &Ready{o: o, r: r, env: environment(pl.To)}
	ask := gate.Request{Actor: deps.Actor, Action: gate.ActionUndo, Purpose: cmp.Or(deps.Purpose, allod.PurposeRestore), Resource: gate.Resource{Environment: u.env, Class: allod.ClassContent}}
	if u.session, err = g.Open(ctx, ask); err != nil {
		return nil, err
	}
	production, err := u.connect(ctx, pl)
	if err != nil {
		return nil, err
	}
	u.of.Plan, u.of.BrokenOff = pl, run.Ended.IsZero()
	if u.site, err = v.PreImages(ctx, u.session, u.env); err != nil {
		return nil, err
	}
	if u.of.Before, err = u.site.Run(ctx, r.ID); err != nil {
		return nil, fmt.Errorf("undo %s: %w", r.ID, err)
	}
	corrected, err := replay.Over(ctx, v, g, deps.Actor, u.of.Before, u.env, u.of.Before.Base())
	if err != nil {
		return nil, err
	}
	u.of.Corrected = corrected
	if u.of.BrokenOff {
		if u.of.Written, err = u.written(ctx, v, g, ask, req); err != nil {
			return nil, err
		}
	}
	if u.of.Left, err = left(ctx, o, r.ID, u.env); err != nil {
		return nil, err
	}
	caps := u.src.Capabilities()
	allowed, err := consent.Parse(r.Contact)
	if err != nil {
		return nil, err
	}
	u.Plan, err = undo.Make(ctx, u.of, restore.Options{
		AllowContact: allowed,
		OnConflict:   plan.OnConflict(r.Conflict), Loopback: caps.Loopback, Production: production.Production, Because: production.Why,
		Approvers: []allod.Actor{deps.Actor}, Replayed: corrected.Replayed, Now: deps.Now,
		Look: beside.Side{Source: u.src, Bypass: r.Bypass}.LookAtTriggers,
	})
	if err != nil {
		return nil, err
	}
	c := u.Plan.Counts
	if err := g.Act(ctx, u.session, "planned-undo", map[string]int64{"create": c.Create, "update": c.Update, "delete": c.Delete}); err != nil {
		return nil, err
	}
	return u, o.SavePlan(ctx, act.RestoreRequest{From: act.Moment{Environment: u.env, Live: true}, To: u.env, Conflict: r.Conflict, Bypass: r.Bypass, Contact: r.Contact}, u.Plan)
}

// load returns what was carried out under an id, if it can be undone.
func load(ctx context.Context, o *act.Office, id string) (act.RestoreRequest, *plan.Plan, *kept.Run, error) {
	req, pl, err := o.LoadPlan(ctx, id)
	if err != nil {
		run, rerr := o.Plans().Run(id)
		switch {
		case allod.KindOf(err) != allod.NotFound || rerr != nil:
		case run != nil:
			err = allod.WithHint(allod.Errorf(allod.NotFound, "undo %s: its plan named a record that was erased, corrected or restricted since, and went with it", id), "A snapshot from before it brings back what it changed: `allod snapshots`, then `allod restore`.")
		default:
			err = allod.WithHint(allod.Errorf(allod.NotFound, "undo %s: there is no restore of that id", id), "`allod restores list` lists those there are.")
		}
		if rerr != nil {
			err = rerr
		}
		return req, nil, nil, err
	}
	run, err := o.Plans().Run(id)
	switch {
	case err != nil:
	case run == nil:
		err = allod.WithHint(allod.Errorf(allod.Conflict, "undo %s: it is a plan that was never carried out", id), "There is nothing to take back. `allod restores list` lists what was carried out.")
	case !run.Undone.IsZero():
		err = allod.WithHint(allod.Errorf(allod.Conflict, "undo %s: it is done: it was undone at %s", id, run.Undone.UTC().Format("2006-01-02 15:04:05Z")), "`allod undo %s` takes that back in turn.", run.By)
	case pl.Empty():
		err = allod.WithHint(allod.Errorf(allod.Conflict, "undo %s: it wrote nothing", id), "There is nothing to take back. `allod restores list` lists what was carried out.")
	case !run.Kept:
		err = allod.WithHint(allod.Errorf(allod.Invalid, "undo %s: nothing is kept of what was there before: %s had no backup then, or an older version of Allod carried it out", id, environment(pl.To)),
			"A snapshot from before it brings back what it changed: `allod snapshots %s`, then `allod restore`.", environment(pl.To))
	}
	return req, pl, run, err
}

// environment is the name in what a plan writes to, "ENV@live".
func environment(to string) string {
	env, _, _ := strings.Cut(to, "@")
	return env
}

// connect opens the environment and says whether it is production. Conflict when
// it is not the one any more that the plan wrote to.
func (u *Ready) connect(ctx context.Context, pl *plan.Plan) (source.Standing, error) {
	_, _, _, deps := u.o.Inside()
	c, ok := u.o.Config().Environments[u.env]
	if !ok {
		err := allod.Errorf(allod.NotFound, "undo %s: the environment %s is not connected any more", pl.ID, u.env)
		return source.Standing{}, allod.WithHint(err, "`allod connect %s URL --kind dataverse` adds it.", u.env)
	}
	var err error
	if u.src, err = deps.OpenSource(ctx, u.env, c); err != nil {
		return source.Standing{}, err
	}
	standing, err := source.StandingOf(ctx, u.src, c.Production)
	if err != nil {
		return standing, err
	}
	view, err := live.New(ctx, u.src)
	if err != nil {
		return standing, err
	}
	if now := view.Schema().Identity.Organization; pl.Organization != now {
		return standing, allod.Errorf(allod.Conflict, "undo %s: %s is not the environment any more that it was carried out in", pl.ID, u.env)
	}
	u.of.Live = view
	return standing, nil
}

// written is what the run wrote values of.
func (u *Ready) written(ctx context.Context, v *vault.Vault, g *gate.Gate, ask gate.Request, req act.RestoreRequest) (source.View, error) {
	if u.of.Plan.Undoes != "" {
		return u.site.Run(ctx, u.of.Plan.Undoes)
	}
	s := u.session
	if ask.Resource.Environment != req.From.Environment {
		var err error
		ask.Resource.Environment = req.From.Environment
		if s, err = g.Open(ctx, ask); err != nil {
			return nil, err
		}
	}
	return replay.At(ctx, v, g, s, req.From.Environment, req.From.Snapshot)
}

// left reads the versions that the run left rows in, then those that undos have:
// what a later run did and an undo took back is as the first one left it.
func left(ctx context.Context, o *act.Office, id, env string) ([]kept.Left, error) {
	first, err := o.Plans().Left(id)
	if err != nil {
		return nil, err
	}
	out := []kept.Left{first}
	ids, err := o.Plans().Begun()
	if err != nil {
		return nil, err
	}
	for _, other := range ids {
		_, pl, err := o.LoadPlan(ctx, other)
		if allod.KindOf(err) == allod.NotFound {
			continue // forgotten: an erasure removes plans that name the record
		}
		if err != nil {
			return nil, err
		}
		if other == id || pl.Undoes == "" || environment(pl.To) != env {
			continue
		}
		l, err := o.Plans().Left(other)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// Run carries the undo out. Conflict, with nothing written, for rows that were
// touched since where nothing says what becomes of them; otherwise as
// act.Office.Restore. What was there before the undo is kept like that before a
// restore, so that it can be undone itself.
func (u *Ready) Run(ctx context.Context, c act.RestoreControl) (*apply.Report, error) {
	_, g, _, deps := u.o.Inside()
	if n := len(u.Plan.Conflicts); n > 0 {
		err := allod.Errorf(allod.Conflict, "undo %s: %s touched since; nothing was written", u.r.ID, plan.Count(int64(n), "row"))
		return nil, allod.WithHint(err, "Say what becomes of them: --on-conflict live leaves them as they are, backup writes what was there before the restore over them.")
	}
	target, ok := u.src.(source.Target)
	if !ok {
		return nil, allod.Errorf(allod.Invalid, "undo in %s: it cannot be written to", u.env)
	}
	approval := &act.Approval{Spend: func(context.Context) error { return nil }}
	if u.Plan.Production && u.Plan.Overwrites() > 0 {
		digest, err := u.Plan.Digest(u.r.Bypass)
		if err != nil {
			return nil, err
		}
		says := fmt.Sprintf("take back the restore %s in %s: change or delete %s of production", u.r.ID, u.env, plan.Count(u.Plan.Overwrites(), "row"))
		if approval, err = overwrite.Require(ctx, u.o, digest, says); err != nil {
			return nil, err
		}
	}
	opts := apply.Options{Rate: c.Rate, PauseAtErrors: c.PauseAtErrors, Bypass: slices.Clone(u.r.Bypass), Progress: c.Progress, Now: deps.Now}
	rep, err := undo.Carrier{Site: u.site, Folder: u.o.Plans(), Now: deps.Now}.Run(ctx, u.Plan, undo.View(u.of), u.of.Live, target, opts)
	if rep == nil {
		return nil, err
	}
	if err = rep.Interrupted(ctx, err); ctx.Err() != nil {
		err = allod.WithHint(err, "Rows may be half made. `allod undo %s` says what is left.", u.r.ID)
	}
	if err == nil && rep.Paused == "" {
		if err = approval.Spend(ctx); err == nil && rep.Failed == 0 && len(rep.Conflicts) == 0 {
			err = u.done(rep.Finished)
		}
	}
	counts := map[string]int64{"created": rep.Created, "updated": rep.Updated, "deleted": rep.Deleted, "failed": rep.Failed, "conflicts": int64(len(rep.Conflicts))}
	rep.Approve(approval.Approval, counts)
	if aerr := g.Act(ctx, u.session, "undone", counts); aerr != nil && err == nil {
		err = aerr
	}
	return rep, err
}

// done notes that the run is taken back; one that it had itself taken back stands
// again.
func (u *Ready) done(at time.Time) error {
	f := u.o.Plans()
	run, err := f.Run(u.r.ID)
	if err != nil {
		return err
	}
	run.Undone, run.By = at, u.Plan.ID
	if err := f.Note(u.r.ID, *run); err != nil || u.of.Plan.Undoes == "" {
		return err
	}
	first, err := f.Run(u.of.Plan.Undoes)
	if err != nil || first == nil {
		return err
	}
	first.Undone, first.By = time.Time{}, ""
	return f.Note(u.of.Plan.Undoes, *first)
}

// Restore is one that was carried out, or an undo. Times are UTC.
type Restore struct {
	ID          string    `json:"id"`
	Environment string    `json:"environment"`      // that was written to; "" when the plan is erased
	From        string    `json:"from"`             // where the values came from
	Undoes      string    `json:"undoes,omitempty"` // what an undo takes back
	State       string    `json:"state"`            // "done", "broken off", "undone", "plan erased"
	Counted     bool      `json:"counted"`          // false: it was cut off without a word, and what it wrote is in the environment alone
	Begun       time.Time `json:"begun"`
	Ended       time.Time `json:"ended,omitzero"`
	Undone      time.Time `json:"undone,omitzero"`
	By          string    `json:"undone_by,omitempty"`
	CanUndo     bool      `json:"can_undo"` // what was there before is in the vault
	Created     int64     `json:"created"`
	Updated     int64     `json:"updated"`
	Deleted     int64     `json:"deleted"`
	Failed      int64     `json:"failed"`
	Conflicts   int64     `json:"conflicts"`
	// Numbers are the columns, TABLE.COLUMN, that go on from a number that it set.
	Numbers map[string]int64 `json:"numbers,omitempty"`
}

// List tells which restores and undos were carried out, the newest first; env ""
// = in every environment. It shows no content and records nothing.
func List(ctx context.Context, o *act.Office, env string) ([]Restore, error) {
	ids, err := o.Plans().Begun()
	if err != nil {
		return nil, err
	}
	out := []Restore{}
	for _, id := range ids {
		r, _, err := Show(ctx, o, id)
		if allod.KindOf(err) == allod.NotFound {
			r, err = forgotten(o, id)
		}
		if err != nil {
			return nil, err
		}
		if env == "" || r.Environment == env {
			out = append(out, *r)
		}
	}
	slices.SortStableFunc(out, func(a, b Restore) int { return cmp.Or(b.Begun.Compare(a.Begun), strings.Compare(a.ID, b.ID)) })
	return out, nil
}

// forgotten tells of one whose plan named a record that was erased, corrected or restricted since: the plan
// went with it, and what it was for.
func forgotten(o *act.Office, id string) (*Restore, error) {
	run, err := o.Plans().Run(id)
	if err != nil || run == nil {
		return nil, err
	}
	return &Restore{
		ID: id, State: "plan erased", Counted: !run.Uncounted && !run.Ended.IsZero(), Begun: run.Begun, Ended: run.Ended, Undone: run.Undone, By: run.By,
		Created: run.Created, Updated: run.Updated, Deleted: run.Deleted, Failed: run.Failed, Conflicts: run.Conflicts, Numbers: run.Numbers,
	}, nil
}

// Show tells of one of them, and returns its plan. NotFound when nothing of that
// id was carried out.
func Show(ctx context.Context, o *act.Office, id string) (*Restore, *plan.Plan, error) {
	_, pl, err := o.LoadPlan(ctx, id)
	var run *kept.Run
	if err == nil {
		run, err = o.Plans().Run(id)
	}
	if err == nil && run == nil || allod.KindOf(err) == allod.NotFound {
		err = allod.WithHint(allod.Errorf(allod.NotFound, "show the restore %s: nothing of that id was carried out", id), "`allod restores list` lists what was.")
	}
	if err != nil {
		return nil, nil, err
	}
	r := &Restore{
		ID: id, Environment: environment(pl.To), From: pl.From, Undoes: pl.Undoes, State: "done", Begun: run.Begun, Ended: run.Ended, Undone: run.Undone, By: run.By, CanUndo: run.Kept && run.Undone.IsZero(),
		Created: run.Created, Updated: run.Updated, Deleted: run.Deleted, Failed: run.Failed, Conflicts: run.Conflicts, Numbers: run.Numbers,
	}
	switch {
	case !run.Undone.IsZero():
		r.State = "undone"
	case run.Ended.IsZero():
		r.State = "broken off"
	}
	r.Counted = !run.Uncounted && !run.Ended.IsZero() || r.Created+r.Updated+r.Deleted+r.Failed+r.Conflicts > 0
	return r, pl, nil
}
