// Package deal answers the messages that take sales and service rows from one
// state to the next: quotes, orders, invoices, leads and e-mail (WinQuote,
// CloseQuote, ReviseQuote, CancelSalesOrder, FulfillSalesOrder, QualifyLead and
// SendEmail Action references).
package deal

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

type object = map[string]any

// States of quotes and orders.
const (
	quoteActive, quoteWon, quoteClosed = 1, 2, 3
	orderCanceled, orderFulfilled      = 2, 3
)

// Actions answer POST by name; nil is 204.
func Actions() map[string]func(change.Writer) (map[string]any, error) {
	closing := func(activity, key, table string, from []int64, state int64) func(change.Writer) (object, error) {
		return func(c change.Writer) (object, error) {
			return nil, c.CloseBy(change.Closing{Activity: activity, Key: key, Table: table, From: from, State: state})
		}
	}
	return map[string]func(change.Writer) (object, error){
		"WinQuote":                closing("QuoteClose", "quoteid", "quote", []int64{quoteActive}, quoteWon),
		"CloseQuote":              closing("QuoteClose", "quoteid", "quote", []int64{quoteActive}, quoteClosed),
		"CancelSalesOrder":        closing("OrderClose", "salesorderid", "salesorder", []int64{0, 1}, orderCanceled),
		"FulfillSalesOrder":       closing("OrderClose", "salesorderid", "salesorder", []int64{0, 1}, orderFulfilled),
		"ReviseQuote":             reviseQuote,
		"LockSalesOrderPricing":   pricing("salesorder", "SalesOrderId", true),
		"UnlockSalesOrderPricing": pricing("salesorder", "SalesOrderId", false),
		"LockInvoicePricing":      pricing("invoice", "InvoiceId", true),
		"UnlockInvoicePricing":    pricing("invoice", "InvoiceId", false),
	}
}

// Bound returns the action of the name that is bound to rows of the table, or
// nil.
func Bound(table, name string) func(change.Writer, *query.Segment) (map[string]any, error) {
	switch table + " " + name {
	case "lead QualifyLead":
		return qualifyLead
	case "email SendEmail":
		return sendEmail
	}
	return nil
}

func refuse(format string, args ...any) error {
	return wire.Refuse(http.StatusBadRequest, "0x80040203", format, args...)
}

// table returns the table of a message, or the 404 of a message that needs one
// the model lacks.
func table(c change.Writer, name string) (*entity.Table, error) {
	if t := c.Schema.Model.Table(name); t != nil && c.Exists(t) {
		return t, nil
	}
	return nil, wire.NoSegment(c.Req.Path[len(c.Req.Path)-1].Name)
}

func value(a *platform.Act, t *entity.Table, id allod.GUID, column string) allod.Value {
	return a.Tx.Value(t.LogicalName, a.Tx.Get(t.LogicalName, id), column)
}

// pricing locks or unlocks the prices of an order or invoice.
func pricing(name, key string, lock bool) func(change.Writer) (object, error) {
	return func(c change.Writer) (object, error) {
		t, err := table(c, name)
		if err != nil {
			return nil, err
		}
		var body map[string]json.RawMessage
		var id allod.GUID
		if json.Unmarshal(c.Body, &body) != nil || json.Unmarshal(body[key], &id) != nil {
			return nil, wire.BadPayload("A property '%s' was expected.", key)
		}
		return nil, c.Update(func(a *platform.Act) error {
			if err := a.Allow("Write", t); err != nil {
				return err
			}
			return a.Patch(t, id, map[string]allod.Value{"ispricelocked": allod.BooleanValue(lock)})
		})
	}
}

// reviseQuote makes a draft of a closed quote, with its lines and the next
// revision number.
func reviseQuote(c change.Writer) (object, error) {
	t, err := table(c, "quote")
	if err != nil {
		return nil, err
	}
	var body struct {
		QuoteID allod.GUID `json:"QuoteId"`
	}
	if json.Unmarshal(c.Body, &body) != nil || body.QuoteID.IsZero() {
		return nil, wire.BadPayload("A property 'QuoteId' was expected.")
	}
	var out object
	err = c.Update(func(a *platform.Act) error {
		if !a.Exists(t, body.QuoteID) {
			return wire.NoRow("quote", body.QuoteID.String())
		}
		if value(a, t, body.QuoteID, "statecode").Int() != quoteClosed {
			return refuse("The quote cannot be revised because it is not closed.")
		}
		revision := value(a, t, body.QuoteID, "revisionnumber").Int() + 1
		id, err := a.Copy(t, body.QuoteID, map[string]allod.Value{
			"revisionnumber": allod.IntegerValue(revision), "statecode": allod.NullValue(), "statuscode": allod.NullValue(),
		})
		if err != nil {
			return err
		}
		if lines := c.Schema.Model.Table("quotedetail"); lines != nil && a.Tx.Has("quotedetail") {
			for _, line := range a.Tx.Find("quotedetail", "quoteid", allod.IDValue(body.QuoteID)) {
				if _, err := a.Copy(lines, line, map[string]allod.Value{"quoteid": allod.LookupValue("quote", id)}); err != nil {
					return err
				}
			}
		}
		out = wire.Reference(c.Schema, "quote", id)
		out["name"], out["quotenumber"], out["revisionnumber"] = value(a, t, id, "name").Text(), value(a, t, id, "quotenumber").Text(), revision
		return nil
	})
	return out, err
}

