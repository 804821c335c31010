// Package plan is what a restore will do, written down: steps with their
// operation, table, id, column names, reason and version, in the order of
// execution, and beside them everything that is left out, with why. It never
// holds a value of a row, so it may be kept and shown.
//
// A plan is built with a Writer, read with Steps or Packed, printed with
// WriteText and kept as JSON. Once finished it does not change and is safe for
// concurrent reading.
package plan

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"iter"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/source"
)

// Pass is a round of a restore; all steps of one are done before the next.
type Pass uint8

// The passes, in order. Close activities go through them once more, after
// everything else, with CloseRound added.
const (
	PassReopen  Pass = 0 // closed rows are opened, where their table wants it
	PassRows    Pass = 1 // rows are created and updated
	PassLookups Pass = 2 // references that had to wait for their target
	PassLinks   Pass = 3 // many-to-many pairs and activity parties
	PassFiles   Pass = 4
	PassOwner   Pass = 5 // owners of existing rows
	PassState   Pass = 6 // states, children before parents

	CloseRound Pass = 8

	// PassRemove comes after everything: an undo deletes what a restore made,
	// what refers to others first.
	PassRemove Pass = 15

	passes Pass = 16 // how many there are room for
)

// Step is one write of a plan. It names columns, never values.
type Step struct {
	Op      source.OpKind `json:"op"`
	Table   string        `json:"table"`
	ID      allod.GUID    `json:"id"`      // of the row; of a pair: its first id; of parties: their activity
	Columns []string      `json:"columns"` // sorted. When creating, null ones among them are left to the platform
	Reason  string        `json:"reason"`
	Pass    Pass          `json:"pass"`
	Wave    uint8         `json:"wave,omitempty"`    // rows of one table that need each other to exist: waves come one after the other
	Version uint64        `json:"version,omitempty"` // of the live row it was planned against; 0 = the row is not there, or this restore writes it before

	Relationship string       `json:"relationship,omitempty"` // of a pair
	Other        *allod.GUID  `json:"other,omitempty"`        // the second id of a pair
	Parties      []allod.GUID `json:"parties,omitempty"`      // replace-parties: ids of the snapshot's party rows
}

// Packed is a step in memory: 56 bytes. Columns, Table and Reason are numbers
// of the plan: see ColumnsOf, TableOf and ReasonOf.
type Packed struct {
	Key     allod.GUID
	Other   allod.GUID // of a pair: second id; replace-parties: the party row
	Version uint64
	Columns uint32
	Table   uint16
	Reason  uint16
	Op      Op
	Wave    uint8 // rows of one table that need each other to exist
	Pass    Pass
}

// Op is the kind of a packed step.
type Op uint8

var opKinds = [...]source.OpKind{source.OpCreate, source.OpUpdate, source.OpAssociate, source.OpReplaceParty, source.OpFile, source.OpState, source.OpDelete, source.OpDissociate}

// The kinds of steps.
const (
	OpCreate Op = iota
	OpUpdate
	OpAssociate
	OpParties
	OpFile
	OpState
	OpDelete     // of an undo alone
	OpDissociate // of an undo alone
)

// OfPair reports whether the step is about a pair, not about a row.
func (o Op) OfPair() bool { return o == OpAssociate || o == OpDissociate }

// Kind returns what a target calls it.
func (o Op) Kind() source.OpKind { return opKinds[o] }

// Reasons by which the one who carries out a plan tells apart steps of one
// kind. The other reasons are for people alone.
const (
	ReasonReopen     = "closed live, and closed rows take no changes"
	ReasonParentMade = "the platform makes this row with its parent"
	ReasonCloseMade  = "missing live, unless closing its parent makes one"
)

// Skip names a row, or a part of one, that is not restored, and why.
type Skip struct {
	Table  string     `json:"table"`
	ID     allod.GUID `json:"id"`
	Reason string     `json:"reason"`
}

// Refusal names a table that was asked for and is not written at all.
type Refusal struct {
	Table  string `json:"table"`
	Reason string `json:"reason"`
	Rows   int64  `json:"rows"` // selected rows that stay behind
}

// NotWritten names a column that differs or is lost because it cannot be
// written, with the number of rows.
type NotWritten struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	Reason string `json:"reason"`
	Rows   int64  `json:"rows"`
}

