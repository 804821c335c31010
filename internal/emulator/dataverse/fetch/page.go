package fetch

import (
	"regexp"
	"sort"

	"allod"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// sort orders by the orders of the entity, then those of the links; the key of
// the root, in which order the tuples come, breaks ties.
func (r *run) sort(tuples []tuple) error {
	var by []field
	var down []bool
	for i, n := range r.nodes {
		for _, o := range n.e.Orders {
			at, name := i, o.Attribute
			if o.Entity != "" {
				var ok bool
				if at, ok = r.named(o.Entity); !ok {
					return invalid("The link entity '%s' of an order does not exist.", o.Entity)
				}
			}
			for _, a := range r.nodes[at].e.Attributes {
				if name == "" && o.Alias != "" && a.Alias == o.Alias {
					name = a.Name
				}
			}
			c, err := column(r.nodes[at].t, name)
			if err != nil {
				return err
			}
			by, down = append(by, field{node: at, col: c}), append(down, o.Descending)
		}
	}
	if len(by) == 0 {
		return nil
	}
	keyed := make([]keyed, len(tuples))
	for i, t := range tuples {
		keyed[i].t = t
		for _, f := range by {
			keyed[i].by = append(keyed[i].by, r.rank(f, t))
		}
	}
	sort.SliceStable(keyed, func(i, j int) bool {
		for k := range by {
			if n := order(keyed[i].by[k], keyed[j].by[k]); n != 0 {
				return n < 0 != down[k]
			}
		}
		return false
	})
	for i := range keyed {
		tuples[i] = keyed[i].t
	}
	return nil
}

// keyed is a tuple with the values by which it is ordered.
type keyed struct {
	t  tuple
	by []allod.Value
}

// rank is the value by which a tuple is ordered: of a lookup the name of the row,
// of a choice its label unless the query wants the number ("Order rows using
// FetchXml").
func (r *run) rank(f field, t tuple) allod.Value {
	v := r.value(f.node, t[f.node], f.col)
	switch {
	case empty(v):
		return v
	case wire.IsLookup(f.col):
		target, id := v.Target()
		if name, ok := wire.Title(r.env.Tx, r.env.Schema, target, id); ok {
			return allod.StringValue(name)
		}
	case f.col.OptionSet != nil && !r.q.RawOrder && v.Type() == allod.Integer:
		if label, ok := wire.Label(f.col.OptionSet, v.Int()); ok {
			return allod.StringValue(label)
		}
	}
	return v
}

// resumable says that the key of the root names a tuple, so that a cookie can:
// no link may yield several rows, and order must not be that of a link.
func (r *run) resumable() bool {
	for _, n := range r.nodes[1:] {
		if n.from.LogicalName != n.t.PrimaryID && n.e.Join != First || len(n.e.Orders) > 0 {
			return false
		}
	}
	for _, o := range r.q.Root.Orders {
		if o.Entity != "" {
			return false
		}
	}
	return !r.q.Distinct && !r.q.Aggregate
}

var cookieLast = regexp.MustCompile(`^<cookie page="\d{1,9}">.*<(\w+) last="\{([0-9A-Fa-f-]{36})\}" first="\{[0-9A-Fa-f-]{36}\}" ?/></cookie>$`)

// start finds where the page begins that the cookie asks for; 0 without one.
func (r *run) start(tuples []tuple) (int, error) {
	if r.q.Cookie == "" || !r.resumable() {
		return 0, nil
	}
	m := cookieLast.FindStringSubmatch(r.q.Cookie)
	if m == nil || m[1] != r.nodes[0].t.PrimaryID {
		return 0, wire.BadQuery("Malformed XML in the Paging Cookie.")
	}
	last, err := allod.ParseGUID(m[2])
	if err != nil {
		return 0, wire.BadQuery("Malformed XML in the Paging Cookie.")
	}
	for i := range tuples {
		if tuples[i][0].Row.Key == last {
			return i + 1, nil
		}
	}
	for _, n := range r.nodes {
		if len(n.e.Orders) > 0 {
			return min((max(r.q.Page, 1)-1)*r.size(), len(tuples)), nil // the row is gone: by number
		}
	}
	return sort.Search(len(tuples), func(i int) bool { return store.Less(last, tuples[i][0].Row.Key) }), nil
}

func (r *run) size() int {
	if r.q.Count > 0 {
		return min(r.q.Count, r.env.PageSize)
	}
	return r.env.PageSize
}

// page cuts the page out of n lines; from is where a cookie says it begins.
func (r *run) page(out *Result, n, from int, line func(int) Line) error {
	out.Total, out.Page = n, max(r.q.Page, 1)
	size := r.size()
	if r.q.Top > 0 {
		size, n = min(r.q.Top, r.env.PageSize), min(r.q.Top, n)
	}
	if r.q.Cookie == "" || !r.resumable() {
		if (out.Page-1)*size >= maxSimple {
			return invalid("Page %d lies behind the %d rows that can be reached without a paging cookie.", out.Page, maxSimple)
		}
		from = min((out.Page-1)*size, n)
	}
	to := min(from+size, n)
	for i := from; i < to; i++ {
		out.Lines = append(out.Lines, line(i))
	}
	out.More = to < n && r.q.Top == 0
	return nil
}
