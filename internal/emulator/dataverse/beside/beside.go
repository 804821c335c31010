// Package beside knows the rows that the platform makes, changes and removes by
// itself because of a row of users, teams, queues and business units: mailbox,
// settings, queue, default team, membership ("Create or edit business units",
// "Queue entities", Mailbox and UserSettings table reference). It only says
// which; package platform writes them. Tables the model lacks are left out.
package beside

import (
	"net/http"
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Row is a row to be made, or a row to be changed if it is there.
type Row struct {
	Table  string
	ID     allod.GUID
	Values map[string]allod.Value
}

// Tables by name.
const (
	users    = "systemuser"
	teams    = "team"
	units    = "businessunit"
	queues   = "queue"
	mail     = "mailbox"
	settings = "usersettings"
	members  = "teammembership"
)

// Delivery methods and statuses of a mailbox (Mailbox table reference).
const (
	ByServer  = 2 // incoming and outgoing e-mail: server-side synchronisation
	ActServer = 1 // appointments, contacts, tasks: server-side synchronisation
	Tested    = 1 // status: the test of the mailbox succeeded
	actNone   = 2
	pending   = 2 // the address waits for approval
	utc       = 92
	private   = 1 // queueviewtype
)

// World is what the rows are made in.
type World struct {
	Tx    *store.Tx
	NewID func() allod.GUID
}

func (w World) value(table string, id allod.GUID, column string) allod.Value {
	return w.Tx.Value(table, w.Tx.Get(table, id), column)
}

func (w World) text(table string, id allod.GUID, column string) string {
	return w.value(table, id, column).Text()
}

// New returns what comes with a new row and the columns of the row itself that
// refer to it.
func (w World) New(table string, id allod.GUID) (rows []Row, own map[string]allod.Value) {
	own = map[string]allod.Value{}
	switch table {
	case users:
		rows = w.settings(id)
		if box := w.mailbox(users, id, w.text(users, id, "fullname"), w.text(users, id, "internalemailaddress")); box != nil {
			rows, own["defaultmailbox"] = append(rows, *box), allod.LookupValue(mail, box.ID)
		}
		if r := w.membership(id); r != nil {
			rows = append(rows, *r)
		}
		rows = append(rows, w.queue(users, id, "fullname", own)...)
	case teams:
		rows = w.queue(teams, id, "name", own)
	case queues:
		if box := w.mailbox(queues, id, w.text(queues, id, "name"), w.text(queues, id, "emailaddress")); box != nil {
			rows, own["defaultmailbox"] = append(rows, *box), allod.LookupValue(mail, box.ID)
		}
	case units:
		if w.Tx.Has(teams) {
			rows = []Row{{teams, w.NewID(), map[string]allod.Value{
				"name": w.value(units, id, "name"), "businessunitid": allod.LookupValue(units, id), "isdefault": allod.BooleanValue(true), "teamtype": allod.IntegerValue(0),
				"description": allod.StringValue("Default team for the parent business unit. The name and membership for default team are inherited from their parent business unit."),
			}}}
		}
	}
	return rows, own
}

func (w World) settings(user allod.GUID) []Row {
	if !w.Tx.Has(settings) || w.Tx.Get(settings, user) != nil {
		return nil
	}
	v := map[string]allod.Value{"timezonecode": allod.IntegerValue(utc), "paginglimit": allod.IntegerValue(50)}
	if unit := w.value(users, user, "businessunitid").GUID(); !unit.IsZero() {
		v["businessunitid"] = allod.IDValue(unit)
	}
	for _, r := range w.Tx.Page("organization", nil, 1) {
		if language := w.Tx.Value("organization", r, "languagecode"); !language.IsNull() {
			v["uilanguageid"], v["helplanguageid"], v["localeid"] = language, language, language
		}
	}
	return []Row{{settings, user, v}}
}

// mailbox is the mailbox of a user or queue: for e-mail by server-side
// synchronisation, for appointments, contacts and tasks not at all, and not
// tested, so that nothing happens before somebody wants it (assumed, it follows
// the settings of the organisation).
func (w World) mailbox(table string, id allod.GUID, name, address string) *Row {
	if !w.Tx.Has(mail) {
		return nil
	}
	v := map[string]allod.Value{
		"name": allod.StringValue(name), "regardingobjectid": allod.LookupValue(table, id), "actdeliverymethod": allod.IntegerValue(actNone),
		"incomingemaildeliverymethod": allod.IntegerValue(ByServer), "outgoingemaildeliverymethod": allod.IntegerValue(ByServer), "emailrouteraccessapproval": allod.IntegerValue(0),
		"enabledforact": allod.BooleanValue(true), "enabledforincomingemail": allod.BooleanValue(true), "enabledforoutgoingemail": allod.BooleanValue(true), "isforwardmailbox": allod.BooleanValue(false),
		"actstatus": allod.IntegerValue(0), "incomingemailstatus": allod.IntegerValue(0), "outgoingemailstatus": allod.IntegerValue(0),
	}
	if address != "" {
		v["emailaddress"], v["emailrouteraccessapproval"] = allod.StringValue(address), allod.IntegerValue(pending)
	}
	if owner := w.value(table, id, "ownerid"); table == queues && !owner.IsNull() {
		v["ownerid"] = owner
	} else if table == users {
		v["ownerid"] = allod.LookupValue(users, id)
	}
	return &Row{mail, w.NewID(), v}
}

// queue is the default queue of a user or team, unless it has one.
func (w World) queue(table string, id allod.GUID, named string, own map[string]allod.Value) []Row {
	if !w.Tx.Has(queues) || !w.value(table, id, "queueid").IsNull() {
		return nil
	}
	r := Row{queues, w.NewID(), map[string]allod.Value{
		"name": queueName(w.text(table, id, named)), "ownerid": allod.LookupValue(table, id), "queueviewtype": allod.IntegerValue(private),
	}}
	own["queueid"] = allod.LookupValue(queues, r.ID)
	return []Row{r}
}

func queueName(of string) allod.Value { return allod.StringValue("<" + of + ">") }

// membership puts a user into the default team of its business unit.
func (w World) membership(user allod.GUID) *Row {
	team := w.defaultTeam(w.value(users, user, "businessunitid").GUID())
	if team.IsZero() || !w.Tx.Has(members) {
		return nil
	}
	return &Row{members, w.NewID(), map[string]allod.Value{"systemuserid": allod.IDValue(user), "teamid": allod.IDValue(team)}}
}

func (w World) defaultTeam(unit allod.GUID) allod.GUID {
	if unit.IsZero() || !w.Tx.Has(teams) {
		return allod.GUID{}
	}
	for _, id := range w.Tx.Find(teams, "businessunitid", allod.IDValue(unit)) {
		if w.value(teams, id, "isdefault").Bool() {
			return id
		}
	}
	return allod.GUID{}
}

// Change is what an update did to a row.
type Change struct {
	Table    string
	ID       allod.GUID
	Old, Now func(column string) allod.Value
}

func (c Change) of(column string) bool { return c.Old(column).String() != c.Now(column).String() }

// Changed returns the rows that follow a change, and the memberships that end
// by it: names and addresses are kept the same, the mailbox of a disabled user is
// inactive, the default team is that of the business unit.
func (w World) Changed(c Change) (rows []Row, ended []allod.GUID) {
	switch c.Table {
	case users:
		rows = append(w.boxOf(c, "fullname", "internalemailaddress"), w.queueOf(c, "fullname")...)
		if unit := c.Now("businessunitid"); c.of("businessunitid") {
			if w.Tx.Has(settings) && w.Tx.Get(settings, c.ID) != nil {
				rows = append(rows, Row{settings, c.ID, map[string]allod.Value{"businessunitid": allod.IDValue(unit.GUID())}})
			}
			if r := w.membership(c.ID); r != nil {
				rows = append(rows, *r)
			}
			ended = w.memberships(c.ID, w.defaultTeam(c.Old("businessunitid").GUID()))
		}
	case teams:
		rows = w.queueOf(c, "name")
	case queues:
		rows = w.boxOf(c, "name", "emailaddress")
	case units:
		if team := w.defaultTeam(c.ID); c.of("name") && !team.IsZero() {
			rows = []Row{{teams, team, map[string]allod.Value{"name": c.Now("name")}}}
		}
	}
	return rows, ended
}

func (w World) memberships(user, team allod.GUID) (list []allod.GUID) {
	if team.IsZero() || !w.Tx.Has(members) {
		return nil
	}
	for _, id := range w.Tx.Find(members, "systemuserid", allod.IDValue(user)) {
		if w.value(members, id, "teamid").GUID() == team {
			list = append(list, id)
		}
	}
	return list
}

// boxOf changes the mailbox of a user or queue.
func (w World) boxOf(c Change, name, address string) []Row {
	v := map[string]allod.Value{}
	if c.of(name) {
		v["name"] = c.Now(name)
	}
	if c.of(address) {
		v["emailaddress"], v["emailrouteraccessapproval"] = c.Now(address), allod.IntegerValue(pending)
	}
	if c.Table == users && c.of("isdisabled") {
		v["statecode"], v["statuscode"] = allod.IntegerValue(0), allod.IntegerValue(1)
		if c.Now("isdisabled").Bool() {
			v["statecode"], v["statuscode"] = allod.IntegerValue(1), allod.IntegerValue(2)
		}
	}
	if len(v) == 0 {
		return nil
	}
	var rows []Row
	for _, id := range w.Mailboxes(c.ID) {
		rows = append(rows, Row{mail, id, v})
	}
	return rows
}

func (w World) queueOf(c Change, name string) []Row {
	q := c.Now("queueid").GUID()
	if !c.of(name) || q.IsZero() || !w.Tx.Has(queues) || w.text(queues, q, "name") != queueName(c.Old(name).Text()).Text() {
		return nil
	}
	return []Row{{queues, q, map[string]allod.Value{"name": queueName(c.Now(name).Text())}}}
}

// Mailboxes returns those of a user or queue.
func (w World) Mailboxes(of allod.GUID) []allod.GUID {
	if !w.Tx.Has(mail) {
		return nil
	}
	return w.Tx.Find(mail, "regardingobjectid", allod.IDValue(of))
}

// Gone returns the rows that go with a row: of a user settings, mailbox and
// queue, of a team its queue, of a queue its mailbox, of a business unit its
// default team.
func (w World) Gone(table string, id allod.GUID) (rows []Row) {
	queue := func() {
		if q := w.value(table, id, "queueid").GUID(); !q.IsZero() && w.Tx.Has(queues) && w.value(queues, q, "ownerid").GUID() == id {
			rows = append(rows, Row{Table: queues, ID: q})
		}
	}
	switch table {
	case users:
		if w.Tx.Has(settings) {
			rows = append(rows, Row{Table: settings, ID: id})
		}
		queue()
	case teams:
		queue()
	case units:
		if team := w.defaultTeam(id); !team.IsZero() {
			rows = append(rows, Row{Table: teams, ID: team})
		}
	}
	if table == users || table == queues {
		for _, box := range w.Mailboxes(id) {
			rows = append(rows, Row{Table: mail, ID: box})
		}
	}
	return rows
}

// Refuse refuses to rename or to delete the default team of a business unit. A
// nil payload deletes.
func (w World) Refuse(table string, id allod.GUID, p *wire.Payload) error {
	if table != teams || !w.value(teams, id, "isdefault").Bool() {
		return nil
	}
	if p != nil && !slices.ContainsFunc(p.Values, func(v wire.Assign) bool {
		return v.Column.LogicalName == "name" && v.Value.Text() != w.text(teams, id, "name")
	}) {
		return nil
	}
	return wire.Refuse(http.StatusBadRequest, "0x80040203", "The default business unit team cannot be renamed or deleted.")
}
