package customize

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// modelledColumn are members of AttributeMetadata that follow from the model.
func modelledColumn() []string {
	return []string{
		"AttributeOf", "AttributeType", "AttributeTypeName", "ColumnNumber", "EntityLogicalName", "IsCustomAttribute", "IsPrimaryId",
		"IsPrimaryName", "IsValidODataAttribute", "IsValidForCreate", "IsValidForRead", "IsValidForUpdate", "IsSecured", "IsLogical",
		"SourceType", "AutoNumberFormat", "RequiredLevel", "MaxLength", "DatabaseLength", "Precision", "MinValue", "MaxValue",
		"DateTimeBehavior", "Targets", "MaxSizeInKB", "CanStoreFullImage", "IsPrimaryImage", "CalculationOf", "IsBaseCurrency",
	}
}

// kindOf reads the type of a column from @odata.type, or from its type name.
func kindOf(o entity.Object) entity.ColumnKind {
	class := strings.TrimPrefix(strings.TrimPrefix(text(o, "@odata.type"), "#"), request.Namespace)
	class = strings.TrimPrefix(strings.TrimSuffix(class, "AttributeMetadata"), "Complex")
	if class == "" {
		class = strings.TrimSuffix(text(o, "AttributeTypeName/Value"), "Type")
	}
	if class == "" {
		class = text(o, "AttributeType")
	}
	return entity.ColumnKind(class)
}

// creatable maps the types of columns that can be created alone to those in
// $metadata (protocols/dataverse.md §3.1).
func creatable() map[entity.ColumnKind]string {
	return map[entity.ColumnKind]string{
		"String": "Edm.String", "Memo": "Edm.String", "MultiSelectPicklist": "Edm.String", "Integer": "Edm.Int32", "Picklist": "Edm.Int32",
		"BigInt": "Edm.Int64", "Boolean": "Edm.Boolean", "Decimal": "Edm.Decimal", "Money": "Edm.Decimal", "Double": "Edm.Double",
		"DateTime": "Edm.DateTimeOffset", "Image": "Edm.Binary", "File": "Edm.Binary",
	}
}

// createColumn is POST EntityDefinitions(…)/Attributes.
func (w *work) createColumn() error {
	t, err := w.table()
	if err != nil {
		return err
	}
	c, err := w.addColumn(w.own(t), w.body)
	if err != nil {
		return err
	}
	w.made = w.below(c.MetadataID.String(), "Attributes")
	w.after = append(w.after, func() error { return w.JoinColumn(t.MetadataID, c.MetadataID) })
	return nil
}

// below is the address of an item of the table, which is named as the request
// named it.
func (w *work) below(id, part string) string {
	at, _, _ := strings.Cut(w.URL, "/")
	return at + "/" + part + "(" + id + ")"
}

// addColumn gives a table of the copy the column that is defined.
func (w *work) addColumn(t *entity.Table, o entity.Object) (*entity.Column, error) {
	name, err := schemaName("attribute", text(o, "SchemaName"))
	if err != nil {
		return nil, err
	}
	kind := kindOf(o)
	edm := creatable()[kind]
	if edm == "" {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80048403", "Attribute of type %sAttributeMetadata cannot be created through the SDK.", kind)
	}
	c := &entity.Column{
		LogicalName: strings.ToLower(name), SchemaName: name, Kind: kind, EdmType: edm, Required: "None", DisplayName: title(object(o, "DisplayName")),
		Said: fresh(entity.Member{Name: "IsCustomAttribute", Value: true}),
	}
	if t.Column(c.LogicalName) != nil {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80047013", "An attribute with the specified name %s already exists.", c.LogicalName)
	}
	if err := w.limits(c, o); err != nil {
		return nil, err
	}
	if err := w.choose(t, c, o); err != nil {
		return nil, err
	}
	extra, err := w.source(t, c, o)
	if err != nil {
		return nil, err
	}
	w.attach(t, append([]*entity.Column{c}, extra...), nil)
	if primary, _ := flag(o, "IsPrimaryImage"); kind == "Image" && (primary || t.PrimaryImage == "") {
		t.PrimaryImage = c.LogicalName
	}
	return c, w.say(t, o, c.LogicalName)
}

