// Package setup plans the two roles Allod works with in a Dataverse
// environment (design: two app users): "Allod reader", who reads every table
// and secured column and writes nothing, and "Allod restorer", who writes data
// and is disabled until a restore is approved. A plan holds only what differs
// from what is there, so carrying it out twice does nothing the second time.
package setup

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"allod"
	"allod/internal/source"
)

// Service is a signed-in connection to the Web API. Addresses are relative to
// its root.
type Service interface {
	Get(ctx context.Context, address string, into any) error
	Send(ctx context.Context, method, address string, body any) error
}

// kind is one of the two roles.
type kind struct {
	role, profile     string // names
	roleID, profileID string // ids they are made with, the same everywhere
	writes            bool
	more              []string // privileges that belong to no table
}

// The privileges that belong to no table: protocols/dataverse.md §1.2, §6.9,
// §10.1, the security role reference for View Audit History, and the privileges
// of message ExportSolution, whose packages are part of a backup.
func reader() kind {
	return kind{
		role: "Allod reader", roleID: "a110d0a1-7ead-4e00-8001-000000000001",
		profile: "Allod reader", profileID: "a110d0a1-7ead-4e00-8001-000000000002",
		more: []string{"prvExportCustomization", "prvReadAuditSummary", "prvReadRecordAuditHistory"},
	}
}

func restorer() kind {
	return kind{
		role: "Allod restorer", roleID: "a110d0a1-7ead-4e00-8002-000000000001",
		profile: "Allod restorer", profileID: "a110d0a1-7ead-4e00-8002-000000000002",
		writes: true,
		more:   []string{"prvActOnBehalfOfAnotherUser", "prvBypassCustomBusinessLogic", "prvOverrideCreatedOnCreatedBy"},
	}
}

// Plan compares what there is with what there should be.
func Plan(ctx context.Context, s Service, schema *allod.Schema, o source.RoleOptions) (*source.RolePlan, error) {
	p := &planner{s: s, schema: schema, out: &source.RolePlan{}}
	if o.Remove {
		return p.remove(ctx)
	}
	if o.Reader != "" && o.Reader == o.Restorer {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "the reader and the restorer are the same application"), "Register a second application: whoever has the secret that reads must not be able to write.")
	}
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	for _, one := range []struct {
		kind
		client string
	}{{reader(), o.Reader}, {restorer(), o.Restorer}} {
		if err := p.plan(ctx, one.kind, one.client); err != nil {
			return nil, err
		}
	}
	return p.out, nil
}

// planner collects the steps of one plan.
type planner struct {
	s      Service
	schema *allod.Schema
	out    *source.RolePlan

	unit       string // the root business unit
	me         string // systemuserid of the caller
	privileges []privilege
	ids        map[string]string // privileges that belong to no table, by name
}

// privilege is one right on one table (protocols/dataverse.md §3.2).
type privilege struct {
	Name, PrivilegeID, PrivilegeType               string
	CanBeBasic, CanBeLocal, CanBeDeep, CanBeGlobal bool

	class allod.Class
}

// depth is the deepest the privilege can be held.
func (p *privilege) depth() string {
	switch {
	case p.CanBeGlobal:
		return "Global"
	case p.CanBeDeep:
		return "Deep"
	case p.CanBeLocal:
		return "Local"
	default:
		return "Basic"
	}
}

func (p *planner) step(op string, names []string, run func(context.Context) error, format string, args ...any) {
	p.out.Steps = append(p.out.Steps, source.RoleStep{Op: op, What: fmt.Sprintf(format, args...), Names: names, Run: run})
}

func (p *planner) note(format string, args ...any) {
	p.out.Notes = append(p.out.Notes, fmt.Sprintf(format, args...))
}

// send is a step that is one request.
func (p *planner) send(method, address string, body any) func(context.Context) error {
	return func(ctx context.Context) error { return p.s.Send(ctx, method, address, body) }
}

