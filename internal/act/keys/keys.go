// Package keys has the use cases around what opens a vault: its slots, the
// printed recovery key, rotation, the locks of slots, and the places where keys
// lie. Each act is decided by the gate and put on record in the ledger, without
// names.
package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/govern/gate"
	"allod/internal/vault"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/keyspec"
	"allod/internal/vault/keyring/kms"
	"allod/internal/vault/keyring/paper"
	"allod/internal/vault/keyring/places"
	"allod/internal/vault/keyring/rack"
	"allod/internal/vault/puncture"
)

// bench is an open vault and what a use case needs of it.
type bench struct {
	office *act.Office
	vault  *vault.Vault
	gate   *gate.Gate
	deps   act.Deps
}

func open(o *act.Office) *bench {
	v, g, _, deps := o.Inside()
	return &bench{office: o, vault: v, gate: g, deps: deps}
}

func (b *bench) session(ctx context.Context, action gate.Action, env string) (gate.Session, error) {
	return b.gate.Open(ctx, gate.Request{
		Actor: b.deps.Actor, Action: action, Purpose: cmp.Or(b.deps.Purpose, allod.PurposeOperate), Resource: gate.Resource{Environment: env, Class: allod.ClassContent},
	})
}

// do runs what changes slots under a session, and puts on record how many of
// them it was.
func (b *bench) do(ctx context.Context, word string, change func(s gate.Session) (int, error)) error {
	s, err := b.session(ctx, gate.ActionKeys, gate.AllEnvironments)
	if err != nil {
		return err
	}
	n, err := change(s)
	if err != nil {
		return err
	}
	return b.gate.Act(ctx, s, word, map[string]int64{"slots": int64(n)})
}

// Slot is a slot as people see it: once, however many places have it. Times are
// UTC.
type Slot struct {
	rack.Entry
	Key string `json:"key,omitempty"` // SPEC that opens it, as far as is known; a service's key as the slot names it
}

// List returns every slot in every place, and what should be mended, in words.
func List(ctx context.Context, o *act.Office) ([]Slot, []string, error) {
	b := open(o)
	entries, warnings, err := b.vault.Slots().List(ctx)
	if err != nil {
		return nil, nil, err
	}
	var slots []Slot
	for _, e := range entries {
		slots = append(slots, Slot{Entry: e, Key: cmp.Or(b.opener(&e), kms.Address(serviceBytes(&e)))})
	}
	if len(entries) > 0 {
		warnings = append(warnings, rack.Judge(entries, entries[0].Epoch, b.deps.Now()).Warnings...)
	}
	return slots, warnings, nil
}

// serviceBytes are the wrapped bytes of a slot that a service has wrapped; nil
// for the others.
func serviceBytes(e *rack.Entry) []byte {
	switch e.Kind {
	case keyring.KindPassphrase, keyring.KindKeyFile, keyring.KindPaper, "age":
		return nil
	}
	return e.Wrapped()
}

// opener is the SPEC that opens a slot, as far as the configuration tells.
func (b *bench) opener(e *rack.Entry) string {
	c := b.office.Config()
	switch {
	case c.Keys.Open[e.Name] != "":
		return c.Keys.Open[e.Name]
	case keyspec.Slot(c.Key) == e.Name:
		return cmp.Or(c.Key, "passphrase")
	case e.Kind == keyring.KindPassphrase, e.Kind == keyring.KindPaper:
		return e.Kind
	}
	return ""
}

// AddOptions of Add.
type AddOptions struct {
	Name string // "" = what stands before the colon of the SPEC
	Spec string // see keyspec; never paper
	Role keyring.Role
}

// Added says which slot was made.
type Added struct {
	Name     string       `json:"name"`
	Kind     string       `json:"kind"`
	Role     keyring.Role `json:"role"`
	Places   int          `json:"places"`
	Warnings []string     `json:"warnings,omitempty"`
}