// Replayed names columns of a row that were wrong in the snapshot and are
// restored corrected, and why.
type Replayed struct {
	Table   string     `json:"table"`
	ID      allod.GUID `json:"id"`
	Columns []string   `json:"columns"`
	Reason  string     `json:"reason"`
}

// Mapping says which record of the target stands for one of the snapshot.
type Mapping struct {
	Table string     `json:"table"`
	From  allod.GUID `json:"from"`
	To    allod.GUID `json:"to"`
	How   string     `json:"how"`
}

// Counterparts are mappings in use: a record of the snapshot, and the id of the
// one that stands for it in the target, in the same table.
type Counterparts map[allod.RecordRef]allod.GUID

// Counterparts returns the mappings of the plan; the map is the caller's.
func (p *Plan) Counterparts() Counterparts {
	out := Counterparts{}
	for _, m := range p.Mappings {
		out[allod.RecordRef{Table: m.Table, Key: m.From}] = m.To
	}
	return out
}

// Translate puts a reference into the target's terms; other values, and
// references to what has no counterpart, stay as they are.
func (c Counterparts) Translate(v allod.Value) allod.Value {
	table, id := v.Target()
	if table == "" {
		return v
	}
	if to, ok := c[allod.RecordRef{Table: table, Key: id}]; ok {
		return allod.LookupValue(table, to)
	}
	return v
}

// Counts sums up a plan.
type Counts struct {
	Rows      int64 `json:"rows"` // rows looked at
	Create    int64 `json:"create"`
	Update    int64 `json:"update"` // existing rows with at least one step
	Unchanged int64 `json:"unchanged"`
	Pairs     int64 `json:"pairs"`
	Parties   int64 `json:"parties"` // activities whose parties are written
	Files     int64 `json:"files"`
	States    int64 `json:"states"`
	Delete    int64 `json:"delete,omitempty"` // rows and pairs, by an undo
	Steps     int64 `json:"steps"`
	Skipped   int64 `json:"skipped"`
}

// OnConflict says who wins where the snapshot and the live row differ, when
// planning and when a row turns out to have been touched since.
type OnConflict string

// The choices. The zero value means Stop.
const (
	Stop      OnConflict = "stop"       // plan the snapshot's values; stop at the first row touched since
	Backup    OnConflict = "backup"     // the snapshot wins, also over a row touched since
	Live      OnConflict = "live"       // rows that exist are left alone; only missing ones are made
	FillEmpty OnConflict = "fill-empty" // only cells that are null live are written
)

// Plan is what a restore will do. Its JSON is stable: fields may be added.
type Plan struct {
	ID   string `json:"id"` // follows from the rest
	From string `json:"from"`
	To   string `json:"to"`
	// Organization identifies what To named when the plan was made; zero = the
	// source does not say.
	Organization allod.GUID `json:"organization"`
	Built        time.Time  `json:"built"` // UTC; see Stale
	OnConflict   OnConflict `json:"on_conflict"`
	Production   bool       `json:"production"`
	Because      string     `json:"production_because,omitempty"` // why To counts as production, or not
	Approval     string     `json:"approval"`                     // "none", "one person", "nobody yet" (two people have to) …

	// Undoes is the id of what an undo takes back; Conflicts are rows that it
	// would write and that were touched since.
	Undoes    string `json:"undoes,omitempty"`
	Conflicts []Skip `json:"conflicts,omitempty"`

	Warnings   []string     `json:"warnings"`
	Refused    []Refusal    `json:"refused"`
	Skipped    []Skip       `json:"skipped"`
	NotWritten []NotWritten `json:"not_written"`
	Mappings   []Mapping    `json:"mappings"`
	// Dropped are rows that others refer to and that will not exist:
	// references to them are left empty.
	Dropped  []allod.RecordRef `json:"dropped"`
	Replayed []Replayed        `json:"replayed,omitempty"`
	After    *After            `json:"after,omitempty"` // nil = nothing
	// Bin are rows to be made that come back from the target's recycle bin, where it
	// still has them then, and are written over; sorted.
	Bin []allod.RecordRef `json:"bin,omitempty"`
	// Held are rows that are made as those of a team, so that the mailboxes of their
	// owners do not give them to Exchange; nil = none.
	Held *Held `json:"held,omitempty"`
	// Triggers are what the steps set off in the target, Bypass whether it is asked
	// not to run; nil = nothing to say.
	Triggers []source.Trigger `json:"triggers,omitempty"`
	Bypass   *Bypass          `json:"bypass,omitempty"`
	Counts   Counts           `json:"counts"`

	tables  []string
	sets    [][]string
	reasons []string
	steps   []Packed
}

