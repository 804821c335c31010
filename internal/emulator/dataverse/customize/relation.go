package customize

import (
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/wire"
)

// modelledRelationship are members of RelationshipMetadataBase and its two
// kinds that follow from the model.
func modelledRelationship() []string {
	return []string{
		"RelationshipType", "IsCustomRelationship", "ReferencedEntity", "ReferencedAttribute", "ReferencingEntity", "ReferencingAttribute",
		"ReferencedEntityNavigationPropertyName", "ReferencingEntityNavigationPropertyName", "CascadeConfiguration", "RelationshipAttributes",
		"Entity1LogicalName", "Entity2LogicalName", "IntersectEntityName", "Entity1IntersectAttribute", "Entity2IntersectAttribute",
		"Entity1NavigationPropertyName", "Entity2NavigationPropertyName",
	}
}

// createRelationship is POST RelationshipDefinitions: one to many with the
// lookup that it makes, or many to many with the table of its pairs.
func (w *work) createRelationship() error {
	class := strings.TrimPrefix(strings.TrimPrefix(text(w.body, "@odata.type"), "#"), request.Namespace)
	if class == "" && object(w.body, "Lookup") != nil {
		class = "OneToManyRelationshipMetadata"
	}
	var id allod.GUID
	var err error
	switch class {
	case "OneToManyRelationshipMetadata":
		id, _, err = w.oneToMany(w.body, object(w.body, "Lookup"), "Lookup")
	case "ManyToManyRelationshipMetadata":
		id, err = w.manyToMany(w.body)
	default:
		return wire.BadPayload("The type of a relationship must be OneToManyRelationshipMetadata or ManyToManyRelationshipMetadata.")
	}
	w.made = "RelationshipDefinitions(" + id.String() + ")"
	return err
}

// relationshipName checks the schema name of a new relationship.
func (w *work) relationshipName(o entity.Object) (string, error) {
	name, err := schemaName("relationship", text(o, "SchemaName"))
	if err == nil && w.m.Relationship(name) != nil {
		err = duplicate(name, "EntityRelationship")
	}
	return name, err
}

// oneToMany makes the relationship and its lookup; a lookup that is there gets
// one more target, and its navigation properties carry their targets' names
// ("Multi-table lookups").
func (w *work) oneToMany(o, lookup entity.Object, kind entity.ColumnKind) (id, column allod.GUID, err error) {
	name, err := w.relationshipName(o)
	if err != nil {
		return id, column, err
	}
	one, err := w.named(text(o, "ReferencedEntity"))
	if err != nil {
		return id, column, err
	}
	many, err := w.named(text(o, "ReferencingEntity"))
	if err != nil {
		return id, column, err
	}
	if many.Intersect || one.Intersect {
		return id, column, invalid("An intersect entity takes part in no relationships.")
	}
	if many.TableType == "Virtual" && one.TableType == "Virtual" {
		return id, column, invalid("Two virtual entities take part in no relationship.")
	}
	schema, err := schemaName("attribute", text(lookup, "SchemaName"))
	if err != nil {
		return id, column, err
	}
	many = w.own(many)
	r := &entity.Relationship{
		SchemaName: name, MetadataID: w.Org.NewID(), Referenced: one.LogicalName, ReferencedAttr: one.PrimaryID, Referencing: many.LogicalName,
		ReferencingAttr: strings.ToLower(schema), ReferencedNav: name, ReferencingNav: schema,
	}
	for member, to := range map[string]*string{"ReferencedEntityNavigationPropertyName": &r.ReferencedNav, "ReferencingEntityNavigationPropertyName": &r.ReferencingNav} {
		if nav := text(o, member); nav != "" {
			*to = nav
		}
	}
	if r.Cascade, err = cascade(object(o, "CascadeConfiguration"), entity.Cascade{
		Assign: "NoCascade", Delete: "RemoveLink", Merge: "NoCascade", Reparent: "NoCascade", Share: "NoCascade", Unshare: "NoCascade",
	}); err != nil {
		return id, column, err
	}
	if r.Said, err = w.keep(r.Definition(), o, fresh(entity.Member{Name: "IsCustomRelationship", Value: true}), modelledRelationship()...); err != nil {
		return id, column, err
	}
	c := many.Column(r.ReferencingAttr)
	if c != nil {
		column = c.MetadataID
		return r.MetadataID, column, w.moreTargets(many, c, r)
	}
	c = &entity.Column{
		LogicalName: r.ReferencingAttr, SchemaName: schema, Kind: kind, EdmType: "Edm.Guid", Targets: []string{one.LogicalName}, Required: "None",
		DisplayName: title(object(lookup, "DisplayName")), Said: fresh(entity.Member{Name: "IsCustomAttribute", Value: true}),
	}
	w.attach(many, []*entity.Column{c}, []*entity.Relationship{r})
	return r.MetadataID, c.MetadataID, w.say(many, lookup, c.LogicalName)
}

