package erasure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/keys"
	"allod/internal/act/people"
	"allod/internal/govern/approve"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/vault"
	"allod/internal/vault/keyring"
	"allod/internal/vault/log/certificate"
	"allod/internal/vault/office"
	"allod/internal/vault/puncture"
	"allod/internal/vault/reseal"
)

const (
	table = "erasure" // of the office
	tries = 10        // writers of the office that may come between
)

// described describes a table of the office, of erasures or of corrections: one
// text column with the JSON of rights.Erasure or rights.Correction.
func described(name string, last byte) allod.Table {
	id := allod.GUID{0xa1, 0x10, 0xd0, 0xf1, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, last}
	c := allod.Column{Name: "record", ID: id, Type: allod.String, Native: "text"}
	c.ID[9] = 1
	return allod.Table{Name: name, ID: id, Set: name + "s", SchemaName: name, Key: name + "id", Class: allod.ClassData, Reason: "office", Columns: []allod.Column{c}}
}

func tables() []allod.Table { return []allod.Table{described(table, 0x10)} }

// Open is an erasure and where it stands.
type Open struct {
	rights.Erasure
	Next     rights.Decision `json:"next"`
	Approval approve.Outcome `json:"approval_state"`
	// Broken says why nobody can tell where it stands, or read it at all (then
	// ID is all there is); "" = it is not.
	Broken string `json:"broken,omitempty"`

	err error // that Broken says
}

// register is all erasures, oldest first, and what lies among them and cannot be
// read. Those of one second are in the order in which they were asked for.
type register struct {
	snap *vault.Snapshot
	all  []rights.Erasure
	bad  []office.Unread
}

func (d *desk) load(ctx context.Context, s gate.Session) (*register, error) {
	r := &register{}
	var err error
	if r.snap, err = office.Read(ctx, d.vault, s); err != nil {
		return nil, err
	}
	if r.all, r.bad, err = office.Readable(ctx, r.snap, table, func(e *rights.Erasure) allod.GUID { return e.ID }); err != nil {
		return nil, err
	}
	slices.SortFunc(r.all, func(a, b rights.Erasure) int {
		return cmp.Or(a.Asked.Compare(b.Asked), cmp.Compare(a.After, b.After), strings.Compare(a.ID.String(), b.ID.String()))
	})
	return r, nil
}

// hidden is which records no function shows once e is written. What cannot be
// read may name records too: as long as there is such a request, what was hidden
// stays so, but for the records of e.
func (r *register) hidden(before []vault.RecordTag, e *rights.Erasure) []vault.RecordTag {
	tags := rights.Hidden(r.all)
	if len(r.bad) == 0 {
		return tags
	}
	for _, t := range before {
		if !slices.Contains(e.Tags, t) {
			tags = append(tags, t)
		}
	}
	return rights.Order(tags)
}

// rowOf is what office.Records reads.
func rowOf(name string, id allod.GUID, v any) (allod.Row, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return allod.Row{}, allod.Errorf(allod.Internal, "write %s %s: %w", name, id, err)
	}
	return allod.Row{Table: name, Key: id, Cells: []allod.Value{allod.StringValue(string(b))}}, nil
}

// save writes an erasure, and what is hidden as of then, in one commit; with a
// correction, if there is one.
// change is called with the erasure as it is stored, nil for none, at each
// attempt.
func (d *desk) save(ctx context.Context, id allod.GUID, with *rights.Correction, change func(*rights.Erasure) (*rights.Erasure, error)) (*rights.Erasure, error) {
	s, err := d.session(ctx, gate.ActionOffice, vault.Office)
	if err != nil {
		return nil, err
	}
	for range tries {
		r, err := d.load(ctx, s)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(r.bad, func(u office.Unread) bool { return u.Key == id }); i >= 0 {
			return nil, r.bad[i].Err // it is not written over
		}
		var old *rights.Erasure
		i := slices.IndexFunc(r.all, func(e rights.Erasure) bool { return e.ID == id })
		if i >= 0 {
			c := r.all[i]
			old = &c
		}
		e, err := change(old)
		if err != nil {
			return nil, err
		}
		if i >= 0 {
			r.all[i] = *e
		} else {
			if r.snap != nil {
				e.After = uint64(r.snap.Meta().ID)
			}
			r.all = append(r.all, *e)
		}
		row, err := rowOf(table, id, e)
		if err != nil {
			return nil, err
		}
		what, written := tables(), []allod.Row{row}
		if with != nil {
			if row, err = rowOf(rights.CorrectionTable, with.ID, with); err != nil {
				return nil, err
			}
			what, written = append(what, described(rights.CorrectionTable, 0x11)), append(written, row)
		}
		state, err := d.vault.OfficeState(ctx)
		if err != nil {
			return nil, err
		}
		state.Hidden, state.Pending, state.Waiting = r.hidden(state.Hidden, e), rights.Pending(r.all), rights.Waiting(r.all)+len(r.bad)
		if state.Handed, err = d.handed(ctx, r.all); err != nil {
			return nil, err
		}
		err = office.WriteState(ctx, d.vault, s, r.snap, what, written, state, d.deps.Now())
		if err == nil || allod.KindOf(err) != allod.Conflict {
			return e, err
		}
	}
	return nil, allod.Errorf(allod.Unavailable, "write erasure %s: others wrote to the office %d times meanwhile", id, tries)
}

