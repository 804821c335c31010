// Package past asks a source for rows that were read before, to see whether it
// was put back to an earlier moment meanwhile (design/capture.md, the line of an
// environment). It only reads; what the answers mean package judge says.
package past

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/capture/judge"
	"allod/internal/source"
)

// Asker asks one source. Its functions must not be nil; they are called from one
// goroutine.
type Asker struct {
	Source   source.Source
	Schema   *allod.Schema
	Parallel int // tables asked for at once
	// Sees reports whether a table, nil for none, is the one that was read and
	// its rows may all be seen: others witness nothing.
	Sees func(*allod.Table) bool
	// Token is the request that tells what changed since the table was read;
	// false where none can.
	Token func(*allod.Table) (source.ReadRequest, bool)
}

// Now reads the present versions of witnesses, by one request for each of their
// tables. Those that are gone are left out. A witness that cannot be asked for
// counts as unchanged. Errors are those of the source.
func (a *Asker) Now(ctx context.Context, list []judge.Witness) (map[allod.RecordRef]uint64, error) {
	now := map[allod.RecordRef]uint64{}
	unchanged := func(list []judge.Witness) {
		for _, w := range list {
			if !w.Gone {
				now[w.Ref()] = w.Version
			}
		}
	}
	finder, ok := a.Source.(source.Finder)
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(a.Parallel, 1))
	for name, ws := range perTable(list) {
		t := a.Schema.Table(name)
		if !ok || !a.Sees(t) {
			mu.Lock()
			unchanged(ws)
			mu.Unlock()
			continue
		}
		keys := make([]allod.GUID, len(ws))
		for i, w := range ws {
			keys[i] = w.Key
		}
		g.Go(func() error {
			rows, err := finder.Get(ctx, t, keys, []string{t.Key})
			mu.Lock()
			defer mu.Unlock()
			if k := allod.KindOf(err); k == allod.NotFound || k == allod.Denied {
				unchanged(ws)
				return nil
			}
			for i := range rows {
				if now[rows[i].Ref()] = rows[i].Version; rows[i].Version == 0 { // it does not say: no witness
					now[rows[i].Ref()] = judge.Unknown
				}
			}
			return err
		})
	}
	return now, g.Wait()
}

// Unnamed returns those of the witnesses that have gone, changed or come back
// while the source does not say so. For each of their tables it follows the
// token once, and moves nothing on. A table that is gone, closed or not tracked
// says nothing, and so does a token that is too old; one that is refused before
// its time names no row. Errors are those of the source.
func (a *Asker) Unnamed(ctx context.Context, list []judge.Witness) ([]judge.Witness, error) {
	var out []judge.Witness
	byTable := perTable(list)
	for _, name := range slices.Sorted(maps.Keys(byTable)) {
		t := a.Schema.Table(name)
		if !a.Sees(t) {
			continue
		}
		req, ok := a.Token(t)
		if !ok {
			continue
		}
		named, err := a.named(ctx, req)
		if kind := allod.KindOf(err); !errors.Is(err, source.ErrDeltaExpired) {
			if kind == allod.Denied || kind == allod.NotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		left := slices.DeleteFunc(byTable[name], func(w judge.Witness) bool { return named[w.Key] })
		if len(left) == 0 {
			continue
		}
		now, err := a.Now(ctx, left) // with the rights that the token was followed with
		if err != nil {
			return nil, err
		}
		out = append(out, slices.DeleteFunc(left, func(w judge.Witness) bool { return !judge.Changed(w, now) })...)
	}
	return out, nil
}

// named reads which rows a token says to be changed or deleted.
func (a *Asker) named(ctx context.Context, req source.ReadRequest) (map[allod.GUID]bool, error) {
	out := map[allod.GUID]bool{}
	for page, err := range a.Source.Read(ctx, req) {
		if err != nil {
			return nil, err
		}
		for _, id := range page.Deleted {
			out[id] = true
		}
		for i := range page.Rows {
			out[page.Rows[i].Key] = true
		}
	}
	return out, nil
}

func perTable(list []judge.Witness) map[string][]judge.Witness {
	out := map[string][]judge.Witness{}
	for _, w := range list {
		out[w.Table] = append(out[w.Table], w)
	}
	return out
}
