package metadata

import (
	"cmp"
	"slices"
	"strings"

	"allod"
)

// Build makes the schema out of complete entities.
func Build(identity allod.Identity, entities []Entity) (*allod.Schema, error) {
	s := &allod.Schema{Identity: identity, Tables: make([]allod.Table, 0, len(entities))}
	seen := map[string]bool{}
	base, ends := activityBinds(entities), pairEnds(entities)
	for i := range entities {
		e := &entities[i]
		if e.LogicalName == "" || seen["t/"+e.LogicalName] {
			continue
		}
		seen["t/"+e.LogicalName] = true
		s.Tables = append(s.Tables, table(e, base, ends[e.LogicalName]))
		for j := range e.ManyToOneRelationships {
			r := &e.ManyToOneRelationships[j]
			if key := "r/" + r.SchemaName; r.SchemaName != "" && !seen[key] {
				seen[key] = true
				s.Relationships = append(s.Relationships, oneToMany(r))
			}
		}
		for j := range e.ManyToManyRelationships {
			r := &e.ManyToManyRelationships[j]
			if key := "r/" + r.SchemaName; r.SchemaName != "" && !seen[key] {
				seen[key] = true
				s.Relationships = append(s.Relationships, manyToMany(r))
			}
		}
	}
	slices.SortFunc(s.Tables, func(a, b allod.Table) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Relationships, func(a, b allod.Relationship) int { return cmp.Compare(a.Name, b.Name) })
	if len(s.Tables) == 0 {
		return nil, allod.Errorf(allod.Unavailable, "describe: the source listed no tables")
	}
	return s, nil
}

func oneToMany(r *OneToMany) allod.Relationship {
	return allod.Relationship{
		Name: r.SchemaName, One: r.ReferencedEntity, Many: r.ReferencingEntity, Column: r.ReferencingAttribute,
		Bind: r.ReferencingEntityNavigationPropertyName, OneBind: r.ReferencedEntityNavigationPropertyName,
		Delete: r.CascadeConfiguration.Delete,
	}
}

func manyToMany(r *ManyToMany) allod.Relationship {
	return allod.Relationship{
		Name: r.SchemaName, Intersect: r.IntersectEntityName,
		Table1: r.Entity1LogicalName, Table2: r.Entity2LogicalName,
		Column1: r.Entity1IntersectAttribute, Column2: r.Entity2IntersectAttribute,
		Bind1: r.Entity1NavigationPropertyName, Bind2: r.Entity2NavigationPropertyName,
	}
}

// table describes one table; inherited are the binds of activitypointer, ends
// the columns that hold the pairs of an intersect table.
func table(e *Entity, inherited map[string]map[string]string, ends map[string]bool) allod.Table {
	t := allod.Table{
		Name: e.LogicalName, ID: guid(e.MetadataID), Set: e.EntitySetName, SchemaName: e.SchemaName,
		Label: e.DisplayName.Text(), Key: e.PrimaryIDAttribute, Title: e.PrimaryNameAttribute, Code: e.ObjectTypeCode,
		// No document says that tracking an intersect set yields its
		// associations, so it is read whole (protocols/dataverse.md §5.2).
		Tracking:  e.ChangeTrackingEnabled && !e.IsIntersect,
		Intersect: e.IsIntersect, Activity: e.IsActivity,
		Owned:      e.OwnershipType == "UserOwned" || e.OwnershipType == "TeamOwned",
		Unreadable: unreadable(e),
	}
	t.Class, t.Reason = Classify(e)
	binds := map[string]map[string]string{}
	for i := range e.ManyToOneRelationships {
		r := &e.ManyToOneRelationships[i]
		bind(binds, r)
	}
	if e.IsActivity {
		inherit(binds, inherited)
	}
	for i := range e.Attributes {
		if e.Attributes[i].LogicalName != "" {
			t.Columns = append(t.Columns, column(e, &e.Attributes[i], binds, ends))
		}
	}
	slices.SortFunc(t.Columns, func(a, b allod.Column) int {
		return cmp.Or(rank(&a)-rank(&b), cmp.Compare(a.Name, b.Name))
	})
	t.Columns = slices.CompactFunc(t.Columns, func(a, b allod.Column) bool { return a.Name == b.Name })
	for _, k := range e.Keys {
		if k.EntityKeyIndexStatus == "" || k.EntityKeyIndexStatus == "Active" {
			t.Keys = append(t.Keys, allod.AltKey{Name: k.LogicalName, Columns: slices.Clone(k.KeyAttributes)})
		}
	}
	slices.SortFunc(t.Keys, func(a, b allod.AltKey) int { return cmp.Compare(a.Name, b.Name) })
	return t
}

