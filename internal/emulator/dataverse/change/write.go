package change

import (
	"encoding/json"
	"net/http"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/elastic"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/rows"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

// Writer answers the writes of one call.
type Writer struct {
	rows.Reader
	uploads *Uploads
}

// NewWriter returns the writer of the call. Uploads outlive calls.
func NewWriter(c *request.Call, u *Uploads) Writer { return Writer{rows.Reader{Call: c}, u} }

func (c Writer) chargeWrite() {
	c.Charge(func(m *protect.Cost) time.Duration { return m.Write.Of(1) })
}

// written is the answer to a write of a row: 204 with its address, or the row
// itself when the client prefers so (§6.1).
func (c Writer) written(tx *store.Tx, t *entity.Table, id allod.GUID, status int, url string) (*request.Reply, error) {
	if url == "" {
		url = c.URLOf(t, id)
	}
	h := sessionToken(tx, t)
	if !c.Prefer.Representation {
		h["Odata-Entityid"] = []string{url}
		if c.Nested {
			h.Set("Location", url)
		}
		return &request.Reply{Status: http.StatusNoContent, Header: h}, nil
	}
	body, _, err := c.Render(tx, t, rows.Entity{Table: t, Row: tx.Get(t.LogicalName, id)})
	return &request.Reply{Status: status, Header: h, Body: body}, err
}

// Create answers POST to a set.
func (c Writer) Create(t *entity.Table) (*request.Reply, error) {
	c.Count("create", t)
	c.chargeWrite()
	p, err := wire.ParsePayload(c.Schema, t, c.Body)
	if err != nil {
		return nil, err
	}
	var out *request.Reply
	err = c.Update(func(a *platform.Act) error {
		id, err := a.Create(t, allod.GUID{}, p)
		if err == nil {
			err = c.unique(a, t, id)
		}
		if err != nil {
			return err
		}
		out, err = c.written(a.Tx, t, id, http.StatusCreated, "")
		return err
	})
	return out, err
}

// conditions are the two headers that guard a write. The literal null is no
// condition (§15.1).
type conditions struct{ match, none odata.ETagCondition }

func (c Writer) conditions() (k conditions, err error) {
	if k.match, err = odata.ParseCondition(c.Header.Get("If-Match")); err == nil {
		k.none, err = odata.ParseCondition(c.Header.Get("If-None-Match"))
	}
	if err != nil {
		return k, wire.Refuse(http.StatusBadRequest, "0x80060888", "The value of a conditional header is invalid.")
	}
	return k, nil
}

func versionMismatch() error {
	return wire.Refuse(http.StatusPreconditionFailed, "0x80060882", "The version of the existing record doesn't match the RowVersion property provided.")
}

// holds checks If-Match against the row; r nil = it does not exist.
func (k conditions) holds(c Writer, t *entity.Table, r *store.Row, id string) error {
	switch {
	case k.match.None:
		return nil
	case r == nil && !k.match.Any && c.Org.Assume["etag-on-missing"] == "412":
		return versionMismatch()
	case r == nil:
		return wire.NoRow(t.LogicalName, id)
	case k.match.Any:
		return nil
	case !k.match.Matches(odata.FormatEtag(r.Version)):
		return versionMismatch()
	}
	return nil
}

// Patch answers PATCH of a row: update, or create when there is none (§6.2).
func (c Writer) Patch(t *entity.Table, seg *query.Segment) (*request.Reply, error) {
	c.Count("patch", t)
	c.chargeWrite()
	p, err := wire.ParsePayload(c.Schema, t, c.Body)
	if err != nil {
		return nil, err
	}
	k, err := c.conditions()
	if err != nil {
		return nil, err
	}
	var out *request.Reply
	err = c.Update(func(a *platform.Act) error {
		out, err = c.upsert(a, t, seg, p, k)
		return err
	})
	return out, err
}

func (c Writer) upsert(a *platform.Act, t *entity.Table, seg *query.Segment, p *wire.Payload, k conditions) (*request.Reply, error) {
	id, err := a.Key(t, seg)
	var keys []wire.Assign
	url := ""
	if _, primary := seg.ID(); !primary {
		url = c.Root + "/" + string(query.AppendSegment(nil, seg))
		var badKey error
		if keys, badKey = a.KeyValues(t, seg); badKey != nil {
			return nil, badKey
		}
	} else if err != nil {
		return nil, err
	}
	var row *store.Row
	if err == nil {
		row = a.Tx.Get(t.LogicalName, id)
	}
	if err := k.holds(c, t, row, id.String()); err != nil {
		return nil, err
	}
	if row == nil {
		p.Values = append(keys, p.Values...) // the body's own values win (§6.2)
		if id, err = a.Create(t, id, p); err == nil {
			err = c.unique(a, t, id)
		}
		if err != nil {
			return nil, err
		}
		return c.written(a.Tx, t, id, http.StatusCreated, url)
	}
	if !inPartition(a, t, row, c.partition(seg)) {
		return nil, wire.NoRow(t.LogicalName, id.String())
	}
	if !k.none.None && (k.none.Any || k.none.Matches(odata.FormatEtag(row.Version))) {
		return nil, wire.Refuse(http.StatusPreconditionFailed, "0x80040237", "A record with matching key values already exists.")
	}
	write := a.Update
	if elastic.Is(t) && k.match.None {
		write = a.Replace
	}
	if err = write(t, id, p); err == nil {
		err = c.unique(a, t, id)
	}
	if err != nil {
		return nil, err
	}
	return c.written(a.Tx, t, id, http.StatusOK, url)
}

// Remove answers DELETE of a row.
func (c Writer) Remove(t *entity.Table, seg *query.Segment) (*request.Reply, error) {
	c.Count("delete", t)
	c.chargeWrite()
	k, err := c.conditions()
	if err != nil {
		return nil, err
	}
	err = c.Update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		r := a.Tx.Get(t.LogicalName, id)
		if err := k.holds(c, t, r, id.String()); err != nil {
			return err
		}
		if !inPartition(a, t, r, c.partition(seg)) {
			return wire.NoRow(t.LogicalName, id.String())
		}
		return a.Delete(t, id)
	})
	return &request.Reply{Status: http.StatusNoContent}, err
}