// attach adds columns with what comes along with them (shadows, the base
// amount, currency, parts of files and images) to a table of the copy, and the
// relationships of lookups.
func (w *work) attach(t *entity.Table, columns []*entity.Column, rels []*entity.Relationship) {
	part := func(name string, kind entity.ColumnKind, edm string) {
		columns = append(columns, &entity.Column{LogicalName: name, Kind: kind, EdmType: edm})
	}
	for _, c := range slices.Clone(columns) {
		switch n := c.LogicalName; c.Kind {
		case "File":
			part(n+"_name", "String", "Edm.String")
		case "Image":
			part(n+"_timestamp", "BigInt", "Edm.Int64")
			part(n+"_url", "String", "Edm.String")
			part(n+"id", "Uniqueidentifier", "Edm.Guid")
		case "Money":
			columns = append(columns, &entity.Column{LogicalName: n + "_base", SchemaName: c.SchemaName + "_Base", Kind: "Money", EdmType: c.EdmType, Precision: 4})
			if t.Column("transactioncurrencyid") == nil && w.m.Table("transactioncurrency") != nil {
				columns = append(columns, &entity.Column{LogicalName: "transactioncurrencyid", Kind: "Lookup", EdmType: "Edm.Guid", Targets: []string{"transactioncurrency"}})
				part("exchangerate", "Decimal", "Edm.Decimal")
				rels = append(rels, &entity.Relationship{
					SchemaName: "TransactionCurrency_" + t.LogicalName, MetadataID: w.Org.NewID(), Referenced: "transactioncurrency", ReferencedAttr: "transactioncurrencyid",
					Referencing: t.LogicalName, ReferencingAttr: "transactioncurrencyid", ReferencedNav: "TransactionCurrency_" + t.LogicalName, ReferencingNav: "transactioncurrencyid",
				})
			}
		}
	}
	alone := &entity.Table{LogicalName: t.LogicalName, PrimaryID: t.PrimaryID, PrimaryName: t.PrimaryName, Ownership: t.Ownership, Columns: columns}
	derive(alone, rels)
	number := 0
	for _, c := range t.Columns {
		number = max(number, c.Number)
	}
	for _, c := range alone.Columns {
		if t.Column(c.LogicalName) != nil {
			continue
		}
		number++
		c.Number, c.MetadataID = number, w.Org.NewID()
		if c.Said == nil {
			c.Said = fresh()
		}
		t.Columns = append(t.Columns, c)
	}
	slices.SortStableFunc(t.Columns, func(a, b *entity.Column) int { return strings.Compare(a.LogicalName, b.LogicalName) })
	w.m.Relationships = append(w.m.Relationships, rels...)
	w.refresh(t)
}

// refresh indexes a table of the copy whose columns have changed.
func (w *work) refresh(t *entity.Table) {
	*t = *t.Clone() // without an index
	w.m.Index()
}

// say keeps what was said of a column of the copy and takes over what the
// model knows of it.
func (w *work) say(t *entity.Table, o entity.Object, column string) error {
	c := t.Column(column)
	if err := w.limits(c, o); err != nil {
		return err
	}
	said, err := w.keep(describe.Column(c, t), o, c.Said, modelledColumn()...)
	if err != nil {
		return err
	}
	c.Said = said
	if label := object(describe.Said(said), "DisplayName"); title(label) != "" {
		c.DisplayName = title(label)
	}
	return nil
}

// limit is a whole number that a definition may set within bounds.
type limit struct {
	kind      entity.ColumnKind
	member    string
	low, high int
	standard  int
	set       func(*entity.Column) *int
}

// limitsOf: StringAttributeMetadata and its like in "Column data types".
func limitsOf() []limit {
	length := func(c *entity.Column) *int { return &c.MaxLength }
	precision := func(c *entity.Column) *int { return &c.Precision }
	size := func(c *entity.Column) *int { return &c.MaxSizeKB }
	return []limit{
		{"String", "MaxLength", 1, 4000, 100, length},
		{"Memo", "MaxLength", 1, 1048576, 2000, length},
		{"Decimal", "Precision", 0, 10, 2, precision},
		{"Double", "Precision", 0, 5, 5, precision},
		{"Money", "Precision", 0, 4, 4, precision},
		{"File", "MaxSizeInKB", 1, 10485760, 32768, size},
		{"Image", "MaxSizeInKB", 1, 30720, 10240, size},
	}
}