// maxAge is how old a plan may be when it is carried out.
const maxAge = 24 * time.Hour

// Stale reports whether the plan is older than 24 hours, or from the future,
// where nobody knows how old it is: it must be built again and compared before
// it is carried out (design/restore.md).
func (p *Plan) Stale(now time.Time) bool {
	age := now.Sub(p.Built)
	return age > maxAge || age < 0
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.steps) == 0 }

// Steps yields the steps in the order in which they are carried out.
func (p *Plan) Steps() iter.Seq[Step] {
	return func(yield func(Step) bool) {
		for i := 0; i < len(p.steps); {
			n := p.run(i)
			if !yield(p.StepOf(p.steps[i : i+n])) {
				return
			}
			i += n
		}
	}
}

// run returns how many packed steps from i on make one Step: parties of one
// activity belong together.
func (p *Plan) run(i int) int {
	n := 1
	if p.steps[i].Op == OpParties {
		for i+n < len(p.steps) && p.steps[i+n].Op == OpParties && p.steps[i+n].Key == p.steps[i].Key && p.steps[i+n].Pass == p.steps[i].Pass {
			n++
		}
	}
	return n
}

// Packed returns the steps as they are kept, in the order of execution. They
// belong to the plan and are not to be changed.
func (p *Plan) Packed() []Packed { return p.steps }

// Tables returns the names of the tables in the order of writing; they belong
// to the plan.
func (p *Plan) Tables() []string { return p.tables }

// TableOf names the table of a step.
func (p *Plan) TableOf(s Packed) string { return p.tables[s.Table] }

// ColumnsOf names the columns of a step, sorted; of an associate its
// relationship.
func (p *Plan) ColumnsOf(s Packed) []string { return p.sets[s.Columns] }

// ReasonOf says why a step is in the plan.
func (p *Plan) ReasonOf(s Packed) string { return p.reasons[s.Reason] }

// StepOf unpacks one step: one packed, or those that are one together.
func (p *Plan) StepOf(ps []Packed) Step {
	s := ps[0]
	out := Step{Op: opKinds[s.Op], Table: p.tables[s.Table], ID: s.Key, Columns: p.sets[s.Columns], Reason: p.reasons[s.Reason], Pass: s.Pass, Wave: s.Wave, Version: s.Version}
	switch s.Op {
	case OpAssociate, OpDissociate:
		out.Relationship, out.Columns, out.Other = p.sets[s.Columns][0], []string{}, &s.Other
	case OpParties:
		for i := range ps {
			if !ps[i].Other.IsZero() {
				out.Parties = append(out.Parties, ps[i].Other)
			}
		}
	case OpCreate, OpUpdate, OpFile, OpState, OpDelete:
	}
	return out
}

// sort puts the steps into the order of execution: pass, table, wave, row.
// Tables are numbered targets first; states and deletions go the other way round.
func (p *Plan) sort() {
	slices.SortFunc(p.steps, func(x, y Packed) int {
		tables := cmp.Compare(x.Table, y.Table)
		if x.Pass%CloseRound == PassState || x.Pass == PassRemove {
			tables = -tables
		}
		return cmp.Or(cmp.Compare(x.Pass, y.Pass), tables, cmp.Compare(x.Wave, y.Wave), bytes.Compare(x.Key[:], y.Key[:]), slices.Compare(p.sets[x.Columns], p.sets[y.Columns]), bytes.Compare(x.Other[:], y.Other[:]))
	})
}

// Check reports whether the plan still has the id it was given: Corrupt if it
// was changed since, on disk for example. What was shown and approved under an
// id is what is carried out.
func (p *Plan) Check() error {
	id, err := p.number()
	if err == nil && id != p.ID {
		err = allod.WithHint(allod.Errorf(allod.Corrupt, "check plan %s: it is not what it was when it was made", p.ID), "plan again")
	}
	return err
}

