// Package relate finds the records that belong to others: children, parents,
// pairs of many-to-many relationships, parties, notes, activities, connections.
// It works over any source.View, so the closure of a record is the same
// question in a snapshot and live.
//
// A View has no filters, so following a relation downwards reads the tables
// that can refer to the records. What was found is remembered per table up to
// a bound; a table with more references than that is read once per step.
package relate

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"

	"allod"
	"allod/internal/source"
)

// indexLimit is how many references of one table are kept in memory, 72 bytes
// each; a table with more is read again at each step.
const indexLimit = 500_000

// getBatch is how many records are fetched at once.
const getBatch = 500

// Member is a record of a closure.
type Member struct {
	Record allod.RecordRef `json:"record"`
	Depth  int             `json:"depth"`         // 0 = a root
	Kind   Kind            `json:"kind"`          // how it was found; "" for a root
	Via    string          `json:"via,omitempty"` // name of the relationship, or TABLE.COLUMN where it has none
	Parent int             `json:"parent"`        // position of the member it was found from; -1 for a root
}

// Graph is a closure: a tree with the reason for each record. Members are
// sorted by depth, then by record; a record stands in it once, by its
// shortest way.
type Graph struct {
	Members []Member `json:"members"`
	// Missing are roots that the view does not have, sorted.
	Missing []allod.RecordRef `json:"missing"`
	// Cut says that Limit was reached: records are missing from the graph.
	Cut   bool `json:"cut"`
	Limit int  `json:"limit"`
}

// Closure returns the roots and what belongs to them by spec. A root in a
// table that the view does not have is NotFound; roots that do not exist are
// listed.
func Closure(ctx context.Context, view source.View, roots []allod.RecordRef, spec Spec) (*Graph, error) {
	c := &closure{
		view: view, schema: view.Schema(), spec: &spec, at: map[allod.RecordRef]int{}, index: map[string]*index{},
		g: &Graph{Members: []Member{}, Missing: []allod.RecordRef{}, Limit: spec.limit()},
	}
	if err := c.roots(ctx, roots); err != nil {
		return nil, err
	}
	from := 0
	for depth := 1; depth <= spec.deepest() && from < len(c.g.Members); depth++ {
		to := len(c.g.Members)
		if err := c.step(ctx, from, to, depth); err != nil {
			return nil, err
		}
		c.sortLevel(to)
		from = to
	}
	return c.g, nil
}

type closure struct {
	view   source.View
	schema *allod.Schema
	spec   *Spec
	g      *Graph
	at     map[allod.RecordRef]int
	index  map[string]*index
}

func (c *closure) roots(ctx context.Context, roots []allod.RecordRef) error {
	byTable := map[string][]allod.RecordRef{}
	for _, r := range roots {
		if c.schema.Table(r.Table) == nil {
			return allod.Errorf(allod.NotFound, "follow relations in %s: it has no table %q", c.view.Name(), r.Table)
		}
		byTable[r.Table] = append(byTable[r.Table], r)
	}
	for _, table := range slices.Sorted(maps.Keys(byTable)) {
		refs := byTable[table]
		found, err := c.existing(ctx, table, refs)
		if err != nil {
			return err
		}
		for _, r := range refs {
			if found[r] {
				c.add(Member{Record: r, Parent: -1})
			} else if !slices.Contains(c.g.Missing, r) {
				c.g.Missing = append(c.g.Missing, r)
			}
		}
	}
	slices.SortFunc(c.g.Missing, compareRefs)
	c.sortLevel(0)
	return nil
}

func (c *closure) existing(ctx context.Context, table string, refs []allod.RecordRef) (map[allod.RecordRef]bool, error) {
	found := map[allod.RecordRef]bool{}
	for batch := range slices.Chunk(refs, getBatch) {
		rows, err := c.view.Get(ctx, table, batch)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			found[rows[i].Ref()] = true
		}
	}
	return found, nil
}

// add appends a member unless its record is there already.
func (c *closure) add(m Member) {
	if _, ok := c.at[m.Record]; ok {
		return
	}
	if len(c.g.Members) >= c.spec.limit() {
		c.g.Cut = true
		return
	}
	c.at[m.Record] = len(c.g.Members)
	c.g.Members = append(c.g.Members, m)
}

