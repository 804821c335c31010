// Package sample is the fictional company of sampleorg in Dataverse: the
// standard tables of Sales, Customer Service, Field Service and Journeys, one
// custom table, and their rows, in which the same people appear throughout.
package sample

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/odata/csdl"
)

//go:embed model.txt
var modelText string

//go:embed platform.xml
var platformXML string

// Model builds the company's metadata. Each call makes a new, sealed model.
func Model() (*entity.Model, error) {
	doc, err := csdl.ParseCSDL(strings.NewReader(platformXML))
	if err != nil {
		return nil, err
	}
	doc.Index()
	b := &modelBuilder{m: &entity.Model{Document: doc}, tables: map[string]*entity.Table{}, rels: map[string]string{}}
	for i, line := range strings.Split(modelText, "\n") {
		if err := b.line(strings.TrimSpace(line)); err != nil {
			return nil, allod.Errorf(allod.KindOf(err), "read sample model, line %d: %w", i+1, err)
		}
	}
	b.relationships()
	for _, t := range b.m.Tables {
		t.Audit = !t.Intersect && !t.Abstract && t.LogicalName != "audit" && t.LogicalName != "fileattachment"
	}
	b.m.Seal()
	entity.Derive(b.m)
	return b.m, nil
}

type modelBuilder struct {
	m      *entity.Model
	tables map[string]*entity.Table
	last   *entity.Table
	rels   map[string]string // table.column or table.column_target: SchemaName
}

func (b *modelBuilder) line(s string) error {
	f := strings.Fields(s)
	if len(f) == 0 || f[0][0] == '#' {
		return nil
	}
	switch f[0] {
	case "table":
		return b.table(f[1:])
	case "nn":
		return b.pairs(f[1:])
	case "key":
		b.tables[f[1]].Keys = append(b.tables[f[1]].Keys, &entity.Key{SchemaName: f[2], Columns: f[3:]})
	case "secured":
		table, column, _ := strings.Cut(f[1], ".")
		b.find(table, column).Secured = true
	case "formula":
		table, column, _ := strings.Cut(f[1], ".")
		return b.formula(b.find(table, column), f[2], strings.Join(f[3:], " "))
	case "rel":
		b.rels[f[1]] = f[2]
	default:
		return b.columns(f)
	}
	return nil
}

func (b *modelBuilder) find(table, column string) *entity.Column {
	t := b.tables[table]
	i := slices.IndexFunc(t.Columns, func(c *entity.Column) bool { return c.LogicalName == column })
	return t.Columns[i]
}

// formula makes a column a calculated or a rollup column.
func (b *modelBuilder) formula(c *entity.Column, kind, text string) error {
	n, err := strconv.Atoi(kind)
	if err != nil {
		return allod.Errorf(allod.Invalid, "column %s: source type %q", c.LogicalName, kind)
	}
	said, err := json.Marshal(map[string]any{"FormulaDefinition": text, "SourceTypeMask": 1})
	c.SourceType, c.Said, c.ValidForRead = n, said, true // and for nothing else
	return err
}

func (b *modelBuilder) table(f []string) error {
	if len(f) < 4 {
		return allod.Errorf(allod.Invalid, "table %v: too few fields", f)
	}
	t := &entity.Table{LogicalName: f[0], SetName: f[1], SchemaName: f[2]}
	if t.SetName == "-" {
		t.SetName = ""
	}
	groups := map[string]string{
		"std":   "createdon:dt createdby:>systemuser createdonbehalfby:>systemuser modifiedon:dt modifiedby:>systemuser modifiedonbehalfby:>systemuser versionnumber:big importsequencenumber:int overriddencreatedon:dt timezoneruleversionnumber:int utcconversiontimezonecode:int",
		"own":   "ownerid:>systemuser,team owninguser:>systemuser owningteam:>team owningbusinessunit:>businessunit",
		"org":   "organizationid:>organization",
		"state": "statecode:int statuscode:int",
		"cur":   "transactioncurrencyid:>transactioncurrency exchangerate:dec12",
		"addr":  address("address1_") + address("address2_"),
	}
	columns := ""
	for _, o := range f[3:] {
		key, value, _ := strings.Cut(o, "=")
		switch {
		case key == "pk":
			t.PrimaryID = value
		case key == "name":
			t.PrimaryName = value
		case key == "base":
			t.BaseType = value
		case key == "abstract":
			t.Abstract = true
		case groups[key] != "":
			columns += groups[key] + " "
		default:
			return allod.Errorf(allod.Invalid, "table %s: unknown option %q", f[0], o)
		}
	}
	b.tables[t.LogicalName], b.last = t, t
	b.m.Tables = append(b.m.Tables, t)
	b.inherit(t)
	if !slices.ContainsFunc(t.Columns, func(c *entity.Column) bool { return c.LogicalName == t.PrimaryID }) {
		columns = t.PrimaryID + ":id " + columns
	}
	return b.columns(strings.Fields(columns))
}

