// Package audit has the use cases of those who look after the ledger: reading it,
// checking it against what was seen before, proving its entries to others, and
// having witnesses see it.
package audit

import (
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/seen"
	"allod/internal/vault"
	"allod/internal/vault/log/stranger"
)

// Query says which entries are wanted; zero fields want all.
type Query struct {
	Since  time.Time
	Actor  string // name, e.g. "os:alice", or pseudonym as Line shows it
	Action string // e.g. "restore"
}

// Line is one entry of the ledger. Who and which environment it was are
// pseudonyms; a name stands beside one that somebody with the pseudonym key can
// name: the environments that are connected, whoever asks, and whoever was asked
// for.
type Line struct {
	N               int64            `json:"n"`
	Time            time.Time        `json:"time"` // UTC, the word of the process that wrote it
	Kind            ledger.Kind      `json:"kind"`
	Run             string           `json:"run,omitempty"` // ties acts to their decision
	Actor           string           `json:"actor,omitempty"`
	ActorName       string           `json:"actor_name,omitempty"`
	Environment     string           `json:"environment,omitempty"`
	EnvironmentName string           `json:"environment_name,omitempty"`
	Action          string           `json:"action"`
	Purpose         string           `json:"purpose,omitempty"`
	Class           string           `json:"class,omitempty"`
	Effect          string           `json:"effect,omitempty"`
	Counts          map[string]int64 `json:"counts,omitempty"`
}

// older is how many entries in a row must be from before Query.Since until
// nothing newer is expected among those before them: clocks are set.
const older = 64

// desk is a ledger that somebody may read.
type desk struct {
	ledger  *ledger.Ledger
	gate    *gate.Gate
	session gate.Session
	deps    act.Deps
}

// open asks the gate for the ledger.
func open(ctx context.Context, o *act.Office) (*desk, error) {
	_, g, l, deps := o.Inside()
	s, err := g.Open(ctx, gate.Request{
		Actor: deps.Actor, Action: gate.ActionAudit, Purpose: cmp.Or(deps.Purpose, allod.PurposeOperate),
		Resource: gate.Resource{Environment: gate.AllEnvironments, Class: allod.ClassCustomerData},
	})
	return &desk{l, g, s, deps}, err
}

// Log reads the ledger and calls show with each entry that is wanted, the oldest
// first, the decision to read it included; an error of show ends it. Errors:
// Denied by the gate, Corrupt for an entry that does not verify.
func Log(ctx context.Context, o *act.Office, q Query, show func(Line) error) error {
	d, err := open(ctx, o)
	if err != nil {
		return err
	}
	n := newNames(d, o.Environments(), q.Actor)
	end := d.ledger.Head().Size
	i, err := d.from(ctx, q.Since, end)
	if err != nil {
		return err
	}
	shown := int64(0)
	for ; i < end; i++ {
		e, err := d.ledger.Get(ctx, i)
		if err != nil {
			return err
		}
		if e.Time.Before(q.Since) || q.Action != "" && q.Action != e.Action || q.Actor != "" && q.Actor != e.Actor && n.actors[e.Actor] != q.Actor {
			continue
		}
		shown++
		if err := show(n.line(i, e)); err != nil {
			return err
		}
	}
	return d.gate.Act(ctx, d.session, "ledger-read", map[string]int64{"entries": shown})
}

// from returns the first entry that may be from since or later.
func (d *desk) from(ctx context.Context, since time.Time, end int64) (int64, error) {
	if since.IsZero() {
		return 0, nil
	}
	past := 0
	for i := end; i > 0; i-- {
		e, err := d.ledger.Get(ctx, i-1)
		if err != nil {
			return 0, err
		}
		if past++; !e.Time.Before(since) {
			past = 0
		}
		if past == older {
			return i, nil
		}
	}
	return 0, nil
}

// names are the pseudonyms that can be named.
type names struct{ actors, environments map[string]string }

func newNames(d *desk, environments []string, actor string) *names {
	n := &names{map[string]string{}, map[string]string{}}
	for _, a := range []string{string(d.deps.Actor), actor} {
		if a != "" {
			n.actors[d.ledger.Opaque("actor", a)] = a
		}
	}
	for _, e := range append(slices.Clone(environments), "office") {
		n.environments[d.ledger.Opaque("environment", e)] = e
	}
	return n
}

func (n *names) line(i int64, e ledger.Entry) Line {
	return Line{
		N: i, Time: e.Time.UTC(), Kind: e.Kind, Run: e.Session, Actor: e.Actor, ActorName: n.actors[e.Actor], Environment: e.Environment,
		EnvironmentName: n.environments[e.Environment], Action: e.Action, Purpose: e.Purpose, Class: e.Class, Effect: e.Effect, Counts: e.Counts,
	}
}

// Prove returns the proof of an entry, as a tlog-proof that anybody can check who
// has the vault object. NotFound when there is no such entry.
func Prove(ctx context.Context, o *act.Office, n int64) ([]byte, error) {
	d, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	return d.prove(ctx, n)
}

