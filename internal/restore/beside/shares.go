package beside

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// The tables that shares are kept in (Share and assign records; table reference).
const (
	sharing    = "principalobjectaccess"
	followers  = "postfollow"
	membership = "teammembership"
	accessTeam = 1 // team.teamtype: made for one record
	allRights  = 1 | 2 | 4 | 16 | 32 | 65536 | 262144 | 524288
)

// shared is one captured share of a row that the plan makes.
type shared struct {
	row       allod.RecordRef
	principal allod.RecordRef
	rights    int64
}

// shares counts the shares of rows that are made, which do not come back with
// them, and plans to grant them again when that is asked for. Shares that came
// from a row above come back with its own.
func (l *looker) shares(ctx context.Context) error {
	made := map[allod.GUID]string{}
	for _, name := range l.names(func(t *touched) bool { return len(t.made) > 0 }) {
		for _, id := range l.tables[name].made {
			made[id] = name
		}
	}
	if len(made) == 0 {
		return nil
	}
	if err := l.followers(ctx, made); err != nil {
		return err
	}
	t := l.snap.Schema().Table(sharing)
	switch {
	case t == nil:
		return nil
	case t.Unreadable != "":
		l.warn("shares of rows that are made are not known: %s was not captured (%s)", sharing, t.Unreadable)
		return nil
	}
	all, err := l.captured(ctx, t, made)
	if err != nil {
		return l.refused("shares of rows that are made", err)
	}
	if len(all) == 0 {
		return nil
	}
	return l.grants(ctx, all)
}

// captured reads the shares of the rows, sorted.
func (l *looker) captured(ctx context.Context, t *allod.Table, made map[allod.GUID]string) ([]shared, error) {
	var out []shared
	object, kind := t.ColumnIndex("objectid"), t.ColumnIndex("objecttypecode")
	who, whoKind := t.ColumnIndex("principalid"), t.ColumnIndex("principaltypecode")
	for row, err := range l.snap.Rows(ctx, sharing) {
		if err != nil {
			return nil, err
		}
		id := row.Cell(object).GUID()
		table, ok := made[id]
		rights := row.Cell(t.ColumnIndex("accessrightsmask")).Int() & allRights
		if of := row.Cell(kind).Text(); !ok || rights == 0 || of != "" && of != table {
			continue
		}
		p := allod.RecordRef{Table: row.Cell(whoKind).Text(), Key: row.Cell(who).GUID()}
		if named, _ := row.Cell(who).Target(); named != "" {
			p.Table = named
		}
		if p.Table == "systemuser" || p.Table == "team" {
			out = append(out, shared{allod.RecordRef{Table: table, Key: id}, p, rights})
		}
	}
	slices.SortFunc(out, func(a, b shared) int {
		return cmp.Or(strings.Compare(a.row.Table, b.row.Table), bytes.Compare(a.row.Key[:], b.row.Key[:]),
			strings.Compare(a.principal.Table, b.principal.Table), bytes.Compare(a.principal.Key[:], b.principal.Key[:]))
	})
	return out, nil
}

// grants says what becomes of the shares.
func (l *looker) grants(ctx context.Context, all []shared) error {
	there, err := l.there(ctx, all)
	if err != nil {
		return err
	}
	members, err := l.members(ctx, all, there)
	if err != nil {
		return err
	}
	maps := l.p.Counterparts()
	out := &plan.Shares{Shares: int64(len(all))}
	for i, s := range all {
		if i == 0 || all[i-1].row != s.row {
			out.Rows++
		}
		to := translate(maps, s.principal)
		users := members[s.principal.Key]
		switch {
		case !there[to] && len(users) == 0:
			out.Gone++
		case !l.Sharing:
		case there[to]:
			out.Grants = append(out.Grants, source.Grant{Table: s.row.Table, ID: s.row.Key, Principal: to, Rights: s.rights})
		default:
			for _, u := range users {
				out.Members++
				out.Grants = append(out.Grants, source.Grant{Table: s.row.Table, ID: s.row.Key, Principal: u, Rights: s.rights})
			}
		}
	}
	l.p.Beside().Shares = out
	return nil
}

func translate(maps plan.Counterparts, r allod.RecordRef) allod.RecordRef {
	if to, ok := maps[r]; ok {
		r.Key = to
	}
	return r
}

// there finds which of the users and teams, in the target's terms, exist.
func (l *looker) there(ctx context.Context, all []shared) (map[allod.RecordRef]bool, error) {
	maps := l.p.Counterparts()
	var refs []allod.RecordRef
	for _, s := range all {
		refs = append(refs, translate(maps, s.principal))
	}
	return l.exist(ctx, refs)
}

