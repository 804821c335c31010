package restore

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
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
// everything else, with closeRound added.
const (
	PassReopen  Pass = 0 // closed rows are opened, where their table wants it
	PassRows    Pass = 1 // rows are created and updated
	PassLookups Pass = 2 // references that had to wait for their target
	PassLinks   Pass = 3 // many-to-many pairs and activity parties
	PassFiles   Pass = 4
	PassOwner   Pass = 5 // owners of existing rows
	PassState   Pass = 6 // states, children before parents

	closeRound Pass = 8
	passes          = 16
)

// Step is one write of a plan. It names columns, never values.
type Step struct {
	Op      source.OpKind `json:"op"`
	Table   string        `json:"table"`
	ID      allod.GUID    `json:"id"`      // of the row; of a pair: its first id; of parties: their activity
	Columns []string      `json:"columns"` // sorted. When creating, null ones among them are left to the platform
	Reason  string        `json:"reason"`
	Pass    Pass          `json:"pass"`
	Version uint64        `json:"version,omitempty"` // of the live row it was planned against; 0 = the row is not there, or this restore writes it before

	Relationship string       `json:"relationship,omitempty"` // associate
	Other        *allod.GUID  `json:"other,omitempty"`        // associate: the second id of the pair
	Parties      []allod.GUID `json:"parties,omitempty"`      // replace-parties: ids of the snapshot's party rows
}

// packed is a step in memory: 56 bytes.
type packed struct {
	key     allod.GUID
	other   allod.GUID // associate: second id; replace-parties: the party row
	version uint64
	cols    uint32 // into Plan.sets
	table   uint16 // into Plan.tables
	reason  uint16 // into Plan.reasons
	op      opCode
	wave    uint8 // rows of one table that need each other to exist
	pass    Pass
}

type opCode uint8

var opKinds = [...]source.OpKind{source.OpCreate, source.OpUpdate, source.OpAssociate, source.OpReplaceParty, source.OpFile, source.OpState}

const (
	opCreate opCode = iota
	opUpdate
	opAssociate
	opParties
	opFile
	opState
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

// Mapping says which record of the target stands for one of the snapshot.
type Mapping struct {
	Table string     `json:"table"`
	From  allod.GUID `json:"from"`
	To    allod.GUID `json:"to"`
	How   string     `json:"how"`
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
	Steps     int64 `json:"steps"`
	Skipped   int64 `json:"skipped"`
}

// Plan is what a restore will do. Its JSON is stable: fields may be added.
type Plan struct {
	ID         string     `json:"id"` // follows from the rest
	From       string     `json:"from"`
	To         string     `json:"to"`
	Built      time.Time  `json:"built"` // UTC; see Stale
	OnConflict OnConflict `json:"on_conflict"`
	Production bool       `json:"production"`
	Approval   string     `json:"approval"` // "none", "one person", "two people" …

	Warnings   []string     `json:"warnings"`
	Refused    []Refusal    `json:"refused"`
	Skipped    []Skip       `json:"skipped"`
	NotWritten []NotWritten `json:"not_written"`
	Mappings   []Mapping    `json:"mappings"`
	// Dropped are rows that others refer to and that will not exist: Apply
	// leaves such references empty.
	Dropped []allod.RecordRef `json:"dropped"`
	Counts  Counts            `json:"counts"`

	tables  []string
	sets    [][]string
	reasons []string
	steps   []packed
}

// maxAge is how old a plan may be when it is carried out.
const maxAge = 24 * time.Hour

// Stale reports whether the plan is older than 24 hours: it must be built
// again and compared before it is carried out (design/restore.md).
func (p *Plan) Stale(now time.Time) bool { return now.Sub(p.Built) > maxAge }

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.steps) == 0 }

