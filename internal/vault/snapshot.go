package vault

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/source"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
)

var _ source.View = (*Snapshot)(nil)

// Snapshot is the rows of one environment at one capture. It implements
// source.View. Methods may be called from several goroutines.
type Snapshot struct {
	v        *Vault
	session  gate.Session
	env      string
	entry    *journal.Entry
	meta     allod.Snapshot
	schema   *meta.Schema
	manifest *meta.Manifest
	past     *shelf.Past
}

// Tombstone is a record that is deleted as of a snapshot.
type Tombstone struct {
	Ref     allod.RecordRef
	Reason  allod.DeleteReason
	Capture uint64 // capture number in which the deletion became known
}

// Version is one stored version of a record.
type Version = content.Version

// Snapshots lists the snapshots of an environment, oldest first; "" = of all.
// Without keys environments are named "#<number>".
func (v *Vault) Snapshots(ctx context.Context, env string) ([]allod.Snapshot, error) {
	if env != "" && v.held().Role == keyring.RoleMaintain {
		return nil, v.needKeys("tell environments apart")
	}
	if err := v.log.Refresh(ctx); err != nil {
		return nil, err
	}
	var out []allod.Snapshot
	for _, e := range v.log.Entries() {
		if e.Capture == 0 {
			continue
		}
		name, err := v.envName(ctx, e)
		if err != nil {
			return nil, err
		}
		if env == "" || env == name {
			out = append(out, e.Snapshot(name))
		}
	}
	return out, nil
}

// envName returns the name of the environment of an entry, "#n" without keys.
func (v *Vault) envName(ctx context.Context, e *journal.Entry) (string, error) {
	if v.content == nil {
		return fmt.Sprintf("#%d", e.Environment), nil
	}
	return v.content.EnvironmentName(ctx, e)
}

// environments returns name → newest capture entry, and the highest number in use.
func (v *Vault) environments(ctx context.Context) (map[string]*journal.Entry, uint32, error) {
	out := map[string]*journal.Entry{}
	highest := uint32(0)
	for _, e := range v.log.Entries() {
		highest = max(highest, e.Environment)
		if e.Capture == 0 {
			continue
		}
		name, err := v.envName(ctx, e)
		if err != nil {
			return nil, 0, err
		}
		out[name] = e
	}
	return out, highest, nil
}

// Environments lists the names of environments that have snapshots, sorted.
func (v *Vault) Environments(ctx context.Context) ([]string, error) {
	if err := v.log.Refresh(ctx); err != nil {
		return nil, err
	}
	envs, _, err := v.environments(ctx)
	return slices.Sorted(maps.Keys(envs)), err
}

// mayRead is Denied unless the session was opened at this vault's gate for an
// action that shows content.
func (v *Vault) mayRead(s gate.Session) error {
	if err := v.mayAct(s, gate.ActionRead, gate.ActionFind, gate.ActionCompare, gate.ActionRestore, gate.ActionUndo, gate.ActionSeed,
		gate.ActionExport, gate.ActionFeed, gate.ActionVerify, gate.ActionRecover, gate.ActionOffice); err != nil {
		return err
	}
	return v.needKeys("read rows")
}

// At opens the snapshot; id 0 = the newest one of the environment. The session
// must allow content of the environment, or of one of its tables; Rows, Get,
// Deleted and OpenFile ask it again for their table. Conflict, there too, once
// the log is known to name a newer key tree than the one loaded: what was erased
// meanwhile must not be shown.
func (v *Vault) At(ctx context.Context, s gate.Session, env string, id allod.SnapshotID) (*Snapshot, error) {
	if err := v.mayRead(s); err != nil {
		return nil, err
	}
	if err := v.log.Refresh(ctx); err != nil {
		return nil, err
	}
	if err := v.inForce(ctx); err != nil {
		return nil, object.Named("open a snapshot of "+env, err)
	}
	envs, _, err := v.environments(ctx)
	if err != nil {
		return nil, err
	}
	e := envs[env]
	if e == nil {
		return nil, allod.WithHint(allod.Errorf(allod.NotFound, "open a snapshot of %s: there is none", env), "See `allod snapshots` for what there is.")
	}
	if id != 0 {
		n, err := v.log.Entry(uint64(id))
		if err != nil {
			return nil, err
		}
		if n.Capture == 0 || n.Environment != e.Environment {
			return nil, allod.Errorf(allod.NotFound, "open snapshot %d of %s: the entry is no capture of it", id, env)
		}
		e = n
	}
	snap := &Snapshot{v: v, session: s, env: env, entry: e, meta: e.Snapshot(env), past: v.content.Past(e.Environment, e.Capture)}
	if snap.manifest, snap.schema, err = v.describe(ctx, e); err != nil {
		return nil, err
	}
	if err := snap.mayOpen(); err != nil {
		return nil, err
	}
	return snap, nil
}

