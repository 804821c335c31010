package request

import (
	"net/http"
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
)

// Prefer is a parsed Prefer header (protocols/dataverse.md §2.2).
type Prefer struct {
	Representation  bool // return=representation
	Track           bool // odata.track-changes
	ContinueOnError bool // odata.continue-on-error
	PageSize        int  // odata.maxpagesize in rows; 0 = not given
	Notes           wire.Annotations
	Applied         []string // the preferences taken, for Preference-Applied
}

// ParsePrefer reads the Prefer headers. Preferences it does not know are
// ignored; an invalid page size is refused with 400.
func ParsePrefer(h http.Header) (Prefer, error) {
	var p Prefer
	for _, token := range splitList(strings.Join(h.Values("Prefer"), ",")) {
		name, value, _ := strings.Cut(token, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "return":
			p.Representation = value == "representation"
		case "odata.track-changes":
			p.Track = true
		case "odata.continue-on-error":
			p.ContinueOnError = true
			continue
		case "odata.maxpagesize":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return p, wire.Refuse(http.StatusBadRequest, "0x80060888", "The value '%s' of the preference 'odata.maxpagesize' is invalid.", value)
			}
			p.PageSize = n
		case "odata.include-annotations":
			p.Notes = parseAnnotations(value)
		default:
			continue
		}
		p.Applied = append(p.Applied, token)
	}
	return p, nil
}

// splitList splits at commas outside quotes.
func splitList(s string) []string {
	var out []string
	quoted, start := false, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] == '"' {
			quoted = !quoted
		}
		if i == len(s) || s[i] == ',' && !quoted {
			if t := strings.TrimSpace(s[start:i]); t != "" {
				out = append(out, t)
			}
			start = i + 1
		}
	}
	return out
}

func parseAnnotations(list string) wire.Annotations {
	var a wire.Annotations
	match := func(pattern, term string) bool {
		prefix, star := strings.CutSuffix(pattern, "*")
		return pattern == term || star && strings.HasPrefix(term, prefix)
	}
	for _, p := range strings.Split(list, ",") {
		p = strings.TrimSpace(p)
		a.All = a.All || p == "*"
		a.Formatted = a.Formatted || match(p, odata.FormattedValue)
		a.Navigation = a.Navigation || match(p, odata.AssociatedNavigation)
		a.Logical = a.Logical || match(p, odata.LookupLogicalName)
		a.Cookie = a.Cookie || match(p, Namespace+"fetchxmlpagingcookie")
		a.More = a.More || match(p, Namespace+"morerecords")
		a.Total = a.Total || match(p, Namespace+"totalrecordcount")
	}
	return a
}
