package restriction

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/erasure"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/durable"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/vault"
	"allod/internal/vault/escrow"
)

// bench is an Allod over stores in memory that a test can make fail.
type bench struct {
	t      *testing.T
	dir    string
	deps   act.Deps
	stores map[string]blob.Mutable // by the last name of the path
	now    time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	n := 0
	b := &bench{t: t, now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), dir: filepath.Join(t.TempDir(), "allod"), stores: map[string]blob.Mutable{}}
	b.deps = act.Deps{
		OpenStore: func(_ context.Context, path string, _ bool) (blob.Mutable, error) {
			name := filepath.Base(path)
			if b.stores[name] == nil {
				b.stores[name] = mem.New(mem.Options{Now: func() time.Time { return b.now }})
			}
			return b.stores[name], nil
		},
		Now: func() time.Time { return b.now }, Actor: "os:test", Disk: &durable.Disk{},
		NewID: func() allod.GUID { n++; return allod.GUID{1, byte(n >> 8), byte(n)} },
	}
	if _, err := act.Init(t.Context(), b.dir, act.InitOptions{Key: "file:key"}, b.deps); err != nil {
		t.Fatal(err)
	}
	b.capture("one", 5)
	return b
}

// with opens the Allod for one use.
func (b *bench) with(do func(o *act.Office) error) error {
	o, err := act.Open(b.t.Context(), b.dir, b.deps)
	if err != nil {
		return err
	}
	return errors.Join(do(o), o.Close())
}

func (b *bench) must(do func(o *act.Office) error) {
	b.t.Helper()
	if err := b.with(do); err != nil {
		b.t.Fatal(err)
	}
}

func id(n int) allod.GUID { return allod.GUID{0: 0xab, 15: byte(n)} }

// capture stores contacts with a name each.
func (b *bench) capture(name string, n int) {
	b.t.Helper()
	b.must(func(o *act.Office) error {
		v, g, _, deps := o.Inside()
		schema := &allod.Schema{Tables: []allod.Table{{
			Name: "contact", ID: allod.GUID{9}, Set: "contacts", Key: "contactid", Title: "fullname", Class: allod.ClassData,
			Columns: []allod.Column{{Name: "fullname", ID: allod.GUID{8}, Type: allod.String}},
		}}}
		s, err := g.Open(b.t.Context(), gate.Request{Actor: deps.Actor, Action: gate.ActionCapture, Purpose: allod.PurposeOperate, Resource: gate.Resource{Environment: "prod", Class: allod.ClassContent}})
		if err != nil {
			return err
		}
		r, err := v.Begin(b.t.Context(), s, vault.RunOptions{Environment: "prod", Line: 1})
		if err != nil {
			return err
		}
		defer r.Abort()
		if err := r.SetSchema(schema); err != nil {
			return err
		}
		w, err := r.Table(b.t.Context(), schema.Table("contact"), vault.ModeFull)
		if err != nil {
			return err
		}
		for i := 1; i <= n; i++ {
			if err := w.Put(&allod.Row{Table: "contact", Key: id(i), Version: uint64(i), Cells: []allod.Value{allod.StringValue(fmt.Sprintf("%s number %d", name, i))}}); err != nil {
				return err
			}
		}
		if _, err := w.Finish(b.t.Context()); err != nil {
			return err
		}
		_, err = r.Commit(b.t.Context(), vault.Manifest{Complete: true})
		return err
	})
}

// state is what a record shows: its name, or why it does not.
func (b *bench) state(n int) string {
	b.t.Helper()
	out := ""
	b.must(func(o *act.Office) error {
		v, g, _, deps := o.Inside()
		s, err := g.Open(b.t.Context(), gate.Request{Actor: deps.Actor, Action: gate.ActionRead, Purpose: allod.PurposeRestore, Resource: gate.Resource{Environment: "prod", Class: allod.ClassContent}})
		if err != nil {
			return err
		}
		h, err := v.History(b.t.Context(), s, "prod", allod.RecordRef{Table: "contact", Key: id(n)})
		if err != nil || len(h) == 0 {
			return fmt.Errorf("history: %v, %w", h, err)
		}
		if out = h[0].Withheld; out == "" {
			out = h[0].Row.Cell(0).Text()
		}
		return nil
	})
	return out
}

