// Package stage is the way of rows and files into the vault: what a run has put
// waits on disk, encrypted, until its commit seals it into packs. Nothing here
// is visible to a reader before the log entry names it.
package stage

import (
	"encoding/binary"
	"time"

	"allod"
	"allod/internal/vault/keytree"
	"allod/internal/vault/seal"
	"allod/internal/vault/spill"
)

// AppendRow and ReadRow are the form of a row between Put and Commit: its
// operation (seal.OpPut, seal.OpDelete) and what will be sealed. It lies
// encrypted on disk and is read by the process that wrote it.
func AppendRow(b []byte, op uint8, r *seal.Row) []byte {
	b = append(b, op, byte(r.Reason))
	b = append(b, r.Key[:]...)
	b = append(append(b, r.Pair[0][:]...), r.Pair[1][:]...)
	b = binary.BigEndian.AppendUint64(b, r.Version)
	known := byte(0)
	if !r.Modified.IsZero() {
		known = 1
	}
	b = append(b, known)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Modified.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(r.Modified.Nanosecond()))
	return append(b, r.Content...)
}

const rowHead = 2 + 16 + 32 + 8 + 1 + 8 + 4

// ReadRow reads what AppendRow wrote; the row's content is a part of b.
func ReadRow(b []byte) (op uint8, r seal.Row, err error) {
	if len(b) < rowHead {
		return 0, r, allod.Errorf(allod.Corrupt, "read a temporary file: a record is too short")
	}
	op, r.Reason = b[0], allod.DeleteReason(b[1])
	copy(r.Key[:], b[2:])
	copy(r.Pair[0][:], b[18:])
	copy(r.Pair[1][:], b[34:])
	r.Version = binary.BigEndian.Uint64(b[50:])
	if b[58] == 1 {
		r.Modified = time.Unix(int64(binary.BigEndian.Uint64(b[59:])), int64(binary.BigEndian.Uint32(b[67:]))).UTC()
	}
	r.Content = b[rowHead:]
	return op, r, nil
}

// SortKey orders rows by tag, and those of one tag by n.
func SortKey(tag keytree.Tag, n uint64) spill.Key {
	var k spill.Key
	copy(k[:], tag[:])
	binary.BigEndian.PutUint64(k[keytree.TagSize:], n)
	return k
}

// TagOf returns the tag of a sort key.
func TagOf(k *spill.Key) keytree.Tag { return keytree.Tag(k[:keytree.TagSize]) }
