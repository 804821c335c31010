package restore

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"

	"allod"
	"allod/internal/history"
	"allod/internal/restore/consent"
	"allod/internal/restore/plan"
	"allod/internal/restore/traps"
)

// Reasons of steps, besides those that package plan names.
const (
	reasonGone       = "missing live"
	reasonDiffers    = "differs live"
	reasonLater      = "its target is made by this restore"
	reasonLast       = "its target is made after everything else"
	reasonUpdateOnly = "not taken when the row is created"
	reasonState      = "state comes last"
	reasonFile       = "file is missing or differs live"
	reasonOwner      = "owner differs live"
	reasonPair       = "pair is missing live"
	reasonParties    = "parties are missing or differ live"
	reasonMade       = "the restore made it"
)

type colKind uint8

const (
	kindPlain colKind = iota
	kindLookup
	kindOwner
	kindFile
	kindState // statecode and statuscode
)

// colPlan is one column that both sides have.
type colPlan struct {
	name string
	s, l int           // positions in the snapshot's and the live table
	col  *allod.Column // live
	kind colKind
}

// tablePlan is what planning the rows of one table needs.
type tablePlan struct {
	ch       *chosen
	st, lt   *allod.Table
	compare  *history.Columns
	cols     []colPlan
	lost     []lostColumn
	state    int // position of statecode in the snapshot's table, -1
	status   int
	alt      []altIndex
	altReady bool
	waits    []wait
}

type lostColumn struct {
	name, reason string
	s            int
}

// wait is a step whose row needs another row of its table to exist.
type wait struct {
	step   int
	target allod.GUID
}

// altIndex finds live rows by an alternate key.
type altIndex struct {
	name string
	s, l []int
	rows map[[16]byte]allod.GUID
}

// rows plans the rows of one table.
func (b *builder) rows(ctx context.Context, name string) error {
	ch := b.chosen[name]
	if ch.len() == 0 {
		return nil
	}
	tp := b.prepare(ch)
	var ids []allod.GUID
	if !ch.whole {
		ids = sortedKeys(ch.keys)
	}
	if err := b.ensure(ctx, name, ids, ch.whole); err != nil {
		return err
	}
	err := b.eachBatch(ctx, ch, func(rows []allod.Row) error { return b.batch(ctx, tp, rows) })
	if err != nil {
		return err
	}
	b.waves(tp)
	if l := b.lives[name]; l != nil { // digests are not needed any more, existence is
		for k, r := range l.rows {
			r.digest = history.Digest{}
			l.rows[k] = r
		}
	}
	return nil
}

// prepare sorts the columns of a table by what is to be done with them.
func (b *builder) prepare(ch *chosen) *tablePlan {
	tp := &tablePlan{ch: ch, st: ch.t, lt: b.live.Schema().Table(ch.t.Name), compare: b.compare(ch.t.Name)}
	tp.state, tp.status = tp.st.ColumnIndex("statecode"), tp.st.ColumnIndex("statuscode")
	for i := range tp.st.Columns {
		sc := &tp.st.Columns[i]
		if sc.Derived != "" || sc.Name == tp.st.Key || sc.Name == "overriddencreatedon" || !b.wanted(tp.st.Name, sc.Name) {
			continue
		}
		li := tp.lt.ColumnIndex(sc.Name)
		if li < 0 {
			tp.lost = append(tp.lost, lostColumn{sc.Name, "not a column of the target", i})
			continue
		}
		c := colPlan{name: sc.Name, s: i, l: li, col: &tp.lt.Columns[li]}
		switch {
		case sc.Name == "statecode" || sc.Name == "statuscode":
			c.kind = kindState
		case sc.Type == allod.File && c.col.Unwritable != allod.NotWritableComputed && c.col.Unwritable != allod.NotWritablePlatform:
			c.kind = kindFile
		case !c.col.Create && !c.col.Update:
			why := c.col.Unwritable
			if why == "" {
				why = allod.NotWritableMetadata
			}
			tp.lost = append(tp.lost, lostColumn{sc.Name, why, i})
			continue
		case sc.Name == "ownerid":
			c.kind = kindOwner
		case sc.Type == allod.Lookup:
			c.kind = kindLookup
		}
		tp.cols = append(tp.cols, c)
	}
	slices.SortFunc(tp.cols, func(x, y colPlan) int { return strings.Compare(x.name, y.name) })
	return tp
}

