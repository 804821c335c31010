package restore

import "allod"

// What the platform does by itself, per table (design/restore.md). Kept in one
// place so that each trap can be found, tested and lifted by itself.

// unproven returns why a table is refused outside this machine: its trap has
// no proof yet that it is handled against the real platform. "" = restored.
func unproven(t *allod.Table) string {
	switch t.Name {
	case "email":
		return "server-side synchronisation may send restored e-mails"
	case "appointment":
		return "synchronisation with Exchange may send invitations"
	case "incident":
		return "closing a case makes rows of its own, consumes entitlement and starts timers"
	case "opportunity":
		return "closing an opportunity makes rows of its own"
	case "quotedetail", "salesorderdetail", "invoicedetail", "opportunityproduct":
		return "lines are priced anew by logic that cannot be bypassed"
	case "customeraddress":
		return "addresses come into being with their account, contact or lead"
	}
	if closeParent(t) != "" {
		return "closing the record it belongs to makes this row"
	}
	if isProcess(t) {
		return "instances of business process flows come into being by themselves"
	}
	return ""
}

// isProcess reports whether rows of the table are instances of business
// process flows: their key has a name of its own.
func isProcess(t *allod.Table) bool {
	return t.Key == "businessprocessflowinstanceid" || t.Column("businessprocessflowinstanceid") != nil
}

// closeParent returns the lookup from a close activity to what it closed, ""
// for other tables. Such a row is never restored on its own: closing its parent
// again makes it, with the captured id and subject; only where that made none
// it is created, and only after the state of its parent.
func closeParent(t *allod.Table) string {
	switch t.Name {
	case "incidentresolution":
		return "incidentid"
	case "opportunityclose":
		return "opportunityid"
	case "quoteclose":
		return "quoteid"
	case "orderclose":
		return "salesorderid"
	}
	return ""
}

// pendingSend reports whether an e-mail of the status waits for being sent:
// Pending Send or Sending. It never gets that status back, anywhere.
func pendingSend(table string, status int64) bool {
	return table == "email" && (status == 6 || status == 7)
}

// lockedWhenClosed reports whether rows of the table refuse changes once they
// left their first state (protocols/dataverse.md §6.6), so that they are
// reopened first.
func lockedWhenClosed(t *allod.Table) bool {
	switch t.Name {
	case "incident", "opportunity", "quote", "salesorder", "invoice", "contract", "lead":
		return true
	}
	return t.Activity
}

// madeWithParent reports whether the platform makes a row of the table, with
// that number, when its parent is created.
func madeWithParent(t *allod.Table, number int64) bool {
	return t.Name == "customeraddress" && number >= 1 && number <= 3
}

// activeState is the first state of every table; a row is created in it.
const activeState = 0

// activeStatus returns the status reason a new row gets: the lowest one of the
// first state.
func activeStatus(t *allod.Table) int64 {
	c := t.Column("statuscode")
	if c == nil {
		return 1
	}
	best, ok := int64(1), false
	for _, o := range c.Options {
		if o.State == activeState && (!ok || o.Value < best) {
			best, ok = o.Value, true
		}
	}
	return best
}
