// Package assist answers messages that help people at their work: AddToQueue,
// InitializeFrom, BulkDelete, BulkDetectDuplicates, InstallSampleData and its opposite (Use
// Web API actions; Delete data in bulk; Create a table row from another; Run duplicate detection;
// Sample data).
package assist

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/duplicate"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/expression"
	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

type object = map[string]any

// Actions answer POST by name.
func Actions() map[string]func(change.Writer) (map[string]any, error) {
	return map[string]func(change.Writer) (object, error){
		"BulkDelete":           bulkDelete,
		"BulkDetectDuplicates": detect,
		"InstallSampleData":    func(c change.Writer) (object, error) { return nil, install(c) },
		"UninstallSampleData":  func(c change.Writer) (object, error) { return nil, uninstall(c) },
	}
}

// Functions answer GET by name.
func Functions() map[string]func(change.Writer) (map[string]any, error) {
	return map[string]func(change.Writer) (object, error){"InitializeFrom": initialize}
}

// Bound returns the action of the name that is bound to rows of the table, or
// nil.
func Bound(table, name string) func(change.Writer, *query.Segment) (map[string]any, error) {
	if table == "queue" && name == "AddToQueue" {
		return addToQueue
	}
	return nil
}

// reference reads an object that names a row, by @odata.id or by @odata.type
// and key. The row must exist.
func reference(c change.Writer, a *platform.Act, raw json.RawMessage, name string) (*entity.Table, allod.GUID, error) {
	var m map[string]json.RawMessage
	bad := wire.BadPayload("A property '%s' that names a row was expected.", name)
	if json.Unmarshal(raw, &m) != nil {
		return nil, allod.GUID{}, bad
	}
	text := func(name string) (s string) {
		if json.Unmarshal(m[name], &s) != nil {
			return ""
		}
		return s
	}
	var t *entity.Table
	var id allod.GUID
	var err error
	if ref := text("@odata.id"); ref != "" {
		t, id, err = a.Resolve(ref)
	} else if typ := text("@odata.type"); typ != "" {
		if t = c.Schema.Model.Table(typ[strings.LastIndexByte(typ, '.')+1:]); t == nil {
			return nil, id, bad
		}
		id, err = allod.ParseGUID(text(t.PrimaryID))
	} else {
		err = bad
	}
	if err != nil {
		return nil, id, bad
	}
	if !a.Exists(t, id) {
		return nil, id, wire.NoRow(t.LogicalName, id.String())
	}
	return t, id, nil
}

const items = "queueitem"

// addToQueue puts a row into the queue it is bound to. A row is in one queue at
// most: what is in another moves.
func addToQueue(c change.Writer, seg *query.Segment) (object, error) {
	var body struct {
		Target, SourceQueue, QueueItemProperties json.RawMessage
	}
	if err := json.Unmarshal(c.Body, &body); err != nil {
		return nil, wire.BadPayload("Invalid JSON.")
	}
	var item allod.GUID
	err := c.Update(func(a *platform.Act) error {
		queues, it := c.Schema.Model.Table("queue"), c.Schema.Model.Table(items)
		if it == nil || !a.Tx.Has(items) {
			return wire.NoSegment(request.Namespace + "AddToQueue")
		}
		queue, err := a.Key(queues, seg)
		if err != nil {
			return err
		}
		if !a.Exists(queues, queue) {
			return wire.NoRow("queue", queue.String())
		}
		t, id, err := reference(c, a, body.Target, "Target")
		if err != nil {
			return err
		}
		for _, old := range a.Tx.Find(items, "objectid", allod.IDValue(id)) {
			item = old
		}
		if err := leaves(c, a, body.SourceQueue, item); err != nil {
			return err
		}
		item, err = enqueue(c, a, it, item, queue, t, id, body.QueueItemProperties)
		return err
	})
	return object{"QueueItemId": item.String()}, err
}

// leaves refuses a row that is not in the queue it is said to be in.
func leaves(c change.Writer, a *platform.Act, source json.RawMessage, item allod.GUID) error {
	if source == nil || string(source) == "null" {
		return nil
	}
	_, from, err := reference(c, a, source, "SourceQueue")
	if err != nil {
		return err
	}
	if _, in := a.Tx.Value(items, a.Tx.Get(items, item), "queueid").Target(); item.IsZero() || in != from {
		return wire.Refuse(http.StatusBadRequest, "0x80040203", "The row is not in the source queue.")
	}
	return nil
}

