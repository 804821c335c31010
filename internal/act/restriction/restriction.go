// Package restriction has the use cases around restrictions and legal holds:
// putting records out of everybody's sight with their keys in the hands of
// holders, lifting that, keeping records from being destroyed, and releasing
// them. How keys move is package vault's part, the register that of package
// containers.
package restriction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/containers"
	"allod/internal/act/erasure"
	"allod/internal/act/keys"
	"allod/internal/act/people"
	"allod/internal/blob"
	"allod/internal/govern/approve"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/vault"
	"allod/internal/vault/keytree"
)

// Request says which records, and into which container, as typed.
type Request struct {
	erasure.Request // of the records and what belongs to them
	Container       string
	Holders         []string // of a container that is made now
}

// Open is a container and what became of its records.
type Open struct {
	rights.Container
	Restricted int      `json:"restricted"` // their keys lie in its escrow, to be lifted
	Held       int      `json:"held"`       // erased, their keys lie in its escrow
	Present    int      `json:"present"`    // their keys are in the tree
	Erased     int      `json:"erased"`
	Left       []string `json:"left,omitempty"`   // where something is left that was to be removed, and why
	Locked     []string `json:"locked,omitempty"` // where old slots are locked, and open the records until then
}

// desk is the vault under the session that acts on keys need.
type desk struct {
	office  *act.Office
	vault   *vault.Vault
	gate    *gate.Gate
	deps    act.Deps
	session gate.Session
}

func open(ctx context.Context, o *act.Office, env string) (*desk, error) {
	v, g, _, deps := o.Inside()
	s, err := g.Open(ctx, gate.Request{
		Actor: deps.Actor, Action: gate.ActionErase, Purpose: cmp.Or(deps.Purpose, allod.PurposeAnswerRequest), Resource: gate.Resource{Environment: env, Class: allod.ClassContent},
	})
	return &desk{o, v, g, deps, s}, err
}

func (d *desk) now() time.Time { return d.deps.Now().UTC().Truncate(time.Second) }

// run is the id of an act, as the log has it.
func (d *desk) run() string { return strings.ReplaceAll(d.deps.NewID().String(), "-", "") }

// where counts what became of the records of a container.
func (d *desk) where(c *rights.Container, r rest) (*Open, error) {
	why, err := d.vault.Absences(c.Tags)
	if err != nil {
		return nil, err
	}
	out := &Open{Container: *c, Left: r.left, Locked: r.locked}
	for _, w := range why {
		switch w {
		case keytree.Restricted.String():
			out.Restricted++
		case keytree.Held.String():
			out.Held++
		case keytree.Erased.String():
			out.Erased++
		default:
			out.Present++
		}
	}
	return out, nil
}

// of returns those of the tags that are absent as said; "" = present.
func (d *desk) of(tags []vault.RecordTag, as string) ([]vault.RecordTag, error) {
	why, err := d.vault.Absences(tags)
	var out []vault.RecordTag
	for i := range why {
		if why[i] == as {
			out = append(out, tags[i])
		}
	}
	return out, err
}

// rest is what an act has not removed, by place and with the reason.
type rest struct {
	left   []string
	locked []string // ends by itself, as the rolling lock of slots does
	escrow bool     // some of it is escrow
}

// destroy removes the slots of before and what is left in escrow, and says where
// something stays.
func (d *desk) destroy(ctx context.Context, closed ...allod.GUID) (rest, error) {
	var r rest
	if _, err := keys.Renew(ctx, d.office); err != nil { // the new slots are locked before the old ones go
		return r, err
	}
	places, err := d.vault.DestroySlots(ctx, d.session, closed...)
	for _, p := range places {
		name := fmt.Sprintf("place %d of slots: ", p.Place)
		if errors.Is(p.Err, blob.ErrLocked) {
			r.locked = append(r.locked, name+p.Err.Error())
		} else if p.Err != nil {
			r.left = append(r.left, name+p.Err.Error())
		}
		if p.Escrow != nil {
			r.left, r.escrow = append(r.left, name+p.Escrow.Error()), true
		}
	}
	return r, err
}

