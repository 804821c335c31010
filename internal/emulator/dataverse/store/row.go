package store

import (
	"encoding/binary"
	"slices"

	"allod"
)

// Cell is one non-null value of a row; Column counts from 0 in the order the
// table's columns were added.
type Cell struct {
	Column int
	Value  allod.Value
}

// Row is one stored version of one row. It is immutable: a change makes a new
// Row, so a Row may be read without a lock for as long as it is kept.
type Row struct {
	Key     allod.GUID
	Version uint64 // row version: rises with every write in the organisation (protocols/dataverse.md §2.4)
	data    string // packed non-null cells, by column: see pack
}

// Raw is a packed cell as Cursor finds it.
type Raw struct {
	Column int
	Type   allod.Type
	Text   string // text of text-like values
	Plain  bool   // Text needs no escaping in JSON
	Num    int64  // Integer, Boolean
	ID     allod.GUID
	Table  int // Lookup: number of the target table (Store.TableName)
}

// tables turns table names into numbers and back, for packed lookups.
type tables interface {
	number(name string) int
	name(n int) string
}

const plainBit = 0x80 // set in the type byte when the text needs no escaping in JSON

// pack encodes the non-null cells, which it sorts by column. Layout per cell:
// column difference (uvarint), type byte, then by type: nothing, zigzag
// varint, 16 bytes, table uvarint + 16 bytes, or length uvarint + text.
func pack(cells []Cell, ts tables) string {
	if !slices.IsSortedFunc(cells, byColumn) {
		slices.SortStableFunc(cells, byColumn)
	}
	b := make([]byte, 0, 16*len(cells))
	at := 0
	for i, c := range cells {
		if c.Value.IsAbsent() || c.Value.IsNull() || i+1 < len(cells) && cells[i+1].Column == c.Column {
			continue // null, or overridden by a later cell of the same column
		}
		b = binary.AppendUvarint(b, uint64(c.Column-at))
		at = c.Column
		b = packValue(b, c.Value, ts)
	}
	return string(b)
}

func byColumn(a, b Cell) int { return a.Column - b.Column }

func packValue(b []byte, v allod.Value, ts tables) []byte {
	t := byte(v.Type())
	switch v.Type() {
	case allod.Integer, allod.Boolean:
		return binary.AppendVarint(append(b, t), v.Int())
	case allod.ID:
		id := v.GUID()
		return append(append(b, t), id[:]...)
	case allod.Lookup:
		table, id := v.Target()
		b = binary.AppendUvarint(append(b, t), uint64(ts.number(table)))
		return append(b, id[:]...)
	default:
		text := v.Text()
		if plain(text) {
			t |= plainBit
		}
		b = binary.AppendUvarint(append(b, t), uint64(len(text)))
		return append(b, text...)
	}
}

func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return true
}

// Cursor walks the non-null cells of a row in column order.
type Cursor struct {
	data string
	at   int
	next int
}

// Cursor returns a cursor before the first cell.
func (r *Row) Cursor() Cursor { return Cursor{data: r.data} }

// Next reads the next cell into raw; false at the end. The text of raw lives
// as long as the row.
func (c *Cursor) Next(raw *Raw) bool {
	if c.next >= len(c.data) {
		return false
	}
	c.at += int(c.uvarint())
	raw.Column = c.at
	t := c.data[c.next]
	c.next++
	raw.Type, raw.Plain = allod.Type(t&^plainBit), t&plainBit != 0
	switch raw.Type {
	case allod.Integer, allod.Boolean:
		u := c.uvarint()
		raw.Num = int64(u>>1) ^ -int64(u&1)
	case allod.ID:
		c.id(&raw.ID)
	case allod.Lookup:
		raw.Table = int(c.uvarint())
		c.id(&raw.ID)
	default:
		n := int(c.uvarint())
		raw.Text = c.data[c.next : c.next+n]
		c.next += n
	}
	return true
}

func (c *Cursor) id(g *allod.GUID) {
	copy(g[:], c.data[c.next:c.next+16])
	c.next += 16
}

func (c *Cursor) uvarint() uint64 {
	var x uint64
	var s uint
	for {
		b := c.data[c.next]
		c.next++
		if b < 0x80 {
			return x | uint64(b)<<s
		}
		x |= uint64(b&0x7f) << s
		s += 7
	}
}

// Value turns the packed cell back into a value.
func (raw *Raw) Value(s *Store) allod.Value {
	switch raw.Type {
	case allod.Integer:
		return allod.IntegerValue(raw.Num)
	case allod.Boolean:
		return allod.BooleanValue(raw.Num != 0)
	case allod.ID:
		return allod.IDValue(raw.ID)
	case allod.Lookup:
		return allod.LookupValue(s.name(raw.Table), raw.ID)
	default:
		return allod.TextValue(raw.Type, raw.Text)
	}
}
