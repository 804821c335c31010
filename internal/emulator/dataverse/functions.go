package dataverse

import (
	"encoding/json"
	"net/http"
	"sort"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Version is the product version RetrieveVersion shows.
const Version = "9.2.24014.198"

type object = map[string]any

// functions answer GET by name.
func functions() map[string]func(*call) (object, error) {
	return map[string]func(*call) (object, error){
		"WhoAmI": func(c *call) (object, error) {
			user := c.user.User
			err := c.view(func(tx *store.Tx) error {
				if id, ok := c.impersonated(tx); ok {
					user = id
				}
				return nil
			})
			return object{"BusinessUnitId": c.s.unit.String(), "UserId": user.String(), "OrganizationId": c.s.Organization().String()}, err
		},
		"RetrieveVersion": func(*call) (object, error) { return object{"Version": Version}, nil },
		"RetrieveCurrentOrganization": func(c *call) (object, error) {
			host := strings.TrimSuffix(c.root[:strings.Index(c.root, "/api/data/")+1], "/")
			return object{"Detail": object{
				"OrganizationId": c.s.Organization().String(), "FriendlyName": c.s.opts.OrganizationName, "OrganizationVersion": Version,
				"EnvironmentId": nameID(c.s.opts.OrganizationName).String(), "TenantId": nameID("tenant").String(), "Geo": "EUR",
				"UniqueName": "org" + c.s.unit.String()[:8], "UrlName": "org", "State": "Enabled", "OrganizationType": "Sandbox",
				"Endpoints": object{"Count": 1, "IsReadOnly": false, "Keys": []string{"WebApplication"}, "Values": []string{host}},
			}}, nil
		},
		"RetrieveTotalRecordCount": totalRecordCount,
		"RetrieveTimestamp": func(c *call) (object, error) {
			return object{"Timestamp": utoa(c.s.store.Version())}, nil
		},
	}
}

func (c *call) function(name string, f func(*call) (object, error)) (*reply, error) {
	if c.method != http.MethodGet {
		return nil, noResource(c) // a function called with POST (§1.3)
	}
	c.count(name, nil)
	c.charge(func(m *protect.Cost) time.Duration { return m.Other.Of(1) })
	return c.respond(name, f)
}

// respond wraps what a function or action returns.
func (c *call) respond(name string, f func(*call) (object, error)) (*reply, error) {
	out, err := f(c)
	if err != nil {
		return nil, err
	}
	if out == nil {
		return &reply{status: http.StatusNoContent}, nil
	}
	fields, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	b := append([]byte(`{"@odata.context":"`), c.root...)
	b = append(b, "/$metadata#"+namespace+name+`Response"`...)
	if len(out) > 0 {
		b = append(b, ',')
	}
	return &reply{status: http.StatusOK, body: append(b, fields[1:]...)}, nil
}

// param returns a function parameter, aliases resolved.
func (c *call) param(seg *query.Segment, name string) query.Expr {
	for _, a := range seg.Args {
		if a.Name != name {
			continue
		}
		if alias, ok := a.Value.(*query.Alias); ok {
			return c.req.Options.Aliases[alias.Name]
		}
		if p, ok := a.Value.(*query.Path); ok && len(p.Steps) == 1 && p.Steps[0].Kind == query.StepAlias {
			return c.req.Options.Aliases[p.Steps[0].Name]
		}
		return a.Value
	}
	return nil
}

// totalRecordCount answers exact counts at once; the real ones are a snapshot
// of up to a day ago (§4.2).
func totalRecordCount(c *call) (object, error) {
	var names []string
	var items []query.Expr
	switch list := c.param(&c.req.Path[0], "EntityNames").(type) {
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
	err := c.view(func(tx *store.Tx) error {
		for i, n := range names {
			if c.schema.Model.Table(n) == nil {
				return wire.Refuse(http.StatusNotFound, "0x80041102", "The entity with a name = '%s' was not found in the MetadataCache.", n)
			}
			values[i] = tx.Len(n)
		}
		return nil
	})
	return object{"EntityRecordCountCollection": object{"Count": len(names), "IsReadOnly": false, "Keys": names, "Values": values}}, err
}

// bound answers functions and actions bound to a row.
func (c *call) bound(t *entity.Table, seg *query.Segment, name string) (*reply, error) {
	if t.LogicalName != "systemuser" || name != "RetrieveUserPrivileges" || c.method != http.MethodGet {
		return nil, wire.NoSegment(namespace + name)
	}
	c.count(name, t)
	var id allod.GUID
	if err := c.view(func(tx *store.Tx) error {
		e, err := c.key(tx, t, seg)
		if err == nil {
			id = e.r.Key
		}
		return err
	}); err != nil {
		return nil, err
	}
	return c.respond(name, func(c *call) (object, error) {
		return object{"RolePrivileges": c.privileges(id)}, nil
	})
}

// privileges lists what the user may do. Users other than application users
// have no roles here.
func (c *call) privileges(id allod.GUID) []object {
	list := []object{}
	var user *AppUser
	for _, u := range c.s.Users() {
		if u.User == id {
			user = &u
		}
	}
	if user == nil {
		return list
	}
	seen := map[string]string{}
	for _, t := range c.schema.Model.Tables {
		if t.Abstract || t.Intersect {
			continue
		}
		for _, verb := range []string{"Read", "Create", "Write", "Delete", "Append", "AppendTo", "Assign"} {
			depth := DepthGlobal
			if verb == "Read" {
				depth = user.depth(t.LogicalName)
			}
			name := privilege(verb, t)
			if depth != DepthNone && depth != "" && !contains(user.Deny, name) {
				seen[name] = depth
			}
		}
	}
	for _, name := range []string{"prvOverrideCreatedOnCreatedBy", "prvActOnBehalfOfAnotherUser", "prvBypassCustomBusinessLogic", "prvBypassCustomPlugins"} {
		if user.Administrator && !contains(user.Deny, name) {
			seen[name] = DepthGlobal
		}
	}
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		list = append(list, object{
			"Depth": seen[n], "PrivilegeId": nameID(n).String(), "BusinessUnitId": c.s.unit.String(), "PrivilegeName": n,
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

// actions answer POST by name.
func actions() map[string]func(*call) (object, error) {
	m := map[string]func(*call) (object, error){
		"CloseIncident": func(c *call) (object, error) {
			return nil, c.closeBy("IncidentResolution", "incidentid", "incident", 1)
		},
		"WinOpportunity": func(c *call) (object, error) {
			return nil, c.closeBy("OpportunityClose", "opportunityid", "opportunity", 1)
		},
		"LoseOpportunity": func(c *call) (object, error) {
			return nil, c.closeBy("OpportunityClose", "opportunityid", "opportunity", 2)
		},
	}
	blockActions(m)
	bodyActions(m)
	return m
}

func (c *call) action(name string, f func(*call) (object, error)) (*reply, error) {
	if c.method != http.MethodPost {
		return nil, noResource(c)
	}
	c.count(name, nil)
	c.chargeWrite()
	return c.respond(name, f)
}

// closeBy runs a message that closes a row: {"<activity>":{"<key>@odata.bind"
// or "<key>":{…}},"Status":n}. It keeps the closing activity when the model
// has its table.
func (c *call) closeBy(activity, key, table string, state int64) error {
	var body map[string]json.RawMessage
	if err := json.Unmarshal(c.body, &body); err != nil {
		return wire.BadPayload("Invalid JSON.")
	}
	var status int64
	if raw := body["Status"]; raw != nil && json.Unmarshal(raw, &status) != nil {
		return wire.BadPayload("'Status' must be a number.")
	}
	t := c.schema.Model.Table(table)
	if t == nil {
		return wire.NoSegment(c.req.Path[0].Name)
	}
	return c.update(func(a *platform.Act) error {
		at := c.schema.Model.Table(strings.ToLower(activity))
		id, err := closedRow(a, body[activity], key)
		if err != nil {
			return err
		}
		if !a.Exists(t, id) {
			return wire.NoRow(table, id.String())
		}
		if at != nil {
			if p, err := wire.ParsePayload(c.schema, at, body[activity]); err == nil && len(p.Nested) == 0 {
				if _, err := a.Create(at, allod.GUID{}, p); err != nil {
					return err
				}
			}
		}
		return a.Close(t, id, state, status)
	})
}

// closedRow finds the row a closing activity names.
func closedRow(a *platform.Act, raw json.RawMessage, key string) (allod.GUID, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return allod.GUID{}, wire.BadPayload("The closing activity is missing.")
	}
	var text string
	if json.Unmarshal(fields[key+"@odata.bind"], &text) == nil {
		_, id, err := a.Resolve(text)
		return id, err
	}
	var nested map[string]json.RawMessage
	if json.Unmarshal(fields[key], &nested) == nil && json.Unmarshal(nested[key], &text) == nil {
		if id, err := allod.ParseGUID(text); err == nil {
			return id, nil
		}
	}
	return allod.GUID{}, wire.BadPayload("The closing activity does not name its '%s'.", key)
}
