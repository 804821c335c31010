package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/ledger"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/log/certificate"
)

func keyOf(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(n byte) ed25519.PublicKey { return keyOf(n).Public().(ed25519.PublicKey) }

func now() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }

// kit is a folder with everything that can be checked, and what it was made of.
type kit struct {
	t      *testing.T
	dir    string
	pin    vlog.Pin
	ledger *ledger.Ledger
}

func newKit(t *testing.T) *kit {
	t.Helper()
	k := &kit{t: t, dir: t.TempDir(), pin: vlog.Pin{Vault: allod.GUID{1, 2}, Recipients: []string{"age1pq1x"}}}
	for i, use := range []string{vlog.UseCapture, vlog.UseErase, vlog.UseLedger, vlog.UseSlot} {
		k.pin.Signers = append(k.pin.Signers, vlog.Signer{Use: use, Key: vlog.Key(public(byte(i + 1)))})
	}
	b, err := vlog.EncodeVault(k.pin, keyOf(4))
	k.must(err)
	k.write("vault", b)
	k.ledger = k.newLedger()
	return k
}

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) write(name string, b []byte) {
	k.t.Helper()
	path := filepath.Join(k.dir, name)
	k.must(os.MkdirAll(filepath.Dir(path), 0o755))
	k.must(os.WriteFile(path, b, 0o644))
}

// newLedger has a decision and an act that 1 record was erased.
func (k *kit) newLedger() *ledger.Ledger {
	k.t.Helper()
	l, err := ledger.Open(context.Background(), ledger.Config{Store: mem.New(mem.Options{}), Vault: k.pin.Vault, Key: keyOf(3), Now: now})
	k.must(err)
	for _, e := range []ledger.Entry{{Kind: ledger.KindDecision, Action: "erase", Effect: "allow", Purpose: "operate"}, {Kind: ledger.KindAct, Action: certificate.ActErased, Counts: map[string]int64{certificate.Records: 1}}} {
		_, err := l.Append(context.Background(), e)
		k.must(err)
	}
	return l
}

func (k *kit) checkpoint(l *ledger.Ledger, name string) []byte {
	k.t.Helper()
	_, b, err := l.Checkpoint(context.Background())
	k.must(err)
	k.write(name, b)
	return b
}

// log writes a log of two entries and returns the second, an erasure.
func (k *kit) log() []byte {
	k.t.Helper()
	return k.logOf(k.ledger.Head())
}

// logOf is log, with the head of the ledger that its first entry has seen.
func (k *kit) logOf(seen ledger.Head) []byte {
	k.t.Helper()
	vault := strings.ReplaceAll(k.pin.Vault.String(), "-", "")
	first := &vlog.Entry{Vault: vault, N: 1, Kind: vlog.KindCapture, Run: "r", Time: now(), Environment: 1, Capture: 1, Root: 1, Epoch: 1, Ledger: vlog.LedgerRoot{Size: seen.Size, Hash: vlog.Digest(seen.Hash)}}
	b, d, err := first.Encode(keyOf(1))
	k.must(err)
	k.write(vlog.EntryName(1), b)
	second := &vlog.Entry{Vault: vault, N: 2, Prev: d, Kind: vlog.KindErase, Run: strings.Repeat("07", 16), Time: now(), Root: 1, Epoch: 2, AbsentBefore: vlog.Digest{1}, AbsentAfter: vlog.Digest{2}}
	b, d, err = second.Encode(keyOf(2))
	k.must(err)
	k.write(vlog.EntryName(2), b)
	c := &vlog.Checkpoint{Vault: vault, N: 2, Last: d, Time: now()}
	cb, err := c.Encode(keyOf(1))
	k.must(err)
	k.write(vlog.CheckpointName(2), cb)
	return b
}

func (k *kit) certificate() *certificate.Certificate {
	k.t.Helper()
	object := k.log()
	p, err := k.ledger.Prove(context.Background(), 1)
	k.must(err)
	return &certificate.Certificate{
		Vault: k.pin.Vault, Erasure: allod.GUID(bytes.Repeat([]byte{7}, 16)), Issued: now(), Asked: now(), Form: certificate.Forget, Tags: []certificate.Tag{{Environment: 1, Table: 1, Tag: strings.Repeat("0a", 16)}},
		Approval: certificate.Approval{Request: allod.GUID{9}, Plan: strings.Repeat("cd", 32), OnePerson: true},
		Puncture: certificate.Puncture{Entry: 2, Digest: sha256.Sum256(object), Time: now(), Root: 1, EpochBefore: 1, Epoch: 2, AbsentBefore: vlog.Digest{1}, AbsentAfter: vlog.Digest{2}, Object: object},
		Places:   []certificate.Place{{Name: "slots", Kind: "folder", Means: "deleted", Destroyed: now()}}, Residue: []string{"tag and length"}, Ledger: p,
	}
}

