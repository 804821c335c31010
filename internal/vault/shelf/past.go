package shelf

import (
	"allod"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
)

// Past is what an environment held as of a capture. Methods may be called from
// several goroutines.
type Past struct {
	shelf     *Shelf
	env       uint32
	k         uint64
	entries   []*journal.Entry // with packs, newest first
	rewritten bool             // an entry holds rows of other captures than its own
}

// Past returns what the environment held as of capture k, from all entries of
// the log.
func (c *Shelf) Past(all []*journal.Entry, env uint32, k uint64) *Past {
	p := &Past{shelf: c, env: env, k: k}
	for i := len(all) - 1; i >= 0; i-- {
		e := all[i]
		if e.Environment != env {
			continue
		}
		p.rewritten = p.rewritten || e.Kind == vlog.KindRectify || e.Kind == vlog.KindCompact
		if e.Capture != 0 && e.Capture <= k && len(e.Packs()) > 0 {
			p.entries = append(p.entries, e)
		}
	}
	return p
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
func (c *Shelf) tableCursor(e *journal.Entry, table uint32, readAhead int) (pack.Cursor, error) {
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
	return &oneTable{Cursor: pack.NewConcat(parts), table: table}, nil
}

// oneTable ends a cursor behind a table.
type oneTable struct {
	pack.Cursor
	table uint32
}

func (o *oneTable) Next() bool { return o.Cursor.Next() && o.Entry().Key.Table() == o.table }

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
// capture, by tag, newest first.
func (p *Past) Every(table uint32) (*Newest, error) { return p.cursor(table, true) }

func (p *Past) cursor(table uint32, every bool) (*Newest, error) {
	readAhead := min(256<<10, scanMemory/max(1, len(p.entries)))
	var cs []pack.Cursor
	for _, e := range p.entries {
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
		if e.Key.Capture() > n.k || n.any && !n.every && n.last.SameRecord(&e.Key) {
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

// Versions yields the stored versions of one record as of capture k from the
// newest entry to the oldest; within an entry newest first. What is yielded is
// valid until the next.
func (p *Past) Versions(table uint32, tag [16]byte, yield func(*pack.Entry) (more bool)) error {
	key := pack.MakeKey(table, tag, ^uint64(0), 255)
	for _, e := range p.entries {
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
				if en.Key.Capture() <= p.k {
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
// there is none. The entry is a copy. Every entry of kind capture holds its own
// capture number only, so the first hit is the newest, unless a rectification
// has stored earlier captures anew.
func (p *Past) Find(table uint32, tag [16]byte) (*pack.Entry, error) {
	var best *pack.Entry
	err := p.Versions(table, tag, func(e *pack.Entry) bool {
		if best == nil || e.Key.Compare(&best.Key) < 0 {
			best = &pack.Entry{Key: e.Key, Meta: e.Meta, Sealed: append([]byte(nil), e.Sealed...)}
		}
		return p.rewritten
	})
	return best, err
}

// SmallFile finds the pack that holds a small file: in its capture's entry or
// in a later one; Corrupt if none does.
func (p *Past) SmallFile(id [16]byte, capture uint64) (*Pack, error) {
	for i := len(p.entries) - 1; i >= 0; i-- {
		e := p.entries[i]
		if e.Capture < capture {
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
