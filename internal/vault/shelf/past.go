package shelf

import (
	"slices"
	"sort"
	"sync"

	"allod"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
)

// Past is what an environment held as of a capture. Methods may be called from
// several goroutines.
type Past struct {
	shelf   *Shelf
	log     func() []*journal.Entry
	env     uint32
	k       uint64
	entries []unit // captures with packs, newest first
	undo    bool   // entries of kind undo instead, with nothing sealed anew

	mu   sync.Mutex
	seen int    // entries of the log that were looked at for anew
	anew []unit // with versions of before, sealed anew; newest first
}

// unit is an entry whose packs are looked into, and the captures that it stands
// for.
type unit struct {
	*journal.Entry
	first, last uint64
	from        uint64 // rows of captures before it are passed over
}

// units returns what holds the packs of an environment's captures among the
// entries, ascending. Of a compaction whose captures are partly before the
// entries, rows are taken of those that are among them.
func units(all []*journal.Entry, env uint32) []unit {
	var out []unit
	for _, e := range all {
		if e.Environment != env || len(e.Objects) == 0 {
			continue
		}
		if e.Capture != 0 && len(e.Packs()) > 0 {
			out = append(out, unit{Entry: e, first: e.Capture, last: e.Capture})
		}
		if e.Compact == nil {
			continue
		}
		i := sort.Search(len(out), func(i int) bool { return out[i].last >= e.Compact.First })
		j := sort.Search(len(out), func(i int) bool { return out[i].first > e.Compact.Last })
		if i < j {
			out = slices.Replace(out, i, j, unit{Entry: e, first: out[i].first, last: e.Compact.Last, from: out[i].first})
		}
	}
	return out
}

// Past returns what the environment held as of capture k, as log knows it.
// Versions that are sealed anew later on take the place of those of before in
// a Past that is there already: the keys of those are gone.
func (c *Shelf) Past(log func() []*journal.Entry, env uint32, k uint64) *Past {
	p := &Past{shelf: c, log: log, env: env, k: k}
	for _, u := range slices.Backward(units(log(), env)) {
		if u.first <= k {
			p.entries = append(p.entries, u)
		}
	}
	return p
}

// Undo returns what entries of kind undo hold of an environment, newest first:
// rows from before a restore wrote. Each stands for itself; a record that two of
// them have counts as the newer one has it. They are no part of any Past.
func (c *Shelf) Undo(env uint32, entries []*journal.Entry) *Past {
	p := &Past{shelf: c, env: env, undo: true, log: func() []*journal.Entry { return nil }}
	for _, e := range entries {
		p.entries = append(p.entries, unit{Entry: e})
	}
	return p
}

// Anew reports whether an entry holds versions of before, sealed anew, rather
// than a capture (FORMAT.md §6).
func Anew(e *journal.Entry) bool {
	kind := e.Kind == vlog.KindErase || e.Kind == vlog.KindRestrict || e.Kind == vlog.KindRectify
	return kind && e.Capture == 0 && len(e.Packs()) > 0
}

// resealed returns the entries with versions sealed anew, as the log is known
// now, newest first.
func (p *Past) resealed() []unit {
	all := p.log()
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; p.seen < len(all); p.seen++ {
		if e := all[p.seen]; e.Environment == p.env && Anew(e) {
			p.anew = append([]unit{{Entry: e, last: ^uint64(0)}}, p.anew...)
		}
	}
	return p.anew
}