// check runs the program in the kit's folder.
func (k *kit) check(args ...string) (out string, err error) {
	k.t.Helper()
	for i, a := range args {
		if !strings.HasPrefix(a, "-") && (i == 0 || args[i-1] != "--witness") {
			args[i] = filepath.Join(k.dir, a)
		}
	}
	var b, errs bytes.Buffer
	err = run(args, &b, &errs)
	if (err == nil) == strings.Contains(errs.String(), "allod-verify: ") {
		k.t.Errorf("%q: error %v, and said %q", args, err, errs.String())
	}
	return b.String() + errs.String(), err
}

func (k *kit) wantKind(want allod.Kind, says string, args ...string) {
	k.t.Helper()
	given := strings.Join(args, " ")
	out, err := k.check(args...)
	if allod.KindOf(err) != want || !strings.Contains(out, says) {
		k.t.Errorf("%s: got %v, want kind %v that says %q:\n%s", given, err, want, says, out)
	}
}

func TestCertificate(t *testing.T) {
	k := newKit(t)
	c := k.certificate()
	b, err := c.Sign(keyOf(2))
	k.must(err)
	k.write("certificate.json", b)
	k.wantKind(0, "All of it is so.", "--vault", "vault", "certificate.json")
	k.wantKind(0, "FINAL since 2026-11-21 09:00:00 UTC", "--vault", "vault", "certificate.json")
	k.wantKind(0, "which the log of 2 entries has in its place", "--vault", "vault", "--log", ".", "certificate.json")
	k.write("changed.json", bytes.Replace(b, []byte(`"one_person":true`), []byte(`"one_person":true `), 1))
	k.wantKind(allod.Corrupt, "canonical", "--vault", "vault", "changed.json")
	other := newKit(t)
	other.pin.Vault = allod.GUID{3}
	vault, err := vlog.EncodeVault(other.pin, keyOf(4))
	k.must(err)
	k.write("other", vault)
	k.wantKind(allod.Corrupt, "of the vault", "--vault", "other", "certificate.json")
	k.must(os.Remove(filepath.Join(k.dir, vlog.CheckpointName(2))))
	k.must(os.Remove(filepath.Join(k.dir, vlog.EntryName(2))))
	k.wantKind(allod.Corrupt, "the log ends with entry 1", "--vault", "vault", "--log", ".", "certificate.json")
}

func TestLog(t *testing.T) {
	k := newKit(t)
	k.wantKind(allod.NotFound, "read the log", "--vault", "vault", "--log", ".")
	k.log()
	k.wantKind(0, "log: 2 entries, chained and signed, until 2026-11-21T09:00:00Z: 1 capture, 1 erase", "--vault", "vault", "--log", ".")
	path := filepath.Join(k.dir, vlog.EntryName(1))
	b, err := os.ReadFile(path)
	k.must(err)
	k.must(os.Remove(path))
	k.wantKind(allod.Corrupt, "it ends with entry 0", "--vault", "vault", "--log", ".")
	k.write(vlog.EntryName(1), bytes.Replace(b, []byte(`"rows":0`), []byte(`"rows":1`), 1))
	k.wantKind(allod.Corrupt, "log entry 1", "--vault", "vault", "--log", ".")
	k.write(vlog.EntryName(1), b)
	k.must(os.Remove(filepath.Join(k.dir, vlog.EntryName(2))))
	k.wantKind(allod.Corrupt, "checkpoint 2", "--vault", "vault", "--log", ".")
}

// A vault with three roots of the key tree, as one was written: it began two of
// them and erased in all.
func TestLogOfSeveralRoots(t *testing.T) {
	k := &kit{t: t, dir: t.TempDir()}
	k.must(os.CopyFS(k.dir, os.DirFS("../../internal/vault/testdata/format-v1-roots/store")))
	k.wantKind(0, "log: 8 entries, chained and signed, until 2026-03-01T00:00:26Z: 2 slot, 3 capture, 3 erase", "--vault", "vault", "--log", ".")
	k.must(os.Remove(filepath.Join(k.dir, vlog.EntryName(3)))) // where the second root begins
	k.wantKind(allod.Corrupt, "it ends with entry 2", "--vault", "vault", "--log", ".")
}

