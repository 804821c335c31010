package keys

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/durable"
	"allod/internal/vault/keyring/places"
	"allod/internal/vault/lease"
)

// shared are stores in memory that several processes open at once, by the true
// clock of a bubble.
func shared() act.Deps {
	var mu sync.Mutex
	stores := map[string]*mem.Store{}
	return act.Deps{
		OpenStore: func(_ context.Context, path string, _ bool) (blob.Mutable, error) {
			mu.Lock()
			defer mu.Unlock()
			if stores[path] == nil {
				stores[path] = mem.New(mem.Options{Now: time.Now})
			}
			return stores[path], nil
		},
		Now: time.Now, Actor: "os:test", Disk: &durable.Disk{},
	}
}

// A process that holds keys is a counted place from before it has loaded them,
// and keeps what was destroyed from being final until it has followed, has ended
// or was not heard of for 15 minutes.
func TestHolding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, deps, dir := t.Context(), shared(), filepath.Join(t.TempDir(), "allod")
		if _, err := act.Init(ctx, dir, act.InitOptions{Key: "file:main.key"}, deps); err != nil {
			t.Fatal(err)
		}
		o, err := act.Open(ctx, dir, deps)
		if err != nil {
			t.Fatal(err)
		}
		// want wants these states of workers, and n pending items.
		want := func(when string, pending int, states ...places.State) {
			t.Helper()
			all, items, err := Places(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			var got []places.State
			for _, p := range all {
				if p.Kind == places.Worker {
					got = append(got, p.State)
					if by := time.Until(p.Lease); by <= 0 || by > lease.MaxTerm || !strings.HasPrefix(p.Name, "worker-") {
						t.Errorf("%s: %s, gone in %s", when, p.Name, by)
					}
				}
			}
			if len(got) != len(states) || len(items) != pending {
				t.Fatalf("%s: workers are %v, want %v; pending is %+v", when, got, states, items)
			}
			for i := range got {
				if got[i] != states[i] {
					t.Errorf("%s: workers are %v, want %v", when, got, states)
				}
			}
		}
		want("at first", 0)
		held, follow, followed, end, ended := make(chan bool), make(chan bool), make(chan bool), make(chan bool), make(chan error)
		slow := deps
		slow.OpenStore = func(ctx context.Context, path string, create bool) (blob.Mutable, error) {
			s, err := deps.OpenStore(ctx, path, create)
			if strings.HasSuffix(path, "slots") { // it is about to read the slots
				want("before it has keys", 1, places.Waiting)
			}
			return s, err
		}
		go func() {
			ended <- Holding(ctx, dir, slow, func(ctx context.Context, o *act.Office) error {
				held <- true
				<-follow
				err := Count(ctx, o, places.Place{Name: "stick", Kind: places.Exported}) // whoever writes follows
				followed <- true
				<-end
				return errors.Join(err, ctx.Err())
			})
		}()
		<-held
		time.Sleep(time.Hour)
		want("while it works", 0, places.Rotated)
		if _, err := Rotate(ctx, o); err != nil {
			t.Fatal(err)
		}
		want("after the keys have changed", 1, places.Waiting)
		time.Sleep(time.Hour)
		want("as long as it has not followed", 1, places.Waiting)
		follow <- true
		<-followed
		time.Sleep(holdEvery + time.Second)
		want("when it has followed", 0, places.Rotated)
		end <- true
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want("when it has ended", 0)

		s, err := Store(ctx, dir, o.Config(), deps)
		if err != nil {
			t.Fatal(err)
		}
		holder := NewHolder()
		if _, err := (&lease.Book{Store: s, Holder: holder, Now: time.Now}).Take(ctx, lease.Keys+"/"+holder, holdTerm, lease.State{Epoch: 1}); err != nil {
			t.Fatal(err)
		}
		want("one that was killed", 1, places.Waiting)
		time.Sleep(lease.MaxTerm - time.Second)
		want("a second before it is gone", 1, places.Waiting)
		time.Sleep(time.Second)
		want("when it is gone", 0)
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Who cannot say that it holds keys does not load them, and forgets them when it
// cannot say so any more.
func TestHoldingUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, deps, dir := t.Context(), shared(), filepath.Join(t.TempDir(), "allod")
		if _, err := act.Init(ctx, dir, act.InitOptions{Key: "file:main.key"}, deps); err != nil {
			t.Fatal(err)
		}
		for _, call := range []int{2, 20} {
			broken := deps
			first := true
			broken.OpenStore = func(ctx context.Context, path string, create bool) (blob.Mutable, error) {
				s, err := deps.OpenStore(ctx, path, create)
				if first { // that of the lease
					first = false
					return fault.New(s, fault.Fault{Call: call, Down: true}), err
				}
				return s, err
			}
			begun, called := time.Now(), false
			err := Holding(ctx, dir, broken, func(ctx context.Context, _ *act.Office) error {
				called = true
				<-ctx.Done()
				return context.Cause(ctx)
			})
			if lasted := time.Since(begun); allod.KindOf(err) != allod.Unavailable || called != (call > 2) || lasted > holdTerm+time.Hour {
				t.Errorf("from call %d on: called %v, for %s: %v", call, called, lasted, err)
			}
		}
	})
}
