// Package vault is the only door to stored data: every row version is sealed
// alone under a key that belongs to its record, packs are immutable, and a
// snapshot exists when its log entry is committed and not before (FORMAT.md,
// design/vault.md). Functions that show content take a gate.Session.
package vault

import (
	"context"
	"crypto/ed25519"
	"sync"
	"time"

	"filippo.io/age"

	"allod/internal/blob"
	"allod/internal/vault/custody"
	"allod/internal/vault/found"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/internal/hidden"
	"allod/internal/vault/internal/known"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/status"
)

// Config says where a vault lies and what is known of it beforehand.
type Config struct {
	Store    blob.Store       // objects: vault, log, checkpoints, packs, files, keytree
	Slots    []blob.Mutable   // erasable places of slots; the first is the default
	Now      func() time.Time // the wall clock; nil = time.Now. Labels entries, never orders them
	TempDir  string           // spilled rows, encrypted under a key that lives in memory; "" = os.TempDir()
	CacheDir string           // derived data; "" = none kept on disk
	Pin      Pin              // as pinned in the configuration; zero only for Create, and for OpenPublic by those who have none
	// Index opens the place where a capture that cannot read keeps what it has to
	// know of stored rows, and makes it if it is wanted; nil, there too, = nowhere.
	Index func(ctx context.Context, wanted bool) (blob.Store, error)
	Seen  Head // the end of the log as seen earlier (Vault.Head): a log that is shorter or went another way is Corrupt; zero = none
}

// Head is the end of a log: its newest entry.
type Head struct {
	N      uint64      `json:"n"` // 0 = an empty log
	Digest vlog.Digest `json:"digest"`
}

// Pin is what a configuration remembers of a vault, so that a changed "vault"
// object in the store is an alarm and is never obeyed.
type Pin = vlog.Pin

// Signer is a public key that a Pin names, and what it may sign.
type Signer = vlog.Signer

// CreateOptions of Create.
type CreateOptions struct {
	// Wrappers make one reader slot each, in every place of Config.Slots.
	Wrappers []NamedWrapper
}

// NamedWrapper is a slot to be made: its name and what wraps the secrets.
type NamedWrapper = found.NamedWrapper

// Vault is an open vault. Methods may be called from several goroutines.
type Vault struct {
	cfg Config
	log *journal.Log

	keys    sync.Mutex      // guards the root key in secrets, and wrapper
	secrets keyring.Secrets // zero without keys
	wrapper keyring.Wrapper // what opened the slot; nil = a new epoch cannot be followed

	content    *content.Reader // nil without keys
	known      *known.Index    // nil = not kept
	finder     *custody.Finder // nil without keys
	recipients []age.Recipient
	signer     ed25519.PrivateKey // of use capture

	hidden hidden.Reader

	fileObject int // files of more plain bytes become objects; stage.SmallFile but in tests
}

// Status describes a vault for people: no content.
type Status = status.Status

// SlotStatus describes one slot in one place.
type SlotStatus = status.Slot

// RootStatus describes one root of the key tree.
type RootStatus = status.Root