// Add makes a slot and writes it into every place. What opens it is remembered
// in allod.yaml where that is no secret.
func Add(ctx context.Context, o *act.Office, opts AddOptions) (*Added, error) {
	b := open(o)
	name := cmp.Or(opts.Name, keyspec.Slot(opts.Spec))
	role, err := ParseRole(string(opts.Role))
	if err != nil {
		return nil, err
	}
	if err := b.free(ctx, name); err != nil { // before a passphrase is asked for, or a file written
		return nil, err
	}
	w, err := o.Keys().Make(ctx, opts.Spec)
	if err != nil {
		return nil, err
	}
	if err := b.add(ctx, name, role, w); err != nil {
		return nil, err
	}
	added := &Added{Name: name, Kind: w.Kind(), Role: role, Places: len(o.Config().Slots)}
	if pq, ok := w.(interface{ PostQuantum() bool }); ok && !pq.PostQuantum() {
		added.Warnings = append(added.Warnings, "a recipient of this slot does not withstand a quantum computer: age1pq1… does")
	}
	if spec := keyspec.Opener(opts.Spec); spec != "" && spec != name {
		s := o.Config().Keys
		s.Open = maps.Clone(s.Open)
		if s.Open == nil {
			s.Open = map[string]string{}
		}
		s.Open[name] = spec
		err = o.SetKeys(ctx, s)
	}
	return added, err
}

// ParseRole reads the name of a role; "" is all, "reader" is read.
func ParseRole(s string) (keyring.Role, error) {
	switch r := keyring.Role(cmp.Or(s, string(keyring.RoleAll))); r {
	case keyring.RoleAll, keyring.RoleCapture, keyring.RoleMaintain, keyring.RoleRead, keyring.RoleRestore, keyring.RoleErase:
		return r, nil
	case "reader":
		return keyring.RoleRead, nil
	}
	return "", allod.WithHint(allod.Errorf(allod.Invalid, "choose a role: there is none called %q", s), "Roles are all, read, restore, capture, maintain and erase.")
}

func (b *bench) free(ctx context.Context, name string) error {
	entries, _, err := b.vault.Slots().List(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e rack.Entry) bool { return e.Name == name }) {
		return allod.WithHint(allod.Errorf(allod.Conflict, "add slot %s: there is one of this name", name), "Choose another name; `allod vault keys list` shows those there are.")
	}
	return nil
}

func (b *bench) add(ctx context.Context, name string, role keyring.Role, w keyring.Wrapper) error {
	return b.do(ctx, "slot-added", func(s gate.Session) (int, error) {
		return 1, b.vault.AddSlot(ctx, s, name, role, w)
	})
}

// Print makes a new recovery key with a slot of its own, and has it shown: its
// words are stored nowhere. A slot whose words could not be shown is removed
// again. With no name the slot is called paper, or paper-2 and so on.
func Print(ctx context.Context, o *act.Office, name, role string, show func(*paper.Sheet) error) error {
	b := open(o)
	r, err := ParseRole(role)
	if err != nil {
		return err
	}
	if name == "" {
		if name, err = b.paperName(ctx); err != nil {
			return err
		}
	}
	p, err := keyring.NewPaper()
	if err != nil {
		return err
	}
	defer p.Wipe()
	if err := b.add(ctx, name, r, p); err != nil {
		return err
	}
	err = show(&paper.Sheet{Vault: b.vault.ID(), Slot: name, Role: string(r), Made: b.deps.Now(), Words: p.Words()})
	if err != nil {
		return errors.Join(err, b.vault.Slots().Drop(context.WithoutCancel(ctx), name))
	}
	return nil
}

func (b *bench) paperName(ctx context.Context) (string, error) {
	entries, _, err := b.vault.Slots().List(ctx)
	if err != nil {
		return "", err
	}
	name := keyring.KindPaper
	for n := 2; slices.ContainsFunc(entries, func(e rack.Entry) bool { return e.Name == name }); n++ {
		name = fmt.Sprintf("%s-%d", keyring.KindPaper, n)
	}
	return name, nil
}

// PrintAgain makes the page of a recovery key whose words somebody has: they are
// proved to open its slot first, which is recorded.
func PrintAgain(ctx context.Context, o *act.Office, words string) (*paper.Sheet, error) {
	b := open(o)
	p, err := keyring.ParsePaper(words)
	if err != nil {
		return nil, err
	}
	defer p.Wipe()
	entries, _, err := b.vault.Slots().List(ctx)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	refused := allod.Errorf(allod.NotFound, "print a recovery key: the vault has no slot for one")
	for _, e := range entries {
		if e.Kind != keyring.KindPaper || seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		if refused = b.prove(ctx, e.Name, p); refused == nil {
			return &paper.Sheet{Vault: b.vault.ID(), Slot: e.Name, Role: string(e.Role), Made: b.deps.Now(), Words: p.Words()}, nil
		}
	}
	return nil, refused
}

