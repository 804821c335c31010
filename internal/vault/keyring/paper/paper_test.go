package paper

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	zxing "github.com/makiuchi-d/gozxing/qrcode"

	"allod"
	"allod/internal/vault/keyring"
)

// read has another library read a code that is drawn with the given module.
func read(t *testing.T, width, height, module int, dark func(x, y int) bool) string {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, width*module, height*module))
	for y := range height * module {
		for x := range width * module {
			c := color.Gray{Y: 255}
			if dark(x/module, y/module) {
				c.Y = 0
			}
			m.SetGray(x, y, c)
		}
	}
	b, err := gozxing.NewBinaryBitmapFromImage(m)
	if err != nil {
		t.Fatal(err)
	}
	res, err := zxing.NewQRCodeReader().Decode(b, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetText()
}

func newWords(t *testing.T) (*keyring.Paper, []string) {
	t.Helper()
	p, err := keyring.NewPaper()
	if err != nil {
		t.Fatal(err)
	}
	return p, p.Words()
}

// A reader made by others reads the words off the code, as drawn on a page and
// on a terminal.
func TestCodeIsRead(t *testing.T) {
	_, words := newWords(t)
	want := strings.ToUpper(strings.Join(words, " "))
	c, err := NewCode(words)
	if err != nil {
		t.Fatal(err)
	}
	side := c.size + 2*quiet
	if got := read(t, side, side, 4, func(x, y int) bool { return c.at(x-quiet, y-quiet) }); got != want {
		t.Errorf("the code says %q, want %q", got, want)
	}
	var out bytes.Buffer
	if err := c.Terminal(&out, "  "); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	drawn := func(x, y int) bool {
		char := []rune(strings.TrimPrefix(lines[y/2], "  "))[x]
		return char == ' ' || char == '▄' && y%2 == 0 || char == '▀' && y%2 == 1
	}
	if got := read(t, side, side, 4, drawn); got != want {
		t.Errorf("the terminal says %q, want %q", got, want)
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("%d columns, want at most 80", n)
		}
	}
	if back, err := keyring.ParsePaper(read(t, side, side, 4, drawn)); err != nil || strings.Join(back.Words(), " ") != strings.Join(words, " ") {
		t.Errorf("what was scanned is not the recovery key: %v", err)
	}
}

// The page has the words, the code and what to do, and asks no network.
func TestPage(t *testing.T) {
	_, words := newWords(t)
	s := Sheet{Vault: allod.GUID{0xa1}, Slot: "paper-2", Role: "read", Made: time.Date(2026, 11, 21, 23, 30, 0, 0, time.FixedZone("", -7200)), Words: words}
	var out bytes.Buffer
	if err := s.HTML(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range append(words, s.Vault.String(), "paper-2 (role read)", "2026-11-22", "allod vault status --key paper", "<path d=\"M4 4h7v1H4z") {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, not := range []string{"http:", "https:", "<script", "src=", "@import", "url("} {
		if strings.Contains(text, not) {
			t.Errorf("the page has %q", not)
		}
	}
}

func TestRefused(t *testing.T) {
	if _, err := NewCode([]string{"ümlaut"}); allod.KindOf(err) != allod.Invalid || strings.Contains(err.Error(), "mlaut") {
		t.Errorf("got %v, want Invalid without the word", err)
	}
	_, words := newWords(t)
	c, err := NewCode(words)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Terminal(broken{}, ""); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	if err := (Sheet{Words: words}).HTML(broken{}); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no paper") }
