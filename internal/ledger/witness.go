package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"allod"
	"allod/internal/blob"
)

const (
	witnessPrefix = "ledger/witness/"
	maxSigs       = 100  // of one checkpoint
	algCosign     = 0x04 // C2SP tlog-cosignature: Ed25519
)

// Witness is somebody else who signs checkpoints of the ledger, after seeing that
// each grows out of the one before (C2SP tlog-witness): a ledger that is shown in
// two versions is noticed by those who ask for the signature. Ed25519 only.
type Witness struct {
	Name string
	Key  ed25519.PublicKey
}

// Cosignature is a witness's word that at that time it had seen no later head of
// the ledger, and none that contradicts this one.
type Cosignature struct {
	Witness string    `json:"witness"`
	At      time.Time `json:"at"` // UTC, whole seconds; the witness's clock
}

// id is the key id of C2SP tlog-cosignature.
func (w Witness) id() uint32 {
	h := sha256.Sum256(append([]byte(w.Name+"\n\x04"), w.Key...))
	return binary.BigEndian.Uint32(h[:])
}

// String returns the verifier key: name, key id and key, as witnesses publish it.
func (w Witness) String() string {
	return fmt.Sprintf("%s+%08x+%s", w.Name, w.id(), base64.StdEncoding.EncodeToString(append([]byte{algCosign}, w.Key...)))
}

// ParseWitness reads a verifier key of signature type 0x04 (C2SP signed-note,
// "Verifier keys"). Invalid for anything else.
func ParseWitness(vkey string) (Witness, error) {
	bad := func(what string) (Witness, error) {
		err := allod.Errorf(allod.Invalid, "read the key of a witness: %s", what)
		return Witness{}, allod.WithHint(err, "Want the verifier key that the witness publishes for cosignatures, e.g. witness.example/w1+d0a1b2c3+BM….")
	}
	name, rest, _ := strings.Cut(vkey, "+")
	id, key, ok := strings.Cut(rest, "+")
	if !ok || name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsSpace) {
		return bad("not name, id and key")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(key)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return bad("not an Ed25519 key")
	}
	if raw[0] != algCosign {
		return bad("it is not for cosignatures by Ed25519")
	}
	w := Witness{name, raw[1:]}
	if n, err := strconv.ParseUint(id, 16, 32); err != nil || len(id) != 8 || uint32(n) != w.id() {
		return bad("its id is not that of name and key")
	}
	return w, nil
}

// find looks for the witness's signature among the lines and verifies it.
func (w Witness) find(text []byte, sigs [][]byte) (Cosignature, bool, error) {
	for _, line := range sigs {
		name, value, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(string(line), "— "), "\n"), " ")
		raw, err := base64.StdEncoding.Strict().DecodeString(value)
		if err != nil || name != w.Name || len(raw) < 4 || binary.BigEndian.Uint32(raw) != w.id() {
			continue
		}
		if len(raw) != 4+8+ed25519.SignatureSize {
			return Cosignature{}, false, allod.Errorf(allod.Corrupt, "read a checkpoint: the cosignature of %s has %d bytes", w.Name, len(raw)-4)
		}
		at := binary.BigEndian.Uint64(raw[4:])
		message := append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
		if at > math.MaxInt64 || !ed25519.Verify(w.Key, message, raw[12:]) {
			return Cosignature{}, false, allod.Errorf(allod.Corrupt, "read a checkpoint: the cosignature of %s is not one of this checkpoint", w.Name)
		}
		return Cosignature{w.Name, time.Unix(int64(at), 0).UTC()}, true, nil
	}
	return Cosignature{}, false, nil
}

// Checkpoint reads what others have appended and returns the signed checkpoint of
// the head, or, without a signing key, the last one stored.
func (l *Ledger) Checkpoint(ctx context.Context) (Head, []byte, error) {
	if _, err := l.Refresh(ctx); err != nil {
		return Head{}, nil, err
	}
	head, object, _, err := l.attest(ctx)
	return head, object, err
}

// KeepCosigned stores a checkpoint that witnesses have cosigned, after having
// compared it with the ledger. Corrupt if it is not one of this ledger's past;
// Denied if none of the witnesses signed it. Keeping it twice is no error.
func (l *Ledger) KeepCosigned(ctx context.Context, object []byte, witnesses []Witness) (Head, []Cosignature, error) {
	head, by, err := CheckCosigned(object, l.vault, l.trusted, witnesses)
	if err != nil {
		return head, nil, err
	}
	if len(by) == 0 {
		err := allod.Errorf(allod.Denied, "keep a checkpoint: none of the %d witnesses named has signed it", len(witnesses))
		return head, nil, allod.WithHint(err, "Name the verifier key of the witness that signed it.")
	}
	if err := l.Contains(ctx, head); err != nil {
		return head, nil, err
	}
	name := witnessName(head.Size, object)
	err = l.store.Put(ctx, name, bytes.NewReader(object), int64(len(object)), blob.PutOptions{})
	if err != nil && !errors.Is(err, blob.ErrExists) {
		return head, nil, allod.Errorf(allod.KindOf(err), "put %s: %w", name, err)
	}
	return head, by, nil
}

func witnessName(size int64, object []byte) string {
	h := sha256.Sum256(object)
	return fmt.Sprintf("%s%020d-%s", witnessPrefix, size, hex.EncodeToString(h[:]))
}
