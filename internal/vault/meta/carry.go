package meta

import (
	"cmp"
	"slices"

	"allod"
)

// Carry is what the manifest of a commit is made of.
type Carry struct {
	Before   *Manifest // of the entry before; nil for none
	SameRun  bool      // that entry is of the same run
	Schema   *Schema   // nil = none was set yet
	Identity allod.Identity
	Said     []allod.TableManifest // by the capture, of the tables of this commit
	Gaps     []allod.Gap
	Wrote    []Wrote
}

// Wrote is what one writer has found in a table.
type Wrote struct {
	Number uint32
	Table  string
	Full   bool  // all rows were read
	Before int64 // alive before
	Change int64 // of the rows alive
}

// Manifest carries the former manifest on, with what the commit says.
func (c *Carry) Manifest() *Manifest {
	m := &Manifest{Identity: c.Identity, Gaps: c.Gaps}
	if c.Before != nil && m.Identity == (allod.Identity{}) {
		m.Identity = c.Before.Identity
	}
	if m.Gaps == nil {
		m.Gaps = []allod.Gap{}
	}
	tables := map[uint32]*Table{}
	if c.Before != nil {
		for _, t := range c.Before.Tables {
			if !c.SameRun && t.State != allod.TableGone {
				t.State, t.Created, t.Updated, t.Deleted = allod.TableCarried, 0, 0, 0
			}
			tables[t.Number] = &t
		}
	}
	if c.Schema != nil {
		for _, t := range c.Said {
			number := cmp.Or(c.Schema.NumberOf(t.Table), c.Schema.FormerNumber(t.Table))
			if number == 0 {
				continue // a table nobody knows has no rows
			}
			alive := int64(0)
			if old := tables[number]; old != nil {
				alive = old.Rows
			}
			t.Rows = alive
			tables[number] = &Table{Number: number, TableManifest: t}
		}
	}
	for _, w := range c.Wrote {
		t := tables[w.Number]
		if t == nil {
			state := allod.TableDelta
			if w.Full {
				state = allod.TableFull
			}
			t = &Table{Number: w.Number, TableManifest: allod.TableManifest{Table: w.Table, State: state}}
			tables[w.Number] = t
		}
		if w.Full {
			t.Rows = w.Before
		}
		t.Rows += w.Change
	}
	for _, t := range tables {
		m.Tables = append(m.Tables, *t)
	}
	slices.SortFunc(m.Tables, func(a, b Table) int { return cmp.Compare(a.Number, b.Number) })
	return m
}
