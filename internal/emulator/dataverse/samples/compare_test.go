package samples_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"
)

// determined tells the values that follow from the rows set up: not keys,
// versions, dates, addresses and what is computed elsewhere.
func determined(name string) bool {
	switch {
	case name == "@odata.count":
		return true
	case strings.HasPrefix(name, "@odata."), name == "createdon", strings.HasSuffix(name, "@odata.nextLink"), strings.HasSuffix(name, "@odata.context"):
		return false
	}
	return true
}

// differ returns the first difference between what the documentation shows and
// what was answered, "" if there is none. Rows are compared in order; a list the
// documentation leaves empty says nothing about its items, and lists within rows
// may have been shortened.
func differ(at string, want, got any, known bool) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return at + " is no object"
		}
		for _, name := range sortedKeys(w) {
			if _, ok := g[name]; !ok {
				return at + " lacks " + name
			}
			if d := differ(at+"/"+name, w[name], g[name], known && determined(name)); d != "" {
				return d
			}
		}
		for _, name := range sortedKeys(g) {
			if _, ok := w[name]; !ok {
				return at + " has " + name + " too"
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok {
			return at + " is no array"
		}
		if len(w) > len(g) || known && len(w) > 0 && len(g) > len(w) && at == "/value" {
			return fmt.Sprintf("%s has %d items, want %d", at, len(g), len(w))
		}
		for i := range w {
			if d := differ(at+"/"+fmt.Sprint(i), w[i], g[i], known); d != "" {
				return d
			}
		}
		return ""
	}
	if kind(want) != kind(got) {
		return fmt.Sprintf("%s is a %s, want a %s", at, kind(got), kind(want))
	}
	if strings.HasSuffix(at, "/@odata.context") {
		return context(at, want, got)
	}
	if known && value(want) != value(got) && !anyGUID.MatchString(value(want)) {
		return fmt.Sprintf("%s is %v, want %v", at, got, want)
	}
	return ""
}

// value is a scalar as it is compared: numbers without the zeros behind them.
func value(v any) string {
	text := fmt.Sprint(v)
	if _, ok := v.(json.Number); ok && strings.Contains(text, ".") {
		return strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// context compares the kind of payload: the set or type, and whether it is one
// row. The lists of columns differ between pages of the documentation.
func context(at string, want, got any) string {
	if w, g := bare(want), bare(got); w != g {
		return fmt.Sprintf("%s is of %s, want %s", at, g, w)
	}
	return ""
}

// bare is the fragment of a context without what stands in parentheses.
func bare(v any) string {
	_, fragment, _ := strings.Cut(fmt.Sprint(v), "$metadata#")
	var b strings.Builder
	depth := 0
	for _, r := range fragment {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

var anyGUID = regexp.MustCompile(`[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`)

// mask hides what differs from run to run.
func mask(s string) string { return anyGUID.ReplaceAllString(s, "<id>") }

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

func sortedKeys(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// headers compares the headers the documentation shows. Content-Length follows
// from values; a Content-Type says nothing where there is no content.
func headers(want, got http.Header, body string) string {
	names := make([]string, 0, len(want))
	for k := range want {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		w, g := strings.Join(want[k], ","), strings.Join(got.Values(k), ",")
		switch k {
		case "Content-Length":
			continue
		case "Content-Type":
			if body != "" && w != g {
				return fmt.Sprintf("Content-Type is %s, want %s", g, w)
			}
		case "Preference-Applied":
			if preferences(w) != preferences(g) {
				return fmt.Sprintf("Preference-Applied is %s, want %s", g, w)
			}
		case "Odata-Entityid":
			_, w, _ = strings.Cut(w, "/v9.0/")
			_, g, _ = strings.Cut(g, "/v9.0/")
			if mask(w) != mask(g) {
				return fmt.Sprintf("OData-EntityId is %q, want %q", mask(g), mask(w))
			}
		case "Etag", "Req_id":
			if g == "" {
				return "no header " + k
			}
		default:
			if w != g {
				return fmt.Sprintf("%s is %q, want %q", k, g, w)
			}
		}
	}
	return ""
}

// preferences sorts a list of preferences; quotes do not matter.
func preferences(s string) string {
	list := strings.Split(strings.ReplaceAll(strings.ReplaceAll(s, `"`, ""), " ", ""), ",")
	sort.Strings(list)
	return strings.Join(list, ",")
}
