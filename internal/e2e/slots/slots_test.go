// Package slots_test locks and destroys slots in a bucket of an S3 server made
// by others.
package slots_test

import (
	"context"
	"crypto/ed25519"
	"os"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/s3"
	"allod/internal/e2e/s3server"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/places"
	"allod/internal/vault/keyring/rack"
)

// open makes a bucket with Object Lock for slots.
func open(t *testing.T) *s3.Store {
	t.Helper()
	if os.Getenv("ALLOD_INTEGRATION") == "" {
		t.Skip("it needs an S3 server; ALLOD_INTEGRATION=1 builds and starts one, as make integration does")
	}
	for name, value := range s3server.Env() {
		t.Setenv(name, value)
	}
	server, err := s3server.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := server.MakeBucket(t.Context(), "slots", s3server.Bucket{Locks: true}); err != nil {
		t.Fatal(err)
	}
	store, err := s3.Open(t.Context(), server.Address("slots"), s3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// versions are the versions of slot objects of an epoch, delete markers too.
func versions(t *testing.T, store *s3.Store, epoch string) (found []blob.Version) {
	t.Helper()
	for v, err := range store.Versions(t.Context(), "slots/") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(v.Name, epoch) {
			found = append(found, v)
		}
	}
	return found
}

// Slots of the epoch in force are locked; after a rotation nobody can destroy
// the old ones before that lock has ended, which is said, and afterwards every
// version of them is gone by its id, those written over and those hidden too.
func TestLockedSlotsAreDestroyed(t *testing.T) {
	store := open(t)
	ctx := t.Context()
	secrets, err := keyring.NewSecrets(allod.GUID{1})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := secrets.Signer(keyring.SignSlot)
	if err != nil {
		t.Fatal(err)
	}
	file, err := keyring.NewKeyFile()
	if err != nil {
		t.Fatal(err)
	}
	slot, err := keyring.NewSlot(ctx, secrets.Vault, "file", keyring.RoleAll, file)
	if err != nil {
		t.Fatal(err)
	}
	// The lock is of one day, by a clock that is behind by a day but some seconds.
	const short = 15 * time.Second
	r := &rack.Rack{
		Places: []blob.Mutable{store}, Pin: keyring.Pin{Vault: secrets.Vault, Signers: []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}},
		Now: func() time.Time { return time.Now().Add(short - 24*time.Hour) }, Epoch: func(context.Context) (uint64, error) { return secrets.Epoch, nil },
	}
	write := func() {
		t.Helper()
		if err := keyring.Write(ctx, r.Places, []keyring.Slot{slot}, secrets, time.Now); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if err := store.Delete(ctx, "slots/file@1"); err != nil { // not yet locked
		t.Fatal(err)
	}
	write()
	write() // one version behind the other
	old := versions(t, store, "@1")
	if len(old) < 2 {
		t.Fatalf("%d versions, want two at least", len(old))
	}
	locked, err := r.Lock(ctx, 1)
	if err != nil || len(locked) != 1 || locked[0].Err != nil || locked[0].Slots != 1 {
		t.Fatalf("locked %+v, %v, want the slot", locked, err)
	}
	secrets.Epoch = 2
	write()
	if _, err := keyring.Destroy(ctx, store, 2); allod.KindOf(err) != allod.Denied || !strings.Contains(err.Error(), locked[0].Until.Format(time.RFC3339)) {
		t.Fatalf("destroyed before the lock has ended: got %v, want Denied until %s", err, locked[0].Until)
	}
	if items := places.Pending(2, r.Count(ctx), time.Now()); len(items) != 1 || !items[0].Until.Equal(locked[0].Until) {
		t.Errorf("pending %+v, want the place until %s", items, locked[0].Until)
	}
	if _, _, err := keyring.OpenSlot(ctx, store, r.Pin, 1, file); err != nil {
		t.Errorf("the old slot does not open before the lock has ended: %v", err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		if _, err = keyring.Destroy(ctx, store, 2); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil || time.Now().Before(locked[0].Until) {
		t.Fatalf("destroyed at %s: %v, want it done after %s", time.Now().UTC(), err, locked[0].Until)
	}
	if left := versions(t, store, "@1"); len(left) != 0 {
		t.Errorf("still there: %+v", left)
	}
	for _, v := range old {
		if b, err := store.GetVersion(ctx, v.Name, v.ID, 0, -1); err == nil {
			_ = b.Close()
			t.Errorf("version %s of %s can still be read", v.ID, v.Name)
		}
	}
	if items := places.Pending(2, r.Count(ctx), time.Now()); len(items) != 0 {
		t.Errorf("pending %+v, want nothing", items)
	}
	if _, _, err := keyring.OpenSlot(ctx, store, r.Pin, 2, file); err != nil {
		t.Errorf("the slot in force: %v", err)
	}
}
