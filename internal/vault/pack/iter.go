package pack

import (
	"container/heap"
	"container/list"
	"sync"
)

// Cursor yields row versions in key order. The Entry and what it points to are
// valid until the next call of Next. A Cursor is used by one goroutine.
type Cursor interface {
	Next() bool
	Entry() *Entry
	Err() error
}

// Iter is a Cursor over one pack.
type Iter struct {
	r     *Reader
	from  Key
	block int // next block to read
	buf   []byte
	rest  []byte   // of the current block
	queue [][]byte // blocks of the span behind the current one
	span  int
	max   int
	first bool
	e     Entry
	err   error
	seen  uint64
}

// Seek returns a Cursor over the rows from k on, which reads ahead up to
// readAhead bytes.
func (r *Reader) Seek(k Key, readAhead int) *Iter {
	it := &Iter{r: r, from: k, block: r.blockOf(&k), span: blockTarget, max: readAhead}
	for it.Next() {
		if it.e.Key.Compare(&k) >= 0 {
			it.held()
			break
		}
	}
	return it
}

// held makes the next Next return the current entry again.
func (it *Iter) held() { it.seen = 1 }

// Next implements Cursor.
func (it *Iter) Next() bool {
	if it.seen == 1 {
		it.seen = 0
		return it.err == nil
	}
	if it.err != nil {
		return false
	}
	for len(it.rest) == 0 {
		if len(it.queue) > 0 {
			it.rest, it.queue, it.first = it.queue[0], it.queue[1:], true
			continue
		}
		if it.block >= it.r.blocks() {
			return false
		}
		if it.err = it.fill(); it.err != nil {
			return false
		}
	}
	it.rest, it.err = nextEntry(it.rest, &it.e, it.first)
	it.first = false
	return it.err == nil
}

// fill reads the next span; it begins with one block and doubles, so that a
// point read stays small and a scan is fast.
func (it *Iter) fill() error {
	buf, count, err := it.r.span(it.buf, it.block, it.span)
	it.buf = buf
	if err != nil {
		return err
	}
	at := 0
	for j := range count {
		n := int(it.r.blockAt(it.block + j).n)
		it.queue = append(it.queue, buf[at:at+n])
		at += n
	}
	it.block += count
	it.span = min(it.span*2, max(it.max, blockTarget))
	return nil
}

// Entry implements Cursor.
func (it *Iter) Entry() *Entry { return &it.e }

// Err implements Cursor.
func (it *Iter) Err() error { return it.err }

// Find yields the versions of one record in this pack, newest first, reading
// through the cache. What yield gets is valid during the call only.
func (r *Reader) Find(table uint32, tag [TagSize]byte, yield func(*Entry) (more bool)) error {
	if !r.MayContain(table, tag) {
		return nil
	}
	k := MakeKey(table, tag, ^uint64(0), 255)
	for i := r.blockOf(&k); i < r.blocks(); i++ {
		b, err := r.cached(i)
		if err != nil {
			return err
		}
		var e Entry
		for first := true; len(b) > 0; first = false {
			if b, err = nextEntry(b, &e, first); err != nil {
				return err
			}
			if e.Key.Compare(&k) < 0 {
				continue
			}
			if !e.Key.SameRecord(&k) || !yield(&e) {
				return nil
			}
		}
	}
	return nil
}

func (r *Reader) cached(i int) ([]byte, error) {
	if b := r.cache.get(r, i); b != nil {
		return b, nil
	}
	b, _, err := r.span(nil, i, 0)
	if err != nil {
		return nil, err
	}
	r.cache.put(r, i, b)
	return b, nil
}

// Cache keeps plain blocks of packs, bounded in bytes. They hold sealed rows
// only. A nil Cache keeps nothing. It is safe for several goroutines.
type Cache struct {
	mu    sync.Mutex
	limit int64
	used  int64
	order *list.List
	items map[cacheKey]*list.Element
}

type cacheKey struct {
	r *Reader
	i int
}

type cacheItem struct {
	key cacheKey
	b   []byte
}

// NewCache returns a Cache of at most limit bytes.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, order: list.New(), items: map[cacheKey]*list.Element{}}
}

func (c *Cache) get(r *Reader, i int) []byte {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.items[cacheKey{r, i}]
	if el == nil {
		return nil
	}
	c.order.MoveToFront(el)
	return el.Value.(*cacheItem).b
}

func (c *Cache) put(r *Reader, i int, b []byte) {
	if c == nil || int64(len(b)) > c.limit/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := cacheKey{r, i}
	if c.items[k] != nil {
		return
	}
	c.items[k] = c.order.PushFront(&cacheItem{k, b})
	c.used += int64(len(b))
	for c.used > c.limit {
		c.drop(c.order.Back())
	}
}

func (c *Cache) drop(el *list.Element) {
	it := c.order.Remove(el).(*cacheItem)
	delete(c.items, it.key)
	c.used -= int64(len(it.b))
}

// Concat is a Cursor over cursors whose keys follow each other, each opened
// when its turn comes.
type Concat struct {
	open []func() (Cursor, error)
	now  Cursor
	err  error
}

// NewConcat returns a Cursor over the parts.
func NewConcat(parts []func() (Cursor, error)) *Concat { return &Concat{open: parts} }

// Next implements Cursor.
func (c *Concat) Next() bool {
	for c.err == nil {
		if c.now != nil {
			if c.now.Next() {
				return true
			}
			c.err, c.now = c.now.Err(), nil
			continue
		}
		if len(c.open) == 0 {
			return false
		}
		c.now, c.err = c.open[0]()
		c.open = c.open[1:]
	}
	return false
}

// Entry implements Cursor.
func (c *Concat) Entry() *Entry { return c.now.Entry() }

// Err implements Cursor.
func (c *Concat) Err() error { return c.err }

// Merge is a Cursor over cursors whose keys overlap. Equal keys come once per
// cursor that has them.
type Merge struct {
	h     cursors
	begun bool
	err   error
}

// NewMerge returns a Cursor over cs.
func NewMerge(cs []Cursor) *Merge { return &Merge{h: cs} }

// Next implements Cursor.
func (m *Merge) Next() bool {
	if m.err != nil {
		return false
	}
	if !m.begun {
		m.begun = true
		var live cursors
		for _, c := range m.h {
			if c.Next() {
				live = append(live, c)
			} else if m.err = c.Err(); m.err != nil {
				return false
			}
		}
		m.h = live
		heap.Init(&m.h)
		return len(m.h) > 0
	}
	if len(m.h) == 0 {
		return false
	}
	if m.h[0].Next() {
		heap.Fix(&m.h, 0)
		return true
	}
	if m.err = m.h[0].Err(); m.err != nil {
		return false
	}
	heap.Pop(&m.h)
	return len(m.h) > 0
}

// Entry implements Cursor.
func (m *Merge) Entry() *Entry { return m.h[0].Entry() }

// Err implements Cursor.
func (m *Merge) Err() error { return m.err }

type cursors []Cursor

func (h cursors) Len() int           { return len(h) }
func (h cursors) Less(i, j int) bool { return h[i].Entry().Compare(h[j].Entry()) < 0 }
func (h cursors) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)        { *h = append(*h, x.(Cursor)) }
func (h *cursors) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

var (
	_ Cursor = (*Iter)(nil)
	_ Cursor = (*Concat)(nil)
	_ Cursor = (*Merge)(nil)
)
