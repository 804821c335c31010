package keyring

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
	"time"

	"filippo.io/age"

	"allod"
)

// slotMagic begins every slot object; the last byte is the version.
const slotMagic = "allod slot\x00\x00\x00\x00\x00\x01"

// signatureDomain keeps a signature over a slot from meaning anything else.
const signatureDomain = "allod slot signature v1\n"

// Limits of a slot object, checked before anything is allocated.
const (
	maxSlot      = 128 << 10
	maxName      = 40
	maxRecipient = 4 << 10
	maxWrapped   = 16 << 10
	maxLasting   = 32 << 10
)

// object is a parsed slot object.
type object struct {
	Slot
	vault   allod.GUID
	root    uint64
	epoch   uint64
	written time.Time
	sealed  []byte // age: Secrets.marshalEpoch
	signer  [32]byte
}

// marshalSlot writes a slot object (FORMAT.md, Slots) and signs it.
func marshalSlot(o object, key ed25519.PrivateKey) []byte {
	b := make([]byte, 0, len(o.sealed)+len(o.Wrapped)+4<<10)
	b = append(b, slotMagic...)
	b = append(b, o.vault[:]...)
	b = binary.BigEndian.AppendUint64(b, o.root)
	b = binary.BigEndian.AppendUint64(b, o.epoch)
	b = binary.BigEndian.AppendUint64(b, uint64(o.written.UnixMilli()))
	b = appendText(b, o.Name)
	b = appendText(b, o.Kind)
	b = appendText(b, string(o.Role))
	b = appendText(b, o.Recipient)
	b = appendText(b, string(o.Wrapped))
	b = appendText(b, string(o.Lasting))
	b = binary.BigEndian.AppendUint32(b, uint32(len(o.sealed)))
	b = append(b, o.sealed...)
	b = append(b, key.Public().(ed25519.PublicKey)...)
	return append(b, ed25519.Sign(key, signed(b))...)
}

// signed returns what the signature covers: a digest of everything before it.
func signed(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append([]byte(signatureDomain), sum[:]...)
}

// parseSlot reads what marshalSlot wrote, for the vault and signers of pin.
// Denied for a slot of another vault or an unknown signer, Invalid for one of
// a newer format, Corrupt for everything else.
func parseSlot(b []byte, pin Pin) (object, error) {
	bad := func(what string) (object, error) {
		return object{}, allod.Errorf(allod.Corrupt, "read a slot: %s", what)
	}
	if len(b) > maxSlot || len(b) < len(slotMagic)+ed25519.PublicKeySize+ed25519.SignatureSize {
		return bad("wrong length")
	}
	rest, ok := bytes.CutPrefix(b, []byte(slotMagic))
	if !ok {
		if bytes.HasPrefix(b, []byte(slotMagic[:len(slotMagic)-1])) && b[len(slotMagic)-1] > 1 {
			return object{}, allod.WithHint(allod.Errorf(allod.Invalid, "read a slot: it has a newer format"), "Use a newer Allod.")
		}
		return bad("not a slot")
	}
	var o object
	r := reader{b: rest}
	r.copy(o.vault[:])
	o.root, o.epoch = r.uint64(), r.uint64()
	o.written = time.UnixMilli(int64(r.uint64())).UTC()
	o.Name, o.Kind, o.Role = r.text(maxName), r.text(maxName), Role(r.text(maxName))
	o.Recipient = r.text(maxRecipient)
	o.Wrapped = []byte(r.text(maxWrapped))
	o.Lasting = []byte(r.text(maxLasting))
	o.sealed = r.take(int(r.uint32()))
	r.copy(o.signer[:])
	signature := r.take(ed25519.SignatureSize)
	if r.bad || len(r.b) > 0 {
		return bad("wrong length")
	}
	if o.vault != pin.Vault {
		err := allod.Errorf(allod.Denied, "read a slot: it belongs to another vault, %s", o.vault)
		return object{}, allod.WithHint(err, "Point the configuration at the slots of vault %s.", pin.Vault)
	}
	if !slices.ContainsFunc(pin.Signers, func(k ed25519.PublicKey) bool { return bytes.Equal(k, o.signer[:]) }) {
		return object{}, allod.Errorf(allod.Denied, "read a slot: signed by a key that the configuration does not pin")
	}
	if !ed25519.Verify(o.signer[:], signed(b[:len(b)-ed25519.SignatureSize]), signature) {
		return bad("the signature is not that of these bytes")
	}
	if !o.Slot.valid() || o.epoch == 0 {
		return bad("name, kind, role or epoch make no sense")
	}
	return o, nil
}

