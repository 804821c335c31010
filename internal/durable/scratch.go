package durable

import (
	"errors"
	"io"
	"os"
)

// Scratch is a temporary file that goes with its process: where the operating
// system lets an open file lose its name, it has none, so that a process that
// is killed leaves nothing behind. On Windows the name stays until Close.
// Nothing in it is durable. Its errors have the Kind and hint that Wrap gives,
// a full disk for one; io.EOF comes as it is. It is used by one goroutine, but
// ReadAt by several.
type Scratch struct {
	f     *os.File
	named bool
}

// NewScratch makes a temporary file of mode 0600 in the folder dir, "" for the
// system's. pattern is that of os.CreateTemp.
func NewScratch(dir, pattern string) (*Scratch, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, Wrap(err, "make a temporary file")
	}
	return &Scratch{f: f, named: os.Remove(f.Name()) != nil}, nil
}

// Write implements io.Writer.
func (s *Scratch) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	return n, Wrap(err, "write a temporary file")
}

// WriteAt implements io.WriterAt.
func (s *Scratch) WriteAt(p []byte, off int64) (int, error) {
	n, err := s.f.WriteAt(p, off)
	return n, Wrap(err, "write a temporary file")
}

// ReadAt implements io.ReaderAt.
func (s *Scratch) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.f.ReadAt(p, off)
	if err == io.EOF { // bare: wrapped it would be no end
		return n, io.EOF
	}
	return n, Wrap(err, "read a temporary file")
}

// Close lets the file go. A second Close does nothing.
func (s *Scratch) Close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	if s.named {
		err = errors.Join(err, os.Remove(s.f.Name()))
	}
	s.f = nil
	return Wrap(err, "remove a temporary file")
}
