// Package content opens what a vault holds with the vault's keys: environments'
// names, manifests, schemas, rows and files. It asks nobody whether the caller
// may see it: that is package vault's part, the only door for everybody else.
package content

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/escrow"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/shelf"
)

const (
	blockCache = 16 << 20  // plain blocks kept for point reads, bytes
	packMemory = 64 << 20  // indexes and filters of open packs, bytes
	maxPage    = 256 << 20 // of an object of the key tree, bytes
)

// Reader opens what is stored. Methods may be called from several goroutines.
type Reader struct {
	store    blob.Store
	log      *journal.Log
	vault    allod.GUID
	index    [32]byte
	identity age.Identity
	parts    *meta.Cipher
	packs    *shelf.Shelf
	keys     atomic.Pointer[trees]
	lent     *Loan // see Lend

	mu      sync.Mutex
	past    []*keytree.State // replaced ones, to be forgotten
	schemas map[schemaKey]*meta.Schema
	names   map[uint32]string
}

type schemaKey struct{ env, number uint32 }

// trees are the key trees of one moment. They do not change.
type trees struct {
	root uint64 // of new rows
	by   map[uint64]*keytree.State
}

// Open takes the keys and loads the key trees. Secrets without the read
// identity give a Reader that opens no pack: what needs one is Denied. The context's values stay in
// use for reads from packs until Close; its end does not.
func Open(ctx context.Context, store blob.Store, log *journal.Log, s keyring.Secrets) (*Reader, error) {
	var identity age.Identity
	if s.Identity != "" {
		var err error
		if identity, err = pack.ParseIdentity(s.Identity); err != nil {
			return nil, err
		}
	}
	r := &Reader{
		store: store, log: log, vault: s.Vault, index: s.Index, identity: identity,
		packs:   shelf.New(context.WithoutCancel(ctx), store, identity, packMemory, pack.NewCache(blockCache)),
		schemas: map[schemaKey]*meta.Schema{}, names: map[uint32]string{},
	}
	var err error
	if r.parts, err = meta.NewCipher(s.Vault, s.Index); err != nil {
		return nil, err
	}
	return r, r.Load(ctx, s)
}

// Load takes the key trees of the secrets' epoch in place of those there are:
// what is derived from now on comes of them.
func (r *Reader) Load(ctx context.Context, s keyring.Secrets) error {
	t := &trees{root: s.Root, by: map[uint64]*keytree.State{}}
	for _, k := range Roots(s) {
		tree, err := LoadTree(ctx, r.store, s.Vault, k, nil)
		if err != nil {
			return err
		}
		t.by[k.Root] = tree
	}
	r.replace(t)
	return nil
}

// Replace takes the trees of all roots, ascending, in place of those there are,
// as Load does: new rows come under the last.
func (r *Reader) Replace(all []*keytree.State) {
	t := &trees{by: map[uint64]*keytree.State{}}
	for _, tree := range all {
		t.root, t.by[tree.Root()] = tree.Root(), tree
	}
	r.replace(t)
}

func (r *Reader) replace(t *trees) {
	old := r.keys.Swap(t)
	if old == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for root, tree := range old.by {
		if t.by[root] != tree {
			r.past = append(r.past, tree)
		}
	}
}

// Loan is what a holder's key opens of one record that is restricted or held.
type Loan struct {
	Tag   keytree.Tag
	Keys  *escrow.Keys     // for rows that were captured meanwhile
	From  []*keytree.State // the trees of all roots, ascending
	Trees []*keytree.State // those with the keys of the record put back, or the same, in the order of From
}

// Lend returns a Reader of the same packs that opens the record of the loan too.
// Close overwrites what was lent, and nothing of r.
func (r *Reader) Lend(l *Loan) *Reader {
	lent := &Reader{
		store: r.store, log: r.log, vault: r.vault, index: r.index, identity: r.identity, parts: r.parts, packs: r.packs,
		lent: l, schemas: map[schemaKey]*meta.Schema{}, names: map[uint32]string{},
	}
	lent.Replace(l.Trees)
	return lent
}

// end overwrites what was lent.
func (l *Loan) end() {
	l.Keys.Wipe()
	for i, t := range l.Trees {
		if t != l.From[i] {
			t.Forget(l.From[i])
		}
	}
}