// Steps yields the steps in the order in which they are carried out.
func (p *Plan) Steps() iter.Seq[Step] {
	return func(yield func(Step) bool) {
		for i := 0; i < len(p.steps); {
			n := p.run(i)
			if !yield(p.step(p.steps[i : i+n])) {
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
	if p.steps[i].op == opParties {
		for i+n < len(p.steps) && p.steps[i+n].op == opParties && p.steps[i+n].key == p.steps[i].key && p.steps[i+n].pass == p.steps[i].pass {
			n++
		}
	}
	return n
}

func (p *Plan) step(ps []packed) Step {
	s := ps[0]
	out := Step{Op: opKinds[s.op], Table: p.tables[s.table], ID: s.key, Columns: p.sets[s.cols], Reason: p.reasons[s.reason], Pass: s.pass, Version: s.version}
	switch s.op {
	case opAssociate:
		out.Relationship, out.Columns, out.Other = p.sets[s.cols][0], []string{}, &s.other
	case opParties:
		for i := range ps {
			if !ps[i].other.IsZero() {
				out.Parties = append(out.Parties, ps[i].other)
			}
		}
	}
	return out
}

// sort puts the steps into the order of execution: pass, table, wave, row.
// Tables are numbered targets first; states go the other way round.
func (p *Plan) sort() {
	slices.SortFunc(p.steps, func(x, y packed) int {
		tables := cmp.Compare(x.table, y.table)
		if x.pass%closeRound == PassState {
			tables = -tables
		}
		return cmp.Or(cmp.Compare(x.pass, y.pass), tables, cmp.Compare(x.wave, y.wave), bytes.Compare(x.key[:], y.key[:]), slices.Compare(p.sets[x.cols], p.sets[y.cols]), bytes.Compare(x.other[:], y.other[:]))
	})
}

// seal computes the id from everything else. Steps are hashed as they are
// packed: writing out those of a whole environment would take gigabytes.
func (p *Plan) seal() error {
	p.ID = ""
	h := sha256.New()
	head := []any{(*plainPlan)(p), p.tables}
	if err := json.NewEncoder(h).Encode(head); err != nil {
		return allod.Errorf(allod.Internal, "number the plan: %w", err)
	}
	sets := make([][32]byte, len(p.sets)) // what they say, not their numbers: those follow the order of reading
	for i, cols := range p.sets {
		sets[i] = sha256.Sum256([]byte(strings.Join(cols, "\x00")))
	}
	var b []byte
	for i := range p.steps {
		s := &p.steps[i]
		b = append(append(b[:0], s.key[:]...), s.other[:]...)
		b = binary.BigEndian.AppendUint64(b, s.version)
		b = append(b, sets[s.cols][:]...)
		b = binary.BigEndian.AppendUint16(b, s.table)
		b = append(b, byte(s.op), s.wave, byte(s.pass))
		b = append(b, p.reasons[s.reason]...)
		h.Write(b)
	}
	p.ID = hex.EncodeToString(h.Sum(nil))[:16]
	return nil
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

// UnmarshalJSON reads what MarshalJSON wrote. Anything else is Corrupt.
func (p *Plan) UnmarshalJSON(data []byte) error {
	in := planJSON{plainPlan: (*plainPlan)(p)}
	if err := json.Unmarshal(data, &in); err != nil {
		return allod.Errorf(allod.Corrupt, "read plan: %w", err)
	}
	w := newPacker(p)
	if len(in.Order) > 1<<16-1 {
		return allod.Errorf(allod.Corrupt, "read plan: it names %d tables", len(in.Order))
	}
	for _, t := range in.Order {
		w.table(t)
	}
	for _, s := range in.Steps {
		code := slices.Index(opKinds[:], s.Op)
		if code < 0 || s.Pass >= passes {
			return allod.Errorf(allod.Corrupt, "read plan: step %q of pass %d is none that a plan has", string(s.Op), s.Pass)
		}
		if !slices.Contains(in.Order, s.Table) {
			return allod.Errorf(allod.Corrupt, "read plan: a step names table %q, which the plan does not list", s.Table)
		}
		st := packed{key: s.ID, version: s.Version, table: w.table(s.Table), reason: w.reason(s.Reason), op: opCode(code), pass: s.Pass}
		switch {
		case st.op == opAssociate && s.Other != nil:
			st.other, st.cols = *s.Other, w.set([]string{s.Relationship})
		case st.op == opParties:
			st.cols = w.set(s.Columns)
			for _, id := range s.Parties {
				st.other = id
				p.steps = append(p.steps, st)
			}
			if len(s.Parties) > 0 {
				continue
			}
			st.other = allod.GUID{}
		default:
			st.cols = w.set(s.Columns)
		}
		p.steps = append(p.steps, st)
	}
	return nil
}

// packer interns what steps share.
type packer struct {
	p       *Plan
	tables  map[string]uint16
	sets    map[string]uint32
	reasons map[string]uint16
}

func newPacker(p *Plan) *packer {
	p.tables, p.sets, p.reasons, p.steps = nil, nil, nil, nil
	return &packer{p: p, tables: map[string]uint16{}, sets: map[string]uint32{}, reasons: map[string]uint16{}}
}

func (w *packer) table(name string) uint16 {
	i, ok := w.tables[name]
	if !ok {
		i = uint16(len(w.p.tables))
		w.tables[name] = i
		w.p.tables = append(w.p.tables, name)
	}
	return i
}

func (w *packer) reason(s string) uint16 {
	i, ok := w.reasons[s]
	if !ok {
		i = uint16(len(w.p.reasons))
		w.reasons[s] = i
		w.p.reasons = append(w.p.reasons, s)
	}
	return i
}

func (w *packer) set(cols []string) uint32 {
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
	Appeared, Vanished int64 // steps that only the newer, only the older plan has
}

// Compare counts the steps in which a newer plan differs from an older one,
// versions included: what people must look at again when a plan was stale.
func Compare(older, newer *Plan) Change {
	seen := map[[32]byte]int{}
	for s := range older.Steps() {
		seen[fingerprint(s)]++
	}
	var c Change
	for s := range newer.Steps() {
		k := fingerprint(s)
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

func fingerprint(s Step) [32]byte {
	b, err := json.Marshal(s)
	if err != nil { // strings and numbers always marshal
		panic(err)
	}
	return sha256.Sum256(b)
}
