// Package apply carries a plan out: it reads the values again from the
// snapshot, writes them through a source.Target pass by pass, and reports what
// came of every step. Verify reads afresh what was written and compares.
//
// Every write to a row that exists carries the version it was planned against,
// or that of this restore's own last write, so that nothing is overwritten
// unseen. What the platform refuses is data in the Report, not an error.
package apply

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"allod"
	"allod/internal/history"
	"allod/internal/restore/plan"
	"allod/internal/source"

	"golang.org/x/sync/errgroup"
)

// Options say how a plan is carried out. The zero value works.
type Options struct {
	ID       string  // of this restore, written to the source's logs; "" = the plan's id
	Batch    int     // ops handed to the target at once; 0 = 100
	Parallel int     // batches at once; 0 = 4
	Rate     float64 // ops per second at most; 0 = no limit
	// PauseAtErrors stops after so many failed ops; 0 = never.
	PauseAtErrors int
	Bypass        []string // "plugins", "flows"
	// Reread says that the caller built the plan again and compared, so that
	// one older than 24 hours may run.
	Reread bool
	// Progress, when not nil, is called after each batch, one call at a time.
	Progress func(done, total int64)
	// OnResult, when not nil, is called for every step carried out, one call at
	// a time; an error from it stops the restore.
	OnResult func(plan.Step, source.Result) error
	// Before, when not nil, is called with ops of one table right before they are
	// sent; an error from it stops the restore. It may be called from several
	// goroutines, with ops of different rows.
	Before func(ctx context.Context, ops []source.Op) error
	// Now is the clock, nil = time.Now; Sleep waits, nil = a timer that ctx
	// interrupts.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

// Report is the outcome of a restore. Its JSON is stable: fields may be added.
type Report struct {
	ID        string         `json:"id"`
	Plan      string         `json:"plan"`
	Approval  string         `json:"approval"`           // "one person", "2 people" …
	Approved  *Approval      `json:"approved,omitempty"` // nil = the plan needed no second person
	Created   int64          `json:"created"`            // rows and pairs
	Updated   int64          `json:"updated"`            // rows
	Unchanged int64          `json:"unchanged"`
	Deleted   int64          `json:"deleted,omitempty"` // rows and pairs, by an undo
	Failed    int64          `json:"failed"`
	Conflicts []plan.Skip    `json:"conflicts"`
	Skipped   []plan.Skip    `json:"skipped"` // those of the plan and those found while writing
	Failures  []Failure      `json:"failures"`
	Notes     []string       `json:"notes"`  // what the target did otherwise than asked
	Paused    string         `json:"paused"` // why it stopped before its end, "" if it did not
	Steps     int64          `json:"steps"`  // carried out
	Started   time.Time      `json:"started"`
	Finished  time.Time      `json:"finished"`
	Warnings  []string       `json:"warnings"`
	Refused   []plan.Refusal `json:"refused"`
	// Numbers are the columns, TABLE.COLUMN, that were told which number comes next.
	Numbers  map[string]int64 `json:"numbers,omitempty"`
	Shared   int64            `json:"shared,omitempty"`   // shares granted again
	Unshared int64            `json:"unshared,omitempty"` // shares of rows that were made and are lost
}

// Failure is a step that the target refused.
type Failure struct {
	Table  string        `json:"table"`
	ID     allod.GUID    `json:"id"`
	Op     source.OpKind `json:"op"`
	Kind   string        `json:"kind"`
	Reason string        `json:"reason"`
}

// Err returns nil when everything was done, else an error that says how much
// was not: Conflict if rows were touched since the plan, Partial otherwise.
func (r *Report) Err() error {
	switch {
	case r.Failed > 0 || r.Paused != "" && len(r.Conflicts) == 0:
		return allod.Errorf(allod.Partial, "restore %s: %d rows failed, %d conflicts%s", r.ID, r.Failed, len(r.Conflicts), pausedText(r.Paused))
	case len(r.Conflicts) > 0:
		return allod.WithHint(allod.Errorf(allod.Conflict, "restore %s: %d rows were touched since it was planned%s", r.ID, len(r.Conflicts), pausedText(r.Paused)),
			"plan again; what is done already is not in the new plan")
	}
	return nil
}

func pausedText(why string) string {
	if why == "" {
		return ""
	}
	return "; stopped: " + why
}

// errPaused ends a restore whose report says why.
var errPaused = errors.New("paused")

// Run carries out the plan. Values come from snap, which must be the view
// that the plan was built from; versions of rows that this restore itself has
// written are read from live where the target does not return them. Groups of
// independent steps run in parallel; the groups run in order.
//
// The report is returned in every case, also with an error: that of an
// interrupted ctx, of the views, or of a target that could not begin. Failed
// rows and conflicts are in the report and no error: see Report.Err. To go on
// after a stop, build a new plan: what has been written is equal and not in it.
func Run(ctx context.Context, p *plan.Plan, snap, live source.View, target source.Target, o Options) (*Report, error) {
	a := newApplier(p, snap, live, target, o)
	defer func() { a.r.Finished = a.o.Now().UTC() }()
	if p.From != snap.Name() || p.To != live.Name() {
		return a.r, allod.Errorf(allod.Invalid, "apply plan %s: it goes from %s to %s, not from %s to %s", p.ID, p.From, p.To, snap.Name(), live.Name())
	}
	if now := live.Schema().Identity.Organization; p.Organization != now {
		return a.r, allod.WithHint(allod.Errorf(allod.Conflict, "apply plan %s: %s is not the environment any more that it was made for", p.ID, p.To), "plan again")
	}
	if p.Stale(a.o.Now()) && !o.Reread {
		return a.r, allod.WithHint(allod.Errorf(allod.Conflict, "apply plan %s: it is older than 24 hours", p.ID), "plan again and compare")
	}
	for i := 0; i < len(p.Packed()); {
		n := a.group(i)
		if err := a.runGroup(ctx, i, i+n); err != nil {
			if errors.Is(err, errPaused) {
				return a.r, a.closeOpened(ctx, i)
			}
			if ctx.Err() != nil {
				a.pause("interrupted")
			}
			return a.r, err
		}
		i += n
	}
	return a.r, nil
}

// applier is one restore being carried out.
type applier struct {
	p          *plan.Plan
	snap, live source.View
	target     source.Target
	o          Options
	cols       map[string]*history.Columns
	maps       plan.Counterparts
	bin        map[allod.RecordRef]bool       // rows that come back from the recycle bin
	held       map[allod.RecordRef]allod.GUID // rows that a team owns in place of their owners
	multi      map[rowID]*rowState            // rows with several steps
	lim        limiter
	remove     *removing // nil before the first deletion

	mu      sync.Mutex
	r       *Report
	dropped map[allod.RecordRef]struct{}
	errors  int
	total   int64
	made    map[string]platformRows               // per table: what the platform made by itself
	closing map[string]map[allod.GUID]closeRecord // per table: how its rows were closed
}

type rowID struct {
	table uint16
	key   allod.GUID
}

// rowState follows a row through the passes. Steps of one row never run at the
// same time.
type rowState struct {
	version uint64 // 0 = read it before the next write
	created bool
	counted bool
	skip    string
	touched bool // this restore has written it
	opened  bool // this restore has opened it, to close it again
}

func newApplier(p *plan.Plan, snap, live source.View, target source.Target, o Options) *applier {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.ID == "" {
		o.ID = p.ID
	}
	if o.Batch <= 0 {
		o.Batch = 100
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	a := &applier{
		p: p, snap: snap, live: live, target: target, o: o, cols: map[string]*history.Columns{}, maps: p.Counterparts(), bin: map[allod.RecordRef]bool{}, held: p.Holding(),
		multi: map[rowID]*rowState{}, dropped: map[allod.RecordRef]struct{}{}, made: map[string]platformRows{}, closing: map[string]map[allod.GUID]closeRecord{},
		r: &Report{
			ID: o.ID, Plan: p.ID, Approval: p.Approval, Unchanged: p.Counts.Unchanged, Conflicts: append([]plan.Skip{}, p.Conflicts...), Skipped: append([]plan.Skip{}, p.Skipped...),
			Failures: []Failure{}, Notes: []string{}, Warnings: p.Warnings, Refused: p.Refused, Started: o.Now().UTC(),
		},
	}
	a.lim = limiter{rate: o.Rate, now: o.Now, sleep: o.Sleep}
	for _, d := range p.Dropped {
		a.dropped[d] = struct{}{}
	}
	for _, r := range p.Bin {
		a.bin[r] = true
	}
	seen := map[rowID]struct{}{}
	for _, s := range p.Packed() {
		if s.Op.OfPair() {
			a.total++
			continue
		}
		id := rowID{s.Table, s.Key}
		if _, again := seen[id]; again && a.multi[id] == nil {
			a.multi[id] = &rowState{}
		}
		seen[id] = struct{}{}
		a.total++
	}
	return a
}

// group returns how many steps from i on are independent of each other: those
// of one pass, table and wave, each row once.
func (a *applier) group(i int) int {
	steps := a.p.Packed()[i:]
	s := steps[0]
	n := 1
	for n < len(steps) {
		t := steps[n]
		if t.Pass != s.Pass || t.Table != s.Table || t.Wave != s.Wave || t.Op != s.Op && (t.Op.OfPair() || s.Op.OfPair() || t.Op == plan.OpParties || s.Op == plan.OpParties) {
			break
		}
		n++
	}
	return n
}

// runGroup carries out the steps [from, to) in batches. Steps of one row stay
// in one batch, in order.
func (a *applier) runGroup(ctx context.Context, from, to int) error {
	if err := a.platformMade(ctx, a.p.Packed()[from]); err != nil {
		return err
	}
	if err := a.beforeRemoving(ctx, a.p.Packed()[from]); err != nil {
		return err
	}
	var g errgroup.Group // without a context of its own: what is under way ends in order, also when another batch stops the restore
	g.SetLimit(a.o.Parallel)
	var broken atomic.Bool // once set, nothing more is begun
	for rest := a.p.Packed()[from:to]; len(rest) > 0; {
		n := min(a.o.Batch, len(rest))
		for n < len(rest) && rest[n].Key == rest[n-1].Key {
			n++
		}
		steps := rest[:n]
		g.Go(func() error {
			if broken.Load() {
				return nil
			}
			err := a.batch(ctx, steps)
			if err != nil {
				broken.Store(true)
			}
			return err
		})
		rest = rest[n:]
	}
	return g.Wait()
}

// rounds parts steps so that each row is in a round once: the second write to
// a row has to know the version that the first one gave it. The steps of one
// party list are one write.
func rounds(steps []plan.Packed) [][]plan.Packed {
	if op := steps[0].Op; op.OfPair() || op == plan.OpParties {
		return [][]plan.Packed{steps}
	}
	var out [][]plan.Packed
	n := 0
	for i, s := range steps {
		if n++; i == 0 || steps[i-1].Key != s.Key {
			n = 0
		}
		if n == len(out) {
			out = append(out, nil)
		}
		out[n] = append(out[n], s)
	}
	return out
}

// closeOpened carries out, after a pause, the steps from i on that close rows
// which this restore has opened: nobody is to find a closed case open because
// something else went wrong.
func (a *applier) closeOpened(ctx context.Context, i int) error {
	var left []plan.Packed
	for _, s := range a.p.Packed()[i:] {
		if s.Op == plan.OpState && a.p.ReasonOf(s) != plan.ReasonReopen && a.isOpened(s) {
			left = append(left, s)
		}
	}
	for len(left) > 0 {
		n := 1
		for n < len(left) && n < a.o.Batch && left[n].Table == left[0].Table {
			n++
		}
		if err := a.platformMade(ctx, left[0]); err != nil {
			return err
		}
		w, err := a.build(ctx, left[:n])
		if err != nil {
			return err
		}
		if err := a.send(ctx, w); err != nil {
			return err
		}
		a.r.Steps += int64(n)
		left = left[n:]
	}
	return nil
}

func (a *applier) isOpened(s plan.Packed) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := a.multi[rowID{s.Table, s.Key}]
	return st != nil && st.opened
}

// batch reads the values of some steps, writes them and notes what came of it.
func (a *applier) batch(ctx context.Context, steps []plan.Packed) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.isPaused() {
		return errPaused
	}
	for _, round := range rounds(steps) {
		w, err := a.build(ctx, round)
		if err != nil {
			return err
		}
		if err := a.send(ctx, w); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.r.Steps += int64(len(steps))
	if a.o.Progress != nil {
		a.o.Progress(a.r.Steps, a.total)
	}
	if a.r.Paused != "" {
		return errPaused
	}
	return nil
}

// retries is how often a row that was touched since is read and written again
// when the snapshot is to win.
const retries = 3

func (a *applier) send(ctx context.Context, w []write) error {
	w, err := a.unmoved(ctx, w)
	if err != nil {
		return err
	}
	for try := 0; len(w) > 0; try++ {
		ops := make([]source.Op, len(w))
		for i := range w {
			ops[i] = w[i].op
		}
		if err := a.lim.wait(ctx, len(ops)); err != nil {
			return err
		}
		if err := a.before(ctx, w); err != nil {
			return err
		}
		res, err := a.target.Apply(ctx, source.WriteOptions{Tag: "allod:" + a.o.ID, Bypass: a.o.Bypass}, ops)
		if err != nil {
			return err
		}
		if len(res) != len(ops) {
			return allod.Errorf(allod.Internal, "restore %s: the target answered %d of %d writes", a.o.ID, len(res), len(ops))
		}
		var again []write
		for i := range w {
			if w[i].same, err = a.unlinked(ctx, &w[i], res[i].Err); err != nil {
				return err
			}
			if (w[i].same || a.mayRetry(&w[i], res[i].Err)) && try < retries {
				again = append(again, w[i])
				continue
			}
			if err := a.note(&w[i], res[i]); err != nil {
				return err
			}
		}
		if w, err = a.refresh(ctx, again); err != nil {
			return err
		}
	}
	return nil
}

// before tells that ops are about to be sent; rows that this run has unlinked
// itself are as they were.
func (a *applier) before(ctx context.Context, w []write) error {
	if a.o.Before == nil {
		return nil
	}
	var ops []source.Op
	for i := range w {
		if !w[i].same {
			ops = append(ops, w[i].op)
		}
	}
	return a.o.Before(ctx, ops)
}

// unmoved reads the versions of rows whose files or parties are about to be
// written and takes out, as conflicts, those that are not as this restore
// knows them: these writes have addresses of their own, for which no source is
// known to heed a version (protocols/dataverse.md §6.1, §8.2).
func (a *applier) unmoved(ctx context.Context, w []write) ([]write, error) {
	var ask []write
	for i := range w {
		if w[i].unguarded() {
			ask = append(ask, w[i])
		}
	}
	if len(ask) == 0 {
		return w, nil
	}
	now, err := a.versions(ctx, ask)
	if err != nil {
		return nil, err
	}
	var out []write
	for i := range w {
		one := w[i]
		v, there := now[one.op.Key]
		if !one.unguarded() || !there || v == one.op.Version {
			out = append(out, one)
			continue
		}
		touched := allod.Errorf(allod.Conflict, "restore %s, table %s: the row was touched since the plan was made", a.o.ID, one.op.Table.Name)
		if a.mayRetry(&one, touched) {
			one.op.Version = v
			out = append(out, one)
		} else if err := a.note(&one, source.Result{Err: touched}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// unguarded reports whether the op has a version that the source is not known
// to heed.
func (w *write) unguarded() bool {
	return w.op.Version != 0 && (w.op.Kind == source.OpFile || w.op.Kind == source.OpReplaceParty)
}

// mayRetry reports whether a conflict is settled by writing again: the
// snapshot is to win, or this restore has made the row itself. Of such a row
// the later steps only fill what the first left out, and it is the platform's
// own logic that touches rows right after they are made.
func (a *applier) mayRetry(w *write, err error) bool {
	if allod.KindOf(err) != allod.Conflict || w.op.Kind == source.OpCreate {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	st := a.multi[rowID{w.step.Table, w.step.Key}]
	return a.p.OnConflict == plan.Backup || st != nil && st.created
}

// refresh gives writes the version that their row has now.
func (a *applier) refresh(ctx context.Context, w []write) ([]write, error) {
	if len(w) == 0 {
		return nil, nil
	}
	versions, err := a.versions(ctx, w)
	if err != nil {
		return nil, err
	}
	for i := range w {
		if !w[i].same {
			w[i].op.Version = versions[w[i].op.Key]
		}
	}
	return w, nil
}

func (a *applier) versions(ctx context.Context, w []write) (map[allod.GUID]uint64, error) {
	var ids []allod.GUID
	for i := range w {
		ids = append(ids, w[i].op.Key)
	}
	rows, err := get(ctx, a.live, w[0].op.Table.Name, ids)
	if err != nil {
		return nil, err
	}
	out := map[allod.GUID]uint64{}
	for id, r := range rows {
		out[id] = r.Version
	}
	return out, nil
}

func (a *applier) isPaused() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.r.Paused != ""
}

func (a *applier) pause(why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.r.Paused == "" {
		a.r.Paused = why
	}
}

// note records the result of one write.
func (a *applier) note(w *write, res source.Result) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := a.multi[rowID{w.step.Table, w.step.Key}]
	table := a.p.TableOf(w.step)
	switch kind := allod.KindOf(res.Err); {
	case res.Err == nil:
		a.succeeded(w, st, res)
	case kind == allod.Conflict:
		a.r.Conflicts = append(a.r.Conflicts, plan.Skip{Table: table, ID: w.step.Key, Reason: conflictReason(w.op.Kind)})
		a.lost(w, st, false, "it was touched since the plan was made")
		if a.p.OnConflict == plan.Stop && a.r.Paused == "" {
			a.r.Paused = "a row was touched since the plan was made"
		}
	default:
		a.r.Failed++
		a.errors++
		a.r.Failures = append(a.r.Failures, Failure{Table: table, ID: w.step.Key, Op: w.op.Kind, Kind: kind.String(), Reason: res.Err.Error()})
		a.lost(w, st, true, "an earlier step of it failed")
		if a.o.PauseAtErrors > 0 && a.errors >= a.o.PauseAtErrors && a.r.Paused == "" {
			a.r.Paused = "too many errors"
		}
	}
	if res.Note != "" {
		a.r.Notes = append(a.r.Notes, table+"("+w.step.Key.String()+"): "+res.Note)
	}
	if a.o.OnResult != nil {
		return a.o.OnResult(a.p.StepOf(w.packed), res)
	}
	return nil
}

func conflictReason(k source.OpKind) string {
	if k == source.OpCreate {
		return "the row has come into being since the plan was made"
	}
	return "the row was touched since the plan was made"
}

// lost takes a row out of the rest of the restore. References to a row that
// could not be made are left empty; one that somebody else made is there.
func (a *applier) lost(w *write, st *rowState, failed bool, why string) {
	if st != nil {
		st.skip = why
		st.opened = st.opened && failed // what somebody touched since is theirs
	}
	if w.op.Kind == source.OpCreate && failed {
		a.dropped[allod.RecordRef{Table: w.op.Table.Name, Key: w.step.Key}] = struct{}{}
	}
}

func (a *applier) succeeded(w *write, st *rowState, res source.Result) {
	if st != nil {
		st.version, st.touched = res.Version, true
		if w.op.Kind == source.OpState {
			st.opened = a.p.ReasonOf(w.step) == plan.ReasonReopen
		}
	}
	switch w.op.Kind {
	case source.OpCreate:
		a.r.Created++
		if st != nil {
			st.created, st.counted = true, true
		}
	case source.OpAssociate:
		a.r.Created++
	case source.OpDelete, source.OpDissociate:
		a.r.Deleted++
	default:
		if st == nil {
			a.r.Updated++
		} else if !st.counted {
			a.r.Updated++
			st.counted = true
		}
	}
}

// limiter keeps a restore below a number of ops per second.
type limiter struct {
	mu    sync.Mutex
	rate  float64
	next  time.Time
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
}

func (l *limiter) wait(ctx context.Context, n int) error {
	if l.rate <= 0 {
		return nil
	}
	l.mu.Lock()
	now := l.now()
	if l.next.Before(now) {
		l.next = now
	}
	d := l.next.Sub(now)
	l.next = l.next.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	l.mu.Unlock()
	if d <= 0 {
		return nil
	}
	return l.sleep(ctx, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
