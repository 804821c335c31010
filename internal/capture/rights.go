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

// blind reports whether the source cannot say what its caller may see.
func (r *rightsReader) blind() bool {
	_, ok := r.src.(source.RightsReader)
	return !ok
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

// checkRights asks for the rights once more when everything is read. A table
// that the reader sees less of than when it was read may lack rows that nobody
// will say anything about, so that is a Gap, and the next read a whole one.
func (r *runner) checkRights(ctx context.Context) error {
	r.mu.Lock()
	moment := r.read
	r.mu.Unlock()
	if moment == 0 {
		return nil // nothing was read
	}
	now, err := r.asker.since(ctx, moment)
	if err != nil || now == nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rights = now
	for name, m := range r.manifests {
		ts := r.state.Tables[name]
		if m.State != allod.TableFull && m.State != allod.TableDelta || now.Depth[name] >= ts.Depth {
			continue
		}
		g := allod.Gap{Table: name, Kind: allod.GapReadDepth, Reason: "the application user lost rights on the table during this run (" + depthName(now.Depth[name]) + " are left); rows may be missing"}
		r.gaps = append(r.gaps, g)
		ts.Gaps, ts.Whole = append(ts.Gaps, g), true
		r.state.Tables[name] = ts
	}
	return nil
}
