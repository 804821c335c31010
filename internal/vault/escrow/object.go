// Package escrow keeps what a key tree derived of a record for those who may
// open it while it is restricted, or held after an erasure: sealed to the
// recipient of a container, in an object that lies where slots lie and can be
// deleted with all its versions (FORMAT.md §14). Rows of such a record that are
// captured meanwhile are sealed to a recipient of the record alone, whose
// private half is in that object too (§6.3): with the object they are gone.
package escrow

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"

	"allod"
	"allod/internal/vault/keytree"
)

// The last byte of either is the version.
const (
	magic       = "allod escrow\x00\x00\x00\x01"
	magicInside = "allod escrowed\x00\x01"
)

const signatureDomain = "allod escrow signature v1\n"

// Prefix of the names of escrow objects.
const Prefix = "escrow/"

// Limits, checked before anything is allocated.
const (
	maxObject    = 256 << 10
	maxRecipient = 4 << 10
	maxRoots     = 1000
)

// Tag names a record of the vault without saying which one it is to anybody
// without the index key (FORMAT.md §4).
type Tag struct {
	Environment uint32      `json:"environment"`
	Table       uint32      `json:"table"`
	Tag         keytree.Tag `json:"tag"`
}

// Container is where what a tree derives of a record is put: a restriction or a
// hold, and who may open it.
type Container struct {
	ID        allod.GUID
	Recipient string // age1pq1…
}

// Record says whose escrow an object is. All of it is signed, and sealed again
// with the seeds.
type Record struct {
	Vault       allod.GUID
	Container   allod.GUID
	Environment uint32
	Table       uint32
	Tag         keytree.Tag
	Run         allod.GUID // of the log entry that punctured the record
	Epoch       uint64     // of the tree that the seeds came from
}

// Name is the name of the object.
func (r *Record) Name() string {
	return containerPrefix(r.Container) + hex.EncodeToString(r.Tag[:]) + "-" + hex.EncodeToString(r.Run[:]) + "@" + strconv.FormatUint(r.Epoch, 10)
}

func containerPrefix(container allod.GUID) string {
	return Prefix + hex.EncodeToString(container[:]) + "/"
}

// ParseName reads container, tag, run and epoch from a name; false for one that
// is none.
func ParseName(name string) (r Record, ok bool) {
	rest, ok := strings.CutPrefix(name, Prefix)
	if !ok || len(rest) < 32+1+32+1+32+2 || rest[32] != '/' || rest[65] != '-' || rest[98] != '@' {
		return r, false
	}
	for _, f := range []struct {
		to   []byte
		from string
	}{{r.Container[:], rest[:32]}, {r.Tag[:], rest[33:65]}, {r.Run[:], rest[66:98]}} {
		if _, err := hex.Decode(f.to, []byte(f.from)); err != nil {
			return r, false
		}
	}
	var err error
	r.Epoch, err = strconv.ParseUint(rest[99:], 10, 64)
	return r, err == nil && r.Name() == name
}

func (r *Record) append(b []byte) []byte {
	b = append(append(b, r.Vault[:]...), r.Container[:]...)
	b = binary.BigEndian.AppendUint32(b, r.Environment)
	b = binary.BigEndian.AppendUint32(b, r.Table)
	b = append(append(b, r.Tag[:]...), r.Run[:]...)
	return binary.BigEndian.AppendUint64(b, r.Epoch)
}

// Root is what one root of the key tree derived of the record.
type Root struct {
	Number uint64
	Kept   keytree.Kept
}

// Keys are the secrets of one record: what its objects in all containers hold.
// Clear them with Wipe.
type Keys struct {
	Roots []Root // ascending

	identity *age.HybridIdentity
	digest   [32]byte
}

// NewKeys makes the keys of a record: roots, and a recipient for what is
// captured of it from now on.
func NewKeys(roots []Root) (*Keys, error) {
	k := &Keys{Roots: roots}
	var err error
	if k.identity, err = age.GenerateHybridIdentity(); err == nil {
		_, err = io.ReadFull(rand.Reader, k.digest[:])
	}
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make the key of a record in escrow: %w", err)
	}
	return k, nil
}

// Wipe overwrites the seeds.
func (k *Keys) Wipe() {
	for i := range k.Roots {
		clear(k.Roots[i].Kept.Nodes)
	}
}

// Seal returns the object that holds the keys for who has the private half of
// to, an age1pq1… recipient, signed. Invalid for another recipient.
func Seal(r Record, k *Keys, to string, signer ed25519.PrivateKey) ([]byte, error) {
	recipient, err := age.ParseHybridRecipient(to)
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "seal to a container: its recipient is not a hybrid age recipient")
	}
	sealed, err := encrypt(recipient, k.marshal(&r))
	if err != nil {
		return nil, err
	}
	b := r.append([]byte(magic))
	b = appendText(b, k.identity.Recipient().String())
	b = append(b, k.digest[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(sealed)))
	b = append(b, sealed...)
	b = append(b, signer.Public().(ed25519.PublicKey)...)
	b = append(b, ed25519.Sign(signer, signed(b))...)
	if len(b) > maxObject {
		return nil, allod.Errorf(allod.Invalid, "seal to a container: %d bytes are more than an escrow object has", len(b))
	}
	return b, nil
}

func (k *Keys) marshal(r *Record) []byte {
	b := r.append([]byte(magicInside))
	b = appendText(b, k.identity.String())
	b = binary.BigEndian.AppendUint16(b, uint16(len(k.Roots)))
	for _, root := range k.Roots {
		b = binary.BigEndian.AppendUint64(b, root.Number)
		b = binary.BigEndian.AppendUint16(b, uint16(len(root.Kept.Nodes)))
		for _, n := range root.Kept.Nodes {
			b = append(append(b, n.Depth, n.Generation), n.Seed[:]...)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(root.Kept.Absents)))
		for _, a := range root.Kept.Absents {
			b = binary.BigEndian.AppendUint64(append(b, a.Depth, a.Generation, byte(a.Kind)), a.Log)
		}
	}
	return b
}

