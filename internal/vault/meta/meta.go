// Package meta has the forms in which a vault describes what it holds
// (FORMAT.md §3.1 and §7): the sealed part of a log entry, manifests, and
// schemas with the numbers that tables keep for ever. It does no I/O; bytes
// from a store are hostile and bounded before they are unpacked.
package meta

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"allod"
	vlog "allod/internal/vault/log"
)

const (
	sealedLabel = "allod log sealed v1"
	maxPlain    = 512 << 20 // plain bytes of a schema, manifest or sealed part
)

// RideAlong is the most bytes of an encoded manifest that rides in its entry's
// sealed part when nothing else needs a pack; readers do not depend on it.
const RideAlong = 32 << 10

// Part is what an entry keeps for holders of the index key (FORMAT.md §3.1).
type Part struct {
	Environment string    `json:"environment"`
	Schema      uint32    `json:"schema"`       // number; 0 = none yet
	SchemaEntry uint64    `json:"schema_entry"` // log entry whose last pack holds it
	State       []byte    `json:"state,omitempty"`
	Manifest    *Manifest `json:"manifest,omitempty"` // only when the entry has no pack
}

// Manifest is every table known as of an entry (FORMAT.md §7).
type Manifest struct {
	Schema      uint32         `json:"schema"`
	SchemaEntry uint64         `json:"schema_entry"`
	Identity    allod.Identity `json:"identity"`
	Tables      []Table        `json:"tables"` // ascending by number
	Gaps        []allod.Gap    `json:"gaps"`
}

// Table is a table of a manifest.
type Table struct {
	Number uint32 `json:"number"`
	allod.TableManifest
}

// Table returns the table with a number, nil when the manifest has none.
func (m *Manifest) Table(number uint32) *Table {
	i, ok := slices.BinarySearchFunc(m.Tables, number, func(t Table, n uint32) int { return int(int64(t.Number) - int64(n)) })
	if !ok {
		return nil
	}
	return &m.Tables[i]
}

// RowsOf returns how many rows of a table are alive; 0 for nil, and for a table
// that is not known.
func (m *Manifest) RowsOf(number uint32) int64 {
	if m == nil || m.Table(number) == nil {
		return 0
	}
	return m.Table(number).Rows
}

// Rows returns how many rows are alive in all tables.
func (m *Manifest) Rows() int64 {
	var n int64
	for i := range m.Tables {
		n += m.Tables[i].Rows
	}
	return n
}

// Encode returns the manifest as a pack keeps it.
func (m *Manifest) Encode() ([]byte, error) { return encode(m) }

// DecodeManifest reads what Encode wrote; Corrupt, naming the object, if it is
// not well formed.
func DecodeManifest(b []byte, name string) (*Manifest, error) {
	m := new(Manifest)
	return m, decode(b, m, name)
}

// encode returns one zstd frame of JSON.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "encode metadata: %w", err)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a compressor: %w", err)
	}
	defer func() { _ = enc.Close() }() // it writes nowhere
	return enc.EncodeAll(b, nil), nil
}

func decode(b []byte, into any, name string) error {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain))
	if err != nil {
		return allod.Errorf(allod.Internal, "make a decompressor: %w", err)
	}
	defer dec.Close()
	plain, err := dec.DecodeAll(b, nil)
	if err == nil {
		err = json.Unmarshal(plain, into)
	}
	if err != nil {
		return allod.Errorf(allod.Corrupt, "%s: not well formed", name)
	}
	return nil
}

// Cipher seals and opens the parts of one vault's entries under its index key.
// It may be used by several goroutines.
type Cipher struct {
	vault allod.GUID
	aead  cipher.AEAD
}

// NewCipher derives the key of sealed parts from the index key.
func NewCipher(vault allod.GUID, index [32]byte) (*Cipher, error) {
	mac := hmac.New(sha256.New, index[:])
	_, _ = io.WriteString(mac, sealedLabel) // a hash does not fail
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a cipher: %w", err)
	}
	return &Cipher{vault, aead}, nil
}

func (c *Cipher) ad(e *vlog.Entry) []byte {
	b := append([]byte(sealedLabel), c.vault[:]...)
	b = binary.BigEndian.AppendUint64(b, e.N)
	b = binary.BigEndian.AppendUint32(b, e.Environment)
	return binary.BigEndian.AppendUint64(b, e.Capture)
}

// Seal puts p into the entry, whose numbers must be set.
func (c *Cipher) Seal(e *vlog.Entry, p *Part) error {
	plain, err := encode(p)
	if err != nil {
		return err
	}
	nonce := make([]byte, c.aead.NonceSize())
	if _, err := io.ReadFull(rand.Reader, nonce); err != nil {
		return allod.Errorf(allod.Internal, "seal a log entry: %w", err)
	}
	e.Sealed = c.aead.Seal(nonce, nonce, plain, c.ad(e))
	return nil
}

// Open opens the part of an entry. Corrupt, naming the entry's object, if it
// is missing or was not sealed for this entry of this vault.
func (c *Cipher) Open(e *vlog.Entry) (*Part, error) {
	name := vlog.EntryName(e.N)
	if len(e.Sealed) < c.aead.NonceSize() {
		return nil, allod.Errorf(allod.Corrupt, "%s: its sealed part is missing", name)
	}
	nonce := e.Sealed[:c.aead.NonceSize()]
	plain, err := c.aead.Open(nil, nonce, e.Sealed[len(nonce):], c.ad(e))
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "%s: its sealed part does not open", name)
	}
	p := new(Part)
	return p, decode(plain, p, name)
}
