package capture

import (
	"slices"

	"allod"
	"allod/internal/source"
)

const (
	maxAtOnce   = 8    // parts of one table read at once
	maxParts    = 64   // of one table
	sampleLimit = 4096 // values that tell where to divide
)

// parts is how a long table is read in parts at once.
type parts struct {
	by     int   // index of the column that tells them apart; -1 = none
	keys   int64 // rows whose keys were read before
	rows   int64 // rows the parts brought
	atOnce int
	sample []allod.Value
	step   int64 // one value of so many rows is kept
}

// partColumn finds the column by which the source can divide the table.
func (t *tableRun) partColumn() int {
	d, ok := t.src.(source.Divider)
	if !ok {
		return -1
	}
	name := d.DivideBy(t.table)
	if !slices.Contains(t.columns, name) { // also "", and one that is not to be read
		return -1
	}
	return t.table.ColumnIndex(name)
}

// take samples the rows of one page.
func (p *parts) take(rows []allod.Row) {
	for i := range rows {
		if p.keys++; p.by < 0 || p.keys%max(p.step, 1) != 0 {
			continue
		}
		p.sample = append(p.sample, rows[i].Cell(p.by))
		if len(p.sample) == sampleLimit {
			for n := range sampleLimit / 2 {
				p.sample[n] = p.sample[2*n+1]
			}
			p.sample, p.step = p.sample[:sampleLimit/2], 2*max(p.step, 1)
		}
	}
}

// division says in how many parts the table is read, as many at once as there
// is memory for; nil for a read as a whole. A read that goes on somewhere only
// needs to know how many at once.
func (t *tableRun) division(from source.Cursor) *source.Division {
	onward := from != (source.Cursor{})
	if _, ok := t.src.(source.Divider); !ok || !onward && len(t.parts.sample) == 0 {
		return nil
	}
	page := int64(t.pageRows()) * t.rowBytes()
	for t.parts.atOnce = 1; t.parts.atOnce < maxAtOnce && t.memory.more(page, page+writerBytes); {
		t.parts.atOnce++
	}
	if t.parts.atOnce == 1 || !t.twoPages {
		return nil
	}
	// Parts of about a page each, rather a little less, and as many for each of
	// those that are read at once.
	wave := int64(t.parts.atOnce)
	n := wave * (t.parts.keys*11/10/(wave*int64(t.pageRows())) + 1)
	return &source.Division{Sample: t.parts.sample, Parts: int(min(n, maxParts)), AtOnce: t.parts.atOnce}
}

// undivided makes the rest of the read a whole one; false if it was one.
func (t *tableRun) undivided() bool {
	was := len(t.parts.sample) > 0
	t.parts = parts{by: -1, keys: t.parts.keys}
	return was
}

// lacking reports whether the read brought fewer rows than there were keys and
// than are said to be deleted meanwhile: then the source has left rows out. Parts
// are read as a whole instead; what a whole read lacks the next one brings, since
// nothing will say that those rows changed.
func (t *tableRun) lacking() bool {
	return t.parts.rows+int64(len(t.gone)) < t.parts.keys
}
