package sample

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fill"
	"allod/internal/emulator/dataverse/picture"
	"allod/internal/emulator/dataverse/store"
)

// ref refers to a row.
type ref struct {
	table string
	id    allod.GUID
}

// values are the columns of a row to be: string, int, bool, cents, time.Time,
// ref, allod.GUID or allod.Value, turned into what the column holds.
type values map[string]any

// cents is an amount in hundredths.
type cents int

// add writes one row and returns a reference to it. What the platform keeps is
// added: times, makers, owner and unit, state, currency, base amounts, kinds of
// targets.
func (l *loader) add(table string, v values) ref {
	t := l.m.Table(table)
	if l.err == nil && t == nil {
		l.err = allod.Errorf(allod.Internal, "load sample: no table %s", table)
	}
	if l.err != nil {
		return ref{}
	}
	id := fill.ID(l.o.Seed, "sample:"+table, len(l.made[table]))
	l.insert(t, id, v)
	return ref{table, id}
}

func (l *loader) insert(t *entity.Table, id allod.GUID, v values) {
	v = maps.Clone(v)
	l.complete(t, v)
	cells := make([]store.Cell, 0, len(v))
	for i, c := range t.Columns {
		x, ok := v[c.LogicalName]
		if !ok || c.LogicalName == t.PrimaryID {
			continue
		}
		val, ok := convert(c, x)
		if !ok {
			l.err = allod.Errorf(allod.Internal, "load sample: %s.%s cannot hold a %T", t.LogicalName, c.LogicalName, x)
			return
		}
		if !val.IsNull() {
			cells = append(cells, store.Cell{Column: i, Value: val})
		}
		delete(v, c.LogicalName)
	}
	for name := range v {
		l.err = allod.Errorf(allod.Internal, "load sample: table %s has no column %s", t.LogicalName, name)
		return
	}
	l.err = l.s.Insert(t.LogicalName, id, cells)
	l.made[t.LogicalName] = append(l.made[t.LogicalName], id)
}

// complete adds what the platform keeps.
func (l *loader) complete(t *entity.Table, v values) {
	has := func(name string) bool { return t.Column(name) != nil }
	def := func(name string, x any) {
		if _, said := v[name]; !said && has(name) {
			v[name] = x
		}
	}
	created := l.moment(900)
	if at, ok := v["createdon"].(time.Time); ok {
		created = at
	}
	def("createdon", created)
	def("modifiedon", created.Add(time.Duration(l.rng.Int64N(int64(l.o.Now.Sub(created))+1))).Truncate(time.Second))
	user := l.some("systemuser")
	if c := t.Column("ownerid"); c != nil && t.LogicalName != "activityparty" && user.table != "" {
		def("ownerid", user)
		owner := v["ownerid"].(ref) // the stories say refs
		def(map[string]string{"systemuser": "owninguser", "team": "owningteam"}[owner.table], owner)
		def("owningbusinessunit", ref{"businessunit", l.unit})
		user = owner
		if user.table == "team" {
			user = l.at("systemuser", 0)
		}
	}
	if user.table != "" {
		def("createdby", user)
		def("modifiedby", user)
	}
	l.completeKinds(t, v, def)
}

func (l *loader) completeKinds(t *entity.Table, v values, def func(string, any)) {
	if c := t.Column("statecode"); c != nil {
		def("statecode", c.OptionSet.Options[0].Value)
		state, _ := v["statecode"].(int)
		def("statuscode", defaultStatus(c.OptionSet, state))
	}
	if t.Activity {
		def("activitytypecode", t.LogicalName)
		def("isregularactivity", true)
	}
	for column, kind := range map[string]string{"objectid": "objecttypecode", "parentid": "objecttypecode", "entityid": "entitytype"} {
		if r, ok := v[column].(ref); ok {
			def(kind, r.table)
		}
	}
	money := false
	for name, x := range maps.Clone(v) {
		if c, ok := x.(cents); ok && t.Column(name) != nil && t.Column(name).Kind == "Money" {
			money = true
			v[name+"_base"] = c
		}
	}
	if money && !l.currency.IsZero() {
		def("transactioncurrencyid", ref{"transactioncurrency", l.currency})
		def("exchangerate", "1.000000000000")
	}
	for _, c := range t.Columns {
		if c.Kind == "Boolean" && c.ValidForCreate {
			def(c.LogicalName, false)
		}
	}
}

func defaultStatus(states *entity.OptionSet, state int) int {
	for _, o := range states.Options {
		if o.Value == state {
			return o.DefaultStatus
		}
	}
	return 1
}