// Ask records the erasure of a plan: from here on no function shows the records,
// and the clock runs. Two people have to approve it (people.Granted). It is not
// carried out yet: Run does that. Plans of restores that name the records are
// removed.
func Ask(ctx context.Context, o *act.Office, p *Plan, ground string) (*Open, error) {
	d := open(o)
	e := rights.Erasure{
		ID: d.deps.NewID(), Environment: p.Environment, Tags: rights.Order(p.tags), Past: p.Past, Urgent: p.Urgent, Versions: p.Versions, Kept: p.Kept,
		Ground: ground, By: d.deps.Actor, Asked: d.now(),
	}
	counts := map[string]int64{}
	for _, r := range p.Records {
		counts[r.Table]++
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		e.Tables = append(e.Tables, rights.Count{Table: name, Records: counts[name]})
	}
	return d.ask(ctx, o, p.Records, &e, nil)
}

// ask records what is asked for, with the values of a correction, if it is one.
func (d *desk) ask(ctx context.Context, o *act.Office, records []Planned, e *rights.Erasure, with *rights.Correction) (*Open, error) {
	digest, err := e.Digest()
	if err != nil {
		return nil, err
	}
	what := approve.Erase
	if with != nil {
		what = approve.Rectify
	}
	request, err := people.Ask(ctx, o, what, digest, says(e))
	if err != nil {
		return nil, err
	}
	e.Approval = request.ID
	if err := d.forgetPlans(ctx, records); err != nil {
		return nil, err
	}
	saved, err := d.save(ctx, e.ID, with, func(*rights.Erasure) (*rights.Erasure, error) { return e, nil })
	if err != nil {
		return nil, err
	}
	return d.where(ctx, o, saved)
}

// says is what people who approve are told: no content of records.
func says(e *rights.Erasure) string {
	var parts []string
	for _, c := range e.Tables {
		parts = append(parts, fmt.Sprintf("%d of %s", c.Records, c.Table))
	}
	if e.Rectify != nil {
		return saysRectify(e)
	}
	how := "erase"
	if e.Past {
		how = "forget the past of"
	}
	text := fmt.Sprintf("%s %d records of %s in every backup", how, len(e.Tags), e.Environment)
	if list := strings.Join(parts, ", "); len(text)+len(list)+4 <= approve.MaxSays {
		text += ": " + list
	}
	return text
}

// where says where an erasure stands now.
func (d *desk) where(ctx context.Context, o *act.Office, e *rights.Erasure) (*Open, error) {
	s, err := d.session(ctx, gate.ActionOffice, vault.Office)
	if err != nil {
		return nil, err
	}
	r, err := d.load(ctx, s)
	if err != nil {
		return nil, err
	}
	return d.decide(ctx, o, e, r.all)
}

func (d *desk) decide(ctx context.Context, o *act.Office, e *rights.Erasure, all []rights.Erasure) (*Open, error) {
	out := &Open{Erasure: *e}
	if e.Committed.IsZero() && e.Cancelled.IsZero() {
		digest, err := e.Digest()
		if err != nil {
			return nil, err
		}
		if out.Approval, err = people.Granted(ctx, o, e.Approval, digest); err != nil {
			return nil, err
		}
	}
	if e.Handed != nil && e.Committed.IsZero() && e.Cancelled.IsZero() {
		done, err := d.entryOf(ctx, e)
		if err != nil {
			return nil, err
		}
		if done != nil {
			out.Next = rights.Decision{Step: rights.StepErase, Reasons: []string{fmt.Sprintf("the keys were destroyed in log entry %d; it has to be put on record", done.Entry)}}
			return out, nil
		}
	}
	var held []string
	if e.Committed.IsZero() && e.Cancelled.IsZero() {
		var err error
		if held, err = d.against(ctx, e); err != nil {
			return nil, err
		}
	}
	out.Next = rights.Decide(e, out.Approval, all, held, d.now())
	return out, nil
}

