// Package several reads one environment as several application users: the service
// limits each of them by itself (protocols/dataverse.md §7), so that together they
// may read more. What is read in bulk is shared out; whatever is about the
// environment as a whole, and every write, is done as the first of them.
package several

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// Source is an environment, read as several users. It is safe for concurrent use.
// That a token of change tracking which one user was given serves another is
// assumed: no document binds it to a user.
type Source struct {
	*dataverse.Source // the first
	all               []*dataverse.Source
	busy              []atomic.Int64 // reads under way, by user
}

var (
	_ source.Source       = (*Source)(nil)
	_ source.RightsReader = (*Source)(nil)
	_ source.Finder       = (*Source)(nil)
	_ source.FileReader   = (*Source)(nil)
	_ io.Closer           = (*Source)(nil)
)

// New joins sources of one environment, one or more, each of another user.
func New(first *dataverse.Source, more ...*dataverse.Source) *Source {
	all := append([]*dataverse.Source{first}, more...)
	return &Source{Source: first, all: all, busy: make([]atomic.Int64, len(all))}
}

// take chooses the user with the fewest reads under way; the caller calls done.
func (s *Source) take() (src *dataverse.Source, done func()) {
	best := 0
	for i := range s.busy {
		if s.busy[i].Load() < s.busy[best].Load() {
			best = i
		}
	}
	s.busy[best].Add(1)
	return s.all[best], sync.OnceFunc(func() { s.busy[best].Add(-1) })
}

// Describe implements source.Source. Every user reads the schema, since each
// needs it for what it reads; the first one's counts.
func (s *Source) Describe(ctx context.Context) (*allod.Schema, error) {
	list := make([]*allod.Schema, len(s.all))
	err := s.each(ctx, func(ctx context.Context, i int) (err error) {
		list[i], err = s.all[i].Describe(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, other := range list[1:] {
		if other.Identity.Organization != list[0].Identity.Organization {
			return nil, allod.Errorf(allod.Invalid, "read as several users: application user %d belongs to another organization", i+2)
		}
	}
	return list[0], nil
}

// each does something as every user at once.
func (s *Source) each(ctx context.Context, f func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range s.all {
		g.Go(func() error {
			if err := f(ctx, i); err != nil {
				return fmt.Errorf("as application user %d of %d: %w", i+1, len(s.all), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Read implements source.Source.
func (s *Source) Read(ctx context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		src, done := s.take()
		defer done()
		src.Read(ctx, req)(yield)
	}
}

// Get implements source.Finder.
func (s *Source) Get(ctx context.Context, t *allod.Table, keys []allod.GUID, columns []string) ([]allod.Row, error) {
	src, done := s.take()
	defer done()
	return src.Get(ctx, t, keys, columns)
}

// OpenFile implements source.FileReader.
func (s *Source) OpenFile(ctx context.Context, t *allod.Table, row *allod.Row, column string) (io.ReadCloser, error) {
	src, done := s.take()
	f, err := src.OpenFile(ctx, t, row, column)
	if err != nil {
		done()
		return nil, err
	}
	return &file{f, done}, nil
}

type file struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer.
func (f *file) Close() error {
	defer f.done()
	return f.ReadCloser.Close()
}

// Capabilities implements source.Source: what all of them can take together.
func (s *Source) Capabilities() source.Capabilities {
	c := s.Source.Capabilities()
	for _, o := range s.all[1:] {
		other := o.Capabilities()
		c.Parallel += other.Parallel
		c.Budget.PerDay += other.Budget.PerDay
		c.Budget.PerSecond += other.Budget.PerSecond
		c.Budget.Busy += other.Budget.Busy
	}
	return c
}

// Rights implements source.RightsReader: what every one of them may see, since it
// is chance which of them reads a row.
func (s *Source) Rights(ctx context.Context, schema *allod.Schema) (*source.Rights, error) {
	list := make([]*source.Rights, len(s.all))
	err := s.each(ctx, func(ctx context.Context, i int) (err error) {
		list[i], err = s.all[i].Rights(ctx, schema)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, other := range list[1:] {
		narrow(list[0], other)
	}
	return list[0], nil
}

// narrow leaves of r what the other has too.
func narrow(r, other *source.Rights) {
	for table, depth := range r.Depth {
		theirs, ok := other.Depth[table]
		if !ok {
			delete(r.Depth, table)
			continue
		}
		r.Depth[table] = min(depth, theirs)
	}
	if r.Hidden == nil {
		r.Hidden = map[string][]string{}
	}
	for table, columns := range other.Hidden {
		known := map[string]bool{}
		for _, c := range r.Hidden[table] {
			known[c] = true
		}
		for _, c := range columns {
			if !known[c] {
				r.Hidden[table] = append(r.Hidden[table], c)
			}
		}
	}
	r.Administrator = r.Administrator && other.Administrator
}
