package rows

import (
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fetch"
	"allod/internal/emulator/dataverse/recycle"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/retention"
	"allod/internal/emulator/dataverse/sql"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
)

// predefined reports whether FetchXML decides on the rows, or SQL that is
// translated into it (§4.6, §4.7).
func (c Reader) predefined() bool {
	o := c.Req.Options
	return o.Has("fetchXml") || o.Has("sql") || o.Has("savedQuery") || o.Has("userQuery")
}

func (c Reader) option(name string) string {
	for _, o := range c.Req.Options.Custom {
		if o.Name == name {
			return o.Value
		}
	}
	return ""
}

// fetch answers GET of a set by FetchXML.
func (c Reader) fetch(t *entity.Table) (*request.Reply, error) {
	var out *request.Reply
	err := c.View(func(tx *store.Tx) error {
		var err error
		out, err = c.fetchRows(tx, t, nil)
		return err
	})
	return out, err
}

// fetchRows answers over the rows in from, nil = all of the table.
func (c Reader) fetchRows(tx *store.Tx, t *entity.Table, from []Entity) (*request.Reply, error) {
	text, err := c.fetchText(tx)
	if err != nil {
		return nil, err
	}
	q, err := fetch.Parse(text)
	if err != nil {
		return nil, err
	}
	if q.Root.Name != t.LogicalName {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80040203", "The entity '%s' of the FetchXML is not that of the set '%s'.", q.Root.Name, t.SetName)
	}
	if err := joinsAudit(q); err != nil {
		return nil, err
	}
	switch q.Source {
	case "bin":
		from, err = c.deleted(tx, t)
	case "retained":
		from, err = c.retained(tx, t)
	}
	if err != nil {
		return nil, err
	}
	env := c.fetchEnv(tx, t)
	if from != nil {
		sort.Slice(from, func(i, j int) bool { return store.Less(from[i].Row.Key, from[j].Row.Key) })
		env.Rows = make([]fetch.Cell, len(from))
		for i, e := range from {
			env.Rows[i] = fetch.Cell{Table: e.Table, Row: e.Row}
		}
	}
	res, err := fetch.Run(env, q)
	if err != nil {
		return nil, err
	}
	c.served(t, len(res.Lines), len(res.Columns))
	return &request.Reply{Status: http.StatusOK, Body: c.appendFetched(tx, t, q, res)}, nil
}

// fetchEnv is what queries see, and for whom: the user on whose behalf the caller
// acts, if there is one.
func (c Reader) fetchEnv(tx *store.Tx, t *entity.Table) fetch.Env {
	user := c.User.User
	if id, ok := c.Impersonated(tx); ok {
		user = id
	}
	return fetch.Env{
		Tx: tx, Schema: c.Schema, Now: c.Org.Now(), User: user, Unit: c.unit(tx, user), PageSize: c.pageSize(t),
		Reading: func(t *entity.Table) (func(*store.Row) bool, error) {
			return access.Reading(tx, c.User, t, c.Org.Unit)
		},
		Hidden: func(t *entity.Table) func(*entity.Column) bool { return access.Hidden(tx, c.User, t) },
	}
}

// deleted are the rows of the table in the recycle bin (§6.13).
func (c Reader) deleted(tx *store.Tx, t *entity.Table) ([]Entity, error) {
	list, err := recycle.Listed(tx, t, c.Org.Now())
	out := make([]Entity, len(list))
	for i, r := range list {
		out[i] = Entity{t, r}
	}
	return out, err
}

// retained are the rows of the table in long-term retention, for those who read
// all of its live rows ("View long term retained data").
func (c Reader) retained(tx *store.Tx, t *entity.Table) ([]Entity, error) {
	if c.User.ReadDepth(t) != access.DepthGlobal {
		return nil, access.Denied(c.User, access.Privilege("Read", t))
	}
	list, err := retention.Listed(tx, t)
	out := make([]Entity, len(list))
	for i, r := range list {
		out[i] = Entity{t, r}
	}
	return out, err
}