// look asks for what both roles need: the root unit, who asks, and every
// privilege of every table.
func (p *planner) look(ctx context.Context) error {
	var units struct {
		Value []struct {
			ID string `json:"businessunitid"`
		}
	}
	if err := p.s.Get(ctx, "businessunits?$select=businessunitid&$filter=_parentbusinessunitid_value%20eq%20null", &units); err != nil {
		return fmt.Errorf("look for the root business unit: %w", err)
	}
	if len(units.Value) != 1 {
		return allod.Errorf(allod.Unavailable, "look for the root business unit: there are %d", len(units.Value))
	}
	p.unit = units.Value[0].ID
	var who struct{ UserID string }
	if err := p.s.Get(ctx, "WhoAmI", &who); err != nil {
		return fmt.Errorf("ask who this is: %w", err)
	}
	p.me = who.UserID
	var list struct {
		Value []struct {
			LogicalName string
			Privileges  []privilege
		}
	}
	if err := p.s.Get(ctx, "EntityDefinitions?$select=LogicalName,Privileges", &list); err != nil {
		return fmt.Errorf("list the privileges of all tables: %w", err)
	}
	seen := map[string]bool{}
	for _, e := range list.Value {
		t := p.schema.Table(e.LogicalName)
		if t == nil {
			continue
		}
		for _, one := range e.Privileges {
			if one.PrivilegeID != "" && !seen[one.PrivilegeID] { // activities share theirs
				seen[one.PrivilegeID] = true
				one.class = t.Class
				p.privileges = append(p.privileges, one)
			}
		}
	}
	return p.lookMore(ctx)
}

// lookMore asks for the ids of the privileges that belong to no table. They
// differ between environments only in whether they are there.
func (p *planner) lookMore(ctx context.Context) error {
	p.ids = map[string]string{}
	filter := ""
	for _, name := range slices.Concat(reader().more, restorer().more) {
		if filter != "" {
			filter += "%20or%20"
		}
		filter += "name%20eq%20'" + name + "'"
	}
	var list struct {
		Value []struct {
			ID   string `json:"privilegeid"`
			Name string `json:"name"`
		}
	}
	if err := p.s.Get(ctx, "privileges?$select=privilegeid,name&$filter="+filter, &list); err != nil {
		return fmt.Errorf("look for privileges by name: %w", err)
	}
	for _, one := range list.Value {
		p.ids[one.Name] = one.ID
	}
	return nil
}

func (p *planner) plan(ctx context.Context, k kind, client string) error {
	role, err := p.role(ctx, k)
	if err != nil {
		return fmt.Errorf("plan the role %s: %w", k.role, err)
	}
	profile, err := p.profile(ctx, k)
	if err != nil {
		return fmt.Errorf("plan the column security profile %s: %w", k.profile, err)
	}
	if client == "" {
		p.note("The role %s is given to nobody: name an application to give it to.", k.role)
		return nil
	}
	if err := p.assign(ctx, k, client, role, profile); err != nil {
		return fmt.Errorf("plan who gets the role %s: %w", k.role, err)
	}
	return nil
}

// remove takes back roles and profiles. What they were given to has them no
// longer; application users stay as they are.
func (p *planner) remove(ctx context.Context) (*source.RolePlan, error) {
	for _, k := range []kind{reader(), restorer()} {
		role, err := p.find(ctx, "roles", "roleid", k.role)
		if err != nil {
			return nil, fmt.Errorf("look for the role %s: %w", k.role, err)
		}
		if role != "" {
			p.step("remove", nil, p.send(http.MethodDelete, "roles("+role+")", nil), "remove the role %s from everybody who has it", k.role)
		}
		profile, err := p.find(ctx, "fieldsecurityprofiles", "fieldsecurityprofileid", k.profile)
		if err != nil {
			return nil, fmt.Errorf("look for the column security profile %s: %w", k.profile, err)
		}
		if profile == "" {
			continue
		}
		have, err := p.permissions(ctx, profile)
		if err != nil {
			return nil, fmt.Errorf("look for what the column security profile %s allows: %w", k.profile, err)
		}
		for _, name := range slices.Sorted(maps.Keys(have)) {
			p.step("remove", []string{name}, p.send(http.MethodDelete, "fieldpermissions("+have[name].ID+")", nil), "let %s no longer read the secured column %s", k.profile, name)
		}
		p.step("remove", nil, p.send(http.MethodDelete, "fieldsecurityprofiles("+profile+")", nil), "remove the column security profile %s", k.profile)
	}
	if len(p.out.Steps) > 0 {
		p.note("Application users stay, and the restorer's stays disabled.")
	}
	return p.out, nil
}
