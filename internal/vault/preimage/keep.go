// Package preimage keeps in the vault what rows of an environment were like
// right before a restore wrote to them, so that it can be taken back (FORMAT.md
// §6.5). Each row is sealed under the key of its own record, so that whatever
// destroys or locks that key reaches it too. It asks nobody whether the caller
// may see what it opens: that is package vault's part.
package preimage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/reseal"
	"allod/internal/vault/rowcodec"
	"allod/internal/vault/seal"
	"allod/internal/vault/stage"
)

// maxTries is how many entries of others may come between.
const maxTries = 100

// Site is the vault that is worked on, and the environment. It is made by package
// vault and does not change.
type Site struct {
	reseal.Job // of the environment
	Log        *journal.Log
	Key        ed25519.PrivateKey // of use undo; nil = nothing can be kept
	Now        func() time.Time
	Ledger     vlog.LedgerRoot                 // head of the ledger with the decision that allowed it
	Settle     func(ctx context.Context) error // brings log and key tree to their end
	Index      [32]byte                        // index key
	Name       string                          // of the environment
	Hidden     []escrow.Tag                    // records that no function shows
}

// Row is a record as it is before it is written to.
type Row struct {
	Ref   allod.RecordRef
	Row   *allod.Row   // nil = it is not there
	Table *allod.Table // whose columns Row.Cells stand parallel to
	Files []string     // columns whose bytes are kept
	// Open opens the bytes of one of Files; it may be called again.
	Open func(ctx context.Context, column string) (io.ReadCloser, error)
}

// Lacks returns the columns that nothing can be kept of, as the environment's
// newest snapshot does not know them; true for the whole table where it does not
// know that.
func (s *Site) Lacks(table string, columns []string) ([]string, bool) {
	t := s.Schema.TableOf(s.Schema.NumberOf(table))
	if t == nil {
		return nil, true
	}
	return slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return t.ColumnIndex(c) >= 0 }), false
}

// Keep stores rows for the run, in one log entry. When it returns nil they are
// durable. Rows of records whose key is gone are left out. Denied for who may
// not sign; Conflict for a table that the environment's newest snapshot does not
// know; after an error nothing is stored, or, where the store could not say, all
// of it, which does no harm.
func (s *Site) Keep(ctx context.Context, run string, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	if s.Key == nil {
		return allod.WithHint(allod.Errorf(allod.Denied, "keep what was there before a restore: this slot may not sign it"), "Name a slot of role restore, or one that may do everything, with --key.")
	}
	for range maxTries {
		err := s.attempt(ctx, run, rows)
		if !errors.Is(err, errRekeyed) {
			return object.Named("keep what was there before a restore", err)
		}
	}
	return allod.Errorf(allod.Unavailable, "keep what was there before a restore: keys were destroyed %d times meanwhile", maxTries)
}

// errRekeyed says that the epoch of the key tree has moved since rows were
// sealed.
var errRekeyed = errors.New("the epoch of the key tree has moved")

// staged is a row on its way.
type staged struct {
	table uint32
	tag   keytree.Tag
	bytes []byte
}

func (s *Site) attempt(ctx context.Context, run string, rows []Row) error {
	if err := s.Settle(ctx); err != nil {
		return err
	}
	tree := s.Reader.Tree()
	o, err := s.Reader.Opener(s.Environment, s.Schema)
	if err != nil {
		return err
	}
	defer o.Close()
	files := stage.NewFiles(s.To, s.Limit)
	defer files.Close()
	packs, err := stage.NewPacks(s.To, stage.Capture{Environment: s.Environment, Tree: tree, Index: s.Index})
	if err != nil {
		return err
	}
	defer packs.Close()
	var all []staged
	for i := range rows {
		one, err := s.stage(ctx, o, files, &rows[i])
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b staged) int { return cmp.Or(cmp.Compare(a.table, b.table), bytes.Compare(a.tag[:], b.tag[:])) })
	for i, one := range all {
		if i > 0 && one.table == all[i-1].table && one.tag == all[i-1].tag {
			return allod.Errorf(allod.Invalid, "a record is named twice")
		}
		if err := packs.Add(ctx, one.table, s.Schema.Number, one.tag, one.bytes); err != nil {
			return err
		}
	}
	if err := packs.Files(ctx, []*stage.Files{files}); err != nil {
		return err
	}
	if err := packs.Finish(ctx); err != nil || packs.Empty() {
		return err
	}
	return s.commit(ctx, run, tree, slices.Concat(packs.Done(), files.Large()))
}

