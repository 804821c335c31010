package history

import (
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
)

// Reason says why cells were not compared. The list is closed: a cell of two
// rows that exist on both sides is either compared or counted under one of
// these. A column that the sources never give a value for (Column.Unreadable)
// has no cells: what the label of a lookup would say is said by the lookup.
type Reason string

// The closed list of reasons.
const (
	ReasonMetadata Reason = allod.NotWritableMetadata           // Options.Writable only
	ReasonComputed Reason = allod.NotWritableComputed           // Options.Writable only
	ReasonPlatform Reason = allod.NotWritablePlatform           // Options.Writable only, and the source's own ids of pairs and parties
	ReasonAbsent   Reason = "not read on one side"              // absent cells: excluded, secured
	ReasonOneSide  Reason = "column exists on one side only"    // the schemas differ
	ReasonExcluded Reason = "left out by choice"                // Options.Include, Options.Exclude
	ReasonDerived  Reason = "follows from other cells"          // Column.Derived: never stored; in Writable mode why it is not writable counts
	ReasonFile     Reason = "file content not read on one side" // --no-files, or Options.SkipFiles
)

// reassigned are writable columns whose value the platform sets anew when a row
// is created again: overriddencreatedon becomes the time of the insert
// (protocols/dataverse.md §6.7).
func reassigned(column string) bool { return column == "overriddencreatedon" }

// ColumnOptions choose what of two tables is compared. The zero value compares
// every column that both sides have.
type ColumnOptions struct {
	// Writable leaves out what a restore could not write.
	Writable bool
	// Include, when not empty, names the only columns to compare; Exclude
	// names columns to leave out. Entries are COLUMN or TABLE.COLUMN.
	Include, Exclude []string
	// Map translates a value of the first side before it is compared, e.g. a
	// user's id into that of the same person in another environment; nil = as
	// it is. It is called from several goroutines.
	Map func(v allod.Value) allod.Value
	// SameSource says that both sides are moments of one environment, so
	// that equal FileRef.SourceID means equal bytes.
	SameSource bool
}

func (o *ColumnOptions) chosen(table, column string) bool {
	if named(o.Exclude, table, column) {
		return false
	}
	return len(o.Include) == 0 || named(o.Include, table, column)
}

func named(list []string, table, column string) bool {
	for _, n := range list {
		if n == column {
			return true
		}
		if rest, ok := strings.CutPrefix(n, table+"."); ok && rest == column {
			return true
		}
	}
	return false
}

// Columns compares rows of one table from two sides column by column, by name.
// It is immutable and safe for use from several goroutines.
type Columns struct {
	a, b     *allod.Table
	opts     ColumnOptions
	pairs    []columnPair
	left     map[string]Reason
	identity []int // positions in a of the columns that identify a row instead of its key
	identB   []int
}

type columnPair struct {
	name string
	a, b int // positions in the tables' Columns
	file bool
}

// NewColumns matches the columns of two tables of the same name by name. In
// Writable mode a column counts when a row can be created or updated with it
// on both sides.
func NewColumns(a, b *allod.Table, opts ColumnOptions) *Columns {
	c := &Columns{a: a, b: b, opts: opts, left: map[string]Reason{}}
	c.identity, c.identB = natural(a), natural(b)
	if len(c.identity) != len(c.identB) {
		c.identity, c.identB = nil, nil
	}
	for i := range a.Columns {
		ca := &a.Columns[i]
		j := b.ColumnIndex(ca.Name)
		if j < 0 {
			c.left[ca.Name] = ReasonOneSide
			continue
		}
		if ca.Unreadable != "" && b.Columns[j].Unreadable != "" {
			continue // rows have no cell for it on either side
		}
		if why := c.leftOut(ca, &b.Columns[j]); why != "" {
			c.left[ca.Name] = why
			continue
		}
		c.pairs = append(c.pairs, columnPair{name: ca.Name, a: i, b: j, file: ca.Type == allod.File || b.Columns[j].Type == allod.File})
	}
	for i := range b.Columns {
		if a.ColumnIndex(b.Columns[i].Name) < 0 {
			c.left[b.Columns[i].Name] = ReasonOneSide
		}
	}
	slices.SortFunc(c.pairs, func(x, y columnPair) int { return strings.Compare(x.name, y.name) })
	return c
}