// exist tells which users and teams the target has.
func (l *looker) exist(ctx context.Context, refs []allod.RecordRef) (map[allod.RecordRef]bool, error) {
	out := map[allod.RecordRef]bool{}
	by := map[string]map[allod.RecordRef]bool{}
	for _, r := range refs {
		if by[r.Table] == nil {
			by[r.Table] = map[allod.RecordRef]bool{}
		}
		by[r.Table][r] = true
	}
	for table, refs := range by {
		t := l.live.Schema().Table(table)
		if t == nil || t.Unreadable != "" {
			continue
		}
		for batch := range slices.Chunk(slices.Collect(maps.Keys(refs)), readBatch) {
			rows, err := l.live.Get(ctx, table, batch)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				out[rows[i].Ref()] = true
			}
		}
	}
	return out, nil
}

// members finds the users who were in access teams that are gone, as far as the
// target has them: such a team goes with the row it was made for.
func (l *looker) members(ctx context.Context, all []shared, there map[allod.RecordRef]bool) (map[allod.GUID][]allod.RecordRef, error) {
	gone := map[allod.RecordRef]bool{}
	for _, s := range all {
		if s.principal.Table == "team" && !there[s.principal] {
			gone[s.principal] = true
		}
	}
	teams, pairs := l.snap.Schema().Table("team"), l.snap.Schema().Table(membership)
	if len(gone) == 0 || teams == nil || teams.Unreadable != "" || pairs == nil || pairs.Unreadable != "" || !pairs.Intersect {
		return nil, nil
	}
	made := map[allod.GUID]bool{}
	rows, err := l.snap.Get(ctx, "team", slices.Collect(maps.Keys(gone)))
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if rows[i].Cell(teams.ColumnIndex("teamtype")).Int() == accessTeam {
			made[rows[i].Key] = true
		}
	}
	if len(made) == 0 {
		return nil, nil
	}
	to := l.p.Counterparts()
	in := map[allod.GUID][]allod.RecordRef{}
	var users []allod.RecordRef
	for row, err := range l.snap.Rows(ctx, membership) {
		if err != nil {
			return nil, err
		}
		for i, team := range row.Pair {
			if made[team] {
				u := translate(to, allod.RecordRef{Table: "systemuser", Key: row.Pair[1-i]})
				in[team], users = append(in[team], u), append(users, u)
			}
		}
	}
	exist, err := l.exist(ctx, users)
	if err != nil {
		return nil, err
	}
	for team, users := range in {
		in[team] = slices.DeleteFunc(users, func(u allod.RecordRef) bool { return !exist[u] })
		slices.SortFunc(in[team], func(a, b allod.RecordRef) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	}
	return in, nil
}

// followers counts who followed rows that are made and does not come back.
func (l *looker) followers(ctx context.Context, made map[allod.GUID]string) error {
	t := l.snap.Schema().Table(followers)
	if t == nil || t.Unreadable != "" {
		return nil
	}
	back := map[allod.GUID]bool{}
	if of := l.tables[followers]; of != nil {
		for _, id := range of.made {
			back[id] = true
		}
	}
	lost := int64(0)
	at := t.ColumnIndex("regardingobjectid")
	for row, err := range l.snap.Rows(ctx, followers) {
		if err != nil {
			return l.refused("followers of rows that are made", err)
		}
		table, id := row.Cell(at).Target()
		if of, ok := made[id]; ok && of == table && !back[row.Key] {
			lost++
		}
	}
	if lost > 0 {
		l.warn("%s of rows that are made: not in this plan; --related children:1 brings those that were captured", plan.Count(lost, "follower"))
	}
	return nil
}

// share grants again what the plan says, for the rows that came back.
func (s Side) share(ctx context.Context, o source.WriteOptions, p *plan.Plan, rep *apply.Report) error {
	shares := p.After.Shares
	rep.Unshared = shares.Shares
	if len(shares.Grants) == 0 {
		return nil
	}
	src, ok := s.Source.(source.Sharer)
	if !ok || s.Schema == nil {
		return allod.Errorf(allod.Invalid, "grant shares again: rows of the source cannot be shared")
	}
	rep.Unshared = shares.Gone
	for _, g := range shares.Grants {
		t := s.Schema.Table(g.Table)
		if t == nil {
			rep.Unshared++
			continue
		}
		err := src.Share(ctx, o, t, g)
		switch {
		case err == nil:
			rep.Shared++
		case ctx.Err() != nil:
			return err
		case allod.KindOf(err) == allod.NotFound: // the row was not made, which the report says, or the user is gone since
			rep.Unshared++
		default:
			rep.Unshared++
			rep.Fail(allod.RecordRef{Table: g.Table, Key: g.ID}, "share", fmt.Errorf("share it with %s again: %w", g.Principal, err))
		}
	}
	return nil
}
