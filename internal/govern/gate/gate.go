// Package gate stands before stored content: it asks a Decider whether an
// actor may do an action with a resource for a purpose, writes the answer to
// the ledger, and only then hands out a Session. Functions that show or move
// content take a Session, so that forgetting to ask does not compile.
package gate

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/ledger"
)

// Action is what somebody wants to do, e.g. "read".
type Action string

// The actions. A request for any other is a Gap.
const (
	ActionCapture Action = "capture" // read the source, compare with what is stored, store changes
	ActionNative  Action = "native"  // have the platform make or delete a backup of its own
	ActionRead    Action = "read"    // show rows, files, history
	ActionFind    Action = "find"    // search stored rows
	ActionCompare Action = "compare" // compare two moments
	ActionRestore Action = "restore" // write stored rows into an environment
	ActionUndo    Action = "undo"    // take a restore back
	ActionSeed    Action = "seed"    // write a masked subset into a sandbox
	ActionExport  Action = "export"  // write stored rows to files
	ActionFeed    Action = "feed"    // serve a moment read-only
	ActionVerify  Action = "verify"  // open rows to prove that they can be read
	ActionRecover Action = "recover" // rebuild a working Allod from the vault
	ActionErase   Action = "erase"   // destroy keys of records
	ActionKeys    Action = "keys"    // prove, add, rotate slots
	ActionAudit   Action = "audit"   // read the ledger and what it commits to
	ActionCompact Action = "compact" // merge packs and remove what was replaced, and open no row
	ActionOffice  Action = "office"  // read and write what Allod keeps of itself: users, requests, approvals
)

// Known reports whether the action is one of the constants of this package.
func (a Action) Known() bool {
	switch a {
	case ActionCapture, ActionNative, ActionRead, ActionFind, ActionCompare, ActionRestore, ActionUndo, ActionSeed,
		ActionExport, ActionFeed, ActionVerify, ActionRecover, ActionErase, ActionKeys, ActionAudit, ActionCompact, ActionOffice:
		return true
	}
	return false
}

// AllEnvironments as Resource.Environment stands for every environment of the
// vault.
const AllEnvironments = "*"

// Resource is what a request is about.
type Resource struct {
	Environment string          // name, or AllEnvironments; "" is a Gap
	Table       string          // logical name; "" = all tables
	Class       allod.DataClass // a Content session covers both classes. Whole rows are Content until every column is classified
}

// Request asks the gate.
type Request struct {
	Actor    allod.Actor
	Action   Action
	Resource Resource
	Purpose  allod.Purpose
}

// Effect of a decision. The zero value denies.
type Effect uint8

// The effects. Gap means that no policy could be applied: shown as work to do,
// and denied.
const (
	Deny  Effect = 0
	Allow Effect = 1
	Gap   Effect = 2
)

// String returns "deny", "allow" or "gap"; any other value denies.
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Gap:
		return "gap"
	default:
		return "deny"
	}
}

// Decision is the answer to a Request. Reasons name every rule that bore on
// it, Errors every rule that could not be evaluated; both are sorted, and
// nothing is left out because something else had already decided.
type Decision struct {
	Effect  Effect
	Reasons []string
	Errors  []string
}

// Decider decides. It is a pure function of the request and of policies loaded
// before: no I/O. Decide may be called from several goroutines.
type Decider interface {
	Decide(Request) Decision
}

// Gate decides, records and hands out sessions. Its methods may be called from
// several goroutines.
type Gate struct {
	decider Decider
	ledger  *ledger.Ledger
	now     func() time.Time

	// Wait bounds the recording of one decision or act, which goes on when
	// the caller's context is cancelled; 30 s from New. Set it before use.
	Wait time.Duration
}

// New returns a gate that asks d, records in l and takes the time from now.
// All three are required; a gate without a decider or a ledger denies.
func New(d Decider, l *ledger.Ledger, now func() time.Time) *Gate {
	return &Gate{decider: d, ledger: l, now: now, Wait: 30 * time.Second}
}

// Session is the right to do what was decided. It cannot be made outside this
// package; the zero Session allows nothing. Copies are the same session. It
// lasts as long as the process: nothing of it is stored but its id in the
// ledger.
type Session struct{ grant *grant }

type grant struct {
	id      string
	vault   allod.GUID
	request Request
	actor   string // opaque
	env     string // opaque
	reasons []string
	opening ledger.Opening
	head    ledger.Head // of the ledger with the decision in it
}

