package dataverse

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

const (
	// adminTemplate is the role template of System Administrator, the same in
	// every environment.
	adminTemplate = "627090ff-40a3-4053-8790-584edc5be201"
	// adminProfile is the column-security profile System Administrator.
	adminProfile = "572329c1-a042-4e22-be47-367c6374ea45"
	// canRead is the value of fieldpermission.canread that allows.
	canRead = 4
)

// Rights asks what the application user may read: the depth of its read
// privilege on every table, and the secured columns that none of its profiles
// opens. Every call asks the service anew, except for the names of privileges.
func (s *Source) Rights(ctx context.Context, schema *allod.Schema) (*source.Rights, error) {
	me, err := s.whoAmI(ctx)
	if err != nil {
		return nil, err
	}
	held, err := s.heldPrivileges(ctx, me)
	if err != nil {
		return nil, err
	}
	admin, err := s.isAdministrator(ctx, me)
	if err != nil {
		return nil, err
	}
	names, err := s.readPrivileges(ctx)
	if err != nil {
		return nil, err
	}
	r := &source.Rights{Depth: map[string]source.Depth{}, Hidden: map[string][]string{}, RetentionRuns: map[string]time.Time{}, Administrator: admin, Grants: map[string][]string{}}
	for i := range schema.Tables {
		t := &schema.Tables[i]
		d := source.DepthGlobal
		if !admin {
			r.Grants[t.Name] = grants(schema, t, held, names)
			d = depthOf(r.Grants[t.Name], held)
		}
		if d == source.DepthNone && t.Name == sharing {
			if d, err = s.probe(ctx, t); err != nil {
				return nil, err
			}
		}
		if d != source.DepthNone {
			r.Depth[t.Name] = d
		}
	}
	if !admin {
		if err := s.hiddenColumns(ctx, me, schema, r.Hidden); err != nil {
			return nil, err
		}
	}
	return r, s.retentionRuns(ctx, schema, r)
}

// sharing is the table of rows that were shared with somebody. No document names
// a privilege for it.
const sharing = "principalobjectaccess"

// probe asks for one row of a table whose privilege is not known. What comes
// back proves that it may be read, not that all of it may.
func (s *Source) probe(ctx context.Context, t *allod.Table) (source.Depth, error) {
	if t.Unreadable != "" {
		return source.DepthNone, nil
	}
	var page struct{ Value []json.RawMessage }
	err := s.getJSON(ctx, t.Set+"?$select="+t.Key+"&$top=1", t.Name, &page)
	if err != nil {
		return source.DepthNone, unlessRefused(err)
	}
	return source.DepthBasic, nil
}

func (s *Source) whoAmI(ctx context.Context) (allod.GUID, error) {
	s.mu.Lock()
	me := s.user
	s.mu.Unlock()
	if !me.IsZero() {
		return me, nil
	}
	id, err := s.identity(ctx)
	return id.User, err
}

// heldPrivileges returns the deepest depth per privilege name, over all roles.
func (s *Source) heldPrivileges(ctx context.Context, me allod.GUID) (map[string]source.Depth, error) {
	var out struct {
		RolePrivileges []struct{ Depth, PrivilegeName string }
	}
	if err := s.getJSON(ctx, "systemusers("+me.String()+")/Microsoft.Dynamics.CRM.RetrieveUserPrivileges", "systemuser", &out); err != nil {
		return nil, err
	}
	depths := map[string]source.Depth{"Basic": source.DepthBasic, "Local": source.DepthLocal, "Deep": source.DepthDeep, "Global": source.DepthGlobal}
	held := map[string]source.Depth{}
	for _, p := range out.RolePrivileges {
		name := strings.ToLower(p.PrivilegeName)
		held[name] = max(held[name], depths[p.Depth])
	}
	return held, nil
}

// isAdministrator reports whether the user, or a team it is in, has the role
// System Administrator.
func (s *Source) isAdministrator(ctx context.Context, me allod.GUID) (bool, error) {
	owners := []string{"systemusers(" + me.String() + ")/systemuserroles_association"}
	teams, err := s.ids(ctx, "systemusers("+me.String()+")/teammembership_association?$select=teamid", "teamid")
	if err != nil {
		return false, err
	}
	for _, t := range teams {
		owners = append(owners, "teams("+t+")/teamroles_association")
	}
	for _, at := range owners {
		found, err := s.ids(ctx, at+"?$select="+lookupMember("roletemplateid"), lookupMember("roletemplateid"))
		if err != nil {
			return false, err
		}
		for _, id := range found {
			if strings.EqualFold(id, adminTemplate) {
				return true, nil
			}
		}
	}
	return false, nil
}

