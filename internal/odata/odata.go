// Package odata holds the conventions of OData v4 payloads as Dataverse uses
// them: names of annotations, context URLs, etags, error bodies and JSON
// writing for servers that emit many rows (protocols/dataverse.md §2, §3.1,
// §5, §9). Its subpackages hold the rest of the language: csdl the model, query
// URLs and expressions, batch the $batch bodies. All of it is pure: no I/O, no
// clock, no state; every function is safe for concurrent use.
package odata

import (
	"strings"

	"allod"
)

// Control information of a payload (protocols/dataverse.md §2.3, §5.1).
const (
	Context   = "@odata.context"
	ETag      = "@odata.etag"
	Type      = "@odata.type"
	ID        = "@odata.id"
	Count     = "@odata.count"
	NextLink  = "@odata.nextLink"
	DeltaLink = "@odata.deltaLink"

	// BindSuffix follows a navigation property that sets a lookup.
	BindSuffix = "@odata.bind"
)

// Annotation terms (protocols/dataverse.md §2.3).
const (
	FormattedValue        = "OData.Community.Display.V1.FormattedValue"
	LookupLogicalName     = "Microsoft.Dynamics.CRM.lookuplogicalname"
	AssociatedNavigation  = "Microsoft.Dynamics.CRM.associatednavigationproperty"
	TotalRecordCount      = "Microsoft.Dynamics.CRM.totalrecordcount"
	TotalRecordCountLimit = "Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"
	FetchXMLPagingCookie  = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie"
	MoreRecords           = "Microsoft.Dynamics.CRM.morerecords"
	GlobalMetadataVersion = "Microsoft.Dynamics.CRM.globalmetadataversion"
)

// SplitName takes a member name of a payload apart: "name@term" gives the
// annotated property and the term, "@term" an empty property, and a plain name
// an empty term.
func SplitName(member string) (property, term string) {
	if at := strings.IndexByte(member, '@'); at >= 0 {
		return member[:at], member[at+1:]
	}
	return member, ""
}

// LookupProperty returns the name under which a lookup column is read:
// _name_value (protocols/dataverse.md §2.3).
func LookupProperty(column string) string { return "_" + column + "_value" }

// LookupColumn undoes LookupProperty.
func LookupColumn(property string) (column string, ok bool) {
	rest, ok := strings.CutPrefix(property, "_")
	if !ok {
		return "", false
	}
	column, ok = strings.CutSuffix(rest, "_value")
	return column, ok && column != ""
}

// DeletedReason is the reason of every deleted item of a delta
// (protocols/dataverse.md §5.2).
const DeletedReason = "deleted"

// IsDeletedContext reports whether the context URL of an item of a delta says
// that the item was deleted (protocols/dataverse.md §5.1).
func IsDeletedContext(context string) bool { return strings.HasSuffix(context, "/$deletedEntity") }

// Form is what a context URL says about the shape of a payload.
type Form uint8

// The forms of payloads.
const (
	FormCollection Form = iota // rows of a set
	FormEntity                 // one row
	FormDelta                  // rows and deletions of a set
	FormDeleted                // one deletion
)

// AppendContext appends the context URL of a payload: base is the service root
// without a trailing slash, set the entity set ("" for the service document),
// columns the list as in $select with nested lists of $expand
// ("name,primarycontactid(fullname)", "" for all).
func AppendContext(dst []byte, base, set, columns string, form Form) []byte {
	dst = append(dst, base...)
	dst = append(dst, "/$metadata"...)
	if set == "" {
		return dst
	}
	dst = append(dst, '#')
	dst = append(dst, set...)
	if columns != "" && form != FormDeleted {
		dst = append(dst, '(')
		dst = append(dst, columns...)
		dst = append(dst, ')')
	}
	switch form {
	case FormEntity:
		dst = append(dst, "/$entity"...)
	case FormDelta:
		dst = append(dst, "/$delta"...)
	case FormDeleted:
		dst = append(dst, "/$deletedEntity"...)
	case FormCollection:
	}
	return dst
}

// AppendEtag appends the weak etag of a row version: W/"123"
// (protocols/dataverse.md §2.4).
func AppendEtag(dst []byte, version uint64) []byte {
	dst = append(dst, `W/"`...)
	dst = appendUint(dst, version)
	return append(dst, '"')
}

// FormatEtag returns the weak etag of a row version.
func FormatEtag(version uint64) string { return string(AppendEtag(nil, version)) }

// ParseEtag reads W/"123", or "123" in quotes, and returns the row version.
// The docs promise only that etags are equal or not, so callers that can should
// compare the text instead. Anything else is Invalid.
func ParseEtag(s string) (uint64, error) {
	body := strings.TrimPrefix(s, "W/")
	if len(body) < 3 || len(body) > 22 || body[0] != '"' || body[len(body)-1] != '"' {
		return 0, allod.Errorf(allod.Invalid, "read etag: want W/\"number\"")
	}
	var n uint64
	for _, c := range []byte(body[1 : len(body)-1]) {
		if c < '0' || c > '9' {
			return 0, allod.Errorf(allod.Invalid, "read etag: not a number")
		}
		d := uint64(c - '0')
		if n > (1<<64-1-d)/10 {
			return 0, allod.Errorf(allod.Invalid, "read etag: number too large")
		}
		n = n*10 + d
	}
	return n, nil
}

// ETagCondition is what an If-Match or If-None-Match header asks for.
type ETagCondition struct {
	None bool     // no condition: header absent, empty, or the literal null
	Any  bool     // "*"
	Tags []string // etags as written
}

// ParseCondition reads an If-Match or If-None-Match header. The literal null is
// no condition (protocols/dataverse.md §15.1). What is not a list of etags is
// Invalid.
func ParseCondition(header string) (ETagCondition, error) {
	h := strings.TrimSpace(header)
	switch h {
	case "", "null":
		return ETagCondition{None: true}, nil
	case "*":
		return ETagCondition{Any: true}, nil
	}
	var c ETagCondition
	for h != "" {
		start := 0
		if strings.HasPrefix(h, "W/") {
			start = 2
		}
		if len(h) <= start || h[start] != '"' {
			return ETagCondition{}, allod.Errorf(allod.Invalid, "read condition: want \"*\" or etags")
		}
		end := strings.IndexByte(h[start+1:], '"')
		if end < 0 {
			return ETagCondition{}, allod.Errorf(allod.Invalid, "read condition: etag without end")
		}
		end += start + 2
		c.Tags = append(c.Tags, h[:end])
		h = strings.TrimLeft(h[end:], " \t")
		if h == "" {
			break
		}
		rest, ok := strings.CutPrefix(h, ",")
		if !ok {
			return ETagCondition{}, allod.Errorf(allod.Invalid, "read condition: want a comma between etags")
		}
		if h = strings.TrimLeft(rest, " \t"); h == "" {
			return ETagCondition{}, allod.Errorf(allod.Invalid, "read condition: nothing after the last comma")
		}
	}
	return c, nil
}

// Matches reports whether the condition names the etag, by weak comparison
// (RFC 9110 §8.8.3.2). An absent condition matches nothing.
func (c ETagCondition) Matches(etag string) bool {
	if c.Any {
		return true
	}
	etag = strings.TrimPrefix(etag, "W/")
	for _, t := range c.Tags {
		if strings.TrimPrefix(t, "W/") == etag {
			return true
		}
	}
	return false
}