// Close overwrites the keys of the trees, also of those that were replaced:
// other goroutines may have derived from them until now.
func (r *Reader) Close() {
	if r.lent != nil {
		r.lent.end()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, tree := range r.past {
		tree.Forget(nil)
	}
	for _, tree := range r.keys.Load().by {
		tree.Forget(nil)
	}
}

// Roots returns the keys of all roots, the current one first.
func Roots(s keyring.Secrets) []keyring.RootKey {
	return append([]keyring.RootKey{s.RootKey}, s.Older...)
}

// LoadTree loads a root of the key tree from the store. Corrupt if an object of
// it is missing or not what was stored. asked, if there is one, is told the
// name of each object before it is read.
func LoadTree(ctx context.Context, store blob.Store, vault allod.GUID, k keyring.RootKey, asked func(name string)) (*keytree.State, error) {
	return keytree.Load(vault, k.Root, k.Epoch, k.State, func(name string) ([]byte, error) {
		if asked != nil {
			asked(name)
		}
		b, err := object.Get(ctx, store, name, maxPage)
		if errors.Is(err, blob.ErrNotFound) {
			err = allod.Errorf(allod.Corrupt, "open %s: it is missing", name)
		}
		return b, err
	})
}

// Forget drops what was read of packs and schemas: what is in memory proves
// nothing about the store.
func (r *Reader) Forget() {
	r.ForgetPacks()
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.schemas)
}

// ForgetPacks drops what was read of packs.
func (r *Reader) ForgetPacks() { r.packs.Clear() }

// Identity returns what opens packs; nil for who cannot.
func (r *Reader) Identity() age.Identity { return r.identity }

// Tree returns the key tree of new rows.
func (r *Reader) Tree() *keytree.State {
	t := r.keys.Load()
	return t.by[t.root]
}

// Absence returns why the present key of a record is gone; "" when it is not.
func (r *Reader) Absence(tag keytree.Tag) (string, error) {
	_, _, err := r.Tree().Current(keytree.NewIndexer(r.index).Leaf(tag))
	if why := Withheld(err); why != "" {
		return why, nil
	}
	return "", err
}

