package expr

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"allod"
)

// maxIdentifier is the longest identifier, in characters.
const maxIdentifier = 128

// IdentLen returns the length in bytes of the identifier at the start of s, 0
// if there is none or it is too long.
func IdentLen(s string) int {
	chars, i := 0, 0
	for i < len(s) {
		c := s[i]
		size := 1
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80, c == '_':
		case IsDigit(c):
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

// Scanner is a cursor over decoded text, shared with package query.
type Scanner struct {
	Text  string
	At    int
	What  string // what is being parsed, for errors
	depth int
}

// Limits of what is parsed: the length of a text in bytes and how deeply
// expressions and options may nest.
const (
	MaxText  = 65536
	MaxDepth = 200
)

// Fail returns the error that something else was wanted at the cursor.
func (p *Scanner) Fail(want string) error {
	return allod.Errorf(allod.Invalid, "parse %s at character %d: want %s", p.What, p.At, want)
}

// Enter guards against deep nesting; each enter has its leave.
func (p *Scanner) Enter() error {
	p.depth++
	if p.depth > MaxDepth {
		return allod.Errorf(allod.Invalid, "parse %s: nested deeper than %d levels", p.What, MaxDepth)
	}
	return nil
}

// Leave ends an Enter.
func (p *Scanner) Leave() { p.depth-- }

// Rest returns the text from the cursor on.
func (p *Scanner) Rest() string { return p.Text[p.At:] }

// Done reports whether the text is at its end.
func (p *Scanner) Done() bool { return p.At >= len(p.Text) }

// Peek returns the next byte, 0 at the end.
func (p *Scanner) Peek() byte {
	if p.At < len(p.Text) {
		return p.Text[p.At]
	}
	return 0
}

// Take consumes c if it is next.
func (p *Scanner) Take(c byte) bool {
	if p.At < len(p.Text) && p.Text[p.At] == c {
		p.At++
		return true
	}
	return false
}

// TakeText consumes t if it is next, letters in any case.
func (p *Scanner) TakeText(t string) bool {
	if len(p.Text)-p.At >= len(t) && strings.EqualFold(p.Text[p.At:p.At+len(t)], t) {
		p.At += len(t)
		return true
	}
	return false
}

// TakeExact consumes t if it is next and no identifier goes on after it.
func (p *Scanner) TakeExact(t string) bool {
	if !strings.HasPrefix(p.Rest(), t) || p.At+len(t) < len(p.Text) && WordByte(p.Text[p.At+len(t)]) {
		return false
	}
	p.At += len(t)
	return true
}

// Need consumes c or fails.
func (p *Scanner) Need(c byte) error {
	if !p.Take(c) {
		return p.Fail("\"" + string(rune(c)) + "\"")
	}
	return nil
}

// Space skips whitespace and reports whether there was any.
func (p *Scanner) Space() bool {
	start := p.At
	for p.At < len(p.Text) && (p.Text[p.At] == ' ' || p.Text[p.At] == '\t') {
		p.At++
	}
	return p.At > start
}

// Keyword consumes whitespace, the word in any case and whitespace, or
// nothing.
func (p *Scanner) Keyword(word string) bool {
	start := p.At
	if p.Space() && p.TakeText(word) && p.Space() {
		return true
	}
	p.At = start
	return false
}

// Ident reads an identifier.
func (p *Scanner) Ident() (string, error) {
	n := IdentLen(p.Rest())
	if n == 0 {
		return "", p.Fail("a name")
	}
	p.At += n
	return p.Text[p.At-n : p.At], nil
}

// Dotted reads an identifier or identifiers joined by dots.
func (p *Scanner) Dotted() (string, error) {
	n := DottedLen(p.Rest())
	if n == 0 {
		return "", p.Fail("a name")
	}
	p.At += n
	return p.Text[p.At-n : p.At], nil
}

// WordByte reports whether c can go on in an identifier.
func WordByte(c byte) bool {
	return c == '_' || IsDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80 || c >= utf8.RuneSelf
}

// Quoted reads text in single quotes, doubled ones undone.
func (p *Scanner) Quoted() (string, error) {
	if err := p.Need('\''); err != nil {
		return "", err
	}
	start, doubled := p.At, false
	for {
		end := strings.IndexByte(p.Rest(), '\'')
		if end < 0 {
			p.At = len(p.Text)
			return "", p.Fail("a closing quote")
		}
		p.At += end + 1
		if p.Peek() != '\'' {
			text := p.Text[start : p.At-1]
			if doubled {
				text = strings.ReplaceAll(text, "''", "'")
			}
			return text, nil
		}
		doubled = true
		p.At++
	}
}

// JSONString reads a JSON string.
func (p *Scanner) JSONString() (string, error) {
	if err := p.Need('"'); err != nil {
		return "", err
	}
	var out []byte
	for {
		if p.Done() {
			return "", p.Fail("a closing double quote")
		}
		c := p.Text[p.At]
		p.At++
		switch {
		case c == '"':
			return string(out), nil
		case c < 0x20:
			return "", p.Fail("no control character")
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

func (p *Scanner) jsonEscape() (rune, error) {
	c := p.Peek()
	p.At++
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
			return 0, p.Fail("four hexadecimal digits")
		}
		if r >= 0xD800 && r < 0xDC00 && strings.HasPrefix(p.Rest(), `\u`) {
			at := p.At
			p.At += 2
			if low, ok := p.hex4(); ok && low >= 0xDC00 && low < 0xE000 {
				return (r-0xD800)<<10 + (low - 0xDC00) + 0x10000, nil
			}
			p.At = at
		}
		return r, nil
	}
	return 0, p.Fail("an escape of JSON")
}

func (p *Scanner) hex4() (rune, bool) {
	if len(p.Rest()) < 4 {
		return 0, false
	}
	var r rune
	for range 4 {
		c := p.Text[p.At]
		switch {
		case IsDigit(c):
			r = r<<4 | rune(c-'0')
		case IsHex(c):
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
		p.At++
	}
	return r, true
}

// Decode undoes percent-encoding. What is not UTF-8, has control characters
// or a broken escape is Invalid.
func Decode(s, what string, plus bool) (string, error) {
	bad := func(why string) (string, error) {
		return "", allod.Errorf(allod.Invalid, "parse %s: %s", what, why)
	}
	if strings.IndexByte(s, '%') >= 0 || plus && strings.IndexByte(s, '+') >= 0 {
		out := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '%':
				if i+2 >= len(s) || !IsHex(s[i+1]) || !IsHex(s[i+2]) {
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
	if IsDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
