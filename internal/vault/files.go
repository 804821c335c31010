package vault

import (
	"context"
	"io"

	"allod"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/object"
	"allod/internal/vault/stage"
)

// place says where what is staged goes.
func (v *Vault) place() stage.Place {
	return stage.Place{Store: v.cfg.Store, TempDir: v.cfg.TempDir, Vault: v.ID(), Recipients: v.recipients}
}

// PutFile stores the bytes of a file of the record and returns f with Content,
// SHA256 and Size filled, to be put into the row's cell. The same bytes of the
// same record are stored once. A file over 256 KiB goes to the store at once
// and is garbage until the commit. Files of a record whose key is gone, erased or
// restricted, are not stored: f comes back as it was.
func (w *TableWriter) PutFile(ctx context.Context, ref allod.RecordRef, f allod.FileRef, r io.Reader) (allod.FileRef, error) {
	f, err := w.putFile(ctx, ref, f, r)
	return f, object.Named("store a file of table "+w.table.Name, err)
}

func (w *TableWriter) putFile(ctx context.Context, ref allod.RecordRef, f allod.FileRef, r io.Reader) (allod.FileRef, error) {
	if w.finished {
		return f, allod.Errorf(allod.Invalid, "the writer is finished")
	}
	known, err := w.knownFiles(ctx, ref)
	if err != nil {
		return f, err
	}
	head, seed, err := w.o.FileHead(w.number, ref)
	if content.Withheld(err) != "" {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	w.r.mu.Lock()
	capture := w.r.capture + 1
	w.r.mu.Unlock()
	return w.files.Put(ctx, head, seed, capture, f, r, known)
}

// knownFiles returns the files of the record's newest stored version.
func (w *TableWriter) knownFiles(ctx context.Context, ref allod.RecordRef) ([]allod.FileRef, error) {
	row, ok, err := w.Known(ctx, ref)
	if err != nil || !ok {
		return nil, err
	}
	return content.FilesOf(row.Row)
}

// OpenFile opens the bytes of a File cell of a row of this snapshot. NotFound
// when the bytes were never stored, or when the record's key is gone by an act
// on record; Corrupt naming the object. Every chunk is checked before a byte
// of it is given out, and at the end that it was the file this row names: read
// to io.EOF before relying on it.
func (s *Snapshot) OpenFile(ctx context.Context, row *allod.Row, column string) (io.ReadCloser, error) {
	number, err := s.table(row.Table)
	if err != nil {
		return nil, err
	}
	t := s.schema.TableOf(number)
	cell := row.Cell(t.ColumnIndex(column))
	if cell.Type() != allod.File {
		return nil, allod.Errorf(allod.NotFound, "open file %s of %s: the cell holds none", column, row.Table)
	}
	f, err := cell.FileRef()
	if err != nil {
		return nil, err
	}
	o, err := s.opener(ctx, s.v.content)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	r, err := o.File(ctx, s.past, number, row.Ref(), f)
	if err != nil {
		return nil, object.Named("open file "+column+" of "+row.Table, err)
	}
	return r, nil
}
