package lease

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/vault/object"
)

// clocks are those of machines: each is ahead of the true time by its own span.
type clocks struct {
	mu   sync.Mutex
	true time.Time
}

func (c *clocks) ahead(d time.Duration) func() time.Time {
	return func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.true.Add(d)
	}
}

func (c *clocks) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.true = c.true.Add(d)
}

func begin() *clocks { return &clocks{true: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func mark(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte("secret"+text))) }

func hex32(n int) string { return fmt.Sprintf("%032x", n) }

func book(s blob.Store, n int, now func() time.Time) *Book {
	return &Book{Store: s, Holder: hex32(n), Now: now, Mark: mark}
}

var task = Task + "/" + hex32(0xabc)

const term = 2 * time.Minute

// One process at a time has a lease, and the next one gets it when it is given
// back, or was not renewed for its term; whatever their clocks say.
func TestTakeOver(t *testing.T) {
	for _, skew := range []time.Duration{0, -4 * time.Minute, 4 * time.Minute, -24 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			c, ctx := begin(), t.Context()
			s := mem.New(mem.Options{Now: c.ahead(0)})
			a, b := book(s, 1, c.ahead(0)), book(s, 2, c.ahead(skew))
			h, err := a.Take(ctx, task, term, State{})
			if err != nil {
				t.Fatal(err)
			}
			c.pass(time.Second)
			for range 10 { // it is renewed every minute, and never free
				if _, err := b.Take(ctx, task, term, State{}); !errors.Is(err, ErrHeld) || allod.KindOf(err) != allod.Conflict {
					t.Fatalf("while another has it: %v", err)
				}
				c.pass(time.Minute)
				if err := h.Renew(ctx, State{Counts: map[string]int64{"rows": 7}}); err != nil {
					t.Fatal(err)
				}
			}
			if l, err := b.Read(ctx, task); err != nil || l.Holder != hex32(1) || l.Counts["rows"] != 7 || l.Number != 11 {
				t.Fatalf("read was %+v, %v", l, err)
			}
			if _, err := b.Take(ctx, task, term, State{}); !errors.Is(err, ErrHeld) {
				t.Fatalf("while another has it: %v", err)
			}
			c.pass(term - time.Second) // the holder was killed
			if _, err := b.Take(ctx, task, term, State{}); !errors.Is(err, ErrHeld) {
				t.Fatalf("before the term has passed: %v", err)
			}
			c.pass(time.Second)
			got, err := b.Take(ctx, task, term, State{})
			if err != nil {
				t.Fatalf("after the term: %v", err)
			}
			if err := h.Renew(ctx, State{}); !errors.Is(err, ErrHeld) {
				t.Fatalf("the first process comes back: %v", err)
			}
			if err := got.GiveBack(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Take(ctx, task, term, State{}); err != nil {
				t.Fatalf("after it was given back: %v", err)
			}
			if names := stored(t, s); len(names) != 1 {
				t.Errorf("left behind are %q", names)
			}
		})
	}
}

// A process that has just begun does not wait for what ended long ago.
func TestLongGone(t *testing.T) {
	c, ctx := begin(), t.Context()
	s := mem.New(mem.Options{Now: c.ahead(0)})
	if _, err := book(s, 1, c.ahead(0)).Take(ctx, task, term, State{}); err != nil {
		t.Fatal(err)
	}
	c.pass(term + Slack - time.Second)
	if _, err := book(s, 2, c.ahead(0)).Take(ctx, task, term, State{}); !errors.Is(err, ErrHeld) {
		t.Fatalf("within the slack of clocks: %v", err)
	}
	c.pass(time.Second)
	if _, err := book(s, 3, c.ahead(0)).Take(ctx, task, term, State{}); err != nil {
		t.Fatal(err)
	}
}

