package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

const jobs = "asyncoperation"

// Kinds of jobs (asyncoperation.operationtype, System Job table reference).
const (
	JobDuplicates = 8
	JobDelete     = 13
	JobExport     = 202
	JobImport     = 203
)

// Job keeps the row of a job that has ended: well, or with a message. Where the
// organisation has no table of jobs, it is refused as a message nobody knows.
func (a *Act) Job(kind int, name, message string) (allod.GUID, error) {
	if !a.Tx.Has(jobs) {
		return allod.GUID{}, wire.NoSegment(name)
	}
	id, status, text := a.NewID(), int64(30), allod.NullValue()
	if message != "" {
		status, text = 31, allod.StringValue(message)
	}
	now, user := a.now(), allod.LookupValue("systemuser", a.User)
	var cells []store.Cell
	for column, v := range map[string]allod.Value{
		"name": allod.StringValue(name), "operationtype": allod.IntegerValue(int64(kind)), "statecode": allod.IntegerValue(3), "statuscode": allod.IntegerValue(status),
		"message": text, "friendlymessage": text, "createdon": now, "modifiedon": now, "startedon": now, "completedon": now,
		"createdby": user, "modifiedby": user, "ownerid": user, "owninguser": user, "owningbusinessunit": allod.LookupValue("businessunit", a.Unit),
		"correlationid": allod.IDValue(id),
	} {
		if at := a.Tx.Column(jobs, column); at >= 0 {
			cells = append(cells, store.Cell{Column: at, Value: v})
		}
	}
	a.Tx.Put(jobs, id, cells)
	return id, nil
}
