package plain

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Reason says why a cell was not compared.
type Reason string

// The closed list of reasons.
const (
	Invalid  Reason = "not valid for create or update"
	Computed Reason = "computed"
	Platform Reason = "set by the platform"
)

// parties is the table of participants of activities.
const parties = "activityparty"

// target is the annotation that says which table a lookup leads to.
const target = "@Microsoft.Dynamics.CRM.lookuplogicalname"

// table is what EntityDefinitions says of a table.
type table struct {
	LogicalName, EntitySetName, PrimaryIdAttribute string
	IsIntersect                                    bool

	Attributes []attribute

	pairs bool     // its rows are pairs of rows of two others
	ends  []string // and these its columns that say which
}

type attribute struct {
	LogicalName, AttributeOf, CalculationOf string
	AttributeTypeName                       struct{ Value string }

	IsValidForCreate, IsValidForRead, IsValidForUpdate bool
	IsValidODataAttribute                              *bool
	SourceType                                         int
}

// column is a column that rows have cells for.
type column struct {
	name, member string // of the column, and of a row's JSON
	why          Reason // it is not compared; "" if it is
	file         bool   // compared by its bytes
	image        bool   // not in an answer unless asked for
}

// columns lists the columns that a client can read as members of a row.
func (t *table) columns() []column {
	var out []column
	for i := range t.Attributes {
		a := &t.Attributes[i]
		kind := a.AttributeTypeName.Value
		if !a.IsValidForRead || a.IsValidODataAttribute != nil && !*a.IsValidODataAttribute || kind == "PartyListType" || kind == "CalendarRulesType" {
			continue
		}
		c := column{name: a.LogicalName, member: a.LogicalName, why: t.reason(a)}
		switch kind {
		case "LookupType", "CustomerType", "OwnerType":
			c.member = "_" + a.LogicalName + "_value"
		case "FileType":
			c.file = c.why == ""
		case "ImageType":
			c.image = true
		}
		out = append(out, c)
	}
	return out
}

// byPlatform are the columns that only the platform writes, whatever table has
// them (protocols/dataverse.md §6.7).
var byPlatform = []string{
	"createdon", "createdby", "createdonbehalfby", "createdbyexternalparty",
	"modifiedon", "modifiedby", "modifiedonbehalfby", "modifiedbyexternalparty",
	"versionnumber", "owninguser", "owningteam", "owningbusinessunit", "exchangerate", "organizationid",
	"overwritetime", "componentstate", "ismanaged", "solutionid", "entityimageid", "entityimage_timestamp", "entityimage_url",
}

// reason says why a column is not compared, "" if it is.
func (t *table) reason(a *attribute) Reason {
	n := a.LogicalName
	key := n == t.PrimaryIdAttribute
	switch {
	case t.pairs:
		if slices.Contains(t.ends, n) {
			return ""
		}
		return Platform // making a pair says nothing but its two ends (§6.5)
	case key && t.LogicalName == parties, n == "overriddencreatedon":
		return Platform // participants are written as a list; a new row gets the time of its making
	case key, a.IsValidForCreate, a.IsValidForUpdate:
		return ""
	case a.AttributeTypeName.Value == "FileType" && !strings.HasSuffix(n, "_binary"):
		return "" // written by a way of its own; twins of base64 texts are not
	case slices.Contains(byPlatform, n):
		return Platform
	case a.SourceType > 0, a.AttributeOf != "", a.CalculationOf != "", n == "fullname", n == "yomifullname", n == "composite",
		strings.HasSuffix(n, "_base"), strings.HasSuffix(n, "_composite"):
		return Computed
	}
	return Invalid
}

// identity is what makes a row the same on both sides: its key, its pair, or
// what a participant is, since participants are always written anew.
func (t *table) identity(row map[string]any) string {
	columns := []string{t.PrimaryIdAttribute}
	if t.LogicalName == parties {
		columns = []string{"activityid", "participationtypemask", "partyid"}
	} else if t.pairs {
		columns = t.ends
	}
	parts := make([]string, 0, len(columns))
	for _, c := range columns {
		v, ok := row[c]
		if !ok {
			v = row["_"+c+"_value"]
		}
		parts = append(parts, fmt.Sprint(v))
	}
	return strings.Join(parts, " ")
}

// cells compares two rows column by column.
func (r *Result) cells(ctx context.Context, t *table, columns []column, roots [2]string, a, b map[string]any) error {
	backdated := false
	for _, c := range columns {
		v, here := a[c.member]
		w, there := b[c.member]
		backdated = backdated || c.name == "overriddencreatedon"
		switch {
		case !here || !there:
			r.bad("%s.%s is not in an answer", t.LogicalName, c.name)
		case c.why != "":
			r.Left[c.why]++
		case c.file:
			if err := r.file(ctx, t, c.name, roots, a, b); err != nil {
				return err
			}
		case !same(v, w) || a[c.member+target] != b[c.member+target]:
			r.bad("%s.%s differs", t.LogicalName, c.name)
		default:
			r.Cells++
			if s, ok := v.(string); ok && s != "" && (c.image || t.body(c.name)) {
				r.Files++
			}
		}
	}
	if backdated && !t.pairs {
		r.age(a["createdon"], b["createdon"])
	}
	return nil
}

// age compares the dates of creation of a row that is older than the
// environments.
func (r *Result) age(a, b any) {
	text, _ := a.(string)
	made, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil || !made.Before(r.began):
	case a == b:
		r.Kept++
	default:
		r.Lost++
	}
}

// body reports whether the column is a file as base64 text (§8.1).
func (t *table) body(column string) bool {
	return t.LogicalName == "annotation" && column == "documentbody" || t.LogicalName == "activitymimeattachment" && column == "body"
}

// same compares two JSON values; numbers by what they are worth.
func same(a, b any) bool {
	x, isX := a.(json.Number)
	y, isY := b.(json.Number)
	if isX && isY {
		p, okP := new(big.Rat).SetString(x.String())
		q, okQ := new(big.Rat).SetString(y.String())
		return okP && okQ && p.Cmp(q) == 0
	}
	return fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b)
}

// file compares the bytes of a file column.
func (r *Result) file(ctx context.Context, t *table, column string, roots [2]string, a, b map[string]any) error {
	var got [2][]byte
	for i, row := range []map[string]any{a, b} {
		if row[column] == nil {
			continue
		}
		at := roots[i] + t.EntitySetName + "(" + url.PathEscape(fmt.Sprint(row[t.PrimaryIdAttribute])) + ")/" + column + "/$value"
		content, status, err := fetch(ctx, at)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("GET %s: status %d", at, status)
		}
		got[i] = append([]byte{1}, content...) // an empty file is not none
	}
	if string(got[0]) != string(got[1]) {
		r.bad("%s.%s: the files differ", t.LogicalName, column)
		return nil
	}
	r.Cells++
	if got[0] != nil {
		r.Files++
	}
	return nil
}