// limits reads the members that bound a column's values.
func (w *work) limits(c *entity.Column, o entity.Object) error {
	for _, l := range limitsOf() {
		if l.kind != c.Kind {
			continue
		}
		n, ok := whole(o, l.member)
		if !ok {
			n = *l.set(c)
			if n == 0 {
				n = l.standard
			}
		}
		if n < l.low || n > l.high {
			return invalid("The value %d of %s of the attribute %s is not within %d and %d.", n, l.member, c.LogicalName, l.low, l.high)
		}
		*l.set(c) = n
	}
	switch c.Kind {
	case "Integer", "Decimal", "Double", "Money":
		if err := bounds(c, o); err != nil {
			return err
		}
	case "DateTime":
		if err := behavior(c, o); err != nil {
			return err
		}
	case "Image":
		if on, ok := flag(o, "CanStoreFullImage"); ok {
			c.FullImage = on
		}
	case "String":
		if v, ok := o.Get("AutoNumberFormat"); ok {
			c.AutoNumber, _ = v.(string)
		}
	}
	if on, ok := flag(o, "IsSecured"); ok {
		c.Secured = on
	}
	if on, ok := flag(o, "IsAuditEnabled"); ok {
		c.Unaudited = !on
	}
	switch level := text(o, "RequiredLevel/Value"); level {
	case "":
	case "None", "ApplicationRequired", "Recommended", "SystemRequired":
		c.Required = level
	default:
		return mistyped("RequiredLevel")
	}
	return nil
}

func bounds(c *entity.Column, o entity.Object) error {
	for member, to := range map[string]*string{"MinValue": &c.MinValue, "MaxValue": &c.MaxValue} {
		if n, ok := number(o, member); ok {
			*to = strconv.FormatFloat(n, 'f', -1, 64)
		}
	}
	low, errLow := strconv.ParseFloat(c.MinValue, 64)
	high, errHigh := strconv.ParseFloat(c.MaxValue, 64)
	if errLow == nil && errHigh == nil && low > high {
		return invalid("MinValue of the attribute %s is above its MaxValue.", c.LogicalName)
	}
	return nil
}

// behavior reads DateTimeBehavior; it cannot be changed but from UserLocal.
func behavior(c *entity.Column, o entity.Object) error {
	given := text(o, "DateTimeBehavior/Value")
	was := c.Behavior
	switch given {
	case "":
		if c.Behavior == "" {
			c.Behavior = "UserLocal"
		}
	case "UserLocal", "DateOnly", "TimeZoneIndependent":
		c.Behavior = given
	default:
		return mistyped("DateTimeBehavior")
	}
	if was != "" && was != "UserLocal" && was != c.Behavior {
		return invalid("The behavior of the attribute %s cannot be changed.", c.LogicalName)
	}
	if c.EdmType = "Edm.DateTimeOffset"; c.Behavior == "DateOnly" {
		c.EdmType = "Edm.Date"
	}
	return nil
}

// column finds the column that the path means.
func (w *work) column() (*entity.Table, *entity.Column, error) {
	t, err := w.table()
	if err != nil {
		return nil, nil, err
	}
	for _, c := range t.Columns {
		if describe.Named(&w.Req.Path[1], c.LogicalName, c.MetadataID, "LogicalName") && !c.Hidden {
			return t, c, nil
		}
	}
	return nil, nil, wire.Refuse(http.StatusNotFound, "0x80044183", "The requested metadata item was not found.")
}

// updateColumn is PUT EntityDefinitions(…)/Attributes(…): the type stays.
func (w *work) updateColumn() error {
	t, c, err := w.column()
	if err != nil {
		return err
	}
	if kind := kindOf(w.body); kind != "" && kind != c.Kind && creatable()[kind] != "" {
		return invalid("The type of the attribute %s cannot be changed from %s to %s.", c.LogicalName, c.Kind, kind)
	}
	t = w.own(t)
	c = w.ownColumn(t, c)
	w.refresh(t)
	if err := w.reformulate(t, c); err != nil {
		return err
	}
	if err := w.say(t, w.body, c.LogicalName); err != nil {
		return err
	}
	if primary, _ := flag(w.body, "IsPrimaryImage"); primary && c.Kind == "Image" {
		t.PrimaryImage = c.LogicalName
	}
	w.made = w.below(c.MetadataID.String(), "Attributes")
	return nil
}

