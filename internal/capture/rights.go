package capture

import (
	"context"

	"allod"
	"allod/internal/capture/judge"
)

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
	now, err := r.asker.Since(ctx, moment)
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
		g := allod.Gap{Table: name, Kind: allod.GapReadDepth, Reason: "the application user lost rights on the table during this run (" + judge.DepthName(now.Depth[name]) + " are left); rows may be missing"}
		r.gaps = append(r.gaps, g)
		ts.Gaps, ts.Whole = append(ts.Gaps, g), true
		r.state.Tables[name] = ts
	}
	return nil
}
