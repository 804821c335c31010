package roles

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// adminTemplate is the role template of System Administrator, the same in
// every organisation.
const adminTemplate = "627090ff-40a3-4053-8790-584edc5be201"

// Follow sets what the application user may do to what its roles hold now, its
// own and those of its teams. Tables without privileges of their own are not
// restricted.
func Follow(tx *store.Tx, m *entity.Model, u *access.User) {
	u.Administrator, u.Deny, u.Granted = false, nil, nil
	held := map[allod.GUID]string{}
	for _, role := range of(tx, u.User) {
		if _, template := tx.Value(table, tx.Get(table, role), "roletemplateid").Target(); template.String() == adminTemplate {
			u.Administrator, u.Depth = true, nil
			return
		}
		for p, d := range Held(tx, role) {
			if rank(d) > rank(held[p]) {
				held[p] = d
			}
		}
	}
	for _, name := range access.Miscellaneous() {
		if held[access.NamedID(name)] != "" {
			u.Granted = append(u.Granted, name)
		}
	}
	u.Depth = map[string]string{"*": access.DepthGlobal}
	may := map[string]bool{} // by name: activities share theirs
	for _, t := range m.Tables {
		if t.LogicalName == "audit" {
			u.Depth[t.LogicalName] = access.DepthNone
			if held[access.NamedID("prvReadAuditSummary")] != "" {
				u.Depth[t.LogicalName] = access.DepthGlobal
			}
			continue
		}
		if t.Intersect || t.Ownership == 0 {
			continue
		}
		u.Depth[t.LogicalName] = access.DepthNone
		if d := held[t.PrivilegeID("Read")]; d != "" {
			u.Depth[t.LogicalName] = d
		}
		for _, verb := range []string{"Create", "Write", "Delete", "Append", "AppendTo", "Assign"} {
			name := access.Privilege(verb, t)
			may[name] = may[name] || held[t.PrivilegeID(verb)] != ""
		}
	}
	for name, yes := range may {
		if !yes {
			u.Deny = append(u.Deny, name)
		}
	}
	slices.Sort(u.Deny)
}

// of returns the roles of a user and of its teams.
func of(tx *store.Tx, user allod.GUID) []allod.GUID {
	far := func(pairs, near string, id allod.GUID, want string) (out []allod.GUID) {
		if !tx.Has(pairs) {
			return nil
		}
		for _, p := range tx.Find(pairs, near, allod.IDValue(id)) {
			out = append(out, tx.Value(pairs, tx.Get(pairs, p), want).GUID())
		}
		return out
	}
	out := far("systemuserroles", "systemuserid", user, "roleid")
	for _, team := range far("teammembership", "systemuserid", user, "teamid") {
		out = append(out, far("teamroles", "teamid", team, "roleid")...)
	}
	return slices.DeleteFunc(out, func(id allod.GUID) bool { return tx.Get(table, id) == nil })
}

// rank orders depths; no depth is the least.
func rank(name string) int {
	return slices.IndexFunc(depths(), func(d depth) bool { return d.name == name })
}
