package capture

import (
	"context"
	"fmt"
	"slices"

	"allod"
	"allod/internal/capture/sight"
	"allod/internal/source"
)

// prove asks for the rights again, so that nulls in secured columns are what
// they seem, and for the rows of which that is not enough. It returns the
// rights, nil when the source cannot say; an error when they changed.
func (t *tableRun) prove(ctx context.Context, moment int64) (*source.Rights, error) {
	after, err := t.rightsAfter(ctx, moment)
	finder, ok := t.src.(source.Finder)
	if err != nil || t.before == nil || !ok || t.doubts.Rows == 0 {
		return after, err
	}
	d := t.doubts
	t.doubts = sight.Doubts{}
	for chunk := range slices.Chunk(d.List, fetchBatch) {
		if err := t.lookTwice(ctx, finder, chunk, d.Sample()); err != nil {
			return nil, err
		}
	}
	return t.rightsAfter(ctx, t.asker.Moment())
}

// lookTwice reads rows in doubt again and stores those that show what they did
// not show before. Where they stand for others too, that is the end of the read.
func (t *tableRun) lookTwice(ctx context.Context, finder source.Finder, list []sight.Doubt, sample bool) error {
	keys, was := make([]allod.GUID, len(list)), make(map[allod.GUID]sight.Doubt, len(list))
	for i, x := range list {
		keys[i], was[x.Key] = x.Key, x
	}
	rows, err := finder.Get(ctx, t.table, keys, t.columns)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(r allod.Row) bool {
		x, ok := was[r.Key]
		return !ok || r.Version < x.Version || !slices.ContainsFunc(x.Columns, func(c int) bool { return sight.Shows(&r, c) })
	})
	if sample && slices.ContainsFunc(rows, func(r allod.Row) bool { return r.Version == was[r.Key].Version }) {
		return fmt.Errorf("read %s: %w", t.table.Name, errRightsChanged)
	}
	return t.store(ctx, &source.Page{Rows: rows})
}