func (b *bench) prove(ctx context.Context, name string, w keyring.Wrapper) error {
	return b.do(ctx, "slot-proved", func(gate.Session) (int, error) { return 1, b.vault.Slots().Prove(ctx, name, w) })
}

// Proved says how the proof of one slot went.
type Proved struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Error string `json:"error,omitempty"` // why it did not open; "" = it did
	Hint  string `json:"hint,omitempty"`

	Err error `json:"-"`
}

// Prove opens the named slots for real and records the date; no names are all
// slots. spec opens them instead of what the configuration says; "" = that. The
// error is that of the first which did not open.
func Prove(ctx context.Context, o *act.Office, names []string, spec string) ([]Proved, error) {
	b := open(o)
	entries, _, err := b.vault.Slots().List(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*rack.Entry{}
	for i := range entries {
		if e := &entries[i]; byName[e.Name] == nil || byName[e.Name].Epoch < e.Epoch {
			byName[e.Name] = e
		}
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(byName))
	}
	var out []Proved
	var first error
	for _, name := range names {
		e := byName[name]
		if e == nil {
			return out, allod.WithHint(allod.Errorf(allod.NotFound, "prove slot %s: no place has it", name), "`allod vault keys list` shows those there are.")
		}
		p := Proved{Name: name, Kind: e.Kind, Err: b.proveOne(ctx, e, cmp.Or(spec, b.opener(e)))}
		if p.Err != nil {
			p.Error, p.Hint = p.Err.Error(), allod.HintOf(p.Err)
			first = cmp.Or(first, p.Err)
		}
		out = append(out, p)
	}
	return out, first
}

func (b *bench) proveOne(ctx context.Context, e *rack.Entry, spec string) error {
	if spec == "" {
		hint := "Name what opens it: `allod vault keys prove " + e.Name + " --key SPEC`."
		return allod.WithHint(allod.Errorf(allod.Invalid, "prove slot %s: nobody says what opens it", e.Name), "%s", hint)
	}
	w, err := b.office.Keys().Open(ctx, spec)
	if err != nil {
		return err
	}
	if w.Kind() != e.Kind {
		return allod.Errorf(allod.Invalid, "prove slot %s: it is of kind %s, the key named is for %s", e.Name, e.Kind, w.Kind())
	}
	return b.prove(ctx, e.Name, w)
}

// Removed says what became of a slot.
type Removed struct {
	Name     string           `json:"name"`
	Objects  int              `json:"objects"`
	Locked   []keyring.Locked `json:"locked,omitempty"` // still there, and opening the vault, until then
	Warnings []string         `json:"warnings"`
}

// Remove destroys a slot in every place; force as rack.Remove.
func Remove(ctx context.Context, o *act.Office, name string, force bool) (*Removed, error) {
	b := open(o)
	r := &Removed{Name: name}
	err := b.do(ctx, "slot-removed", func(gate.Session) (int, error) {
		d, err := b.vault.Slots().Remove(ctx, name, force)
		r.Objects, r.Locked = d.Objects, d.Locked
		return 1, err
	})
	if err != nil {
		return nil, err
	}
	r.Warnings = append(r.Warnings, "who has kept a copy of the slot and what opens it is not locked out (THREATS.md); rotate now with `allod vault keys rotate`, so that the slots of today are the only ones that go with the tree of today")
	entries, _, err := b.vault.Slots().List(ctx)
	if err != nil {
		return r, err
	}
	if len(entries) > 0 {
		r.Warnings = append(r.Warnings, rack.Judge(entries, entries[0].Epoch, b.deps.Now()).Warnings...)
	}
	s := o.Config().Keys
	if _, ok := s.Open[name]; ok {
		s.Open = maps.Clone(s.Open)
		delete(s.Open, name)
		err = o.SetKeys(ctx, s)
	}
	return r, err
}

// Rotated says what a rotation did. Times are UTC.
type Rotated struct {
	Root        uint64               `json:"root"` // of the key tree, that new rows are sealed under
	EpochBefore uint64               `json:"epoch_before"`
	Epoch       uint64               `json:"epoch"`
	Entry       uint64               `json:"entry"` // of the log
	Slots       int                  `json:"slots"` // written, over all places
	Destroyed   []puncture.Destroyed `json:"destroyed"`
	Left        []string             `json:"left,omitempty"` // places that still have old slots, and why
	Final       time.Time            `json:"final"`          // when the last of them must be gone
	Reasons     []string             `json:"reasons,omitempty"`
}

