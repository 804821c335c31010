// Package scan reads JSON text without building trees. A Scanner walks over
// one document held in memory and hands out substrings of it, so that a page
// of rows costs no allocation per member. It is strict about structure, since
// what it reads comes from a network, and keeps numbers as the sender wrote
// them.
//
// Strings come out in UTF-8; an unpaired UTF-16 surrogate, which JSON can
// carry and SQL Server can store, comes out as its three-byte generalised
// UTF-8 form so that AppendString can write the same escape again.
package scan

import (
	"strings"
	"unicode/utf8"

	"allod"
)

// MaxDepth is how deep objects and arrays may nest.
const MaxDepth = 64

// ErrTruncated is wrapped by the error of a document that ends too early, which
// is what a cut connection looks like.
var ErrTruncated = allod.Errorf(allod.Unavailable, "the JSON text ends too early")

// ErrSyntax is wrapped by the error of a document that is not JSON.
var ErrSyntax = allod.Errorf(allod.Unavailable, "the text is not JSON")

// Scanner walks over one JSON document. The zero Scanner is at the end of an
// empty one. It is not safe for concurrent use. Errors never hold content, only
// the position.
type Scanner struct {
	s string
	i int
}

// New returns a Scanner at the beginning of s. Strings it returns are parts of
// s where they can be, and keep s alive.
func New(s string) Scanner { return Scanner{s: strings.TrimPrefix(s, "\ufeff")} }

func (p *Scanner) fail() error {
	base := ErrSyntax
	if p.i >= len(p.s) {
		base = ErrTruncated
	}
	return &allod.Error{Kind: allod.Unavailable, Err: posError{base, p.i}}
}

// posError is base at a position.
type posError struct {
	base error
	at   int
}

func (e posError) Error() string { return e.base.Error() + " (byte " + itoa(e.at) + ")" }
func (e posError) Unwrap() error { return e.base }

func itoa(n int) string {
	if n == 0 {
		return "0"
	}
	var b [20]byte
	at := len(b)
	for ; n > 0; n /= 10 {
		at--
		b[at] = byte('0' + n%10)
	}
	return string(b[at:])
}

func (p *Scanner) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\n', '\r', '\t':
			p.i++
		default:
			return
		}
	}
}

