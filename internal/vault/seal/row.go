// Package seal seals one row version, or one file, under a key of its own that
// follows from the record's seed and a random salt (FORMAT.md §6.1 and §8). A
// key is used once.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/klauspost/compress/zstd"

	"allod"
	"allod/internal/vault/keytree"
)

// Operations of a row version. The numbers are stored.
const (
	OpPut    = 1
	OpDelete = 2
)

// Key kinds: whether the seed of a row comes from the key tree, or was drawn and
// wrapped for the record's escrow (FORMAT.md §6.3). The numbers are stored.
const (
	KindTree   = 0
	KindEscrow = 1
)

const (
	formatVersion = 1
	overhead      = 16 // of GCM
	padTo         = 32

	// MaxContent is the most bytes the content of one row may have, packed.
	MaxContent = 64 << 20
)

// Meta is what stands beside a sealed row, shared by most rows of a capture.
type Meta struct {
	Op         uint8
	KeyKind    uint8
	Root       uint64
	Schema     uint32
	Dictionary uint32
}

// MetaSize is the width of an encoded Meta.
const MetaSize = 18

// Append appends the 18 bytes of m.
func (m Meta) Append(b []byte) []byte {
	b = append(b, m.Op, m.KeyKind)
	b = binary.BigEndian.AppendUint64(b, m.Root)
	b = binary.BigEndian.AppendUint32(b, m.Schema)
	return binary.BigEndian.AppendUint32(b, m.Dictionary)
}

// ParseMeta reads what Append wrote; Corrupt on an operation, key kind or
// dictionary that version 1 does not have.
func ParseMeta(b []byte) (Meta, error) {
	if len(b) != MetaSize {
		return Meta{}, allod.Errorf(allod.Corrupt, "read a row: its description has %d bytes, not %d", len(b), MetaSize)
	}
	m := Meta{Op: b[0], KeyKind: b[1], Root: binary.BigEndian.Uint64(b[2:]), Schema: binary.BigEndian.Uint32(b[10:]), Dictionary: binary.BigEndian.Uint32(b[14:])}
	if m.Op != OpPut && m.Op != OpDelete || m.KeyKind > KindEscrow || m.Dictionary != 0 {
		return Meta{}, allod.Errorf(allod.Corrupt, "read a row: operation %d, key kind %d, dictionary %d are not of version 1", m.Op, m.KeyKind, m.Dictionary)
	}
	return m, nil
}

// Place is where a sealed row stands; all of it is authenticated.
type Place struct {
	Vault       allod.GUID
	Environment uint32
	Table       uint32
	Tag         keytree.Tag
	Generation  uint8
	Capture     uint64
	Meta
}

const adSize = 2 + 16 + 8 + 1 + 4 + 4 + 16 + 1 + 8 + 1 + 4 + 4

func (p *Place) ad(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, formatVersion)
	b = append(b, p.Vault[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Root)
	b = append(b, p.KeyKind)
	b = binary.BigEndian.AppendUint32(b, p.Environment)
	b = binary.BigEndian.AppendUint32(b, p.Table)
	b = append(b, p.Tag[:]...)
	b = append(b, p.Generation)
	b = binary.BigEndian.AppendUint64(b, p.Capture)
	b = append(b, p.Op)
	b = binary.BigEndian.AppendUint32(b, p.Schema)
	return binary.BigEndian.AppendUint32(b, p.Dictionary)
}

// Row is the plain content of a row version.
type Row struct {
	Key      allod.GUID
	Pair     [2]allod.GUID // zero unless the record is a pair
	Version  uint64
	Modified time.Time          // UTC; zero = not known
	Content  []byte             // packed cells; nil for a delete
	Reason   allod.DeleteReason // for a delete
}

// IsPair reports whether the row is a pair of an intersect table.
func (r *Row) IsPair() bool { return r.Pair != [2]allod.GUID{} }

const (
	flagZstd     = 1
	flagPair     = 2
	flagModified = 4
)

// Codec seals and opens rows. It is not safe for several goroutines.
type Codec struct {
	enc   *zstd.Encoder
	dec   *zstd.Decoder
	plain []byte
	small []byte
	ad    []byte
}

// NewCodec returns a Codec; Close frees it.
func NewCodec() (*Codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(MaxContent))
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a decompressor: %w", err)
	}
	return &Codec{enc: enc, dec: dec, ad: make([]byte, 0, adSize)}, nil
}

// Close frees what the Codec holds.
func (c *Codec) Close() {
	c.dec.Close()
	_ = c.enc.Close() // it writes nowhere
}

func rowKey(seed keytree.Seed, salt []byte) [32]byte {
	var in [12 + keytree.SeedSize + keytree.SaltSize]byte
	copy(in[:12], "allod row v1")
	copy(in[12:], seed[:])
	copy(in[12+keytree.SeedSize:], salt)
	return sha256.Sum256(in[:])
}

var zeroNonce [12]byte

func newGCM(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a cipher: %w", err)
	}
	return aead, nil
}