// firstPart returns the index of the first pack of an entry whose last key is
// not below k. Packs without rows can only be the last.
func (c *Shelf) firstPart(packs []vlog.Object, env uint32, k *pack.Key) (int, error) {
	lo, hi := 0, len(packs)
	for lo < hi {
		mid := (lo + hi) / 2
		p, err := c.Open(packs[mid], env)
		if err != nil {
			return 0, err
		}
		_, last := p.Bounds()
		if p.Rows() > 0 && last.Compare(k) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// namedCursor names the pack in errors.
type namedCursor struct {
	pack.Cursor
	name string
}

func (n namedCursor) Err() error { return object.Named(n.name, n.Cursor.Err()) }

// tableCursor returns a cursor over all versions of a table stored by an entry.
func (c *Shelf) tableCursor(e unit, table uint32, readAhead int) (pack.Cursor, error) {
	packs := e.Packs()
	k := pack.FirstKey(table)
	first, err := c.firstPart(packs, e.Environment, &k)
	if err != nil {
		return nil, err
	}
	var parts []func() (pack.Cursor, error)
	for _, o := range packs[first:] {
		parts = append(parts, func() (pack.Cursor, error) {
			p, err := c.Open(o, e.Environment)
			if err != nil {
				return nil, err
			}
			return namedCursor{p.Seek(k, readAhead), p.Name}, nil
		})
	}
	return &oneTable{Cursor: pack.NewConcat(parts), table: table, from: e.from}, nil
}

// oneTable ends a cursor behind a table, and passes over captures before one.
type oneTable struct {
	pack.Cursor
	table uint32
	from  uint64
}

func (o *oneTable) Next() bool {
	for o.Cursor.Next() {
		k := &o.Entry().Key
		if k.Table() != o.table {
			return false
		}
		if k.Capture() >= o.from {
			return true
		}
	}
	return false
}

// Newest is a cursor over the newest version of each record of a table as of
// a capture, deletes included, or over all versions until then. It is used by
// one goroutine.
type Newest struct {
	m     *pack.Merge
	k     uint64
	every bool // all versions
	last  pack.Key
	any   bool
}

const scanMemory = 16 << 20 // read-ahead of one scan over all packs, bytes

// Newest returns a cursor over a table, by tag.
func (p *Past) Newest(table uint32) (*Newest, error) { return p.cursor(table, false) }

// Every returns a cursor over all versions of a table's records as of the
// capture, by tag, newest first. For one capture number only the first counts
// (pack.Entry.Compare).
func (p *Past) Every(table uint32) (*Newest, error) { return p.cursor(table, true) }

func (p *Past) cursor(table uint32, every bool) (*Newest, error) {
	all := slices.Concat(p.resealed(), p.entries)
	readAhead := min(256<<10, scanMemory/max(1, len(all)))
	var cs []pack.Cursor
	for _, e := range all {
		c, err := p.shelf.tableCursor(e, table, readAhead)
		if err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	return &Newest{m: pack.NewMerge(cs), k: p.k, every: every}, nil
}

// Next implements pack.Cursor.
func (n *Newest) Next() bool {
	for n.m.Next() {
		e := n.m.Entry()
		if e.Key.Capture() > n.k || n.any && n.last.SameRecord(&e.Key) && (!n.every || n.last.Capture() == e.Key.Capture()) {
			continue
		}
		n.last, n.any = e.Key, true
		return true
	}
	return false
}

// Entry implements pack.Cursor.
func (n *Newest) Entry() *pack.Entry { return n.m.Entry() }

// Err implements pack.Cursor.
func (n *Newest) Err() error { return n.m.Err() }

var _ pack.Cursor = (*Newest)(nil)

// Versions yields the stored versions of one record as of capture k: first
// those sealed anew, then those of the captures from the newest to the oldest;
// within an entry newest first. What is yielded is valid until the next.
func (p *Past) Versions(table uint32, tag [16]byte, yield func(*pack.Entry) (more bool)) error {
	return p.versions(slices.Concat(p.resealed(), p.entries), table, tag, yield)
}

func (p *Past) versions(entries []unit, table uint32, tag [16]byte, yield func(*pack.Entry) (more bool)) error {
	key := pack.MakeKey(table, tag, ^uint64(0), 255)
	for _, e := range entries {
		packs := e.Packs()
		i, err := p.shelf.firstPart(packs, p.env, &key)
		if err != nil {
			return err
		}
		more := true
		for ; i < len(packs) && more; i++ {
			r, err := p.shelf.Open(packs[i], p.env)
			if err != nil {
				return err
			}
			if first, _ := r.Bounds(); r.Rows() == 0 || first.Compare(&key) > 0 && !first.SameRecord(&key) {
				break
			}
			err = r.Find(table, tag, func(en *pack.Entry) bool {
				if c := en.Key.Capture(); c <= p.k && c >= e.from {
					more = yield(en)
				}
				return more
			})
			if err != nil {
				return object.Named(r.Name, err)
			}
		}
		if !more {
			return nil
		}
	}
	return nil
}

// Find returns the newest version of one record as of capture k, nil when
// there is none. The entry is a copy. No two entries hold the same captures, and
// each has the newest first, so the first hit among them is their newest.
func (p *Past) Find(table uint32, tag [16]byte) (*pack.Entry, error) {
	var best *pack.Entry
	take := func(e *pack.Entry) {
		if best == nil || e.Compare(best) < 0 {
			best = copyOf(e)
		}
	}
	if err := p.versions(p.resealed(), table, tag, func(e *pack.Entry) bool { take(e); return true }); err != nil {
		return nil, err
	}
	err := p.versions(p.entries, table, tag, func(e *pack.Entry) bool { take(e); return false })
	return best, err
}

// Again returns the version of the same record and capture that was sealed anew
// after e, nil when there is none: a scan that began
// before may come upon one whose key is gone since.
func (p *Past) Again(e *pack.Entry) (*pack.Entry, error) {
	var best *pack.Entry
	key := e.Key
	err := p.versions(p.resealed(), key.Table(), key.Tag(), func(o *pack.Entry) bool {
		if o.Key.Capture() == key.Capture() && o.Compare(e) < 0 && (best == nil || o.Compare(best) < 0) {
			best = copyOf(o)
		}
		return true
	})
	return best, err
}

func copyOf(e *pack.Entry) *pack.Entry {
	return &pack.Entry{Key: e.Key, Meta: e.Meta, Sealed: slices.Clone(e.Sealed)}
}

// SmallFile finds the pack that holds a small file: in its capture's entry or
// in a later one, for capture 0 among those sealed anew, or of kind undo; Corrupt if none does.
func (p *Past) SmallFile(id [16]byte, capture uint64) (*Pack, error) {
	entries := p.entries
	if capture == 0 && !p.undo {
		entries = p.resealed()
	}
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		if e.last < capture {
			continue
		}
		packs := e.Packs()
		for j := len(packs) - 1; j >= 0; j-- { // files stand behind rows
			r, err := p.shelf.Open(packs[j], p.env)
			if err != nil {
				return nil, err
			}
			if r.HasBlob(id) {
				return r, nil
			}
		}
	}
	return nil, allod.Errorf(allod.Corrupt, "no pack of the snapshot holds it")
}
