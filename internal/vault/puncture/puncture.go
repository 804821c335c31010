// Package puncture destroys keys. It moves the key tree of a vault to an epoch
// from which the chosen records cannot be derived, in the steps of
// design/vault.md ("Puncture, step by step"): the pages of the new epoch are
// written and read back, then every slot for that epoch beside the old one,
// then the log entry, which is the commit point; Destroy removes the slots of
// the epochs before. A crash before the entry leaves the old epoch and rubbish;
// after it the log alone says what remains, and any process with the right
// finishes it. Who may ask for it, and when, is decided above.
//
// A vault may have several roots of the key tree. They share one epoch: one
// entry moves all of them, so that there is nothing between, and a record is
// taken out of each, whether or not that root has rows of it, which nobody can
// tell without opening packs.
package puncture

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

const (
	maxTries  = 100       // entries of others that may come between
	maxEpochs = 10_000    // epochs in a row that attempts may have left rubbish in
	maxPage   = 256 << 20 // of an object of the key tree, bytes

	// MaxTargets is how many records one puncture destroys at most: more are
	// done in several, so that one entry stays a step that can be waited for.
	MaxTargets = 100_000
)

// Site is the vault that is worked on. Its Log must be read to its end.
type Site struct {
	Store  blob.Store
	Places []blob.Mutable // of slots, all of them: one that cannot be written stops the puncture
	Log    *journal.Log
	Pin    vlog.Pin
	Now    func() time.Time
}

// Order says what one puncture destroys. Without targets and put-backs it only
// moves the epoch: the state keys and every slot are made anew.
type Order struct {
	Kind   vlog.Kind    // erase, restrict, rectify or slot
	Absent keytree.Kind // how the absent list names the targets
	// Targets, at most MaxTargets. A generation is one of the current root; in
	// the roots before it the whole record goes, since all its rows there are
	// older than that: who wants to keep them has sealed them anew.
	Targets []keytree.Target
	Held    []keytree.Target // like Targets, listed as held: their keys lie in escrow
	Back    []Back           // records whose keys are put back
	// Older are the trees of the roots before the current one, ascending, all
	// of them.
	Older []*keytree.State
	// Begin begins a new root, with what the others refuse as a whole. There are
	// no targets then.
	Begin  bool
	Run    string          // shared by the entries of one act; at most 64 bytes
	Ledger vlog.LedgerRoot // head of the ledger with the decision that allowed it

	Environment uint32        // of Objects; 0 = none
	Objects     []vlog.Object // packs that hold rows sealed anew

	// Draft, if there is one, is called with the entry before it is signed, at
	// each attempt: it may fill Sealed, and refuse because of what the log has
	// said since.
	Draft func(ctx context.Context, e *vlog.Entry) error
}

// Back is what one root derived of records that are put back. A root that was
// begun while they were away derives them still, and none of it is given.
type Back struct {
	Root    uint64
	Records []keytree.Return
}

// Done says what a puncture did. Times are UTC.
type Done struct {
	Entry        uint64       `json:"entry"` // log number
	Digest       vlog.Digest  `json:"digest"`
	Time         time.Time    `json:"time"`
	Root         uint64       `json:"root"`
	EpochBefore  uint64       `json:"epoch_before"`
	Epoch        uint64       `json:"epoch"`
	AbsentBefore vlog.Digest  `json:"absent_before"`
	AbsentAfter  vlog.Digest  `json:"absent_after"`
	Earlier      []vlog.Moved `json:"earlier,omitempty"` // the roots before, which moved too
	Records      int          `json:"records"`           // targets
	Written      int64        `json:"written"`           // bytes of the key tree's objects
	Slots        int          `json:"slots"`             // slot objects written, over all places

	Secrets keyring.Secrets  `json:"-"` // of the new epoch
	Tree    *keytree.State   `json:"-"` // of the new epoch, for new rows
	Trees   []*keytree.State `json:"-"` // of the new epoch, all of them, ascending
}

