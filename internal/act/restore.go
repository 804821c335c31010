package act

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"allod"
	"allod/internal/act/near"
	"allod/internal/govern/gate"
	"allod/internal/odata/query"
	"allod/internal/odata/rowjson"
	"allod/internal/relate"
	"allod/internal/restore"
	"allod/internal/restore/apply"
	"allod/internal/restore/beside"
	"allod/internal/restore/consent"
	"allod/internal/restore/kept"
	"allod/internal/restore/plan"
	"allod/internal/restore/replay"
	"allod/internal/restore/undo"
	"allod/internal/restore/unmerge"
	"allod/internal/source"
	"allod/internal/source/live"
	"allod/internal/vault/preimage"
)

// RestoreRequest says what is to be restored, as typed. Its JSON is kept
// beside the plan, so that --apply can plan again and compare.
type RestoreRequest struct {
	From      Moment           `json:"from"`
	To        string           `json:"to"` // environment; "" = the one of From
	Selection RestoreSelection `json:"selection"`
	Columns   []string         `json:"columns,omitempty"`
	Exclude   []string         `json:"exclude_columns,omitempty"`
	Related   []string         `json:"related,omitempty"` // KIND:DEPTH
	Conflict  string           `json:"on_conflict,omitempty"`
	Security  bool             `json:"security,omitempty"`
	Bypass    []string         `json:"bypass,omitempty"`
	Contact   []string         `json:"allow_contact,omitempty"` // TABLE:ID of who may be reached again
	beside.Request
}

// RestoreSelection says which rows.
type RestoreSelection struct {
	All          bool     `json:"all,omitempty"`
	Table        string   `json:"table,omitempty"`
	IDs          []string `json:"ids,omitempty"`
	Filter       string   `json:"filter,omitempty"`        // OData, over the rows of Table in the snapshot
	DeletedSince string   `json:"deleted_since,omitempty"` // only rows that are no longer live
	Unmerge      string   `json:"unmerge,omitempty"`       // TABLE:ID of a record that was merged into another
	Rest         string   `json:"rest,omitempty"`          // what a kept plan that broke off has left
	Part         string   `json:"part,omitempty"`          // of Rest: made or reopened
}

// RestoreControl steers the carrying out.
type RestoreControl struct {
	Rate          float64 // writes per second; 0 = as the environment allows
	PauseAtErrors int     // stop after so many; 0 = never
	Progress      func(done, total int64)
	// Approve is asked for the approval of a plan that overwrites rows of a
	// production environment, right before it is carried out; its error ends the
	// restore. Without it such a plan is Denied. See package overwrite.
	Approve func(ctx context.Context, r RestoreRequest, pl *plan.Plan) (*Approval, error)
}

// Approval is what people said to a plan. Spend is called once it is carried out.
type Approval struct {
	apply.Approval
	Spend func(context.Context) error
}

// to is the environment that is written to.
func (r *RestoreRequest) to() string {
	if r.To != "" {
		return r.To
	}
	return r.From.Environment
}

// restoring is what planning and carrying out have in common.
type restoring struct {
	session  gate.Session
	snapshot source.View
	live     *live.View
	src      source.Source
	sel      restore.Selection
	opts     restore.Options
	side     beside.Side
}

