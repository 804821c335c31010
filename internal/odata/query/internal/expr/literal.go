package expr

import (
	"strings"

	"allod"
)

// IsIdentifier reports whether s is an odataIdentifier: a letter or underscore
// and up to 127 letters, digits and underscores. Letters and digits of any
// script count.
func IsIdentifier(s string) bool {
	n := IdentLen(s)
	return n > 0 && n == len(s)
}

// DottedLen returns the length of the identifier or dotted name at the start
// of s, 0 if there is none.
func DottedLen(s string) int {
	n := IdentLen(s)
	if n == 0 {
		return 0
	}
	for n < len(s) && s[n] == '.' {
		next := IdentLen(s[n+1:])
		if next == 0 {
			break
		}
		n += 1 + next
	}
	return n
}

// IsDigit reports whether c is a decimal digit.
func IsDigit(c byte) bool { return c >= '0' && c <= '9' }

// IsHex reports whether c is a hexadecimal digit.
func IsHex(c byte) bool { return IsDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

// Run returns how many bytes at the start of s satisfy f.
func Run(s string, f func(byte) bool) int {
	n := 0
	for n < len(s) && f(s[n]) {
		n++
	}
	return n
}

// guidLen is 36 if s starts with a GUID, else 0.
func guidLen(s string) int {
	if len(s) < 36 {
		return 0
	}
	for i := range 36 {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return 0
			}
		} else if !IsHex(s[i]) {
			return 0
		}
	}
	return 36
}

// between reports whether the two digits at the start of s lie in [lo, hi].
func between(s string, lo, hi int) bool {
	if len(s) < 2 || !IsDigit(s[0]) || !IsDigit(s[1]) {
		return false
	}
	n := int(s[0]-'0')*10 + int(s[1]-'0')
	return n >= lo && n <= hi
}

// DateLen returns the length of the date at the start of s, 0 if none.
func DateLen(s string) int {
	i := 0
	if strings.HasPrefix(s, "-") {
		i = 1
	}
	year := Run(s[i:], IsDigit)
	if year < 4 || year > 4 && s[i] == '0' || year > 9 {
		return 0
	}
	i += year
	if len(s) < i+6 || s[i] != '-' || !between(s[i+1:], 1, 12) || s[i+3] != '-' || !between(s[i+4:], 1, 31) {
		return 0
	}
	return i + 6
}

// TimeLen returns the length of the time of day at the start of s, 0 if none.
func TimeLen(s string) int {
	if len(s) < 5 || !between(s, 0, 23) || s[2] != ':' || !between(s[3:], 0, 59) {
		return 0
	}
	if len(s) < 8 || s[5] != ':' || !between(s[6:], 0, 60) {
		return 5
	}
	if len(s) > 9 && s[8] == '.' {
		if n := Run(s[9:], IsDigit); n >= 1 && n <= 12 {
			return 9 + n
		}
	}
	return 8
}

// DateTimeLen returns the length of the timestamp at the start of s, 0 if
// none.
func DateTimeLen(s string) int {
	d := DateLen(s)
	if d == 0 || d >= len(s) || s[d] != 'T' && s[d] != 't' {
		return 0
	}
	t := TimeLen(s[d+1:])
	if t == 0 {
		return 0
	}
	i := d + 1 + t
	if i >= len(s) {
		return 0
	}
	switch s[i] {
	case 'Z', 'z':
		return i + 1
	case '+', '-':
		if len(s) >= i+6 && between(s[i+1:], 0, 23) && s[i+3] == ':' && between(s[i+4:], 0, 59) {
			return i + 6
		}
	}
	return 0
}

// DurationLen returns the length of the duration at the start of s, 0 if none.
func DurationLen(s string) int {
	i := 0
	if strings.HasPrefix(s, "-") {
		i = 1
	}
	if i >= len(s) || s[i] != 'P' && s[i] != 'p' {
		return 0
	}
	i++
	if n := Run(s[i:], IsDigit); n > 0 {
		if i+n >= len(s) || s[i+n]|0x20 != 'd' {
			return 0
		}
		i += n + 1
	}
	if i < len(s) && s[i]|0x20 == 't' {
		i++
		for _, unit := range []byte("hms") {
			n := Run(s[i:], IsDigit)
			if n == 0 {
				break
			}
			if unit == 's' && i+n+1 < len(s) && s[i+n] == '.' {
				if f := Run(s[i+n+1:], IsDigit); f > 0 {
					n += 1 + f
				}
			}
			if i+n < len(s) && s[i+n]|0x20 == unit {
				i += n + 1
			}
		}
	}
	return i
}

