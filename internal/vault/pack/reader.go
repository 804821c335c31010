package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"sort"

	"filippo.io/age"

	"allod"
)

// Reader reads an open pack at random. Its methods may be called from several
// goroutines. Every byte it gives out was checked against the trailer's hash.
type Reader struct {
	src    io.ReaderAt
	t      trailer
	index  []byte
	filter []byte // without the leading count
	bits   uint64
	files  []byte
	cache  *Cache
}

// ErrNoKey is wrapped when no identity opens the pack.
var ErrNoKey = allod.Errorf(allod.Denied, "no identity opens it")

// Open opens a pack object of size bytes whose trailer has the given hash.
// cache may be nil. Errors: Corrupt; those of src; ErrNoKey.
func Open(src io.ReaderAt, size int64, identity age.Identity, trailerHash [sha256.Size]byte, cache *Cache) (*Reader, error) {
	keep := &keepError{src: src}
	plain, n, err := age.DecryptReaderAt(keep, size, identity)
	if err != nil {
		return nil, keep.kind("open a pack", err)
	}
	return open(plainReader{plain, keep}, n, trailerHash, cache)
}

// Decrypt opens an age object of size bytes that is no pack: a file.
func Decrypt(src io.Reader, identity age.Identity) (io.Reader, error) {
	keep := &keepError{stream: src}
	r, err := age.Decrypt(keep, identity)
	if err != nil {
		return nil, keep.kind("open a file", err)
	}
	return plainStream{r, keep}, nil
}

// keepError remembers an error of the storage below age, which would otherwise
// look like damage.
type keepError struct {
	src    io.ReaderAt
	stream io.Reader
	err    error
}

func (k *keepError) ReadAt(p []byte, off int64) (int, error) {
	n, err := k.src.ReadAt(p, off)
	if err != nil && err != io.EOF {
		return n, &storeError{err}
	}
	return n, err
}

func (k *keepError) Read(p []byte) (int, error) {
	n, err := k.stream.Read(p)
	if err != nil && err != io.EOF {
		k.err = err
	}
	return n, err
}

// storeError marks an error of the storage on its way through age. It hides what
// it wraps: age takes a wrapped io.EOF for the end.
type storeError struct{ err error }

func (s *storeError) Error() string { return s.err.Error() }

func (k *keepError) kind(what string, err error) error {
	var s *storeError
	if errors.As(err, &s) {
		return allod.Errorf(allod.KindOf(s.err), "%s: %w", what, s.err)
	}
	if k.err != nil {
		return allod.Errorf(allod.KindOf(k.err), "%s: %w", what, k.err)
	}
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		// A damaged header looks the same as a wrong identity; the vault's
		// own recipients are pinned, so damage is the likelier reason.
		return &allod.Error{Kind: allod.Corrupt, Err: errors.Join(allod.Errorf(allod.Corrupt, "%s: its header does not open", what), ErrNoKey)}
	}
	return allod.Errorf(allod.Corrupt, "%s: %w", what, err)
}

type plainReader struct {
	io.ReaderAt
	keep *keepError
}

func (p plainReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.ReaderAt.ReadAt(b, off)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped EOF is a connection that broke, not the end
		err = p.keep.kind("read a pack", err)
	}
	return n, err
}

type plainStream struct {
	io.Reader
	keep *keepError
}

func (p plainStream) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped EOF is a connection that broke, not the end
		err = p.keep.kind("read a file", err)
	}
	return n, err
}

// open reads the plain bytes of a pack.
func open(src io.ReaderAt, size int64, trailerHash [sha256.Size]byte, cache *Cache) (*Reader, error) {
	if size < HeaderSize+TrailerSize {
		return nil, allod.Errorf(allod.Corrupt, "open a pack: %d bytes are too few", size)
	}
	r := &Reader{src: src, cache: cache}
	end, err := r.read(size-TrailerSize, TrailerSize)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(end) != trailerHash {
		return nil, allod.Errorf(allod.Corrupt, "open a pack: its trailer is not the one in the log")
	}
	t, err := decodeTrailer(end, size)
	if err != nil {
		return nil, err
	}
	r.t = *t
	head, err := r.read(0, HeaderSize)
	if err != nil {
		return nil, err
	}
	want := binary.BigEndian.AppendUint32([]byte(headerMagic), t.environment)
	if want = binary.BigEndian.AppendUint32(want, 0); !bytes.Equal(head, want) {
		return nil, allod.Errorf(allod.Corrupt, "open a pack: not a pack of version 1")
	}
	return r, r.load()
}

// load reads index, filter and file list.
func (r *Reader) load() error {
	var err error
	if r.index, err = r.section(secIndex); err != nil {
		return err
	}
	if r.filter, err = r.section(secFilter); err != nil {
		return err
	}
	if r.files, err = r.section(secFiles); err != nil {
		return err
	}
	bad := allod.Errorf(allod.Corrupt, "open a pack: its index is not well formed")
	if len(r.index)%indexWidth != 0 || len(r.files)%fileWidth != 0 || (len(r.index) == 0) != (r.t.rows == 0) {
		return bad
	}
	if len(r.filter) > 0 {
		if len(r.filter) < 16 {
			return bad
		}
		r.bits = binary.BigEndian.Uint64(r.filter)
		r.filter = r.filter[8:]
		if r.bits == 0 || r.bits%64 != 0 || r.bits/8 != uint64(len(r.filter)) {
			return bad
		}
	}
	at := uint64(HeaderSize)
	for i := range r.blocks() {
		b := r.blockAt(i)
		if b.off != at || b.n == 0 || b.n > maxBlock || i > 0 && bytes.Compare(r.firstKey(i-1), r.firstKey(i)) >= 0 {
			return bad
		}
		at += uint64(b.n)
	}
	for i := range len(r.files) / fileWidth {
		off, n := r.fileAt(i)
		if off != at || i > 0 && bytes.Compare(r.files[(i-1)*fileWidth:][:16], r.files[i*fileWidth:][:16]) >= 0 {
			return bad
		}
		at += uint64(n)
	}
	if at != r.t.sections[secIndex].off {
		return bad
	}
	return nil
}

