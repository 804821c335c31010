package allod_test

import (
	"strings"
	"testing"

	"allod"
)

func TestParseGUID(t *testing.T) {
	const want = "01234567-89ab-cdef-0123-456789abcdef"
	for _, s := range []string{want, "{" + want + "}", strings.ToUpper(want)} {
		if g, err := allod.ParseGUID(s); err != nil || g.String() != want {
			t.Errorf("%s: got %v, %v", s, g, err)
		}
	}
	for _, s := range []string{
		"", want[1:], want + "0", "{" + want, want + "}", "[" + want + "]", "g" + want[1:],
		"01234567-89ab-cdef-0123-456789abcde-",
		"-1234567-89ab-cdef-0123-456789abcdef",
		"01234567-89ab-cdef-0123-4567-9abcdef",
		"--------------------------------------"[:36],
	} {
		if g, err := allod.ParseGUID(s); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: got %v, %v, want it to be Invalid", s, g, err)
		}
	}
}

func FuzzParseGUID(f *testing.F) {
	f.Add("01234567-89ab-cdef-0123-456789abcdef")
	f.Add("01234567-89ab-cdef-0123-456789abcde-")
	f.Fuzz(func(t *testing.T, s string) {
		g, err := allod.ParseGUID(s)
		if err != nil {
			return
		}
		if got := strings.ToLower(strings.Trim(s, "{}")); got != g.String() {
			t.Errorf("%q was read as %v", s, g)
		}
	})
}
