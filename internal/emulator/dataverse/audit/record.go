package audit

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Table is the table that holds the history.
const Table = "audit"

// The operations of a row of the history (§10.1).
const (
	Create = 1
	Update = 2
	Delete = 3
	Access = 4
)

// The actions that are not the number of an operation (§10.1; Auditing (Audit)
// table reference).
const (
	ActAssign            = 13
	ActShare             = 14
	ActAssociate         = 33
	ActDisassociate      = 34
	ActModifyShare       = 48
	ActUnshare           = 49
	ActAddPrivileges     = 57 // to a role
	ActRemovePrivileges  = 58
	ActReplacePrivileges = 59
	ActAccess            = 65  // by another client than a model-driven app
	ActOrganization      = 104 // the organisation's own switch
	ActAccessOn          = 112
	ActAccessOff         = 113
)

// maxText is how many characters of a value are kept; a longer one ends in an
// ellipsis (§10.2).
const maxText = 5000

// Change is one column of a changed row; null is no value.
type Change struct {
	Column   *entity.Column
	Old, New allod.Value
}

// Share is what a sharing event changed: rights as bits of AccessRights.
type Share struct {
	Principal string `json:"principal"` // table,id
	Old       int64  `json:"old"`
	New       int64  `json:"new"`
}

// Link is what an event of an N:N relationship changed.
type Link struct {
	Relationship string   `json:"relationship"`
	Targets      []string `json:"targets"` // table,id
}

// Holding is a privilege that a role holds, and how deep.
type Holding struct {
	Privilege string `json:"id"`
	Name      string `json:"name"`
	Depth     string `json:"depth"`
}

// Role is what an event changed of a role: all it held and holds, and the
// business unit of the rights.
type Role struct {
	Unit string    `json:"unit"`
	Old  []Holding `json:"old"`
	New  []Holding `json:"new"`
}

// Event is one thing that happened to one row.
type Event struct {
	Table             *entity.Table
	Row               allod.GUID
	Operation, Action int64 // Action 0 = the number of the operation
	User              allod.GUID
	Caller            allod.GUID // who impersonates User; zero = nobody
	Transaction       allod.GUID
	When              time.Time
	Changes           []Change
	Share             *Share
	Link              *Link
	Role              *Role
	Hours             int64 // of Access: how often it is kept
}

// data is the column changedata. The documentation only says that it holds the
// values; the JSON is that which clients of the service read.
type data struct {
	Attributes []attribute `json:"changedAttributes"`
	Share      *Share      `json:"share,omitempty"`
	Link       *Link       `json:"link,omitempty"`
	Role       *Role       `json:"role,omitempty"`
	Hours      int64       `json:"hours,omitempty"`
}

type attribute struct {
	Name string  `json:"logicalName"`
	Old  *string `json:"oldValue"`
	New  *string `json:"newValue"`
}

// columns are kept even where the model does not show them.
func columns() []string {
	return []string{"operation", "action", "objecttypecode", "objectid", "userid", "callinguserid", "createdon", "attributemask", "transactionid", "changedata"}
}

// On reports whether what happens to rows of the table is kept: the
// organisation and the table must have auditing enabled (§10.1).
func On(tx *store.Tx, t *entity.Table) bool {
	return (t.Audit || t.LogicalName == "organization") && t.LogicalName != Table && tx.Has(Table) && Enabled(tx)
}

// Enabled reports whether the organisation audits at all.
func Enabled(tx *store.Tx) bool {
	for _, r := range tx.Page("organization", nil, 1) {
		return tx.Value("organization", r, "isauditenabled").Bool()
	}
	return false
}

// Interval is how often, in hours, an access of the same user is kept; 0 = never:
// the organisation must audit, and audit accesses (§10.1; Configure auditing).
func Interval(tx *store.Tx) int64 {
	if !tx.Has(Table) || !Enabled(tx) {
		return 0
	}
	org := tx.Page("organization", nil, 1)
	if len(org) == 0 || !tx.Value("organization", org[0], "isuseraccessauditenabled").Bool() {
		return 0
	}
	if n := tx.Value("organization", org[0], "useraccessauditinginterval").Int(); n > 0 {
		return n
	}
	return 4
}

// Keeps reports whether the history holds values of the column: enabled for
// it, and no content of files or images (§10.2). The stamps that every write
// changes are left out.
func Keeps(t *entity.Table, c *entity.Column) bool {
	switch c.LogicalName {
	case "modifiedon", "modifiedby", "modifiedonbehalfby", "versionnumber", "timezoneruleversionnumber", "utcconversiontimezonecode", t.PrimaryID, t.ODataKey:
		return false
	}
	return !c.Unaudited && c.AttributeOf == "" && c.Kind != "Image" && c.Kind != "File" && c.Kind != "Virtual" && c.SourceType == 0
}

