package odata

import (
	"strconv"
	"unicode/utf8"

	"allod"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become
// U+FFFD; U+2028 and U+2029 are written as they are.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// AppendMember appends "name": with a comma before it unless dst ends in an
// opening brace.
func AppendMember(dst []byte, name string) []byte {
	if len(dst) > 0 && dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = AppendString(dst, name)
	return append(dst, ':')
}

// AppendAnnotated appends "property@term": like AppendMember.
func AppendAnnotated(dst []byte, property, term string) []byte {
	if len(dst) > 0 && dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, property...)
	dst = append(dst, '@')
	dst = append(dst, term...)
	return append(dst, '"', ':')
}

// AppendGUID appends g as a JSON string, lower case.
func AppendGUID(dst []byte, g allod.GUID) []byte {
	dst = append(dst, '"')
	for i, b := range g {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return append(dst, '"')
}

// AppendInt appends n as a JSON number.
func AppendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

// AppendValue appends a value as JSON on the wire (protocols/dataverse.md
// §2.3): decimals and doubles as numbers in the digits the value holds, dates,
// GUIDs and choices as strings, a lookup as its GUID. Absent values become
// null, and so do File values, whose content is not part of the row. A decimal
// or double that is not a JSON number is written as a string.
func AppendValue(dst []byte, v allod.Value) []byte {
	switch v.Type() {
	case allod.Absent, allod.Null, allod.File:
		return append(dst, "null"...)
	case allod.Integer:
		return AppendInt(dst, v.Int())
	case allod.Boolean:
		return strconv.AppendBool(dst, v.Bool())
	case allod.ID, allod.Lookup:
		return AppendGUID(dst, v.GUID())
	case allod.Decimal, allod.Double:
		if IsNumber(v.Text()) {
			return append(dst, v.Text()...)
		}
		return AppendString(dst, v.Text())
	case allod.JSON:
		return append(dst, v.Text()...)
	case allod.String, allod.DateTime, allod.Date, allod.Choices, allod.Binary:
		return AppendString(dst, v.Text())
	}
	return AppendString(dst, v.Text())
}

// IsNumber reports whether s is a number of JSON (RFC 8259 §6).
func IsNumber(s string) bool {
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	whole := digits(s, i)
	if whole == i || whole > i+1 && s[i] == '0' {
		return false
	}
	i = whole
	if i < len(s) && s[i] == '.' {
		end := digits(s, i+1)
		if end == i+1 {
			return false
		}
		i = end
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		end := digits(s, i)
		if end == i {
			return false
		}
		i = end
	}
	return i == len(s)
}

func digits(s string, i int) int {
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}
