package capture

import (
	"context"
	"fmt"

	"allod"
	"allod/internal/source"
)

// takeFiles replaces the File cells of a row by references to stored bytes.
// Bytes that the vault has already, said by an equal SourceID, are not read
// again. A file that cannot be read leaves its reference without bytes, which
// is a Gap; it never stops the row from being stored.
func (t *tableRun) takeFiles(ctx context.Context, row *allod.Row) error {
	if len(t.files) == 0 {
		return nil
	}
	reader, ok := t.src.(source.FileReader)
	for _, c := range t.files {
		cell := row.Cell(c)
		if cell.Type() != allod.File {
			continue
		}
		f, err := cell.FileRef()
		if err != nil {
			return err
		}
		name := t.table.Columns[c].Name
		known, err := t.knownFile(ctx, row.Ref(), name)
		if err != nil {
			return err
		}
		// On another line the same id can stand for other bytes.
		if t.sameLine && known.Content != "" && f.SourceID != "" && known.SourceID == f.SourceID {
			f.Content, f.SHA256, f.Size = known.Content, known.SHA256, known.Size
			row.Cells[c] = allod.FileValue(f)
			continue
		}
		switch {
		case t.o.NoFiles:
			t.noteUnread(row.Key, "files were left out with --no-files")
			continue
		case !ok:
			t.noteUnread(row.Key, "the source cannot read files")
			continue
		}
		if f, err = t.readFile(ctx, reader, row, name, f); err != nil {
			return err
		}
		row.Cells[c] = allod.FileValue(f)
	}
	return nil
}

// knownFile returns the reference the vault has for the column; zero if none.
func (t *tableRun) knownFile(ctx context.Context, ref allod.RecordRef, column string) (allod.FileRef, error) {
	known, ok, err := t.w.Known(ctx, ref)
	if err != nil {
		return allod.FileRef{}, fatal(err)
	}
	if cell := known.Cell(column); ok && cell.Type() == allod.File {
		return cell.FileRef()
	}
	return allod.FileRef{}, nil
}

// noteUnread remembers a row whose file was not read, to try again next time.
func (t *tableRun) noteUnread(key allod.GUID, why string) {
	t.unread++
	t.lookAgain(key)
	if t.unreadWhy == "" {
		t.unreadWhy = why
	}
}

// readFile stores the bytes of one file. Only errors that end the run, or the
// table, are returned.
func (t *tableRun) readFile(ctx context.Context, reader source.FileReader, row *allod.Row, column string, f allod.FileRef) (allod.FileRef, error) {
	body, err := reader.OpenFile(ctx, t.table, row, column)
	if err != nil {
		if ctx.Err() != nil {
			return f, ctx.Err()
		}
		t.noteUnread(row.Key, fmt.Sprintf("%s: %v", column, err))
		return f, nil
	}
	defer body.Close() //nolint:errcheck // a reader: what matters was returned by Read
	watched := &watchedReader{r: body}
	stored, err := t.w.PutFile(ctx, row.Ref(), f, watched)
	if err != nil {
		if watched.err != nil { // the source broke off, not the vault
			if ctx.Err() != nil {
				return f, ctx.Err()
			}
			t.noteUnread(row.Key, fmt.Sprintf("%s: %v", column, watched.err))
			return f, nil
		}
		return f, fatal(err)
	}
	t.progress.update(func(p *Progress) { p.Files++; p.FileBytes += stored.Size })
	t.mu.Lock()
	t.pending += stored.Size
	t.mu.Unlock()
	return stored, nil
}