// sortLevel sorts the members from position from on and mends their places.
func (c *closure) sortLevel(from int) {
	level := c.g.Members[from:]
	slices.SortStableFunc(level, func(x, y Member) int { return compareRefs(x.Record, y.Record) })
	for i := range level {
		c.at[level[i].Record] = from + i
	}
}

func compareRefs(x, y allod.RecordRef) int {
	if n := strings.Compare(x.Table, y.Table); n != 0 {
		return n
	}
	if n := bytes.Compare(x.Key[:], y.Key[:]); n != 0 {
		return n
	}
	if n := bytes.Compare(x.Pair[0][:], y.Pair[0][:]); n != 0 {
		return n
	}
	return bytes.Compare(x.Pair[1][:], y.Pair[1][:])
}

// step finds what belongs to the members [from, to).
func (c *closure) step(ctx context.Context, from, to, depth int) error {
	front := map[allod.GUID][]int{}
	for i := from; i < to; i++ {
		if m := &c.g.Members[i]; !m.Record.IsPair() {
			front[m.Record.Key] = append(front[m.Record.Key], i)
		}
	}
	if len(front) == 0 {
		return nil
	}
	if err := c.down(ctx, front, depth); err != nil {
		return err
	}
	if depth <= c.spec.depth(Parents) {
		return c.up(ctx, from, to, depth)
	}
	return nil
}

// down looks into every table that can refer to the front.
func (c *closure) down(ctx context.Context, front map[allod.GUID][]int, depth int) error {
	for i := range c.schema.Tables {
		t := &c.schema.Tables[i]
		if !c.spec.admits(t) {
			continue
		}
		cols := c.columns(t, depth)
		if len(cols) == 0 {
			continue
		}
		ix, err := c.references(ctx, t, cols)
		if err != nil {
			return err
		}
		if ix.full {
			if err := c.scan(ctx, t, cols, func(e entry) { c.found(t, e, front, depth) }); err != nil {
				return err
			}
			continue
		}
		for _, id := range sortedIDs(front) {
			at, _ := slices.BinarySearchFunc(ix.entries, id, func(e entry, id allod.GUID) int { return bytes.Compare(e.target[:], id[:]) })
			for ; at < len(ix.entries) && ix.entries[at].target == id; at++ {
				if slices.Contains(cols, int(ix.entries[at].column)) {
					c.found(t, ix.entries[at], front, depth)
				}
			}
		}
	}
	return nil
}

func sortedIDs(front map[allod.GUID][]int) []allod.GUID {
	return slices.SortedFunc(maps.Keys(front), func(x, y allod.GUID) int { return bytes.Compare(x[:], y[:]) })
}

// columns returns the columns of t that refer to records by a relation that is
// still followed at the depth.
func (c *closure) columns(t *allod.Table, depth int) []int {
	var out []int
	for i := range t.Columns {
		col := &t.Columns[i]
		if t.Intersect {
			if depth <= c.spec.depth(Pairs) && c.pairColumn(t, col.Name) >= 0 {
				out = append(out, i)
			}
			continue
		}
		if col.Type != allod.Lookup || bookkeeping(col.Name) {
			continue
		}
		if depth <= max(c.spec.depth(Children), c.spec.depth(kindOf(t, col.Name))) {
			out = append(out, i)
		}
	}
	return out
}

// pairColumn returns 0 or 1 for the columns of an intersect table that hold
// the ids of a pair, -1 for others.
func (c *closure) pairColumn(t *allod.Table, column string) int {
	for i := range c.schema.Relationships {
		r := &c.schema.Relationships[i]
		if r.Intersect != t.Name {
			continue
		}
		switch column {
		case r.Column1:
			return 0
		case r.Column2:
			return 1
		}
	}
	return -1
}

