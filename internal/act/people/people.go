// Package people has the use cases around acts that two people are needed for:
// who may approve, what is asked, who signed. Users, requests and approvals are
// records of the office, in the vault; whether an act may be done is decided by
// package approve from what lies there.
//
// Whoever does such an act calls Require with the digest of its plan, again
// before its point of no return, and Spend when it is done:
//
//	r, out, err := people.Require(ctx, office, approve.Erase, digest, "erase 3 records of contoso")
//	if err != nil { return err } // Denied, with the next step, until two people have signed
//	… // out.OnePerson and out.People belong into the certificate
//	err = people.Spend(ctx, office, r.ID)
package people

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/approve"
	"allod/internal/govern/gate"
	"allod/internal/vault"
	"allod/internal/vault/office"
)

// tries bounds how often a change is decided again because somebody else has
// written meanwhile.
const tries = 10

// desk is the office under one session.
type desk struct {
	vault   *vault.Vault
	gate    *gate.Gate
	deps    act.Deps
	session gate.Session
}

// state is what the office holds of people, as of one moment.
type state struct {
	seen      *vault.Snapshot
	users     []approve.User     // by name, removed ones last
	requests  []approve.Request  // oldest first
	approvals []approve.Approval // oldest first
}

func open(ctx context.Context, o *act.Office) (*desk, error) {
	v, g, _, deps := o.Inside()
	purpose := deps.Purpose
	if purpose == "" {
		purpose = allod.PurposeOperate
	}
	s, err := g.Open(ctx, gate.Request{
		Actor: deps.Actor, Action: gate.ActionOffice, Purpose: purpose, Resource: gate.Resource{Environment: vault.Office, Class: allod.ClassContent},
	})
	return &desk{v, g, deps, s}, err
}

func (d *desk) now() time.Time { return d.deps.Now().UTC().Truncate(time.Second) }

// load reads the office.
func (d *desk) load(ctx context.Context) (*state, error) {
	snap, err := office.Read(ctx, d.vault, d.session)
	if err != nil || snap == nil || snap.Schema() == nil {
		return &state{seen: snap}, err
	}
	s := &state{seen: snap}
	s.users, err = read(ctx, snap, userTable, readUser)
	if err != nil {
		return nil, err
	}
	if s.requests, err = read(ctx, snap, requestTable, readRequest); err != nil {
		return nil, err
	}
	if s.approvals, err = read(ctx, snap, approvalTable, readApproval); err != nil {
		return nil, err
	}
	slices.SortFunc(s.users, func(a, b approve.User) int {
		if a.Active() != b.Active() {
			return map[bool]int{true: -1, false: 1}[a.Active()]
		}
		return slices.Compare([]string{a.Name, a.ID.String()}, []string{b.Name, b.ID.String()})
	})
	slices.SortFunc(s.requests, func(a, b approve.Request) int { return order(a.At, b.At, a.ID, b.ID) })
	slices.SortFunc(s.approvals, func(a, b approve.Approval) int { return order(a.At, b.At, a.ID, b.ID) })
	return s, nil
}

func order(a, b time.Time, x, y allod.GUID) int {
	if c := a.Compare(b); c != 0 {
		return c
	}
	return slices.Compare(x[:], y[:])
}

// read reads a table; one that the office does not have yet is empty.
func read[T any](ctx context.Context, snap *vault.Snapshot, name string, one func(*cells) T) ([]T, error) {
	t := snap.Schema().Table(name)
	if t == nil {
		return nil, nil
	}
	var out []T
	for row, err := range snap.Rows(ctx, name) {
		if err != nil {
			return nil, err
		}
		c := &cells{row: &row, table: t}
		v := one(c)
		if c.err != nil {
			return nil, c.err
		}
		out = append(out, v)
	}
	return out, nil
}

