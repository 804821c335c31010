// Package ledger keeps the tamper-evident record of every decision about
// stored content and of every act under one: a Merkle tree as in RFC 6962
// (golang.org/x/mod/sumdb/tlog) whose entries, tiles and signed checkpoints
// are immutable objects under ledger/ in the vault's store. The bytes are
// described in FORMAT.md, "Ledger".
//
// An entry object is a signed note (C2SP signed-note) that names the tree hash
// of all entries before it; putting it, if absent, is the commit point and the
// only mutual exclusion between processes. Tiles and checkpoints follow from
// the entries and can be made again.
package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"allod"
	"allod/internal/blob"
)

// Config says where a ledger lies and whose word counts in it.
type Config struct {
	Store blob.Store
	Vault allod.GUID // goes into every entry and checkpoint

	// Key signs what this process appends; nil = read only, Append is Denied.
	Key ed25519.PrivateKey
	// Trusted are the public keys, pinned by the configuration, whose entries
	// and checkpoints count. The public half of Key counts too.
	Trusted []ed25519.PublicKey

	// Pseudonyms is the key under which Opaque makes names opaque. All
	// processes of a vault share it, so that an actor looks the same in each.
	Pseudonyms [32]byte

	// Remembered is a head seen earlier (vault log, database). A ledger that
	// is shorter, or has another hash at that size, is Corrupt. Zero = none.
	Remembered Head

	// Seen are further heads seen earlier, in any order, which Open and Verify
	// compare like Remembered: a ledger that was replaced between two of them
	// fits the newest alone.
	Seen []Head

	Now func() time.Time // the time of entries that bring none; required when Key is set
}

// Head is a state of the ledger: how many entries and the hash of their tree.
type Head struct {
	Size int64     `json:"size"`
	Hash tlog.Hash `json:"hash"` // base64 in JSON
}

// Ledger is an open ledger. Its methods may be called from several goroutines,
// and several processes may append to one ledger at once. It needs no Close:
// whatever Append returned from is durable.
type Ledger struct {
	store     blob.Store
	vault     allod.GUID
	pseudonym [32]byte
	now       func() time.Time
	signer    note.Signer // nil = read only
	verifiers note.Verifiers
	trusted   []ed25519.PublicKey

	mu        sync.Mutex // guards what follows
	head      Head
	published int64 // entries covered by stored tiles and a stored checkpoint: a multiple of tileWidth
	hashes    *hashes
}

// maxAttempts bounds how often Append goes on to the next number because
// others took it.
const maxAttempts = 10_000

