package setup

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"

	"allod"
)

// find returns the id of the row of that name, in the root unit where roles
// are copied to each unit; "" when there is none.
func (p *planner) find(ctx context.Context, set, key, name string) (string, error) {
	filter := "name%20eq%20'" + strings.ReplaceAll(name, " ", "%20") + "'"
	if set == "roles" && p.unit != "" {
		filter += "%20and%20_businessunitid_value%20eq%20" + p.unit
	}
	var list struct{ Value []map[string]any }
	if err := p.s.Get(ctx, set+"?$select="+key+"&$filter="+filter, &list); err != nil {
		return "", err
	}
	for _, row := range list.Value {
		if id, ok := row[key].(string); ok {
			return id, nil
		}
	}
	return "", nil
}

// rolePrivilege is a privilege as roles hold it (the type RolePrivilege).
type rolePrivilege struct {
	PrivilegeID    string `json:"PrivilegeId"`
	Depth          string `json:"Depth"`
	BusinessUnitID string `json:"BusinessUnitId,omitempty"`
}

// wanted are the privileges of a role, by name.
func (p *planner) wanted(k kind) map[string]rolePrivilege {
	out := map[string]rolePrivilege{}
	for i := range p.privileges {
		one := &p.privileges[i]
		write := k.writes && (one.class == allod.ClassData || one.class == allod.ClassLink) &&
			slices.Contains([]string{"Create", "Write", "Delete", "Append", "AppendTo", "Assign", "Share"}, one.PrivilegeType)
		if one.PrivilegeType == "Read" || write {
			out[one.Name] = rolePrivilege{one.PrivilegeID, one.depth(), p.unit}
		}
	}
	for _, name := range k.more {
		if id := p.ids[name]; id != "" {
			out[name] = rolePrivilege{id, "Global", p.unit}
		} else {
			p.note("There is no privilege %s here; the role %s goes without.", name, k.role)
		}
	}
	return out
}

// role plans the role and its privileges, and returns its id.
func (p *planner) role(ctx context.Context, k kind) (string, error) {
	want := p.wanted(k)
	id, err := p.find(ctx, "roles", "roleid", k.role)
	if err != nil {
		return "", err
	}
	held := map[string]string{} // privilege id → depth
	if id == "" {
		id = k.roleID
		p.step("create", nil, p.send(http.MethodPost, "roles", map[string]any{
			"roleid": id, "name": k.role, "businessunitid@odata.bind": "/businessunits(" + p.unit + ")",
		}), "make the role %s", k.role)
	} else if held, err = p.held(ctx, id); err != nil {
		return "", err
	}
	var all []rolePrivilege
	var missing []string
	ids := map[string]bool{}
	for name, one := range want {
		all = append(all, one)
		ids[strings.ToLower(one.PrivilegeID)] = true
		if !strings.EqualFold(held[strings.ToLower(one.PrivilegeID)], one.Depth) {
			missing = append(missing, name)
		}
	}
	extra := 0
	for have := range held {
		if !ids[have] {
			extra++
		}
	}
	slices.Sort(missing)
	slices.SortFunc(all, func(a, b rolePrivilege) int { return strings.Compare(a.PrivilegeID, b.PrivilegeID) })
	body := map[string]any{"Privileges": all}
	switch at := "roles(" + id + ")/Microsoft.Dynamics.CRM."; {
	case extra > 0:
		p.step("grant", missing, p.send(http.MethodPost, at+"ReplacePrivilegesRole", body), "give the role %s its %d privileges again and take %d others from it", k.role, len(all), extra)
	case len(missing) > 0:
		p.step("grant", missing, p.send(http.MethodPost, at+"AddPrivilegesRole", body), "give the role %s %d privileges, for the whole organization where they can be", k.role, len(missing))
	}
	return id, nil
}

// held asks what a role may do: privilege id in lower case → depth.
func (p *planner) held(ctx context.Context, role string) (map[string]string, error) {
	var out struct {
		RolePrivileges []struct {
			PrivilegeID string `json:"PrivilegeId"`
			Depth       any    // by name, or by number with other metadata levels
		}
	}
	if err := p.s.Get(ctx, "RetrieveRolePrivilegesRole(RoleId="+role+")", &out); err != nil {
		return nil, err
	}
	held := map[string]string{}
	for _, one := range out.RolePrivileges {
		held[strings.ToLower(one.PrivilegeID)] = depthName(one.Depth)
	}
	return held, nil
}

