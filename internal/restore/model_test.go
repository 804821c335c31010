package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/restore/traps"
	"allod/internal/source"
)

// org is a small Dataverse in memory, honest about what hurts: versions on
// every write, targets that must exist, required lookups, states set by their
// own message, closed rows that refuse changes, columns that it sets itself,
// addresses that come with their account.
type org struct {
	mu      sync.Mutex
	name    string
	schema  *allod.Schema
	rows    map[string]map[allod.GUID]*allod.Row
	pairs   map[string]map[[2]allod.GUID]bool
	files   map[string][]byte // table/id/column
	version uint64
	next    uint32
	now     time.Time
	log     []string
	before  func(op *source.Op) error // called with the lock held
	closes  string                    // closing a case makes its resolution: "", "own id", "given id"
}

func newOrg(name string) *org {
	o := &org{
		name: name, schema: testSchema(), rows: map[string]map[allod.GUID]*allod.Row{}, pairs: map[string]map[[2]allod.GUID]bool{},
		files: map[string][]byte{}, version: 1000, now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
	}
	o.schema.Identity.Organization = gid("organization", len(name))
	o.put("businessunit", gid("bu", 1), cells{"name": str("Root"), "parentbusinessunitid": allod.NullValue()})
	o.put("systemuser", gid("user", 1), cells{"domainname": str("restorer@contoso"), "isdisabled": allod.BooleanValue(false)})
	return o
}

type cells = map[string]allod.Value

func str(s string) allod.Value                    { return allod.StringValue(s) }
func ref(table string, id allod.GUID) allod.Value { return allod.LookupValue(table, id) }
func num(n int64) allod.Value                     { return allod.IntegerValue(n) }
func gid(kind string, n int) (g allod.GUID) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s-%d", kind, n))
	copy(g[:], sum[:])
	return g
}

func col(name string, t allod.Type) allod.Column {
	return allod.Column{Name: name, Type: t, Native: t.String(), Create: true, Update: true}
}

func look(name string, to ...string) allod.Column {
	c := col(name, allod.Lookup)
	c.Bind = map[string]string{}
	for _, t := range to {
		c.Bind[t] = name + "_" + t
	}
	return c
}

// late is a lookup that is not taken when its row is created.
func late(name string, to ...string) allod.Column {
	c := look(name, to...)
	c.Create = false
	return c
}

func required(c allod.Column) allod.Column { c.Required = true; return c }

func fixed(name string, t allod.Type, why string) allod.Column {
	return allod.Column{Name: name, Type: t, Unwritable: why}
}

func table(name string, class allod.Class, cols ...allod.Column) allod.Table {
	t := allod.Table{Name: name, Set: name + "s", Key: name + "id", Class: class, Reason: "test"}
	t.Columns = append([]allod.Column{fixed(name+"id", allod.ID, "")}, cols...)
	t.Columns[0].Create = true
	return t
}

// data is a table of class data with what the platform keeps in every one.
func data(name string, cols ...allod.Column) allod.Table {
	over := col("overriddencreatedon", allod.DateTime)
	over.Update = false
	state := col("statecode", allod.Integer)
	state.Create = false
	status := col("statuscode", allod.Integer)
	for s := int64(0); s < 2; s++ {
		status.Options = append(status.Options, allod.Option{Value: s + 1, State: s}, allod.Option{Value: s + 3, State: s})
	}
	owner := look("ownerid", "systemuser", "team")
	t := table(name, allod.ClassData, append(cols, col("name", allod.String), owner, state, status, over,
		fixed("createdon", allod.DateTime, allod.NotWritablePlatform), fixed("modifiedon", allod.DateTime, allod.NotWritablePlatform),
		fixed("name_computed", allod.String, allod.NotWritableComputed))...)
	t.Owned = true
	return t
}

func activity(t allod.Table) allod.Table {
	t.Activity = true
	return t
}

func intersect(name, one, two string) allod.Table {
	t := table(name, allod.ClassLink, fixed(one, allod.ID, ""), fixed(two, allod.ID, ""))
	t.Intersect = true
	return t
}

