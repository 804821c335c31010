// Package entity is the emulator's own model of Dataverse metadata: tables,
// columns and relationships as EntityDefinitions and $metadata describe them
// (protocols/dataverse.md §3). It can be loaded from a real $metadata file,
// refined by real EntityMetadata exports, or built in code.
//
// It shares nothing with the connector on purpose: the two may only agree
// through documents.
package entity

import (
	"cmp"
	"slices"

	"allod"
	"allod/internal/odata/csdl"
)

// Model is the metadata of one organisation. It is read-only once serving has
// begun; schema changes replace the whole Model.
type Model struct {
	Tables        []*Table // sorted by LogicalName
	Relationships []*Relationship
	Choices       []*OptionSet // global choices, those that no column uses too

	// Document holds what is not a table: metadata types, complex and enum
	// types, functions, actions and their imports. CSDL copies it. nil = none.
	Document *csdl.Model

	byName map[string]*Table
	bySet  map[string]*Table
	rels   relIndex
}

// Table is EntityMetadata.
type Table struct {
	LogicalName    string
	SchemaName     string // e.g. Account: names privileges
	SetName        string // "" = no entity set
	LogicalSet     string // LogicalCollectionName
	MetadataID     allod.GUID
	TypeCode       int    // ObjectTypeCode
	PrimaryID      string // e.g. accountid; activityid for activities; systemuserid for systemuser (its OData key is ownerid)
	ODataKey       string // key name in $metadata
	PrimaryName    string
	PrimaryImage   string
	DisplayName    string
	TableType      string // Standard, Elastic, Virtual
	Ownership      int    // OwnershipTypes: 0 none, 1 user, 4 business, 8 organisation …
	Activity       bool
	ActivityParty  bool
	Intersect      bool
	Custom         bool
	Abstract       bool // in $metadata only; no rows
	BaseType       string
	Private        bool
	ChangeTracking bool
	CanTrack       bool
	Optimistic     bool // IsOptimisticConcurrencyEnabled
	HasNotes       bool
	Audit          bool // IsAuditEnabled
	Columns        []*Column
	Keys           []*Key
	Failed         []*Key // keys that have no index: rows are alike, or it is not built yet
	Said           []byte // members of the definition that somebody wrote, a JSON object; so below
	byColumn       map[string]*Column
}

// Key is an alternate key.
type Key struct {
	SchemaName, Status string // Status: of an index that is not there, "" = Failed
	Columns            []string
	Said               []byte
}

// ColumnKind is AttributeTypeName without its "Type" suffix, e.g. "String",
// "Money", "MultiSelectPicklist", "File", "Image", "Virtual".
type ColumnKind string

// Column is AttributeMetadata.
type Column struct {
	LogicalName string
	SchemaName  string
	MetadataID  allod.GUID
	Number      int // ColumnNumber
	Kind        ColumnKind
	EdmType     string // as in $metadata, e.g. Edm.Guid; "" = not an OData property
	DisplayName string
	AttributeOf string // the column this one is a shadow of ("" = none)

	// Inherited says that $metadata declares the property on the base type.
	Inherited bool
	// Hidden says that the property exists in $metadata only and is no
	// attribute of the table: ownerid of systemuser and team, which repeats the
	// primary key (protocols/dataverse.md §3.1).
	Hidden bool

	ValidForCreate bool
	ValidForUpdate bool
	ValidForRead   bool
	ValidOData     bool
	Logical        bool // IsLogical: lives in another table's row
	Secured        bool
	Unaudited      bool   // IsAuditEnabled is false
	Required       string // None, SystemRequired, ApplicationRequired, Recommended
	SourceType     int    // 0 simple, 1 calculated, 2 rollup, 3 formula

	MaxLength  int    // characters (String, Memo)
	Precision  int    // Decimal, Double, Money
	Behavior   string // DateTime: UserLocal, DateOnly, TimeZoneIndependent
	MinValue   string
	MaxValue   string
	Targets    []string // lookups
	MaxSizeKB  int      // File, Image
	FullImage  bool     // CanStoreFullImage
	OptionSet  *OptionSet
	AutoNumber string // AutoNumberFormat
	Said       []byte
}

// Property is the name of the column in OData rows: _x_value for lookups, the
// logical name otherwise.
func (c *Column) Property() string {
	switch c.Kind {
	case "Lookup", "Customer", "Owner":
		return "_" + c.LogicalName + "_value"
	default:
		return c.LogicalName
	}
}

// OptionSet holds the choices of a Picklist, State, Status, Boolean or
// MultiSelectPicklist column.
type OptionSet struct {
	Name    string
	Global  bool
	Options []Option
	Said    []byte
}

// Option is one choice.
type Option struct {
	Value         int
	Label         string
	State         int // Status: the state it belongs to
	DefaultStatus int // State: its default status
	Said          []byte
}

// Relationship is OneToManyRelationshipMetadata or, with Intersect set,
// ManyToManyRelationshipMetadata.
type Relationship struct {
	SchemaName string
	MetadataID allod.GUID

	Referenced      string // table "one"
	ReferencedAttr  string
	Referencing     string // table "many"
	ReferencingAttr string
	ReferencedNav   string // ReferencedEntityNavigationPropertyName (collection on the one side)
	ReferencingNav  string // ReferencingEntityNavigationPropertyName (write-side bind name)
	Cascade         Cascade

	Intersect  string // IntersectEntityName
	Entity1    string
	Entity2    string
	Attribute1 string // Entity1IntersectAttribute
	Attribute2 string
	Nav1       string // Entity1NavigationPropertyName: on Entity1, leads to Entity2
	Nav2       string
	Said       []byte
}

// Cascade is CascadeConfiguration: NoCascade, Cascade, Active, UserOwned,
// RemoveLink, Restrict.
type Cascade struct {
	Assign, Delete, Merge, Reparent, Share, Unshare string
}

// Seal sorts and indexes the model; call it after building and before use.
func (m *Model) Seal() {
	for _, t := range m.Tables {
		t.byColumn = nil
	}
	m.Index()
}

// Index is Seal for a model that shares tables with one in use: of these it
// changes nothing. A table made of another by Clone is indexed anew.
func (m *Model) Index() {
	m.byName = make(map[string]*Table, len(m.Tables))
	m.bySet = make(map[string]*Table, len(m.Tables))
	slices.SortFunc(m.Tables, func(a, b *Table) int { return cmp.Compare(a.LogicalName, b.LogicalName) })
	for _, t := range m.Tables {
		m.byName[t.LogicalName] = t
		if t.SetName != "" {
			m.bySet[t.SetName] = t
		}
		if t.byColumn != nil {
			continue
		}
		t.byColumn = make(map[string]*Column, 2*len(t.Columns))
		for _, c := range t.Columns {
			t.byColumn[c.LogicalName] = c
			t.byColumn[c.Property()] = c
		}
	}
	m.rels = indexRelationships(m.Relationships)
}

// Clone copies the table, not its columns and keys themselves.
func (t *Table) Clone() *Table {
	c := *t
	c.Columns, c.Keys, c.Failed, c.byColumn = slices.Clone(t.Columns), slices.Clone(t.Keys), slices.Clone(t.Failed), nil
	return &c
}

// Table returns the table with the logical name, or nil.
func (m *Model) Table(logicalName string) *Table { return m.byName[logicalName] }

// Set returns the table with the entity set name (case-sensitive), or nil.
func (m *Model) Set(setName string) *Table { return m.bySet[setName] }

// Column returns the column by logical name or by OData property name, or nil.
func (t *Table) Column(name string) *Column { return t.byColumn[name] }