// depthName reads a PrivilegeDepth.
func depthName(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		if names := [...]string{"Basic", "Local", "Deep", "Global"}; v >= 0 && int(v) < len(names) {
			return names[int(v)]
		}
	}
	return ""
}

// Values of the columns of a field permission (the choice field_security_permission_type).
const notAllowed, allowed = 0, 4

// permission is what a profile allows of one column.
type permission struct {
	Table  string `json:"entityname"`
	Column string `json:"attributelogicalname"`
	Read   int    `json:"canread"`
	Create int    `json:"cancreate"`
	Update int    `json:"canupdate"`
}

// profile plans the column security profile: every secured column can be read,
// and written by who writes. It returns its id.
func (p *planner) profile(ctx context.Context, k kind) (string, error) {
	id, err := p.find(ctx, "fieldsecurityprofiles", "fieldsecurityprofileid", k.profile)
	if err != nil {
		return "", err
	}
	have := map[string]heldPermission{}
	if id == "" {
		id = k.profileID
		p.step("create", nil, p.send(http.MethodPost, "fieldsecurityprofiles", map[string]any{
			"fieldsecurityprofileid": id, "name": k.profile, "description": "Written by allod setup dataverse.",
		}), "make the column security profile %s", k.profile)
	} else if have, err = p.permissions(ctx, id); err != nil {
		return "", err
	}
	for i := range p.schema.Tables {
		t := &p.schema.Tables[i]
		for j := range t.Columns {
			c := &t.Columns[j]
			if !c.Secured {
				continue
			}
			name := t.Name + "." + c.Name
			want := permission{t.Name, c.Name, allowed, may(k.writes && c.Create), may(k.writes && c.Update)}
			if old, ok := have[name]; !ok {
				p.step("grant", []string{name}, p.send(http.MethodPost, "fieldpermissions", want.body(id)), "let %s %s the secured column %s", k.profile, verb(k), name)
			} else if old.permission != want {
				p.step("grant", []string{name}, p.send(http.MethodPatch, "fieldpermissions("+old.ID+")", map[string]int{"canread": want.Read, "cancreate": want.Create, "canupdate": want.Update}), "let %s %s the secured column %s, and no more", k.profile, verb(k), name)
			}
		}
	}
	return id, nil
}

// heldPermission is a permission there is.
type heldPermission struct {
	ID string `json:"fieldpermissionid"`
	permission
}

// permissions are what a profile allows, by TABLE.COLUMN.
func (p *planner) permissions(ctx context.Context, profile string) (map[string]heldPermission, error) {
	var list struct{ Value []heldPermission }
	at := "fieldpermissions?$select=fieldpermissionid,entityname,attributelogicalname,canread,cancreate,canupdate&$filter=_fieldsecurityprofileid_value%20eq%20" + profile
	if err := p.s.Get(ctx, at, &list); err != nil {
		return nil, err
	}
	have := map[string]heldPermission{}
	for _, one := range list.Value {
		have[one.Table+"."+one.Column] = one
	}
	return have, nil
}

func verb(k kind) string {
	if k.writes {
		return "read and write"
	}
	return "read"
}

func may(yes bool) int {
	if yes {
		return allowed
	}
	return notAllowed
}

func (w permission) body(profile string) map[string]any {
	return map[string]any{
		"entityname": w.Table, "attributelogicalname": w.Column, "canread": w.Read, "cancreate": w.Create, "canupdate": w.Update,
		"fieldsecurityprofileid@odata.bind": "/fieldsecurityprofiles(" + profile + ")",
	}
}