func testSchema() *allod.Schema {
	email := activity(data("email", col("subject", allod.String), look("regardingobjectid", "account", "incident")))
	st := email.Column("statuscode")
	st.Options = []allod.Option{{Value: 1, State: 0}, {Value: 8, State: 0}, {Value: 2, State: 1}, {Value: 3, State: 1}, {Value: 4, State: 1}, {Value: 6, State: 1}, {Value: 7, State: 1}}
	res := activity(data("incidentresolution", required(look("incidentid", "incident"))))
	party := table("activityparty", allod.ClassLink, look("activityid", "email", "task", "incidentresolution"), look("partyid", "account", "contact", "systemuser"),
		col("participationtypemask", allod.Integer), col("addressused", allod.String))
	keyed := data("product", col("optin", allod.Boolean), col("number", allod.String), col("sheet", allod.File), col("manual", allod.File))
	keyed.Keys = []allod.AltKey{{Name: "byNumber", Columns: []string{"number"}}}
	process := data("caseprocess", look("caseid", "incident"))
	process.Columns = append(process.Columns, col("businessprocessflowinstanceid", allod.ID))
	s := &allod.Schema{Tables: []allod.Table{
		data("account", look("parentaccountid", "account"), look("primarycontactid", "contact"), col("revenue", allod.Decimal), col("address1_addressid", allod.ID),
			col("address1_city", allod.String), col("entityimage", allod.File), fixed("revenue_base", allod.Decimal, allod.NotWritablePlatform)),
		data("contact", look("parentcustomerid", "account", "contact"), col("birthdate", allod.Date)),
		data("incident", required(look("customerid", "account", "contact"))), res,
		data("node", required(look("parentnodeid", "node", "account"))),
		data("annotation", look("objectid", "account", "incident"), col("documentbody", allod.File)),
		activity(data("task", look("regardingobjectid", "account", "incident", "incidentresolution"))), email, party, keyed, process,
		table("customeraddress", allod.ClassData, required(look("parentid", "account", "contact")), col("addressnumber", allod.Integer), col("city", allod.String), late("contactid", "contact")),
		intersect("accountleads", "accountid", "contactid"),
		table("systemuser", allod.ClassSecurity, col("domainname", allod.String), col("isdisabled", allod.Boolean),
			col("azureactivedirectoryobjectid", allod.ID), col("internalemailaddress", allod.String)),
		table("team", allod.ClassSecurity, col("name", allod.String), col("isdefault", allod.Boolean), look("businessunitid", "businessunit")),
		table("transactioncurrency", allod.ClassSecurity, col("isocurrencycode", allod.String)),
		table("businessunit", allod.ClassSecurity, col("name", allod.String), look("parentbusinessunitid", "businessunit")),
		table("workflow", allod.ClassConfiguration, col("name", allod.String)),
	}, Relationships: []allod.Relationship{
		{Name: "account_parent", One: "account", Many: "account", Column: "parentaccountid"},
		{Name: "accountleads_association", Intersect: "accountleads", Table1: "account", Table2: "contact", Column1: "accountid", Column2: "contactid"},
		{Name: "incident_customer", One: "account", Many: "incident", Column: "customerid"},
	}}
	slices.SortFunc(s.Tables, func(x, y allod.Table) int { return strings.Compare(x.Name, y.Name) })
	return s
}

// put stores a row as the platform might hold it, past its rules.
func (o *org) put(tbl string, id allod.GUID, c cells) {
	t := o.schema.Table(tbl)
	r := &allod.Row{Table: tbl, Key: id, Cells: make([]allod.Value, len(t.Columns))}
	for i := range t.Columns {
		r.Cells[i] = allod.NullValue()
	}
	r.Cells[0] = allod.IDValue(id)
	set := func(n string, v allod.Value) {
		i := t.ColumnIndex(n)
		if i < 0 {
			panic("no column " + n)
		}
		r.Cells[i] = v
	}
	if t.Class == allod.ClassData && t.Column("statecode") != nil {
		set("statecode", num(0))
		set("statuscode", num(traps.ActiveStatus(t)))
		set("createdon", allod.TextValue(allod.DateTime, "2020-01-02T03:04:05Z"))
		set("name_computed", str("computed"))
		set("ownerid", ref("systemuser", gid("user", 1)))
	}
	for n, v := range c {
		set(n, v)
	}
	if o.rows[tbl] == nil {
		o.rows[tbl] = map[allod.GUID]*allod.Row{}
	}
	o.version++
	r.Version = o.version
	o.rows[tbl][id] = r
}