// Peek skips white space and returns the next byte, 0 at the end.
func (p *Scanner) Peek() byte {
	if p.i < len(p.s) && p.s[p.i] > ' ' {
		return p.s[p.i]
	}
	p.space()
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// Expect consumes the byte c after white space.
func (p *Scanner) Expect(c byte) error {
	if p.Peek() != c || p.i >= len(p.s) {
		return p.fail()
	}
	p.i++
	return nil
}

// End reports an error unless only white space is left.
func (p *Scanner) End() error {
	p.space()
	if p.i != len(p.s) {
		return p.fail()
	}
	return nil
}

// Literal consumes "want" if the text continues with exactly that, without
// skipping white space, and reports whether it did.
func (p *Scanner) Literal(want string) bool {
	if len(p.s)-p.i >= len(want) && p.s[p.i:p.i+len(want)] == want {
		p.i += len(want)
		return true
	}
	return false
}

// More is called before each member of an object or item of an array, after
// its opening byte was consumed: it takes the comma or the closing byte and
// reports whether a member follows.
func (p *Scanner) More(first *bool, closing byte) (bool, error) {
	c := p.Peek()
	if c == closing && p.i < len(p.s) {
		p.i++
		return false, nil
	}
	if *first {
		*first = false
		if c == 0 {
			return false, p.fail()
		}
		return true, nil
	}
	if c != ',' {
		return false, p.fail()
	}
	p.i++
	if n := p.Peek(); n == closing || n == 0 {
		return false, p.fail()
	}
	return true, nil
}

// Key reads a member name and its colon.
func (p *Scanner) Key() (string, error) {
	k, err := p.Text()
	if err != nil {
		return "", err
	}
	return k, p.Expect(':')
}

// Text reads a string.
func (p *Scanner) Text() (string, error) {
	if p.Peek() != '"' {
		return "", p.fail()
	}
	start := p.i + 1
	for j := start; j < len(p.s); j++ {
		switch c := p.s[j]; {
		case c == '"':
			p.i = j + 1
			return p.s[start:j], nil
		case c == '\\':
			return p.escaped(start, j)
		case c < ' ':
			p.i = j
			return "", p.fail()
		}
	}
	p.i = len(p.s)
	return "", p.fail()
}

// escaped reads on from the first backslash, at j.
func (p *Scanner) escaped(start, j int) (string, error) {
	var b strings.Builder
	b.WriteString(p.s[start:j])
	for j < len(p.s) {
		c := p.s[j]
		switch {
		case c == '"':
			p.i = j + 1
			return b.String(), nil
		case c < ' ':
			p.i = j
			return "", p.fail()
		case c != '\\':
			end := j + 1
			for end < len(p.s) && p.s[end] != '"' && p.s[end] != '\\' && p.s[end] >= ' ' {
				end++
			}
			b.WriteString(p.s[j:end])
			j = end
		default:
			n, ok := p.escape(&b, j)
			if !ok {
				p.i = min(n, len(p.s))
				return "", p.fail()
			}
			j = n
		}
	}
	p.i = len(p.s)
	return "", p.fail()
}

// escape decodes the escape at j and returns where the text goes on, or where
// it broke and false.
func (p *Scanner) escape(b *strings.Builder, j int) (int, bool) {
	if j+1 >= len(p.s) {
		return len(p.s), false
	}
	switch c := p.s[j+1]; c {
	case '"', '\\', '/':
		b.WriteByte(c)
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case 'u':
		r, ok := p.hex4(j + 2)
		if !ok {
			return min(j+6, len(p.s)), false
		}
		j += 6
		if r >= 0xd800 && r < 0xdc00 && strings.HasPrefix(p.s[j:], `\u`) {
			if low, ok := p.hex4(j + 2); ok && low >= 0xdc00 && low < 0xe000 {
				b.WriteRune((r-0xd800)<<10 + (low - 0xdc00) + 0x10000)
				return j + 6, true
			}
		}
		writeRune(b, r)
		return j, true
	default:
		return j + 1, false
	}
	return j + 2, true
}

// writeRune writes r in generalised UTF-8: surrogates too.
func writeRune(b *strings.Builder, r rune) {
	if r < 0xd800 || r > 0xdfff {
		b.WriteRune(r)
		return
	}
	b.WriteByte(0xe0 | byte(r>>12))
	b.WriteByte(0x80 | byte(r>>6)&0x3f)
	b.WriteByte(0x80 | byte(r)&0x3f)
}

func (p *Scanner) hex4(at int) (rune, bool) {
	if at+4 > len(p.s) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.s[at : at+4]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// Number reads a number and returns it as written.
func (p *Scanner) Number() (string, error) {
	p.space()
	start, j, s := p.i, p.i, p.s
	if j < len(s) && s[j] == '-' {
		j++
	}
	digits := func() bool {
		from := j
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		return j > from
	}
	lead := j
	ok := digits() && !(s[lead] == '0' && j > lead+1)
	if ok && j < len(s) && s[j] == '.' {
		j++
		ok = digits()
	}
	if ok && j < len(s) && (s[j] == 'e' || s[j] == 'E') {
		j++
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		ok = digits()
	}
	p.i = j
	if !ok {
		return "", p.fail()
	}
	return s[start:j], nil
}

// Raw reads any value and returns its text verbatim.
func (p *Scanner) Raw() (string, error) {
	p.space()
	start := p.i
	if err := p.Skip(); err != nil {
		return "", err
	}
	return p.s[start:p.i], nil
}

// Skip consumes any value.
func (p *Scanner) Skip() error { return p.skip(0) }

func (p *Scanner) skip(depth int) error {
	switch c := p.Peek(); c {
	case '"':
		_, err := p.Text()
		return err
	case '{', '[':
		if depth >= MaxDepth {
			return allod.Errorf(allod.Unavailable, "read JSON: nested deeper than %d", MaxDepth)
		}
		p.i++
		closing := c + 2 // '{'+2 == '}', '['+2 == ']'
		first := true
		for {
			more, err := p.More(&first, closing)
			if err != nil || !more {
				return err
			}
			if c == '{' {
				if _, err := p.Key(); err != nil {
					return err
				}
			}
			if err := p.skip(depth + 1); err != nil {
				return err
			}
		}
	case 't', 'f', 'n':
		for _, w := range [...]string{"true", "false", "null"} {
			if p.Literal(w) {
				return nil
			}
		}
		if strings.HasPrefix("true", p.s[p.i:]) || strings.HasPrefix("false", p.s[p.i:]) || strings.HasPrefix("null", p.s[p.i:]) {
			p.i = len(p.s)
		}
		return p.fail()
	default:
		_, err := p.Number()
		return err
	}
}

// Object calls member for each member of the object that follows. member must
// consume the value.
func (p *Scanner) Object(member func(key string) error) error {
	if err := p.Expect('{'); err != nil {
		return err
	}
	first := true
	for {
		more, err := p.More(&first, '}')
		if err != nil || !more {
			return err
		}
		k, err := p.Key()
		if err != nil {
			return err
		}
		if err := member(k); err != nil {
			return err
		}
	}
}

// Array calls item for each item of the array that follows. item must consume
// it.
func (p *Scanner) Array(item func() error) error {
	if err := p.Expect('['); err != nil {
		return err
	}
	first := true
	for {
		more, err := p.More(&first, ']')
		if err != nil || !more {
			return err
		}
		if err := item(); err != nil {
			return err
		}
	}
}

// AppendString appends s as a JSON string. Generalised UTF-8 surrogates become
// escapes again; other bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				dst = append(dst, '\\', c)
			case c == '\n':
				dst = append(dst, '\\', 'n')
			case c == '\r':
				dst = append(dst, '\\', 'r')
			case c == '\t':
				dst = append(dst, '\\', 't')
			case c < ' ':
				dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			default:
				dst = append(dst, c)
			}
			i++
			continue
		}
		if c == 0xed && i+2 < len(s) && s[i+1] >= 0xa0 && s[i+1] <= 0xbf && s[i+2]&0xc0 == 0x80 {
			r := 0xd000 | rune(s[i+1]&0x3f)<<6 | rune(s[i+2]&0x3f)
			dst = append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return append(dst, '"')
}
