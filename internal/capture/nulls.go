package capture

import (
	"context"
	"fmt"
	"slices"

	"allod"
	"allod/internal/source"
)

// maxDoubts is how many rows of a stretch are read a second time for the sake
// of their nulls. Where more are in doubt, so many of them, evenly spread, are.
const maxDoubts = 1000

// doubts are rows with nulls in secured columns that the reader may read, as far
// as is known, while nothing in the same answer proves it: rights may have been
// taken and given back in between.
type doubts struct {
	list  []doubt
	rows  int // in doubt altogether
	every int // one in so many of them is in list
}

type doubt struct {
	key     allod.GUID
	version uint64
	blind   []int // columns: indexes
}

func (d *doubts) add(x doubt) {
	if d.every = max(d.every, 1); d.rows%d.every == 0 {
		if len(d.list) == maxDoubts { // too many: keep every other one, from here on too
			for i := range maxDoubts / 2 {
				d.list[i] = d.list[2*i]
			}
			d.list, d.every = d.list[:maxDoubts/2], 2*d.every
		}
		d.list = append(d.list, x)
	}
	d.rows++
}

// doubt notes the rows of a page that shows nothing at all in a secured column.
// One value is enough to prove that the nulls beside it are what they seem: an
// answer is made with one set of rights.
func (t *tableRun) doubt(page *source.Page) {
	var blind []int
	for _, c := range t.secured {
		if !slices.ContainsFunc(page.Rows, func(r allod.Row) bool { return shows(&r, c) }) {
			blind = append(blind, c)
		}
	}
	for i := range page.Rows {
		if k := page.Rows[i].Key; len(blind) > 0 && !k.IsZero() {
			t.doubts.add(doubt{k, page.Rows[i].Version, blind})
		}
	}
}

func shows(r *allod.Row, column int) bool {
	v := r.Cell(column)
	return !v.IsNull() && !v.IsAbsent()
}

// prove asks for the rights again, so that nulls in secured columns are what
// they seem, and for the rows of which that is not enough. It returns the
// rights, nil when the source cannot say; an error when they changed.
func (t *tableRun) prove(ctx context.Context, moment int64) (*source.Rights, error) {
	after, err := t.rightsAfter(ctx, moment)
	finder, ok := t.src.(source.Finder)
	if err != nil || t.before == nil || !ok || t.doubts.rows == 0 {
		return after, err
	}
	d := t.doubts
	t.doubts = doubts{}
	for chunk := range slices.Chunk(d.list, fetchBatch) {
		if err := t.lookTwice(ctx, finder, chunk, d.every > 1); err != nil {
			return nil, err
		}
	}
	return t.rightsAfter(ctx, t.asker.moment())
}

// lookTwice reads rows in doubt again and stores those that show what they did
// not show before. Where they stand for others too, that is the end of the read.
func (t *tableRun) lookTwice(ctx context.Context, finder source.Finder, list []doubt, sample bool) error {
	keys, was := make([]allod.GUID, len(list)), make(map[allod.GUID]doubt, len(list))
	for i, x := range list {
		keys[i], was[x.key] = x.key, x
	}
	rows, err := finder.Get(ctx, t.table, keys, t.columns)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r allod.Row) bool {
		x, ok := was[r.Key]
		return !ok || r.Version < x.version || !slices.ContainsFunc(x.blind, func(c int) bool { return shows(&r, c) })
	})
	if sample && slices.ContainsFunc(rows, func(r allod.Row) bool { return r.Version == was[r.Key].version }) {
		return fmt.Errorf("read %s: %w", t.table.Name, errRightsChanged)
	}
	return t.store(ctx, &source.Page{Rows: rows})
}
