package entity

import (
	"cmp"
	"slices"
	"strings"
)

// deriveDetails sets lengths, ranges and the required level where unknown.
func deriveDetails(t *Table) {
	for _, c := range t.Columns {
		switch c.Kind {
		case "String":
			c.MaxLength = cmp.Or(c.MaxLength, stringLength(t, c.LogicalName))
		case "Memo":
			c.MaxLength = cmp.Or(c.MaxLength, memoLength(c.LogicalName))
		case "Decimal":
			c.Precision = cmp.Or(c.Precision, decimalPrecision(c.LogicalName))
			c.MinValue, c.MaxValue = cmp.Or(c.MinValue, "-100000000000"), cmp.Or(c.MaxValue, "100000000000")
		case "Double":
			c.Precision = cmp.Or(c.Precision, 5)
			c.MinValue, c.MaxValue = doubleRange(c)
		case "Money":
			c.Precision = cmp.Or(c.Precision, 4)
			c.MinValue, c.MaxValue = cmp.Or(c.MinValue, "-922337203685477"), cmp.Or(c.MaxValue, "922337203685477")
		case "Integer":
			c.MinValue, c.MaxValue = integerRange(c)
		case "File":
			c.MaxSizeKB = cmp.Or(c.MaxSizeKB, 32768)
		case "Image":
			c.MaxSizeKB = cmp.Or(c.MaxSizeKB, 10240)
		case "DateTime":
			c.Behavior = cmp.Or(c.Behavior, "UserLocal")
		}
		c.Required = cmp.Or(c.Required, required(t, c))
	}
}

func stringLength(t *Table, name string) int {
	if strings.HasPrefix(name, "address") && logical(name) { // the column of an address as in the table of addresses
		if _, part, ok := strings.Cut(name, "_"); ok {
			return addressLength(part)
		}
	}
	if t.LogicalName == "customeraddress" {
		return addressLength(name)
	}
	switch name {
	case "documentbody", "body", "bodybinary":
		return 1073741823
	case "content", "formxml", "definition":
		return 1048576
	case "subject", "websiteurl", "ftpsiteurl", "yominame", "title":
		return 200
	case "telephone1", "telephone2", "telephone3", "fax", "mobilephone", "accountnumber", "firstname", "middlename", "lastname", "salutation":
		return 50
	case "filename", "mimetype":
		return 256
	case "traversedpath":
		return 1250
	}
	if name == t.PrimaryName {
		return 160
	}
	if strings.HasSuffix(name, "_url") {
		return 200
	}
	return 100
}

// addressLength is the length of an address column, in the table of addresses
// and inside of the rows that have addresses.
func addressLength(part string) int {
	switch part {
	case "line1", "line2", "line3":
		return 250
	case "name":
		return 200
	case "city", "country":
		return 80
	case "county", "stateorprovince", "fax", "telephone1", "telephone2", "telephone3":
		return 50
	case "postalcode", "postofficebox":
		return 20
	case "upszone":
		return 4
	}
	return 100
}

func memoLength(name string) int {
	switch {
	case name == "notetext":
		return 100000
	case strings.HasSuffix(name, "xml") || strings.HasSuffix(name, "json") || name == "content" || name == "xaml" || name == "clientdata":
		return 1048576
	case strings.HasSuffix(name, "_composite"):
		return 1000
	}
	return 2000
}

func decimalPrecision(name string) int {
	if name == "exchangerate" {
		return 12
	}
	if strings.Contains(name, "quantity") {
		return 5
	}
	return 2
}

func doubleRange(c *Column) (lo, hi string) {
	lo, hi = "-100000000000", "100000000000"
	switch {
	case strings.HasSuffix(c.LogicalName, "latitude"):
		lo, hi = "-90", "90"
	case strings.HasSuffix(c.LogicalName, "longitude"):
		lo, hi = "-180", "180"
	}
	return cmp.Or(c.MinValue, lo), cmp.Or(c.MaxValue, hi)
}

func integerRange(c *Column) (lo, hi string) {
	lo, hi = "-2147483648", "2147483647"
	switch {
	case strings.Contains(c.LogicalName, "percent"):
		lo, hi = "0", "100"
	case strings.HasSuffix(c.LogicalName, "utcoffset"):
		lo, hi = "-1500", "1500"
	}
	return cmp.Or(c.MinValue, lo), cmp.Or(c.MaxValue, hi)
}

func required(t *Table, c *Column) string {
	switch {
	case c.LogicalName == t.PrimaryID, c.LogicalName == "statecode", c.LogicalName == "ownerid":
		return "SystemRequired"
	case c.LogicalName == t.PrimaryName && c.ValidForCreate:
		return "ApplicationRequired"
	}
	return "None"
}