// assign plans who has the role and the profile: the application user of the
// client. The restorer's is disabled.
func (p *planner) assign(ctx context.Context, k kind, client, role, profile string) error {
	if _, err := allod.ParseGUID(client); err != nil {
		return allod.WithHint(allod.Errorf(allod.Invalid, "%q is no client id", client), "Give the application (client) id that Entra shows of the registration.")
	}
	var users struct {
		Value []struct {
			ID       string `json:"systemuserid"`
			Disabled bool   `json:"isdisabled"`
		}
	}
	if err := p.s.Get(ctx, "systemusers?$select=systemuserid,isdisabled&$filter=applicationid%20eq%20"+client, &users); err != nil {
		return err
	}
	if len(users.Value) == 0 {
		p.makeUser(k, client, role, profile)
		return nil
	}
	u := users.Value[0]
	if k.writes && strings.EqualFold(u.ID, p.me) {
		return allod.WithHint(allod.Errorf(allod.Invalid, "the restorer is the user Allod is signed in as, and would disable itself"), "Name another application as the restorer.")
	}
	at := "systemusers(" + u.ID + ")/"
	for _, one := range given(k, role, profile) {
		var list struct{ Value []map[string]any }
		if err := p.s.Get(ctx, at+one.nav+"?$select="+one.key, &list); err != nil {
			return err
		}
		if !slices.ContainsFunc(list.Value, func(r map[string]any) bool {
			id, _ := r[one.key].(string)
			return strings.EqualFold(id, one.id)
		}) {
			p.give(at, client, one)
		}
	}
	if k.writes && !u.Disabled {
		p.step("disable", nil, p.send(http.MethodPatch, strings.TrimSuffix(at, "/"), map[string]any{"isdisabled": true}), "disable the application %s until a restore is approved", client)
	}
	return p.warnAdministrator(ctx, k, client, at)
}

// gift is what an application user is given: the row id of set, by the
// navigation property nav.
type gift struct{ nav, set, key, id, what string }

func given(k kind, role, profile string) []gift {
	return []gift{
		{"systemuserroles_association", "roles", "roleid", role, "the role " + k.role},
		{"systemuserprofiles_association", "fieldsecurityprofiles", "fieldsecurityprofileid", profile, "the column security profile " + k.profile},
	}
}

func (p *planner) give(at, client string, one gift) {
	p.step("assign", nil, p.send(http.MethodPost, at+one.nav+"/$ref", map[string]any{"@odata.id": one.set + "(" + one.id + ")"}), "give the application %s %s", client, one.what)
}

// makeUser plans an application user for a client that has none here
// (protocols/dataverse.md §1.2). Its id follows from the client id, so that
// the steps after it can name it; where the service gives it another one, they fail
// once, and running again finds it.
func (p *planner) makeUser(k kind, client, role, profile string) {
	sum := sha256.Sum256([]byte("allod application user " + strings.ToLower(client)))
	id := allod.GUID(sum[:16])
	p.step("create", nil, p.send(http.MethodPost, "systemusers", map[string]any{
		"systemuserid": id.String(), "applicationid": strings.ToLower(client), "businessunitid@odata.bind": "/businessunits(" + p.unit + ")",
	}), "make an application user for the application %s", client)
	at := "systemusers(" + id.String() + ")/"
	for _, one := range given(k, role, profile) {
		p.give(at, client, one)
	}
	if k.writes {
		p.step("disable", nil, p.send(http.MethodPatch, strings.TrimSuffix(at, "/"), map[string]any{"isdisabled": true}), "disable the application %s until a restore is approved", client)
	}
	p.note("There is no application user for %s yet. If the environment refuses to make one, make it in the Power Platform admin center: Environments, Settings, Users + permissions, Application users, New app user.", client)
}

// adminTemplate is the role template of System Administrator, the same in
// every environment.
const adminTemplate = "627090ff-40a3-4053-8790-584edc5be201"

// warnAdministrator says so when the application may do everything anyway.
func (p *planner) warnAdministrator(ctx context.Context, k kind, client, at string) error {
	var list struct {
		Value []struct {
			Template string `json:"_roletemplateid_value"`
		}
	}
	if err := p.s.Get(ctx, at+"systemuserroles_association?$select=_roletemplateid_value", &list); err != nil {
		return err
	}
	for _, r := range list.Value {
		if strings.EqualFold(r.Template, adminTemplate) {
			p.note("The application %s is System Administrator as well. Take that role from it when %s has proven itself.", client, k.role)
		}
	}
	return nil
}
