package entity

import (
	"strconv"
	"strings"

	"allod"
)

// Defined reports whether EntityDefinitions lists the table: principal is in $metadata only.
func (t *Table) Defined() bool { return t.LogicalName != principalTable }

// Definition is the table's EntityMetadata without Attributes, Keys and
// relationships (protocols/dataverse.md §3.2).
//
// long: it is a list of the members in their order, one a line.
func (t *Table) Definition() Object {
	return Object{
		{"ActivityTypeMask", boolInt(t.Activity)},
		{"AutoRouteToOwnerQueue", false},
		{"CanTriggerWorkflow", !t.Intersect},
		{"EntityHelpUrlEnabled", false},
		{"EntityHelpUrl", nil},
		{"IsDocumentManagementEnabled", false},
		{"IsOneNoteIntegrationEnabled", false},
		{"IsInteractionCentricEnabled", false},
		{"IsKnowledgeManagementEnabled", false},
		{"IsSLAEnabled", false},
		{"IsBPFEntity", false},
		{"IsDocumentRecommendationsEnabled", false},
		{"IsMSTeamsIntegrationEnabled", false},
		{"SettingOf", nil},
		{"DataProviderId", dataProvider(t)},
		{"DataSourceId", nil},
		{"AutoCreateAccessTeams", false},
		{"IsActivity", t.Activity && t.LogicalName != activityTable},
		{"IsActivityParty", t.ActivityParty},
		{"IsRetrieveAuditEnabled", false},
		{"IsRetrieveMultipleAuditEnabled", false},
		{"IsArchivalEnabled", false},
		{"IsRetentionEnabled", false},
		{"ClusterMode", "Local"},
		{"IsAvailableOffline", !t.Intersect},
		{"IsChildEntity", false},
		{"IsAIRUpdated", true},
		{"IconLargeName", nil},
		{"IconMediumName", nil},
		{"IconSmallName", nil},
		{"IconVectorName", nil},
		{"IsCustomEntity", t.Custom},
		{"IsBusinessProcessEnabled", false},
		{"SyncToExternalSearchIndex", false},
		{"IsOptimisticConcurrencyEnabled", t.Optimistic},
		{"ChangeTrackingEnabled", t.ChangeTracking},
		{"IsImportable", !t.Intersect},
		{"IsIntersect", t.Intersect},
		{"IsManaged", true},
		{"IsEnabledForCharts", !t.Intersect},
		{"IsEnabledForTrace", false},
		{"IsValidForAdvancedFind", !t.Intersect},
		{"DaysSinceRecordLastModified", 0},
		{"MobileOfflineFilters", nil},
		{"IsReadingPaneEnabled", true},
		{"IsQuickCreateEnabled", false},
		{"LogicalName", t.LogicalName},
		{"ObjectTypeCode", t.TypeCode},
		{"OwnershipType", ownershipName(t.Ownership)},
		{"PrimaryNameAttribute", orNil(t.PrimaryName)},
		{"PrimaryImageAttribute", orNil(t.PrimaryImage)},
		{"PrimaryIdAttribute", t.PrimaryID},
		{"RecurrenceBaseEntityLogicalName", nil},
		{"ReportViewName", "Filtered" + t.SchemaName},
		{"SchemaName", t.SchemaName},
		{"IntroducedVersion", "5.0.0.0"},
		{"IsStateModelAware", t.Column("statecode") != nil},
		{"EnforceStateTransitions", false},
		{"ExternalName", nil},
		{"EntityColor", nil},
		{"LogicalCollectionName", orNil(t.LogicalSet)},
		{"ExternalCollectionName", nil},
		{"CollectionSchemaName", t.SchemaName + "s"},
		{"EntitySetName", orNil(t.SetName)},
		{"IsEnabledForExternalChannels", false},
		{"IsPrivate", t.Private},
		{"UsesBusinessDataLabelTable", false},
		{"IsLogicalEntity", false},
		{"HasNotes", t.HasNotes},
		{"HasActivities", t.ActivityParty},
		{"HasFeedback", false},
		{"HasEmailAddresses", false},
		{"IsSolutionAware", t.Column("solutionid") != nil},
		{"TableType", t.TableType},
		{"MetadataId", t.MetadataID.String()},
		{"HasChanged", nil},
		{"Description", labelObject(t.MetadataID, "")},
		{"DisplayCollectionName", labelObject(t.MetadataID, t.DisplayName+"s")},
		{"DisplayName", labelObject(t.MetadataID, t.DisplayName)},
		{"IsAuditEnabled", managed(t.Audit, true, "canmodifyauditsettings")},
		{"IsValidForQueue", managed(false, true, "canmodifyqueuesettings")},
		{"IsConnectionsEnabled", managed(false, true, "canmodifyconnectionsettings")},
		{"IsCustomizable", managed(true, true, "iscustomizable")},
		{"IsRenameable", managed(true, true, "isrenameable")},
		{"IsMappable", managed(true, false, "ismappable")},
		{"IsDuplicateDetectionEnabled", managed(false, true, "canmodifyduplicatedetectionsettings")},
		{"CanCreateAttributes", managed(true, false, "cancreateattributes")},
		{"CanCreateForms", managed(true, false, "cancreateforms")},
		{"CanCreateViews", managed(true, false, "cancreateviews")},
		{"CanCreateCharts", managed(true, false, "cancreatecharts")},
		{"CanBeRelatedEntityInRelationship", managed(true, false, "canberelatedentityinrelationship")},
		{"CanBePrimaryEntityInRelationship", managed(true, false, "canbeprimaryentityinrelationship")},
		{"CanBeInManyToMany", managed(!t.Intersect, false, "canbeinmanytomany")},
		{"CanBeInCustomEntityAssociation", managed(true, false, "canbeincustomentityassociation")},
		{"CanEnableSyncToExternalSearchIndex", managed(true, true, "canenablesynctoexternalsearchindex")},
		{"CanModifyAdditionalSettings", managed(true, false, "canmodifyadditionalsettings")},
		{"CanChangeHierarchicalRelationship", managed(true, true, "canchangehierarchicalrelationship")},
		{"CanChangeTrackingBeEnabled", managed(t.CanTrack, t.CanTrack, "canchangetrackingbeenabled")},
		{"Privileges", t.privileges()},
		{"Settings", []Object{}},
	}
}