func address(prefix string) string {
	return strings.ReplaceAll("@addressid:id @name:s200 @addresstypecode:pick @line1:s250 @line2:s250 @line3:s250 @city:s80 @stateorprovince:s50 @county:s50 @country:s80 @postalcode:s20 @postofficebox:s20 @telephone1:s50 @fax:s50 @latitude:dbl @longitude:dbl @primarycontactname:s150 @utcoffset:int @composite:memo1000 ", "@", prefix)
}

// inherit copies the columns of the base type.
func (b *modelBuilder) inherit(t *entity.Table) {
	base := b.tables[t.BaseType]
	if base == nil {
		return
	}
	if base.LogicalName == "principal" {
		t.ODataKey = "ownerid"
	}
	for _, c := range base.Columns {
		x := *c
		x.Inherited = true
		x.Targets = slices.Clone(c.Targets)
		t.Columns = append(t.Columns, &x)
	}
}

// columns adds columns to the table last begun.
func (b *modelBuilder) columns(f []string) error {
	for _, def := range f {
		name, typ, ok := strings.Cut(def, ":")
		if !ok || b.last == nil {
			return allod.Errorf(allod.Invalid, "column %q: want name:type", def)
		}
		name, schema, _ := strings.Cut(name, "=")
		c := &entity.Column{LogicalName: name, SchemaName: schema}
		if slices.ContainsFunc(b.last.Columns, func(x *entity.Column) bool { return x.LogicalName == name }) {
			continue // said again by the base type or by a group
		}
		b.last.Columns = append(b.last.Columns, c)
		if err := b.typed(c, typ); err != nil {
			return err
		}
	}
	return nil
}

func (b *modelBuilder) extra(c *entity.Column, suffix, edm string) *entity.Column {
	x := &entity.Column{LogicalName: c.LogicalName + suffix, EdmType: edm}
	if c.SchemaName != "" {
		x.SchemaName = c.SchemaName + suffix
	}
	b.last.Columns = append(b.last.Columns, x)
	return x
}

func (b *modelBuilder) typed(c *entity.Column, typ string) error {
	if targets, ok := strings.CutPrefix(typ, ">"); ok {
		c.Kind, c.EdmType, c.Targets = "Lookup", "Edm.Guid", strings.Split(targets, ",")
		if c.LogicalName == "ownerid" {
			c.Kind = "Owner"
		} else if targets == "account,contact" && (c.LogicalName == "customerid" || c.LogicalName == "parentcustomerid") {
			c.Kind = "Customer"
		}
		return nil
	}
	word := strings.TrimRight(typ, "0123456789")
	n, err := strconv.Atoi(typ[len(word):])
	if err != nil && len(typ) > len(word) {
		return allod.Errorf(allod.Invalid, "column %s: type %q", c.LogicalName, typ)
	}
	switch word {
	case "s":
		c.Kind, c.EdmType, c.MaxLength = "String", "Edm.String", n
	case "memo":
		c.Kind, c.EdmType, c.MaxLength = "Memo", "Edm.String", n
	case "ent":
		c.Kind, c.EdmType = "EntityName", "Edm.String"
	case "multi":
		c.Kind, c.EdmType = "MultiSelectPicklist", "Edm.String"
	case "int":
		c.EdmType = "Edm.Int32"
		switch c.LogicalName {
		case "statecode":
			c.Kind = "State"
		case "statuscode":
			c.Kind = "Status"
		default:
			c.Kind = "Integer"
		}
	case "pick":
		c.Kind, c.EdmType = "Picklist", "Edm.Int32"
	case "big":
		c.Kind, c.EdmType = "BigInt", "Edm.Int64"
	case "dec":
		c.Kind, c.EdmType, c.Precision = "Decimal", "Edm.Decimal", n
	case "dbl":
		c.Kind, c.EdmType = "Double", "Edm.Double"
	case "money":
		c.Kind, c.EdmType = "Money", "Edm.Decimal"
		b.extra(c, "_base", "Edm.Decimal").Kind = "Money"
	case "bool":
		c.Kind, c.EdmType = "Boolean", "Edm.Boolean"
	case "date":
		c.Kind, c.EdmType, c.Behavior = "DateTime", "Edm.Date", "DateOnly"
	case "dt":
		c.Kind, c.EdmType, c.Behavior = "DateTime", "Edm.DateTimeOffset", "UserLocal"
	case "tz":
		c.Kind, c.EdmType, c.Behavior = "DateTime", "Edm.DateTimeOffset", "TimeZoneIndependent"
	case "id":
		c.Kind, c.EdmType = "Uniqueidentifier", "Edm.Guid"
	case "mp":
		c.Kind, c.EdmType = "ManagedProperty", "mscrm.BooleanManagedProperty"
	case "file":
		c.Kind, c.EdmType = "File", "Edm.Binary"
		b.extra(c, "_name", "Edm.String")
	case "img", "imgfull":
		c.Kind, c.EdmType, c.FullImage = "Image", "Edm.Binary", word == "imgfull"
		b.extra(c, "_timestamp", "Edm.Int64")
		b.extra(c, "_url", "Edm.String")
		b.extra(c, "id", "Edm.Guid")
	default:
		return allod.Errorf(allod.Invalid, "column %s: type %q", c.LogicalName, typ)
	}
	return nil
}