// do puts records into a container.
func (b *bench) do(what func(context.Context, *act.Office, *erasure.Plan, Request) (*Open, error), container string, holders []string, ns ...int) error {
	return b.with(func(o *act.Office) error {
		r := Request{Request: request(ns...), Container: container, Holders: holders}
		p, err := erasure.Make(b.t.Context(), o, r.Request)
		if err != nil {
			return err
		}
		_, err = what(b.t.Context(), o, p, r)
		return err
	})
}

func request(ns ...int) erasure.Request {
	r := erasure.Request{Environment: "prod", Table: "contact", Urgent: true}
	for _, n := range ns {
		r.IDs = append(r.IDs, id(n).String())
	}
	return r
}

// erase asks for an erasure and carries it on.
func (b *bench) erase(r erasure.Request) (out *erasure.Open) {
	b.t.Helper()
	b.must(func(o *act.Office) error {
		p, err := erasure.Make(b.t.Context(), o, r)
		if err != nil {
			return err
		}
		e, err := erasure.Ask(b.t.Context(), o, p, "")
		if err != nil {
			return err
		}
		done, err := erasure.Run(b.t.Context(), o, &e.ID)
		if err != nil {
			return err
		}
		out = &done[0]
		return nil
	})
	return out
}

func (b *bench) release(name string) error {
	return b.with(func(o *act.Office) error { _, err := Release(b.t.Context(), o, name); return err })
}

func (b *bench) want(n int, want string) {
	b.t.Helper()
	if got := b.state(n); got != want {
		b.t.Fatalf("record %d: got %q, want %q", n, got, want)
	}
}

// TestRestrict puts two records into one container that two people hold, and
// lifts them one by one.
func TestRestrict(t *testing.T) {
	b := newBench(t)
	told := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if err := b.do(Restrict, "dispute", []string{"file:legal", "file:officer"}, 2); err != nil {
		t.Fatal(err)
	}
	if err := b.do(Restrict, "dispute", nil, 3); err != nil {
		t.Fatal(err)
	}
	b.want(2, "restricted")
	b.capture("two", 5)
	lift := func(r LiftRequest) error {
		return b.with(func(o *act.Office) error { r.Container = "dispute"; _, err := Lift(t.Context(), o, r); return err })
	}
	for what, tc := range map[string]struct {
		err  error
		want allod.Kind
	}{
		"holders of a container that is there": {b.do(Restrict, "dispute", []string{"file:other"}, 4), allod.Invalid},
		"a hold under its name":                {b.do(Keep, "dispute", nil, 4), allod.Conflict},
		"a name that is none":                  {b.do(Restrict, "Dispute 7", []string{"file:other"}, 4), allod.Invalid},
		"no holder":                            {b.do(Restrict, "other", nil, 4), allod.Invalid},
		"restricted already":                   {b.do(Restrict, "dispute", nil, 2), allod.Conflict},
		"the person was not told":              {lift(LiftRequest{Key: "file:legal"}), allod.Invalid},
		"the key of the vault":                 {lift(LiftRequest{Key: "file:key", Told: told}), allod.Denied},
		"a record that is not in it":           {lift(LiftRequest{Key: "file:legal", Told: told, Table: "contact", IDs: []string{id(4).String()}}), allod.NotFound},
		"released":                             {b.release("dispute"), allod.Conflict},
	} {
		if allod.KindOf(tc.err) != tc.want {
			t.Errorf("%s: got %v, want kind %v", what, tc.err, tc.want)
		}
	}
	if err := lift(LiftRequest{Key: "file:officer", Told: told, Table: "contact", IDs: []string{id(3).String()}}); err != nil {
		t.Fatal(err)
	}
	b.want(2, "restricted")
	b.want(3, "two number 3")
	if err := lift(LiftRequest{Key: "file:legal", Told: told}); err != nil {
		t.Fatal(err)
	}
	b.want(2, "two number 2")
	b.must(func(o *act.Office) error {
		all, err := List(t.Context(), o)
		if err != nil || len(all) != 1 || len(all[0].Tags) != 0 || len(all[0].Lifted) != 2 || !all[0].Lifted[0].OnePerson {
			t.Errorf("list: got %+v, %v", all, err)
		}
		return nil
	})
}

