package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/approve"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/restore/replay"
	"allod/internal/vault"
	"allod/internal/vault/office"
	"allod/internal/vault/reseal"
)

const maxValues = 16 << 20 // of a file of values, bytes

// Rectification says which record is to be corrected and how. Values are
// content: they go into sealed rows and nowhere else.
type Rectification struct {
	Environment string
	Table, ID   string
	Values      Values
	From, To    *act.Moment // snapshots that show the versions; nil = the first, the last
	Keep        bool        // the versions stay; what is restored of them is corrected
	Urgent      bool
	Ground      string
}

// Values are those that a record should have had, by column.
type Values struct {
	Set   map[string]string `json:"set"`   // as text
	Clear []string          `json:"clear"` // columns that should have been empty
	Only  map[string]string `json:"only"`  // the wrong values: others are left alone
}

// ReadValues reads the JSON of Values, at most 16 MiB; numbers and booleans may
// stand for their text. Errors do not quote it.
func ReadValues(r io.Reader) (Values, error) {
	bad := allod.WithHint(allod.Errorf(allod.Invalid, "read the values: they are not the JSON that is wanted"), `Write {"set":{"COLUMN":"VALUE"},"clear":["COLUMN"],"only":{"COLUMN":"WRONG VALUE"}}, each part where it is needed.`)
	b, err := io.ReadAll(io.LimitReader(r, maxValues+1))
	if err != nil {
		return Values{}, allod.Errorf(allod.KindOf(err), "read the values: %w", err)
	}
	if len(b) > maxValues {
		return Values{}, allod.Errorf(allod.Invalid, "read the values: they have more than %d bytes", maxValues)
	}
	var in struct {
		Set   map[string]any `json:"set"`
		Clear []string       `json:"clear"`
		Only  map[string]any `json:"only"`
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || d.More() {
		return Values{}, bad
	}
	out := Values{Set: map[string]string{}, Clear: in.Clear, Only: map[string]string{}}
	for from, to := range map[*map[string]any]map[string]string{&in.Set: out.Set, &in.Only: out.Only} {
		for name, v := range *from {
			switch v := v.(type) {
			case string:
				to[name] = v
			case json.Number, bool:
				to[name] = fmt.Sprint(v)
			default:
				return Values{}, bad
			}
		}
	}
	return out, nil
}

// Corrected is a stored version and what would be corrected in it: no values.
type Corrected struct {
	Snapshot allod.SnapshotID `json:"snapshot"` // that stored it
	Columns  []string         `json:"columns"`  // that hold another value
}

// RectifyPlan says what a rectification would do. Nothing has happened yet but
// that the plan was put on record.
type RectifyPlan struct {
	Environment string           `json:"environment"`
	Table       string           `json:"table"`
	ID          string           `json:"id"`
	Keep        bool             `json:"keep_history"`
	Urgent      bool             `json:"urgent"`
	Columns     []string         `json:"columns"`
	Versions    int64            `json:"versions"`  // stored and readable, deletions too
	Corrected   []Corrected      `json:"corrected"` // versions with another value, newest first
	Counts      map[string]int64 `json:"counts"`    // column → versions with another value; none after it
	Due         time.Time        `json:"due"`
	Places      []string         `json:"places"`
	Warnings    []string         `json:"warnings"`

	correction rights.Correction
}

// MakeRectify plans the correction of a record: it opens every stored version
// and counts what is wrong in which. NotFound when the record, or a column, was
// never stored; Invalid for values that a column cannot have.
func MakeRectify(ctx context.Context, o *act.Office, r Rectification) (*RectifyPlan, error) {
	d := open(o)
	s, err := d.session(ctx, gate.ActionRead, r.Environment)
	if err != nil {
		return nil, err
	}
	snap, err := d.vault.At(ctx, s, r.Environment, 0)
	if err != nil {
		return nil, err
	}
	t, err := tableOf(snap, r.Table)
	if err != nil {
		return nil, err
	}
	key, err := allod.ParseGUID(r.ID)
	if err != nil {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "correct a record of %s: %q is not an id", t.Name, r.ID), "An id looks like 8f1c9a52-0d3e-4b6f-9a67-2c1d5e8b7a90; `allod ls %s %s` shows them.", r.Environment, t.Name)
	}
	c := rights.Correction{
		ID: d.deps.NewID(), Environment: r.Environment, Record: allod.RecordRef{Table: t.Name, Key: key}, Set: r.Values.Set, Clear: r.Values.Clear, Only: r.Values.Only,
		To:   snap.Meta().Capture, // what is captured from now on may rightly be another value
		Keep: r.Keep, Salt: d.deps.NewID(), Ground: r.Ground, By: d.deps.Actor, At: d.now(),
	}
	if err := c.Check(t); err != nil {
		return nil, err
	}
	if err := span(ctx, o, &c, r.From, r.To); err != nil {
		return nil, err
	}
	tags, err := d.vault.Tags(ctx, s, r.Environment, []allod.RecordRef{c.Record})
	if err != nil {
		return nil, err
	}
	c.Tag = tags[0]
	p := &RectifyPlan{
		Environment: r.Environment, Table: t.Name, ID: key.String(), Keep: r.Keep, Urgent: r.Urgent, Columns: c.Columns(), Corrected: []Corrected{}, Counts: map[string]int64{},
		Due: d.now(), Places: []string{}, Warnings: []string{}, correction: c,
	}
	if !r.Keep {
		p.Places = slices.Clone(o.Config().Slots)
		if !r.Urgent {
			p.Due = p.Due.Add(rights.Wait)
		}
	}
	if err := d.look(ctx, s, p); err != nil {
		return nil, err
	}
	return p, d.gate.Act(ctx, s, "planned-rectification", map[string]int64{"versions": p.Versions, "corrected": int64(len(p.Corrected)), "columns": int64(len(p.Columns))})
}

