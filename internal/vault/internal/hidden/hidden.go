// Package hidden reads the state of the office: which records no function shows,
// for one (FORMAT.md §3.1).
package hidden

import (
	"context"
	"encoding/json"
	"sync"

	"allod"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/puncture"
)

// State is the state of the office's entries: it is sealed for who holds the
// index key, and read without a session, since nobody may be shown what it
// hides.
type State struct {
	// Hidden are records that are to be erased: no function shows them from
	// here on, while their keys are still there.
	Hidden []escrow.Tag `json:"hidden,omitempty"`
	// Pending is how many erasures are committed and not final.
	Pending int `json:"pending,omitempty"`
	// Waiting is how many rectifications were asked for and are not committed.
	Waiting int `json:"waiting,omitempty"`
	// Handed are erasures that a process of role erase may carry out.
	Handed []puncture.Handed `json:"handed,omitempty"`
	// Replayed says that there was a correction that restores replay.
	Replayed bool `json:"replayed,omitempty"`
}

// Reader reads it, each entry once. The zero Reader is ready to use. Methods may
// be called from several goroutines.
type Reader struct {
	mu    sync.Mutex
	at    uint64 // entry that state was read from; 0 = none
	state State
}

// Of returns the state of the newest entry of the office, as the log is known
// now. Do not change it.
func (r *Reader) Of(ctx context.Context, log *journal.Log, c *content.Reader) (State, error) {
	var state State
	all := log.Entries()
	for i := len(all) - 1; i >= 0; i-- {
		e := all[i]
		if e.Environment != 0 || e.Capture == 0 {
			continue
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.at == e.N {
			return r.state, nil
		}
		part, err := c.Part(ctx, e)
		if err != nil {
			return state, err
		}
		if len(part.State) > 0 {
			if err := json.Unmarshal(part.State, &state); err != nil {
				return state, object.Named(vlog.EntryName(e.N), allod.Errorf(allod.Corrupt, "read the state of the office: %w", err))
			}
		}
		r.at, r.state = e.N, state
		return state, nil
	}
	return state, nil
}
