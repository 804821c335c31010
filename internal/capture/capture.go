// Package capture reads an environment into the vault: everything once, then
// only what changed. What could not be read is a Gap in the snapshot, never a
// silent hole; a deletion is recorded only when it is proven, and a null the
// reader may not see is stored as absent (design/capture.md).
//
// A run commits as it goes. Killed at any moment, the next run goes on from
// the last commit, and snapshots taken before are untouched.
package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"allod"
	"allod/internal/capture/judge"
	"allod/internal/capture/sight"
	"allod/internal/govern/gate"
	"allod/internal/preset"
	"allod/internal/source"
	"allod/internal/source/pace"
	"allod/internal/vault"
)

// Options of a run. The zero value captures everything that changed.
type Options struct {
	Full    bool     // read every table from the start, whatever tokens there are
	Tables  []string // only these tables; the others are carried. nil = all
	Exclude []string // TABLE or TABLE.COLUMN, left out as a Gap of kind excluded
	Config  []string // likewise, by the configuration and not for this run
	Include []string // takes names out of Exclude again
	NoFiles bool     // leave the bytes of files unread, as a Gap
	NoAudit bool     // leave the audit log unread, as a Gap of kind excluded
	// Presets name what is read (package preset); nil = everything. The rest is
	// a Gap of kind excluded, or not-asked where Once says that the presets are
	// those of this run alone.
	Presets []string
	Once    bool
	PutBack string // why its past ended since the newest snapshot; "" = as far as the source shows

	// For who opens the source: what may be taken of it, and who is told until when
	// its window is shut.
	Pace   pace.Pace
	Paused func(until time.Time)

	Parallel    int           // tables read at once; 0 = what the source suggests
	CommitEvery time.Duration // commit finished tables at least this often; 0 = 30 s
	CommitBytes int64         // and at least every so many bytes read; 0 = 256 MiB (about 64 MiB stored)
	Checkpoint  int64         // rows after which a first read of a table commits what it has; 0 = 100,000

	Progress func(Progress) // called from one goroutine at a time; nil = none
	Now      func() time.Time
}

// Progress tells how far a run is.
type Progress struct {
	Table      string
	Rows       int64 // rows read so far, all tables
	Expected   int64 // rows expected; 0 = not known
	TablesDone int
	Tables     int
	Files      int64 // files read so far
	FileBytes  int64
}

// Result of a run. Its JSON is that of `allod backup --json`
// (design/interface.md).
type Result struct {
	Environment string                `json:"environment"`
	Line        uint64                `json:"line"`
	Snapshot    allod.SnapshotID      `json:"snapshot"`
	Tables      int                   `json:"tables"`
	Rows        int64                 `json:"rows"` // alive as of the snapshot
	Created     int64                 `json:"created"`
	Updated     int64                 `json:"updated"`
	Deleted     int64                 `json:"deleted"`
	StoredBytes int64                 `json:"stored_bytes"`
	Seconds     float64               `json:"seconds"`
	Gaps        []allod.Gap           `json:"gaps"`
	Complete    bool                  `json:"complete"`
	Run         string                `json:"run"`
	Alarms      []string              `json:"alarms,omitempty"`
	LineReason  string                `json:"line_reason,omitempty"` // why a new line began
	Absent      []string              `json:"absent,omitempty"`      // tables of the presets that the environment has not
	PerTable    []allod.TableManifest `json:"per_table,omitempty"`
}

// Partial reports whether the run left something out that nobody chose to
// leave out.
func (r *Result) Partial() bool {
	return !r.Complete || slices.ContainsFunc(r.Gaps, func(g allod.Gap) bool { return !g.Accepted })
}

// Run captures env from src into v. Errors that concern one table become Gaps
// of the result; an error is returned for what ends the run: the source cannot
// be reached (Unavailable) or read at all, the vault cannot be written, another
// process captures the same environment (Conflict), or ctx has ended. What was
// committed before stays, and the next Run goes on from there.
func Run(ctx context.Context, s gate.Session, v *vault.Vault, src source.Source, env string, o Options) (*Result, error) {
	r, err := begin(ctx, s, v, src, env, o)
	if err != nil {
		return nil, err
	}
	defer r.run.Abort()
	if err := r.readAll(ctx); err != nil {
		return r.result(), fmt.Errorf("back up %s: %w", env, err)
	}
	if err := r.readDoubted(ctx); err != nil {
		if cerr := r.commit(ctx, false); cerr != nil {
			err = errors.Join(err, cerr)
		}
		return r.result(), fmt.Errorf("back up %s: %w", env, err)
	}
	if err := r.noteOutside(ctx); err != nil {
		return r.result(), fmt.Errorf("back up %s: %w", env, err)
	}
	if err := r.checkRights(ctx); err != nil {
		if cerr := r.commit(ctx, false); cerr != nil { // what was read stays; the next run closes it
			err = errors.Join(err, cerr)
		}
		return r.result(), fmt.Errorf("back up %s: read what the application user may see: %w", env, err)
	}
	if err := r.checkPast(ctx); err != nil {
		if cerr := r.commit(ctx, false); cerr != nil {
			err = errors.Join(err, cerr)
		}
		return r.result(), fmt.Errorf("back up %s: %w", env, err)
	}
	if err := r.commit(ctx, true); err != nil {
		return r.result(), fmt.Errorf("back up %s: commit: %w", env, err)
	}
	return r.result(), nil
}

