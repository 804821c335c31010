package capture

import (
	"context"

	"golang.org/x/sync/semaphore"

	"allod"
)

// What tables that are read at once may take together. The garbage collector
// lets a process grow to about twice of what is in use, and a backup is to stay
// under 512 MiB (design/vault.md, figures to reach).
const (
	memoryBudget = 160 << 20 // bytes of pages and writers
	writerBytes  = 12 << 20  // a table's writer: what it sorts before it spills
	pageBytes    = 24 << 20  // the most a page is meant to take
	cellBytes    = 90        // a cell on average: its text, its name as read, its place in the row
	longText     = 2000      // columns with room for more characters hold long texts…
	longBytes    = 1500      // …of about so many bytes

	maxPage   = 5000 // rows; what Dataverse gives at most (protocols/dataverse.md §4.1)
	firstPage = 500  // rows asked for where nobody knows how many there are
)

// rowBytes estimates what a row of the job takes in memory once it is read.
func (j *job) rowBytes() int64 {
	n := int64(64)
	for i := range j.table.Columns {
		c := &j.table.Columns[i]
		n += cellBytes
		if c.Type == allod.String && c.MaxLength > longText {
			n += longBytes
		}
	}
	return n
}

// pageRows is how many rows a page of the job is to have, at least firstPage.
func (j *job) pageRows() int {
	return int(min(max(pageBytes/j.rowBytes(), firstPage), maxPage))
}

// claim is a share of the memory budget that one table holds.
type claim struct {
	of *semaphore.Weighted
	n  int64
}

// take waits until n bytes are free and holds them, instead of what was held.
func (c *claim) take(ctx context.Context, n int64) error {
	c.drop()
	n = min(n, memoryBudget)
	if err := c.of.Acquire(ctx, n); err != nil {
		return err
	}
	c.n = n
	return nil
}

// more holds n bytes in addition if they are free, and spare besides.
func (c *claim) more(n, spare int64) bool {
	if !c.of.TryAcquire(n + spare) {
		return false
	}
	c.of.Release(spare)
	c.n += n
	return true
}

func (c *claim) drop() {
	c.of.Release(c.n)
	c.n = 0
}

// small claims what pages of firstPage rows take, large what full pages do.
func (t *tableRun) small(ctx context.Context) error {
	return t.memory.take(ctx, firstPage*t.rowBytes()+writerBytes/8)
}

// large claims what full pages take, and a second page to read ahead if that
// leaves enough for another table: tables that are read at once fill each
// other's waits already.
func (t *tableRun) large(ctx context.Context) error {
	page := int64(t.pageRows()) * t.rowBytes()
	err := t.memory.take(ctx, page+writerBytes)
	t.twoPages = err == nil && t.memory.more(page, page+writerBytes)
	return err
}