// span takes the moments as captures.
func span(ctx context.Context, o *act.Office, c *rights.Correction, from, to *act.Moment) error {
	capture := func(m *act.Moment) (uint64, error) {
		if m == nil {
			return 0, nil
		}
		snap, _, err := o.Manifest(ctx, *m)
		return snap.Capture, err
	}
	var err error
	if c.From, err = capture(from); err != nil {
		return err
	}
	if to != nil {
		if c.To, err = capture(to); err != nil {
			return err
		}
	}
	if c.To < c.From {
		return allod.Errorf(allod.Invalid, "correct %s: --to is before --from", c.Record)
	}
	return nil
}

// look opens the versions and counts what is wrong in them.
func (d *desk) look(ctx context.Context, s gate.Session, p *RectifyPlan) error {
	snaps, err := d.vault.Snapshots(ctx, p.Environment)
	if err != nil {
		return err
	}
	ids := map[uint64]allod.SnapshotID{}
	for _, one := range snaps {
		ids[one.Capture] = one.ID
	}
	also := map[string]bool{}
	live := false
	record := recordOf(&p.correction, func(v *reseal.Version, was []allod.Value, columns []string) {
		if len(columns) == 0 {
			return
		}
		p.Corrected = append(p.Corrected, Corrected{Snapshot: ids[v.Capture], Columns: columns})
		for _, name := range columns {
			p.Counts[name]++
		}
		live = live || v.Next == 0
		for _, name := range repeats(v.Table, was, columns) {
			also[name] = true
		}
	})
	seen, err := d.vault.Corrections(ctx, s, p.Environment, []reseal.Record{record})
	if err != nil {
		return err
	}
	p.Versions = seen.Versions
	if p.Versions == 0 {
		return allod.WithHint(allod.Errorf(allod.NotFound, "correct %s: no snapshot has it", p.correction.Record), "`allod ls %s %s` shows what there is.", p.Environment, p.Table)
	}
	for _, name := range slices.Sorted(maps.Keys(also)) {
		p.warn("%s holds a wrong value too, as a part of its text: correct it as well", name)
	}
	if len(p.Corrected) == 0 {
		p.warn("no version that opens holds another value: there is nothing to correct")
	}
	if live {
		p.warn("the newest version holds it too: correct %s in the source as well, or the next backup that reads the record stores what is there", p.Environment)
	}
	return nil
}

func (p *RectifyPlan) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// repeats returns the text columns, other than those that are corrected, that
// hold one of their wrong values.
func repeats(t *allod.Table, was []allod.Value, columns []string) []string {
	var out []string
	for i, v := range was {
		if v.Type() != allod.String || i >= len(t.Columns) || slices.Contains(columns, t.Columns[i].Name) {
			continue
		}
		for _, name := range columns {
			if wrong := was[t.ColumnIndex(name)]; wrong.Type() == allod.String && len(wrong.Text()) >= minText && strings.Contains(v.Text(), wrong.Text()) {
				out = append(out, t.Columns[i].Name)
			}
		}
	}
	return out
}

