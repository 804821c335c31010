package keyring

import (
	"context"
	"crypto/ed25519"
	"time"

	"allod"
	"allod/internal/blob"
)

var errUnbuilt = allod.Errorf(allod.Internal, "keyring: being written")

func NewSecrets(vault allod.GUID) (Secrets, error)              { return Secrets{}, errUnbuilt }
func (s Secrets) For(r Role) (Secrets, error)                   { return Secrets{}, errUnbuilt }
func (s Secrets) Signer(use string) (ed25519.PrivateKey, error) { return nil, errUnbuilt }
func (s *Secrets) Wipe()                                        {}
func (s Secrets) Recipient() (string, error)                    { return "", errUnbuilt }

func NewSlot(name string, role Role, w Wrapper) (Slot, error) { return Slot{}, errUnbuilt }

// Write seals the role's part of secrets for each slot and writes it to every place, then reads it back.
func Write(ctx context.Context, places []blob.Mutable, slots []Slot, s Secrets) error {
	return errUnbuilt
}

// OpenSlot opens the slots of the epoch (0 = newest) until w fits one.
func OpenSlot(ctx context.Context, place blob.Store, pin Pin, epoch uint64, w Wrapper) (Secrets, Opened, error) {
	return Secrets{}, Opened{}, errUnbuilt
}

// List returns the slots with valid signatures (all epochs), ascending by epoch and name.
func List(ctx context.Context, place blob.Store, pin Pin) ([]Placed, error) { return nil, errUnbuilt }

// Prove opens the named slot for real.
func Prove(ctx context.Context, place blob.Store, pin Pin, epoch uint64, name string, w Wrapper, now func() time.Time) (Proof, error) {
	return Proof{}, errUnbuilt
}

// Destroy deletes slot objects of epochs before the given one and proves that they are gone.
func Destroy(ctx context.Context, place blob.Mutable, before uint64) (int, error) {
	return 0, errUnbuilt
}

type Placed struct {
	Slot        Slot
	Root, Epoch uint64
	Written     time.Time
}

func NewPassphrase(p []byte) (*Passphrase, error) { return nil, errUnbuilt }

type Passphrase struct{}

func (*Passphrase) Kind() string                  { return KindPassphrase }
func (*Passphrase) Wrap([]byte) ([]byte, error)   { return nil, errUnbuilt }
func (*Passphrase) Unwrap([]byte) ([]byte, error) { return nil, errUnbuilt }

// NewKeyFile makes a key file; Text is what to write to it.
func NewKeyFile() (*KeyFile, error)              { return nil, errUnbuilt }
func ParseKeyFile(text []byte) (*KeyFile, error) { return nil, errUnbuilt }

type KeyFile struct{}

func (*KeyFile) Text() []byte                  { return nil }
func (*KeyFile) Kind() string                  { return KindKeyFile }
func (*KeyFile) Wrap([]byte) ([]byte, error)   { return nil, errUnbuilt }
func (*KeyFile) Unwrap([]byte) ([]byte, error) { return nil, errUnbuilt }

// NewPaper makes a recovery key; Words are to be printed.
func NewPaper() (*Paper, error)               { return nil, errUnbuilt }
func ParsePaper(words string) (*Paper, error) { return nil, errUnbuilt }

type Paper struct{}

func (*Paper) Words() []string               { return nil }
func (*Paper) Kind() string                  { return KindPaper }
func (*Paper) Wrap([]byte) ([]byte, error)   { return nil, errUnbuilt }
func (*Paper) Unwrap([]byte) ([]byte, error) { return nil, errUnbuilt }
