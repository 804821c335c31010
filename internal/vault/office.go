package vault

import (
	"context"

	"allod/internal/govern/gate"
	"allod/internal/vault/internal/hidden"
	vlog "allod/internal/vault/log"
)

// Office is the name of the pseudo-environment, number 0, that holds what Allod
// keeps of itself: users, requests for approval, approvals; each a record.
const Office = "office"

// mayBegin returns the action that a session must have been opened for to write
// an environment.
func mayBegin(env string) gate.Action {
	if env == Office {
		return gate.ActionOffice
	}
	return gate.ActionCapture
}

// kindOf returns the kind of the log entries of an environment's commits.
func kindOf(env uint32) vlog.Kind {
	if env == 0 {
		return vlog.KindOffice
	}
	return vlog.KindCapture
}

// After returns the number of the environment's capture that the run's commits
// follow; 0 = none.
func (r *Run) After() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.capture
}

// OfficeState is the state of the office: which records no function shows.
type OfficeState = hidden.State

// OfficeState returns the state of the newest entry of the office, as the log is
// known now. Do not change it.
func (v *Vault) OfficeState(ctx context.Context) (OfficeState, error) {
	if err := v.needKeys("ask what is hidden"); err != nil {
		return OfficeState{}, err
	}
	return v.hidden.Of(ctx, v.log, v.content)
}
