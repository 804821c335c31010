// Package export reads EntityMetadata exports, in which an organisation says
// more of a table than its $metadata does, and refines a model by them
// (protocols/dataverse.md §3.2–3.4).
package export

import (
	"cmp"
	"encoding/xml"
	"io"
	"slices"
	"strconv"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// maxExport bounds an EntityMetadata export; the largest known has 1.4 MB.
const maxExport = 64 << 20

// The elements of an EntityMetadata export in DataContract XML that are used.
// Namespaces are ignored: the names alone are unambiguous.
type (
	exportTable struct {
		XMLName        xml.Name     `xml:"EntityMetadata"`
		MetadataID     string       `xml:"MetadataId"`
		Attributes     []exportAttr `xml:"Attributes>AttributeMetadata"`
		ChangeTracking string       `xml:"ChangeTrackingEnabled"`
		CanTrack       string       `xml:"CanChangeTrackingBeEnabled>Value"`
		IsActivity     string
		IsAudited      string `xml:"IsAuditEnabled>Value"`
		IsActivityPart string `xml:"IsActivityParty"`
		IsIntersect    string
		IsPrivate      string
		HasNotes       string
		Optimistic     string `xml:"IsOptimisticConcurrencyEnabled"`
		LogicalName    string
		SchemaName     string
		ObjectTypeCode string
		OwnershipType  string
		PrimaryID      string      `xml:"PrimaryIdAttribute"`
		PrimaryName    string      `xml:"PrimaryNameAttribute"`
		PrimaryImage   string      `xml:"PrimaryImageAttribute"`
		Set            string      `xml:"EntitySetName"`
		Collection     string      `xml:"LogicalCollectionName"`
		TableType      string      `xml:"TableType"`
		Label          string      `xml:"DisplayName>UserLocalizedLabel>Label"`
		OneToMany      []exportRel `xml:"OneToManyRelationships>OneToManyRelationshipMetadata"`
		ManyToOne      []exportRel `xml:"ManyToOneRelationships>OneToManyRelationshipMetadata"`
	}
	exportAttr struct {
		Class             string `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
		MetadataID        string `xml:"MetadataId"`
		AttributeOf       string
		AttributeType     string
		TypeName          string `xml:"AttributeTypeName>Value"`
		ColumnNumber      string
		IsLogical         string
		IsSecured         string
		IsAudited         string `xml:"IsAuditEnabled>Value"`
		ForCreate         string `xml:"IsValidForCreate"`
		ForRead           string `xml:"IsValidForRead"`
		ForUpdate         string `xml:"IsValidForUpdate"`
		OData             string `xml:"IsValidODataAttribute"`
		LogicalName       string
		SchemaName        string
		Label             string `xml:"DisplayName>UserLocalizedLabel>Label"`
		Required          string `xml:"RequiredLevel>Value"`
		SourceType        string
		MaxLength         string
		Precision         string
		MinValue          string
		MaxValue          string
		Behavior          string   `xml:"DateTimeBehavior>Value"`
		Targets           []string `xml:"Targets>string"`
		MaxSizeInKB       string
		CanStoreFullImage string
		AutoNumberFormat  string
		OptionSet         *struct {
			Name     string
			IsGlobal string
			Options  []exportOption `xml:"Options>OptionMetadata"`
			False    *exportOption  `xml:"FalseOption"`
			True     *exportOption  `xml:"TrueOption"`
		}
	}
	exportOption struct {
		Label         string `xml:"Label>UserLocalizedLabel>Label"`
		Value         string
		State         string
		DefaultStatus string
	}
	exportRel struct {
		MetadataID      string `xml:"MetadataId"`
		SchemaName      string
		Referenced      string                                                           `xml:"ReferencedEntity"`
		ReferencedAttr  string                                                           `xml:"ReferencedAttribute"`
		Referencing     string                                                           `xml:"ReferencingEntity"`
		ReferencingAttr string                                                           `xml:"ReferencingAttribute"`
		ReferencedNav   string                                                           `xml:"ReferencedEntityNavigationPropertyName"`
		ReferencingNav  string                                                           `xml:"ReferencingEntityNavigationPropertyName"`
		Cascade         struct{ Assign, Delete, Merge, Reparent, Share, Unshare string } `xml:"CascadeConfiguration"`
	}
)

// Read reads one EntityMetadata export in DataContract XML and
// returns the table it describes, without relationships. A document that is
// something else, or larger than 64 MiB, is Invalid.
func Read(r io.Reader) (*entity.Table, error) {
	x, err := readExport(r)
	if err != nil {
		return nil, err
	}
	t := &entity.Table{LogicalName: x.LogicalName}
	x.refine(t)
	t.ODataKey = t.PrimaryID
	return t, nil
}

// Refine overrides what the model knows of one table by an EntityMetadata
// export of it: validity, choices, lengths, numbers, ids, cascades. Columns the
// model lacks are added as columns outside OData rows, except those that
// Dataverse shows in rows. 1:N relationships the model lacks are added where both
// tables and the column are there. A table that is not in the model is NotFound. The model is sealed again; nobody may
// be reading it.
func Refine(m *entity.Model, r io.Reader) error {
	x, err := readExport(r)
	if err != nil {
		return err
	}
	t := m.Table(x.LogicalName)
	if t == nil {
		return allod.Errorf(allod.NotFound, "refine metadata: the model has no table %s", x.LogicalName)
	}
	set := t.SetName
	x.refine(t)
	t.SetName = set
	m.Seal() // relationships look for the new columns
	for _, rel := range slices.Concat(x.OneToMany, x.ManyToOne) {
		rel.refine(m)
	}
	slices.SortStableFunc(t.Columns, func(a, b *entity.Column) int { return cmp.Compare(a.LogicalName, b.LogicalName) })
	m.Seal()
	return nil
}

// refine overrides the relationship of the same tables and column, or adds it.
func (x *exportRel) refine(m *entity.Model) {
	var have *entity.Relationship
	for _, r := range m.ManyToOne(x.Referencing) {
		if r.ReferencingAttr == x.ReferencingAttr && r.Referenced == x.Referenced {
			have = r
		}
	}
	if have == nil {
		many, one := m.Table(x.Referencing), m.Table(x.Referenced)
		if many == nil || one == nil || x.ReferencingNav == "" || m.Relationship(x.SchemaName) != nil || many.Column(x.ReferencingAttr) == nil || one.Column(x.ReferencedAttr) == nil {
			return
		}
		have = &entity.Relationship{
			Referenced: x.Referenced, ReferencedAttr: x.ReferencedAttr, Referencing: x.Referencing, ReferencingAttr: x.ReferencingAttr,
			ReferencedNav: x.ReferencedNav, ReferencingNav: x.ReferencingNav,
		}
		m.Relationships = append(m.Relationships, have)
	}
	have.Cascade = entity.Cascade(x.Cascade)
	setGUID(&have.MetadataID, x.MetadataID)
	if m.Relationship(x.SchemaName) == nil {
		setText(&have.SchemaName, x.SchemaName)
	}
}

func readExport(r io.Reader) (*exportTable, error) {
	var x exportTable
	limited := &io.LimitedReader{R: r, N: maxExport}
	if err := xml.NewDecoder(limited).Decode(&x); err != nil {
		return nil, allod.Errorf(allod.Invalid, "read EntityMetadata export: %w", err)
	}
	if x.LogicalName == "" {
		return nil, allod.Errorf(allod.Invalid, "read EntityMetadata export: no LogicalName")
	}
	return &x, nil
}

func (x *exportTable) refine(t *entity.Table) {
	setGUID(&t.MetadataID, x.MetadataID)
	setText(&t.SchemaName, x.SchemaName)
	setText(&t.SetName, x.Set)
	setText(&t.LogicalSet, x.Collection)
	setText(&t.PrimaryID, x.PrimaryID)
	setText(&t.PrimaryName, x.PrimaryName)
	setText(&t.PrimaryImage, x.PrimaryImage)
	setText(&t.DisplayName, x.Label)
	setText(&t.TableType, x.TableType)
	setInt(&t.TypeCode, x.ObjectTypeCode)
	setBool(&t.Activity, x.IsActivity)
	setBool(&t.ActivityParty, x.IsActivityPart)
	setBool(&t.Intersect, x.IsIntersect)
	setBool(&t.Private, x.IsPrivate)
	setBool(&t.ChangeTracking, x.ChangeTracking)
	setBool(&t.CanTrack, x.CanTrack)
	setBool(&t.Optimistic, x.Optimistic)
	setBool(&t.HasNotes, x.HasNotes)
	setBool(&t.Audit, x.IsAudited)
	for n, name := range map[int]string{1: "UserOwned", 2: "TeamOwned", 4: "BusinessOwned", 8: "OrganizationOwned", 16: "BusinessParented"} {
		if x.OwnershipType == name {
			t.Ownership = n
		}
	}
	known := make(map[string]*entity.Column, len(t.Columns))
	for _, c := range t.Columns {
		known[c.LogicalName] = c
	}
	for i := range x.Attributes {
		a := &x.Attributes[i]
		c := known[a.LogicalName]
		if c == nil {
			c = &entity.Column{LogicalName: a.LogicalName}
			t.Columns = append(t.Columns, c)
			known[c.LogicalName] = c
		}
		a.refine(c)
	}
}

func (a *exportAttr) refine(c *entity.Column) {
	if kind, ok := cutType(a.TypeName); ok {
		c.Kind = kind
	}
	if c.EdmType == "" && a.OData == "true" {
		c.EdmType = edmType(c.Kind)
	}
	setGUID(&c.MetadataID, a.MetadataID)
	setText(&c.SchemaName, a.SchemaName)
	setText(&c.DisplayName, a.Label)
	c.AttributeOf = a.AttributeOf
	setInt(&c.Number, a.ColumnNumber)
	setBool(&c.ValidForCreate, a.ForCreate)
	setBool(&c.ValidForRead, a.ForRead)
	setBool(&c.ValidForUpdate, a.ForUpdate)
	setBool(&c.ValidOData, a.OData)
	setBool(&c.Logical, a.IsLogical)
	setBool(&c.Secured, a.IsSecured)
	c.Unaudited = a.IsAudited == "false"
	setText(&c.Required, a.Required)
	setInt(&c.SourceType, a.SourceType)
	setInt(&c.MaxLength, a.MaxLength)
	setInt(&c.Precision, a.Precision)
	setText(&c.MinValue, a.MinValue)
	setText(&c.MaxValue, a.MaxValue)
	setText(&c.Behavior, a.Behavior)
	if len(a.Targets) > 0 && c.Kind != "Owner" {
		c.Targets = a.Targets
	}
	setInt(&c.MaxSizeKB, a.MaxSizeInKB)
	setBool(&c.FullImage, a.CanStoreFullImage)
	setText(&c.AutoNumber, a.AutoNumberFormat)
	a.choices(c)
}

func (a *exportAttr) choices(c *entity.Column) {
	if a.OptionSet == nil {
		return
	}
	o := &entity.OptionSet{Name: a.OptionSet.Name, Global: a.OptionSet.IsGlobal == "true"}
	list := a.OptionSet.Options
	if a.OptionSet.False != nil && a.OptionSet.True != nil {
		list = []exportOption{*a.OptionSet.False, *a.OptionSet.True}
	}
	for _, x := range list {
		option := entity.Option{Label: x.Label}
		setInt(&option.Value, x.Value)
		setInt(&option.State, x.State)
		setInt(&option.DefaultStatus, x.DefaultStatus)
		o.Options = append(o.Options, option)
	}
	if len(o.Options) > 0 || c.OptionSet == nil {
		c.OptionSet = o
	}
}

func cutType(name string) (entity.ColumnKind, bool) {
	const suffix = "Type"
	if len(name) <= len(suffix) || name[len(name)-len(suffix):] != suffix {
		return "", false
	}
	return entity.ColumnKind(name[:len(name)-len(suffix)]), true
}

// edmType is the type a column of the kind has in $metadata (protocols/
// dataverse.md §3.1), "" for kinds that are not there.
func edmType(k entity.ColumnKind) string {
	switch k {
	case "String", "Memo", "EntityName", "MultiSelectPicklist":
		return "Edm.String"
	case "Lookup", "Customer", "Owner", "Uniqueidentifier":
		return "Edm.Guid"
	case "Integer", "Picklist", "State", "Status":
		return "Edm.Int32"
	case "BigInt":
		return "Edm.Int64"
	case "Boolean":
		return "Edm.Boolean"
	case "Decimal", "Money":
		return "Edm.Decimal"
	case "Double":
		return "Edm.Double"
	case "DateTime":
		return "Edm.DateTimeOffset"
	case "Image", "File":
		return "Edm.Binary"
	case "ManagedProperty":
		return "mscrm.BooleanManagedProperty"
	}
	return ""
}

func setText(dst *string, s string) {
	if s != "" {
		*dst = s
	}
}

func setBool(dst *bool, s string) {
	if s != "" {
		*dst = s == "true"
	}
}

func setInt(dst *int, s string) {
	if n, err := strconv.Atoi(s); err == nil {
		*dst = n
	}
}

func setGUID(dst *allod.GUID, s string) {
	if g, err := allod.ParseGUID(s); err == nil && !g.IsZero() {
		*dst = g
	}
}
