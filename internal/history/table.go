package history

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strings"

	"allod"
	"allod/internal/source"
)

// detailBatch is how many changed rows are fetched from the first side at once.
const detailBatch = 256

// comparison is the work on one table.
type comparison struct {
	d    *TableDiff
	a, b source.View
	opts *Options
	cols *Columns
	max  int

	side  map[allod.GUID]Digest          // of a: identity → digest
	refs  map[allod.GUID]allod.RecordRef // of a, where the identity is not the key
	dup   map[allod.GUID]int             // how often an identity of a occurred, where it is not the key
	gone  []bool                         // columns that no row of a has
	files map[allod.GUID]allod.Row       // of a: rows with files, cut down to those cells
	pend  []allod.Row                    // rows of b that may differ
	match int64                          // rows that both sides have
}

// readA takes the fingerprints of the first side.
func (c *comparison) readA(ctx context.Context) error {
	c.side = map[allod.GUID]Digest{}
	c.files = map[allod.GUID]allod.Row{}
	if !c.cols.Keyed() {
		c.refs, c.dup = map[allod.GUID]allod.RecordRef{}, map[allod.GUID]int{}
	}
	c.gone = make([]bool, len(c.cols.pairs))
	for i := range c.gone {
		c.gone[i] = true
	}
	for row, err := range c.a.Rows(ctx, c.d.Table) {
		if err != nil {
			return err
		}
		hasFile := false
		for i, p := range c.cols.pairs {
			v := row.Cell(p.a)
			if c.gone[i] && !v.IsAbsent() {
				c.gone[i] = false
			}
			hasFile = hasFile || p.file && v.Type() == allod.File
		}
		id := c.unique(c.cols.Identity(&row, true), c.dup)
		c.side[id] = c.cols.DigestA(&row)
		if c.refs != nil {
			c.refs[id] = row.Ref()
		}
		if hasFile {
			c.files[id] = c.onlyFiles(&row)
		}
	}
	return nil
}

// unique makes the identity of the n-th row that says the same thing its own;
// only parties can say the same thing twice.
func (c *comparison) unique(id allod.GUID, seen map[allod.GUID]int) allod.GUID {
	if seen == nil {
		return id
	}
	n := seen[id]
	seen[id]++
	if n == 0 {
		return id
	}
	sum := sha256.Sum256(append(id[:], byte(n), byte(n>>8), byte(n>>16)))
	var out allod.GUID
	copy(out[:], sum[:])
	return out
}

// onlyFiles copies the row with nothing but what opening its files may need.
func (c *comparison) onlyFiles(r *allod.Row) allod.Row {
	out := *r
	out.Cells = make([]allod.Value, len(r.Cells))
	for _, p := range c.cols.pairs {
		if p.file && p.a < len(out.Cells) {
			out.Cells[p.a] = r.Cells[p.a]
		}
	}
	return out
}

// readB streams the second side against the fingerprints.
func (c *comparison) readB(ctx context.Context) error {
	var dup map[allod.GUID]int
	if c.dup != nil {
		dup = map[allod.GUID]int{}
	}
	for row, err := range c.b.Rows(ctx, c.d.Table) {
		if err != nil {
			return err
		}
		id := c.unique(c.cols.Identity(&row, false), dup)
		want, ok := c.side[id]
		if !ok {
			c.d.Added++
			c.note(Added, row.Ref(), nil)
			continue
		}
		delete(c.side, id)
		c.match++
		if c.cols.digest(&row, false, c.gone) == want {
			if err := c.alike(ctx, id, &row); err != nil {
				return err
			}
			continue
		}
		if c.refs != nil {
			if err := c.natural(ctx, id, &row); err != nil {
				return err
			}
			continue
		}
		c.pend = append(c.pend, row)
		if len(c.pend) >= detailBatch {
			if err := c.detail(ctx); err != nil {
				return err
			}
		}
	}
	return c.detail(ctx)
}

// alike settles a row whose fingerprints agree: only its files may differ.
func (c *comparison) alike(ctx context.Context, id allod.GUID, b *allod.Row) error {
	d := Differences{}
	for i, p := range c.cols.pairs {
		if c.gone[i] || b.Cell(p.b).IsAbsent() {
			d.Absent++
		} else {
			d.Compared++
		}
	}
	if a, ok := c.files[id]; ok {
		df := c.cols.Diff(&a, b)           // every cell but the files is absent in a
		d.Compared -= int64(len(df.Files)) // settle counts them
		d.Columns, d.Files = df.Columns, df.Files
		return c.settle(ctx, &a, b, d)
	}
	return c.settle(ctx, nil, b, d)
}

// natural settles a row that is not found by key: fetched by its own reference.
func (c *comparison) natural(ctx context.Context, id allod.GUID, b *allod.Row) error {
	ref := c.refs[id]
	rows, err := c.a.Get(ctx, c.d.Table, []allod.RecordRef{ref})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return c.settle(ctx, nil, b, Differences{})
	}
	return c.settle(ctx, &rows[0], b, c.cols.Diff(&rows[0], b))
}

