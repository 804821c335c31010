package content

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/vault/keytree"
)

func TestPlacesOfFiles(t *testing.T) {
	id := [16]byte{1, 0xab}
	if got, capture, err := parseSmall(InPack(id, 42)); err != nil || got != id || capture != 42 {
		t.Errorf("what InPack wrote: got %x, %d, %v", got, capture, err)
	}
	for _, s := range []string{"", "p", "f" + "00", "p00.1", InPack(id, 1)[:30], InPack(id, 1) + "x", InPack(id, 1)[:33], "q" + InPack(id, 1)[1:], "pzz" + InPack(id, 1)[3:], InPack(id, 1)[:34] + "-1"} {
		if _, _, err := parseSmall(s); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%q: got %v, want kind corrupt", s, err)
		}
	}
}

func TestColumnMap(t *testing.T) {
	columns := func(cs ...allod.Column) *allod.Table { return &allod.Table{Columns: cs} }
	a, b, plain := allod.Column{Name: "a", ID: allod.GUID{1}}, allod.Column{Name: "b", ID: allod.GUID{2}}, allod.Column{Name: "a"}
	for _, tc := range []struct {
		what     string
		from, to *allod.Table
		want     []int
	}{
		{"moved", columns(a, b), columns(b, a), []int{1, 0}},
		{"new", columns(a), columns(a, b), []int{0, -1}},
		{"made again under its name", columns(allod.Column{Name: "a", ID: allod.GUID{9}}), columns(a), []int{-1}},
		{"without ids before", columns(plain), columns(a), []int{0}},
		{"without ids now", columns(a), columns(plain), []int{0}},
		{"no such table before", nil, columns(a), []int{-1}},
	} {
		if diff := cmp.Diff(tc.want, columnMap(tc.from, tc.to)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.what, diff)
		}
	}
}

func TestWithheld(t *testing.T) {
	gone := allod.Errorf(allod.NotFound, "open a row: %w", &keytree.AbsentError{Kind: keytree.Restricted})
	for want, err := range map[string]error{"restricted": gone, "": allod.Errorf(allod.Corrupt, "no")} {
		if got := Withheld(err); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
	if got := Withheld(nil); got != "" {
		t.Errorf("no error: got %q", got)
	}
}
