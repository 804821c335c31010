package customize

import (
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// modelled are members of EntityMetadata that follow from the model.
func modelled() []string {
	return []string{
		"EntitySetName", "LogicalCollectionName", "ObjectTypeCode", "OwnershipType", "PrimaryIdAttribute", "PrimaryNameAttribute",
		"PrimaryImageAttribute", "IsActivity", "ActivityTypeMask", "IsCustomEntity", "IsIntersect", "TableType", "HasNotes", "HasActivities",
		"IsActivityParty", "ChangeTrackingEnabled", "IsOptimisticConcurrencyEnabled", "Privileges", "ReportViewName", "IsStateModelAware",
		"IsSolutionAware", "IsPrivate", "IsLogicalEntity", "CanChangeTrackingBeEnabled", "DaysSinceRecordLastModified", "DataProviderId",
	}
}

// createTable makes a table with its primary name column, the columns every
// table has and those that come with it (POST EntityDefinitions).
func (w *work) createTable() error {
	name, err := schemaName("entity", text(w.body, "SchemaName"))
	if err != nil {
		return err
	}
	t := &entity.Table{
		LogicalName: strings.ToLower(name), SchemaName: name, MetadataID: w.Org.NewID(), TableType: "Standard", Custom: true, Optimistic: true,
		DisplayName: title(object(w.body, "DisplayName")),
	}
	if err := w.describeTable(t); err != nil {
		return err
	}
	primary, others, err := primaryColumn(t, w.body)
	if err != nil {
		return err
	}
	rels := w.columns(t, text(primary, "SchemaName"))
	tracked, _ := flag(w.body, "ChangeTrackingEnabled")
	derive(t, rels)
	t.ChangeTracking = tracked
	for _, c := range t.Columns {
		c.MetadataID = w.Org.NewID()
		c.Said = fresh()
	}
	w.add(t)
	w.m.Relationships = append(w.m.Relationships, rels...)
	w.m.Index()
	if err := w.say(t, primary, t.PrimaryName); err != nil {
		return err
	}
	for _, o := range others {
		if _, err := w.addColumn(t, o); err != nil {
			return err
		}
	}
	if t.Said, err = w.keep(t.Definition(), w.body, fresh(entity.Member{Name: "CollectionSchemaName", Value: t.SchemaName + "s"}), modelled()...); err != nil {
		return err
	}
	switch {
	case t.Activity:
		w.takeParties(t)
		w.takeNotes(t)
		w.activityMask(t)
	case t.TableType == "Virtual":
		w.provide(t)
	}
	w.takeOn(t)
	w.made = "EntityDefinitions(" + t.MetadataID.String() + ")"
	w.after = append(w.after, func() error { return w.JoinTable(t.MetadataID) })
	return nil
}

// describeTable reads what the table is: its owners, its set, its type.
func (w *work) describeTable(t *entity.Table) error {
	if old := w.m.Table(t.LogicalName); old != nil {
		if w.Exists(old) {
			return duplicate(t.SchemaName, "Entity")
		}
		w.forget(old)
	}
	for _, label := range []string{"DisplayName", "DisplayCollectionName"} {
		if title(object(w.body, label)) == "" {
			return invalid("Required field '%s' is missing.", label)
		}
	}
	switch owner := text(w.body, "OwnershipType"); owner {
	case "UserOwned", "":
		t.Ownership = 1
	case "OrganizationOwned":
		t.Ownership = 8
	case "TeamOwned":
		t.Ownership = 2
	default:
		return invalid("OwnershipType %s is not valid for a custom table.", owner)
	}
	t.PrimaryID = t.LogicalName + "id"
	t.ODataKey = t.PrimaryID
	if err := w.nature(t); err != nil {
		return err
	}
	t.SetName = text(w.body, "EntitySetName")
	if t.SetName == "" {
		t.SetName = plural(t.LogicalName)
	}
	if w.m.Set(t.SetName) != nil {
		return duplicate(t.SetName, "EntitySet")
	}
	t.LogicalSet = strings.ToLower(t.SetName)
	t.TypeCode = 10000
	for _, x := range w.m.Tables {
		t.TypeCode = max(t.TypeCode, x.TypeCode+1)
	}
	t.Audit, _ = flag(w.body, "IsAuditEnabled")
	return nil
}

// plural is the collection name of a table that is given none.
func plural(name string) string {
	stem, isY := strings.CutSuffix(name, "y")
	switch {
	case isY && !strings.HasSuffix(stem, "a") && !strings.HasSuffix(stem, "e") && !strings.HasSuffix(stem, "o"):
		return stem + "ies"
	case strings.HasSuffix(name, "s"), strings.HasSuffix(name, "x"), strings.HasSuffix(name, "z"), strings.HasSuffix(name, "ch"), strings.HasSuffix(name, "sh"):
		return name + "es"
	}
	return name + "s"
}

// primaryColumn finds the definition of the primary name column among those
// that come with a table.
func primaryColumn(t *entity.Table, body entity.Object) (primary entity.Object, others []entity.Object, err error) {
	for _, o := range objects(body, "Attributes") {
		is, _ := flag(o, "IsPrimaryName")
		if is || text(body, "PrimaryNameAttribute") != "" && strings.EqualFold(text(o, "SchemaName"), text(body, "PrimaryNameAttribute")) {
			if primary != nil {
				return nil, nil, wire.Refuse(http.StatusBadRequest, "0x8004701E", "The new %s attribute is set as the primary name attribute for the %s entity. The %s entity already has the %s attribute set as the primary name attribute. An entity can only have one primary name attribute.", text(o, "SchemaName"), t.LogicalName, t.LogicalName, text(primary, "SchemaName"))
			}
			primary = o
			continue
		}
		others = append(others, o)
	}
	if primary == nil {
		return nil, nil, invalid("The definition of a table needs an attribute with IsPrimaryName.")
	}
	if kind := kindOf(primary); kind != "String" {
		return nil, nil, invalid("The primary name attribute must be of type String, not %s.", kind)
	}
	if t.Activity {
		if name := text(primary, "SchemaName"); name != "Subject" {
			return nil, nil, invalid("The schema name of the primary attribute of the activity entity %s must be Subject, not %s.", t.SchemaName, name)
		}
		return primary, others, nil
	}
	if _, err := schemaName("attribute", text(primary, "SchemaName")); err != nil {
		return nil, nil, err
	}
	return primary, others, nil
}

// columns gives the table the columns that come with it, and returns the
// relationships behind its lookups.
func (w *work) columns(t *entity.Table, primary string) []*entity.Relationship {
	if t.Activity {
		return w.inherit(t)
	}
	return w.standard(t, primary)
}

// standard gives the table the columns every table has, and returns the
// relationships behind its lookups.
func (w *work) standard(t *entity.Table, primary string) (rels []*entity.Relationship) {
	add := func(kind entity.ColumnKind, edm string, names ...string) {
		for _, n := range names {
			t.Columns = append(t.Columns, &entity.Column{LogicalName: n, Kind: kind, EdmType: edm})
		}
	}
	lookup := func(kind entity.ColumnKind, column, referenced, name string, targets ...string) {
		if !slices.ContainsFunc(targets, func(x string) bool { return w.m.Table(x) != nil }) {
			return
		}
		t.Columns = append(t.Columns, &entity.Column{LogicalName: column, Kind: kind, EdmType: "Edm.Guid", Targets: targets})
		key := "ownerid"
		if x := w.m.Table(referenced); x != nil && referenced != "owner" {
			key = x.PrimaryID
		}
		none := "NoCascade"
		rels = append(rels, &entity.Relationship{
			SchemaName: name, MetadataID: w.Org.NewID(), Referenced: referenced, ReferencedAttr: key, Referencing: t.LogicalName, ReferencingAttr: column,
			ReferencedNav: name, ReferencingNav: column, Cascade: entity.Cascade{Assign: none, Delete: none, Merge: none, Reparent: none, Share: none, Unshare: none},
		})
	}
	n := t.LogicalName
	add("Uniqueidentifier", "Edm.Guid", t.PrimaryID)
	t.PrimaryName = strings.ToLower(primary)
	t.Columns = append(t.Columns, &entity.Column{LogicalName: t.PrimaryName, SchemaName: primary, Kind: "String", EdmType: "Edm.String"})
	if t.TableType == "Virtual" { // the rest is what the source has
		return nil
	}
	add("DateTime", "Edm.DateTimeOffset", "createdon", "modifiedon", "overriddencreatedon")
	add("BigInt", "Edm.Int64", "versionnumber")
	add("Integer", "Edm.Int32", "importsequencenumber", "timezoneruleversionnumber", "utcconversiontimezonecode")
	for _, c := range []string{"createdby", "modifiedby", "createdonbehalfby", "modifiedonbehalfby"} {
		lookup("Lookup", c, "systemuser", "lk_"+n+"_"+c, "systemuser")
	}
	if t.Ownership == 1 {
		lookup("Owner", "ownerid", "owner", "owner_"+n, "systemuser", "team")
		lookup("Lookup", "owninguser", "systemuser", "user_"+n, "systemuser")
		lookup("Lookup", "owningteam", "team", "team_"+n, "team")
		lookup("Lookup", "owningbusinessunit", "businessunit", "business_unit_"+n, "businessunit")
	} else {
		lookup("Lookup", "organizationid", "organization", "organization_"+n, "organization")
	}
	if t.TableType == "Elastic" {
		add("String", "Edm.String", "partitionid")
		add("Integer", "Edm.Int32", "ttlinseconds")
		return rels
	}
	add("State", "Edm.Int32", "statecode")
	add("Status", "Edm.Int32", "statuscode")
	return rels
}

// derive completes the columns of a table that stands alone: validity, choices,
// shadow columns, names.
func derive(t *entity.Table, rels []*entity.Relationship) {
	m := &entity.Model{Tables: []*entity.Table{t}, Relationships: rels}
	m.Seal()
	entity.Derive(m)
}

// takeNotes lets notes be about rows of the table.
func (w *work) takeNotes(t *entity.Table) {
	if !t.HasNotes && w.regard(t, "annotation", "objectid", t.LogicalName+"_Annotations", "objectid_"+t.LogicalName) {
		t.HasNotes = true
	}
}

// takeActivities lets activities regard rows of the table.
func (w *work) takeActivities(t *entity.Table) {
	const column = "regardingobjectid"
	w.regard(t, "activitypointer", column, t.LogicalName+"_ActivityPointers", column+"_"+t.LogicalName)
	for _, x := range slices.Clone(w.m.Tables) {
		if x.BaseType == "activitypointer" {
			w.regard(t, x.LogicalName, column, t.LogicalName+"_"+collections(x), column+"_"+t.LogicalName+"_"+x.LogicalName)
		}
	}
}

// regard adds the table to the targets of another table's lookup, whose rows
// then go where the rows of this one go; false where there is no such lookup.
func (w *work) regard(t *entity.Table, table, column, collection, nav string) bool {
	many := w.m.Table(table)
	if many == nil || many.Column(column) == nil || w.m.Relationship(collection) != nil {
		return false
	}
	many = w.own(many)
	c := w.ownColumn(many, many.Column(column))
	c.Targets = append(slices.Clone(c.Targets), t.LogicalName)
	all := "Cascade"
	w.m.Relationships = append(w.m.Relationships, &entity.Relationship{
		SchemaName: collection, MetadataID: w.Org.NewID(), Referenced: t.LogicalName, ReferencedAttr: t.PrimaryID,
		Referencing: table, ReferencingAttr: column, ReferencedNav: collection, ReferencingNav: nav,
		Cascade: entity.Cascade{Assign: all, Delete: all, Merge: "NoCascade", Reparent: all, Share: all, Unshare: all},
	})
	w.refresh(many)
	return true
}

// takeOn lets notes and activities be about rows of the table where the body
// says so.
func (w *work) takeOn(t *entity.Table) {
	if notes, _ := flag(w.body, "HasNotes"); notes {
		w.takeNotes(t)
	}
	if activities, _ := flag(w.body, "HasActivities"); activities {
		w.takeActivities(t)
		t.Said = describe.Over(describe.Said(t.Said), entity.Object{{Name: "HasActivities", Value: true}}).AppendJSON(nil)
	}
}

// updateTable replaces what can be said of a table (PUT EntityDefinitions).
// Change tracking and notes can be switched on, not off.
func (w *work) updateTable() error {
	t, err := w.table()
	if err != nil {
		return err
	}
	t = w.own(t)
	if t.Said, err = w.keep(describe.Table(t), w.body, t.Said, modelled()...); err != nil {
		return err
	}
	if label := object(describe.Said(t.Said), "DisplayName"); title(label) != "" {
		t.DisplayName = title(label)
	}
	if on, ok := flag(w.body, "ChangeTrackingEnabled"); ok && on && !t.ChangeTracking {
		if !t.CanTrack {
			return invalid("Change tracking cannot be enabled for the entity %s.", t.LogicalName)
		}
		t.ChangeTracking = true
	}
	if on, ok := flag(w.body, "IsAuditEnabled"); ok {
		t.Audit = on
	}
	if t.TableType == "Virtual" {
		w.provide(t)
	}
	w.takeOn(t)
	w.made = "EntityDefinitions(" + t.MetadataID.String() + ")"
	return nil
}

// deleteTable removes a table that an administrator made, with its rows, the
// notes on them, its relationships and their pairs. Lookups of other tables
// that an administrator made prevent it.
func (w *work) deleteTable() error {
	t, err := w.table()
	if err != nil {
		return err
	}
	if !unmanaged(t.Said) || t.Intersect {
		return notDeletable(t.LogicalName, t.MetadataID)
	}
	n := 0
	for _, r := range w.m.Relationships {
		if r.Intersect == "" && r.Referenced == t.LogicalName && r.Referencing != t.LogicalName && unmanaged(r.Said) {
			n++
		}
	}
	if n > 0 {
		return inUse("Entity", t.MetadataID, n)
	}
	for _, r := range w.m.Relationships {
		if r.Referenced == t.LogicalName && r.Referencing != t.LogicalName && r.Intersect == "" {
			w.after = append(w.after, func() error { return w.letGo(r) })
		}
	}
	w.forget(t)
	return nil
}

// forget takes a table and what hangs on it out of the model.
func (w *work) forget(t *entity.Table) {
	pairs := map[string]bool{t.LogicalName: true}
	var others []*entity.Relationship
	w.m.Relationships = slices.DeleteFunc(w.m.Relationships, func(r *entity.Relationship) bool {
		here := r.Referenced == t.LogicalName || r.Referencing == t.LogicalName || r.Entity1 == t.LogicalName || r.Entity2 == t.LogicalName
		switch {
		case here && r.Intersect != "":
			pairs[r.Intersect] = true
		case here && r.Referencing != t.LogicalName:
			others = append(others, r)
		}
		return here
	})
	for _, r := range others {
		w.untarget(r)
	}
	w.m.Tables = slices.DeleteFunc(w.m.Tables, func(x *entity.Table) bool { return pairs[x.LogicalName] })
	w.m.Index()
}

// untarget takes the referenced table from the targets of a lookup.
func (w *work) untarget(r *entity.Relationship) {
	t := w.m.Table(r.Referencing)
	if t == nil || t.Column(r.ReferencingAttr) == nil {
		return
	}
	t = w.own(t)
	c := w.ownColumn(t, t.Column(r.ReferencingAttr))
	c.Targets = slices.DeleteFunc(slices.Clone(c.Targets), func(x string) bool { return x == r.Referenced })
	w.m.Index()
}

// letGo deletes the notes on rows of a table that is gone, their parties and files,
// and clears what regards them.
func (w *work) letGo(r *entity.Relationship) error {
	return w.Org.Store.Update(func(tx *store.Tx) error {
		if !tx.Has(r.Referencing) {
			return nil
		}
		var after *allod.GUID
		var about []allod.GUID
		for {
			page := tx.Page(r.Referencing, after, 1000)
			if len(page) == 0 {
				break
			}
			after = &page[len(page)-1].Key
			for _, row := range page {
				if target, _ := tx.Value(r.Referencing, row, r.ReferencingAttr).Target(); target == r.Referenced {
					about = append(about, row.Key)
				}
			}
		}
		at := tx.Column(r.Referencing, r.ReferencingAttr)
		for _, id := range about {
			if r.Referencing == "annotation" || r.Referencing == "activityparty" || r.Referencing == "fileattachment" {
				tx.Delete(r.Referencing, id)
				continue
			}
			cells := tx.Cells(tx.Get(r.Referencing, id))
			tx.Put(r.Referencing, id, slices.DeleteFunc(cells, func(c store.Cell) bool { return c.Column == at }))
		}
		return nil
	})
}
