package certificate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/ledger"
	vlog "allod/internal/vault/log"
)

var update = flag.Bool("update", false, "write golden files of the current format")

var (
	vaultID   = allod.GUID{0xa1, 0x10, 0xd0, 1}
	erasureID = allod.GUID{7, 7}
)

func keyOf(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func at(h int) time.Time { return time.Date(2026, 11, 21, h, 0, 0, 0, time.UTC) }

func testPin() vlog.Pin {
	p := vlog.Pin{Vault: vaultID, Recipients: []string{"age1pq1x"}}
	for i, use := range []string{vlog.UseCapture, vlog.UseErase, vlog.UseLedger, vlog.UseSlot} {
		p.Signers = append(p.Signers, vlog.Signer{Use: use, Key: vlog.Key(keyOf(byte(i + 1)).Public().(ed25519.PublicKey))})
	}
	return p
}

// chainOf is the log of a capture, an erasure and another capture.
func chainOf(t testing.TB) [][]byte {
	t.Helper()
	vault := strings.ReplaceAll(vaultID.String(), "-", "")
	var out [][]byte
	var prev vlog.Digest
	add := func(e *vlog.Entry, key byte) {
		e.Vault, e.N, e.Prev = vault, uint64(len(out)+1), prev
		b, d, err := e.Encode(keyOf(key))
		if err != nil {
			t.Fatal(err)
		}
		out, prev = append(out, b), d
	}
	add(&vlog.Entry{Kind: vlog.KindCapture, Run: "r", Time: at(8), Environment: 1, Capture: 1, Root: 1, Epoch: 1}, 1)
	add(&vlog.Entry{
		Kind: vlog.KindErase, Run: strings.ReplaceAll(erasureID.String(), "-", ""), Time: at(9), Root: 1, Epoch: 2, AbsentBefore: vlog.Digest{1}, AbsentAfter: vlog.Digest{2},
		Ledger: vlog.LedgerRoot{Size: 1, Hash: vlog.Digest{3}},
	}, 2)
	add(&vlog.Entry{Kind: vlog.KindCapture, Run: "s", Time: at(10), Environment: 1, Capture: 2, Base: 1, Root: 1, Epoch: 2}, 1)
	return out
}

// proofOf returns the proof of a ledger entry of the given action and count, the
// second of three. Ids in the ledger are random: the golden file keeps one.
func proofOf(t testing.TB, action string, records int64) ledger.Proof {
	t.Helper()
	ctx := context.Background()
	l, err := ledger.Open(ctx, ledger.Config{Store: mem.New(mem.Options{}), Vault: vaultID, Key: keyOf(3), Now: func() time.Time { return at(9) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []ledger.Entry{
		{Kind: ledger.KindDecision, Action: "erase", Effect: "allow"}, {Kind: ledger.KindAct, Action: action, Counts: map[string]int64{Records: records}}, {Kind: ledger.KindAct, Action: "read"},
	} {
		if _, err := l.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	p, err := l.Prove(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testCertificate(t testing.TB) *Certificate {
	t.Helper()
	object := chainOf(t)[1]
	return &Certificate{
		Vault: vaultID, Erasure: erasureID, Issued: at(12), Asked: at(7), Form: Forget,
		Tags:     []Tag{{1, 2, strings.Repeat("0a", 16)}, {1, 2, strings.Repeat("0b", 16)}},
		Approval: Approval{Request: allod.GUID{9}, Plan: strings.Repeat("cd", 32), Approvers: []string{strings.Repeat("1a", 16), strings.Repeat("2b", 16)}},
		Puncture: Puncture{Entry: 2, Digest: sha256.Sum256(object), Time: at(9), Root: 1, EpochBefore: 1, Epoch: 2, AbsentBefore: vlog.Digest{1}, AbsentAfter: vlog.Digest{2}, Object: object},
		Places:   []Place{{Name: "slots", Kind: "folder", Means: "deleted", Destroyed: at(10)}, {Name: "office safe", Kind: "exported", Means: "burnt", Destroyed: at(11), By: strings.Repeat("3c", 16)}},
		Kept:     []Kept{{Table: "annotation", Column: "notetext", Records: 3, Ground: "named in notes about others"}},
		Residue:  []string{"tag, numbers, operation and padded length of each stored version, until compaction drops them"},
		Ledger:   proofOf(t, ActErased, 2),
	}
}

func sign(t testing.TB, c *Certificate) []byte {
	t.Helper()
	b, err := c.Sign(keyOf(2))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerify(t *testing.T) {
	b := sign(t, testCertificate(t))
	c, passed, err := Verify(b, testPin())
	if err != nil || len(passed) != 3 || len(c.Tags) != 2 {
		t.Fatalf("verify: %v, %q", err, passed)
	}
	chain := chainOf(t)
	read := func(n uint64) ([]byte, error) {
		if n > uint64(len(chain)) {
			return nil, nil
		}
		return chain[n-1], nil
	}
	if n, err := c.InLog(testPin(), read); err != nil || n != 3 {
		t.Errorf("in the log: %d entries, %v", n, err)
	}
	broken := errors.New("no disk")
	if _, err := c.InLog(testPin(), func(uint64) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("a log that cannot be read: %v", err)
	}
	chain = chain[:1]
	if _, err := c.InLog(testPin(), read); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("a log that was cut off: got %v, want kind corrupt", err)
	}
	if final, ok := c.Final(); !ok || !final.Equal(at(11)) {
		t.Errorf("final %v, %v", final, ok)
	}
	c.Puncture.Time = at(12).Add(999 * time.Millisecond) // within the second in which it was issued
	if text := c.Text(); !strings.Contains(text, "FINAL since 2026-11-21 12:00:00 UTC") {
		t.Errorf("issued at once it says\n%s", text)
	}
}

// TestVerifyRefuses: certificates that were signed by a key that counts and say
// what is not so.
func TestVerifyRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(c *Certificate)
		says   string
	}{
		"another vault":         {func(c *Certificate) { c.Vault = allod.GUID{5} }, "of the vault"},
		"another entry":         {func(c *Certificate) { c.Puncture.Object = chainOf(t)[0] }, "log entry"},
		"another digest":        {func(c *Certificate) { c.Puncture.Digest = vlog.Digest{9} }, "digest"},
		"another absent list":   {func(c *Certificate) { c.Puncture.AbsentAfter = vlog.Digest{9} }, "something else"},
		"another epoch":         {func(c *Certificate) { c.Puncture.Epoch = 3 }, "something else"},
		"another time":          {func(c *Certificate) { c.Puncture.Time = at(8) }, "something else"},
		"another erasure":       {func(c *Certificate) { c.Erasure = allod.GUID{8} }, "another erasure"},
		"another act":           {func(c *Certificate) { c.Ledger = proofOf(t, "read", 2) }, "something else"},
		"another number":        {func(c *Certificate) { c.Ledger = proofOf(t, ActErased, 3) }, "3 records"},
		"a changed path":        {func(c *Certificate) { c.Ledger.Path[0][0] ^= 1 }, "ledger proof"},
		"an older ledger entry": {func(c *Certificate) { c.Ledger.Index = 0 }, "ledger proof"},
		"a capture for an erase": {func(c *Certificate) {
			c.Puncture.Entry, c.Puncture.Object, c.Puncture.Digest = 1, chainOf(t)[0], sha256.Sum256(chainOf(t)[0])
		}, "kind capture, not of kind erase"},
	} {
		c := testCertificate(t)
		tc.change(c)
		if _, _, err := Verify(sign(t, c), testPin()); allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v, want kind corrupt that says %q", name, err, tc.says)
		}
	}
	b, err := testCertificate(t).Sign(keyOf(1)) // pinned, for another use
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Verify(b, testPin()); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("signed by the capture key: got %v, want kind corrupt", err)
	}
	c := testCertificate(t)
	b = sign(t, c)
	c.Puncture.EpochBefore = 0
	wrong := sign(t, c)
	if c, _, err = Verify(wrong, testPin()); err != nil {
		t.Fatal(err)
	}
	chain := chainOf(t)
	if _, err := c.InLog(testPin(), func(n uint64) ([]byte, error) { return chain[n-1], nil }); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("another epoch before: got %v, want kind corrupt", err)
	}
	for i := 0; i < len(b); i += 5 { // every byte counts
		flipped := bytes.Clone(b)
		flipped[i] ^= 1
		if _, _, err := Verify(flipped, testPin()); err == nil {
			t.Fatalf("byte %d was changed, and it passed", i)
		}
	}
	newer := bytes.Replace(b, []byte("erasure v1"), []byte("erasure v2"), 1)
	if _, err := Parse(newer); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a newer format: got %v, want kind invalid", err)
	}
}

func TestSignRefuses(t *testing.T) {
	for name, change := range map[string]func(c *Certificate){
		"no tags": func(c *Certificate) { c.Tags = nil }, "tags twice": func(c *Certificate) { c.Tags[1] = c.Tags[0] }, "tags not in order": func(c *Certificate) { slices.Reverse(c.Tags) },
		"a tag": func(c *Certificate) { c.Tags[0].Tag = "0A" }, "a name for an approver": func(c *Certificate) { c.Approval.Approvers[0] = "alice" }, "one approver": func(c *Certificate) { c.Approval.Approvers = c.Approval.Approvers[:1] },
		"an approver twice": func(c *Certificate) { c.Approval.Approvers[1] = c.Approval.Approvers[0] }, "one person, two approvers": func(c *Certificate) { c.Approval.OnePerson = true },
		"plan": func(c *Certificate) { c.Approval.Plan = "" }, "epoch": func(c *Certificate) { c.Puncture.EpochBefore = 2 }, "absent list": func(c *Certificate) { c.Puncture.AbsentBefore = c.Puncture.AbsentAfter },
		"no places": func(c *Certificate) { c.Places = nil }, "no residue": func(c *Certificate) { c.Residue = nil }, "form": func(c *Certificate) { c.Form = "half" }, "part of a second": func(c *Certificate) { c.Issued = c.Issued.Add(1) },
		"two lines": func(c *Certificate) { c.Residue[0] = "a\nFINAL" }, "means without a day": func(c *Certificate) { c.Places[0].Destroyed = time.Time{} }, "who declared": func(c *Certificate) { c.Places[1].By = "bob" },
		"no vault": func(c *Certificate) { c.Vault = allod.GUID{} }, "negative": func(c *Certificate) { c.Kept[0].Records = -1 },
	} {
		c := testCertificate(t)
		change(c)
		if _, err := c.Sign(keyOf(2)); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want kind invalid", name, err)
		}
	}
}

