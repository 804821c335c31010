package rows

import (
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

// Reader answers the reads of one call.
type Reader struct{ *request.Call }

// Entity is a row and the table it is in, which for activitypointers is that
// of the activity.
type Entity struct {
	Table *entity.Table
	Row   *store.Row
}

// tablesOf returns the tables whose rows the set of t shows.
func (c Reader) tablesOf(t *entity.Table) []*entity.Table {
	if t.LogicalName != "activitypointer" {
		return []*entity.Table{t}
	}
	return c.Schema.Derived("activitypointer")
}

// source yields candidate rows in primary key order: up to max behind after.
type source func(after *allod.GUID, max int) []Entity

func (c Reader) rowsOf(tx *store.Tx, t *entity.Table) source {
	tables := c.tablesOf(t)
	return func(after *allod.GUID, max int) []Entity {
		var out []Entity
		for _, at := range tables {
			for _, r := range tx.Page(at.LogicalName, after, max) {
				out = append(out, Entity{at, r})
			}
		}
		if len(tables) > 1 {
			sort.Slice(out, func(i, j int) bool { return store.Less(out[i].Row.Key, out[j].Row.Key) })
			out = out[:min(max, len(out))]
		}
		return out
	}
}

// fixed is a source over given rows.
func fixed(rows []Entity) source {
	byKey(rows)
	return func(after *allod.GUID, max int) []Entity {
		from := 0
		if after != nil {
			from = sort.Search(len(rows), func(i int) bool { return store.Less(*after, rows[i].Row.Key) })
		}
		return rows[from:min(len(rows), from+max)]
	}
}

// listing is one prepared query over rows.
type listing struct {
	c      Reader
	tx     *store.Tx
	t      *entity.Table
	o      *query.Options
	from   source
	accept func(Entity) (bool, error)
	plans  *plans
	size   int
	limit  int // $top; -1 = none
	page   int // number of this page, from 1
	after  *allod.GUID
	set    string // for the context URL
}

// List answers GET of a set: a page of it, or of what changed.
func (c Reader) List(t *entity.Table) (*request.Reply, error) {
	c.Count("list", t)
	if err := c.supported(t); err != nil {
		return nil, err
	}
	if c.predefined() {
		return c.fetch(t)
	}
	if c.Req.Options.Has("$apply") {
		return c.apply(t)
	}
	if c.Prefer.Track || c.Req.Options.Has("$deltatoken") || strings.Contains(c.Req.Options.SkipToken, "versionnumber last=") {
		return c.delta(t)
	}
	var out *request.Reply
	err := c.View(func(tx *store.Tx) error {
		var err error
		out, err = c.listRows(tx, t, c.narrow(tx, t, c.Req.Options.Filter))
		return err
	})
	return out, err
}

// supported refuses query options the service does not have (§4.1).
func (c Reader) supported(t *entity.Table) error {
	o := c.Req.Options
	for _, name := range o.Names {
		switch name {
		case "$skip", "$search", "$format", "$compute", "$index", "$levels", "$schemaversion":
			return wire.BadQuery("The query parameter %s is not supported.", name)
		}
		if strings.HasPrefix(name, "$") && !knownOption(name) {
			return wire.BadQuery("The query parameter %s is not supported.", name)
		}
	}
	if t.TableType == "Virtual" {
		return wire.NotHere(t.LogicalName)
	}
	return nil
}

func knownOption(name string) bool {
	switch name {
	case "$select", "$filter", "$orderby", "$top", "$count", "$expand", "$skiptoken", "$deltatoken", "$id", "$apply":
		return true
	}
	return false
}

// listRows answers a collection read over the source.
func (c Reader) listRows(tx *store.Tx, t *entity.Table, from source) (*request.Reply, error) {
	l, err := c.prepare(tx, t, from)
	if err != nil {
		return nil, err
	}
	var rows []Entity
	var more bool
	total := -1
	if len(l.o.OrderBy) > 0 {
		rows, more, total, err = l.ordered()
	} else {
		rows, more, err = l.plain()
		if err == nil && l.o.Count.Value {
			total, err = l.total()
		}
	}
	if err != nil {
		return nil, err
	}
	return l.write(rows, more, total)
}

func (c Reader) prepare(tx *store.Tx, t *entity.Table, from source) (*listing, error) {
	o := c.Req.Options
	l := &listing{c: c, tx: tx, t: t, o: o, from: from, size: c.pageSize(t), limit: -1, page: 1, set: t.SetName}
	visible, err := c.access(tx, t)
	if err != nil {
		return nil, err
	}
	match, err := c.filter(tx, t, o.Filter, o.Aliases)
	if err != nil {
		return nil, err
	}
	l.accept = func(e Entity) (bool, error) {
		if !visible(e) {
			return false, nil
		}
		return match(e)
	}
	if l.plans, err = c.plansFor(tx, t, o, true); err != nil {
		return nil, err
	}
	if o.Top.Set && c.Prefer.PageSize == 0 {
		l.limit = int(o.Top.N)
		l.size = min(l.size, l.limit)
	}
	if o.SkipToken != "" {
		k, err := parseCookie(o.SkipToken)
		if err != nil {
			return nil, err
		}
		l.page, l.after = k.page, &k.last
	}
	return l, nil
}

func (c Reader) pageSize(t *entity.Table) int {
	size := c.Org.PageSize
	if t.TableType == "Elastic" {
		size = min(size, 500)
	}
	if c.Prefer.PageSize > 0 {
		size = min(size, c.Prefer.PageSize)
	}
	return size
}

// access returns which rows of the set the user sees.
func (c Reader) access(tx *store.Tx, t *entity.Table) (func(Entity) bool, error) {
	see := map[*entity.Table]func(*store.Row) bool{}
	for _, at := range c.tablesOf(t) {
		f, err := access.Reading(tx, c.User, at, c.Org.Unit)
		if err != nil {
			return nil, err
		}
		if f != nil {
			see[at] = f
		}
	}
	if len(see) == 0 {
		return func(Entity) bool { return true }, nil
	}
	return func(e Entity) bool { f := see[e.Table]; return f == nil || f(e.Row) }, nil
}

// plain collects a page in primary key order.
func (l *listing) plain() (rows []Entity, more bool, err error) {
	if l.size == 0 {
		return nil, false, nil
	}
	after := l.after
	for {
		batch := l.from(after, l.size+1)
		for _, e := range batch {
			ok, err := l.accept(e)
			if err != nil {
				return nil, false, err
			}
			if !ok {
				continue
			}
			if len(rows) == l.size {
				return rows, true, nil
			}
			rows = append(rows, e)
		}
		if len(batch) <= l.size {
			return rows, false, nil
		}
		after = &batch[len(batch)-1].Row.Key
	}
}

// all collects every matching row.
func (l *listing) all() ([]Entity, error) {
	var rows []Entity
	var after *allod.GUID
	for {
		batch := l.from(after, 5000)
		for _, e := range batch {
			ok, err := l.accept(e)
			if err != nil {
				return nil, err
			}
			if ok {
				rows = append(rows, e)
			}
		}
		if len(batch) < 5000 {
			return rows, nil
		}
		after = &batch[len(batch)-1].Row.Key
	}
}

func (l *listing) total() (int, error) {
	rows, err := l.all()
	return len(rows), err
}

// ordered sorts all matching rows and cuts the page out.
func (l *listing) ordered() (rows []Entity, more bool, total int, err error) {
	rows, err = l.all()
	if err != nil {
		return nil, false, 0, err
	}
	total = len(rows)
	if err = l.c.sort(l.tx, l.t, rows, l.o.OrderBy); err != nil {
		return nil, false, 0, err
	}
	from := min((l.page-1)*l.size, len(rows))
	if l.after != nil {
		for i := range rows {
			if rows[i].Row.Key == *l.after {
				from = i + 1
				break
			}
		}
	}
	rows = rows[from:]
	if len(rows) > l.size {
		rows, more = rows[:l.size], true
	}
	return rows, more, total, nil
}

// write renders the page.
func (l *listing) write(rows []Entity, more bool, total int) (*request.Reply, error) {
	c := l.c
	b := make([]byte, 0, 512+len(rows)*l.plans.estimate())
	b = append(b, `{"@odata.context":"`...)
	b = odata.AppendContext(b, c.Root, l.set, c.contextColumns(), odata.FormCollection)
	b = append(b, '"')
	b = c.appendCounts(b, l.o.Count.Value, total)
	b = append(b, `,"value":[`...)
	for i, e := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = l.plans.appendRow(append(b, '{'), e); err != nil {
			return nil, err
		}
		b = append(b, '}')
	}
	b = append(b, ']')
	if l.limit >= 0 {
		more = false // $top is the end (§4.1)
	}
	if !more && len(rows) == l.size && l.limit < 0 && c.Org.Assume["full-last-page"] == "empty-page" && len(rows) > 0 {
		more = true
	}
	if more {
		k := cookie{page: l.page + 1, column: l.t.PrimaryID, last: rows[len(rows)-1].Row.Key, first: rows[0].Row.Key, tracking: "False"}
		b = append(b, `,"@odata.nextLink":`...)
		b = odata.AppendString(b, c.nextURL(k.encode()))
	}
	b = append(b, '}')
	c.served(l.t, len(rows), l.plans.width())
	return &request.Reply{Status: http.StatusOK, Body: b}, nil
}

