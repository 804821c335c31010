// Package cascade guesses what the platform does to the rows below a row, for
// relationships of which only the two ends are known (entity reference of the
// standard tables; protocols/dataverse.md §6.12).
package cascade

import "strings"

// Behavior is CascadeConfiguration: what is done to the rows that refer to a
// row when it is assigned, deleted, merged and so on.
type Behavior struct {
	Assign, Delete, Merge, Reparent, Share, Unshare string
}

// Guess returns the behavior of the lookup column of the table many to the
// table one. Parts of a thing go with it, notes, parties and activities go with
// what they regard, system lookups do nothing, everything else lets go. What
// refers to an account, contact, lead or case goes over to the row that it is
// merged into.
func Guess(one, many, column string) Behavior {
	b := Behavior{"NoCascade", "NoCascade", "NoCascade", "NoCascade", "NoCascade", "NoCascade"}
	switch {
	case one == "owner" || system(column):
		return b
	case parental(one, many, column):
		b = Behavior{"Cascade", "Cascade", "NoCascade", "Cascade", "Cascade", "Cascade"}
	case restricted(one):
		b.Delete = "Restrict"
	case many == "fileattachment": // FileAttachment table reference
		b.Delete = "Cascade"
	default:
		b.Delete = "RemoveLink"
	}
	if merges(one, many, column) {
		b.Merge = "Cascade"
	}
	return b
}

// merges reports lookups that follow a merge: all to the four tables that can
// be merged but those the platform keeps as they were, parties of activities
// among them. Of columns that a publisher adds the documentation says nothing;
// they are taken to follow.
func merges(one, many, column string) bool {
	switch one {
	case "account", "contact", "lead", "incident":
	default:
		return false
	}
	switch many {
	case "activityparty", "asyncoperation", "audit", "fileattachment":
		return false
	}
	return column != "masterid"
}

func parental(one, many, column string) bool {
	switch column {
	case "objectid":
		return many == "annotation" || many == "activitymimeattachment" || many == "queueitem" || many == "postfollow"
	case "regardingobjectid":
		return one == "account" || one == "contact" || one == "lead" || one == "incident" || one == "opportunity"
	case "activityid":
		return many == "activityparty"
	case "parentid":
		return many == "customeraddress" || many == "leadaddress"
	case "parentcustomerid", "customerid":
		return one == "account" && (many == "contact" || many == "incident")
	case "opportunityid", "quoteid", "salesorderid", "invoiceid":
		return strings.HasPrefix(many, one) || many == "salesorderdetail" || many == "opportunityproduct"
	}
	return false
}

func restricted(one string) bool {
	switch one {
	case "transactioncurrency", "businessunit", "uom", "uomschedule", "product", "pricelevel", "organization":
		return true
	}
	return false
}

// system reports the lookups the platform keeps itself.
func system(column string) bool {
	switch column {
	case "createdby", "modifiedby", "createdonbehalfby", "modifiedonbehalfby", "owninguser", "owningteam", "owningbusinessunit",
		"createdbyexternalparty", "modifiedbyexternalparty", "organizationid":
		return true
	}
	return false
}
