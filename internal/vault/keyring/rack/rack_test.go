package rack

import (
	"context"
	"crypto/ed25519"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/places"
)

var testVault = allod.GUID{0xa1, 0x10, 0xd0, 3}

// plain keeps the private half as it is: deriving keys is not what is tested.
type plain struct{ kind string }

func (p plain) Kind() string { return p.kind }

func (plain) Wrap(_ context.Context, _ keyring.Of, b []byte) ([]byte, error) {
	return append([]byte(nil), b...), nil
}

func (plain) Unwrap(_ context.Context, _ keyring.Of, b []byte) ([]byte, error) {
	return append([]byte(nil), b...), nil
}

// bench is a vault's slots in two places, and a clock.
type bench struct {
	*Rack
	now     time.Time
	stores  []*mem.Store
	secrets keyring.Secrets
	epoch   uint64 // in force
}

func newBench(t *testing.T, versions bool) *bench {
	t.Helper()
	b := &bench{now: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), epoch: 1}
	clock := func() time.Time { return b.now }
	var err error
	if b.secrets, err = keyring.NewSecrets(testVault); err != nil {
		t.Fatal(err)
	}
	key, err := b.secrets.Signer(keyring.SignSlot)
	if err != nil {
		t.Fatal(err)
	}
	b.Rack = &Rack{Pin: keyring.Pin{Vault: testVault, Signers: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}, Now: clock, Epoch: func(context.Context) (uint64, error) { return b.epoch, nil }}
	for range 2 {
		s := mem.New(mem.Options{Now: clock, Versions: versions})
		b.stores, b.Places = append(b.stores, s), append(b.Places, s)
	}
	return b
}

func (b *bench) slot(t *testing.T, name, kind string, role keyring.Role) keyring.Slot {
	t.Helper()
	s, err := keyring.NewSlot(t.Context(), testVault, name, role, plain{kind})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (b *bench) add(t *testing.T, name, kind string, role keyring.Role) {
	t.Helper()
	if err := b.Add(t.Context(), b.slot(t, name, kind, role), b.secrets); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) names(t *testing.T) []string {
	t.Helper()
	entries, warnings, err := b.List(t.Context())
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Place+" "+e.Name)
	}
	return names
}