// Open decides the request and records the decision, whatever it is, before
// it returns. Cancelling ctx does not keep the record from being written. The
// error is Denied when the decision is not Allow, when a rule could not be
// evaluated, and when the ledger could not be written; it names the reasons.
func (g *Gate) Open(ctx context.Context, r Request) (Session, error) {
	if g == nil || g.decider == nil || g.ledger == nil || g.now == nil {
		return Session{}, allod.Errorf(allod.Denied, "%s: there is no policy or no ledger to ask", phrase(r))
	}
	d := g.decider.Decide(r)
	slices.Sort(d.Reasons)
	slices.Sort(d.Errors)
	if len(d.Errors) > 0 && d.Effect == Allow {
		d.Effect = Deny
	}
	s, err := g.record(ctx, r, d)
	if err != nil {
		return Session{}, err
	}
	switch d.Effect {
	case Allow:
		return Session{grant: s}, nil
	case Gap:
		err := allod.Errorf(allod.Denied, "%s: not decided: %s", phrase(r), strings.Join(append(d.Reasons, d.Errors...), "; "))
		return Session{}, allod.WithHint(err, "Name a purpose that the policy knows: operate, restore, troubleshoot, answer-request or litigation.")
	default:
		err := allod.Errorf(allod.Denied, "%s: refused: %s", phrase(r), strings.Join(append(d.Reasons, d.Errors...), "; "))
		return Session{}, allod.WithHint(err, "The shipped policy decides by purpose and class of data; ask for what the purpose covers.")
	}
}

// phrase says what was asked, without names of people.
func phrase(r Request) string {
	what := r.Resource.Environment
	if what == AllEnvironments {
		what = "all environments"
	}
	if r.Resource.Table != "" {
		what += " " + r.Resource.Table
	}
	return string(r.Action) + " " + what + " for " + string(r.Purpose)
}

// record writes the decision and returns the grant it would give.
func (g *Gate) record(ctx context.Context, r Request, d Decision) (*grant, error) {
	var id [16]byte
	if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
		return nil, allod.Errorf(allod.Denied, "open a session: draw its id: %w", err)
	}
	text, err := json.Marshal(struct {
		Request  Request
		Decision Decision
		Effect   string
	}{r, d, d.Effect.String()})
	if err != nil {
		return nil, allod.Errorf(allod.Denied, "open a session: write down the decision: %w", err)
	}
	commitment, opening, err := ledger.Seal(text)
	if err != nil {
		return nil, allod.Errorf(allod.Denied, "open a session: %w", err)
	}
	s := &grant{
		id: hex.EncodeToString(id[:]), vault: g.ledger.Vault(), request: r, reasons: d.Reasons, opening: opening,
		actor: g.ledger.Opaque("actor", string(r.Actor)),
	}
	if r.Resource.Environment != AllEnvironments && r.Resource.Environment != "" {
		s.env = g.ledger.Opaque("environment", r.Resource.Environment)
	}
	err = g.append(ctx, ledger.Entry{
		Time: g.now(), Kind: ledger.KindDecision, Session: s.id, Actor: s.actor, Environment: s.env,
		Action: wordOf(string(r.Action), r.Action.Known()), Purpose: shippedPurpose(r.Purpose),
		Class: shippedClass(r.Resource.Class), Effect: d.Effect.String(), Commitment: commitment,
	})
	if err != nil {
		return s, fmt.Errorf("%s: %w", phrase(r), err)
	}
	s.head = g.ledger.Head()
	return s, nil
}

// append records e, detached from cancellation. A failure is Unavailable when the
// store says so, a full disk for one, and else Denied; nothing is allowed either
// way.
func (g *Gate) append(ctx context.Context, e ledger.Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.Wait)
	defer cancel()
	if _, err := g.ledger.Append(ctx, e); err != nil {
		kind, hint := allod.Denied, cmp.Or(allod.HintOf(err), "Make the vault's store writable under ledger/ and try again.")
		if allod.KindOf(err) == allod.Unavailable {
			kind = allod.Unavailable
		}
		return allod.WithHint(allod.Errorf(kind, "record a %s in the ledger: %w", e.Kind, err), "Nothing is done or shown that cannot be recorded. %s", hint)
	}
	return nil
}

