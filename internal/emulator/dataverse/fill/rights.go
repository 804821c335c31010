package fill

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// administrators gives made users the role System Administrator, where there is
// one: what made roles hold says nothing, and nobody could be impersonated.
func (f *filler) administrators(p *plan, rel *entity.Relationship, at int, there map[[2]allod.GUID]bool) error {
	users, roles := f.plans["systemuser"], f.plans["role"]
	if users == nil || roles == nil || len(roles.base) == 0 {
		return nil
	}
	f.s.View(func(tx *store.Tx) {
		for _, r := range tx.Page(p.t.LogicalName, nil, tx.Len(p.t.LogicalName)) {
			there[[2]allod.GUID{tx.Value(p.t.LogicalName, r, rel.Attribute1).GUID(), tx.Value(p.t.LogicalName, r, rel.Attribute2).GUID()}] = true
		}
	})
	for i := len(users.base); i < users.count; i++ {
		ends := [2]allod.GUID{f.key(users, i), roles.base[0]}
		if rel.Entity1 != "systemuser" {
			ends[0], ends[1] = ends[1], ends[0]
		}
		if there[ends] {
			continue
		}
		if err := f.pair(p, rel, at, ends[0], ends[1]); err != nil {
			return err
		}
		at++
	}
	return nil
}
