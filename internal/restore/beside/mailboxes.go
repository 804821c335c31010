package beside

import (
	"context"

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
// synchronises.
func (l *looker) mailboxes(ctx context.Context) error {
	synced := l.names(func(*touched) bool { return true })
	t := l.live.Schema().Table(mailboxes)
	if t == nil {
		return nil
	}
	var users map[allod.GUID]bool
	for _, name := range synced {
		if !exchanged(name) {
			continue
		}
		if t.Unreadable != "" {
			return l.refused("mailboxes that synchronise", allod.Errorf(allod.Denied, "%s", t.Unreadable))
		}
		if users == nil {
			var err error
			if users, err = l.synchronising(ctx, t); err != nil {
				return l.refused("mailboxes that synchronise", err)
			}
		}
		if len(users) == 0 {
			return nil
		}
		if err := l.syncs(ctx, name, users); err != nil {
			return err
		}
	}
	return nil
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
	written := map[allod.GUID]bool{}
	for _, ids := range l.tables[table].columns {
		for _, id := range ids {
			written[id] = true
		}
	}
	for _, id := range l.tables[table].made {
		written[id] = true
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
			owners[owner.Key] = true
			n++
		}
	})
	if n > 0 {
		l.warn("%s: %s that the plan writes, of %s whose mailbox synchronises: Exchange gets them, and sends invitations", table, plan.Count(n, "row"), plan.Count(int64(len(owners)), "user"))
	}
	return err
}