// mayOpen asks the session for the environment or any of its tables.
func (s *Snapshot) mayOpen() error {
	err := s.session.AllowsContent(s.env, "")
	if err == nil || s.schema == nil {
		return err
	}
	for i := range s.schema.Schema.Tables {
		if s.session.AllowsContent(s.env, s.schema.Schema.Tables[i].Name) == nil {
			return nil
		}
	}
	return err
}

// Name returns e.g. "contoso@42".
func (s *Snapshot) Name() string { return s.env + "@" + strconv.FormatUint(s.entry.N, 10) }

// Meta returns what the log says of the snapshot.
func (s *Snapshot) Meta() allod.Snapshot { return s.meta }

// Schema returns the schema as of the snapshot, nil before the first one was
// stored. Do not change it.
func (s *Snapshot) Schema() *allod.Schema {
	if s.schema == nil {
		return nil
	}
	c := s.schema.Schema
	c.Identity = s.manifest.Identity
	return &c
}

// SchemaNumber tells schemas apart without comparing them: consecutive
// snapshots of an environment with one number have one schema. 0 = none yet.
func (s *Snapshot) SchemaNumber() uint32 {
	if s.schema == nil {
		return 0
	}
	return s.schema.Number
}

// Manifest returns the manifest without State: every table known so far.
func (s *Snapshot) Manifest() Manifest {
	m := Manifest{Identity: s.manifest.Identity, Gaps: slices.Clone(s.manifest.Gaps), From: s.meta.From, To: s.meta.To, Complete: s.meta.Complete}
	for _, t := range s.manifest.Tables {
		m.Tables = append(m.Tables, t.TableManifest)
	}
	slices.SortFunc(m.Tables, func(a, b allod.TableManifest) int { return strings.Compare(a.Table, b.Table) })
	return m
}

// TableState returns what the snapshot says of a table; false when nothing.
func (s *Snapshot) TableState(table string) (allod.TableManifest, bool) {
	number, err := s.number(table)
	if err != nil {
		return allod.TableManifest{}, false
	}
	t := s.manifest.Table(number)
	if t == nil {
		return allod.TableManifest{}, false
	}
	return t.TableManifest, true
}

func (s *Snapshot) number(table string) (uint32, error) {
	if s.schema != nil {
		if n := s.schema.NumberOf(table); n != 0 {
			return n, nil
		}
	}
	return 0, allod.Errorf(allod.NotFound, "read table %s of %s: there is no such table", table, s.Name())
}

// table returns the number of a table the session may read.
func (s *Snapshot) table(table string) (uint32, error) {
	if err := s.session.AllowsContent(s.env, table); err != nil {
		return 0, err
	}
	return s.number(table)
}

// opener opens rows of the snapshot's environment with the keys of the reader.
func (s *Snapshot) opener(ctx context.Context, r *content.Reader) (*content.Opener, error) {
	if err := s.v.inForce(ctx); err != nil {
		return nil, object.Named("open rows", err)
	}
	office, err := s.v.OfficeState(ctx)
	if err != nil {
		return nil, object.Named("open rows", err)
	}
	o, err := r.Opener(s.entry.Environment, s.schema)
	if err != nil {
		return nil, err
	}
	for _, t := range office.Hidden {
		o.Hide(t.Environment, t.Table, t.Tag)
	}
	return o, nil
}

func (s *Snapshot) fail(table string, err error) error {
	return object.Named("read table "+table+" of "+s.Name(), err)
}

// errStop ends a scan: enough was seen.
var errStop = errors.New("enough")

// scan calls f with the newest version of each record of a table, deletes
// included, until it returns an error. A record that is withheld is passed over.
func (s *Snapshot) scan(ctx context.Context, table string, f func(o *content.Opener, e *pack.Entry) error) error {
	return s.each(ctx, table, (*shelf.Past).Newest, f)
}

func (s *Snapshot) each(ctx context.Context, table string, cursor func(*shelf.Past, uint32) (*shelf.Newest, error), f func(o *content.Opener, e *pack.Entry) error) error {
	number, err := s.table(table)
	if err != nil {
		return err
	}
	o, err := s.opener(ctx, s.v.content)
	if err != nil {
		return err
	}
	defer o.Close()
	c, err := cursor(s.past, number)
	if err != nil {
		return s.fail(table, err)
	}
	for c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch err := s.open(o, c.Entry(), f); {
		case err == nil || content.Withheld(err) != "":
		case errors.Is(err, errStop):
			return nil
		default:
			return s.fail(table, err)
		}
	}
	if err := c.Err(); err != nil {
		return s.fail(table, err)
	}
	return nil
}

// open calls f with a version that was found, or with the one that was sealed
// anew in its place since.
func (s *Snapshot) open(o *content.Opener, e *pack.Entry, f func(o *content.Opener, e *pack.Entry) error) error {
	err := f(o, e)
	if content.Withheld(err) != keytree.Superseded.String() {
		return err
	}
	again, lookErr := s.past.Again(e)
	if lookErr != nil {
		return lookErr
	}
	if again == nil {
		return err
	}
	return f(o, again)
}

