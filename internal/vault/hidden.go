package vault

import (
	"context"
	"encoding/json"

	"allod"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

// OfficeState is the state of the office's entries (FORMAT.md §3.1): it is
// sealed for who holds the index key, and read without a session, since nobody
// may be shown what it hides.
type OfficeState struct {
	// Hidden are records that are to be erased: no function shows them from
	// here on, while their keys are still there.
	Hidden []RecordTag `json:"hidden,omitempty"`
	// Pending is how many erasures are committed and not final.
	Pending int `json:"pending,omitempty"`
	// Waiting is how many rectifications were asked for and are not committed.
	Waiting int `json:"waiting,omitempty"`
	// Replayed says that there was a correction that restores replay.
	Replayed bool `json:"replayed,omitempty"`
}

// OfficeState returns the state of the newest entry of the office, as the log is
// known now. Do not change it.
func (v *Vault) OfficeState(ctx context.Context) (OfficeState, error) {
	var state OfficeState
	if err := v.needKeys("ask what is hidden"); err != nil {
		return state, err
	}
	all := v.log.Entries()
	for i := len(all) - 1; i >= 0; i-- {
		e := all[i]
		if e.Environment != 0 || e.Capture == 0 {
			continue
		}
		v.hiding.Lock()
		defer v.hiding.Unlock()
		if v.hiddenAt == e.N {
			return v.office, nil
		}
		part, err := v.content.Part(ctx, e)
		if err != nil {
			return state, err
		}
		if len(part.State) > 0 {
			if err := json.Unmarshal(part.State, &state); err != nil {
				return state, object.Named(vlog.EntryName(e.N), allod.Errorf(allod.Corrupt, "read the state of the office: %w", err))
			}
		}
		v.hiddenAt, v.office = e.N, state
		return state, nil
	}
	return state, nil
}