func TestLedgerFiles(t *testing.T) {
	k := newKit(t)
	ctx := context.Background()
	old := k.checkpoint(k.ledger, "old.txt")
	from := k.ledger.Head()
	_, err := k.ledger.Append(ctx, ledger.Entry{Kind: ledger.KindAct, Action: "read"})
	k.must(err)
	newer := k.checkpoint(k.ledger, "new.txt")
	g, err := k.ledger.ProveGrowth(ctx, from)
	k.must(err)
	k.write("growth.txt", g.Text())
	p, err := k.ledger.Prove(ctx, 1)
	k.must(err)
	k.write("entry.tlog-proof", p.Text())

	k.wantKind(0, "act erased", "--vault", "vault", "entry.tlog-proof")
	k.wantKind(0, "the ledger of 3 entries contains that of 2 entries unchanged", "--vault", "vault", "old.txt", "growth.txt", "new.txt")
	k.wantKind(allod.Invalid, "no checkpoint of that size", "--vault", "vault", "growth.txt")
	k.write("half.tlog-proof", p.Text()[:200])
	k.wantKind(allod.Corrupt, "ledger proof", "--vault", "vault", "half.tlog-proof")

	fork := k.newLedger() // its entries have other ids
	k.checkpoint(fork, "fork.txt")
	k.wantKind(allod.Corrupt, "FORKED", "--vault", "vault", "old.txt", "fork.txt")
	k.wantKind(allod.Corrupt, "does not contain", "--vault", "vault", "fork.txt", "growth.txt")
	k.logOf(from)
	k.wantKind(0, "contains that of 2 entries", "--vault", "vault", "--log", ".", "growth.txt") // the log has seen it
	k.wantKind(allod.Corrupt, "FORKED", "--vault", "vault", "--log", ".", "fork.txt")

	witness := ledger.Witness{Name: "witness.example/w1", Key: public(9)}
	k.write("cosigned.txt", slices.Concat(newer, cosign(newer, witness)))
	k.wantKind(0, "cosigned by witness.example/w1 on 2026-11-21T09:00:00Z", "--vault", "vault", "--witness", witness.String(), "cosigned.txt")
	k.wantKind(0, "3 entries", "--vault", "vault", "cosigned.txt")
	k.wantKind(allod.Corrupt, "0 of the 1 witnesses", "--vault", "vault", "--witness", witness.String(), "old.txt")
	k.write("cosigned.txt", slices.Concat(old, cosign(newer, witness)))
	k.wantKind(allod.Corrupt, "not one of this checkpoint", "--vault", "vault", "--witness", witness.String(), "cosigned.txt")
}

// cosign is a witness (C2SP tlog-cosignature) that signs anything.
func cosign(checkpoint []byte, w ledger.Witness) []byte {
	text, _, _ := bytes.Cut(checkpoint, []byte("\n\n"))
	id := sha256.Sum256(slices.Concat([]byte(w.Name), []byte{'\n', 4}, w.Key))
	sig := binary.BigEndian.AppendUint64(id[:4:4], uint64(now().Unix()))
	sig = append(sig, ed25519.Sign(keyOf(9), fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", now().Unix(), text))...)
	return fmt.Appendf(nil, "— %s %s\n", w.Name, base64.StdEncoding.EncodeToString(sig))
}

func TestUsage(t *testing.T) {
	k := newKit(t)
	k.write("text", []byte("hello\n"))
	k.wantKind(allod.Invalid, "--vault", "--log", ".")
	k.wantKind(allod.Invalid, "what is to be checked", "--vault", "vault")
	k.wantKind(allod.Invalid, "neither a certificate", "--vault", "vault", "text")
	k.wantKind(allod.NotFound, "none", "--vault", "none", "text")
	k.wantKind(allod.NotFound, "none", "--vault", "vault", "none")
	k.wantKind(allod.Corrupt, "vault object", "--vault", "text", "vault")
	k.wantKind(allod.Invalid, "witness", "--vault", "vault", "--witness", "x", "text")
	k.wantKind(allod.Invalid, "--help", "--wrong")
	var out bytes.Buffer
	if err := run([]string{"--help"}, &out, &out); err != nil || !strings.Contains(out.String(), "Exit codes") {
		t.Errorf("help: %v\n%s", err, out.String())
	}
	for line := range strings.Lines(usage) {
		if len(line) > 81 {
			t.Errorf("a line of the help has %d columns", len(line)-1)
		}
	}
}

// TestMadeOf: the verifier is small enough to be read.
func TestMadeOf(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"allod", "allod/cmd/allod-verify", "allod/internal/blob", "allod/internal/ledger", "allod/internal/vault/log", "allod/internal/vault/log/certificate", "allod/internal/vault/log/stranger",
		"golang.org/x/mod/internal/lazyregexp", "golang.org/x/mod/module", "golang.org/x/mod/semver", "golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog", "golang.org/x/sync/errgroup",
	}
	for _, p := range strings.Fields(string(out)) {
		if !slices.Contains(allowed, p) {
			t.Errorf("it is made of %s too", p)
		}
	}
}
