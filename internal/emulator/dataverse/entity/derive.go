package entity

import (
	"cmp"
	"slices"
	"strings"

	"allod/internal/emulator/dataverse/entity/cascade"
)

// Derive fills in what is still empty in a sealed model whose tables,
// properties and relationships are known: kinds, targets, validity, choices,
// shadow columns, schema names, numbers and ids. It changes nothing that has
// been said already, and seals the model again.
func Derive(m *Model) {
	for _, t := range m.Tables {
		deriveTable(m, t)
	}
	for _, t := range m.Tables {
		for _, c := range t.Columns {
			deriveKind(m, t, c)
		}
		deriveCustomers(t)
	}
	for _, t := range m.Tables {
		deriveValidity(m, t)
		deriveChoices(t)
		deriveDetails(t)
		addShadows(t)
	}
	for _, r := range m.Relationships {
		deriveRelationship(m, r)
	}
	m.Seal()
	for i, t := range m.Tables {
		deriveNames(t, i)
	}
}

func deriveTable(m *Model, t *Table) {
	t.PrimaryID = t.primaryID()
	t.ODataKey = cmp.Or(t.ODataKey, t.PrimaryID)
	if lonelyIntersect(t.LogicalName) {
		t.Intersect = true
	}
	if t.BaseType == principalTable {
		if c := t.Column("ownerid"); c != nil {
			c.Hidden = true
		}
	}
	t.Activity = t.Activity || t.BaseType == activityTable || t.LogicalName == activityTable
	t.TableType = cmp.Or(t.TableType, "Standard")
	t.Custom = t.Custom || strings.Contains(t.LogicalName, "_")
	t.PrimaryName = cmp.Or(t.PrimaryName, primaryName(t))
	if t.Column("entityimage") != nil {
		t.PrimaryImage = cmp.Or(t.PrimaryImage, "entityimage")
	}
	if t.Ownership == 0 && !t.Intersect {
		t.Ownership = ownership(m, t)
	}
	t.Optimistic = t.Optimistic || t.Ownership == 1 && t.Column("versionnumber") != nil
	t.CanTrack = t.CanTrack || !t.Intersect && t.SetName != "" && (t.Column("versionnumber") != nil || t.LogicalName == "audit") && !untracked(t.LogicalName)
	t.ChangeTracking = t.ChangeTracking || t.CanTrack && !(t.Custom && idOf(t.LogicalName, "tracking")[0]%4 == 0)
	t.Audit = t.Audit || strings.Contains(" account contact goal lead list metric product report role systemuser ", " "+t.LogicalName+" ")
	for _, r := range m.OneToMany(t.LogicalName) {
		switch {
		case r.Referencing == "annotation" && r.ReferencingAttr == "objectid":
			t.HasNotes = true
		case r.Referencing == "activityparty" && r.ReferencingAttr == "partyid":
			t.ActivityParty = true
		}
	}
}

const activityTable = "activitypointer"

func primaryName(t *Table) string {
	prefix, _, custom := strings.Cut(t.LogicalName, "_")
	candidates := []string{"fullname", "name", "title", "subject", t.LogicalName + "name", "filename", "friendlyname", "currencyname", "listname", "uniquename"}
	if custom {
		candidates = append([]string{prefix + "_name"}, candidates...)
	}
	if t.Activity {
		candidates = []string{"subject"}
	}
	for _, x := range candidates {
		if c := t.Column(x); c != nil && c.EdmType == "Edm.String" && !t.Intersect {
			return x
		}
	}
	return ""
}

// ownership is OwnershipTypes (protocols/dataverse.md §3.2): user-owned where
// an owner can be set, business-owned where only the unit is known, else the
// organisation's.
func ownership(m *Model, t *Table) int {
	switch {
	case t.LogicalName == "systemuser" || t.LogicalName == "team" || t.LogicalName == "equipment":
		return 4
	case t.BaseType == activityTable || t.LogicalName == activityTable:
		return 1
	case m.Lookup(t, "ownerid", "systemuser") != nil:
		return 1
	case t.Column("owningbusinessunit") != nil:
		return 4
	case t.SetName != "":
		return 8
	}
	return 0
}

// untracked are tables whose CanChangeTrackingBeEnabled is false: the
// platform's own moving parts.
func untracked(table string) bool {
	switch table {
	case "activityparty", "asyncoperation", "bulkdeletefailure", "dependency", "duplicaterecord", "importdata", "importlog",
		"invaliddependency", "mailboxtrackingfolder", "plugintracelog", "plugintypestatistic", "principalobjectaccess",
		"principalobjectattributeaccess", "principalentitymap", "processsession", "runtimedependency", "syncerror", "tracelog", "workflowlog", activityTable:
		return true
	}
	return false
}

// deriveCustomers gives customer columns their kind: lookups to accounts and
// contacts only, by the names the platform uses.
func deriveCustomers(t *Table) {
	for _, c := range t.Columns {
		if c.Kind == "Lookup" && len(c.Targets) == 2 && slices.Equal(c.Targets, []string{"account", "contact"}) &&
			(c.LogicalName == "customerid" || c.LogicalName == "parentcustomerid" || strings.HasSuffix(c.LogicalName, "_customer")) {
			c.Kind = "Customer"
		}
	}
}

func deriveRelationship(m *Model, r *Relationship) {
	if r.MetadataID.IsZero() {
		r.MetadataID = idOf("relationship", r.SchemaName)
	}
	if r.Intersect != "" {
		return
	}
	if r.Cascade != (Cascade{}) {
		return
	}
	one := r.Referenced
	if m.Table(r.Referencing) == nil {
		one = ownerTable // a table nobody knows: nothing is done to its rows
	}
	r.Cascade = Cascade(cascade.Guess(one, r.Referencing, r.ReferencingAttr))
}