// deleteColumn removes a column that an administrator made, its values and its
// shadows; with a lookup go its relationships. Keys prevent it.
func (w *work) deleteColumn() error {
	t, c, err := w.column()
	if err != nil {
		return err
	}
	switch {
	case c.LogicalName == t.PrimaryName:
		return wire.Refuse(http.StatusBadRequest, "0x80047002", "The Primary UI Attribute is not valid for deletion")
	case c.AttributeOf != "" || isPart(t, c):
		return wire.Refuse(http.StatusBadRequest, "0x80047016", "The Child Attribute is not valid for deletion")
	case strings.HasSuffix(c.LogicalName, "_base") && c.Kind == "Money":
		return wire.Refuse(http.StatusBadRequest, "0x80048cfe", "The base money calculation Attribute is not valid for deletion")
	}
	if custom, _ := flag(describe.Said(c.Said), "IsCustomAttribute"); !custom {
		return notDeletable(c.LogicalName, c.MetadataID)
	}
	n := 0
	for _, k := range slices.Concat(t.Keys, t.Failed) {
		if slices.Contains(k.Columns, c.LogicalName) {
			n++
		}
	}
	if n > 0 {
		return inUse("Attribute", c.MetadataID, n)
	}
	w.removeColumn(t, c)
	return nil
}

// isPart reports the further columns of a file or an image.
func isPart(t *entity.Table, c *entity.Column) bool {
	for _, suffix := range []string{"_timestamp", "_url", "id", "_name"} {
		of, ok := strings.CutSuffix(c.LogicalName, suffix)
		if x := t.Column(of); ok && x != nil && (x.Kind == "Image" || x.Kind == "File") {
			return true
		}
	}
	return false
}

func (w *work) removeColumn(t *entity.Table, c *entity.Column) {
	t = w.own(t)
	t.Columns = slices.DeleteFunc(t.Columns, func(x *entity.Column) bool {
		base := c.Kind == "Money" && x.LogicalName == c.LogicalName+"_base"
		below := (c.Kind == "Image" || c.Kind == "File") && strings.HasPrefix(x.LogicalName, c.LogicalName) && isPart(t, x)
		return x == c || x.AttributeOf == c.LogicalName || base || below
	})
	w.m.Relationships = slices.DeleteFunc(w.m.Relationships, func(r *entity.Relationship) bool {
		return r.Intersect == "" && r.Referencing == t.LogicalName && r.ReferencingAttr == c.LogicalName
	})
	if t.PrimaryImage == c.LogicalName {
		t.PrimaryImage = ""
	}
	w.refresh(t)
}

// choose gives a column its choices: its own, or global ones that it is bound
// to.
func (w *work) choose(t *entity.Table, c *entity.Column, o entity.Object) error {
	switch c.Kind {
	case "Picklist", "MultiSelectPicklist", "Boolean":
	default:
		return nil
	}
	if ref := text(o, "GlobalOptionSet@odata.bind"); ref != "" {
		set, err := w.boundSet(ref)
		if err != nil {
			return err
		}
		c.OptionSet = set
		return nil
	}
	given := object(o, "OptionSet")
	if global, _ := flag(given, "IsGlobal"); global {
		return wire.Refuse(http.StatusBadRequest, "0x80048403", "Only Local option set can be created through the attribute create. IsGlobal flag must be set to 'false'.")
	}
	if given == nil && c.Kind != "Boolean" {
		return wire.Refuse(http.StatusBadRequest, "0x80048403", "OptionSet of the attribute %s is missing.", c.LogicalName)
	}
	c.OptionSet = &entity.OptionSet{Name: t.LogicalName + "_" + c.LogicalName, Said: w.setSaid(given)}
	if c.Kind == "Boolean" {
		return w.twoOptions(c.OptionSet, given)
	}
	options, err := w.options(objects(given, "Options"))
	c.OptionSet.Options = options
	return err
}

// boundSet finds the global choice that an @odata.bind means, by MetadataId or
// by name.
func (w *work) boundSet(ref string) (*entity.OptionSet, error) {
	segs, err := query.Dialect{}.ParsePath(strings.TrimPrefix(ref[max(0, strings.LastIndex(ref, "GlobalOptionSetDefinitions")):], "/"))
	if err != nil || len(segs) != 1 || segs[0].Name != "GlobalOptionSetDefinitions" {
		return nil, wire.BadPayload("Invalid value '%s' for a reference.", ref)
	}
	c, _, err := w.globalSet(&segs[0])
	if err != nil {
		return nil, err
	}
	return c.OptionSet, nil
}