// Record writes the event down. An update that changed no audited column is
// none.
func Record(tx *store.Tx, id allod.GUID, e Event) {
	d := data{Attributes: []attribute{}, Share: e.Share, Link: e.Link, Role: e.Role, Hours: e.Hours}
	var mask []string
	for _, c := range e.Changes {
		if !Keeps(e.Table, c.Column) {
			continue
		}
		d.Attributes = append(d.Attributes, attribute{c.Column.LogicalName, text(c.Old), text(c.New)})
		mask = append(mask, strconv.Itoa(c.Column.Number))
	}
	if e.Operation == Update && len(mask) == 0 && e.Share == nil && e.Link == nil && e.Role == nil {
		return
	}
	if e.Action == 0 {
		e.Action = e.Operation
	}
	body, err := json.Marshal(d)
	if err != nil {
		panic("audit: texts and numbers do not marshal: " + err.Error())
	}
	null := allod.NullValue()
	values := map[string]allod.Value{
		"operation": allod.IntegerValue(e.Operation), "action": allod.IntegerValue(e.Action),
		"objecttypecode": allod.StringValue(e.Table.LogicalName), "objectid": allod.LookupValue(e.Table.LogicalName, e.Row),
		"userid": allod.LookupValue("systemuser", e.User), "callinguserid": null, "transactionid": allod.IDValue(e.Transaction),
		"createdon": allod.TextValue(allod.DateTime, wire.Stamp(e.When)), "attributemask": null, "changedata": allod.StringValue(string(body)),
	}
	if !e.Caller.IsZero() {
		values["callinguserid"] = allod.LookupValue("systemuser", e.Caller)
	}
	if len(mask) > 0 {
		values["attributemask"] = allod.StringValue(strings.Join(mask, ","))
	}
	tx.Ensure(Table, columns())
	var cells []store.Cell
	for column, v := range values {
		if i := tx.Column(Table, column); i >= 0 {
			cells = append(cells, store.Cell{Column: i, Value: v})
		}
	}
	tx.Put(Table, id, cells)
	expire(tx, e.When)
}

// expire removes a few of the oldest rows that are past the retention of the
// organisation: days in auditretentionperiodv2, 30 by default, -1 for ever
// (§10.1).
func expire(tx *store.Tx, now time.Time) {
	days := int64(30)
	for _, r := range tx.Page("organization", nil, 1) {
		if v := tx.Value("organization", r, "auditretentionperiodv2"); v.Type() == allod.Integer {
			days = v.Int()
		}
	}
	if days < 0 {
		return
	}
	for _, r := range tx.Changed(Table, 0, tx.Version(), 4) {
		if tx.Value(Table, r, "createdon").Text() >= wire.Stamp(now.AddDate(0, 0, -int(days))) {
			return
		}
		tx.Delete(Table, r.Key)
	}
}

// text writes a value as changedata holds it; nil is null.
func text(v allod.Value) *string {
	if v.IsNull() || v.IsAbsent() {
		return nil
	}
	var s string
	switch table, id := v.Target(); {
	case table != "":
		s = table + "," + id.String()
	case v.Type() == allod.Boolean && v.Bool():
		s = "True"
	case v.Type() == allod.Boolean:
		s = "False"
	default:
		s = v.String()
	}
	if runes := []rune(s); len(runes) > maxText {
		s = string(runes[:maxText]) + "…"
	}
	return &s
}

// value reads what text wrote.
func value(t *entity.Table, c *entity.Column, s *string) allod.Value {
	if s == nil {
		return allod.NullValue()
	}
	if table, id, ok := strings.Cut(*s, ","); ok && wire.IsLookup(c) {
		g, err := allod.ParseGUID(id)
		if err != nil {
			return allod.NullValue()
		}
		return allod.LookupValue(table, g)
	}
	raw := []byte(*s)
	switch c.Kind {
	case "Boolean":
		raw = []byte(strings.ToLower(*s))
	case "Integer", "BigInt", "Picklist", "State", "Status", "Decimal", "Money", "Double", "ManagedProperty":
	default:
		raw, _ = json.Marshal(*s) // a string always marshals
	}
	v, err := wire.ParseValue(t, c, raw)
	if err != nil {
		return allod.StringValue(*s)
	}
	return v
}

// Of returns the history of the row, newest first; only that of the column
// when that is not "".
func Of(tx *store.Tx, row allod.GUID, column string) []*store.Row {
	var out []*store.Row
	for _, id := range tx.Find(Table, "objectid", allod.IDValue(row)) {
		r := tx.Get(Table, id)
		if column != "" {
			d := read(tx, r)
			if !slices.ContainsFunc(d.Attributes, func(a attribute) bool { return a.Name == column }) {
				continue
			}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *store.Row) int {
		if a.Version > b.Version {
			return -1
		}
		return 1
	})
	return out
}

func read(tx *store.Tx, r *store.Row) data {
	var d data
	if json.Unmarshal([]byte(tx.Value(Table, r, "changedata").Text()), &d) != nil {
		return data{} // a row that a client of the store made
	}
	return d
}
