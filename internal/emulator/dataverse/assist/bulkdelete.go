package assist

import (
	"encoding/json"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/expression"
	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/retention"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// The tables that tell of bulk deletions, where the model has them.
const (
	deletions = "bulkdeleteoperation"
	failures  = "bulkdeletefailure"
)

// bulkDelete deletes what the queries select, each row on its own: what cannot
// be deleted stays and is counted (§6.12). It is done once only, and whenever it
// was to start. Rows that were made after it started stay.
func bulkDelete(c change.Writer) (object, error) {
	var body struct {
		QuerySet []json.RawMessage
		JobName  string
		Options  struct{ CanRecoverDeletedRecords *bool }
	}
	if err := json.Unmarshal(c.Body, &body); err != nil || len(body.QuerySet) == 0 || body.JobName == "" {
		return nil, wire.BadPayload("The properties 'QuerySet' and 'JobName' were expected.")
	}
	var queries []*fetch.Query
	for _, raw := range body.QuerySet {
		q, err := expression.Parse(raw)
		if err != nil {
			return nil, err
		}
		if err := c.View(func(tx *store.Tx) error {
			_, _, err := expression.Rows(c.Call, c.Act(tx), q)
			return err
		}); err != nil {
			return nil, err
		}
		queries = append(queries, q)
	}
	final := body.Options.CanRecoverDeletedRecords != nil && !*body.Options.CanRecoverDeletedRecords
	job, err := c.Job(platform.JobDelete, body.JobName, func(c change.Writer, job allod.GUID, started time.Time) error {
		return c.Update(func(a *platform.Act) error {
			a.Final = final
			return deleteAll(c, a, job, body.JobName, queries, started)
		})
	})
	return object{"JobId": job.String()}, err
}

func deleteAll(c change.Writer, a *platform.Act, job allod.GUID, name string, queries []*fetch.Query, started time.Time) error {
	operation, done, failed := a.NewID(), int64(0), int64(0)
	for i, q := range queries {
		t, ids, err := expression.Rows(c.Call, a, q)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if r := a.Tx.Get(t.LogicalName, id); r != nil && a.Tx.Value(t.LogicalName, r, "createdon").Text() > wire.Stamp(started) {
				continue
			}
			if err := deleteOne(a, t, id, q.Source); err != nil {
				failed++
				refusal := wire.AsError(err)
				tell(a, failures, a.NewID(), map[string]allod.Value{
					"asyncoperationid": allod.LookupValue("asyncoperation", job), "bulkdeleteoperationid": allod.LookupValue(deletions, operation),
					"regardingobjectid": allod.LookupValue(t.LogicalName, id), "errordescription": allod.StringValue(refusal.Message),
					"orderedqueryindex": allod.IntegerValue(int64(i)),
				})
				continue
			}
			done++
		}
	}
	stamp := allod.TextValue(allod.DateTime, wire.Stamp(a.Now))
	tell(a, deletions, operation, map[string]allod.Value{
		"name": allod.StringValue(name), "asyncoperationid": allod.LookupValue("asyncoperation", job), "successcount": allod.IntegerValue(done),
		"failurecount": allod.IntegerValue(failed), "statecode": allod.IntegerValue(3), "statuscode": allod.IntegerValue(30), "createdon": stamp, "modifiedon": stamp,
		"createdby": allod.LookupValue("systemuser", a.User), "ownerid": allod.LookupValue("systemuser", a.User),
	})
	return nil
}

// deleteOne deletes one row, or takes back what it has done: a live one, a
// retained one (§13.1), or one of the history (§10.3).
func deleteOne(a *platform.Act, t *entity.Table, id allod.GUID, source string) error {
	switch {
	case source == "retained":
		if err := a.Allow("Delete", t); err != nil {
			return err
		}
		retention.Remove(a.Tx, t.LogicalName, id)
		return nil
	case t.LogicalName == audit.Table:
		if err := a.Allow("Delete", t); err != nil {
			return err
		}
		a.Tx.Delete(t.LogicalName, id)
		return nil
	case !a.Exists(t, id):
		return nil // gone with another of the selected rows
	}
	point := a.Tx.Point()
	err := a.Delete(t, id)
	if err != nil {
		a.Tx.Back(point)
	}
	return err
}

// tell writes a row with those of the columns that the table has, if there is
// the table.
func tell(a *platform.Act, table string, id allod.GUID, values map[string]allod.Value) {
	if !a.Tx.Has(table) {
		return
	}
	var cells []store.Cell
	for column, v := range values {
		if at := a.Tx.Column(table, column); at >= 0 {
			cells = append(cells, store.Cell{Column: at, Value: v})
		}
	}
	a.Tx.Put(table, id, cells)
}
