// Package message answers the functions and actions that do more with rows than
// create, read, update and delete: history, recycle bin, sharing and the like
// (protocols/dataverse.md §6.13, §10). What they do to rows is kept in packages
// of their own; here are parameters, privileges and answers.
package message

import (
	"encoding/json"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/share"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

type object = map[string]any

// Function answers GET of a function; seg is the row it is bound to, nil for
// an unbound one.
type Function func(c change.Writer, seg *query.Segment) (map[string]any, error)

// Functions are the unbound functions by name.
func Functions() map[string]Function {
	return map[string]Function{
		"RetrieveRecordChangeHistory":    recordHistory,
		"RetrieveAttributeChangeHistory": attributeHistory,

		"RetrieveSharedPrincipalsAndAccess": sharedWith,

		"CalculateRollupField": calculateRollup,

		"RetrieveAppComponents": appComponents,
		"ValidateApp":           validateApp,
	}
}

// Bound returns the function of the name that is bound to rows of the table,
// or nil.
func Bound(table, name string) Function {
	switch table + " " + name {
	case "audit RetrieveAuditDetails":
		return auditDetails
	case "systemuser RetrievePrincipalAccess", "team RetrievePrincipalAccess":
		return principalAccess
	}
	return nil
}

// Actions answer POST by name; nil is 204.
func Actions() map[string]func(change.Writer) (map[string]any, error) {
	return map[string]func(change.Writer) (object, error){
		"DeleteRecordChangeHistory": deleteHistory,
		"DeleteAuditData":           deleteAuditData,
		"Restore":                   restore,
		"Merge":                     merge,
		"PublishXml":                publish,
		"PublishAllXml":             publishAll,
		"SetAutoNumberSeed":         setSeed,
		"GetAutoNumberSeed":         getSeed,
		"GetNextAutoNumberValue":    nextNumber,
		"AddAppComponents":          changeApp(true),
		"RemoveAppComponents":       changeApp(false),
		"GrantAccess":               sharing("GrantAccess", "PrincipalAccess", audit.ActShare, share.Change.Grant),
		"ModifyAccess":              sharing("ModifyAccess", "PrincipalAccess", audit.ActModifyShare, share.Change.Modify),
		"RevokeAccess":              sharing("RevokeAccess", "Revokee", audit.ActUnshare, share.Change.Modify),
	}
}

// members takes the body of an action apart.
func members(c change.Writer) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(c.Body, &m); err != nil {
		return nil, wire.BadPayload("Invalid JSON.")
	}
	return m, nil
}

// row reads a reference to a row: an object with @odata.id, or with the primary
// key and, where that does not say which, @odata.type. The row need not exist.
func row(c change.Writer, a *platform.Act, raw json.RawMessage, name string) (*entity.Table, allod.GUID, error) {
	bad := wire.BadPayload("A property '%s' that names a row was expected.", name)
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || len(m) == 0 {
		return nil, allod.GUID{}, bad
	}
	text := func(name string) (s string) {
		if json.Unmarshal(m[name], &s) != nil {
			return ""
		}
		return s
	}
	if ref := text("@odata.id"); ref != "" {
		return a.Resolve(ref)
	}
	t := typed(c, text("@odata.type"), m)
	if t == nil {
		return nil, allod.GUID{}, bad
	}
	for _, key := range []string{t.PrimaryID, t.ODataKey} {
		if id, err := allod.ParseGUID(text(key)); err == nil {
			return t, id, nil
		}
	}
	return nil, allod.GUID{}, bad
}

// typed is the table of an object in a parameter: by its type, else the one
// whose key it holds.
func typed(c change.Writer, name string, m map[string]json.RawMessage) *entity.Table {
	if name != "" {
		return c.Schema.Model.Table(name[strings.LastIndexByte(name, '.')+1:])
	}
	for key := range m {
		if t := c.Schema.Model.Table(strings.TrimSuffix(key, "id")); t != nil && (t.PrimaryID == key || t.ODataKey == key) {
			return t
		}
	}
	return nil
}

// param is a parameter of the function that is called, as JSON.
func param(c change.Writer, name string) json.RawMessage {
	path := c.Req.Path
	return request.JSON(c.Param(&path[len(path)-1], name))
}