// broken is an erasure of which nobody can tell where it stands.
func broken(e rights.Erasure, err error) Open {
	return Open{Erasure: e, Broken: err.Error(), err: err, Next: rights.Decision{Step: rights.StepNone, Reasons: []string{err.Error()}}}
}

// List returns every erasure and where it stands, oldest first; last those that
// cannot be read. One that is Broken does not keep the others from being listed.
func List(ctx context.Context, o *act.Office) ([]Open, error) {
	d := open(o)
	s, err := d.session(ctx, gate.ActionOffice, vault.Office)
	if err != nil {
		return nil, err
	}
	r, err := d.load(ctx, s)
	if err != nil {
		return nil, err
	}
	out := []Open{}
	for i := range r.all {
		one, err := d.decide(ctx, o, &r.all[i], r.all)
		switch {
		case err == nil:
			out = append(out, *one)
		case ctx.Err() != nil || allod.KindOf(err) == allod.Unavailable:
			return nil, err
		default:
			out = append(out, broken(r.all[i], err))
		}
	}
	for _, u := range r.bad {
		out = append(out, broken(rights.Erasure{ID: u.Key}, u.Err))
	}
	return out, nil
}

// Broken is Partial, and names them, when there are erasures that are; nil when
// there are none.
func Broken(all []Open) error {
	var bad []failure
	for i := range all {
		if all[i].err != nil {
			bad = append(bad, failure{all[i].ID.String(), all[i].err})
		}
	}
	return several("list the erasures: nobody can tell where they stand", len(all), bad)
}

// failure is what went wrong with one of several.
type failure struct {
	id  string
	err error
}

// several is the error of having done something with n erasures, of which some
// failed: Partial, which names each with why; Unavailable where that is all that
// is wrong with any.
func several(what string, n int, bad []failure) error {
	if len(bad) == 0 {
		return nil
	}
	kind := allod.Unavailable
	var texts []string
	for _, f := range bad {
		if allod.KindOf(f.err) != allod.Unavailable {
			kind = allod.Partial
		}
		texts = append(texts, fmt.Sprintf("%s: %v", f.id, f.err))
	}
	err := allod.Errorf(kind, "%s: %d of %d: %s", what, len(bad), n, strings.Join(texts, "; "))
	hint := allod.HintOf(bad[0].err)
	if hint == "" {
		hint = fmt.Sprintf("`allod vault erasures cancel %s` takes one back that can be read; one that cannot may be of a newer version of this program.", bad[0].id)
	}
	return allod.WithHint(err, "%s", hint)
}

// Find returns the erasure whose id begins with the text; NotFound or Invalid
// when there is not exactly one.
func Find(ctx context.Context, o *act.Office, id string) (*Open, error) {
	all, err := List(ctx, o)
	if err != nil {
		return nil, err
	}
	var found *Open
	for i := range all {
		if !strings.HasPrefix(all[i].ID.String(), strings.ToLower(id)) {
			continue
		}
		if found != nil {
			return nil, allod.Errorf(allod.Invalid, "find erasure %q: several begin so", id)
		}
		found = &all[i]
	}
	if found != nil && found.Asked.IsZero() {
		return nil, found.err // it cannot be read
	}
	if found == nil || id == "" {
		return nil, allod.WithHint(allod.Errorf(allod.NotFound, "find erasure %q: there is none", id), "`allod vault erasures` lists them.")
	}
	return found, nil
}

// Cancel takes an erasure back: its records are shown again. Conflict once the
// keys are destroyed.
func Cancel(ctx context.Context, o *act.Office, id allod.GUID) (*Open, error) {
	d := open(o)
	e, err := d.save(ctx, id, nil, func(e *rights.Erasure) (*rights.Erasure, error) {
		if e == nil {
			return nil, allod.Errorf(allod.NotFound, "take back erasure %s: there is none", id)
		}
		done, err := d.entryOf(ctx, e)
		if err != nil {
			return nil, err
		}
		if done != nil || !e.Committed.IsZero() {
			return nil, allod.Errorf(allod.Conflict, "take back erasure %s: the keys are destroyed", id)
		}
		if e.Cancelled.IsZero() {
			e.Cancelled = d.now()
		}
		return e, nil
	})
	if err != nil {
		return nil, err
	}
	return d.where(ctx, o, e)
}

