package dataverse

import (
	"encoding/json"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/assist"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/compute"
	"allod/internal/emulator/dataverse/cosmos"
	"allod/internal/emulator/dataverse/deal"
	"allod/internal/emulator/dataverse/draft"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/expression"
	"allod/internal/emulator/dataverse/message"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/roles"
	"allod/internal/emulator/dataverse/solution/install"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Version is the product version RetrieveVersion shows.
const Version = "9.2.24014.198"

type object = map[string]any

// functions answer GET by name.
func functions() map[string]func(*call) (object, error) {
	m := map[string]func(*call) (object, error){
		"WhoAmI": func(c *call) (object, error) {
			user := c.User.User
			err := c.View(func(tx *store.Tx) error {
				if id, ok := c.Impersonated(tx); ok {
					user = id
				}
				return nil
			})
			return object{"BusinessUnitId": c.Org.Unit.String(), "UserId": user.String(), "OrganizationId": c.s.Organization().String()}, err
		},
		"RetrieveVersion": func(*call) (object, error) { return object{"Version": Version}, nil },
		"RetrieveCurrentOrganization": func(c *call) (object, error) {
			host := strings.TrimSuffix(c.Root[:strings.Index(c.Root, "/api/data/")+1], "/")
			return object{"Detail": object{
				"OrganizationId": c.s.Organization().String(), "FriendlyName": c.s.opts.OrganizationName, "OrganizationVersion": Version,
				"EnvironmentId": access.NamedID(c.s.opts.OrganizationName).String(), "TenantId": access.NamedID("tenant").String(), "Geo": "EUR",
				"UniqueName": c.s.uniqueName(), "UrlName": "org", "State": "Enabled", "OrganizationType": "CustomerTest",
				"Endpoints": object{"Count": 1, "IsReadOnly": false, "Keys": []string{"WebApplication"}, "Values": []string{host}},
			}}, nil
		},
		"FetchXmlToQueryExpression":  func(c *call) (object, error) { return expression.FromFetchXML(c.Call) },
		"RetrieveTotalRecordCount":   totalRecordCount,
		"RetrieveRolePrivilegesRole": func(c *call) (object, error) { return roles.Function(c.Writer) },
		"RetrieveTimestamp": func(c *call) (object, error) {
			return object{"Timestamp": strconv.FormatUint(c.Org.Store.Version(), 10)}, nil
		},
	}
	for name, f := range compute.Functions() {
		m[name] = func(c *call) (object, error) { return f(c.Reader, &c.Req.Path[0]) }
	}
	m[cosmos.Name] = func(c *call) (object, error) { return cosmos.Query(c.Reader, &c.Req.Path[0]) }
	m["RetrieveSolutionImportResult"] = func(c *call) (object, error) {
		var job allod.GUID
		if json.Unmarshal(request.JSON(c.Param(&c.Req.Path[0], "ImportJobId")), &job) != nil {
			return nil, wire.BadPayload("A parameter 'ImportJobId' was expected.")
		}
		return install.Result(c.Writer, job)
	}
	for name, f := range assist.Functions() {
		m[name] = func(c *call) (object, error) { return f(c.Writer) }
	}
	for name, f := range message.Functions() {
		m[name] = func(c *call) (object, error) { return f(c.Writer, nil) }
	}
	return m
}

func (c *call) function(name string, f func(*call) (object, error)) (*request.Reply, error) {
	if c.Method != http.MethodGet {
		return nil, c.noResource() // a function called with POST (§1.3)
	}
	c.Count(name, nil)
	c.Charge(func(m *protect.Cost) time.Duration { return m.Other.Of(1) })
	return c.respond(name, f)
}

// respond wraps what a function or action returns.
func (c *call) respond(name string, f func(*call) (object, error)) (*request.Reply, error) {
	out, err := f(c)
	if err != nil {
		return nil, err
	}
	if out == nil {
		return &request.Reply{Status: http.StatusNoContent}, nil
	}
	of := request.Namespace + name + "Response"
	if set, ok := out["@odata.context"].(string); ok { // a collection of rows
		of = set
		delete(out, "@odata.context")
	}
	fields, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	b := append([]byte(`{"@odata.context":"`), c.Root...)
	b = append(b, "/$metadata#"+of+`"`...)
	if len(out) > 0 {
		b = append(b, ',')
	}
	return &request.Reply{Status: http.StatusOK, Body: append(b, fields[1:]...)}, nil
}

// totalRecordCount answers exact counts at once; the real ones are a snapshot
// of up to a day ago (§4.2).
func totalRecordCount(c *call) (object, error) {
	var names []string
	var items []query.Expr
	switch list := c.Param(&c.Req.Path[0], "EntityNames").(type) {
	case *query.Array:
		items = list.Items
	case *query.List:
		items = list.Items
	}
	for _, e := range items {
		if lit, ok := e.(*query.Literal); ok {
			names = append(names, lit.Text)
		}
	}
	values := make([]int, len(names))
	err := c.View(func(tx *store.Tx) error {
		for i, n := range names {
			if c.Schema.Model.Table(n) == nil {
				return wire.Refuse(http.StatusNotFound, "0x80041102", "The entity with a name = '%s' was not found in the MetadataCache.", n)
			}
			values[i] = tx.Len(n)
		}
		return nil
	})
	return object{"EntityRecordCountCollection": object{"Count": len(names), "IsReadOnly": false, "Keys": names, "Values": values}}, err
}

// bound answers functions and actions bound to a row.
func (c *call) bound(t *entity.Table, seg *query.Segment, name string) (*request.Reply, error) {
	if name == "RetrieveUnpublished" && c.Method == http.MethodGet && draft.Kept(t) {
		return c.Unpublished(t, seg)
	}
	if f := message.Bound(t.LogicalName, name); f != nil && c.Method == http.MethodGet {
		c.Count(name, t)
		return c.respond(name, func(c *call) (object, error) { return f(c.Writer, seg) })
	}
	if f := compute.Bound(t.LogicalName, name); f != nil && c.Method == http.MethodGet {
		c.Count(name, t)
		return c.respond(name, func(c *call) (object, error) { return f(c.Reader, seg) })
	}
	if f := roles.Action(t.LogicalName, name); f != nil && c.Method == http.MethodPost {
		c.Count(name, t)
		c.Charge(func(m *protect.Cost) time.Duration { return m.Write.Of(1) })
		return c.respond(name, func(c *call) (object, error) { return f(c.Writer, seg) })
	}
	if f := assist.Bound(t.LogicalName, name); f != nil && c.Method == http.MethodPost {
		c.Count(name, t)
		c.Charge(func(m *protect.Cost) time.Duration { return m.Write.Of(1) })
		return c.respond(name, func(c *call) (object, error) { return f(c.Writer, seg) })
	}
	if f := deal.Bound(t.LogicalName, name); f != nil && c.Method == http.MethodPost {
		c.Count(name, t)
		c.Charge(func(m *protect.Cost) time.Duration { return m.Write.Of(1) })
		return c.respond(name, func(c *call) (object, error) { return f(c.Writer, seg) })
	}
	if t.LogicalName != "systemuser" || name != "RetrieveUserPrivileges" || c.Method != http.MethodGet {
		return nil, wire.NoSegment(request.Namespace + name)
	}
	c.Count(name, t)
	var id allod.GUID
	if err := c.View(func(tx *store.Tx) error {
		e, err := c.Key(tx, t, seg)
		if err == nil {
			id = e.Row.Key
		}
		return err
	}); err != nil {
		return nil, err
	}
	return c.respond(name, func(c *call) (object, error) {
		return object{"RolePrivileges": c.privileges(id)}, nil
	})
}

// privileges lists what the user may do: an application user as it is set, others
// by their roles.
func (c *call) privileges(id allod.GUID) []object {
	list := []object{}
	var user *AppUser
	for _, u := range c.s.Users() {
		if u.User == id {
			user = &u
		}
	}
	if user == nil {
		user = &AppUser{User: id}
		_ = c.View(func(tx *store.Tx) error { // never fails
			roles.Follow(tx, c.Schema.Model, user)
			return nil
		})
	}
	seen := map[string]string{}
	for _, t := range c.Schema.Model.Tables {
		if t.Abstract || t.Intersect {
			continue
		}
		for _, verb := range []string{"Read", "Create", "Write", "Delete", "Append", "AppendTo", "Assign"} {
			depth := access.DepthGlobal
			if verb == "Read" {
				depth = user.DepthOf(t.LogicalName)
			}
			name := access.Privilege(verb, t)
			if depth != access.DepthNone && depth != "" && !contains(user.Deny, name) {
				seen[name] = depth
			}
		}
	}
	for _, name := range access.Miscellaneous() {
		if user.Holds(name) {
			seen[name] = access.DepthGlobal
		}
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		list = append(list, object{
			"Depth": seen[n], "PrivilegeId": access.NamedID(n).String(), "BusinessUnitId": c.Org.Unit.String(), "PrivilegeName": n,
			"RecordFilterId": allod.GUID{}.String(), "RecordFilterUniqueName": "",
		})
	}
	return list
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (c *call) action(name string, f func(change.Writer) (map[string]any, error)) (*request.Reply, error) {
	if c.Method != http.MethodPost {
		return nil, c.noResource()
	}
	c.Count(name, nil)
	c.Charge(func(m *protect.Cost) time.Duration { return m.Write.Of(1) })
	return c.respond(name, func(c *call) (object, error) { return f(c.Writer) })
}
