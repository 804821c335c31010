package fill

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// text makes a String or Memo within MaxLength.
func (r *row) text(x *column) allod.Value {
	c := x.c
	limit := c.MaxLength
	if limit <= 0 {
		limit = 100
	}
	number := strconv.Itoa(r.i)
	s := ""
	switch kind := r.kind(); {
	case x.unique:
		s = r.p.t.LogicalName + "-" + number
	case kind == lowRow && c.Required == "None" && c.LogicalName != r.p.t.PrimaryName:
		s = ""
	case kind == highRow:
		s = r.f.org.Long(r.rng, min(limit, 12_000))
	case kind == foreignRow:
		s = r.f.org.Foreign(r.rng)
	case c.Kind == "Memo":
		s = r.f.org.Text(r.rng, 1+r.rng.IntN(4))
	default:
		s = r.phrase(c.LogicalName)
	}
	return allod.StringValue(clip(s, limit))
}

// clip keeps at most n UTF-16 units, which is how lengths are counted.
func clip(s string, n int) string {
	units := 0
	for i, c := range s {
		units++
		if c > 0xffff {
			units++
		}
		if units > n {
			return s[:i]
		}
	}
	return s
}

// phrase makes a short text that suits the column's name.
func (r *row) phrase(name string) string {
	org, i := r.f.org, r.i
	has := func(parts ...string) bool {
		for _, x := range parts {
			if strings.Contains(name, x) {
				return true
			}
		}
		return false
	}
	switch {
	case has("email"):
		return org.Person(i).Email
	case has("telephone", "phone", "fax", "pager"):
		return org.Person(i).Phone
	case has("url", "website"):
		return org.Company(i).Website
	case has("line1"):
		return org.Person(i).Address.Line1
	case has("city"):
		return org.Person(i).Address.City
	case has("postalcode"):
		return org.Person(i).Address.PostalCode
	case has("stateorprovince"):
		return org.Person(i).Address.State
	case has("country"):
		return org.Person(i).Address.Country
	case has("fullname", "contactname"):
		return org.Person(i).Full
	case has("firstname", "nickname"):
		return org.Person(i).First
	case has("lastname"):
		return org.Person(i).Last
	case has("jobtitle"):
		return org.Person(i).Title
	case has("subject", "title"):
		return org.Subject(r.rng)
	case has("number", "code", "id"):
		return strings.ToUpper(name[:min(3, len(name))]) + "-" + strconv.Itoa(100000+i)
	case name == "name" && (r.p.t.LogicalName == "account" || r.p.t.LogicalName == "competitor"):
		return org.Company(i).Name
	case has("name"):
		return org.Product(i).Name
	}
	return org.Text(r.rng, 1)
}

// stamps sets who made and changed the row, and when.
func (r *row) stamps() {
	created := r.f.o.Now.Add(-time.Duration(3600+r.rng.IntN(4*365*24*3600)) * time.Second)
	modified := created.Add(time.Duration(r.rng.Int64N(int64(r.f.o.Now.Sub(created)))))
	r.set("createdon", allod.TextValue(allod.DateTime, stamp(created)))
	r.set("modifiedon", allod.TextValue(allod.DateTime, stamp(modified)))
	if u := r.f.plans["systemuser"]; u != nil {
		by := func(name string) {
			if k, ok := r.p.at[name]; ok && r.p.cols[k].lookup {
				r.vals[k] = allod.LookupValue("systemuser", r.f.key(u, r.rng.IntN(u.count)))
			}
		}
		by("createdby")
		by("modifiedby")
		if r.rng.IntN(6) == 0 {
			by("createdonbehalfby")
		}
		if r.rng.IntN(6) == 0 {
			by("modifiedonbehalfby")
		}
	}
	if r.kind() != fullRow && r.get("overriddencreatedon").Type() != allod.Absent {
		r.set("overriddencreatedon", allod.TextValue(allod.DateTime, stamp(modified)))
	}
}