func TestAddProveRemove(t *testing.T) {
	b := newBench(t, true)
	ctx := t.Context()
	b.add(t, "desk", "passphrase", keyring.RoleAll)
	b.add(t, "safe", "paper", keyring.RoleRead)
	b.add(t, "robot", "aws-kms", keyring.RoleCapture)
	if want := []string{"place 1 desk", "place 1 robot", "place 1 safe", "place 2 desk", "place 2 robot", "place 2 safe"}; !cmp.Equal(b.names(t), want) {
		t.Fatalf("got %q, want %q", b.names(t), want)
	}
	if err := b.Add(ctx, b.slot(t, "desk", "paper", keyring.RoleAll), b.secrets); allod.KindOf(err) != allod.Conflict {
		t.Errorf("a name that is taken: got %v, want Conflict", err)
	}
	if _, err := b.Remove(ctx, "robot", false); allod.KindOf(err) != allod.Denied || !strings.Contains(err.Error(), "0 of 2") {
		t.Errorf("nothing proved: got %v, want Denied", err)
	}
	for name, kind := range map[string]string{"desk": "passphrase", "safe": "paper"} {
		if err := b.Prove(ctx, name, plain{kind}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Prove(ctx, "attic", plain{"paper"}); allod.KindOf(err) != allod.NotFound {
		t.Errorf("a slot that is not there: got %v, want NotFound", err)
	}
	d, err := b.Remove(ctx, "robot", false)
	if err != nil || d.Objects != 2 {
		t.Fatalf("removed %+v, %v, want 2 objects", d, err)
	}
	if _, err := b.Remove(ctx, "robot", false); allod.KindOf(err) != allod.NotFound {
		t.Errorf("twice: got %v, want NotFound", err)
	}
	if _, err := b.Remove(ctx, "safe", false); allod.KindOf(err) != allod.Denied || allod.HintOf(err) == "" {
		t.Errorf("the second proved one: got %v, want Denied", err)
	}
	if _, err := b.Remove(ctx, "safe", true); err != nil {
		t.Errorf("the second proved one, forced: %v", err)
	}
	if _, err := b.Remove(ctx, "desk", true); allod.KindOf(err) != allod.Denied {
		t.Errorf("the last one, forced: got %v, want Denied", err)
	}
	for i, s := range b.stores {
		for v, err := range s.Versions(ctx, "") {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(v.Name, "desk") && v.Name != "proofs/robot" {
				t.Errorf("place %d still has %s", i+1, v.Name)
			}
		}
	}
}

// A slot of the name of another one that was removed is not proved by its proof.
func TestProofIsOfTheSlot(t *testing.T) {
	b := newBench(t, false)
	ctx := t.Context()
	b.add(t, "desk", "passphrase", keyring.RoleAll)
	b.add(t, "safe", "paper", keyring.RoleAll)
	if err := b.Prove(ctx, "safe", plain{"paper"}); err != nil {
		t.Fatal(err)
	}
	old := map[int][]byte{}
	for i, s := range b.stores {
		r, err := s.Get(ctx, proofName("safe"), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 1000)
		n, _ := r.Read(text)
		old[i] = text[:n]
	}
	if _, err := b.Remove(ctx, "safe", true); err != nil {
		t.Fatal(err)
	}
	b.add(t, "safe", "paper", keyring.RoleAll)
	for i, s := range b.stores {
		if err := s.Replace(ctx, proofName("safe"), old[i]); err != nil {
			t.Fatal(err)
		}
	}
	entries, _, err := b.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Proved.IsZero() {
			t.Errorf("%s in %s counts as proved at %s", e.Name, e.Place, e.Proved)
		}
	}
}

// What a failing place has kept of a new slot is removed from the others.
func TestAddUndone(t *testing.T) {
	b := newBench(t, false)
	b.Places[1] = full{b.stores[1]}
	if err := b.Add(t.Context(), b.slot(t, "desk", "passphrase", keyring.RoleAll), b.secrets); allod.KindOf(err) != allod.Unavailable {
		t.Fatalf("got %v, want Unavailable", err)
	}
	b.Places[1] = b.stores[1]
	if got := b.names(t); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

type full struct{ *mem.Store }

func (full) Replace(context.Context, string, []byte) error {
	return allod.Errorf(allod.Unavailable, "no room left")
}

// A slot that was written while the keys were rotated is of no use, and goes.
func TestAddWhileRotated(t *testing.T) {
	b := newBench(t, false)
	b.epoch = 2
	if err := b.Add(t.Context(), b.slot(t, "desk", "passphrase", keyring.RoleAll), b.secrets); allod.KindOf(err) != allod.Conflict {
		t.Fatalf("got %v, want Conflict", err)
	}
	if got := b.names(t); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestJudge(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	entry := func(name, kind string, role keyring.Role, days int) Entry {
		e := Entry{Name: name, Kind: kind, Role: role, Epoch: 3, Half: name}
		if days >= 0 {
			e.Proved = now.AddDate(0, 0, -days)
		}
		return e
	}
	same := entry("twin", "paper", keyring.RoleRead, 1)
	same.Half = "desk"
	older := entry("former", "paper", keyring.RoleRead, 1)
	older.Epoch = 2
	tests := []struct {
		name     string
		entries  []Entry
		proved   []string
		only     bool
		warnings int
	}{
		{"none", nil, nil, false, 1},
		{"two", []Entry{entry("desk", "passphrase", keyring.RoleAll, 1), entry("safe", "paper", keyring.RoleRead, 89)}, []string{"desk", "safe"}, false, 0},
		{"one too long ago", []Entry{entry("desk", "passphrase", keyring.RoleAll, 1), entry("safe", "paper", keyring.RoleRead, 90)}, []string{"desk"}, false, 1},
		{"one twice", []Entry{entry("desk", "passphrase", keyring.RoleAll, 1), same}, []string{"desk"}, false, 1},
		{"capture is no reader", []Entry{entry("desk", "passphrase", keyring.RoleAll, 1), entry("robot", "key-file", keyring.RoleCapture, 1)}, []string{"desk"}, false, 1},
		{"another epoch", []Entry{entry("desk", "passphrase", keyring.RoleAll, 1), older}, []string{"desk"}, false, 1},
		{"services only", []Entry{entry("a", "aws-kms", keyring.RoleAll, 1), entry("b", "azure-kv", keyring.RoleAll, 1)}, []string{"a", "b"}, true, 1},
		{"a service and a robot with a file", []Entry{entry("a", "hc-vault", keyring.RoleAll, 1), entry("b", "key-file", keyring.RoleCapture, 1)}, []string{"a"}, true, 2},
	}
	for _, tt := range tests {
		j := Judge(tt.entries, 3, now)
		if !cmp.Equal(j.Proved, tt.proved) || j.OnlyServices != tt.only || len(j.Warnings) != tt.warnings {
			t.Errorf("%s: got %+v, want proved %q, only services %v, %d warnings", tt.name, j, tt.proved, tt.only, tt.warnings)
		}
	}
}

func TestRemoveLeavesMoreThanServices(t *testing.T) {
	b := newBench(t, false)
	b.add(t, "desk", "passphrase", keyring.RoleAll)
	b.add(t, "cloud", "azure-kv", keyring.RoleAll)
	if _, err := b.Remove(t.Context(), "desk", true); allod.KindOf(err) != allod.Denied || !strings.Contains(err.Error(), "cloud") {
		t.Errorf("got %v, want Denied, naming what is left", err)
	}
}

// Slots of the epoch in force are locked for the days that are asked for, each
// day anew; what is removed meanwhile goes when the lock has ended.
func TestRollingLock(t *testing.T) {
	b := newBench(t, true)
	ctx := t.Context()
	b.add(t, "desk", "passphrase", keyring.RoleAll)
	b.add(t, "safe", "paper", keyring.RoleAll)
	if got, err := b.Lock(ctx, 0); got != nil || err != nil {
		t.Errorf("0 days: got %+v, %v, want nothing", got, err)
	}
	for range 3 {
		want := []Renewal{{Place: "place 1", Slots: 2, Until: b.now.AddDate(0, 0, 14)}, {Place: "place 2", Slots: 2, Until: b.now.AddDate(0, 0, 14)}}
		if got, err := b.Lock(ctx, 14); err != nil || !cmp.Equal(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		b.now = b.now.AddDate(0, 0, 1)
	}
	until := b.now.AddDate(0, 0, 13)
	entries, _, err := b.List(ctx)
	if err != nil || !entries[0].Locked.Equal(until) {
		t.Fatalf("locked until %s, %v, want %s", entries[0].Locked, err, until)
	}
	for _, name := range []string{"desk", "safe"} {
		if err := b.Prove(ctx, name, plain{map[string]string{"desk": "passphrase", "safe": "paper"}[name]}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Remove(ctx, "safe", true)
	if err != nil || d.Objects != 0 || len(d.Locked) != 2 || !d.Locked[0].Until.Equal(until) {
		t.Fatalf("removed %+v, %v, want two that are locked until %s", d, err, until)
	}
	b.secrets.Epoch, b.epoch = 2, 2
	if err := keyring.Write(ctx, b.Places, []keyring.Slot{b.slot(t, "desk", "passphrase", keyring.RoleAll)}, b.secrets, b.Now); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Lock(ctx, 14); err != nil || got[0].Slots != 1 {
		t.Errorf("got %+v, %v, want the one slot of epoch 2 locked", got, err)
	}
	count := b.Count(ctx)
	pending := places.Pending(2, count, b.now)
	if len(pending) != 2 || !pending[0].Until.Equal(until) {
		t.Errorf("pending %+v, want both places until %s", pending, until)
	}
	b.now = until
	for _, p := range b.Places {
		if _, err := keyring.Destroy(ctx, p, 2); err != nil {
			t.Fatal(err)
		}
	}
	if pending := places.Pending(2, b.Count(ctx), b.now); len(pending) != 0 {
		t.Errorf("pending %+v, want nothing", pending)
	}
}

// Places that cannot lock, or do not answer, are named.
func TestPlacesThatCannot(t *testing.T) {
	b := newBench(t, false)
	b.add(t, "desk", "passphrase", keyring.RoleAll)
	b.Places = []blob.Mutable{bare{b.stores[0]}, down{b.stores[1]}}
	got, err := b.Lock(t.Context(), 14)
	if err != nil || len(got) != 2 || !got[0].Cannot || allod.KindOf(got[1].Err) != allod.Unavailable {
		t.Errorf("got %+v, want one that cannot and one that failed", got)
	}
	count := b.Count(t.Context())
	if o := b.Oldest(t.Context()); o != 0 {
		t.Errorf("the oldest epoch is %d, want 0: nobody knows", o)
	}
	if count[0].Lost != "" || count[0].Epoch != 1 || count[1].Lost == "" || count[1].StateOf(1, b.now) != places.Unreachable {
		t.Errorf("got %+v, want the second unreachable", count)
	}
}

// bare is a place without optional abilities.
type bare struct{ blob.Mutable }

// down is a place that does not list.
type down struct{ *mem.Store }

func (d down) List(context.Context, string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		yield(blob.Info{}, allod.Errorf(allod.Unavailable, "no answer"))
	}
}

func (d down) Versions(context.Context, string) iter.Seq2[blob.Version, error] {
	return func(yield func(blob.Version, error) bool) {
		yield(blob.Version{}, allod.Errorf(allod.Unavailable, "no answer"))
	}
}
