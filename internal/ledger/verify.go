package ledger

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"allod"
)

// Report is what Verify found. Bad is empty when all is as it was written.
type Report struct {
	Entries     int64
	Tiles       int64
	Checkpoints int64
	Witnessed   int64 // checkpoints that others have cosigned
	Bad         []Bad // in the order of names within entries, checkpoints, tiles, others
}

// Bad is an object that is not what was stored.
type Bad struct {
	Object string
	What   string
	Kind   allod.Kind // Corrupt, or NotFound for one that is missing
}

// maxBad bounds a report; a ledger with more is not worth listing.
const maxBad = 1000

func (r *Report) bad(object, what string, kind allod.Kind) {
	if len(r.Bad) < maxBad {
		r.Bad = append(r.Bad, Bad{Object: object, What: what, Kind: kind})
	}
}

// Verify reads every object of the ledger and compares: number, signature and
// chain of each entry, each tile and each checkpoint against the tree of the
// entries, and the head this process knows. It needs 64 bytes of memory per
// entry and no key. The error is for a store that cannot be read; what is
// wrong with the ledger stands in the report.
func (l *Ledger) Verify(ctx context.Context) (Report, error) { return l.verify(ctx, nil) }

func (l *Ledger) verify(ctx context.Context, seen []Head) (Report, error) {
	head := l.Head()
	v := &verification{l: l, head: Head{Hash: emptyTree()}}
	// Names first: what others append meanwhile is then covered by the entries.
	others, err := v.others(ctx)
	if err != nil {
		return Report{}, err
	}
	if err := v.entries(ctx); err != nil {
		return Report{}, err
	}
	if v.head.Size < head.Size {
		v.report.bad(entryName(v.head.Size), "missing: the ledger has been longer than it is now; its end was cut off", allod.NotFound)
	} else if got, err := v.rootAt(head.Size); err != nil || got != head.Hash {
		if !v.broken {
			v.report.bad(entryPrefix, "the entries are not those that were there before", allod.Corrupt)
		}
	}
	for _, h := range seen {
		if h.Size < 1 || h.Size > v.good {
			continue // what is wrong before it, or missing, is reported already
		}
		if got, err := v.rootAt(h.Size); err != nil || got != h.Hash {
			v.report.bad(entryName(h.Size-1), "the entries up to this one are not those that were there before", allod.Corrupt)
		}
	}
	for _, name := range others {
		if err := v.other(ctx, name); err != nil {
			return Report{}, err
		}
	}
	return v.report, nil
}

// Verify is Ledger.Verify for a ledger that need not open any more: it needs
// no key but Config.Trusted, appends nothing, and compares with
// Config.Remembered and Config.Seen instead of a head seen on opening.
func Verify(ctx context.Context, c Config) (Report, error) {
	if c.Store == nil || c.Vault.IsZero() {
		return Report{}, allod.Errorf(allod.Invalid, "verify the ledger: no store or no vault is named")
	}
	l := &Ledger{store: c.Store, vault: c.Vault, trusted: c.Trusted, head: c.Remembered}
	if l.head == (Head{}) {
		l.head.Hash = emptyTree()
	}
	var err error
	if l.verifiers, err = verifiers(c.Vault, c.Trusted); err != nil {
		return Report{}, err
	}
	return l.verify(ctx, c.Seen)
}

// verification rebuilds the tree from the entries alone.
type verification struct {
	l      *Ledger
	report Report
	stored []tlog.Hash // by tlog.StoredHashIndex
	head   Head
	broken bool  // the tree is not the signed one from here on
	good   int64 // entries before the first that is wrong
}

// ReadHashes implements tlog.HashReader over the rebuilt tree.
func (v *verification) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(v.stored)) {
			return nil, allod.Errorf(allod.Internal, "verify the ledger: hash %d lies beyond the tree", x)
		}
		out[i] = v.stored[x]
	}
	return out, nil
}

func (v *verification) rootAt(size int64) (tlog.Hash, error) {
	if size == 0 {
		return emptyTree(), nil
	}
	return tlog.TreeHash(size, v)
}

// entries reads the entries by number, as far as a name was listed and while
// there are more: a listing may be late, or name an object twice.
func (v *verification) entries(ctx context.Context) error {
	end := int64(0) // behind the last number listed
	for info, err := range v.l.store.List(ctx, entryPrefix) {
		if err != nil {
			return allod.Errorf(allod.KindOf(err), "list the entries of the ledger: %w", err)
		}
		n, ok := number(info.Name, entryPrefix)
		if !ok {
			v.report.bad(info.Name, "not the name of an entry", allod.Corrupt)
			continue
		}
		end = max(end, n+1)
	}
	for {
		n := v.head.Size
		object, err := read(ctx, v.l.store, entryName(n), maxObject)
		switch {
		case allod.KindOf(err) == allod.NotFound:
			if n < end {
				v.report.bad(entryName(n), "missing, although later entries are there", allod.NotFound)
				v.broken = true // nothing can be said of entries after a hole
			}
			return nil
		case err != nil && allod.KindOf(err) != allod.Corrupt:
			return err
		}
		if err := v.entry(n, object, err); err != nil {
			return err
		}
	}
}

