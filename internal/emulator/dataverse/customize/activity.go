package customize

import (
	"slices"
	"strings"

	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
)

const pointer = "activitypointer"

// nature reads what kind of table the definition is of: standard, elastic,
// virtual, or of activities.
func (w *work) nature(t *entity.Table) error {
	kind, provider := text(w.body, "TableType"), text(w.body, "DataProviderId")
	switch {
	case kind == "Elastic":
		t.TableType = kind
	case kind == "Virtual", kind == "" && provider != "":
		return w.virtual(t)
	case kind != "Standard" && kind != "":
		return invalid("TableType %s is not valid.", kind)
	case provider != "":
		return invalid("The entity %s is not virtual: its DataProviderId must be null.", t.SchemaName)
	}
	if is, _ := flag(w.body, "IsActivity"); is {
		return w.activity(t)
	}
	if t.Ownership == 2 {
		return invalid("OwnershipType TeamOwned is valid for activities only.")
	}
	return nil
}

// activity checks the definition of a table of activities ("Custom
// activities" of the developer documentation): a user or team owns each, they
// have notes, are available offline and have no activities of their own.
func (w *work) activity(t *entity.Table) error {
	base := w.m.Table(pointer)
	if base == nil {
		return invalid("There are no activities in this organization.")
	}
	if t.TableType != "Standard" || t.Ownership == 8 {
		return invalid("The activity entity %s must be a standard one that is owned by users or teams.", t.SchemaName)
	}
	for member, want := range map[string]bool{"HasActivities": false, "IsMailMergeEnabled": false, "HasNotes": true, "IsAvailableOffline": true} {
		if is, said := flag(w.body, member); said && is != want {
			return invalid("%s of the activity entity %s must be %t.", member, t.SchemaName, want)
		}
	}
	t.Activity, t.BaseType, t.PrimaryID, t.ODataKey = true, base.LogicalName, base.PrimaryID, base.ODataKey
	return nil
}

// partyColumns are the kinds of parties that every activity has; their rows are
// in activityparty (§6.1).
func partyColumns() []string {
	return []string{"bcc", "cc", "customers", "from", "optionalattendees", "organizer", "partners", "requiredattendees", "resources", "to"}
}

// inherit gives a table of activities the columns of activitypointer and the
// parties, and returns the relationships behind its lookups. They are named as
// the $metadata of organisations with such tables names them.
func (w *work) inherit(t *entity.Table) (rels []*entity.Relationship) {
	for _, c := range w.m.Table(pointer).Columns {
		x := *c
		x.Inherited, x.Targets, x.Number = true, slices.Clone(c.Targets), 0
		if c.OptionSet != nil {
			set := *c.OptionSet
			set.Options = slices.Clone(set.Options)
			x.OptionSet = &set
		}
		x.Said = nil
		if c.LogicalName != t.PrimaryID { // the base is read-only, what derives from it is not
			x.ValidForCreate, x.ValidForUpdate, x.ValidForRead = false, false, false
		}
		t.Columns = append(t.Columns, &x)
	}
	for _, c := range []*entity.Column{
		{LogicalName: "overriddencreatedon", Kind: "DateTime", EdmType: "Edm.DateTimeOffset"},
		{LogicalName: "importsequencenumber", Kind: "Integer", EdmType: "Edm.Int32"},
	} {
		if !slices.ContainsFunc(t.Columns, func(x *entity.Column) bool { return x.LogicalName == c.LogicalName }) {
			t.Columns = append(t.Columns, c)
		}
	}
	for _, name := range partyColumns() {
		t.Columns = append(t.Columns, &entity.Column{LogicalName: name, Kind: "PartyList", ValidForCreate: true, ValidForUpdate: true, ValidForRead: true})
	}
	t.PrimaryName = "subject"
	for _, r := range w.m.ManyToOne(pointer) {
		x := *r
		x.MetadataID, x.Referencing, x.Said, x.ReferencingNav = w.Org.NewID(), t.LogicalName, nil, r.ReferencingNav+"_"+t.LogicalName
		x.SchemaName = t.LogicalName + "_" + r.Referenced + "_" + r.ReferencingAttr
		if r.ReferencingAttr == "regardingobjectid" {
			x.SchemaName = r.Referenced + "_" + t.LogicalSet
		}
		x.ReferencedNav = x.SchemaName
		rels = append(rels, &x)
	}
	return rels
}

// takeParties lets parties be those of activities in the table.
func (w *work) takeParties(t *entity.Table) {
	w.regard(t, "activityparty", "activityid", t.LogicalName+"_activity_parties", "activityid_"+t.LogicalName+"_activityparty")
}

// collections is the name of the activities in t as they stand under what they
// regard: Account_Tasks, account_new_smses.
func collections(t *entity.Table) string {
	if t.Custom {
		return t.LogicalSet
	}
	return plural(t.SchemaName)
}

// virtual checks the definition of a virtual table ("API considerations of
// virtual tables"): the organisation owns it, and it is neither tracked nor
// audited nor guarded by versions.
func (w *work) virtual(t *entity.Table) error {
	if owner := text(w.body, "OwnershipType"); owner != "" && owner != "OrganizationOwned" {
		return invalid("The virtual entity %s must be OrganizationOwned.", t.SchemaName)
	}
	for _, member := range []string{"IsActivity", "ChangeTrackingEnabled", "IsAuditEnabled"} {
		if on, _ := flag(w.body, member); on {
			return invalid("%s cannot be true for the virtual entity %s.", member, t.SchemaName)
		}
	}
	t.TableType, t.Ownership, t.Optimistic = "Virtual", 8, false
	return nil
}

// noProvider is the DataProviderId of a virtual table whose provider is not
// known yet.
const noProvider = "7015a531-cc0d-4537-b5f2-c882a1eb65ad"

// provide remembers which provider and which source a virtual table has.
func (w *work) provide(t *entity.Table) {
	was, _ := describe.Said(t.Said).Get("DataProviderId")
	provider, _ := was.(string)
	if said := text(w.body, "DataProviderId"); said != "" {
		provider = strings.ToLower(said)
	}
	if provider == "" {
		provider = noProvider
	}
	t.Said = describe.Over(describe.Said(t.Said), entity.Object{{Name: "DataProviderId", Value: provider}}).AppendJSON(nil)
}

// activityMask keeps ActivityTypeMask, which is set with the table or never: 1
// unless it says 0.
func (w *work) activityMask(t *entity.Table) {
	if n, said := whole(w.body, "ActivityTypeMask"); said && n == 0 {
		t.Said = describe.Over(describe.Said(t.Said), entity.Object{{Name: "ActivityTypeMask", Value: 0}}).AppendJSON(nil)
	}
}
