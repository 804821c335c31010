package roles

import (
	"slices"

	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// Follow sets what the application user may do to what its roles hold now, its
// own and those of its teams. Tables without privileges of their own are not
// restricted.
func Follow(tx *store.Tx, m *entity.Model, u *access.User) {
	u.Administrator, u.Deny, u.Granted = false, nil, nil
	p := access.Of(tx, u.User)
	if p == nil {
		p = &access.Person{User: u.User}
	}
	if p.Administrator {
		u.Administrator, u.Depth = true, nil
		return
	}
	for _, name := range access.Miscellaneous() {
		if p.Has(name) {
			u.Granted = append(u.Granted, name)
		}
	}
	u.Depth = map[string]string{"*": access.DepthGlobal}
	may := map[string]bool{} // by name: activities share theirs
	for _, t := range m.Tables {
		if t.LogicalName == "audit" {
			u.Depth[t.LogicalName] = p.Depth("Read", t)
			continue
		}
		if t.Intersect || t.Ownership == 0 {
			continue
		}
		u.Depth[t.LogicalName] = p.Depth("Read", t)
		for _, verb := range []string{"Create", "Write", "Delete", "Append", "AppendTo", "Assign"} {
			name := access.Privilege(verb, t)
			may[name] = may[name] || p.Depth(verb, t) != access.DepthNone
		}
	}
	for name, yes := range may {
		if !yes {
			u.Deny = append(u.Deny, name)
		}
	}
	slices.Sort(u.Deny)
}