// unit is the business unit of the user.
func (c Reader) unit(tx *store.Tx, user allod.GUID) allod.GUID {
	if id := tx.Value("systemuser", tx.Get("systemuser", user), "businessunitid").GUID(); !id.IsZero() {
		return id
	}
	return c.Org.Unit
}

// fetchText is the FetchXML sent, or that of the view named.
func (c Reader) fetchText(tx *store.Tx) (string, error) {
	if c.Req.Options.Has("fetchXml") {
		text := c.option("fetchXml")
		// The documentation's own samples encode it twice.
		if strings.HasPrefix(strings.ToUpper(text), "%3C") {
			if again, err := url.PathUnescape(text); err == nil {
				text = again
			}
		}
		return text, nil
	}
	if c.Req.Options.Has("sql") {
		return sql.FetchXML(c.option("sql"))
	}
	name, table := c.option("savedQuery"), "savedquery"
	if c.Req.Options.Has("userQuery") {
		name, table = c.option("userQuery"), "userquery"
	}
	id, err := allod.ParseGUID(name)
	if err != nil {
		return "", wire.BadQuery("The id of the %s is not a GUID.", table)
	}
	t := c.Schema.Model.Table(table)
	row := tx.Get(table, id)
	if t == nil || row == nil {
		return "", wire.NoRow(table, id.String())
	}
	see, err := access.Reading(tx, c.User, t, c.Org.Unit)
	if err != nil {
		return "", err
	}
	if see != nil && !see(row) {
		return "", wire.Refuse(http.StatusForbidden, "0x80048306", "Principal with id %v does not have ReadAccess right(s) for record with id %v of entity %s", c.User.User, id, table)
	}
	return tx.Value(table, row, "fetchxml").Text(), nil
}

// appendFetched renders a page: nulls are left out, there is no next link
// (§4.6).
func (c Reader) appendFetched(tx *store.Tx, t *entity.Table, q *fetch.Query, res *fetch.Result) []byte {
	names := make([]string, len(res.Columns))
	writers := make([]*wire.Aliased, len(res.Columns))
	for i, col := range res.Columns {
		if c.Org.Assume["linked-names"] == "encoded" {
			col.Name = strings.ReplaceAll(col.Name, ".", "_x002e_")
		}
		names[i] = col.Name
		writers[i] = wire.NewAliased(tx, c.Schema, col.Table, col.Source, col.Name, c.Prefer.Notes)
	}
	b := append(make([]byte, 0, 512+len(res.Lines)*40*len(names)), `{"@odata.context":"`...)
	b = odata.AppendContext(b, c.Root, t.SetName, strings.Join(names, ","), odata.FormCollection)
	b = append(b, '"')
	b = c.appendFetchNotes(b, t, q, res)
	b = append(b, `,"value":[`...)
	for i, line := range res.Lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if line.Row != nil && wire.Versioned(t) {
			b = wire.AppendEtag(b, line.Row.Version)
		}
		for k, v := range line.Values {
			b = writers[k].Append(b, tx, v)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

// appendFetchNotes appends the annotations of a page that were asked for. The
// last page has no cookie (§4.6).
func (c Reader) appendFetchNotes(b []byte, t *entity.Table, q *fetch.Query, res *fetch.Result) []byte {
	if c.Prefer.Notes.All || c.Prefer.Notes.Total && q.Total {
		n := -1
		if q.Total {
			n = min(res.Total, 5000)
		}
		b = append(b, `,"@Microsoft.Dynamics.CRM.totalrecordcount":`...)
		b = strconv.AppendInt(b, int64(n), 10)
		b = append(b, `,"@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded":`...)
		b = strconv.AppendBool(b, q.Total && res.Total > 5000)
	}
	if c.Prefer.Notes.Cookie && res.More && res.Cookie {
		k := cookie{page: res.Page + 1, column: t.PrimaryID, last: res.Last, first: res.First, tracking: "False"}
		b = append(b, `,"@Microsoft.Dynamics.CRM.fetchxmlpagingcookie":`...)
		b = odata.AppendString(b, k.attribute())
	}
	if c.Prefer.Notes.More {
		b = append(b, `,"@Microsoft.Dynamics.CRM.morerecords":`...)
		b = strconv.AppendBool(b, res.More)
	}
	return b
}