// Commit does steps 1 to 3 with the secrets and the tree of the epoch in force.
// When it returns nil the new epoch is in force and s.Log has its entry; the
// old slots are still there (Destroy). After an error nothing has changed, or,
// where the store could not say, all of it: open the vault again to see.
// Conflict when the epoch has moved meanwhile; Invalid if the trees are not
// those of the secrets, or no further root can be begun; Denied for secrets that
// may not sign.
func Commit(ctx context.Context, s Site, secrets keyring.Secrets, tree *keytree.State, o Order) (*Done, error) {
	if n := len(o.Targets) + len(o.Held); n > MaxTargets {
		return nil, allod.Errorf(allod.Invalid, "puncture the key tree: %d records are more than %d", n, MaxTargets)
	}
	if o.Begin && len(o.Targets)+len(o.Held)+len(o.Back) > 0 {
		return nil, allod.Errorf(allod.Invalid, "begin a root of the key tree: it is an act of its own")
	}
	if o.Begin && len(secrets.Older) >= vlog.MaxRoots {
		return nil, allod.Errorf(allod.Invalid, "begin a root of the key tree: it has %d, and no more can be", len(secrets.Older)+1)
	}
	trees := append(slices.Clone(o.Older), tree)
	keys := append(slices.Clone(secrets.Older), secrets.RootKey)
	same := func(t *keytree.State, k keyring.RootKey) bool {
		return t.Root() == k.Root && t.Epoch() == secrets.Epoch
	}
	if !slices.EqualFunc(trees, keys, same) {
		return nil, allod.Errorf(allod.Invalid, "puncture the key tree: the trees are not those of its %d roots in epoch %d", len(keys), secrets.Epoch)
	}
	key, err := secrets.Signer(vlog.MaySign(o.Kind)[0])
	if err != nil {
		return nil, err
	}
	a := &attempt{site: s, order: o, old: secrets, trees: trees, key: key}
	for range maxTries {
		done, err := a.run(ctx)
		if done != nil || err != nil {
			return done, object.Named("puncture the key tree", err)
		}
	}
	return nil, allod.Errorf(allod.Unavailable, "puncture the key tree: others wrote the log faster %d times", maxTries)
}

// attempt is one Commit on its way.
type attempt struct {
	site  Site
	order Order
	old   keyring.Secrets
	trees []*keytree.State // in force, ascending: new rows come under the last
	key   ed25519.PrivateKey

	next    []*keytree.State
	secrets keyring.Secrets
	done    Done
}

// run tries once; nil and nil when the number was taken by somebody else.
func (a *attempt) run(ctx context.Context) (*Done, error) {
	if err := a.site.Log.Refresh(ctx); err != nil {
		return nil, err
	}
	if err := a.site.Log.Stands(ctx); err != nil {
		return nil, err
	}
	chain := a.site.Log.Chain()
	if e := chain.Epoch(); e != 0 && (e != a.old.Epoch || chain.Root() != a.old.Root) {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "the key tree has moved to root %d, epoch %d while this process holds root %d, epoch %d", chain.Root(), e, a.old.Root, a.old.Epoch), "Run the command again.")
	}
	e := &vlog.Entry{
		Vault: fmt.Sprintf("%x", a.site.Pin.Vault[:]), N: chain.N + 1, Prev: chain.Last, Kind: a.order.Kind, Run: a.order.Run, Environment: a.order.Environment,
		Objects: a.order.Objects, Ledger: a.order.Ledger, Root: a.old.Root,
	}
	if a.order.Begin {
		e.Root++
	}
	var err error
	if e.Time, err = journal.Stamp(a.site.Now(), chain.Time); err != nil {
		return nil, err
	}
	if a.order.Draft != nil { // before anything is written: it may refuse
		if err := a.order.Draft(ctx, e); err != nil {
			return nil, err
		}
	}
	if err := a.prepare(ctx, e); err != nil {
		return nil, err
	}
	if err := a.slots(ctx); err != nil {
		return nil, err
	}
	return a.commit(ctx, e)
}

