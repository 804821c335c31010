package keyring

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
)

// On a place that keeps versions, destroying the slots of an epoch deletes every
// version of them, those too that somebody deleted or wrote over before; what is
// locked stays, is said with its date, and goes when that has come.
func TestDestroyVersions(t *testing.T) {
	now := testNow()
	clock := func() time.Time { return now }
	store := mem.New(mem.Options{Now: clock, Versions: true})
	f := newFixture(t)
	write := func(epoch uint64) {
		t.Helper()
		f.secrets.Epoch = epoch
		if err := Write(t.Context(), []blob.Mutable{store}, f.slots, f.secrets, testNow); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	write(1) // a version behind each
	until := now.Add(14 * 24 * time.Hour)
	if err := store.Lock(t.Context(), ObjectName("paper", 1), until); err != nil {
		t.Fatal(err)
	}
	if err := store.Hide(t.Context(), ObjectName("key-file", 1)); err != nil {
		t.Fatal(err)
	}
	write(2)
	if _, err := Destroy(t.Context(), store, 2); allod.KindOf(err) != allod.Denied || !errors.Is(err, blob.ErrLocked) {
		t.Fatalf("got %v, want Denied, locked", err)
	}
	older := func(_ string, epoch uint64) bool { return epoch < 2 }
	d, err := DestroySlots(t.Context(), store, older)
	if want := (Destruction{Locked: []Locked{{Name: "slots/paper@1", Until: until}}}); err != nil || !cmp.Equal(d, want) {
		t.Fatalf("got %+v, %v, want %+v", d, err, want)
	}
	for v, err := range store.Versions(t.Context(), "slots/") {
		if err != nil {
			t.Fatal(err)
		}
		if _, epoch, _ := parseObjectName(v.Name); epoch == 1 && v.Name != "slots/paper@1" {
			t.Errorf("%s, version %s, is still there", v.Name, v.ID)
		}
	}
	now = until
	if n, err := Destroy(t.Context(), store, 2); n != 1 || err != nil {
		t.Errorf("after the lock: %d destroyed, %v, want 1", n, err)
	}
	for v := range store.Versions(t.Context(), "slots/") {
		if _, epoch, _ := parseObjectName(v.Name); epoch == 1 {
			t.Errorf("%s, version %s, is still there", v.Name, v.ID)
		}
	}
	if _, _, err := OpenSlot(t.Context(), store, f.pin, 2, f.paper); err != nil {
		t.Errorf("the slot of the epoch in force: %v", err)
	}
}

// One that cannot be deleted does not keep the others from being deleted.
func TestDestroyGoesOn(t *testing.T) {
	f := newFixture(t)
	p := &stubborn{place: f.place, name: ObjectName("key-file", 1)}
	d, err := DestroySlots(t.Context(), p, func(string, uint64) bool { return true })
	if allod.KindOf(err) != allod.Unavailable || d.Objects != 2 || len(f.place.objects) != 1 {
		t.Errorf("%d destroyed, %d left, %v, want 2 and 1, Unavailable", d.Objects, len(f.place.objects), err)
	}
}

// stubborn is a place that fails to delete one name.
type stubborn struct {
	*place
	name string
}

func (s *stubborn) Delete(ctx context.Context, name string) error {
	if name == s.name {
		return allod.Errorf(allod.Unavailable, "the place is down: %w", io.ErrUnexpectedEOF)
	}
	return s.place.Delete(ctx, name)
}