func (b *builder) wanted(table, column string) bool {
	in := func(list []string) bool {
		return slices.Contains(list, column) || slices.Contains(list, table+"."+column)
	}
	return !in(b.o.ExcludeColumns) && (len(b.o.Columns) == 0 || in(b.o.Columns))
}

// batch plans some rows: what is missing is created, what differs updated.
func (b *builder) batch(ctx context.Context, tp *tablePlan, rows []allod.Row) error {
	if err := b.ensureTargets(ctx, tp, rows); err != nil {
		return err
	}
	name := tp.st.Name
	l := b.lives[name]
	var differ []allod.RecordRef
	for i := range rows {
		lr, ok := l.rows[rows[i].Key]
		if ok && (hasFile(tp, &rows[i]) || tp.compare.DigestA(&rows[i]) != lr.digest) {
			differ = append(differ, rows[i].Ref())
		}
	}
	now := map[allod.GUID]*allod.Row{}
	asked := map[allod.GUID]bool{}
	if len(differ) > 0 && b.o.OnConflict != plan.Live && !b.sel.DeletedOnly {
		got, err := b.live.Get(ctx, name, differ)
		if err != nil {
			return err
		}
		now = byKey(got)
		for _, ref := range differ {
			asked[ref.Key] = true
		}
	}
	for i := range rows {
		r := &rows[i]
		b.p.Counts.Rows++
		if b.maps[r.Ref()] != (allod.GUID{}) {
			b.skip(name, r.Key, "the target has a counterpart")
			continue
		}
		_, exists := l.rows[r.Key]
		switch {
		case asked[r.Key] && now[r.Key] == nil:
			b.skip(name, r.Key, "it went away while the plan was made: plan again")
		case exists && now[r.Key] == nil:
			b.p.Counts.Unchanged++
		case exists:
			if err := b.update(ctx, tp, r, now[r.Key]); err != nil {
				return err
			}
		case b.o.onlyColumns():
			b.skip(name, r.Key, "single columns were asked for and the row is missing live")
		default:
			if err := b.create(ctx, tp, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func hasFile(tp *tablePlan, r *allod.Row) bool {
	for _, c := range tp.cols {
		if c.kind == kindFile && r.Cell(c.s).Type() == allod.File {
			return true
		}
	}
	return false
}

// create plans the making of a row.
func (b *builder) create(ctx context.Context, tp *tablePlan, r *allod.Row) error {
	name := tp.st.Name
	if taken, err := b.taken(ctx, tp, r); err != nil {
		return err
	} else if taken != "" {
		b.drop(name, r.Key, "another live row has the same "+taken)
		return nil
	}
	var first, later, last, updateOnly []string
	var files []string
	var waits []allod.GUID
	for _, c := range tp.cols {
		v := r.Cell(c.s)
		switch {
		case v.IsAbsent() || c.kind == kindState:
		case c.kind == kindFile:
			if v.Type() == allod.File {
				files = append(files, c.name)
			}
		case c.kind == kindLookup && v.Type() == allod.Lookup:
			when, why := b.reference(tp, &c, v)
			switch {
			case when == fateMissing && c.col.Required:
				b.drop(name, r.Key, "refers by "+c.name+", which is required, to a row that will not exist")
				return nil
			case when == fateMissing:
				b.lose(name, c.name, why)
			case when == fateWave && c.col.Required:
				_, id := b.mapped(v).Target()
				waits = append(waits, id)
				first = append(first, c.name)
			case when == fateNow && c.col.Create:
				first = append(first, c.name)
			case c.col.Required:
				b.drop(name, r.Key, "refers by "+c.name+", which is required, to a row that is made after it")
				return nil
			case c.col.Update && when == fateLast:
				last = append(last, c.name)
			case c.col.Update:
				later = append(later, c.name)
			default:
				b.notWritten[plan.NotWritten{Table: name, Column: c.name, Reason: "taken on create only, and its target is made later"}]++
			}
		case c.kind == kindOwner && v.Type() == allod.Lookup:
			if b.owner(&c, v) {
				first = append(first, c.name)
			}
		case c.col.Create:
			first = append(first, c.name)
		case !v.IsNull():
			updateOnly = append(updateOnly, c.name)
		}
	}
	b.countLost(tp, r)
	stated := b.emitCreate(tp, r, first, waits)
	key := r.Key
	if len(later) > 0 {
		b.emit(plan.PassLookups, plan.OpUpdate, name, key, later, reasonLater, 0)
	}
	if len(updateOnly) > 0 {
		b.emit(plan.PassLookups, plan.OpUpdate, name, key, updateOnly, reasonUpdateOnly, 0)
	}
	b.emitFiles(tp, key, files, 0)
	b.emitLast(tp, key, last, stated, 0)
	b.p.Counts.Create++
	b.made[name]++
	if r.Cell(tp.st.ColumnIndex("masterid")).Type() == allod.Lookup {
		b.merged[name]++
	}
	return nil
}

// emitCreate emits the step that makes the row, and that of its state, which
// is then the last one.
func (b *builder) emitCreate(tp *tablePlan, r *allod.Row, cols []string, waits []allod.GUID) (stated bool) {
	state, status, known := b.stateOf(tp, r)
	if known && state == traps.ActiveState && b.wanted(tp.st.Name, "statuscode") {
		if c := tp.lt.Column("statuscode"); c != nil && c.Create && tp.status >= 0 && r.Cell(tp.status).Type() == allod.Integer {
			cols = append(cols, "statuscode")
			slices.Sort(cols)
			known = false
		} else if status == traps.ActiveStatus(tp.lt) {
			known = false
		}
	}
	op, reason := plan.OpCreate, reasonGone
	switch {
	case traps.CloseParent(tp.st) != "":
		reason = plan.ReasonCloseMade
	case b.withParent(tp, r):
		op, reason = plan.OpUpdate, plan.ReasonParentMade
	}
	b.emit(plan.PassRows, op, tp.st.Name, r.Key, cols, reason, 0)
	for _, id := range waits {
		tp.waits = append(tp.waits, wait{step: b.w.Len() - 1, target: id})
	}
	if !known || !b.wanted(tp.st.Name, "statecode") {
		return false
	}
	b.emitState(tp, r.Key, 0)
	return true
}

// emitLast emits the references to rows that come after everything else. A
// row that takes no changes once it is closed gets its state after them,
// unless what is closed is what makes the target.
func (b *builder) emitLast(tp *tablePlan, key allod.GUID, cols []string, stated bool, version uint64) {
	if len(cols) == 0 {
		return
	}
	name := tp.st.Name
	b.emit(plan.PassLookups+plan.CloseRound, plan.OpUpdate, name, key, cols, reasonLast, version)
	if !stated || traps.CloseTable(name) != "" || !traps.LockedWhenClosed(tp.lt) {
		return
	}
	for i := b.w.Len() - 1; i >= 0 && b.w.At(i).Key == key; i-- {
		if s := b.w.At(i); s.Pass == plan.PassState {
			s.Pass += plan.CloseRound
		}
	}
}

func (b *builder) emitState(tp *tablePlan, key allod.GUID, version uint64) {
	b.emit(plan.PassState, plan.OpState, tp.st.Name, key, []string{"statecode", "statuscode"}, reasonState, version)
	b.p.Counts.States++
}

func (b *builder) emitFiles(tp *tablePlan, key allod.GUID, files []string, version uint64) {
	for _, f := range files {
		b.emit(plan.PassFiles, plan.OpFile, tp.st.Name, key, []string{f}, reasonFile, version)
		b.p.Counts.Files++
	}
}

// stateOf returns the state and status a row is to have; known is false when
// the table has none or the row must stay in its first state.
func (b *builder) stateOf(tp *tablePlan, r *allod.Row) (state, status int64, known bool) {
	s := r.Cell(tp.state)
	if tp.state < 0 || s.Type() != allod.Integer {
		return 0, 0, false
	}
	state = s.Int()
	status = r.Cell(tp.status).Int()
	if traps.PendingSend(tp.st.Name, status) {
		b.drafts++
		b.skip(tp.st.Name, r.Key, "state only: the message waited to be sent and stays Draft")
		return 0, 0, false
	}
	return state, status, true
}

// withParent reports whether the platform makes the row when this plan makes
// its parent.
func (b *builder) withParent(tp *tablePlan, r *allod.Row) bool {
	if !traps.MadeWithParent(tp.st, r.Cell(tp.st.ColumnIndex("addressnumber")).Int()) {
		return false
	}
	table, id := r.Cell(tp.st.ColumnIndex("parentid")).Target()
	ch := b.chosen[table]
	if ch == nil {
		return false
	}
	_, planned := ch.keys[id]
	return planned && !b.exists(table, id)
}

// reference says when a lookup can be written, and names its target's table.
func (b *builder) reference(tp *tablePlan, c *colPlan, v allod.Value) (fate, string) {
	ref, ok := b.target(c.col, v)
	switch {
	case !ok:
		return fateMissing, "an unnamed table"
	case ref.Table == "":
		return fateMissing, "a table that the source did not name"
	case !writableBind(c.col, ref.Table):
		return fateMissing, ref.Table + " (which the column cannot refer to there)"
	}
	return b.fate(tp.st.Name, ref), ref.Table
}

func (b *builder) lose(table, column, target string) {
	b.missing[plan.NotWritten{Table: table, Column: column, Reason: target}]++
}

// owner reports whether the owner can be given back.
func (b *builder) owner(c *colPlan, v allod.Value) bool {
	ref, ok := b.target(c.col, v)
	if !ok {
		return false
	}
	if ref.Table != "" && b.exists(ref.Table, ref.Key) && (b.o.DisabledOwners || !b.off[ref.Key]) {
		return true
	}
	b.owners[v.GUID()]++
	return false
}

// countLost counts the cells that have a value and cannot be written.
func (b *builder) countLost(tp *tablePlan, r *allod.Row) {
	for _, l := range tp.lost {
		v := r.Cell(l.s)
		if v.IsAbsent() || v.IsNull() || l.name == "createdon" { // given back as overriddencreatedon
			continue
		}
		b.notWritten[plan.NotWritten{Table: tp.st.Name, Column: l.name, Reason: l.reason}]++
	}
}

// update plans the changing of an existing row.
func (b *builder) update(ctx context.Context, tp *tablePlan, r, now *allod.Row) error {
	name := tp.st.Name
	d := tp.compare.Diff(r, now)
	for _, f := range d.Files {
		same, known, err := history.SameFile(ctx, b.snap, b.live, r, now, f)
		if err != nil {
			return err
		}
		if known && !same {
			d.Columns = append(d.Columns, f)
		}
	}
	var cols, later, last, owner, files []string
	state := false
	for _, c := range tp.cols {
		if !slices.Contains(d.Columns, c.name) || b.o.OnConflict == plan.FillEmpty && !now.Cell(c.l).IsNull() {
			continue
		}
		v := r.Cell(c.s)
		switch {
		case consent.Loosens(name, c.name, v, now.Cell(c.l)) && !b.o.AllowContact[r.Ref()]:
			b.skip(name, r.Key, c.name+": "+consent.Reason)
		case c.kind == kindState:
			state = true
		case c.kind == kindFile:
			files = append(files, c.name)
		case !c.col.Update:
			b.notWritten[plan.NotWritten{Table: name, Column: c.name, Reason: "taken on create only"}]++
		case c.kind == kindOwner:
			if v.Type() == allod.Lookup && b.owner(&c, v) {
				owner = append(owner, c.name)
			}
		case c.kind == kindLookup && v.Type() == allod.Lookup:
			switch when, why := b.reference(tp, &c, v); when {
			case fateMissing:
				b.lose(name, c.name, why)
			case fateNow:
				cols = append(cols, c.name)
			case fateLater, fateWave:
				later = append(later, c.name)
			case fateLast:
				last = append(last, c.name)
			}
		default:
			cols = append(cols, c.name)
		}
	}
	if partOfKey(tp.lt, cols, later) {
		taken, err := b.taken(ctx, tp, r)
		if err != nil {
			return err
		}
		if taken != "" {
			b.skip(name, r.Key, "another live row has the same "+taken)
			return nil
		}
	}
	b.emitUpdate(tp, r, now, changes{cols: cols, later: later, last: last, owner: owner, files: files, state: state})
	return nil
}

// changes are the columns of one row to write, by pass.
type changes struct {
	cols, later, last, owner, files []string
	state                           bool
}

func (c *changes) none() bool {
	return len(c.cols)+len(c.later)+len(c.last)+len(c.owner)+len(c.files) == 0 && !c.state
}

func (b *builder) emitUpdate(tp *tablePlan, r, now *allod.Row, c changes) {
	name, key, version := tp.st.Name, r.Key, now.Version
	liveState := now.Cell(tp.lt.ColumnIndex("statecode"))
	liveStatus := now.Cell(tp.lt.ColumnIndex("statuscode")).Int()
	if traps.PendingSend(name, liveStatus) && !c.none() {
		b.skip(name, key, "the message is waiting to be sent: not touched")
		return
	}
	if c.state {
		_, _, c.state = b.stateOf(tp, r)
	}
	if c.none() {
		b.p.Counts.Unchanged++
		return
	}
	writes := len(c.cols)+len(c.later)+len(c.last)+len(c.owner)+len(c.files) > 0
	reopen := writes && liveState.Type() == allod.Integer && liveState.Int() != traps.ActiveState && traps.LockedWhenClosed(tp.lt)
	if reopen && !c.state {
		if r.Cell(tp.state) != liveState || r.Cell(tp.status) != now.Cell(tp.lt.ColumnIndex("statuscode")) {
			b.skip(name, key, "closed live, in a state that this restore would not give back: not touched")
			return
		}
		c.state = true // it is closed again as it is
	}
	b.p.Counts.Update++
	if reopen {
		b.emit(plan.PassReopen, plan.OpState, name, key, []string{"statecode", "statuscode"}, plan.ReasonReopen, version)
		b.p.Counts.States++
	}
	if len(c.cols) > 0 {
		b.emit(plan.PassRows, plan.OpUpdate, name, key, c.cols, reasonDiffers, version)
	}
	if len(c.later) > 0 {
		b.emit(plan.PassLookups, plan.OpUpdate, name, key, c.later, reasonLater, version)
	}
	b.emitFiles(tp, key, c.files, version)
	if len(c.owner) > 0 {
		b.emit(plan.PassOwner, plan.OpUpdate, name, key, c.owner, reasonOwner, version)
	}
	if c.state {
		b.emitState(tp, key, version)
	}
	b.emitLast(tp, key, c.last, c.state, version)
}

// waves numbers the steps of a table so that required references within it
// find their target.
func (b *builder) waves(tp *tablePlan) {
	if len(tp.waits) == 0 {
		return
	}
	at := map[allod.GUID]int{}
	for _, w := range tp.waits {
		at[b.w.At(w.step).Key] = w.step
	}
	for range len(tp.waits) {
		moved := false
		for _, w := range tp.waits {
			need := uint8(1)
			if t, ok := at[w.target]; ok {
				need = b.w.At(t).Wave + 1
			}
			if s := b.w.At(w.step); s.Wave < need && need < 255 {
				s.Wave, moved = need, true
			}
		}
		if !moved {
			return
		}
	}
}

// taken returns the name of an alternate key that a live row with another id
// holds already, "" if none.
func (b *builder) taken(ctx context.Context, tp *tablePlan, r *allod.Row) (string, error) {
	if !tp.altReady {
		tp.altReady = true
		if err := b.altIndexes(ctx, tp); err != nil {
			return "", err
		}
	}
	for i := range tp.alt {
		a := &tp.alt[i]
		k, ok := b.keyOf(r, a.s, true)
		if !ok {
			continue
		}
		if id, held := a.rows[k]; held && id != r.Key {
			return "alternate key " + a.name, nil
		}
	}
	return "", nil
}

// partOfKey reports whether an alternate key of the table has one of the columns.
func partOfKey(t *allod.Table, lists ...[]string) bool {
	for _, k := range t.Keys {
		for _, list := range lists {
			if slices.ContainsFunc(k.Columns, func(c string) bool { return slices.Contains(list, c) }) {
				return true
			}
		}
	}
	return false
}

// altIndexes reads the live rows by their alternate keys.
func (b *builder) altIndexes(ctx context.Context, tp *tablePlan) error {
next:
	for _, k := range tp.lt.Keys {
		a := altIndex{name: k.Name, rows: map[[16]byte]allod.GUID{}}
		for _, c := range k.Columns {
			s, l := tp.st.ColumnIndex(c), tp.lt.ColumnIndex(c)
			if s < 0 || l < 0 {
				continue next
			}
			a.s, a.l = append(a.s, s), append(a.l, l)
		}
		tp.alt = append(tp.alt, a)
	}
	if len(tp.alt) == 0 {
		return nil
	}
	for row, err := range b.live.Rows(ctx, tp.lt.Name) {
		if err != nil {
			return err
		}
		for i := range tp.alt {
			if k, ok := b.keyOf(&row, tp.alt[i].l, false); ok {
				tp.alt[i].rows[k] = row.Key
			}
		}
	}
	return nil
}

// keyOf digests the values of a key; a null never matches (protocols/dataverse.md §3.4).
func (b *builder) keyOf(r *allod.Row, cols []int, mapped bool) ([16]byte, bool) {
	h := sha256.New()
	for _, i := range cols {
		v := r.Cell(i)
		if v.IsNull() || v.IsAbsent() {
			return [16]byte{}, false
		}
		if mapped {
			v = b.mapped(v)
		}
		s := strings.ToLower(v.String())
		h.Write([]byte{byte(v.Type()), byte(len(s)), byte(len(s) >> 8)})
		h.Write([]byte(s))
	}
	var out [16]byte
	copy(out[:], h.Sum(nil))
	return out, true
}