// entry checks one object and takes it into the tree as it is, so that the
// next ones are still looked at.
func (v *verification) entry(n int64, object []byte, readErr error) error {
	v.report.Entries++
	p, err := openEntry(object, v.l.vault, v.l.verifiers)
	switch {
	case readErr != nil:
		v.report.bad(entryName(n), "too long", allod.Corrupt)
		v.broken = true
	case err != nil:
		v.report.bad(entryName(n), err.Error(), allod.Corrupt)
		v.broken = true
	case p.n != n:
		v.report.bad(entryName(n), "holds another number", allod.Corrupt)
		v.broken = true
	case p.before != v.head.Hash && !v.broken:
		v.report.bad(entryName(n), "was written after other entries than those stored before it", allod.Corrupt)
		v.broken = true
	}
	stored, err := tlog.StoredHashes(n, object, v)
	if err != nil {
		return allod.Errorf(allod.Internal, "verify the ledger: %w", err)
	}
	v.stored = append(v.stored, stored...)
	root, err := tlog.TreeHash(n+1, v)
	if err != nil {
		return allod.Errorf(allod.Internal, "verify the ledger: %w", err)
	}
	v.head = Head{Size: n + 1, Hash: root}
	if !v.broken {
		v.good = n + 1
	}
	return nil
}

// others lists everything under ledger/ that is not an entry.
func (v *verification) others(ctx context.Context) ([]string, error) {
	var names []string
	for info, err := range v.l.store.List(ctx, prefix) {
		if err != nil {
			return nil, allod.Errorf(allod.KindOf(err), "list the objects of the ledger: %w", err)
		}
		if !strings.HasPrefix(info.Name, entryPrefix) {
			names = append(names, info.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (v *verification) other(ctx context.Context, name string) error {
	switch {
	case strings.HasPrefix(name, checkpointPrefix):
		v.report.Checkpoints++
		return v.checkpoint(ctx, name)
	case strings.HasPrefix(name, tilePrefix):
		v.report.Tiles++
		return v.tile(ctx, name)
	case strings.HasPrefix(name, witnessPrefix):
		v.report.Witnessed++
		return v.witnessed(ctx, name)
	}
	v.report.bad(name, "not an object of the ledger", allod.Corrupt)
	return nil
}

func (v *verification) checkpoint(ctx context.Context, name string) error {
	size, ok := number(name, checkpointPrefix)
	if !ok {
		v.report.bad(name, "not the name of a checkpoint", allod.Corrupt)
		return nil
	}
	h, err := v.l.readCheckpoint(ctx, size)
	return v.compare(name, h, err)
}

// witnessed checks a cosigned checkpoint as far as that needs no witness's key.
func (v *verification) witnessed(ctx context.Context, name string) error {
	object, err := read(ctx, v.l.store, name, maxNote)
	var h Head
	if err == nil {
		h, err = CheckCheckpoint(object, v.l.vault, v.l.trusted)
	}
	if err == nil && name != witnessName(h.Size, object) {
		err = allod.Errorf(allod.Corrupt, "it is not what its name says")
	}
	return v.compare(name, h, err)
}

// compare reports a checkpoint that does not fit the entries; err is that of
// reading it.
func (v *verification) compare(name string, h Head, err error) error {
	switch kind := allod.KindOf(err); {
	case kind == allod.Corrupt:
		v.report.bad(name, err.Error(), allod.Corrupt)
		return nil
	case err != nil:
		return err
	case h.Size > v.head.Size:
		v.report.bad(name, "speaks of more entries than there are: entries were removed", allod.Corrupt)
		return nil
	case h.Size > v.good:
		return nil // the wrong entry before it is reported already
	}
	if got, err := v.rootAt(h.Size); err != nil || got != h.Hash {
		v.report.bad(name, "signs another tree than that of the entries", allod.Corrupt)
	}
	return nil
}

func (v *verification) tile(ctx context.Context, name string) error {
	t, ok := parseTileName(name)
	if !ok {
		v.report.bad(name, "not the name of a tile", allod.Corrupt)
		return nil
	}
	span := int64(1) << (t.L * tileHeight) // entries under one hash of the tile
	if t.N > v.head.Size/span/tileWidth || (t.N*tileWidth+int64(t.W))*span > v.head.Size {
		v.report.bad(name, "speaks of more entries than there are", allod.Corrupt)
		return nil
	}
	if (t.N*tileWidth+int64(t.W))*span > v.good {
		return nil // the wrong entry below it is reported already
	}
	want, err := tlog.ReadTileData(t, v)
	if err != nil {
		return allod.Errorf(allod.Internal, "verify %s: %w", name, err)
	}
	got, err := read(ctx, v.l.store, name, int64(len(want)))
	if err != nil && allod.KindOf(err) != allod.Corrupt {
		return err
	}
	if err != nil || !bytes.Equal(got, want) {
		v.report.bad(name, "holds other hashes than those of the entries", allod.Corrupt)
	}
	return nil
}
