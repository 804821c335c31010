package platform

import (
	"encoding/base64"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/seed"
	"allod/internal/emulator/dataverse/wire"
)

func (a *Act) now() allod.Value { return allod.TextValue(allod.DateTime, wire.Stamp(a.Now)) }

// stampNew sets what the platform sets on every new row (§6.7).
func (a *Act) stampNew(t *entity.Table, r row) {
	a.setNew(t, r, "componentstate", allod.IntegerValue(0)) // what is new is published
	user := allod.LookupValue("systemuser", a.User)
	a.set(t, r, t.PrimaryID, allod.NullValue())
	if was := a.get(t, r, "overriddencreatedon"); !was.IsNull() {
		// The supplied moment becomes createdon; the real one is kept.
		a.set(t, r, "createdon", was)
		a.set(t, r, "overriddencreatedon", a.now())
	} else {
		a.set(t, r, "createdon", a.now())
	}
	a.set(t, r, "createdby", user)
	if !a.RealUser.IsZero() {
		a.set(t, r, "createdonbehalfby", allod.LookupValue("systemuser", a.RealUser))
	}
	a.stampChanged(t, r)
	if t.Column("ownerid") != nil {
		a.setNew(t, r, "ownerid", user)
		a.owner(t, r)
	}
	if t.Activity {
		a.setNew(t, r, "activitytypecode", allod.StringValue(t.LogicalName))
	}
	a.rate(t, r)
	for _, c := range t.Columns {
		if c.AutoNumber != "" && a.get(t, r, c.LogicalName).IsNull() && a.pos(t, c.LogicalName) >= 0 {
			a.set(t, r, c.LogicalName, allod.StringValue(seed.Take(a.Tx, t.LogicalName, c.LogicalName, c.AutoNumber, a.Now, a.NewID())))
		}
	}
}

// rate takes the exchange rate that the row's currency has now, when a row
// with amounts is made or one of its amounts changes: a rate of long ago does
// not come back with the row.
func (a *Act) rate(t *entity.Table, r row) {
	const currencies = "transactioncurrency"
	if a.Currency.IsZero() || !a.hasMoney(t, r) {
		return
	}
	a.setNew(t, r, "transactioncurrencyid", allod.LookupValue(currencies, a.Currency))
	if v := a.Tx.Value(currencies, a.Tx.Get(currencies, a.get(t, r, "transactioncurrencyid").GUID()), "exchangerate"); v.Type() == allod.Decimal {
		a.set(t, r, "exchangerate", v)
		return
	}
	a.setNew(t, r, "exchangerate", allod.TextValue(allod.Decimal, "1.000000000000"))
}

// priced reports whether a payload changes an amount or the currency.
func priced(p *wire.Payload) bool {
	for _, v := range p.Values {
		if v.Column.Kind == "Money" {
			return true
		}
	}
	for _, b := range p.Binds {
		if b.Nav.Column == "transactioncurrencyid" {
			return true
		}
	}
	return false
}

// answerNo gives two-option columns that the payload does not mention their
// default; an explicit null stays null.
func (a *Act) answerNo(t *entity.Table, r row, p *wire.Payload) {
	mentioned := map[string]bool{}
	for _, v := range p.Values {
		mentioned[v.Column.LogicalName] = true
	}
	for _, c := range t.Columns {
		if c.Kind == "Boolean" && c.ValidForCreate && c.OptionSet != nil && c.AttributeOf == "" && !mentioned[c.LogicalName] {
			a.setNew(t, r, c.LogicalName, allod.BooleanValue(false))
		}
	}
}

func (a *Act) stampChanged(t *entity.Table, r row) {
	a.set(t, r, "modifiedon", a.now())
	a.set(t, r, "modifiedby", allod.LookupValue("systemuser", a.User))
	if !a.RealUser.IsZero() {
		a.set(t, r, "modifiedonbehalfby", allod.LookupValue("systemuser", a.RealUser))
	}
}