// change reads, has rows decided on what is there, and writes them; again when
// somebody else has written meanwhile. No rows: nothing is written. What was
// done is put on record as the word.
func (d *desk) change(ctx context.Context, word string, decide func(*state) ([]allod.Row, error)) error {
	var err error
	for range tries {
		var s *state
		if s, err = d.load(ctx); err != nil {
			return err
		}
		var rows []allod.Row
		if rows, err = decide(s); err != nil || len(rows) == 0 {
			return err
		}
		err = office.Write(ctx, d.vault, d.session, s.seen, tables(), rows, d.deps.Now())
		if err == nil {
			return d.gate.Act(ctx, d.session, word, nil)
		}
		if allod.KindOf(err) != allod.Conflict {
			return err
		}
	}
	return err
}

// request finds a request; NotFound when there is none.
func (s *state) request(id allod.GUID) (approve.Request, error) {
	for _, r := range s.requests {
		if r.ID == id {
			return r, nil
		}
	}
	return approve.Request{}, allod.WithHint(allod.Errorf(allod.NotFound, "find request %s: there is none", id), "`allod approvals` lists them.")
}

func (d *desk) decide(s *state, r approve.Request, plan approve.Digest) approve.Outcome {
	return approve.Decide(d.vault.ID(), r, plan, s.approvals, s.users, d.now())
}

// Ask records that the act is wanted with this plan, and what people who approve
// are told of it: one line, without content of records. One that was asked
// before by the same actor, and can still be approved, is returned as it is.
// Invalid for an act that nobody knows or a line that cannot be signed.
func Ask(ctx context.Context, o *act.Office, what approve.Act, plan approve.Digest, says string) (approve.Request, error) {
	d, err := open(ctx, o)
	if err != nil {
		return approve.Request{}, err
	}
	return d.ask(ctx, what, plan, says)
}

func (d *desk) ask(ctx context.Context, what approve.Act, plan approve.Digest, says string) (approve.Request, error) {
	now := d.now()
	r := approve.Request{ID: d.deps.NewID(), Act: what, Plan: plan, Says: says, By: d.deps.Actor, At: now, Expires: now.Add(approve.Lifetime)}
	if err := r.Check(); err != nil {
		return r, err
	}
	err := d.change(ctx, "approval-asked", func(s *state) ([]allod.Row, error) {
		for _, old := range s.requests {
			if old.Act == r.Act && old.Plan == r.Plan && old.Says == r.Says && old.By == r.By && old.Spent.IsZero() && now.Before(old.Expires) {
				r = old
				return nil, nil
			}
		}
		return []allod.Row{requestRow(r)}, nil
	})
	return r, err
}

// Granted says whether the act may be done now, under the request and with this
// plan. NotFound when nobody asked.
func Granted(ctx context.Context, o *act.Office, id allod.GUID, plan approve.Digest) (approve.Outcome, error) {
	d, err := open(ctx, o)
	if err != nil {
		return approve.Outcome{}, err
	}
	s, err := d.load(ctx)
	if err != nil {
		return approve.Outcome{}, err
	}
	r, err := s.request(id)
	if err != nil {
		return approve.Outcome{}, err
	}
	return d.decide(s, r, plan), nil
}

// Require is Ask and Granted in one. Denied, with who has to do what, unless the
// act may be done; request and outcome are returned then too.
func Require(ctx context.Context, o *act.Office, what approve.Act, plan approve.Digest, says string) (approve.Request, approve.Outcome, error) {
	d, err := open(ctx, o)
	if err != nil {
		return approve.Request{}, approve.Outcome{}, err
	}
	return d.require(ctx, what, plan, says)
}

func (d *desk) require(ctx context.Context, what approve.Act, plan approve.Digest, says string) (approve.Request, approve.Outcome, error) {
	r, err := d.ask(ctx, what, plan, says)
	if err != nil {
		return r, approve.Outcome{}, err
	}
	s, err := d.load(ctx)
	if err != nil {
		return r, approve.Outcome{}, err
	}
	out := d.decide(s, r, plan)
	if out.Granted {
		return r, out, nil
	}
	err = allod.Errorf(allod.Denied, "%s: two people have to approve it: %s", what, strings.Join(append(out.Reasons, out.Missing...), "; "))
	return r, out, allod.WithHint(err, "Each of them runs `allod approve %s --key FILE`; then run this command again, before %s.", r.ID, stamp(r.Expires))
}

