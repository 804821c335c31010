// Package fill makes rows for every table of a model: plausible, different in
// every way a column allows, and referentially whole. The same model, seed and
// counts give the same rows (design: emulate --metadata FILE --scale N).
package fill

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/filerow"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/sampleorg"
)

// Options say how much to make.
type Options struct {
	Seed  uint64
	Scale int            // rows per table are about 10 × Scale; default 1
	Rows  map[string]int // exact number of rows of single tables, by logical name

	// Now is the moment the made history leads up to, UTC; default
	// 2026-01-15T12:00:00Z, so that equal seeds give equal rows.
	Now time.Time
}

// Fill fills the tables of s, which must have the columns of the model in the
// model's order. Tables that are abstract, have no set or are refused by s are
// left alone. Rows that s holds already (the organisation, the root business
// unit, the currency, application users) count as rows and are referred to, and
// are not changed, but for nulls of the organisation. Errors are those of the
// store.
func Fill(m *entity.Model, s *store.Store, o Options) error {
	if o.Scale <= 0 {
		o.Scale = 1
	}
	if o.Now.IsZero() {
		o.Now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	}
	f := &filler{m: m, s: s, o: o, org: sampleorg.New(o.Seed), plans: map[string]*plan{}}
	for _, t := range m.Tables {
		if t.SetName == "" || t.Abstract || s.Columns(t.LogicalName) == nil {
			continue
		}
		f.plans[t.LogicalName] = &plan{t: t, base: existing(s, t.LogicalName)}
	}
	for _, p := range f.plans {
		p.count = f.rows(p)
	}
	for _, p := range f.plans {
		f.prepare(p)
	}
	for _, t := range m.Tables {
		if p := f.plans[t.LogicalName]; p != nil && !t.Intersect {
			if err := f.table(p); err != nil {
				return err
			}
		}
	}
	if err := f.organization(); err != nil {
		return err
	}
	if err := f.intersects(); err != nil {
		return err
	}
	return s.Update(func(tx *store.Tx) error {
		filerow.Load(tx, m, stamp(o.Now))
		return nil
	})
}

// organization fills what is still null in the one row of the organisation
// where the row was there before.
func (f *filler) organization() error {
	p := f.plans["organization"]
	if p == nil || len(p.base) == 0 {
		return nil
	}
	r := &row{f: f, p: p, i: 1, vals: make([]allod.Value, len(p.cols)), rng: rand.New(rand.NewPCG(f.o.Seed, hash("organization")))}
	r.make() // i is one behind the row that exists: a full row
	return f.s.Update(func(tx *store.Tx) error {
		cells := tx.Cells(tx.Get("organization", p.base[0]))
		have := make(map[int]bool, len(cells))
		for _, c := range cells {
			have[c.Column] = true
		}
		for _, name := range []string{"allowedmimetypes", "blockedmimetypes"} {
			if k, ok := p.at[name]; ok {
				have[p.cols[k].pos] = true // made words would refuse every file
			}
		}
		for _, c := range r.cells() {
			if !have[c.Column] {
				cells = append(cells, c)
			}
		}
		tx.Put("organization", p.base[0], cells)
		return nil
	})
}

// existing lists the keys of the rows a table has already.
func existing(s *store.Store, table string) []allod.GUID {
	var out []allod.GUID
	s.View(func(tx *store.Tx) {
		for _, r := range tx.Page(table, nil, 1000) {
			out = append(out, r.Key)
		}
	})
	return out
}

type filler struct {
	m     *entity.Model
	s     *store.Store
	o     Options
	org   *sampleorg.Org
	plans map[string]*plan
}

// plan is one table about to be filled.
type plan struct {
	t     *entity.Table
	base  []allod.GUID // rows that exist
	count int          // rows in the end, base included
	cols  []column
	at    map[string]int // position in cols by logical name
}

// rows decides how many rows a table gets: enough that every polymorphic
// lookup can refer to each of its targets once.
func (f *filler) rows(p *plan) int {
	c, isClose, isParent := f.closedBy(p.t)
	switch {
	case isClose: // one for each closed row, and no other
		return len(p.base) + closedRows(len(f.plans[c.parent].base), f.rows(f.plans[c.parent]))
	case isParent: // so many that its close activities are enough
		n := f.enough(p)
		if _, exact := f.o.Rows[p.t.LogicalName]; !exact {
			n = max(n, len(p.base)+2*f.enough(f.plans[c.table]))
		}
		return n
	}
	return f.enough(p)
}

func (f *filler) enough(p *plan) int {
	t := p.t
	if n, ok := f.o.Rows[t.LogicalName]; ok {
		return max(n, len(p.base))
	}
	n := 10*f.o.Scale + int(hash(t.LogicalName)%6)
	switch t.LogicalName {
	case "organization":
		n = 1
	case "businessunit", "transactioncurrency", "calendar", "theme", "pricelevel":
		n = 3 + min(f.o.Scale, 3)
	case "systemuser", "team":
		n = 8 + 2*f.o.Scale
	case "usersettings":
		n = 0 // one for each user, see table
	case filerow.Table:
		return len(p.base) // one for each file, see Fill
	case "sdkmessage", "sdkmessagefilter":
		if len(p.base) > 0 {
			return len(p.base) // the platform's own say what there is
		}
	}
	for _, c := range t.Columns {
		if c.EdmType != "" && t.LogicalName != "organization" {
			n = max(n, len(f.targets(c))+3)
		}
	}
	if t.LogicalName == "usersettings" {
		if u := f.plans["systemuser"]; u != nil {
			return f.rows(u)
		}
	}
	return max(n, len(p.base))
}

