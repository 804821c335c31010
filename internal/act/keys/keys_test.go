package keys

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/durable"
	"allod/internal/vault/keyring/keyspec"
	"allod/internal/vault/keyring/paper"
	"allod/internal/vault/keyring/places"
)

// site is an Allod whose stores are in memory and can lock, with a clock.
type site struct {
	*act.Office
	dir    string
	now    time.Time
	stores map[string]*mem.Store
	facts  blob.Facts // of every store
	words  string
}

func newSite(t *testing.T, facts blob.Facts) *site {
	t.Helper()
	s := &site{dir: filepath.Join(t.TempDir(), "allod"), now: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), stores: map[string]*mem.Store{}, facts: facts}
	made, err := act.Init(t.Context(), s.dir, act.InitOptions{Key: "file:main.key", Slots: []string{"one", "two"}, AcceptSlotHistory: true}, s.deps())
	if err != nil {
		t.Fatal(err)
	}
	s.words = strings.Join(made.Words, " ")
	s.reopen(t)
	return s
}

func (s *site) deps() act.Deps {
	return act.Deps{
		OpenStore: func(_ context.Context, path string, _ bool) (blob.Mutable, error) {
			if s.stores[path] == nil {
				s.stores[path] = mem.New(mem.Options{Now: func() time.Time { return s.now }, Versions: true, Facts: s.facts})
			}
			return s.stores[path], nil
		},
		Passphrase: func(bool) ([]byte, error) { return []byte("correct horse battery"), nil },
		Recovery:   func() (string, error) { return s.words, nil },
		Now:        func() time.Time { return s.now }, Actor: "os:test", Disk: &durable.Disk{},
	}
}

func (s *site) reopen(t *testing.T) {
	t.Helper()
	o, err := act.Open(t.Context(), s.dir, s.deps())
	if err != nil {
		t.Fatal(err)
	}
	s.Office = o
	t.Cleanup(func() { _ = o.Close() })
}

func (s *site) set(t *testing.T, k keyspec.Settings) {
	t.Helper()
	if err := s.SetKeys(t.Context(), k); err != nil {
		t.Fatal(err)
	}
}

// renew does what a process of its own does once a day.
func (s *site) renew(t *testing.T) {
	t.Helper()
	s.reopen(t)
	if _, err := Renew(t.Context(), s.Office); err != nil {
		t.Fatal(err)
	}
}

func days(n int) *int { return &n }

func no() *bool { f := false; return &f }

// G is what allod.yaml says where places lock, L what the slowest place keeps;
// together they are refused beyond 25 days where GDPR applies.
func TestTerms(t *testing.T) {
	s := newSite(t, blob.Facts{SoftDeleteDays: 3})
	for _, tt := range []struct {
		keys keyspec.Settings
		g    int
		want allod.Kind
	}{
		{keyspec.Settings{}, 14, 0},
		{keyspec.Settings{LockDays: days(0)}, 0, 0},
		{keyspec.Settings{LockDays: days(22)}, 22, 0},
		{keyspec.Settings{LockDays: days(23)}, 23, allod.Invalid},
		{keyspec.Settings{LockDays: days(23), GDPR: no()}, 23, 0},
	} {
		s.set(t, tt.keys)
		g, l, err := Terms(t.Context(), s.Office)
		if g != tt.g || l != 3 || tt.want == 0 && err != nil || tt.want != 0 && allod.KindOf(err) != tt.want {
			t.Errorf("%+v: got %d and %d, %v, want %d and 3, %v", tt.keys, g, l, err, tt.g, tt.want)
		}
	}
	s.set(t, keyspec.Settings{LockDays: days(23)})
	if _, err := Renew(t.Context(), s.Office); allod.KindOf(err) != allod.Invalid {
		t.Errorf("renewed for 23 + 3 days: got %v, want Invalid", err)
	}
	if _, err := Rotate(t.Context(), s.Office); allod.KindOf(err) != allod.Invalid {
		t.Errorf("rotated with 23 + 3 days: got %v, want Invalid", err)
	}
}

// Slots that are locked outlive a rotation until the date that it names; then
// the next renewal of locks destroys them. An exported slot keeps it pending until somebody
// says that it was destroyed.
func TestRotateLocked(t *testing.T) {
	s := newSite(t, blob.Facts{})
	ctx := t.Context()
	renewed, err := Renew(ctx, s.Office)
	if err != nil || len(renewed) != 2 || renewed[0].Slots != 2 || !renewed[1].Until.Equal(s.now.AddDate(0, 0, 14)) {
		t.Fatalf("renewed %+v, %v, want both places for 14 days", renewed, err)
	}
	if err := Count(ctx, s.Office, places.Place{Name: "stick", Kind: places.Exported, Keys: true}); err != nil {
		t.Fatal(err)
	}
	final := s.now.AddDate(0, 0, 14)
	r, err := Rotate(ctx, s.Office)
	if allod.KindOf(err) != allod.Partial || r == nil || len(r.Left) != 2 || r.Epoch != 2 || r.Slots != 4 || !r.Final.Equal(final) || len(r.Reasons) != 1 {
		t.Fatalf("rotated %+v, %v, want Partial with both places until %s", r, err, final)
	}
	slots, _, err := List(ctx, s.Office)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range slots {
		if !e.Locked.Equal(final) {
			t.Errorf("slot %s of epoch %d is locked until %s, want %s", e.Name, e.Epoch, e.Locked, final)
		}
	}
	pending, err := Pending(ctx, s.Office, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]time.Time{"place-1": final, "place-2": final, "stick": {}}
	got := map[string]time.Time{}
	for _, p := range pending {
		got[p.Place] = p.Until
	}
	if !cmp.Equal(got, want) {
		t.Errorf("pending %v, want %v", got, want)
	}
	s.now = final.Add(-time.Second)
	s.renew(t)
	if pending, err = Pending(ctx, s.Office, 2); err != nil || len(pending) != 3 {
		t.Errorf("before the locks have ended: pending %+v, %v, want all three", pending, err)
	}
	s.now = final
	s.renew(t)
	if pending, err = Pending(ctx, s.Office, 2); err != nil || len(pending) != 1 || pending[0].Place != "stick" {
		t.Fatalf("when the locks have ended: pending %+v, %v, want stick alone", pending, err)
	}
	if err := Declare(ctx, s.Office, "stick", "custodian", "shredded"); err != nil {
		t.Fatal(err)
	}
	all, pending, err := Places(ctx, s.Office)
	if err != nil || len(pending) != 0 || len(all) != 4 {
		t.Fatalf("%+v, pending %+v, %v, want four places and nothing pending", all, pending, err)
	}
	if d := all[2].Destroyed; all[2].Name != "stick" || d == nil || d.By != "custodian" || d.Text != "shredded" || !d.At.Equal(s.now) {
		t.Errorf("got %+v, want stick declared destroyed by custodian", all[2])
	}
}

