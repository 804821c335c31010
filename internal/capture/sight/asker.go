// Package sight knows what the reader of a run sees of its source: its rights,
// and which rows it has taken whose nulls may be none (design/capture.md,
// nulls). It asks the source and stores nothing.
package sight

import (
	"context"
	"sync"
	"sync/atomic"

	"allod"
	"allod/internal/source"
)

// Asker asks the source what its caller may see, and shares the answer among
// tables: one that was asked after a table's last page is as good as one of the
// table's own. Moments are numbers of its own, since clocks are too coarse and
// can be put back. It is safe for concurrent use.
type Asker struct {
	src    source.Source
	schema *allod.Schema
	clock  atomic.Int64

	mu    sync.Mutex
	asked int64 // moment before the newest answer was asked for
	last  *source.Rights
}

// NewAsker makes an Asker; it asks nothing yet.
func NewAsker(src source.Source, schema *allod.Schema) *Asker {
	return &Asker{src: src, schema: schema}
}

// Blind reports whether the source cannot say what its caller may see.
func (a *Asker) Blind() bool {
	_, ok := a.src.(source.RightsReader)
	return !ok
}

// Moment is now. Every call returns a later one.
func (a *Asker) Moment() int64 { return a.clock.Add(1) }

// Since returns rights as they were at some time after the moment; nil when the
// source cannot say. Errors are those of the source.
func (a *Asker) Since(ctx context.Context, moment int64) (*source.Rights, error) {
	rr, ok := a.src.(source.RightsReader)
	if !ok {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last != nil && a.asked > moment {
		return a.last, nil
	}
	asked := a.Moment()
	rights, err := rr.Rights(ctx, a.schema)
	if err != nil {
		return nil, err
	}
	a.asked, a.last = asked, rights
	return rights, nil
}