// prepare is step 1: pages and root page of the new epoch of every root, each
// under a fresh state key, written, read back and opened.
func (a *attempt) prepare(ctx context.Context, e *vlog.Entry) error {
	if err := a.change(e.N); err != nil {
		return err
	}
	epoch, err := a.free(ctx)
	if err != nil {
		return err
	}
	e.Epoch, e.Roots, e.AbsentBefore = epoch, nil, vlog.Digest{}
	a.done = Done{Entry: e.N, Time: e.Time, Root: e.Root, EpochBefore: a.old.Epoch, Epoch: epoch, Records: len(a.order.Targets) + len(a.order.Held)}
	a.secrets, a.secrets.Older = a.old, nil
	for i, next := range a.next {
		if err := next.Advance(epoch); err != nil {
			return err
		}
		k := keyring.RootKey{Root: next.Root(), Epoch: epoch}
		if _, err := io.ReadFull(rand.Reader, k.State[:]); err != nil {
			return allod.Errorf(allod.Internal, "draw a state key: %w", err)
		}
		if err := a.store(ctx, next, k.State); err != nil {
			return err
		}
		m := vlog.Moved{Root: k.Root, AbsentAfter: next.AbsentDigest()}
		if i < len(a.trees) {
			m.AbsentBefore = a.trees[i].AbsentDigest()
		}
		if i == len(a.next)-1 {
			a.secrets.RootKey, e.AbsentBefore, e.AbsentAfter = k, m.AbsentBefore, m.AbsentAfter
			break
		}
		a.secrets.Older, e.Roots = append(a.secrets.Older, k), append(e.Roots, m)
	}
	a.done.AbsentBefore, a.done.AbsentAfter, a.done.Earlier = e.AbsentBefore, e.AbsentAfter, e.Roots
	return nil
}

// change makes the trees as they will be, with the number of the entry.
func (a *attempt) change(n uint64) error {
	for _, b := range a.order.Back {
		if !slices.ContainsFunc(a.trees, func(t *keytree.State) bool { return t.Root() == b.Root }) {
			return allod.Errorf(allod.Invalid, "put a key back: there is no root %d", b.Root)
		}
	}
	a.next = nil
	for _, tree := range a.trees {
		targets := a.order.Targets
		if tree != a.trees[len(a.trees)-1] {
			targets = slices.Clone(targets)
			for i := range targets {
				targets[i].Generation = -1
			}
		}
		next, err := tree.Puncture(targets, cmp.Or(a.order.Absent, keytree.Erased), n)
		if err == nil && len(a.order.Held) > 0 {
			next, err = next.Puncture(a.order.Held, keytree.Held, n)
		}
		if err == nil {
			next, err = a.back(next)
		}
		if err != nil {
			return err
		}
		a.next = append(a.next, next)
	}
	if !a.order.Begin {
		return nil
	}
	fresh, err := a.next[len(a.next)-1].Begin(nil)
	a.next = append(a.next, fresh)
	return err
}

// back puts back into a tree what the order says, and has it admit what others
// get back.
func (a *attempt) back(tree *keytree.State) (*keytree.State, error) {
	given := map[keytree.Leaf]bool{}
	var err error
	for _, b := range a.order.Back {
		if b.Root != tree.Root() {
			continue
		}
		for _, r := range b.Records {
			given[r.Leaf] = true
		}
		if tree, err = tree.PutBack(b.Records); err != nil {
			return nil, err
		}
	}
	for _, b := range a.order.Back {
		for _, r := range b.Records {
			if given[r.Leaf] {
				continue
			}
			if tree, err = tree.Admit(r.Leaf); err != nil {
				return nil, err
			}
		}
	}
	return tree, nil
}

// store writes a tree under its state key and reads it back.
func (a *attempt) store(ctx context.Context, next *keytree.State, state [32]byte) error {
	objects, err := next.Seal(state)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := object.Put(ctx, a.site.Store, o.Name, o.Data); err != nil {
			return err
		}
		a.done.Written += int64(len(o.Data))
	}
	return a.readBack(ctx, objects, next, state)
}

// free returns the lowest epoch that nobody has written to, under any root:
// what a crash has left there must not be taken for ours.
func (a *attempt) free(ctx context.Context) (uint64, error) {
	epoch := a.old.Epoch
	for range maxEpochs {
		epoch++
		used := false
		for _, tree := range a.next {
			prefix := strings.TrimSuffix(keytree.RootName(tree.Root(), epoch), "root")
			for _, err := range a.site.Store.List(ctx, prefix) {
				if err != nil {
					return 0, allod.Errorf(allod.KindOf(err), "look for a free epoch: %w", err)
				}
				used = true
				break
			}
		}
		if !used {
			return epoch, nil
		}
		epoch++
	}
	return 0, allod.Errorf(allod.Internal, "look for a free epoch: %d attempts were left behind", maxEpochs)
}

