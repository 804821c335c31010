package s3_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"allod/internal/e2e/s3server"
)

// loot writes every version of every object that a bucket still gives to a
// folder, as somebody with all its credentials could.
func loot(t *testing.T, server *s3server.Server, bucket, dir string) {
	t.Helper()
	store := openStore(t, server.Address(bucket))
	for v, err := range store.Versions(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if v.Marker {
			continue
		}
		r, err := store.GetVersion(t.Context(), v.Name, v.ID, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		_ = r.Close() // read to its end
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(v.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// entries are the names of the log's entries in a bucket, ascending.
func entries(t *testing.T, server *s3server.Server, bucket string) (names []string) {
	t.Helper()
	for info, err := range openStore(t, server.Address(bucket)).List(t.Context(), "log/") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

// certified is what the attack needs to know of a certificate.
type certified struct {
	SlotHistory []string `json:"slot_history"`
	Pending     []any    `json:"pending"`
}

// TestAttackOnBuckets plays somebody with the credentials of both buckets, the
// passphrase and the recovery key. He turns a copy of the vault back to before
// the erasure and opens it with the product itself. Packs lie under Object Lock.
// Where slots lie in a place that deletes versions the record does not open;
// where somebody has accepted a place that keeps them it does, and the
// certificate has said so before.
func TestAttackOnBuckets(t *testing.T) {
	t.Parallel()
	server := startServer(t, map[string]s3server.Bucket{
		"vault-a": {DefaultDays: 1}, "erasable": {Versions: true},
		"vault-b": {DefaultDays: 1}, "kept": {DefaultDays: 3},
	})
	co := startCompany(t)
	built := build(t)
	for _, tc := range []struct {
		vault, slots string
		accept       string
		opens        bool
	}{
		{"vault-a", "erasable", "", false},
		{"vault-b", "kept", " --accept-slot-history", true},
	} {
		t.Run(tc.slots, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "allod")
			p := &program{t, built.path, append(os.Environ(), "ALLOD_DIR="+dir, "ALLOD_PASSPHRASE=only a test would use this one")}
			said := p.run(0, "init --store "+server.Address(tc.vault)+" --slots "+server.Address(tc.slots)+tc.accept, "Your recovery key")
			words := regexp.MustCompile(`(?:[bdfghj-np-tvz][aiou][bdfghj-np-tvz][aiou][bdfghj-np-tvz] ){17}[a-z]{5}`).FindString(said)
			if words == "" {
				t.Fatal("no recovery key in what init says")
			}
			p.run(0, "connect one "+co.url+" --kind dataverse")
			p.run(0, "backup one --table contact")
			rows := co.call("GET", "contacts?$select=contactid&$top=2&$orderby=contactid", nil)["value"].([]any)
			id := func(i int) string { return rows[i].(map[string]any)["contactid"].(string) }
			p.run(0, "get one@1 contact "+id(0), id(0))

			before := entries(t, server, tc.vault)
			p.run(0, "vault erase one contact "+id(0)+" --yes --urgent --ground request")
			p.run(5, "get one@1 contact "+id(0), "withheld: erased")
			var list struct {
				Erasures []struct {
					ID string `json:"id"`
				} `json:"erasures"`
			}
			if err := json.Unmarshal([]byte(p.run(0, "vault erasures --json")), &list); err != nil || len(list.Erasures) != 1 {
				t.Fatal(list, err)
			}
			path := filepath.Join(dir, "certificate.json")
			p.run(0, "vault erasures certificate "+list.Erasures[0].ID+" --out "+path)
			p.run(0, "audit verify "+path)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var c certified
			line, _, _ := strings.Cut(string(b), "\n")
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			if said, waits := len(c.SlotHistory) > 0, len(c.Pending) > 0; said != tc.opens || waits != tc.opens {
				t.Errorf("the certificate names places that keep slots: %v, and what is pending: %v, want %v", said, waits, tc.opens)
			}

			thief := filepath.Join(t.TempDir(), "allod")
			loot(t, server, tc.vault, filepath.Join(thief, "vault"))
			loot(t, server, tc.slots, filepath.Join(thief, "slots"))
			for _, name := range []string{"allod.yaml", "vault.pin"} {
				b, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				text := strings.NewReplacer(server.Address(tc.vault), "vault", server.Address(tc.slots), "slots").Replace(string(b))
				if err := os.WriteFile(filepath.Join(thief, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ofThief := func(more ...string) *program {
				return &program{t, built.path, append(append(os.Environ(), "ALLOD_DIR="+thief, "ALLOD_PASSPHRASE=only a test would use this one"), more...)}
			}
			pass := ofThief()
			pass.run(5, "get one@1 contact "+id(0), "withheld: erased")
			pass.run(0, "get one@1 contact "+id(1), id(1))

			// The log as it was before, and no memory of the one that came after.
			if err := os.Remove(filepath.Join(thief, "seen.json")); err != nil {
				t.Fatal(err)
			}
			for _, name := range entries(t, server, tc.vault)[len(before):] {
				if err := os.Remove(filepath.Join(thief, "vault", filepath.FromSlash(name))); err != nil {
					t.Fatal(err)
				}
			}
			config := filepath.Join(thief, "allod.yaml")
			for _, key := range []string{"passphrase", "paper"} {
				b, err := os.ReadFile(config)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(config, bytes.Replace(b, []byte("key: passphrase"), []byte("key: "+key), 1), 0o600); err != nil {
					t.Fatal(err)
				}
				code := 5 // no slot of that epoch is given any more
				if tc.opens {
					code = 0
				}
				out := ofThief("ALLOD_RECOVERY_KEY="+words).run(code, "get one@1 contact "+id(0))
				if strings.Contains(out, `"contactid"`) != tc.opens {
					t.Errorf("with the %s the record opens %v, want %v:\n%s", key, !tc.opens, tc.opens, out)
				}
			}
		})
	}
}
