package entity

import "strings"

// typeClass is the metadata class of each kind: XAttributeMetadata; kinds
// without one of their own are plain AttributeMetadata.
func (k ColumnKind) typeClass() string {
	switch k {
	case "Virtual", "PartyList", "CalendarRules", "":
		return ""
	case "Customer", "Owner":
		return "Lookup"
	case "Uniqueidentifier":
		return "UniqueIdentifier"
	}
	return string(k)
}

// code is AttributeTypeCode: File, Image and MultiSelectPicklist report
// Virtual (protocols/dataverse.md §3.3).
func (k ColumnKind) code() string {
	switch k {
	case "File", "Image", "MultiSelectPicklist":
		return "Virtual"
	}
	return string(k)
}

// Definition is the column's AttributeMetadata. @odata.type is there unless the
// column is plain AttributeMetadata; choices are not part of it, see Choices
// (protocols/dataverse.md §3.3).
func (c *Column) Definition(t *Table) Object {
	var o Object
	if class := c.Kind.typeClass(); class != "" {
		o = append(o, Member{"@odata.type", "#" + namespace + "." + class + "AttributeMetadata"})
	}
	o = append(o, Object{
		{"AttributeOf", orNil(c.AttributeOf)},
		{"AttributeType", c.Kind.code()},
		{"ColumnNumber", c.Number},
		{"DeprecatedVersion", nil},
		{"IntroducedVersion", "5.0.0.0"},
		{"EntityLogicalName", t.LogicalName},
		{"IsCustomAttribute", strings.Contains(c.LogicalName, "_") && t.Custom},
		{"IsPrimaryId", c.LogicalName == t.PrimaryID},
		{"IsValidODataAttribute", c.ValidOData},
		{"IsPrimaryName", c.LogicalName == t.PrimaryName},
		{"IsValidForCreate", c.ValidForCreate},
		{"IsValidForRead", c.ValidForRead},
		{"IsValidForUpdate", c.ValidForUpdate},
		{"CanBeSecuredForRead", c.Secured},
		{"CanBeSecuredForCreate", c.Secured},
		{"CanBeSecuredForUpdate", c.Secured},
		{"IsSecured", c.Secured},
		{"IsRetrievable", false},
		{"IsFilterable", false},
		{"IsSearchable", false},
		{"IsManaged", true},
		{"LinkedAttributeId", nil},
		{"LogicalName", c.LogicalName},
		{"IsValidForForm", c.ValidForRead},
		{"IsRequiredForForm", false},
		{"IsValidForGrid", c.ValidForRead},
		{"SchemaName", c.SchemaName},
		{"ExternalName", nil},
		{"IsLogical", c.Logical},
		{"IsDataSourceSecret", false},
		{"InheritsFrom", nil},
		{"SourceType", sourceType(c)},
		{"AutoNumberFormat", c.AutoNumber},
		{"MetadataId", c.MetadataID.String()},
		{"HasChanged", nil},
		{"AttributeTypeName", Object{{"Value", string(c.Kind) + "Type"}}},
		{"Description", labelObject(c.MetadataID, "")},
		{"DisplayName", labelObject(c.MetadataID, c.DisplayName)},
		{"IsAuditEnabled", managed(!c.Unaudited, true, "canmodifyauditsettings")},
		{"IsGlobalFilterEnabled", managed(false, true, "canmodifyglobalfiltersettings")},
		{"IsSortableEnabled", managed(false, true, "canmodifyissortablesettings")},
		{"IsCustomizable", managed(true, true, "iscustomizable")},
		{"IsRenameable", managed(true, true, "isrenameable")},
		{"IsValidForAdvancedFind", managed(true, true, "canmodifysearchsettings")},
		{"RequiredLevel", Object{{"Value", c.Required}, {"CanBeChanged", c.Required == "None"}, {"ManagedPropertyLogicalName", "canmodifyrequirementlevelsettings"}}},
		{"CanModifyAdditionalSettings", managed(true, false, "canmodifyadditionalsettings")},
		{"Settings", []Object{}},
	}...)
	return append(o, c.details(t)...)
}

// sourceType is null for kinds that cannot be calculated.
func sourceType(c *Column) any {
	switch c.Kind {
	case "Virtual", "Uniqueidentifier", "Lookup", "Owner", "Customer", "State", "Status", "Memo", "Image", "File", "BigInt", "EntityName", "ManagedProperty":
		return nil
	}
	return c.SourceType
}