// Spend records that the act was done under the request: it cannot be done under
// it again. Spending twice is no error.
func Spend(ctx context.Context, o *act.Office, id allod.GUID) error {
	d, err := open(ctx, o)
	if err != nil {
		return err
	}
	return d.change(ctx, "approval-used", func(s *state) ([]allod.Row, error) {
		r, err := s.request(id)
		if err != nil || !r.Spent.IsZero() {
			return nil, err
		}
		r.Spent = d.now()
		return []allod.Row{requestRow(r)}, nil
	})
}

// Pending is a request and where it stands.
type Pending struct {
	approve.Request
	Outcome approve.Outcome `json:"outcome"`
}

// Requests lists the requests, oldest first: those that can still be granted, or
// all.
func Requests(ctx context.Context, o *act.Office, all bool) ([]Pending, error) {
	d, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	s, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	out := []Pending{}
	for _, r := range s.requests {
		if all || r.Spent.IsZero() && d.now().Before(r.Expires) {
			out = append(out, Pending{r, d.decide(s, r, r.Plan)})
		}
	}
	return out, nil
}

// Statement returns the text that people sign to approve the request, for
// `ssh-keygen -Y sign` elsewhere.
func Statement(ctx context.Context, o *act.Office, id allod.GUID) ([]byte, error) {
	d, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	s, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.request(id)
	return r.Statement(d.vault.ID()), err
}

// Approve records a signature under the request, and says where it stands then.
// Denied when the signature is not one of the request by a key of somebody who
// is registered, Conflict when the request is spent or expired.
func Approve(ctx context.Context, o *act.Office, id allod.GUID, signature string) (Pending, error) {
	d, err := open(ctx, o)
	if err != nil {
		return Pending{}, err
	}
	var r approve.Request
	err = d.change(ctx, "approved", func(s *state) ([]allod.Row, error) {
		var err error
		if r, err = s.request(id); err != nil {
			return nil, err
		}
		if !r.Spent.IsZero() || !d.now().Before(r.Expires) {
			return nil, allod.WithHint(allod.Errorf(allod.Conflict, "approve request %s: it was used or has expired", id), "Whoever needs it asks again.")
		}
		u, err := s.signer(r, d.vault.ID(), signature)
		if err != nil {
			return nil, err
		}
		for _, a := range s.approvals {
			if a.Request == id && a.User == u.ID && a.Signature == signature {
				return nil, nil
			}
		}
		return []allod.Row{approvalRow(approve.Approval{ID: d.deps.NewID(), Request: id, User: u.ID, At: d.now(), Signature: signature})}, nil
	})
	if err != nil {
		return Pending{}, err
	}
	s, err := d.load(ctx)
	if err != nil {
		return Pending{}, err
	}
	return Pending{r, d.decide(s, r, r.Plan)}, nil
}

// signer returns the user whose key made the signature.
func (s *state) signer(r approve.Request, vaultID allod.GUID, signature string) (approve.User, error) {
	k, err := approve.ParseSignature(signature)
	if err != nil {
		return approve.User{}, err
	}
	for _, u := range s.users {
		if u.Active() && slices.Contains(u.Keys, k) {
			if err := approve.Verify(r.Statement(vaultID), signature, k); err != nil {
				return approve.User{}, fmt.Errorf("approve request %s: %w", r.ID, err)
			}
			return u, nil
		}
	}
	err = allod.Errorf(allod.Denied, "approve request %s: the key %s is nobody's who is registered", r.ID, k.Fingerprint())
	return approve.User{}, allod.WithHint(err, "`allod user list` shows who is; `allod user add NAME --key FILE` registers somebody.")
}