func signed(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append([]byte(signatureDomain), sum[:]...)
}

// Pin says whose escrow objects are believed.
type Pin struct {
	Vault   allod.GUID
	Signers []ed25519.PublicKey // of use erase
}

// Object is an escrow object whose signature was checked.
type Object struct {
	Record
	Public *Public

	sealed []byte
}

// Parse reads an object for the vault and signers of pin. Denied for one of
// another vault or an unknown signer, Invalid for one of a newer format,
// Corrupt for everything else.
func Parse(b []byte, pin Pin) (*Object, error) {
	bad := func(what string) (*Object, error) {
		return nil, allod.Errorf(allod.Corrupt, "read an escrow object: %s", what)
	}
	if len(b) > maxObject || len(b) < len(magic)+ed25519.PublicKeySize+ed25519.SignatureSize {
		return bad("wrong length")
	}
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok {
		if bytes.HasPrefix(b, []byte(magic[:len(magic)-1])) && b[len(magic)-1] > 1 {
			return nil, allod.WithHint(allod.Errorf(allod.Invalid, "read an escrow object: it has a newer format"), "Use a newer Allod.")
		}
		return bad("it is none")
	}
	r := reader{b: rest}
	o := &Object{Record: r.record(), Public: &Public{}}
	recipient := r.text(maxRecipient)
	copy(o.Public.digest[:], r.take(len(o.Public.digest)))
	o.sealed = r.take(int(r.uint32()))
	signer, signature := r.take(ed25519.PublicKeySize), r.take(ed25519.SignatureSize)
	if r.bad || len(r.b) > 0 {
		return bad("wrong length")
	}
	if o.Vault != pin.Vault {
		return nil, allod.Errorf(allod.Denied, "read an escrow object: it belongs to another vault, %s", o.Vault)
	}
	if !slices.ContainsFunc(pin.Signers, func(k ed25519.PublicKey) bool { return bytes.Equal(k, signer) }) {
		return nil, allod.Errorf(allod.Denied, "read an escrow object: signed by a key that the configuration does not pin")
	}
	if !ed25519.Verify(signer, signed(b[:len(b)-ed25519.SignatureSize]), signature) {
		return bad("the signature is not that of these bytes")
	}
	var err error
	if o.Public.recipient, err = age.ParseHybridRecipient(recipient); err != nil {
		return bad("the recipient of the record is none")
	}
	return o, nil
}

// Open opens the object with the private half of its container. Denied if it is
// not that one's, Corrupt if what is inside is not of this object.
func (o *Object) Open(container age.Identity) (*Keys, error) {
	plain, err := decrypt(o.sealed, container, maxObject)
	if err != nil {
		return nil, allod.Errorf(allod.Denied, "open an escrow object: the key is not that of its container")
	}
	defer clear(plain)
	bad := allod.Errorf(allod.Corrupt, "open an escrow object: what is inside does not belong to it")
	rest, ok := bytes.CutPrefix(plain, []byte(magicInside))
	r := reader{b: rest}
	if !ok || r.record() != o.Record {
		return nil, bad
	}
	k := &Keys{digest: o.Public.digest}
	k.identity, err = age.ParseHybridIdentity(r.text(maxRecipient))
	if err != nil || k.identity.Recipient().String() != o.Public.recipient.String() {
		return nil, bad
	}
	n := int(r.uint16())
	if n > maxRoots {
		return nil, bad
	}
	for range n {
		root := Root{Number: r.uint64()}
		for range r.count(2 + keytree.SeedSize) {
			at := r.take(2)
			root.Kept.Nodes = append(root.Kept.Nodes, keytree.KeptNode{Depth: at[0], Generation: at[1], Seed: keytree.Seed(r.take(keytree.SeedSize))})
		}
		for range r.count(3 + 8) {
			at := r.take(3)
			root.Kept.Absents = append(root.Kept.Absents, keytree.KeptAbsent{Depth: at[0], Generation: at[1], Kind: keytree.Kind(at[2]), Log: r.uint64()})
		}
		if m := len(k.Roots); m > 0 && k.Roots[m-1].Number >= root.Number {
			return nil, bad
		}
		k.Roots = append(k.Roots, root)
	}
	if r.bad || len(r.b) > 0 || n == 0 {
		return nil, bad
	}
	return k, nil
}

// reader takes fields off b; bad once something is missing. What it gives then
// is zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, min(max(n, 0), 64))
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// count reads how many fields of a width follow: none when that is more than is
// left.
func (r *reader) count(width int) int {
	n := int(r.uint16())
	if n*width > len(r.b) {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) text(limit int) string {
	n := int(r.uint16())
	if n > limit {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

func (r *reader) record() (out Record) {
	copy(out.Vault[:], r.take(16))
	copy(out.Container[:], r.take(16))
	out.Environment, out.Table = r.uint32(), r.uint32()
	copy(out.Tag[:], r.take(keytree.TagSize))
	copy(out.Run[:], r.take(16))
	out.Epoch = r.uint64()
	return out
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
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
		return nil, allod.Errorf(allod.Internal, "seal to a recipient: %w", err)
	}
	return out.Bytes(), nil
}

// decrypt opens at most limit bytes; the caller clears them.
func decrypt(sealed []byte, id age.Identity, limit int64) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(plain)) > limit {
		err = allod.Errorf(allod.Corrupt, "longer than %d bytes", limit)
	}
	return plain, err
}