// SetProperty answers PUT and DELETE of a single property (§6.3).
func (c Writer) SetProperty(t *entity.Table, seg *query.Segment, col *entity.Column) (*request.Reply, error) {
	c.Count("property", t)
	c.chargeWrite()
	v := allod.NullValue()
	if c.Method == http.MethodPut {
		var body struct{ Value json.RawMessage }
		if err := json.Unmarshal(c.Body, &body); err != nil || body.Value == nil {
			return nil, wire.BadPayload("A property 'value' was expected.")
		}
		var err error
		if v, err = wire.ParseValue(t, col, body.Value); err != nil {
			return nil, err
		}
	}
	err := c.Update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		return a.Update(t, id, &wire.Payload{Values: []wire.Assign{{Column: col, Value: v}}})
	})
	return &request.Reply{Status: http.StatusNoContent}, err
}

// Reference answers …/nav/$ref (§6.5).
func (c Writer) Reference(t *entity.Table, seg *query.Segment, nav *wire.Nav, member *query.Segment) (*request.Reply, error) {
	c.Count("reference", t)
	if c.Method == http.MethodGet {
		return c.readReferences(t, seg, nav)
	}
	c.chargeWrite()
	ok := false
	switch c.Method {
	case http.MethodPost:
		ok = nav.Kind != wire.NavLookup
	case http.MethodPut:
		ok = nav.Kind == wire.NavLookup
	case http.MethodDelete:
		ok = true
	}
	if !ok {
		return nil, c.NoMethod()
	}
	err := c.Update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		if c.Method == http.MethodDelete {
			return c.dereference(a, t, id, nav, member)
		}
		var body map[string]json.RawMessage
		var ref string
		if json.Unmarshal(c.Body, &body) != nil || json.Unmarshal(body[odata.ID], &ref) != nil {
			return wire.BadPayload("A property '@odata.id' was expected.")
		}
		other, far, err := a.Resolve(ref)
		if err != nil {
			return err
		}
		return a.Associate(t, id, nav, other, far)
	})
	return &request.Reply{Status: http.StatusNoContent}, err
}

func (c Writer) dereference(a *platform.Act, t *entity.Table, id allod.GUID, nav *wire.Nav, member *query.Segment) error {
	if nav.Kind == wire.NavLookup {
		return a.Disassociate(t, id, nav, allod.GUID{})
	}
	if ref := c.Req.Options.ID; ref != "" {
		_, far, err := a.Resolve(ref)
		if err != nil {
			return err
		}
		return a.Disassociate(t, id, nav, far)
	}
	far, ok := member.ID()
	if !ok {
		return wire.Refuse(http.StatusBadRequest, "0x80060888", "The related row must be named by key or by $id.")
	}
	return a.Disassociate(t, id, nav, far)
}

func (c Writer) readReferences(t *entity.Table, seg *query.Segment, nav *wire.Nav) (*request.Reply, error) {
	out := &request.Reply{Status: http.StatusOK}
	err := c.View(func(tx *store.Tx) error {
		e, err := c.Find(tx, t, seg)
		if err != nil {
			return err
		}
		if nav.Kind == wire.NavLookup {
			to, ok := c.Target(tx, e, nav)
			if !ok {
				out.Status = http.StatusNoContent
				return nil
			}
			b := append([]byte(`{"@odata.context":"`), c.Root...)
			b = append(b, `/$metadata#$ref","@odata.id":`...)
			out.Body = append(odata.AppendString(b, c.URLOf(to.Table, to.Row.Key)), '}')
			return nil
		}
		b := append([]byte(`{"@odata.context":"`), c.Root...)
		b = append(b, `/$metadata#Collection($ref)","value":[`...)
		for i, r := range c.Related(tx, e, nav) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"@odata.id":`...)
			b = append(odata.AppendString(b, c.URLOf(r.Table, r.Row.Key)), '}')
		}
		out.Body = append(b, "]}"...)
		return nil
	})
	return out, err
}

// Parties answers PUT of a collection of activity parties (§6.1).
func (c Writer) Parties(t *entity.Table, seg *query.Segment, nav *wire.Nav) (*request.Reply, error) {
	c.Count("parties", t)
	c.chargeWrite()
	target := c.Schema.Model.Table(nav.Target)
	if target == nil || target.LogicalName != "activityparty" || nav.Kind != wire.NavCollection {
		return nil, c.NoMethod()
	}
	var body struct{ Value []json.RawMessage }
	if err := json.Unmarshal(c.Body, &body); err != nil {
		return nil, wire.BadPayload("A property 'value' was expected.")
	}
	var items []*wire.Payload
	for _, raw := range body.Value {
		p, err := wire.ParsePayload(c.Schema, target, raw)
		if err != nil {
			return nil, err
		}
		items = append(items, p)
	}
	err := c.Update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		return a.ReplaceParties(t, id, nav, items)
	})
	return &request.Reply{Status: http.StatusNoContent}, err
}