// addShadows adds the virtual columns that stand beside choices and lookups:
// <x>name, <x>yominame, owneridtype. They are no OData properties
// (protocols/dataverse.md §3.3).
func addShadows(t *Table) {
	add := func(of *Column, name string, kind ColumnKind) {
		if t.Column(name) != nil {
			return
		}
		c := &Column{LogicalName: name, Kind: kind, AttributeOf: of.LogicalName, ValidForRead: true, Logical: true, Required: "None"}
		if kind == "String" {
			c.MaxLength = 100
		}
		if kind == "EntityName" {
			c.ValidForCreate, c.ValidForUpdate, c.Logical = of.ValidForCreate, of.ValidForUpdate, false
		}
		t.Columns = append(t.Columns, c)
		t.byColumn[name] = c
	}
	for _, c := range slices.Clone(t.Columns) {
		if c.AttributeOf != "" || c.EdmType == "" || c.Hidden {
			continue
		}
		switch c.Kind {
		case "Picklist", "State", "Status", "Boolean", "MultiSelectPicklist":
			add(c, c.LogicalName+"name", "Virtual")
		case "Owner":
			add(c, c.LogicalName+"name", "String")
			add(c, c.LogicalName+"yominame", "String")
			add(c, c.LogicalName+"type", "EntityName")
		case "Lookup", "Customer":
			if c.LogicalName == "owninguser" || c.LogicalName == "owningteam" {
				continue
			}
			add(c, c.LogicalName+"name", "String")
			if personal(c) {
				add(c, c.LogicalName+"yominame", "String")
			}
			if len(c.Targets) > 1 && t.Column("objecttypecode") == nil {
				add(c, c.LogicalName+"type", "EntityName")
			}
		}
	}
}

// personal reports lookups whose target has a phonetic name.
func personal(c *Column) bool {
	for _, x := range c.Targets {
		if x == "systemuser" || x == "contact" || x == "account" || x == "lead" {
			return true
		}
	}
	return false
}

// deriveNames sets ids, numbers and names of what is still without, in the
// order of the sealed model.
func deriveNames(t *Table, at int) {
	if t.MetadataID.IsZero() {
		t.MetadataID = idOf("table", t.LogicalName)
	}
	if t.TypeCode == 0 {
		t.TypeCode = typeCode(t.LogicalName, at)
	}
	t.SchemaName = cmp.Or(t.SchemaName, schemaName(t.LogicalName))
	t.LogicalSet = cmp.Or(t.LogicalSet, strings.ToLower(t.SetName))
	t.DisplayName = cmp.Or(t.DisplayName, label(t.LogicalName))
	slices.SortStableFunc(t.Columns, func(a, b *Column) int { return cmp.Compare(a.LogicalName, b.LogicalName) })
	highest := 0
	for _, c := range t.Columns {
		highest = max(highest, c.Number)
	}
	for _, c := range t.Columns {
		if c.Number == 0 {
			highest++
			c.Number = highest
		}
		if c.MetadataID.IsZero() {
			c.MetadataID = idOf("column", t.LogicalName, c.LogicalName)
		}
		c.SchemaName = cmp.Or(c.SchemaName, schemaName(c.LogicalName))
		c.DisplayName = cmp.Or(c.DisplayName, label(c.LogicalName))
	}
	for _, k := range t.Keys {
		k.SchemaName = cmp.Or(k.SchemaName, t.SchemaName+"_"+strings.Join(k.Columns, "_"))
	}
}

// schemaName guesses the SchemaName of a logical name: standard names begin
// with a capital, custom ones keep their prefix (protocols/dataverse.md §3.2).
func schemaName(name string) string {
	switch name {
	case "systemuser":
		return "SystemUser"
	case "businessunit":
		return "BusinessUnit"
	case "statecode":
		return "StateCode"
	case "statuscode":
		return "StatusCode"
	}
	if name == "" {
		return ""
	}
	if prefix, rest, ok := strings.Cut(name, "_"); ok && rest != "" && !strings.HasPrefix(prefix, "address") {
		return prefix + "_" + rest
	}
	s := strings.ToUpper(name[:1]) + name[1:]
	if x, ok := strings.CutSuffix(s, "id"); ok && x != "" {
		s = x + "Id"
	}
	return s
}

// typeCode is ObjectTypeCode: the platform's for tables everybody has, else a
// number from 10000 up, which differs between organisations.
func typeCode(name string, at int) int {
	codes := map[string]int{
		"account": 1, "contact": 2, "opportunity": 3, "lead": 4, "annotation": 5, ownerTable: 7,
		principalTable: 7, "systemuser": 8, "team": 9, "businessunit": 10, "incident": 112, "competitor": 123,
		"activityparty": 135, "activitymimeattachment": 1001, "organization": 1019, "pricelevel": 1022, "product": 1024, "role": 1036,
		"customeraddress": 1071, "quote": 1084, "salesorder": 1088, "invoice": 1090, "queue": 2020, "queueitem": 2029,
		"connection": 3234, activityTable: 4200, "appointment": 4201, "email": 4202, "phonecall": 4210, "task": 4212,
		"list": 4300, "campaign": 4400, "asyncoperation": 4700, "knowledgearticle": 9953, "transactioncurrency": 9105,
	}
	if n, ok := codes[name]; ok {
		return n
	}
	return 10000 + at
}