// stage encodes a row against the environment's schema, its files sealed.
func (s *Site) stage(ctx context.Context, o *content.Opener, files *stage.Files, r *Row) (staged, error) {
	number := s.Schema.NumberOf(r.Ref.Table)
	t := s.Schema.TableOf(number)
	if t == nil {
		return staged{}, allod.WithHint(allod.Errorf(allod.Conflict, "table %s: the newest snapshot of %s does not know it", r.Ref.Table, s.Name), "Run `allod backup %s` first.", s.Name)
	}
	out := staged{table: number, tag: o.Tag(number, r.Ref.Key, r.Ref.Pair)}
	row := seal.Row{Key: r.Ref.Key, Pair: r.Ref.Pair, Reason: allod.DeleteSaid}
	if r.Row == nil {
		out.bytes = stage.AppendRow(nil, seal.OpDelete, &row)
		return out, nil
	}
	cells := make([]allod.Value, len(t.Columns))
	for i := range t.Columns {
		name := t.Columns[i].Name
		cells[i] = r.Row.Cell(r.Table.ColumnIndex(name))
		if cells[i].Type() != allod.File {
			continue
		}
		f, err := cells[i].FileRef()
		if err != nil {
			return out, err
		}
		if f.Content = ""; slices.Contains(r.Files, name) {
			if f, err = s.file(ctx, o, files, r, number, name, f); err != nil {
				return out, object.Named("a file of table "+r.Ref.Table, err)
			}
		}
		cells[i] = allod.FileValue(f)
	}
	var err error
	row.Version, row.Modified, row.Reason = r.Row.Version, r.Row.Modified, 0
	if row.Content, err = rowcodec.Append(nil, cells, s.Schema.Names); err != nil {
		return out, err
	}
	if len(row.Content) > seal.MaxContent {
		return out, allod.Errorf(allod.Invalid, "table %s: a row has %d bytes, more than %d", r.Ref.Table, len(row.Content), seal.MaxContent)
	}
	out.bytes = stage.AppendRow(nil, seal.OpPut, &row)
	return out, nil
}

// file stores the bytes of a file; one of a record whose key is gone is not
// stored.
func (s *Site) file(ctx context.Context, o *content.Opener, files *stage.Files, r *Row, number uint32, column string, f allod.FileRef) (allod.FileRef, error) {
	head, seed, err := o.FileHead(number, r.Ref)
	if content.Withheld(err) != "" {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	in, err := r.Open(ctx, column)
	if err != nil {
		return f, err
	}
	f, err = files.Put(ctx, head, seed, 0, f, in, nil)
	return f, errors.Join(err, in.Close())
}

// commit puts the log entry.
func (s *Site) commit(ctx context.Context, run string, tree *keytree.State, objects []vlog.Object) error {
	for range maxTries {
		if err := s.Settle(ctx); err != nil {
			return err
		}
		if err := s.Log.Stands(ctx); err != nil {
			return err
		}
		if s.Reader.Tree() != tree {
			return errRekeyed
		}
		chain := s.Log.Chain()
		now, err := journal.Stamp(s.Now(), chain.Time)
		if err != nil {
			return err
		}
		e := &vlog.Entry{
			Vault: fmt.Sprintf("%x", s.To.Vault[:]), N: chain.N + 1, Prev: chain.Last, Kind: vlog.KindUndo, Run: run, Time: now, Environment: s.Environment, Base: chain.Capture[s.Environment],
			Root: tree.Root(), Epoch: tree.Epoch(), Objects: objects, Ledger: s.Ledger,
		}
		if err := s.Reader.Seal(e, &meta.Part{Environment: s.Name, Schema: s.Schema.Number, SchemaEntry: s.Schema.Entry}); err != nil {
			return err
		}
		b, _, err := e.Encode(s.Key)
		if err != nil {
			return err
		}
		taken, err := s.Log.Put(ctx, b, e.N)
		if err != nil {
			return err
		}
		if !taken {
			_, err := s.Log.AddOwn(b, e.N)
			return err
		}
	}
	return allod.Errorf(allod.Unavailable, "write the log: others were faster %d times", maxTries)
}
