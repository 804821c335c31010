package restore

import (
	"context"
	"io"
	"time"

	"allod"
	"allod/internal/history"
	"allod/internal/source"
)

// write is one op on its way, with the steps it came from.
type write struct {
	op     source.Op
	step   packed
	packed []packed // all steps of the op; parties have several
}

// build makes the ops of some steps of one table and pass: it reads the rows
// of the snapshot and the versions it needs.
func (a *applier) build(ctx context.Context, steps []packed) ([]write, error) {
	steps = a.standing(steps)
	if len(steps) == 0 {
		return nil, nil
	}
	switch steps[0].op {
	case opAssociate:
		return a.buildPairs(steps)
	case opParties:
		return a.buildParties(ctx, steps)
	}
	table := a.p.tables[steps[0].table]
	st, lt := a.snap.Schema().Table(table), a.live.Schema().Table(table)
	if st == nil || lt == nil {
		return nil, allod.Errorf(allod.Conflict, "restore %s: table %s is gone since the plan was made", a.o.ID, table)
	}
	ids := make([]allod.GUID, 0, len(steps))
	for i := range steps {
		if i == 0 || steps[i].key != steps[i-1].key {
			ids = append(ids, steps[i].key)
		}
	}
	rows, err := a.snap.Get(ctx, table, refsOf(table, ids))
	if err != nil {
		return nil, err
	}
	from := byKey(rows)
	versions, err := a.needed(ctx, table, steps)
	if err != nil {
		return nil, err
	}
	existing, err := a.existing(ctx, st, steps, from)
	if err != nil {
		return nil, err
	}
	closes, err := a.closeRows(ctx, table, steps)
	if err != nil {
		return nil, err
	}
	var out []write
	for i, s := range steps {
		if i > 0 && steps[i-1].key == s.key {
			versions[s.key] = 0 // the op before it asked, and changes the version
		}
		row := from[s.key]
		if row == nil {
			return nil, allod.Errorf(allod.Corrupt, "restore %s: %s(%v) is not in %s any more", a.o.ID, table, s.key, a.snap.Name())
		}
		b := opBuilder{a: a, st: st, lt: lt, row: row, s: s, version: versions[s.key], existing: existing, closes: closes}
		w, ok, err := b.make(ctx)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, write{op: w, step: s, packed: []packed{s}})
		} else {
			a.nothing(s)
		}
	}
	return out, nil
}

// standing leaves out steps of rows that an earlier step has lost.
func (a *applier) standing(steps []packed) []packed {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []packed
	for _, s := range steps {
		if st := a.multi[rowID{s.table, s.key}]; s.op != opAssociate && st != nil && st.skip != "" {
			a.r.Skipped = append(a.r.Skipped, Skip{Table: a.p.tables[s.table], ID: s.key, Reason: string(opKinds[s.op]) + " not done: " + st.skip})
			continue
		}
		out = append(out, s)
	}
	return out
}

// nothing notes a step that turned out to have nothing to write.
func (a *applier) nothing(s packed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.multi[rowID{s.table, s.key}] == nil {
		a.r.Unchanged++
	}
}

// needed returns the version for each step's op: that of the plan, that of
// this restore's own last write, or the one read now for a row that this
// restore has written without being told.
func (a *applier) needed(ctx context.Context, table string, steps []packed) (map[allod.GUID]uint64, error) {
	out := map[allod.GUID]uint64{}
	var ask []allod.GUID
	a.mu.Lock()
	for _, s := range steps {
		st := a.multi[rowID{s.table, s.key}]
		switch {
		case s.op == opCreate:
		case st == nil || !st.touched:
			out[s.key] = s.version
		case st.version != 0:
			out[s.key] = st.version
		default:
			ask = append(ask, s.key)
		}
	}
	a.mu.Unlock()
	if len(ask) == 0 {
		return out, nil
	}
	rows, err := a.live.Get(ctx, table, refsOf(table, ask))
	if err != nil {
		return nil, err
	}
	for i := range rows {
		out[rows[i].Key] = rows[i].Version
	}
	return out, nil
}

// opBuilder makes the op of one step.
type opBuilder struct {
	a       *applier
	st, lt  *allod.Table
	row     *allod.Row
	s       packed
	version uint64

	existing map[allod.GUID]*allod.Row // live rows that the platform may have made
	closes   map[allod.GUID]*allod.Row // captured rows that closing makes
}

// make returns the op; ok is false when there is nothing to write.
func (b *opBuilder) make(ctx context.Context) (op source.Op, ok bool, err error) {
	op = source.Op{Kind: opKinds[b.s.op], Table: b.lt, Key: b.s.key, Version: b.version}
	reason := b.a.p.reasons[b.s.reason]
	switch b.s.op {
	case opCreate:
		if reason == reasonCloseMade {
			return b.withParent(op)
		}
		return b.creation(op), true, nil
	case opUpdate:
		if reason == reasonParentMade {
			return b.withParent(op)
		}
		op.Cells = b.cells(false)
		return op, len(op.Cells) > 0, nil
	case opState:
		return b.state(op, reason), true, nil
	case opFile:
		return b.file(ctx, op)
	}
	return op, false, allod.Errorf(allod.Internal, "restore %s: step %s on a row", b.a.o.ID, opKinds[b.s.op])
}