// Of many that reach for a lease at once one gets it.
func TestRace(t *testing.T) {
	c := begin()
	s := mem.New(mem.Options{Now: c.ahead(0)})
	for round := range 20 {
		var wg sync.WaitGroup
		got := make(chan *Held, 8)
		for i := range 8 {
			wg.Go(func() {
				h, err := book(s, 100*round+i, c.ahead(0)).Take(t.Context(), task, term, State{})
				if err == nil {
					got <- h
				} else if !errors.Is(err, ErrHeld) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(got) != 1 {
			t.Fatalf("round %d: %d of 8 have the lease", round, len(got))
		}
		if err := (<-got).GiveBack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// sleepy is a store whose client falls asleep before a Put.
type sleepy struct {
	*mem.Store
	before func()
}

func (s *sleepy) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range s.Store.List(ctx, prefix) {
			if !yield(info, err) {
				return
			}
		}
		if s.before != nil {
			before := s.before
			s.before = nil
			before()
		}
	}
}

// A process that slept between reading and writing finds the number it puts
// free again: others have used it, and removed it. It does not get the lease.
func TestAsleep(t *testing.T) {
	c, ctx := begin(), t.Context()
	s := mem.New(mem.Options{Now: c.ahead(0)})
	first := book(s, 1, c.ahead(0))
	h, err := first.Take(ctx, task, term, State{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.GiveBack(ctx); err != nil {
		t.Fatal(err)
	}
	slow := book(&sleepy{Store: s, before: func() {
		other, err := book(s, 2, c.ahead(0)).Take(ctx, task, term, State{})
		if err == nil {
			err = other.Renew(ctx, State{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}}, 3, c.ahead(0))
	if _, err := slow.Take(ctx, task, term, State{}); !errors.Is(err, ErrHeld) {
		t.Fatalf("the sleeper got %v", err)
	}
	l, err := first.Read(ctx, task)
	if err != nil || l == nil || l.Holder != hex32(2) {
		t.Fatalf("the lease is %+v, %v", l, err)
	}
	if names := stored(t, s); len(names) != 1 {
		t.Errorf("left behind are %q", names)
	}
}

// Every call fails once, not done and done: afterwards nobody but one has the
// lease, and it is free after its term.
func TestFaults(t *testing.T) {
	for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
		for k := 1; ; k++ {
			c, ctx := begin(), t.Context()
			inner := mem.New(mem.Options{Now: c.ahead(0)})
			s := fault.New(inner, fault.Fault{Call: k, Mode: mode})
			a, b := book(s, 1, c.ahead(0)), book(inner, 2, c.ahead(0))
			has := false
			h, err := a.Take(ctx, task, term, State{})
			if err != nil {
				h, err = a.Take(ctx, task, term, State{}) // the next look
			}
			if err != nil {
				t.Fatalf("call %d %v: %v", k, mode, err)
			}
			for range 3 {
				has = h.Renew(ctx, State{}) == nil || has
			}
			if !has {
				t.Fatalf("call %d %v: not renewed after one failure", k, mode)
			}
			if _, err := b.Take(ctx, task, term, State{}); !errors.Is(err, ErrHeld) {
				t.Fatalf("call %d %v: two have it: %v", k, mode, err)
			}
			if k%2 == 0 {
				_ = h.GiveBack(ctx) // it may be the call that fails
			} else {
				_ = h.Drop(ctx)
			}
			c.pass(term)
			if _, err := b.Take(ctx, task, term, State{}); err != nil {
				t.Fatalf("call %d %v: after the term: %v", k, mode, err)
			}
			if s.Calls() < k {
				break
			}
		}
	}
}

// What is no lease holds nobody up, and what is one is refused where the mark is
// not that of the vault.
func TestHostile(t *testing.T) {
	c, ctx := begin(), t.Context()
	good := book(nil, 9, c.ahead(0))
	object1 := func(change func(l *Lease)) string {
		l := &Lease{Name: task, Number: 7, Holder: hex32(9), Since: c.true, Term: term}
		change(l)
		raw, err := good.encode(l)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	name := "leases/" + task + "-00000000000000000007"
	for _, tc := range []struct{ what, name, text string }{
		{"nothing", name, ""},
		{"no JSON", name, "{"},
		{"another format", name, strings.Replace(object1(func(*Lease) {}), "lease v1", "lease v2", 1)},
		{"another mark", name, strings.Replace(object1(func(*Lease) {}), `"term_ms":120000`, `"term_ms":120001`, 1)},
		{"that of another number", name, object1(func(l *Lease) { l.Number = 8 })},
		{"that of another task", name, object1(func(l *Lease) { l.Name = Task + "/" + hex32(5) })},
		{"too long a term", name, object1(func(l *Lease) { l.Term = MaxTerm + time.Millisecond })},
		{"a holder that is a name", name, object1(func(l *Lease) { l.Holder = "alice" })},
		{"spelled otherwise", name, " " + object1(func(*Lease) {})},
		{"too large", name, strings.Repeat(" ", maxObject) + object1(func(*Lease) {})},
		{"a number out of bounds", "leases/" + task + "-09999999999999999999", object1(func(*Lease) {})},
		{"no number", "leases/" + task + "-seven", object1(func(*Lease) {})},
		{"number 0", "leases/" + task + "-00000000000000000000", object1(func(*Lease) {})},
	} {
		s := mem.New(mem.Options{Now: c.ahead(0)})
		if err := object.Put(ctx, s, tc.name, []byte(tc.text)); err != nil {
			t.Fatal(err)
		}
		b := book(s, 1, c.ahead(0))
		if l, err := b.Read(ctx, task); l != nil || err != nil {
			t.Errorf("%s: read as %+v, %v", tc.what, l, err)
		}
		if all, err := b.All(ctx, Task); len(all) != 0 || err != nil {
			t.Errorf("%s: listed as %+v, %v", tc.what, all, err)
		}
		if _, err := b.Take(ctx, task, term, State{}); err != nil {
			t.Errorf("%s: %v", tc.what, err)
		}
	}
	s := mem.New(mem.Options{Now: c.ahead(0)})
	if err := object.Put(ctx, s, name, []byte(object1(func(*Lease) {}))); err != nil {
		t.Fatal(err)
	}
	if l, err := book(s, 1, c.ahead(0)).Read(ctx, task); l == nil || err != nil || l.Number != 7 {
		t.Errorf("a good one: %+v, %v", l, err)
	}
	if _, err := book(s, 1, c.ahead(0)).Take(ctx, "task/prod", term, State{}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a name that is no pseudonym: %v", err)
	}
}

// All names those that hold keys now or did a little while ago, and clears away
// what killed processes left.
func TestAll(t *testing.T) {
	c, ctx := begin(), t.Context()
	s := mem.New(mem.Options{Now: c.ahead(0)})
	take := func(n int) *Held {
		h, err := book(s, n, c.ahead(0)).Take(ctx, Keys+"/"+hex32(n), term, State{Epoch: uint64(n)})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	take(1)
	c.pass(time.Hour)
	take(2)
	if err := take(3).Drop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := book(s, 4, c.ahead(0)).Take(ctx, task, term, State{}); err != nil {
		t.Fatal(err)
	}
	want := func(n int, holders ...int) {
		t.Helper()
		all, err := book(s, 5, c.ahead(0)).All(ctx, Keys)
		if err != nil || len(all) != len(holders) {
			t.Fatalf("all are %+v, %v, want %v", all, err, holders)
		}
		for i, l := range all {
			if l.Holder != hex32(holders[i]) || l.Epoch != uint64(holders[i]) {
				t.Errorf("lease %d is %+v", i, l)
			}
		}
		if names := stored(t, s); len(names) != n {
			t.Errorf("stored are %q, want %d", names, n)
		}
	}
	want(3, 2) // that of 1 is there, and over
	c.pass(25 * time.Hour)
	want(1) // those of keys were cleared away
}

func stored(t *testing.T, s blob.Store) (names []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}