// Rows yields every row of the table alive in the snapshot, in tag order. Rows
// that are hidden, or whose key is gone by an act on record, are left out.
// Errors: Denied, NotFound for an unknown table, Corrupt naming the object.
func (s *Snapshot) Rows(ctx context.Context, table string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		err := s.scan(ctx, table, func(o *content.Opener, e *pack.Entry) error {
			if e.Meta[0] == seal.OpDelete {
				return nil
			}
			row, err := o.Row(e)
			if err == nil && !yield(*row, nil) {
				err = errStop
			}
			return err
		})
		if err != nil {
			yield(allod.Row{}, err)
		}
	}
}

// Deleted yields the records of the table that are deleted as of the snapshot.
func (s *Snapshot) Deleted(ctx context.Context, table string) iter.Seq2[Tombstone, error] {
	return func(yield func(Tombstone, error) bool) {
		err := s.scan(ctx, table, func(o *content.Opener, e *pack.Entry) error {
			if e.Meta[0] != seal.OpDelete {
				return nil
			}
			r, _, err := o.Open(e)
			if err == nil && !yield(Tombstone{Ref: content.RefOf(table, &r), Reason: r.Reason, Capture: e.Key.Capture()}, nil) {
				err = errStop
			}
			return err
		})
		if err != nil {
			yield(Tombstone{}, err)
		}
	}
}

// Get returns the rows that exist among refs, in the order of refs.
func (s *Snapshot) Get(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	number, err := s.table(table)
	if err != nil {
		return nil, err
	}
	o, err := s.opener(ctx, s.v.content)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	var out []allod.Row
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		tag := o.Tag(number, ref.Key, ref.Pair)
		e, err := s.past.Find(number, tag)
		if err != nil {
			return nil, s.fail(table, err)
		}
		if e == nil || e.Meta[0] == seal.OpDelete {
			continue
		}
		err = s.open(o, e, func(o *content.Opener, e *pack.Entry) error {
			row, err := o.Row(e)
			if err == nil {
				out = append(out, *row)
			}
			return err
		})
		if err != nil && content.Withheld(err) == "" {
			return nil, s.fail(table, err)
		}
	}
	return out, nil
}

// History returns the stored versions of a record, newest first, as far as the
// newest snapshot's schema knows its table. For one capture number only the
// highest generation counts.
func (v *Vault) History(ctx context.Context, s gate.Session, env string, ref allod.RecordRef) ([]Version, error) {
	return v.history(ctx, s, env, ref, func(RecordTag) (*content.Reader, error) { return v.content, nil })
}

// HistoryHeld is History of a record that is restricted or held, for a holder of
// its container: nothing is lifted. Conflict for a record that is neither, Denied for
// the key of another container, NotFound where its escrow is missing.
func (v *Vault) HistoryHeld(ctx context.Context, s gate.Session, env string, ref allod.RecordRef, container allod.GUID, key age.Identity) ([]Version, error) {
	var lent *content.Reader
	out, err := v.history(ctx, s, env, ref, func(t RecordTag) (r *content.Reader, err error) {
		lent, err = v.desk().Lend(ctx, container, key, t)
		return lent, err
	})
	if lent != nil {
		lent.Close()
	}
	return out, err
}

func (v *Vault) history(ctx context.Context, s gate.Session, env string, ref allod.RecordRef, with func(RecordTag) (*content.Reader, error)) ([]Version, error) {
	snap, err := v.At(ctx, s, env, 0)
	if err != nil {
		return nil, err
	}
	number, err := snap.table(ref.Table)
	if err != nil {
		return nil, err
	}
	tag := v.content.Tag(snap.entry.Environment, number, ref)
	reader, err := with(RecordTag{Environment: snap.entry.Environment, Table: number, Tag: tag})
	if err != nil {
		return nil, snap.fail(ref.Table, err)
	}
	o, err := snap.opener(ctx, reader)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	out, err := o.History(snap.past, number, tag)
	ids := v.log.Captures(snap.entry.Environment)
	for i := range out {
		out[i].Snapshot = ids[out[i].Capture]
	}
	return out, snap.fail(ref.Table, err)
}

// Versions yields every stored version of every record of the table, until the
// snapshot, newest first within a record; Snapshot is not filled, and Ref is
// zero where the version is withheld. Errors as Rows.
func (s *Snapshot) Versions(ctx context.Context, table string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		err := s.each(ctx, table, (*shelf.Past).Every, func(o *content.Opener, e *pack.Entry) error {
			v, err := o.Version(e)
			if err == nil && !yield(v, nil) {
				err = errStop
			}
			return err
		})
		if err != nil {
			yield(Version{}, err)
		}
	}
}