// unitOf is the business unit of the i-th user or team.
func (f *filler) unitOf(table string, i int) allod.GUID {
	u := f.plans["businessunit"]
	if u == nil || u.count == 0 {
		return allod.GUID{}
	}
	if p := f.plans[table]; p != nil && i < len(p.base) {
		return f.key(u, 0)
	}
	return f.key(u, (int(hash(table)%3)+i)%u.count)
}

// owner sets the owner, user or team, and what follows from it.
func (r *row) owner() {
	k, ok := r.p.at["ownerid"]
	if !ok || !r.p.cols[k].lookup {
		return
	}
	table, follow := "systemuser", "owninguser"
	if r.i%5 == 4 && r.f.plans["team"] != nil {
		table, follow = "team", "owningteam"
	}
	p := r.f.plans[table]
	if p == nil || p.count == 0 {
		return
	}
	at := r.rng.IntN(p.count)
	r.vals[k] = allod.LookupValue(table, r.f.key(p, at))
	r.set(follow, allod.LookupValue(table, r.f.key(p, at)))
	if unit := r.f.unitOf(table, at); !unit.IsZero() {
		r.setLookup("owningbusinessunit", "businessunit", unit)
	}
}

// setLookup sets a column that is a lookup in some tables and a plain id in
// others.
func (r *row) setLookup(name, table string, id allod.GUID) {
	k, ok := r.p.at[name]
	switch {
	case !ok:
	case r.p.cols[k].lookup:
		r.vals[k] = allod.LookupValue(table, id)
	default:
		r.vals[k] = allod.IDValue(id)
	}
}

// setTable names a table in a column that holds logical names in some tables
// and type codes in others.
func (r *row) setTable(name, table string) {
	k, ok := r.p.at[name]
	if !ok {
		return
	}
	if r.p.cols[k].c.EdmType == "Edm.String" {
		r.vals[k] = allod.StringValue(table)
		return
	}
	r.vals[k] = allod.NullValue()
	if t := r.f.m.Table(table); t != nil && t.TypeCode != 0 {
		r.vals[k] = allod.IntegerValue(int64(t.TypeCode))
	}
}

// status makes state and status a valid pair.
func (r *row) status() {
	k, ok := r.p.at["statuscode"]
	if !ok || r.p.cols[k].c.OptionSet == nil || len(r.p.cols[k].c.OptionSet.Options) == 0 {
		return
	}
	options := slices.DeleteFunc(slices.Clone(r.p.cols[k].c.OptionSet.Options), func(o entity.Option) bool {
		// Nothing here waits to be sent: Pending Send and Sending would end at
		// once, and no restore gives them back (protocols/dataverse.md §6.6).
		return r.p.t.LogicalName == "email" && (o.Value == 6 || o.Value == 7)
	})
	if c, _, parent := r.f.closedBy(r.p.t); parent {
		options = c.options(r.p.t, isClosed(len(r.p.base), r.i))
	}
	if len(options) == 0 {
		return
	}
	o := options[0]
	if r.kind() >= usualRow && r.rng.IntN(2) == 0 || r.kind() == foreignRow {
		o = options[r.rng.IntN(len(options))]
	}
	r.set("statuscode", allod.IntegerValue(int64(o.Value)))
	r.set("statecode", allod.IntegerValue(int64(o.State)))
}

