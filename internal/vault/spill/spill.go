// Package spill sorts more records than fit into memory. What it writes to
// disk is encrypted under keys that live in memory only, so that a crash
// leaves nothing readable behind; the files have no names where the system
// allows that, and are let go by Close.
package spill

import (
	"bufio"
	"bytes"
	"container/heap"
	"crypto/rand"
	"encoding/binary"
	"io"
	"slices"

	"allod"
	"allod/internal/durable"
	"allod/internal/vault/keytree"
	"allod/internal/vault/seal"
)

// KeySize is the width of keys.
const KeySize = 24

// Key orders records as bytes.
type Key [KeySize]byte

const (
	fanIn     = 32      // runs merged at once
	maxRecord = 1 << 30 // a longer one on disk is damage
)

// Queue keeps records on disk in the order in which they were added. It is
// used by one goroutine; several may read at once after End.
type Queue struct {
	f    *durable.Scratch
	w    *bufio.Writer
	enc  *seal.FileWriter
	seed keytree.Seed
	head seal.FileHead
	n    int64
	tmp  []byte
}

// NewQueue makes an empty queue in dir.
func NewQueue(dir string) (*Queue, error) {
	f, err := durable.NewScratch(dir, "allod-spill-*")
	if err != nil {
		return nil, diskError("make a temporary file", err)
	}
	q := &Queue{f: f, w: bufio.NewWriterSize(f, 128<<10)}
	if _, err := rand.Read(q.seed[:]); err != nil {
		return nil, allod.Errorf(allod.Internal, "make a temporary file: %w", err)
	}
	q.enc, err = seal.NewFileWriter(q.w, allod.GUID{}, q.head, q.seed)
	return q, err
}

func diskError(what string, err error) error {
	return allod.WithHint(allod.Errorf(allod.Unavailable, "%s: %w", what, err), "Make room on the disk of the temporary folder, or name another one.")
}

// Add appends a record.
func (q *Queue) Add(k Key, value []byte) error {
	q.tmp = binary.AppendUvarint(append(q.tmp[:0], k[:]...), uint64(len(value)))
	_, err := q.enc.Write(q.tmp)
	if err == nil {
		_, err = q.enc.Write(value)
	}
	if err != nil {
		return diskError("write a temporary file", err)
	}
	q.n++
	return nil
}

// Len returns the number of records.
func (q *Queue) Len() int64 { return q.n }

// End ends writing.
func (q *Queue) End() error {
	err := q.enc.Close()
	if err == nil {
		err = q.w.Flush()
	}
	q.enc, q.w = nil, nil
	if err != nil {
		return diskError("write a temporary file", err)
	}
	return nil
}

// Read returns a reader from the first record on.
func (q *Queue) Read() (*Reader, error) {
	src := io.NewSectionReader(q.f, 0, 1<<62)
	head, err := seal.ReadFileHead(src)
	if err != nil {
		return nil, err
	}
	dec, err := seal.NewFileReader(src, allod.GUID{}, head, q.seed)
	if err != nil {
		return nil, err
	}
	return &Reader{r: bufio.NewReaderSize(dec, 32<<10)}, nil
}

// Close removes the file.
func (q *Queue) Close() error {
	if q == nil || q.f == nil {
		return nil
	}
	err := q.f.Close()
	q.f = nil
	return err
}

// Reader yields the records of a queue.
type Reader struct {
	r     *bufio.Reader
	key   Key
	value []byte
	err   error
}

// Next moves to the next record; false at the end or on an error.
func (r *Reader) Next() bool {
	if r.err != nil {
		return false
	}
	if _, err := io.ReadFull(r.r, r.key[:]); err != nil {
		if err != io.EOF {
			r.err = allod.Errorf(allod.KindOf(err), "read a temporary file: %w", err)
		}
		return false
	}
	n, err := binary.ReadUvarint(r.r)
	if err == nil && n > maxRecord {
		err = allod.Errorf(allod.Corrupt, "a record too long")
	}
	if err == nil {
		r.value = slices.Grow(r.value[:0], int(n))[:n]
		_, err = io.ReadFull(r.r, r.value)
	}
	if err != nil {
		r.err = allod.Errorf(allod.KindOf(err), "read a temporary file: %w", err)
	}
	return err == nil
}

// Key returns the key of the record.
func (r *Reader) Key() *Key { return &r.key }

// Value returns the value, valid until the next Next.
func (r *Reader) Value() []byte { return r.value }

// Err returns the error that ended the reading.
func (r *Reader) Err() error { return r.err }

// Sorter sorts records by key. Memory is bounded by its limit and about
// 200 KiB per run, of which it keeps at most 32 per level.
type Sorter struct {
	dir   string
	limit int
	arena []byte
	refs  []ref
	runs  [][]*Queue // by level
	n     int64
}

type ref struct {
	key Key
	off int
	n   int
}

// NewSorter returns a Sorter that keeps up to limit bytes in memory and the
// rest in dir.
func NewSorter(dir string, limit int) *Sorter { return &Sorter{dir: dir, limit: limit} }

