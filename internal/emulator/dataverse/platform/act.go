package platform

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/filerow"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Act is one write by one user. Everything it does happens in Tx, so a failed
// Act leaves nothing behind when the caller returns its error to Store.Update.
type Act struct {
	Tx       *store.Tx
	Schema   *wire.Schema
	User     allod.GUID // systemuser who writes
	RealUser allod.GUID // who impersonates User; zero = nobody (§6.8)
	Unit     allod.GUID // root business unit
	Currency allod.GUID // base currency; zero = none
	Now      time.Time
	NewID    func() allod.GUID
	Refs     map[string]string // Content-ID of a batch to entity URL (§6.11)
	Assume   func(key string) string
	Solution string // unique name of the solution that new components join; "" = none (§2.2)
	// Allow says whether the user may do what the verb (Create, Write,
	// Delete, Append…) says with rows of the table; its error is the 403.
	Allow func(verb string, t *entity.Table) error
	// Need says whether the user holds a privilege that is about no table; nil
	// = every one. Its error is the 403.
	Need func(privilege string) error

	// Retain takes what Delete removes, instead of the recycle bin: the row
	// and what goes with it, their files too. nil = nothing is retained.
	Retain func(t *entity.Table, r *store.Row)
	Final  bool // what Delete removes is not kept in the recycle bin

	transaction allod.GUID // of audited events; zero = none yet
}

// row is a row being written: its cells by column position.
type row map[int]allod.Value

func (a *Act) load(r *store.Row) row {
	out := row{}
	for _, c := range a.Tx.Cells(r) {
		out[c.Column] = c.Value
	}
	return out
}

func (a *Act) pos(t *entity.Table, column string) int { return a.Tx.Column(t.LogicalName, column) }

// set sets a column the table has and ignores one it lacks.
func (a *Act) set(t *entity.Table, r row, column string, v allod.Value) {
	i := a.pos(t, column)
	if i < 0 {
		return
	}
	if v.IsNull() || v.IsAbsent() {
		delete(r, i)
		return
	}
	r[i] = v
}

// setNew is set where the row has no value yet.
func (a *Act) setNew(t *entity.Table, r row, column string, v allod.Value) {
	if i := a.pos(t, column); i >= 0 {
		if _, has := r[i]; !has {
			a.set(t, r, column, v)
		}
	}
}

func (a *Act) get(t *entity.Table, r row, column string) allod.Value {
	if i := a.pos(t, column); i >= 0 {
		if v, has := r[i]; has {
			return v
		}
	}
	return allod.NullValue()
}

func (a *Act) put(t *entity.Table, key allod.GUID, r row) {
	a.Tx.Put(t.LogicalName, key, cells(r))
	filerow.Keep(a.Tx, t, key, wire.Stamp(a.Now))
}

func cells(r row) []store.Cell {
	out := make([]store.Cell, 0, len(r))
	for i, v := range r {
		out = append(out, store.Cell{Column: i, Value: v})
	}
	return out
}

// Exists reports whether the row does.
func (a *Act) Exists(t *entity.Table, id allod.GUID) bool {
	return a.Tx.Get(t.LogicalName, id) != nil
}

// Resolve reads a reference as it stands in @odata.bind or @odata.id: a set
// with key, rooted or absolute, an alternate key, or $n of the same batch
// (§6.4).
func (a *Act) Resolve(ref string) (*entity.Table, allod.GUID, error) {
	if strings.HasPrefix(ref, "$") {
		url, ok := a.Refs[ref[1:]]
		if !ok {
			return nil, allod.GUID{}, wire.Refuse(http.StatusBadRequest, "0x80048d19", "Content-ID Reference: '%s' does not exist in the batch context.", ref)
		}
		ref = url
	}
	segs, err := query.Dialect{}.ParsePath(Relative(ref))
	if err != nil || len(segs) != 1 {
		return nil, allod.GUID{}, wire.BadPayload("Invalid value '%s' for a reference.", ref)
	}
	t := a.Schema.Model.Set(segs[0].Name)
	if t == nil {
		return nil, allod.GUID{}, wire.NoSegment(segs[0].Name)
	}
	id, err := a.Key(t, &segs[0])
	return t, id, err
}

// Relative cuts host and service root from a URL of this service.
func Relative(url string) string {
	if i := strings.Index(url, "/api/data/v9."); i >= 0 {
		rest := url[i+len("/api/data/v9."):]
		if j := strings.IndexByte(rest, '/'); j >= 0 {
			return rest[j+1:]
		}
		return ""
	}
	return strings.TrimPrefix(url, "/")
}

