// Package traps knows what the platform does by itself, per table
// (design/restore.md): rows it makes, rows it closes or locks, messages it
// sends. Kept in one place so that each trap can be found, tested and lifted
// by itself. Its functions are pure.
package traps

import "allod"

// Unproven returns why a table is refused outside this machine: its trap has
// no proof yet that it is handled against the real platform. "" = restored.
func Unproven(t *allod.Table) string {
	switch t.Name {
	case "email":
		return "server-side synchronisation may send restored e-mails"
	case "appointment", "recurringappointmentmaster", "serviceappointment":
		return "synchronisation with Exchange may send invitations"
	case "incident":
		return "closing a case makes rows of its own, consumes entitlement and starts timers"
	case "opportunity":
		return "closing an opportunity makes rows of its own"
	case "quotedetail", "salesorderdetail", "invoicedetail", "opportunityproduct":
		return "lines are priced anew by logic that cannot be bypassed"
	case "customeraddress", "leadaddress":
		return "addresses come into being with their account, contact or lead"
	}
	if CloseParent(t) != "" {
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

// CloseParent returns the lookup from a close activity to what it closed, ""
// for other tables. Such a row is never restored on its own: closing its parent
// again makes it, with the captured id and subject; only where that made none
// it is created, and only after the state of its parent.
func CloseParent(t *allod.Table) string {
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

// CloseTable returns the table of close activities that the platform makes
// when a row of the table is closed, "" if none: the other way round of
// CloseParent.
func CloseTable(table string) string {
	switch table {
	case "incident":
		return "incidentresolution"
	case "opportunity":
		return "opportunityclose"
	case "quote":
		return "quoteclose"
	case "salesorder":
		return "orderclose"
	}
	return ""
}

// Sends reports whether rows of the table are messages that the platform itself
// sends.
func Sends(table string) bool { return table == "email" }

// PendingSend reports whether an e-mail of the status waits for being sent:
// Pending Send or Sending. It never gets that status back, anywhere.
func PendingSend(table string, status int64) bool {
	return Sends(table) && (status == 6 || status == 7)
}

// LockedWhenClosed reports whether rows of the table refuse changes once they
// left their first state (protocols/dataverse.md §6.6), so that they are
// reopened first.
func LockedWhenClosed(t *allod.Table) bool {
	switch t.Name {
	case "incident", "opportunity", "quote", "salesorder", "invoice", "contract", "lead":
		return true
	}
	return t.Activity
}

// MadeWithParent reports whether the platform makes a row of the table, with
// that number, when its parent is created.
func MadeWithParent(t *allod.Table, number int64) bool {
	return (t.Name == "customeraddress" || t.Name == "leadaddress") && number >= 1 && number <= 3
}

// ActiveState is the first state of every table; a row is created in it.
const ActiveState = 0

// ActiveStatus returns the status reason a new row gets: the lowest one of the
// first state.
func ActiveStatus(t *allod.Table) int64 {
	c := t.Column("statuscode")
	if c == nil {
		return 1
	}
	best, ok := int64(1), false
	for _, o := range c.Options {
		if o.State == ActiveState && (!ok || o.Value < best) {
			best, ok = o.Value, true
		}
	}
	return best
}

// Consequences are what the platform does by itself when rows of the table are
// made again, one sentence each, for the plan to say: nothing a restore does
// prevents it.
func Consequences(t *allod.Table) []string {
	var out []string
	switch t.Name {
	case "appointment", "recurringappointmentmaster", "serviceappointment", "task", "contact":
		out = append(out, "Exchange gets them, and sends invitations, where the owner's mailbox synchronises")
	case "incident":
		out = append(out, "timers of service levels start and may escalate; closing them uses up entitlements")
	case "quotedetail", "salesorderdetail", "invoicedetail", "opportunityproduct":
		out = append(out, "the platform prices lines and totals anew")
	}
	switch t.Name {
	case "lead", "opportunity", "incident":
		out = append(out, "an instance of the business process flow in force comes into being with each")
	}
	return out
}
