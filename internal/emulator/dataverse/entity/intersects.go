package entity

// pairTable says where an N:N relationship of the platform keeps its pairs
// when the name does not say so.
type pairTable struct{ table, entity1, attr1, attr2 string }

// knownIntersects is by SchemaName; the names and columns are those of the
// relationship reference of the standard tables.
var knownIntersects = map[string]pairTable{
	"listaccount_association":                     {"listmember", "account", "entityid", "listid"},
	"listcontact_association":                     {"listmember", "contact", "entityid", "listid"},
	"listlead_association":                        {"listmember", "lead", "entityid", "listid"},
	"campaignlist_association":                    {"campaignitem", "campaign", "campaignid", "entityid"},
	"campaignproduct_association":                 {"campaignitem", "campaign", "campaignid", "entityid"},
	"campaignsalesliterature_association":         {"campaignitem", "campaign", "campaignid", "entityid"},
	"campaigncampaign_association":                {"campaignitem", "campaign", "campaignid", "entityid"},
	"campaignactivitylist_association":            {"campaignactivityitem", "campaignactivity", "campaignactivityid", "itemid"},
	"campaignactivitysalesliterature_association": {"campaignactivityitem", "campaignactivity", "campaignactivityid", "itemid"},
	"connectionroleassociation_association":       {"connectionroleassociation", "connectionrole", "connectionroleid", "associatedconnectionroleid"},
	"knowledgearticle_category":                   {"knowledgearticlescategories", "category", "categoryid", "knowledgearticleid"},
	"product_entitlement_association":             {"entitlementproducts", "entitlement", "entitlementid", "productid"},
	"product_entitlementtemplate_association":     {"entitlementtemplateproducts", "entitlementtemplate", "entitlementtemplateid", "productid"},
	"KnowledgeBaseRecord_Incident":                {"incidentknowledgebaserecord", "incident", "incidentid", "knowledgebaserecordid"},
	"systemuserprofiles_association":              {"systemuserprofiles", "fieldsecurityprofile", "fieldsecurityprofileid", "systemuserid"},
	"teamprofiles_association":                    {"teamprofiles", "fieldsecurityprofile", "fieldsecurityprofileid", "teamid"},
	"queuemembership_association":                 {"queuemembership", "queue", "queueid", "systemuserid"},
	"teammembership_association":                  {"teammembership", "systemuser", "systemuserid", "teamid"},
	"systemuserroles_association":                 {"systemuserroles", "role", "roleid", "systemuserid"},
	"teamroles_association":                       {"teamroles", "role", "roleid", "teamid"},
	"roleprivileges_association":                  {"roleprivileges", "privilege", "privilegeid", "roleid"},
	"roletemplateprivileges_association":          {"roletemplateprivileges", "privilege", "privilegeid", "roletemplateid"},
	"appmoduleroles_association":                  {"appmoduleroles", "appmodule", "appmoduleid", "roleid"},
	"servicecontractcontacts_association":         {"servicecontractcontacts", "contact", "contactid", "contractid"},
}

// lonelyIntersects are tables of pairs whose relationship has no navigation
// properties in $metadata.
func lonelyIntersect(table string) bool {
	switch table {
	case "systemuserlicenses", "systemusersyncmappingprofiles", "teamsyncattributemappingprofiles":
		return true
	}
	return false
}
