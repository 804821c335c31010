// Package paper lays a recovery key out for people: a page to print and keep,
// and lines for a terminal, both with the words and a QR code of the same words
// (FORMAT.md, "Slots"). It stores nothing; what it writes is secret.
package paper

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"

	"allod"
)

// Sheet is what stands on a page.
type Sheet struct {
	Vault allod.GUID
	Slot  string    // name of the slot that the words open
	Role  string    // what the slot may do, e.g. "all"
	Made  time.Time // when the page was made; its day is printed, in UTC
	Words []string  // keyring.Paper.Words
}

// quiet is the empty margin around a QR code, in modules (ISO/IEC 18004 wants 4).
const quiet = 4

// Code is a QR code.
type Code struct {
	size int // modules, without the margin
	dark []bool
}

// NewCode makes the QR code of the words: in upper case, one space between, in
// alphanumeric mode, with a quarter of it to spare (level Q). Scanned, it is
// what `--key paper` reads.
func NewCode(words []string) (*Code, error) {
	m, err := qr.Encode(strings.ToUpper(strings.Join(words, " ")), qr.Q, qr.AlphaNumeric)
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "make the QR code of a recovery key: its words do not fit")
	}
	c := &Code{size: m.Bounds().Dx()}
	for y := range c.size {
		for x := range c.size {
			r, _, _, _ := m.At(x, y).RGBA()
			c.dark = append(c.dark, r == 0)
		}
	}
	return c, nil
}

// at reports whether a module is dark; those of the margin are not.
func (c *Code) at(x, y int) bool {
	return x >= 0 && y >= 0 && x < c.size && y < c.size && c.dark[y*c.size+x]
}

// Terminal writes the code with half blocks, two modules to a character, each
// line led by indent. Light modules are drawn, so that it is right on a dark
// background; most readers also take it the other way round.
func (c *Code) Terminal(w io.Writer, indent string) error {
	blocks := map[[2]bool]string{{false, false}: "█", {false, true}: "▀", {true, false}: "▄", {true, true}: " "}
	var b strings.Builder
	for y := -quiet; y < c.size+quiet; y += 2 {
		b.WriteString(indent)
		for x := -quiet; x < c.size+quiet; x++ {
			below := y+1 < c.size+quiet && c.at(x, y+1)
			b.WriteString(blocks[[2]bool{c.at(x, y), below}])
		}
		b.WriteByte('\n')
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return allod.Errorf(allod.Unavailable, "show a recovery key: %w", err)
	}
	return nil
}

// path is the code as the path of an SVG with one unit to a module.
func (c *Code) path() string {
	var b strings.Builder
	for y := range c.size {
		for x := 0; x < c.size; x++ {
			from := x
			for c.at(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1H%dz", from+quiet, y+quiet, x-from, from+quiet)
			}
		}
	}
	return b.String()
}

//go:embed page.html
var page string

// HTML writes the page: one file that needs no other and nothing from a
// network, black on white, one side of paper.
func (s Sheet) HTML(w io.Writer) error {
	code, err := NewCode(s.Words)
	if err != nil {
		return err
	}
	type numbered struct {
		N    int
		Word string
	}
	var words []numbered
	for i, word := range s.Words {
		words = append(words, numbered{i + 1, word})
	}
	t, err := template.New("page").Parse(page)
	if err != nil {
		return allod.Errorf(allod.Internal, "make the page of a recovery key: %w", err)
	}
	err = t.Execute(w, map[string]any{
		"Sheet": s, "Words": words, "Day": s.Made.UTC().Format(time.DateOnly), "Path": code.path(), "Side": code.size + 2*quiet,
	})
	if err != nil {
		return allod.Errorf(allod.Unavailable, "write the page of a recovery key: %w", err)
	}
	return nil
}