// Len returns how many records were added.
func (s *Sorter) Len() int64 { return s.n }

// Add adds a record; both are copied. Keys must differ.
func (s *Sorter) Add(k Key, value []byte) error {
	if len(s.refs) > 0 && len(s.arena)+len(value)+(len(s.refs)+1)*(KeySize+16) > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	if s.arena == nil {
		s.arena = make([]byte, 0, min(s.limit, 64<<10))
	}
	s.refs = append(s.refs, ref{key: k, off: len(s.arena), n: len(value)})
	s.arena = append(s.arena, value...)
	s.n++
	return nil
}

func (s *Sorter) sort() {
	slices.SortFunc(s.refs, func(a, b ref) int { return bytes.Compare(a.key[:], b.key[:]) })
}

func (s *Sorter) spill() error {
	s.sort()
	q, err := NewQueue(s.dir)
	if err != nil {
		return err
	}
	s.keep(0, q)
	for _, r := range s.refs {
		if err := q.Add(r.key, s.arena[r.off:r.off+r.n]); err != nil {
			return err
		}
	}
	s.refs, s.arena = s.refs[:0], s.arena[:0]
	if err := q.End(); err != nil {
		return err
	}
	return s.compact()
}

func (s *Sorter) keep(level int, q *Queue) {
	for len(s.runs) <= level {
		s.runs = append(s.runs, nil)
	}
	s.runs[level] = append(s.runs[level], q)
}

// compact merges a full level into one run of the next.
func (s *Sorter) compact() error {
	for level := 0; level < len(s.runs); level++ {
		if len(s.runs[level]) < fanIn {
			continue
		}
		it, err := merge(s.runs[level], nil)
		if err != nil {
			return err
		}
		q, err := NewQueue(s.dir)
		if err != nil {
			return err
		}
		s.keep(level+1, q)
		for it.Next() {
			if err := q.Add(*it.Key(), it.Value()); err != nil {
				return err
			}
		}
		if it.Err() != nil {
			return it.Err()
		}
		if err := q.End(); err != nil {
			return err
		}
		for _, old := range s.runs[level] {
			if err := old.Close(); err != nil {
				return diskError("remove a temporary file", err)
			}
		}
		s.runs[level] = nil
	}
	return nil
}

// Sorted yields everything in order. Nothing may be added afterwards.
func (s *Sorter) Sorted() (*Sorted, error) {
	s.sort()
	var all []*Queue
	for _, level := range s.runs {
		all = append(all, level...)
	}
	return merge(all, &memory{s: s, at: -1})
}

// Close removes what is on disk and forgets what is in memory.
func (s *Sorter) Close() error {
	var err error
	for _, level := range s.runs {
		for _, q := range level {
			if e := q.Close(); err == nil {
				err = e
			}
		}
	}
	s.runs, s.refs, s.arena = nil, nil, nil
	return err
}

type stream interface {
	Next() bool
	Key() *Key
	Value() []byte
	Err() error
}

// memory is the stream of what was not spilled.
type memory struct {
	s  *Sorter
	at int
}

func (m *memory) Next() bool { m.at++; return m.at < len(m.s.refs) }
func (m *memory) Key() *Key  { return &m.s.refs[m.at].key }
func (m *memory) Value() []byte {
	r := m.s.refs[m.at]
	return m.s.arena[r.off : r.off+r.n]
}
func (m *memory) Err() error { return nil }

// Sorted yields merged runs.
type Sorted struct {
	h     streams
	begun bool
	err   error
}

func merge(runs []*Queue, rest stream) (*Sorted, error) {
	m := &Sorted{}
	if rest != nil && rest.Next() {
		m.h = append(m.h, rest)
	}
	for _, q := range runs {
		r, err := q.Read()
		if err != nil {
			return nil, err
		}
		if r.Next() {
			m.h = append(m.h, r)
		} else if r.Err() != nil {
			return nil, r.Err()
		}
	}
	heap.Init(&m.h)
	return m, nil
}

// Next moves to the next record; false at the end or on an error.
func (m *Sorted) Next() bool {
	if m.err != nil || len(m.h) == 0 {
		return false
	}
	if !m.begun {
		m.begun = true
		return true
	}
	if m.h[0].Next() {
		heap.Fix(&m.h, 0)
		return true
	}
	if m.err = m.h[0].Err(); m.err != nil {
		return false
	}
	heap.Pop(&m.h)
	return len(m.h) > 0
}

// Key returns the key of the record.
func (m *Sorted) Key() *Key { return m.h[0].Key() }

// Value returns the value, valid until the next Next.
func (m *Sorted) Value() []byte { return m.h[0].Value() }

// Err returns the error that ended the reading.
func (m *Sorted) Err() error { return m.err }

type streams []stream

func (h streams) Len() int           { return len(h) }
func (h streams) Less(i, j int) bool { return bytes.Compare(h[i].Key()[:], h[j].Key()[:]) < 0 }
func (h streams) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *streams) Push(x any)        { *h = append(*h, x.(stream)) }
func (h *streams) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
