// Package demo is the guided tour behind `allod demo`: a fictional company is
// backed up, suffers two accidents, and gets everything back, with proof by
// fresh reads that share no code with the restore.
package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	terminal "allod/internal/cli/text"
	"allod/internal/history"
	"allod/internal/restore/plan"
)

// Company is a running emulator.
type Company struct {
	URL  string
	Rows int64
	Wait func() error // until its context ends
}

// Options of Run. Deps, Start and Out are required.
type Options struct {
	Dir   string // "" = a new temporary folder
	Scale int
	Once  bool // end when the proof is made
	Out   io.Writer
	Deps  act.Deps
	Start func(ctx context.Context) (*Company, error)

	// Meddle, if set, changes the company between the restore and the proof:
	// tests show with it that the proof can fail.
	Meddle func(ctx context.Context, url string) error
}

// env is the name of the company's environment.
const env = "demo"

// tour is one run.
type tour struct {
	Options
	office *act.Office
	api    *api
	loss   *loss
	before *evidence
	first  allod.SnapshotID
	second allod.SnapshotID
}

// Run goes through the story. It returns nil only when the proof was made;
// Internal when the company after the restore is not what it was before.
func Run(ctx context.Context, o Options) error {
	t := &tour{Options: o}
	dir, err := t.folder()
	if err != nil {
		return err
	}
	t.Dir = dir
	started := o.Deps.Now()
	company, err := o.Start(ctx)
	if err != nil {
		return fmt.Errorf("start the company: %w", err)
	}
	t.api = &api{base: company.URL + "/api/data/v9.2/", client: &http.Client{Timeout: time.Minute}}
	t.say("A fictional company runs at %s (%d rows).", company.URL, company.Rows)
	if err := t.story(ctx, company.URL); err != nil {
		return err
	}
	t.say("Done in %s.", o.Deps.Now().Sub(started).Round(100*time.Millisecond))
	if o.Once {
		return nil
	}
	t.next(company.URL)
	return company.Wait()
}

func (t *tour) story(ctx context.Context, url string) (err error) {
	if err := t.setUp(ctx, url); err != nil {
		return err
	}
	defer func() {
		if cerr := t.office.Close(); err == nil {
			err = cerr
		}
	}()
	for _, step := range []func(context.Context) error{t.backUp, t.accidents, t.whatWasLost, t.putBack} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if t.Meddle != nil {
		if err := t.Meddle(ctx, url); err != nil {
			return err
		}
	}
	return t.prove(ctx)
}

func (t *tour) say(format string, args ...any) {
	fmt.Fprintf(t.Out, format+"\n", args...)
}

func (t *tour) head(title string) {
	fmt.Fprintf(t.Out, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
}

func (t *tour) folder() (string, error) {
	if t.Dir == "" {
		d, err := os.MkdirTemp("", "allod-demo-")
		if err != nil {
			return "", &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("make a folder for the demo: %w", err)}
		}
		return d, nil
	}
	if entries, err := os.ReadDir(t.Dir); err == nil && len(entries) > 0 {
		return "", allod.WithHint(allod.Errorf(allod.Conflict, "run the demo in %s: the folder is not empty", t.Dir), "Name a new folder with --dir, or leave it out.")
	}
	return filepath.Abs(t.Dir)
}

func (t *tour) setUp(ctx context.Context, url string) error {
	t.head("1. A vault")
	made, err := act.Init(ctx, t.Dir, act.InitOptions{Key: "file:keys/demo.key"}, t.Deps)
	if err != nil {
		return err
	}
	t.say("Made vault %s\nin %s.", made.Vault, t.Dir)
	t.say("Its key is a file here, so that nobody has to type; a recovery key of %d\nwords was made too (`allod init` prints it).", len(made.Words))
	if t.office, err = act.Open(ctx, t.Dir, t.Deps); err != nil {
		return err
	}
	con, err := t.office.Connect(ctx, env, act.Connection{Kind: "dataverse", URL: url})
	if err != nil {
		return err
	}
	t.say("Connected %q: %s, %d tables of which %d can be read.", env, con.Organization, con.Tables, con.Readable)
	return nil
}

func (t *tour) capture(ctx context.Context) (*capture.Result, error) {
	res, err := t.office.Backup(ctx, env, capture.Options{})
	if err != nil {
		return nil, err
	}
	t.say("%s@%d: %d tables, %d rows; %d created, %d updated, %d deleted;\n%d kB stored in %.1f s.", env, res.Snapshot, res.Tables, res.Rows,
		res.Created, res.Updated, res.Deleted, res.StoredBytes/1024, res.Seconds)
	for _, g := range res.Gaps {
		if !g.Accepted {
			t.say("  gap: %s %s: %s", g.Kind, g.Table, g.Reason)
		}
	}
	return res, nil
}

func (t *tour) backUp(ctx context.Context) error {
	t.head("2. Monday: the first backup")
	res, err := t.capture(ctx)
	if err != nil {
		return err
	}
	t.first = res.Snapshot
	if t.loss, err = choose(ctx, t.api); err != nil {
		return err
	}
	t.before, err = collect(ctx, t.api, t.loss)
	return err
}

