package sourcecheck

import (
	"context"
	"errors"
	"fmt"

	"allod"
	"allod/internal/source"
)

func resume(ctx context.Context, s source.Source) error {
	return small(ctx, s, 2, any1, func(_ *allod.Schema, t *allod.Table, whole []allod.Row) error {
		size := max(len(whole)/3, 1)
		var got []allod.Row
		var next source.Cursor
		for page, err := range s.Read(ctx, source.ReadRequest{Table: t, PageSize: size}) {
			if err != nil {
				return fmt.Errorf("read %s: %w", t.Name, err)
			}
			if page.Last {
				return bad("read %s: %d rows came in one page although %d were asked for", t.Name, len(whole), size)
			}
			got, next = append(got, page.Rows...), page.Next
			break
		}
		if next.Kind != source.CursorNext || next.Token == "" {
			return bad("read %s: a page that is not the last has no cursor", t.Name)
		}
		rest, ended, err := upTo(ctx, s, source.ReadRequest{Table: t, PageSize: size, Cursor: next}, 2*most)
		if err != nil || !ended {
			return fmt.Errorf("resume %s: %w", t.Name, err)
		}
		if want, all := refs(whole), refs(append(got, rest...)); len(all) < len(want) {
			return bad("resume %s: %d rows, at once %d", t.Name, len(all), len(want))
		}
		return nil
	})
}

func stop(ctx context.Context, s source.Source) error {
	return small(ctx, s, 1, any1, func(_ *allod.Schema, t *allod.Table, _ []allod.Row) error {
		n := 0
		for _, err := range s.Read(ctx, source.ReadRequest{Table: t, PageSize: 1}) {
			if err != nil {
				return fmt.Errorf("read %s: %w", t.Name, err)
			}
			n++
			break
		}
		if n != 1 {
			return bad("read %s: %d pages although the reader stopped at the first", t.Name, n)
		}
		return nil
	})
}

func delta(ctx context.Context, s source.Source) error {
	if s.Capabilities().DeltaLife == 0 {
		return Skipped("the source tracks no changes")
	}
	return small(ctx, s, 3, func(t *allod.Table) bool { return t.Tracking }, func(_ *allod.Schema, t *allod.Table, whole []allod.Row) error {
		_, from, err := tracked(ctx, s, source.ReadRequest{Table: t, Track: true})
		if err != nil {
			return err
		}
		rows, again, err := tracked(ctx, s, source.ReadRequest{Table: t, Cursor: from})
		if err != nil {
			return err
		}
		if len(rows) >= len(whole) && len(whole) > 20 {
			return bad("read changes of %s: all %d rows again", t.Name, len(rows))
		}
		_, _, err = tracked(ctx, s, source.ReadRequest{Table: t, Cursor: again})
		return err
	})
}

// tracked reads to the end and returns the cursor of the next changes.
func tracked(ctx context.Context, s source.Source, req source.ReadRequest) (rows []allod.Row, next source.Cursor, err error) {
	for page, err := range s.Read(ctx, req) {
		if err != nil {
			return nil, next, fmt.Errorf("read changes of %s: %w", req.Table.Name, err)
		}
		rows = append(rows, page.Rows...)
		if !page.Last {
			continue
		}
		if page.Delta.Kind != source.CursorDelta || page.Delta.Token == "" {
			return nil, next, bad("read changes of %s: the last page has no cursor for the next ones", req.Table.Name)
		}
		return rows, page.Delta, nil
	}
	return nil, next, bad("read changes of %s: no last page", req.Table.Name)
}

func badCursor(ctx context.Context, s source.Source) error {
	return small(ctx, s, 1, any1, func(_ *allod.Schema, t *allod.Table, _ []allod.Row) error {
		for _, c := range []source.Cursor{{Kind: source.CursorNext, Token: "not a cursor"}, {Kind: source.CursorDelta}, {Kind: "odd", Token: "x"}} {
			_, _, err := upTo(ctx, s, source.ReadRequest{Table: t, Cursor: c}, most)
			if err == nil {
				return bad("read %s: a damaged cursor was taken", t.Name)
			}
		}
		return nil
	})
}

func unreadable(ctx context.Context, s source.Source) error {
	schema, err := describe(ctx, s)
	if err != nil {
		return err
	}
	for i := range schema.Tables {
		if t := &schema.Tables[i]; t.Unreadable != "" {
			if _, _, err := upTo(ctx, s, source.ReadRequest{Table: t}, most); err == nil {
				return bad("read %s: it is said to be unreadable and was read", t.Name)
			}
			return nil
		}
	}
	return Skipped("every table is readable")
}