// Seal appends salt and ciphertext to out.
func (c *Codec) Seal(out []byte, p *Place, seed keytree.Seed, salt [keytree.SaltSize]byte, r *Row) ([]byte, error) {
	if len(r.Content) > MaxContent {
		return out, allod.Errorf(allod.Invalid, "seal a row: %d bytes are more than %d", len(r.Content), MaxContent)
	}
	c.encode(p.Op, r)
	aead, err := newGCM(rowKey(seed, salt[:]))
	if err != nil {
		return out, err
	}
	out = append(out, salt[:]...)
	return aead.Seal(out, zeroNonce[:], c.plain, p.ad(c.ad[:0])), nil
}

func (c *Codec) encode(op uint8, r *Row) {
	content, flags := r.Content, byte(0)
	if op == OpPut && len(content) > 64 {
		c.small = c.enc.EncodeAll(content, c.small[:0])
		if len(c.small)+2 < len(content) {
			content, flags = c.small, flagZstd
		}
	}
	if r.IsPair() {
		flags |= flagPair
	}
	if op == OpPut && !r.Modified.IsZero() {
		flags |= flagModified
	}
	b := append(append(c.plain[:0], flags), r.Key[:]...)
	if r.IsPair() {
		b = append(append(b, r.Pair[0][:]...), r.Pair[1][:]...)
	}
	if op == OpDelete {
		b = append(b, byte(r.Reason))
	} else {
		b = binary.AppendUvarint(b, r.Version)
		if flags&flagModified != 0 {
			b = binary.AppendVarint(b, r.Modified.Unix())
			b = binary.AppendUvarint(b, uint64(r.Modified.Nanosecond()))
		}
		b = binary.AppendUvarint(b, uint64(len(r.Content)))
		if flags&flagZstd != 0 {
			b = binary.AppendUvarint(b, uint64(len(content)))
		}
		b = append(b, content...)
	}
	for len(b)%padTo != 0 {
		b = append(b, 0)
	}
	c.plain = b
}

// errForm says only that: the bytes are content.
var errForm = allod.Errorf(allod.Corrupt, "open a row: not well formed inside its seal")

// CheckLength is Corrupt for salt and ciphertext of a length that no row has.
func CheckLength(sealed []byte) error {
	if len(sealed) < keytree.SaltSize+padTo+overhead || (len(sealed)-keytree.SaltSize-overhead)%padTo != 0 {
		return allod.Errorf(allod.Corrupt, "open a row: it has a length no row has")
	}
	return nil
}

// Open opens salt and ciphertext. Content is valid until the next call.
// Corrupt if it does not open.
func (c *Codec) Open(p *Place, seed keytree.Seed, sealed []byte) (Row, error) {
	if err := CheckLength(sealed); err != nil {
		return Row{}, err
	}
	aead, err := newGCM(rowKey(seed, sealed[:keytree.SaltSize]))
	if err != nil {
		return Row{}, err
	}
	c.plain, err = aead.Open(c.plain[:0], zeroNonce[:], sealed[keytree.SaltSize:], p.ad(c.ad[:0]))
	if err != nil {
		return Row{}, allod.Errorf(allod.Corrupt, "open a row: it does not open under its key")
	}
	return c.decode(p.Op, c.plain)
}

func (c *Codec) decode(op uint8, b []byte) (Row, error) {
	var r Row
	flags := b[0]
	if flags&^(flagZstd|flagPair|flagModified) != 0 {
		return r, errForm
	}
	b = b[1:]
	copy(r.Key[:], b)
	b = b[16:] // a row has at least 32 bytes
	if flags&flagPair != 0 {
		if len(b) < 32 {
			return r, errForm
		}
		copy(r.Pair[0][:], b)
		copy(r.Pair[1][:], b[16:])
		b = b[32:]
	}
	if op == OpDelete {
		if len(b) < 1 || flags&^flagPair != 0 {
			return r, errForm
		}
		r.Reason = allod.DeleteReason(b[0])
		return r, padding(b[1:])
	}
	return r, c.decodePut(&r, flags, b)
}

func (c *Codec) decodePut(r *Row, flags byte, b []byte) error {
	ok := true
	uvarint := func() uint64 {
		n, w := binary.Uvarint(b)
		if w <= 0 || w > 1 && b[w-1] == 0 { // the shortest form only
			ok, b = false, nil
			return 0
		}
		b = b[w:]
		return n
	}
	r.Version = uvarint()
	if flags&flagModified != 0 {
		sec, nano := uvarint(), uvarint()
		if !ok || nano > 999_999_999 {
			return errForm
		}
		r.Modified = time.Unix(int64(sec>>1)^-int64(sec&1), int64(nano)).UTC() // zig-zag
	}
	length := uvarint()
	stored := length
	if flags&flagZstd != 0 {
		stored = uvarint()
	}
	if !ok || length > MaxContent || stored > uint64(len(b)) {
		return errForm
	}
	if err := padding(b[stored:]); err != nil {
		return err
	}
	r.Content = b[:stored]
	if flags&flagZstd != 0 {
		var err error
		c.small, err = c.dec.DecodeAll(r.Content, c.small[:0])
		if err != nil || uint64(len(c.small)) != length {
			return errForm
		}
		r.Content = c.small
	}
	return nil
}

func padding(b []byte) error {
	if len(b) >= padTo {
		return errForm
	}
	for _, c := range b {
		if c != 0 {
			return errForm
		}
	}
	return nil
}
