package fill

import (
	"encoding/base64"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// row is one row in the making; vals stands parallel to the plan's columns.
type row struct {
	f    *filler
	p    *plan
	i    int
	rng  *rand.Rand
	vals []allod.Value
}

// The first made rows of every table are of a kind of their own.
const (
	fullRow    = iota // every column has a usual value
	emptyRow          // every column that may be is null
	lowRow            // empty texts, least numbers, earliest dates
	highRow           // longest texts, greatest numbers, latest dates
	foreignRow        // texts outside Latin
	usualRow
)

func (r *row) kind() int { return min(r.i-len(r.p.base), usualRow) }

func (r *row) set(name string, v allod.Value) {
	if k, ok := r.p.at[name]; ok {
		r.vals[k] = v
	}
}

func (r *row) get(name string) allod.Value {
	if k, ok := r.p.at[name]; ok {
		return r.vals[k]
	}
	return allod.Value{}
}

func (r *row) insert(key allod.GUID) error {
	return r.f.s.Insert(r.p.t.LogicalName, key, r.cells())
}

// cells lists what is not null.
func (r *row) cells() []store.Cell {
	cells := make([]store.Cell, 0, len(r.vals))
	for k, v := range r.vals {
		if !v.IsAbsent() && !v.IsNull() {
			cells = append(cells, store.Cell{Column: r.p.cols[k].pos, Value: v})
		}
	}
	return cells
}

// make fills all columns.
func (r *row) make() {
	for k := range r.p.cols {
		x := &r.p.cols[k]
		if !x.derived && r.wanted(x) {
			r.vals[k] = r.value(x)
		}
	}
	r.stamps()
	r.owner()
	r.status()
	r.money()
	r.binary()
	r.names()
	r.special()
}

// wanted decides whether a column is null in this row. Every column has a row
// where it is not.
func (r *row) wanted(x *column) bool {
	if r.p.t.LogicalName == "activityparty" && (x.c.LogicalName == "activityid" || x.c.LogicalName == "partyid") {
		return true // somebody takes part in something
	}
	if x.c.Required == "SystemRequired" || x.unique || r.i == x.anchor || x.c.LogicalName == r.p.t.PrimaryName && r.kind() != emptyRow {
		return true
	}
	switch r.kind() {
	case fullRow, lowRow, highRow, foreignRow:
		return true
	case emptyRow:
		return x.c.Required != "None" && x.c.Required != "Recommended"
	}
	if r.p.count > large && x.sparse {
		return false
	}
	if x.lookup && len(x.targets) > 1 {
		return true
	}
	return r.rng.IntN(10) < 7
}

func (r *row) value(x *column) allod.Value {
	c := x.c
	switch c.Kind {
	case "Lookup", "Customer", "Owner":
		return r.lookup(x)
	case "String", "Memo":
		return r.text(x)
	case "EntityName":
		return allod.StringValue(r.entityName(c))
	case "Boolean":
		return allod.BooleanValue(r.rng.IntN(2) == 1)
	case "Picklist", "State":
		return r.option(c)
	case "MultiSelectPicklist":
		return r.choices(c)
	case "Integer":
		return r.integer(c)
	case "BigInt":
		return allod.IntegerValue([...]int64{42, 0, -9007199254740993, 9223372036854775807, 1, int64(r.rng.Uint32())}[r.kind()])
	case "Decimal":
		return allod.TextValue(allod.Decimal, r.decimal(c))
	case "Money":
		return allod.TextValue(allod.Decimal, scaled(r.moneyUnits(c), 4))
	case "Double":
		return allod.TextValue(allod.Double, r.double(c))
	case "DateTime":
		return r.date(c)
	case "Uniqueidentifier":
		return allod.IDValue(ID(r.f.o.Seed, r.p.t.LogicalName+"."+c.LogicalName, r.i))
	case "ManagedProperty":
		return allod.TextValue(allod.JSON, `{"Value":`+strconv.FormatBool(r.rng.IntN(3) > 0)+`,"CanBeChanged":true,"ManagedPropertyLogicalName":"`+c.LogicalName+`"}`)
	case "File":
		return r.file(c)
	}
	return allod.NullValue()
}

// lookup refers to the targets in turn, so that each is referred to; a row
// refers within its own table only to earlier rows, so that hierarchies end.
func (r *row) lookup(x *column) allod.Value {
	n := len(x.targets)
	if n == 0 {
		return allod.NullValue()
	}
	p := x.targets[(r.i+int(hash(x.c.LogicalName)%7))%n]
	count := p.count
	if p == r.p {
		count = r.i
	}
	if count == 0 {
		return allod.NullValue()
	}
	at := r.rng.IntN(count)
	if x.unique {
		at = r.i % count
	}
	return allod.LookupValue(p.t.LogicalName, r.f.key(p, at))
}

func (r *row) entityName(c *entity.Column) string {
	for _, name := range []string{"objectid", "entityid", "regardingobjectid"} {
		if v := r.get(name); v.Type() == allod.Lookup && strings.HasPrefix(c.LogicalName, "objecttype") {
			table, _ := v.Target()
			return table
		}
	}
	return [...]string{"account", "contact", "incident"}[r.rng.IntN(3)]
}

func (r *row) option(c *entity.Column) allod.Value {
	o := c.OptionSet.Options
	if len(o) == 0 {
		return allod.NullValue()
	}
	return allod.IntegerValue(int64(o[(r.i+r.rng.IntN(2))%len(o)].Value))
}

func (r *row) choices(c *entity.Column) allod.Value {
	var picked []string
	for k, o := range c.OptionSet.Options {
		if k == r.i%len(c.OptionSet.Options) || r.rng.IntN(3) == 0 {
			picked = append(picked, strconv.Itoa(o.Value))
		}
	}
	return allod.TextValue(allod.Choices, strings.Join(picked, ","))
}

func (r *row) integer(c *entity.Column) allod.Value {
	lo, hi := int64(-1<<31), int64(1<<31-1)
	if v, err := strconv.ParseInt(c.MinValue, 10, 64); err == nil {
		lo = v
	}
	if v, err := strconv.ParseInt(c.MaxValue, 10, 64); err == nil {
		hi = v
	}
	switch r.kind() {
	case lowRow:
		return allod.IntegerValue(lo)
	case highRow:
		return allod.IntegerValue(hi)
	case emptyRow:
		return allod.IntegerValue(max(lo, 0))
	}
	return allod.IntegerValue(max(lo, min(hi, int64(r.rng.IntN(100)))))
}

// decimal keeps to the column's precision.
func (r *row) decimal(c *entity.Column) string {
	digits := max(min(c.Precision, 10), 0)
	units := int64(r.rng.IntN(1_000_000))
	switch r.kind() {
	case lowRow:
		units = -units
	case highRow:
		units = 9_999_999_999
	case emptyRow:
		units = 0
	}
	if strings.HasPrefix(c.MinValue, "0") && units < 0 {
		units = -units
	}
	if hi, err := strconv.ParseFloat(c.MaxValue, 64); err == nil && float64(units) > hi*100 {
		units %= int64(max(hi, 1)) * 100
		digits = min(digits, 2)
	}
	return scaled(units, digits)
}

// scaled writes units as a decimal with the given digits behind the point.
func scaled(units int64, digits int) string {
	sign := ""
	if units < 0 {
		sign, units = "-", -units
	}
	s := strconv.FormatInt(units, 10)
	if digits == 0 {
		return sign + s
	}
	for len(s) <= digits {
		s = "0" + s
	}
	return sign + s[:len(s)-digits] + "." + s[len(s)-digits:]
}

// moneyUnits is an amount in ten-thousandths.
func (r *row) moneyUnits(c *entity.Column) int64 {
	switch r.kind() {
	case lowRow:
		if strings.HasPrefix(c.MinValue, "0") {
			return 1
		}
		return -1_234_567
	case highRow:
		return 9_999_999_999_999
	case emptyRow:
		return 0
	}
	return int64(r.rng.IntN(2_000_000_000))
}

func (r *row) double(c *entity.Column) string {
	lo, hi := -1e6, 1e6
	if strings.HasSuffix(c.LogicalName, "latitude") {
		lo, hi = -90, 90
	} else if strings.HasSuffix(c.LogicalName, "longitude") {
		lo, hi = -180, 180
	}
	switch r.kind() {
	case lowRow:
		return strconv.FormatFloat(lo, 'f', -1, 64)
	case highRow:
		return strconv.FormatFloat(hi, 'f', -1, 64)
	}
	v := lo + (hi-lo)*r.rng.Float64()
	return strconv.FormatFloat(float64(int64(v*1e5))/1e5, 'f', -1, 64)
}

// edges are moments that are often handled wrongly: least and greatest, leap
// days, both sides of a change of the clock, the ends of Unix time.
func edges() []string {
	return []string{
		"2024-02-29T12:00:00Z", "2000-01-01T00:00:00Z", "1753-01-01T00:00:00Z", "9999-12-30T23:59:59Z", "2025-03-30T01:00:00Z",
		"2025-10-26T00:30:00Z", "1969-12-31T23:59:59Z", "2038-01-19T03:14:08Z", "1900-02-28T00:00:00Z",
	}
}

func (r *row) date(c *entity.Column) allod.Value {
	text := ""
	if e := edges(); r.kind() < usualRow {
		text = e[r.kind()]
	} else if r.rng.IntN(8) == 0 {
		text = e[r.rng.IntN(len(e))]
	} else {
		text = stamp(r.f.o.Now.Add(-time.Duration(r.rng.IntN(5*365*24*3600)) * time.Second))
	}
	if c.EdmType == "Edm.Date" {
		return allod.TextValue(allod.Date, text[:10])
	}
	return allod.TextValue(allod.DateTime, text)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// file makes the content of a file column.
func (r *row) file(c *entity.Column) allod.Value {
	if strings.HasSuffix(c.LogicalName, "_binary") { // twin of a text body
		return allod.NullValue()
	}
	id := ID(r.f.o.Seed, r.p.t.LogicalName+"#"+c.LogicalName, r.i)
	size := int64(100 + r.rng.IntN(20000))
	if r.kind() == highRow {
		size = min(int64(c.MaxSizeKB)<<10, 5<<20)
	}
	name := [...]string{"contract.pdf", "offer-2025.docx", "Übersicht.xlsx", "図面.png"}[r.i%4]
	r.f.s.InsertBlob(id, store.MadeBlob(name, "application/octet-stream", size, uint64(r.i)))
	return allod.IDValue(id)
}

// picture is a transparent PNG of one pixel.
const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// binary fills images with their twins, and bodies of notes and attachments.
func (r *row) binary() {
	for k := range r.p.cols {
		c := r.p.cols[k].c
		if c.Kind != "Image" || r.i != r.p.cols[k].anchor && (r.kind() == emptyRow || r.rng.IntN(4) > 0 && r.kind() != fullRow) {
			continue
		}
		r.vals[k] = allod.TextValue(allod.Binary, picture)
		id := ID(r.f.o.Seed, r.p.t.LogicalName+"#"+c.LogicalName, r.i)
		r.set(c.LogicalName+"id", allod.IDValue(id))
		r.set(c.LogicalName+"_timestamp", allod.IntegerValue(638000000000000000+int64(r.i)))
		r.set(c.LogicalName+"_url", allod.StringValue("/Image/download.aspx?Entity="+r.p.t.LogicalName+"&Attribute="+c.LogicalName+"&Id="+id.String()))
		raw, err := base64.StdEncoding.DecodeString(picture)
		if err == nil && c.FullImage { // picture is a constant and tested
			r.f.s.InsertBlob(id, store.NewBlob("image.png", "image/png", raw))
		}
	}
	r.body("documentbody")
	r.body("body")
}

// body fills a base64 body with its name, type and size (protocols/dataverse.md
// §8.1). Every third row of a table of notes is text alone.
func (r *row) body(column string) {
	k, ok := r.p.at[column]
	if !ok || r.p.cols[k].c.Kind != "String" {
		return
	}
	if _, named := r.p.at["filename"]; !named {
		return
	}
	if r.i%3 == 1 {
		r.set("isdocument", allod.BooleanValue(false))
		return
	}
	n := 60 + r.rng.IntN(3000)
	if r.kind() == highRow {
		n = 200_000
	}
	text := r.f.org.Long(r.rng, n)
	r.vals[k] = allod.StringValue(base64.StdEncoding.EncodeToString([]byte(text)))
	r.set("filename", allod.StringValue([...]string{"letter.txt", "angebot.txt", "メモ.txt"}[r.i%3]))
	r.set("mimetype", allod.StringValue("text/plain"))
	r.set("filesize", allod.IntegerValue(int64(n)))
	r.set("isdocument", allod.BooleanValue(true))
}