// runner is one run. mu guards everything below it.
type runner struct {
	env     string
	o       Options
	src     source.Source
	run     *vault.Run
	schema  *allod.Schema
	choice  *preset.Selection // nil = everything
	asker   *sight.Asker
	watch   *sight.Watch
	memory  *semaphore.Weighted // bytes
	started time.Time
	// settling is held for reading from the moment a table finishes its rows
	// until it stands in the state, and for writing by who commits: a commit in
	// between would take the rows without their deletions and their token.
	settling sync.RWMutex
	counter  judge.Counter
	lineWhy  string
	progress *reporter

	mu        sync.Mutex
	rights    *source.Rights // nil = the source cannot say
	state     *State
	before    []judge.Witness // that the run began with
	seen      []judge.Witness // newest rows of every table, as they were read, and a few that were deleted
	manifests map[string]allod.TableManifest
	dirty     map[string]bool // tables whose manifest is not committed yet
	gaps      []allod.Gap
	alarms    []string
	pending   int64     // bytes read since the last commit
	committed time.Time // when the last commit began
	first     time.Time // first read of this run began
	last      time.Time // last read of this run ended
	snapshot  allod.Snapshot
	stored    int64
	read      int64 // moment the last table was read
	failures  int   // tables in a row that failed because the source was unavailable
}

func begin(ctx context.Context, s gate.Session, v *vault.Vault, src source.Source, env string, o Options) (*runner, error) {
	o = withDefaults(o, src.Capabilities())
	watch, err := sight.Begin(ctx, src)
	if err != nil {
		return nil, fmt.Errorf("back up %s: read the schema: %w", env, err)
	}
	schema, err := src.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("back up %s: read the schema: %w", env, err)
	}
	raw, last, err := v.CaptureState(ctx, env)
	if err != nil {
		return nil, fmt.Errorf("back up %s: %w", env, err)
	}
	state, err := decodeState(raw)
	if err != nil {
		return nil, fmt.Errorf("back up %s: %w", env, err)
	}
	r := &runner{env: env, o: o, src: src, schema: schema, watch: watch, state: state, started: o.Now(), committed: o.Now(), manifests: map[string]allod.TableManifest{}, dirty: map[string]bool{}}
	if err := cmp.Or(r.checkTables(), r.choosePresets()); err != nil {
		return nil, err
	}
	r.counter.Saw(schema.Identity.HighestVersion, 0)
	r.asker, r.memory = sight.NewAsker(src, schema), semaphore.NewWeighted(memoryBudget)
	if r.rights, err = r.asker.Since(ctx, r.asker.Moment()); err != nil {
		return nil, fmt.Errorf("back up %s: read what the application user may see: %w", env, err)
	}
	if err := r.checkLine(ctx, last != nil); err != nil {
		return nil, err
	}
	opts := vault.RunOptions{Environment: env, Line: state.Line, Full: o.Full}
	if last != nil && !last.Complete && r.lineWhy == "" {
		opts.RunID = last.Run
		watch.GoOn(state.SchemaMark)
	}
	if r.run, err = v.Begin(ctx, s, opts); err != nil {
		return nil, fmt.Errorf("back up %s: %w", env, err)
	}
	if err := r.run.SetSchema(schema); err != nil {
		r.run.Abort()
		return nil, fmt.Errorf("back up %s: store the schema: %w", env, err)
	}
	return r, nil
}

func withDefaults(o Options, c source.Capabilities) Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Parallel = cmp.Or(max(o.Parallel, 0), c.Parallel, 1)
	o.CommitEvery = cmp.Or(max(o.CommitEvery, 0), 30*time.Second)
	o.CommitBytes = cmp.Or(max(o.CommitBytes, 0), 256<<20)
	o.Checkpoint = cmp.Or(max(o.Checkpoint, 0), 100_000)
	return o
}

