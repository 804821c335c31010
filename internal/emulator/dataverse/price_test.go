package dataverse_test

import (
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// Trap: lines are priced again by logic that bypass headers do not stop.
func TestLinesArePricedByThePlatform(t *testing.T) {
	specs := []string{
		"product products productid name:String",
		"pricelevel pricelevels pricelevelid name:String",
		"productpricelevel productpricelevels productpricelevelid amount:Money pricelevelid:Lookup>pricelevel productid:Lookup>product",
		"salesorder salesorders salesorderid name:String ispricelocked:Boolean freightamount:Money discountpercentage:Decimal totallineitemamount:Money totalamount:Money pricelevelid:Lookup>pricelevel",
		"salesorderdetail salesorderdetails salesorderdetailid quantity:Decimal priceperunit:Money baseamount:Money extendedamount:Money manualdiscountamount:Money tax:Money ispriceoverridden:Boolean productid:Lookup>product salesorderid:Lookup>salesorder",
		"organization organizations organizationid oobpricecalculationenabled:Boolean",
	}
	for _, tt := range []struct {
		assume, line                 string
		organization                 bool
		price, extended, total, left any
	}{
		{"organization", `"priceperunit":1`, true, 10.0, 19.0, 22.1, 5.0},
		{"organization", `"priceperunit":1`, false, 1.0, nil, nil, nil},
		{"on", `"priceperunit":1,"ispriceoverridden":true`, false, 1.0, 1.0, 5.9, 5.0},
		{"off", `"priceperunit":1`, true, 1.0, nil, nil, nil},
	} {
		c := start(t, dvemu.Options{Model: withTables(model(), specs...), Assume: map[string]string{"price-calculation": tt.assume}})
		if tt.organization {
			org := c.want(200, "GET", "organizations", "").rows()[0]["organizationid"].(string)
			c.want(204, "PATCH", "organizations("+org+")", `{"oobpricecalculationenabled":true}`)
		}
		product := c.want(204, "POST", "products", `{"name":"rope"}`).id()
		list := c.want(204, "POST", "pricelevels", `{"name":"l"}`).id()
		c.want(204, "POST", "productpricelevels", `{"amount":10,"pricelevelid@odata.bind":"/pricelevels(`+list+`)","productid@odata.bind":"/products(`+product+`)"}`)
		order := c.want(204, "POST", "salesorders", `{"name":"o","freightamount":5,"discountpercentage":10,"pricelevelid@odata.bind":"/pricelevels(`+list+`)"}`).id()
		line := c.want(204, "POST", "salesorderdetails", `{"quantity":2,"manualdiscountamount":1,"productid@odata.bind":"/products(`+product+`)","salesorderid@odata.bind":"/salesorders(`+order+`)",`+tt.line+`}`,
			"MSCRM.BypassBusinessLogicExecution", "CustomSync").id()
		r := c.want(200, "GET", "salesorderdetails("+line+")", "").json()
		if r["priceperunit"] != tt.price || r["extendedamount"] != tt.extended {
			t.Errorf("%s %v: line: got %v, %v, want %v, %v", tt.assume, tt.organization, r["priceperunit"], r["extendedamount"], tt.price, tt.extended)
		}
		total := func() any { return c.want(200, "GET", "salesorders("+order+")", "").json()["totalamount"] }
		if got := total(); got != tt.total {
			t.Errorf("%s %v: total: got %v, want %v", tt.assume, tt.organization, got, tt.total)
		}
		c.want(204, "DELETE", "salesorderdetails("+line+")", "")
		if got := total(); got != tt.left {
			t.Errorf("%s %v: total without lines: got %v, want %v", tt.assume, tt.organization, got, tt.left)
		}
	}
}
