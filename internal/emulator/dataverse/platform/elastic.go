package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/elastic"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
)

// noteEnd remembers when a written row of an elastic table ends.
func (a *Act) noteEnd(t *entity.Table, id allod.GUID) {
	if elastic.Is(t) {
		elastic.Note(a.Tx, t, id, a.Now)
	}
}

// Replace puts the payload in the place of the whole row, as an upsert of an
// elastic table does (protocols/dataverse.md §4.8): columns that are not given
// become null. Who made it, who owns it and its partition stay.
func (a *Act) Replace(t *entity.Table, id allod.GUID, p *wire.Payload) error {
	old := a.Tx.Get(t.LogicalName, id)
	if old == nil {
		return wire.NoRow(t.LogicalName, id.String())
	}
	kept := row{}
	was := a.load(old)
	for _, c := range []string{"createdon", "createdby", "createdonbehalfby", "overriddencreatedon", "ownerid", "owninguser", "owningteam", "owningbusinessunit", "partitionid"} {
		a.set(t, kept, c, a.get(t, was, c))
	}
	if err := a.stateNew(t, kept, p); err != nil {
		return err
	}
	a.put(t, id, kept)
	return a.Update(t, id, p)
}