// convert turns what a story says into what the column holds.
func convert(c *entity.Column, x any) (allod.Value, bool) {
	switch x := x.(type) {
	case allod.Value:
		return x, true
	case nil:
		return allod.NullValue(), true
	case bool:
		return allod.BooleanValue(x), c.Kind == "Boolean"
	case int:
		return allod.IntegerValue(int64(x)), c.EdmType == "Edm.Int32" || c.EdmType == "Edm.Int64"
	case cents:
		s := strconv.Itoa(int(x))
		for len(s) < 3 {
			s = "0" + s
		}
		return allod.TextValue(allod.Decimal, s[:len(s)-2]+"."+s[len(s)-2:]+"00"), c.Kind == "Money"
	case time.Time:
		if c.EdmType == "Edm.Date" {
			return allod.TextValue(allod.Date, x.UTC().Format("2006-01-02")), true
		}
		return allod.TextValue(allod.DateTime, x.UTC().Format("2006-01-02T15:04:05Z")), c.EdmType == "Edm.DateTimeOffset"
	case ref:
		if x.table == "" {
			return allod.NullValue(), true
		}
		if c.Kind == "Uniqueidentifier" {
			return allod.IDValue(x.id), true
		}
		return allod.LookupValue(x.table, x.id), len(c.Targets) > 0
	case allod.GUID:
		return allod.IDValue(x), c.EdmType == "Edm.Guid" || c.EdmType == "Edm.Binary"
	case string:
		return text(c, x), true
	}
	return allod.Value{}, false
}

func text(c *entity.Column, s string) allod.Value {
	switch {
	case c.EdmType == "Edm.Date":
		return allod.TextValue(allod.Date, s)
	case c.EdmType == "Edm.DateTimeOffset":
		return allod.TextValue(allod.DateTime, s)
	case c.EdmType == "Edm.Decimal":
		return allod.TextValue(allod.Decimal, s)
	case c.EdmType == "Edm.Double":
		return allod.TextValue(allod.Double, s)
	case c.Kind == "MultiSelectPicklist":
		return allod.TextValue(allod.Choices, s)
	case c.Kind == "Image":
		return allod.TextValue(allod.Binary, s)
	case c.Kind == "ManagedProperty":
		return allod.TextValue(allod.JSON, s)
	}
	return allod.StringValue(s)
}

// file keeps made content for a file column and returns its id.
func (l *loader) file(name string, size int64) allod.GUID {
	n := len(l.made["#file"])
	id := fill.ID(l.o.Seed, "#file", n)
	l.made["#file"] = append(l.made["#file"], id)
	l.s.InsertBlob(id, store.MadeBlob(name, "application/octet-stream", size, uint64(n)+l.o.Seed))
	return id
}

// photo keeps a made picture of about 3 KB for an image column that stores full
// images, and returns its id and its thumbnail in Base64.
func (l *loader) photo() (allod.GUID, string) {
	n := len(l.made["#file"])
	id := fill.ID(l.o.Seed, "#file", n)
	l.made["#file"] = append(l.made["#file"], id)
	img := image.NewGray(image.Rect(0, 0, 48, 64))
	dots := store.MadeBlob("", "", int64(len(img.Pix)), uint64(n)+l.o.Seed)
	if _, err := dots.ReadAt(img.Pix, 0); err != nil && l.err == nil {
		l.err = err
	}
	var file bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&file, img)
	if err == nil {
		l.s.InsertBlob(id, store.NewBlob("photo.png", "image/png", file.Bytes()))
		var p picture.Picture
		if p, err = picture.Read(file.Bytes()); err == nil {
			return id, base64.StdEncoding.EncodeToString(p.Thumbnail)
		}
	}
	if l.err == nil {
		l.err = err
	}
	return id, ""
}

// addresses adds the two address rows that belong to an account or contact and
// repeat its own address columns.
func (l *loader) addresses(parent ref, v values) {
	for n := 1; n <= 2; n++ {
		prefix := "address" + strconv.Itoa(n) + "_"
		a := values{"parentid": parent, "addressnumber": n}
		if at, ok := v["createdon"]; ok {
			a["createdon"] = at
		}
		for name, x := range v {
			if part, ok := strings.CutPrefix(name, prefix); ok && part != "composite" && part != "addressid" {
				a[part] = x
			}
		}
		t := l.m.Table("customeraddress")
		l.insert(t, v[prefix+"addressid"].(allod.GUID), a) // set by withAddresses
	}
}

// withAddresses completes the address columns of an account or contact that is
// about to be added as the i-th of its table.
func (l *loader) withAddresses(table string, i int, v values) {
	for n := 1; n <= 2; n++ {
		v["address"+strconv.Itoa(n)+"_addressid"] = fill.ID(l.o.Seed, "sample:"+table+":address", 2*i+n)
	}
	// Put together as the platform does it, from what is there.
	part := func(name string) string { text, _ := v["address1_"+name].(string); return text }
	together := func(sep string, parts ...string) string {
		return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), sep)
	}
	city := together(" ", together(", ", part("city"), part("stateorprovince")), part("postalcode"))
	v["address1_composite"] = together("\r\n", part("line1"), part("line2"), part("line3"), city, part("country"))
}
