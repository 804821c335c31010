package describe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever can be read as a definition can be written and read again, and is
// the same.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":null,"b":true,"c":-1,"d":1.5,"e":"x\u00e9","f":{"g":[]},"h":["x","y"],"i":[{"j":1}]}`,
		`{"a":1,"a":2}`, `{"n":1e400}`, `{"n":123456789012345678901234567890}`, `[]`, `{"a":[1,2,"x",{}]}`, `{} {}`, `{"a":{"a":{"a":{"a":1}}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := ParseObject([]byte(text))
		if err != nil {
			return
		}
		again, err := ParseObject(o.AppendJSON(nil))
		if err != nil {
			t.Fatalf("%s: %v", o.AppendJSON(nil), err)
		}
		if diff := cmp.Diff(string(o.AppendJSON(nil)), string(again.AppendJSON(nil))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestParseStamp(t *testing.T) {
	for _, x := range []struct {
		text    string
		version uint64
		ok      bool
	}{
		{"8579!09/01/2023", 8579, true},
		{"8579!09/01/2023 10:11:12", 8579, true},
		{"8579", 0, false},
		{"-1!09/01/2023", 0, false},
		{"8579!01/13/2023x", 0, false},
		{"", 0, false},
	} {
		version, at, ok := parseStamp(x.text)
		if version != x.version || ok != x.ok || ok && (at.Year() != 2023 || at.Month() != 9) {
			t.Errorf("%q: got %d %v %v", x.text, version, at, ok)
		}
	}
}
