package dataverse

import (
	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/store"
)

// putAdministrator gives the user the role System Administrator or takes it
// away, where the model has the tables; the role is made when it is missing.
func (s *Server) putAdministrator(tx *store.Tx, user allod.GUID, on bool) error {
	const pairs = "systemuserroles"
	if !tx.Has("role") || !tx.Has(pairs) {
		return nil
	}
	template, err := allod.ParseGUID(access.AdminTemplate)
	if err != nil {
		return err
	}
	role := access.NamedID("role System Administrator " + s.org.Unit.String())
	cells := func(table string, values map[string]allod.Value) (out []store.Cell) {
		for c, v := range values {
			if i := tx.Column(table, c); i >= 0 {
				out = append(out, store.Cell{Column: i, Value: v})
			}
		}
		return out
	}
	if tx.Get("role", role) == nil {
		if tx.Has("roletemplate") && tx.Get("roletemplate", template) == nil {
			tx.Put("roletemplate", template, cells("roletemplate", map[string]allod.Value{"name": allod.StringValue("System Administrator")}))
		}
		tx.Put("role", role, cells("role", map[string]allod.Value{
			"name": allod.StringValue("System Administrator"), "roletemplateid": allod.LookupValue("roletemplate", template),
			"businessunitid": allod.LookupValue("businessunit", s.org.Unit), "ismanaged": allod.BooleanValue(true),
		}))
	}
	for _, p := range tx.Find(pairs, "systemuserid", allod.IDValue(user)) {
		if tx.Value(pairs, tx.Get(pairs, p), "roleid").GUID() == role {
			if !on {
				tx.Delete(pairs, p)
			}
			return nil
		}
	}
	if on {
		tx.Put(pairs, access.NamedID("administrator "+user.String()), cells(pairs, map[string]allod.Value{"systemuserid": allod.IDValue(user), "roleid": allod.IDValue(role)}))
	}
	return nil
}
