// Package rowcodec packs the cells of a row into a compact typed tuple against
// a schema and back, without loss (FORMAT.md §6.2). A value is packed only
// where unpacking gives back the source's own text, byte for byte; equal cells
// under equal schemas have equal bytes.
package rowcodec

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
)

// The codes of cells; the numbers are stored.
const (
	cAbsent       = 0
	cNull         = 1
	cAbsentRun    = 2
	cNullRun      = 3
	cString       = 4
	cInteger      = 5
	cFalse        = 6
	cTrue         = 7
	cID           = 8
	cLookup       = 9
	cLookupText   = 10
	cDecimal      = 11
	cDecimalText  = 12
	cDouble       = 13
	cDoubleText   = 14
	cTime         = 15
	cTimeFraction = 16
	cTimeText     = 17
	cDate         = 18
	cDateText     = 19
	cChoices      = 20
	cFile         = 21
	cFileText     = 22
	cJSON         = 23
	cBinary       = 24
	cBinaryText   = 25
)

// MaxCells is the most cells a row may have.
const MaxCells = 1 << 16

// Names are the tables of a schema in its order: lookups name their target by
// position. It is immutable and may be shared.
type Names struct {
	list  []string
	index map[string]int
}

// NewNames takes the tables of the schema.
func NewNames(s *allod.Schema) *Names {
	n := &Names{index: make(map[string]int, len(s.Tables))}
	for i := range s.Tables {
		n.list = append(n.list, s.Tables[i].Name)
		n.index[s.Tables[i].Name] = i
	}
	return n
}

// Append appends the encoding of cells to b. Trailing absent cells are left out.
func Append(b []byte, cells []allod.Value, names *Names) ([]byte, error) {
	for len(cells) > 0 && cells[len(cells)-1].IsAbsent() {
		cells = cells[:len(cells)-1]
	}
	if len(cells) > MaxCells {
		return b, allod.Errorf(allod.Invalid, "encode a row: %d cells are more than %d", len(cells), MaxCells)
	}
	b = binary.AppendUvarint(b, uint64(len(cells)))
	for i := 0; i < len(cells); {
		t := cells[i].Type()
		if t != allod.Absent && t != allod.Null {
			b = appendValue(b, cells[i], names)
			i++
			continue
		}
		n := 1
		for i+n < len(cells) && cells[i+n].Type() == t {
			n++
		}
		i += n
		b = appendRun(b, t, n)
	}
	return b, nil
}

func appendRun(b []byte, t allod.Type, n int) []byte {
	single, run := byte(cAbsent), byte(cAbsentRun)
	if t == allod.Null {
		single, run = cNull, cNullRun
	}
	if n == 1 {
		return append(b, single)
	}
	return binary.AppendUvarint(append(b, run), uint64(n))
}

func appendText(b []byte, code byte, s string) []byte {
	b = binary.AppendUvarint(append(b, code), uint64(len(s)))
	return append(b, s...)
}

func appendValue(b []byte, v allod.Value, names *Names) []byte {
	switch v.Type() {
	case allod.String:
		return appendText(b, cString, v.Text())
	case allod.Integer:
		return binary.AppendVarint(append(b, cInteger), v.Int())
	case allod.Boolean:
		if v.Bool() {
			return append(b, cTrue)
		}
		return append(b, cFalse)
	case allod.ID:
		g := v.GUID()
		return append(append(b, cID), g[:]...)
	case allod.Lookup:
		table, g := v.Target()
		if i, ok := names.index[table]; ok {
			b = binary.AppendUvarint(append(b, cLookup), uint64(i))
		} else {
			b = appendText(b, cLookupText, table)
		}
		return append(b, g[:]...)
	case allod.Decimal:
		return appendDecimal(b, v.Text())
	case allod.Double:
		return appendDouble(b, v.Text())
	case allod.DateTime:
		return appendTime(b, v.Text())
	case allod.Date:
		return appendDate(b, v.Text())
	case allod.Choices:
		return appendText(b, cChoices, v.Text())
	case allod.File:
		return appendFile(b, v)
	case allod.JSON:
		return appendText(b, cJSON, v.Text())
	case allod.Binary:
		return appendBinary(b, v.Text())
	case allod.Absent:
		return append(b, cAbsent)
	case allod.Null:
		return append(b, cNull)
	}
	return append(b, cAbsent)
}