// AskRectify records the plan: corrections that keep history are in force from
// then on, the others once two people have approved them and Run has carried
// them out. The answer is nil for the former.
func AskRectify(ctx context.Context, o *act.Office, p *RectifyPlan) (*Open, error) {
	d := open(o)
	c := p.correction
	if len(p.Corrected) == 0 {
		return nil, allod.Errorf(allod.Invalid, "correct %s: no version that opens holds another value", c.Record)
	}
	if c.Keep {
		if err := d.forgetPlans(ctx, []Planned{{ID: p.ID}}); err != nil {
			return nil, err
		}
		return nil, d.write(ctx, "corrected", func([]rights.Correction) (*rights.Correction, error) { return &c, nil })
	}
	commitment, err := c.Commit()
	if err != nil {
		return nil, err
	}
	e := rights.Erasure{
		ID: d.deps.NewID(), Environment: c.Environment, Tags: []vault.RecordTag{c.Tag}, Urgent: p.Urgent, Versions: p.Versions, Kept: []rights.Kept{},
		Rectify: &rights.Rectify{Values: c.ID, Columns: p.Columns, Changed: int64(len(p.Corrected)), Commitment: commitment},
		Tables:  []rights.Count{{Table: p.Table, Records: 1}}, Ground: c.Ground, By: d.deps.Actor, Asked: d.now(),
	}
	return d.ask(ctx, o, []Planned{{Table: p.Table, ID: p.ID}}, &e, &c)
}

// saysRectify is what people who approve are told: no values.
func saysRectify(e *rights.Erasure) string {
	text := fmt.Sprintf("correct %d columns in %d stored versions of 1 record of %s", len(e.Rectify.Columns), e.Rectify.Changed, e.Environment)
	if list := fmt.Sprintf(": %s of %s", strings.Join(e.Rectify.Columns, ", "), e.Tables[0].Table); len(text)+len(list) <= approve.MaxSays {
		text += list
	}
	return text
}

// Replayed is a correction that restores replay, without its values.
type Replayed struct {
	ID          allod.GUID  `json:"id"`
	Environment string      `json:"environment"`
	Table       string      `json:"table"`
	Record      string      `json:"record"`
	Columns     []string    `json:"columns"`
	Ground      string      `json:"ground,omitempty"`
	By          allod.Actor `json:"by"`
	At          time.Time   `json:"at"`
	Ended       time.Time   `json:"ended,omitzero"`
}

func replayed(c *rights.Correction) Replayed {
	return Replayed{c.ID, c.Environment, c.Record.Table, c.Record.Key.String(), c.Columns(), c.Ground, c.By, c.At, c.Ended}
}

// Corrections lists the corrections that restores replay, or did, oldest first.
func Corrections(ctx context.Context, o *act.Office) ([]Replayed, error) {
	d := open(o)
	s, err := d.session(ctx, gate.ActionOffice, vault.Office)
	if err != nil {
		return nil, err
	}
	snap, err := office.Read(ctx, d.vault, s)
	if err != nil {
		return nil, err
	}
	all, err := correctionsOf(ctx, snap)
	out := []Replayed{}
	for i := range all {
		if all[i].Keep {
			out = append(out, replayed(&all[i]))
		}
	}
	return out, err
}

// Marks returns the corrections in force that cover a record at a moment: what
// it shows of their columns was wrong.
func Marks(ctx context.Context, o *act.Office, m act.Moment, ref allod.RecordRef) ([]Replayed, error) {
	d := open(o)
	kept, err := replay.Kept(ctx, d.vault, d.gate, d.deps.Actor)
	kept = slices.DeleteFunc(kept, func(c rights.Correction) bool { return c.Environment != m.Environment || c.Record != ref })
	if err != nil || len(kept) == 0 || m.Live {
		return nil, err
	}
	snap, _, err := o.Manifest(ctx, m)
	if err != nil {
		return nil, err
	}
	var out []Replayed
	for i := range kept {
		if kept[i].Shown(snap.Capture) {
			out = append(out, replayed(&kept[i]))
		}
	}
	return out, nil
}

// EndCorrection has the correction whose id begins with the text replayed no
// more; NotFound or Invalid when there is not exactly one in force.
func EndCorrection(ctx context.Context, o *act.Office, id string) (*Replayed, error) {
	d := open(o)
	var out Replayed
	err := d.write(ctx, "correction-ended", func(all []rights.Correction) (*rights.Correction, error) {
		var found *rights.Correction
		for i := range all {
			if c := &all[i]; c.Keep && c.Ended.IsZero() && strings.HasPrefix(c.ID.String(), strings.ToLower(id)) {
				if found != nil {
					return nil, allod.Errorf(allod.Invalid, "end correction %q: several begin so", id)
				}
				found = c
			}
		}
		if found == nil || id == "" {
			return nil, allod.WithHint(allod.Errorf(allod.NotFound, "end correction %q: none in force begins so", id), "`allod vault corrections` lists them.")
		}
		found.Ended = d.now()
		out = replayed(found)
		return found, nil
	})
	return &out, err
}