// TestGolden pins the bytes: a certificate of version 1 is checked and rendered
// alike for ever.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "format-v1", "certificate.json")
	if *update {
		write(t, path, sign(t, testCertificate(t)))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := Verify(b, testPin())
	if err != nil {
		t.Fatal(err)
	}
	if !IsOne(b) {
		t.Error("it is not taken for one")
	}
	if got := sign(t, c); !bytes.Equal(got, b) {
		t.Errorf("signed again it is\n%s\nwant\n%s", got, b)
	}
	texts := map[string]string{"final.txt": c.Text()}
	c.Places[1] = Place{Name: "office safe", Kind: "exported", LatencyDays: -1}
	c.Pending = []Item{{What: "slots in office safe", Next: "destroy the stick and declare it with allod vault keys destroyed"}}
	c.SlotHistory = []string{"s3://slots-of-contoso"}
	c.Form, c.Urgent, c.Kept = ForgetPast, true, nil
	c.Approval.OnePerson, c.Approval.Approvers = true, nil
	texts["pending.txt"] = c.Text()
	c, _, err = Verify(b, testPin())
	if err != nil {
		t.Fatal(err)
	}
	c.Places[0].LatencyDays = 14
	texts["latency.txt"] = c.Text()
	for name, got := range texts {
		path := filepath.Join("testdata", name)
		if *update {
			write(t, path, []byte(got))
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%s: a line has %d columns: %s", name, n, line)
			}
		}
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func FuzzVerify(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "format-v1", "certificate.json")) // the same in every process
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":"allod certificate of erasure v1"}` + "\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if _, _, err := Verify(in, testPin()); err == nil && !bytes.Equal(in, b) {
			t.Error("accepted what was not signed")
		}
		if c, err := Parse(in); err == nil {
			_ = c.Text()
		}
	})
}

