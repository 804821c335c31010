package platform

import (
	"maps"

	"allod"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/beside"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/service"
	"allod/internal/emulator/dataverse/wire"
)

func (a *Act) beside() beside.World { return beside.World{Tx: a.Tx, NewID: a.NewID} }

func (a *Act) service() service.World {
	return service.World{Tx: a.Tx, NewID: a.NewID, Now: a.Now}
}

// bringNew makes the rows that come with a new row.
func (a *Act) bringNew(t *entity.Table, id allod.GUID) error {
	rows, own := a.beside().New(t.LogicalName, id)
	if a.Assume("service-terms") == "on" {
		more, columns := a.service().New(t.LogicalName, id)
		rows = append(rows, more...)
		maps.Copy(own, columns)
	}
	if len(own) > 0 {
		r := a.load(a.Tx.Get(t.LogicalName, id))
		for column, v := range own {
			a.set(t, r, column, v)
		}
		a.put(t, id, r)
	}
	return a.bring(rows)
}

// bringChanged does what follows the change of a row.
func (a *Act) bringChanged(t *entity.Table, id allod.GUID, old, now row) error {
	was, is := maps.Clone(old), maps.Clone(now)
	c := beside.Change{
		Table: t.LogicalName, ID: id,
		Old: func(c string) allod.Value { return a.get(t, was, c) }, Now: func(c string) allod.Value { return a.get(t, is, c) },
	}
	rows, ended := a.beside().Changed(c)
	if a.Assume("service-terms") == "on" {
		rows = append(rows, a.service().Changed(c)...)
	}
	for _, pair := range ended {
		a.Tx.Delete("teammembership", pair)
	}
	return a.bring(rows)
}

// bring makes rows by itself, or changes them where they are there already, and
// does what follows from that.
func (a *Act) bring(list []beside.Row) error {
	for _, x := range list {
		t := a.Schema.Model.Table(x.Table)
		if t == nil || !a.Tx.Has(x.Table) {
			continue
		}
		if old := a.Tx.Get(x.Table, x.ID); old != nil {
			if err := a.Patch(t, x.ID, x.Values); err != nil {
				return err
			}
			if err := a.bringChanged(t, x.ID, a.load(old), a.load(a.Tx.Get(x.Table, x.ID))); err != nil {
				return err
			}
			continue
		}
		r := row{}
		for column, v := range x.Values {
			a.set(t, r, column, v)
		}
		if !t.Intersect {
			a.stampNew(t, r)
			if err := a.stateNew(t, r, &wire.Payload{}); err != nil {
				return err
			}
		}
		a.put(t, x.ID, r)
		if t.Intersect {
			continue
		}
		a.audit(t, x.ID, audit.Create, nil, r)
		if err := a.bringNew(t, x.ID); err != nil {
			return err
		}
	}
	return nil
}
