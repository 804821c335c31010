package fetch

import (
	"net/http"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
)

// Join is how a link-entity and the element it stands in belong together
// (learn.microsoft.com, fetchxml/reference/link-entity). The zero Join is Inner.
type Join int

// Each row of the link, or a row without one; the first row of the link; rows
// with any in it, whose columns cannot be asked for. The last four stand in
// filters: with a row of the link that passes its filters, without one, with rows
// of which none passes, and, as the documentation says, again as Any.
const (
	Inner Join = iota
	Outer
	First
	In
	Exists
	Any
	NotAny
	All
	NotAll
)

// joins are their names, in FetchXML and as a JoinOperator.
var joins = [...][2]string{
	Inner: {"inner", "Inner"}, Outer: {"outer", "LeftOuter"}, First: {"matchfirstrowusingcrossapply", "MatchFirstRowUsingCrossApply"},
	In: {"in", "In"}, Exists: {"exists", "Exists"}, Any: {"any", "Any"}, NotAny: {"not any", "NotAny"}, All: {"all", "All"}, NotAll: {"not all", "NotAll"},
}

// String is the name in FetchXML.
func (j Join) String() string { return joins[j][0] }

// Operator is the name as a JoinOperator.
func (j Join) Operator() string { return joins[j][1] }

// filters says that the join is a condition of a filter.
func (j Join) filters() bool { return j >= Any }

// hidden says that it adds no columns.
func (j Join) hidden() bool { return j >= In }

func joinOf(name string) (Join, bool) {
	if name == "" || name == "natural" {
		return Inner, true
	}
	for j, names := range joins {
		if names[0] == name {
			return Join(j), true
		}
	}
	return Inner, false
}

// JoinOf is the join of a JoinOperator; "" and Natural are Inner.
func JoinOf(operator string) (Join, bool) {
	if operator == "" || operator == "Natural" {
		return Inner, true
	}
	for j, names := range joins {
		if names[1] == operator {
			return Join(j), true
		}
	}
	return Inner, false
}

// related compiles the test of a row of the element at by the rows of a link that
// adds none of its own.
func (r *run) related(e *Entity, at int) (func(tuple) bool, error) {
	if e.All || len(e.Attributes) > 0 || len(e.Orders) > 0 {
		return nil, invalid("A link-entity of the link-type '%s' can have neither columns nor orders.", e.Join)
	}
	sub := &run{env: r.env, q: r.q, names: map[string]int{}, steps: r.steps}
	sub.env.Rows = nil
	if err := sub.prepare(e); err != nil {
		return nil, err
	}
	n := &node{e: e, t: sub.nodes[0].t}
	if err := n.ends(r.nodes[at].t); err != nil {
		return nil, err
	}
	passing, err := sub.join()
	if err != nil {
		return nil, err
	}
	some, all := map[string]bool{}, map[string]bool{}
	for _, t := range passing {
		some[key(sub.value(0, t[0], n.from))] = true
	}
	if e.Join == All {
		rows, err := sub.rows(n.t)
		if err != nil {
			return nil, err
		}
		for _, c := range rows {
			all[key(sub.value(0, c, n.from))] = true
		}
	}
	r.steps = sub.steps
	return func(t tuple) bool {
		k := key(r.value(at, t[at], n.to))
		switch e.Join {
		case NotAny:
			return k == "" || !some[k]
		case All:
			return k != "" && all[k] && !some[k]
		case Inner, Outer, First, In, Exists, Any, NotAll:
		}
		return k != "" && some[k]
	}, nil
}

// ends finds the columns that a link compares.
func (n *node) ends(up *entity.Table) error {
	from, to := n.e.From, n.e.To
	if from == "" {
		from = n.t.PrimaryID
	}
	if to == "" {
		to = up.PrimaryID
	}
	var err error
	if n.from, err = column(n.t, from); err != nil {
		return err
	}
	if n.to, err = column(up, to); err != nil {
		return err
	}
	for _, c := range []string{string(n.from.Kind), string(n.to.Kind)} {
		switch c {
		case "File", "Image", "MultiSelectPicklist", "PartyList":
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "A link-entity cannot compare a column of the type %s.", c)
		}
	}
	return nil
}
