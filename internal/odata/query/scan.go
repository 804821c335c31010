package query

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"allod"
)

// maxIdentifier is the longest identifier, in characters.
const maxIdentifier = 128

// identLen returns the length in bytes of the identifier at the start of s, 0
// if there is none or it is too long.
func identLen(s string) int {
	chars, i := 0, 0
	for i < len(s) {
		c := s[i]
		size := 1
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80, c == '_':
		case isDigit(c):
			if i == 0 {
				return 0
			}
		case c >= utf8.RuneSelf:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			letter := unicode.In(r, unicode.L, unicode.Nl)
			if r == utf8.RuneError || !letter && (i == 0 || !unicode.In(r, unicode.Nd, unicode.Mn, unicode.Mc, unicode.Pc, unicode.Cf)) {
				return limited(i, chars)
			}
		default:
			return limited(i, chars)
		}
		i += size
		chars++
	}
	return limited(i, chars)
}

func limited(n, chars int) int {
	if chars > maxIdentifier {
		return 0
	}
	return n
}

// scan is a cursor over decoded text.
type scan struct {
	s     string
	i     int
	depth int
	d     Dialect
	what  string // what is being parsed, for errors
}

func (p *scan) fail(want string) error {
	return allod.Errorf(allod.Invalid, "parse %s at character %d: want %s", p.what, p.i, want)
}

// enter guards against deep nesting; each enter has its leave.
func (p *scan) enter() error {
	p.depth++
	if p.depth > MaxDepth {
		return allod.Errorf(allod.Invalid, "parse %s: nested deeper than %d levels", p.what, MaxDepth)
	}
	return nil
}

func (p *scan) leave() { p.depth-- }

func (p *scan) rest() string { return p.s[p.i:] }

func (p *scan) done() bool { return p.i >= len(p.s) }

// peek returns the next byte, 0 at the end.
func (p *scan) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// take consumes c if it is next.
func (p *scan) take(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// takeText consumes t if it is next, letters in any case.
func (p *scan) takeText(t string) bool {
	if len(p.s)-p.i >= len(t) && strings.EqualFold(p.s[p.i:p.i+len(t)], t) {
		p.i += len(t)
		return true
	}
	return false
}

// takeExact consumes t if it is next and no identifier goes on after it.
func (p *scan) takeExact(t string) bool {
	if !strings.HasPrefix(p.rest(), t) || p.i+len(t) < len(p.s) && wordByte(p.s[p.i+len(t)]) {
		return false
	}
	p.i += len(t)
	return true
}

func (p *scan) need(c byte) error {
	if !p.take(c) {
		return p.fail("\"" + string(rune(c)) + "\"")
	}
	return nil
}

// space skips whitespace and reports whether there was any.
func (p *scan) space() bool {
	start := p.i
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
	return p.i > start
}

// keyword consumes whitespace, the word in any case and whitespace, or
// nothing.
func (p *scan) keyword(word string) bool {
	start := p.i
	if p.space() && p.takeText(word) && p.space() {
		return true
	}
	p.i = start
	return false
}

func (p *scan) ident() (string, error) {
	n := identLen(p.rest())
	if n == 0 {
		return "", p.fail("a name")
	}
	p.i += n
	return p.s[p.i-n : p.i], nil
}

func (p *scan) dotted() (string, error) {
	n := dottedLen(p.rest())
	if n == 0 {
		return "", p.fail("a name")
	}
	p.i += n
	return p.s[p.i-n : p.i], nil
}

// wordByte reports whether c can go on in an identifier.
func wordByte(c byte) bool {
	return c == '_' || isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80 || c >= utf8.RuneSelf
}

// quoted reads text in single quotes, doubled ones undone.
func (p *scan) quoted() (string, error) {
	if err := p.need('\''); err != nil {
		return "", err
	}
	start, doubled := p.i, false
	for {
		end := strings.IndexByte(p.rest(), '\'')
		if end < 0 {
			p.i = len(p.s)
			return "", p.fail("a closing quote")
		}
		p.i += end + 1
		if p.peek() != '\'' {
			text := p.s[start : p.i-1]
			if doubled {
				text = strings.ReplaceAll(text, "''", "'")
			}
			return text, nil
		}
		doubled = true
		p.i++
	}
}

// jsonString reads a JSON string.
func (p *scan) jsonString() (string, error) {
	if err := p.need('"'); err != nil {
		return "", err
	}
	var out []byte
	for {
		if p.done() {
			return "", p.fail("a closing double quote")
		}
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return string(out), nil
		case c < 0x20:
			return "", p.fail("no control character")
		case c != '\\':
			out = append(out, c)
		default:
			r, err := p.jsonEscape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		}
	}
}

func (p *scan) jsonEscape() (rune, error) {
	c := p.peek()
	p.i++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, ok := p.hex4()
		if !ok {
			return 0, p.fail("four hexadecimal digits")
		}
		if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(p.rest(), `\u`) {
			at := p.i
			p.i += 2
			if low, ok := p.hex4(); ok && low >= 0xDC00 && low < 0xE000 {
				return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, nil
			}
			p.i = at
		}
		return r, nil
	}
	return 0, p.fail("an escape of JSON")
}

func (p *scan) hex4() (rune, bool) {
	if len(p.rest()) < 4 {
		return 0, false
	}
	var r rune
	for range 4 {
		c := p.s[p.i]
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case isHex(c):
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
		p.i++
	}
	return r, true
}

// decode undoes percent-encoding. What is not UTF-8, has control characters
// or a broken escape is Invalid.
func decode(s, what string, plus bool) (string, error) {
	bad := func(why string) (string, error) {
		return "", allod.Errorf(allod.Invalid, "parse %s: %s", what, why)
	}
	if strings.IndexByte(s, '%') >= 0 || plus && strings.IndexByte(s, '+') >= 0 {
		out := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '%':
				if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
					return bad("broken percent-encoding")
				}
				out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
				i += 2
			case plus && s[i] == '+':
				out = append(out, ' ')
			default:
				out = append(out, s[i])
			}
		}
		s = string(out)
	}
	if !utf8.ValidString(s) {
		return bad("not UTF-8")
	}
	for i := range len(s) {
		if s[i] < 0x20 && s[i] != '\t' && s[i] != '\n' && s[i] != '\r' || s[i] == 0x7f {
			return bad("a control character")
		}
	}
	return s, nil
}

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
