package odata

import (
	"strconv"
	"strings"

	"allod"
)

// Preferences are what a Prefer header asks for (protocols/dataverse.md §2.2).
// What is not set was not in the header.
type Preferences struct {
	MaxPageSize        int      // odata.maxpagesize; 0 = not said
	IncludeAnnotations []string // patterns of odata.include-annotations as written, e.g. "*", "-*", "Microsoft.Dynamics.CRM.*"
	Return             string   // "representation" or "minimal"
	TrackChanges       bool
	ContinueOnError    bool
	RespondAsync       bool
	AllowReferences    bool
	OmitValues         string // "nulls" or "defaults"
	Wait               int    // seconds; 0 = not said
	Callback           string // URL of odata.callback

	// Unknown are the names of preferences that are none of these; servers
	// ignore them (RFC 7240 §2).
	Unknown []string
}

// ParsePrefer reads the value of a Prefer header; several headers may be joined
// by commas. A known preference with a value it cannot have is Invalid.
func ParsePrefer(value string) (*Preferences, error) {
	p := &Preferences{}
	for rest := value; ; {
		part, more, found := cutUnquoted(rest, ',')
		if err := p.one(strings.Trim(part, " \t")); err != nil {
			return nil, err
		}
		if !found {
			return p, nil
		}
		rest = more
	}
}

// cutUnquoted cuts s at the first sep outside double quotes.
func cutUnquoted(s string, sep byte) (before, after string, found bool) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// nameValue cuts name=value, whitespace around "=" allowed, quotes undone.
func nameValue(s string) (name, value string, hasValue, quoted bool) {
	name, value, hasValue = strings.Cut(s, "=")
	name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return name, value[1 : len(value)-1], hasValue, true
	}
	return name, value, hasValue, false
}

func (p *Preferences) one(text string) error {
	if text == "" {
		return allod.Errorf(allod.Invalid, "read Prefer: an empty preference")
	}
	main, params, hasParams := cutUnquoted(text, ';')
	name, value, hasValue, quoted := nameValue(main)
	key := strings.TrimPrefix(strings.ToLower(name), "odata.")
	var ok bool
	switch key {
	case "allow-entityreferences":
		p.AllowReferences, ok = true, !hasValue
	case "callback":
		param, url, _, urlQuoted := nameValue(params)
		p.Callback, ok = url, !hasValue && strings.EqualFold(param, "url") && urlQuoted && strings.IndexByte(url, ':') > 0
		hasParams = false
	case "continue-on-error":
		p.ContinueOnError = !hasValue || strings.EqualFold(value, "true")
		ok = p.ContinueOnError || strings.EqualFold(value, "false")
	case "include-annotations":
		p.IncludeAnnotations = strings.Split(value, ",")
		ok = quoted && annotationPatterns(p.IncludeAnnotations)
	case "maxpagesize":
		p.MaxPageSize, ok = count(value)
		ok = ok && p.MaxPageSize > 0 && value[0] != '0'
	case "omit-values":
		p.OmitValues = strings.ToLower(value)
		ok = p.OmitValues == "nulls" || p.OmitValues == "defaults"
	case "respond-async":
		p.RespondAsync, ok = true, !hasValue
	case "return":
		p.Return, ok = value, value == "representation" || value == "minimal"
	case "track-changes":
		p.TrackChanges, ok = true, !hasValue
	case "wait":
		p.Wait, ok = count(value)
	default:
		if name == "" {
			return allod.Errorf(allod.Invalid, "read Prefer: a preference without a name")
		}
		p.Unknown = append(p.Unknown, name)
		return nil
	}
	if !ok || hasParams {
		return allod.Errorf(allod.Invalid, "read Prefer: %s cannot have this value", key)
	}
	return nil
}

// count reads digits.
func count(s string) (int, bool) {
	if s == "" || digits(s, 0) != len(s) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// annotationPatterns reports whether each pattern is *, ns.term or ns.*, with
// "-" in front and #qualifier behind perhaps.
func annotationPatterns(list []string) bool {
	for _, pattern := range list {
		pattern = strings.TrimPrefix(pattern, "-")
		pattern, qualifier, hasQualifier := strings.Cut(pattern, "#")
		if hasQualifier && !word(qualifier) {
			return false
		}
		if pattern == "*" {
			continue
		}
		parts := strings.Split(pattern, ".")
		for i, part := range parts {
			if !word(part) && (part != "*" || i == 0 || i < len(parts)-1) {
				return false
			}
		}
		if len(parts) < 2 {
			return false
		}
	}
	return true
}

// word reports whether s is an identifier of ASCII characters.
func word(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// Includes reports whether an annotation with this term is asked for; the last
// pattern that fits decides (OData JSON format §3.1.1).
func (p *Preferences) Includes(term string) bool {
	yes := false
	for _, pattern := range p.IncludeAnnotations {
		bare, exclude := strings.CutPrefix(pattern, "-")
		bare, _, _ = strings.Cut(bare, "#")
		prefix, wild := strings.CutSuffix(bare, "*")
		if wild && strings.HasPrefix(term, prefix) || bare == term {
			yes = !exclude
		}
	}
	return yes
}

// ParseVersion reads an OData-Version or OData-MaxVersion header: "4.0" gives
// 4, 0. Anything else is Invalid.
func ParseVersion(value string) (major, minor int, err error) {
	a, b, found := strings.Cut(strings.Trim(value, " \t"), ".")
	major, okA := count(a)
	minor, okB := count(b)
	if !found || !okA || !okB || len(value) > 16 {
		return 0, 0, allod.Errorf(allod.Invalid, "read OData version: want major.minor")
	}
	return major, minor, nil
}

// IsContentID reports whether s may be a Content-ID: letters, digits and -._~.
func IsContentID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			continue
		}
		return false
	}
	return s != "" && len(s) <= 256
}

// ParseEntityID reads an OData-EntityId header: the URL of a record. guid is
// the last GUID in it, zero if there is none, as for an alternate key
// (protocols/dataverse.md §6.1, §6.2). A value that is no URL is Invalid.
func ParseEntityID(value string) (url string, guid allod.GUID, err error) {
	url = strings.Trim(value, " \t")
	if url == "" || len(url) > 65536 {
		return "", guid, allod.Errorf(allod.Invalid, "read OData-EntityId: want a URL")
	}
	for i := range len(url) {
		if url[i] <= ' ' || url[i] == 0x7f {
			return "", guid, allod.Errorf(allod.Invalid, "read OData-EntityId: want a URL")
		}
	}
	for i := len(url) - 36; i >= 0; i-- {
		if g, err := allod.ParseGUID(url[i : i+36]); err == nil {
			return url, g, nil
		}
	}
	return url, guid, nil
}
