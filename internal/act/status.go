package act

import (
	"context"
	"slices"
	"time"

	"allod"
	"allod/internal/capture"
	"allod/internal/govern/gate"
	"allod/internal/notify"
	"allod/internal/runlog"
)

// EnvironmentStatus is one line of `allod status`. Times are UTC.
type EnvironmentStatus struct {
	Environment   string           `json:"environment"`
	LastGood      *time.Time       `json:"last_good"`   // end of the newest complete snapshot; nil = never
	AgeSeconds    int64            `json:"age_seconds"` // since LastGood; -1 = never
	Snapshot      allod.SnapshotID `json:"snapshot,omitempty"`
	Rows          int64            `json:"rows"`
	Gaps          int              `json:"gaps"` // that nobody chose
	GapList       []allod.Gap      `json:"gap_list,omitempty"`
	TokenAge      int64            `json:"token_age_seconds"` // of the oldest change-tracking token; -1 = none
	NativeLastDay *time.Time       `json:"native_last_day"`   // last day of the platform's own backups; nil = not known
	NextRun       *time.Time       `json:"next_run"`          // nil = nothing is scheduled; this and the next five come from the schedules, see job
	Schedule      string           `json:"schedule,omitempty"`
	LastRun       *runlog.Run      `json:"last_run,omitempty"` // newest attempt, however it ended
	Failures      int              `json:"failures,omitempty"` // attempts in a row that failed
	Running       *runlog.Live     `json:"running,omitempty"`  // the process of a serve or worker that backs it up now, on whatever machine
	Alarms        []notify.Notice  `json:"alarms,omitempty"`
	Slots         []string         `json:"slots"` // proved and not, in words
	Separation    string           `json:"role_separation"`
	Incomplete    bool             `json:"incomplete"` // the newest run was cut off
	TooOld        bool             `json:"too_old"`
	BrokenOff     []string         `json:"broken_off,omitempty"` // plans whose restore did not come to its end
}

// Status says, per environment, when it was last captured well and what is
// missing. maxAge 0 = no limit.
func (o *Office) Status(ctx context.Context, envs []string, maxAge time.Duration) ([]EnvironmentStatus, error) {
	if len(envs) == 0 {
		envs = o.Environments()
	}
	vs, err := o.vault.Status(ctx)
	if err != nil {
		return nil, err
	}
	var slots []string
	for _, s := range vs.Slots {
		word := s.Name + " never proved"
		if !s.Proved.IsZero() {
			word = s.Name + " proved " + s.Proved.Format(time.DateOnly)
		}
		slots = append(slots, word)
	}
	var res []EnvironmentStatus
	for _, env := range envs {
		if _, err := o.connection(env); err != nil {
			return nil, err
		}
		st, err := o.statusOf(ctx, env, maxAge)
		if err != nil {
			return nil, err
		}
		st.Slots, st.Separation = slots, vs.RoleSeparation
		if st.BrokenOff, err = o.BrokenOff(ctx, env); err != nil {
			return nil, err
		}
		res = append(res, *st)
	}
	return res, nil
}

func (o *Office) statusOf(ctx context.Context, env string, maxAge time.Duration) (*EnvironmentStatus, error) {
	st := &EnvironmentStatus{Environment: env, AgeSeconds: -1, TokenAge: -1, TooOld: maxAge > 0}
	all, err := o.vault.Snapshots(ctx, env)
	if err != nil || len(all) == 0 {
		return st, err
	}
	newest := all[len(all)-1]
	st.Incomplete = !newest.Complete
	s, err := o.session(ctx, gate.ActionRead, env, allod.PurposeOperate)
	if err != nil {
		return nil, err
	}
	good, err := o.lastGood(ctx, s, env, all)
	if err != nil {
		return nil, err
	}
	if good != nil {
		st.LastGood, st.Snapshot, st.Rows = &good.To, good.ID, good.Rows
		st.AgeSeconds = int64(o.deps.Now().Sub(good.To).Seconds())
	}
	st.TooOld = maxAge > 0 && (st.AgeSeconds < 0 || st.AgeSeconds > int64(maxAge.Seconds()))
	snap, err := o.vault.At(ctx, s, env, newest.ID)
	if err != nil {
		return nil, err
	}
	for _, g := range snap.Manifest().Gaps {
		if !g.Accepted {
			st.Gaps++
			st.GapList = append(st.GapList, g)
		}
	}
	oldest, err := o.oldestToken(ctx, env)
	if err != nil {
		return nil, err
	}
	if !oldest.IsZero() {
		st.TokenAge = int64(o.deps.Now().Sub(oldest).Seconds())
	}
	return st, nil
}

// lastGood returns the newest snapshot that closed a run over all tables, or
// nil: one that was told to read some tables says nothing of the others.
func (o *Office) lastGood(ctx context.Context, s gate.Session, env string, all []allod.Snapshot) (*allod.Snapshot, error) {
	for i := len(all) - 1; i >= 0; i-- {
		if !all[i].Complete {
			continue
		}
		snap, err := o.vault.At(ctx, s, env, all[i].ID)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(snap.Manifest().Gaps, func(g allod.Gap) bool { return g.Kind == allod.GapNotAsked }) {
			return &all[i], nil
		}
	}
	return nil, nil
}

func (o *Office) oldestToken(ctx context.Context, env string) (time.Time, error) {
	state, _, err := o.vault.CaptureState(ctx, env)
	if err != nil {
		return time.Time{}, err
	}
	return capture.OldestToken(state)
}
