package kms

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"allod"
	"allod/internal/vault/keyring"
)

// memory is a service that keeps what it wraps.
type memory struct {
	address string
	kept    map[string][]byte
	err     error
	short   bool
	asked   int
}

func newMemory() *memory { return &memory{address: "mem:one", kept: map[string][]byte{}} }

func (m *memory) Kind() string    { return "memory" }
func (m *memory) Address() string { return m.address }

func (m *memory) Wrap(_ context.Context, _ keyring.Of, key []byte) (Wrapped, error) {
	w := Wrapped{Version: "7", Algorithm: "none", Bytes: []byte{byte(len(m.kept))}}
	m.kept[string(w.Bytes)] = bytes.Clone(key)
	return w, m.err
}

func (m *memory) Unwrap(_ context.Context, _ keyring.Of, w Wrapped) ([]byte, error) {
	m.asked++
	key := bytes.Clone(m.kept[string(w.Bytes)])
	if m.short {
		key = key[:16]
	}
	return key, m.err
}

var slot = keyring.Of{Vault: allod.GUID{1}, Slot: "office"}

func TestRoundTrip(t *testing.T) {
	m := newMemory()
	w := New(m)
	wrapped, err := w.Wrap(t.Context(), slot, []byte("half"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Unwrap(t.Context(), slot, wrapped)
	if err != nil || string(got) != "half" {
		t.Errorf("got %q, %v, want the half", got, err)
	}
	if w.Kind() != "memory" || Address(wrapped) != "mem:one" {
		t.Errorf("kind %q, address %q", w.Kind(), Address(wrapped))
	}
	if bytes.Contains(wrapped, []byte("half")) {
		t.Error("the half stands there in the clear")
	}
}

// What was wrapped for one slot, or under one key, opens for no other.
func TestWrongSlotOrKey(t *testing.T) {
	m := newMemory()
	wrapped, err := New(m).Wrap(t.Context(), slot, []byte("half"))
	if err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]keyring.Of{"slot": {Vault: slot.Vault, Slot: "other"}, "vault": {Vault: allod.GUID{2}, Slot: slot.Slot}} {
		if _, err := New(m).Unwrap(t.Context(), of, wrapped); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("another %s: got %v, want Corrupt", name, err)
		}
	}
	other := newMemory()
	other.address = "mem:two"
	if _, err := New(other).Unwrap(t.Context(), slot, wrapped); allod.KindOf(err) != allod.Denied || other.asked != 0 {
		t.Errorf("another key: got %v after %d requests, want Denied after none", err, other.asked)
	}
	m.short = true
	if _, err := New(m).Unwrap(t.Context(), slot, wrapped); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("a short key: got %v, want Corrupt", err)
	}
	m.short, m.err = false, allod.Errorf(allod.Unavailable, "down")
	if _, err := New(m).Unwrap(t.Context(), slot, wrapped); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a service that is down: got %v, want Unavailable", err)
	}
	if _, err := New(m).Wrap(t.Context(), slot, []byte("half")); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a service that is down: got %v, want Unavailable", err)
	}
}

// Every flipped byte and every cut is noticed.
func TestDamage(t *testing.T) {
	m := newMemory()
	wrapped, err := New(m).Wrap(t.Context(), slot, []byte("half"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range wrapped {
		b := bytes.Clone(wrapped)
		b[i] ^= 1
		if _, err := New(m).Unwrap(t.Context(), slot, b); allod.KindOf(err) != allod.Corrupt && allod.KindOf(err) != allod.Denied {
			t.Errorf("byte %d flipped: got %v", i, err)
		}
		if _, err := New(m).Unwrap(t.Context(), slot, wrapped[:i]); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("cut at %d: got %v, want Corrupt", i, err)
		}
	}
}

func TestLimits(t *testing.T) {
	if _, err := New(newMemory()).Wrap(t.Context(), slot, make([]byte, maxHalf+1)); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a long half: got %v, want Invalid", err)
	}
	m := newMemory()
	m.address = string(bytes.Repeat([]byte("a"), maxAddress+1))
	if _, err := New(m).Wrap(t.Context(), slot, []byte("half")); allod.KindOf(err) != allod.Internal {
		t.Errorf("a long address: got %v, want Internal", err)
	}
}

func FuzzUnwrap(f *testing.F) {
	m := newMemory()
	wrapped, err := New(m).Wrap(context.Background(), slot, []byte("half"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrapped)
	f.Add([]byte{1, 0xff, 0xff})
	f.Add([]byte{1, 0, 1, 'a', 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		secret, err := New(m).Unwrap(t.Context(), slot, b)
		if err == nil && !bytes.Equal(b, wrapped) {
			t.Errorf("%x opened to %q", b, secret)
		}
		if e, rest, ok := parse(b); ok && !bytes.Equal(slices.Concat(e.append(nil), rest), b) {
			t.Errorf("%x has two spellings", b)
		}
	})
}
