package pack

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"

	"filippo.io/age"

	"allod"
)

// TestKept finds frames again, and refuses every list and every frame that is
// not what the writer meant.
func TestKept(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	frames := [][]byte{[]byte("schema of 3"), []byte("manifest of 3"), []byte("manifest of 5")}
	list := []Kept{{5, KeptManifest, sha256.Sum256(frames[2])}, {3, KeptManifest, sha256.Sum256(frames[1])}, {3, KeptSchema, sha256.Sum256(frames[0])}}
	reader := func(section []byte, change func(i int, b []byte) []byte) *Reader {
		t.Helper()
		var out bytes.Buffer
		w, err := NewWriter(&out, []age.Recipient{id.Recipient()}, 1)
		if err != nil {
			t.Fatal(err)
		}
		order := []int{0, 1, 2}
		slices.SortFunc(order, func(a, b int) int {
			x, y := sha256.Sum256(frames[a]), sha256.Sum256(frames[b])
			return bytes.Compare(x[:], y[:])
		})
		for _, i := range order {
			k := Kept{Hash: sha256.Sum256(frames[i])}
			b := change(i, frames[i])
			if b == nil {
				continue
			}
			if err := w.AddBlob(k.ID(), bytes.NewReader(b), int64(len(b))); err != nil {
				t.Fatal(err)
			}
		}
		res, err := w.Finish(nil, section)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Open(bytes.NewReader(out.Bytes()), res.Size, id, res.Trailer, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	same := func(_ int, b []byte) []byte { return b }
	good := EncodeKept(slices.Clone(list))
	r := reader(good, same)
	for _, tc := range []struct {
		entry uint64
		what  uint8
		want  string
	}{{3, KeptSchema, "schema of 3"}, {3, KeptManifest, "manifest of 3"}, {5, KeptManifest, "manifest of 5"}, {5, KeptSchema, ""}, {4, KeptManifest, ""}} {
		if b, err := r.Frame(tc.entry, tc.what); err != nil || string(b) != tc.want {
			t.Errorf("frame %d of entry %d: got %q, %v, want %q", tc.what, tc.entry, b, err, tc.want)
		}
	}
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	twice := append(slices.Clone(list), list[0])
	for what, section := range map[string][]byte{
		"empty": nil, "short": good[:15], "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0), "magic": change(0, 'b'),
		"count": change(11, 4), "a huge count": change(8, 0xff), "reserved": change(15, 1), "unknown": change(16+8, 3), "out of order": change(16+7, 9), "twice": EncodeKept(twice),
	} {
		r := reader(section, same)
		if _, err := r.Kept(); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: got %v, want kind corrupt", what, err)
		}
		if _, err := r.Frame(3, KeptSchema); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: a frame: got %v, want kind corrupt", what, err)
		}
	}
	for what, b := range map[string][]byte{"another": []byte("schema of 4"), "missing": nil} {
		r := reader(good, func(i int, own []byte) []byte {
			if i == 0 {
				return b
			}
			return own
		})
		if _, err := r.Frame(3, KeptSchema); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("a frame that is %s: got %v, want kind corrupt", what, err)
		}
	}
}