func (r *Reader) read(off, n int64) ([]byte, error) {
	b := make([]byte, n)
	return b, r.readInto(b, off)
}

func (r *Reader) readInto(b []byte, off int64) error {
	if len(b) == 0 {
		return nil
	}
	n, err := r.src.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		return allod.Errorf(allod.Corrupt, "read a pack: it ends too early")
	}
	return allod.Errorf(allod.KindOf(err), "read a pack: %w", err)
}

func (r *Reader) section(i int) ([]byte, error) {
	s := r.t.sections[i]
	b, err := r.read(int64(s.off), int64(s.n))
	if err == nil && sha256.Sum256(b) != s.hash {
		err = allod.Errorf(allod.Corrupt, "read a pack: a section is not the one the trailer names")
	}
	return b, err
}

// Rows returns how many row versions it has.
func (r *Reader) Rows() int64 { return int64(r.t.rows) }

// Environment returns the environment number.
func (r *Reader) Environment() uint32 { return r.t.environment }

// Bounds returns the first and last key; both zero when there are no rows.
func (r *Reader) Bounds() (first, last Key) { return r.t.first, r.t.last }

// Memory returns the bytes that the open pack keeps in memory.
func (r *Reader) Memory() int64 { return int64(len(r.index)+len(r.filter)+len(r.files)) + 1024 }

// Schema returns the schema section, empty if there is none.
func (r *Reader) Schema() ([]byte, error) { return r.section(secSchema) }

// Manifest returns the manifest section, empty if there is none.
func (r *Reader) Manifest() ([]byte, error) { return r.section(secManifest) }

// MayContain reports whether the record may have rows here; false is certain.
func (r *Reader) MayContain(table uint32, tag [TagSize]byte) bool {
	if r.bits == 0 || r.t.first.Table() > table || r.t.last.Table() < table {
		return false
	}
	return filterHas(r.filter, r.bits, tag[:])
}

func (r *Reader) fileAt(i int) (uint64, uint32) {
	b := r.files[i*fileWidth+16:]
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
}

// Files returns the ids of the small files.
func (r *Reader) Files() [][16]byte {
	var ids [][16]byte
	for i := 0; i < len(r.files); i += fileWidth {
		ids = append(ids, [16]byte(r.files[i:]))
	}
	return ids
}

// Blob returns the sealed bytes of a small file; NotFound if it is not here.
func (r *Reader) Blob(id [16]byte) (*io.SectionReader, error) {
	n := len(r.files) / fileWidth
	i := sort.Search(n, func(i int) bool { return bytes.Compare(r.files[i*fileWidth:][:16], id[:]) >= 0 })
	if i == n || [16]byte(r.files[i*fileWidth:]) != id {
		return nil, allod.Errorf(allod.NotFound, "read a file from a pack: it is not there")
	}
	off, size := r.fileAt(i)
	return io.NewSectionReader(r.src, int64(off), int64(size)), nil
}

type blockRef struct {
	off  uint64
	n    uint32
	hash [16]byte
}

func (r *Reader) blocks() int           { return len(r.index) / indexWidth }
func (r *Reader) firstKey(i int) []byte { return r.index[i*indexWidth:][:KeySize] }

func (r *Reader) blockAt(i int) blockRef {
	b := r.index[i*indexWidth+KeySize:]
	return blockRef{off: binary.BigEndian.Uint64(b), n: binary.BigEndian.Uint32(b[8:]), hash: [16]byte(b[12:28])}
}

// blockOf returns the last block whose first key is not above k, or 0.
func (r *Reader) blockOf(k *Key) int {
	i := sort.Search(r.blocks(), func(i int) bool { return bytes.Compare(r.firstKey(i), k[:]) > 0 })
	return max(i-1, 0)
}

// span reads blocks from i on, as many as fit into max bytes but at least one,
// into buf, and checks each.
func (r *Reader) span(buf []byte, i, max int) ([]byte, int, error) {
	first := r.blockAt(i)
	total, count := int(first.n), 1
	for i+count < r.blocks() {
		n := int(r.blockAt(i + count).n)
		if total+n > max {
			break
		}
		total, count = total+n, count+1
	}
	if cap(buf) < total {
		buf = make([]byte, total)
	}
	buf = buf[:total]
	if err := r.readInto(buf, int64(first.off)); err != nil {
		return buf, 0, err
	}
	at := 0
	for j := i; j < i+count; j++ {
		b := r.blockAt(j)
		sum := sha256.Sum256(buf[at : at+int(b.n)])
		if [16]byte(sum[:16]) != b.hash {
			return buf, 0, allod.Errorf(allod.Corrupt, "read a pack: a block is not the one the index names")
		}
		at += int(b.n)
	}
	return buf, count, nil
}

// HasBlob reports whether the pack holds the small file.
func (r *Reader) HasBlob(id [16]byte) bool {
	_, err := r.Blob(id)
	return err == nil
}