func (b *opBuilder) creation(op source.Op) source.Op {
	op.Version = 0
	op.Cells = b.cells(true)
	if v := b.row.Cell(b.st.ColumnIndex("createdon")); v.Type() == allod.DateTime {
		if t, err := time.Parse(time.RFC3339Nano, v.Text()); err == nil {
			op.CreatedOn = t.UTC()
		}
	}
	return op
}

// cells returns the values of the step's columns; nulls are left out of new
// rows unless the platform would put a default there, and references to rows
// that will not exist are left out everywhere.
func (b *opBuilder) cells(create bool) map[string]allod.Value {
	out := map[string]allod.Value{}
	for _, name := range b.a.p.sets[b.s.cols] {
		v := b.row.Cell(b.st.ColumnIndex(name))
		if v.IsAbsent() || create && v.IsNull() && !defaulted(b.lt.Column(name)) {
			continue
		}
		if v.Type() == allod.Lookup {
			if v = b.a.reference(b.lt.Column(name), v); v.IsAbsent() {
				continue
			}
		}
		out[name] = v
	}
	return out
}

// defaulted reports whether a new row gets a value in the column when none is
// said: two-option and choice columns have defaults (protocols/dataverse.md
// §3.3).
func defaulted(c *allod.Column) bool {
	if c == nil || c.Name == "statecode" || c.Name == "statuscode" {
		return false
	}
	switch c.Native {
	case "Boolean", "Picklist", "MultiSelectPicklist":
		return true
	}
	return false
}

// reference translates a reference; Absent when its target will not exist.
func (a *applier) reference(col *allod.Column, v allod.Value) allod.Value {
	table, id := v.Target()
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, gone := a.dropped[allod.RecordRef{Table: table, Key: id}]; gone {
		return allod.Value{}
	}
	v = translate(a.maps, v)
	if t, id := v.Target(); t == "" && col != nil && len(col.Bind) == 1 {
		for only := range col.Bind {
			return allod.LookupValue(only, id)
		}
	}
	return v
}

func (b *opBuilder) state(op source.Op, reason string) source.Op {
	if reason == reasonReopen {
		op.Cells = map[string]allod.Value{"statecode": allod.IntegerValue(activeState), "statuscode": allod.IntegerValue(activeStatus(b.lt))}
		return op
	}
	op.Cells = map[string]allod.Value{}
	for _, n := range []string{"statecode", "statuscode"} {
		if v := b.row.Cell(b.st.ColumnIndex(n)); v.Type() == allod.Integer {
			op.Cells[n] = v
		}
	}
	b.closeWith(&op)
	return op
}

func (b *opBuilder) file(ctx context.Context, op source.Op) (source.Op, bool, error) {
	op.Column = b.a.p.sets[b.s.cols][0]
	v := b.row.Cell(b.st.ColumnIndex(op.Column))
	switch v.Type() {
	case allod.Absent:
		return op, false, nil
	case allod.Null:
		return op, true, nil
	}
	f, err := v.FileRef()
	if err != nil {
		return op, false, err
	}
	op.File = f
	op.Content = func() (io.ReadCloser, error) { return b.a.snap.OpenFile(ctx, b.row, op.Column) }
	return op, true, nil
}

// withParent turns a step on a row that the platform makes with its parent
// into what it takes now: nothing, a change of that row, or a new one.
func (b *opBuilder) withParent(op source.Op) (source.Op, bool, error) {
	now := b.existing[b.s.key]
	if now == nil && closeParent(b.lt) != "" {
		if b.a.closedAlready(b.lt, b.row, b.st) {
			b.a.leave(b.s, "closing its parent made a row of its own")
			return op, false, nil
		}
	} else if now == nil {
		if now = b.existing[b.a.made[b.lt.Name][madeKey(b.st, b.row)]]; now != nil {
			b.a.stands(b.row.Ref(), now.Key)
		}
	}
	if now == nil {
		op.Kind = source.OpCreate
		return b.creation(op), true, nil
	}
	op.Kind, op.Key, op.Version = source.OpUpdate, now.Key, now.Version
	cols := history.NewColumns(b.st, b.lt, history.ColumnOptions{Writable: true, Include: b.a.p.sets[b.s.cols], Map: func(v allod.Value) allod.Value { return b.a.reference(nil, v) }})
	cells := b.cells(false)
	op.Cells = map[string]allod.Value{}
	for _, n := range cols.Diff(b.row, now).Columns {
		if v, ok := cells[n]; ok && b.lt.Column(n).Update {
			op.Cells[n] = v
		}
	}
	return op, len(op.Cells) > 0, nil
}

