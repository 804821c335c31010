// Package puncture destroys keys. It moves the key tree of a vault to an epoch
// from which the chosen records cannot be derived, in the steps of
// design/vault.md ("Puncture, step by step"): the pages of the new epoch are
// written and read back, then every slot for that epoch beside the old one,
// then the log entry, which is the commit point; Destroy removes the slots of
// the epochs before. A crash before the entry leaves the old epoch and rubbish;
// after it the log alone says what remains, and any process with the right
// finishes it. Who may ask for it, and when, is decided above.
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
// moves the epoch: the state key and every slot are made anew.
type Order struct {
	Kind    vlog.Kind        // erase, restrict, rectify or slot
	Absent  keytree.Kind     // how the absent list names the targets
	Targets []keytree.Target // at most MaxTargets
	Held    []keytree.Target // like Targets, listed as held: their keys lie in escrow
	Back    []Back           // records whose keys are put back
	Run     string           // shared by the entries of one act; at most 64 bytes
	Ledger  vlog.LedgerRoot  // head of the ledger with the decision that allowed it

	Environment uint32        // of Objects; 0 = none
	Objects     []vlog.Object // packs that hold rows sealed anew

	// Draft, if there is one, is called with the entry before it is signed, at
	// each attempt: it may fill Sealed, and refuse because of what the log has
	// said since.
	Draft func(ctx context.Context, e *vlog.Entry) error
}

// Back is what one root derived of records that are put back.
type Back struct {
	Root    uint64
	Records []keytree.Return
}

// Done says what a puncture did. Times are UTC.
type Done struct {
	Entry        uint64      `json:"entry"` // log number
	Digest       vlog.Digest `json:"digest"`
	Time         time.Time   `json:"time"`
	Root         uint64      `json:"root"`
	EpochBefore  uint64      `json:"epoch_before"`
	Epoch        uint64      `json:"epoch"`
	AbsentBefore vlog.Digest `json:"absent_before"`
	AbsentAfter  vlog.Digest `json:"absent_after"`
	Records      int         `json:"records"` // targets
	Written      int64       `json:"written"` // bytes of the key tree's objects
	Slots        int         `json:"slots"`   // slot objects written, over all places

	Secrets keyring.Secrets `json:"-"` // of the new epoch
	Tree    *keytree.State  `json:"-"` // of the new epoch
}

