package capture

import (
	"context"
	"iter"
	"maps"
	"slices"

	"allod"
	"allod/internal/capture/judge"
	"allod/internal/source"
)

// maxAgain is how many rows of a table are remembered to be read again; with
// more, the table is read whole.
const maxAgain = 1000

// errNoResume says that a read that was cut off cannot go on where it stopped.
var errNoResume = allod.Errorf(allod.Invalid, "the read cannot go on where it was cut off")

// lookAgain remembers a row to be read by the next capture although nothing
// will say that it changed.
func (t *tableRun) lookAgain(key allod.GUID) {
	if key.IsZero() || len(t.again) > maxAgain {
		return
	}
	if t.again == nil {
		t.again = map[allod.GUID]bool{}
	}
	t.again[key] = true
}

// readAgain reads the rows that the capture before remembered, and that were
// not read anyway. Rows that the source has not are forgotten: the changes say
// that they are deleted.
func (t *tableRun) readAgain(ctx context.Context, keys []allod.GUID) error {
	keys = slices.DeleteFunc(slices.Clone(keys), func(k allod.GUID) bool { return t.gone[k] })
	_, err := t.fetch(ctx, keys, nil)
	return err
}

// notFound remembers what the source said had changed, and then had not, or
// older.
func (t *tableRun) notFound(asked []allod.GUID, found map[allod.GUID]bool, said map[allod.GUID]uint64) {
	for _, id := range asked {
		if _, is := said[id]; is && !found[id] {
			t.lookAgain(id)
			if t.behind == nil {
				t.behind = map[allod.GUID]bool{}
			}
			t.behind[id] = true
		} else {
			delete(t.behind, id)
		}
	}
}

// unreadBefore reports whether files were left out before that this run leaves
// out too, and that are too many to be listed.
func (t *tableRun) unreadBefore() bool {
	return t.o.NoFiles && t.ts.Unread > 0 && len(t.ts.Again) == 0
}

// remember puts into the state what the next capture must look at again, and
// what the stored rows lack. The caller holds mu.
func (t *tableRun) remember(ts *TableState) {
	ts.Again, ts.Whole, ts.Unread = nil, t.unproven || len(t.behind) > maxAgain, t.unread+t.owedFiles
	if len(t.again)+len(t.owed) <= maxAgain && !t.tooMany {
		ts.Again = slices.Collect(maps.Keys(t.again))
		ts.Again = slices.Compact(slices.SortedFunc(slices.Values(append(ts.Again, t.owed...)), compareKeys))
	} else if len(t.behind) > 0 {
		ts.Whole = true
	}
	ts.Gaps = nil
	for _, g := range t.gaps {
		if g.Table == t.table.Name && judge.Lasting(g.Kind) {
			ts.Gaps = append(ts.Gaps, g)
		}
	}
}

func compareKeys(a, b allod.GUID) int { return slices.Compare(a[:], b[:]) }

// pages reads like the source, and holds it to its word: a read that ends
// without its last page has broken off.
func (t *tableRun) pages(ctx context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		last := false
		dater, _ := t.src.(source.Dater)
		before := t.counter.Now() // a token is as old as the first page
		if req.Cursor.Kind == source.CursorNext {
			before = 0 // which was read who knows when
		}
		for page, err := range t.src.Read(ctx, req) {
			last = err != nil || page.Last
			if dater != nil && page.Delta != (source.Cursor{}) {
				t.counter.Saw(dater.TokenVersion(page.Delta), before)
			}
			if !yield(page, err) || last {
				return
			}
		}
		if !last {
			yield(source.Page{}, allod.Errorf(allod.Unavailable, "read %s: the source ended before its last page", req.Table.Name))
		}
	}
}
