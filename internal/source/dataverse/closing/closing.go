// Package closing knows the states that rows of some tables reach only through
// a message, which makes a closing activity (protocols/dataverse.md §6.6; the
// messages' reference pages).
package closing

// Message closes a row of a table, and names the row that it makes.
type Message struct {
	Name      string
	Parameter string // that holds the closing activity
	Table     string // of the closing activity
	Bind      string // navigation property from it to the row
	// From is the state that the row must be in; 0, the first, is any.
	From int64
}

// Of returns the message by which a row of the table gets into the state; false
// when none is needed.
func Of(table string, state int64) (Message, bool) {
	switch {
	case table == "incident" && state == 1:
		return Message{"CloseIncident", "IncidentResolution", "incidentresolution", "incidentid", 0}, true
	case table == "opportunity" && state == 1:
		return Message{"WinOpportunity", "OpportunityClose", "opportunityclose", "opportunityid", 0}, true
	case table == "opportunity" && state == 2:
		return Message{"LoseOpportunity", "OpportunityClose", "opportunityclose", "opportunityid", 0}, true
	case table == "quote" && state == 2:
		return Message{"WinQuote", "QuoteClose", "quoteclose", "quoteid", 1}, true
	case table == "quote" && state == 3:
		return Message{"CloseQuote", "QuoteClose", "quoteclose", "quoteid", 1}, true
	case table == "salesorder" && state == 3:
		return Message{"FulfillSalesOrder", "OrderClose", "orderclose", "salesorderid", 0}, true
	case table == "salesorder" && state == 2:
		return Message{"CancelSalesOrder", "OrderClose", "orderclose", "salesorderid", 0}, true
	}
	return Message{}, false
}