func cancelled(ctx context.Context, s source.Source) error {
	return small(ctx, s, 1, any1, func(_ *allod.Schema, t *allod.Table, _ []allod.Row) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		_, _, err := upTo(ctx, s, source.ReadRequest{Table: t}, most)
		if !errors.Is(err, context.Canceled) {
			return bad("read %s: cancelled, and the error is %w", t.Name, errOrNone(err))
		}
		return nil
	})
}

func errOrNone(err error) error {
	if err == nil {
		return errors.New("none")
	}
	return err
}

func finder(s source.Source) (source.Finder, error) {
	f, ok := s.(source.Finder)
	if !ok {
		return nil, Skipped("the source finds no single rows")
	}
	return f, nil
}

func keyed(t *allod.Table) bool { return !t.Intersect }

func get(ctx context.Context, s source.Source) error {
	f, err := finder(s)
	if err != nil {
		return err
	}
	return small(ctx, s, 5, keyed, func(_ *allod.Schema, t *allod.Table, rows []allod.Row) error {
		keys := []allod.GUID{{0xa1, 0x10, 0xd0}}
		want := map[allod.GUID]*allod.Row{}
		for i := range rows[:min(len(rows), 30)] {
			keys = append(keys, rows[i].Key)
			want[rows[i].Key] = &rows[i]
		}
		got, err := f.Get(ctx, t, keys, nil)
		if err != nil {
			return fmt.Errorf("get rows of %s: %w", t.Name, err)
		}
		if len(got) != len(want) {
			return bad("get rows of %s: %d of %d", t.Name, len(got), len(want))
		}
		for i := range got {
			w := want[got[i].Key]
			if w == nil {
				return bad("get rows of %s: a row that was not asked for", t.Name)
			}
			if w.Version != got[i].Version {
				continue // changed meanwhile
			}
			for j := range t.Columns {
				if w.Cell(j) != got[i].Cell(j) {
					return bad("get rows of %s: column %s differs from what a read gives", t.Name, t.Columns[j].Name)
				}
			}
		}
		if one, err := f.Get(ctx, t, keys[:1], nil); err != nil || len(one) != 0 {
			return bad("get a row of %s that does not exist: %d rows, error %w", t.Name, len(one), errOrNone(err))
		}
		return nil
	})
}

func query(ctx context.Context, s source.Source) error {
	f, err := finder(s)
	if err != nil {
		return err
	}
	return small(ctx, s, 2, keyed, func(_ *allod.Schema, t *allod.Table, rows []allod.Row) error {
		n := 0
		for row, err := range f.Query(ctx, t, t.Key+" eq "+rows[1].Key.String(), []string{t.Key}) {
			if err != nil {
				return fmt.Errorf("query %s: %w", t.Name, err)
			}
			if row.Key != rows[1].Key {
				return bad("query %s: another row than asked for", t.Name)
			}
			n++
		}
		if n != 1 {
			return bad("query %s by key: %d rows", t.Name, n)
		}
		return nil
	})
}

func count(ctx context.Context, s source.Source) error {
	f, err := finder(s)
	if err != nil {
		return err
	}
	return small(ctx, s, 5, any1, func(_ *allod.Schema, t *allod.Table, _ []allod.Row) error {
		n, err := f.Count(ctx, t)
		if err != nil || n < -1 {
			return bad("count %s: %d, error %w", t.Name, n, errOrNone(err))
		}
		return nil
	})
}

func rights(ctx context.Context, s source.Source) error {
	r, ok := s.(source.RightsReader)
	if !ok {
		return Skipped("the source does not say what its caller may read: absence proves nothing")
	}
	schema, err := describe(ctx, s)
	if err != nil {
		return err
	}
	got, err := r.Rights(ctx, schema)
	if err != nil {
		return fmt.Errorf("ask for rights: %w", err)
	}
	if len(got.Depth) == 0 {
		return bad("rights: the caller may read nothing")
	}
	for name, d := range got.Depth {
		if schema.Table(name) == nil || d > source.DepthGlobal {
			return bad("rights: table %s with depth %d", name, d)
		}
	}
	for name, columns := range got.Hidden {
		t := schema.Table(name)
		for _, c := range columns {
			if t == nil || t.Column(c) == nil || !t.Column(c).Secured {
				return bad("rights: %s.%s is hidden and not a secured column", name, c)
			}
		}
	}
	return nil
}
