// Package spelling puts URLs into the grammar's spelling where the service
// reads more than the grammar: the documentation's own samples end lists in a
// comma and paths in a slash, put spaces where there are none and write keys by
// alias (data/dataverse/documented-http-samples.json).
package spelling

import (
	"regexp"
	"strings"
)

var (
	// spacedOption is a nested option with spaces around its "=".
	spacedOption = regexp.MustCompile(`\$(select|filter|orderby|top|expand|count)(?:%20|\+| )*=(?:%20|\+| )*`)
	// aliasKey is a key given by a parameter alias, e.g. accounts(@id).
	aliasKey = regexp.MustCompile(`\(@([A-Za-z_][A-Za-z0-9_]*)\)`)
)

// URL returns the URL, which is percent-encoded and relative to the service
// root, in the grammar's spelling. What it does not know it leaves alone.
func URL(raw string) string {
	path, rest, asked := strings.Cut(raw, "?")
	path = strings.TrimSuffix(path, "/")
	if !asked {
		return path
	}
	options := strings.Split(rest, "&")
	aliases := map[string]string{}
	for i, o := range options {
		name, value, _ := strings.Cut(o, "=")
		options[i] = name + "=" + option(name, value)
		if a, ok := strings.CutPrefix(name, "@"); ok {
			aliases[a] = value
		}
		if !strings.Contains(o, "=") {
			options[i] = o
		}
	}
	path = aliasKey.ReplaceAllStringFunc(path, func(key string) string {
		if v, known := aliases[key[2:len(key)-1]]; known {
			return "(" + v + ")"
		}
		return key
	})
	return path + "?" + strings.Join(options, "&")
}

// option is the value of a query option in the grammar's spelling.
func option(name, value string) string {
	switch name {
	case "$select":
		return trim(value, true)
	case "$filter", "$orderby":
		return trim(value, false)
	case "sql", "fetchXml": // clients write them as forms do
		return strings.ReplaceAll(value, "+", "%20")
	case "$expand":
		return spacedOption.ReplaceAllString(value, "$$$1=")
	}
	return value
}

// trim takes spaces off the ends, and commas off the end of a list.
func trim(s string, list bool) string {
	for {
		before := s
		for _, space := range []string{" ", "%20", "+"} {
			s = strings.TrimSuffix(strings.TrimPrefix(s, space), space)
		}
		if list {
			s = strings.TrimSuffix(strings.TrimSuffix(s, ","), "%2C")
		}
		if s == before {
			return s
		}
	}
}
