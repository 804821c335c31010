package plan

import (
	"cmp"
	"slices"

	"allod"
)

// requiredWeight makes a required lookup count more than any number of
// optional ones: only optional lookups are ever written in a second pass.
const requiredWeight = 1000

// graph says which table refers to which, and how strongly.
type graph struct {
	names []string
	at    map[string]int
	out   []map[int]int // table → table it refers to → weight
}

// tableGraph builds the graph of the named tables from the columns' targets
// and the relationships of the schema. References of a table to itself are
// left out: they are a matter of rows.
func tableGraph(s *allod.Schema, names []string) *graph {
	g := &graph{names: names, at: map[string]int{}, out: make([]map[int]int, len(names))}
	for i, n := range names {
		g.at[n] = i
		g.out[i] = map[int]int{}
	}
	targets := map[[2]string]map[string]bool{} // table, column → tables
	for _, n := range names {
		t := s.Table(n)
		for j := range t.Columns {
			c := &t.Columns[j]
			if c.Type != allod.Lookup || !c.Create && !c.Update {
				continue
			}
			set := map[string]bool{}
			for to := range c.Bind {
				set[to] = true
			}
			targets[[2]string{n, c.Name}] = set
		}
	}
	for i := range s.Relationships {
		r := &s.Relationships[i]
		if set := targets[[2]string{r.Many, r.Column}]; set != nil {
			set[r.One] = true
		}
	}
	for k, set := range targets {
		w := 1
		if s.Table(k[0]).Column(k[1]).Required {
			w = requiredWeight
		}
		for to := range set {
			if j, ok := g.at[to]; ok && to != k[0] {
				g.out[g.at[k[0]]][j] += w
			}
		}
	}
	return g
}

// TableOrder returns the tables so that as few lookups as possible, and
// required ones last of all, refer to a table further down.
func TableOrder(s *allod.Schema, names []string) []string {
	g := tableGraph(s, names)
	var out []string
	for _, comp := range g.components() {
		for _, i := range g.arrange(comp) {
			out = append(out, g.names[i])
		}
	}
	return out
}

// components returns the strongly connected components, each after those it
// refers to (Tarjan's algorithm gives them in that order).
func (g *graph) components() [][]int {
	t := &tarjan{g: g, index: make([]int, len(g.names)), low: make([]int, len(g.names)), on: make([]bool, len(g.names))}
	for i := range g.names {
		if t.index[i] == 0 {
			t.visit(i)
		}
	}
	return t.out
}

type tarjan struct {
	g          *graph
	next       int
	index, low []int
	on         []bool
	stack      []int
	out        [][]int
}

func (t *tarjan) visit(v int) {
	t.next++
	t.index[v], t.low[v] = t.next, t.next
	t.stack, t.on[v] = append(t.stack, v), true
	var next []int
	for w := range t.g.out[v] {
		next = append(next, w)
	}
	slices.Sort(next)
	for _, w := range next {
		switch {
		case t.index[w] == 0:
			t.visit(w)
			t.low[v] = min(t.low[v], t.low[w])
		case t.on[w]:
			t.low[v] = min(t.low[v], t.index[w])
		}
	}
	if t.low[v] != t.index[v] {
		return
	}
	var comp []int
	for {
		w := t.stack[len(t.stack)-1]
		t.stack, t.on[w] = t.stack[:len(t.stack)-1], false
		comp = append(comp, w)
		if w == v {
			break
		}
	}
	slices.Sort(comp)
	t.out = append(t.out, comp)
}

// arrange orders one component: again and again the table with the least
// weight of references to tables not yet placed, then the one that most of
// the others wait for, then by name.
func (g *graph) arrange(comp []int) []int {
	left := map[int]bool{}
	for _, i := range comp {
		left[i] = true
	}
	var out []int
	for len(left) > 0 {
		best, bestOut, bestIn := -1, 0, 0
		for _, i := range comp {
			if !left[i] {
				continue
			}
			o, in := g.weights(i, left)
			if best < 0 || cmp.Or(cmp.Compare(o, bestOut), -cmp.Compare(in, bestIn), cmp.Compare(g.names[i], g.names[best])) < 0 {
				best, bestOut, bestIn = i, o, in
			}
		}
		delete(left, best)
		out = append(out, best)
	}
	return out
}

func (g *graph) weights(i int, left map[int]bool) (out, in int) {
	for j, w := range g.out[i] {
		if left[j] {
			out += w
		}
	}
	for j := range left {
		in += g.out[j][i]
	}
	return out, in
}
