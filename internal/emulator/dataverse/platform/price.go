package platform

import (
	"math/big"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// lineParent says of which table the lines of sales documents are parts, and
// by which column.
func lineParent(table string) (parent, column string) {
	switch table {
	case "opportunityproduct":
		return "opportunity", "opportunityid"
	case "quotedetail":
		return "quote", "quoteid"
	case "salesorderdetail":
		return "salesorder", "salesorderid"
	case "invoicedetail":
		return "invoice", "invoiceid"
	}
	return "", ""
}

// prices reports whether the platform calculates prices: as the organisation's
// oobpricecalculationenabled says, or as is assumed (Use custom pricing;
// Organization table reference). Bypass headers do not stop it.
func (a *Act) prices() bool {
	switch a.Assume("price-calculation") {
	case "on":
		return true
	case "off":
		return false
	}
	for _, r := range a.Tx.Page("organization", nil, 1) {
		return a.Tx.Value("organization", r, "oobpricecalculationenabled").Bool()
	}
	return false
}

// priceLine computes the amounts of a line: the price of the product in the
// price list of the document unless it is overridden or the document's prices
// are locked, times the quantity, less discounts, plus tax.
func (a *Act) priceLine(t *entity.Table, r row) {
	parent, column := lineParent(t.LogicalName)
	if parent == "" || !a.prices() {
		return
	}
	doc := a.Tx.Get(parent, a.get(t, r, column).GUID())
	if !a.get(t, r, "ispriceoverridden").Bool() && !a.Tx.Value(parent, doc, "ispricelocked").Bool() {
		if v, ok := a.listPrice(a.Tx.Value(parent, doc, "pricelevelid").GUID(), a.get(t, r, "productid").GUID(), a.get(t, r, "uomid").GUID()); ok {
			a.set(t, r, "priceperunit", v)
		}
	}
	price, quantity := amount(a.get(t, r, "priceperunit")), amount(a.get(t, r, "quantity"))
	total := new(big.Rat).Mul(price, quantity)
	a.set(t, r, "baseamount", money(total))
	volume := new(big.Rat).Mul(amount(a.get(t, r, "volumediscountamount")), quantity)
	extended := new(big.Rat).Sub(total, volume)
	extended.Sub(extended, amount(a.get(t, r, "manualdiscountamount"))).Add(extended, amount(a.get(t, r, "tax")))
	a.set(t, r, "extendedamount", money(extended))
}

// listPrice is the amount of the product in the price list, for the unit if
// that is known.
func (a *Act) listPrice(list, product, unit allod.GUID) (allod.Value, bool) {
	const items = "productpricelevel"
	if list.IsZero() || product.IsZero() {
		return allod.Value{}, false
	}
	for _, id := range a.Tx.Find(items, "pricelevelid", allod.IDValue(list)) {
		r := a.Tx.Get(items, id)
		if a.Tx.Value(items, r, "productid").GUID() != product {
			continue
		}
		if u := a.Tx.Value(items, r, "uomid").GUID(); !unit.IsZero() && !u.IsZero() && u != unit {
			continue
		}
		if v := a.Tx.Value(items, r, "amount"); !v.IsNull() {
			return v, true
		}
	}
	return allod.Value{}, false
}

// priceTotals computes the totals of the document a line belongs, or belonged,
// to.
func (a *Act) priceTotals(t *entity.Table, line row) {
	parent, column := lineParent(t.LogicalName)
	if parent == "" || !a.prices() {
		return
	}
	pt, id := a.Schema.Model.Table(parent), a.get(t, line, column).GUID()
	if pt == nil || a.Tx.Get(parent, id) == nil {
		return
	}
	lines, tax := new(big.Rat), new(big.Rat)
	for _, l := range a.Tx.Find(t.LogicalName, column, allod.IDValue(id)) {
		r := a.Tx.Get(t.LogicalName, l)
		was := amount(a.Tx.Value(t.LogicalName, r, "tax"))
		lines.Add(lines, amount(a.Tx.Value(t.LogicalName, r, "extendedamount"))).Sub(lines, was)
		tax.Add(tax, was)
	}
	r := a.load(a.Tx.Get(parent, id))
	a.set(pt, r, "totallineitemamount", money(lines))
	percent := new(big.Rat).Mul(lines, amount(a.get(pt, r, "discountpercentage")))
	total := new(big.Rat).Sub(lines, percent.Quo(percent, big.NewRat(100, 1)))
	total.Sub(total, amount(a.get(pt, r, "discountamount"))).Add(total, amount(a.get(pt, r, "freightamount"))).Add(total, tax)
	a.set(pt, r, "totaltax", money(tax))
	a.set(pt, r, "totalamount", money(total))
	a.derive(pt, r)
	a.put(pt, id, r)
}

// amount reads a number; what is none counts as zero.
func amount(v allod.Value) *big.Rat {
	if len(v.Text()) > 40 || strings.ContainsAny(v.Text(), "eE") { // no exponent can make it huge
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(v.Text())
	if !ok {
		return new(big.Rat)
	}
	return r
}

// money writes an amount with the four digits the database keeps.
func money(r *big.Rat) allod.Value { return allod.TextValue(allod.Decimal, r.FloatString(4)) }
