package solution

import (
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/formula"
)

// entityInfo describes the table and these of its columns. Shadow columns come
// by themselves. How a package says that a table is elastic or virtual is not
// documented: here by elements with the names of the definition's members.
func (w *writer) entityInfo(t *entity.Table, columns []*entity.Column) *node {
	list := el("attributes")
	for _, c := range columns {
		if c.AttributeOf == "" && !c.Hidden && c.EdmType != "" {
			list.add(w.formula(attribute(t, c), t, c))
		}
	}
	return el("EntityInfo").add(el("entity", "Name", t.SchemaName).add(
		names("LocalizedNames", "LocalizedName", t.DisplayName),
		list,
		leaf("EntitySetName", t.SetName),
		leaf("OwnershipTypeMask", ownership(t.Ownership)),
		leaf("IsAuditEnabled", bit(t.Audit)),
		leaf("IsActivity", bit(t.Activity)),
		leaf("ChangeTrackingEnabled", bit(t.ChangeTracking)),
		nature(t),
		provider(t),
		keys(t),
	))
}

// formula adds the file of a calculated or rollup column's formula.
func (w *writer) formula(n *node, t *entity.Table, c *entity.Column) *node {
	text := formula.Definition(c)
	if text == "" {
		return n
	}
	file := "Formulas/" + t.LogicalName + "-" + c.LogicalName + ".xaml"
	w.files[file] = []byte(text)
	return n.add(leaf("FormulaDefinitionFileName", "/"+file))
}

// nature is nil for standard tables.
func nature(t *entity.Table) *node {
	if t.TableType == "Standard" || t.TableType == "" {
		return nil
	}
	return leaf("TableType", t.TableType)
}

// provider is that of a virtual table, nil for others.
func provider(t *entity.Table) *node {
	id, _ := describe.Said(t.Said).Get("DataProviderId")
	text, _ := id.(string)
	if t.TableType != "Virtual" || text == "" {
		return nil
	}
	return leaf("DataProviderId", text)
}

func ownership(mask int) string {
	switch mask {
	case 1:
		return "UserOwned"
	case 2:
		return "TeamOwned"
	case 4:
		return "BusinessOwned"
	case 8:
		return "OrgOwned"
	}
	return "None"
}

func keys(t *entity.Table) *node {
	if len(t.Keys) == 0 {
		return nil
	}
	list := el("EntityKeys")
	for _, k := range t.Keys {
		columns := el("EntityKeyAttributes")
		for _, c := range k.Columns {
			columns.add(leaf("AttributeName", c))
		}
		list.add(el("EntityKey").add(leaf("Name", k.SchemaName), leaf("LogicalName", strings.ToLower(k.SchemaName)), columns))
	}
	return list
}

func attribute(t *entity.Table, c *entity.Column) *node {
	n := el("attribute", "PhysicalName", c.SchemaName).add(
		leaf("Type", columnType(t, c)), leaf("Name", c.LogicalName), leaf("LogicalName", c.LogicalName),
		leaf("RequiredLevel", strings.ToLower(c.Required)),
		leaf("ValidForUpdateApi", bit(c.ValidForUpdate)), leaf("ValidForReadApi", bit(c.ValidForRead)), leaf("ValidForCreateApi", bit(c.ValidForCreate)),
		leaf("IsCustomField", bit(strings.Contains(c.LogicalName, "_"))), leaf("IsAuditEnabled", bit(!c.Unaudited)), leaf("IsSecured", bit(c.Secured)),
		leaf("SourceType", strconv.Itoa(c.SourceType)),
	)
	if c.MaxLength > 0 {
		n.add(leaf("MaxLength", strconv.Itoa(c.MaxLength)))
	}
	switch c.Kind {
	case "Decimal", "Double", "Money":
		n.add(leaf("Accuracy", strconv.Itoa(c.Precision)))
	case "DateTime":
		n.add(leaf("Behavior", c.Behavior))
	case "File", "Image":
		n.add(leaf("MaxSizeInKB", strconv.Itoa(c.MaxSizeKB)))
	}
	if c.MinValue != "" || c.MaxValue != "" {
		n.add(leaf("MinValue", c.MinValue), leaf("MaxValue", c.MaxValue))
	}
	if c.AutoNumber != "" {
		n.add(leaf("AutoNumberFormat", c.AutoNumber))
	}
	if c.LogicalName == t.PrimaryName {
		n.add(leaf("DisplayMask", "PrimaryName|ValidForAdvancedFind|ValidForForm|ValidForGrid|RequiredForForm"))
	}
	return n.add(choices(c), names("displaynames", "displayname", c.DisplayName))
}

// columnType is how customizations.xml calls the kind.
func columnType(t *entity.Table, c *entity.Column) string {
	if c.LogicalName == t.PrimaryID {
		return "primarykey"
	}
	switch c.Kind {
	case "String", "EntityName":
		return "nvarchar"
	case "Memo":
		return "ntext"
	case "Integer":
		return "int"
	case "Double":
		return "float"
	case "Boolean":
		return "bit"
	}
	return strings.ToLower(string(c.Kind))
}

func choices(c *entity.Column) *node {
	if c.OptionSet == nil {
		return nil
	}
	options := el("options")
	for _, o := range c.OptionSet.Options {
		x := el("option", "value", strconv.Itoa(o.Value))
		switch c.Kind {
		case "State":
			x = el("state", "value", strconv.Itoa(o.Value), "defaultstatus", strconv.Itoa(o.DefaultStatus))
		case "Status":
			x = el("status", "value", strconv.Itoa(o.Value), "state", strconv.Itoa(o.State))
		}
		options.add(x.add(names("labels", "label", o.Label)))
	}
	switch c.Kind {
	case "State":
		options.name = "states"
	case "Status":
		options.name = "statuses"
	}
	return el("optionset", "Name", c.OptionSet.Name).add(leaf("OptionSetType", columnType(&entity.Table{}, c)), leaf("IsGlobal", bit(c.OptionSet.Global)), options)
}
