package seen

import (
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"
	"time"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/durable"
	"allod/internal/ledger"
	"allod/internal/vault"
	vlog "allod/internal/vault/log"
)

func newLedger(t *testing.T, entries int) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(context.Background(), ledger.Config{
		Store: mem.New(mem.Options{}), Vault: allod.GUID{1}, Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: func() time.Time { return time.Unix(0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range entries {
		if _, err := l.Append(context.Background(), ledger.Entry{Kind: ledger.KindAct, Action: "read"}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func load(t *testing.T, dir string, id allod.GUID) Heads {
	t.Helper()
	h, err := Load(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	writes := 0
	disk := &durable.Disk{Hook: func(s durable.Step, _ string, do func() error) error {
		if s == durable.StepRename {
			writes++
		}
		return do()
	}}
	keep := func(h Heads, log vault.Head, l *ledger.Ledger) {
		t.Helper()
		if err := h.Keep(disk, log, l); err != nil {
			t.Fatal(err)
		}
	}
	keep(Heads{}, vault.Head{N: 1}, nil) // never loaded: there is nowhere to write to
	first := load(t, dir, allod.GUID{1})
	if first.Log.N != 0 || first.Ledger.Size != 0 || writes != 0 {
		t.Errorf("before anything was seen: %+v, %d writes", first, writes)
	}
	five, two := newLedger(t, 5), newLedger(t, 2)
	keep(first, vault.Head{N: 7, Digest: vlog.Digest{7}}, two)
	keep(first, vault.Head{N: 3, Digest: vlog.Digest{3}}, five) // another process was farther in the log
	keep(first, vault.Head{N: 7, Digest: vlog.Digest{7}}, five)
	keep(first, vault.Head{N: 6}, nil)
	got := load(t, dir, allod.GUID{1})
	if (got.Log != vault.Head{N: 7, Digest: vlog.Digest{7}}) || got.Ledger != five.Head() || writes != 2 {
		t.Errorf("got %+v after %d writes, want the farthest of both after 2", got, writes)
	}
	if other := load(t, dir, allod.GUID{2}); other.Log.N != 0 || other.Ledger.Size != 0 {
		t.Errorf("another vault has seen %+v", other)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "text": "hello", "newer": `{"format":2}`, "size": `{"format":1,"vault":"01000000-0000-0000-0000-000000000000","ledger":{"size":-1,"hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`,
		"digest": `{"format":1,"log":{"n":1,"digest":"zz"}}`, "too long": `{"format":1,"vault":"` + string(make([]byte, maxFile)),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, File), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, allod.GUID{1}); allod.KindOf(err) != allod.Corrupt || allod.HintOf(err) == "" {
			t.Errorf("%s: got %v, want kind corrupt with a hint", name, err)
		}
		if err := (Heads{dir: dir}).Keep(&durable.Disk{}, vault.Head{N: 1}, nil); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s, written over: got %v, want kind corrupt", name, err)
		}
	}
}