// readBack compares what the store gives with what was put, and opens the tree
// from it as every later reader will. Pages that were not touched are those of
// the tree in memory, which were opened when it was loaded.
func (a *attempt) readBack(ctx context.Context, objects []keytree.Object, next *keytree.State, state [32]byte) error {
	stored := map[string][]byte{}
	for _, o := range objects {
		b, err := object.Get(ctx, a.site.Store, o.Name, maxPage)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, o.Data) {
			return allod.Errorf(allod.Corrupt, "write %s: the store gave back other bytes", o.Name)
		}
		stored[o.Name] = b
	}
	return next.Check(state, func(name string) []byte { return stored[name] })
}

// slots is step 2: in every place, each slot that it has for the epoch in force
// is written for the new one beside the old, and read back.
func (a *attempt) slots(ctx context.Context) error {
	pin := keyring.Pin{Vault: a.site.Pin.Vault, Signers: a.site.Pin.Keys(vlog.UseSlot)}
	if len(a.site.Places) == 0 {
		return allod.Errorf(allod.Invalid, "write the slots: no place of slots is configured")
	}
	a.done.Slots = 0
	for i, place := range a.site.Places {
		placed, _, err := keyring.List(ctx, place, pin)
		if err != nil {
			return object.Named(fmt.Sprintf("place %d of slots", i+1), err)
		}
		var mine []keyring.Slot
		for _, p := range placed {
			if p.Epoch == a.old.Epoch {
				mine = append(mine, p.Slot)
			}
		}
		if err := complete(ctx, place, mine, a.old.Epoch); err != nil {
			return object.Named(fmt.Sprintf("place %d of slots", i+1), err)
		}
		if len(mine) == 0 {
			return allod.WithHint(allod.Errorf(allod.NotFound, "place %d has no slot of epoch %d", i+1, a.old.Epoch), "Put it back from a copy, or take the place out of the configuration.")
		}
		if err := keyring.Write(ctx, []blob.Mutable{place}, mine, a.secrets, a.site.Now); err != nil {
			return object.Named(fmt.Sprintf("place %d of slots", i+1), err)
		}
		a.done.Slots += len(mine)
	}
	return nil
}

// complete is Corrupt if the place has an object for a slot of the epoch that
// is no slot: rotating the others would lose it without a word.
func complete(ctx context.Context, place blob.Store, good []keyring.Slot, epoch uint64) error {
	suffix := fmt.Sprintf("@%d", epoch)
	for info, err := range place.List(ctx, "slots/") {
		if err != nil {
			return allod.Errorf(allod.KindOf(err), "list the slots: %w", err)
		}
		known := slices.ContainsFunc(good, func(s keyring.Slot) bool { return keyring.ObjectName(s.Name, epoch) == info.Name })
		if strings.HasSuffix(info.Name, suffix) && !known {
			return allod.WithHint(allod.Errorf(allod.Corrupt, "%s is damaged or not of this vault", info.Name), "Put it back from a copy, or remove it if it is not needed any more.")
		}
	}
	return nil
}

// commit is step 3: the log entry. nil and nil when its number is taken.
func (a *attempt) commit(ctx context.Context, e *vlog.Entry) (*Done, error) {
	b, digest, err := e.Encode(a.key)
	if err != nil {
		return nil, err
	}
	if taken, err := a.site.Log.Put(ctx, b, e.N); taken || err != nil {
		return nil, err
	}
	if _, err := a.site.Log.AddOwn(b, e.N); err != nil {
		return nil, err
	}
	a.done.Digest, a.done.Secrets, a.done.Trees, a.done.Tree = digest, a.secrets, a.next, a.next[len(a.next)-1]
	return &a.done, nil
}

// Destroyed says what became of the old slots of one place.
type Destroyed struct {
	Place int   `json:"place"` // from 1, as configured
	Slots int   `json:"slots"` // objects that were removed now
	Err   error `json:"-"`     // why some are left; nil = none is

	Escrow error `json:"-"` // why escrow that counts no more is left; nil = none is
}

// Destroy is step 4: the slots of every epoch before the one in force are
// removed from every place. A place that fails is named in its Destroyed; the
// others are done all the same. It may be called again, by anybody who may
// delete there, until no place has an error.
func Destroy(ctx context.Context, places []blob.Mutable, epoch uint64) []Destroyed {
	var out []Destroyed
	for i, place := range places {
		n, err := keyring.Destroy(ctx, place, epoch)
		out = append(out, Destroyed{Place: i + 1, Slots: n, Err: err})
	}
	return out
}