// owner derives the owning columns from ownerid.
func (a *Act) owner(t *entity.Table, r row) {
	table, id := a.get(t, r, "ownerid").Target()
	null := allod.NullValue()
	a.set(t, r, "owninguser", null)
	a.set(t, r, "owningteam", null)
	switch table {
	case "systemuser":
		a.set(t, r, "owninguser", allod.LookupValue("systemuser", id))
	case "team":
		a.set(t, r, "owningteam", allod.LookupValue("team", id))
	}
	unit := a.Tx.Value(table, a.Tx.Get(table, id), "businessunitid")
	if unit.Type() != allod.Lookup && !a.Unit.IsZero() {
		unit = allod.LookupValue("businessunit", a.Unit)
	}
	if unit.Type() == allod.Lookup {
		a.set(t, r, "owningbusinessunit", unit)
	}
}

func (a *Act) hasMoney(t *entity.Table, r row) bool {
	for _, c := range t.Columns {
		if c.Kind == "Money" && !a.get(t, r, c.LogicalName).IsNull() {
			return true
		}
	}
	return false
}

// derive recomputes the columns that follow from others of the same row:
// full names, composed addresses, amounts in base currency (the only currency
// rate known here is the row's own).
func (a *Act) derive(t *entity.Table, r row) {
	text := func(c string) string { return a.get(t, r, c).Text() }
	if c := t.Column("fullname"); c != nil && t.Column("lastname") != nil {
		a.setText(t, r, "fullname", join(" ", text("firstname"), text("lastname")))
	}
	for _, body := range []string{"documentbody", "body"} {
		if !attached(t, body) {
			continue
		}
		content := text(body)
		a.set(t, r, "filesize", allod.IntegerValue(int64(base64.StdEncoding.DecodedLen(len(content))-strings.Count(content, "="))))
		if t.LogicalName == "annotation" {
			a.set(t, r, "isdocument", allod.BooleanValue(content != ""))
		}
	}
	for _, n := range []string{"address1_", "address2_", "address3_"} {
		if t.Column(n+"composite") == nil {
			continue
		}
		city := join(" ", join(", ", text(n+"city"), text(n+"stateorprovince")), text(n+"postalcode"))
		a.setText(t, r, n+"composite", join("\r\n", text(n+"line1"), text(n+"line2"), text(n+"line3"), city, text(n+"country")))
	}
	a.customer(t, r)
	for _, c := range t.Columns {
		if c.Kind != "Money" || strings.HasSuffix(c.LogicalName, "_base") || t.Column(c.LogicalName+"_base") == nil {
			continue
		}
		a.set(t, r, c.LogicalName+"_base", base(a.get(t, r, c.LogicalName), text("exchangerate")))
	}
}

// customer fills the read-only account and contact of a row that follow from
// its customer or parent.
func (a *Act) customer(t *entity.Table, r row) {
	for _, from := range []string{"customerid", "parentcustomerid"} {
		if t.Column(from) == nil {
			continue
		}
		for _, table := range []string{"account", "contact"} {
			c := t.Column(table + "id")
			if c == nil || c.ValidForCreate || c.ValidForUpdate || c.LogicalName == t.PrimaryID {
				continue
			}
			v := a.get(t, r, from)
			if target, _ := v.Target(); target != table {
				v = allod.NullValue()
			}
			a.set(t, r, c.LogicalName, v)
		}
	}
}

func (a *Act) setText(t *entity.Table, r row, column, text string) {
	if text == "" {
		a.set(t, r, column, allod.NullValue())
		return
	}
	a.set(t, r, column, allod.StringValue(text))
}

func join(sep string, parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, sep)
}

func base(v allod.Value, rate string) allod.Value {
	if v.IsNull() {
		return v
	}
	f, err := strconv.ParseFloat(rate, 64)
	if err != nil || f == 0 || f == 1 {
		return v
	}
	amount, err := strconv.ParseFloat(v.Text(), 64)
	if err != nil {
		return v
	}
	return allod.TextValue(allod.Decimal, strconv.FormatFloat(amount/f, 'f', 4, 64))
}
