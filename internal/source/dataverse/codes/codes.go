// Package codes knows the error codes of Dataverse.
package codes

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"allod"
	"allod/internal/source/odataclient"
)

// Explain turns Dataverse's codes into Kinds and next steps, whatever their status
// is: documents do not agree on some (protocols/dataverse.md §6.9, §9.2, §9.3).
// Conflict is only that the row itself is not as it was planned; that another row
// stands against a write is Invalid.
func Explain(_ int, code string) (allod.Kind, string) {
	switch strings.ToLower(code) {
	case "0x80072560":
		return allod.Denied, "make an application user with this client id in the environment and give it a role that may read the tables (Power Platform admin center, Settings, Users + permissions, Application users)"
	case "0x80040220", "0x80048306", "0x80040299", "0x8004f036":
		return allod.Denied, "give the application user's role this privilege on the whole organization, in the Power Platform admin center under Security roles"
	case "0x80040217", "0x80060891":
		return allod.NotFound, ""
	case "0x8006088a":
		return allod.NotFound, "the environment has no such table any more: read the schema again"
	case "0x80040237":
		return allod.Conflict, "a row with the same key exists"
	case "0x80060892":
		return allod.Invalid, "another row has the same unique value: change one of the two"
	case "0x80040333":
		return allod.Invalid, "a rule of the environment takes the row for a duplicate of another: merge them, or switch the rule off meanwhile"
	case "0x80060882":
		return allod.Conflict, "somebody changed the row meanwhile: plan again"
	case "0x80040227":
		return allod.Invalid, "other rows refer to it: remove or move them first"
	case "0x80049939", "0x80049929":
		return allod.Invalid, "the recycle bin of the environment holds a row with this key"
	case "0x80048408":
		return allod.Invalid, "state and status reason do not fit each other in this environment"
	case "0x80044331":
		return allod.Invalid, "a text is longer than the column takes here"
	case "0x80048d19":
		return allod.Invalid, "the environment does not know a column or relationship that was written: compare the schemas"
	case "0x80072321", "0x80072322", "0x80072326":
		return allod.Unavailable, "the service's protection limits are used up: lower --max-concurrency or try later"
	case "0x80044150", "0x80044151":
		return allod.Unavailable, "the database was busy: try again later"
	}
	return 0, ""
}

// Expired reports whether the service says that a token or stamp is too old
// (ExpiredVersionStamp; protocols/dataverse.md §3.5, §5.2).
func Expired(err error) bool {
	st := odataclient.AsStatus(err)
	if st == nil {
		return false
	}
	code := strings.ToLower(st.Code)
	return code == "0x80044352" || code == "-2147204270"
}

// DeltaExpired reports whether a delta read failed because of its token. Which
// status says so is not documented; the code does, and 400 and 410 without a
// better reason (protocols/dataverse.md §5.2).
func DeltaExpired(err error) bool {
	st := odataclient.AsStatus(err)
	if st == nil || errors.Is(err, context.Canceled) {
		return false
	}
	return Expired(err) || st.Status == http.StatusBadRequest || st.Status == http.StatusGone
}

// RowGone tells a missing row from a missing table, and from a 404 that is not
// the service's own, such as a gateway's: only the service's code for a missing
// row proves anything (protocols/dataverse.md §9.3).
func RowGone(err error) bool {
	st := odataclient.AsStatus(err)
	if st == nil || st.Status != http.StatusNotFound {
		return false
	}
	return strings.EqualFold(st.Code, "0x80040217") || strings.EqualFold(st.Code, "0x80060891")
}

// PairThere reports whether a pair was not made because it exists. The code says
// so; its status is not documented (protocols/dataverse.md §6.5).
func PairThere(err error) bool {
	st := odataclient.AsStatus(err)
	return st != nil && strings.EqualFold(st.Code, "0x80040237")
}