// List returns all containers, oldest first.
func List(ctx context.Context, o *act.Office) ([]Open, error) {
	all, err := containers.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	v, _, _, _ := o.Inside()
	d := &desk{vault: v}
	out := []Open{}
	for i := range all {
		one, err := d.where(&all[i], rest{})
		if err != nil {
			return nil, err
		}
		out = append(out, *one)
	}
	return out, nil
}

// container finds the container of a request, or makes it. Conflict for one of
// another kind or environment, or one that was released; Invalid for one that is
// there and holders.
func container(ctx context.Context, o *act.Office, r Request, kind string) (*rights.Container, error) {
	c, _, err := containers.Find(ctx, o, r.Container)
	if allod.KindOf(err) == allod.NotFound {
		return containers.New(ctx, o, r.Container, kind, r.Environment, r.Holders)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case len(r.Holders) > 0:
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "use the container %s: it is there, with its holders", c.Name), "Leave --holder out, or take another name.")
	case c.Kind != kind:
		return nil, allod.Errorf(allod.Conflict, "use the container %s: it is a %s", c.Name, c.Kind)
	case c.Environment != r.Environment:
		return nil, allod.Errorf(allod.Conflict, "use the container %s: it is for %s", c.Name, c.Environment)
	case !c.Released.IsZero():
		return nil, allod.Errorf(allod.Conflict, "use the container %s: it was released", c.Name)
	}
	return c, nil
}

// add writes the container with the tags among its own: its private half must be
// on record before anything is sealed to it.
func add(ctx context.Context, o *act.Office, c *rights.Container, tags []vault.RecordTag, ground string) (*rights.Container, error) {
	return containers.Save(ctx, o, c.ID, func(was *rights.Container) (*rights.Container, error) {
		if was == nil {
			was = c
		}
		was.Tags, was.Ground = rights.Order(slices.Concat(was.Tags, tags)), cmp.Or(ground, was.Ground)
		return was, nil
	})
}

// Restrict puts the records of a plan into a container: from here on nobody sees
// them, in any snapshot, but who has a holder's key; what is captured of them is
// sealed to it. Where it fails half-way it can be called again. Conflict when
// nothing is left to restrict.
func Restrict(ctx context.Context, o *act.Office, p *erasure.Plan, r Request) (*Open, error) {
	d, err := open(ctx, o, r.Environment)
	if err != nil {
		return nil, err
	}
	tags, err := d.of(p.Tags(), "")
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "restrict %s: no key of these records is there any more", r.Environment), "`allod vault containers` says which are restricted already.")
	}
	c, err := container(ctx, o, r, rights.Restriction)
	if err != nil {
		return nil, err
	}
	if c, err = add(ctx, o, c, tags, r.Ground); err != nil {
		return nil, err
	}
	if err := erasure.ForgetPlans(ctx, o, p.Records); err != nil {
		return nil, err
	}
	if _, err := d.vault.Restrict(ctx, d.session, tags, containers.Escrow(c), d.run(), nil); err != nil {
		return nil, err
	}
	if err := d.gate.Act(ctx, d.session, "restricted", map[string]int64{"records": int64(len(tags))}); err != nil {
		return nil, err
	}
	left, err := d.destroy(ctx)
	if err != nil {
		return nil, err
	}
	return d.where(c, left)
}

// Keep puts the records of a plan under a hold: they are shown as before, and
// one that is erased is gone from sight while its holders can still open it.
// Conflict for records whose keys are gone: there is nothing left to hold.
func Keep(ctx context.Context, o *act.Office, p *erasure.Plan, r Request) (*Open, error) {
	d, err := open(ctx, o, r.Environment)
	if err != nil {
		return nil, err
	}
	tags, err := d.of(p.Tags(), "")
	if err != nil {
		return nil, err
	}
	restricted, err := d.of(p.Tags(), keytree.Restricted.String())
	if err != nil {
		return nil, err
	}
	if tags = append(tags, restricted...); len(tags) == 0 {
		return nil, allod.Errorf(allod.Conflict, "hold records of %s: their keys are gone", r.Environment)
	}
	c, err := container(ctx, o, r, rights.Hold)
	if err != nil {
		return nil, err
	}
	if c, err = add(ctx, o, c, tags, r.Ground); err != nil {
		return nil, err
	}
	if err := d.gate.Act(ctx, d.session, "held", map[string]int64{"records": int64(len(tags))}); err != nil {
		return nil, err
	}
	return d.where(c, rest{})
}

