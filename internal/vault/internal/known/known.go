// Package known keeps what a capture has to know of the rows that are stored
// when it cannot read them (docs/decisions/0009): of every record its tag, a
// keyed digest of its content and, sealed under the record's own key, its id.
// A puncture of the record makes both noise. It is derived: bound to the log
// entry that it belongs to, believed for that entry only, and made anew by
// whoever can read.
package known

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/shelf"
)

const (
	blockCache  = 8 << 20  // plain blocks kept for point reads, bytes
	packMemory  = 64 << 20 // indexes and filters of open packs, bytes
	maxHead     = 64 << 20 // of a head object, bytes
	maxSchema   = 512 << 20
	maxSegments = 6 // a commit merges before it adds another
	maxObjects  = 1 << 20

	headMagic = "ALKN\x01"
)

// Index is what is known of one vault, in a place of its own. Methods may be
// called from several goroutines.
type Index struct {
	place blob.Store
	vault allod.GUID
	key   [32]byte // index key of the vault
	seals cipher.AEAD
	wrap  fileKeys
	packs *shelf.Shelf
	temp  string
	r     *content.Reader
}

// Head is what is known of one environment as of a log entry. It does not
// change.
type Head struct {
	Environment uint32      `json:"environment"`
	Entry       uint64      `json:"entry"`
	Digest      vlog.Digest `json:"digest"` // of the entry's object
	Capture     uint64      `json:"capture"`
	AsOf        uint64      `json:"as_of"`    // log entry until which versions that were sealed anew are known
	Root        uint64      `json:"root"`     // of the key tree that it is sealed under
	Segments    []Segment   `json:"segments"` // newest first
	SchemaEntry uint64      `json:"schema_entry"`
	SchemaID    string      `json:"schema"`   // names its object; "" = none yet
	Number      uint32      `json:"number"`   // of the schema
	Encoded     []byte      `json:"manifest"` // as in a pack

	manifest *meta.Manifest
	schema   *meta.Schema
}

// Segment is sorted packs of what was known to have changed.
type Segment struct {
	Capture uint64        `json:"capture"`
	Rows    int64         `json:"rows"`
	Objects []vlog.Object `json:"objects"` // in key order
}

// Manifest returns the manifest of the entry.
func (h *Head) Manifest() *meta.Manifest { return h.manifest }

// Schema returns the schema as of the entry; nil when there was none.
func (h *Head) Schema() *meta.Schema { return h.schema }

// Open returns the index that lies in place, under the vault's index key. It
// reads nothing. Temp is where files on their way lie; r has the key tree.
func Open(ctx context.Context, place blob.Store, vault allod.GUID, key [32]byte, temp string, r *content.Reader) (*Index, error) {
	x := &Index{place: place, vault: vault, key: key, temp: temp, r: r}
	var err error
	if x.seals, err = newGCM(x.derive("allod known head v1")); err != nil {
		return nil, err
	}
	if x.wrap.aead, err = newGCM(x.derive("allod known pack v1")); err != nil {
		return nil, err
	}
	x.packs = shelf.New(context.WithoutCancel(ctx), place, x.wrap, packMemory, pack.NewCache(blockCache))
	return x, nil
}

func (x *Index) derive(label string, parts ...[]byte) [32]byte {
	mac := hmac.New(sha256.New, x.key[:])
	_, _ = io.WriteString(mac, label) // a hash does not fail
	for _, p := range parts {
		_, _ = mac.Write(p) // the same
	}
	return [32]byte(mac.Sum(nil))
}

func newGCM(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCM(block); err == nil {
			return aead, nil
		}
	}
	return nil, allod.Errorf(allod.Internal, "make a cipher: %w", err)
}

// fileKeys wraps the file keys of the index's packs under the index key, in
// place of a recipient.
type fileKeys struct{ aead cipher.AEAD }

const stanza = "allod-index"