// enqueue writes the item: a new one, or the one there is.
func enqueue(c change.Writer, a *platform.Act, it *entity.Table, item, queue allod.GUID, t *entity.Table, id allod.GUID, more json.RawMessage) (allod.GUID, error) {
	p := &wire.Payload{}
	if len(more) > 0 && string(more) != "null" {
		var err error
		if p, err = wire.ParsePayload(c.Schema, it, more); err != nil {
			return item, err
		}
	}
	bind := func(column, set, target string, id allod.GUID) bool {
		nav := c.Schema.Nav(items, c.Schema.NavOf(items, column, target))
		if nav != nil {
			p.Binds = append(p.Binds, wire.Bind{Nav: nav, Refs: []string{"/" + set + "(" + id.String() + ")"}})
		}
		return nav != nil
	}
	bind("queueid", c.Schema.Model.Table("queue").SetName, "queue", queue)
	if !item.IsZero() {
		return item, a.Update(it, item, p)
	}
	if !bind("objectid", t.SetName, t.LogicalName, id) {
		return item, wire.Refuse(http.StatusBadRequest, "0x80040203", "Rows of %s cannot be added to a queue.", t.LogicalName)
	}
	set := func(column string, v allod.Value) {
		said := slices.ContainsFunc(p.Values, func(x wire.Assign) bool { return x.Column.LogicalName == column })
		if col := it.Column(column); col != nil && !said && !v.IsNull() {
			p.Values = append(p.Values, wire.Assign{Column: col, Value: v})
		}
	}
	set("title", a.Tx.Value(t.LogicalName, a.Tx.Get(t.LogicalName, id), t.PrimaryName))
	set("enteredon", allod.TextValue(allod.DateTime, wire.Stamp(a.Now)))
	if kind := it.Column("objecttypecode"); kind != nil && kind.EdmType == "Edm.String" {
		set("objecttypecode", allod.StringValue(t.LogicalName))
	} else if kind != nil {
		set("objecttypecode", allod.IntegerValue(int64(t.TypeCode)))
	}
	return a.Create(it, allod.GUID{}, p)
}

// initialize is InitializeFrom: what a new row takes over from another. Mapped
// are the lookup that relates the two tables and, where the organisation has
// rows of entitymap and attributemap, what those say.
func initialize(c change.Writer) (object, error) {
	param := func(name string) json.RawMessage { return request.JSON(c.Param(&c.Req.Path[0], name)) }
	var target, kind string
	if json.Unmarshal(param("TargetEntityName"), &target) != nil || json.Unmarshal(param("TargetFieldType"), &kind) != nil {
		return nil, wire.BadPayload("The parameters 'TargetEntityName' and 'TargetFieldType' were expected.")
	}
	to := c.Schema.Model.Table(target)
	if to == nil || to.Abstract || to.SetName == "" {
		return nil, wire.Refuse(http.StatusNotFound, "0x80041102", "The entity with a name = '%s' was not found in the MetadataCache.", target)
	}
	valid := func(col *entity.Column) bool {
		switch kind {
		case "ValidForCreate":
			return col.ValidForCreate
		case "ValidForUpdate":
			return col.ValidForUpdate
		}
		return col.ValidForRead
	}
	out := object{"@odata.type": "#" + request.Namespace + to.LogicalName}
	err := c.View(func(tx *store.Tx) error {
		a := c.Act(tx)
		from, id, err := reference(c, a, param("EntityMoniker"), "EntityMoniker")
		if err != nil {
			return err
		}
		if may, err := access.Reading(tx, c.User, from, c.Org.Unit); err != nil || may != nil && !may(tx.Get(from.LogicalName, id)) {
			return wire.NoRow(from.LogicalName, id.String())
		}
		hidden := access.Hidden(tx, c.User, from)
		for source, own := range mapped(tx, from.LogicalName, to.LogicalName) {
			col, of := to.Column(own), from.Column(source)
			if col == nil || of == nil || !valid(col) || hidden != nil && hidden(of) {
				continue
			}
			v := c.Schema.Value(tx, from, tx.Get(from.LogicalName, id), of)
			if table, key := v.Target(); table != "" {
				take(c, out, to, col, table, key)
			} else if !v.IsNull() {
				out[col.LogicalName] = json.RawMessage(odata.AppendValue(nil, v))
			}
		}
		if col := parent(c, from, to, valid); col != nil {
			take(c, out, to, col, from.LogicalName, id)
		}
		return nil
	})
	return out, err
}

