package dataverse_test

import (
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// Trap: amounts in the base currency are reckoned with the rate of the day on
// which a row is written, whatever the row says.
func TestMoneyIsReckonedWithTheRateOfToday(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	euro := c.want(204, "POST", "transactioncurrencies", `{"currencyname":"Euro","isocurrencycode":"EUR","currencysymbol":"€","currencyprecision":2,"exchangerate":0.8}`).id()
	id := c.want(204, "POST", "accounts", `{"name":"A","revenue":80,"exchangerate":0.1,"transactioncurrencyid@odata.bind":"/transactioncurrencies(`+euro+`)"}`).id()
	is := func(rate, base float64) {
		t.Helper()
		if r := c.want(200, "GET", "accounts("+id+")?$select=exchangerate,revenue_base", "").json(); r["exchangerate"] != rate || r["revenue_base"] != base {
			t.Errorf("got %v, want a rate of %v and %v", r, rate, base)
		}
	}
	is(0.8, 100)
	c.want(204, "PATCH", "transactioncurrencies("+euro+")", `{"exchangerate":0.5}`)
	c.want(204, "PATCH", "accounts("+id+")", `{"description":"d"}`)
	is(0.8, 100)
	c.want(204, "PATCH", "accounts("+id+")", `{"revenue":80}`)
	is(0.5, 160)
}