// prepare opens both sides and reads what was typed. From is pinned to the
// snapshot it means now, so that a plan does not move.
func (o *Office) prepare(ctx context.Context, r *RestoreRequest) (*restoring, error) {
	if r.From.Live {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "restore from %s: that is the environment itself", r.From), "Name a snapshot: `allod snapshots %s` lists them.", r.From.Environment)
	}
	s, err := o.session(ctx, gate.ActionRestore, r.From.Environment, allod.PurposeRestore)
	if err != nil {
		return nil, err
	}
	meta, err := o.pick(ctx, r.From)
	if err != nil {
		return nil, err
	}
	r.From = Moment{Environment: r.From.Environment, Snapshot: meta.ID}
	snap, err := replay.At(ctx, o.vault, o.gate, s, r.From.Environment, meta.ID)
	if err != nil {
		return nil, err
	}
	p := &restoring{session: s, snapshot: snap}
	if p.src, err = o.source(ctx, r.to()); err != nil {
		return nil, err
	}
	standing, err := source.StandingOf(ctx, p.src, o.config.Environments[r.to()].Production)
	if err != nil {
		return nil, err
	}
	if p.live, err = live.New(ctx, p.src); err != nil {
		return nil, err
	}
	var u unmerge.Found
	if r.Selection.Unmerge != "" {
		u, err = unmerge.Find(ctx, snap, p.live, r.Selection.Unmerge)
		p.sel, p.snapshot = u.Selection, u.View
	} else if r.Selection.Rest != "" {
		p.sel, err = o.rest(ctx, r.Selection.Rest, r.Selection.Part)
	} else {
		p.sel, err = selection(p.snapshot, r.Selection)
	}
	if err != nil {
		return nil, err
	}
	p.opts = restore.Options{
		Columns: r.Columns, ExcludeColumns: r.Exclude, OnConflict: plan.OnConflict(r.Conflict), Security: r.Security,
		Loopback: p.src.Capabilities().Loopback, Production: standing.Production, Because: standing.Why, Approvers: []allod.Actor{o.deps.Actor}, Replayed: snap.Replayed, Skipped: u.Skipped, Warnings: u.Warnings, Now: o.deps.Now,
	}
	p.side = beside.Side{Request: r.Request, Source: p.src, Schema: p.live.Schema(), Bypass: r.Bypass, Part: len(r.Columns)+len(r.Exclude) > 0}
	p.opts.Look = p.side.Look
	if err := checkColumns(p.snapshot, r); err != nil {
		return nil, err
	}
	if p.opts.AllowContact, err = consent.Parse(r.Contact); err != nil {
		return nil, err
	}
	for _, text := range r.Related {
		f, err := relate.Parse(text)
		if err != nil {
			return nil, err
		}
		p.opts.Related = append(p.opts.Related, f)
	}
	return p, nil
}

// checkColumns refuses columns that no table concerned has: a mistyped one would
// quietly write nothing, or leave nothing out.
func checkColumns(v source.View, r *RestoreRequest) error {
	tables := v.Schema().Tables
	for _, name := range append(slices.Clone(r.Columns), r.Exclude...) {
		only, column := r.Selection.Table, name
		if len(r.Related) > 0 {
			only = ""
		}
		if t, c, dotted := strings.Cut(name, "."); dotted {
			only, column = t, c
		}
		var names []string
		found := false
		for i := range tables {
			if only != "" && tables[i].Name != only {
				continue
			}
			for j := range tables[i].Columns {
				names = append(names, tables[i].Columns[j].Name)
				found = found || tables[i].Columns[j].Name == column
			}
		}
		if found {
			continue
		}
		err := allod.Errorf(allod.Invalid, "restore the column %q: %s has none of that name", name, cmp.Or(only, "no table"))
		if meant := near.Of(column, names); meant != "" {
			return allod.WithHint(err, "Did you mean %q?", meant)
		}
		return allod.WithHint(err, "`allod schema %s TABLE` lists the columns of a table.", v.Name())
	}
	return nil
}

// selection turns what was typed into what restore knows.
func selection(v source.View, r RestoreSelection) (restore.Selection, error) {
	sel := restore.Selection{All: r.All, DeletedOnly: r.DeletedSince != ""}
	if r.Table == "" {
		if r.Filter != "" {
			return sel, allod.Errorf(allod.Invalid, "restore with --filter: name the table it is for")
		}
		sel.All = sel.All || sel.DeletedOnly
		return sel, nil
	}
	t, err := findTable(v, r.Table)
	if err != nil {
		return sel, err
	}
	ts := restore.TableSelection{Table: t.Name}
	for _, id := range r.IDs {
		g, err := parseID(v, t, id)
		if err != nil {
			return sel, err
		}
		ts.IDs = append(ts.IDs, g)
	}
	if r.Filter != "" {
		expr, err := query.ParseExpr(r.Filter)
		if err != nil {
			return sel, allod.WithHint(err, "The filter is an OData $filter over the rows of the snapshot.")
		}
		keep, err := rowjson.Filter(t, expr)
		if err != nil {
			return sel, err
		}
		ts.Filter = func(row *allod.Row) bool { ok, err := keep(row); return err == nil && ok }
	}
	sel.Tables = []restore.TableSelection{ts}
	return sel, nil
}