// Run carries on every erasure as far as it may be now, or the one named, and
// returns those that it looked at. An erasure that cannot be carried out yet is
// no error: Next says why. Errors of one do not keep the others from being done:
// then the error is Partial and names each, with why. That of the one named is
// returned as it is.
func Run(ctx context.Context, o *act.Office, only *allod.GUID) ([]Open, error) {
	d := open(o)
	list, err := List(ctx, o)
	if err != nil {
		return nil, err
	}
	out := []Open{}
	var bad []failure
	for i := range list {
		e := &list[i]
		if only != nil && e.ID != *only || only == nil && e.Next.Step == rights.StepNone && e.err == nil {
			continue
		}
		one, err := e, e.err
		if err == nil {
			one, err = d.run(ctx, o, e)
		}
		if err != nil && (only != nil || ctx.Err() != nil) {
			return append(out, *one), err
		}
		if err != nil {
			bad = append(bad, failure{e.ID.String(), err})
		}
		out = append(out, *one)
	}
	return out, several("carry on the erasures: not done", len(out), bad)
}

// run carries one erasure on until it has to wait.
func (d *desk) run(ctx context.Context, o *act.Office, e *Open) (*Open, error) {
	for {
		var err error
		was := e.Next.Step
		switch was {
		case rights.StepErase:
			err = d.erase(ctx, o, e)
		case rights.StepDestroy:
			err = d.destroy(ctx, e)
		default:
			return e, nil
		}
		if err != nil {
			return e, err
		}
		next, err := d.where(ctx, o, &e.Erasure)
		if err != nil {
			return e, err
		}
		e = next
		if e.Next.Step == was {
			return e, nil
		}
	}
}

// runOf is the run id of an erasure in the log.
func runOf(e *rights.Erasure) string { return strings.ReplaceAll(e.ID.String(), "-", "") }

// entryOf finds the log entry of an erasure, nil when there is none: after a
// crash the log alone says that it was committed.
func (d *desk) entryOf(ctx context.Context, e *rights.Erasure) (*vault.Erased, error) {
	return d.vault.ErasedBy(ctx, runOf(e))
}

// erase destroys the keys, unless a crash came between that and the register.
func (d *desk) erase(ctx context.Context, o *act.Office, e *Open) error {
	s, err := d.session(ctx, gate.ActionErase, e.Environment)
	if err != nil {
		return err
	}
	done, err := d.entryOf(ctx, &e.Erasure)
	if err != nil {
		return err
	}
	if done == nil {
		if err := d.commit(ctx, o, s, e); err != nil {
			return err
		}
		if done, err = d.entryOf(ctx, &e.Erasure); err != nil {
			return err
		}
		if done == nil {
			return allod.Errorf(allod.Internal, "erase: the log has no entry of it")
		}
	}
	word := certificate.ActErased
	if e.Rectify != nil {
		word = certificate.ActRectified
	}
	if err := d.gate.Act(ctx, s, word, map[string]int64{certificate.Records: int64(len(e.Tags))}); err != nil {
		return err
	}
	saved, err := d.save(ctx, e.ID, nil, func(was *rights.Erasure) (*rights.Erasure, error) {
		if was == nil {
			return nil, allod.Errorf(allod.Corrupt, "record erasure %s: it is gone from the register", e.ID)
		}
		was.Committed, was.Entry, was.Root = done.Time.UTC().Truncate(time.Second), done.Entry, done.Root
		was.EpochBefore, was.Epoch, was.AbsentBefore, was.AbsentAfter = done.EpochBefore, done.Epoch, done.AbsentBefore, done.AbsentAfter
		was.Session = s.ID()
		if was.Rectify != nil && e.Rectify.Generation > 0 {
			was.Rectify = e.Rectify
		}
		if e.Approval.Granted { // else it was when it was handed over
			approvedBy(was, e.Approval)
		}
		was.Places = nil
		for _, name := range d.office.Config().Slots {
			was.Places = append(was.Places, rights.Place{Name: name})
		}
		return was, nil
	})
	if err != nil {
		return err
	}
	e.Erasure = *saved
	if err := people.Spend(ctx, o, e.Erasure.Approval); err != nil {
		return err
	}
	_, err = keys.Renew(ctx, o) // the new slots are locked before the old ones go
	return err
}

// approvedBy notes who has approved.
func approvedBy(e *rights.Erasure, a approve.Outcome) {
	e.OnePerson, e.Approvers = a.OnePerson, nil
	for _, p := range a.People {
		e.Approvers = append(e.Approvers, p.Key)
	}
}

