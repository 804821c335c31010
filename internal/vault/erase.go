package vault

import (
	"context"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/vault/custody"
	"allod/internal/vault/escrow"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/log/certificate"
	"allod/internal/vault/object"
	"allod/internal/vault/puncture"
	"allod/internal/vault/reseal"
)

// RecordTag names a record of the vault without saying which one it is to
// anybody without the index key (FORMAT.md §4).
type RecordTag = escrow.Tag

// Tags returns the tags of records of an environment, in the order of refs, by
// its newest schema. The session must be allowed to see the tables. NotFound
// for a table that the vault never held.
func (v *Vault) Tags(ctx context.Context, s gate.Session, env string, refs []allod.RecordRef) ([]RecordTag, error) {
	snap, err := v.At(ctx, s, env, 0)
	if err != nil {
		return nil, err
	}
	out := make([]RecordTag, len(refs))
	for i, r := range refs {
		number, err := snap.table(r.Table)
		if err != nil && snap.schema != nil {
			if former := snap.schema.FormerNumber(r.Table); former != 0 && s.AllowsContent(env, r.Table) == nil {
				number, err = former, nil
			}
		}
		if err != nil {
			return nil, err
		}
		out[i] = RecordTag{Environment: snap.entry.Environment, Table: number, Tag: v.content.Tag(snap.entry.Environment, number, r)}
	}
	return out, nil
}

// EraseOptions of Erase.
type EraseOptions struct {
	// Past destroys what is stored until now and keeps a place for what comes:
	// the record's present generation is punctured, the next one is open. The
	// newest version of a record that is alive is sealed anew under it, in the
	// same step. All records must be of one environment.
	Past bool
	Run  string // id of the act, at most 64 bytes
	// Holds returns the holds that name a record; nil = none. What the tree
	// derives of one that has any is put into escrow for each of them, and the
	// record is listed as held. Not with Past: release the hold first.
	Holds func(RecordTag) []escrow.Container
	// Check, if there is one, is asked right before the log entry is written,
	// with the log read to its end, at each attempt: holds may have come.
	Check func(ctx context.Context) error
	Spent []RecordTag // as in RectifyOptions
}

// Erase destroys the keys of records in every snapshot at once: steps 1 to 3 of
// package puncture, in one epoch for all of them and in every root of the key
// tree. The past of a record in its last generation is forgotten by beginning a
// new root in the same step. No pack is touched. When it
// returns nil the log has the entry, and this process derives nothing of the
// records any more; who holds the slots of the epoch before still does, until
// DestroySlots has removed them everywhere. Denied unless the session was opened
// to erase; Invalid for no records; Conflict when somebody else has punctured meanwhile.
func (v *Vault) Erase(ctx context.Context, s gate.Session, tags []RecordTag, opts EraseOptions) (*puncture.Done, error) {
	if len(tags) == 0 {
		return nil, allod.Errorf(allod.Invalid, "erase: no record was named")
	}
	d, err := v.enter(ctx, s, "erase")
	if err != nil {
		return nil, err
	}
	if opts.Past {
		return v.forgetPast(ctx, s, d.Spend(opts.Spent, opts.Run), tags, opts)
	}
	o, err := d.Erasure(ctx, tags, opts.Spent, opts.Holds, opts.Run, opts.Check)
	if err != nil {
		return nil, err
	}
	return v.punctureAt(ctx, s, d, o)
}

// forgetPast erases all but the newest version of records, if that is a row.
func (v *Vault) forgetPast(ctx context.Context, s gate.Session, o puncture.Order, tags []RecordTag, opts EraseOptions) (*puncture.Done, error) {
	e, err := v.content.NameOf(ctx, tags[0].Environment)
	if err != nil {
		return nil, err
	}
	var records []reseal.Record
	for _, t := range tags {
		if t.Environment != tags[0].Environment {
			return nil, allod.Errorf(allod.Invalid, "forget the past of records: they are of several environments")
		}
		records = append(records, reseal.Record{Table: t.Table, Tag: t.Tag, Newest: true})
	}
	o.Absent = keytree.Superseded
	done, _, err := v.replace(ctx, s, o, e, records, opts.Check)
	return done, object.Named("forget the past of a record", err)
}

// Rotate makes the state keys and every slot anew, without destroying the key of
// any record. After DestroySlots a slot that nobody had kept is of no use to
// whoever comes upon it later; one that was kept still opens the old pages of
// the tree, whose seeds are those of later rows too (THREATS.md). Errors as
// Erase, for a session opened for keys.
func (v *Vault) Rotate(ctx context.Context, s gate.Session) (*puncture.Done, error) {
	return v.rotate(ctx, s, false)
}

// BeginRoot is Rotate, and begins a new root of the key tree: with a slot from
// before nobody opens a row that is sealed from here on. Rows that are there stay
// readable with the slots of now, and as open to whoever kept one as they were.
// Invalid when there are too many roots.
func (v *Vault) BeginRoot(ctx context.Context, s gate.Session) (*puncture.Done, error) {
	return v.rotate(ctx, s, true)
}