// LiftRequest says what is to be lifted, as typed.
type LiftRequest struct {
	Container string
	Table     string   // of IDs; "" = all records of the container
	IDs       []string //
	Key       string   // SPEC of a holder's key
	Told      time.Time
}

// Lift puts records of a restriction back: every snapshot shows them again, what
// was captured meanwhile included. It takes the key of a holder, the day on which
// the person was told, and the approval that approve.LiftBlock asks for: Denied,
// with the next step, until there is one.
func Lift(ctx context.Context, o *act.Office, r LiftRequest) (*Open, error) {
	if r.Told.IsZero() {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "lift the restriction %s: the person must be told before", r.Container), "Name the day with --told 2006-01-02.")
	}
	c, _, err := containers.Find(ctx, o, r.Container)
	if err != nil {
		return nil, err
	}
	if c.Kind != rights.Restriction {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "lift %s: it is a hold", c.Name), "`allod vault release %s` ends a hold.", c.Name)
	}
	d, err := open(ctx, o, c.Environment)
	if err != nil {
		return nil, err
	}
	tags, err := d.chosen(ctx, c, r)
	if err != nil {
		return nil, err
	}
	away, err := d.of(tags, keytree.Restricted.String())
	if err != nil {
		return nil, err
	}
	var outcome approve.Outcome
	var request approve.Request
	if len(away) > 0 { // otherwise a crash came between the vault and the register
		key, err := containers.Unlock(ctx, o, c, r.Key)
		if err != nil {
			return nil, err
		}
		digest, err := c.Digest(approve.LiftBlock, away, r.Told)
		if err != nil {
			return nil, err
		}
		if request, outcome, err = people.Require(ctx, o, approve.LiftBlock, digest, fmt.Sprintf("lift the restriction of %d records in %s", len(away), c.Name)); err != nil {
			return nil, err
		}
		_, rows, err := d.vault.Lift(ctx, d.session, away, c.ID, key, d.run(), nil)
		if err != nil {
			return nil, err
		}
		if err := d.gate.Act(ctx, d.session, "lifted", map[string]int64{"records": int64(len(away)), "rows": int64(rows)}); err != nil {
			return nil, err
		}
		if err := people.Spend(ctx, o, request.ID); err != nil {
			return nil, err
		}
	}
	left, err := d.destroy(ctx)
	if err != nil {
		return nil, err
	}
	c, err = containers.Save(ctx, o, c.ID, func(was *rights.Container) (*rights.Container, error) {
		was.Tags = slices.DeleteFunc(was.Tags, func(t vault.RecordTag) bool { return slices.Contains(tags, t) })
		was.Lifted = append(was.Lifted, rights.Lifted{At: d.now(), Records: len(tags), Told: r.Told, By: d.deps.Actor, OnePerson: outcome.OnePerson})
		return was, nil
	})
	if err != nil {
		return nil, err
	}
	return d.where(c, left)
}

// chosen are the tags of the container that a lifting names. NotFound for a
// record that is not among them.
func (d *desk) chosen(ctx context.Context, c *rights.Container, r LiftRequest) ([]vault.RecordTag, error) {
	if r.Table == "" {
		return slices.Clone(c.Tags), nil
	}
	s, err := d.gate.Open(ctx, gate.Request{
		Actor: d.deps.Actor, Action: gate.ActionRead, Purpose: cmp.Or(d.deps.Purpose, allod.PurposeAnswerRequest), Resource: gate.Resource{Environment: c.Environment, Class: allod.ClassContent},
	})
	if err != nil {
		return nil, err
	}
	return d.inside(ctx, s, c, r.Table, r.IDs)
}

