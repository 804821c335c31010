package dataverse

import (
	"encoding/json"
	"net/http"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

func (c *call) chargeWrite() {
	c.charge(func(m *protect.Cost) time.Duration { return m.Write.Of(1) })
}

// written is the answer to a write of a row: 204 with its address, or the row
// itself when the client prefers so (§6.1).
func (c *call) written(tx *store.Tx, t *entity.Table, id allod.GUID, status int, url string) (*reply, error) {
	if url == "" {
		url = c.entityURL(t, id)
	}
	if !c.prefer.representation {
		h := http.Header{"Odata-Entityid": {url}}
		if c.nested {
			h.Set("Location", url)
		}
		return &reply{status: http.StatusNoContent, header: h}, nil
	}
	body, _, err := c.renderRow(tx, t, entityRow{t, tx.Get(t.LogicalName, id)})
	return &reply{status: status, body: body}, err
}

// create answers POST to a set.
func (c *call) create(t *entity.Table) (*reply, error) {
	c.count("create", t)
	c.chargeWrite()
	p, err := wire.ParsePayload(c.schema, t, c.body)
	if err != nil {
		return nil, err
	}
	var out *reply
	err = c.update(func(a *platform.Act) error {
		id, err := a.Create(t, allod.GUID{}, p)
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

func (c *call) conditions() (k conditions, err error) {
	if k.match, err = odata.ParseCondition(c.header.Get("If-Match")); err == nil {
		k.none, err = odata.ParseCondition(c.header.Get("If-None-Match"))
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
func (k conditions) holds(c *call, t *entity.Table, r *store.Row, id string) error {
	switch {
	case k.match.None:
		return nil
	case r == nil && !k.match.Any && c.s.assume["etag-on-missing"] == "412":
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

// patch answers PATCH of a row: update, or create when there is none (§6.2).
func (c *call) patch(t *entity.Table, seg *query.Segment) (*reply, error) {
	c.count("patch", t)
	c.chargeWrite()
	p, err := wire.ParsePayload(c.schema, t, c.body)
	if err != nil {
		return nil, err
	}
	k, err := c.conditions()
	if err != nil {
		return nil, err
	}
	var out *reply
	err = c.update(func(a *platform.Act) error {
		out, err = c.upsert(a, t, seg, p, k)
		return err
	})
	return out, err
}

func (c *call) upsert(a *platform.Act, t *entity.Table, seg *query.Segment, p *wire.Payload, k conditions) (*reply, error) {
	id, err := a.Key(t, seg)
	var keys []wire.Assign
	url := ""
	if _, primary := seg.ID(); !primary {
		url = c.root + "/" + string(query.AppendSegment(nil, seg))
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
		if id, err = a.Create(t, id, p); err != nil {
			return nil, err
		}
		return c.written(a.Tx, t, id, http.StatusCreated, url)
	}
	if !k.none.None && (k.none.Any || k.none.Matches(odata.FormatEtag(row.Version))) {
		return nil, wire.Refuse(http.StatusPreconditionFailed, "0x80040237", "A record with matching key values already exists.")
	}
	if err := a.Update(t, id, p); err != nil {
		return nil, err
	}
	return c.written(a.Tx, t, id, http.StatusOK, url)
}

// remove answers DELETE of a row.
func (c *call) remove(t *entity.Table, seg *query.Segment) (*reply, error) {
	c.count("delete", t)
	c.chargeWrite()
	k, err := c.conditions()
	if err != nil {
		return nil, err
	}
	err = c.update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		if err := k.holds(c, t, a.Tx.Get(t.LogicalName, id), id.String()); err != nil {
			return err
		}
		return a.Delete(t, id)
	})
	return &reply{status: http.StatusNoContent}, err
}

// writeProperty answers PUT and DELETE of a single property (§6.3).
func (c *call) writeProperty(t *entity.Table, seg *query.Segment, col *entity.Column) (*reply, error) {
	c.count("property", t)
	c.chargeWrite()
	v := allod.NullValue()
	if c.method == http.MethodPut {
		var body struct{ Value json.RawMessage }
		if err := json.Unmarshal(c.body, &body); err != nil || body.Value == nil {
			return nil, wire.BadPayload("A property 'value' was expected.")
		}
		var err error
		if v, err = wire.ParseValue(t, col, body.Value); err != nil {
			return nil, err
		}
	}
	err := c.update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		return a.Update(t, id, &wire.Payload{Values: []wire.Assign{{Column: col, Value: v}}})
	})
	return &reply{status: http.StatusNoContent}, err
}

// reference answers …/nav/$ref (§6.5).
func (c *call) reference(t *entity.Table, seg *query.Segment, nav *wire.Nav, member *query.Segment) (*reply, error) {
	c.count("reference", t)
	if c.method == http.MethodGet {
		return c.readReferences(t, seg, nav)
	}
	c.chargeWrite()
	ok := false
	switch c.method {
	case http.MethodPost:
		ok = nav.Kind != wire.NavLookup
	case http.MethodPut:
		ok = nav.Kind == wire.NavLookup
	case http.MethodDelete:
		ok = true
	}
	if !ok {
		return nil, noMethod(c)
	}
	err := c.update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		if c.method == http.MethodDelete {
			return c.dereference(a, t, id, nav, member)
		}
		var body map[string]json.RawMessage
		var ref string
		if json.Unmarshal(c.body, &body) != nil || json.Unmarshal(body[odata.ID], &ref) != nil {
			return wire.BadPayload("A property '@odata.id' was expected.")
		}
		other, far, err := a.Resolve(ref)
		if err != nil {
			return err
		}
		return a.Associate(t, id, nav, other, far)
	})
	return &reply{status: http.StatusNoContent}, err
}

func (c *call) dereference(a *platform.Act, t *entity.Table, id allod.GUID, nav *wire.Nav, member *query.Segment) error {
	if nav.Kind == wire.NavLookup {
		return a.Disassociate(t, id, nav, allod.GUID{})
	}
	if ref := c.req.Options.ID; ref != "" {
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

func (c *call) readReferences(t *entity.Table, seg *query.Segment, nav *wire.Nav) (*reply, error) {
	out := &reply{status: http.StatusOK}
	err := c.view(func(tx *store.Tx) error {
		e, err := c.row(tx, t, seg)
		if err != nil {
			return err
		}
		if nav.Kind == wire.NavLookup {
			to, ok := c.target(tx, e, nav)
			if !ok {
				out.status = http.StatusNoContent
				return nil
			}
			b := append([]byte(`{"@odata.context":"`), c.root...)
			b = append(b, `/$metadata#$ref","@odata.id":`...)
			out.body = append(odata.AppendString(b, c.entityURL(to.t, to.r.Key)), '}')
			return nil
		}
		b := append([]byte(`{"@odata.context":"`), c.root...)
		b = append(b, `/$metadata#Collection($ref)","value":[`...)
		for i, r := range c.related(tx, e, nav) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"@odata.id":`...)
			b = append(odata.AppendString(b, c.entityURL(r.t, r.r.Key)), '}')
		}
		out.body = append(b, "]}"...)
		return nil
	})
	return out, err
}

// replaceParties answers PUT of a collection of activity parties (§6.1).
func (c *call) replaceParties(t *entity.Table, seg *query.Segment, nav *wire.Nav) (*reply, error) {
	c.count("parties", t)
	c.chargeWrite()
	target := c.schema.Model.Table(nav.Target)
	if target == nil || target.LogicalName != "activityparty" || nav.Kind != wire.NavCollection {
		return nil, noMethod(c)
	}
	var body struct{ Value []json.RawMessage }
	if err := json.Unmarshal(c.body, &body); err != nil {
		return nil, wire.BadPayload("A property 'value' was expected.")
	}
	var items []*wire.Payload
	for _, raw := range body.Value {
		p, err := wire.ParsePayload(c.schema, target, raw)
		if err != nil {
			return nil, err
		}
		items = append(items, p)
	}
	err := c.update(func(a *platform.Act) error {
		id, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		return a.ReplaceParties(t, id, nav, items)
	})
	return &reply{status: http.StatusNoContent}, err
}

// multiple answers CreateMultiple and its like (§6.10).
func (c *call) multiple(t *entity.Table, name string) (*reply, error) {
	switch name {
	case "CreateMultiple", "UpdateMultiple", "UpsertMultiple":
	case "DeleteMultiple":
		return nil, wire.Refuse(http.StatusNotImplemented, "0x80040203", "DeleteMultiple has not yet been implemented.")
	default:
		return nil, wire.NoSegment(name)
	}
	c.count(name, t)
	var body struct{ Targets []json.RawMessage }
	if err := json.Unmarshal(c.body, &body); err != nil || len(body.Targets) == 0 {
		return nil, wire.BadPayload("A property 'Targets' with at least one row was expected.")
	}
	c.charge(func(m *protect.Cost) time.Duration { return m.Multiple.Of(1) + m.MultipleIn.Of(len(body.Targets)) })
	payloads := make([]*wire.Payload, len(body.Targets))
	for i, raw := range body.Targets {
		p, err := wire.ParsePayload(c.schema, t, raw)
		if err != nil {
			return nil, err
		}
		if p.Type != t.LogicalName {
			return nil, wire.BadPayload("Each target needs an '@odata.type' of the table.")
		}
		payloads[i] = p
	}
	var ids []allod.GUID
	err := c.update(func(a *platform.Act) error {
		for _, p := range payloads {
			id, err := c.oneOfMany(a, t, name, p)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil || name != "CreateMultiple" {
		return &reply{status: http.StatusNoContent}, err
	}
	b := append([]byte(`{"@odata.context":"`), c.root...)
	b = append(b, `/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse","Ids":[`...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = odata.AppendGUID(b, id)
	}
	return &reply{status: http.StatusOK, body: append(b, "]}"...)}, nil
}

func (c *call) oneOfMany(a *platform.Act, t *entity.Table, name string, p *wire.Payload) (allod.GUID, error) {
	if name == "CreateMultiple" {
		return a.Create(t, allod.GUID{}, p)
	}
	id := p.Key
	if !p.HasKey && p.ID != "" {
		segs, err := query.Dialect{}.ParsePath(platform.Relative(p.ID))
		if err != nil || len(segs) != 1 {
			return id, wire.BadPayload("Invalid '@odata.id'.")
		}
		if id, err = a.Key(t, &segs[0]); err != nil && name == "UpdateMultiple" {
			return id, err
		} else if err != nil {
			keys, err := a.KeyValues(t, &segs[0])
			if err != nil {
				return id, err
			}
			p.Values = append(keys, p.Values...)
		}
	} else if !p.HasKey {
		return id, wire.BadPayload("Each target needs the primary key or '@odata.id'.")
	}
	if name == "UpsertMultiple" && !a.Exists(t, id) {
		return a.Create(t, id, p)
	}
	return id, a.Update(t, id, p)
}
