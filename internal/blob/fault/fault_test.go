package fault_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/blobcheck"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
)

func put(t *testing.T, s blob.Store, name, data string) error {
	t.Helper()
	return s.Put(t.Context(), name, strings.NewReader(data), int64(len(data)), blob.PutOptions{})
}

func get(t *testing.T, s blob.Store, name string) (string, error) {
	t.Helper()
	r, err := s.Get(t.Context(), name, 0, -1)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

// TestPassesChecks: without a fault the wrapper is the store.
func TestPassesChecks(t *testing.T) {
	begun := time.Now()
	fast := func() time.Time { return begun.Add(10 * time.Since(begun)) } // locks end sooner
	for _, c := range blobcheck.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			err := c.Run(t.Context(), fault.New(mem.New(mem.Options{Now: fast})))
			var skipped blobcheck.Skipped
			if errors.As(err, &skipped) && (c.Locks || strings.HasPrefix(c.Name, "version")) {
				return // it passes on the methods of blob.Mutable alone
			}
			if err != nil {
				t.Errorf("%v (%s)", err, c.Why)
			}
		})
	}
}

func TestWrites(t *testing.T) {
	for _, tc := range []struct {
		mode      fault.Mode
		put       string // what Put, Replace, Delete leave: "-" = nothing
		replaced  string
		deleted   string
		wantsHint bool
	}{
		{fault.NotDone, "-", "old", "old", false},
		{fault.DoneButFailed, "new", "new", "-", false},
		{fault.NoSpace, "-", "old", "old", true},
	} {
		for op, want := range map[fault.Op]string{fault.Put: tc.put, fault.Replace: tc.replaced, fault.Delete: tc.deleted} {
			inner := mem.New(mem.Options{})
			if op != fault.Put {
				if err := put(t, inner, "o", "old"); err != nil {
					t.Fatal(err)
				}
			}
			s := fault.New(inner, fault.Fault{Call: 1, Mode: tc.mode})
			do := map[fault.Op]func() error{
				fault.Put:     func() error { return put(t, s, "o", "new") },
				fault.Replace: func() error { return s.Replace(t.Context(), "o", []byte("new")) },
				fault.Delete:  func() error { return s.Delete(t.Context(), "o") },
			}[op]
			err := do()
			if !errors.Is(err, fault.ErrInjected) || allod.KindOf(err) != allod.Unavailable {
				t.Errorf("%s, mode %d: %v, want an injected, unavailable error", op, tc.mode, err)
			}
			if got := allod.HintOf(err) != ""; got != tc.wantsHint {
				t.Errorf("%s, mode %d: hint %q", op, tc.mode, allod.HintOf(err))
			}
			got, err := get(t, s.Inner(), "o")
			if errors.Is(err, blob.ErrNotFound) {
				got = "-"
			}
			if got != want {
				t.Errorf("%s, mode %d leaves %q, want %q", op, tc.mode, got, want)
			}
			if err := do(); err != nil && !errors.Is(err, blob.ErrExists) {
				t.Errorf("%s, mode %d: second call: %v, want it to work", op, tc.mode, err)
			}
		}
	}
}

func TestReads(t *testing.T) {
	inner := mem.New(mem.Options{})
	for _, name := range []string{"a", "b", "c", "d"} {
		if err := put(t, inner, name, "12345678"); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		mode   fault.Mode
		bytes  string
		listed int
		fails  bool
	}{
		{fault.NotDone, "", 0, true},
		{fault.DoneButFailed, "", 0, true},
		{fault.Truncate, "1234", 2, false},
		{fault.BreakOff, "1234", 2, true},
	} {
		got, err := get(t, fault.New(inner, fault.Fault{Call: 1, Mode: tc.mode}), "a")
		if got != tc.bytes || errors.Is(err, fault.ErrInjected) != tc.fails {
			t.Errorf("get, mode %d: %q, %v; want %q, failing %v", tc.mode, got, err, tc.bytes, tc.fails)
		}
		listed := 0
		err = nil
		for _, e := range fault.New(inner, fault.Fault{Call: 1, Mode: tc.mode}).List(t.Context(), "") {
			if err = e; e == nil {
				listed++
			}
		}
		if listed != tc.listed || errors.Is(err, fault.ErrInjected) != tc.fails {
			t.Errorf("list, mode %d: %d objects, %v; want %d, failing %v", tc.mode, listed, err, tc.listed, tc.fails)
		}
	}
	_, err := fault.New(inner, fault.Fault{Call: 1, Mode: fault.Truncate}).Stat(t.Context(), "a")
	if !errors.Is(err, fault.ErrInjected) {
		t.Errorf("stat: %v, want the fault", err)
	}
}

func TestHangEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := fault.New(mem.New(mem.Options{}), fault.Fault{Call: 1, Mode: fault.Hang}, fault.Fault{Call: 2, Mode: fault.Hang})
		begun := time.Now()
		err := s.Put(ctx, "a", strings.NewReader("x"), 1, blob.PutOptions{})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("put: %v after %v, want the deadline after a minute", err, time.Since(begun))
		}
		r, err := s.Get(ctx, "a", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read: %v, want the deadline", err)
		}
	})
}

func TestCountingMatchingAndDown(t *testing.T) {
	s := fault.New(mem.New(mem.Options{}), fault.Fault{
		Call: 2, Mode: fault.DoneButFailed, Down: true,
		Match: func(c fault.Call) bool { return c.Op == fault.Put && strings.HasPrefix(c.Name, "log/") },
	})
	var failed []bool
	for _, name := range []string{"packs/a", "log/1", "packs/b", "log/2", "packs/c"} {
		failed = append(failed, put(t, s, name, "x") != nil)
	}
	if diff := cmp.Diff([]bool{false, false, false, true, true}, failed); diff != "" {
		t.Errorf("failed puts (-want +got):\n%s", diff)
	}
	if _, err := s.Stat(t.Context(), "log/1"); !errors.Is(err, fault.ErrInjected) {
		t.Errorf("stat of a store that is down: %v", err)
	}
	var stored []string
	for info, err := range s.Inner().List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, info.Name)
	}
	if diff := cmp.Diff([]string{"log/1", "log/2", "packs/a", "packs/b"}, stored); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if got, want := s.Calls(), 6; got != want || len(s.Trace()) != want {
		t.Errorf("calls = %d, trace of %d, want %d", got, len(s.Trace()), want)
	}
	if got, want := s.Trace()[5], (fault.Call{Op: fault.Stat, Name: "log/1"}); got != want {
		t.Errorf("last call %v, want %v", got, want)
	}
}
