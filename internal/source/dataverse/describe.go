package dataverse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"allod"
	"allod/internal/odata"
	"allod/internal/source/dataverse/changes"
	"allod/internal/source/dataverse/metadata"
	"allod/internal/source/dataverse/packages"
	"allod/internal/source/odataclient"
	"allod/internal/source/odataclient/scan"
)

// maxMetadata bounds an answer about one table, or the list of tables.
const maxMetadata = 128 << 20

// Describe reads the schema: the list of tables, then each table's columns,
// keys and relationships, and the options of its choices, several tables at
// once (protocols/dataverse.md §3.2 to §3.4).
func (s *Source) Describe(ctx context.Context) (*allod.Schema, error) {
	id, err := s.identity(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.entities(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.describeTables(ctx, list); err != nil {
		return nil, err
	}
	schema, err := metadata.Build(id, list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	packages.Describe(schema)
	if err := s.remember(schema); err != nil {
		return nil, err
	}
	schema.Identity.HighestVersion = s.highestVersion(ctx, schema)
	return schema, nil
}

// entities lists the tables. Nobody has seen the service page this list; if it
// does, tables on later pages must not count as dropped.
func (s *Source) entities(ctx context.Context) ([]metadata.Entity, error) {
	var all []metadata.Entity
	link := "EntityDefinitions?$select=" + metadata.EntitySelect
	for trail := (odataclient.Trail{}); link != ""; {
		var page struct {
			Value []metadata.Entity
			Next  string `json:"@odata.nextLink"`
		}
		if err := s.getJSON(ctx, link, "", &page); err != nil {
			return nil, err
		}
		all = append(all, page.Value...)
		if link = page.Next; link != "" {
			if err := trail.Follow(link, len(page.Value)); err != nil {
				return nil, fmt.Errorf("%s: list the tables: %w", s.name, err)
			}
		}
	}
	return all, nil
}

// describeTables fills in what the list does not hold, in batches: columns, keys
// and relationships of each table, then the options of its choices. A table that
// is dropped meanwhile is left without columns.
func (s *Source) describeTables(ctx context.Context, list []metadata.Entity) error {
	const tablesPerBatch, optionsPerBatch = 20, 100
	more := make([]metadata.Entity, len(list))
	ask := make([]question, len(list))
	for i := range list {
		ask[i] = question{
			link:  definition(&list[i]) + "?$select=LogicalName&$expand=Attributes,Keys,ManyToOneRelationships,ManyToManyRelationships",
			table: list[i].LogicalName, into: &more[i],
		}
	}
	if err := s.askMany(ctx, ask, tablesPerBatch); err != nil {
		return err
	}
	type sets struct{ Value []metadata.Attribute }
	var options []question
	var owner []int
	for i := range list {
		if ask[i].missing {
			list[i].EntitySetName = ""
			continue
		}
		e, m := &list[i], &more[i]
		e.Attributes, e.Keys, e.ManyToOneRelationships, e.ManyToManyRelationships = m.Attributes, m.Keys, m.ManyToOneRelationships, m.ManyToManyRelationships
		for _, cast := range metadata.OptionCasts(e.Attributes) {
			parts := "$select=Options"
			if cast == "BooleanAttributeMetadata" {
				parts = "$select=TrueOption,FalseOption"
			}
			options = append(options, question{
				table: e.LogicalName, into: &sets{},
				link: definition(e) + "/Attributes/Microsoft.Dynamics.CRM." + cast + "?$select=LogicalName&$expand=OptionSet(" + parts + "),GlobalOptionSet(" + parts + ")",
			})
			owner = append(owner, i)
		}
	}
	if err := s.askMany(ctx, options, optionsPerBatch); err != nil {
		return err
	}
	for i := range options {
		metadata.SetOptions(list[owner[i]].Attributes, options[i].into.(*sets).Value)
	}
	return nil
}

// definition is the address of what the service says of a table.
func definition(e *metadata.Entity) string {
	return "EntityDefinitions(LogicalName='" + e.LogicalName + "')"
}

// remember keeps what reads need besides the table.
func (s *Source) remember(schema *allod.Schema) error {
	exporter, err := packages.New(s.client, s.name, s.now, escapeQuery, schema)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range schema.Relationships {
		if r := &schema.Relationships[i]; r.ManyToMany() {
			s.pairs[r.Intersect] = [2]string{r.Column1, r.Column2}
		}
	}
	for i := range schema.Tables {
		if t := &schema.Tables[i]; t.Set != "" {
			s.sets[t.Name] = t.Set
		}
	}
	s.privileges, s.parties, s.packages = nil, nil, exporter
	return nil
}

// exporter exports solutions; nil before Describe, and where there are none.
func (s *Source) exporter() *packages.Exporter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packages
}

// pairColumns returns the columns of an intersect table that make a pair,
// asking for them when Describe was not called in this process.
func (s *Source) pairColumns(ctx context.Context, t *allod.Table) ([2]string, error) {
	if !t.Intersect {
		return [2]string{}, nil
	}
	s.mu.Lock()
	pair, ok := s.pairs[t.Name]
	s.mu.Unlock()
	if ok {
		return pair, nil
	}
	var e metadata.Entity
	err := s.getJSON(ctx, "EntityDefinitions(LogicalName='"+t.Name+"')?$select=LogicalName&$expand=ManyToManyRelationships", t.Name, &e)
	if err != nil {
		return pair, err
	}
	for _, r := range e.ManyToManyRelationships {
		if r.IntersectEntityName == t.Name {
			pair = [2]string{r.Entity1IntersectAttribute, r.Entity2IntersectAttribute}
			break
		}
	}
	s.mu.Lock()
	s.pairs[t.Name] = pair
	s.mu.Unlock()
	return pair, nil
}

// identity asks who we are and which organisation this is.
func (s *Source) identity(ctx context.Context) (allod.Identity, error) {
	var id allod.Identity
	var who struct{ UserId, OrganizationId string }
	if err := s.getJSON(ctx, "WhoAmI", "", &who); err != nil {
		return id, err
	}
	var err error
	if id.User, err = allod.ParseGUID(who.UserId); err == nil {
		id.Organization, err = allod.ParseGUID(who.OrganizationId)
	}
	if err != nil {
		return id, allod.Errorf(allod.Unavailable, "%s: WhoAmI gave no ids", s.name)
	}
	s.mu.Lock()
	s.user = id.User
	s.mu.Unlock()
	var version struct{ Version string }
	if err := s.getJSON(ctx, "RetrieveVersion()", "", &version); err != nil {
		return id, err
	}
	id.Version = version.Version
	var orgs struct {
		Value []struct{ OrganizationID, Name string }
	}
	// A reader without a right on the organisation's row still has its id.
	err = s.getJSON(ctx, "organizations?$select=organizationid,name", "organization", &orgs)
	if err != nil && allod.KindOf(err) != allod.Denied {
		return id, err
	}
	if len(orgs.Value) == 1 {
		id.Name = orgs.Value[0].Name
	}
	return id, nil
}

// probes are small tables that every environment tracks; a token for one of
// them tells the newest row version.
var probes = [...]string{"businessunit", "transactioncurrency", "organization", "subject", "territory", "uomschedule", "team"}

// highestVersion is the newest row version the source has given out. The only
// place that says it is the version in front of a change-tracking token
// (protocols/dataverse.md §5.2), which the docs call opaque: what does not look
// like one leaves it unknown, 0.
func (s *Source) highestVersion(ctx context.Context, schema *allod.Schema) uint64 {
	for _, name := range probes {
		t := schema.Table(name)
		if t == nil || !t.Tracking || t.Unreadable != "" {
			continue
		}
		var page struct {
			Delta string `json:"@odata.deltaLink"`
		}
		r := &odataclient.Request{URL: t.Set + "?$select=" + t.Key, Table: name, Header: prefer(true, 0)}
		if err := s.requestJSON(ctx, r, &page); err != nil {
			continue
		}
		return changes.TokenVersion(page.Delta)
	}
	return 0
}

// prefer makes the header of a list request. It goes with every page, since
// page size and annotations are not in the links (protocols/dataverse.md §4.1).
func prefer(track bool, pageSize int) map[string][]string {
	v := `odata.include-annotations="` + odata.LookupLogicalName + `,` + odata.AssociatedNavigation + `"`
	if pageSize > 0 {
		v += ",odata.maxpagesize=" + strconv.Itoa(pageSize)
	}
	if track {
		v += ",odata.track-changes"
	}
	return map[string][]string{"Prefer": {v}}
}

// getJSON reads one answer into v.
func (s *Source) getJSON(ctx context.Context, link, table string, v any) error {
	return s.requestJSON(ctx, &odataclient.Request{URL: link, Table: table, MaxBytes: maxMetadata}, v)
}

func (s *Source) requestJSON(ctx context.Context, r *odataclient.Request, v any) error {
	r.Check = func(res *odataclient.Response) error {
		p := scan.New(res.Body)
		if err := p.Skip(); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(res.Body), v); err != nil {
			var shape *json.UnmarshalTypeError
			if errors.As(err, &shape) {
				return allod.Errorf(allod.Unavailable, "the answer has another shape than documented at %s", shape.Field)
			}
			return allod.Errorf(allod.Unavailable, "the answer has another shape than documented")
		}
		return nil
	}
	_, err := s.client.Do(ctx, r)
	return err
}