func appendDecimal(b []byte, s string) []byte {
	scale := 0
	digits := s
	if dot := strings.IndexByte(s, '.'); dot >= 0 {
		scale = len(s) - dot - 1
		digits = s[:dot] + s[dot+1:]
	}
	if len(digits) <= 19 && scale <= 18 {
		if m, err := strconv.ParseInt(digits, 10, 64); err == nil && decimalText(m, scale) == s {
			return binary.AppendVarint(append(b, cDecimal, byte(scale)), m)
		}
	}
	return appendText(b, cDecimalText, s)
}

// decimalText is how a packed decimal reads.
func decimalText(m int64, scale int) string {
	s := strconv.FormatInt(m, 10)
	if scale == 0 {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if len(s) <= scale {
		s = strings.Repeat("0", scale-len(s)+1) + s
	}
	return sign + s[:len(s)-scale] + "." + s[len(s)-scale:]
}

func appendDouble(b []byte, s string) []byte {
	if f, err := strconv.ParseFloat(s, 64); err == nil && doubleText(f) == s {
		return binary.BigEndian.AppendUint64(append(b, cDouble), math.Float64bits(f))
	}
	return appendText(b, cDoubleText, s)
}

// doubleText is how a packed double reads.
func doubleText(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

const (
	secondsLayout = "2006-01-02T15:04:05Z"
	dateLayout    = "2006-01-02"
)

func appendTime(b []byte, s string) []byte {
	if len(s) >= len(secondsLayout) && len(s) <= len(secondsLayout)+10 {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err == nil && t.Year() >= 0 && t.Year() <= 9999 {
			digits := 0
			if dot := strings.IndexByte(s, '.'); dot >= 0 {
				digits = len(s) - dot - 2
			}
			sec, nano := t.Unix(), uint64(t.Nanosecond())
			if digits == 0 && timeText(sec, 0, 0) == s {
				return binary.AppendVarint(append(b, cTime), sec)
			}
			if digits >= 1 && digits <= 9 && timeText(sec, digits, nano) == s {
				b = binary.AppendVarint(append(b, cTimeFraction, byte(digits)), sec)
				return binary.AppendUvarint(b, nano)
			}
		}
	}
	return appendText(b, cTimeText, s)
}

// timeText is how a packed time reads.
func timeText(sec int64, digits int, nano uint64) string {
	t := time.Unix(sec, 0).UTC().Format("2006-01-02T15:04:05")
	if digits == 0 {
		return t + "Z"
	}
	f := strconv.FormatUint(1_000_000_000+nano, 10)[1:]
	return t + "." + f[:digits] + "Z"
}

func appendDate(b []byte, s string) []byte {
	if t, err := time.Parse(dateLayout, s); err == nil {
		days := t.Unix() / 86400
		if t.Unix() < 0 && t.Unix()%86400 != 0 {
			days--
		}
		if dateText(days) == s {
			return binary.AppendVarint(append(b, cDate), days)
		}
	}
	return appendText(b, cDateText, s)
}

// dateText is how a packed date reads.
func dateText(days int64) string { return time.Unix(days*86400, 0).UTC().Format(dateLayout) }

func appendFile(b []byte, v allod.Value) []byte {
	f, err := v.FileRef()
	if err == nil && allod.FileValue(f) == v && f.Size >= 0 {
		sum, hexErr := hex.DecodeString(f.SHA256)
		if hexErr == nil && (len(sum) == 0 || len(sum) == 32 && hex.EncodeToString(sum) == f.SHA256) {
			b = appendText(b, cFile, f.SourceID)
			for _, s := range []string{f.Name, f.MIME, f.Content} {
				b = binary.AppendUvarint(b, uint64(len(s)))
				b = append(b, s...)
			}
			b = binary.AppendUvarint(b, uint64(f.Size))
			return append(append(b, byte(len(sum))), sum...)
		}
	}
	if err != nil { // File values are made by allod.FileValue only
		return append(b, cAbsent)
	}
	text, err := json.Marshal(f)
	if err != nil { // a struct of strings and a number always marshals
		return append(b, cAbsent)
	}
	return appendText(b, cFileText, string(text))
}

func appendBinary(b []byte, s string) []byte {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err == nil && base64.StdEncoding.EncodeToString(raw) == s {
		return appendText(b, cBinary, string(raw))
	}
	return appendText(b, cBinaryText, s)
}

// Equal reports whether both list the same tables in the same order, so that
// lookups encoded against one read the same against the other.
func (n *Names) Equal(o *Names) bool { return slices.Equal(n.list, o.list) }
