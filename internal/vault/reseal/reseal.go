// Package reseal seals stored versions of records anew under their next
// generation, with corrections or without (FORMAT.md §6; design/vault.md
// "Rectification in history"). What comes out is a sealed hand-over: objects in
// the store that no log entry names yet, and the generations that the entry
// which names them has to puncture. It asks nobody whether the caller may see
// what it opens, and commits nothing: that is package vault's part.
package reseal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"math"
	"slices"

	"allod"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/rowcodec"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
	"allod/internal/vault/stage"
)

// Job says where the versions are and where what is sealed anew goes.
type Job struct {
	Reader      *content.Reader
	To          stage.Place
	Environment uint32
	Schema      *meta.Schema // the newest of the environment: it knows the earlier ones
	Capture     uint64       // the last of the environment: its versions and those before are sealed anew
	Limit       int          // files of more plain bytes become objects of their own
}

// Record is a record whose versions are sealed anew.
type Record struct {
	Table uint32
	Tag   keytree.Tag
	// Newest seals the newest version alone, if it is a row: all before it goes
	// with the generation.
	Newest bool
	// Change, if there is one, is called with each version that is a row, newest
	// first. It may put other values into Row.Cells, which stand parallel to the
	// columns of Table, and says whether it did.
	Change func(v *Version) (changed bool, err error)
}

// Version is one stored version of a record, as it was stored.
type Version struct {
	Capture uint64
	Next    uint64       // capture of the version after it, a deletion too; 0 = it is the newest
	Table   *allod.Table // of the version's own schema
	Row     *allod.Row
}

// Sealed is what came of it. The objects are in the store.
type Sealed struct {
	Objects  []vlog.Object    // to be named by the entry
	Targets  []keytree.Target // to be punctured by it, in the order of the records
	Capture  uint64           // of the job: a later one may hold versions that are not among these
	Epoch    uint64           // of the key tree that they were sealed with: in a later one others may stand under that generation
	Versions int64            // sealed anew
	Changed  int64            // of these, by Change
	Files    int64            // sealed anew
}

// Seal seals the records' versions that still open under the generation after
// the one that is current, each with its own capture number, schema and files.
// Those that stand under an earlier root of the key tree move to the current
// one. NotFound for a record whose key is gone; Invalid for one that is in its
// last generation: a new root is needed before it can be sealed anew. Corrupt
// naming the object that does not open.
func Seal(ctx context.Context, j Job, records []Record) (*Sealed, error) {
	s, err := newSealer(j)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for _, r := range records {
		target, err := s.target(r)
		if err != nil {
			return nil, err
		}
		s.out.Targets = append(s.out.Targets, target)
	}
	order := slices.Clone(records) // rows stand in packs by table and tag
	slices.SortFunc(order, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), bytes.Compare(a.Tag[:], b.Tag[:]))
	})
	for i, r := range order {
		if i > 0 && r.Table == order[i-1].Table && r.Tag == order[i-1].Tag {
			return nil, allod.Errorf(allod.Invalid, "seal records anew: one is named twice")
		}
		if err := s.record(ctx, r); err != nil {
			return nil, object.Named("seal a record anew", err)
		}
	}
	return s.end(ctx)
}

// Look calls the Change of each record as Seal would, and seals nothing: what a
// plan shows. Objects and Targets of what it returns are empty.
func Look(ctx context.Context, j Job, records []Record) (*Sealed, error) {
	s, err := newSealer(j)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for _, r := range records {
		if _, err := s.target(r); err != nil && !NeedsRoot(err) { // Seal says so, and what can be done
			return nil, err
		}
		entries, err := s.versions(r)
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if _, _, err := s.open(e, r, nextOf(entries, i)); err != nil {
				return nil, object.Named("open a record", err)
			}
		}
	}
	return &s.out, nil
}

// sealer is one Seal or Look on its way.
type sealer struct {
	Job
	tree   *keytree.State
	past   *shelf.Past
	opener *content.Opener
	codec  *seal.Codec
	packs  *stage.Packs
	files  *stage.Files
	out    Sealed
}

