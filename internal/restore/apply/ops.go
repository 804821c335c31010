package apply

import (
	"context"
	"io"
	"maps"
	"slices"
	"time"

	"allod"
	"allod/internal/history"
	"allod/internal/restore/plan"
	"allod/internal/restore/traps"
	"allod/internal/source"
)

// write is one op on its way, with the steps it came from.
type write struct {
	op     source.Op
	step   plan.Packed
	packed []plan.Packed // all steps of the op; parties have several
	same   bool          // its version is that of a row which is as it was, see unlinked
}

// build makes the ops of some steps of one table and pass: it reads the rows
// of the snapshot and the versions it needs.
func (a *applier) build(ctx context.Context, steps []plan.Packed) ([]write, error) {
	steps = a.standing(steps)
	if len(steps) == 0 {
		return nil, nil
	}
	switch steps[0].Op {
	case plan.OpAssociate, plan.OpDissociate:
		return a.buildPairs(steps)
	case plan.OpDelete:
		return a.buildDeletes(ctx, steps)
	case plan.OpParties:
		return a.buildParties(ctx, steps)
	case plan.OpCreate, plan.OpUpdate, plan.OpFile, plan.OpState:
	}
	table := a.p.TableOf(steps[0])
	st, lt := a.snap.Schema().Table(table), a.live.Schema().Table(table)
	if st == nil || lt == nil {
		return nil, allod.Errorf(allod.Conflict, "restore %s: table %s is gone since the plan was made", a.o.ID, table)
	}
	ids := make([]allod.GUID, len(steps))
	for i := range steps {
		ids[i] = steps[i].Key
	}
	from, err := get(ctx, a.snap, table, ids)
	if err != nil {
		return nil, err
	}
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
	for _, s := range steps {
		row := from[s.Key]
		if row == nil { // erased since, perhaps
			a.leave(s, "not in "+a.snap.Name()+" any more")
			continue
		}
		b := opBuilder{a: a, st: st, lt: lt, row: row, s: s, version: versions[s.Key], existing: existing, closes: closes}
		w, ok, err := b.make(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case ok:
			out = append(out, write{op: w, step: s, packed: []plan.Packed{s}})
		case !b.left:
			a.nothing(s)
		}
	}
	return out, nil
}

// get reads rows by their ids and indexes them; what is not there is left out.
func get(ctx context.Context, v source.View, table string, ids []allod.GUID) (map[allod.GUID]*allod.Row, error) {
	refs := make([]allod.RecordRef, len(ids))
	for i, id := range ids {
		refs[i] = allod.RecordRef{Table: table, Key: id}
	}
	rows, err := v.Get(ctx, table, refs)
	if err != nil {
		return nil, err
	}
	out := make(map[allod.GUID]*allod.Row, len(rows))
	for i := range rows {
		out[rows[i].Key] = &rows[i]
	}
	return out, nil
}

// standing leaves out steps of rows that an earlier step has lost, but for
// closing again what was opened.
func (a *applier) standing(steps []plan.Packed) []plan.Packed {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []plan.Packed
	for _, s := range steps {
		if st := a.multi[rowID{s.Table, s.Key}]; !s.Op.OfPair() && st != nil && st.skip != "" && (s.Op != plan.OpState || !st.opened) {
			a.r.Skipped = append(a.r.Skipped, plan.Skip{Table: a.p.TableOf(s), ID: s.Key, Reason: string(s.Op.Kind()) + " not done: " + st.skip})
			continue
		}
		out = append(out, s)
	}
	return out
}

// nothing notes a step that turned out to have nothing to write.
func (a *applier) nothing(s plan.Packed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.multi[rowID{s.Table, s.Key}] == nil {
		a.r.Unchanged++
	}
}