// leftOut returns why the column is not compared, "" if it is.
func (c *Columns) leftOut(a, b *allod.Column) Reason {
	if a.Derived != "" || b.Derived != "" {
		if c.opts.Writable && !a.Create && !a.Update {
			return unwritable(a)
		}
		return ReasonDerived
	}
	if a.Name == c.a.Key && (c.a.Intersect || c.identity != nil) {
		return ReasonPlatform // the source's own id of a pair or of a party
	}
	if !c.opts.chosen(c.a.Name, a.Name) {
		return ReasonExcluded
	}
	if !c.opts.Writable || a.Name == c.a.Key {
		return ""
	}
	if reassigned(a.Name) {
		return ReasonPlatform
	}
	for _, col := range []*allod.Column{a, b} {
		if !col.Create && !col.Update && (col.Type != allod.File || unwritable(col) != ReasonMetadata) {
			return unwritable(col) // files are written by a way of their own, whatever the metadata says
		}
	}
	return ""
}

func unwritable(c *allod.Column) Reason {
	switch c.Unwritable {
	case allod.NotWritableComputed:
		return ReasonComputed
	case allod.NotWritablePlatform:
		return ReasonPlatform
	}
	return ReasonMetadata
}

// natural returns the columns that identify rows of the table when its key
// does not. The parties of an activity are written as a whole list and get new
// ids each time (protocols/dataverse.md §6.1).
func natural(t *allod.Table) []int {
	if t.Name != "activityparty" {
		return nil
	}
	var out []int
	for _, n := range []string{"activityid", "participationtypemask", "partyid"} {
		i := t.ColumnIndex(n)
		if i < 0 {
			return nil
		}
		out = append(out, i)
	}
	if i := t.ColumnIndex("addressused"); i >= 0 {
		out = append(out, i)
	}
	return out
}

// Positions in what natural returns. The platform fills in the address of a
// party that is a row, so the address counts only where there is none.
const (
	partyWho     = 2
	partyAddress = 3
)

// Digest is a fingerprint of the compared cells of a row. Equal digests of two
// sides mean equal rows but for files; different digests mean nothing yet:
// ask Diff.
type Digest [32]byte

// DigestA returns the fingerprint of a row of the first side. Absent cells do
// not count towards it.
func (c *Columns) DigestA(r *allod.Row) Digest { return c.digest(r, true, nil) }

// DigestB returns the fingerprint of a row of the second side.
func (c *Columns) DigestB(r *allod.Row) Digest { return c.digest(r, false, nil) }

func (c *Columns) digest(r *allod.Row, first bool, skip []bool) Digest {
	buf := make([]byte, 0, 1024)
	for i, p := range c.pairs {
		if skip != nil && skip[i] {
			continue
		}
		var v allod.Value
		if first {
			v = c.mapped(r.Cell(p.a))
		} else {
			v = r.Cell(p.b)
		}
		buf = appendCell(buf, i, v)
	}
	return sha256.Sum256(buf)
}

func (c *Columns) mapped(v allod.Value) allod.Value {
	if c.opts.Map == nil || v.IsAbsent() || v.IsNull() {
		return v
	}
	return c.opts.Map(v)
}

// appendCell appends the canonical form of a cell: equal bytes for equal
// cells, and nothing for an absent one.
func appendCell(buf []byte, column int, v allod.Value) []byte {
	if v.IsAbsent() {
		return buf
	}
	buf = binary.BigEndian.AppendUint16(buf, uint16(column))
	buf = append(buf, byte(v.Type()))
	switch v.Type() {
	case allod.Integer, allod.Boolean:
		buf = binary.BigEndian.AppendUint64(buf, uint64(v.Int()))
	case allod.ID:
		g := v.GUID()
		buf = append(buf, g[:]...)
	case allod.Lookup:
		t, id := v.Target()
		buf = append(buf, id[:]...)
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(t)))
		buf = append(buf, t...)
	case allod.File: // compared apart: its bytes are elsewhere
	default:
		t := v.Text()
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(t)))
		buf = append(buf, t...)
	}
	return buf
}

// Differences is the outcome of comparing one row with its counterpart.
type Differences struct {
	Columns  []string // names of the columns that differ, sorted
	Files    []string // file columns whose references do not settle it: compare the bytes
	Compared int64    // cells compared, Files not among them
	Absent   int64    // cells not compared because one side was not read
}

