package vault

import (
	"context"
	"errors"
	"slices"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/puncture"
	"allod/internal/vault/reseal"
)

// RectifyOptions of Rectify.
type RectifyOptions struct {
	Run   string                          // id of the act, at most 64 bytes
	Check func(ctx context.Context) error // as in EraseOptions
	// Spent are records whose keys go in the same step: of the office, where the
	// corrections stood until they were carried out.
	Spent []RecordTag
}

// Rectify corrects stored versions of records of an environment: each version
// is sealed anew under the record's next generation, as the records say, and one
// log entry names what was sealed and destroys the generation before. When it
// returns nil the log has the entry; DestroySlots follows, as after Erase. The
// session must have been opened to erase, with content. Errors as Erase; Denied
// where content may not be seen; Conflict for a record whose erasure was asked
// for; else those of package reseal.
func (v *Vault) Rectify(ctx context.Context, s gate.Session, env string, records []reseal.Record, opts RectifyOptions) (*puncture.Done, *reseal.Sealed, error) {
	if err := v.mayPuncture(s, gate.ActionErase); err != nil {
		return nil, nil, err
	}
	o := puncture.Order{Kind: vlog.KindRectify, Absent: keytree.Superseded, Run: opts.Run}
	index := keytree.NewIndexer(v.secrets.Index)
	for _, t := range opts.Spent {
		o.Targets = append(o.Targets, keytree.Target{Leaf: index.Leaf(t.Tag), Generation: -1})
	}
	return v.replace(ctx, s, o, env, records, opts.Check)
}

// Corrections calls the Change of each record as Rectify would, and changes
// nothing. The session is as for At.
func (v *Vault) Corrections(ctx context.Context, s gate.Session, env string, records []reseal.Record) (*reseal.Sealed, error) {
	if err := v.mayRead(s); err != nil {
		return nil, err
	}
	j, err := v.job(ctx, s, env)
	if err != nil {
		return nil, err
	}
	if err := v.shown(ctx, j.Environment, records); err != nil {
		return nil, err
	}
	return reseal.Look(ctx, j, records)
}

// errMoved says that there is a capture of the environment, or an epoch, that
// was not there when versions were read.
var errMoved = errors.New("the environment or the key tree has moved")

// replace seals the records anew and punctures what they were read under, with
// the order's own targets; from the start again when somebody has captured the
// environment, or destroyed keys, meanwhile.
func (v *Vault) replace(ctx context.Context, s gate.Session, o puncture.Order, env string, records []reseal.Record, check func(context.Context) error) (*puncture.Done, *reseal.Sealed, error) {
	own := o.Targets
	for range maxTries {
		j, err := v.job(ctx, s, env)
		if err != nil {
			return nil, nil, err
		}
		if o.Kind == vlog.KindRectify {
			if err := v.shown(ctx, j.Environment, records); err != nil {
				return nil, nil, err
			}
		}
		sealed, err := reseal.Seal(ctx, j, records)
		if err != nil {
			return nil, nil, err
		}
		o.Environment, o.Objects, o.Targets = j.Environment, sealed.Objects, slices.Concat(own, sealed.Targets)
		o.Draft = func(ctx context.Context, _ *vlog.Entry) error {
			if chain := v.log.Chain(); chain.Capture[j.Environment] != sealed.Capture || chain.Epochs[chain.Root()] != sealed.Epoch {
				return errMoved
			}
			if check != nil {
				return check(ctx)
			}
			return nil
		}
		done, err := v.puncture(ctx, s, o)
		chain := v.log.Chain()
		rekeyed := allod.KindOf(err) == allod.Conflict && chain.Epochs[chain.Root()] != sealed.Epoch
		if !errors.Is(err, errMoved) && !rekeyed {
			return done, sealed, err
		}
	}
	return nil, nil, allod.Errorf(allod.Unavailable, "seal records anew: others wrote %d times meanwhile", maxTries)
}

// shown is Conflict for a record that no function shows: its erasure was asked
// for.
func (v *Vault) shown(ctx context.Context, env uint32, records []reseal.Record) error {
	office, err := v.OfficeState(ctx)
	if err != nil {
		return err
	}
	for _, r := range records {
		if slices.Contains(office.Hidden, RecordTag{Environment: env, Table: r.Table, Tag: r.Tag}) {
			return allod.WithHint(allod.Errorf(allod.Conflict, "seal a record anew: its erasure was asked for"), "`allod vault erasures` lists them.")
		}
	}
	return nil
}

// job brings log and tree to their end and says what to seal anew.
func (v *Vault) job(ctx context.Context, s gate.Session, env string) (reseal.Job, error) {
	j := reseal.Job{Reader: v.content, To: v.place(), Limit: v.fileObject}
	if err := s.AllowsContent(env, ""); err != nil {
		return j, err
	}
	if err := v.settle(ctx); err != nil {
		return j, object.Named("open the records", err)
	}
	envs, _, err := v.environments(ctx)
	if err != nil {
		return j, err
	}
	e := envs[env]
	if e == nil {
		return j, allod.Errorf(allod.NotFound, "seal records of %s anew: it has no snapshot", env)
	}
	j.Environment, j.Capture = e.Environment, e.Capture
	_, j.Schema, err = v.describe(ctx, e)
	return j, err
}