// needed returns the version for each step's op, by the step's key: that of the
// plan, that of this restore's own last write, or the one read now where this
// restore, or the platform, has written the row without telling.
func (a *applier) needed(ctx context.Context, table string, steps []plan.Packed) (map[allod.GUID]uint64, error) {
	out := map[allod.GUID]uint64{}
	ask := map[allod.GUID]allod.GUID{} // id in the target → key
	for _, s := range steps {
		if s.Op == plan.OpCreate || a.p.ReasonOf(s) == plan.ReasonParentMade {
			continue
		}
		if out[s.Key] = a.known(s); out[s.Key] == 0 {
			ask[a.idOf(table, s.Key)] = s.Key
		}
	}
	if len(ask) == 0 {
		return out, nil
	}
	rows, err := get(ctx, a.live, table, slices.Collect(maps.Keys(ask)))
	if err != nil {
		return nil, err
	}
	for id, r := range rows {
		out[ask[id]] = r.Version
	}
	return out, nil
}

// known returns the version a step's row has as far as can be said without
// reading, 0 if that is not known.
func (a *applier) known(s plan.Packed) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if st := a.multi[rowID{s.Table, s.Key}]; st != nil && st.touched {
		return st.version
	}
	return s.Version
}

// idOf returns the id that a row of the snapshot has in the target: its own,
// or that of the row which stands for it.
func (a *applier) idOf(table string, key allod.GUID) allod.GUID {
	a.mu.Lock()
	defer a.mu.Unlock()
	if to, ok := a.maps[allod.RecordRef{Table: table, Key: key}]; ok {
		return to
	}
	return key
}

// opBuilder makes the op of one step.
type opBuilder struct {
	a       *applier
	st, lt  *allod.Table
	row     *allod.Row
	s       plan.Packed
	version uint64

	left     bool                      // the step is given up, and that is noted
	existing map[allod.GUID]*allod.Row // live rows that the platform may have made
	closes   map[allod.GUID]*allod.Row // captured rows that closing makes
}

// make returns the op; ok is false when there is nothing to write.
func (b *opBuilder) make(ctx context.Context) (op source.Op, ok bool, err error) {
	op = source.Op{Kind: b.s.Op.Kind(), Table: b.lt, Key: b.a.idOf(b.lt.Name, b.s.Key), Version: b.version}
	reason := b.a.p.ReasonOf(b.s)
	switch b.s.Op {
	case plan.OpCreate:
		if reason == plan.ReasonCloseMade {
			return b.withParent(op)
		}
		op, ok = b.creation(op)
		return op, ok, nil
	case plan.OpUpdate:
		if reason == plan.ReasonParentMade {
			return b.withParent(op)
		}
		op.Cells = b.cells(false)
		return op, len(op.Cells) > 0, nil
	case plan.OpState:
		op, ok = b.state(op, reason)
		return op, ok, nil
	case plan.OpFile:
		return b.file(ctx, op)
	case plan.OpAssociate, plan.OpParties, plan.OpDelete, plan.OpDissociate:
	}
	return op, false, allod.Errorf(allod.Internal, "restore %s: step %s on a row", b.a.o.ID, b.s.Op.Kind())
}

// creation makes the op of a new row; one that requires a row which could not
// be made is given up.
func (b *opBuilder) creation(op source.Op) (source.Op, bool) {
	op.Version = 0
	op.FromBin = b.a.bin[allod.RecordRef{Table: b.lt.Name, Key: b.s.Key}]
	op.Cells = b.cells(!op.FromBin)
	if team, ok := b.a.held[allod.RecordRef{Table: b.lt.Name, Key: b.s.Key}]; ok {
		op.Cells["ownerid"] = allod.LookupValue("team", team)
	}
	for _, name := range b.a.p.ColumnsOf(b.s) {
		c, v := b.lt.Column(name), b.row.Cell(b.st.ColumnIndex(name))
		if _, has := op.Cells[name]; !has && c != nil && c.Required && v.Type() == allod.Lookup {
			b.left = true
			b.a.leave(b.s, "refers by "+name+", which is required, to a row that could not be made")
			return op, false
		}
	}
	if v := b.row.Cell(b.st.ColumnIndex("createdon")); v.Type() == allod.DateTime {
		if t, err := time.Parse(time.RFC3339Nano, v.Text()); err == nil {
			op.CreatedOn = t.UTC()
		}
	}
	return op, true
}