// A certificate of an erasure over several roots binds the absent lists of all of
// them, as the log entry has them.
func TestSeveralRoots(t *testing.T) {
	vault := strings.ReplaceAll(vaultID.String(), "-", "")
	var chain [][]byte
	var prev vlog.Digest
	add := func(e *vlog.Entry, key byte) {
		e.Vault, e.N, e.Prev, e.Time = vault, uint64(len(chain)+1), prev, at(8)
		b, d, err := e.Encode(keyOf(key))
		if err != nil {
			t.Fatal(err)
		}
		chain, prev = append(chain, b), d
	}
	moved := []vlog.Moved{{Root: 1, AbsentBefore: vlog.Digest{4}, AbsentAfter: vlog.Digest{5}}, {Root: 2, AbsentBefore: vlog.Digest{6}, AbsentAfter: vlog.Digest{7}}}
	add(&vlog.Entry{Kind: vlog.KindCapture, Environment: 1, Capture: 1, Root: 1, Epoch: 1}, 1)
	add(&vlog.Entry{Kind: vlog.KindSlot, Root: 2, Epoch: 2, Roots: moved[:1]}, 4)
	add(&vlog.Entry{Kind: vlog.KindSlot, Root: 3, Epoch: 3, Roots: moved}, 4)
	add(&vlog.Entry{Kind: vlog.KindErase, Run: strings.ReplaceAll(erasureID.String(), "-", ""), Root: 3, Epoch: 4, AbsentBefore: vlog.Digest{1}, AbsentAfter: vlog.Digest{2}, Roots: moved}, 2)
	read := func(n uint64) ([]byte, error) {
		if n > uint64(len(chain)) {
			return nil, nil
		}
		return chain[n-1], nil
	}
	certify := func(roots []vlog.Moved) []byte {
		c := testCertificate(t)
		c.Puncture = Puncture{Entry: 4, Digest: prev, Time: at(8), Root: 3, EpochBefore: 3, Epoch: 4, AbsentBefore: vlog.Digest{1}, AbsentAfter: vlog.Digest{2}, Roots: roots, Object: chain[3]}
		return sign(t, c)
	}
	c, passed, err := Verify(certify(moved), testPin())
	if err != nil || !strings.Contains(strings.Join(passed, "\n"), "moves roots 1, 2 and 3 from epoch 3 to 4 and changes the absent lists") {
		t.Fatalf("verify: got %q, %v", passed, err)
	}
	if _, err := c.InLog(testPin(), read); err != nil {
		t.Errorf("in the log: %v", err)
	}
	text := c.Text()
	for _, want := range []string{"moved roots 1, 2 and 3", "  Root 1\n", vlog.Digest{5}.String(), "  Root 3\n", vlog.Digest{2}.String()} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	other := slices.Clone(moved)
	other[0].AbsentAfter = vlog.Digest{9}
	for name, roots := range map[string][]vlog.Moved{"one left out": moved[1:], "none": nil, "another digest": other} {
		if _, _, err := Verify(certify(roots), testPin()); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", name, err)
		}
	}
	chain = append(chain[:1], chain[2:]...)
	if _, err := c.InLog(testPin(), read); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("without the entry that began a root: got %v, want kind corrupt", err)
	}
}
