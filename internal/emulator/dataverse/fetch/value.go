package fetch

import (
	"cmp"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
)

// order compares two values of a column as the database does: text without
// regard to case, null first.
func order(a, b allod.Value) int {
	if empty(a) || empty(b) {
		return cmp.Compare(rank(a), rank(b))
	}
	switch {
	case whole(a) && whole(b):
		return cmp.Compare(a.Int(), b.Int())
	case numeric(a) && numeric(b):
		return ratOf(a).Cmp(ratOf(b))
	case isID(a) && isID(b):
		x, y := a.GUID(), b.GUID()
		return slices.Compare(x[:], y[:])
	case isTime(a) && isTime(b):
		return timeOf(a).Compare(timeOf(b))
	}
	return strings.Compare(strings.ToLower(a.Text()), strings.ToLower(b.Text()))
}

func empty(v allod.Value) bool { return v.IsNull() || v.IsAbsent() }

func rank(v allod.Value) int {
	if empty(v) {
		return 0
	}
	return 1
}

func whole(v allod.Value) bool { return v.Type() == allod.Integer || v.Type() == allod.Boolean }

func numeric(v allod.Value) bool {
	return whole(v) || v.Type() == allod.Decimal || v.Type() == allod.Double
}

func isID(v allod.Value) bool { return v.Type() == allod.ID || v.Type() == allod.Lookup }

func isTime(v allod.Value) bool { return v.Type() == allod.DateTime || v.Type() == allod.Date }

// ratOf is the exact number; what is none, zero.
func ratOf(v allod.Value) *big.Rat {
	switch {
	case whole(v):
		return new(big.Rat).SetInt64(v.Int())
	case v.Type() == allod.Double:
		f, err := strconv.ParseFloat(v.Text(), 64)
		if r := new(big.Rat).SetFloat64(f); err == nil && r != nil {
			return r
		}
		return new(big.Rat)
	}
	return decimal(v.Text())
}

// decimal reads plain digits: an exponent could ask for any amount of memory.
func decimal(text string) *big.Rat {
	if len(text) > 64 || strings.ContainsAny(text, "eEpP/xXbBoO_") {
		return new(big.Rat)
	}
	if r, ok := new(big.Rat).SetString(text); ok {
		return r
	}
	return new(big.Rat)
}

func timeOf(v allod.Value) time.Time {
	t, _ := parseTime(v.Text()) // what the store holds is a time
	return t
}

// parseTime reads the forms in which clients write dates; without a zone it is
// UTC.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// key is a text that equal values share.
func key(v allod.Value) string {
	switch {
	case empty(v):
		return ""
	case isID(v):
		return "g" + v.GUID().String()
	case numeric(v):
		return "n" + ratOf(v).RatString()
	case isTime(v):
		return "t" + timeOf(v).Format(time.RFC3339Nano)
	}
	return "s" + strings.ToLower(v.Text())
}