func (o *org) pair(tbl string, a, b allod.GUID) {
	if o.pairs[tbl] == nil {
		o.pairs[tbl] = map[[2]allod.GUID]bool{}
	}
	o.pairs[tbl][[2]allod.GUID{a, b}] = true
}

func fileKey(tbl string, id allod.GUID, column string) string {
	return tbl + "/" + id.String() + "/" + column
}

func (o *org) file(tbl string, id allod.GUID, column, content string, digest bool) {
	o.files[fileKey(tbl, id, column)] = []byte(content)
	f := allod.FileRef{Name: column + ".txt", Size: int64(len(content))}
	if digest {
		sum := sha256.Sum256([]byte(content))
		f.SHA256 = hex.EncodeToString(sum[:])
	}
	r := o.rows[tbl][id]
	r.Cells[o.schema.Table(tbl).ColumnIndex(column)] = allod.FileValue(f)
	o.version++
	r.Version = o.version
}

func (o *org) get(tbl string, id allod.GUID, column string) allod.Value {
	r := o.rows[tbl][id]
	if r == nil {
		return allod.Value{}
	}
	return r.Cell(o.schema.Table(tbl).ColumnIndex(column))
}

// touch changes a cell as somebody else would.
func (o *org) touch(tbl string, id allod.GUID, column string, v allod.Value) {
	r := clone(o.rows[tbl][id])
	r.Cells[o.schema.Table(tbl).ColumnIndex(column)] = v
	o.version++
	r.Version = o.version
	o.rows[tbl][id] = r
}

func clone(r *allod.Row) *allod.Row {
	c := *r
	c.Cells = slices.Clone(r.Cells)
	return &c
}

// snapshot copies the org as it is.
func (o *org) snapshot(name string) *org {
	c := &org{
		name: name, schema: o.schema, version: o.version, now: o.now,
		rows: map[string]map[allod.GUID]*allod.Row{}, pairs: map[string]map[[2]allod.GUID]bool{},
	}
	for t, rows := range o.rows {
		c.rows[t] = maps.Clone(rows)
		for id, r := range rows {
			c.rows[t][id] = clone(r)
		}
	}
	for t, p := range o.pairs {
		c.pairs[t] = maps.Clone(p)
	}
	c.files = maps.Clone(o.files)
	return c
}

var (
	_ source.View   = (*org)(nil)
	_ source.Target = (*org)(nil)
)

func (o *org) Name() string          { return o.name }
func (o *org) Schema() *allod.Schema { return o.schema }

func (o *org) all(tbl string) []allod.Row {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []allod.Row
	for p := range o.pairs[tbl] {
		out = append(out, allod.Row{Table: tbl, Pair: p, Cells: []allod.Value{allod.IDValue(gid(o.name, len(out))), allod.IDValue(p[0]), allod.IDValue(p[1])}})
	}
	for _, r := range o.rows[tbl] {
		out = append(out, *clone(r))
	}
	return out
}

