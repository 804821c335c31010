// Package metadata turns what Dataverse says of its tables (EntityDefinitions;
// protocols/dataverse.md §3.2 to §3.4) into an allod.Schema: types, what can be
// written and why not, what follows from other columns, navigation properties,
// and the class of every table. It does no I/O and guesses no names.
package metadata

// Entity is one item of EntityDefinitions.
type Entity struct {
	MetadataID            string `json:"MetadataId"`
	LogicalName           string
	SchemaName            string
	EntitySetName         string
	PrimaryIDAttribute    string `json:"PrimaryIdAttribute"`
	PrimaryNameAttribute  string
	OwnershipType         string
	TableType             string
	DataProviderID        string `json:"DataProviderId"`
	ObjectTypeCode        int
	IsIntersect           bool
	IsActivity            bool
	IsCustomEntity        bool
	IsBPFEntity           bool
	ChangeTrackingEnabled bool
	DisplayName           Label

	Attributes              []Attribute
	Keys                    []Key
	ManyToOneRelationships  []OneToMany
	ManyToManyRelationships []ManyToMany
}

// EntitySelect is the $select that fills the plain fields of Entity.
const EntitySelect = "MetadataId,LogicalName,SchemaName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,OwnershipType,TableType,DataProviderId,ObjectTypeCode,IsIntersect,IsActivity,IsCustomEntity,IsBPFEntity,ChangeTrackingEnabled,DisplayName"

// Attribute is one column (protocols/dataverse.md §3.3).
type Attribute struct {
	ODataType             string `json:"@odata.type"`
	MetadataID            string `json:"MetadataId"`
	LogicalName           string
	AttributeOf           string
	AttributeType         string
	AttributeTypeName     struct{ Value string }
	DisplayName           Label
	IsLogical             bool
	IsSecured             bool
	IsValidForCreate      bool
	IsValidForRead        bool
	IsValidForUpdate      bool
	IsValidODataAttribute *bool // absent = true
	RequiredLevel         struct{ Value string }
	SourceType            *int
	CalculationOf         string
	MaxLength             *int
	Format                string
	DateTimeBehavior      struct{ Value string }
	Targets               []string
	OptionSet             *OptionSet
	GlobalOptionSet       *OptionSet
}

// OptionSet holds the options of a choice column. True and False are those of
// a yes/no column.
type OptionSet struct {
	Options     []OptionItem
	TrueOption  *OptionItem
	FalseOption *OptionItem
}

// OptionItem is one choice; State is set for status reasons.
type OptionItem struct {
	Value int64
	State *int64
	Label Label
}

// Label is a text in several languages.
type Label struct {
	LocalizedLabels    []LocalizedLabel
	UserLocalizedLabel *LocalizedLabel
}

// LocalizedLabel is a text in one language.
type LocalizedLabel struct {
	Label        string
	LanguageCode int
}

// Text returns the label in the caller's language, else the first there is.
func (l Label) Text() string {
	if l.UserLocalizedLabel != nil && l.UserLocalizedLabel.Label != "" {
		return l.UserLocalizedLabel.Label
	}
	if len(l.LocalizedLabels) > 0 {
		return l.LocalizedLabels[0].Label
	}
	return ""
}

// Key is an alternate key (protocols/dataverse.md §3.4).
type Key struct {
	LogicalName          string
	KeyAttributes        []string
	EntityKeyIndexStatus string
}

// OneToMany is a relationship as seen from the referring table.
type OneToMany struct {
	SchemaName                             string
	ReferencedEntity                       string
	ReferencedAttribute                    string
	ReferencingEntity                      string
	ReferencingAttribute                   string
	ReferencedEntityNavigationPropertyName string

	ReferencingEntityNavigationPropertyName string
	CascadeConfiguration                    struct{ Delete string }
}

// ManyToMany is a relationship with an intersect table.
type ManyToMany struct {
	SchemaName                    string
	Entity1LogicalName            string
	Entity2LogicalName            string
	IntersectEntityName           string
	Entity1IntersectAttribute     string
	Entity2IntersectAttribute     string
	Entity1NavigationPropertyName string
	Entity2NavigationPropertyName string
}

// OptionCasts are the concrete attribute types that have options; each is a
// path segment of its own (protocols/dataverse.md §3.2).
var optionCasts = [...]struct{ native, cast string }{
	{"Picklist", "PicklistAttributeMetadata"},
	{"MultiSelectPicklist", "MultiSelectPicklistAttributeMetadata"},
	{"State", "StateAttributeMetadata"},
	{"Status", "StatusAttributeMetadata"},
	{"Boolean", "BooleanAttributeMetadata"},
}

// OptionCasts returns the names of the attribute types whose options have to be
// asked for, given the table's attributes.
func OptionCasts(attrs []Attribute) []string {
	var casts []string
	for _, c := range optionCasts {
		for i := range attrs {
			if attrs[i].Native() == c.native && attrs[i].AttributeOf == "" {
				casts = append(casts, c.cast)
				break
			}
		}
	}
	return casts
}