// Open finds the end of the ledger: the newest checkpoint that verifies, and
// the entries after it (at most 255 unless somebody's tiles were lost). A
// ledger without objects is empty. Denied if no key is trusted; Corrupt if an
// entry does not verify, or if the ledger is not one that contains
// Config.Remembered and its own newest checkpoint.
func Open(ctx context.Context, c Config) (*Ledger, error) {
	if c.Store == nil || c.Vault.IsZero() || c.Key != nil && (len(c.Key) != ed25519.PrivateKeySize || c.Now == nil) {
		return nil, allod.Errorf(allod.Invalid, "open the ledger: store, vault id, key and clock must fit together")
	}
	l := &Ledger{store: c.Store, vault: c.Vault, pseudonym: c.Pseudonyms, now: c.Now}
	trusted := c.Trusted
	if c.Key != nil {
		s, err := newSigner(c.Vault, c.Key)
		if err != nil {
			return nil, err
		}
		l.signer, trusted = s, append([]ed25519.PublicKey{c.Key.Public().(ed25519.PublicKey)}, trusted...)
	}
	var err error
	if l.verifiers, err = verifiers(c.Vault, trusted); err != nil {
		return nil, err
	}
	l.trusted = trusted
	newest, err := l.start(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.catchUp(ctx); err != nil {
		return nil, err
	}
	for _, h := range append([]Head{newest, c.Remembered}, c.Seen...) {
		if err := l.contains(ctx, h); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// start sets the ledger to its newest checkpoint whose tiles are whole, or to
// nothing, and returns the newest checkpoint that verifies.
func (l *Ledger) start(ctx context.Context) (newest Head, err error) {
	sizes, err := l.checkpointSizes(ctx)
	if err != nil {
		return Head{}, err
	}
	for i := len(sizes) - 1; i >= 0; i-- {
		h, err := l.readCheckpoint(ctx, sizes[i])
		if err != nil {
			if kind := allod.KindOf(err); kind == allod.Corrupt || kind == allod.NotFound {
				continue // not signed by us: Verify reports it; it proves nothing either way
			}
			return Head{}, err
		}
		if h.Size > newest.Size {
			newest = h
		}
		l.hashes = newHashes(l.store, h.Size)
		got, err := l.hashes.root(ctx, h.Size)
		if err == nil && got == h.Hash {
			l.head, l.published = h, h.Size
			return newest, nil
		}
		if err != nil && allod.KindOf(err) == allod.Unavailable {
			return Head{}, err
		}
		// Tiles are derived: without them the entries are read from further back.
	}
	l.hashes = newHashes(l.store, 0)
	l.head, l.published = Head{Hash: emptyTree()}, 0
	return newest, nil
}

// emptyTree is the hash of the tree without entries (RFC 6962 §2.1).
func emptyTree() tlog.Hash { return sha256.Sum256(nil) }

// catchUp adopts every entry that follows the head. l.mu is held.
func (l *Ledger) catchUp(ctx context.Context) error {
	for batch := 4; ; batch = min(2*batch, 64) {
		objects, err := l.fetch(ctx, l.head.Size, batch)
		if err != nil {
			return err
		}
		for _, o := range objects {
			if err := l.adopt(ctx, o); err != nil {
				return err
			}
		}
		if len(objects) < batch {
			return nil
		}
	}
}

// adopt verifies an entry object as the next one and takes it into the tree.
// l.mu is held.
func (l *Ledger) adopt(ctx context.Context, object []byte) error {
	p, err := openEntry(object, l.vault, l.verifiers)
	if err != nil {
		return allod.Errorf(allod.KindOf(err), "%s: %w", entryName(l.head.Size), err)
	}
	if p.n != l.head.Size {
		return allod.Errorf(allod.Corrupt, "%s: holds entry %d", entryName(l.head.Size), p.n)
	}
	if p.before != l.head.Hash {
		return allod.Errorf(allod.Corrupt, "%s: was written after other entries than the %d stored here", entryName(p.n), p.n)
	}
	root, err := l.hashes.add(ctx, p.n, object)
	if err != nil {
		return err
	}
	l.head = Head{Size: p.n + 1, Hash: root}
	return nil
}

// Vault returns the id of the vault whose ledger it is.
func (l *Ledger) Vault() allod.GUID { return l.vault }

// Opaque returns the pseudonym of a name within a domain such as "actor": 32
// hexadecimal digits, the same in every process of the vault, telling nothing
// to those without the vault's secrets.
func (l *Ledger) Opaque(domain, name string) string {
	m := hmac.New(sha256.New, l.pseudonym[:])
	_, _ = io.WriteString(m, "allod ledger pseudonym v1\x00"+domain+"\x00"+name) // a hash takes every write
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// Append records e as the next entry and returns its index, from 0. When it
// returns nil the entry is durable. After an error other than Invalid or
// Denied the entry may or may not have been recorded; a later Append or Open
// finds out. Denied without a key; Invalid if e could name somebody (see
// Entry.Check); Corrupt if somebody stored a next entry that does not verify;
// Unavailable if the store cannot be reached, or others append faster.
func (l *Ledger) Append(ctx context.Context, e Entry) (int64, error) {
	if l.signer == nil {
		return 0, allod.Errorf(allod.Denied, "append to the ledger: it was opened without a signing key")
	}
	if e.Time.IsZero() {
		e.Time = l.now()
	}
	var id [16]byte
	if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
		return 0, allod.Errorf(allod.Internal, "append to the ledger: draw an id: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for range maxAttempts {
		n := l.head.Size
		object, err := sealEntry(e, l.vault, n, l.head.Hash, id, l.signer)
		if err != nil {
			return 0, err
		}
		stored, err := l.commit(ctx, n, object)
		if err != nil {
			return 0, err
		}
		if err := l.adopt(ctx, stored); err != nil {
			return 0, err
		}
		if bytes.Equal(stored, object) {
			// The entry stands. Tiles and checkpoints only make opening and
			// proving quick; what could not be put now is put by a later Append.
			_ = l.publish(ctx)
			return n, nil
		}
	}
	return 0, allod.Errorf(allod.Unavailable, "append to the ledger: others took %d numbers in a row", maxAttempts)
}

// commit puts object as entry n and returns what the store then holds under
// that number: THE commit point.
func (l *Ledger) commit(ctx context.Context, n int64, object []byte) ([]byte, error) {
	name := entryName(n)
	putErr := l.store.Put(ctx, name, bytes.NewReader(object), int64(len(object)), blob.PutOptions{})
	if putErr == nil {
		return object, nil
	}
	stored, err := read(ctx, l.store, name, maxObject)
	if err != nil {
		if errors.Is(putErr, blob.ErrExists) {
			return nil, err
		}
		return nil, allod.Errorf(allod.KindOf(putErr), "append to the ledger: put %s: %w", name, putErr)
	}
	return stored, nil
}

// Root returns the size and tree hash this process knows; other processes may
// have appended since (see Refresh).
func (l *Ledger) Root() (size int64, hash tlog.Hash) {
	h := l.Head()
	return h.Size, h.Hash
}

// Head is Root in one value: what to remember, and to give to a later Open as
// Config.Remembered.
func (l *Ledger) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Refresh reads what other processes have appended and returns the new head.
func (l *Ledger) Refresh(ctx context.Context) (Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.catchUp(ctx); err != nil {
		return Head{}, err
	}
	return l.head, nil
}

// Contains returns nil if h is this ledger's head now or was once, Corrupt if
// the ledger is shorter or went another way: entries were removed or replaced.
func (l *Ledger) Contains(ctx context.Context, h Head) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.Size > l.head.Size {
		if err := l.catchUp(ctx); err != nil {
			return err
		}
	}
	return l.contains(ctx, h)
}

func (l *Ledger) contains(ctx context.Context, h Head) error {
	if h == (Head{}) || h == l.head {
		return nil
	}
	alarm := func(what string) error {
		err := allod.Errorf(allod.Corrupt, "open the ledger: %s", what)
		return allod.WithHint(err, "Entries were removed or replaced: keep the store as it is, and look at its versions, its copies and who could write to it. docs/verify.md says how to go on.")
	}
	if h.Size < 0 || h.Size > l.head.Size {
		return alarm("it is shorter than it has been")
	}
	got, err := l.hashes.clone().root(ctx, h.Size) // a copy: old tiles are not kept
	if err != nil {
		return err
	}
	if got != h.Hash {
		return alarm("its past is not the one that was seen before")
	}
	return nil
}

// Get returns entry n as it was recorded. NotFound beyond the head.
func (l *Ledger) Get(ctx context.Context, n int64) (Entry, error) {
	if n < 0 || n >= l.Head().Size {
		return Entry{}, allod.Errorf(allod.NotFound, "read ledger entry %d: there is none", n)
	}
	object, err := read(ctx, l.store, entryName(n), maxObject)
	if err != nil {
		return Entry{}, err
	}
	p, err := openEntry(object, l.vault, l.verifiers)
	if err == nil && p.n != n {
		err = allod.Errorf(allod.Corrupt, "it holds entry %d", p.n)
	}
	if err != nil {
		return Entry{}, allod.Errorf(allod.KindOf(err), "%s: %w", entryName(n), err)
	}
	return p.Entry, nil
}
