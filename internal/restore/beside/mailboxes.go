package beside

import (
	"context"
	"slices"
	"strings"

	"allod"
	"allod/internal/restore/plan"
)

// What a mailbox that synchronises appointments, contacts and tasks says (mailbox
// table reference).
const (
	mailboxes      = "mailbox"
	serverSide     = 1 // actdeliverymethod
	tested         = 1 // actstatus
	mailboxEnabled = 0 // statecode
)

// mailboxes says of rows that Exchange gets how many belong to users whose mailbox
// synchronises, and has those that are made held by a team where that is asked for.
func (l *looker) mailboxes(ctx context.Context) error {
	if l.Holding != "" {
		team, err := l.team(ctx)
		if err != nil {
			return err
		}
		l.p.Held = &plan.Held{Team: team, Name: l.Holding}
	}
	t := l.live.Schema().Table(mailboxes)
	defer l.unheld()
	tables := slices.DeleteFunc(l.names(func(*touched) bool { return true }), func(name string) bool { return !exchanged(name) })
	if t == nil || len(tables) == 0 {
		return nil
	}
	if t.Unreadable != "" {
		return l.blind(allod.Errorf(allod.Denied, "%s", t.Unreadable))
	}
	users, err := l.synchronising(ctx, t)
	if err != nil {
		return l.blind(err)
	}
	for _, name := range tables {
		if err := l.syncs(ctx, name, users); err != nil {
			return err
		}
	}
	return nil
}

// unheld leaves a plan without rows that are held as one that holds none.
func (l *looker) unheld() {
	if l.p.Held != nil && len(l.p.Held.Rows) == 0 {
		l.p.Held = nil
	}
}

// blind is for mailboxes that may not be read: rows cannot be held back then, and
// whoever asked for that is not to believe that they are.
func (l *looker) blind(err error) error {
	if l.Holding != "" && no(err) {
		return allod.WithHint(allod.Errorf(allod.Denied, "plan restore: which mailboxes synchronise cannot be read, so that no row can be kept from them: %w", err),
			"Let the restorer read the table mailbox, or leave out --no-sync-owners.")
	}
	return l.refused("mailboxes that synchronise", err)
}

// team finds the team that holds rows, by name or id.
func (l *looker) team(ctx context.Context) (allod.GUID, error) {
	t := l.live.Schema().Table("team")
	if t == nil || t.Unreadable != "" {
		return allod.GUID{}, allod.Errorf(allod.NotFound, "plan restore: %s has no teams that can be read", l.live.Name())
	}
	var found []allod.GUID
	for row, err := range l.live.Rows(ctx, "team") {
		if err != nil {
			return allod.GUID{}, err
		}
		if row.Key.String() == strings.ToLower(l.Holding) || strings.EqualFold(row.Cell(t.ColumnIndex("name")).Text(), l.Holding) {
			found = append(found, row.Key)
		}
	}
	switch len(found) {
	case 0:
		return allod.GUID{}, allod.WithHint(allod.Errorf(allod.Invalid, "plan restore: %s has no team %q", l.live.Name(), l.Holding), "Name one that may own rows, or make it: nobody's mailbox is to be that of the team.")
	case 1:
		return found[0], nil
	}
	return allod.GUID{}, allod.WithHint(allod.Errorf(allod.Invalid, "plan restore: %s has %d teams %q", l.live.Name(), len(found), l.Holding), "Name the id of one.")
}

// exchanged reports whether Exchange gets rows of the table.
func exchanged(table string) bool {
	switch table {
	case "appointment", "recurringappointmentmaster", "serviceappointment", "task", "contact":
		return true
	}
	return false
}

// synchronising are the users whose mailbox gives appointments, contacts and tasks
// to Exchange.
func (l *looker) synchronising(ctx context.Context, t *allod.Table) (map[allod.GUID]bool, error) {
	out := map[allod.GUID]bool{}
	is := func(row *allod.Row, column string, want int64) bool {
		at := t.ColumnIndex(column)
		return at < 0 || row.Cell(at).IsNull() || row.Cell(at).Int() == want
	}
	for row, err := range l.live.Rows(ctx, mailboxes) {
		if err != nil {
			return nil, err
		}
		enabled := t.ColumnIndex("enabledforact")
		if !is(&row, "actdeliverymethod", serverSide) || !is(&row, "actstatus", tested) || !is(&row, "statecode", mailboxEnabled) || enabled >= 0 && !row.Cell(enabled).Bool() {
			continue
		}
		if _, user := row.Cell(t.ColumnIndex("regardingobjectid")).Target(); !user.IsZero() {
			out[user] = true
		}
	}
	return out, nil
}

func (l *looker) syncs(ctx context.Context, table string, users map[allod.GUID]bool) error {
	written, made := map[allod.GUID]bool{}, map[allod.GUID]bool{}
	for _, ids := range l.tables[table].columns {
		for _, id := range ids {
			written[id] = true
		}
	}
	for _, id := range l.tables[table].made {
		written[id], made[id] = true, true
	}
	to := l.p.Counterparts()
	owners, n := map[allod.GUID]bool{}, int64(0)
	at := -1
	if st := l.snap.Schema().Table(table); st != nil {
		at = st.ColumnIndex("ownerid")
	}
	err := each(ctx, l.snap, table, written, func(row *allod.Row) {
		kind, id := row.Cell(at).Target()
		if owner := translate(to, allod.RecordRef{Table: kind, Key: id}); users[owner.Key] {
			if l.p.Held != nil && made[row.Key] {
				l.p.Held.Rows = append(l.p.Held.Rows, row.Ref())
				return
			}
			owners[owner.Key] = true
			n++
		}
	})
	if l.p.Held != nil {
		plan.SortRefs(l.p.Held.Rows)
	}
	if n > 0 {
		l.warn("%s: %s that the plan writes, of %s whose mailbox synchronises: Exchange gets them, and sends invitations", table, plan.Count(n, "row"), plan.Count(int64(len(owners)), "user"))
	}
	return err
}