// A recovery key that cannot be shown leaves no slot behind.
func TestPrint(t *testing.T) {
	s := newSite(t, blob.Facts{})
	ctx := t.Context()
	fails := func(*paper.Sheet) error { return allod.Errorf(allod.Unavailable, "the printer is out of paper") }
	if err := Print(ctx, s.Office, "", "all", fails); allod.KindOf(err) != allod.Unavailable {
		t.Fatalf("got %v, want Unavailable", err)
	}
	var sheet paper.Sheet
	if err := Print(ctx, s.Office, "", "reader", func(p *paper.Sheet) error { sheet = *p; return nil }); err != nil {
		t.Fatal(err)
	}
	if sheet.Slot != "paper-2" || sheet.Role != "read" || len(sheet.Words) != 18 {
		t.Fatalf("got %+v, want slot paper-2 of role read", sheet)
	}
	again, err := PrintAgain(ctx, s.Office, strings.Join(sheet.Words, " "))
	if err != nil || again.Slot != "paper-2" {
		t.Errorf("again: got %+v, %v, want that of paper-2", again, err)
	}
	if _, err := PrintAgain(ctx, s.Office, strings.ToUpper(strings.Join(sheet.Words[:17], " "))); allod.KindOf(err) != allod.Invalid {
		t.Errorf("17 words: got %v, want Invalid", err)
	}
	if err := Print(ctx, s.Office, "x", "king", fails); allod.KindOf(err) != allod.Invalid {
		t.Errorf("role king: got %v, want Invalid", err)
	}
}

// What opens a slot is remembered where it is no secret, and forgotten with it.
func TestAddRemembers(t *testing.T) {
	s := newSite(t, blob.Facts{})
	ctx := t.Context()
	if _, err := Add(ctx, s.Office, AddOptions{Name: "site-b", Spec: "file:b.key"}); err != nil {
		t.Fatal(err)
	}
	s.reopen(t)
	if got := s.Config().Keys.Open["site-b"]; got != "file:b.key" {
		t.Errorf("remembered %q, want file:b.key", got)
	}
	proved, err := Prove(ctx, s.Office, nil, "")
	if err != nil || len(proved) != 3 {
		t.Fatalf("proved %+v, %v, want three slots", proved, err)
	}
	if _, err := Remove(ctx, s.Office, "site-b", false); err != nil {
		t.Fatal(err)
	}
	s.reopen(t)
	if len(s.Config().Keys.Open) != 0 {
		t.Errorf("still remembered: %v", s.Config().Keys.Open)
	}
	slots, warnings, err := List(ctx, s.Office)
	if err != nil || len(slots) != 4 || len(warnings) != 0 || slots[0].Key != "file:main.key" || slots[1].Key != "paper" {
		t.Errorf("got %+v, %q, %v, want two slots in two places, opened by file:main.key and paper", slots, warnings, err)
	}
}

func TestPlacesRefused(t *testing.T) {
	s := newSite(t, blob.Facts{})
	ctx := t.Context()
	if err := Count(ctx, s.Office, places.Place{Name: "tape", Kind: places.Copy}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		err  error
		want allod.Kind
	}{
		"kind":             {Count(ctx, s.Office, places.Place{Name: "a", Kind: places.Worker}), allod.Invalid},
		"name":             {Count(ctx, s.Office, places.Place{Name: "A b", Kind: places.Copy}), allod.Invalid},
		"taken":            {Count(ctx, s.Office, places.Place{Name: "tape", Kind: places.Copy}), allod.Conflict},
		"taken by itself":  {Count(ctx, s.Office, places.Place{Name: "place-1", Kind: places.Copy}), allod.Conflict},
		"nobody":           {Declare(ctx, s.Office, "tape", "", ""), allod.Invalid},
		"a place of slots": {Declare(ctx, s.Office, "place-1", "custodian", ""), allod.NotFound},
		"declared":         {Declare(ctx, s.Office, "tape", "custodian", ""), 0},
		"declared again":   {Declare(ctx, s.Office, "tape", "custodian", strings.Repeat("x", 2000)), allod.Invalid},
	} {
		if tt.want == 0 && tt.err != nil || tt.want != 0 && allod.KindOf(tt.err) != tt.want {
			t.Errorf("%s: got %v, want %v", name, tt.err, tt.want)
		}
	}
	if err := Declare(ctx, s.Office, "tape", "custodian", ""); allod.KindOf(err) != allod.Conflict {
		t.Errorf("declared twice: got %v, want Conflict", err)
	}
}
