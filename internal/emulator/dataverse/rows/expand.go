package rows

import (
	"net/url"
	"strconv"
	"strings"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

const (
	maxExpands  = 15   // items of $expand in a query, nested ones counted (§4.4)
	maxExpanded = 5000 // rows of a collection that are written out (§4.4)
)

// checkExpand refuses what $expand as a whole cannot do (§4.4).
func (c Reader) checkExpand(t *entity.Table, items []query.ExpandItem) error {
	count, nested, pairs := 0, false, false
	var walk func(t *entity.Table, items []query.ExpandItem, level int)
	walk = func(t *entity.Table, items []query.ExpandItem, level int) {
		for _, it := range items {
			count++
			nested = nested || level > 1
			nav := c.Schema.Nav(t.LogicalName, it.Path[0])
			if nav == nil {
				continue
			}
			pairs = pairs || nav.Kind == wire.NavPairs
			if target := c.expandedTable(nav); target != nil && it.Options != nil {
				walk(target, it.Options.Expand, level+1)
			}
		}
	}
	walk(t, items, 1)
	switch {
	case count > maxExpands:
		return wire.BadQuery("Number of expand properties exceeds the limit of %d.", maxExpands)
	case nested && pairs:
		return wire.BadQuery("A nested $expand cannot be combined with an $expand of a many-to-many relationship.")
	}
	return nil
}

// expandedTable is the table to which a navigation property leads; owners are
// shown as users.
func (c Reader) expandedTable(nav *wire.Nav) *entity.Table {
	if nav.Target == "owner" || nav.Target == "principal" {
		return c.Schema.Model.Table("systemuser")
	}
	return c.Schema.Model.Table(nav.Target)
}

// expansion is one item of $expand.
type expansion struct {
	c      Reader
	tx     *store.Tx
	nav    *wire.Nav
	target *entity.Table
	ref    bool
	paged  bool // part of an $expand of several levels: collections have pages
	listed bool // in a list, at the first level: a collection says where its rows are
	plans  *plans
	o      *query.Options
	match  func(Entity) (bool, error)
}

func (c Reader) expansion(tx *store.Tx, t *entity.Table, item query.ExpandItem, level int, list bool) (*expansion, error) {
	x := &expansion{c: c, tx: tx, ref: item.Ref, o: item.Options}
	if x.o == nil {
		x.o = &query.Options{}
	}
	name := item.Path[0]
	x.nav = c.Schema.Nav(t.LogicalName, name)
	if x.nav == nil {
		return x, wire.NoProperty(name, t.LogicalName)
	}
	x.target = c.expandedTable(x.nav)
	lookup := x.nav.Kind == wire.NavLookup
	nested := level > 1 || len(x.o.Expand) > 0
	switch {
	case x.ref && !lookup:
		return x, wire.BadQuery("Expand with $ref is only supported on lookup type navigation property.")
	case (lookup || nested) && (x.o.Has("$orderby") || x.o.Has("$top")):
		return x, wire.BadQuery("Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or nested one-to-many relationship.")
	case x.target == nil:
		return x, wire.NoProperty(name, t.LogicalName)
	}
	x.paged, x.listed = nested, !nested && list
	var err error
	if x.match, err = c.filter(tx, x.target, x.o.Filter, c.Req.Options.Aliases); err != nil {
		return x, err
	}
	x.plans, err = c.plansAt(tx, x.target, x.o, level+1, list)
	return x, err
}

func (x *expansion) append(b []byte, e Entity) ([]byte, error) {
	b = odata.AppendMember(b, x.nav.Name)
	if x.nav.Kind == wire.NavLookup {
		return x.appendTarget(b, e)
	}
	rows, more, err := x.rows(e)
	if err != nil {
		return nil, err
	}
	b = append(b, '[')
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = x.appendOne(b, r); err != nil {
			return nil, err
		}
	}
	b = append(b, ']')
	if more || x.listed {
		b = odata.AppendMember(b, x.nav.Name+"@odata.nextLink")
		b = odata.AppendString(b, x.link(e, rows, more))
	}
	return b, nil
}

func (x *expansion) appendTarget(b []byte, e Entity) ([]byte, error) {
	to, ok := x.c.Target(x.tx, e, x.nav)
	ok = ok && e.Table.LogicalName != audits // null always (§10.1)
	if ok {
		var err error
		if ok, err = x.match(to); err != nil {
			return nil, err
		}
	}
	if !ok {
		return append(b, "null"...), nil
	}
	return x.appendOne(b, to)
}

// rows are the related rows that are written out, and whether there are more.
func (x *expansion) rows(e Entity) (rows []Entity, more bool, err error) {
	for _, r := range x.c.Related(x.tx, e, x.nav) {
		ok, err := x.match(r)
		if err != nil {
			return nil, false, err
		}
		if ok {
			rows = append(rows, r)
		}
	}
	byKey(rows)
	if err := x.c.sort(x.tx, x.target, rows, x.o.OrderBy); err != nil {
		return nil, false, err
	}
	limit := maxExpanded
	if x.paged {
		limit = min(limit, x.c.pageSize(x.target))
	}
	if x.o.Top.Set {
		return rows[:min(len(rows), limit, int(x.o.Top.N))], false, nil
	}
	if len(rows) > limit {
		rows, more = rows[:limit], true
	}
	return rows, more, nil
}

// link leads to the related rows: to those that are still missing, or, in a
// list, to all of them (§4.4).
func (x *expansion) link(e Entity, rows []Entity, more bool) string {
	options := optionTexts(x.o)
	if more && len(rows) > 0 {
		k := cookie{page: 2, column: x.target.PrimaryID, last: rows[len(rows)-1].Row.Key, first: rows[0].Row.Key, tracking: "False"}
		options = append(options, "$skiptoken="+k.encode())
	}
	out := x.c.URLOf(e.Table, e.Row.Key) + "/" + x.nav.Name
	if len(options) > 0 {
		out += "?" + strings.Join(options, "&")
	}
	return out
}

// optionTexts spells out the options of an item of $expand, percent-encoded.
func optionTexts(o *query.Options) []string {
	var out []string
	list := func(name string, n int, item func(i int) string) {
		items := make([]string, n)
		for i := range items {
			items[i] = item(i)
		}
		if n > 0 {
			out = append(out, name+"="+strings.Join(items, ","))
		}
	}
	list("$select", len(o.Select), func(i int) string { return strings.Join(o.Select[i].Path, "/") })
	if o.Filter != nil {
		out = append(out, "$filter="+url.PathEscape(query.Print(o.Filter)))
	}
	list("$orderby", len(o.OrderBy), func(i int) string {
		text := url.PathEscape(query.Print(o.OrderBy[i].Expr))
		if o.OrderBy[i].Desc {
			text += "%20desc"
		}
		return text
	})
	list("$expand", len(o.Expand), func(i int) string {
		text := strings.Join(o.Expand[i].Path, "/")
		if o.Expand[i].Ref {
			text += "/$ref"
		}
		if inner := o.Expand[i].Options; inner != nil {
			text += "(" + strings.Join(optionTexts(inner), ";") + ")"
		}
		return text
	})
	if o.Top.Set {
		out = append(out, "$top="+strconv.FormatInt(o.Top.N, 10))
	}
	return out
}

func (x *expansion) appendOne(b []byte, e Entity) ([]byte, error) {
	b = append(b, '{')
	if x.ref {
		b = odata.AppendMember(b, odata.ID)
		b = odata.AppendString(b, x.c.URLOf(e.Table, e.Row.Key))
		return append(b, '}'), nil
	}
	b, err := x.plans.appendRow(b, e)
	return append(b, '}'), err
}