// TestTwoHolds erases a record under two holds: it is held until the last is
// released, and the erasure is final then.
func TestTwoHolds(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"court", "tax"} {
		if err := b.do(Keep, name, []string{"file:" + name}, 2, 3); err != nil {
			t.Fatal(err)
		}
	}
	b.want(2, "one number 2")
	e := b.erase(request(2))
	if !e.Final.IsZero() || e.Committed.IsZero() || len(e.Waits) != 2 || !strings.Contains(e.Waits[0].Place, "court") {
		t.Errorf("erased under two holds: got %+v, want it committed and waiting for both", e)
	}
	b.want(2, "held")
	b.want(3, "one number 3")
	past := request(3)
	past.Past = true
	if e := b.erase(past); e.Next.Step != rights.StepWait || !strings.Contains(strings.Join(e.Next.Reasons, " "), "court, tax") {
		t.Errorf("forget the past under holds: got %+v, want it to wait for them", e.Next)
	}
	if err := b.release("court"); err != nil {
		t.Fatal(err)
	}
	b.want(2, "held")
	if err := b.release("tax"); err != nil {
		t.Fatal(err)
	}
	b.want(2, "erased")
	b.carry()
	b.must(func(o *act.Office) error {
		all, err := erasure.List(t.Context(), o)
		if err != nil || all[0].Final.IsZero() {
			t.Errorf("the erasure after the release: got %+v, %v, want it final", all, err)
		}
		return nil
	})
	if err := b.release("tax"); allod.KindOf(err) != allod.Conflict {
		t.Errorf("release twice: got %v, want kind conflict", err)
	}
}

// TestEraseRestricted erases a restricted record: its holders lose it too.
func TestEraseRestricted(t *testing.T) {
	b := newBench(t)
	if err := b.do(Restrict, "dispute", []string{"file:legal"}, 2); err != nil {
		t.Fatal(err)
	}
	b.erase(request(2))
	b.want(2, "erased")
	if n := b.inEscrow(); n != 0 {
		t.Errorf("%d escrow objects are left", n)
	}
}

// carry waits until locks have ended, and carries erasures on.
func (b *bench) carry() {
	b.t.Helper()
	b.now = b.now.Add(15 * 24 * time.Hour)
	b.must(func(o *act.Office) error { _, err := erasure.Carry(b.t.Context(), o); return err })
}

func (b *bench) inEscrow() int {
	b.t.Helper()
	all, err := escrow.List(b.t.Context(), b.stores["slots"], true)
	if err != nil {
		b.t.Fatal(err)
	}
	return len(all)
}

// TestReleaseFails lets calls of a release fail, to the store and to the place of
// slots, not done and done but failed: run again it always ends with the record
// erased, and nothing of it in escrow.
func TestReleaseFails(t *testing.T) {
	b := newBench(t)
	if err := b.do(Keep, "court", []string{"file:court"}, 2); err != nil {
		t.Fatal(err)
	}
	b.erase(request(2))
	if b.inEscrow() != 1 {
		t.Fatal("the erased record is not in escrow")
	}
	kept := b.stores
	failed := 0
	for _, where := range []string{"vault", "slots"} {
		for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
			for k := 3; ; k += 29 {
				b.stores = map[string]blob.Mutable{}
				for name, s := range kept {
					b.stores[name] = copyOf(t, s)
				}
				if err := os.Remove(filepath.Join(b.dir, "seen.json")); err != nil && !os.IsNotExist(err) { // it has seen the other copies
					t.Fatal(err)
				}
				inner := b.stores[where]
				f := fault.New(inner, fault.Fault{Call: k, Mode: mode, Down: true})
				b.stores[where] = f
				err := b.release("court")
				if f.Calls() < k {
					break
				}
				if err != nil {
					failed++
				}
				b.stores[where] = inner
				if err := b.release("court"); err != nil && allod.KindOf(err) != allod.Conflict {
					t.Fatalf("%s, mode %d, call %d: once more: %v", where, mode, k, err)
				}
				b.want(2, "erased")
				if n := b.inEscrow(); n != 0 {
					t.Fatalf("%s, mode %d, call %d: %d escrow objects are left", where, mode, k, n)
				}
			}
		}
	}
	if failed == 0 {
		t.Error("no call failed")
	}
}

func copyOf(t *testing.T, from blob.Mutable) blob.Mutable {
	t.Helper()
	to := mem.New(mem.Options{})
	for info, err := range from.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := from.Get(t.Context(), info.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(to.Put(t.Context(), info.Name, r, info.Size, blob.PutOptions{}), r.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