// Act records what was done under the session: what is a word such as
// "rows-shown", counts are numbers by word. Neither may hold content. The
// record is written even when ctx is cancelled. Denied when the session is the
// zero Session or belongs to another vault, or when the ledger cannot be
// written; Invalid when what or a count's name is not a word.
func (g *Gate) Act(ctx context.Context, s Session, what string, counts map[string]int64) error {
	if g == nil || g.ledger == nil || g.now == nil || s.grant == nil {
		return denied("record an act")
	}
	if s.grant.vault != g.ledger.Vault() {
		return allod.Errorf(allod.Denied, "record an act: the session belongs to another vault")
	}
	e := ledger.Entry{
		Time: g.now(), Kind: ledger.KindAct, Session: s.grant.id, Actor: s.grant.actor, Environment: s.grant.env,
		Action: what, Purpose: shippedPurpose(s.grant.request.Purpose), Class: shippedClass(s.grant.request.Resource.Class), Counts: counts,
	}
	if err := e.Check(); err != nil {
		return err
	}
	return g.append(ctx, e)
}

// wordOf keeps free text out of the ledger; it stands in the commitment.
func wordOf(s string, known bool) string {
	if known {
		return s
	}
	return "other"
}

func shippedPurpose(p allod.Purpose) string {
	for _, r := range ShippedRules() {
		if r.Purpose == p {
			return string(p)
		}
	}
	return ""
}

func shippedClass(c allod.DataClass) string {
	if c == allod.ClassCustomerData || c == allod.ClassContent {
		return string(c)
	}
	return ""
}

func denied(what string) error {
	err := allod.Errorf(allod.Denied, "%s: nobody was asked for permission", what)
	return allod.WithHint(err, "Open a session at the gate first.")
}

// Allows returns nil if the session covers Customer Data other than content in
// the table of the environment, Denied otherwise. An empty table asks for all
// tables, AllEnvironments for all environments.
func (s Session) Allows(env, table string) error {
	if s.grant == nil {
		return denied("reach stored data")
	}
	r := s.grant.request.Resource
	if r.Environment != AllEnvironments && r.Environment != env {
		return allod.Errorf(allod.Denied, "reach stored data of %s: the session was opened for %s", env, r.Environment)
	}
	if r.Table != "" && r.Table != table {
		return allod.Errorf(allod.Denied, "reach table %q of %s: the session was opened for table %s", table, env, r.Table)
	}
	return nil
}

// AllowsContent is Allows for Content, which a session opened for Customer
// Data other than content does not cover. Rows with columns that nobody has
// classified are Content.
func (s Session) AllowsContent(env, table string) error {
	if err := s.Allows(env, table); err != nil {
		return err
	}
	if s.grant.request.Resource.Class != allod.ClassContent {
		return allod.Errorf(allod.Denied, "reach content of %s: the session was opened for customer data other than content", env)
	}
	return nil
}

// AllowsAction returns nil if the session was opened for one of the actions,
// Denied otherwise.
func (s Session) AllowsAction(actions ...Action) error {
	if s.grant == nil {
		return denied("act on stored data")
	}
	if !slices.Contains(actions, s.grant.request.Action) {
		return allod.Errorf(allod.Denied, "act on stored data: the session was opened to %s", s.grant.request.Action)
	}
	return nil
}

// Ledger returns a head of the ledger that has the decision in it: what is done
// under the session may name it, and a ledger that is cut off before it is
// noticed. The zero Session has the zero Head.
func (s Session) Ledger() ledger.Head {
	if s.grant == nil {
		return ledger.Head{}
	}
	return s.grant.head
}

// Actor returns who was allowed; "" for the zero Session.
func (s Session) Actor() allod.Actor {
	if s.grant == nil {
		return ""
	}
	return s.grant.request.Actor
}

// Purpose returns what for; "" for the zero Session.
func (s Session) Purpose() allod.Purpose {
	if s.grant == nil {
		return ""
	}
	return s.grant.request.Purpose
}

// Action returns what was allowed; "" for the zero Session.
func (s Session) Action() Action {
	if s.grant == nil {
		return ""
	}
	return s.grant.request.Action
}

// ID returns the session's id in the ledger, 32 hexadecimal digits; "" for the
// zero Session.
func (s Session) ID() string {
	if s.grant == nil {
		return ""
	}
	return s.grant.id
}

// Vault returns the id of the vault whose gate opened the session, which a
// reader compares with its own; zero for the zero Session.
func (s Session) Vault() allod.GUID {
	if s.grant == nil {
		return allod.GUID{}
	}
	return s.grant.vault
}

// Reasons returns why it was allowed, sorted.
func (s Session) Reasons() []string {
	if s.grant == nil {
		return nil
	}
	return slices.Clone(s.grant.reasons)
}

// Opening returns what opens the commitment of the decision in the ledger. It
// holds the actor's name: keep it where it can be erased. Nothing else keeps
// it.
func (s Session) Opening() ledger.Opening {
	if s.grant == nil {
		return ledger.Opening{}
	}
	return s.grant.opening
}
