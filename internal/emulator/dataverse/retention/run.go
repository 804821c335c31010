package retention

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// The tables of policies, runs, what each did by table, and what failed, where
// the model has them.
const (
	policies = "retentionconfig"
	runs     = "retentionoperation"
	details  = "retentionoperationdetail"
	failures = "retentionfailuredetail"
)

// statusActive is the statuscode of a policy in force.
const statusActive = 10

// policy is one retentionconfig; the zero policy stands for nobody's.
type policy struct {
	id       allod.GUID
	criteria string
}

// Policies runs the active policies of the table, each as a run of its own. None is
// NotFound, criteria that cannot be evaluated are Invalid.
func Policies(a *platform.Act, t *entity.Table) error {
	var active []policy
	if a.Tx.Has(policies) {
		for _, id := range a.Tx.Find(policies, "entitylogicalname", allod.StringValue(t.LogicalName)) {
			r := a.Tx.Get(policies, id)
			if a.Tx.Value(policies, r, "statuscode").Int() == statusActive {
				active = append(active, policy{id, a.Tx.Value(policies, r, "criteria").Text()})
			}
		}
	}
	if len(active) == 0 {
		return allod.Errorf(allod.NotFound, "run retention on table %q: it has no active policy, and neither ids nor a count say which rows", t.LogicalName)
	}
	slices.SortFunc(active, func(x, y policy) int { return slices.Compare(x.id[:], y.id[:]) })
	for _, p := range active {
		ids, err := meets(a, t, p.criteria)
		if err != nil {
			return allod.Errorf(allod.Invalid, "run retention on table %q by policy %v: %w", t.LogicalName, p.id, err)
		}
		run(a, t, ids, p)
	}
	return nil
}

// Rows retains these rows.
func Rows(a *platform.Act, t *entity.Table, ids []allod.GUID) { run(a, t, ids, policy{}) }

// meets are the rows that meet the criteria.
func meets(a *platform.Act, t *entity.Table, criteria string) ([]allod.GUID, error) {
	q, err := fetch.Parse(criteria)
	if err != nil {
		return nil, err
	}
	if q.Root.Name != t.LogicalName {
		return nil, allod.Errorf(allod.Invalid, "its criteria are about %q", q.Root.Name)
	}
	res, err := fetch.Run(fetch.Env{
		Tx: a.Tx, Schema: a.Schema, Now: a.Now, User: a.User, Unit: a.Unit, PageSize: a.Tx.Len(t.LogicalName) + 1,
		Reading: func(*entity.Table) (func(*store.Row) bool, error) { return nil, nil },
		Hidden:  func(*entity.Table) func(*entity.Column) bool { return nil },
	}, q)
	if err != nil {
		return nil, err
	}
	var ids []allod.GUID
	for _, line := range res.Lines {
		if line.Row != nil && !slices.Contains(ids, line.Row.Key) {
			ids = append(ids, line.Row.Key)
		}
	}
	return ids, nil
}

// run marks, copies and purges: each row with what its deletion takes along. A
// row that cannot be deleted stays live and is counted as failed.
func run(a *platform.Act, t *entity.Table, ids []allod.GUID, p policy) {
	retained, failed := map[string]int64{t.LogicalName: 0}, int64(0)
	operation := a.NewID()
	for _, id := range ids {
		if !a.Exists(t, id) {
			continue
		}
		point, moved := a.Tx.Point(), map[string]int64{}
		a.Retain = func(at *entity.Table, r *store.Row) {
			keep(a.Tx, a.NewID, at, r)
			moved[at.LogicalName]++
		}
		if err := a.Delete(t, id); err != nil {
			a.Tx.Back(point)
			failed++
			record(a, failures, a.NewID(), map[string]allod.Value{
				"name": allod.StringValue("Purge of " + t.LogicalName), "recordid": allod.StringValue(id.String()), "operationid": allod.StringValue(operation.String()),
				"operation": allod.StringValue("PurgeRetainedContent"), "message": allod.StringValue(wire.AsError(err).Message),
			})
			continue
		}
		for table, n := range moved {
			retained[table] += n
		}
	}
	a.Retain = nil
	tables := make([]string, 0, len(retained))
	sum := int64(0)
	for table, n := range retained {
		tables = append(tables, table)
		sum += n
	}
	slices.Sort(tables)
	stamp := allod.TextValue(allod.DateTime, wire.Stamp(a.Now))
	values := map[string]allod.Value{
		"name": allod.StringValue("Retention of " + t.LogicalName), "rootentitylogicalname": allod.StringValue(t.LogicalName), "criteria": allod.StringValue(p.criteria),
		"starttime": stamp, "endtime": stamp, "statecode": allod.IntegerValue(0), "statuscode": allod.IntegerValue(100),
		"entitylogicalname": allod.StringValue(t.LogicalName), "retainedcount": allod.IntegerValue(sum), "rowcount": allod.IntegerValue(sum), "failedcount": allod.IntegerValue(failed),
	}
	if !p.id.IsZero() {
		values["retentionconfigid"] = allod.LookupValue(policies, p.id)
	}
	record(a, runs, operation, values)
	for _, table := range tables {
		own := map[string]allod.Value{
			"name": allod.StringValue("Retention of " + table), "entitylogicalname": allod.StringValue(table), "isrootentity": allod.BooleanValue(table == t.LogicalName),
			"retentioncount": allod.IntegerValue(retained[table]), "failedcount": allod.IntegerValue(0), "retentionoperationid": allod.LookupValue(runs, operation),
		}
		if table == t.LogicalName {
			own["failedcount"] = allod.IntegerValue(failed)
		}
		record(a, details, a.NewID(), own)
	}
}

// record writes a row of a table that tells of runs, as far as the model has
// it; stamps and owner are the platform's.
func record(a *platform.Act, table string, id allod.GUID, values map[string]allod.Value) {
	if !a.Tx.Has(table) {
		return
	}
	user, stamp := allod.LookupValue("systemuser", a.User), allod.TextValue(allod.DateTime, wire.Stamp(a.Now))
	values["createdon"], values["modifiedon"], values["createdby"], values["modifiedby"], values["ownerid"] = stamp, stamp, user, user, user
	put(a.Tx, table, id, values)
}
