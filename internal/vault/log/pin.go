// Package log reads and writes what anybody may check of a vault: the "vault"
// object, the chained and signed log entries that are the commit points, and
// the checkpoints. It needs no key but public ones, and imports nothing beyond
// the standard library and the root package, so that a stranger's verifier can
// be built from it. The bytes are described in FORMAT.md.
package log

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"allod"
)

// Format is the version of the format that this package writes, and the newest
// it reads, of everything but entries of kind compact.
const Format = 1

// FormatCompact is that of entries of kind compact: who does not know them must
// not look for the packs that they replace.
const FormatCompact = 2

// Names of objects and prefixes in the store.
const (
	VaultName        = "vault"
	EntryPrefix      = "log/"
	CheckpointPrefix = "checkpoints/"
)

const (
	vaultMagic  = "allod vault"
	vaultSigned = "allod vault v1\n" // goes before the signed bytes
	maxVault    = 1 << 20
)

// Key is an Ed25519 public key; base64 in JSON.
type Key [ed25519.PublicKeySize]byte

// MarshalText returns standard base64.
func (k Key) MarshalText() ([]byte, error) {
	return []byte(base64.StdEncoding.EncodeToString(k[:])), nil
}

// UnmarshalText reads standard base64.
func (k *Key) UnmarshalText(b []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(b))
	if err != nil || len(raw) != len(k) {
		return allod.Errorf(allod.Corrupt, "read a public key: want %d bytes in base64", len(k))
	}
	copy(k[:], raw)
	return nil
}

// Signer is a public key and the use it is for, e.g. "capture".
type Signer struct {
	Use string `json:"use"`
	Key Key    `json:"key"`
}

// Pin is what a configuration remembers of a vault. It is also the content of
// the vault object.
type Pin struct {
	Vault      allod.GUID `json:"-"`
	Recipients []string   `json:"recipients"` // age recipients of packs and files, sorted
	Signers    []Signer   `json:"signers"`    // sorted by use, then key
}

// IsZero reports whether nothing is pinned.
func (p Pin) IsZero() bool {
	return p.Vault.IsZero() && len(p.Recipients) == 0 && len(p.Signers) == 0
}

// Equal reports whether both pins say the same.
func (p Pin) Equal(q Pin) bool {
	return p.Vault == q.Vault && slices.Equal(p.Recipients, q.Recipients) && slices.Equal(p.Signers, q.Signers)
}

// Keys returns the public keys for a use.
func (p Pin) Keys(use string) []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	for _, s := range p.Signers {
		if s.Use == use {
			keys = append(keys, ed25519.PublicKey(bytes.Clone(s.Key[:])))
		}
	}
	return keys
}

type pinText struct {
	Vault string `json:"vault"`
	pinFields
}

type pinFields Pin

