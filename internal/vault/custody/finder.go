// Package custody moves keys of records between the key tree and escrow: before
// a record is punctured as restricted or held what the tree derives of it is
// sealed to its containers, and read back from every place; when it is lifted
// that is put back, and what was captured meanwhile is sealed anew under the
// tree (FORMAT.md §6.3 and §14). It asks nobody whether the caller may: that is
// package vault's part.
package custody

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"sync"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/escrow"
	"allod/internal/vault/journal"
	"allod/internal/vault/keytree"
)

// Finder finds the escrow objects of records. It keeps what it has found until
// the key tree changes. Methods may be called from several goroutines.
type Finder struct {
	Places []blob.Mutable
	Pin    escrow.Pin
	Log    *journal.Log
	Index  [32]byte

	mu     sync.Mutex
	tree   *keytree.State
	listed map[keytree.Tag][]escrow.Record // that count
	read   map[keytree.Tag]*escrow.Object  // nil = missing
}

// Facts says which escrow objects count, as the log is known now.
func (f *Finder) Facts(tree *keytree.State) escrow.Facts {
	index := keytree.NewIndexer(f.Index)
	var runs map[string]bool
	return escrow.Facts{
		Whole: func(tag keytree.Tag) *keytree.AbsentError { return tree.Whole(index.Leaf(tag)) },
		RunOf: func(n uint64) string {
			if e, err := f.Log.Entry(n); err == nil {
				return e.Run
			}
			return ""
		},
		HasRun: func(run string) bool {
			if runs == nil {
				runs = map[string]bool{}
				for _, e := range f.Log.Entries() {
					runs[e.Run] = true
				}
			}
			return runs[run]
		},
		InForce: tree.Epoch(),
	}
}

// records lists what counts of a record, in the order of containers. f.mu is
// held.
func (f *Finder) records(ctx context.Context, tree *keytree.State, tag keytree.Tag) ([]escrow.Record, error) {
	if f.tree != tree || f.listed == nil {
		facts := f.Facts(tree)
		listed, known := map[keytree.Tag][]escrow.Record{}, map[escrow.Record]bool{}
		for _, place := range f.Places {
			all, err := escrow.List(ctx, place, false)
			if err != nil {
				return nil, err
			}
			for _, r := range all {
				if !known[r] && facts.Counts(&r) {
					known[r] = true
					listed[r.Tag] = append(listed[r.Tag], r)
				}
			}
		}
		f.tree, f.listed, f.read = tree, listed, map[keytree.Tag]*escrow.Object{}
	}
	return f.listed[tag], nil
}

// Public returns what seals rows of a record that the tree lists as restricted
// or held; nil when no place has its escrow.
func (f *Finder) Public(ctx context.Context, tree *keytree.State, tag keytree.Tag) (*escrow.Public, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.records(ctx, tree, tag)
	if err != nil {
		return nil, err
	}
	o, known := f.read[tag]
	if !known {
		if o, err = f.first(ctx, all); err != nil {
			return nil, err
		}
		f.read[tag] = o
	}
	if o == nil {
		return nil, nil
	}
	return o.Public, nil
}

// first reads the first of the objects that is there.
func (f *Finder) first(ctx context.Context, all []escrow.Record) (*escrow.Object, error) {
	for _, r := range all {
		o, err := escrow.Read(ctx, f.Places, r, f.Pin)
		if allod.KindOf(err) == allod.NotFound {
			continue
		}
		return o, err
	}
	return nil, nil
}

// In returns the object of a record in a container; NotFound when no place has
// it.
func (f *Finder) In(ctx context.Context, tree *keytree.State, container allod.GUID, tag keytree.Tag) (*escrow.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.records(ctx, tree, tag)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Container == container {
			return escrow.Read(ctx, f.Places, r, f.Pin)
		}
	}
	return nil, allod.WithHint(allod.Errorf(allod.NotFound, "find the escrow of a record in container %s: no place of slots has it", hex.EncodeToString(container[:])), "Put it back from a copy: without it nobody opens the record again.")
}

// Forget has the next look list the places anew.
func (f *Finder) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listed = nil
}

// Sweep removes the objects that count no more from every place, and those of
// the containers that are closed, and copies what counts to the places that lack
// it, such as one that was added later. The log must be read to its end, and the tree
// be the one in force. The errors stand in the order of the places; nil where
// none is left.
func (f *Finder) Sweep(ctx context.Context, tree *keytree.State, closed ...allod.GUID) []error {
	f.Forget()
	facts := f.Facts(tree)
	errs := make([]error, len(f.Places))
	for i, place := range f.Places {
		_, errs[i] = escrow.Remove(ctx, place, func(r *escrow.Record) bool { return slices.Contains(closed, r.Container) || facts.Stale(r) })
		if errs[i] != nil && errors.Is(errs[i], context.Canceled) {
			return errs
		}
	}
	if len(f.Places) > 1 {
		f.spread(ctx, facts, closed, errs)
	}
	return errs
}

// spread copies what counts to the places that lack it. What no place has whole
// is left to those who verify. An error goes to the place, if it has none yet.
func (f *Finder) spread(ctx context.Context, facts escrow.Facts, closed []allod.GUID, errs []error) {
	have := make([]map[string]bool, len(f.Places))
	wanted := map[string]escrow.Record{}
	for i, place := range f.Places {
		all, err := escrow.List(ctx, place, false)
		if err != nil {
			errs[i] = cmp.Or(errs[i], err)
			continue
		}
		have[i] = map[string]bool{}
		for _, r := range all {
			have[i][r.Name()] = true
			if facts.Counts(&r) && !slices.Contains(closed, r.Container) {
				wanted[r.Name()] = r
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		for i, place := range f.Places {
			if have[i] == nil || have[i][name] {
				continue
			}
			if err := escrow.Copy(ctx, f.Places, place, wanted[name], f.Pin); err != nil && allod.KindOf(err) != allod.NotFound && allod.KindOf(err) != allod.Corrupt {
				errs[i] = cmp.Or(errs[i], err)
			}
		}
	}
}