// pairs adds an N:N relationship and its intersect table.
func (b *modelBuilder) pairs(f []string) error {
	if len(f) != 8 || b.tables[f[4]] == nil || b.tables[f[6]] == nil {
		return allod.Errorf(allod.Invalid, "relationship %v: want eight fields and tables that exist", f)
	}
	t := b.tables[f[1]]
	if t == nil {
		t = &entity.Table{LogicalName: f[1], SetName: f[2], PrimaryID: f[3], Intersect: true}
		b.tables[t.LogicalName] = t
		b.m.Tables = append(b.m.Tables, t)
	}
	b.last = t
	def := f[3] + ":id " + f[5] + ":id " + f[7] + ":id versionnumber:big"
	if f[1] == "roleprivileges" {
		def += " privilegedepthmask:int"
	}
	if f[1] == "listmember" {
		def = f[3] + ":id listid:>list entityid:>account,contact,lead entitytype:ent createdon:dt createdby:>systemuser modifiedon:dt modifiedby:>systemuser versionnumber:big"
	}
	if err := b.columns(strings.Fields(def)); err != nil {
		return err
	}
	b.m.Relationships = append(b.m.Relationships, &entity.Relationship{
		SchemaName: f[0], Intersect: f[1], Entity1: f[4], Attribute1: f[5], Entity2: f[6], Attribute2: f[7], Nav1: f[0], Nav2: f[0],
	})
	return nil
}

// relationships makes the 1:N relationships behind the lookups. The name that
// binds is the column, or column_target where there are several targets, with
// the activity behind it in activities; custom columns lend it their
// SchemaName (protocols/dataverse.md §6.4).
func (b *modelBuilder) relationships() {
	for _, t := range b.m.Tables {
		for _, c := range t.Columns {
			if c.Kind != "Lookup" && c.Kind != "Customer" && c.Kind != "Owner" || t.Intersect {
				continue
			}
			if c.Inherited && (c.Kind == "Owner" || t.BaseType == "principal") {
				continue
			}
			if c.Kind == "Owner" && t.LogicalName == "activityparty" {
				continue // set by the platform, has no navigation property
			}
			targets := c.Targets
			if c.Kind == "Owner" {
				targets = []string{"owner"}
			}
			for _, target := range targets {
				b.oneToMany(t, c, target, len(targets) > 1)
			}
		}
	}
}

func (b *modelBuilder) oneToMany(t *entity.Table, c *entity.Column, target string, several bool) {
	one := b.tables[target]
	r := &entity.Relationship{Referenced: target, Referencing: t.LogicalName, ReferencingAttr: c.LogicalName, ReferencedAttr: "ownerid"}
	if one != nil {
		r.ReferencedAttr = one.PrimaryID
	}
	nav, short := c.LogicalName, t.LogicalName+"."+c.LogicalName
	if c.SchemaName != "" {
		nav = c.SchemaName
	} else if strings.Contains(c.LogicalName, "_") {
		nav = c.LogicalName
	}
	if several {
		nav, short = nav+"_"+target, short+"_"+target
	}
	if c.Inherited {
		nav += "_" + t.LogicalName
	}
	r.ReferencingNav = nav
	r.SchemaName = b.rels[short]
	if r.SchemaName == "" {
		r.SchemaName = target + "_" + t.LogicalName + "_" + c.LogicalName
		if prefix, _, custom := strings.Cut(c.SchemaName, "_"); custom { // names of what a company adds begin with its prefix
			r.SchemaName = prefix + "_" + r.SchemaName
		}
	}
	r.ReferencedNav = r.SchemaName
	b.m.Relationships = append(b.m.Relationships, r)
}
