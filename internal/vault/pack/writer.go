package pack

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	"filippo.io/age"

	"allod"
)

// ParseRecipients reads age recipients (age1pq1… or age1…). None is Invalid.
func ParseRecipients(texts []string) ([]age.Recipient, error) {
	var out []age.Recipient
	for _, t := range texts {
		if r, err := age.ParseHybridRecipient(t); err == nil {
			out = append(out, r)
			continue
		}
		r, err := age.ParseX25519Recipient(t)
		if err != nil {
			return nil, allod.Errorf(allod.Invalid, "read recipient %q: %w", t, err)
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, allod.Errorf(allod.Invalid, "a vault needs at least one recipient")
	}
	return out, nil
}

// ParseIdentity reads an age identity (AGE-SECRET-KEY-PQ-1… or AGE-SECRET-KEY-1…).
func ParseIdentity(text string) (age.Identity, error) {
	if id, err := age.ParseHybridIdentity(text); err == nil {
		return id, nil
	}
	id, err := age.ParseX25519Identity(text)
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "read the identity: not an age identity")
	}
	return id, nil
}

// HashWriter counts and hashes what passes through to W.
type HashWriter struct {
	W    io.Writer
	hash hash.Hash
	n    int64
}

// NewHashWriter returns a HashWriter before w.
func NewHashWriter(w io.Writer) *HashWriter { return &HashWriter{W: w, hash: sha256.New()} }

// Write implements io.Writer.
func (h *HashWriter) Write(p []byte) (int, error) {
	n, err := h.W.Write(p)
	_, _ = h.hash.Write(p[:n]) // a hash does not fail
	h.n += int64(n)
	return n, err
}

// Sum returns the SHA-256 and the number of bytes so far.
func (h *HashWriter) Sum() ([sha256.Size]byte, int64) { return [sha256.Size]byte(h.hash.Sum(nil)), h.n }

// Result describes a finished pack.
type Result struct {
	Digest  [sha256.Size]byte // of the object: its name
	Size    int64             // of the object
	Trailer [sha256.Size]byte // of the plain trailer
	Rows    int64
}

// Writer writes one pack: rows in key order, then blobs in order of id, then
// Finish. It is used by one goroutine and keeps tags and index in memory.
type Writer struct {
	out   *HashWriter
	age   io.WriteCloser
	off   uint64
	t     trailer
	block []byte
	prev  Entry
	begun bool // the block has an entry
	index []byte
	tags  []byte
	files []byte
	blobs bool
}

// NewWriter begins a pack of an environment on w.
func NewWriter(w io.Writer, recipients []age.Recipient, environment uint32) (*Writer, error) {
	out := NewHashWriter(w)
	enc, err := age.Encrypt(out, recipients...)
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "begin a pack: %w", err)
	}
	p := &Writer{out: out, age: enc, t: trailer{environment: environment}}
	head := binary.BigEndian.AppendUint32([]byte(headerMagic), environment)
	return p, p.write(binary.BigEndian.AppendUint32(head, 0))
}

func (p *Writer) write(b []byte) error {
	if _, err := p.age.Write(b); err != nil {
		return allod.Errorf(allod.KindOf(err), "write a pack: %w", err)
	}
	p.off += uint64(len(b))
	return nil
}

// Size returns the plain bytes so far.
func (p *Writer) Size() int64 { return int64(p.off) + int64(len(p.block)) }

// Add appends a row version; keys must rise. Sealed is copied.
func (p *Writer) Add(e *Entry) error {
	if p.blobs || p.t.rows > 0 && p.prev.Key.Compare(&e.Key) >= 0 {
		return allod.Errorf(allod.Internal, "write a pack: rows out of order")
	}
	prev := &p.prev
	if !p.begun {
		prev = nil
		p.index = append(p.index, e.Key[:]...)
	}
	p.block = appendEntry(p.block, e, prev)
	p.begun = true
	if p.t.rows == 0 {
		p.t.first = e.Key
	}
	if p.t.rows == 0 || !p.prev.Key.SameRecord(&e.Key) {
		p.tags = append(p.tags, e.Key[4:20]...)
	}
	p.t.last, p.prev.Key, p.prev.Meta = e.Key, e.Key, e.Meta
	p.t.rows++
	if len(p.block) >= blockTarget {
		return p.flush()
	}
	return nil
}

func (p *Writer) flush() error {
	if !p.begun {
		return nil
	}
	sum := sha256.Sum256(p.block)
	p.index = binary.BigEndian.AppendUint64(p.index, p.off)
	p.index = binary.BigEndian.AppendUint32(p.index, uint32(len(p.block)))
	p.index = append(p.index, sum[:16]...)
	err := p.write(p.block)
	p.block, p.begun = p.block[:0], false
	return err
}

// AddBlob appends n bytes of r as a small file; ids must rise.
func (p *Writer) AddBlob(id [16]byte, r io.Reader, n int64) error {
	if err := p.flush(); err != nil {
		return err
	}
	if n > 1<<30 || len(p.files) > 0 && string(p.files[len(p.files)-fileWidth:][:16]) >= string(id[:]) {
		return allod.Errorf(allod.Internal, "write a pack: files out of order or too large")
	}
	p.blobs = true
	p.files = append(p.files, id[:]...)
	p.files = binary.BigEndian.AppendUint64(p.files, p.off)
	p.files = binary.BigEndian.AppendUint32(p.files, uint32(n))
	got, err := io.Copy(p.age, io.LimitReader(r, n))
	if err == nil && got != n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return allod.Errorf(allod.KindOf(err), "write a pack: copy a file into it: %w", err)
	}
	p.off += uint64(n)
	return nil
}

// Finish writes the rest and the end of the age layer. It does not close the
// writer below.
func (p *Writer) Finish(schema, manifest []byte) (Result, error) {
	if err := p.flush(); err != nil {
		return Result{}, err
	}
	for i, b := range [sections][]byte{p.index, p.filter(), p.files, schema, manifest} {
		p.t.sections[i] = section{off: p.off, n: uint64(len(b)), hash: sha256.Sum256(b)}
		if err := p.write(b); err != nil {
			return Result{}, err
		}
	}
	end := p.t.encode()
	if err := p.write(end); err != nil {
		return Result{}, err
	}
	if err := p.age.Close(); err != nil {
		return Result{}, allod.Errorf(allod.KindOf(err), "end a pack: %w", err)
	}
	r := Result{Trailer: sha256.Sum256(end), Rows: int64(p.t.rows)}
	r.Digest, r.Size = p.out.Sum()
	return r, nil
}

func (p *Writer) filter() []byte {
	if len(p.tags) == 0 {
		return nil
	}
	n := (uint64(len(p.tags)/TagSize)*filterBits + 63) / 64 * 64
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+n/8), n)
	b = b[:8+n/8]
	for i := 0; i < len(p.tags); i += TagSize {
		filterAdd(b[8:], n, p.tags[i:i+TagSize])
	}
	return b
}