// Absences is Absence of each tag.
func (r *Reader) Absences(tags []escrow.Tag) ([]string, error) {
	out := make([]string, len(tags))
	for i, t := range tags {
		var err error
		if out[i], err = r.Absence(t.Tag); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tree returns the tree of a root; nil for one that is not known.
func (r *Reader) tree(root uint64) *keytree.State { return r.keys.Load().by[root] }

// Tag returns the tag of a record.
func (r *Reader) Tag(env, table uint32, ref allod.RecordRef) keytree.Tag {
	return keytree.NewIndexer(r.index).Tag(keytree.AppendIdentity(nil, env, table, ref.Key, ref.Pair))
}

// Punctured reports whether a key was taken out of any of the trees.
func (r *Reader) Punctured() bool {
	for _, t := range r.keys.Load().by {
		if t.Punctures() > 0 {
			return true
		}
	}
	return false
}

// Trees returns the key trees, by root.
func (r *Reader) Trees() []*keytree.State {
	var out []*keytree.State
	for _, t := range r.keys.Load().by {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *keytree.State) int { return cmp.Compare(a.Root(), b.Root()) })
	return out
}

// Absents returns the digests of the absent lists, by root: for a checkpoint.
func (r *Reader) Absents() []vlog.Absent {
	var out []vlog.Absent
	for _, t := range r.Trees() {
		out = append(out, vlog.Absent{Root: t.Root(), Epoch: t.Epoch(), Digest: t.AbsentDigest()})
	}
	return out
}

// Past returns what the environment held as of capture k, of the captures that
// the log is known to have now.
func (r *Reader) Past(env uint32, k uint64) *shelf.Past {
	return r.packs.Past(r.log.Entries, env, k)
}

// PastAfter is Past of what came after log entry n alone.
func (r *Reader) PastAfter(env uint32, k, n uint64) *shelf.Past {
	return r.packs.Past(func() []*journal.Entry { return r.After(n) }, env, k)
}

// Undo returns what entries of kind undo hold of an environment.
func (r *Reader) Undo(env uint32, entries []*journal.Entry) *shelf.Past {
	return r.packs.Undo(env, entries)
}

// After returns the entries of the log behind entry n, as the log is known now.
func (r *Reader) After(n uint64) []*journal.Entry {
	all := r.log.Entries()
	return all[min(n, uint64(len(all))):]
}

// Pack opens a pack that an entry of the environment names.
func (r *Reader) Pack(o vlog.Object, env uint32) (*shelf.Pack, error) { return r.packs.Open(o, env) }

// Seal puts p into the entry, whose numbers must be set.
func (r *Reader) Seal(e *vlog.Entry, p *meta.Part) error { return r.parts.Seal(e, p) }

// Part opens the sealed part of an entry.
func (r *Reader) Part(ctx context.Context, e *journal.Entry) (*meta.Part, error) {
	full, err := r.log.Full(ctx, e)
	if err != nil {
		return nil, err
	}
	return r.parts.Open(full)
}

// Manifest returns the manifest of a capture's entry.
func (r *Reader) Manifest(ctx context.Context, e *journal.Entry) (*meta.Manifest, error) {
	part, err := r.Part(ctx, e)
	if err != nil {
		return nil, err
	}
	if part.Manifest != nil {
		return part.Manifest, nil
	}
	b, name, err := r.frame(e, pack.KeptManifest)
	if err != nil {
		return nil, err
	}
	return meta.DecodeManifest(b, name)
}

// frame returns what the last pack of a capture's entry had, from where it
// stands now.
func (r *Reader) frame(e *journal.Entry, what uint8) (b []byte, name string, err error) {
	holder, err := r.log.Holder(e)
	if err != nil {
		return nil, "", err
	}
	return r.packs.Frame(e, holder, what)
}

// Schema returns the schema with the number that log entry n holds; nil for
// number 0.
func (r *Reader) Schema(env, number uint32, n uint64) (*meta.Schema, error) {
	if number == 0 {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.schemas[schemaKey{env, number}]; s != nil {
		return s, nil
	}
	e, err := r.log.Entry(n)
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "find schema %d: %w", number, err)
	}
	b, name, err := r.frame(e, pack.KeptSchema)
	if err != nil {
		return nil, err
	}
	if e.Environment != env {
		return nil, allod.Errorf(allod.Corrupt, "%s: it is of another environment than schema %d", name, number)
	}
	s, err := meta.DecodeSchema(b, number, n, name)
	if err != nil {
		return nil, err
	}
	r.schemas[schemaKey{env, number}] = s
	return s, nil
}

// earlier returns the schema that a row names, seen from a later schema.
func (r *Reader) earlier(env, number uint32, from *meta.Schema) (*meta.Schema, error) {
	if from != nil && number == from.Number {
		return from, nil
	}
	if from != nil {
		for _, e := range from.Earlier {
			if e.Number == number {
				return r.Schema(env, number, e.Entry)
			}
		}
	}
	return nil, allod.Errorf(allod.Corrupt, "decode a row: it names schema %d, which is not known", number)
}

// Committed keeps what this process has just stored as log entry n: the name of
// the environment and, unless it is nil, its new schema, which learns where it
// lies.
func (r *Reader) Committed(env uint32, name string, fresh *meta.Schema, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[env] = name
	if fresh != nil {
		fresh.Entry = n
		r.schemas[schemaKey{env, fresh.Number}] = fresh
	}
}

// EnvironmentName returns the name of the environment of a capture's entry.
func (r *Reader) EnvironmentName(ctx context.Context, e *journal.Entry) (string, error) {
	r.mu.Lock()
	name, ok := r.names[e.Environment]
	r.mu.Unlock()
	if ok {
		return name, nil
	}
	part, err := r.Part(ctx, e)
	if err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[e.Environment] = part.Environment
	return part.Environment, nil
}

// NameOf returns the name of an environment from its number; NotFound for one
// without a snapshot.
func (r *Reader) NameOf(ctx context.Context, number uint32) (string, error) {
	for _, e := range r.log.Entries() {
		if e.Environment == number && e.Capture != 0 {
			return r.EnvironmentName(ctx, e)
		}
	}
	return "", allod.Errorf(allod.NotFound, "find environment %d: it has no snapshot", number)
}