// Key finds the row a key segment names, by primary or alternate key. A row
// looked for by primary key need not exist; one by alternate key must, else
// 404 with RecordNotFoundByEntityKey.
func (a *Act) Key(t *entity.Table, seg *query.Segment) (allod.GUID, error) {
	if id, ok := seg.ID(); ok {
		name := seg.Args[0].Name
		if name == "" || name == t.ODataKey || name == t.PrimaryID && t.ODataKey == "" {
			return id, nil
		}
	}
	values, err := a.KeyValues(t, seg)
	if err != nil {
		return allod.GUID{}, err
	}
	for i, v := range values {
		if v.Column.LogicalName == t.PrimaryID && t.TableType == "Elastic" && v.Value.Type() == allod.ID {
			return values[i].Value.GUID(), nil
		}
	}
	if id, ok := a.findByKey(t, values); ok {
		return id, nil
	}
	return allod.GUID{}, wire.Refuse(http.StatusNotFound, "0x80060891", "A record with the specified key values does not exist in %s entity", t.LogicalName)
}

// KeyValues reads the named parts of an alternate key.
func (a *Act) KeyValues(t *entity.Table, seg *query.Segment) ([]wire.Assign, error) {
	bad := wire.Refuse(http.StatusBadRequest, "0x80060888", "The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.%s'. Ensure that the names and number of key properties match the declared or alternate key properties for the resource 'Microsoft.Dynamics.CRM.%s'.", t.LogicalName, t.LogicalName)
	var out []wire.Assign
	for _, arg := range seg.Args {
		c := t.Column(arg.Name)
		lit, ok := arg.Value.(*query.Literal)
		if c == nil || !ok {
			return nil, bad
		}
		v, ok := literal(c, lit)
		if !ok {
			return nil, bad
		}
		out = append(out, wire.Assign{Column: c, Value: v})
	}
	if len(out) == 0 || !isKey(t, out) {
		return nil, bad
	}
	return out, nil
}

func isKey(t *entity.Table, parts []wire.Assign) bool {
	if t.TableType == "Elastic" {
		for _, p := range parts {
			if p.Column.LogicalName == t.PrimaryID {
				return true
			}
		}
	}
next:
	for _, k := range t.Keys {
		if len(k.Columns) != len(parts) {
			continue
		}
		for _, name := range k.Columns {
			found := false
			for _, p := range parts {
				found = found || p.Column.LogicalName == name
			}
			if !found {
				continue next
			}
		}
		return true
	}
	return false
}

func literal(c *entity.Column, lit *query.Literal) (allod.Value, bool) {
	switch lit.Kind {
	case query.LitString:
		return allod.StringValue(lit.Text), true
	case query.LitGUID:
		g, err := allod.ParseGUID(lit.Text)
		if wire.IsLookup(c) {
			return allod.LookupValue("", g), err == nil
		}
		return allod.IDValue(g), err == nil
	case query.LitNumber:
		if c.Kind == "Decimal" || c.Kind == "Money" {
			return allod.TextValue(allod.Decimal, lit.Text), true
		}
		var n int64
		_, err := fmt.Sscan(lit.Text, &n)
		return allod.IntegerValue(n), err == nil
	case query.LitBool:
		return allod.BooleanValue(lit.Text == "true"), true
	case query.LitDateTime:
		t, err := time.Parse(time.RFC3339, lit.Text)
		return allod.TextValue(allod.DateTime, wire.Stamp(t)), err == nil
	default:
		return allod.TextValue(allod.Date, lit.Text), lit.Kind == query.LitDate
	}
}

// findByKey finds the row that holds all the values.
func (a *Act) findByKey(t *entity.Table, values []wire.Assign) (allod.GUID, bool) {
	for _, id := range a.Tx.Find(t.LogicalName, values[0].Column.LogicalName, values[0].Value) {
		r := a.Tx.Get(t.LogicalName, id)
		all := true
		for _, v := range values[1:] {
			all = all && same(a.Tx.Value(t.LogicalName, r, v.Column.LogicalName), v.Value)
		}
		if all {
			return id, true
		}
	}
	return allod.GUID{}, false
}

func same(a, b allod.Value) bool {
	if a.Type() == allod.Lookup || a.Type() == allod.ID {
		return a.GUID() == b.GUID()
	}
	return a.Type() == b.Type() && strings.EqualFold(a.String(), b.String())
}

// checkKeys refuses values an alternate key of another row has (§9.3).
func (a *Act) checkKeys(t *entity.Table, id allod.GUID, r row) error {
	for _, k := range t.Keys {
		var values []wire.Assign
		for _, name := range k.Columns {
			c := t.Column(name)
			if v := a.get(t, r, name); c != nil && !v.IsNull() {
				values = append(values, wire.Assign{Column: c, Value: v})
			}
		}
		if len(values) == 0 || len(values) != len(k.Columns) {
			continue
		}
		if other, found := a.findByKey(t, values); found && other != id {
			return wire.Refuse(http.StatusPreconditionFailed, "0x80060892", "Entity Key %s violated. A record with the same value for %s already exists. A duplicate record cannot be created. Select one or more unique values and try again.", k.SchemaName, strings.Join(k.Columns, ","))
		}
	}
	return nil
}