// inside are the tags of records of the container. NotFound for one that is not
// among them, Invalid for what is no id.
func (d *desk) inside(ctx context.Context, s gate.Session, c *rights.Container, table string, ids []string) ([]vault.RecordTag, error) {
	var refs []allod.RecordRef
	for _, id := range ids {
		key, err := allod.ParseGUID(id)
		if err != nil {
			return nil, allod.Errorf(allod.Invalid, "find a record of %s in the container %s: %q is not an id", table, c.Name, id)
		}
		refs = append(refs, allod.RecordRef{Table: table, Key: key})
	}
	tags, err := d.vault.Tags(ctx, s, c.Environment, refs)
	if err != nil {
		return nil, err
	}
	for i, t := range tags {
		if !slices.Contains(c.Tags, t) {
			return nil, allod.Errorf(allod.NotFound, "find %s: it is not in the container %s", refs[i], c.Name)
		}
	}
	return tags, nil
}

// Release ends a hold: what was erased under it is destroyed, unless another hold
// names it, and its escrow is removed from every place. It takes the approval of
// two people (approve.ReleaseHold): Denied, with the next step, until there is
// one. Where a place could not be reached it can be called again. Erasures that
// waited for the hold are carried on.
func Release(ctx context.Context, o *act.Office, named string) (*Open, error) {
	c, all, err := containers.Find(ctx, o, named)
	if err != nil {
		return nil, err
	}
	if c.Kind != rights.Hold {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "release %s: it is a restriction", c.Name), "`allod vault lift %s` ends one.", c.Name)
	}
	if !c.Closed.IsZero() {
		return nil, allod.Errorf(allod.Conflict, "release %s: it was released on %s", c.Name, c.Released.Format(time.DateOnly))
	}
	d, err := open(ctx, o, c.Environment)
	if err != nil {
		return nil, err
	}
	if c.Released.IsZero() {
		digest, err := c.Digest(approve.ReleaseHold, c.Tags, time.Time{})
		if err != nil {
			return nil, err
		}
		request, _, err := people.Require(ctx, o, approve.ReleaseHold, digest, fmt.Sprintf("release the hold %s of %d records", c.Name, len(c.Tags)))
		if err != nil {
			return nil, err
		}
		c, err = containers.Save(ctx, o, c.ID, func(was *rights.Container) (*rights.Container, error) {
			if len(was.Tags) != len(c.Tags) {
				return nil, allod.WithHint(allod.Errorf(allod.Conflict, "release %s: records have come to it meanwhile", c.Name), "Run the command again.")
			}
			was.Released = d.now()
			return was, nil
		})
		if err != nil {
			return nil, err
		}
		if err := people.Spend(ctx, o, request.ID); err != nil {
			return nil, err
		}
	}
	left, err := d.release(ctx, c, all)
	if err != nil {
		return nil, err
	}
	if !left.escrow {
		c, err = containers.Save(ctx, o, c.ID, func(was *rights.Container) (*rights.Container, error) {
			was.Closed = d.now()
			return was, nil
		})
		if err != nil {
			return nil, err
		}
	}
	if _, err := erasure.Carry(ctx, o); err != nil {
		return nil, err
	}
	return d.where(c, left)
}

// release destroys what the hold alone kept.
func (d *desk) release(ctx context.Context, c *rights.Container, all []rights.Container) (rest, error) {
	held, err := d.of(c.Tags, keytree.Held.String())
	if err != nil {
		return rest{}, err
	}
	held = slices.DeleteFunc(held, func(t vault.RecordTag) bool {
		return slices.ContainsFunc(rights.HoldsOf(all, t), func(other rights.Container) bool { return other.ID != c.ID })
	})
	if len(held) > 0 {
		if _, err := d.vault.Erase(ctx, d.session, held, vault.EraseOptions{Run: d.run()}); err != nil {
			return rest{}, err
		}
	}
	if err := d.gate.Act(ctx, d.session, "released", map[string]int64{"records": int64(len(held))}); err != nil {
		return rest{}, err
	}
	return d.destroy(ctx, c.ID)
}
