package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/s3"
	"allod/internal/e2e/s3server"
	"allod/internal/vault/verify"
)

// meeting is where two writers of the same log entry wait for each other.
type meeting struct {
	mu      sync.Mutex
	here    int
	both    chan struct{}
	refused int // puts of log entries that found their number taken
}

func (m *meeting) wait() {
	m.mu.Lock()
	if m.here++; m.here == 2 {
		close(m.both)
	}
	m.mu.Unlock()
	select {
	case <-m.both:
	case <-time.After(time.Minute): // the test fails by what it counts
	}
}

// meets is a bucket whose writer waits, before its first log entry, for the
// other one.
type meets struct {
	*s3.Store
	m    *meeting
	once sync.Once
}

func (s *meets) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	if strings.HasPrefix(name, "log/") {
		s.once.Do(s.m.wait)
	}
	err := s.Store.Put(ctx, name, r, size, opts)
	if errors.Is(err, blob.ErrExists) && strings.HasPrefix(name, "log/") {
		s.m.mu.Lock()
		s.m.refused++
		s.m.mu.Unlock()
	}
	return err
}

// TestTwoWriters: two processes put the same number of the log at the same
// moment. The store lets one; the other takes the next number.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	server := startServer(t, map[string]s3server.Bucket{"vault": {Locks: true}, "keys": {Versions: true}})
	co := startCompany(t)
	k := newDesk(t, co, deps(0, nil), server.Address("vault/a"), server.Address("keys/a"))
	k.backup("one") // each environment gets its number
	k.backup("two")
	co.changeAccounts("for both", 5)
	m := &meeting{both: make(chan struct{})}
	done := make(chan error, 2)
	for _, env := range []string{"one", "two"} {
		go func() {
			o, err := act.Open(t.Context(), k.dir, deps(0, func(s *s3.Store) blob.Mutable { return &meets{Store: s, m: m} }))
			if err == nil {
				_, err = o.Backup(t.Context(), env, few())
				err = errors.Join(err, o.Close())
			}
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if m.here != 2 || m.refused == 0 {
		t.Errorf("%d writers met, %d entries found their number taken; want 2 and at least 1", m.here, m.refused)
	}
	k.reopen()
	k.wantLive("one")
	k.wantLive("two")
	if bad := k.verify(); len(bad) > 0 {
		t.Errorf("verify: %v", bad)
	}
}

// TestServerDies: the server is killed while it is sent a backup, after so many
// bytes, and started again: the old or the new snapshot is there, nothing is
// damaged, and the next backup goes on.
func TestServerDies(t *testing.T) {
	t.Parallel()
	server := startServer(t, map[string]s3server.Bucket{"vault": {Locks: true}, "keys": {Versions: true}})
	co := startCompany(t)
	k := newDesk(t, co, deps(2, nil), server.Address("vault"), server.Address("keys"))
	k.backup("one")
	died := 0
	for i, after := range []int64{1 << 10, 40 << 10, 100 << 10} {
		co.changeAccounts(fmt.Sprint("for kill ", i), 60)
		before, err := k.Snapshots(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		killed := make(chan error, 1)
		server.After(after, func() { killed <- server.Kill() })
		_, err = k.Backup(t.Context(), "one", few())
		server.After(0, nil)
		select {
		case kerr := <-killed:
			died++
			if kerr != nil {
				t.Fatal(kerr)
			}
			if kind := allod.KindOf(err); err != nil && kind != allod.Unavailable {
				t.Errorf("backup while the server dies after %d bytes: %v (kind %v), want unavailable", after, err, kind)
			}
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		default:
			if err != nil {
				t.Fatalf("backup of fewer than %d bytes: %v", after, err)
			}
		}
		k.reopen()
		now, err := k.Snapshots(t.Context(), "one")
		if err != nil || len(now) < len(before) {
			t.Fatalf("after a kill at %d bytes: %d snapshots, %v; there were %d", after, len(now), err, len(before))
		}
		k.backup("one")
		k.wantLive("one")
	}
	if died < 2 {
		t.Errorf("the server died %d times, which is too few to show anything", died)
	}
	if bad := k.verify(); len(bad) > 0 {
		t.Errorf("verify: %v", bad)
	}
}

// TestTampering: with every right but that to delete versions of locked
// objects, somebody overwrites and hides packs, log entries, ledger entries and
// slots. Everything is read as it was stored, and each change is told.
func TestTampering(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := startServer(t, map[string]s3server.Bucket{"vault": {DefaultDays: 1}, "keys": {Versions: true}})
	co := startCompany(t)
	k := newDesk(t, co, deps(0, nil), server.Address("vault/v"), server.Address("keys"))
	k.backup("one")
	co.changeAccounts("once", 5)
	k.backup("one")
	store, err := s3.Open(ctx, server.Address("vault/v"), s3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	attacker, err := server.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	overwrite := func(bucket, key string) error {
		_, err := attacker.PutObject(ctx, &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("forged")})
		return err
	}
	hide := func(bucket, key string) error {
		_, err := attacker.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &bucket, Key: &key})
		return err
	}
	// Each kind of object, overwritten and hidden in turn.
	want := map[string]bool{}
	for _, prefix := range []string{"vault", "packs/", "log/", "ledger/entry/", "keytree/"} {
		var names []string
		for info, err := range store.List(ctx, prefix) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, info.Name)
		}
		if len(names) == 0 {
			t.Fatalf("there is nothing under %s", prefix)
		}
		for i, name := range names[:min(2, len(names))] {
			err := overwrite("vault", "v/"+name)
			if i == 1 {
				err = hide("vault", "v/"+name)
			}
			if err != nil {
				t.Fatal(err)
			}
			want[name] = true
			if b, err := read(ctx, store, name); err == nil && string(b) != "forged" {
				t.Errorf("%s: the attack did nothing", name)
			}
		}
	}
	for name, attack := range map[string]func(bucket, key string) error{"slots/file@1": hide, "slots/paper@1": overwrite} {
		if err := attack("keys", name); err != nil {
			t.Fatal(err)
		}
		want[name] = true
	}
	k.reopen()
	k.wantLive("one")
	status, err := k.VaultStatus(ctx)
	if err != nil || !strings.Contains(strings.Join(status.Warnings, "\n"), "changed") {
		t.Errorf("vault status: %v, warnings %q, want one of tampering", err, status.Warnings)
	}
	got := map[string]bool{}
	for _, b := range k.verify() {
		if b.Kind != "tampered" {
			t.Errorf("verify: %s: %s (%s), want nothing but tampering", b.Object, b.What, b.Kind)
		}
		got[b.Object] = true
	}
	if _, err := k.Verify(ctx, verify.Options{Public: true}); allod.KindOf(err) != allod.Corrupt || !strings.Contains(allod.HintOf(err), "Nothing is lost") {
		t.Errorf("verify: %v (hint %q), want corrupt and that nothing is lost", err, allod.HintOf(err))
	}
	for name := range want {
		if !got[name] {
			t.Errorf("verify does not tell that %s was tampered with", name)
		}
	}
	for name := range got {
		if !want[name] {
			t.Errorf("verify tells that %s was tampered with", name)
		}
	}
	co.changeAccounts("again", 5)
	k.backup("one") // and the vault goes on
	k.reopen()
	k.wantLive("one")
}