// moreTargets adds the relationship to a lookup that has others.
func (w *work) moreTargets(many *entity.Table, c *entity.Column, r *entity.Relationship) error {
	custom, _ := flag(describe.Said(c.Said), "IsCustomAttribute")
	if !custom || c.Kind != "Lookup" && c.Kind != "Customer" {
		return wire.Refuse(http.StatusBadRequest, "0x80047013", "An attribute with the specified name %s already exists.", c.LogicalName)
	}
	if slices.Contains(c.Targets, r.Referenced) {
		return duplicate(r.SchemaName, "EntityRelationship")
	}
	for i, x := range w.m.Relationships {
		if x.Referencing == many.LogicalName && x.ReferencingAttr == c.LogicalName && x.ReferencingNav == r.ReferencingNav {
			first := *x
			first.ReferencingNav += "_" + x.Referenced
			w.m.Relationships[i] = &first
		}
	}
	r.ReferencingNav += "_" + r.Referenced
	c = w.ownColumn(many, c)
	c.Targets = append(slices.Clone(c.Targets), r.Referenced)
	w.m.Relationships = append(w.m.Relationships, r)
	w.refresh(many)
	return nil
}

// cascade reads CascadeConfiguration over what there was (§3.4, §6.12).
func cascade(o entity.Object, c entity.Cascade) (entity.Cascade, error) {
	for member, to := range map[string]*string{
		"Assign": &c.Assign, "Delete": &c.Delete, "Merge": &c.Merge, "Reparent": &c.Reparent, "Share": &c.Share, "Unshare": &c.Unshare,
	} {
		switch v := text(o, member); v {
		case "":
		case "NoCascade", "Cascade", "Active", "UserOwned":
			*to = v
		case "RemoveLink", "Restrict":
			if member != "Delete" {
				return c, invalid("%s is not a valid cascade of %s.", v, member)
			}
			*to = v
		default:
			return c, mistyped(member)
		}
	}
	return c, nil
}

// manyToMany makes the relationship and the table of its pairs.
func (w *work) manyToMany(o entity.Object) (id allod.GUID, err error) {
	name, err := w.relationshipName(o)
	if err != nil {
		return id, err
	}
	one, err := w.named(text(o, "Entity1LogicalName"))
	if err != nil {
		return id, err
	}
	two, err := w.named(text(o, "Entity2LogicalName"))
	if err != nil {
		return id, err
	}
	schema := text(o, "IntersectEntityName")
	if schema == "" {
		schema = name
	}
	if schema, err = schemaName("entity", schema); err != nil {
		return id, err
	}
	t := &entity.Table{
		LogicalName: strings.ToLower(schema), SchemaName: schema, MetadataID: w.Org.NewID(), TableType: "Standard", Custom: true, Intersect: true,
		PrimaryID: strings.ToLower(schema) + "id", SetName: strings.ToLower(schema) + "set",
	}
	if w.m.Table(t.LogicalName) != nil || w.m.Set(t.SetName) != nil {
		return id, duplicate(schema, "Entity")
	}
	r := &entity.Relationship{
		SchemaName: name, MetadataID: w.Org.NewID(), Intersect: t.LogicalName, Entity1: one.LogicalName, Entity2: two.LogicalName,
		Attribute1: one.PrimaryID, Attribute2: two.PrimaryID, Nav1: name, Nav2: name,
	}
	if one == two { // the two ends need two names
		r.Attribute1, r.Attribute2, r.Nav2 = one.PrimaryID+"one", two.PrimaryID+"two", name+"_Referenced"
	}
	for member, to := range map[string]*string{"Entity1NavigationPropertyName": &r.Nav1, "Entity2NavigationPropertyName": &r.Nav2} {
		if nav := text(o, member); nav != "" {
			*to = nav
		}
	}
	for _, c := range []string{t.PrimaryID, r.Attribute1, r.Attribute2} {
		t.Columns = append(t.Columns, &entity.Column{LogicalName: c, Kind: "Uniqueidentifier", EdmType: "Edm.Guid"})
	}
	t.Columns = append(t.Columns, &entity.Column{LogicalName: "versionnumber", Kind: "BigInt", EdmType: "Edm.Int64"})
	t.TypeCode = 10000
	for _, x := range w.m.Tables {
		t.TypeCode = max(t.TypeCode, x.TypeCode+1)
	}
	derive(t, nil)
	t.Said = fresh()
	for _, c := range t.Columns {
		c.MetadataID = w.Org.NewID()
	}
	if r.Said, err = w.keep(r.Definition(), o, fresh(entity.Member{Name: "IsCustomRelationship", Value: true}), modelledRelationship()...); err != nil {
		return id, err
	}
	w.m.Relationships = append(w.m.Relationships, r)
	w.add(t)
	return r.MetadataID, nil
}