// PlanRestore computes what a restore would write, and writes nothing but the
// plan itself, which holds names and numbers, no values.
func (o *Office) PlanRestore(ctx context.Context, r RestoreRequest) (*plan.Plan, error) {
	p, err := o.prepare(ctx, &r)
	if err != nil {
		return nil, err
	}
	pl, err := restore.Build(ctx, p.snapshot, p.live, p.sel, p.opts)
	if err != nil {
		return nil, err
	}
	if err := o.gate.Act(ctx, p.session, "planned-restore", map[string]int64{"create": pl.Counts.Create, "update": pl.Counts.Update}); err != nil {
		return nil, err
	}
	return pl, o.SavePlan(ctx, r, pl)
}

// savedPlan is a plan and what it was asked for.
type savedPlan struct {
	Request RestoreRequest `json:"request"`
	Plan    *plan.Plan     `json:"plan"`
}

var planID = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

func (o *Office) planPath(id string) string { return filepath.Join(o.Dir, "plans", id+".json") }

// SavePlan keeps a plan, with what it was asked for.
func (o *Office) SavePlan(ctx context.Context, r RestoreRequest, pl *plan.Plan) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := json.Marshal(savedPlan{r, pl})
	if err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	if err := o.deps.Disk.MkdirAll(o.Plans().Dir); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	if err := o.deps.Disk.Replace(o.planPath(pl.ID), b); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	return nil
}

// LoadPlan returns a kept plan; NotFound when there is none of that id.
func (o *Office) LoadPlan(ctx context.Context, id string) (RestoreRequest, *plan.Plan, error) {
	var saved savedPlan
	if !planID.MatchString(id) {
		return saved.Request, nil, allod.WithHint(allod.Errorf(allod.Invalid, "find the plan %q: not the id of a plan", id), "`allod restore … --plan` prints the id of the plan it keeps.")
	}
	b, err := os.ReadFile(o.planPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return saved.Request, nil, allod.WithHint(allod.Errorf(allod.NotFound, "find the plan %s: there is none", id), "`allod restore … --plan` makes one and prints its id.")
	}
	if err != nil {
		return saved.Request, nil, &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("read the plan %s: %w", id, err)}
	}
	if err := json.Unmarshal(b, &saved); err != nil || saved.Plan == nil {
		return saved.Request, nil, allod.Errorf(allod.Corrupt, "read the plan %s: %w", id, err)
	}
	if err := saved.Plan.Check(); err != nil {
		return saved.Request, nil, err
	}
	return saved.Request, saved.Plan, ctx.Err()
}

