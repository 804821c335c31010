package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"allod"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/rowcodec"
)

const (
	sealedLabel    = "allod log sealed v1"
	sealedManifest = 32 << 10  // a manifest up to this, compressed, rides in the entry if nothing else needs a pack
	maxMeta        = 512 << 20 // plain bytes of a schema, manifest or sealed part
	officeName     = "office"  // environment number 0
)

// sealedPart is what an entry keeps for holders of the index key (FORMAT.md §3.1).
type sealedPart struct {
	Environment string          `json:"environment"`
	Schema      uint32          `json:"schema"`
	SchemaEntry uint64          `json:"schema_entry"`
	State       []byte          `json:"state,omitempty"`
	Manifest    *storedManifest `json:"manifest,omitempty"`
}

// storedManifest is FORMAT.md §7.
type storedManifest struct {
	Schema      uint32         `json:"schema"`
	SchemaEntry uint64         `json:"schema_entry"`
	Identity    allod.Identity `json:"identity"`
	Tables      []storedTable  `json:"tables"` // by number
	Gaps        []allod.Gap    `json:"gaps"`
}

type storedTable struct {
	Number uint32 `json:"number"`
	allod.TableManifest
}

func (m *storedManifest) table(number uint32) *storedTable {
	i, ok := slices.BinarySearchFunc(m.Tables, number, func(t storedTable, n uint32) int { return int(int64(t.Number) - int64(n)) })
	if !ok {
		return nil
	}
	return &m.Tables[i]
}

// rows returns how many rows are alive in all tables.
func (m *storedManifest) rows() int64 {
	var n int64
	for i := range m.Tables {
		n += m.Tables[i].Rows
	}
	return n
}

// storedSchema is FORMAT.md §7.
type storedSchema struct {
	Number  uint32        `json:"number"`
	Tables  []tableNumber `json:"tables"` // ascending by number
	Earlier []schemaEntry `json:"earlier"`
	Schema  allod.Schema  `json:"schema"`
}

type tableNumber struct {
	Number uint32 `json:"number"`
	ID     string `json:"id"`
	Name   string `json:"name"`
}

type schemaEntry struct {
	Number uint32 `json:"number"`
	Entry  uint64 `json:"entry"`
}

// schemaInfo is a stored schema, ready for use. It does not change.
type schemaInfo struct {
	storedSchema
	entry  uint64                  // log entry that holds it; 0 = not committed yet
	names  *rowcodec.Names         // targets of lookups
	digest [sha256.Size]byte       // of the schema without identity
	byName map[string]uint32       // tables of the schema → number
	tables map[uint32]*allod.Table // number → table of the schema
}

func newSchemaInfo(s storedSchema, entry uint64) (*schemaInfo, error) {
	i := &schemaInfo{storedSchema: s, entry: entry, names: rowcodec.NewNames(&s.Schema), byName: map[string]uint32{}, tables: map[uint32]*allod.Table{}}
	var err error
	if i.digest, err = schemaDigest(&s.Schema); err != nil {
		return nil, err
	}
	numbers := make(map[string]uint32, len(s.Tables))
	for _, t := range s.Tables {
		numbers[bindingOf(t.ID, t.Name)] = t.Number
	}
	for j := range i.Schema.Tables {
		t := &i.Schema.Tables[j]
		number := numbers[binding(t)]
		if number == 0 {
			return nil, allod.Errorf(allod.Corrupt, "read a schema: table %s has no number", t.Name)
		}
		i.byName[t.Name], i.tables[number] = number, t
	}
	return i, nil
}

// binding is what a table number is bound to: the MetadataId, or the name where
// the source has none.
func binding(t *allod.Table) string { return bindingOf(idText(t.ID), t.Name) }

func bindingOf(id, name string) string {
	if id == "" {
		return "name " + name
	}
	return id
}

func idText(g allod.GUID) string {
	if g.IsZero() {
		return ""
	}
	return hex.EncodeToString(g[:])
}

