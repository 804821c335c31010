package through_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod/internal/blob"
	"allod/internal/blob/blobcheck"
	"allod/internal/blob/mem"
	"allod/internal/blob/through"
)

// genuine takes what begins like an object of that name.
func genuine(name string, b []byte) bool { return strings.HasPrefix(string(b), "genuine "+name) }

func TestSlotsPassChecks(t *testing.T) {
	begun := time.Now()
	fast := func() time.Time { return begun.Add(10 * time.Since(begun)) }
	for _, c := range blobcheck.Checks() {
		if c.Name == "large object" {
			continue // nothing of that size lies among slots
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			s := through.WrapSlots(mem.New(mem.Options{Versions: true, Now: fast}), func(string, []byte) bool { return true })
			if err := c.Run(t.Context(), s); err != nil {
				t.Errorf("%v (%s)", err, c.Why)
			}
		})
	}
	plain := mem.New(mem.Options{})
	if got := through.WrapSlots(plain, genuine); got != blob.Mutable(plain) {
		t.Errorf("a place without versions is wrapped into %T", got)
	}
}

// TestSlots: whatever an attacker puts in front of slots, the newest genuine
// one is read; a slot that was destroyed is gone. The model is a map.
func TestSlots(t *testing.T) {
	ctx := t.Context()
	names := []string{"slots/paper@1", "slots/paper@2", "slots/passphrase@1"}
	rapid.Check(t, func(t *rapid.T) {
		m := mem.New(mem.Options{Versions: true})
		s := through.WrapSlots(m, genuine)
		model, front := map[string]string{}, map[string]bool{} // what is genuine; is something else in front of it
		for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			var err error
			switch op := rapid.SampledFrom([]string{"replace", "destroy", "forge", "hide"}).Draw(t, "op"); op {
			case "replace":
				model[name], front[name] = fmt.Sprint("genuine ", name, " ", i), false
				err = s.Replace(ctx, name, []byte(model[name]))
			case "destroy":
				delete(model, name)
				delete(front, name)
				err = s.Delete(ctx, name)
			case "forge", "hide":
				if model[name] == "" {
					continue // rubbish under a free name is told by its signature
				}
				front[name] = true
				if err = m.Hide(ctx, name); op == "forge" {
					err = m.Replace(ctx, name, []byte("genuine slots/another@1"))
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := get(ctx, s, name)
			if want, there := model[name]; got != want || there != (err == nil) || err != nil && !errors.Is(err, blob.ErrNotFound) {
				t.Fatalf("%s: got %q, %v, want %q, there %v", name, got, err, want, there)
			}
		}
		want := []string{}
		for _, name := range names {
			if model[name] != "" {
				want = append(want, name)
			}
		}
		if d := cmp.Diff(want, list(t, ctx, s)); d != "" {
			t.Fatalf("list: -want +got\n%s", d)
		}
		told := map[string]bool{}
		for _, f := range s.(blob.Witness).Tampered() {
			told[f.Name] = true
		}
		for name, there := range front {
			if there && !told[name] {
				t.Fatalf("that something stands in front of %s was not told", name)
			}
		}
	})
}
