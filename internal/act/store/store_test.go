package store_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/store"
	"allod/internal/blob"
	"allod/internal/blob/mem"
)

func TestCheck(t *testing.T) {
	begun := time.Now()
	fast := func() time.Time { return begun.Add(10 * time.Since(begun)) } // locks end sooner
	for _, tc := range []struct {
		name   string
		opts   mem.Options
		use    string
		lock   bool
		late   time.Duration     // of this machine's clock
		fails  string            // the checks that fail
		says   map[string]string // what is said of others
		slots  bool
		latent int
	}{
		{name: "plain", slots: true, says: map[string]string{"retention": "--lock", "versions": "keeps no versions"}},
		{name: "versions, locks tried", opts: mem.Options{Versions: true}, lock: true, use: store.UseSlots, slots: true},
		{
			name: "locked by default", opts: mem.Options{Versions: true, Facts: blob.Facts{DefaultLock: "compliance", DefaultLockDays: 7}}, use: store.UseVault, latent: 7,
			says: map[string]string{"put then read": "locked for 7 days", "retention": "locked for 7 days"},
		},
		{name: "slots where they are copied", opts: mem.Options{Facts: blob.Facts{Copies: []string{"x"}}}, use: store.UseSlots, fails: "slots may lie here", latent: -1},
		{name: "wrong clock", late: time.Hour, fails: "clock", slots: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.opts.Now = fast
			s := mem.New(tc.opts)
			deps := act.Deps{
				OpenStore: func(_ context.Context, _ string, create bool) (blob.Mutable, error) {
					if create != (tc.use == "") {
						t.Errorf("create is %v for a place used for %q", create, tc.use)
					}
					return s, nil
				},
				Now: func() time.Time { return fast().Add(tc.late) },
			}
			var found []store.Found
			var failed []string
			said := map[string]string{}
			err := store.Check(t.Context(), store.Place{Address: "there", Use: tc.use}, deps, store.Options{
				Lock: tc.lock, Facts: func(f store.Found) { found = append(found, f) },
				Report: func(c act.Checked) {
					said[c.Name] = c.What
					if !c.OK {
						failed = append(failed, c.Name)
					}
				},
			})
			if got := strings.Join(failed, " "); got != tc.fails || (err != nil) != (tc.fails != "") || err != nil && allod.KindOf(err) != allod.Partial {
				t.Errorf("failed %q, %v, want %q; said %q", got, err, tc.fails, said)
			}
			for name, want := range tc.says {
				if !strings.Contains(said[name], want) {
					t.Errorf("%s: says %q, want %q", name, said[name], want)
				}
			}
			if len(found) != 1 || found[0].Slots.Erasable != tc.slots || found[0].Slots.LatencyDays != tc.latent {
				t.Errorf("facts: %+v, want erasable %v, L = %d", found, tc.slots, tc.latent)
			}
			for info := range s.List(t.Context(), "") {
				t.Errorf("%s is left", info.Name)
			}
		})
	}
}

func TestLocksThatAreWanted(t *testing.T) {
	deps := act.Deps{OpenStore: func(context.Context, string, bool) (blob.Mutable, error) { return noLocks{mem.New(mem.Options{})}, nil }, Now: time.Now}
	var failed []string
	err := store.Check(t.Context(), store.Place{Address: "there"}, deps, store.Options{Lock: true, Facts: func(store.Found) {}, Report: func(c act.Checked) {
		if !c.OK {
			failed = append(failed, c.Name)
		}
	}})
	if got := strings.Join(failed, ","); got != "retention,lock grows" || allod.KindOf(err) != allod.Partial {
		t.Errorf("failed %q, %v, want both checks of locks", got, err)
	}
}

// noLocks shows the methods of blob.Mutable alone, and refuses locks.
type noLocks struct{ blob.Mutable }

func (n noLocks) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	if !opts.RetainUntil.IsZero() {
		return allod.Errorf(allod.Invalid, "%w", blob.ErrLockUnsupported)
	}
	return n.Mutable.Put(ctx, name, r, size, opts)
}