// schemaDigest tells schemas apart. The identity is left out: its highest row
// version changes with every capture.
func schemaDigest(s *allod.Schema) ([sha256.Size]byte, error) {
	c := *s
	c.Identity = allod.Identity{}
	b, err := json.Marshal(&c)
	if err != nil {
		return [sha256.Size]byte{}, allod.Errorf(allod.Internal, "encode a schema: %w", err)
	}
	return sha256.Sum256(b), nil
}

// successor gives a new schema the next number and its tables theirs.
func (i *schemaInfo) successor(s *allod.Schema) (*schemaInfo, error) {
	next := storedSchema{Number: 1, Schema: *s}
	next.Schema.Identity = allod.Identity{}
	highest := uint32(0)
	known := map[string]int{}
	if i != nil {
		next.Number = i.Number + 1
		next.Tables = slices.Clone(i.Tables)
		next.Earlier = append(slices.Clone(i.Earlier), schemaEntry{i.Number, i.entry})
		for j, t := range next.Tables {
			known[bindingOf(t.ID, t.Name)] = j
			highest = max(highest, t.Number)
		}
	}
	for j := range s.Tables {
		t := &s.Tables[j]
		if at, ok := known[binding(t)]; ok {
			next.Tables[at].Name = t.Name
			continue
		}
		highest++
		known[binding(t)] = len(next.Tables)
		next.Tables = append(next.Tables, tableNumber{Number: highest, ID: idText(t.ID), Name: t.Name})
	}
	return newSchemaInfo(next, 0)
}

// packJSON returns one zstd frame of JSON.
func packJSON(v any) ([]byte, error) {
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

func unpackJSON(b []byte, into any, what string) error {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxMeta))
	if err != nil {
		return allod.Errorf(allod.Internal, "make a decompressor: %w", err)
	}
	defer dec.Close()
	plain, err := dec.DecodeAll(b, nil)
	if err == nil {
		err = json.Unmarshal(plain, into)
	}
	if err != nil {
		return allod.Errorf(allod.Corrupt, "%s: not well formed", what)
	}
	return nil
}

func (v *Vault) sealedCipher() (cipher.AEAD, error) {
	mac := hmac.New(sha256.New, v.secrets.Index[:])
	_, _ = io.WriteString(mac, sealedLabel) // a hash does not fail
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

func (v *Vault) sealedAD(e *vlog.Entry) []byte {
	b := append([]byte(sealedLabel), v.cfg.Pin.Vault[:]...)
	b = binary.BigEndian.AppendUint64(b, e.N)
	b = binary.BigEndian.AppendUint32(b, e.Environment)
	return binary.BigEndian.AppendUint64(b, e.Capture)
}

// sealPart seals p for the entry, whose numbers must be set.
func (v *Vault) sealPart(e *vlog.Entry, p *sealedPart) error {
	plain, err := packJSON(p)
	if err != nil {
		return err
	}
	aead, err := v.sealedCipher()
	if err != nil {
		return err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := io.ReadFull(rand.Reader, nonce); err != nil {
		return allod.Errorf(allod.Internal, "seal a log entry: %w", err)
	}
	e.Sealed = aead.Seal(nonce, nonce, plain, v.sealedAD(e))
	return nil
}

// part opens the sealed part of an entry.
func (v *Vault) part(ctx context.Context, e *logged) (*sealedPart, error) {
	if err := v.needKeys("open a log entry"); err != nil {
		return nil, err
	}
	full, err := v.entryBytes(ctx, e)
	if err != nil {
		return nil, err
	}
	aead, err := v.sealedCipher()
	if err != nil {
		return nil, err
	}
	name := vlog.EntryName(e.N)
	if len(full.Sealed) < aead.NonceSize() {
		return nil, allod.Errorf(allod.Corrupt, "%s: its sealed part is missing", name)
	}
	nonce := full.Sealed[:aead.NonceSize()]
	plain, err := aead.Open(nil, nonce, full.Sealed[len(nonce):], v.sealedAD(full))
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "%s: its sealed part does not open", name)
	}
	p := new(sealedPart)
	return p, unpackJSON(plain, p, name)
}

