// Package fault wraps an object store and makes chosen calls fail, so that a
// test can ask of every call: what is left if this one was not done, and what
// if it was done but reported failed? Both happen with real stores, and the
// second is the one that programs forget.
//
// The usual test runs once without faults to learn the number of calls, then
// once for every call and every mode:
//
//	for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
//		for k := 1; ; k++ {
//			s := fault.New(mem.New(mem.Options{}), fault.Fault{Call: k, Mode: mode, Down: true})
//			work(s)
//			if s.Calls() < k {
//				break // the work makes fewer calls
//			}
//			check(s.Inner()) // what the next process finds
//		}
//	}
package fault

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"allod"
	"allod/internal/blob"
)

// ErrInjected is in the chain of every error that this package makes.
var ErrInjected = errors.New("injected fault")

// Op is a method of blob.Mutable.
type Op string

// The methods.
const (
	Put     Op = "put"
	Get     Op = "get"
	List    Op = "list"
	Stat    Op = "stat"
	Delete  Op = "delete"
	Replace Op = "replace"
)

// Call is one call of a method. Name is the object's name, or the prefix of a
// List.
type Call struct {
	Op   Op
	Name string
}

// Mode says how a call fails.
type Mode uint8

// The modes. The errors are of Kind Unavailable.
const (
	NotDone       Mode = iota // the call reports a failure and has changed nothing; a Put has read part of its reader
	DoneButFailed             // the call did its work and reports a failure
	NoSpace                   // as NotDone, with the hint of a full disk
	Truncate                  // a Get gives half of its bytes and then says it is at the end; a List gives half of its objects; other calls as NotDone
	BreakOff                  // as Truncate, but with an error after the half
	Hang                      // the call, or the reader of a Get, waits until its context is done
)

// Fault chooses calls and says how they fail.
type Fault struct {
	Call  int             // the number of the call that fails, from 1, among those that Match accepts
	Mode  Mode            //
	Down  bool            // every later call, of any kind, fails as NotDone: the process or the store is gone
	Match func(Call) bool // which calls count; nil = all. Called under a lock
}

// Store passes calls on to another store. It may be used from several
// goroutines; then which call is the k-th is up to the scheduler.
type Store struct {
	inner blob.Mutable

	mu      sync.Mutex
	calls   []Call
	faults  []Fault
	matched []int // per fault, how many calls matched
	down    bool
}

var _ blob.Mutable = (*Store)(nil)

// New wraps inner. Without faults it only records.
func New(inner blob.Mutable, faults ...Fault) *Store {
	return &Store{inner: inner, faults: faults, matched: make([]int, len(faults))}
}

// Inner returns the wrapped store: what the next process finds.
func (s *Store) Inner() blob.Mutable { return s.inner }

// Calls returns how many calls were made.
func (s *Store) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// Trace returns the calls made so far, in order.
func (s *Store) Trace() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// fine means that a call does not fail.
const fine Mode = 255

// enter records a call and says how it is to fail.
func (s *Store) enter(op Op, name string) Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	call := Call{op, name}
	s.calls = append(s.calls, call)
	if s.down {
		return NotDone
	}
	mode := fine
	for i, f := range s.faults {
		if f.Match != nil && !f.Match(call) {
			continue
		}
		if s.matched[i]++; s.matched[i] == f.Call {
			mode = f.Mode
			s.down = s.down || f.Down
		}
	}
	return mode
}

// fail makes the error of a call that was not done, or waits.
func fail(ctx context.Context, mode Mode, op Op, name string) error {
	if mode == Hang {
		<-ctx.Done()
		return allod.Errorf(allod.Unavailable, "%s %s: %w: %w", op, name, ErrInjected, ctx.Err())
	}
	err := allod.Errorf(allod.Unavailable, "%s %s: %w", op, name, ErrInjected)
	if mode == NoSpace {
		err = allod.WithHint(allod.Errorf(allod.Unavailable, "%s %s: %w: no space left on device", op, name, ErrInjected),
			"Free space on that disk, then try again.")
	}
	return err
}

// do runs a call that has no result but its error.
func (s *Store) do(ctx context.Context, op Op, name string, work func() error) error {
	switch mode := s.enter(op, name); mode {
	case fine:
		return work()
	case DoneButFailed:
		if err := work(); err != nil {
			return err
		}
		return fail(ctx, mode, op, name)
	default:
		return fail(ctx, mode, op, name)
	}
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	mode := s.enter(Put, name)
	if mode == fine || mode == DoneButFailed {
		if err := s.inner.Put(ctx, name, r, size, opts); err != nil || mode == fine {
			return err
		}
		return fail(ctx, mode, Put, name)
	}
	var part [512]byte
	if _, err := io.ReadFull(r, part[:]); err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	return fail(ctx, mode, Put, name)
}

// Replace implements blob.Mutable.
func (s *Store) Replace(ctx context.Context, name string, data []byte) error {
	return s.do(ctx, Replace, name, func() error { return s.inner.Replace(ctx, name, data) })
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.do(ctx, Delete, name, func() error { return s.inner.Delete(ctx, name) })
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (info blob.Info, err error) {
	err = s.do(ctx, Stat, name, func() (err error) {
		info, err = s.inner.Stat(ctx, name)
		return err
	})
	if err != nil {
		return blob.Info{}, err
	}
	return info, nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	mode := s.enter(Get, name)
	switch mode {
	case NotDone, DoneButFailed, NoSpace:
		return nil, fail(ctx, mode, Get, name)
	case Hang:
		return io.NopCloser(readFunc(func([]byte) (int, error) { return 0, fail(ctx, Hang, Get, name) })), nil
	case Truncate, BreakOff, fine:
	}
	r, err := s.inner.Get(ctx, name, off, n)
	if err != nil || mode == fine {
		return r, err
	}
	info, err := s.inner.Stat(ctx, name)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	length := max(0, info.Size-off)
	if n >= 0 {
		length = min(length, n)
	}
	half := io.LimitReader(r, length/2)
	if mode == BreakOff {
		half = io.MultiReader(half, readFunc(func([]byte) (int, error) { return 0, fail(ctx, mode, Get, name) }))
	}
	return struct {
		io.Reader
		io.Closer
	}{half, r}, nil
}

// List implements blob.Store. It counts as one call however many objects it
// yields.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		mode := s.enter(List, prefix)
		if mode == fine {
			s.inner.List(ctx, prefix)(yield)
			return
		}
		if mode == Truncate || mode == BreakOff {
			var all []blob.Info
			for info, err := range s.inner.List(ctx, prefix) {
				if err != nil {
					yield(blob.Info{}, err)
					return
				}
				all = append(all, info)
			}
			for _, info := range all[:len(all)/2] {
				if !yield(info, nil) {
					return
				}
			}
		}
		if mode != Truncate {
			yield(blob.Info{}, fail(ctx, mode, List, prefix))
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