// number computes the id from everything else. Steps are hashed as they are
// packed: writing out those of a whole environment would take gigabytes.
func (p *Plan) number() (string, error) {
	h := sha256.New()
	head := plainPlan(*p)
	head.ID = ""
	if err := json.NewEncoder(h).Encode([]any{&head, p.tables}); err != nil {
		return "", allod.Errorf(allod.Internal, "number the plan: %w", err)
	}
	p.hashSteps(h)
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func (p *Plan) hashSteps(h hash.Hash) {
	sets := make([][32]byte, len(p.sets)) // what they say, not their numbers: those follow the order of reading
	for i, cols := range p.sets {
		sets[i] = sha256.Sum256([]byte(strings.Join(cols, "\x00")))
	}
	var b []byte
	for i := range p.steps {
		s := &p.steps[i]
		b = append(append(b[:0], s.Key[:]...), s.Other[:]...)
		b = binary.BigEndian.AppendUint64(b, s.Version)
		b = append(b, sets[s.Columns][:]...)
		b = binary.BigEndian.AppendUint16(b, s.Table)
		b = append(b, byte(s.Op), s.Wave, byte(s.Pass))
		b = append(b, p.reasons[s.Reason]...)
		h.Write(b)
	}
}

// plainPlan is Plan without its methods.
type plainPlan Plan

type planJSON struct {
	*plainPlan
	Order []string `json:"tables"` // in the order of writing
	Steps []Step   `json:"steps"`
}

// MarshalJSON writes the plan with its steps.
func (p *Plan) MarshalJSON() ([]byte, error) {
	out := planJSON{plainPlan: (*plainPlan)(p), Order: p.tables, Steps: []Step{}}
	if out.Order == nil {
		out.Order = []string{}
	}
	for s := range p.Steps() {
		out.Steps = append(out.Steps, s)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote. Anything else is Corrupt: what it
// takes, no execution has to doubt.
func (p *Plan) UnmarshalJSON(data []byte) error {
	in := planJSON{plainPlan: (*plainPlan)(p)}
	if err := json.Unmarshal(data, &in); err != nil {
		return allod.Errorf(allod.Corrupt, "read plan: %w", err)
	}
	if len(in.Order) > 1<<16-1 {
		return allod.Errorf(allod.Corrupt, "read plan: it names %d tables", len(in.Order))
	}
	w := NewWriter(p)
	for _, t := range in.Order {
		w.Table(t)
	}
	for i := range in.Steps {
		if err := w.read(&in.Steps[i]); err != nil {
			return err
		}
	}
	return nil
}

// read adds a step that comes from outside.
func (w *Writer) read(s *Step) error {
	code := slices.Index(opKinds[:], s.Op)
	if code < 0 || s.Pass >= passes {
		return allod.Errorf(allod.Corrupt, "read plan: step %q of pass %d is none that a plan has", string(s.Op), s.Pass)
	}
	if _, known := w.tables[s.Table]; !known {
		return allod.Errorf(allod.Corrupt, "read plan: a step names table %q, which the plan does not list", s.Table)
	}
	if _, known := w.reasons[s.Reason]; !known && len(w.reasons) == 1<<16-1 {
		return allod.Errorf(allod.Corrupt, "read plan: it has more than %d reasons", len(w.reasons))
	}
	st := Packed{Key: s.ID, Version: s.Version, Op: Op(code), Wave: s.Wave, Pass: s.Pass}
	switch {
	case (st.Op == OpDelete || st.Op == OpDissociate) && w.p.Undoes == "":
		return allod.Errorf(allod.Corrupt, "read plan: a restore takes nothing away, and a step of %s does", s.Table)
	case st.Op.OfPair() && s.Other == nil:
		return allod.Errorf(allod.Corrupt, "read plan: a pair of %s has one end", s.Table)
	case st.Op.OfPair():
		st.Other = *s.Other
		w.Add(s.Table, []string{s.Relationship}, s.Reason, st)
	case st.Op == OpFile && len(s.Columns) != 1:
		return allod.Errorf(allod.Corrupt, "read plan: a file of %s in %d columns", s.Table, len(s.Columns))
	case st.Op == OpParties && len(s.Parties) == 0:
		return allod.Errorf(allod.Corrupt, "read plan: a list of no parties")
	case st.Op == OpParties:
		for _, st.Other = range s.Parties {
			w.Add(s.Table, s.Columns, s.Reason, st)
		}
	default:
		w.Add(s.Table, s.Columns, s.Reason, st)
	}
	return nil
}

// Writer puts steps into a plan and interns what they share. It is not safe
// for concurrent use.
type Writer struct {
	p       *Plan
	tables  map[string]uint16
	sets    map[string]uint32
	reasons map[string]uint16
}

// NewWriter returns one for p, whose steps, if it has any, are forgotten.
func NewWriter(p *Plan) *Writer {
	p.tables, p.sets, p.reasons, p.steps = nil, nil, nil, nil
	return &Writer{p: p, tables: map[string]uint16{}, sets: map[string]uint32{}, reasons: map[string]uint16{}}
}

// Add puts a step at the end; Table, Columns and Reason of s are set here.
func (w *Writer) Add(table string, columns []string, reason string, s Packed) {
	s.Columns, s.Table, s.Reason = w.set(columns), w.Table(table), w.reason(reason)
	w.p.steps = append(w.p.steps, s)
}

// Len is the number of steps so far.
func (w *Writer) Len() int { return len(w.p.steps) }

// At returns the step with that number, to be changed until the next Add.
func (w *Writer) At(i int) *Packed { return &w.p.steps[i] }

// Finish brings the steps into the order of execution, counts them and gives
// the plan its id. It comes last.
func (w *Writer) Finish() error {
	p := w.p
	p.sort()
	for i := 0; i < len(p.steps); i += p.run(i) {
		p.Counts.Steps++
	}
	p.Counts.Skipped = int64(len(p.Skipped))
	var err error
	p.ID, err = p.number()
	return err
}

// Table numbers a table; the numbers are the order of writing.
func (w *Writer) Table(name string) uint16 {
	i, ok := w.tables[name]
	if !ok {
		i = uint16(len(w.p.tables))
		w.tables[name] = i
		w.p.tables = append(w.p.tables, name)
	}
	return i
}

func (w *Writer) reason(s string) uint16 {
	i, ok := w.reasons[s]
	if !ok {
		i = uint16(len(w.p.reasons))
		w.reasons[s] = i
		w.p.reasons = append(w.p.reasons, s)
	}
	return i
}

func (w *Writer) set(cols []string) uint32 {
	var key []byte
	for _, c := range cols {
		key = append(append(key, c...), 0)
	}
	i, ok := w.sets[string(key)]
	if !ok {
		i = uint32(len(w.p.sets))
		w.sets[string(key)] = i
		w.p.sets = append(w.p.sets, append([]string{}, cols...))
	}
	return i
}

// Change is what two plans of the same restore disagree on.
type Change struct {
	Appeared, Vanished int64 // what only the newer, only the older plan has
}

// Compare counts the steps in which a newer plan differs from an older one,
// versions included, the mappings and dropped rows, which decide what the
// references in those steps are, and what is done after them: what people must
// look at again when a plan was stale.
func Compare(older, newer *Plan) Change {
	seen := map[[32]byte]int{}
	for k := range older.fingerprints() {
		seen[k]++
	}
	var c Change
	for k := range newer.fingerprints() {
		if seen[k] == 0 {
			c.Appeared++
			continue
		}
		seen[k]--
	}
	for _, n := range seen {
		c.Vanished += int64(n)
	}
	return c
}

// fingerprints yields one of everything that decides what is written.
func (p *Plan) fingerprints() iter.Seq[[32]byte] {
	return func(yield func([32]byte) bool) {
		if !yield(fingerprint(p.Organization)) {
			return
		}
		for s := range p.Steps() {
			if !yield(fingerprint(s)) {
				return
			}
		}
		for _, m := range p.Mappings {
			if !yield(fingerprint(m)) {
				return
			}
		}
		for _, d := range p.Dropped {
			if !yield(fingerprint(d)) {
				return
			}
		}
		for _, a := range p.besides() {
			if !yield(fingerprint(a)) {
				return
			}
		}
	}
}

func fingerprint(v any) [32]byte {
	b, err := json.Marshal(v)
	if err != nil { // strings and numbers always marshal
		panic(err)
	}
	return sha256.Sum256(b)
}
