// Package consent knows the columns that say how a person may be reached, so
// that nothing that is brought back allows what the person refuses now
// (design/rights.md, the rights register). It is pure.
package consent

import (
	"strings"

	"allod"
)

// Reason is why such a column is left as it is.
const Reason = "what a person refuses now is not allowed again"

// optedOut is msdynmkt_value of a contact point consent: 534120001 is opt-in,
// 534120002 opt-out (protocols/other-systems.md E).
const optedOut = 534120002

// Loosens reports whether writing was over now would allow what is refused now:
// a column like donotemail that goes from true to anything else, or a contact
// point consent that is opted out and would not be.
func Loosens(table, column string, was, now allod.Value) bool {
	switch column {
	case "donotemail", "donotbulkemail", "donotphone", "donotfax", "donotpostalmail", "donotbulkpostalmail", "donotsendmm":
		return yes(now) && !yes(was)
	case "msdynmkt_value":
		return strings.HasPrefix(table, "msdynmkt_contactpointconsent") && out(now) && !out(was)
	}
	return false
}

func yes(v allod.Value) bool { return v.Type() == allod.Boolean && v.Bool() }

func out(v allod.Value) bool { return v.Type() == allod.Integer && v.Int() == optedOut }

// Parse reads the records, each TABLE:ID, of those who may be reached again.
// Invalid for anything else.
func Parse(texts []string) (map[allod.RecordRef]bool, error) {
	all := map[allod.RecordRef]bool{}
	for _, text := range texts {
		table, id, _ := strings.Cut(text, ":")
		key, err := allod.ParseGUID(id)
		if err != nil || table == "" {
			return nil, allod.Errorf(allod.Invalid, "allow contact again: %q is not TABLE:ID", text)
		}
		all[allod.RecordRef{Table: table, Key: key}] = true
	}
	return all, nil
}
