package job

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/durable"
	"allod/internal/runlog"
)

// The locks of slots are renewed with every task, whatever becomes of it.
func TestDoRenewsLocks(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	stores := map[string]*mem.Store{}
	deps := act.Deps{
		OpenStore: func(_ context.Context, path string, _ bool) (blob.Mutable, error) {
			name := filepath.Base(path)
			if stores[name] == nil {
				stores[name] = mem.New(mem.Options{Now: clock})
			}
			return stores[name], nil
		},
		Now: clock, Actor: "os:test", Disk: &durable.Disk{},
	}
	dir := filepath.Join(t.TempDir(), "allod")
	if _, err := act.Init(t.Context(), dir, act.InitOptions{Key: "file:main.key"}, deps); err != nil {
		t.Fatal(err)
	}
	d := &Desk{Dir: dir, Deps: deps}
	for _, tt := range []struct {
		task Task
		want allod.Kind
	}{{Task{What: runlog.Verify}, 0}, {Task{What: runlog.Compact}, 0}, {Task{What: runlog.Backup, Environment: "nowhere"}, allod.NotFound}} {
		line, err := d.Do(t.Context(), tt.task)
		if tt.want == 0 && err != nil || tt.want != 0 && allod.KindOf(err) != tt.want {
			t.Errorf("%s: got %q, %v, want %v", tt.task.Name(), line, err, tt.want)
		}
		until, err := stores["slots"].LockedUntil(t.Context(), "slots/paper@1")
		if want := now.AddDate(0, 0, 14); err != nil || !until.Equal(want) {
			t.Errorf("after %s: locked until %s, %v, want %s", tt.task.Name(), until, err, want)
		}
		now = now.AddDate(0, 0, 1)
	}
}

// The day of a secret is what the configuration says; a certificate says it itself.
func TestExpiryOfCredentials(t *testing.T) {
	end := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		c    act.Connection
		want time.Time
	}{
		"configured":       {act.Connection{SecretExpires: "2027-01-02", Certificate: file}, time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC)},
		"certificate":      {act.Connection{Certificate: file}, end},
		"no certificate":   {act.Connection{Certificate: file + ".gone"}, time.Time{}},
		"nothing is known": {act.Connection{}, time.Time{}},
	} {
		if got := expiry(c.c); !got.Equal(c.want) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