// found adds the row of t that refers to the front.
func (c *closure) found(t *allod.Table, e entry, front map[allod.GUID][]int, depth int) {
	col := t.Columns[e.column].Name
	for _, parent := range front[e.target] {
		pt := c.g.Members[parent].Record.Table
		if t.Intersect {
			if via := c.pairVia(t, col, pt); via != "" {
				c.add(Member{Record: e.ref(t), Depth: depth, Kind: Pairs, Via: via, Parent: parent})
			}
			continue
		}
		if e.table != "" && e.table != pt && !(e.table == "activitypointer" && c.schema.Table(pt).Activity) {
			continue
		}
		kind := kindOf(t, col)
		if depth > c.spec.depth(kind) {
			kind = Children
		}
		c.add(Member{Record: e.ref(t), Depth: depth, Kind: kind, Via: c.via(pt, t.Name, col), Parent: parent})
	}
}

func (c *closure) pairVia(t *allod.Table, column, end string) string {
	for i := range c.schema.Relationships {
		r := &c.schema.Relationships[i]
		if r.Intersect == t.Name && (r.Column1 == column && r.Table1 == end || r.Column2 == column && r.Table2 == end) {
			return r.Name
		}
	}
	return ""
}

func (c *closure) via(one, many, column string) string {
	for i := range c.schema.Relationships {
		r := &c.schema.Relationships[i]
		if r.Many == many && r.Column == column && r.One == one {
			return r.Name
		}
	}
	return many + "." + column
}

// up adds what the members [from, to) refer to.
func (c *closure) up(ctx context.Context, from, to, depth int) error {
	type want struct {
		parent int
		via    string
	}
	wanted := map[allod.RecordRef]want{}
	byTable := map[string][]allod.RecordRef{}
	at := map[string][]int{}
	for i := from; i < to; i++ {
		at[c.g.Members[i].Record.Table] = append(at[c.g.Members[i].Record.Table], i)
	}
	for _, table := range slices.Sorted(maps.Keys(at)) {
		members := at[table]
		t := c.schema.Table(table)
		for batch := range slices.Chunk(members, getBatch) {
			rows, err := c.fetch(ctx, table, batch)
			if err != nil {
				return err
			}
			for i := range rows {
				for _, p := range c.targets(t, &rows[i]) {
					if _, dup := wanted[p.ref]; !dup {
						wanted[p.ref] = want{c.at[rows[i].Ref()], p.via}
						byTable[p.ref.Table] = append(byTable[p.ref.Table], p.ref)
					}
				}
			}
		}
	}
	for _, table := range slices.Sorted(maps.Keys(byTable)) {
		refs := byTable[table]
		found, err := c.existing(ctx, table, refs)
		if err != nil {
			return err
		}
		for _, r := range refs {
			if found[r] {
				c.add(Member{Record: r, Depth: depth, Kind: Parents, Via: wanted[r].via, Parent: wanted[r].parent})
			}
		}
	}
	return nil
}

func (c *closure) fetch(ctx context.Context, table string, members []int) ([]allod.Row, error) {
	refs := make([]allod.RecordRef, len(members))
	for i, m := range members {
		refs[i] = c.g.Members[m].Record
	}
	return c.view.Get(ctx, table, refs)
}

type target struct {
	ref allod.RecordRef
	via string
}

// targets returns what a row refers to, within the classes of the spec.
func (c *closure) targets(t *allod.Table, r *allod.Row) []target {
	var out []target
	if t.Intersect {
		for i := range c.schema.Relationships {
			rel := &c.schema.Relationships[i]
			if rel.Intersect != t.Name {
				continue
			}
			for side, end := range []string{rel.Table1, rel.Table2} {
				if c.spec.admits(c.schema.Table(end)) {
					out = append(out, target{allod.RecordRef{Table: end, Key: r.Pair[side]}, rel.Name})
				}
			}
		}
		return out
	}
	for i := range t.Columns {
		table, id := r.Cell(i).Target()
		if table == "" || bookkeeping(t.Columns[i].Name) || !c.spec.admits(c.schema.Table(table)) {
			continue
		}
		out = append(out, target{allod.RecordRef{Table: table, Key: id}, c.via(table, t.Name, t.Columns[i].Name)})
	}
	return out
}
