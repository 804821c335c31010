package certificate

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"allod"
	vlog "allod/internal/vault/log"
)

// rectification is the log entry of one, and its certificate.
func rectification(t testing.TB) *Certificate {
	t.Helper()
	c := testCertificate(t)
	e := &vlog.Entry{
		Vault: strings.ReplaceAll(vaultID.String(), "-", ""), N: 2, Prev: vlog.Digest{1}, Kind: vlog.KindRectify, Run: strings.ReplaceAll(erasureID.String(), "-", ""), Time: at(9), Environment: 1,
		Root: 1, Epoch: 2, AbsentBefore: vlog.Digest{1}, AbsentAfter: vlog.Digest{2}, Ledger: vlog.LedgerRoot{Size: 1, Hash: vlog.Digest{3}},
	}
	b, d, err := e.Encode(keyOf(2))
	if err != nil {
		t.Fatal(err)
	}
	c.Form, c.Kept, c.Tags = Rectify, nil, c.Tags[:1]
	c.Puncture.Object, c.Puncture.Digest = b, d
	c.Rectified = &Rectified{Columns: []string{"firstname", "lastname"}, Values: strings.Repeat("ef", 32), Generation: 1, Versions: 5, Corrected: 3}
	c.Ledger = proofOf(t, ActRectified, 1)
	return c
}

// A rectification is certified as an erasure is; a certificate of the one is none
// of the other, and one that says what is not so is refused.
func TestRectified(t *testing.T) {
	path := filepath.Join("testdata", "format-v1", "rectification.json")
	text := filepath.Join("testdata", "rectified.txt")
	if *update {
		b := sign(t, rectification(t))
		write(t, path, b)
		c, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		write(t, text, []byte(c.Text()))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, passed, err := Verify(b, testPin())
	if err != nil || !IsOne(b) || len(passed) != 3 {
		t.Fatalf("verify: %v, %q", err, passed)
	}
	if got := sign(t, c); !bytes.Equal(got, b) {
		t.Errorf("signed again it is\n%s\nwant\n%s", got, b)
	}
	if want, err := os.ReadFile(text); err != nil || c.Text() != string(want) {
		t.Errorf("the text is\n%s\nwant\n%s (%v)", c.Text(), want, err)
	}
	erase := chainOf(t)[1]
	for name, change := range map[string]func(*Certificate){
		"an entry that erases":    func(c *Certificate) { c.Puncture.Object, c.Puncture.Digest = erase, sha256.Sum256(erase) },
		"an act that erased":      func(c *Certificate) { c.Ledger = proofOf(t, ActErased, 1) },
		"another request":         func(c *Certificate) { c.Erasure = allod.GUID{8} },
		"taken for an erasure":    func(c *Certificate) { c.Form, c.Rectified = Forget, nil },
		"another absent list":     func(c *Certificate) { c.Puncture.AbsentBefore = vlog.Digest{7} },
		"more records than acted": func(c *Certificate) { c.Tags = testCertificate(t).Tags },
	} {
		c := rectification(t)
		change(c)
		if _, _, err := Verify(sign(t, c), testPin()); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", name, err)
		}
	}
	for name, change := range map[string]func(*Certificate){
		"no description":              func(c *Certificate) { c.Rectified = nil },
		"a description of an erasure": func(c *Certificate) { c.Form = Forget },
		"no columns":                  func(c *Certificate) { c.Rectified.Columns = nil },
		"columns not in order":        func(c *Certificate) { c.Rectified.Columns = []string{"b", "a"} },
		"a column twice":              func(c *Certificate) { c.Rectified.Columns = []string{"a", "a"} },
		"a column over two lines":     func(c *Certificate) { c.Rectified.Columns = []string{"a\nb"} },
		"values":                      func(c *Certificate) { c.Rectified.Values = "Meyer" },
		"more corrected than stored":  func(c *Certificate) { c.Rectified.Corrected = 6 },
		"a negative generation":       func(c *Certificate) { c.Rectified.Generation = -1 },
	} {
		c := rectification(t)
		change(c)
		if _, err := c.Sign(keyOf(2)); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want kind invalid", name, err)
		}
	}
	c = rectification(t)
	c.Rectified.Generation, c.Rectified.Versions, c.Rectified.Corrected = 0, 0, 0 // a process died
	c, _, err = Verify(sign(t, c), testPin())
	if err != nil || strings.Contains(c.Text(), "generation") {
		t.Errorf("what nobody knows: %v\n%s", err, c.Text())
	}
	newer := bytes.Replace(b, []byte("rectification v1"), []byte("rectification v2"), 1)
	if _, err := Parse(newer); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a newer format: got %v, want kind invalid", err)
	}
	swapped := bytes.Replace(b, []byte(FormatRectified), []byte(Format), 1)
	if _, err := Parse(swapped); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("under the name of the other: got %v, want kind corrupt", err)
	}
}
