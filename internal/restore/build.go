package restore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/history"
	"allod/internal/relate"
	"allod/internal/restore/plan"
	"allod/internal/restore/traps"
	"allod/internal/source"
)

// rowBatch is how many rows are planned, and fetched, at once.
const rowBatch = 250

// Build computes what a restore of the selected rows of snap into live takes.
// It reads both and writes nothing. Rows that are equal get no step; what is
// not restored is listed with the reason. A selection that makes no sense is
// Invalid; a table that the snapshot does not have is NotFound.
//
// Memory: about 60 bytes per step, 25 per selected row and 80 per row of a
// live table that is compared as a whole.
func Build(ctx context.Context, snap, live source.View, sel Selection, o Options) (*plan.Plan, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := sel.check(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnConflict == "" {
		o.OnConflict = plan.Stop
	}
	b := newBuilder(snap, live, sel, o)
	if err := b.mappings(ctx); err != nil {
		return nil, err
	}
	if err := b.choose(ctx); err != nil {
		return nil, err
	}
	b.refuse()
	for _, name := range b.arrange() {
		if b.chosen[name] == nil {
			continue // rows of it are only taken away
		}
		if err := b.rows(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := b.parties(ctx); err != nil {
		return nil, err
	}
	if err := b.pairs(ctx); err != nil {
		return nil, err
	}
	b.removals()
	if o.Look != nil {
		if err := o.Look(ctx, b.p, snap, live); err != nil {
			return nil, err
		}
	}
	return b.finish()
}

// builder is the work on one plan.
type builder struct {
	snap, live source.View
	sel        Selection
	o          Options
	p          *plan.Plan
	w          *plan.Writer

	chosen  map[string]*chosen
	rank    map[string]int
	lives   map[string]*liveTable
	columns map[string]*history.Columns
	maps    plan.Counterparts
	off     map[allod.GUID]bool // users that are disabled live

	notWritten map[plan.NotWritten]int64 // key with Rows zero
	missing    map[plan.NotWritten]int64 // Reason holds the target table
	owners     map[allod.GUID]int64
	dropped    map[allod.RecordRef]struct{}
	drafts     int64
	made       map[string]int64 // rows that the plan makes, by table
	merged     map[string]int64 // of those, the ones that were merged into others
}

// chosen are the selected rows of one table.
type chosen struct {
	t     *allod.Table // of the snapshot
	keys  map[allod.GUID]struct{}
	pairs map[[2]allod.GUID]struct{}
	whole bool // read by streaming the table, not row by row
}

func (c *chosen) has(r *allod.Row) bool {
	if c.t.Intersect {
		_, ok := c.pairs[r.Pair]
		return ok
	}
	_, ok := c.keys[r.Key]
	return ok
}

func (c *chosen) len() int64 { return int64(len(c.keys) + len(c.pairs)) }

func newBuilder(snap, live source.View, sel Selection, o Options) *builder {
	p := &plan.Plan{
		From: snap.Name(), To: live.Name(), Organization: live.Schema().Identity.Organization, Built: o.Now().UTC().Truncate(time.Second), OnConflict: o.OnConflict, Production: o.Production, Because: o.Because,
		Approval: approval(o.Approvers), Undoes: o.Undoes, Conflicts: o.Conflicts, Warnings: append([]string{}, o.Warnings...), Refused: []plan.Refusal{}, Skipped: append([]plan.Skip{}, o.Skipped...), NotWritten: []plan.NotWritten{}, Mappings: []plan.Mapping{}, Dropped: []allod.RecordRef{},
	}
	return &builder{
		snap: snap, live: live, sel: sel, o: o, p: p, w: plan.NewWriter(p),
		chosen: map[string]*chosen{}, rank: map[string]int{}, lives: map[string]*liveTable{}, columns: map[string]*history.Columns{},
		maps: plan.Counterparts{}, off: map[allod.GUID]bool{},
		notWritten: map[plan.NotWritten]int64{}, missing: map[plan.NotWritten]int64{}, owners: map[allod.GUID]int64{}, made: map[string]int64{}, merged: map[string]int64{}, dropped: map[allod.RecordRef]struct{}{},
	}
}

func approval(people []allod.Actor) string {
	n := len(slices.Compact(slices.Sorted(slices.Values(people))))
	switch n {
	case 0:
		return "none"
	case 1:
		return "one person"
	}
	return fmt.Sprintf("%d people", n)
}

// choose finds the selected rows and what is attached to them.
func (b *builder) choose(ctx context.Context) error {
	if b.sel.All {
		for i := range b.snap.Schema().Tables {
			t := &b.snap.Schema().Tables[i]
			if t.Unreadable != "" || t.Class != allod.ClassData && t.Class != allod.ClassLink {
				continue
			}
			if err := b.chooseTable(ctx, TableSelection{Table: t.Name}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, ts := range b.sel.Tables {
		if err := b.chooseTable(ctx, ts); err != nil {
			return err
		}
	}
	if b.sel.Exact {
		return nil
	}
	return b.closure(ctx)
}

func (b *builder) chooseTable(ctx context.Context, ts TableSelection) error {
	t := b.snap.Schema().Table(ts.Table)
	switch {
	case t == nil:
		return allod.Errorf(allod.NotFound, "plan restore from %s: it has no table %q", b.snap.Name(), ts.Table)
	case t.Unreadable != "":
		return allod.Errorf(allod.Invalid, "plan restore of table %s from %s: %s", ts.Table, b.snap.Name(), t.Unreadable)
	}
	ch := b.choice(t)
	for _, p := range ts.Pairs {
		ch.pairs[p] = struct{}{}
	}
	if len(ts.Pairs) > 0 {
		return nil
	}
	if ts.IDs == nil {
		ch.whole = true
		for row, err := range b.snap.Rows(ctx, ts.Table) {
			if err != nil {
				return err
			}
			if ts.Filter == nil || ts.Filter(&row) {
				ch.add(row.Ref())
			}
		}
	} else if err := b.chooseIDs(ctx, ch, ts); err != nil {
		return err
	}
	if b.sel.DeletedOnly && !t.Intersect && b.live.Schema().Table(t.Name) != nil {
		return b.onlyDeleted(ctx, ch)
	}
	return nil
}

func (b *builder) choice(t *allod.Table) *chosen {
	ch := b.chosen[t.Name]
	if ch == nil {
		ch = &chosen{t: t, keys: map[allod.GUID]struct{}{}, pairs: map[[2]allod.GUID]struct{}{}}
		b.chosen[t.Name] = ch
	}
	return ch
}

func (c *chosen) add(r allod.RecordRef) {
	if r.IsPair() {
		c.pairs[r.Pair] = struct{}{}
		return
	}
	c.keys[r.Key] = struct{}{}
}

func (b *builder) chooseIDs(ctx context.Context, ch *chosen, ts TableSelection) error {
	if ch.t.Intersect {
		return allod.Errorf(allod.Invalid, "plan restore of table %s: its rows are pairs and have no ids of their own", ts.Table)
	}
	for ids := range slices.Chunk(ts.IDs, rowBatch) {
		rows, err := b.snap.Get(ctx, ts.Table, refsOf(ts.Table, ids))
		if err != nil {
			return err
		}
		found := map[allod.GUID]bool{}
		for i := range rows {
			found[rows[i].Key] = true
			if ts.Filter == nil || ts.Filter(&rows[i]) {
				ch.keys[rows[i].Key] = struct{}{}
			}
		}
		for _, id := range ids {
			if !found[id] {
				b.skip(ts.Table, id, "not in "+b.snap.Name())
			}
		}
	}
	return nil
}

func refsOf(table string, ids []allod.GUID) []allod.RecordRef {
	out := make([]allod.RecordRef, len(ids))
	for i, id := range ids {
		out[i] = allod.RecordRef{Table: table, Key: id}
	}
	return out
}

// onlyDeleted keeps the rows that the live environment does not have.
func (b *builder) onlyDeleted(ctx context.Context, ch *chosen) error {
	ids := sortedKeys(ch.keys)
	if err := b.ensure(ctx, ch.t.Name, ids, ch.whole); err != nil {
		return err
	}
	for _, id := range ids {
		if b.exists(ch.t.Name, id) {
			delete(ch.keys, id)
		}
	}
	return nil
}

func sortedKeys(set map[allod.GUID]struct{}) []allod.GUID {
	return slices.SortedFunc(maps.Keys(set), func(x, y allod.GUID) int { return bytes.Compare(x[:], y[:]) })
}

// closure adds what belongs to the selected rows.
func (b *builder) closure(ctx context.Context) error {
	var roots []allod.RecordRef
	for _, name := range slices.Sorted(maps.Keys(b.chosen)) {
		if b.chosen[name].t.Intersect {
			continue
		}
		roots = append(roots, refsOf(name, sortedKeys(b.chosen[name].keys))...)
	}
	attached := relate.Attached()
	for i := range attached { // to the rows that are followed as well
		for _, f := range b.o.Related {
			attached[i].Depth = max(attached[i].Depth, f.Depth+1)
		}
	}
	spec := relate.Spec{Follow: append(attached, b.o.Related...), Limit: b.o.RelatedLimit}
	if spec.Limit == 0 {
		spec.Limit = max(relate.DefaultLimit, 10*len(roots))
	}
	g, err := relate.Closure(ctx, b.snap, roots, spec)
	if err != nil {
		return err
	}
	if g.Cut {
		return allod.WithHint(allod.Errorf(allod.Invalid, "plan restore: more than %d rows belong to the selected ones", g.Limit), "follow fewer relations, or raise the limit")
	}
	for _, m := range g.Members {
		b.choice(b.snap.Schema().Table(m.Record.Table)).add(m.Record)
	}
	return nil
}

// refuse takes out the tables that are not written.
func (b *builder) refuse() {
	for _, name := range slices.Sorted(maps.Keys(b.chosen)) {
		ch := b.chosen[name]
		why := b.refusal(ch.t)
		if why == "" {
			continue
		}
		if n := ch.len(); n > 0 || !b.sel.All {
			b.p.Refused = append(b.p.Refused, plan.Refusal{Table: name, Reason: why, Rows: n})
		}
		delete(b.chosen, name)
	}
}

func (b *builder) refusal(t *allod.Table) string {
	if t.Class != allod.ClassData && t.Class != allod.ClassLink {
		return fmt.Sprintf("class %s is never written: %s", t.Class, t.Reason)
	}
	lt := b.live.Schema().Table(t.Name)
	switch {
	case lt == nil:
		return b.live.Name() + " has no such table"
	case lt.Unreadable != "":
		return "cannot be read in " + b.live.Name() + ": " + lt.Unreadable
	case lt.Class != allod.ClassData && lt.Class != allod.ClassLink:
		return fmt.Sprintf("class %s is never written: %s", lt.Class, lt.Reason)
	}
	if why := cmp.Or(traps.Unproven(t), traps.Unproven(lt)); why != "" && !b.o.Loopback {
		return why + "; not yet proven to be safe outside an emulator"
	}
	return ""
}

// arrange numbers the tables, targets first, and returns those with rows of
// their own; pairs and parties come after them.
func (b *builder) arrange() []string {
	var names, links []string
	for _, name := range slices.Sorted(maps.Keys(b.chosen)) {
		if b.chosen[name].t.Intersect || name == "activityparty" {
			links = append(links, name)
		} else {
			names = append(names, name)
		}
	}
	for _, r := range b.o.Remove {
		if !r.Ref.IsPair() && !slices.Contains(names, r.Ref.Table) {
			names = append(names, r.Ref.Table)
		}
	}
	slices.Sort(names)
	names = plan.TableOrder(b.live.Schema(), names)
	for _, n := range append(slices.Clone(names), links...) {
		b.rank[n] = int(b.w.Table(n))
	}
	return names
}

func (b *builder) skip(table string, id allod.GUID, reason string) {
	b.p.Skipped = append(b.p.Skipped, plan.Skip{Table: table, ID: id, Reason: reason})
}

// drop takes a selected row out of the plan again.
func (b *builder) drop(table string, id allod.GUID, reason string) {
	b.skip(table, id, reason)
	delete(b.chosen[table].keys, id)
	b.dropped[allod.RecordRef{Table: table, Key: id}] = struct{}{}
}

func (b *builder) emit(pass plan.Pass, op plan.Op, table string, key allod.GUID, cols []string, reason string, version uint64) {
	if pass < plan.CloseRound && traps.CloseParent(b.chosen[table].t) != "" {
		pass += plan.CloseRound
	}
	b.w.Add(table, cols, reason, plan.Packed{Key: key, Version: version, Op: op, Pass: pass})
}

// finish sums up, sorts and seals the plan.
func (b *builder) finish() (*plan.Plan, error) {
	p := b.p
	for k, n := range b.notWritten {
		k.Rows = n
		p.NotWritten = append(p.NotWritten, k)
	}
	slices.SortFunc(p.NotWritten, func(x, y plan.NotWritten) int {
		return strings.Compare(x.Table+"\x00"+x.Column+"\x00"+x.Reason, y.Table+"\x00"+y.Column+"\x00"+y.Reason)
	})
	for r := range b.dropped {
		p.Dropped = append(p.Dropped, r)
	}
	slices.SortFunc(p.Dropped, func(x, y allod.RecordRef) int { return strings.Compare(x.String(), y.String()) })
	slices.SortFunc(p.Skipped, func(x, y plan.Skip) int {
		if n := strings.Compare(x.Table, y.Table); n != 0 {
			return n
		}
		if n := bytes.Compare(x.ID[:], y.ID[:]); n != 0 {
			return n
		}
		return strings.Compare(x.Reason, y.Reason)
	})
	if b.o.Replayed != nil {
		p.Replayed = slices.DeleteFunc(b.o.Replayed(), func(r plan.Replayed) bool {
			ch := b.chosen[r.Table]
			return ch == nil || !ch.has(&allod.Row{Key: r.ID})
		})
	}
	b.warn()
	return p, b.w.Finish()
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// warn turns what was noticed into sentences, sorted.
func (b *builder) warn() {
	for k, n := range b.missing {
		b.p.Warnings = append(b.p.Warnings, fmt.Sprintf("%s.%s: %s to a row of %s that is neither in %s nor in this plan; left empty",
			k.Table, k.Column, plan.Count(n, "reference"), k.Reason, b.live.Name()))
	}
	for id, n := range b.owners {
		b.p.Warnings = append(b.p.Warnings, fmt.Sprintf("owner %v is missing or disabled in %s: %s will belong to the restorer", id, b.live.Name(), plan.Count(n, "row")))
	}
	if b.drafts > 0 {
		b.p.Warnings = append(b.p.Warnings, fmt.Sprintf("email: %s waited to be sent; they stay Draft and are listed", plan.Count(b.drafts, "message")))
	}
	for table, n := range b.made {
		for _, what := range traps.Consequences(b.chosen[table].t) {
			b.p.Warnings = append(b.p.Warnings, fmt.Sprintf("%s: %s made again; %s", table, plan.Count(n, "row"), what))
		}
	}
	for table, n := range b.merged {
		b.p.Warnings = append(b.p.Warnings, fmt.Sprintf("%s: %s made again had been merged into another; what that one took over stays with it", table, plan.Count(n, "row")))
	}
	if b.o.Production {
		b.p.Warnings = append(b.p.Warnings, b.live.Name()+" is a production environment"+because(b.o.Because))
	}
	if n := b.p.Overwrites(); b.o.Production && n > 0 {
		b.p.Approval = "nobody yet"
		b.p.Warnings = append(b.p.Warnings, fmt.Sprintf("%s: %s would be changed, which two people have to approve", b.live.Name(), plan.Count(n, "existing row")))
	}
	slices.Sort(b.p.Warnings)
}