func (d *desk) prove(ctx context.Context, n int64) ([]byte, error) {
	p, err := d.ledger.Prove(ctx, n)
	if err != nil {
		return nil, err
	}
	return p.Text(), d.gate.Act(ctx, d.session, "entry-proved", nil)
}

// ProveRun is Prove of the last entry of a run: how it ended, or, while nothing
// tells of that, that it was allowed to begin.
func ProveRun(ctx context.Context, o *act.Office, run string) (int64, []byte, error) {
	d, err := open(ctx, o)
	if err != nil {
		return 0, nil, err
	}
	for n := d.ledger.Head().Size - 1; n >= 0; n-- {
		e, err := d.ledger.Get(ctx, n)
		if err != nil {
			return 0, nil, err
		}
		if run != "" && e.Session == run {
			text, err := d.prove(ctx, n)
			return n, text, err
		}
	}
	return 0, nil, allod.WithHint(allod.Errorf(allod.NotFound, "prove run %q: the ledger has no entry of it", run), "`allod audit log` shows the runs.")
}

// Checkpoint returns the signed checkpoint of the ledger as it is now; with an
// old size, not negative, as the request that a C2SP witness takes, with the proof
// that it has grown out of that size.
func Checkpoint(ctx context.Context, o *act.Office, old int64) (ledger.Head, []byte, error) {
	d, err := open(ctx, o)
	if err != nil {
		return ledger.Head{}, nil, err
	}
	if old < 0 {
		return d.ledger.Checkpoint(ctx)
	}
	head, err := d.ledger.Refresh(ctx)
	if err != nil {
		return head, nil, err
	}
	from, err := d.ledger.HeadAt(ctx, old)
	if err != nil {
		return head, nil, err
	}
	g, err := d.ledger.ProveGrowth(ctx, from)
	if err != nil {
		return head, nil, err
	}
	return head, g.Text(), nil
}

// KeepCosigned keeps a checkpoint that witnesses have cosigned beside the ledger.
// Corrupt, an alarm, when it is signed and this ledger does not contain it.
func KeepCosigned(ctx context.Context, o *act.Office, object []byte, witnesses []ledger.Witness) (ledger.Head, []ledger.Cosignature, error) {
	d, err := open(ctx, o)
	if err != nil {
		return ledger.Head{}, nil, err
	}
	head, by, err := d.ledger.KeepCosigned(ctx, object, witnesses)
	if err != nil {
		return head, by, err
	}
	return head, by, d.gate.Act(ctx, d.session, "checkpoint-kept", map[string]int64{"entries": head.Size, "witnesses": int64(len(by))})
}

// Report is what Verify found.
type Report struct {
	ledger.Report
	Log vault.Head // the end of the vault's log, which was checked when the vault was opened
}

// Verify reads and compares the whole ledger: every entry, tile and checkpoint,
// the heads that the vault's log and this folder remember, and the signed
// checkpoint that is given, if there is one. The office may be one that was opened
// without keys. What is wrong stands in the report, and the error is then Corrupt.
func Verify(ctx context.Context, o *act.Office, checkpoint []byte) (Report, error) {
	v, _, _, _ := o.Inside()
	c, err := v.LedgerConfig()
	if err != nil {
		return Report{}, err
	}
	h, err := seen.Load(o.Dir, v.ID())
	if err != nil {
		return Report{}, err
	}
	c.Seen = append(c.Seen, h.Ledger)
	if h.Ledger.Size > c.Remembered.Size {
		c.Remembered, c.Seen = h.Ledger, append(c.Seen, c.Remembered)
	}
	if checkpoint != nil {
		given, err := ledger.CheckCheckpoint(checkpoint, v.ID(), c.Trusted)
		if err != nil {
			return Report{}, err
		}
		c.Seen = append(c.Seen, given)
		if given.Size > c.Remembered.Size {
			c.Remembered = given
		}
	}
	found, err := ledger.Verify(ctx, c)
	rep := Report{found, v.Head()}
	if err == nil && len(rep.Bad) > 0 {
		err = allod.Errorf(allod.Corrupt, "verify the ledger: %d objects are not what was stored; the first is %s", len(rep.Bad), rep.Bad[0].Object)
		err = allod.WithHint(err, "Keep this store as it is, and look at its versions, its copies and who could write to it. docs/verify.md says how to go on.")
	}
	return rep, err
}

// VerifyFiles checks what was handed out, a certificate for one, against what is
// pinned of the vault, as cmd/allod-verify does: the vault itself is not opened.
func VerifyFiles(dir string, out io.Writer, witnesses []ledger.Witness, files []string) error {
	c, err := act.ReadConfig(dir)
	if err != nil {
		return err
	}
	checker := &stranger.Checker{Out: out, Pin: c.Pin, Witnesses: witnesses}
	for _, name := range files {
		if err := checker.File(name); err != nil {
			return allod.WithHint(allod.Errorf(allod.KindOf(err), "%s: %w", name, err), "%s", allod.HintOf(err))
		}
	}
	return nil
}