// commit destroys the keys, and those of corrections that nobody needs any more.
func (d *desk) commit(ctx context.Context, o *act.Office, s gate.Session, e *Open) error {
	all, spent, err := d.spent(ctx, &e.Erasure)
	if err != nil {
		return err
	}
	held, err := d.holds(ctx, e.Tags)
	if err != nil {
		return err
	}
	check := func(ctx context.Context) error {
		if err := d.still(ctx, o, e); err != nil {
			return err
		}
		return held.unchanged(ctx, d, e.Tags)
	}
	puncture := func() error {
		if e.Rectify == nil {
			_, err := d.vault.Erase(ctx, s, e.Tags, vault.EraseOptions{Past: e.Past, Run: runOf(&e.Erasure), Check: check, Spent: spent, Holds: held.escrow})
			return err
		}
		return d.rectify(ctx, s, e, all, vault.RectifyOptions{Run: runOf(&e.Erasure), Check: check, Spent: spent})
	}
	if err = puncture(); !reseal.NeedsRoot(err) {
		return err
	}
	// A record has no generation left: what comes goes on under a new root.
	if _, err := keys.BeginRoot(ctx, o, "generations"); err != nil {
		return err
	}
	return puncture()
}

// still refuses at the last moment what was taken back, or whose approval ended.
func (d *desk) still(ctx context.Context, o *act.Office, e *Open) error {
	now, err := Find(ctx, o, e.ID.String())
	if err != nil {
		return err
	}
	if now.Next.Step != rights.StepErase {
		return allod.Errorf(allod.Conflict, "erase: %s", strings.Join(now.Next.Reasons, "; "))
	}
	return nil
}

// destroy removes what is left of the old slots, and closes the erasure when no
// place has any.
func (d *desk) destroy(ctx context.Context, e *Open) error {
	s, err := d.session(ctx, gate.ActionErase, e.Environment)
	if err != nil {
		return err
	}
	places, err := d.vault.DestroySlots(ctx, s)
	if err != nil {
		return err
	}
	waits, err := d.waits(ctx, &e.Erasure)
	if err != nil {
		return err
	}
	done := len(waits) == 0 && !slices.ContainsFunc(places, func(p puncture.Destroyed) bool { return p.Err != nil || p.Escrow != nil })
	if done {
		if err := d.gate.Act(ctx, s, certificate.ActFinal, map[string]int64{certificate.Records: int64(len(e.Tags))}); err != nil {
			return err
		}
	}
	saved, err := d.save(ctx, e.ID, nil, func(was *rights.Erasure) (*rights.Erasure, error) {
		if was == nil {
			return nil, allod.Errorf(allod.Corrupt, "record erasure %s: it is gone from the register", e.ID)
		}
		was.Waits = waits
		for i, p := range places {
			for len(was.Places) <= i {
				was.Places = append(was.Places, rights.Place{Name: fmt.Sprintf("place %d", len(was.Places)+1)})
			}
			at := &was.Places[i]
			switch {
			case p.Err != nil || p.Escrow != nil:
				at.Why = errors.Join(p.Err, p.Escrow).Error()
			case at.Destroyed.IsZero():
				at.Why, at.Destroyed = "", d.now()
			}
		}
		if done {
			was.Final, was.FinalSession = d.now(), s.ID()
		}
		return was, nil
	})
	if err != nil {
		return err
	}
	e.Erasure = *saved
	return nil // where something is left, Waits and Places say so
}

// waits asks which counted places keep an erasure from being final.
func (d *desk) waits(ctx context.Context, e *rights.Erasure) ([]rights.Item, error) {
	items, err := keys.Pending(ctx, d.office, e.Epoch)
	var out []rights.Item
	for _, i := range items {
		out = append(out, rights.Item{Place: i.Place, Until: i.Until.UTC().Truncate(time.Second), Next: i.Next})
	}
	if err != nil {
		return out, err
	}
	held, err := d.keptBy(ctx, e)
	return append(out, held...), err
}

// Carry is Run for those who do so unasked: where no erasure waits for anything
// it does and records nothing. It returns how many were carried on.
func Carry(ctx context.Context, o *act.Office) (int, error) {
	d := open(o)
	switch d.vault.Role() {
	case keyring.RoleErase:
		done, err := Fulfil(ctx, o)
		return len(done), err
	case keyring.RoleAll:
	default:
		return 0, nil // it cannot, and who can will
	}
	state, err := d.vault.OfficeState(ctx)
	if err != nil || len(state.Hidden) == 0 && state.Pending == 0 && state.Waiting == 0 {
		return 0, err
	}
	before, err := List(ctx, o)
	if err != nil {
		return 0, err
	}
	after, err := Run(ctx, o, nil)
	n := 0
	for _, e := range after {
		i := slices.IndexFunc(before, func(b Open) bool { return b.ID == e.ID })
		if i < 0 || before[i].Next.Step != e.Next.Step {
			n++
		}
	}
	return n, err
}
