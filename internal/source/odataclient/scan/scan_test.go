package scan_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"allod/internal/source/odataclient/scan"
)

func TestTextDecodesEscapes(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", `"abc"`, "abc"},
		{"empty", `""`, ""},
		{"escapes", `"a\"\\\/\b\f\n\r\tz"`, "a\"\\/\b\f\n\r\tz"},
		{"pair", `"\ud83d\ude00!"`, "😀!"},
		{"lone high", `"\ud83dx"`, "\xed\xa0\xbdx"},
		{"lone low", `"\ude00"`, "\xed\xb8\x80"},
		{"non-Latin", `"żółw 日本"`, "żółw 日本"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := scan.New(c.in)
			got, err := p.Text()
			if err != nil || got != c.want || p.End() != nil {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
			back := scan.New(string(scan.AppendString(nil, got)))
			again, err := back.Text()
			if err != nil || again != c.want {
				t.Errorf("written and read again: got %q, %v; want %q", again, err, c.want)
			}
		})
	}
}

func TestTruncatedIsToldFromSyntax(t *testing.T) {
	whole := `{"a":[1,-2.50,true,null,{"b":"c\u00e9d"}],"e":"f"}`
	for n := range len(whole) {
		p := scan.New(whole[:n])
		if err := p.Skip(); !errors.Is(err, scan.ErrTruncated) {
			t.Fatalf("cut after %d bytes: got %v, want ErrTruncated", n, err)
		}
	}
	for _, bad := range []string{`{"a":1,}`, `[1,]`, `{a:1}`, `[01]`, `[1.]`, `"\x"`, "\"a\nb\"", `<html>`, `[1 2]`, `tru3`} {
		p := scan.New(bad)
		if err := p.Skip(); !errors.Is(err, scan.ErrSyntax) {
			t.Errorf("%q: got %v, want ErrSyntax", bad, err)
		}
	}
}

func TestDepthIsLimited(t *testing.T) {
	p := scan.New(strings.Repeat("[", 1<<20))
	if err := p.Skip(); err == nil || !strings.Contains(err.Error(), "nested") {
		t.Fatalf("got %v, want a refusal to nest", err)
	}
}

func FuzzSkip(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `[]`, `"\ud800"`, `-0.1e+5`, `[{"a":{}}]`, "\ufeff1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := scan.New(s)
		err := p.Skip()
		if err == nil {
			err = p.End()
		}
		bom := strings.TrimPrefix(s, "\ufeff")
		if valid := json.Valid([]byte(bom)); valid != (err == nil) && !strings.Contains(s, "[[[[[[[[") {
			t.Fatalf("%q: standard library says valid=%v, scanner says %v", s, valid, err)
		}
	})
}
