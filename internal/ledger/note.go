package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"allod"
)

// Origin returns the name of a vault's ledger: first line of its checkpoints
// and name of all its keys.
func Origin(vault allod.GUID) string { return "allod/" + vault.String() }

// maxObject bounds an entry or checkpoint object: the text and one signature.
const maxObject = maxEntry + 512

type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

// Sign implements note.Signer.
func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

func newSigner(vault allod.GUID, key ed25519.PrivateKey) (note.Signer, error) {
	v, err := newVerifier(vault, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return signer{v, key}, nil
}

func newVerifier(vault allod.GUID, key ed25519.PublicKey) (note.Verifier, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, allod.Errorf(allod.Invalid, "open the ledger: a trusted key has %d bytes, want %d", len(key), ed25519.PublicKeySize)
	}
	text, err := note.NewEd25519VerifierKey(Origin(vault), key)
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "open the ledger: %w", err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "open the ledger: %w", err)
	}
	return v, nil
}

// VerifierKey returns the key in the text form of C2SP signed-note, for
// witnesses and other people's tools.
func VerifierKey(vault allod.GUID, key ed25519.PublicKey) (string, error) {
	text, err := note.NewEd25519VerifierKey(Origin(vault), key)
	if err != nil {
		return "", allod.Errorf(allod.Invalid, "write a verifier key: %w", err)
	}
	return text, nil
}

// verifiers refuses an empty list: a ledger nobody may sign proves nothing.
func verifiers(vault allod.GUID, keys []ed25519.PublicKey) (note.Verifiers, error) {
	if len(keys) == 0 {
		err := allod.Errorf(allod.Denied, "open the ledger: no signing key is trusted")
		return nil, allod.WithHint(err, "Give the keys that the configuration pins.")
	}
	var list []note.Verifier
	seen := map[string]bool{}
	for _, k := range keys {
		if seen[string(k)] {
			continue
		}
		seen[string(k)] = true
		v, err := newVerifier(vault, k)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return note.VerifierList(list...), nil
}

// signNote returns the note that s makes of text.
func signNote(text []byte, s note.Signer) ([]byte, error) {
	object, err := note.Sign(&note.Note{Text: string(text)}, s)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "sign for the ledger: %w", err)
	}
	return object, nil
}

// openNote returns the text of a note with exactly one signature, by a trusted
// key, in the one spelling that signNote gives it.
func openNote(object []byte, v note.Verifiers) ([]byte, error) {
	if len(object) > maxObject {
		return nil, allod.Errorf(allod.Corrupt, "read a signed note: too long")
	}
	n, err := note.Open(object, v)
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "read a signed note: not signed by a trusted key")
	}
	if len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 0 {
		return nil, allod.Errorf(allod.Corrupt, "read a signed note: not exactly one signature")
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(n.Sigs[0].Base64)
	if err != nil || len(sig) != 4+ed25519.SignatureSize || binary.BigEndian.Uint32(sig) != n.Sigs[0].Hash {
		return nil, allod.Errorf(allod.Corrupt, "read a signed note: not in canonical form")
	}
	want := fmt.Sprintf("%s\n— %s %s\n", n.Text, n.Sigs[0].Name, base64.StdEncoding.EncodeToString(sig))
	if want != string(object) {
		return nil, allod.Errorf(allod.Corrupt, "read a signed note: not in canonical form")
	}
	return []byte(n.Text), nil
}

func sealEntry(e Entry, vault allod.GUID, n int64, before tlog.Hash, id [16]byte, s note.Signer) ([]byte, error) {
	text, err := e.text(vault, n, before, id)
	if err != nil {
		return nil, err
	}
	if len(text) > maxEntry {
		return nil, allod.Errorf(allod.Invalid, "make a ledger entry: it is longer than %d bytes", maxEntry)
	}
	return signNote(text, s)
}

func openEntry(object []byte, vault allod.GUID, v note.Verifiers) (parsed, error) {
	text, err := openNote(object, v)
	if err != nil {
		return parsed{}, err
	}
	p, err := parseText(text)
	if err != nil {
		return parsed{}, err
	}
	if p.vault != vault {
		return parsed{}, allod.Errorf(allod.Corrupt, "read a ledger entry: it belongs to another vault")
	}
	return p, nil
}

// checkpointText is the body of a C2SP tlog-checkpoint without extension
// lines: origin, size, root hash.
func checkpointText(vault allod.GUID, h Head) []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\n", Origin(vault), h.Size, base64.StdEncoding.EncodeToString(h.Hash[:]))
}

func parseCheckpoint(text []byte, vault allod.GUID) (Head, error) {
	bad := allod.Errorf(allod.Corrupt, "read a checkpoint: not origin, size and hash of this vault's ledger")
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[0] != Origin(vault) {
		return Head{}, bad
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Head{}, bad
	}
	hash, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Head{}, bad
	}
	h := Head{Size: size, Hash: hash}
	if !bytes.Equal(checkpointText(vault, h), text) {
		return Head{}, bad
	}
	return h, nil
}
