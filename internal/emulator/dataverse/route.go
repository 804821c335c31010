package dataverse

import (
	"net/http"
	"strings"

	"allod/internal/emulator/dataverse/assist"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/customize"
	"allod/internal/emulator/dataverse/deal"
	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/draft"
	"allod/internal/emulator/dataverse/elastic"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/expression"
	"allod/internal/emulator/dataverse/message"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/solution"
	"allod/internal/emulator/dataverse/solution/install"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// noResource refuses what exists for another method with 404 (§1.3).
func (c *call) noResource() error {
	return wire.Refuse(http.StatusNotFound, "", "No HTTP resource was found that matches the request URI '%s/%s'.", c.Root, c.URL)
}

// route finds what the path means (protocols/dataverse.md §14.4).
func (c *call) route() (*request.Reply, error) {
	if err := c.Guard(); err != nil {
		return nil, err
	}
	path := c.Req.Path
	if len(path) == 0 {
		return describe.Service(c.Call)
	}
	switch path[0].Kind {
	case query.SegMetadata:
		return describe.Document(c.Call)
	case query.SegBatch:
		return c.batch()
	case query.SegName:
	case query.SegContentID:
		return c.routeReference()
	default:
		return nil, wire.NoSegment(path[0].Name)
	}
	name := strings.TrimPrefix(path[0].Name, request.Namespace)
	switch name {
	case "EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions", "ManagedPropertyDefinitions":
		if c.Method != http.MethodGet {
			return customize.Definitions(c.Call, c.s.reshape)
		}
		return describe.Definitions(c.Call)
	case "RetrieveMetadataChanges":
		return describe.Changes(c.Call, c.s.history, c.s.subscriptionDays())
	}
	if name == "RetrieveDuplicates" && len(path) == 1 && c.Method == http.MethodGet {
		return c.Duplicates()
	}
	if f := customize.Actions()[name]; f != nil && len(path) == 1 {
		return c.action(name, func(w change.Writer) (map[string]any, error) { return f(w.Call, c.s.reshape) })
	}
	if f := functions()[name]; f != nil && len(path) == 1 {
		return c.function(name, f)
	}
	if name == "QueryExpressionToFetchXml" && len(path) == 1 {
		return c.action(name, func(w change.Writer) (map[string]any, error) { return expression.ToFetchXML(w.Call) })
	}
	if f := change.Messages()[name]; f != nil && len(path) == 1 {
		return c.action(name, f)
	}
	if f := message.Actions()[name]; f != nil && len(path) == 1 {
		return c.action(name, f)
	}
	if f := install.Actions()[name]; f != nil && len(path) == 1 {
		return c.action(name, func(w change.Writer) (map[string]any, error) {
			return f(w, c.s.reshape, func() func() error {
				before := c.s.Model()
				return func() error { return c.s.undo(before, c.s.Model()) }
			})
		})
	}
	if f := assist.Actions()[name]; f != nil && len(path) == 1 {
		return c.action(name, f)
	}
	if f := solution.Actions()[name]; f != nil && len(path) == 1 {
		return c.action(name, f)
	}
	if f := deal.Actions()[name]; f != nil && len(path) == 1 {
		return c.action(name, f)
	}
	t := c.Schema.Model.Set(path[0].Name)
	if t == nil || !c.Exists(t) {
		return nil, wire.NoSegment(path[0].Name)
	}
	return c.routeSet(t, path)
}

// routeReference replaces $n by what the operation with that Content-ID made.
func (c *call) routeReference() (*request.Reply, error) {
	id := c.Req.Path[0].Name
	target, ok := c.Refs[id]
	if !ok {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80048d19", "Content-ID Reference: '$%s' does not exist in the batch context.", id)
	}
	segs, err := query.Dialect{}.ParsePath(platform.Relative(target))
	if err != nil {
		return nil, wire.NoSegment(id)
	}
	c.Req.Path = append(segs, c.Req.Path[1:]...)
	return c.route()
}

func (c *call) routeSet(t *entity.Table, path []query.Segment) (*request.Reply, error) {
	if t.TableType == "Virtual" {
		return nil, wire.NotHere(t.LogicalName)
	}
	if elastic.Is(t) {
		if err := c.Expire(t); err != nil {
			return nil, err
		}
	}
	if !path[0].Parens {
		switch {
		case len(path) == 1 && c.Method == http.MethodGet:
			return c.List(t)
		case len(path) == 1 && c.Method == http.MethodPost:
			return c.Create(t)
		case len(path) == 1:
			return nil, c.NoMethod()
		case path[1].Kind == query.SegCount && c.Method == http.MethodGet:
			return c.CountRows(t)
		case strings.TrimPrefix(path[1].Name, request.Namespace) == "RetrieveUnpublishedMultiple" && c.Method == http.MethodGet && len(path) == 2 && draft.Kept(t):
			return c.UnpublishedRows(t)
		case path[1].Kind == query.SegName && c.Method == http.MethodPost && len(path) == 2:
			return c.Multiple(t, strings.TrimPrefix(path[1].Name, request.Namespace))
		}
		return nil, wire.NoSegment(path[len(path)-1].Name)
	}
	if err := c.KeyText(&path[0]); err != nil {
		return nil, err
	}
	if len(path) == 1 {
		switch c.Method {
		case http.MethodGet:
			return c.Read(t, &path[0])
		case http.MethodPatch:
			return c.Patch(t, &path[0])
		case http.MethodDelete:
			return c.Remove(t, &path[0])
		case http.MethodPut:
			return nil, wire.Refuse(http.StatusMethodNotAllowed, "0x80060888", "PUT is not supported on a row; use PATCH.")
		}
		return nil, c.NoMethod()
	}
	return c.routeMember(t, path)
}

// routeMember answers what stands behind a row: property, reference, value.
func (c *call) routeMember(t *entity.Table, path []query.Segment) (*request.Reply, error) {
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
	if nav := c.Schema.Nav(t.LogicalName, m.Name); nav != nil {
		switch {
		case len(path) == 3 && last == query.SegRef:
			return c.Reference(t, &path[0], nav, m)
		case len(path) == 2 && c.Method == http.MethodGet:
			return c.Follow(t, &path[0], nav)
		case len(path) == 3 && last == query.SegCount && c.Method == http.MethodGet:
			return c.Follow(t, &path[0], nav)
		case len(path) == 2 && c.Method == http.MethodPut:
			return c.Parties(t, &path[0], nav)
		}
		return nil, c.NoMethod()
	}
	if strings.HasPrefix(m.Name, request.Namespace) {
		return c.bound(t, &path[0], strings.TrimPrefix(m.Name, request.Namespace))
	}
	return nil, wire.NoSegment(m.Name)
}

// property answers a single property (§6.3); files and images go their own
// way.
func (c *call) property(t *entity.Table, seg *query.Segment, col *entity.Column, raw bool) (*request.Reply, error) {
	if col.Kind == "File" || col.Kind == "Image" && (raw || c.Method != http.MethodGet) {
		return c.File(t, seg, col, raw)
	}
	switch c.Method {
	case http.MethodGet:
		return c.Property(t, seg, col, raw)
	case http.MethodPut, http.MethodDelete:
		return c.SetProperty(t, seg, col)
	}
	return nil, c.NoMethod()
}
