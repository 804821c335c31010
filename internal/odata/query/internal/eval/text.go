package eval

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// fold returns the form of r under which letters of either case are equal.
func fold(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	return unicode.ToLower(unicode.ToUpper(r))
}

// compareText compares by code points, cases folded if asked for.
func compareText(a, b string, folded bool) int {
	if !folded {
		return strings.Compare(a, b)
	}
	for a != "" && b != "" {
		ra, na := utf8.DecodeRuneInString(a)
		rb, nb := utf8.DecodeRuneInString(b)
		if ra != rb {
			if ra, rb = fold(ra), fold(rb); ra != rb {
				return compare(int64(ra), int64(rb))
			}
		}
		a, b = a[na:], b[nb:]
	}
	return compare(int64(len(a)), int64(len(b)))
}

// prefixLen returns how many bytes of s the prefix covers, -1 if s does not
// start with it.
func prefixLen(s, prefix string, folded bool) int {
	if !folded {
		if strings.HasPrefix(s, prefix) {
			return len(prefix)
		}
		return -1
	}
	at := 0
	for prefix != "" {
		if at >= len(s) {
			return -1
		}
		rs, ns := utf8.DecodeRuneInString(s[at:])
		rp, np := utf8.DecodeRuneInString(prefix)
		if rs != rp && fold(rs) != fold(rp) {
			return -1
		}
		at, prefix = at+ns, prefix[np:]
	}
	return at
}

// indexText returns where sub starts in s, in characters, or -1.
func indexText(s, sub string, folded bool) int {
	if !folded {
		i := strings.Index(s, sub)
		if i < 0 {
			return -1
		}
		return utf8.RuneCountInString(s[:i])
	}
	for chars := 0; ; chars++ {
		if prefixLen(s, sub, true) >= 0 {
			return chars
		}
		if s == "" {
			return -1
		}
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
}

// hasSuffix reports whether s ends in suffix.
func hasSuffix(s, suffix string, folded bool) bool {
	if !folded {
		return strings.HasSuffix(s, suffix)
	}
	n := utf8.RuneCountInString(s) - utf8.RuneCountInString(suffix)
	for ; n > 0; n-- {
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
	}
	return n == 0 && prefixLen(s, suffix, true) == len(s)
}

// like matches s against a pattern of SQL: % any text, _ one character, [abc],
// [a-z] and [^abc] one of a set (protocols/dataverse.md §4.3).
func like(s, pattern string, folded bool) bool {
	starS, starP := "", ""
	star := false
	for s != "" {
		if pattern != "" && pattern[0] == '%' {
			star, starS, starP = true, s, pattern[1:]
			pattern = starP
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		if rest, ok := likeOne(r, pattern, folded); ok {
			s, pattern = s[n:], rest
			continue
		}
		if !star {
			return false
		}
		_, n = utf8.DecodeRuneInString(starS)
		starS = starS[n:]
		s, pattern = starS, starP
	}
	return strings.Trim(pattern, "%") == ""
}

// likeOne matches one character against the head of a pattern.
func likeOne(r rune, pattern string, folded bool) (rest string, ok bool) {
	if pattern == "" {
		return "", false
	}
	same := func(a, b rune) bool { return a == b || folded && fold(a) == fold(b) }
	p, n := utf8.DecodeRuneInString(pattern)
	if p == '_' {
		return pattern[n:], true
	}
	end := -1
	if p == '[' {
		end = strings.IndexByte(pattern[1:], ']')
	}
	if end <= 0 {
		return pattern[n:], same(p, r)
	}
	set := []rune(pattern[1 : 1+end])
	rest = pattern[end+2:]
	not := set[0] == '^' && len(set) > 1
	if not {
		set = set[1:]
	}
	in := false
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			in = in || set[i] <= r && r <= set[i+2] || folded && fold(set[i]) <= fold(r) && fold(r) <= fold(set[i+2])
			i += 2
			continue
		}
		in = in || same(set[i], r)
	}
	return rest, in != not
}

// hasWildcard reports whether a pattern means more than its text.
func hasWildcard(s string) bool { return strings.ContainsAny(s, "%_[") }
