package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"slices"
	"sync"
	"time"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/vault/internal/compare"
	"allod/internal/vault/internal/known"
	"allod/internal/vault/keyring"
	"allod/internal/vault/meta"
)

// RunOptions of Begin.
type RunOptions struct {
	Environment string // name of the environment, e.g. "contoso"
	Line        uint64 // line of the environment, from 1
	Full        bool   // recorded only
	RunID       string // "" = a new run; otherwise the run to go on with
}

// Mode says what the rows put into a TableWriter mean.
type Mode uint8

// The modes.
const (
	ModeFull  Mode = 1 // all rows of the table: what is not put is missing
	ModeDelta Mode = 2 // only what changed
)

// Manifest is what a capture says of itself. Times are UTC.
type Manifest struct {
	Identity allod.Identity
	Tables   []allod.TableManifest // tables of this commit; others are carried from the commit before
	Gaps     []allod.Gap           // all gaps known now; replaces the list of the commit before
	State    []byte                // the capture's own: cursors, tokens; sealed
	From, To time.Time             // first read started, last read finished
	Complete bool                  // this entry closes the run
}

// Changes counts what Finish found; Deleted those of Delete and of
// DeleteMissing.
type Changes = compare.Changes

// Run is one capture run of one environment. Commit may be called several
// times. Methods may be called from several goroutines.
type Run struct {
	v       *Vault
	env     uint32
	name    string
	line    uint64
	id      string
	mu      sync.Mutex
	capture uint64 // of the last entry committed in the environment
	schema  *meta.Schema
	last    *meta.Manifest // of the last entry; nil before the first
	head    *known.Head    // what is known as of the last entry; nil = not kept
	dropped []string       // what is known no longer, for Abort
	stale   func()
	lastRun string
	writers []*TableWriter // open or finished, not committed
	ended   bool
	seen    ledger.Head // with the decision that allowed the run
}

// KnownRow is the newest stored version of a record.
type KnownRow = compare.KnownRow

// Begin starts a capture run. The session must have been opened to capture the
// environment, with content: a run compares whole rows. Denied otherwise, or when the vault was opened without keys or by a slot that may not capture.
func (v *Vault) Begin(ctx context.Context, s gate.Session, opts RunOptions) (*Run, error) {
	if err := v.mayAct(s, mayBegin(opts.Environment)); err != nil {
		return nil, err
	}
	if err := s.AllowsContent(opts.Environment, ""); err != nil { // Known shows whole rows
		return nil, err
	}
	if err := v.needKeys("capture " + opts.Environment); err != nil {
		return nil, err
	}
	if _, err := v.held().Signer(keyring.SignCapture); err != nil {
		return nil, err
	}
	if err := v.mayCompare(opts.Environment); err != nil {
		return nil, err
	}
	if opts.Environment == "" || len(opts.Environment) > 200 {
		return nil, allod.Errorf(allod.Invalid, "capture: an environment needs a name of at most 200 bytes")
	}
	if err := v.log.Refresh(ctx); err != nil {
		return nil, err
	}
	if err := v.inForce(ctx); err != nil {
		return nil, err
	}
	r := &Run{v: v, name: opts.Environment, line: opts.Line, id: opts.RunID, seen: s.Ledger()}
	if r.id == "" {
		var b [16]byte
		if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
			return nil, allod.Errorf(allod.Internal, "begin a capture: %w", err)
		}
		r.id = hex.EncodeToString(b[:])
	}
	r.stale = func() {
		if v.known != nil {
			v.known.Drop(context.WithoutCancel(ctx), r.dropped)
		}
	}
	return r, r.load(ctx)
}

// load reads what the environment's newest entry says.
func (r *Run) load(ctx context.Context) error {
	envs, highest, err := r.v.environments(ctx)
	if err != nil {
		return err
	}
	e := envs[r.name]
	if e == nil {
		r.env = highest + 1
		if r.name == Office {
			r.env = 0
		}
		r.head = &known.Head{Environment: r.env}
		return nil
	}
	r.env, r.capture, r.lastRun = e.Environment, e.Capture, e.Run
	if r.v.keeps(r.env) {
		if r.head, err = r.v.knownHead(ctx, r.name, e); err != nil {
			return err
		}
		r.last, r.schema = r.head.Manifest(), r.head.Schema()
		return nil
	}
	r.last, r.schema, err = r.v.describe(ctx, e)
	return err
}

// ID returns the run id, 32 hex digits.
func (r *Run) ID() string { return r.id }

// SetSchema says which schema the tables of the following writers belong to.
// It is stored with the next commit, once per content (the identity is not
// part of it). Invalid while a writer is open.
func (r *Run) SetSchema(s *allod.Schema) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.schema != nil {
		if same, err := r.schema.Is(s); same || err != nil {
			return err
		}
	}
	if len(r.writers) > 0 {
		return allod.Errorf(allod.Invalid, "change the schema of %s: a table is being written", r.name)
	}
	before := r.schema
	var err error
	if before != nil && before.Entry == 0 { // set before, never committed
		if before, err = r.committedSchema(); err != nil {
			return err
		}
	}
	r.schema, err = before.Successor(s)
	return err
}

func (r *Run) committedSchema() (*meta.Schema, error) {
	if r.last == nil {
		return nil, nil
	}
	if r.head != nil {
		return r.head.Schema(), nil
	}
	return r.v.content.Schema(r.env, r.last.Schema, r.last.SchemaEntry)
}

// Table opens a writer for one table of the schema.
func (r *Run) Table(ctx context.Context, t *allod.Table, mode Mode) (*TableWriter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, allod.Errorf(allod.Invalid, "write table %s: the run has ended", t.Name)
	}
	if mode != ModeFull && mode != ModeDelta {
		return nil, allod.Errorf(allod.Invalid, "write table %s: unknown mode %d", t.Name, mode)
	}
	if r.schema == nil || r.schema.NumberOf(t.Name) == 0 {
		return nil, allod.Errorf(allod.Invalid, "write table %s: it is not in the schema that was set", t.Name)
	}
	number := r.schema.NumberOf(t.Name)
	if own := r.schema.TableOf(number); len(own.Columns) != len(t.Columns) || !slices.EqualFunc(own.Columns, t.Columns, func(a, b allod.Column) bool { return a.Name == b.Name && a.Type == b.Type }) {
		return nil, allod.Errorf(allod.Invalid, "write table %s: its columns are not those of the schema that was set", t.Name)
	}
	w, err := newTableWriter(r, number, mode)
	if err != nil {
		return nil, err
	}
	r.writers = append(r.writers, w)
	return w, nil
}

// Abort forgets what was not committed and removes temporary files. It may be
// called after Commit, then it only cleans up. Packs that were put already stay
// behind as orphans that no log entry names.
func (r *Run) Abort() {
	r.mu.Lock()
	writers := r.writers
	r.writers, r.ended = nil, true
	r.mu.Unlock()
	for _, w := range writers {
		w.free()
	}
	r.stale()
}

// CaptureState returns the newest State of the environment and the snapshot it
// was committed with (its Run and Complete tell whether a run can go on); nil
// and nil when the environment has none.
func (v *Vault) CaptureState(ctx context.Context, env string) ([]byte, *allod.Snapshot, error) {
	if err := v.needKeys("read the state of capture"); err != nil {
		return nil, nil, err
	}
	if err := v.log.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	envs, _, err := v.environments(ctx)
	if err != nil || envs[env] == nil {
		return nil, nil, err
	}
	part, err := v.content.Part(ctx, envs[env])
	if err != nil {
		return nil, nil, err
	}
	s := envs[env].Snapshot(env)
	return part.State, &s, nil
}
