package metadata

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"allod"
	"allod/internal/source/dataverse/rows"
)

// Native returns the type name without the suffix "Type", e.g. "Money" or
// "MultiSelectPicklist". AttributeTypeName decides, since AttributeType says
// Virtual of files, images and multi-selects (protocols/dataverse.md §3.3).
func (a *Attribute) Native() string {
	if v := strings.TrimSuffix(a.AttributeTypeName.Value, "Type"); v != "" {
		return v
	}
	if a.AttributeType == "Virtual" { // a service that leaves the name out still says the class
		if v := strings.TrimSuffix(strings.TrimPrefix(a.ODataType, "#Microsoft.Dynamics.CRM."), "AttributeMetadata"); v != "" {
			return v
		}
	}
	return a.AttributeType
}

func (a *Attribute) inOData() bool { return a.IsValidODataAttribute == nil || *a.IsValidODataAttribute }

// column describes a column; ends are those of the pairs of an intersect table.
func column(e *Entity, a *Attribute, binds map[string]map[string]string, ends map[string]bool) allod.Column {
	c := allod.Column{
		Name: a.LogicalName, ID: guid(a.MetadataID), Native: a.Native(), Label: a.DisplayName.Text(),
		Type:   valueType(e.LogicalName, a),
		Create: a.IsValidForCreate, Update: a.IsValidForUpdate, Secured: a.IsSecured,
		Required: a.RequiredLevel.Value == "SystemRequired",
	}
	if a.MaxLength != nil && *a.MaxLength > 0 {
		c.MaxLength = *a.MaxLength
	}
	if e.IsIntersect && e.LogicalName != "activityparty" {
		// A pair is made by associating two rows, which says who they are and
		// nothing else (protocols/dataverse.md §6.5): the rest is the platform's.
		if c.Create, c.Update = ends[a.LogicalName], false; !c.Create {
			c.Unwritable = allod.NotWritablePlatform
		}
	}
	if !c.Create && !c.Update && c.Unwritable == "" {
		c.Unwritable = unwritable(a)
	}
	if c.Type == allod.Lookup && len(binds[a.LogicalName]) > 0 {
		c.Bind = maps.Clone(binds[a.LogicalName])
	}
	c.Options = options(a)
	switch {
	case !a.IsValidForRead:
		c.Unreadable = "not valid for read"
	default:
		c.Derived = derived(a)
		if !a.inOData() || asRows(a.Native()) {
			c.Unreadable = notInWebAPI
		}
	}
	return c
}

// notInWebAPI is why rows have no member for a column that the metadata call
// readable: labels of choices and lookups, which come as annotations.
const notInWebAPI = "not part of the Web API"

// asRows reports whether columns of the type are shown as rows of a table of
// their own (protocols/dataverse.md §6.1).
func asRows(native string) bool { return native == "PartyList" || native == "CalendarRules" }

// valueType maps the source's types to ours (protocols/dataverse.md §2.3,
// §3.1, §3.3).
func valueType(table string, a *Attribute) allod.Type {
	if rows.IsBody(table, a.LogicalName) {
		return allod.File
	}
	switch a.Native() {
	case "Boolean":
		return allod.Boolean
	case "Customer", "Lookup", "Owner":
		return allod.Lookup
	case "DateTime":
		if a.DateTimeBehavior.Value == "DateOnly" {
			return allod.Date
		}
		return allod.DateTime
	case "Decimal", "Money":
		return allod.Decimal
	case "Double":
		return allod.Double
	case "Integer", "BigInt", "Picklist", "State", "Status":
		return allod.Integer
	case "String", "Memo", "EntityName":
		return allod.String
	case "Uniqueidentifier":
		return allod.ID
	case "MultiSelectPicklist":
		return allod.Choices
	case rows.NativeFile, rows.NativeImage:
		return allod.File
	}
	return allod.JSON
}

