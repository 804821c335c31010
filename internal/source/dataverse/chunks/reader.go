package chunks

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/odata/batch"
	"allod/internal/source/dataverse/ask"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

const (
	// perBatch is how many rows one $batch asks for.
	perBatch = 200
	// rounds is how often rows that change between their parts are read again
	// before they are read whole, one by one.
	rounds = 4
	// maxAnswer bounds the answer to one $batch, in bytes.
	maxAnswer = 128 << 20
)

// Reader reads rows in parts. It is safe for concurrent use.
type Reader struct {
	Client *odataclient.Client
	Plan   *Plan
	Header http.Header // of every read: which annotations are wanted
	// One reads a row in one answer, with every column; nil if the service says
	// that there is none.
	One func(context.Context, allod.GUID) (*allod.Row, error)
	// Escape escapes the value of a query option.
	Escape func(string) string
}

// Fill reads what lacks in rows that were read with the first part. Rows that
// are gone meanwhile, which the service said of each, are left out; the others
// are as new as they were, or newer. bytes is what the parts took, decompressed.
// Unavailable where the service keeps answering with older rows than it gave
// before.
func (r *Reader) Fill(ctx context.Context, first []allod.Row) (full []allod.Row, bytes int64, err error) {
	out := make([]*allod.Row, len(first))
	sizes := make([]int64, (len(first)+perBatch-1)/perBatch)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(min(max(r.Client.Parallel(), 1), 4))
	for n := range sizes {
		from := n * perBatch
		some := first[from:min(from+perBatch, len(first))]
		g.Go(func() error {
			group := newGroup(r, len(some))
			for i := range some {
				group.keys[i], group.said[i] = some[i].Key, some[i].Version
				group.parts[i][0] = &some[i]
			}
			err := group.read(gctx, 1)
			copy(out[from:], group.rows)
			sizes[n] = group.bytes
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, err
	}
	full = make([]allod.Row, 0, len(first))
	for _, row := range out {
		if row != nil {
			full = append(full, *row)
		}
	}
	for _, n := range sizes {
		bytes += n
	}
	return full, bytes, nil
}

// Get reads rows by their keys, every part of up to 200 of them in one $batch.
// Rows that the service has not are left out.
func (r *Reader) Get(ctx context.Context, keys []allod.GUID) ([]allod.Row, error) {
	var mu sync.Mutex
	var out []allod.Row
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(min(max(r.Client.Parallel(), 1), 4))
	for some := range slices.Chunk(keys, perBatch) {
		g.Go(func() error {
			group := newGroup(r, len(some))
			copy(group.keys, some)
			err := group.read(gctx, 0)
			mu.Lock()
			defer mu.Unlock()
			for _, row := range group.rows {
				if row != nil {
					out = append(out, *row)
				}
			}
			return err
		})
	}
	return out, g.Wait()
}

// group is up to perBatch rows that are read together.
type group struct {
	r     *Reader
	keys  []allod.GUID
	said  []uint64       // per row: the newest version that came
	parts [][]*allod.Row // per row and part
	rows  []*allod.Row   // done
	bytes int64
}

func newGroup(r *Reader, n int) *group {
	g := &group{r: r, keys: make([]allod.GUID, n), said: make([]uint64, n), parts: make([][]*allod.Row, n), rows: make([]*allod.Row, n)}
	for i := range g.parts {
		g.parts[i] = make([]*allod.Row, len(r.Plan.Parts))
	}
	return g
}

// read reads the parts from the given one on, then all of them again for the
// rows whose versions differ.
func (g *group) read(ctx context.Context, from int) error {
	todo := make([]int, len(g.keys))
	for i := range todo {
		todo[i] = i
	}
	for range rounds {
		if err := g.ask(ctx, todo, from); err != nil {
			return err
		}
		todo = slices.DeleteFunc(todo, func(i int) bool { return g.settle(i) })
		if len(todo) == 0 {
			return nil
		}
		from = 0
	}
	for _, i := range todo {
		row, err := g.r.One(ctx, g.keys[i])
		if err != nil {
			return err
		}
		if row != nil && row.Version < g.said[i] {
			return allod.Errorf(allod.Unavailable, "table %s: the service answers with an older row than it gave before", g.r.Plan.table.Name)
		}
		g.rows[i] = row
	}
	return nil
}

// settle reports whether row i needs no further round.
func (g *group) settle(i int) bool {
	parts := g.parts[i]
	if g.said[i] == 0 && !slices.ContainsFunc(parts, func(r *allod.Row) bool { return r != nil }) {
		return true // none of them: the service has no such row
	}
	if consistent(parts, g.said[i]) {
		row := g.r.Plan.merge(parts)
		g.rows[i] = &row
		return true
	}
	for _, r := range parts {
		if r != nil {
			g.said[i] = max(g.said[i], r.Version)
		}
	}
	return false
}

// ask reads parts of the given rows in one $batch. What is not answered there
// is asked for by itself, which brings the usual waiting and the usual errors.
func (g *group) ask(ctx context.Context, todo []int, from int) error {
	at := map[allod.GUID]int{}
	keys := make([]allod.GUID, len(todo))
	for n, i := range todo {
		at[g.keys[i]], keys[n] = i, g.keys[i]
		clear(g.parts[i][from:])
	}
	plans := g.r.Plan.Parts[from:]
	links := make([]string, len(plans))
	for n, p := range plans {
		links[n] = g.r.link(p, keys)
	}
	answers, err := ask.Batch(ctx, g.r.Client, g.r.Plan.table.Name, links, g.r.inner(), maxAnswer)
	if err != nil {
		return err
	}
	for n, p := range plans {
		page, ok := decode(p, answers, n)
		next := page.NextLink
		if !ok {
			next = links[n]
		} else {
			g.bytes += int64(len(answers[n].Body))
		}
		g.take(at, from+n, page.Rows)
		for trail := (odataclient.Trail{}); next != ""; next = page.NextLink {
			if err := trail.Follow(next, len(page.Rows)); err != nil {
				return err
			}
			if page, err = g.r.page(ctx, p, next); err != nil {
				return err
			}
			g.take(at, from+n, page.Rows)
		}
	}
	return nil
}

func (g *group) take(at map[allod.GUID]int, part int, page []allod.Row) {
	for i := range page {
		if n, ok := at[page[i].Key]; ok {
			g.parts[n][part] = &page[i]
		}
	}
}

// decode reads the n-th answer of a batch; false when it is to be asked again.
func decode(p *rows.Plan, answers []batch.Result, n int) (rows.Page, bool) {
	if n >= len(answers) || answers[n].Status != http.StatusOK {
		return rows.Page{}, false
	}
	page, err := p.Decode(string(answers[n].Body))
	return page, err == nil
}

// link is the address of one part of the rows with the given keys.
func (r *Reader) link(p *rows.Plan, keys []allod.GUID) string {
	t := r.Plan.table
	return t.Set + "?$select=" + p.Select() + "&$filter=" + r.Escape(In(t.Key, keys))
}

// In is the filter for the rows with the given keys
// (protocols/dataverse.md §4.3).
func In(column string, keys []allod.GUID) string {
	var b strings.Builder
	b.WriteString("Microsoft.Dynamics.CRM.In(PropertyName='" + column + "',PropertyValues=[")
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + k.String() + `"`)
	}
	b.WriteString("])")
	return b.String()
}

// inner are the headers of the reads inside a batch.
func (r *Reader) inner() http.Header {
	h := r.Header.Clone()
	h.Set("Accept", "application/json")
	return h
}

func (r *Reader) page(ctx context.Context, p *rows.Plan, link string) (page rows.Page, err error) {
	_, err = r.Client.Do(ctx, &odataclient.Request{
		URL: link, Table: r.Plan.table.Name, Header: r.Header,
		Check: func(res *odataclient.Response) error {
			var err error
			page, err = p.Decode(res.Body)
			return err
		},
	})
	return page, err
}