func newSealer(j Job) (*sealer, error) {
	s := &sealer{Job: j, tree: j.Reader.Tree(), past: j.Reader.Past(j.Environment, j.Capture), out: Sealed{Capture: j.Capture}}
	s.out.Epoch = s.tree.Epoch()
	var err error
	if s.opener, err = j.Reader.Opener(j.Environment, j.Schema); err != nil {
		return nil, err
	}
	if s.codec, err = seal.NewCodec(); err == nil {
		s.packs, err = stage.NewPacks(j.To, stage.Capture{Environment: j.Environment, Tree: s.tree})
	}
	if err != nil {
		s.opener.Close()
		return nil, err
	}
	s.files = stage.NewFiles(j.To, j.Limit)
	return s, nil
}

func (s *sealer) close() {
	s.opener.Close()
	s.codec.Close()
	s.packs.Close()
	s.files.Close()
}

// errLast is why a record cannot be sealed anew under a root.
var errLast = errors.New("last generation")

// NeedsRoot reports whether an error says that a record has no generation left,
// and goes on under a new root of the key tree.
func NeedsRoot(err error) bool { return errors.Is(err, errLast) }

// target returns the generation of the record that is current.
func (s *sealer) target(r Record) (keytree.Target, error) {
	leaf := s.opener.Leaf(r.Tag)
	generation, _, err := s.tree.Current(leaf)
	if err != nil {
		return keytree.Target{}, object.Named("seal a record anew", err)
	}
	if generation == math.MaxUint8 {
		return keytree.Target{}, allod.WithHint(allod.Errorf(allod.Invalid, "seal a record anew: it is in its %w under root %d of the key tree", errLast, s.tree.Root()), "Begin a new root with `allod vault keys new-root`, then run the command again.")
	}
	return keytree.Target{Leaf: leaf, Generation: int(generation)}, nil
}

// versions returns the record's versions that count, newest first.
func (s *sealer) versions(r Record) ([]*pack.Entry, error) {
	if r.Newest {
		e, err := s.past.Find(r.Table, r.Tag)
		if err != nil || e == nil || e.Meta[0] != seal.OpPut {
			return nil, err
		}
		return []*pack.Entry{e}, nil
	}
	var all []*pack.Entry
	err := s.past.Versions(r.Table, r.Tag, func(e *pack.Entry) bool {
		all = append(all, &pack.Entry{Key: e.Key, Meta: e.Meta, Sealed: slices.Clone(e.Sealed)})
		return true
	})
	slices.SortFunc(all, func(a, b *pack.Entry) int { return a.Compare(b) })
	return slices.CompactFunc(all, func(a, b *pack.Entry) bool { return a.Key.Capture() == b.Key.Capture() }), err
}

// nextOf returns the capture of the version after the i-th, 0 for the newest.
func nextOf(entries []*pack.Entry, i int) uint64 {
	if i == 0 {
		return 0
	}
	return entries[i-1].Key.Capture()
}

// opened is a version on its way from one generation to the next.
type opened struct {
	row    seal.Row // Content is nil where cells take its place
	cells  []allod.Value
	schema *meta.Schema // of cells
	meta   seal.Meta
}

// open opens a version and has it changed; false for one whose key is gone
// already: it stays as it is.
func (s *sealer) open(e *pack.Entry, r Record, next uint64) (opened, bool, error) {
	row, m, err := s.opener.Open(e)
	if content.Withheld(err) != "" {
		return opened{}, false, nil
	}
	if err != nil {
		return opened{}, false, err
	}
	out := opened{row: row, meta: m}
	s.out.Versions++
	if m.Op == seal.OpDelete {
		return out, true, nil
	}
	plain, table, from, err := s.opener.Own(&row, m, e.Key.Table())
	if err != nil {
		return out, false, err
	}
	if r.Change != nil {
		changed, err := r.Change(&Version{Capture: e.Key.Capture(), Next: next, Table: table, Row: plain})
		if err != nil {
			return out, false, err
		}
		if changed {
			s.out.Changed++
		}
	}
	out.row.Content, out.cells, out.schema = nil, plain.Cells, from
	return out, true, nil
}