// details are the members of the subtype.
func (c *Column) details(t *Table) Object {
	switch c.Kind {
	case "String":
		return Object{
			{"MaxLength", c.MaxLength},
			{"Format", "Text"},
			{"ImeMode", "Auto"},
			{"YomiOf", nil},
			{"IsLocalizable", false},
			{"DatabaseLength", 2 * c.MaxLength},
			{"FormulaDefinition", nil},
			{"SourceTypeMask", 0},
			{"FormatName", Object{{"Value", "Text"}}},
		}
	case "Memo":
		return Object{{"MaxLength", c.MaxLength}, {"Format", "TextArea"}, {"ImeMode", "Auto"}, {"IsLocalizable", false}, {"FormatName", Object{{"Value", "TextArea"}}}}
	case "Integer":
		return Object{{"MaxValue", number(c.MaxValue)}, {"MinValue", number(c.MinValue)}, {"Format", "None"}, {"FormulaDefinition", nil}, {"SourceTypeMask", 0}}
	case "BigInt":
		return Object{{"MaxValue", 9223372036854775807}, {"MinValue", -9223372036854775808}}
	case "Decimal":
		return Object{{"MaxValue", number(c.MaxValue)}, {"MinValue", number(c.MinValue)}, {"Precision", c.Precision}, {"ImeMode", "Auto"}, {"FormulaDefinition", nil}, {"SourceTypeMask", 0}}
	case "Double":
		return Object{{"MaxValue", number(c.MaxValue)}, {"MinValue", number(c.MinValue)}, {"Precision", c.Precision}, {"ImeMode", "Auto"}}
	case "Money":
		base := any(nil)
		if x := strings.TrimSuffix(c.LogicalName, "_base"); x != c.LogicalName {
			base = x
		}
		return Object{
			{"CalculationOf", base},
			{"ImeMode", "Auto"},
			{"MaxValue", number(c.MaxValue)},
			{"MinValue", number(c.MinValue)},
			{"Precision", c.Precision},
			{"PrecisionSource", 2},
			{"IsBaseCurrency", base != nil},
			{"FormulaDefinition", nil},
			{"SourceTypeMask", 0},
		}
	case "DateTime":
		format := "DateAndTime"
		if c.Behavior == "DateOnly" {
			format = "DateOnly"
		}
		return Object{
			{"Format", format},
			{"ImeMode", "Auto"},
			{"SourceTypeMask", 0},
			{"FormulaDefinition", nil},
			{"DateTimeBehavior", Object{{"Value", c.Behavior}}},
			{"CanChangeDateTimeBehavior", managed(false, false, "canchangedatetimebehavior")},
		}
	case "Lookup", "Customer", "Owner":
		targets := c.Targets
		if targets == nil {
			targets = []string{}
		}
		return Object{{"Targets", targets}, {"Format", "None"}}
	case "Picklist", "State", "Status", "MultiSelectPicklist":
		return Object{{"DefaultFormValue", -1}, {"ParentPicklistLogicalName", nil}, {"ChildPicklistLogicalNames", []string{}}, {"FormulaDefinition", nil}, {"SourceTypeMask", 0}}
	case "Boolean":
		return Object{{"DefaultValue", false}, {"FormulaDefinition", nil}, {"SourceTypeMask", 0}}
	case "File":
		return Object{{"MaxSizeInKB", c.MaxSizeKB}}
	case "Image":
		return Object{{"IsPrimaryImage", c.LogicalName == t.PrimaryImage}, {"MaxHeight", 144}, {"MaxWidth", 144}, {"MaxSizeInKB", c.MaxSizeKB}, {"CanStoreFullImage", c.FullImage}}
	case "EntityName":
		return Object{{"IsEntityReferenceStored", false}}
	case "ManagedProperty":
		return Object{{"ManagedPropertyLogicalName", c.LogicalName}, {"ParentAttributeName", nil}, {"ParentComponentType", 0}, {"ValueAttributeTypeCode", "Boolean"}}
	}
	return nil
}

// Choices is the OptionSet of a choice column: OptionSetMetadata, or
// BooleanOptionSetMetadata for Boolean. ok is false for other kinds
// (protocols/dataverse.md §3.3).
func (c *Column) Choices() (o Object, ok bool) {
	if c.OptionSet == nil {
		return nil, false
	}
	id := idOf("choices", c.MetadataID.String())
	o = Object{
		{"MetadataId", id.String()},
		{"HasChanged", nil},
		{"IsCustomOptionSet", false},
		{"IsGlobal", c.OptionSet.Global},
		{"IsManaged", true},
		{"Name", c.OptionSet.Name},
		{"ExternalTypeName", nil},
		{"OptionSetType", optionSetType(c.Kind)},
		{"IntroducedVersion", "5.0.0.0"},
		{"Description", labelObject(id, "")},
		{"DisplayName", labelObject(id, c.DisplayName)},
		{"IsCustomizable", managed(true, false, "iscustomizable")},
	}
	options := make([]Object, 0, len(c.OptionSet.Options))
	for _, x := range c.OptionSet.Options {
		options = append(options, x.object(c.Kind, id))
	}
	if c.Kind == "Boolean" {
		for i, x := range c.OptionSet.Options {
			name := "FalseOption"
			if x.Value != 0 {
				name = "TrueOption"
			}
			o = append(o, Member{name, options[i]})
		}
		return o, true
	}
	return append(o, Member{"Options", options}), true
}

func optionSetType(k ColumnKind) string {
	switch k {
	case "State", "Status", "Boolean":
		return string(k)
	}
	return "Picklist"
}

func (x Option) object(k ColumnKind, owner [16]byte) Object {
	o := Object{
		{"Value", x.Value},
		{"Color", nil},
		{"IsManaged", true},
		{"ExternalValue", nil},
		{"ParentValues", []string{}},
		{"Tag", nil},
		{"IsHidden", false},
		{"MetadataId", nil},
		{"HasChanged", nil},
		{"Label", labelObject(owner, x.Label)},
		{"Description", labelObject(owner, "")},
	}
	switch k {
	case "State":
		o = append(Object{{"@odata.type", "#" + namespace + ".StateOptionMetadata"}}, o...)
		o = append(o, Member{"DefaultStatus", x.DefaultStatus}, Member{"InvariantName", x.Label})
	case "Status":
		o = append(Object{{"@odata.type", "#" + namespace + ".StatusOptionMetadata"}}, o...)
		o = append(o, Member{"State", x.State}, Member{"TransitionData", nil})
	}
	return o
}
