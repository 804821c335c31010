package platform

import (
	"allod"
	"allod/internal/emulator/dataverse/wire"
)

const (
	jobs       = "asyncoperation"
	unfinished = "job@unfinished" // no table of the model: no name has an @
)

// Kinds of jobs (asyncoperation.operationtype, System Job table reference).
const (
	JobDuplicates = 8
	JobDelete     = 13
	JobKeyIndex   = 63
	JobExport     = 202
	JobImport     = 203
)

// States and status reasons of a job (System Job table reference;
// protocols/dataverse.md §6.12).
const (
	jobReady, jobWaiting   = 0, 0
	jobLocked, jobProgress = 2, 20
	jobCompleted           = 3
	jobSucceeded           = 30
	jobFailed              = 31
)

// Begin keeps the row of a job that waits for being run. Where the organisation
// has no table of jobs, it is refused as a message nobody knows.
func (a *Act) Begin(kind int, name string) (allod.GUID, error) {
	if !a.Tx.Has(jobs) {
		return allod.GUID{}, wire.NoSegment(name)
	}
	id := a.NewID()
	now, user := a.now(), allod.LookupValue("systemuser", a.User)
	a.job(id, map[string]allod.Value{
		"name": allod.StringValue(name), "operationtype": allod.IntegerValue(int64(kind)), "statecode": allod.IntegerValue(jobReady), "statuscode": allod.IntegerValue(jobWaiting),
		"createdon": now, "modifiedon": now, "createdby": user, "modifiedby": user, "ownerid": user, "owninguser": user,
		"owningbusinessunit": allod.LookupValue("businessunit", a.Unit), "correlationid": allod.IDValue(id),
	})
	a.Tx.Ensure(unfinished, []string{"job"})
	a.Tx.Put(unfinished, id, nil)
	return id, nil
}

// Started says of a job that it is being done. It is false for one that is not
// there any more or was cancelled.
func (a *Act) Started(id allod.GUID) bool {
	r := a.Tx.Get(jobs, id)
	if r == nil || a.Tx.Value(jobs, r, "statecode").Int() == jobCompleted {
		return false
	}
	if a.Tx.Value(jobs, r, "statecode").Int() == jobReady {
		a.job(id, map[string]allod.Value{"statecode": allod.IntegerValue(jobLocked), "statuscode": allod.IntegerValue(jobProgress), "startedon": a.now(), "modifiedon": a.now()})
	}
	return true
}

// End says of a job how it ended: well, or with a message.
func (a *Act) End(id allod.GUID, message string) {
	status, text := int64(jobSucceeded), allod.NullValue()
	if message != "" {
		status, text = jobFailed, allod.StringValue(message)
	}
	if a.Tx.Has(unfinished) {
		a.Tx.Delete(unfinished, id)
	}
	if !a.Started(id) {
		return
	}
	a.job(id, map[string]allod.Value{
		"statecode": allod.IntegerValue(jobCompleted), "statuscode": allod.IntegerValue(status), "message": text, "friendlymessage": text, "completedon": a.now(), "modifiedon": a.now(),
	})
}

// Interrupt ends every job that is not done: nothing will do it any more.
func (a *Act) Interrupt() {
	for _, r := range a.Tx.Page(unfinished, nil, a.Tx.Len(unfinished)) {
		a.End(r.Key, "The job was interrupted.")
	}
}

func (a *Act) job(id allod.GUID, values map[string]allod.Value) {
	r := row{}
	if old := a.Tx.Get(jobs, id); old != nil {
		r = a.load(old)
	}
	for column, v := range values {
		at := a.Tx.Column(jobs, column)
		switch {
		case at < 0:
		case v.IsNull():
			delete(r, at)
		default:
			r[at] = v
		}
	}
	a.Tx.Put(jobs, id, cells(r))
}
