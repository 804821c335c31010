package act

import (
	"context"
	"fmt"
	"time"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/runlog"
	"allod/internal/source"
)

// Acts of the platform that stand in the ledger.
const (
	nativeMade     = "native-backup"
	nativeDeleted  = "native-backup-deleted"
	nativeRestored = "native-restore"
)

// nativeDays is the longest that the platform keeps its backups without being
// set to more (protocols/dataverse.md §12.1).
const nativeDays = 28 * 24 * time.Hour

// native opens the platform's own backups of an environment.
func (o *Office) native(ctx context.Context, env string) (source.Native, error) {
	c, err := o.connection(env)
	if err != nil {
		return nil, err
	}
	id, err := o.platformID(ctx, env)
	if err != nil {
		return nil, err
	}
	return o.deps.OpenNative(ctx, env, c, id)
}

func (o *Office) platformID(ctx context.Context, env string) (allod.GUID, error) {
	src, err := o.source(ctx, env)
	if err != nil {
		return allod.GUID{}, err
	}
	var id allod.GUID
	if m, ok := src.(source.PlatformMember); ok {
		if id, err = m.PlatformID(ctx); err != nil {
			return id, fmt.Errorf("ask %s for its id: %w", env, err)
		}
	}
	if id.IsZero() {
		return id, allod.Errorf(allod.NotFound, "ask the Power Platform about %s: the environment does not say its id there", env)
	}
	return id, nil
}

// NativeBackups lists the backups that somebody had the platform make of an
// environment.
func (o *Office) NativeBackups(ctx context.Context, env string) ([]source.NativeBackup, error) {
	n, err := o.native(ctx, env)
	if err != nil {
		return nil, err
	}
	return n.List(ctx)
}

// NativeBackup has the platform make a backup under a label.
func (o *Office) NativeBackup(ctx context.Context, env, label string) (b source.NativeBackup, err error) {
	err = o.nativeAct(ctx, env, nativeMade, func(n source.Native) error {
		b, err = n.Create(ctx, label)
		return err
	})
	return b, err
}

// DeleteNativeBackup removes a backup that the platform made by hand.
func (o *Office) DeleteNativeBackup(ctx context.Context, env, id string) error {
	return o.nativeAct(ctx, env, nativeDeleted, func(n source.Native) error { return n.Delete(ctx, id) })
}

// nativeAct does something with the platform's backups and writes it down.
func (o *Office) nativeAct(ctx context.Context, env, word string, f func(n source.Native) error) error {
	n, err := o.native(ctx, env)
	if err != nil {
		return err
	}
	s, err := o.session(ctx, gate.ActionNative, env, allod.PurposeOperate)
	if err != nil {
		return err
	}
	if err := f(n); err != nil {
		return err
	}
	return o.gate.Act(ctx, s, word, nil)
}

// NativeRestore is a restore of a whole environment by the platform. Make it
// with PlanNativeRestore.
type NativeRestore struct {
	From      string              `json:"from"`
	To        string              `json:"to"`
	At        time.Time           `json:"at"` // UTC
	Backup    source.NativeBackup `json:"backup,omitzero"`
	WithAudit bool                `json:"with_audit"`
	target    allod.GUID
	native    source.Native
}

// PlanNativeRestore asks the platform whether it would make the environment to
// what env was at a moment, or at a backup's when id is not empty. Nothing is
// changed.
func (o *Office) PlanNativeRestore(ctx context.Context, env, to string, at time.Time, id string, withAudit bool) (*NativeRestore, error) {
	r := &NativeRestore{From: env, To: to, At: at.UTC(), WithAudit: withAudit}
	var err error
	if r.native, err = o.native(ctx, env); err != nil {
		return nil, err
	}
	if r.target, err = o.platformID(ctx, to); err != nil {
		return nil, err
	}
	if id != "" {
		if err := r.find(ctx, id); err != nil {
			return nil, err
		}
	}
	now := o.deps.Now()
	if r.At.IsZero() || r.At.After(now) || id == "" && now.Sub(r.At) > nativeDays {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "restore %s by the platform: there is no backup of that moment", env),
			"The platform keeps 28 days for production with Dynamics 365 apps, else 7. What is older is in the vault: `allod restore %s@…`.", env)
	}
	if err := r.native.Check(ctx, r.wanted()); err != nil {
		return nil, fmt.Errorf("restore %s into %s: %w", env, to, err)
	}
	return r, nil
}

func (r *NativeRestore) find(ctx context.Context, id string) error {
	list, err := r.native.List(ctx)
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.ID == id || b.Label == id {
			r.Backup, r.At = b, b.Point
			return nil
		}
	}
	return allod.WithHint(allod.Errorf(allod.NotFound, "find the platform's backup %q of %s", id, r.From), "`allod native list %s` shows those there are.", r.From)
}

func (r *NativeRestore) wanted() source.NativeRestore {
	return source.NativeRestore{Target: r.target, At: r.At, WithAudit: r.WithAudit}
}

// ApplyNativeRestore has the platform carry it out and waits for its end. All of
// the target is overwritten.
func (o *Office) ApplyNativeRestore(ctx context.Context, r *NativeRestore) error {
	s, err := o.session(ctx, gate.ActionRestore, r.To, allod.PurposeRestore)
	if err != nil {
		return err
	}
	if err := o.gate.Act(ctx, s, runlog.Restoring, nil); err != nil {
		return err
	}
	if err := r.native.Restore(ctx, r.wanted()); err != nil {
		return err
	}
	return o.gate.Act(ctx, s, nativeRestored, nil)
}
