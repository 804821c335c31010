package store

import (
	"encoding/binary"
	"io"

	"allod"
)

// Blob is the content of a file or image column. It is immutable.
type Blob struct {
	Name string
	MIME string
	Size int64 // bytes

	data []byte
	seed uint64 // content is made from the seed when data is nil
}

// NewBlob keeps data, which the caller must not change afterwards.
func NewBlob(name, mime string, data []byte) *Blob {
	if data == nil {
		data = []byte{}
	}
	return &Blob{Name: name, MIME: mime, Size: int64(len(data)), data: data}
}

// MadeBlob has size bytes that follow from the seed and take no memory.
func MadeBlob(name, mime string, size int64, seed uint64) *Blob {
	return &Blob{Name: name, MIME: mime, Size: size, seed: seed}
}

// ReadAt reads from the content; it is io.ReaderAt.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= b.Size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), b.Size-off))
	if b.data != nil {
		copy(p, b.data[off:off+int64(n)])
	} else {
		b.make(p[:n], off)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// make writes the bytes at off: 8-byte words of splitmix64 over the position.
func (b *Blob) make(p []byte, off int64) {
	var word [8]byte
	for i := 0; i < len(p); {
		at := off + int64(i)
		x := b.seed + uint64(at/8)*0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(word[:], x^x>>31)
		i += copy(p[i:], word[at%8:])
	}
}

// Blob returns the content with the id, or nil.
func (tx *Tx) Blob(id allod.GUID) *Blob { return tx.s.blobs[id] }

// PutBlob keeps the content under the id.
func (tx *Tx) PutBlob(id allod.GUID, b *Blob) {
	tx.undo = append(tx.undo, undo{key: id, blob: true, was: tx.s.blobs[id]})
	tx.s.blobs[id] = b
}

// DeleteBlob forgets the content.
func (tx *Tx) DeleteBlob(id allod.GUID) {
	if was := tx.s.blobs[id]; was != nil {
		tx.undo = append(tx.undo, undo{key: id, blob: true, was: was})
		delete(tx.s.blobs, id)
	}
}

// InsertBlob is PutBlob for bulk loading, outside of any transaction.
func (s *Store) InsertBlob(id allod.GUID, b *Blob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[id] = b
}
