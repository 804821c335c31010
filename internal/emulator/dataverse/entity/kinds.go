package entity

import (
	"slices"
	"strings"
)

// deriveKind finds the attribute type behind an OData property: by its Edm
// type, its neighbours and its name (protocols/dataverse.md §3.1, §3.3).
func deriveKind(m *Model, t *Table, c *Column) {
	if c.Kind == "Lookup" {
		deriveTargets(m, t, c)
		return
	}
	if c.Kind != "" {
		return
	}
	switch c.EdmType {
	case "Edm.Guid":
		c.Kind = "Uniqueidentifier"
	case "Edm.Boolean":
		c.Kind = "Boolean"
	case "Edm.Int16", "Edm.Int32":
		c.Kind = integerKind(t, c.LogicalName)
	case "Edm.Int64":
		c.Kind = "BigInt"
	case "Edm.Double", "Edm.Single":
		c.Kind = "Double"
	case "Edm.Decimal":
		c.Kind = "Decimal"
		if base := strings.TrimSuffix(c.LogicalName, "_base"); t.Column(c.LogicalName+"_base") != nil || base != c.LogicalName && t.Column(base) != nil {
			c.Kind = "Money"
		}
	case "Edm.Date":
		c.Kind, c.Behavior = "DateTime", "DateOnly"
	case "Edm.DateTimeOffset":
		c.Kind, c.Behavior = "DateTime", "UserLocal"
	case "Edm.Binary":
		c.Kind = "File"
		if t.Column(c.LogicalName+"_timestamp") != nil {
			c.Kind = "Image"
		}
	case "Edm.String":
		c.Kind = stringKind(c.LogicalName)
	default:
		c.Kind = "Virtual"
		if strings.HasSuffix(c.EdmType, "BooleanManagedProperty") {
			c.Kind = "ManagedProperty"
		}
	}
}

func deriveTargets(m *Model, t *Table, c *Column) {
	if len(c.Targets) > 0 {
		return
	}
	for _, b := range m.Bases(t) {
		for _, r := range m.ManyToOne(b.LogicalName) {
			if r.ReferencingAttr == c.LogicalName && !slices.Contains(c.Targets, r.Referenced) {
				c.Targets = append(c.Targets, r.Referenced)
			}
		}
	}
	for _, r := range m.OfIntersect(t.LogicalName) {
		for side, attr := range [2]string{r.Attribute1, r.Attribute2} {
			target := [2]string{r.Entity1, r.Entity2}[side]
			if attr == c.LogicalName && !slices.Contains(c.Targets, target) {
				c.Targets = append(c.Targets, target)
			}
		}
	}
	if i := slices.Index(c.Targets, ownerTable); i >= 0 || c.LogicalName == "ownerid" {
		c.Kind, c.Targets = "Owner", []string{"systemuser", "team"}
		return
	}
	if len(c.Targets) == 0 {
		if x := silentTarget(m, c.LogicalName); x != "" {
			c.Targets = []string{x}
		}
	}
	slices.Sort(c.Targets)
}

// silentTarget is the target of a lookup that has no navigation property.
func silentTarget(m *Model, column string) string {
	switch column {
	case "owninguser", "createdby", "modifiedby", "createdonbehalfby", "modifiedonbehalfby":
		return "systemuser"
	case "owningteam":
		return "team"
	case "owningbusinessunit":
		return "businessunit"
	case "parentcontactid", "billingcontactid":
		return "contact"
	case "billingaccountid":
		return "account"
	}
	if x, ok := strings.CutSuffix(column, "id"); ok && m.Table(x) != nil && m.Table(x).SetName != "" {
		return x
	}
	return ""
}

func integerKind(t *Table, name string) ColumnKind {
	switch name {
	case "statecode":
		return "State"
	case "statuscode":
		return "Status"
	case "utcconversiontimezonecode", "timezonecode", "languagecode", "objecttypecode", "errorcode", "localecode", "helplanguageid", "hashcode":
		return "Integer"
	}
	if base, ok := strings.CutSuffix(name, "_state"); ok && t.Column(base) != nil {
		return "Integer" // state of a rollup column
	}
	if strings.HasSuffix(name, "objecttypecode") {
		return "Picklist"
	}
	if strings.HasSuffix(name, "code") || strings.HasSuffix(name, "type") || strings.HasSuffix(name, "typemask") || listedPicklist(name) {
		return "Picklist"
	}
	if prefix, rest, custom := strings.Cut(name, "_"); custom && prefix != "address1" && prefix != "address2" && prefix != "address3" && prefix != "bpf" && prefix != "rating" && !countish(rest) {
		return "Picklist"
	}
	return "Integer"
}

// countish reports names of custom whole numbers; most custom Int32 columns
// are choices.
func countish(name string) bool {
	for _, x := range []string{"number", "count", "amount", "percent", "score", "days", "hours", "minutes", "duration", "year", "population", "order", "otc", "timeout", "level", "quantity"} {
		if strings.Contains(name, x) {
			return true
		}
	}
	return false
}

func listedPicklist(name string) bool {
	switch name {
	case "componentstate", "budgetstatus", "purchasetimeframe", "purchaseprocess", "need", "initialcommunication", "salesstage",
		"community", "isunsafe", "incomingemaildeliverymethod", "outgoingemaildeliverymethod", "emailrouteraccessapproval", "caltype",
		"accessmode", "correlationmethod", "emailreminderstatus", "notifications", "formactivationstate", "formpresentation",
		"severity", "knowledgeusage", "review", "stagecategory", "channel", "decreaseremainingon", "kbaccesslevel", "servicestage",
		"firstresponseslastatus", "resolvebyslastatus", "operation", "action", "scope", "mode", "stage", "category", "propertyconfigurationstatus",
		"timeline", "cancreate", "canread", "canupdate", "pipelinestage", "mailboxstatus", "emailconnectionchannel", "runas":
		return true
	}
	return false
}

func stringKind(name string) ColumnKind {
	switch name {
	case "objecttypecode", "activitytypecode", "primaryentity", "primaryentitytypecode", "associatedentitytypecode", "templatetypecode", "returnedtypecode",
		"itemobjecttypecode", "selectedentitytypecode", "principaltypecode", "primaryobjecttypecode", "secondaryobjecttypecode", "rendererobjecttypecode", "entitytype":
		return "EntityName"
	case "description", "notetext", "abstract", "content", "comments", "formxml", "formjson", "fetchxml", "layoutxml", "columnsetxml", "conditionxml",
		"xaml", "clientdata", "configuration", "data", "message", "exceptiondetails", "messageblock", "sampledata", "query", "customerpainpoints",
		"currentsituation", "customerneed", "proposedsolution", "quotecomments", "qualificationcomments", "bulkdeletequery":
		return "Memo"
	}
	if strings.HasSuffix(name, "_composite") || strings.HasSuffix(name, "xml") || strings.HasSuffix(name, "json") ||
		strings.HasSuffix(name, "description") || strings.HasSuffix(name, "comments") || strings.HasSuffix(name, "_notes") {
		return "Memo"
	}
	return "String"
}
