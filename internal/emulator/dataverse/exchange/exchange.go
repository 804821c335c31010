// Package exchange stands for Exchange: it keeps what server-side
// synchronisation would have told it of appointments, tasks and contacts, and
// says which mailboxes it serves ("Server-side synchronization of email,
// appointments, contacts, and tasks", Mailbox table reference). Nothing is sent
// anywhere.
package exchange

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/beside"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

const (
	sent    = "exchange@sent" // no table of the model: no name has an @
	mail    = "mailbox"
	parties = "activityparty"
)

// What happened to a row.
const (
	Created = "created"
	Changed = "changed"
	Deleted = "deleted"
)

// Kinds of parties that are invited (ActivityParty table reference).
const required, optional = 5, 6

// World is what the rows are in; Now is an RFC 3339 moment, UTC.
type World struct {
	Tx    *store.Tx
	NewID func() allod.GUID
	Now   string
}

// Item is something that went to Exchange. Invitations is the number of
// attendees who hear of an appointment, by an invitation, an update or a
// cancellation.
type Item struct {
	Table       string `json:"table"`
	ID          string `json:"id"`
	Owner       string `json:"owner"` // systemuser
	What        string `json:"what"`
	Invitations int64  `json:"invitations"`
	When        string `json:"when"`
	n           int64
}

func (w World) value(table string, id allod.GUID, column string) allod.Value {
	return w.Tx.Value(table, w.Tx.Get(table, id), column)
}

// Note keeps that something happened to a row, where Exchange is told: of open
// appointments, open tasks and active contacts whose owner is a user with a
// mailbox that synchronises them. That an appointment is told by its owner
// alone, and not by attendees too, is assumed.
func (w World) Note(t *entity.Table, id allod.GUID, what string) {
	switch t.LogicalName {
	case "appointment", "task", "contact":
	default:
		return
	}
	table, owner := w.value(t.LogicalName, id, "ownerid").Target()
	if table != "systemuser" || !w.synchronises(owner) {
		return
	}
	if state := w.value(t.LogicalName, id, "statecode").Int(); state != 0 && (t.LogicalName != "appointment" || state != 3) {
		return
	}
	invited := int64(0)
	if t.LogicalName == "appointment" && w.Tx.Has(parties) {
		invited = w.attendees(id, owner)
	}
	columns := []string{"table", "row", "owner", "what", "invitations", "when", "n"}
	w.Tx.Ensure(sent, columns)
	var cells []store.Cell
	for i, v := range []allod.Value{
		allod.StringValue(t.LogicalName), allod.IDValue(id), allod.IDValue(owner), allod.StringValue(what), allod.IntegerValue(invited),
		allod.StringValue(w.Now), allod.IntegerValue(int64(w.Tx.Len(sent))),
	} {
		cells = append(cells, store.Cell{Column: w.Tx.Column(sent, columns[i]), Value: v})
	}
	w.Tx.Put(sent, w.NewID(), cells)
}

// attendees counts who is invited to an appointment, its owner left out.
func (w World) attendees(id, owner allod.GUID) (n int64) {
	for _, p := range w.Tx.Find(parties, "activityid", allod.IDValue(id)) {
		switch w.value(parties, p, "participationtypemask").Int() {
		case required, optional:
			if w.value(parties, p, "partyid").GUID() != owner {
				n++
			}
		}
	}
	return n
}

// synchronises reports a user whose mailbox is active, tested, and synchronises
// appointments, contacts and tasks by the server.
func (w World) synchronises(user allod.GUID) bool {
	return slices.ContainsFunc(w.mailboxes(user), func(box allod.GUID) bool {
		return w.is(box, "actdeliverymethod", beside.ActServer) && w.is(box, "actstatus", beside.Tested) && w.enabled(box, "enabledforact")
	})
}

// Sends reports whether the e-mail leaves: its sender, else its owner, has an
// active, tested mailbox that sends by the server. Where there are no mailboxes
// all e-mail leaves.
func (w World) Sends(email allod.GUID) bool {
	if !w.Tx.Has(mail) {
		return true
	}
	sender := w.value("email", email, "ownerid").GUID()
	if w.Tx.Has(parties) {
		for _, p := range w.Tx.Find(parties, "activityid", allod.IDValue(email)) {
			if w.value(parties, p, "participationtypemask").Int() == 1 {
				sender = w.value(parties, p, "partyid").GUID()
			}
		}
	}
	return slices.ContainsFunc(w.mailboxes(sender), func(box allod.GUID) bool {
		return w.is(box, "outgoingemaildeliverymethod", beside.ByServer) && w.is(box, "outgoingemailstatus", beside.Tested) && w.enabled(box, "enabledforoutgoingemail")
	})
}

func (w World) mailboxes(of allod.GUID) []allod.GUID {
	return beside.World{Tx: w.Tx}.Mailboxes(of)
}

func (w World) is(box allod.GUID, column string, want int64) bool {
	v := w.value(mail, box, column)
	return v.Type() == allod.Integer && v.Int() == want
}

func (w World) enabled(box allod.GUID, column string) bool {
	on := w.value(mail, box, column)
	return w.value(mail, box, "statecode").Int() == 0 && (on.IsNull() || on.Bool())
}

// Sent lists what went to Exchange, in order.
func Sent(tx *store.Tx) []Item {
	list := []Item{}
	if !tx.Has(sent) {
		return list
	}
	for _, r := range tx.Page(sent, nil, tx.Len(sent)) {
		v := func(column string) allod.Value { return tx.Value(sent, r, column) }
		list = append(list, Item{
			Table: v("table").Text(), ID: v("row").GUID().String(), Owner: v("owner").GUID().String(), What: v("what").Text(),
			Invitations: v("invitations").Int(), When: v("when").Text(), n: v("n").Int(),
		})
	}
	slices.SortFunc(list, func(a, b Item) int { return int(a.n - b.n) })
	return list
}
