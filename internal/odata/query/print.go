package query

import (
	"strings"
	"unicode/utf8"

	"allod/internal/odata/query/internal/expr"
)

// AppendSegment appends a segment of a resource path, percent-encoded.
func AppendSegment(dst []byte, s *Segment) []byte {
	switch s.Kind {
	case SegContentID:
		dst = append(dst, '$')
		return append(dst, s.Name...)
	case SegFilter:
		dst = append(dst, "$filter("...)
		dst = AppendEscaped(dst, Print(s.Filter))
		return append(dst, ')')
	case SegCrossjoin:
		dst = append(dst, "$crossjoin("...)
		dst = append(dst, strings.Join(s.Sets, ",")...)
		return append(dst, ')')
	default:
	}
	dst = AppendEscaped(dst, s.Name)
	if s.Parens {
		dst = AppendEscaped(dst, string(expr.AppendArgs(nil, s.Args)))
	}
	return dst
}

// AppendEscaped appends s percent-encoded so that it may stand in a segment of
// a path or as the value of a query option. Letters, digits and -._~!()*,:@'$=
// stay.
func AppendEscaped(dst []byte, s string) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c < utf8.RuneSelf && expr.WordByte(c) || strings.IndexByte("-.~!()*,:@'$=", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}