// existing reads the live rows that stand, or may stand, where the platform
// makes rows by itself; nothing for other steps.
func (a *applier) existing(ctx context.Context, st *allod.Table, steps []packed, from map[allod.GUID]*allod.Row) (map[allod.GUID]*allod.Row, error) {
	var ids []allod.GUID
	for _, s := range steps {
		if r := a.p.reasons[s.reason]; r != reasonParentMade && r != reasonCloseMade {
			continue
		}
		ids = append(ids, s.key)
		if row := from[s.key]; row != nil && closeParent(st) == "" {
			if id, ok := a.made[st.Name][madeKey(st, row)]; ok && id != s.key {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := a.live.Get(ctx, st.Name, refsOf(st.Name, ids))
	if err != nil {
		return nil, err
	}
	return byKey(rows), nil
}

// stands notes that a row of the target stands for one of the snapshot.
func (a *applier) stands(ref allod.RecordRef, id allod.GUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.maps[ref] = id
	a.r.Notes = append(a.r.Notes, ref.String()+": the platform's own row "+id.String()+" stands for it")
}

// leave takes a row out of the restore with a reason.
func (a *applier) leave(s packed, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	table := a.p.tables[s.table]
	a.r.Skipped = append(a.r.Skipped, Skip{Table: table, ID: s.key, Reason: why})
	a.dropped[allod.RecordRef{Table: table, Key: s.key}] = struct{}{}
	if st := a.multi[rowID{s.table, s.key}]; st != nil {
		st.skip = why
	}
}

// buildPairs makes the ops that add pairs.
func (a *applier) buildPairs(steps []packed) ([]write, error) {
	var out []write
	for _, s := range steps {
		name := a.p.sets[s.cols][0]
		var rel *allod.Relationship
		for _, r := range relationships(a.live.Schema(), a.p.tables[s.table]) {
			if r.Name == name {
				rel = r
			}
		}
		if rel == nil {
			return nil, allod.Errorf(allod.Conflict, "restore %s: relationship %s is gone since the plan was made", a.o.ID, name)
		}
		if a.gone(rel.Table1, s.key) || a.gone(rel.Table2, s.other) {
			a.mu.Lock()
			a.r.Skipped = append(a.r.Skipped, Skip{Table: a.p.tables[s.table], ID: s.key, Reason: "an end of the pair could not be made"})
			a.mu.Unlock()
			continue
		}
		op := source.Op{Kind: source.OpAssociate, Table: a.live.Schema().Table(rel.Table1), Key: s.key, Relationship: rel, Other: s.other}
		out = append(out, write{op: op, step: s, packed: []packed{s}})
	}
	return out, nil
}

func (a *applier) gone(table string, id allod.GUID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.dropped[allod.RecordRef{Table: table, Key: id}]
	return ok
}

// buildParties makes one op per activity from the snapshot's party rows.
func (a *applier) buildParties(ctx context.Context, steps []packed) ([]write, error) {
	const name = "activityparty"
	pt, lpt := a.snap.Schema().Table(name), a.live.Schema().Table(name)
	if pt == nil || lpt == nil {
		return nil, allod.Errorf(allod.Conflict, "restore %s: table %s is gone since the plan was made", a.o.ID, name)
	}
	ids := make([]allod.GUID, len(steps))
	for i := range steps {
		ids[i] = steps[i].other
	}
	rows, err := a.snap.Get(ctx, name, refsOf(name, ids))
	if err != nil {
		return nil, err
	}
	from := byKey(rows)
	var out []write
	for i := 0; i < len(steps); {
		n := 1
		for i+n < len(steps) && steps[i+n].key == steps[i].key {
			n++
		}
		s := steps[i]
		op := source.Op{Kind: source.OpReplaceParty, Table: a.live.Schema().Table(a.p.tables[s.table]), Key: s.key, PartyTable: pt}
		for _, one := range steps[i : i+n] {
			if row := from[one.other]; row != nil {
				if r, ok := a.party(pt, lpt, row); ok {
					op.Parties = append(op.Parties, r)
				}
			}
		}
		out = append(out, write{op: op, step: s, packed: steps[i : i+n]})
		i += n
	}
	return out, nil
}

// party translates a party row; one that names nobody any more, neither a row
// nor an address, is left out and listed.
func (a *applier) party(pt, lpt *allod.Table, r *allod.Row) (allod.Row, bool) {
	out := *r
	out.Cells = make([]allod.Value, len(r.Cells))
	who := false
	for i, v := range r.Cells {
		if v.Type() == allod.Lookup {
			v = a.reference(lpt.Column(pt.Columns[i].Name), v)
		}
		switch pt.Columns[i].Name {
		case "partyid":
			who = who || v.Type() == allod.Lookup
		case "addressused", "unresolvedpartyname":
			who = who || v.Text() != ""
		}
		out.Cells[i] = v
	}
	if !who {
		a.mu.Lock()
		a.r.Skipped = append(a.r.Skipped, Skip{Table: pt.Name, ID: r.Key, Reason: "the participant will not exist and has no address"})
		a.mu.Unlock()
	}
	return out, who
}

// platformRows are rows that the platform made by itself, by parent and number.
type platformRows map[platformKey]allod.GUID

type platformKey struct {
	parent allod.GUID
	number int64
}

func madeKey(t *allod.Table, r *allod.Row) platformKey {
	_, parent := r.Cell(t.ColumnIndex("parentid")).Target()
	return platformKey{parent, r.Cell(t.ColumnIndex("addressnumber")).Int()}
}