// write writes the correction that decide returns, decided on all there are.
func (d *desk) write(ctx context.Context, word string, decide func([]rights.Correction) (*rights.Correction, error)) error {
	s, err := d.session(ctx, gate.ActionOffice, vault.Office)
	if err != nil {
		return err
	}
	for range tries {
		snap, err := office.Read(ctx, d.vault, s)
		if err != nil {
			return err
		}
		all, err := correctionsOf(ctx, snap)
		if err != nil {
			return err
		}
		c, err := decide(all)
		if err != nil {
			return err
		}
		row, err := rowOf(rights.CorrectionTable, c.ID, c)
		if err != nil {
			return err
		}
		state, err := d.vault.OfficeState(ctx)
		if err != nil {
			return err
		}
		state.Replayed = true
		err = office.WriteState(ctx, d.vault, s, snap, []allod.Table{described(rights.CorrectionTable, 0x11)}, []allod.Row{row}, state, d.deps.Now())
		if err == nil {
			return d.gate.Act(ctx, s, word, map[string]int64{"columns": int64(len(c.Columns()))})
		}
		if allod.KindOf(err) != allod.Conflict {
			return err
		}
	}
	return allod.Errorf(allod.Unavailable, "write a correction: others wrote to the office %d times meanwhile", tries)
}

// spent reads all corrections, and returns with them the tags of those that are
// not needed once e is carried out.
func (d *desk) spent(ctx context.Context, e *rights.Erasure) ([]rights.Correction, []vault.RecordTag, error) {
	s, err := d.session(ctx, gate.ActionOffice, vault.Office)
	if err != nil {
		return nil, nil, err
	}
	r, err := d.load(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	known, err := correctionsOf(ctx, r.snap)
	if err != nil {
		return nil, nil, err
	}
	own := known
	if len(r.bad) > 0 { // a request that cannot be read may need what no other names
		own = slices.DeleteFunc(slices.Clone(known), func(c rights.Correction) bool {
			return !c.Keep && !slices.ContainsFunc(r.all, func(e rights.Erasure) bool { return e.Rectify != nil && e.Rectify.Values == c.ID })
		})
	}
	var refs []allod.RecordRef
	for _, c := range rights.Spent(e, r.all, own) {
		refs = append(refs, allod.RecordRef{Table: rights.CorrectionTable, Key: c.ID})
	}
	if len(refs) == 0 {
		return known, nil, nil
	}
	tags, err := d.vault.Tags(ctx, s, vault.Office, refs)
	return known, tags, err
}

func correctionsOf(ctx context.Context, snap *vault.Snapshot) ([]rights.Correction, error) {
	all, err := office.Records(ctx, snap, rights.CorrectionTable, func(c *rights.Correction) allod.GUID { return c.ID })
	rights.InOrder(all)
	return all, err
}

// rectify carries a rectification out with the values that were approved.
func (d *desk) rectify(ctx context.Context, s gate.Session, e *Open, all []rights.Correction, opts vault.RectifyOptions) error {
	i := slices.IndexFunc(all, func(c rights.Correction) bool { return c.ID == e.Rectify.Values })
	if i < 0 {
		return allod.WithHint(allod.Errorf(allod.Conflict, "correct a record: the values of %s are gone: the record was erased since it was asked for", e.ID), "`allod vault erasures cancel %s` takes it back.", e.ID)
	}
	c := all[i]
	if now, err := c.Commit(); err != nil || now != e.Rectify.Commitment || !slices.Equal(e.Tags, []vault.RecordTag{c.Tag}) {
		return allod.Errorf(allod.Corrupt, "correct a record: the values of %s are not those that were approved", e.ID)
	}
	if err := d.forgetPlans(ctx, []Planned{{ID: c.Record.Key.String()}}); err != nil {
		return err
	}
	_, sealed, err := d.vault.Rectify(ctx, s, e.Environment, []reseal.Record{recordOf(&c, nil)}, opts)
	if err == nil && len(sealed.Targets) == 1 {
		e.Rectify.Generation, e.Rectify.Sealed, e.Rectify.Corrected = sealed.Targets[0].Generation+1, sealed.Versions, sealed.Changed
	}
	return err
}

// recordOf corrects the versions that the correction covers; seen, if there is
// one, is told what each held before and which columns were wrong.
func recordOf(c *rights.Correction, seen func(v *reseal.Version, was []allod.Value, columns []string)) reseal.Record {
	return reseal.Record{Table: c.Tag.Table, Tag: c.Tag.Tag, Change: func(v *reseal.Version) (bool, error) {
		if !c.Covers(v.Capture, v.Next) {
			return false, nil
		}
		was := slices.Clone(v.Row.Cells)
		columns, err := c.Apply(v.Table, v.Row.Cells)
		if err == nil && seen != nil {
			seen(v, was, columns)
		}
		return len(columns) > 0, err
	}}
}