// sendEmail hands a draft over for sending; without IssueSend it counts as
// sent already.
func sendEmail(c change.Writer, seg *query.Segment) (object, error) {
	t, err := table(c, "email")
	if err != nil {
		return nil, err
	}
	var body struct{ IssueSend bool }
	if json.Unmarshal(c.Body, &body) != nil {
		return nil, wire.BadPayload("Invalid JSON.")
	}
	subject := ""
	err = c.Update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		if !a.Exists(t, id) {
			return wire.NoRow("email", id.String())
		}
		if err := a.Allow("Write", t); err != nil {
			return err
		}
		if value(a, t, id, "statecode").Int() != 0 {
			return refuse("The e-mail must be in Draft status to be sent.")
		}
		subject = value(a, t, id, "subject").Text()
		if body.IssueSend {
			return a.Close(t, id, platform.MailDone, platform.MailPending)
		}
		return a.MailSent(t, id)
	})
	return object{"Subject": subject}, err
}

// qualifyLead makes the rows that the body asks for and closes the lead.
func qualifyLead(c change.Writer, seg *query.Segment) (object, error) {
	t, err := table(c, "lead")
	if err != nil {
		return nil, err
	}
	var body struct {
		CreateAccount, CreateContact, CreateOpportunity bool
		Status                                          int64
	}
	if json.Unmarshal(c.Body, &body) != nil {
		return nil, wire.BadPayload("Invalid JSON.")
	}
	made := []any{}
	err = c.Update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		if !a.Exists(t, id) {
			return wire.NoRow("lead", id.String())
		}
		if value(a, t, id, "statecode").Int() != 0 {
			return refuse("The lead is already closed.")
		}
		q := qualified{c, a, t, id, map[string]allod.Value{"originatingleadid": allod.LookupValue("lead", id)}}
		var ref object
		if body.CreateAccount {
			if ref, err = q.make("account", map[string]string{"name": "companyname"}, "customerid", "parentcustomerid", "parentaccountid"); err != nil {
				return err
			}
			made = append(made, ref)
		}
		if body.CreateContact {
			if ref, err = q.make("contact", map[string]string{"firstname": "firstname", "lastname": "lastname"}, "parentcontactid"); err != nil {
				return err
			}
			made = append(made, ref)
		}
		if body.CreateOpportunity {
			if ref, err = q.make("opportunity", map[string]string{"name": "subject"}); err != nil {
				return err
			}
			made = append(made, ref)
		}
		return a.Close(t, id, 1, body.Status)
	})
	return object{"value": made}, err
}

// qualified is a lead that becomes other rows; links are the lookups that rows
// made later get.
type qualified struct {
	c     change.Writer
	a     *platform.Act
	lead  *entity.Table
	id    allod.GUID
	links map[string]allod.Value
}

// make creates the row with what the lead says: columns of the same name, and
// those named with the lead's. Later rows refer to it by the links.
func (q qualified) make(name string, from map[string]string, links ...string) (object, error) {
	t := q.c.Schema.Model.Table(name)
	if t == nil || !q.a.Tx.Has(name) {
		return nil, wire.NoSegment(name)
	}
	p := &wire.Payload{}
	row := q.a.Tx.Get("lead", q.id)
	for _, col := range t.Columns {
		source := col.LogicalName
		if mapped := from[source]; mapped != "" {
			source = mapped
		} else if !carried(source) {
			continue
		}
		if q.lead.Column(source) != nil && col.ValidForCreate {
			if v := q.a.Tx.Value("lead", row, source); !v.IsNull() && !wire.IsLookup(col) {
				p.Values = append(p.Values, wire.Assign{Column: col, Value: v})
			}
		}
	}
	id, err := q.a.Create(t, allod.GUID{}, p)
	if err != nil {
		return nil, err
	}
	set := map[string]allod.Value{}
	for column, v := range q.links {
		target, _ := v.Target()
		if col := t.Column(column); col != nil && column != "parentcustomerid" || col != nil && target == "account" {
			set[column] = v
		}
	}
	if len(set) > 0 {
		if err := q.a.Patch(t, id, set); err != nil {
			return nil, err
		}
	}
	for _, l := range links {
		q.links[l] = allod.LookupValue(name, id)
	}
	return wire.Reference(q.c.Schema, name, id), nil
}

// carried reports whether a column goes from the lead to rows made of it when
// both have it.
func carried(column string) bool {
	return strings.HasPrefix(column, "address1_") && column != "address1_addressid" ||
		slices.Contains([]string{"telephone1", "mobilephone", "emailaddress1", "websiteurl", "jobtitle", "description", "industrycode", "numberofemployees", "revenue", "transactioncurrencyid"}, column)
}