// checkTables refuses names of tables and columns that do not exist: a typing
// error must not look like a successful backup.
func (r *runner) checkTables() error {
	for _, name := range slices.Concat(r.o.Tables, r.o.Exclude, r.o.Config, r.o.Include) {
		table, column, _ := strings.Cut(name, ".")
		t := r.schema.Table(table)
		if t == nil {
			return allod.WithHint(allod.Errorf(allod.Invalid, "back up %s: there is no table %q", r.env, table),
				"`allod schema %s@live` lists the tables by their logical names", r.env)
		}
		if column != "" && t.Column(column) == nil {
			return allod.WithHint(allod.Errorf(allod.Invalid, "back up %s: table %s has no column %q", r.env, table, column),
				"`allod schema %s@live %s` lists its columns", r.env, table)
		}
	}
	return nil
}

// choosePresets applies the presets to the schema.
func (r *runner) choosePresets() error {
	if len(r.o.Presets) == 0 {
		return nil
	}
	var err error
	if r.choice, err = preset.Select(r.schema, r.o.Presets); err != nil {
		return fmt.Errorf("back up %s: %w", r.env, err)
	}
	return nil
}

// absent are the tables of the presets that the environment has not.
func (r *runner) absent() []string {
	if r.choice == nil {
		return nil
	}
	return r.choice.Absent
}

// leftOut says why a table is not read although it could be; "" for one that is.
// What is named for itself is always read.
func (r *runner) leftOut(t *allod.Table) string {
	const audit = "audit" // protocols/dataverse.md §10.1
	switch {
	case slices.Contains(r.o.Tables, t.Name) || slices.Contains(r.o.Include, t.Name):
		return ""
	case r.o.NoAudit && t.Name == audit:
		return "the audit log was not asked for (--audit=false)"
	}
	return r.choice.Why(t.Name)
}

// seesAll reports whether the caller may read every row of the table.
func (r *runner) seesAll(table string) bool {
	return r.rights == nil || r.rights.Depth[table] == source.DepthGlobal
}

// mayRead reports whether the caller may read the table at all.
func (r *runner) mayRead(table string) bool {
	return r.rights == nil || r.rights.Depth[table] != source.DepthNone
}

// commit writes what is finished since the last commit, while other tables are
// read on. complete closes the run. The caller must hold neither mu nor
// settling.
func (r *runner) commit(ctx context.Context, complete bool) error {
	r.settling.Lock()
	defer r.settling.Unlock()
	m, err := r.manifest(complete)
	if err != nil {
		return err
	}
	snap, err := r.run.Commit(ctx, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return err
	}
	r.snapshot = snap
	r.stored += snap.StoredBytes
	return nil
}

// manifest takes what the next commit says.
func (r *runner) manifest(complete bool) (vault.Manifest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Witnesses go with the tokens they are for, also where the run is cut off.
	r.state.Witnesses = judge.Keep(r.state.Witnesses, r.seen)
	if high := &r.state.Identity.HighestVersion; *high != 0 {
		*high = max(*high, r.counter.Now())
	}
	if r.state.SchemaMark = r.watch.From(); complete {
		r.state.SchemaMark = ""
	}
	state, err := r.state.encode()
	if err != nil {
		return vault.Manifest{}, err
	}
	m := vault.Manifest{
		Identity: r.schema.Identity, Tables: r.tableList(r.dirty), Gaps: r.gapList(), State: state,
		From: cmp.Or(r.first, r.started), To: cmp.Or(r.last, r.o.Now().UTC()), Complete: complete,
	}
	r.pending, r.committed = 0, r.o.Now()
	clear(r.dirty)
	return m, nil
}

// tableList returns the manifests of the named tables, sorted; nil = of all.
func (r *runner) tableList(only map[string]bool) []allod.TableManifest {
	list := make([]allod.TableManifest, 0, len(r.manifests))
	for name, m := range r.manifests {
		if only == nil || only[name] {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b allod.TableManifest) int { return cmp.Compare(a.Table, b.Table) })
	return list
}

func (r *runner) gapList() []allod.Gap {
	list := slices.Clone(r.gaps)
	slices.SortFunc(list, func(a, b allod.Gap) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Reason, b.Reason))
	})
	return slices.Compact(list)
}

func (r *runner) result() *Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	res := &Result{
		Environment: r.env, Line: r.state.Line, Snapshot: r.snapshot.ID, Rows: r.snapshot.Rows, StoredBytes: r.stored, Seconds: r.o.Now().Sub(r.started).Seconds(),
		Gaps: r.gapList(), Complete: r.snapshot.Complete, Run: r.run.ID(), Alarms: slices.Clone(r.alarms), LineReason: r.lineWhy, Absent: r.absent(), PerTable: r.tableList(nil),
	}
	for _, m := range res.PerTable {
		if m.State == allod.TableFull || m.State == allod.TableDelta {
			res.Tables++
		}
		res.Created += m.Created
		res.Updated += m.Updated
		res.Deleted += m.Deleted
	}
	return res
}