func (c Reader) served(t *entity.Table, rows, width int) {
	c.Org.Counters.Add("rows", int64(rows))
	c.Org.Counters.Add("rows:"+t.LogicalName, int64(rows))
	c.Charge(func(m *protect.Cost) time.Duration {
		return m.Page.Of(1) + m.Row.Of(rows) + time.Duration(float64(m.Columns.Of(width))/100)
	})
}

func (c Reader) appendCounts(b []byte, asked bool, total int) []byte {
	if asked {
		b = append(b, `,"@odata.count":`...)
		b = strconv.AppendInt(b, int64(min(total, 5000)), 10)
	}
	if c.Prefer.Notes.All {
		n := -1
		if asked {
			n = min(total, 5000)
		}
		b = append(b, `,"@Microsoft.Dynamics.CRM.totalrecordcount":`...)
		b = strconv.AppendInt(b, int64(n), 10)
		b = append(b, `,"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":`...)
		b = strconv.AppendBool(b, asked && total > 5000)
		b = append(b, `,"@Microsoft.Dynamics.CRM.globalmetadataversion":"1000"`...)
	}
	return b
}

// contextColumns is the list in a context URL: $select and $expand as sent.
func (c Reader) contextColumns() string {
	var parts []string
	for _, s := range c.Req.Options.Select {
		parts = append(parts, strings.Join(s.Path, "/"))
	}
	for _, e := range c.Req.Options.Expand {
		sub := ""
		if e.Options != nil {
			var names []string
			for _, s := range e.Options.Select {
				names = append(names, strings.Join(s.Path, "/"))
			}
			sub = strings.Join(names, ",")
		}
		parts = append(parts, strings.Join(e.Path, "/")+"("+sub+")")
	}
	return strings.Join(parts, ",")
}

// CountRows answers /$count: text with a byte order mark, at most 5000 (§4.2).
func (c Reader) CountRows(t *entity.Table) (*request.Reply, error) {
	c.Count("count", t)
	n := 0
	err := c.View(func(tx *store.Tx) error {
		if c.Req.Options.Has("$deltatoken") {
			var err error
			n, err = c.countChanges(tx, t)
			return err
		}
		l, err := c.prepare(tx, t, c.rowsOf(tx, t))
		if err != nil {
			return err
		}
		n, err = l.total()
		return err
	})
	if err != nil {
		return nil, err
	}
	c.Charge(func(m *protect.Cost) time.Duration { return m.Page.Of(1) })
	return &request.Reply{Status: http.StatusOK, Type: "text/plain", Body: []byte("\uFEFF" + strconv.Itoa(min(n, 5000)))}, nil
}
