package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/exchange"
	"allod/internal/emulator/dataverse/wire"
)

// tell lets Exchange hear of what happened to a row.
func (a *Act) tell(t *entity.Table, id allod.GUID, what string) {
	if a.Assume("server-side-sync") != "off" {
		a.exchange().Note(t, id, what)
	}
}

func (a *Act) exchange() exchange.World {
	return exchange.World{Tx: a.Tx, NewID: a.NewID, Now: wire.Stamp(a.Now)}
}
