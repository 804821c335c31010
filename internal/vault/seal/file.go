package seal

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"allod"
	"allod/internal/vault/keytree"
)

// FileHead is the plain head of a sealed file; all of it is authenticated.
type FileHead struct {
	Root        uint64
	KeyKind     uint8
	Environment uint32
	Table       uint32
	Tag         keytree.Tag
	Generation  uint8
	Salt        [keytree.SaltSize]byte
}

const (
	fileMagic    = "allodFL1"
	fileHeadSize = 64
	fileChunk    = 64 << 10
)

// FileOverhead returns how many bytes sealing adds to a file of n bytes.
func FileOverhead(n int64) int64 {
	chunks := (n + fileChunk - 1) / fileChunk
	return fileHeadSize + max(chunks, 1)*overhead
}

func (h *FileHead) encode() [fileHeadSize]byte {
	b := append([]byte(nil), fileMagic...)
	b = binary.BigEndian.AppendUint64(b, h.Root)
	b = append(b, h.KeyKind)
	b = binary.BigEndian.AppendUint32(b, h.Environment)
	b = binary.BigEndian.AppendUint32(b, h.Table)
	b = append(b, h.Tag[:]...)
	b = append(b, h.Generation, 0, 0, 0, 0, 0, 0)
	return [fileHeadSize]byte(append(b, h.Salt[:]...))
}

// ReadFileHead reads the head; Corrupt if it is none.
func ReadFileHead(r io.Reader) (FileHead, error) {
	var h FileHead
	var b [fileHeadSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return h, readError("read the head of a file", err)
	}
	h = FileHead{
		Root: binary.BigEndian.Uint64(b[8:]), KeyKind: b[16], Environment: binary.BigEndian.Uint32(b[17:]), Table: binary.BigEndian.Uint32(b[21:]),
		Tag: keytree.Tag(b[25:41]), Generation: b[41], Salt: [keytree.SaltSize]byte(b[48:]),
	}
	if h.encode() != b || h.KeyKind != KindTree {
		return FileHead{}, allod.Errorf(allod.Corrupt, "read the head of a file: not one of version 1")
	}
	return h, nil
}

// readError keeps the kind of an error of the layer below; a plain end of the
// data is Corrupt.
func readError(what string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // a wrapped EOF is a connection that broke, not the end
		return allod.Errorf(allod.Corrupt, "%s: it ends too early", what)
	}
	return allod.Errorf(allod.KindOf(err), "%s: %w", what, err)
}

func fileKey(seed keytree.Seed, salt []byte) [32]byte {
	var in [13 + keytree.SeedSize + keytree.SaltSize]byte
	copy(in[:13], "allod file v1")
	copy(in[13:], seed[:])
	copy(in[13+keytree.SeedSize:], salt)
	return sha256.Sum256(in[:])
}

type chunks struct {
	aead  cipher.AEAD
	ad    []byte
	index uint64
}

func newChunks(vault allod.GUID, h *FileHead, seed keytree.Seed) (*chunks, error) {
	aead, err := newGCM(fileKey(seed, h.Salt[:]))
	if err != nil {
		return nil, err
	}
	head := h.encode()
	ad := binary.BigEndian.AppendUint16(nil, formatVersion)
	return &chunks{aead: aead, ad: append(append(ad, vault[:]...), head[:]...)}, nil
}

func (c *chunks) nonce(final bool) []byte {
	var n [12]byte
	binary.BigEndian.PutUint64(n[3:], c.index)
	if final {
		n[11] = 1
	}
	c.index++
	return n[:]
}

// FileWriter seals what is written to it. Close writes the final chunk; a
// file without it does not open.
type FileWriter struct {
	c   *chunks
	w   io.Writer
	buf []byte
	out []byte
}

// NewFileWriter writes the head to w and returns the writer for the plain bytes.
func NewFileWriter(w io.Writer, vault allod.GUID, h FileHead, seed keytree.Seed) (*FileWriter, error) {
	c, err := newChunks(vault, &h, seed)
	if err != nil {
		return nil, err
	}
	head := h.encode()
	if _, err := w.Write(head[:]); err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "write a sealed file: %w", err)
	}
	return &FileWriter{c: c, w: w, buf: make([]byte, 0, fileChunk)}, nil
}

// Write implements io.Writer.
func (f *FileWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if len(f.buf) == fileChunk {
			if err := f.flush(false); err != nil {
				return total - len(p), err
			}
		}
		n := copy(f.buf[len(f.buf):fileChunk], p)
		f.buf = f.buf[:len(f.buf)+n]
		p = p[n:]
	}
	return total, nil
}

func (f *FileWriter) flush(final bool) error {
	f.out = f.c.aead.Seal(f.out[:0], f.c.nonce(final), f.buf, f.c.ad)
	f.buf = f.buf[:0]
	if _, err := f.w.Write(f.out); err != nil {
		return allod.Errorf(allod.KindOf(err), "write a sealed file: %w", err)
	}
	return nil
}

// Close writes the final chunk. It does not close the writer below.
func (f *FileWriter) Close() error { return f.flush(true) }

// FileReader opens a sealed file. Every chunk is verified before a byte of it
// is given out; EOF only after the final one.
type FileReader struct {
	c    *chunks
	r    io.Reader
	in   []byte // one chunk and one byte, to see the end
	have int
	out  []byte
	done bool
	err  error
}

// NewFileReader reads behind the head.
func NewFileReader(r io.Reader, vault allod.GUID, h FileHead, seed keytree.Seed) (*FileReader, error) {
	c, err := newChunks(vault, &h, seed)
	if err != nil {
		return nil, err
	}
	return &FileReader{c: c, r: r, in: make([]byte, fileChunk+overhead+1)}, nil
}

// Read implements io.Reader; errors are Corrupt or those of the reader below.
func (f *FileReader) Read(p []byte) (int, error) {
	for len(f.out) == 0 && f.err == nil {
		f.err = f.next()
	}
	if len(f.out) > 0 {
		n := copy(p, f.out)
		f.out = f.out[n:]
		return n, nil
	}
	return 0, f.err
}

func (f *FileReader) next() error {
	if f.done {
		return io.EOF
	}
	n, err := io.ReadFull(f.r, f.in[f.have:])
	n += f.have
	switch err {
	case nil: // there is more: this chunk is not the final one
		n--
	case io.EOF, io.ErrUnexpectedEOF: //nolint:errorlint // a wrapped EOF is a connection that broke, not the end
		f.done = true
	default:
		return allod.Errorf(allod.KindOf(err), "read a sealed file: %w", err)
	}
	last := f.in[len(f.in)-1]
	if n < overhead || f.done && n == overhead && f.c.index > 0 {
		return allod.Errorf(allod.Corrupt, "read a sealed file: it ends too early")
	}
	f.out, err = f.c.aead.Open(f.in[:0], f.c.nonce(f.done), f.in[:n], f.c.ad)
	if err != nil {
		f.out = nil
		return allod.Errorf(allod.Corrupt, "read a sealed file: a chunk does not open under its key")
	}
	if !f.done {
		// The byte read ahead begins the next chunk. f.out lies in f.in, so
		// it is moved out first.
		f.out = append([]byte(nil), f.out...)
		f.in[0], f.have = last, 1
	}
	return nil
}
