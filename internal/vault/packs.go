package vault

import (
	"container/list"
	"sync"

	"allod"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/pack"
)

// packCache keeps opened packs: their indexes and filters, bounded in bytes.
type packCache struct {
	v      *Vault
	blocks *pack.Cache
	limit  int64

	mu    sync.Mutex
	used  int64
	order *list.List
	items map[vlog.Digest]*list.Element
}

type openPack struct {
	*pack.Reader
	name   string
	digest vlog.Digest
}

func newPackCache(v *Vault, limit int64, blocks *pack.Cache) *packCache {
	return &packCache{v: v, blocks: blocks, limit: limit, order: list.New(), items: map[vlog.Digest]*list.Element{}}
}

func (c *packCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used, c.order, c.items = 0, list.New(), map[vlog.Digest]*list.Element{}
}

// open returns the pack that an entry names.
func (c *packCache) open(o vlog.Object, env uint32) (*openPack, error) {
	c.mu.Lock()
	if el := c.items[o.Digest]; el != nil {
		c.order.MoveToFront(el)
		c.mu.Unlock()
		return el.Value.(*openPack), nil
	}
	c.mu.Unlock()
	r, err := pack.Open(&objectReader{c.v.life, c.v.cfg.Store, o.Name()}, o.Size, c.v.identity, o.Trailer, c.blocks)
	if err != nil {
		return nil, named(o.Name(), err)
	}
	if r.Environment() != env {
		return nil, allod.Errorf(allod.Corrupt, "%s: it is of another environment than its log entry", o.Name())
	}
	p := &openPack{Reader: r, name: o.Name(), digest: o.Digest}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.items[o.Digest]; el != nil {
		return el.Value.(*openPack), nil
	}
	c.items[o.Digest] = c.order.PushFront(p)
	c.used += r.Memory()
	for c.used > c.limit && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Back()).(*openPack)
		delete(c.items, old.digest)
		c.used -= old.Memory()
	}
	return p, nil
}

// packsOf returns the packs of an entry, in key order.
func packsOf(e *logged) []vlog.Object {
	var out []vlog.Object
	for _, o := range e.Objects {
		if o.Role == vlog.RolePack {
			out = append(out, o)
		}
	}
	return out
}

// past is what an environment held as of capture k.
type past struct {
	v         *Vault
	env       uint32
	k         uint64
	entries   []*logged // with packs, newest first
	rewritten bool      // an entry holds rows of other captures than its own
}

func (v *Vault) past(env uint32, k uint64) *past {
	p := &past{v: v, env: env, k: k}
	all := v.log.snapshot()
	for i := len(all) - 1; i >= 0; i-- {
		e := all[i]
		if e.Environment != env {
			continue
		}
		p.rewritten = p.rewritten || e.Kind == vlog.KindRectify || e.Kind == vlog.KindCompact
		if e.Capture != 0 && e.Capture <= k && len(packsOf(e)) > 0 {
			p.entries = append(p.entries, e)
		}
	}
	return p
}

// firstPart returns the index of the first pack of an entry whose last key is
// not below k. Packs without rows can only be the last.
func (v *Vault) firstPart(packs []vlog.Object, env uint32, k *pack.Key) (int, error) {
	lo, hi := 0, len(packs)
	for lo < hi {
		mid := (lo + hi) / 2
		p, err := v.packs.open(packs[mid], env)
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

func (n namedCursor) Err() error { return named(n.name, n.Cursor.Err()) }

// tableCursor returns a cursor over all versions of a table stored by an entry.
func (v *Vault) tableCursor(e *logged, table uint32, readAhead int) (pack.Cursor, error) {
	packs := packsOf(e)
	k := pack.FirstKey(table)
	first, err := v.firstPart(packs, e.Environment, &k)
	if err != nil {
		return nil, err
	}
	var parts []func() (pack.Cursor, error)
	for _, o := range packs[first:] {
		parts = append(parts, func() (pack.Cursor, error) {
			p, err := v.packs.open(o, e.Environment)
			if err != nil {
				return nil, err
			}
			return namedCursor{p.Seek(k, readAhead), p.name}, nil
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

// newest is a cursor over the newest version of each record of a table as of
// capture k, deletes included.
type newest struct {
	m    *pack.Merge
	k    uint64
	last pack.Key
	any  bool
}

const scanMemory = 16 << 20 // read-ahead of one scan over all packs, bytes

func (p *past) newest(table uint32) (*newest, error) {
	readAhead := min(256<<10, scanMemory/max(1, len(p.entries)))
	var cs []pack.Cursor
	for _, e := range p.entries {
		c, err := p.v.tableCursor(e, table, readAhead)
		if err != nil {
			return nil, err
		}
		cs = append(cs, c)
	}
	return &newest{m: pack.NewMerge(cs), k: p.k}, nil
}

// Next implements pack.Cursor.
func (n *newest) Next() bool {
	for n.m.Next() {
		e := n.m.Entry()
		if e.Key.Capture() > n.k || n.any && n.last.SameRecord(&e.Key) {
			continue
		}
		n.last, n.any = e.Key, true
		return true
	}
	return false
}

// Entry implements pack.Cursor.
func (n *newest) Entry() *pack.Entry { return n.m.Entry() }

// Err implements pack.Cursor.
func (n *newest) Err() error { return n.m.Err() }

var _ pack.Cursor = (*newest)(nil)

// versions yields the stored versions of one record as of capture k from the
// newest entry to the oldest; within an entry newest first.
func (p *past) versions(table uint32, tag [16]byte, yield func(*logged, *pack.Entry) (more bool)) error {
	key := pack.MakeKey(table, tag, ^uint64(0), 255)
	for _, e := range p.entries {
		packs := packsOf(e)
		i, err := p.v.firstPart(packs, p.env, &key)
		if err != nil {
			return err
		}
		more := true
		for ; i < len(packs) && more; i++ {
			r, err := p.v.packs.open(packs[i], p.env)
			if err != nil {
				return err
			}
			if first, _ := r.Bounds(); r.Rows() == 0 || first.Compare(&key) > 0 && !first.SameRecord(&key) {
				break
			}
			err = r.Find(table, tag, func(en *pack.Entry) bool {
				if en.Key.Capture() <= p.k {
					more = yield(e, en)
				}
				return more
			})
			if err != nil {
				return named(r.name, err)
			}
		}
		if !more {
			return nil
		}
	}
	return nil
}

// find returns the newest version of one record as of capture k, nil when
// there is none. The entry is a copy. Every entry of kind capture holds its own
// capture number only, so the first hit is the newest, unless a rectification
// has stored earlier captures anew.
func (p *past) find(table uint32, tag [16]byte) (*pack.Entry, error) {
	var best *pack.Entry
	err := p.versions(table, tag, func(_ *logged, e *pack.Entry) bool {
		if best == nil || e.Key.Compare(&best.Key) < 0 {
			best = &pack.Entry{Key: e.Key, Meta: e.Meta, Sealed: append([]byte(nil), e.Sealed...)}
		}
		return p.rewritten
	})
	return best, err
}