// relationship finds the relationship that the path means.
func (w *work) relationship() (int, *entity.Relationship, error) {
	for i, r := range w.m.Relationships {
		if describe.Named(&w.Req.Path[0], r.SchemaName, r.MetadataID, "SchemaName") {
			return i, r, nil
		}
	}
	return 0, nil, wire.Refuse(http.StatusNotFound, "0x80044183", "The requested relationship was not found.")
}

// updateRelationship is PUT RelationshipDefinitions(…): what it joins stays.
func (w *work) updateRelationship() error {
	i, r, err := w.relationship()
	if err != nil {
		return err
	}
	next := *r
	if next.Said, err = w.keep(describe.Relationship(r), w.body, r.Said, modelledRelationship()...); err != nil {
		return err
	}
	if r.Intersect == "" {
		if next.Cascade, err = cascade(object(w.body, "CascadeConfiguration"), r.Cascade); err != nil {
			return err
		}
	}
	w.m.Relationships[i] = &next
	w.made = "RelationshipDefinitions(" + r.MetadataID.String() + ")"
	return nil
}

// deleteRelationship removes a relationship that an administrator made: with
// one to many goes the lookup, unless it has other targets, with many to many
// the pairs.
func (w *work) deleteRelationship() error {
	i, r, err := w.relationship()
	if err != nil {
		return err
	}
	if !unmanaged(r.Said) {
		return notDeletable(r.SchemaName, r.MetadataID)
	}
	if r.Intersect != "" {
		w.m.Relationships = slices.Delete(w.m.Relationships, i, i+1)
		w.m.Tables = slices.DeleteFunc(w.m.Tables, func(t *entity.Table) bool { return t.LogicalName == r.Intersect })
		w.m.Index()
		return nil
	}
	t := w.m.Table(r.Referencing)
	c := t.Column(r.ReferencingAttr)
	switch {
	case c.Kind == "Customer":
		return wire.Refuse(http.StatusBadRequest, "0x8004847d", "This relationship %s is required by the %s attribute and can't be deleted. To delete this relationship, first delete the lookup attribute.", r.SchemaName, c.LogicalName)
	case len(c.Targets) > 1:
		w.m.Relationships = slices.Delete(w.m.Relationships, i, i+1)
		w.untarget(r)
		return nil
	}
	if n := len(slices.DeleteFunc(slices.Concat(t.Keys, t.Failed), func(k *entity.Key) bool { return !slices.Contains(k.Columns, c.LogicalName) })); n > 0 {
		return inUse("EntityRelationship", r.MetadataID, n)
	}
	w.removeColumn(t, c)
	return nil
}

// createCustomer is CreateCustomerRelationships: a lookup to accounts and
// contacts.
func (w *work) createCustomer() error {
	list := objects(w.body, "OneToManyRelationships")
	var targets []string
	for _, o := range list {
		targets = append(targets, text(o, "ReferencedEntity"))
	}
	slices.Sort(targets)
	if !slices.Equal(targets, []string{"account", "contact"}) {
		return invalid("A customer attribute needs one relationship to account and one to contact.")
	}
	return w.several(list, "Customer")
}

// createPolymorphic is CreatePolymorphicLookupAttribute.
func (w *work) createPolymorphic() error {
	list := objects(w.body, "OneToManyRelationships")
	if len(list) == 0 {
		return invalid("OneToManyRelationships is missing.")
	}
	return w.several(list, "Lookup")
}

func (w *work) several(list []entity.Object, kind entity.ColumnKind) error {
	lookup := object(w.body, "Lookup")
	if t := w.m.Table(text(list[0], "ReferencingEntity")); t != nil && t.Column(strings.ToLower(text(lookup, "SchemaName"))) != nil {
		return wire.Refuse(http.StatusBadRequest, "0x80047013", "An attribute with the specified name %s already exists.", strings.ToLower(text(lookup, "SchemaName")))
	}
	ids := []string{}
	var column allod.GUID
	for _, o := range list {
		id, c, err := w.oneToMany(o, lookup, kind)
		if err != nil {
			return err
		}
		ids, column = append(ids, id.String()), c
	}
	w.result = map[string]any{"RelationshipIds": ids, "AttributeId": column.String()}
	return nil
}
