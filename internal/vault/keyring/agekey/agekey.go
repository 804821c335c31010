// Package agekey opens slots with age identities and SSH keys that people have
// already. The private half of the slot is an age file to one or more
// recipients; each of them opens it alone (FORMAT.md, "Slots", kind age).
package agekey

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"allod"
	"allod/internal/vault/keyring"
)

// Kind is that of slots whose private half is sealed to age recipients.
const Kind = "age"

// Limits of what is read and written.
const (
	maxRecipients = 20
	maxText       = 64 << 10 // of an identity file
	maxWrapped    = 16 << 10 // as FORMAT.md has it
	maxHalf       = 8 << 10
)

// Wrapper seals to recipients, or opens with identities, whichever it was made
// of. Methods may be called from several goroutines.
type Wrapper struct {
	recipients []age.Recipient
	identities []age.Identity
	mu         sync.Mutex // an SSH key with a passphrase is asked for once
}

var _ keyring.Wrapper = (*Wrapper)(nil)

// ParseRecipients reads the recipients that a new slot is for: age1…, age1pq1…,
// ssh-ed25519 … or ssh-rsa …, each as its owner gives it away. Invalid if there
// is none, if one is none of these, or if post-quantum ones are mixed with
// others: the weakest would decide.
func ParseRecipients(texts []string) (*Wrapper, error) {
	bad := func(format string, args ...any) error {
		err := allod.Errorf(allod.Invalid, "read the recipients of a slot: "+format, args...)
		return allod.WithHint(err, "A recipient looks like age1…, age1pq1…, or is a line of an SSH public key: ssh-ed25519 AAAA….")
	}
	if len(texts) == 0 || len(texts) > maxRecipients {
		return nil, bad("%d of them, want 1 to %d", len(texts), maxRecipients)
	}
	w := &Wrapper{}
	strong := 0
	for i, t := range texts {
		r, err := parseRecipient(strings.TrimSpace(t))
		if err != nil {
			return nil, bad("number %d is not one", i+1)
		}
		if _, ok := r.(*age.HybridRecipient); ok {
			strong++
		}
		w.recipients = append(w.recipients, r)
	}
	if strong > 0 && strong < len(texts) {
		return nil, bad("age1pq1… is not mixed with others, which a future quantum computer opens")
	}
	return w, nil
}

func parseRecipient(t string) (age.Recipient, error) {
	switch {
	case len(t) > 16<<10:
		return nil, errors.New("too long")
	case strings.HasPrefix(t, "age1pq1"):
		return age.ParseHybridRecipient(t)
	case strings.HasPrefix(t, "age1"):
		return age.ParseX25519Recipient(t)
	}
	return agessh.ParseRecipient(t)
}

// PostQuantum reports whether what is sealed to the recipients withstands a
// quantum computer.
func (w *Wrapper) PostQuantum() bool {
	return !slices.ContainsFunc(w.recipients, func(r age.Recipient) bool { _, ok := r.(*age.HybridRecipient); return !ok })
}

// ParseIdentity reads an identity file: age identities (AGE-SECRET-KEY-…), one
// a line, or an SSH private key of type ed25519 or RSA. ask is called for the
// passphrase of an SSH key that has one, when a slot is opened that is sealed
// to it; nil = nobody can be asked. Invalid if it is neither.
func ParseIdentity(text []byte, ask func() ([]byte, error)) (*Wrapper, error) {
	bad := func(what string) error {
		err := allod.Errorf(allod.Invalid, "read an identity: %s", what)
		return allod.WithHint(err, "Name a file as age-keygen writes it, or the private half of an SSH key (ed25519 or RSA).")
	}
	if len(text) > maxText {
		return nil, bad("longer than 64 KiB")
	}
	if bytes.Contains(text, []byte("-----BEGIN")) {
		id, err := parseSSH(text, ask)
		if err != nil {
			return nil, bad("not an SSH private key of type ed25519 or RSA")
		}
		return &Wrapper{identities: []age.Identity{id}}, nil
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text)) // its errors quote lines: not passed on
	if err != nil || len(ids) > maxRecipients {
		return nil, bad("not one of age")
	}
	return &Wrapper{identities: ids}, nil
}

func parseSSH(text []byte, ask func() ([]byte, error)) (age.Identity, error) {
	id, err := agessh.ParseIdentity(text)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		return id, err
	}
	if locked.PublicKey == nil {
		return nil, errors.New("old form, which does not name its public key")
	}
	if ask == nil {
		ask = func() ([]byte, error) {
			return nil, allod.Errorf(allod.Denied, "open an SSH key: nobody is there to type its passphrase")
		}
	}
	return agessh.NewEncryptedSSHIdentity(locked.PublicKey, text, ask)
}

// Kind implements keyring.Wrapper.
func (w *Wrapper) Kind() string { return Kind }

// Wrap implements keyring.Wrapper. Denied for one that was made of identities.
func (w *Wrapper) Wrap(_ context.Context, _ keyring.Of, secret []byte) ([]byte, error) {
	if len(w.recipients) == 0 {
		return nil, allod.Errorf(allod.Denied, "seal to recipients: this is an identity, which opens")
	}
	var out bytes.Buffer
	f, err := age.Encrypt(&out, w.recipients...)
	if err == nil {
		if _, err = f.Write(secret); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "seal to recipients: %w", err)
	}
	if out.Len() > maxWrapped {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "seal to %d recipients: it does not fit into a slot", len(w.recipients)), "Make a slot for each of them instead.")
	}
	return out.Bytes(), nil
}

// Unwrap implements keyring.Wrapper. Denied if none of the identities opens it,
// or for a Wrapper that was made of recipients.
func (w *Wrapper) Unwrap(_ context.Context, _ keyring.Of, wrapped []byte) ([]byte, error) {
	if len(w.identities) == 0 {
		return nil, allod.Errorf(allod.Denied, "open a slot of age recipients: they are public, an identity is needed")
	}
	if len(wrapped) > maxWrapped {
		return nil, allod.Errorf(allod.Corrupt, "open a slot of age recipients: longer than a slot can hold")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := age.Decrypt(bytes.NewReader(wrapped), w.identities...)
	if err != nil {
		var none *age.NoIdentityMatchError
		switch {
		case errors.As(err, &none):
			err = allod.Errorf(allod.Denied, "the identity is not one that this slot is for")
			return nil, allod.WithHint(err, "Name the file that belongs to one of the slot's recipients: --key identity:PATH.")
		case bytes.HasPrefix(wrapped, []byte("age-encryption.org/v1\n")):
			return nil, allod.Errorf(allod.Denied, "open a slot of age recipients: %w", err)
		}
		return nil, allod.Errorf(allod.Corrupt, "open a slot of age recipients: it is no age file")
	}
	secret, err := io.ReadAll(io.LimitReader(r, maxHalf+1))
	if err != nil || len(secret) > maxHalf {
		return nil, allod.Errorf(allod.Corrupt, "open a slot of age recipients: not whole")
	}
	return secret, nil
}
