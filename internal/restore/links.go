package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"allod"
	"allod/internal/restore/plan"
	"allod/internal/restore/traps"
)

// pairs plans the missing pairs of many-to-many relationships. Pairs are only
// added: a restore takes nothing away.
func (b *builder) pairs(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(b.chosen)) {
		ch := b.chosen[name]
		if !ch.t.Intersect || ch.len() == 0 || b.o.onlyColumns() {
			continue
		}
		rels := relationships(b.live.Schema(), name)
		if len(rels) == 0 {
			b.p.Refused = append(b.p.Refused, plan.Refusal{Table: name, Reason: "no relationship leads to it", Rows: ch.len()})
			continue
		}
		have, err := b.livePairs(ctx, ch)
		if err != nil {
			return err
		}
		all := slices.SortedFunc(maps.Keys(ch.pairs), comparePairs)
		for batch := range slices.Chunk(all, rowBatch) {
			if err := b.pairBatch(ctx, name, rels, have, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// removals plans what is taken away.
func (b *builder) removals() {
	for _, r := range b.o.Remove {
		b.p.Counts.Rows++
		if !r.Ref.IsPair() {
			b.w.Add(r.Ref.Table, nil, reasonMade, plan.Packed{Key: r.Ref.Key, Version: r.Version, Op: plan.OpDelete, Pass: plan.PassRemove, Wave: r.Wave})
			b.p.Counts.Delete++
			continue
		}
		rels := relationships(b.live.Schema(), r.Ref.Table)
		if len(rels) == 0 {
			b.skip(r.Ref.Table, r.Ref.Pair[0], "no relationship leads to it")
			continue
		}
		b.w.Add(r.Ref.Table, []string{rels[0].Name}, reasonMade, plan.Packed{Key: r.Ref.Pair[0], Other: r.Ref.Pair[1], Op: plan.OpDissociate, Pass: plan.PassLinks})
		b.p.Counts.Delete++
	}
}

func comparePairs(x, y [2]allod.GUID) int {
	if n := bytes.Compare(x[0][:], y[0][:]); n != 0 {
		return n
	}
	return bytes.Compare(x[1][:], y[1][:])
}

func relationships(s *allod.Schema, intersect string) []*allod.Relationship {
	var out []*allod.Relationship
	for i := range s.Relationships {
		if r := &s.Relationships[i]; r.Intersect == intersect {
			out = append(out, r)
		}
	}
	return out
}

func (b *builder) livePairs(ctx context.Context, ch *chosen) (map[[2]allod.GUID]bool, error) {
	have := map[[2]allod.GUID]bool{}
	for row, err := range b.live.Rows(ctx, ch.t.Name) {
		if err != nil {
			return nil, err
		}
		if b.sel.All || ch.hasPair(row.Pair) {
			have[row.Pair] = true
		}
	}
	return have, nil
}

func (c *chosen) hasPair(p [2]allod.GUID) bool {
	_, ok := c.pairs[p]
	return ok
}

func (b *builder) pairBatch(ctx context.Context, name string, rels []*allod.Relationship, have map[[2]allod.GUID]bool, batch [][2]allod.GUID) error {
	for _, r := range rels {
		for side, table := range []string{r.Table1, r.Table2} {
			ids := make([]allod.GUID, 0, len(batch))
			for _, p := range batch {
				ids = append(ids, p[side], b.counterID(table, p[side]))
			}
			if err := b.ensure(ctx, table, ids, false); err != nil {
				return err
			}
		}
	}
	for _, p := range batch {
		b.p.Counts.Rows++
		rel, to := b.pairEnds(rels, p)
		switch {
		case rel == nil:
			b.skip(name, p[0], "an end of the pair will not exist")
		case have[p] && to == p:
			b.p.Counts.Unchanged++
		default:
			b.w.Add(name, []string{rel.Name}, reasonPair, plan.Packed{Key: to[0], Other: to[1], Op: plan.OpAssociate, Pass: plan.PassLinks})
			b.p.Counts.Pairs++
		}
	}
	return nil
}

func (b *builder) counterID(table string, id allod.GUID) allod.GUID {
	if to, ok := b.maps[allod.RecordRef{Table: table, Key: id}]; ok {
		return to
	}
	return id
}

// pairEnds finds the relationship whose both ends will exist, and the ids in
// the target.
func (b *builder) pairEnds(rels []*allod.Relationship, p [2]allod.GUID) (*allod.Relationship, [2]allod.GUID) {
	for _, r := range rels {
		to := [2]allod.GUID{b.counterID(r.Table1, p[0]), b.counterID(r.Table2, p[1])}
		if b.willExist(r.Table1, to[0]) && b.willExist(r.Table2, to[1]) {
			return r, to
		}
	}
	return nil, p
}

// willExist reports whether the row is there or made by this plan.
func (b *builder) willExist(table string, id allod.GUID) bool {
	if b.exists(table, id) {
		return true
	}
	ch := b.chosen[table]
	if ch == nil || b.o.onlyColumns() {
		return false
	}
	_, ok := ch.keys[id]
	return ok
}

// partySet stands for the parties of one activity: how many, and the sum of
// digests of what they say, in any order.
type partySet struct {
	n   int64
	sum uint64
}

// parties plans the party lists of activities: a whole list at a time, since
// the platform takes no single rows (protocols/dataverse.md §6.1).
func (b *builder) parties(ctx context.Context) error {
	const name = "activityparty"
	ch := b.chosen[name]
	if ch == nil || ch.len() == 0 || b.o.onlyColumns() {
		return nil
	}
	at := ch.t.ColumnIndex("activityid")
	if at < 0 {
		b.p.Refused = append(b.p.Refused, plan.Refusal{Table: name, Reason: "it has no activityid", Rows: ch.len()})
		return nil
	}
	type party struct{ activity, key allod.GUID }
	var list []party
	said := map[allod.GUID]string{}
	want := map[allod.GUID]partySet{}
	err := b.eachBatch(ctx, ch, func(rows []allod.Row) error {
		for i := range rows {
			b.p.Counts.Rows++
			table, id := rows[i].Cell(at).Target()
			if id.IsZero() {
				id = rows[i].Cell(at).GUID()
			}
			list = append(list, party{id, rows[i].Key})
			said[id] = table
			want[id] = want[id].plus(b.compare(name).Identity(b.translated(&rows[i]), true))
		}
		return nil
	})
	if err != nil {
		return err
	}
	homes, err := b.activityTables(ctx, said)
	if err != nil {
		return err
	}
	have, err := b.liveParties(ctx, want)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(x, y party) int {
		return comparePairs([2]allod.GUID{x.activity, x.key}, [2]allod.GUID{y.activity, y.key})
	})
	barred, err := b.barred(ctx, homes, want, have)
	if err != nil {
		return err
	}
	done := map[allod.GUID]bool{}
	for _, p := range list {
		home := homes[p.activity]
		switch {
		case home == "":
			b.skip(name, p.key, "its activity will not exist")
			continue
		case have[p.activity] == want[p.activity]:
			b.p.Counts.Unchanged++
			continue
		case b.exists(home, p.activity) && (b.o.OnConflict == plan.Live || b.o.OnConflict == plan.FillEmpty && have[p.activity].n > 0 || b.sel.DeletedOnly):
			b.p.Counts.Unchanged++
			continue
		case barred[p.activity] != "":
			b.skip(name, p.key, barred[p.activity])
			continue
		}
		pass := plan.PassLinks
		if t := b.live.Schema().Table(home); t != nil && traps.CloseParent(t) != "" {
			pass += plan.CloseRound
		}
		b.w.Add(home, []string{"activity_parties"}, reasonParties, plan.Packed{Key: p.activity, Other: p.key, Version: b.versionOf(home, p.activity), Op: plan.OpParties, Pass: pass})
		if !done[p.activity] {
			done[p.activity] = true
			b.p.Counts.Parties++
		}
	}
	return nil
}

// versionOf returns the version of a live row, 0 if there is none.
func (b *builder) versionOf(table string, id allod.GUID) uint64 {
	if l := b.lives[table]; l != nil {
		return l.rows[id].version
	}
	return 0
}

// barred says of which live activities the parties are not to be touched, and
// why: those of a table that is not written, and messages waiting to be sent,
// which would go to other people.
func (b *builder) barred(ctx context.Context, homes map[allod.GUID]string, want, have map[allod.GUID]partySet) (map[allod.GUID]string, error) {
	out := map[allod.GUID]string{}
	var mails []allod.GUID
	for id, home := range homes {
		if have[id] == want[id] {
			continue
		}
		st, lt := b.snap.Schema().Table(home), b.live.Schema().Table(home)
		if st == nil {
			st = lt
		}
		if why := b.refusal(st); why != "" {
			out[id] = why
		} else if traps.Sends(home) && b.exists(home, id) {
			mails = append(mails, id)
		}
	}
	slices.SortFunc(mails, func(x, y allod.GUID) int { return bytes.Compare(x[:], y[:]) })
	for batch := range slices.Chunk(mails, rowBatch) {
		home := homes[batch[0]]
		rows, err := b.live.Get(ctx, home, refsOf(home, batch))
		if err != nil {
			return nil, err
		}
		status := b.live.Schema().Table(home).ColumnIndex("statuscode")
		for i := range rows {
			if traps.PendingSend(home, rows[i].Cell(status).Int()) {
				out[rows[i].Key] = "the message is waiting to be sent: not touched"
			}
		}
	}
	return out, nil
}

// translated returns the row with its references in the target's terms.
func (b *builder) translated(r *allod.Row) *allod.Row {
	if len(b.maps) == 0 {
		return r
	}
	out := *r
	out.Cells = make([]allod.Value, len(r.Cells))
	for i, v := range r.Cells {
		out.Cells[i] = b.mapped(v)
	}
	return &out
}

func (p partySet) plus(id allod.GUID) partySet {
	sum := sha256.Sum256(id[:])
	return partySet{p.n + 1, p.sum + binary.BigEndian.Uint64(sum[:8])}
}

// activityTables finds the table of each activity that will exist.
func (b *builder) activityTables(ctx context.Context, said map[allod.GUID]string) (map[allod.GUID]string, error) {
	var tables []string
	for i := range b.live.Schema().Tables {
		if t := &b.live.Schema().Tables[i]; t.Activity && t.Unreadable == "" {
			tables = append(tables, t.Name)
		}
	}
	ids := make([]allod.GUID, 0, len(said))
	for id := range said {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y allod.GUID) int { return bytes.Compare(x[:], y[:]) })
	for _, t := range tables {
		ask := ids
		if !b.sel.All {
			ask = slices.DeleteFunc(slices.Clone(ids), func(id allod.GUID) bool {
				s := said[id]
				return s != t && slices.Contains(tables, s) // said to be in another
			})
		}
		if err := b.ensure(ctx, t, ask, false); err != nil {
			return nil, err
		}
	}
	out := map[allod.GUID]string{}
	for _, id := range ids {
		for _, t := range tables {
			if b.willExist(t, id) {
				out[id] = t
				break
			}
		}
	}
	return out, nil
}

// liveParties sums up the live parties of the activities.
func (b *builder) liveParties(ctx context.Context, want map[allod.GUID]partySet) (map[allod.GUID]partySet, error) {
	lt := b.live.Schema().Table("activityparty")
	at := lt.ColumnIndex("activityid")
	out := map[allod.GUID]partySet{}
	for row, err := range b.live.Rows(ctx, lt.Name) {
		if err != nil {
			return nil, err
		}
		_, id := row.Cell(at).Target()
		if id.IsZero() {
			id = row.Cell(at).GUID()
		}
		if _, asked := want[id]; asked {
			out[id] = out[id].plus(b.compare("activityparty").Identity(&row, false))
		}
	}
	return out, nil
}