// Rotate writes every slot anew for a fresh epoch under new state keys, locks
// them where their places can, and destroys the old ones. Partial when a place
// still has old ones: Renew destroys them when their locks have ended.
func Rotate(ctx context.Context, o *act.Office) (*Rotated, error) {
	b := open(o)
	return b.rotate(ctx, "slots-rotated", b.vault.Rotate)
}

// rotate has every slot written anew, and puts it on record under the word.
func (b *bench) rotate(ctx context.Context, word string, change func(context.Context, gate.Session) (*puncture.Done, error)) (*Rotated, error) {
	g, l, err := Terms(ctx, b.office)
	if err != nil {
		return nil, err
	}
	r := &Rotated{}
	err = b.do(ctx, word, func(s gate.Session) (int, error) {
		done, err := change(ctx, s)
		if err != nil {
			return 0, err
		}
		r.Root, r.EpochBefore, r.Epoch, r.Entry, r.Slots = done.Root, done.EpochBefore, done.Epoch, done.Entry, done.Slots
		r.Final, r.Reasons = places.Final(done.Time, g, l)
		for _, p := range b.office.Config().AcceptSlotHistory {
			r.Reasons = append(r.Reasons, "what is deleted in "+p+" is not gone, which was accepted when the vault was made: the old slots there are not provably destroyed")
		}
		locked, err := b.vault.Slots().Lock(ctx, g) // the new ones, before the old ones go
		for _, l := range locked {
			if l.Err != nil {
				r.Left = append(r.Left, fmt.Sprintf("%s: the new slots are not locked: %v", l.Place, l.Err))
			}
		}
		if err != nil {
			return 0, err
		}
		r.Destroyed, err = b.vault.DestroySlots(ctx, s)
		return r.Slots, err
	})
	if err != nil {
		return nil, err
	}
	for _, d := range r.Destroyed {
		if err := errors.Join(d.Err, d.Escrow); err != nil {
			r.Left = append(r.Left, fmt.Sprintf("%s: %v", rack.PlaceName(d.Place-1), err))
		}
	}
	if len(r.Left) > 0 {
		return r, allod.WithHint(allod.Errorf(allod.Partial, "rotate the keys: not everything is done: %s", strings.Join(r.Left, "; ")), "Old slots are destroyed when their locks have ended, by `allod serve` or `allod vault keys renew`.")
	}
	return r, nil
}

// Renew renews the rolling locks of the slots of the epoch in force, in every
// place that can lock, and destroys those of before whose locks have ended. Call
// it once a day, or oftener: what is locked long enough is left alone. The error
// joins those of the places.
func Renew(ctx context.Context, o *act.Office) ([]rack.Renewal, error) {
	b := open(o)
	g, _, err := Terms(ctx, o)
	if err != nil {
		return nil, err
	}
	out, err := b.vault.Slots().Lock(ctx, g)
	errs := []error{err}
	for _, r := range out {
		if r.Err != nil {
			errs = append(errs, allod.Errorf(allod.KindOf(r.Err), "%s of slots: %w", r.Place, r.Err))
		}
	}
	return out, errors.Join(append(errs, b.finish(ctx))...)
}

// finish destroys the slots of former epochs that no lock keeps any more: any
// process with the right does (design/vault.md, "Puncture, step by step").
func (b *bench) finish(ctx context.Context) error {
	epoch, err := b.vault.Slots().Epoch(ctx)
	if err != nil {
		return err
	}
	now := b.deps.Now()
	due := func(p places.Place) bool {
		return p.Lost == "" && p.Oldest > 0 && p.Oldest < epoch && !now.Before(p.Locked)
	}
	if !slices.ContainsFunc(b.vault.Slots().Count(ctx), due) {
		return nil // nothing is decided, and nothing recorded
	}
	var failed []error
	err = b.do(ctx, "slots-destroyed", func(s gate.Session) (n int, err error) {
		done, err := b.vault.DestroySlots(ctx, s)
		for _, d := range done {
			n += d.Slots
			if d.Err != nil && !errors.Is(d.Err, blob.ErrLocked) {
				failed = append(failed, allod.Errorf(allod.KindOf(d.Err), "%s of slots: %w", rack.PlaceName(d.Place-1), d.Err))
			}
			if d.Escrow != nil {
				failed = append(failed, allod.Errorf(allod.KindOf(d.Escrow), "%s of slots: %w", rack.PlaceName(d.Place-1), d.Escrow))
			}
		}
		return n, err
	})
	return errors.Join(append(failed, err)...)
}
