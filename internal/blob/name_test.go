package blob_test

import (
	"strings"
	"testing"

	"allod"
	"allod/internal/blob"
)

func TestCheckName(t *testing.T) {
	for _, tc := range []struct {
		name string
		ok   bool
	}{
		{"vault", true},
		{"packs/3f00", true},
		{"log/00000000000000000001", true},
		{"slots/night-1@7", true},
		{"a/..b/.c", true},
		{strings.Repeat("a", 255), true},
		{strings.Repeat("a", 256), false},
		{"", false},
		{"/etc/passwd", false},
		{"a//b", false},
		{"a/", false},
		{"..", false},
		{"a/../b", false},
		{"./a", false},
		{"a\\b", false},
		{"A", false},
		{"a b", false},
		{"a\x00", false},
		{"c:", false},
		{"~tmp-x", false},
		{"ü", false},
	} {
		err := blob.CheckName(tc.name)
		if (err == nil) != tc.ok {
			t.Errorf("CheckName(%q) = %v, want ok %v", tc.name, err, tc.ok)
		}
		if err != nil && allod.KindOf(err) != allod.Invalid {
			t.Errorf("CheckName(%q): kind %v, want invalid", tc.name, allod.KindOf(err))
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, tc := range []struct {
		prefix string
		ok     bool
	}{
		{"", true},
		{"packs/", true},
		{"packs/3f", true},
		{"..", true}, // "..a" is a name
		{"../", false},
		{"/", false},
		{"a//", false},
		{"packs/*", false},
		{strings.Repeat("a", 256), false},
	} {
		if err := blob.CheckPrefix(tc.prefix); (err == nil) != tc.ok {
			t.Errorf("CheckPrefix(%q) = %v, want ok %v", tc.prefix, err, tc.ok)
		}
	}
}

// FuzzCheckName: a name that passes stays below any folder it is joined to,
// and each of its prefixes passes CheckPrefix.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a/b", "../a", "packs/3f", "a/./b", "..a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if blob.CheckName(name) != nil {
			return
		}
		for seg := range strings.SplitSeq(name, "/") {
			if seg == "" || seg == "." || seg == ".." || strings.ContainsAny(seg, "\\:~\x00") {
				t.Errorf("CheckName accepts %q", name)
			}
		}
		for i := range len(name) + 1 {
			if err := blob.CheckPrefix(name[:i]); err != nil {
				t.Errorf("CheckPrefix(%q) of a legal name: %v", name[:i], err)
			}
		}
	})
}