// NumberLen returns the length of the number at the start of s, 0 if none.
func NumberLen(s string) int {
	i := 0
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	if strings.HasPrefix(s[i:], "INF") && (i == 0 || s[0] == '-') {
		return i + 3
	}
	if i == 0 && strings.HasPrefix(s, "NaN") {
		return 3
	}
	n := Run(s[i:], IsDigit)
	if n == 0 {
		return 0
	}
	i += n
	if i+1 < len(s) && s[i] == '.' {
		if f := Run(s[i+1:], IsDigit); f > 0 {
			i += 1 + f
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		j := i + 1
		if j < len(s) && (s[j] == '+' || s[j] == '-') {
			j++
		}
		if e := Run(s[j:], IsDigit); e > 0 {
			i = j + e
		}
	}
	return i
}

// isBinary reports whether s is base64url whose last group is canonical; the
// padding may be missing.
func isBinary(s string) bool {
	body := strings.TrimRight(s, "=")
	pad := len(s) - len(body)
	for i := range len(body) {
		if c := body[i]; !IsDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	switch len(body) % 4 {
	case 0:
		return pad == 0
	case 2:
		return (pad == 0 || pad == 2) && strings.IndexByte("AQgw", body[len(body)-1]) >= 0
	case 3:
		return (pad == 0 || pad == 1) && strings.IndexByte("AEIMQUYcgkosw048", body[len(body)-1]) >= 0
	}
	return false
}

// isEnum reports whether s is a list of enumeration members or numbers.
func isEnum(s string) bool {
	for _, part := range strings.Split(s, ",") {
		num := strings.TrimLeft(part, "+-")
		if len(part)-len(num) > 1 {
			return false
		}
		if n := Run(num, IsDigit); n > 0 && n == len(num) && n <= 19 {
			continue
		}
		if !IsIdentifier(part) {
			return false
		}
	}
	return true
}

// IntegerRange returns the limits of an integer type and whether it is one.
func IntegerRange(edmType string) (lo, hi int64, ok bool) {
	switch edmType {
	case "Edm.Byte":
		return 0, 1<<8 - 1, true
	case "Edm.SByte":
		return -1 << 7, 1<<7 - 1, true
	case "Edm.Int16":
		return -1 << 15, 1<<15 - 1, true
	case "Edm.Int32":
		return -1 << 31, 1<<31 - 1, true
	case "Edm.Int64":
		return -1 << 63, 1<<63 - 1, true
	}
	return 0, 0, false
}

// ParseValue reads a value of a primitive type as it stands in payloads and in
// DefaultValue: without quotes and not percent-encoded. Types other than
// primitive ones are taken as enumerations. Errors are Invalid.
func ParseValue(edmType, s string) (*Literal, error) {
	bad := func() error {
		return allod.Errorf(allod.Invalid, "read value: not a %s", edmType)
	}
	whole := func(kind LiteralKind, n int) (*Literal, error) {
		if n == 0 || n != len(s) {
			return nil, bad()
		}
		return &Literal{Kind: kind, Text: s}, nil
	}
	if len(s) > MaxText && edmType != "Edm.String" && edmType != "Edm.Binary" {
		return nil, bad()
	}
	if lo, hi, ok := IntegerRange(edmType); ok {
		if n, isInt := ParseInt(s); !isInt || n < lo || n > hi || edmType == "Edm.Byte" && !IsDigit(s[0]) {
			return nil, bad()
		}
		return &Literal{Kind: LitNumber, Text: s}, nil
	}
	switch edmType {
	case "Edm.String":
		return &Literal{Kind: LitString, Text: s}, nil
	case "Edm.Boolean":
		if s != "true" && s != "false" {
			return nil, bad()
		}
		return &Literal{Kind: LitBool, Text: s}, nil
	case "Edm.Guid":
		return whole(LitGUID, guidLen(s))
	case "Edm.Date":
		return whole(LitDate, DateLen(s))
	case "Edm.DateTimeOffset":
		return whole(LitDateTime, DateTimeLen(s))
	case "Edm.TimeOfDay":
		return whole(LitTimeOfDay, TimeLen(s))
	case "Edm.Duration":
		return whole(LitDuration, DurationLen(s))
	case "Edm.Decimal", "Edm.Double", "Edm.Single":
		return whole(LitNumber, NumberLen(s))
	case "Edm.Binary":
		if !isBinary(s) {
			return nil, bad()
		}
		return &Literal{Kind: LitBinary, Text: s}, nil
	}
	if strings.HasPrefix(edmType, "Edm.") || !isEnum(s) {
		return nil, bad()
	}
	return &Literal{Kind: LitEnum, Type: edmType, Text: s}, nil
}

// ParseInt reads an integer with an optional sign that fits 64 bits.
func ParseInt(s string) (int64, bool) {
	t, neg := s, false
	if t != "" && (t[0] == '-' || t[0] == '+') {
		neg, t = t[0] == '-', t[1:]
	}
	if t == "" || len(t) > 40 {
		return 0, false
	}
	var n uint64
	for i := range len(t) {
		if !IsDigit(t[i]) || n > 1<<63/10 {
			return 0, false
		}
		n = n*10 + uint64(t[i]-'0')
	}
	switch {
	case neg && n <= 1<<63:
		return -int64(n), true
	case !neg && n < 1<<63:
		return int64(n), true
	}
	return 0, false
}