func (t *tour) accidents(ctx context.Context) error {
	t.head("3. Tuesday: accidents")
	l := t.loss
	t.say("%s runs an import with the columns shifted: the phone numbers of\n%d contacts are now \"0\".", l.importer.name, len(l.phones))
	t.say("%s, who leaves the company, deletes\n%s with its %d contacts and %d cases.", l.leaver.name, l.accountName, len(l.contacts), len(l.cases))
	return l.happen(ctx, t.api)
}

func (t *tour) whatWasLost(ctx context.Context) error {
	t.head("4. Wednesday: somebody notices")
	res, err := t.capture(ctx)
	if err != nil {
		return err
	}
	t.second = res.Snapshot
	d, err := t.office.Compare(ctx, act.Moment{Environment: env, Snapshot: t.first}, act.Moment{Environment: env, Snapshot: t.second},
		history.Options{Classes: []allod.Class{allod.ClassData, allod.ClassLink}, ColumnOptions: history.ColumnOptions{Writable: true}})
	if err != nil {
		return err
	}
	t.say("`allod diff %s@%d %s@%d --writable`:", env, t.first, env, t.second)
	for _, td := range d.Tables {
		if td.Added+td.Removed+td.Changed > 0 {
			t.say("  %-24s %5d removed %5d changed %5d added", td.Table, td.Removed, td.Changed, td.Added)
		}
	}
	return t.byWhom(ctx)
}

func (t *tour) putBack(ctx context.Context) error {
	t.head("5. The plan, then the restore")
	req := act.RestoreRequest{From: act.Moment{Environment: env, Snapshot: t.first}, Selection: act.RestoreSelection{All: true}}
	plan, err := t.office.PlanRestore(ctx, req)
	if err != nil {
		return err
	}
	t.say("`allod restore %s@%d --all --plan`: %s", env, t.first, planLine(plan))
	for i, w := range plan.Warnings {
		if i == 4 {
			t.say("  … and %d more warnings", len(plan.Warnings)-4)
			break
		}
		terminal.Paragraph(t.Out, "    ", "  "+w)
	}
	rep, err := t.office.Restore(ctx, req, plan, act.RestoreControl{})
	if err != nil {
		return err
	}
	t.say("Restored: %d created, %d updated, %d unchanged, %d failed, %d conflicts.", rep.Created, rep.Updated, rep.Unchanged, rep.Failed, len(rep.Conflicts))
	return nil
}

func planLine(p *plan.Plan) string {
	c := p.Counts
	return fmt.Sprintf("create %d rows, update %d, add %d pairs,\nwrite %d files and %d states; %d rows are equal and stay as they are.", c.Create, c.Update, c.Pairs, c.Files, c.States, c.Unchanged)
}

func (t *tour) prove(ctx context.Context) error {
	t.head("6. The proof")
	d, err := t.office.Compare(ctx, act.Moment{Environment: env, Snapshot: t.first}, act.Moment{Environment: env, Live: true},
		history.Options{Classes: []allod.Class{allod.ClassData, allod.ClassLink}, ColumnOptions: history.ColumnOptions{Writable: true}, Rows: true})
	if err != nil {
		return err
	}
	t.say("Monday against the company now, every row and writable column read afresh:\n  %d added, %d removed, %d changed; %d cells compared.", d.Added, d.Removed, d.Changed, d.CellsCompared)
	after, err := collect(ctx, t.api, t.loss)
	if err != nil {
		return err
	}
	different := t.before.differences(after)
	t.say("A program that shares nothing with Allod reads the %d records concerned:\n  %d differ.", len(t.before.rows), len(different))
	for _, line := range different {
		t.say("  %s", line)
	}
	for _, td := range d.Tables {
		for _, r := range td.Rows {
			t.say("  %s %s %v", r.Change, r.Record, r.Columns)
		}
	}
	if !d.Same() || len(different) > 0 {
		return allod.WithHint(allod.Errorf(allod.Internal, "prove the restore: the company is not what it was: %d rows differ", d.Added+d.Removed+d.Changed+int64(len(different))),
			"The rows are listed above; `allod diff %s@%d %s@live --writable --rows` shows them again.", env, t.first, env)
	}
	t.say("Everything is back.")
	return nil
}

func (t *tour) next(url string) {
	t.head("Now you")
	t.say("The company runs at %s until you press Ctrl-C. In another window:\n", url)
	t.say("    go build -o allod ./cmd/allod; alias allod=./allod    # unless you have it")
	t.say("    export ALLOD_DIR=%s", t.Dir)
	t.say("    allod snapshots %s", env)
	t.say("    allod ls %s@%d account", env, t.second)
	t.say("    allod get %s@%d account %s", env, t.first, t.loss.account)
	t.say("    curl -X DELETE -H 'Authorization: Bearer me' '%s/api/data/v9.2/accounts(%s)'", url, t.loss.account)
	t.say("    allod ls %s@%d account --deleted", env, t.first)
	t.say("    allod diff %s@%d %s@live --writable", env, t.first, env)
	t.say("    allod restore %s@%d account %s --related all:3 --plan", env, t.first, t.loss.account)
	t.say("    allod vault verify --full\n")
	t.say("There are no pages yet: this version is a command line.")
}