func (v *Vault) rotate(ctx context.Context, s gate.Session, begin bool) (*puncture.Done, error) {
	if err := v.mayPuncture(s, gate.ActionKeys); err != nil {
		return nil, err
	}
	if err := v.settle(ctx); err != nil {
		return nil, object.Named("rotate the slots", err)
	}
	return v.puncture(ctx, s, puncture.Order{Kind: vlog.KindSlot, Begin: begin})
}

func (v *Vault) mayPuncture(s gate.Session, a gate.Action) error {
	if err := v.mayAct(s, a); err != nil {
		return err
	}
	return v.needKeys("use the key tree")
}

// mayAct is Denied unless the session was opened at this vault's gate for one of
// the actions.
func (v *Vault) mayAct(s gate.Session, actions ...gate.Action) error {
	if err := s.AllowsAction(actions...); err != nil {
		return err
	}
	if s.Vault() != v.ID() {
		return allod.Errorf(allod.Denied, "%s: the session was opened for another vault", s.Action())
	}
	return nil
}

// settle brings log and tree to their end.
func (v *Vault) settle(ctx context.Context) error {
	if err := v.log.Refresh(ctx); err != nil {
		return err
	}
	return v.inForce(ctx)
}

func (v *Vault) puncture(ctx context.Context, s gate.Session, o puncture.Order) (*puncture.Done, error) {
	return v.punctureAt(ctx, s, v.desk(), o)
}

// punctureAt punctures the trees of the desk: Conflict if they have moved since.
func (v *Vault) punctureAt(ctx context.Context, s gate.Session, d *custody.Desk, o puncture.Order) (*puncture.Done, error) {
	seen := s.Ledger()
	o.Ledger = vlog.LedgerRoot{Size: seen.Size, Hash: vlog.Digest(seen.Hash)}
	site := puncture.Site{Store: v.cfg.Store, Places: v.cfg.Slots, Log: v.log, Pin: v.cfg.Pin, Now: v.cfg.Now}
	o.Older = d.Trees[:len(d.Trees)-1]
	done, err := puncture.Commit(ctx, site, d.Secrets, d.Tree(), o)
	if err != nil {
		return nil, err
	}
	v.keys.Lock()
	defer v.keys.Unlock()
	if v.content.Tree().Epoch() < done.Epoch { // another goroutine may have followed already
		v.content.Replace(done.Trees)
		v.secrets.RootKey, v.secrets.Older = done.Secrets.RootKey, done.Secrets.Older
	}
	return done, nil
}

// DestroySlots removes the slots of every epoch before the one in force, in
// every place, and what lies in escrow and counts no more, or in containers that
// are closed: step 4. What is left, and why, stands in the result; call it again
// until nothing is. Denied as Erase, for a session opened to erase or for keys.
func (v *Vault) DestroySlots(ctx context.Context, s gate.Session, closed ...allod.GUID) ([]puncture.Destroyed, error) {
	if err := s.AllowsAction(gate.ActionErase, gate.ActionKeys); err != nil {
		return nil, err
	}
	if err := v.settle(ctx); err != nil {
		return nil, object.Named("destroy the old slots", err)
	}
	out := puncture.Destroy(ctx, v.cfg.Slots, v.log.Epoch())
	for i, err := range v.finder.Sweep(ctx, v.content.Tree(), closed...) {
		out[i].Escrow = err
	}
	return out, nil
}

// Certify completes a certificate with the vault, the log entry of its puncture
// and the signature of use erase, and returns it as it is handed out. Denied
// unless the session was opened to erase.
func (v *Vault) Certify(ctx context.Context, s gate.Session, c *certificate.Certificate) ([]byte, error) {
	if err := v.mayPuncture(s, gate.ActionErase); err != nil {
		return nil, err
	}
	e, err := v.log.Entry(c.Puncture.Entry)
	if err != nil {
		return nil, err
	}
	key, err := v.secrets.Signer(keyring.SignErase)
	if err != nil {
		return nil, err
	}
	c.Vault, c.Puncture.Digest, c.Puncture.Time, c.Puncture.Roots = v.ID(), e.Digest, e.Time, e.Roots
	if c.Puncture.Object, err = object.Get(ctx, v.cfg.Store, vlog.EntryName(e.N), vlog.MaxEntry); err != nil {
		return nil, err
	}
	return c.Sign(key)
}

// pending returns how many erasures are not final.
func (v *Vault) pending(ctx context.Context) int {
	n := v.log.PuncturedAfter(v.Slots().Oldest(ctx))
	if state, err := v.OfficeState(ctx); err == nil { // other counted places may keep them
		n = max(n, state.Pending)
	}
	return n
}

// Absences returns why keys are gone, in the order of the tags: "erased",
// "superseded", "restricted", "held"; "" for a record whose present key can be
// derived. It needs no packs, and says nothing about whether rows are stored.
func (v *Vault) Absences(tags []RecordTag) ([]string, error) {
	if err := v.needKeys("use the key tree"); err != nil {
		return nil, err
	}
	return v.content.Absences(tags)
}

// Erased is what the log says of an erasure, or of a rectification.
type Erased = journal.Punctured

// ErasedBy finds the erasure or rectification of a run in the log; nil when it
// has none: nothing was destroyed by it.
func (v *Vault) ErasedBy(ctx context.Context, run string) (*Erased, error) {
	if err := v.log.Refresh(ctx); err != nil {
		return nil, err
	}
	return v.log.PuncturedBy(run), nil
}
