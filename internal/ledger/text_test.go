package ledger

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"allod"
)

// cosign returns the signature line of a witness (C2SP tlog-cosignature).
func cosign(t testing.TB, checkpoint []byte, name string, key ed25519.PrivateKey, at time.Time) []byte {
	t.Helper()
	text, _, ok := bytes.Cut(checkpoint, []byte("\n\n"))
	if !ok {
		t.Fatal("not a checkpoint")
	}
	id := sha256.Sum256(slices.Concat([]byte(name), []byte{'\n', 4}, public(key)))
	sig := binary.BigEndian.AppendUint64(id[:4:4], uint64(at.Unix()))
	sig = append(sig, ed25519.Sign(key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at.Unix(), text))...)
	return fmt.Appendf(nil, "— %s %s\n", name, base64.StdEncoding.EncodeToString(sig))
}

func trustedKeys() []ed25519.PublicKey { return []ed25519.PublicKey{public(testKey(0))} }

// goldenLedger has three entries with ids and times that are always the same.
func goldenLedger(t testing.TB) *Ledger {
	t.Helper()
	s, err := newSigner(testVault, testKey(0))
	if err != nil {
		t.Fatal(err)
	}
	m := newMemory()
	l := mustOpen(t, testConfig(m))
	for i := range 3 {
		object, err := sealEntry(goldenEntry(), testVault, int64(i), l.head.Hash, [16]byte{byte(i)}, s)
		if err != nil {
			t.Fatal(err)
		}
		m.objects[entryName(int64(i))] = object
		if _, err := l.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestGoldenTexts pins what leaves the store.
func TestGoldenTexts(t *testing.T) {
	l := goldenLedger(t)
	p, err := l.Prove(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "proof-v1.tlog-proof", p.Text())
	again, err := ParseProof(p.Text())
	if err != nil {
		t.Fatal(err)
	}
	if e, head, err := again.Check(testVault, trustedKeys()); err != nil || e.Action != "restore" || head != l.Head() {
		t.Errorf("check: %+v %v %v", e, head, err)
	}
	old, err := l.HeadAt(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	g, err := l.ProveGrowth(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "growth-v1.txt", g.Text())
	grown, err := ParseGrowth(g.Text(), old)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := grown.Check(testVault, trustedKeys()); err != nil || head != l.Head() {
		t.Errorf("check growth: %v %v", head, err)
	}
	_, checkpoint, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line := cosign(t, checkpoint, "witness.example/w1", testKey(3), testNow())
	golden(t, "cosigned-v1.txt", slices.Concat(checkpoint, line))
	golden(t, "witness-v1.txt", []byte(Witness{"witness.example/w1", public(testKey(3))}.String()+"\n"))
}

// TestProofByHand checks a proof with the arithmetic of the specifications and
// none of this package's.
func TestProofByHand(t *testing.T) {
	l := goldenLedger(t)
	p, err := l.Prove(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(p.Text()), "\n")
	unbase := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	leaf := sha256.Sum256(append([]byte{0}, unbase(strings.TrimPrefix(lines[1], "extra "))...))
	left := sha256.Sum256(slices.Concat([]byte{1}, unbase(lines[3]), leaf[:]))
	root := sha256.Sum256(slices.Concat([]byte{1}, left[:], unbase(lines[4])))
	if lines[0] != "c2sp.org/tlog-proof@v1" || lines[2] != "index 1" || lines[5] != "" || lines[6] != Origin(testVault) || lines[7] != "3" || lines[8] != base64.StdEncoding.EncodeToString(root[:]) {
		t.Errorf("the root by hand is %x, the proof:\n%s", root, p.Text())
	}
}

func TestParseRefuses(t *testing.T) {
	l := goldenLedger(t)
	p, err := l.Prove(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	text := string(p.Text())
	for name, bad := range map[string]string{
		"nothing": "", "another header": strings.Replace(text, "@v1", "@v2", 1), "no extra": strings.Replace(text, "extra ", "", 1), "index -1": strings.Replace(text, "index 1", "index -1", 1),
		"index 01": strings.Replace(text, "index 1", "index 01", 1), "a line more": strings.Replace(text, "index 1\n", "index 1\nabc\n", 1), "windows": strings.ReplaceAll(text, "\n", "\r\n"),
		"long path": strings.Replace(text, "index 1\n", "index 1\n"+strings.Repeat(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n", 64), 1), "long": text + strings.Repeat("x", maxText),
	} {
		if _, err := ParseProof([]byte(bad)); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", name, err)
		}
	}
	old, err := l.HeadAt(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	g, err := l.ProveGrowth(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	text = string(g.Text())
	for name, bad := range map[string]string{"nothing": "", "old 1": strings.Replace(text, "old 2", "old 1", 1), "no path": strings.Replace(text, "old 2\n", "old 2\nzz\n", 1), "old 02": strings.Replace(text, "old 2", "old 02", 1)} {
		if _, err := ParseGrowth([]byte(bad), old); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("growth, %s: got %v, want kind corrupt", name, err)
		}
	}
	g.From.Hash[0] ^= 1
	if _, err := g.Check(testVault, trustedKeys()); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("from another past: got %v, want kind corrupt", err)
	}
	first, err := l.ProveGrowth(t.Context(), Head{})
	if err != nil {
		t.Fatal(err)
	}
	if head, err := first.Check(testVault, trustedKeys()); err != nil || head != l.Head() || !strings.HasPrefix(string(first.Text()), "old 0\n\n") {
		t.Errorf("from nothing: %v, %v", head, err)
	}
	first.Path = tlog.TreeProof{{}}
	if _, err := first.Check(testVault, trustedKeys()); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("a path from nothing: got %v, want kind corrupt", err)
	}
	if _, err := l.HeadAt(t.Context(), 4); allod.KindOf(err) != allod.NotFound {
		t.Errorf("a head to come: got %v, want kind not-found", err)
	}
}

func TestWitness(t *testing.T) {
	ctx := t.Context()
	m := full().snapshot()
	l := mustOpen(t, testConfig(m))
	head, checkpoint, err := l.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w1, w2 := Witness{"witness.example/w1", public(testKey(3))}, Witness{"witness.example/w2", public(testKey(4))}
	line := cosign(t, checkpoint, w1.Name, testKey(3), testNow())
	stranger := cosign(t, checkpoint, "stranger.example", testKey(5), testNow())
	cosigned := slices.Concat(checkpoint, stranger, line)
	got, by, err := CheckCosigned(cosigned, testVault, trustedKeys(), []Witness{w2, w1})
	if err != nil || got != head || len(by) != 1 || by[0].Witness != w1.Name || !by[0].At.Equal(testNow()) {
		t.Errorf("cosigned by w1: got %v, %+v, %v", got, by, err)
	}
	if h, err := CheckCheckpoint(cosigned, testVault, trustedKeys()); err != nil || h != head {
		t.Errorf("as a checkpoint: %v, %v", h, err)
	}
	p, err := l.Prove(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	p.Checkpoint = cosigned
	if again, err := ParseProof(p.Text()); err != nil {
		t.Error(err)
	} else if _, _, err := again.Check(testVault, trustedKeys()); err != nil {
		t.Errorf("a proof with a cosigned checkpoint: %v", err)
	}

	for name, bad := range map[string][]byte{
		"signature of another": slices.Concat(checkpoint, bytes.Replace(line, line[len(line)-12:], []byte("AAAAAAAAAA==\n")[1:], 1)),
		"cut":                  cosigned[:len(cosigned)-1], "not signed by the ledger": slices.Concat(checkpoint[:bytes.Index(checkpoint, []byte("\n\n"))+2], line), "no text": line, "long": append(bytes.Clone(cosigned), bytes.Repeat(line, 1000)...),
	} {
		if _, _, err := CheckCosigned(bad, testVault, trustedKeys(), []Witness{w1}); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", name, err)
		}
	}
	if _, _, err := l.KeepCosigned(ctx, cosigned, []Witness{w2}); allod.KindOf(err) != allod.Denied {
		t.Errorf("kept without a witness: got %v, want kind denied", err)
	}
	for range 2 {
		if _, _, err := l.KeepCosigned(ctx, cosigned, []Witness{w1}); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := l.Verify(ctx)
	if err != nil || len(rep.Bad) > 0 || rep.Witnessed != 1 {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	mustAppend(t, l, 1300, 1)
	mustBeClean(t, l, 1301)
}

// TestWitnessNoticesRemoval: entries that a witness has seen cannot be removed
// while its word is kept, in the store or elsewhere.
func TestWitnessNoticesRemoval(t *testing.T) {
	ctx := t.Context()
	m := full().snapshot()
	l := mustOpen(t, testConfig(m))
	_, checkpoint, err := l.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	line := cosign(t, checkpoint, "w", testKey(3), testNow())
	cosigned, w := slices.Concat(checkpoint, line), []Witness{{"w", public(testKey(3))}}
	if _, _, err := l.KeepCosigned(ctx, cosigned, w); err != nil {
		t.Fatal(err)
	}
	delete(m.objects, entryName(1299))
	cut := mustOpen(t, testConfig(m))
	rep, err := cut.Verify(ctx)
	if err != nil || len(rep.Bad) != 1 || !strings.HasPrefix(rep.Bad[0].Object, witnessPrefix) {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	if _, _, err := cut.KeepCosigned(ctx, cosigned, w); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("kept what is no more: got %v, want kind corrupt", err)
	}
	for name := range m.objects {
		if strings.HasPrefix(name, witnessPrefix) {
			m.objects[name] = append(m.objects[name], line...)
		}
	}
	if rep, err := mustOpen(t, testConfig(m)).Verify(ctx); err != nil || len(rep.Bad) != 1 || !strings.Contains(rep.Bad[0].What, "name") {
		t.Errorf("verify of a changed one: %+v, %v", rep, err)
	}
}

func TestParseWitness(t *testing.T) {
	w := Witness{"witness.example/w1", public(testKey(3))}
	if got, err := ParseWitness(w.String()); err != nil || got.String() != w.String() {
		t.Errorf("got %v, %v", got, err)
	}
	ledgerKey, err := VerifierKey(testVault, public(testKey(0)))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "w", "w+1", "w+00000000+" + strings.Split(w.String(), "+")[2], strings.Replace(w.String(), "w1", "w2", 1), " " + w.String(), ledgerKey, w.String() + "="} {
		if _, err := ParseWitness(bad); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: got %v, want kind invalid", bad, err)
		}
	}
}

// TestSeen: Open compares with every head that was seen.
func TestSeen(t *testing.T) {
	m := full().snapshot()
	l := mustOpen(t, testConfig(m))
	past, err := l.HeadAt(t.Context(), 700)
	if err != nil {
		t.Fatal(err)
	}
	other, later := past, l.Head()
	other.Hash[0] ^= 1
	later.Size++
	for name, tc := range map[string]struct {
		seen []Head
		want allod.Kind
	}{"nothing": {[]Head{{}}, 0}, "its past": {[]Head{past, l.Head()}, 0}, "another past": {[]Head{l.Head(), other}, allod.Corrupt}, "a later one": {[]Head{past, later}, allod.Corrupt}} {
		c := testConfig(m)
		c.Seen = tc.seen
		if _, err := Open(t.Context(), c); allod.KindOf(err) != tc.want {
			t.Errorf("%s: got %v, want kind %v", name, err, tc.want)
		}
	}
}

func FuzzProof(f *testing.F) {
	p, err := goldenLedger(f).Prove(f.Context(), 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Text())
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseProof(b)
		if err != nil {
			return
		}
		if !bytes.Equal(got.Text(), b) {
			t.Error("read what it does not write")
		}
		if _, _, err := got.Check(testVault, trustedKeys()); err == nil && !bytes.Equal(got.Entry, p.Entry) {
			t.Error("accepted another entry")
		}
	})
}

func FuzzGrowth(f *testing.F) {
	l := goldenLedger(f)
	old, err := l.HeadAt(f.Context(), 2)
	if err != nil {
		f.Fatal(err)
	}
	g, err := l.ProveGrowth(f.Context(), old)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(g.Text())
	f.Add([]byte("old 2\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseGrowth(b, old)
		if err != nil {
			return
		}
		if !bytes.Equal(got.Text(), b) {
			t.Error("read what it does not write")
		}
		if head, err := got.Check(testVault, trustedKeys()); err == nil && head != l.Head() {
			t.Errorf("accepted %v", head)
		}
	})
}

func FuzzCosigned(f *testing.F) {
	checkpoint, err := signNoteForTest(f)
	if err != nil {
		f.Fatal(err)
	}
	line := cosign(f, checkpoint, "w", testKey(3), time.Unix(1, 0))
	f.Add(slices.Concat(checkpoint, line))
	f.Add(checkpoint)
	f.Fuzz(func(t *testing.T, b []byte) {
		head, by, err := CheckCosigned(b, testVault, trustedKeys(), []Witness{{"w", public(testKey(3))}})
		if err == nil && (head != Head{Size: 512, Hash: tlog.Hash{7}} || len(by) > 1) {
			t.Errorf("accepted %v, %v", head, by)
		}
	})
}

func signNoteForTest(t testing.TB) ([]byte, error) {
	s, err := newSigner(testVault, testKey(0))
	if err != nil {
		t.Fatal(err)
	}
	return signNote(checkpointText(testVault, Head{Size: 512, Hash: tlog.Hash{7}}), s)
}

func BenchmarkOpen(b *testing.B) {
	m := full().snapshot()
	c := testConfig(m)
	c.Seen = []Head{mustOpen(b, c).Head()}
	for b.Loop() {
		mustOpen(b, c)
	}
}