// targets are the tables a lookup can refer to that have rows.
func (f *filler) targets(c *entity.Column) []string {
	var out []string
	for _, x := range c.Targets {
		if p := f.plans[x]; p != nil && !p.t.Intersect {
			out = append(out, x)
		}
	}
	return out
}

// key is the primary key of the i-th row of a table.
func (f *filler) key(p *plan, i int) allod.GUID {
	if i < len(p.base) {
		return p.base[i]
	}
	if p.t.LogicalName == "usersettings" && f.plans["systemuser"] != nil {
		return f.key(f.plans["systemuser"], i)
	}
	return ID(f.o.Seed, p.t.LogicalName, i)
}

// ID is the id of the i-th made row of a table.
func ID(seed uint64, table string, i int) allod.GUID {
	r := rand.NewPCG(seed^hash(table), uint64(i)*0x9e3779b97f4a7c15+1)
	var g allod.GUID
	binary.BigEndian.PutUint64(g[:8], r.Uint64())
	binary.BigEndian.PutUint64(g[8:], r.Uint64())
	g[6], g[8] = g[6]&0x0f|0x40, g[8]&0x3f|0x80
	return g
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // a hash never fails
	return h.Sum64()
}

// table writes the rows of one table.
func (f *filler) table(p *plan) error {
	r := &row{f: f, p: p, vals: make([]allod.Value, len(p.cols))}
	for i := len(p.base); i < p.count; i++ {
		clear(r.vals)
		r.i, r.rng = i, rand.New(rand.NewPCG(f.o.Seed^hash(p.t.LogicalName), uint64(i)))
		r.make()
		if err := r.insert(f.key(p, i)); err != nil {
			return err
		}
		if err := r.addresses(f.key(p, i)); err != nil {
			return err
		}
	}
	return nil
}

// intersects writes the pairs of every N:N relationship: every row of the
// shorter side once, then neighbours, no pair twice.
func (f *filler) intersects() error {
	for _, t := range f.m.Tables {
		p := f.plans[t.LogicalName]
		if p == nil || !t.Intersect {
			continue
		}
		at, have := 0, map[[2]allod.GUID]bool{}
		rels := f.m.OfIntersect(t.LogicalName)
		there := f.paired(p, rels)
		want := p.count - len(p.base)
		if _, exact := f.o.Rows[t.LogicalName]; !exact {
			want = max(want, 4*len(rels))
		}
		for k, rel := range rels {
			one, two := f.plans[rel.Entity1], f.plans[rel.Entity2]
			if one == nil || two == nil || one.count == 0 || two.count == 0 {
				continue
			}
			share := min((want+len(rels)-1-k)/len(rels), one.count*two.count)
			for j := 0; j < share; j++ {
				a, b := j%one.count, (j+j/one.count)%two.count
				if one.count > two.count {
					a, b = (j+j/two.count)%one.count, j%two.count
				}
				ends := [2]allod.GUID{f.key(one, a), f.key(two, b)}
				if there[ends] { // take the next one instead
					share = min(share+1, one.count*two.count)
					continue
				}
				if have[ends] { // two relationships may share the table and its columns
					continue
				}
				have[ends] = true
				if err := f.pair(p, rel, at, ends[0], ends[1]); err != nil {
					return err
				}
				at++
			}
		}
		if _, exact := f.o.Rows[t.LogicalName]; t.LogicalName == "systemuserroles" && len(rels) > 0 && !exact {
			if err := f.administrators(p, rels[0], at, there); err != nil {
				return err
			}
		}
		if len(rels) == 0 {
			if err := f.table(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// paired are the ends of the pairs that the table has already.
func (f *filler) paired(p *plan, rels []*entity.Relationship) map[[2]allod.GUID]bool {
	out := map[[2]allod.GUID]bool{}
	name := p.t.LogicalName
	f.s.View(func(tx *store.Tx) {
		for _, key := range p.base {
			r := tx.Get(name, key)
			for _, rel := range rels {
				out[[2]allod.GUID{tx.Value(name, r, rel.Attribute1).GUID(), tx.Value(name, r, rel.Attribute2).GUID()}] = true
			}
		}
	})
	return out
}

func (f *filler) pair(p *plan, rel *entity.Relationship, at int, one, two allod.GUID) error {
	r := &row{f: f, p: p, i: at, vals: make([]allod.Value, len(p.cols)), rng: rand.New(rand.NewPCG(f.o.Seed^hash(p.t.LogicalName), uint64(at)))}
	r.make()
	r.side(rel.Attribute1, rel.Entity1, one)
	r.side(rel.Attribute2, rel.Entity2, two)
	for _, name := range []string{"entitytype", "itemobjecttypecode"} {
		member := rel.Entity2
		if rel.Attribute1 == "entityid" || rel.Attribute1 == "itemid" {
			member = rel.Entity1
		}
		r.set(name, allod.StringValue(member))
	}
	return r.insert(ID(f.o.Seed, p.t.LogicalName, at))
}

func (r *row) side(column, table string, id allod.GUID) {
	v := allod.IDValue(id)
	if k, ok := r.p.at[column]; ok && r.p.cols[k].lookup {
		v = allod.LookupValue(table, id)
	}
	r.set(column, v)
}
