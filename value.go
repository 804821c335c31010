package allod

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// GUID is a 128-bit identifier in the order in which its text form is read
// (RFC 9562 network order), e.g. 49b0be2e-d01c-ed11-b83e-000d3a572421.
type GUID [16]byte

// ParseGUID reads the 36-character form, upper or lower case, with or without
// braces. Anything else is Invalid.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	t := s
	if len(t) == 38 && t[0] == '{' && t[37] == '}' {
		t = t[1:37]
	}
	if len(t) != 36 || t[8] != '-' || t[13] != '-' || t[18] != '-' || t[23] != '-' {
		return g, Errorf(Invalid, "read GUID %q: want xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", clip(s))
	}
	at := 0
	for i := 0; i < 36; {
		if i == 8 || i == 13 || i == 18 || i == 23 { // and a hyphen nowhere else
			i++
			continue
		}
		hi, lo := unhex(t[i]), unhex(t[i+1])
		if hi > 15 || lo > 15 {
			return GUID{}, Errorf(Invalid, "read GUID %q: not hexadecimal", clip(s))
		}
		g[at] = hi<<4 | lo
		at++
		i += 2
	}
	return g, nil
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// String returns the lower-case 36-character form.
func (g GUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], g[0:4])
	hex.Encode(b[9:13], g[4:6])
	hex.Encode(b[14:18], g[6:8])
	hex.Encode(b[19:23], g[8:10])
	hex.Encode(b[24:36], g[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// MarshalText returns the text of String, so that JSON holds GUIDs as people
// read them.
func (g GUID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads what ParseGUID reads.
func (g *GUID) UnmarshalText(text []byte) error {
	v, err := ParseGUID(string(text))
	if err != nil {
		return err
	}
	*g = v
	return nil
}

// IsZero reports whether g is all zeros.
func (g GUID) IsZero() bool { return g == GUID{} }

// Type is the type of a value and of the column that holds it. The numbers are
// stored in the vault (FORMAT.md): do not reorder.
type Type uint8

// The types of values.
const (
	Absent   Type = 0  // not read: excluded, secured, or not in the source. Never written back
	Null     Type = 1  // the source said null
	String   Type = 2  // text, any length, may be empty
	Integer  Type = 3  // 64-bit signed integer, choices (option values), states
	Decimal  Type = 4  // decimal or money, as the source's own digits, e.g. "20000.0000"
	Double   Type = 5  // floating point, as the source's own digits, e.g. "1E-07"
	Boolean  Type = 6  // true or false
	ID       Type = 7  // a GUID that is not a lookup
	DateTime Type = 8  // RFC 3339 with zone Z, as the source wrote it, e.g. "2023-04-07T21:59:01Z"
	Date     Type = 9  // yyyy-mm-dd, no zone
	Lookup   Type = 10 // a reference: target table and GUID
	Choices  Type = 11 // multi-select, as the source wrote it, e.g. "1,2,3"
	File     Type = 12 // a file or image kept beside the row: see FileRef
	JSON     Type = 13 // anything else, the source's JSON text verbatim
	Binary   Type = 14 // base64 text as the source wrote it, where it is part of the row itself
)

// String returns the name of the type in lower case.
func (t Type) String() string {
	names := [...]string{"absent", "null", "string", "integer", "decimal", "double", "boolean", "id", "datetime", "date", "lookup", "choices", "file", "json", "binary"}
	if int(t) < len(names) {
		return names[t]
	}
	return "type-" + strconv.Itoa(int(t))
}

// Value is one cell: what a source sent for one column of one row, without
// loss. The zero Value is Absent. Values are immutable and comparable with ==;
// two Values are == exactly when a source would be given the same thing back.
type Value struct {
	typ  Type
	text string // String, Decimal, Double, DateTime, Date, Choices, JSON, Binary; File: encoded FileRef; Lookup: target table
	num  int64  // Integer; Boolean 0/1
	id   GUID   // ID, Lookup
}

// NullValue is the value of a column the source said is null.
func NullValue() Value { return Value{typ: Null} }

// StringValue holds text.
func StringValue(s string) Value { return Value{typ: String, text: s} }

// IntegerValue holds a whole number.
func IntegerValue(n int64) Value { return Value{typ: Integer, num: n} }

// BooleanValue holds true or false.
func BooleanValue(b bool) Value {
	if b {
		return Value{typ: Boolean, num: 1}
	}
	return Value{typ: Boolean}
}

// IDValue holds a GUID that is not a lookup.
func IDValue(g GUID) Value { return Value{typ: ID, id: g} }

// LookupValue refers to the row id of table (logical name). An empty table
// means that the source did not say which table it is.
func LookupValue(table string, id GUID) Value { return Value{typ: Lookup, text: table, id: id} }

// TextValue holds one of the types kept as the source's own text: String,
// Decimal, Double, DateTime, Date, Choices, JSON, Binary. It panics on another
// type, which is a defect of the caller.
func TextValue(t Type, text string) Value {
	switch t {
	case String, Decimal, Double, DateTime, Date, Choices, JSON, Binary:
		return Value{typ: t, text: text}
	default:
		panic(fmt.Sprintf("allod: TextValue of %v", t))
	}
}

// Type returns the type of the value; Absent for the zero Value.
func (v Value) Type() Type { return v.typ }

// IsAbsent reports whether the column was not read.
func (v Value) IsAbsent() bool { return v.typ == Absent }

// IsNull reports whether the source said null.
func (v Value) IsNull() bool { return v.typ == Null }

// Text returns the text of a text-like value, "" otherwise. For a Lookup use
// Target.
func (v Value) Text() string {
	if v.typ == Lookup || v.typ == File {
		return ""
	}
	return v.text
}

// Int returns the number of an Integer, and 0 or 1 for a Boolean.
func (v Value) Int() int64 { return v.num }

// Bool returns the truth of a Boolean.
func (v Value) Bool() bool { return v.num != 0 }

// GUID returns the identifier of an ID or Lookup.
func (v Value) GUID() GUID { return v.id }

// Target returns the table and row a Lookup refers to.
func (v Value) Target() (table string, id GUID) {
	if v.typ != Lookup {
		return "", GUID{}
	}
	return v.text, v.id
}

// String renders the value for people. It is content: never put it in a log or
// an error.
func (v Value) String() string {
	switch v.typ {
	case Absent:
		return "(not read)"
	case Null:
		return "(null)"
	case Integer:
		return strconv.FormatInt(v.num, 10)
	case Boolean:
		return strconv.FormatBool(v.num != 0)
	case ID:
		return v.id.String()
	case Lookup:
		return v.text + "(" + v.id.String() + ")"
	case File:
		f, err := v.FileRef()
		if err != nil {
			return "(file)"
		}
		return fmt.Sprintf("%s (%d bytes)", f.Name, f.Size)
	default:
		return v.text
	}
}