// detail compares the pending rows cell by cell.
func (c *comparison) detail(ctx context.Context) error {
	if len(c.pend) == 0 {
		return nil
	}
	refs := make([]allod.RecordRef, len(c.pend))
	for i := range c.pend {
		refs[i] = c.pend[i].Ref()
	}
	rows, err := c.a.Get(ctx, c.d.Table, refs)
	if err != nil {
		return err
	}
	byKey := make(map[allod.GUID]*allod.Row, len(rows))
	for i := range rows {
		byKey[rows[i].Key] = &rows[i]
	}
	for i := range c.pend {
		b := &c.pend[i]
		a := byKey[b.Key]
		if a == nil { // gone meanwhile: a is live
			c.match--
			c.d.Added++
			c.note(Added, b.Ref(), nil)
			continue
		}
		if err := c.settle(ctx, a, b, c.cols.Diff(a, b)); err != nil {
			return err
		}
	}
	c.pend = c.pend[:0]
	return nil
}

// settle reads files where it must and counts the row.
func (c *comparison) settle(ctx context.Context, a, b *allod.Row, d Differences) error {
	for _, col := range d.Files {
		same, known, err := c.sameBytes(ctx, a, b, col)
		switch {
		case err != nil:
			return err
		case !known:
			c.skip(ReasonFile, 1)
		default:
			d.Compared++
			if !same {
				d.Columns = append(d.Columns, col)
			}
		}
	}
	c.d.CellsCompared += d.Compared
	c.skip(ReasonAbsent, d.Absent)
	if len(d.Columns) == 0 {
		c.d.Equal++
		return nil
	}
	slices.Sort(d.Columns)
	c.d.Changed++
	if c.opts.Columns {
		if c.d.Columns == nil {
			c.d.Columns = map[string]int64{}
		}
		for _, n := range d.Columns {
			c.d.Columns[n]++
		}
	}
	c.note(Changed, b.Ref(), d.Columns)
	return nil
}

func (c *comparison) sameBytes(ctx context.Context, a, b *allod.Row, column string) (same, known bool, err error) {
	if c.opts.SkipFiles {
		return false, false, nil
	}
	return SameFile(ctx, c.a, c.b, a, b, column)
}

// hashFile returns the digest of a file's bytes; ok is false when the side
// does not have them.
func hashFile(ctx context.Context, v source.View, r *allod.Row, column string, t *allod.Table) (sum string, ok bool, err error) {
	if f, err := r.Cell(t.ColumnIndex(column)).FileRef(); err == nil && f.SHA256 != "" {
		return f.SHA256, true, nil
	}
	rc, err := v.OpenFile(ctx, r, column)
	switch k := allod.KindOf(err); {
	case k == allod.NotFound || k == allod.Invalid:
		return "", false, nil
	case err != nil:
		return "", false, err
	}
	h := sha256.New()
	_, err = io.Copy(h, rc)
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", false, err
	}
	return hex.EncodeToString(h.Sum(nil)), true, nil
}

// finish counts what is left of the first side and the columns left out.
func (c *comparison) finish() {
	for id := range c.side {
		c.d.Removed++
		ref := allod.RecordRef{Table: c.d.Table, Key: id}
		if c.refs != nil {
			ref = c.refs[id]
		}
		c.note(Removed, ref, nil)
	}
	for _, why := range c.cols.left {
		c.skip(why, c.match)
	}
	c.sortRows()
	c.side, c.refs, c.files, c.dup = nil, nil, nil, nil
}

func (c *comparison) skip(why Reason, n int64) {
	if n == 0 {
		return
	}
	if c.d.CellsNotCompared == nil {
		c.d.CellsNotCompared = map[Reason]int64{}
	}
	c.d.CellsNotCompared[why] += n
}

// note lists a record that differs, when records are asked for.
func (c *comparison) note(change Change, ref allod.RecordRef, columns []string) {
	if !c.opts.Rows {
		return
	}
	if len(c.d.Rows) >= c.max {
		c.d.RowsCut = true
		return
	}
	c.d.Rows = append(c.d.Rows, RowDiff{Change: change, Record: ref, Columns: columns})
}

func (c *comparison) sortRows() {
	slices.SortFunc(c.d.Rows, func(x, y RowDiff) int {
		if n := strings.Compare(string(x.Change), string(y.Change)); n != 0 {
			return n
		}
		if n := bytes.Compare(x.Record.Key[:], y.Record.Key[:]); n != 0 {
			return n
		}
		if n := bytes.Compare(x.Record.Pair[0][:], y.Record.Pair[0][:]); n != 0 {
			return n
		}
		return bytes.Compare(x.Record.Pair[1][:], y.Record.Pair[1][:])
	})
}

// SameFile compares the bytes of one file column of two rows of the same
// record, reading them where no digest is known; known is false when a side
// does not have the bytes.
func SameFile(ctx context.Context, a, b source.View, ra, rb *allod.Row, column string) (same, known bool, err error) {
	ta, tb := a.Schema().Table(ra.Table), b.Schema().Table(rb.Table)
	if ta == nil || tb == nil {
		return false, false, nil
	}
	ha, ok, err := hashFile(ctx, a, ra, column, ta)
	if err != nil || !ok {
		return false, false, err
	}
	hb, ok, err := hashFile(ctx, b, rb, column, tb)
	if err != nil || !ok {
		return false, false, err
	}
	return ha == hb, true, nil
}
