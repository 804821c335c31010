// Package pack writes and reads packs: sorted runs of sealed rows, small
// sealed files, schema and manifest of a capture, inside age (FORMAT.md §6).
// It cannot open a row: keys of records are not its business.
package pack

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"

	"allod"
)

// Sizes of format version 1, in bytes.
const (
	KeySize     = 29
	TagSize     = 16
	MetaSize    = 18
	HeaderSize  = 16
	TrailerSize = 388

	blockTarget = 16 << 10
	maxBlock    = 160 << 20 // one row of the largest size and change
	maxSection  = 1 << 30
	indexWidth  = KeySize + 8 + 4 + 16
	fileWidth   = 16 + 8 + 4
	filterBits  = 10 // per distinct tag
	filterHash  = 7
)

const (
	headerMagic  = "allodPK1"
	trailerMagic = "allodTR1"
	trailerEnd   = "allodEND"
)

// Key orders rows: table, tag, then the newest version first.
type Key [KeySize]byte

// MakeKey builds a key.
func MakeKey(table uint32, tag [TagSize]byte, capture uint64, generation uint8) Key {
	var k Key
	binary.BigEndian.PutUint32(k[:4], table)
	copy(k[4:20], tag[:])
	binary.BigEndian.PutUint64(k[20:28], ^capture)
	k[28] = ^generation
	return k
}

// FirstKey returns the lowest key of a table.
func FirstKey(table uint32) Key {
	var k Key
	binary.BigEndian.PutUint32(k[:4], table)
	return k
}

// Table returns the table number.
func (k *Key) Table() uint32 { return binary.BigEndian.Uint32(k[:4]) }

// Tag returns the record's tag.
func (k *Key) Tag() [TagSize]byte { return [TagSize]byte(k[4:20]) }

// Capture returns the capture number.
func (k *Key) Capture() uint64 { return ^binary.BigEndian.Uint64(k[20:28]) }

// Generation returns the generation.
func (k *Key) Generation() uint8 { return ^k[28] }

// SameRecord reports whether both keys are of one record.
func (k *Key) SameRecord(o *Key) bool { return [20]byte(k[:20]) == [20]byte(o[:20]) }

// Compare orders keys as bytes.
func (k *Key) Compare(o *Key) int { return bytes.Compare(k[:], o[:]) }

// Entry is one row version as it is stored. Sealed is salt and ciphertext.
type Entry struct {
	Key    Key
	Meta   [MetaSize]byte
	Sealed []byte
}

// Compare orders versions as they count: by table and tag, then the later capture
// first, the higher root of the key tree, the higher generation, the row under
// the tree's own key. Within a pack, whose rows of one capture of a record are
// of one root, that is the order of the keys.
func (e *Entry) Compare(o *Entry) int {
	return cmp.Or(
		bytes.Compare(e.Key[:28], o.Key[:28]),     // table, tag, capture
		bytes.Compare(o.Meta[2:10], e.Meta[2:10]), // root, as in seal.Meta
		bytes.Compare(e.Key[28:], o.Key[28:]), cmp.Compare(e.Meta[1], o.Meta[1]),
	)
}

// Flags of an entry in a block: what is as in the entry before.
const (
	sameTable   = 1
	sameCapture = 2
	sameMeta    = 4
)

// appendEntry appends e to a block; prev is nil for the first entry.
func appendEntry(b []byte, e, prev *Entry) []byte {
	flags := byte(0)
	if prev != nil {
		if [4]byte(e.Key[:4]) == [4]byte(prev.Key[:4]) {
			flags |= sameTable
		}
		if [9]byte(e.Key[20:]) == [9]byte(prev.Key[20:]) {
			flags |= sameCapture
		}
		if e.Meta == prev.Meta {
			flags |= sameMeta
		}
	}
	b = append(b, flags)
	if flags&sameTable == 0 {
		b = append(b, e.Key[:4]...)
	}
	b = append(b, e.Key[4:20]...)
	if flags&sameCapture == 0 {
		b = append(b, e.Key[20:]...)
	}
	if flags&sameMeta == 0 {
		b = append(b, e.Meta[:]...)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Sealed)))
	return append(b, e.Sealed...)
}

var errBlock = allod.Errorf(allod.Corrupt, "read a block of a pack: not well formed")