// Restore carries out a plan. One older than 24 hours is planned again first,
// and refused with Conflict if that gives something else. Rows that somebody
// touched since the plan are conflicts of the report, not writes. A plan that
// came to its end before is Conflict, and so is one that broke off and has
// written something: the hint names the plan of what is left. Interrupting ctx
// gives the report and its error.
func (o *Office) Restore(ctx context.Context, r RestoreRequest, pl *plan.Plan, c RestoreControl) (*apply.Report, error) {
	was := pl.ID
	if pl.Undoes != "" {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "carry out the plan %s: it is of an undo", was), "`allod undo %s` plans it anew, with --yes it is carried out.", pl.Undoes)
	}
	p, err := o.prepare(ctx, &r)
	if err != nil {
		return nil, err
	}
	if pl, err = o.current(ctx, r, p, pl); err != nil || pl == nil {
		if err != nil {
			return nil, err
		}
		return o.nothingLeft(was)
	}
	target, ok := p.src.(source.Target)
	if !ok {
		return nil, allod.Errorf(allod.Invalid, "restore into %s: it cannot be written to", r.to())
	}
	approval, err := c.approved(ctx, r, pl, p.opts.Production)
	if err != nil {
		return nil, err
	}
	if pl.ID != was {
		if err := o.SavePlan(ctx, r, pl); err != nil {
			return nil, err
		}
	}
	site, err := o.PreImages(ctx, p.session, r.From.Environment, r.to())
	if err != nil {
		return nil, err
	}
	opts := apply.Options{Rate: c.Rate, PauseAtErrors: c.PauseAtErrors, Bypass: slices.Clone(r.Bypass), Reread: true, Progress: c.Progress, Now: o.deps.Now}
	rep, err := undo.Carrier{Site: site, Folder: o.Plans(), After: p.side.After, Now: o.deps.Now}.Run(ctx, pl, p.snapshot, p.live, target, opts)
	if rep != nil {
		err = rep.Interrupted(ctx, err)
		if err == nil && rep.Paused == "" {
			err = approval.Spend(ctx)
		}
		counts := map[string]int64{"created": rep.Created, "updated": rep.Updated, "failed": rep.Failed, "conflicts": int64(len(rep.Conflicts))}
		rep.Approve(approval.Approval, counts)
		if aerr := o.gate.Act(ctx, p.session, "restored", counts); aerr != nil && err == nil {
			err = aerr
		}
	}
	return rep, err
}

// approved asks for the approval of a plan that needs one.
func (c *RestoreControl) approved(ctx context.Context, r RestoreRequest, pl *plan.Plan, production bool) (*Approval, error) {
	switch {
	case !production && !pl.Production || pl.Overwrites() == 0:
		return &Approval{Spend: func(context.Context) error { return nil }}, nil
	case c.Approve == nil:
		return nil, allod.Errorf(allod.Denied, "carry out the plan %s: it overwrites rows of production, and nobody was asked to approve it", pl.ID)
	}
	return c.Approve(ctx, r, pl)
}

// PreImages is where rows of the environment to are kept before they are written
// over, for a session that was opened to restore from another, or from the same;
// nil for one that was never backed up.
func (o *Office) PreImages(ctx context.Context, s gate.Session, from, to string) (*preimage.Site, error) {
	var err error
	if from != to {
		if s, err = o.session(ctx, gate.ActionRestore, to, allod.PurposeRestore); err != nil {
			return nil, err
		}
	}
	site, err := o.vault.PreImages(ctx, s, to)
	if allod.KindOf(err) == allod.NotFound {
		return nil, nil
	}
	return site, err
}

// Plans is where plans are kept, with what came of them.
func (o *Office) Plans() kept.Folder {
	return kept.Folder{Dir: filepath.Join(o.Dir, "plans"), Disk: o.deps.Disk}
}

// current returns the plan to carry out: the one given, or one like it of now;
// nil when it broke off before and nothing is left of it.
func (o *Office) current(ctx context.Context, r RestoreRequest, p *restoring, pl *plan.Plan) (*plan.Plan, error) {
	before, err := o.Plans().Run(pl.ID)
	if err != nil {
		return nil, err
	}
	if before != nil {
		return o.goOn(ctx, r, pl, before)
	}
	if !pl.Stale(o.deps.Now()) {
		return pl, nil
	}
	fresh, err := restore.Build(ctx, p.snapshot, p.live, p.sel, p.opts)
	if err != nil {
		return nil, err
	}
	if change := plan.Compare(pl, fresh); change != (plan.Change{}) {
		err := allod.Errorf(allod.Conflict, "carry out the plan %s: it is older than 24 hours and would be another one today", pl.ID)
		return nil, allod.WithHint(errors.Join(err, o.SavePlan(ctx, r, fresh)), "Today's is %s: look at it with `allod restore --apply %s --plan`.", fresh.ID, fresh.ID)
	}
	return fresh, nil
}