func dataProvider(t *Table) any {
	if t.TableType == "Virtual" {
		return idOf("provider", t.LogicalName).String()
	}
	return nil
}

// privileges lists prvCreateX …; a table that derives its rights from another has none.
func (t *Table) privileges() []Object {
	if t.Intersect || t.Ownership == 0 {
		return []Object{}
	}
	verbs := []string{"Create", "Read", "Write", "Delete", "Append", "AppendTo"}
	if t.Ownership == 1 || t.Ownership == 2 {
		verbs = append(verbs, "Assign", "Share")
	}
	out := make([]Object, 0, len(verbs))
	for _, v := range verbs {
		out = append(out, Object{
			{"CanBeBasic", t.Ownership == 1 || t.Ownership == 2},
			{"CanBeDeep", t.Ownership != 8},
			{"CanBeGlobal", true},
			{"CanBeLocal", t.Ownership != 8},
			{"CanBeEntityReference", false},
			{"CanBeParentEntityReference", false},
			{"CanBeRecordFilter", false},
			{"Name", t.Privilege(v)},
			{"PrivilegeId", t.PrivilegeID(v).String()},
			{"PrivilegeType", v},
		})
	}
	return out
}

// Privilege is prv<verb><SchemaName>; all activities share that of Activity.
func (t *Table) Privilege(verb string) string {
	if t.Activity {
		return "prv" + verb + "Activity"
	}
	return "prv" + verb + t.SchemaName
}

// PrivilegeID is the id of the privilege.
func (t *Table) PrivilegeID(verb string) allod.GUID { return idOf("privilege", t.Privilege(verb)) }

// Keys: protocols/dataverse.md §3.4.
func (k *Key) definition(t *Table) Object {
	return Object{
		{"KeyAttributes", k.Columns},
		{"EntityKeyIndexStatus", "Active"},
		{"AsyncJob", nil},
		{"IsManaged", false},
		{"IntroducedVersion", "1.0.0.0"},
		{"LogicalName", strings.ToLower(k.SchemaName)},
		{"SchemaName", k.SchemaName},
		{"EntityLogicalName", t.LogicalName},
		{"IsSynchronous", false},
		{"IsExportKey", false},
		{"IsSecondaryKey", false},
		{"MetadataId", idOf("key", t.LogicalName, k.SchemaName).String()},
		{"HasChanged", nil},
		{"DisplayName", labelObject(idOf("key", t.LogicalName, k.SchemaName), k.SchemaName)},
		{"IsCustomizable", managed(true, true, "iscustomizable")},
	}
}

// KeyDefinitions is the table's EntityKeyMetadata.
func (t *Table) KeyDefinitions() []Object {
	out := make([]Object, 0, len(t.Keys))
	for _, k := range t.Keys {
		out = append(out, k.definition(t))
	}
	return out
}

