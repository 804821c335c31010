package store

import (
	"sort"

	"allod"
)

// sortKey is a GUID in the order SQL Server compares uniqueidentifier values:
// the last six bytes first. Rows of a page come in this order, so a client
// that takes the order of the text for granted is found out.
type sortKey [16]byte

// The text form of a GUID read left to right is g[0..15]; SQL Server compares
// groups from the right, the first three groups with their bytes reversed in
// storage, which leaves their text order within the group reversed.
func orderOf(g allod.GUID) sortKey {
	return sortKey{
		g[10], g[11], g[12], g[13], g[14], g[15],
		g[8], g[9],
		g[7], g[6],
		g[5], g[4],
		g[3], g[2], g[1], g[0],
	}
}

func (a *sortKey) less(b *sortKey) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

const chunkSize = 512

// ordered is a sorted list of rows in chunks; chunks are never empty.
type ordered struct {
	chunks []*chunk
	n      int
}

type chunk struct {
	keys []sortKey
	rows []*Row
}

// seek returns the chunk and the position of the first key >= k.
func (o *ordered) seek(k *sortKey) (ci, i int) {
	ci = sort.Search(len(o.chunks), func(i int) bool {
		c := o.chunks[i]
		return !c.keys[len(c.keys)-1].less(k)
	})
	if ci == len(o.chunks) {
		return ci, 0
	}
	c := o.chunks[ci]
	return ci, sort.Search(len(c.keys), func(i int) bool { return !c.keys[i].less(k) })
}

func (o *ordered) get(g allod.GUID) *Row {
	k := orderOf(g)
	ci, i := o.seek(&k)
	if ci == len(o.chunks) || o.chunks[ci].keys[i] != k {
		return nil
	}
	return o.chunks[ci].rows[i]
}

// put inserts or replaces and returns what was there.
func (o *ordered) put(r *Row) (old *Row) {
	k := orderOf(r.Key)
	ci, i := o.seek(&k)
	if ci == len(o.chunks) {
		if ci == 0 {
			o.chunks = append(o.chunks, &chunk{})
		} else {
			ci--
		}
		i = len(o.chunks[ci].keys)
	}
	c := o.chunks[ci]
	if i < len(c.keys) && c.keys[i] == k {
		old, c.rows[i] = c.rows[i], r
		return old
	}
	c.keys = append(c.keys, k)
	c.rows = append(c.rows, r)
	if i < len(c.keys)-1 {
		copy(c.keys[i+1:], c.keys[i:])
		copy(c.rows[i+1:], c.rows[i:])
		c.keys[i], c.rows[i] = k, r
	}
	o.n++
	if len(c.keys) >= 2*chunkSize {
		o.split(ci)
	}
	return nil
}

func (o *ordered) split(ci int) {
	c := o.chunks[ci]
	half := len(c.keys) / 2
	right := &chunk{
		keys: append(make([]sortKey, 0, 2*chunkSize), c.keys[half:]...),
		rows: append(make([]*Row, 0, 2*chunkSize), c.rows[half:]...),
	}
	clear(c.rows[half:])
	c.keys, c.rows = c.keys[:half], c.rows[:half]
	o.chunks = append(o.chunks, nil)
	copy(o.chunks[ci+2:], o.chunks[ci+1:])
	o.chunks[ci+1] = right
}

func (o *ordered) remove(g allod.GUID) (old *Row) {
	k := orderOf(g)
	ci, i := o.seek(&k)
	if ci == len(o.chunks) || o.chunks[ci].keys[i] != k {
		return nil
	}
	c := o.chunks[ci]
	old = c.rows[i]
	c.keys = append(c.keys[:i], c.keys[i+1:]...)
	copy(c.rows[i:], c.rows[i+1:])
	c.rows[len(c.rows)-1] = nil
	c.rows = c.rows[:len(c.rows)-1]
	if len(c.keys) == 0 {
		o.chunks = append(o.chunks[:ci], o.chunks[ci+1:]...)
	}
	o.n--
	return old
}

// after returns up to max rows behind the key (exclusive), from the start
// when from is nil.
func (o *ordered) after(from *allod.GUID, max int) []*Row {
	ci, i := 0, 0
	if from != nil {
		k := orderOf(*from)
		ci, i = o.seek(&k)
		if ci < len(o.chunks) && o.chunks[ci].keys[i] == k {
			i++
		}
	}
	out := make([]*Row, 0, min(max, o.n))
	for ; ci < len(o.chunks) && len(out) < max; ci, i = ci+1, 0 {
		rows := o.chunks[ci].rows[i:]
		out = append(out, rows[:min(len(rows), max-len(out))]...)
	}
	return out
}

// clone copies the index; the rows themselves are shared.
func (o *ordered) clone() ordered {
	out := ordered{n: o.n, chunks: make([]*chunk, len(o.chunks))}
	for i, c := range o.chunks {
		out.chunks[i] = &chunk{
			keys: append([]sortKey(nil), c.keys...),
			rows: append([]*Row(nil), c.rows...),
		}
	}
	return out
}

// Less reports whether a comes before b in primary key order.
func Less(a, b allod.GUID) bool {
	x, y := orderOf(a), orderOf(b)
	return x.less(&y)
}
