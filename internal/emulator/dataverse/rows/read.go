package rows

import (
	"net/http"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

// Key finds the row a segment names, for reading, whether the user may see it or
// not.
func (c Reader) Key(tx *store.Tx, t *entity.Table, seg *query.Segment) (Entity, error) {
	a := c.Act(tx)
	id, err := a.Key(t, seg)
	if err != nil {
		if e := wire.AsError(err); e.Code == "0x80060891" {
			e.Status = c.Org.Number("key-not-found-status")
		}
		return Entity{}, err
	}
	for _, at := range c.tablesOf(t) {
		if r := tx.Get(at.LogicalName, id); r != nil {
			return Entity{at, r}, nil
		}
	}
	return Entity{}, wire.NoRow(t.LogicalName, id.String())
}

// Find finds a row for reading and checks that the user may see it.
func (c Reader) Find(tx *store.Tx, t *entity.Table, seg *query.Segment) (Entity, error) {
	e, err := c.Key(tx, t, seg)
	if err != nil {
		return e, err
	}
	see, err := access.Reading(tx, c.User, e.Table, c.Org.Unit)
	if err != nil {
		return e, err
	}
	if see != nil && !see(e.Row) {
		return e, wire.Refuse(http.StatusForbidden, "0x80048306", "Principal with id %v does not have ReadAccess right(s) for record with id %v of entity %s", c.User.User, e.Row.Key, e.Table.LogicalName)
	}
	return e, nil
}

// Read answers GET of one row.
func (c Reader) Read(t *entity.Table, seg *query.Segment) (*request.Reply, error) {
	c.Count("read", t)
	cond, err := odata.ParseCondition(c.Header.Get("If-None-Match"))
	if err != nil {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80060888", "The value of the header If-None-Match is invalid.")
	}
	var out *request.Reply
	err = c.View(func(tx *store.Tx) error {
		e, err := c.Find(tx, t, seg)
		if err != nil {
			return err
		}
		tag := odata.FormatEtag(e.Row.Version)
		if !cond.None && cond.Matches(tag) && t.Optimistic && !c.Req.Options.Has("$expand") && !c.Prefer.Notes.Any() {
			out = &request.Reply{Status: http.StatusNotModified, Header: http.Header{"Etag": {tag}}}
			return nil
		}
		body, width, err := c.Render(tx, t, e)
		if err != nil {
			return err
		}
		c.served(t, 1, width)
		out = &request.Reply{Status: http.StatusOK, Header: http.Header{}, Body: body}
		if wire.Versioned(e.Table) {
			out.Header.Set("Etag", tag)
		}
		return nil
	})
	return out, err
}

// Render writes one row as a response of its own.
func (c Reader) Render(tx *store.Tx, t *entity.Table, e Entity) ([]byte, int, error) {
	p, err := c.plansFor(tx, t, c.Req.Options, false)
	if err != nil {
		return nil, 0, err
	}
	b := append(make([]byte, 0, 256+p.estimate()), `{"@odata.context":"`...)
	b = odata.AppendContext(b, c.Root, t.SetName, c.contextColumns(), odata.FormEntity)
	b = append(b, '"')
	if b, err = p.appendRow(b, e); err != nil {
		return nil, 0, err
	}
	return append(b, '}'), p.width(), nil
}

// Follow answers GET of a navigation property.
func (c Reader) Follow(t *entity.Table, seg *query.Segment, nav *wire.Nav) (*request.Reply, error) {
	c.Count("follow", t)
	target := c.Schema.Model.Table(nav.Target)
	if target == nil && nav.Kind != wire.NavLookup {
		return nil, wire.NoSegment(nav.Name)
	}
	var out *request.Reply
	err := c.View(func(tx *store.Tx) error {
		e, err := c.Find(tx, t, seg)
		if err != nil {
			return err
		}
		if nav.Kind == wire.NavLookup {
			to, ok := c.Target(tx, e, nav)
			if !ok {
				out = &request.Reply{Status: http.StatusNoContent}
				return nil
			}
			var body []byte
			if body, _, err = c.Render(tx, to.Table, to); err == nil {
				out = &request.Reply{Status: http.StatusOK, Body: body}
			}
			return err
		}
		related := c.Related(tx, e, nav)
		if c.predefined() {
			out, err = c.fetchRows(tx, target, append([]Entity{}, related...))
			return err
		}
		out, err = c.listRows(tx, target, fixed(related))
		return err
	})
	return out, err
}

// Property answers GET of a single property (§6.3); raw is its plain text.
func (c Reader) Property(t *entity.Table, seg *query.Segment, col *entity.Column, raw bool) (*request.Reply, error) {
	c.Count("property", t)
	out := &request.Reply{Status: http.StatusOK}
	err := c.View(func(tx *store.Tx) error {
		e, err := c.Find(tx, t, seg)
		if err != nil {
			return err
		}
		get, err := c.getter(tx, e.Table, col.Property())
		if err != nil {
			return err
		}
		v, err := get(e)
		if err != nil {
			return err
		}
		switch {
		case v.IsNull() && (raw || c.Org.Number("null-property-status") == http.StatusNoContent):
			out.Status = http.StatusNoContent
		case raw:
			out.Type, out.Body = "text/plain", []byte(plainText(v))
		default:
			b := append([]byte(nil), `{"@odata.context":"`...)
			b = odata.AppendContext(b, c.Root, t.SetName+"("+e.Row.Key.String()+")/"+col.Property(), "", odata.FormCollection)
			b = append(b, `","value":`...)
			out.Body = append(odata.AppendValue(b, v), '}')
		}
		return nil
	})
	c.Charge(func(m *protect.Cost) time.Duration { return m.Page.Of(1) })
	return out, err
}

func plainText(v allod.Value) string {
	if v.Type() == allod.Boolean && v.Bool() {
		return "True"
	}
	if v.Type() == allod.Boolean {
		return "False"
	}
	return v.String()
}