// Commit does steps 1 to 3 with the secrets and the tree of the epoch in force.
// When it returns nil the new epoch is in force and s.Log has its entry; the
// old slots are still there (Destroy). After an error nothing has changed, or,
// where the store could not say, all of it: open the vault again to see.
// Conflict when the epoch has moved meanwhile; Invalid for a vault with more
// than one root; Denied for secrets that may not sign.
func Commit(ctx context.Context, s Site, secrets keyring.Secrets, tree *keytree.State, o Order) (*Done, error) {
	if n := len(o.Targets) + len(o.Held); n > MaxTargets {
		return nil, allod.Errorf(allod.Invalid, "puncture the key tree: %d records are more than %d", n, MaxTargets)
	}
	if len(secrets.Older) > 0 {
		return nil, allod.Errorf(allod.Invalid, "puncture the key tree: this version handles one root, the vault has %d", len(secrets.Older)+1)
	}
	key, err := secrets.Signer(vlog.MaySign(o.Kind)[0])
	if err != nil {
		return nil, err
	}
	a := &attempt{site: s, order: o, old: secrets, tree: tree, key: key}
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
	tree  *keytree.State
	key   ed25519.PrivateKey

	next    *keytree.State
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
	if e := chain.Epochs[a.tree.Root()]; e != 0 && (e != a.tree.Epoch() || chain.Root() != a.tree.Root()) {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "root %d of the key tree has moved to epoch %d while this process holds %d", a.tree.Root(), e, a.tree.Epoch()), "Run the command again.")
	}
	e := &vlog.Entry{
		Vault: fmt.Sprintf("%x", a.site.Pin.Vault[:]), N: chain.N + 1, Prev: chain.Last, Kind: a.order.Kind, Run: a.order.Run, Environment: a.order.Environment,
		Objects: a.order.Objects, Ledger: a.order.Ledger, Root: a.tree.Root(),
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

// prepare is step 1: pages and root page of the new epoch, under a fresh state
// key, written, read back and opened.
func (a *attempt) prepare(ctx context.Context, e *vlog.Entry) error {
	next, err := a.tree.Puncture(a.order.Targets, cmp.Or(a.order.Absent, keytree.Erased), e.N)
	if err != nil {
		return err
	}
	if len(a.order.Held) > 0 {
		if next, err = next.Puncture(a.order.Held, keytree.Held, e.N); err != nil {
			return err
		}
	}
	for _, b := range a.order.Back {
		if b.Root != next.Root() {
			return allod.Errorf(allod.Invalid, "put a key back: this version handles one root, and it is not %d", b.Root)
		}
		if next, err = next.PutBack(b.Records); err != nil {
			return err
		}
	}
	epoch, err := a.free(ctx, next.Epoch())
	if err != nil {
		return err
	}
	if err := next.Advance(epoch); err != nil {
		return err
	}
	a.secrets = a.old
	a.secrets.Epoch = epoch
	if _, err := io.ReadFull(rand.Reader, a.secrets.State[:]); err != nil {
		return allod.Errorf(allod.Internal, "draw a state key: %w", err)
	}
	objects, err := next.Seal(a.secrets.State)
	if err != nil {
		return err
	}
	e.Epoch, e.AbsentBefore, e.AbsentAfter = epoch, a.tree.AbsentDigest(), next.AbsentDigest()
	written := int64(0)
	for _, o := range objects {
		if err := object.Put(ctx, a.site.Store, o.Name, o.Data); err != nil {
			return err
		}
		written += int64(len(o.Data))
	}
	if err := a.readBack(ctx, objects, next); err != nil {
		return err
	}
	a.next = next
	a.done = Done{
		Entry: e.N, Time: e.Time, Root: e.Root, EpochBefore: a.tree.Epoch(), Epoch: epoch, AbsentBefore: e.AbsentBefore, AbsentAfter: e.AbsentAfter,
		Records: len(a.order.Targets) + len(a.order.Held), Written: written,
	}
	return nil
}

// free returns the lowest epoch from the given one on that nobody has written to:
// what a crash has left there must not be taken for ours.
func (a *attempt) free(ctx context.Context, epoch uint64) (uint64, error) {
	for range maxEpochs {
		prefix := strings.TrimSuffix(keytree.RootName(a.tree.Root(), epoch), "root")
		used := false
		for _, err := range a.site.Store.List(ctx, prefix) {
			if err != nil {
				return 0, allod.Errorf(allod.KindOf(err), "look for a free epoch: %w", err)
			}
			used = true
			break
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
func (a *attempt) readBack(ctx context.Context, objects []keytree.Object, next *keytree.State) error {
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
	return next.Check(a.secrets.State, func(name string) []byte { return stored[name] })
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
			if p.Epoch == a.tree.Epoch() {
				mine = append(mine, p.Slot)
			}
		}
		if err := complete(ctx, place, mine, a.tree.Epoch()); err != nil {
			return object.Named(fmt.Sprintf("place %d of slots", i+1), err)
		}
		if len(mine) == 0 {
			return allod.WithHint(allod.Errorf(allod.NotFound, "place %d has no slot of epoch %d", i+1, a.tree.Epoch()), "Put it back from a copy, or take the place out of the configuration.")
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
	a.done.Digest, a.done.Secrets, a.done.Tree = digest, a.secrets, a.next
	return &a.done, nil
}

// Destroyed says what became of the old slots of one place.
type Destroyed struct {
	Place int   `json:"place"` // from 1, as configured
	Slots int   `json:"slots"` // objects that were removed now
	Err   error `json:"-"`     // why some are left; nil = none is
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