func (s Slot) valid() bool {
	return word(s.Name) && word(s.Kind) && s.Role.known() && len(s.Recipient) > 0 && len(s.Recipient) <= maxRecipient && len(s.Wrapped) <= maxWrapped && len(s.Lasting) <= maxLasting
}

// word accepts what may stand in an object's name.
func word(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// seal fills Lasting, unless it is carried forward, and returns the sealed keys
// of the roots.
func (s *Slot) seal(secrets Secrets) (sealed []byte, err error) {
	to, err := age.ParseHybridRecipient(s.Recipient)
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "write slot %s: its recipient is not a hybrid age recipient", s.Name)
	}
	if len(s.Lasting) == 0 {
		part, err := secrets.For(s.Role)
		if err != nil {
			return nil, err
		}
		defer part.Wipe()
		if s.Lasting, err = encrypt(to, part.marshalLasting(s.Name)); err != nil {
			return nil, keep(err, "write slot %s: %w", s.Name, err)
		}
	}
	roots, err := secrets.roots(s.Role)
	if err != nil {
		return nil, err
	}
	defer roots.Wipe()
	if sealed, err = encrypt(to, roots.marshalEpoch(s.Name)); err != nil {
		return nil, keep(err, "write slot %s: %w", s.Name, err)
	}
	return sealed, nil
}

// encrypt seals plain, which it clears, to a recipient.
func encrypt(to age.Recipient, plain []byte) ([]byte, error) {
	defer clear(plain)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err == nil {
		if _, err = w.Write(plain); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "encrypt: %w", err)
	}
	return out.Bytes(), nil
}

// decrypt opens at most limit bytes; the caller clears them.
func decrypt(sealed []byte, id age.Identity, limit int64) ([]byte, bool) {
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, false
	}
	plain, err := io.ReadAll(io.LimitReader(r, limit+1))
	return plain, err == nil && int64(len(plain)) <= limit
}

// open decrypts the secrets of o with the private half that w holds.
func (o object) open(ctx context.Context, w Wrapper) (Secrets, error) {
	half, err := w.Unwrap(ctx, Of{Vault: o.vault, Slot: o.Name}, o.Wrapped)
	if err != nil {
		return Secrets{}, keep(err, "open slot %s: %w", o.Name, err)
	}
	defer clear(half)
	id, err := age.ParseHybridIdentity(string(half))
	if err != nil || id.Recipient().String() != o.Recipient {
		return Secrets{}, allod.Errorf(allod.Corrupt, "open slot %s: its private half is not that of its recipient", o.Name)
	}
	lasting, ok := decrypt(o.Lasting, id, maxSecrets)
	defer clear(lasting)
	epoch, ok2 := decrypt(o.sealed, id, maxSecrets)
	defer clear(epoch)
	if !ok || !ok2 {
		return Secrets{}, allod.Errorf(allod.Corrupt, "open slot %s: its secrets are not sealed to its recipient, or not whole", o.Name)
	}
	s, err := unmarshalSecrets(lasting, epoch, o.vault, o.Role, o.Name)
	if err != nil {
		return Secrets{}, keep(err, "open slot %s: %w", o.Name, err)
	}
	if s.Root != o.root || s.Epoch != o.epoch {
		s.Wipe()
		return Secrets{}, allod.Errorf(allod.Corrupt, "open slot %s: its secrets are those of another epoch", o.Name)
	}
	return s, nil
}