// Wrap implements age.Recipient.
func (f fileKeys) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	nonce := make([]byte, f.aead.NonceSize())
	if _, err := io.ReadFull(rand.Reader, nonce); err != nil {
		return nil, err
	}
	return []*age.Stanza{{Type: stanza, Body: f.aead.Seal(nonce, nonce, fileKey, []byte(stanza))}}, nil
}

// Unwrap implements age.Identity.
func (f fileKeys) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != stanza || len(stanzas[0].Body) < f.aead.NonceSize() {
		return nil, age.ErrIncorrectIdentity
	}
	body := stanzas[0].Body
	key, err := f.aead.Open(nil, body[:f.aead.NonceSize()], body[f.aead.NonceSize():], []byte(stanza))
	if err != nil {
		return nil, age.ErrIncorrectIdentity
	}
	return key, nil
}

func headPrefix(env uint32) string { return fmt.Sprintf("heads/%010d/", env) }

func headName(env uint32, digest vlog.Digest) string {
	return headPrefix(env) + fmt.Sprintf("%x", digest[:])
}

func (x *Index) headAD(env uint32, digest vlog.Digest) []byte {
	b := append([]byte("allod known head v1"), x.vault[:]...)
	return append(binary.BigEndian.AppendUint32(b, env), digest[:]...)
}

// Head returns what is known of the environment as of its newest entry.
// NotFound when that is nothing: the index is missing or behind; Corrupt when it
// is not what was written; Conflict when it is of another root of the key tree,
// or when versions were sealed anew since: then it is returned all the same.
func (x *Index) Head(ctx context.Context, e *journal.Entry) (*Head, error) {
	h, err := x.read(ctx, e.Environment, e.Digest)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, allod.Errorf(allod.NotFound, "read what is known of environment %d: nothing is, as of log entry %d", e.Environment, e.N)
	}
	if err != nil {
		return nil, err
	}
	if h.Entry != e.N || h.Capture != e.Capture {
		return nil, allod.Errorf(allod.Corrupt, "%s: it is of another entry", headName(e.Environment, e.Digest))
	}
	if root := x.r.Tree().Root(); h.Root != root {
		return nil, allod.Errorf(allod.Conflict, "%s: it is of root %d of the key tree, and %d is in force", headName(e.Environment, e.Digest), h.Root, root)
	}
	if n := x.anew(e.Environment, h.AsOf); n != 0 {
		return h, allod.Errorf(allod.Conflict, "read what is known of environment %d: log entry %d has sealed versions anew since", e.Environment, n)
	}
	return h, nil
}

// anew returns the first entry behind the log's entry n that has sealed versions
// of the environment anew: what is known of their records is noise. 0 = none.
func (x *Index) anew(env uint32, n uint64) uint64 {
	for _, e := range x.r.After(n) {
		if e.Environment == env && shelf.Anew(e) {
			return e.N
		}
	}
	return 0
}

func (x *Index) read(ctx context.Context, env uint32, digest vlog.Digest) (*Head, error) {
	name := headName(env, digest)
	b, err := object.Get(ctx, x.place, name, maxHead)
	if err != nil {
		return nil, err
	}
	bad := allod.Errorf(allod.Corrupt, "%s: it does not open", name)
	n := len(headMagic) + x.seals.NonceSize()
	if len(b) < n || string(b[:len(headMagic)]) != headMagic {
		return nil, bad
	}
	plain, err := x.seals.Open(nil, b[len(headMagic):n], b[n:], x.headAD(env, digest))
	if err != nil {
		return nil, bad
	}
	h := new(Head)
	if err := json.Unmarshal(plain, h); err != nil || h.Environment != env || h.Digest != digest || len(h.Segments) > maxObjects {
		return nil, bad
	}
	if h.manifest, err = meta.DecodeManifest(h.Encoded, name); err != nil {
		return nil, err
	}
	h.schema, err = x.readSchema(ctx, h)
	return h, err
}

