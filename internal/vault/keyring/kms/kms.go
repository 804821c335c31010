// Package kms wraps private halves of slots under keys that never leave a key
// management service. The service sees a random key that is used for one slot
// and nothing else: who runs it learns when a vault was opened, and can refuse,
// and reads nothing of the vault without the slot.
//
// A service is access control and audit, not the place of deletion: none
// deletes one wrapped half at once (design/vault.md, "Slots"). The bytes are
// those of FORMAT.md, "Slots", "Wrapped by a service".
package kms

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"

	"allod"
	"allod/internal/vault/keyring"
)

// Service is one key in a service. Methods may be called from several
// goroutines; each is one request or two, tried again by the client of the
// service as its maker thinks right. Errors: Denied where the caller may not,
// or the key is disabled or gone; Corrupt where the service says that the
// bytes are not its own; Unavailable where it does not answer.
type Service interface {
	// Kind is that of the slots, e.g. "aws-kms".
	Kind() string
	// Address names the key as the configuration does, without its version.
	// What was wrapped under another address is refused before any request:
	// a slot does not choose whom Allod talks to.
	Address() string
	// Wrap seals the 32 bytes of key for the slot.
	Wrap(ctx context.Context, of keyring.Of, key []byte) (Wrapped, error)
	// Unwrap opens what Wrap returned for the same slot.
	Unwrap(ctx context.Context, of keyring.Of, w Wrapped) ([]byte, error)
}

// Wrapped is a key as a service has wrapped it.
type Wrapped struct {
	Version   string // of the service's key; "" where the service finds it itself
	Algorithm string // as the service names it
	Bytes     []byte
}

// Limits of what is stored, checked before anything is allocated.
const (
	maxAddress   = 2048
	maxVersion   = 256
	maxAlgorithm = 40
	maxBytes     = 8 << 10
	maxHalf      = 8 << 10
	keySize      = 32
)

// Wrapper is a keyring.Wrapper over a service.
type Wrapper struct{ service Service }

var _ keyring.Wrapper = (*Wrapper)(nil)

// New returns the wrapper of slots whose key s has.
func New(s Service) *Wrapper { return &Wrapper{service: s} }

// Kind implements keyring.Wrapper.
func (w *Wrapper) Kind() string { return w.service.Kind() }

// Wrap implements keyring.Wrapper.
func (w *Wrapper) Wrap(ctx context.Context, of keyring.Of, secret []byte) ([]byte, error) {
	if len(secret) > maxHalf {
		return nil, allod.Errorf(allod.Invalid, "wrap a private half: longer than %d bytes", maxHalf)
	}
	key := make([]byte, keySize)
	defer clear(key)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the program instead
	wrapped, err := w.service.Wrap(ctx, of, key)
	if err != nil {
		return nil, err
	}
	head := envelope{address: w.service.Address(), wrapped: wrapped}.append(nil)
	if e, _, ok := parse(head); !ok || e.address != w.service.Address() {
		return nil, allod.Errorf(allod.Internal, "wrap a private half: what %s answered does not fit into a slot", w.Kind())
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(head, make([]byte, aead.NonceSize()), secret, additional(head, of)), nil
}

// Unwrap implements keyring.Wrapper. Denied, without a request, for what was
// wrapped under another key.
func (w *Wrapper) Unwrap(ctx context.Context, of keyring.Of, wrapped []byte) ([]byte, error) {
	e, sealed, ok := parse(wrapped)
	if !ok {
		return nil, allod.Errorf(allod.Corrupt, "unwrap a private half: the slot makes no sense")
	}
	if e.address != w.service.Address() {
		err := allod.Errorf(allod.Denied, "the slot is wrapped under another key of %s than the one named", w.Kind())
		return nil, allod.WithHint(err, "`allod vault keys list` says under which.")
	}
	key, err := w.service.Unwrap(ctx, of, e.wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	if len(key) != keySize {
		return nil, allod.Errorf(allod.Corrupt, "unwrap a private half: %s gave back a key of another length", w.Kind())
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	head := wrapped[:len(wrapped)-len(sealed)]
	secret, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed, additional(head, of))
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "unwrap a private half: it is not that of slot %s", of.Slot)
	}
	return secret, nil
}

// Address returns the key that the private half of a slot is wrapped under, as
// the slot says; "" if the bytes make no sense. It is for people, and decides
// nothing.
func Address(wrapped []byte) string {
	e, _, _ := parse(wrapped)
	return e.address
}

// additional is what is authenticated beside the half: the envelope, and which
// slot it is for.
func additional(head []byte, of keyring.Of) []byte {
	b := append(head[:len(head):len(head)], of.Vault[:]...)
	return append(b, of.Slot...)
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "wrap a private half: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "wrap a private half: %w", err)
	}
	return aead, nil
}

// envelope stands before the sealed half.
type envelope struct {
	address string
	wrapped Wrapped
}

const version = 1

func (e envelope) append(b []byte) []byte {
	b = append(b, version)
	for _, t := range []string{e.address, e.wrapped.Version, e.wrapped.Algorithm, string(e.wrapped.Bytes)} {
		b = binary.BigEndian.AppendUint16(b, uint16(min(len(t), 0xffff)))
		b = append(b, t...)
	}
	return b
}

// parse reads an envelope and returns what follows it.
func parse(b []byte) (e envelope, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != version {
		return envelope{}, nil, false
	}
	b = b[1:]
	var fields [4]string
	for i, limit := range []int{maxAddress, maxVersion, maxAlgorithm, maxBytes} {
		if len(b) < 2 {
			return envelope{}, nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > limit || n > len(b)-2 {
			return envelope{}, nil, false
		}
		fields[i], b = string(b[2:2+n]), b[2+n:]
	}
	e = envelope{address: fields[0], wrapped: Wrapped{Version: fields[1], Algorithm: fields[2], Bytes: []byte(fields[3])}}
	return e, b, e.address != ""
}
