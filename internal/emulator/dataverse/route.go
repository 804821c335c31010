package dataverse

import (
	"net/http"
	"strings"

	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

const namespace = "Microsoft.Dynamics.CRM."

func noResource(c *call) error {
	return wire.Refuse(http.StatusNotFound, "", "No HTTP resource was found that matches the request URI '%s/%s'.", c.root, c.url)
}

func noMethod(c *call) error {
	return wire.Refuse(http.StatusMethodNotAllowed, "", "The requested resource does not support http method '%s'.", c.method)
}

// route finds what the path means (protocols/dataverse.md §14.4).
func (c *call) route() (*reply, error) {
	path := c.req.Path
	if len(path) == 0 {
		return c.serviceDocument()
	}
	switch path[0].Kind {
	case query.SegMetadata:
		return c.metadataDocument()
	case query.SegBatch:
		return c.batch()
	case query.SegName:
	case query.SegContentID:
		return c.routeReference()
	default:
		return nil, wire.NoSegment(path[0].Name)
	}
	name := strings.TrimPrefix(path[0].Name, namespace)
	switch name {
	case "EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions", "ManagedPropertyDefinitions":
		return c.definitions(path)
	}
	if f := functions()[name]; f != nil && len(path) == 1 {
		return c.function(name, f)
	}
	if f := actions()[name]; f != nil && len(path) == 1 {
		return c.action(name, f)
	}
	t := c.schema.Model.Set(path[0].Name)
	if t == nil || !c.exists(t) {
		return nil, wire.NoSegment(path[0].Name)
	}
	return c.routeSet(t, path)
}

// routeReference replaces $n by what the operation with that Content-ID made.
func (c *call) routeReference() (*reply, error) {
	id := c.req.Path[0].Name
	target, ok := c.refs[id]
	if !ok {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80048d19", "Content-ID Reference: '$%s' does not exist in the batch context.", id)
	}
	segs, err := query.Dialect{}.ParsePath(platform.Relative(target))
	if err != nil {
		return nil, wire.NoSegment(id)
	}
	c.req.Path = append(segs, c.req.Path[1:]...)
	return c.route()
}

// exists reports whether the table has not been dropped.
func (c *call) exists(t *entity.Table) bool {
	if t.LogicalName == "activitypointer" {
		return true
	}
	if c.tx != nil { // the store is locked for the change set
		return c.tx.Has(t.LogicalName)
	}
	return c.s.store.Has(t.LogicalName)
}

func (c *call) routeSet(t *entity.Table, path []query.Segment) (*reply, error) {
	if !path[0].Parens {
		switch {
		case len(path) == 1 && c.method == http.MethodGet:
			return c.list(t)
		case len(path) == 1 && c.method == http.MethodPost:
			return c.create(t)
		case len(path) == 1:
			return nil, noMethod(c)
		case path[1].Kind == query.SegCount && c.method == http.MethodGet:
			return c.countRows(t)
		case path[1].Kind == query.SegName && c.method == http.MethodPost && len(path) == 2:
			return c.multiple(t, strings.TrimPrefix(path[1].Name, namespace))
		}
		return nil, wire.NoSegment(path[len(path)-1].Name)
	}
	if len(path) == 1 {
		switch c.method {
		case http.MethodGet:
			return c.read(t, &path[0])
		case http.MethodPatch:
			return c.patch(t, &path[0])
		case http.MethodDelete:
			return c.remove(t, &path[0])
		case http.MethodPut:
			return nil, wire.Refuse(http.StatusMethodNotAllowed, "0x80060888", "PUT is not supported on a row; use PATCH.")
		}
		return nil, noMethod(c)
	}
	return c.routeMember(t, path)
}

// routeMember answers what stands behind a row: property, reference, value.
func (c *call) routeMember(t *entity.Table, path []query.Segment) (*reply, error) {
	m := &path[1]
	if m.Kind == query.SegRef || m.Kind != query.SegName {
		return nil, wire.NoSegment(m.Name)
	}
	last := path[len(path)-1].Kind
	if col := t.Column(m.Name); col != nil && col.Property() == m.Name && !wire.IsLookup(col) {
		if len(path) > 3 || len(path) == 3 && last != query.SegValue {
			return nil, wire.NoSegment(path[2].Name)
		}
		return c.property(t, &path[0], col, last == query.SegValue)
	}
	if nav := c.schema.Nav(t.LogicalName, m.Name); nav != nil {
		switch {
		case len(path) == 3 && last == query.SegRef:
			return c.reference(t, &path[0], nav, m)
		case len(path) == 2 && c.method == http.MethodGet:
			return c.follow(t, &path[0], nav)
		case len(path) == 3 && last == query.SegCount && c.method == http.MethodGet:
			return c.follow(t, &path[0], nav)
		case len(path) == 2 && c.method == http.MethodPut:
			return c.replaceParties(t, &path[0], nav)
		}
		return nil, noMethod(c)
	}
	if strings.HasPrefix(m.Name, namespace) {
		return c.bound(t, &path[0], strings.TrimPrefix(m.Name, namespace))
	}
	return nil, wire.NoSegment(m.Name)
}

// key finds the row a segment names, for reading.
func (c *call) key(tx *store.Tx, t *entity.Table, seg *query.Segment) (entityRow, error) {
	a := c.act(tx)
	id, err := a.Key(t, seg)
	if err != nil {
		if e := wire.AsError(err); e.Code == "0x80060891" {
			e.Status = c.s.number("key-not-found-status")
		}
		return entityRow{}, err
	}
	for _, at := range c.tablesOf(t) {
		if r := tx.Get(at.LogicalName, id); r != nil {
			return entityRow{at, r}, nil
		}
	}
	return entityRow{}, wire.NoRow(t.LogicalName, id.String())
}
