package people

import (
	"strings"
	"time"

	"allod"
	"allod/internal/govern/approve"
)

// The tables of the office (FORMAT.md, "Office").
const (
	userTable     = "user"
	requestTable  = "request"
	approvalTable = "approval"
)

// tables describes them.
func tables() []allod.Table {
	return []allod.Table{
		table(userTable, 1, "name", "keys", "added", "removed"),
		table(requestTable, 2, "act", "plan", "says", "by", "at", "expires", "spent"),
		table(approvalTable, 3, "request", "user", "at", "signature"),
	}
}

// table makes a table of text columns; its number makes the ids.
func table(name string, number byte, columns ...string) allod.Table {
	id := allod.GUID{0xa1, 0x10, 0xd0, 0xf1, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, number}
	t := allod.Table{Name: name, ID: id, Set: name + "s", SchemaName: name, Key: name + "id", Class: allod.ClassData, Reason: "office"}
	for i, c := range columns {
		column := allod.Column{Name: c, ID: id, Type: allod.String, Native: "text"}
		column.ID[9] = byte(i + 1)
		t.Columns = append(t.Columns, column)
	}
	return t
}

// rowOf makes a row of texts in the order of the table's columns.
func rowOf(table string, key allod.GUID, texts ...string) allod.Row {
	r := allod.Row{Table: table, Key: key}
	for _, s := range texts {
		r.Cells = append(r.Cells, allod.StringValue(s))
	}
	return r
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// cells reads the texts of a row; the first that cannot be read is kept.
type cells struct {
	row   *allod.Row
	table *allod.Table
	err   error
}

func (c *cells) text(column string) string { return c.row.Cell(c.table.ColumnIndex(column)).Text() }

func (c *cells) fail(column string) {
	if c.err == nil {
		c.err = allod.Errorf(allod.Corrupt, "read %s: column %s is not what this program writes", c.row.Ref(), column)
	}
}

func (c *cells) time(column string) time.Time {
	s := c.text(column)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		c.fail(column)
	}
	return t.UTC()
}

func (c *cells) id(column string) allod.GUID {
	id, err := allod.ParseGUID(c.text(column))
	if err != nil {
		c.fail(column)
	}
	return id
}

func userRow(u approve.User) allod.Row {
	var keys []string
	for _, k := range u.Keys {
		keys = append(keys, string(k))
	}
	return rowOf(userTable, u.ID, u.Name, strings.Join(keys, "\n"), stamp(u.Added), stamp(u.Removed))
}

func readUser(c *cells) approve.User {
	u := approve.User{ID: c.row.Key, Name: c.text("name"), Added: c.time("added"), Removed: c.time("removed")}
	keys, err := approve.ParseKeys([]byte(c.text("keys")))
	if err != nil {
		c.fail("keys")
	}
	u.Keys = keys
	return u
}

func requestRow(r approve.Request) allod.Row {
	return rowOf(requestTable, r.ID, string(r.Act), r.Plan.String(), r.Says, string(r.By), stamp(r.At), stamp(r.Expires), stamp(r.Spent))
}

func readRequest(c *cells) approve.Request {
	r := approve.Request{
		ID: c.row.Key, Act: approve.Act(c.text("act")), Says: c.text("says"), By: allod.Actor(c.text("by")), At: c.time("at"), Expires: c.time("expires"), Spent: c.time("spent"),
	}
	if r.Plan.UnmarshalText([]byte(c.text("plan"))) != nil {
		c.fail("plan")
	}
	return r
}

func approvalRow(a approve.Approval) allod.Row {
	return rowOf(approvalTable, a.ID, a.Request.String(), a.User.String(), stamp(a.At), a.Signature)
}

func readApproval(c *cells) approve.Approval {
	return approve.Approval{ID: c.row.Key, Request: c.id("request"), User: c.id("user"), At: c.time("at"), Signature: c.text("signature")}
}