func (o *org) Rows(_ context.Context, tbl string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		for _, r := range o.all(tbl) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (o *org) Get(_ context.Context, tbl string, refs []allod.RecordRef) ([]allod.Row, error) {
	want := map[allod.RecordRef]bool{}
	for _, r := range refs {
		want[r] = true
	}
	return slices.DeleteFunc(o.all(tbl), func(r allod.Row) bool { return !want[r.Ref()] }), nil
}

func (o *org) OpenFile(_ context.Context, r *allod.Row, column string) (io.ReadCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, ok := o.files[fileKey(r.Table, r.Key, column)]
	if !ok {
		return nil, allod.Errorf(allod.NotFound, "no file")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (o *org) Apply(ctx context.Context, opts source.WriteOptions, ops []source.Op) ([]source.Result, error) {
	if !strings.HasPrefix(opts.Tag, "allod:") {
		return nil, fmt.Errorf("no tag")
	}
	out := make([]source.Result, len(ops))
	for i := range ops {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		out[i] = o.one(&ops[i])
	}
	return out, nil
}

func (o *org) one(op *source.Op) source.Result {
	var content []byte
	if op.Content != nil {
		rc, err := op.Content()
		if err != nil {
			return source.Result{Err: err}
		}
		content, err = io.ReadAll(rc)
		if err != nil {
			return source.Result{Err: err}
		}
		_ = rc.Close() // of a reader in memory
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.before != nil {
		if err := o.before(op); err != nil {
			return source.Result{Err: err}
		}
	}
	o.log = append(o.log, fmt.Sprintf("%s %s", op.Kind, op.Table.Name))
	var err error
	switch op.Kind {
	case source.OpCreate:
		err = o.create(op)
	case source.OpUpdate, source.OpState:
		err = o.update(op)
	case source.OpAssociate:
		if o.rows[op.Relationship.Table1][op.Key] == nil || o.rows[op.Relationship.Table2][op.Other] == nil {
			return source.Result{Err: allod.Errorf(allod.NotFound, "an end of the pair is missing")}
		}
		o.pair(op.Relationship.Intersect, op.Key, op.Other)
		return source.Result{}
	case source.OpFile:
		if o.rows[op.Table.Name][op.Key] == nil {
			return source.Result{Err: allod.Errorf(allod.NotFound, "no row for the file")}
		}
		o.file(op.Table.Name, op.Key, op.Column, string(content), false)
		return source.Result{} // as real ones do: no version
	case source.OpReplaceParty:
		err = o.parties(op)
	default:
		err = fmt.Errorf("op %s", op.Kind)
	}
	if err != nil {
		return source.Result{Err: err}
	}
	return source.Result{Version: o.rows[op.Table.Name][op.Key].Version}
}

func (o *org) check(t *allod.Table, name string, v allod.Value) error {
	c := t.Column(name)
	switch {
	case c == nil:
		return allod.Errorf(allod.Invalid, "no column %s.%s", t.Name, name)
	case v.IsAbsent():
		return allod.Errorf(allod.Invalid, "absent value for %s.%s", t.Name, name)
	case c.Type == allod.File:
		return allod.Errorf(allod.Invalid, "file column %s.%s written as a cell", t.Name, name)
	}
	if to, id := v.Target(); to != "" {
		if c.Bind[to] == "" {
			return allod.Errorf(allod.Invalid, "%s.%s cannot refer to %s", t.Name, name, to)
		}
		if o.rows[to][id] == nil {
			return allod.Errorf(allod.NotFound, "%s.%s refers to a %s that does not exist", t.Name, name, to)
		}
		if to == "systemuser" && name == "ownerid" && o.rows[to][id].Cell(o.schema.Table(to).ColumnIndex("isdisabled")).Bool() {
			return allod.Errorf(allod.Denied, "owner is disabled")
		}
	}
	return nil
}

func (o *org) create(op *source.Op) error {
	t := op.Table
	if o.rows[t.Name][op.Key] != nil {
		return allod.Errorf(allod.Conflict, "exists")
	}
	for n, v := range op.Cells {
		if err := o.check(t, n, v); err != nil {
			return err
		}
	}
	for i := range t.Columns {
		if v, ok := op.Cells[t.Columns[i].Name]; t.Columns[i].Required && (!ok || v.IsNull()) {
			return allod.Errorf(allod.Invalid, "%s.%s is required", t.Name, t.Columns[i].Name)
		}
	}
	take := cells{}
	for n, v := range op.Cells {
		if t.Column(n).Create {
			take[n] = v
		}
	}
	if s, ok := take["statuscode"]; ok && stateOfStatus(t, s.Int()) != 0 {
		return allod.Errorf(allod.Invalid, "status %d on create of %s", s.Int(), t.Name)
	}
	if t.Column("createdon") != nil {
		take["createdon"] = allod.TextValue(allod.DateTime, o.now.Format(time.RFC3339))
		if !op.CreatedOn.IsZero() {
			take["createdon"] = allod.TextValue(allod.DateTime, op.CreatedOn.Format(time.RFC3339))
			take["overriddencreatedon"] = allod.TextValue(allod.DateTime, o.now.Format(time.RFC3339))
		}
	}
	o.put(t.Name, op.Key, take)
	if t.Name == "account" {
		id := op.Cells["address1_addressid"].GUID()
		if id.IsZero() {
			o.next++
			id = gid("made", int(o.next))
			o.put("account", op.Key, merge(take, cells{"address1_addressid": allod.IDValue(id)}))
		}
		o.put("customeraddress", id, cells{"parentid": ref("account", op.Key), "addressnumber": num(1), "city": take["address1_city"]})
	}
	return nil
}

func merge(a, b cells) cells {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func stateOfStatus(t *allod.Table, status int64) int64 {
	for _, opt := range t.Column("statuscode").Options {
		if opt.Value == status {
			return opt.State
		}
	}
	return -1
}

func (o *org) update(op *source.Op) error {
	t := op.Table
	was := o.rows[t.Name][op.Key]
	switch {
	case was == nil:
		return allod.Errorf(allod.NotFound, "no such row")
	case op.Version != 0 && op.Version != was.Version:
		return allod.Errorf(allod.Conflict, "version")
	}
	r := clone(was)
	closed := was.Cell(t.ColumnIndex("statecode")).Int() != 0
	if op.Kind == source.OpState {
		state, status := op.Cells["statecode"].Int(), op.Cells["statuscode"].Int()
		if stateOfStatus(t, status) != state {
			return allod.Errorf(allod.Invalid, "%d is not a status of state %d", status, state)
		}
		if t.Name == "incident" && state == 1 && o.closes != "" {
			o.next++
			id := closingID(op)
			if o.closes == "own id" || id.IsZero() {
				id = gid("resolution", int(o.next))
			}
			if o.rows["incidentresolution"][id] != nil {
				return allod.Errorf(allod.Conflict, "the resolution exists")
			}
			o.put("incidentresolution", id, cells{"incidentid": ref("incident", op.Key), "statecode": num(1), "statuscode": num(2)})
		}
	} else if closed && traps.LockedWhenClosed(t) {
		return allod.Errorf(allod.Denied, "closed rows of %s take no changes", t.Name)
	}
	for n, v := range op.Cells {
		if err := o.check(t, n, v); err != nil {
			return err
		}
		if (n == "statecode" || n == "statuscode") != (op.Kind == source.OpState) {
			return allod.Errorf(allod.Invalid, "%s in %s of %s", n, op.Kind, t.Name)
		}
		if t.Column(n).Update {
			r.Cells[t.ColumnIndex(n)] = v
		}
	}
	o.version++
	r.Version = o.version
	o.rows[t.Name][op.Key] = r
	return nil
}

func (o *org) parties(op *source.Op) error {
	if o.rows[op.Table.Name][op.Key] == nil {
		return allod.Errorf(allod.NotFound, "no activity")
	}
	at := op.PartyTable.ColumnIndex("activityid")
	for id, r := range o.rows["activityparty"] {
		if r.Cell(at).GUID() == op.Key {
			delete(o.rows["activityparty"], id)
		}
	}
	for _, p := range op.Parties {
		c := cells{"activityid": ref(op.Table.Name, op.Key)}
		for _, n := range []string{"partyid", "participationtypemask", "addressused"} {
			v := p.Cell(op.PartyTable.ColumnIndex(n))
			if v.IsAbsent() {
				continue
			}
			if err := o.check(op.PartyTable, n, v); err != nil {
				return err
			}
			c[n] = v
		}
		o.next++
		o.put("activityparty", gid(o.name+"party", int(o.next)), c)
	}
	o.version++
	o.rows[op.Table.Name][op.Key].Version = o.version
	return nil
}

// ids returns the keys of a table, sorted.
func (o *org) ids(tbl string) []allod.GUID {
	set := map[allod.GUID]struct{}{}
	for id := range o.rows[tbl] {
		set[id] = struct{}{}
	}
	return sortedKeys(set)
}

// closingID is the id that the row made by closing is asked to have.
func closingID(op *source.Op) allod.GUID {
	if op.ClosingTable == nil {
		return allod.GUID{}
	}
	return op.Closing[op.ClosingTable.Key].GUID()
}