// TestPlacesOfSlots: what the facts and the probe say of buckets, and what init
// makes of it.
func TestPlacesOfSlots(t *testing.T) {
	t.Parallel()
	server := startServer(t, map[string]s3server.Bucket{"vault": {Locks: true}, "plain": {}, "versions": {Versions: true}, "locks": {Locks: true}, "kept": {DefaultDays: 3}})
	for _, tc := range []struct {
		slots string
		want  string // in the error; "" = accepted
	}{
		{"plain", ""},
		{"versions/some/where", ""},
		{"locks", ""},
		{"kept", "locked for 3 days"},
		{"vault/slots", "inside the vault's store"},
	} {
		dir := t.TempDir() + "/allod"
		o := act.InitOptions{Key: "file:test.key", Store: server.Address("vault/" + strings.ReplaceAll(tc.slots, "/", "-")), Slots: []string{server.Address(tc.slots)}}
		_, err := act.Init(t.Context(), dir, o, deps(0, nil))
		if tc.want == "" {
			if err != nil {
				t.Errorf("slots in %s: %v", tc.slots, err)
			}
			continue
		}
		if allod.KindOf(err) != allod.Invalid || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("slots in %s: %v (kind %v), want invalid: %s", tc.slots, err, allod.KindOf(err), tc.want)
		}
		if tc.slots != "kept" {
			continue
		}
		o.AcceptSlotHistory = true
		if _, err := act.Init(t.Context(), dir, o, deps(0, nil)); err != nil {
			t.Fatalf("slots in %s, accepted: %v", tc.slots, err)
		}
		office, err := act.Open(t.Context(), dir, deps(0, nil))
		if err != nil {
			t.Fatal(err)
		}
		status, err := office.VaultStatus(t.Context())
		if err != nil || !strings.Contains(strings.Join(status.Warnings, "\n"), "is not gone") || len(office.Config().AcceptSlotHistory) != 1 {
			t.Errorf("vault status: %v, %q; accepted %v", err, status.Warnings, office.Config().AcceptSlotHistory)
		}
		if err := office.Close(); err != nil {
			t.Error(err)
		}
	}
}