// Definition is OneToManyRelationshipMetadata or ManyToManyRelationshipMetadata
// (protocols/dataverse.md §3.4). It carries @odata.type, which the caller drops
// where the collection is of that very type.
func (r *Relationship) Definition() Object {
	kind := "OneToManyRelationship"
	if r.Intersect != "" {
		kind = "ManyToManyRelationship"
	}
	o := Object{
		{"@odata.type", "#" + namespace + "." + kind + "Metadata"},
		{"MetadataId", r.MetadataID.String()},
		{"HasChanged", nil},
		{"IsCustomRelationship", strings.Contains(r.SchemaName, "_") && strings.Contains(r.Referencing+r.Intersect, "_")},
		{"IsValidForAdvancedFind", true},
		{"SchemaName", r.SchemaName},
		{"SecurityTypes", "None"},
		{"IsManaged", true},
		{"RelationshipType", kind},
		{"IntroducedVersion", "5.0.0.0"},
	}
	if r.Intersect != "" {
		return append(o, Object{
			{"Entity1LogicalName", r.Entity1},
			{"Entity2LogicalName", r.Entity2},
			{"IntersectEntityName", r.Intersect},
			{"Entity1IntersectAttribute", r.Attribute1},
			{"Entity2IntersectAttribute", r.Attribute2},
			{"Entity1NavigationPropertyName", r.Nav1},
			{"Entity2NavigationPropertyName", r.Nav2},
			{"IsCustomizable", managed(false, false, "iscustomizable")},
		}...)
	}
	return append(o, Object{
		{"ReferencedAttribute", r.ReferencedAttr},
		{"ReferencedEntity", r.Referenced},
		{"ReferencingAttribute", r.ReferencingAttr},
		{"ReferencingEntity", r.Referencing},
		{"IsHierarchical", false},
		{"EntityKey", nil},
		{"IsRelationshipAttributeDenormalized", false},
		{"ReferencedEntityNavigationPropertyName", r.ReferencedNav},
		{"ReferencingEntityNavigationPropertyName", r.ReferencingNav},
		{"RelationshipBehavior", 1},
		{"IsDenormalizedLookup", nil},
		{"DenormalizedAttributeName", nil},
		{"IsCustomizable", managed(false, false, "iscustomizable")},
		{"AssociatedMenuConfiguration", menu()},
		{"CascadeConfiguration", Object{
			{"Assign", r.Cascade.Assign},
			{"Delete", r.Cascade.Delete},
			{"Archive", "NoCascade"},
			{"Merge", r.Cascade.Merge},
			{"Reparent", r.Cascade.Reparent},
			{"Share", r.Cascade.Share},
			{"Unshare", r.Cascade.Unshare},
			{"RollupView", "NoCascade"},
		}},
		{"RelationshipAttributes", []Object{}},
	}...)
}

func menu() Object {
	return Object{
		{"Behavior", "DoNotDisplay"},
		{"Group", "Details"},
		{"Order", nil},
		{"IsCustomizable", false},
		{"Icon", nil},
		{"ViewId", "00000000-0000-0000-0000-000000000000"},
		{"AvailableOffline", true},
		{"MenuId", nil},
		{"QueryApi", nil},
		{"Label", Object{{"LocalizedLabels", []Object{}}, {"UserLocalizedLabel", nil}}},
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func managed(value, canChange bool, name string) Object {
	return Object{{"Value", value}, {"CanBeChanged", canChange}, {"ManagedPropertyLogicalName", name}}
}

// labelObject is a Label in language 1033; an empty text has no localised
// label.
func labelObject(owner allod.GUID, text string) Object {
	if text == "" {
		return Object{{"LocalizedLabels", []Object{}}, {"UserLocalizedLabel", nil}}
	}
	l := Object{
		{"Label", text},
		{"LanguageCode", 1033},
		{"IsManaged", true},
		{"MetadataId", idOf("label", owner.String(), text).String()},
		{"HasChanged", nil},
	}
	return Object{{"LocalizedLabels", []Object{l}}, {"UserLocalizedLabel", l}}
}

// ownershipName is OwnershipTypes by name (protocols/dataverse.md §3.2).
func ownershipName(n int) string {
	switch n {
	case 1:
		return "UserOwned"
	case 2:
		return "TeamOwned"
	case 4:
		return "BusinessOwned"
	case 8:
		return "OrganizationOwned"
	case 16:
		return "BusinessParented"
	}
	return "None"
}

func number(text string) any {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return f
}