// money sets currency, rate and the amounts in the base currency.
func (r *row) money() {
	factor := int64(1)
	if k, ok := r.p.at["transactioncurrencyid"]; ok && len(r.p.cols[k].targets) > 0 {
		p := r.p.cols[k].targets[0]
		at := r.rng.IntN(p.count)
		r.vals[k] = allod.LookupValue(p.t.LogicalName, r.f.key(p, at))
		factor = rateFactor(at)
		r.set("exchangerate", allod.TextValue(allod.Decimal, rate(at)))
	} else if r.p.t.LogicalName == "transactioncurrency" {
		r.set("exchangerate", allod.TextValue(allod.Decimal, rate(r.i)))
	}
	for k := range r.p.cols {
		c := r.p.cols[k].c
		base, ok := strings.CutSuffix(c.LogicalName, "_base")
		if !ok || c.Kind != "Money" {
			continue
		}
		if v := r.get(base); v.Type() == allod.Decimal {
			units, err := strconv.ParseInt(strings.Replace(v.Text(), ".", "", 1), 10, 64)
			if err == nil { // made by scaled with four digits
				r.vals[k] = allod.TextValue(allod.Decimal, scaled(units*factor, 4))
			}
		}
	}
}

// The currencies have rates of 1, 1/2 and 1/4, so that amounts in the base
// currency are exact.
func rateFactor(at int) int64 { return [...]int64{1, 2, 4}[at%3] }

func rate(at int) string {
	return [...]string{"1.000000000000", "0.500000000000", "0.250000000000"}[at%3]
}

// names joins first and last names.
func (r *row) names() {
	if _, ok := r.p.at["fullname"]; !ok {
		return
	}
	p := r.f.org.Person(r.i)
	if r.kind() == foreignRow {
		p.First, p.Last = "さくら", "山野辺"
		p.Full = p.First + " " + p.Last
	}
	r.set("firstname", allod.StringValue(p.First))
	r.set("lastname", allod.StringValue(p.Last))
	full := p.Full
	if m := r.get("middlename").Text(); m != "" {
		full = p.First + " " + m + " " + p.Last
	}
	r.set("fullname", allod.StringValue(full))
}

// special keeps the rules that single tables have.
func (r *row) special() {
	t := r.p.t
	if t.Activity {
		r.set("activitytypecode", allod.StringValue(t.LogicalName))
		r.set("instancetypecode", allod.IntegerValue(0))
	}
	if v := r.get("objectid"); v.Type() == allod.Lookup {
		table, _ := v.Target()
		r.setTable("objecttypecode", table)
	}
	r.ownAddresses()
	if c, is, _ := r.f.closedBy(t); is {
		p := r.f.plans[c.parent]
		r.setLookup(c.column, c.parent, r.f.key(p, closedRow(len(p.base), r.i-len(r.p.base))))
	}
	switch t.LogicalName {
	case "systemuser":
		r.setLookup("businessunitid", "businessunit", r.f.unitOf("systemuser", r.i))
		r.set("isdisabled", allod.BooleanValue(false)) // rows of disabled users could not be made again
		r.set("domainname", allod.StringValue(r.f.org.Person(r.i).Email))
		if k, ok := r.p.at["applicationid"]; ok && r.i != r.p.cols[k].anchor { // one application user among the people
			r.vals[k] = allod.NullValue()
		}
	case "team":
		r.setLookup("businessunitid", "businessunit", r.f.unitOf("team", r.i))
		r.set("isdefault", allod.BooleanValue(false))
		r.set("teamtype", allod.IntegerValue(0))
	case "businessunit":
		if root := r.f.plans["businessunit"]; r.i > 0 {
			r.setLookup("parentbusinessunitid", "businessunit", r.f.key(root, (r.i-1)/2))
		} else {
			r.set("parentbusinessunitid", allod.NullValue())
		}
		r.set("isdisabled", allod.BooleanValue(false))
	case "transactioncurrency":
		codes := [...]string{"USD", "EUR", "CHF", "JPY", "GBP", "CZK", "DKK"}
		r.set("isocurrencycode", allod.StringValue(codes[r.i%len(codes)]))
		r.set("currencyprecision", allod.IntegerValue(2))
	}
	if o := r.f.plans["organization"]; o != nil && o.count > 0 && t.LogicalName != "organization" {
		r.setLookup("organizationid", "organization", r.f.key(o, 0))
	}
}
