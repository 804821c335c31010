package agekey

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"allod"
	"allod/internal/vault/keyring"
)

// sshKey makes an SSH key: its public line and its file, locked if there is a
// passphrase.
func sshKey(t *testing.T, key any, passphrase string) (public, private string) {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey())), string(pem.EncodeToMemory(block))
}

func TestRecipients(t *testing.T) {
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edPrivate := sshKey(t, ed, "")
	_, edLocked := sshKey(t, ed, "a passphrase")
	rsaPublic, rsaPrivate := sshKey(t, r, "")
	asked := func() ([]byte, error) { return []byte("a passphrase"), nil }
	wrong := func() ([]byte, error) { return []byte("another"), nil }
	tests := []struct {
		name       string
		recipients []string
		identity   string
		ask        func() ([]byte, error)
		strong     bool
		want       allod.Kind
		slow       bool // left out where time is short: deriving a key from an SSH passphrase
	}{
		{name: "age", recipients: []string{x.Recipient().String()}, identity: x.String()},
		{name: "post-quantum", recipients: []string{pq.Recipient().String()}, identity: "# a comment\n" + pq.String() + "\n", strong: true},
		{name: "second of two", recipients: []string{edPublic, x.Recipient().String()}, identity: x.String()},
		{name: "ssh ed25519", recipients: []string{edPublic}, identity: edPrivate},
		{name: "ssh rsa", recipients: []string{rsaPublic}, identity: rsaPrivate},
		{name: "ssh with a passphrase", recipients: []string{edPublic}, identity: edLocked, ask: asked},
		{name: "wrong passphrase", recipients: []string{edPublic}, identity: edLocked, ask: wrong, want: allod.Denied, slow: true},
		{name: "nobody to ask", recipients: []string{edPublic}, identity: edLocked, want: allod.Denied},
		{name: "another's", recipients: []string{edPublic}, identity: x.String(), want: allod.Denied},
		{name: "another's, locked", recipients: []string{x.Recipient().String()}, identity: edLocked, ask: asked, want: allod.Denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.slow && testing.Short() {
				t.Skip("slow under the race detector")
			}
			to, err := ParseRecipients(tt.recipients)
			if err != nil {
				t.Fatal(err)
			}
			if to.PostQuantum() != tt.strong {
				t.Errorf("post-quantum %v, want %v", to.PostQuantum(), tt.strong)
			}
			wrapped, err := to.Wrap(t.Context(), keyring.Of{}, []byte("half"))
			if err != nil {
				t.Fatal(err)
			}
			id, err := ParseIdentity([]byte(tt.identity), tt.ask)
			if err != nil {
				t.Fatal(err)
			}
			got, err := id.Unwrap(t.Context(), keyring.Of{}, wrapped)
			if tt.want != 0 {
				if allod.KindOf(err) != tt.want {
					t.Errorf("got %q, %v, want %v", got, err, tt.want)
				}
				return
			}
			if err != nil || string(got) != "half" {
				t.Errorf("got %q, %v, want the half", got, err)
			}
			if _, err := to.Unwrap(t.Context(), keyring.Of{}, wrapped); allod.KindOf(err) != allod.Denied {
				t.Errorf("recipients open: got %v, want Denied", err)
			}
			if _, err := id.Wrap(t.Context(), keyring.Of{}, []byte("half")); allod.KindOf(err) != allod.Denied {
				t.Errorf("an identity seals: got %v, want Denied", err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	x, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	pq, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, texts := range map[string][]string{
		"none": nil, "words": {"hello"}, "an identity": {x.String()}, "mixed": {x.Recipient().String(), pq.Recipient().String()},
		"too many": strings.Fields(strings.Repeat(x.Recipient().String()+" ", maxRecipients+1)), "long": {"ssh-rsa " + strings.Repeat("A", 20<<10)},
	} {
		_, err := ParseRecipients(texts)
		if allod.KindOf(err) != allod.Invalid || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: got %v, want Invalid, without the secret", name, err)
		}
	}
	for name, text := range map[string]string{"empty": "", "words": "hello", "a recipient": pq.Recipient().String(), "pem": "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "long": strings.Repeat("#\n", maxText)} {
		if _, err := ParseIdentity([]byte(text), nil); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want Invalid", name, err)
		}
	}
	many, err := ParseRecipients(strings.Fields(strings.Repeat(pq.Recipient().String()+" ", 12)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := many.Wrap(t.Context(), keyring.Of{}, []byte("half")); allod.KindOf(err) != allod.Invalid {
		t.Errorf("more than a slot holds: got %v, want Invalid", err)
	}
}

func FuzzUnwrap(f *testing.F) {
	x, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	to, err := ParseRecipients([]string{x.Recipient().String()})
	if err != nil {
		f.Fatal(err)
	}
	id, err := ParseIdentity([]byte(x.String()), nil)
	if err != nil {
		f.Fatal(err)
	}
	wrapped, err := to.Wrap(context.Background(), keyring.Of{}, []byte("half"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrapped)
	f.Add([]byte("age-encryption.org/v1\n-> X25519 a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		secret, err := id.Unwrap(t.Context(), keyring.Of{}, b)
		if err == nil && !bytes.Equal(b, wrapped) {
			t.Errorf("%q opened to %q", b, secret)
		}
		if kind := allod.KindOf(err); err != nil && kind != allod.Denied && kind != allod.Corrupt {
			t.Errorf("got %v, want Denied or Corrupt", err)
		}
	})
}