// manifest returns the manifest of a capture entry.
func (v *Vault) manifest(ctx context.Context, e *logged) (*storedManifest, *sealedPart, error) {
	part, err := v.part(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	if part.Manifest != nil {
		return part.Manifest, part, nil
	}
	p, err := v.lastPack(e)
	if err != nil {
		return nil, nil, err
	}
	b, err := p.Manifest()
	if err != nil {
		return nil, nil, named(p.name, err)
	}
	m := new(storedManifest)
	return m, part, unpackJSON(b, m, p.name)
}

func (v *Vault) lastPack(e *logged) (*openPack, error) {
	packs := packsOf(e)
	if len(packs) == 0 {
		return nil, allod.Errorf(allod.Corrupt, "%s: it names no pack", vlog.EntryName(e.N))
	}
	return v.packs.open(packs[len(packs)-1], e.Environment)
}

// envCache keeps what was read of environments.
type envCache struct {
	mu      sync.Mutex
	schemas map[schemaKey]*schemaInfo
	names   map[uint32]string
}

type schemaKey struct {
	env    uint32
	number uint32
}

// schema returns the schema with the number that entry n holds; nil for number 0.
func (v *Vault) schema(env, number uint32, n uint64) (*schemaInfo, error) {
	if number == 0 {
		return nil, nil
	}
	v.env.mu.Lock()
	defer v.env.mu.Unlock()
	if s := v.env.schemas[schemaKey{env, number}]; s != nil {
		return s, nil
	}
	e, err := v.entry(n)
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "find schema %d: %w", number, err)
	}
	p, err := v.lastPack(e)
	if err != nil {
		return nil, err
	}
	b, err := p.Schema()
	if err != nil {
		return nil, named(p.name, err)
	}
	var stored storedSchema
	if err := unpackJSON(b, &stored, p.name); err != nil {
		return nil, err
	}
	if stored.Number != number || e.Environment != env {
		return nil, allod.Errorf(allod.Corrupt, "%s: it holds schema %d, not %d", p.name, stored.Number, number)
	}
	s, err := newSchemaInfo(stored, n)
	if err != nil {
		return nil, named(p.name, err)
	}
	v.env.schemas[schemaKey{env, number}] = s
	return s, nil
}

// schemaFor returns the schema that a row names, seen from a later schema.
func (v *Vault) schemaFor(env, number uint32, from *schemaInfo) (*schemaInfo, error) {
	if from != nil && number == from.Number {
		return from, nil
	}
	if from != nil {
		for _, e := range from.Earlier {
			if e.Number == number {
				return v.schema(env, number, e.Entry)
			}
		}
	}
	return nil, allod.Errorf(allod.Corrupt, "decode a row: it names schema %d, which is not known", number)
}

// envName returns the name of an environment number, "#n" without keys.
func (v *Vault) envName(ctx context.Context, e *logged) (string, error) {
	if !v.keyed {
		return fmt.Sprintf("#%d", e.Environment), nil
	}
	v.env.mu.Lock()
	name, ok := v.env.names[e.Environment]
	v.env.mu.Unlock()
	if ok {
		return name, nil
	}
	part, err := v.part(ctx, e)
	if err != nil {
		return "", err
	}
	v.env.mu.Lock()
	defer v.env.mu.Unlock()
	v.env.names[e.Environment] = part.Environment
	return part.Environment, nil
}

// environments returns name → newest capture entry, and the highest number in use.
func (v *Vault) environments(ctx context.Context) (map[string]*logged, uint32, error) {
	out := map[string]*logged{}
	highest := uint32(0)
	for _, e := range v.log.snapshot() {
		highest = max(highest, e.Environment)
		if e.Capture == 0 {
			continue
		}
		name, err := v.envName(ctx, e)
		if err != nil {
			return nil, 0, err
		}
		out[name] = e
	}
	return out, highest, nil
}