// record seals the versions of one record.
func (s *sealer) record(ctx context.Context, r Record) error {
	entries, err := s.versions(r)
	if err != nil {
		return err
	}
	moved := map[string]allod.FileRef{} // where it was → where it is
	for i, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		v, opens, err := s.open(e, r, nextOf(entries, i))
		if err != nil {
			return err
		}
		if !opens {
			continue
		}
		if v.schema != nil {
			if err := s.moveFiles(ctx, r, &v, moved); err != nil {
				return err
			}
			if v.row.Content, err = rowcodec.Append(nil, v.cells, v.schema.Names); err != nil {
				return err
			}
		}
		if err := s.seal(ctx, e, &v); err != nil {
			return err
		}
	}
	return nil
}

// seal adds a version to the pack, one generation later.
func (s *sealer) seal(ctx context.Context, e *pack.Entry, v *opened) error {
	tag := keytree.Tag(e.Key.Tag())
	generation, seed, err := s.next(tag)
	if err != nil {
		return err
	}
	var salt [keytree.SaltSize]byte
	if _, err := io.ReadFull(rand.Reader, salt[:]); err != nil {
		return allod.Errorf(allod.Internal, "draw a salt: %w", err)
	}
	v.meta.Root = s.tree.Root()
	place := seal.Place{Vault: s.To.Vault, Environment: s.Environment, Table: e.Key.Table(), Tag: tag, Generation: generation, Capture: e.Key.Capture(), Meta: v.meta}
	out := pack.Entry{Key: pack.MakeKey(e.Key.Table(), e.Key.Tag(), e.Key.Capture(), generation), Meta: [seal.MetaSize]byte(v.meta.Append(nil))}
	if out.Sealed, err = s.codec.Seal(nil, &place, seed, salt, &v.row); err != nil {
		return err
	}
	return s.packs.Sealed(ctx, &out)
}

// next returns the generation after the one that is current, and its seed.
func (s *sealer) next(tag keytree.Tag) (uint8, keytree.Seed, error) {
	leaf := s.opener.Leaf(tag)
	generation, _, err := s.tree.Current(leaf)
	if err != nil {
		return 0, keytree.Seed{}, err
	}
	seed, err := s.tree.Seed(leaf, generation+1)
	return generation + 1, seed, err
}

// moveFiles seals the files of a version anew, each once for all versions of
// the record, and has the cells name them.
func (s *sealer) moveFiles(ctx context.Context, r Record, v *opened, moved map[string]allod.FileRef) error {
	for i, cell := range v.cells {
		if cell.Type() != allod.File {
			continue
		}
		f, err := cell.FileRef()
		if err != nil {
			return err
		}
		if f.Content == "" {
			continue
		}
		to, done := moved[f.Content]
		if !done {
			if to, err = s.moveFile(ctx, r, v, f); err != nil {
				return object.Named("seal a file anew", err)
			}
			moved[f.Content] = to
			s.out.Files++
		}
		f.Content = to.Content
		v.cells[i] = allod.FileValue(f)
	}
	return nil
}

func (s *sealer) moveFile(ctx context.Context, r Record, v *opened, f allod.FileRef) (allod.FileRef, error) {
	generation, seed, err := s.next(r.Tag)
	if err != nil {
		return f, err
	}
	head := seal.FileHead{Root: s.tree.Root(), Environment: s.Environment, Table: r.Table, Tag: r.Tag, Generation: generation}
	if _, err := io.ReadFull(rand.Reader, head.Salt[:]); err != nil {
		return f, allod.Errorf(allod.Internal, "draw a salt: %w", err)
	}
	ref := allod.RecordRef{Key: v.row.Key, Pair: v.row.Pair}
	in, err := s.opener.File(ctx, s.past, r.Table, ref, f)
	if err != nil {
		return f, err
	}
	to, err := s.files.Put(ctx, head, seed, 0, f, in, nil)
	if e := in.Close(); err == nil {
		err = e
	}
	return to, err
}

// end stores the last pack.
func (s *sealer) end(ctx context.Context) (*Sealed, error) {
	if err := s.packs.Files(ctx, []*stage.Files{s.files}); err != nil {
		return nil, err
	}
	if s.packs.Open() {
		if err := s.packs.End(ctx, nil, nil); err != nil {
			return nil, err
		}
	}
	s.out.Objects = slices.Concat(s.packs.Done(), s.files.Large())
	return &s.out, nil
}
