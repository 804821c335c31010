package dataverse

import (
	"net/http"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

// row finds a row for reading and checks that the user may see it.
func (c *call) row(tx *store.Tx, t *entity.Table, seg *query.Segment) (entityRow, error) {
	e, err := c.key(tx, t, seg)
	if err != nil {
		return e, err
	}
	see, err := reading(tx, c.user, e.t, c.s.unit)
	if err != nil {
		return e, err
	}
	if see != nil && !see(e.r) {
		return e, wire.Refuse(http.StatusForbidden, "0x80048306", "Principal with id %v does not have ReadAccess right(s) for record with id %v of entity %s", c.user.User, e.r.Key, e.t.LogicalName)
	}
	return e, nil
}

// read answers GET of one row.
func (c *call) read(t *entity.Table, seg *query.Segment) (*reply, error) {
	c.count("read", t)
	cond, err := odata.ParseCondition(c.header.Get("If-None-Match"))
	if err != nil {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80060888", "The value of the header If-None-Match is invalid.")
	}
	var out *reply
	err = c.view(func(tx *store.Tx) error {
		e, err := c.row(tx, t, seg)
		if err != nil {
			return err
		}
		tag := odata.FormatEtag(e.r.Version)
		if !cond.None && cond.Matches(tag) && t.Optimistic && !c.req.Options.Has("$expand") && !c.prefer.notes.Any() {
			out = &reply{status: http.StatusNotModified, header: http.Header{"Etag": {tag}}}
			return nil
		}
		body, width, err := c.renderRow(tx, t, e)
		if err != nil {
			return err
		}
		c.served(t, 1, width)
		out = &reply{status: http.StatusOK, header: http.Header{"Etag": {tag}}, body: body}
		return nil
	})
	return out, err
}

// renderRow writes one row as a response of its own.
func (c *call) renderRow(tx *store.Tx, t *entity.Table, e entityRow) ([]byte, int, error) {
	p, err := c.plansFor(tx, t, c.req.Options)
	if err != nil {
		return nil, 0, err
	}
	b := append(make([]byte, 0, 256+p.estimate()), `{"@odata.context":"`...)
	b = odata.AppendContext(b, c.root, t.SetName, c.contextColumns(), odata.FormEntity)
	b = append(b, '"')
	if b, err = p.appendRow(b, e); err != nil {
		return nil, 0, err
	}
	return append(b, '}'), p.width(), nil
}

// follow answers GET of a navigation property.
func (c *call) follow(t *entity.Table, seg *query.Segment, nav *wire.Nav) (*reply, error) {
	c.count("follow", t)
	target := c.schema.Model.Table(nav.Target)
	if target == nil && nav.Kind != wire.NavLookup {
		return nil, wire.NoSegment(nav.Name)
	}
	var out *reply
	err := c.view(func(tx *store.Tx) error {
		e, err := c.row(tx, t, seg)
		if err != nil {
			return err
		}
		if nav.Kind == wire.NavLookup {
			to, ok := c.target(tx, e, nav)
			if !ok {
				out = &reply{status: http.StatusNoContent}
				return nil
			}
			var body []byte
			if body, _, err = c.renderRow(tx, to.t, to); err == nil {
				out = &reply{status: http.StatusOK, body: body}
			}
			return err
		}
		out, err = c.listRows(tx, target, fixed(c.related(tx, e, nav)))
		return err
	})
	return out, err
}

// property answers a single property (§6.3); files and images go their own
// way.
func (c *call) property(t *entity.Table, seg *query.Segment, col *entity.Column, raw bool) (*reply, error) {
	if col.Kind == "File" || col.Kind == "Image" && (raw || c.method != http.MethodGet) {
		return c.file(t, seg, col, raw)
	}
	switch c.method {
	case http.MethodGet:
		return c.readProperty(t, seg, col, raw)
	case http.MethodPut, http.MethodDelete:
		return c.writeProperty(t, seg, col)
	}
	return nil, noMethod(c)
}

func (c *call) readProperty(t *entity.Table, seg *query.Segment, col *entity.Column, raw bool) (*reply, error) {
	c.count("property", t)
	out := &reply{status: http.StatusOK}
	err := c.view(func(tx *store.Tx) error {
		e, err := c.row(tx, t, seg)
		if err != nil {
			return err
		}
		get, err := c.getter(tx, e.t, col.Property())
		if err != nil {
			return err
		}
		v, err := get(e)
		if err != nil {
			return err
		}
		switch {
		case v.IsNull() && (raw || c.s.number("null-property-status") == http.StatusNoContent):
			out.status = http.StatusNoContent
		case raw:
			out.ctype, out.body = "text/plain", []byte(plainText(v))
		default:
			b := append([]byte(nil), `{"@odata.context":"`...)
			b = odata.AppendContext(b, c.root, t.SetName+"("+e.r.Key.String()+")/"+col.Property(), "", odata.FormCollection)
			b = append(b, `","value":`...)
			out.body = append(odata.AppendValue(b, v), '}')
		}
		return nil
	})
	c.charge(func(m *protect.Cost) time.Duration { return m.Page.Of(1) })
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