// cells returns the values of the step's columns; nulls are left out of new
// rows unless the platform would put a default there, and references to rows
// that will not exist are left out everywhere.
func (b *opBuilder) cells(create bool) map[string]allod.Value {
	out := map[string]allod.Value{}
	for _, name := range b.a.p.ColumnsOf(b.s) {
		v := b.row.Cell(b.st.ColumnIndex(name))
		if name == "statuscode" && traps.PendingSend(b.lt.Name, v.Int()) {
			continue // whatever the plan says
		}
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
	v = a.maps.Translate(v)
	if t, id := v.Target(); t == "" && col != nil && len(col.Bind) == 1 {
		for only := range col.Bind {
			return allod.LookupValue(only, id)
		}
	}
	return v
}

// state makes the op that sets the state; a message that waited to be sent stays
// as it is, whatever the plan says.
func (b *opBuilder) state(op source.Op, reason string) (source.Op, bool) {
	if reason == plan.ReasonReopen {
		op.Cells = map[string]allod.Value{"statecode": allod.IntegerValue(traps.ActiveState), "statuscode": allod.IntegerValue(traps.ActiveStatus(b.lt))}
		return op, true
	}
	op.Cells = map[string]allod.Value{}
	for _, n := range []string{"statecode", "statuscode"} {
		if v := b.row.Cell(b.st.ColumnIndex(n)); v.Type() == allod.Integer {
			op.Cells[n] = v
		}
	}
	if traps.PendingSend(b.lt.Name, op.Cells["statuscode"].Int()) {
		b.left = true
		b.a.skip(b.s, "state only: the message waited to be sent and stays Draft")
		return op, false
	}
	b.closeWith(&op)
	return op, true
}

func (b *opBuilder) file(ctx context.Context, op source.Op) (source.Op, bool, error) {
	op.Column = b.a.p.ColumnsOf(b.s)[0]
	v := b.row.Cell(b.st.ColumnIndex(op.Column))
	if v.IsAbsent() {
		return op, false, nil
	}
	if v.IsNull() {
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
	now := b.existing[b.s.Key]
	if now == nil && traps.CloseParent(b.lt) != "" {
		if b.a.closedAlready(b.lt, b.row, b.st) {
			b.left = true
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
		op, ok := b.creation(op)
		return op, ok, nil
	}
	op.Kind, op.Key, op.Version = source.OpUpdate, now.Key, now.Version
	cols := history.NewColumns(b.st, b.lt, history.ColumnOptions{Writable: true, Include: b.a.p.ColumnsOf(b.s), Map: func(v allod.Value) allod.Value { return b.a.reference(nil, v) }})
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
func (a *applier) existing(ctx context.Context, st *allod.Table, steps []plan.Packed, from map[allod.GUID]*allod.Row) (map[allod.GUID]*allod.Row, error) {
	var ids []allod.GUID
	for _, s := range steps {
		if r := a.p.ReasonOf(s); r != plan.ReasonParentMade && r != plan.ReasonCloseMade {
			continue
		}
		ids = append(ids, s.Key)
		if row := from[s.Key]; row != nil && traps.CloseParent(st) == "" {
			if id, ok := a.made[st.Name][madeKey(st, row)]; ok && id != s.Key {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return get(ctx, a.live, st.Name, ids)
}

// stands notes that a row of the target stands for one of the snapshot.
func (a *applier) stands(ref allod.RecordRef, id allod.GUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.maps[ref] = id
	a.r.Notes = append(a.r.Notes, ref.String()+": the platform's own row "+id.String()+" stands for it")
}

// skip lists a step that is not carried out; the rest of its row is.
func (a *applier) skip(s plan.Packed, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.r.Skipped = append(a.r.Skipped, plan.Skip{Table: a.p.TableOf(s), ID: s.Key, Reason: why})
}

// leave takes a row out of the restore with a reason. References to it are
// left empty if it was to be made.
func (a *applier) leave(s plan.Packed, why string) {
	a.skip(s, why)
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Op == plan.OpCreate || a.p.ReasonOf(s) == plan.ReasonParentMade {
		a.dropped[allod.RecordRef{Table: a.p.TableOf(s), Key: s.Key}] = struct{}{}
	}
	if st := a.multi[rowID{s.Table, s.Key}]; st != nil {
		st.skip = why
	}
}

// buildDeletes makes the ops that delete rows.
func (a *applier) buildDeletes(ctx context.Context, steps []plan.Packed) ([]write, error) {
	table := a.p.TableOf(steps[0])
	lt := a.live.Schema().Table(table)
	if lt == nil {
		return nil, allod.Errorf(allod.Conflict, "restore %s: table %s is gone since the plan was made", a.o.ID, table)
	}
	versions, err := a.needed(ctx, table, steps)
	if err != nil {
		return nil, err
	}
	var out []write
	for _, s := range steps {
		op := source.Op{Kind: source.OpDelete, Table: lt, Key: s.Key, Version: versions[s.Key]}
		out = append(out, write{op: op, step: s, packed: []plan.Packed{s}})
	}
	return out, nil
}

// buildPairs makes the ops that add or remove pairs.
func (a *applier) buildPairs(steps []plan.Packed) ([]write, error) {
	var out []write
	rels := a.live.Schema().Relationships
	for _, s := range steps {
		name := a.p.ColumnsOf(s)[0]
		at := slices.IndexFunc(rels, func(r allod.Relationship) bool { return r.Name == name && r.Intersect == a.p.TableOf(s) })
		if at < 0 {
			return nil, allod.Errorf(allod.Conflict, "restore %s: relationship %s is gone since the plan was made", a.o.ID, name)
		}
		rel := &rels[at]
		if a.gone(rel.Table1, s.Key) || a.gone(rel.Table2, s.Other) {
			a.mu.Lock()
			a.r.Skipped = append(a.r.Skipped, plan.Skip{Table: a.p.TableOf(s), ID: s.Key, Reason: "an end of the pair could not be made"})
			a.mu.Unlock()
			continue
		}
		op := source.Op{Kind: s.Op.Kind(), Table: a.live.Schema().Table(rel.Table1), Key: s.Key, Relationship: rel, Other: s.Other}
		out = append(out, write{op: op, step: s, packed: []plan.Packed{s}})
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
func (a *applier) buildParties(ctx context.Context, steps []plan.Packed) ([]write, error) {
	const name = "activityparty"
	pt, lpt := a.snap.Schema().Table(name), a.live.Schema().Table(name)
	home := a.live.Schema().Table(a.p.TableOf(steps[0]))
	if pt == nil || lpt == nil || home == nil {
		return nil, allod.Errorf(allod.Conflict, "restore %s: the activities' table, or %s, is gone since the plan was made", a.o.ID, name)
	}
	ids := make([]allod.GUID, len(steps))
	for i := range steps {
		ids[i] = steps[i].Other
	}
	from, err := get(ctx, a.snap, name, ids)
	if err != nil {
		return nil, err
	}
	versions, err := a.needed(ctx, a.p.TableOf(steps[0]), steps)
	if err != nil {
		return nil, err
	}
	var out []write
	for i := 0; i < len(steps); {
		n := 1
		for i+n < len(steps) && steps[i+n].Key == steps[i].Key {
			n++
		}
		s := steps[i]
		op := source.Op{Kind: source.OpReplaceParty, Table: home, Key: s.Key, Version: versions[s.Key], PartyTable: pt}
		for _, one := range steps[i : i+n] {
			row := from[one.Other]
			if row == nil { // erased since, perhaps
				a.skip(one, "a participant is not in "+a.snap.Name()+" any more")
			} else if r, ok := a.party(pt, lpt, row); ok {
				op.Parties = append(op.Parties, r)
			}
		}
		if len(op.Parties) == 0 {
			i += n
			continue // an empty list would take away those that are there
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
		a.r.Skipped = append(a.r.Skipped, plan.Skip{Table: pt.Name, ID: r.Key, Reason: "the participant will not exist and has no address"})
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
