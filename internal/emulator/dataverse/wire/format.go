package wire

import (
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

func appendUint(dst []byte, n uint64) []byte { return strconv.AppendUint(dst, n, 10) }

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// currencyPrecision is the number of decimals in which an amount of the base
// currency is shown, whatever the wire has (protocols/dataverse.md §2.3:
// revenue 20000.0000 is "$20,000.00").
const currencyPrecision = 2

// format is the formatted value of a cell as an English (United States) user
// in UTC sees it; false when the column has none.
func format(c *entity.Column, raw *store.Raw) (string, bool) {
	switch raw.Type {
	case allod.Integer:
		if c.OptionSet != nil {
			return Label(c.OptionSet, raw.Num)
		}
		return string(appendGrouped(nil, strconv.FormatInt(raw.Num, 10), 0)), true
	case allod.Boolean:
		if c.OptionSet != nil {
			if l, ok := Label(c.OptionSet, raw.Num); ok {
				return l, true
			}
		}
		if raw.Num != 0 {
			return "Yes", true
		}
		return "No", true
	case allod.Decimal, allod.Double:
		if c.Kind == "Money" {
			digits := string(appendGrouped(nil, raw.Text, currencyPrecision))
			if rest, neg := strings.CutPrefix(digits, "-"); neg {
				return "-$" + rest, true
			}
			return "$" + digits, true
		}
		return string(appendGrouped(nil, raw.Text, max(c.Precision, 2))), true
	case allod.DateTime:
		t, err := time.Parse(time.RFC3339, raw.Text)
		return t.UTC().Format("1/2/2006 3:04 PM"), err == nil
	case allod.Date:
		t, err := time.Parse(time.DateOnly, raw.Text)
		return t.Format("1/2/2006"), err == nil
	case allod.Choices:
		return labels(c.OptionSet, raw.Text)
	default:
		return "", false
	}
}

// Label is the label of a choice; false when it has none.
func Label(set *entity.OptionSet, n int64) (string, bool) {
	for i := range set.Options {
		if int64(set.Options[i].Value) == n {
			return set.Options[i].Label, set.Options[i].Label != ""
		}
	}
	return "", false
}

func labels(set *entity.OptionSet, text string) (string, bool) {
	if set == nil {
		return "", false
	}
	var out []string
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return "", false
		}
		if l, ok := Label(set, n); ok {
			out = append(out, l)
		}
	}
	return strings.Join(out, "; "), true
}

// appendGrouped appends the number with commas between thousands and exactly
// decimals digits behind the point (0 = as many as there are).
func appendGrouped(dst []byte, digits string, decimals int) []byte {
	if strings.ContainsAny(digits, "eEN") {
		return append(dst, digits...)
	}
	if strings.HasPrefix(digits, "-") {
		dst, digits = append(dst, '-'), digits[1:]
	}
	whole, frac, _ := strings.Cut(digits, ".")
	for i := range len(whole) {
		if i > 0 && (len(whole)-i)%3 == 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, whole[i])
	}
	if decimals > 0 {
		for len(frac) < decimals {
			frac += "0"
		}
		frac = frac[:decimals]
	}
	if frac != "" {
		dst = append(append(dst, '.'), frac...)
	}
	return dst
}