// rank puts the columns without cells behind the others.
func rank(c *allod.Column) int {
	if c.Derived != "" || c.Unreadable != "" {
		return 1
	}
	return 0
}

// bind notes which navigation property writes a lookup. Owners are systemuser
// and team (protocols/dataverse.md §3.4, §6.4).
func bind(binds map[string]map[string]string, r *OneToMany) {
	nav := r.ReferencingEntityNavigationPropertyName
	if nav == "" || r.ReferencingAttribute == "" {
		return
	}
	m := binds[r.ReferencingAttribute]
	if m == nil {
		m = map[string]string{}
		binds[r.ReferencingAttribute] = m
	}
	targets := []string{r.ReferencedEntity}
	if r.ReferencedEntity == "owner" {
		targets = []string{"systemuser", "team"}
	}
	for _, target := range targets {
		if old, taken := m[target]; !taken || nav < old {
			m[target] = nav
		}
	}
}

// activityBinds are the navigation properties of activitypointer, the base type
// of all activities.
func activityBinds(entities []Entity) map[string]map[string]string {
	binds := map[string]map[string]string{"ownerid": {"systemuser": "ownerid", "team": "ownerid"}}
	for i := range entities {
		if entities[i].LogicalName != "activitypointer" {
			continue
		}
		for j := range entities[i].ManyToOneRelationships {
			bind(binds, &entities[i].ManyToOneRelationships[j])
		}
	}
	return binds
}

// pairEnds are the columns of each intersect table that hold its pairs. The
// tables at the ends say them, the intersect table itself need not.
func pairEnds(entities []Entity) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for i := range entities {
		for j := range entities[i].ManyToManyRelationships {
			r := &entities[i].ManyToManyRelationships[j]
			if out[r.IntersectEntityName] == nil {
				out[r.IntersectEntityName] = map[string]bool{}
			}
			out[r.IntersectEntityName][r.Entity1IntersectAttribute], out[r.IntersectEntityName][r.Entity2IntersectAttribute] = true, true
		}
	}
	return out
}

// inherit gives an activity the navigation properties of its base type
// (protocols/dataverse.md §3.1) where its own relationships say none.
func inherit(binds, base map[string]map[string]string) {
	for column, targets := range base {
		own := binds[column]
		if own == nil {
			own = map[string]string{}
			binds[column] = own
		}
		for target, nav := range targets {
			if own[target] == "" {
				own[target] = nav
			}
		}
	}
}

// unreadable says why rows of the table cannot be read at all.
func unreadable(e *Entity) string {
	switch {
	case e.LogicalName == "activitypointer":
		return "its rows are base columns of the concrete activity tables"
	case e.LogicalName == "owner" || e.LogicalName == "principal":
		return "abstract: its rows are users and teams"
	case e.EntitySetName == "":
		return "the source has no entity set for it"
	case e.PrimaryIDAttribute == "":
		return "it has no primary key"
	case strings.EqualFold(e.TableType, "Virtual") || (e.DataProviderID != "" && !strings.EqualFold(e.TableType, "Elastic")):
		return "virtual: its rows lie in another system"
	}
	return ""
}

func guid(s string) allod.GUID {
	g, err := allod.ParseGUID(s)
	if err != nil {
		return allod.GUID{} // an id we cannot read is an id that was not said
	}
	return g
}
