package vault

import (
	"context"

	"filippo.io/age"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/vault/custody"
	"allod/internal/vault/escrow"
	"allod/internal/vault/keytree"
	"allod/internal/vault/object"
	"allod/internal/vault/puncture"
)

// desk is what puts keys into escrow and takes them out, with the keys of now.
func (v *Vault) desk() *custody.Desk {
	v.keys.Lock()
	defer v.keys.Unlock()
	return &custody.Desk{Finder: v.finder, Vault: v.ID(), Reader: v.content, To: v.place(), Secrets: v.secrets, Trees: v.content.Trees()}
}

// enter is the desk for an act on keys, with log and trees at their end.
func (v *Vault) enter(ctx context.Context, s gate.Session, what string) (*custody.Desk, error) {
	if err := v.mayPuncture(s, gate.ActionErase); err != nil {
		return nil, err
	}
	if err := v.settle(ctx); err != nil {
		return nil, object.Named(what, err)
	}
	return v.desk(), nil
}

// escrowOf returns what finds the escrow of restricted and held records.
func (v *Vault) escrowOf(ctx context.Context, tree func() *keytree.State) func(keytree.Tag) (*escrow.Public, error) {
	return func(tag keytree.Tag) (*escrow.Public, error) { return v.finder.Public(ctx, tree(), tag) }
}

// Restrict puts what the key tree derives of records into escrow for a
// container, and punctures them: nobody opens them without its key, and rows of
// them that are captured are sealed to it. Escrow is written to every place and
// read back before the log entry. The run has 32 hex digits. DestroySlots follows
// and errors are as those of Erase; Conflict for a record whose key is gone.
func (v *Vault) Restrict(ctx context.Context, s gate.Session, tags []RecordTag, to escrow.Container, run string, check func(context.Context) error) (*puncture.Done, error) {
	d, err := v.enter(ctx, s, "restrict")
	if err != nil {
		return nil, err
	}
	o, err := d.Restriction(ctx, tags, to, run, check)
	if err != nil {
		return nil, err
	}
	return v.punctureAt(ctx, s, d, o)
}

// Lift puts records of one environment back that are restricted or held, with
// the private half of their container: they open again in every snapshot, and
// what was captured of them meanwhile is sealed anew under the tree, in the same
// log entry; it returns how many versions those were. DestroySlots follows: until
// then the escrow lies there. Errors as Erase; Denied for the key of another
// container, NotFound where escrow is missing.
func (v *Vault) Lift(ctx context.Context, s gate.Session, tags []RecordTag, container allod.GUID, key age.Identity, run string, check func(context.Context) error) (*puncture.Done, int, error) {
	for range maxTries {
		d, err := v.enter(ctx, s, "lift")
		if err != nil {
			return nil, 0, err
		}
		l, err := d.Open(ctx, container, key, tags)
		if err != nil {
			return nil, 0, err
		}
		done, err := v.punctureAt(ctx, s, d, l.Order(d, run, check))
		l.Wipe()
		if !custody.Moved(err) {
			return done, l.Rows, err
		}
	}
	return nil, 0, allod.Errorf(allod.Unavailable, "lift: others captured the environment %d times meanwhile", maxTries)
}