// Diff compares two rows of the same record, cell by cell.
func (c *Columns) Diff(a, b *allod.Row) Differences {
	var d Differences
	for _, p := range c.pairs {
		va, vb := c.mapped(a.Cell(p.a)), b.Cell(p.b)
		if va.IsAbsent() || vb.IsAbsent() {
			d.Absent++
			continue
		}
		if va.Type() == allod.File && vb.Type() == allod.File {
			same, known := sameFile(va, vb, c.opts.SameSource)
			if !known {
				d.Files = append(d.Files, p.name)
				continue
			}
			d.Compared++
			if !same {
				d.Columns = append(d.Columns, p.name)
			}
			continue
		}
		d.Compared++
		if !Equal(va, vb) {
			d.Columns = append(d.Columns, p.name)
		}
	}
	return d
}

// sameFile compares two references; known is false when only the bytes can
// tell. A size of zero and an empty name mean that nothing was said.
func sameFile(a, b allod.Value, sameSource bool) (same, known bool) {
	fa, errA := a.FileRef()
	fb, errB := b.FileRef()
	if errA != nil || errB != nil {
		return false, true
	}
	switch {
	case fa.Name != "" && fb.Name != "" && fa.Name != fb.Name:
		return false, true
	case fa.SHA256 != "" && fb.SHA256 != "":
		return fa.SHA256 == fb.SHA256, true
	case fa.Size > 0 && fb.Size > 0 && fa.Size != fb.Size:
		return false, true
	case sameSource && fa.SourceID != "" && fa.SourceID == fb.SourceID:
		return true, true
	}
	return false, false
}

// Equal reports whether two cells say the same: identical values, numbers that
// differ in trailing zeros only, times that are the same instant, and lookups
// of the same row where one side does not name the table. Absent cells are
// equal only to absent cells; ask IsAbsent first.
func Equal(a, b allod.Value) bool {
	if a == b {
		return true
	}
	if a.Type() != b.Type() {
		return false
	}
	switch a.Type() {
	case allod.Decimal:
		x, okx := new(big.Rat).SetString(clean(a.Text()))
		y, oky := new(big.Rat).SetString(clean(b.Text()))
		return okx && oky && x.Cmp(y) == 0
	case allod.Double:
		x, errx := strconv.ParseFloat(a.Text(), 64)
		y, erry := strconv.ParseFloat(b.Text(), 64)
		return errx == nil && erry == nil && x == y
	case allod.DateTime:
		x, errx := time.Parse(time.RFC3339Nano, a.Text())
		y, erry := time.Parse(time.RFC3339Nano, b.Text())
		return errx == nil && erry == nil && x.Equal(y)
	case allod.Lookup:
		ta, ia := a.Target()
		tb, ib := b.Target()
		return ia == ib && (ta == "" || tb == "")
	default: // identical or not
	}
	return false
}

// clean guards big.Rat against absurd exponents and fractions: only plain
// decimal digits of moderate length are parsed as numbers.
func clean(s string) string {
	if len(s) > 64 || strings.ContainsAny(s, "/_eEpPxX") {
		return ""
	}
	return s
}

// Identity returns what rows of both sides are matched by: the key; the two
// ids of a pair; for activity parties, which get new ids whenever the list is
// written, a digest of what they say.
func (c *Columns) Identity(r *allod.Row, first bool) allod.GUID {
	cols := c.identity
	if !first {
		cols = c.identB
	}
	return identify(r, cols)
}

func identify(r *allod.Row, cols []int) allod.GUID {
	var id allod.GUID
	switch {
	case r.Pair != [2]allod.GUID{}:
		sum := sha256.Sum256(append(append([]byte(nil), r.Pair[0][:]...), r.Pair[1][:]...))
		copy(id[:], sum[:])
	case cols != nil:
		buf := make([]byte, 0, 128)
		who := false
		for i, col := range cols {
			v := r.Cell(col)
			if v.IsNull() || v.IsAbsent() || i == partyAddress && who {
				continue
			}
			if v.Type() == allod.Lookup { // the activity's table is named differently by different sources
				v = allod.IDValue(v.GUID())
				who = who || i == partyWho
			}
			buf = appendCell(buf, i, v)
		}
		sum := sha256.Sum256(buf)
		copy(id[:], sum[:])
	default:
		return r.Key
	}
	return id
}

// Keyed reports whether rows are matched by their primary key.
func (c *Columns) Keyed() bool { return c.identity == nil && !c.a.Intersect && !c.b.Intersect }