// write puts a head. Its name is that of the entry alone: of two that are made
// for one entry the bytes differ and the meaning does not.
func (x *Index) write(ctx context.Context, h *Head) error {
	plain, err := json.Marshal(h)
	if err != nil {
		return allod.Errorf(allod.Internal, "write what is known: %w", err)
	}
	nonce := make([]byte, x.seals.NonceSize())
	if _, err := io.ReadFull(rand.Reader, nonce); err != nil {
		return allod.Errorf(allod.Internal, "write what is known: %w", err)
	}
	b := append([]byte(headMagic), nonce...)
	b = x.seals.Seal(b, nonce, plain, x.headAD(h.Environment, h.Digest))
	name := headName(h.Environment, h.Digest)
	err = object.Put(ctx, x.place, name, b)
	if errors.Is(err, blob.ErrExists) { // one that is made anew
		if err := x.remove(ctx, []string{name}); err != nil {
			return err
		}
		err = object.Put(ctx, x.place, name, b)
	}
	return err
}

// schemaKey is of one schema alone: its name says which.
func (x *Index) schemaCipher(id string) (cipher.AEAD, error) {
	return newGCM(x.derive("allod known schema v1", []byte(id)))
}

// putSchema stores a schema once, and returns the name that it is found by.
func (x *Index) putSchema(ctx context.Context, s *meta.Schema) (string, error) {
	b, err := s.Encode()
	if err != nil {
		return "", err
	}
	sum := x.derive("allod known schema name v1", b)
	id := fmt.Sprintf("%x", sum[:16])
	aead, err := x.schemaCipher(id)
	if err != nil {
		return "", err
	}
	err = object.Put(ctx, x.place, "schemas/"+id, aead.Seal(nil, make([]byte, aead.NonceSize()), b, nil)) // the key is used once: id is of the bytes
	if errors.Is(err, blob.ErrExists) {
		err = nil
	}
	return id, err
}

func (x *Index) readSchema(ctx context.Context, h *Head) (*meta.Schema, error) {
	if h.SchemaID == "" {
		return nil, nil
	}
	name := "schemas/" + h.SchemaID
	b, err := object.Get(ctx, x.place, name, maxSchema)
	if err != nil {
		return nil, object.Missing(name, err)
	}
	aead, err := x.schemaCipher(h.SchemaID)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), b, nil)
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "%s: it does not open", name)
	}
	return meta.DecodeSchema(plain, h.Number, h.SchemaEntry, name)
}

// sweep removes everything that no head of the newest entries names: what
// attempts have left behind.
func (x *Index) sweep(ctx context.Context, newest []*journal.Entry) error {
	keep := map[string]bool{}
	for _, e := range newest {
		h, err := x.read(ctx, e.Environment, e.Digest)
		if errors.Is(err, blob.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		keep[headName(e.Environment, e.Digest)], keep["schemas/"+h.SchemaID] = true, true
		for _, o := range h.objects() {
			keep[o.Name()] = true
		}
	}
	var drop []string
	for _, prefix := range []string{"heads/", "schemas/", "packs/"} {
		for info, err := range x.place.List(ctx, prefix) {
			if err != nil {
				return allod.Errorf(allod.KindOf(err), "list what is known: %w", err)
			}
			if !keep[info.Name] {
				drop = append(drop, info.Name)
			}
		}
	}
	return x.remove(ctx, drop)
}

func (x *Index) remove(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := x.place.Delete(ctx, name); err != nil {
			return allod.Errorf(allod.KindOf(err), "remove %s: %w", name, err)
		}
	}
	return nil
}

func (h *Head) objects() []vlog.Object {
	var out []vlog.Object
	for _, s := range h.Segments {
		out = append(out, s.Objects...)
	}
	return out
}

// past is the shelf's view of a head's segments: newest is last there.
func (x *Index) past(h *Head, segments []Segment) *shelf.Past {
	all := make([]*journal.Entry, len(segments))
	for i, s := range segments {
		e := &journal.Entry{Entry: vlog.Entry{Kind: vlog.KindCapture, Environment: h.Environment, Capture: cmp.Or(s.Capture, 1), Objects: s.Objects}}
		all[len(segments)-1-i] = e
	}
	return x.packs.Past(func() []*journal.Entry { return all }, h.Environment, ^uint64(0))
}
