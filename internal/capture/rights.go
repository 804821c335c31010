package capture

import (
	"context"
	"sync"
	"sync/atomic"

	"allod"
	"allod/internal/source"
)

// rightsReader asks the source what its caller may see, and shares the answer
// among tables: one that was asked after a table's last page is as good as one
// of the table's own. Moments are numbers of its own, since clocks are too
// coarse and can be put back.
type rightsReader struct {
	src    source.Source
	schema *allod.Schema
	clock  atomic.Int64

	mu    sync.Mutex
	asked int64 // moment before the newest answer was asked for
	last  *source.Rights
}

// moment is now. Every call returns a later one.
func (r *rightsReader) moment() int64 { return r.clock.Add(1) }

// since returns rights as they were at some time after the moment; nil when
// the source cannot say.
func (r *rightsReader) since(ctx context.Context, moment int64) (*source.Rights, error) {
	rr, ok := r.src.(source.RightsReader)
	if !ok {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && r.asked > moment {
		return r.last, nil
	}
	asked := r.moment()
	rights, err := rr.Rights(ctx, r.schema)
	if err != nil {
		return nil, err
	}
	r.asked, r.last = asked, rights
	return rights, nil
}