// unwritable says why neither create nor update takes a value, from the closed
// list of the root package.
func unwritable(a *Attribute) string {
	switch {
	case a.SourceType != nil && *a.SourceType > 0: // calculated, rollup, formula
		return allod.NotWritableComputed
	case setByPlatform(a.LogicalName):
		return allod.NotWritablePlatform
	case a.AttributeOf != "", a.CalculationOf != "", a.LogicalName == "fullname", a.LogicalName == "yomifullname",
		a.LogicalName == "composite", strings.HasSuffix(a.LogicalName, "_composite"),
		strings.HasSuffix(a.LogicalName, "_base"): // an amount in the base currency follows from the amount and the rate
		return allod.NotWritableComputed
	}
	return allod.NotWritableMetadata
}

// setByPlatform lists what every table has and only the platform writes
// (protocols/dataverse.md §6.7).
func setByPlatform(column string) bool {
	switch column {
	case "createdon", "createdby", "createdonbehalfby", "createdbyexternalparty",
		"modifiedon", "modifiedby", "modifiedonbehalfby", "modifiedbyexternalparty",
		"versionnumber", "owninguser", "owningteam", "owningbusinessunit", "exchangerate", "organizationid",
		"overwritetime", "componentstate", "ismanaged", "solutionid", "entityimageid", "entityimage_timestamp", "entityimage_url":
		return true
	}
	return false
}

func isComposite(a *Attribute) bool {
	return a.IsLogical && a.Native() == "Memo" && !a.IsValidForCreate && !a.IsValidForUpdate &&
		(a.LogicalName == "composite" || strings.HasSuffix(a.LogicalName, "_composite"))
}

// derived says why a column is not stored although it could be read
// (design/capture.md, never stored).
func derived(a *Attribute) string {
	native := a.Native()
	switch {
	case a.LogicalName == "versionnumber":
		return "kept as the version of the row"
	case native == "PartyList":
		return "kept as rows of activityparty"
	case native == "CalendarRules":
		return "kept as rows of calendarrule"
	case a.LogicalName == "documentbody_binary", a.LogicalName == "body_binary":
		return "the same bytes as " + strings.TrimSuffix(a.LogicalName, "_binary")
	case isComposite(a):
		return "put together from stored columns"
	case native == rows.NativeFile || native == rows.NativeImage:
		return ""
	case imagePart(a):
		return "part of the image column"
	case a.AttributeOf != "" && !a.inOData():
		return "label or type of " + a.AttributeOf
	case a.AttributeOf != "" && strings.HasSuffix(a.LogicalName, "_name"):
		return "kept with the file of " + a.AttributeOf
	case native == "Virtual":
		return "label of another column"
	}
	return ""
}

// imagePart reports whether the column is one of the siblings of an image
// column: <image>id, <image>_timestamp, <image>_url (protocols/dataverse.md §8.3).
func imagePart(a *Attribute) bool {
	if a.AttributeOf != "" && (strings.HasSuffix(a.LogicalName, "_timestamp") || strings.HasSuffix(a.LogicalName, "_url")) {
		return true
	}
	return a.LogicalName == "entityimageid" && a.Native() == "Uniqueidentifier"
}

func options(a *Attribute) []allod.Option {
	set := a.OptionSet
	if set == nil || (len(set.Options) == 0 && set.TrueOption == nil && set.FalseOption == nil) {
		if a.GlobalOptionSet != nil {
			set = a.GlobalOptionSet
		}
	}
	if set == nil {
		return nil
	}
	items := slices.Clone(set.Options)
	for _, one := range []*OptionItem{set.FalseOption, set.TrueOption} {
		if one != nil {
			items = append(items, *one)
		}
	}
	out := make([]allod.Option, 0, len(items))
	for _, it := range items {
		o := allod.Option{Value: it.Value, Label: it.Label.Text(), State: -1}
		if it.State != nil {
			o.State = *it.State
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(x, y allod.Option) int { return cmp.Compare(x.Value, y.Value) })
	return out
}

// SetOptions puts the option sets that casts of attributes returned into the
// attributes of a table.
func SetOptions(attrs []Attribute, cast []Attribute) {
	at := map[string]int{}
	for i := range attrs {
		at[attrs[i].LogicalName] = i
	}
	for i := range cast {
		if j, ok := at[cast[i].LogicalName]; ok {
			attrs[j].OptionSet, attrs[j].GlobalOptionSet = cast[i].OptionSet, cast[i].GlobalOptionSet
		}
	}
}