// MarshalJSON writes the vault id as 32 hexadecimal digits.
func (p Pin) MarshalJSON() ([]byte, error) {
	return json.Marshal(pinText{Vault: hex.EncodeToString(p.Vault[:]), pinFields: pinFields(p)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (p *Pin) UnmarshalJSON(b []byte) error {
	var t pinText
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	id, err := hex.DecodeString(t.Vault)
	if err != nil || len(id) != len(p.Vault) {
		return allod.Errorf(allod.Corrupt, "read a vault id: want 32 hexadecimal digits")
	}
	*p = Pin(t.pinFields)
	copy(p.Vault[:], id)
	return nil
}

type vaultText struct {
	Magic  string `json:"magic"`
	Format int    `json:"format"`
	Pin    Pin    `json:"pin"`
}

// EncodeVault returns the vault object: one line of JSON, one line with the
// signature. The key's public half must be among the signers for use "slot".
func EncodeVault(p Pin, key ed25519.PrivateKey) ([]byte, error) {
	line, err := json.Marshal(vaultText{vaultMagic, Format, p})
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "encode the vault object: %w", err)
	}
	return sign(vaultSigned, line, key), nil
}

// DecodeVault reads a vault object that says what pin says. A pin that is zero
// is not checked: only the signature by one of its own signers is. A newer
// format is Invalid, anything else wrong Corrupt.
func DecodeVault(b []byte, pin Pin) (Pin, error) {
	if len(b) > maxVault {
		return Pin{}, allod.Errorf(allod.Corrupt, "read the vault object: %d bytes are too many", len(b))
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if err := checkFormat(line, vaultMagic, Format, "the vault object"); err != nil {
		return Pin{}, err
	}
	var t vaultText
	line, sig, err := splitSigned(b, "the vault object")
	if err == nil {
		err = decodeCanonical(line, &t, "the vault object") // at most 1 MiB
	}
	if err != nil {
		return Pin{}, err
	}
	want := pin
	if pin.IsZero() {
		want = t.Pin
	}
	if !verifyAny(vaultSigned, line, sig, want.Keys(UseSlot)) {
		return Pin{}, allod.Errorf(allod.Corrupt, "read the vault object: no signature by a known signer")
	}
	if !t.Pin.Equal(want) {
		return Pin{}, allod.WithHint(allod.Errorf(allod.Corrupt, "read the vault object: it is not the one pinned in the configuration"),
			"Somebody changed the store or the configuration; compare with another copy before trusting either.")
	}
	return t.Pin, nil
}

// checkFormat looks only at magic and format, so that a newer format is told
// from rubbish.
func checkFormat(line []byte, magic string, newest int, what string) error {
	var head struct {
		Magic  string `json:"magic"`
		Format int    `json:"format"`
	}
	if err := json.Unmarshal(line, &head); err != nil || head.Magic != magic || head.Format < 1 {
		return allod.Errorf(allod.Corrupt, "read %s: not one of Allod", what)
	}
	if head.Format > newest {
		return allod.WithHint(allod.Errorf(allod.Invalid, "read %s: it has format version %d, this program reads versions up to %d; nothing was touched", what, head.Format, newest),
			"Use a newer version of Allod for this vault.")
	}
	return nil
}

// sign returns line, a newline, the signature in base64, a newline.
func sign(context string, line []byte, key ed25519.PrivateKey) []byte {
	sig := ed25519.Sign(key, append([]byte(context), line...))
	out := append(bytes.Clone(line), '\n')
	out = append(out, base64.StdEncoding.EncodeToString(sig)...)
	return append(out, '\n')
}

// splitSigned splits what sign made. It allocates no more than b has bytes.
func splitSigned(b []byte, what string) (line, sig []byte, err error) {
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || len(rest) != base64.StdEncoding.EncodedLen(ed25519.SignatureSize)+1 || rest[len(rest)-1] != '\n' {
		return nil, nil, allod.Errorf(allod.Corrupt, "read %s: want two lines, a signature in the second", what)
	}
	sig, err = base64.StdEncoding.Strict().DecodeString(string(rest[:len(rest)-1]))
	if err != nil || len(sig) != ed25519.SignatureSize {
		return nil, nil, allod.Errorf(allod.Corrupt, "read %s: not a signature in its second line", what)
	}
	return line, sig, nil
}

// decodeCanonical decodes a line and refuses every encoding but the canonical
// one. What it allocates can be many times the line: check who signed it first.
func decodeCanonical(line []byte, into any, what string) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return allod.Errorf(allod.Corrupt, "read %s: not well formed", what)
	}
	again, err := json.Marshal(into)
	if err != nil || !bytes.Equal(again, line) {
		return allod.Errorf(allod.Corrupt, "read %s: not in canonical form", what)
	}
	return nil
}

// decodeSigned decodes what a pinned key signed, of whatever use, and returns
// that key.
func decodeSigned(b []byte, context string, pin Pin, into any, what string) (Key, error) {
	line, sig, err := splitSigned(b, what)
	if err != nil {
		return Key{}, err
	}
	msg := append([]byte(context), line...)
	for _, s := range pin.Signers {
		if ed25519.Verify(s.Key[:], msg, sig) {
			return s.Key, decodeCanonical(line, into, what)
		}
	}
	return Key{}, allod.Errorf(allod.Corrupt, "read %s: not signed by a known signer", what)
}

func verifyAny(context string, line, sig []byte, keys []ed25519.PublicKey) bool {
	msg := append([]byte(context), line...)
	for _, k := range keys {
		if ed25519.Verify(k, msg, sig) {
			return true
		}
	}
	return false
}

// Digest is a SHA-256; 64 lower-case hexadecimal digits in JSON.
type Digest [sha256.Size]byte

// String returns 64 lower-case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns 64 lower-case hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 lower-case hexadecimal digits.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != 64 || strings.ToLower(string(b)) != string(b) {
		return allod.Errorf(allod.Corrupt, "read a digest: want 64 lower-case hexadecimal digits")
	}
	if _, err := hex.Decode(d[:], b); err != nil {
		return allod.Errorf(allod.Corrupt, "read a digest: not hexadecimal")
	}
	return nil
}