// ids reads one GUID member of every row of a list. A list that the caller may
// not read, or that does not exist, gives none: less right, never more.
func (s *Source) ids(ctx context.Context, link, member string) ([]string, error) {
	var out []string
	for trail := (odataclient.Trail{}); link != ""; {
		var page struct {
			Value []map[string]any
			Next  string `json:"@odata.nextLink"`
		}
		err := s.getJSON(ctx, link, "", &page)
		if st := odataclient.AsStatus(err); st != nil && (st.Status == http.StatusForbidden || st.Status == http.StatusNotFound) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		for _, row := range page.Value {
			if id, ok := row[member].(string); ok {
				out = append(out, id)
			}
		}
		if link = page.Next; link != "" {
			if err := trail.Follow(link, len(page.Value)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// readPrivileges asks once for the name of each table's read privilege.
func (s *Source) readPrivileges(ctx context.Context) (map[string]string, error) {
	s.mu.Lock()
	names := s.privileges
	s.mu.Unlock()
	if names != nil {
		return names, nil
	}
	var list struct {
		Value []struct {
			LogicalName string
			Privileges  []struct{ Name, PrivilegeType string }
		}
	}
	if err := s.getJSON(ctx, "EntityDefinitions?$select=LogicalName,Privileges", "", &list); err != nil {
		return nil, err
	}
	names = map[string]string{}
	for _, e := range list.Value {
		for _, p := range e.Privileges {
			if p.PrivilegeType == "Read" {
				names[e.LogicalName] = p.Name
			}
		}
	}
	s.mu.Lock()
	s.privileges = names
	s.mu.Unlock()
	return names, nil
}

// parents names the table whose read privilege also covers a table that has
// none of its own.
var parents = map[string]string{
	"activityparty": "activitypointer", "activitymimeattachment": "activitypointer",
	"opportunityproduct": "opportunity", "quotedetail": "quote", "salesorderdetail": "salesorder", "invoicedetail": "invoice",
	"contractdetail": "contract", "campaignactivityitem": "campaign", "campaignitem": "campaign", "listmember": "list",
	"postcomment": "post", "postlike": "post", "postregarding": "post", "customeraddress": "account", "leadaddress": "lead",
	"competitoraddress": "competitor", "publisheraddress": "publisher", "productpricelevel": "pricelevel", "discount": "discounttype",
	"salesliteratureitem": "salesliterature", "uom": "uomschedule", "calendarrule": "calendar", "productassociation": "product",
	"productsubstitute": "product", "dynamicpropertyassociation": "dynamicproperty", "dynamicpropertyoptionsetitem": "dynamicproperty",
	"duplicaterulecondition": "duplicaterule", "kbarticlecomment": "kbarticle", "entitlementchannel": "entitlement",
	"bookableresourcebookingexchangesyncidmapping": "bookableresourcebooking", "queuemembership": "queue",
	"fieldpermission": "fieldsecurityprofile", "recurrencerule": "activitypointer",
}

// grants names the privileges that reading a table takes, all of them; none
// where no privilege is known: such a table counts as not seen in full.
func grants(schema *allod.Schema, t *allod.Table, held map[string]source.Depth, names map[string]string) []string {
	if t.Activity || t.Name == "activitypointer" { // all activities share one
		return []string{"prvReadActivity"}
	}
	if t.Name == "audit" { // protocols/dataverse.md §10.1: whatever its metadata list
		return []string{"prvReadAuditSummary"}
	}
	if n, ok := names[t.Name]; ok {
		return []string{n}
	}
	own := "prvRead" + t.SchemaName
	if _, ok := held[strings.ToLower(own)]; ok {
		return []string{own}
	}
	if parent := schema.Table(parents[t.Name]); parent != nil && parent.Name != t.Name {
		return grants(schema, parent, held, names)
	}
	if t.Intersect {
		for i := range schema.Relationships {
			r := &schema.Relationships[i]
			one, two := schema.Table(r.Table1), schema.Table(r.Table2)
			if r.Intersect == t.Name && one != nil && two != nil && !one.Intersect && !two.Intersect {
				return append(grants(schema, one, held, names), grants(schema, two, held, names)...)
			}
		}
	}
	return nil
}

// depthOf is the least depth of the privileges that a table takes.
func depthOf(privileges []string, held map[string]source.Depth) source.Depth {
	if len(privileges) == 0 {
		return source.DepthNone
	}
	d := source.DepthGlobal
	for _, p := range privileges {
		d = min(d, held[strings.ToLower(p)])
	}
	return d
}

// hiddenColumns lists the secured columns that no profile of the user or of
// its teams lets it read.
func (s *Source) hiddenColumns(ctx context.Context, me allod.GUID, schema *allod.Schema, hidden map[string][]string) error {
	secured := false
	for i := range schema.Tables {
		for j := range schema.Tables[i].Columns {
			secured = secured || schema.Tables[i].Columns[j].Secured
		}
	}
	if !secured {
		return nil
	}
	allowed, all, err := s.readableSecured(ctx, me)
	if err != nil || all {
		return err
	}
	for i := range schema.Tables {
		t := &schema.Tables[i]
		for j := range t.Columns {
			if c := &t.Columns[j]; c.Secured && !allowed[t.Name+"."+c.Name] {
				hidden[t.Name] = append(hidden[t.Name], c.Name)
			}
		}
	}
	return nil
}

// readableSecured returns the secured columns the user may read, as
// "table.column", or that it may read all.
func (s *Source) readableSecured(ctx context.Context, me allod.GUID) (allowed map[string]bool, all bool, err error) {
	const id = "fieldsecurityprofileid"
	profiles, err := s.ids(ctx, "systemusers("+me.String()+")/systemuserprofiles_association?$select="+id, id)
	if err != nil {
		return nil, false, err
	}
	teams, err := s.ids(ctx, "systemusers("+me.String()+")/teammembership_association?$select=teamid", "teamid")
	if err != nil {
		return nil, false, err
	}
	for _, t := range teams {
		more, err := s.ids(ctx, "teams("+t+")/teamprofiles_association?$select="+id, id)
		if err != nil {
			return nil, false, err
		}
		profiles = append(profiles, more...)
	}
	mine := map[string]bool{}
	for _, p := range profiles {
		if strings.EqualFold(p, adminProfile) {
			return nil, true, nil
		}
		mine[strings.ToLower(p)] = true
	}
	allowed = map[string]bool{}
	if len(mine) == 0 {
		return allowed, false, nil
	}
	link := "fieldpermissions?$select=entityname,attributelogicalname,canread," + lookupMember(id)
	for trail := (odataclient.Trail{}); link != ""; {
		var page struct {
			Value []struct {
				EntityName           string `json:"entityname"`
				AttributeLogicalName string `json:"attributelogicalname"`
				CanRead              int    `json:"canread"`
				Profile              string `json:"_fieldsecurityprofileid_value"`
			}
			Next string `json:"@odata.nextLink"`
		}
		err := s.getJSON(ctx, link, "fieldpermission", &page)
		if st := odataclient.AsStatus(err); st != nil && (st.Status == http.StatusForbidden || st.Status == http.StatusNotFound) {
			return allowed, false, nil // what we may not know of is hidden
		}
		if err != nil {
			return nil, false, err
		}
		for _, p := range page.Value {
			if p.CanRead == canRead && mine[strings.ToLower(p.Profile)] {
				allowed[p.EntityName+"."+p.AttributeLogicalName] = true
			}
		}
		if link = page.Next; link != "" {
			if err := trail.Follow(link, len(page.Value)); err != nil {
				return nil, false, err
			}
		}
	}
	return allowed, false, nil
}

// retentionRuns finds the last long-term retention run per table
// (protocols/dataverse.md §13.1). Which column of a run names the table is not
// documented, so any text that is a table's name, or a reference to the policy,
// counts. Where the tables of runs cannot be read, nothing is known of runs.
func (s *Source) retentionRuns(ctx context.Context, schema *allod.Schema, r *source.Rights) error {
	tableOf := map[allod.GUID]string{}
	// Runs are dated by the service's clock, captures by this machine's.
	skew := s.client.Skew()
	for _, name := range []string{"retentionconfig", "retentionoperation", "retentionoperationdetail"} {
		t := schema.Table(name)
		if t == nil || t.Unreadable != "" || r.Depth[name] == source.DepthNone {
			continue
		}
		err := s.readAll(ctx, t, func(_ *rows.Plan, row *allod.Row) {
			concerned := ""
			var at time.Time
			for i := range row.Cells {
				switch v := row.Cells[i]; v.Type() {
				case allod.String:
					if schema.Table(v.Text()) != nil {
						concerned = v.Text()
					}
				case allod.Lookup:
					if _, id := v.Target(); tableOf[id] != "" {
						concerned = tableOf[id]
					}
				case allod.DateTime:
					if when, err := time.Parse(time.RFC3339, v.Text()); err == nil && when.After(at) && !when.Add(-skew).After(s.now()) {
						at = when
					}
				default:
				}
			}
			if concerned == "" {
				return
			}
			if name == "retentionconfig" {
				tableOf[row.Key] = concerned
			} else if at.Add(-skew).After(r.RetentionRuns[concerned]) && !at.IsZero() {
				r.RetentionRuns[concerned] = at.Add(-skew).UTC()
			}
		})
		if st := odataclient.AsStatus(err); st != nil && (st.Status == http.StatusForbidden || st.Status == http.StatusNotFound || st.Status == http.StatusBadRequest) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