// nextEntry reads the entry at the beginning of b over e, which holds the entry
// before (first: none), and returns the rest. Sealed points into b.
func nextEntry(b []byte, e *Entry, first bool) ([]byte, error) {
	if len(b) < 1 {
		return nil, errBlock
	}
	flags := b[0]
	if flags&^(sameTable|sameCapture|sameMeta) != 0 || first && flags != 0 {
		return nil, errBlock
	}
	b = b[1:]
	need := TagSize
	if flags&sameTable == 0 {
		need += 4
	}
	if flags&sameCapture == 0 {
		need += 9
	}
	if flags&sameMeta == 0 {
		need += MetaSize
	}
	if len(b) < need {
		return nil, errBlock
	}
	before := e.Key
	take := func(into []byte) { b = b[copy(into, b):] }
	if flags&sameTable == 0 {
		take(e.Key[:4])
	}
	take(e.Key[4:20])
	if flags&sameCapture == 0 {
		take(e.Key[20:])
	}
	if flags&sameMeta == 0 {
		take(e.Meta[:])
	}
	n, w := binary.Uvarint(b)
	if w <= 0 || w > 1 && b[w-1] == 0 || n > uint64(len(b)-w) || !first && before.Compare(&e.Key) >= 0 {
		return nil, errBlock
	}
	e.Sealed = b[w : w+int(n)]
	return b[w+int(n):], nil
}

// section is a run of bytes named by the trailer.
type section struct {
	off, n uint64
	hash   [sha256.Size]byte
}

// The sections in their order.
const (
	secIndex = iota
	secFilter
	secFiles
	secSchema
	secManifest
	sections
)

// trailer is the fixed end of a pack.
type trailer struct {
	environment uint32
	rows        uint64
	first, last Key
	sections    [sections]section
}

func (t *trailer) encode() []byte {
	b := make([]byte, 0, TrailerSize)
	b = append(b, trailerMagic...)
	b = binary.BigEndian.AppendUint32(b, t.environment)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint64(b, t.rows)
	b = append(append(b, t.first[:]...), t.last[:]...)
	b = append(b, make([]byte, 6)...)
	for _, s := range t.sections {
		b = binary.BigEndian.AppendUint64(b, s.off)
		b = binary.BigEndian.AppendUint64(b, s.n)
		b = append(b, s.hash[:]...)
	}
	b = append(b, make([]byte, 52)...)
	return append(b, trailerEnd...)
}

// decodeTrailer reads the trailer of a pack of size plain bytes and checks that
// the sections follow each other up to it.
func decodeTrailer(b []byte, size int64) (*trailer, error) {
	bad := allod.Errorf(allod.Corrupt, "read the trailer of a pack: not well formed")
	if len(b) != TrailerSize || string(b[:8]) != trailerMagic || string(b[TrailerSize-8:]) != trailerEnd {
		return nil, bad
	}
	t := &trailer{environment: binary.BigEndian.Uint32(b[8:]), rows: binary.BigEndian.Uint64(b[16:])}
	copy(t.first[:], b[24:])
	copy(t.last[:], b[24+KeySize:])
	at := 88
	end := uint64(size - TrailerSize)
	for i := range t.sections {
		s := &t.sections[i]
		s.off, s.n = binary.BigEndian.Uint64(b[at:]), binary.BigEndian.Uint64(b[at+8:])
		copy(s.hash[:], b[at+16:])
		at += 48
		if s.n > maxSection || s.off > end || s.n > end-s.off || s.off < HeaderSize {
			return nil, bad
		}
		if i > 0 && s.off != t.sections[i-1].off+t.sections[i-1].n {
			return nil, bad
		}
	}
	if last := t.sections[secManifest]; last.off+last.n != end || !bytes.Equal(t.encode(), b) || t.first.Compare(&t.last) > 0 {
		return nil, bad
	}
	return t, nil
}

// filterAdd sets the bits of a tag in a filter of n bits.
func filterAdd(bits []byte, n uint64, tag []byte) {
	a, b := binary.BigEndian.Uint64(tag), binary.BigEndian.Uint64(tag[8:])|1
	for range filterHash {
		bit := a % n
		bits[bit/8] |= 1 << (bit % 8)
		a += b
	}
}

// filterHas reports whether all bits of a tag are set.
func filterHas(bits []byte, n uint64, tag []byte) bool {
	a, b := binary.BigEndian.Uint64(tag), binary.BigEndian.Uint64(tag[8:])|1
	for range filterHash {
		bit := a % n
		if bits[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
		a += b
	}
	return true
}
