package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/capture/judge"
	"allod/internal/source"
)

// maxFailures is how many tables in a row may fail because the source is
// unavailable before the run stops: the source is down, not the table.
const maxFailures = 5

// readAll reads every table that is to be read, several at once, small ones
// first and those with files last, committing as it goes.
func (r *runner) readAll(ctx context.Context) error {
	todo := r.choose()
	var expected int64
	for _, j := range todo {
		expected += r.state.Tables[j.table.Name].Rows
	}
	r.progress = &reporter{fn: r.o.Progress, p: Progress{Tables: len(todo), Expected: expected}}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.Parallel)
	for _, j := range todo {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			if err := r.readTable(gctx, j); err != nil {
				return err
			}
			r.progress.update(func(p *Progress) { p.TablesDone++; p.Table = j.table.Name })
			if r.commitDue() {
				return r.commit(gctx, false)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func (r *runner) commitDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending >= r.o.CommitBytes || r.o.Now().Sub(r.committed) >= r.o.CommitEvery
}

// job is one table to read.
type job struct {
	table   *allod.Table
	columns []string // stored, readable, not excluded
	hidden  []int    // indexes into table.Columns: nulls there say nothing
	secured []int    // indexes of those under column security that the reader may read
	skip    []int    // indexes of excluded columns: absent
	files   []int    // indexes of File columns that are read
	digest  string   // of columns
	track   bool     // whether changes can be followed
	full    bool     // from the start; otherwise from the token
	fresh   bool     // forget token and place of an earlier read: they are of no use
}

// choose decides what happens to each table and records what is not read.
func (r *runner) choose() []job {
	var todo []job
	for i := range r.schema.Tables {
		t := &r.schema.Tables[i]
		if j, ok := r.chooseTable(t); ok {
			todo = append(todo, j)
		}
	}
	for name, ts := range r.state.Tables {
		if r.schema.Table(name) == nil {
			r.gone(name, ts)
		}
	}
	slices.SortFunc(todo, func(a, b job) int {
		return cmp.Or(cmp.Compare(min(len(a.files), 1), min(len(b.files), 1)),
			cmp.Compare(r.state.Tables[a.table.Name].Rows, r.state.Tables[b.table.Name].Rows), cmp.Compare(a.table.Name, b.table.Name))
	})
	return todo
}

func (r *runner) chooseTable(t *allod.Table) (job, bool) {
	ts := r.state.Tables[t.Name]
	m := allod.TableManifest{Table: t.Name, State: allod.TableCarried, Rows: ts.Rows, HighWater: ts.High}
	switch {
	case t.Unreadable != "":
		r.unreadable(t, ts)
		return job{}, false
	case excluded(r.o, t.Name, ""):
		r.gaps = append(r.gaps, allod.Gap{Table: t.Name, Kind: allod.GapExcluded, Reason: r.o.decided(t.Name), Accepted: true})
		r.carry(ts)
		r.setManifest(m)
		return job{}, false
	case r.leftOut(t) != "":
		kind := allod.GapExcluded
		if r.o.Once && r.choice.Why(t.Name) != "" {
			kind = allod.GapNotAsked
		}
		r.gaps = append(r.gaps, allod.Gap{Table: t.Name, Kind: kind, Reason: r.leftOut(t), Accepted: true})
		r.carry(ts)
		r.setManifest(m)
		return job{}, false
	case !r.mayRead(t.Name):
		r.gaps = append(r.gaps, allod.Gap{Table: t.Name, Kind: allod.GapTableUnreadable, Reason: "the application user may not read this table"})
		m.State = allod.TableDenied
		r.carry(ts)
		r.setManifest(m)
		return job{}, false
	case len(r.o.Tables) > 0 && !slices.Contains(r.o.Tables, t.Name):
		r.gaps = append(r.gaps, allod.Gap{Table: t.Name, Kind: allod.GapNotAsked, Reason: "this run was told to read other tables; its rows are those of an earlier one", Accepted: true})
		r.carry(ts)
		r.setManifest(m)
		return job{}, false
	}
	j := r.newJob(t)
	if ts.ID != t.ID && !ts.Gone && ts.Rows > 0 {
		r.gaps = append(r.gaps, allod.Gap{Table: t.Name, Kind: allod.GapTableDropped, Reason: "the table was dropped and created again; its former rows are in earlier snapshots only", Rows: ts.Rows})
	}
	ts = j.stateFrom(ts, r.rights)
	j.full = r.o.Full || ts.Whole || ts.Delta == (source.Cursor{}) || ts.Resume != (source.Cursor{}) || ts.Unread > 0 && len(ts.Again) == 0 && !r.o.NoFiles
	r.setManifest(m)
	return j, true
}

// stateFrom is what an earlier read of the table is good for now. The state of
// the run keeps the former one until the table is read: one that fails must be
// read the same way next time.
func (j *job) stateFrom(ts TableState, rights *source.Rights) TableState {
	if ts.ID != j.table.ID {
		ts = TableState{ID: j.table.ID} // new, or dropped and created again under the same name
	}
	hidden := names(j.table, j.hidden)
	// A token is bound to its columns, and shows only rows that change: columns
	// and rows that have become visible must be read anew.
	other := ts.Columns != j.digest || !slices.Equal(ts.Hidden, hidden)
	if rights != nil && ts.Depth != source.DepthNone && ts.Depth != rights.Depth[j.table.Name] {
		other = true
	}
	if other || !j.track || j.fresh {
		ts.Delta, ts.DeltaAt, ts.KeyOnly = source.Cursor{}, time.Time{}, false
	}
	if other || j.fresh {
		ts.Resume = source.Cursor{}
	}
	ts.Columns, ts.Hidden, ts.Gone = j.digest, hidden, false
	return ts
}

// unreadable notes a table that cannot be read by its nature, or any more.
func (r *runner) unreadable(t *allod.Table, ts TableState) {
	g := allod.Gap{Table: t.Name, Kind: allod.GapDerived, Reason: t.Unreadable, Accepted: true}
	if ts.ID == t.ID && ts.Rows > 0 {
		g.Kind, g.Rows, g.Accepted = allod.GapTableUnreadable, ts.Rows, ts.Gone
		g.Reason = "the table was read before and cannot be read now; its rows are kept as they were last read: " + t.Unreadable
		r.carry(ts)
		ts.Gone, ts.Delta, ts.Resume = true, source.Cursor{}, source.Cursor{}
		r.state.Tables[t.Name] = ts
	}
	r.gaps = append(r.gaps, g)
}

// carry says again what the rows of a table lack that is not read.
func (r *runner) carry(ts TableState) { r.gaps = append(r.gaps, ts.Gaps...) }

// setManifest notes what is known of a table before, or instead of, reading it.
func (r *runner) setManifest(m allod.TableManifest) {
	r.manifests[m.Table] = m
	r.dirty[m.Table] = true
}

func (r *runner) newJob(t *allod.Table) job {
	j := job{table: t, track: t.Tracking}
	var secured []string
	if r.rights != nil {
		secured = r.rights.Hidden[t.Name]
		if d := r.rights.Depth[t.Name]; d != source.DepthGlobal {
			j.track = false // takes organization-level read (protocols/dataverse.md §5.2), and would not show what is hidden
			r.gaps = append(r.gaps, allod.Gap{Table: t.Name, Kind: allod.GapReadDepth, Reason: "the application user sees only part of the rows (" + judge.DepthName(d) + ")"})
		}
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		switch {
		case c.Derived != "":
		case excluded(r.o, t.Name, c.Name) && c.Name != t.Key:
			j.skip = append(j.skip, i)
			r.gaps = append(r.gaps, allod.Gap{Table: t.Name, Column: c.Name, Kind: allod.GapExcluded, Reason: r.o.decided(t.Name + "." + c.Name), Accepted: true})
		default:
			j.columns = append(j.columns, c.Name)
			if slices.Contains(secured, c.Name) {
				j.hidden = append(j.hidden, i)
				r.gaps = append(r.gaps, allod.Gap{Table: t.Name, Column: c.Name, Kind: allod.GapColumnSecured, Reason: "column security hides its values from the application user; stored as absent"})
			} else if c.Secured && r.rights != nil {
				j.secured = append(j.secured, i)
			}
			if c.Type == allod.File {
				j.files = append(j.files, i)
			}
		}
	}
	j.digest = columnsDigest(t, j.columns)
	return j
}

// wanted are the columns of a table that are read.
func (r *runner) wanted(t *allod.Table) []string {
	var list []string
	for i := range t.Columns {
		if c := &t.Columns[i]; c.Derived == "" && (c.Name == t.Key || !excluded(r.o, t.Name, c.Name)) {
			list = append(list, c.Name)
		}
	}
	return list
}

func excluded(o Options, table, column string) bool {
	name := table
	if column != "" {
		name = table + "." + column
	}
	return (slices.Contains(o.Exclude, name) || slices.Contains(o.Config, name)) && !slices.Contains(o.Include, name)
}

// decided says who left something out.
func (o *Options) decided(name string) string {
	if slices.Contains(o.Config, name) {
		return "excluded by configuration"
	}
	return "excluded for this run, with --exclude"
}

func names(t *allod.Table, indexes []int) []string {
	var list []string
	for _, i := range indexes {
		list = append(list, t.Columns[i].Name)
	}
	return list
}

// gone records that a table is no longer in the source: its rows stay as they
// were at their last number.
func (r *runner) gone(name string, ts TableState) {
	r.gaps = append(r.gaps, allod.Gap{Table: name, Kind: allod.GapTableDropped, Reason: "the table is no longer in the source; its rows are kept as they were last read", Rows: ts.Rows, Accepted: ts.Gone})
	r.carry(ts)
	r.setManifest(allod.TableManifest{Table: name, State: allod.TableGone, Rows: ts.Rows, HighWater: ts.High})
	ts.Gone, ts.Delta, ts.Resume = true, source.Cursor{}, source.Cursor{}
	r.state.Tables[name] = ts
}

// readTable reads one table and turns what goes wrong with it alone into a Gap.
func (r *runner) readTable(ctx context.Context, j job) error {
	err := r.readOnce(ctx, j)
	if errors.Is(err, source.ErrDeltaExpired) {
		r.addGap(allod.Gap{Table: j.table.Name, Kind: allod.GapTrackingExpired, Accepted: true, Reason: "the change-tracking token was no longer valid: read in full; deletions lie between this capture and the one before"})
		j.full, j.fresh = true, true
		err = r.readOnce(ctx, j)
	}
	if errors.Is(err, errNoResume) {
		j.full, j.fresh = true, true
		err = r.readOnce(ctx, j)
	}
	if source.SignInRefused(err) && ctx.Err() == nil {
		// A credential that is no longer taken fails every table to come, not
		// this one; one that is taken elsewhere is.
		if _, rerr := r.asker.Since(ctx, r.asker.Moment()); r.asker.Blind() || source.SignInRefused(rerr) {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.failures = 0
		return nil
	}
	var fatal *fatalError
	if errors.As(err, &fatal) {
		return fatal.err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.carry(r.state.Tables[j.table.Name])
	m := r.manifests[j.table.Name]
	kind, reason := allod.GapTableFailed, err.Error()
	m.State = allod.TableFailed
	switch allod.KindOf(err) {
	case allod.Denied:
		kind, m.State = allod.GapTableUnreadable, allod.TableDenied
	case allod.NotFound:
		kind, reason = allod.GapSchemaChanged, "the table went away while the environment was being read"
	case allod.Unavailable:
		r.failures++
		if r.failures >= maxFailures {
			return fmt.Errorf("%d tables in a row could not be read: %w", r.failures, err)
		}
	default: // a table that failed
	}
	r.setManifest(m)
	r.gaps = append(r.gaps, allod.Gap{Table: j.table.Name, Kind: kind, Reason: strings.TrimSpace(reason)})
	return nil
}

func (r *runner) addGap(g allod.Gap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaps = append(r.gaps, g)
}

// fatalError ends the run: the vault could not be written. Everything else
// concerns one table.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

func fatal(err error) error {
	if err == nil {
		return nil
	}
	return &fatalError{err}
}