// take binds a lookup of the new row.
func take(c change.Writer, out object, t *entity.Table, col *entity.Column, table string, id allod.GUID) {
	if nav, of := c.Schema.NavOf(t.LogicalName, col.LogicalName, table), c.Schema.Model.Table(table); nav != "" && of != nil {
		out[nav+"@odata.bind"] = of.SetName + "(" + id.String() + ")"
	}
}

// parent is the lookup of a table that relates its rows to those of another:
// the one that is called parent, else the first by name.
func parent(c change.Writer, from, to *entity.Table, valid func(*entity.Column) bool) *entity.Column {
	var best *entity.Column
	for _, r := range c.Schema.Children(from.LogicalName) {
		col := to.Column(r.ReferencingAttr)
		if r.Referencing != to.LogicalName || r.Referenced != from.LogicalName || col == nil || !valid(col) {
			continue
		}
		better := best == nil || strings.HasPrefix(col.LogicalName, "parent") && !strings.HasPrefix(best.LogicalName, "parent")
		same := best != nil && strings.HasPrefix(col.LogicalName, "parent") == strings.HasPrefix(best.LogicalName, "parent")
		if better || same && col.LogicalName < best.LogicalName {
			best = col
		}
	}
	return best
}

// mapped are the columns that the maps between two tables pair.
func mapped(tx *store.Tx, from, to string) map[string]string {
	const maps, columns = "entitymap", "attributemap"
	out := map[string]string{}
	for _, id := range tx.Find(maps, "sourceentityname", allod.StringValue(from)) {
		if !strings.EqualFold(tx.Value(maps, tx.Get(maps, id), "targetentityname").Text(), to) {
			continue
		}
		for _, line := range tx.Find(columns, "entitymapid", allod.IDValue(id)) {
			r := tx.Get(columns, line)
			out[tx.Value(columns, r, "sourceattributename").Text()] = tx.Value(columns, r, "targetattributename").Text()
		}
	}
	return out
}

const duplicates = "duplicaterecord"

// detect is BulkDetectDuplicates: it looks for duplicates of the rows that the
// query selects among all of the table; what it found are rows of
// duplicaterecord.
func detect(c change.Writer) (object, error) {
	var body struct {
		JobName string
		Query   json.RawMessage
	}
	if err := json.Unmarshal(c.Body, &body); err != nil || len(body.Query) == 0 || body.JobName == "" {
		return nil, wire.BadPayload("The properties 'Query' and 'JobName' were expected.")
	}
	q, err := expression.Parse(body.Query)
	if err != nil {
		return nil, err
	}
	err = c.View(func(tx *store.Tx) error {
		_, _, err := expression.Rows(c.Call, c.Act(tx), q)
		return err
	})
	if err != nil {
		return nil, err
	}
	job, err := c.Job(platform.JobDuplicates, body.JobName, func(c change.Writer, job allod.GUID, _ time.Time) error {
		return c.Update(func(a *platform.Act) error { return recordAll(c, a, job, q) })
	})
	return object{"JobId": job.String()}, err
}

func recordAll(c change.Writer, a *platform.Act, job allod.GUID, q *fetch.Query) error {
	t, ids, err := expression.Rows(c.Call, a, q)
	if err != nil {
		return err
	}
	seen := map[[2]allod.GUID]bool{}
	for _, id := range ids {
		r := a.Tx.Get(t.LogicalName, id)
		value := func(column string) allod.Value { return a.Tx.Value(t.LogicalName, r, column) }
		for _, other := range duplicate.Of(a.Tx, c.Schema.Model, t, r.Key, value, t.LogicalName) {
			if seen[[2]allod.GUID{other.Key, r.Key}] {
				continue // the pair, the other way round
			}
			seen[[2]allod.GUID{r.Key, other.Key}] = true
			record(a, job, t.LogicalName, r.Key, other.Key)
		}
	}
	return nil
}

func record(a *platform.Act, job allod.GUID, table string, base, other allod.GUID) {
	tell(a, duplicates, a.NewID(), map[string]allod.Value{
		"asyncoperationid": allod.LookupValue("asyncoperation", job), "baserecordid": allod.LookupValue(table, base), "duplicaterecordid": allod.LookupValue(table, other),
		"createdon": allod.TextValue(allod.DateTime, wire.Stamp(a.Now)), "ownerid": allod.LookupValue("systemuser", a.User),
	})
}
