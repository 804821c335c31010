package preset

// list is the tables of one preset, by logical name; a * at the end stands for
// the rest of a name.
type list struct {
	name   string
	tables string
}

// base is in every preset: people and companies, what hangs on any row, and
// activities of all kinds. Source: table reference of Dataverse
// (learn.microsoft.com/power-apps/developer/data-platform/reference/entities).
const base = `
account contact customeraddress leadaddress annotation activitymimeattachment attachment activityparty
connection connectionrole connectionroleassociation connectionroleobjecttypecode
appointment email fax letter phonecall recurringappointmentmaster recurrencerule socialactivity socialprofile task chat
post postcomment postfollow postlike queue queueitem queuemembership subject category feedback
transactioncurrency territory calendar calendarrule sharepointsite sharepointdocumentlocation userquery`

// components are in every preset whatever it is about: what the rows look like,
// what runs on them and who changed them (protocols/dataverse.md §10, §11.2). Users,
// teams, roles and sharing come by their class.
const components = `
systemform savedquery savedqueryvisualization userform webresource appmodule appmodulecomponent sitemap canvasapp
workflow processstage processtrigger connectionreference environmentvariabledefinition environmentvariablevalue
serviceendpoint sdkmessageprocessingstep sdkmessageprocessingstepimage pluginassembly plugintype pluginpackage
solution solutioncomponent publisher retentionconfig retentionoperation audit`

// lists are the presets.
func lists() []list {
	return []list{
		// Table reference of Dynamics 365 Sales
		// (learn.microsoft.com/dynamics365/developer/reference/entities) and of
		// Dataverse, where its older tables stand.
		{"sales", `
lead leadaddress leadcompetitors leadproduct accountleads contactleads leadtoopportunitysalesprocess
opportunity opportunityproduct opportunityclose opportunitycompetitors opportunitysalesprocess
quote quotedetail quoteclose contactquotes salesorder salesorderdetail orderclose contactorders
invoice invoicedetail contactinvoices competitor competitoraddress competitorproduct competitorsalesliterature
product productassociation productsubstitute productpricelevel pricelevel discount discounttype uom uomschedule
dynamicproperty dynamicpropertyinstance dynamicpropertyoptionsetitem dynamicpropertyassociation
salesliterature salesliteratureitem productsalesliterature goal goalrollupquery metric rollupfield
list listmember campaign campaignactivity campaignactivityitem campaignitem campaignresponse bulkoperation
msdyn_playbook* msdyn_sequence* msdyn_salesaccelerator* msdyn_forecast* msdyn_predictivescore* msdyn_salestag msdyn_salesroutingrun`},

		// Table reference of Dynamics 365 Customer Service
		// (learn.microsoft.com/dynamics365/customer-service/develop/reference).
		{"customer-service", `
incident incidentresolution incidentknowledgebaserecord phonetocaseprocess
entitlement entitlementchannel entitlementcontacts entitlementproducts entitlementtemplate entitlementtemplatechannel entitlementtemplateproducts
sla slaitem slakpiinstance contract contractdetail contracttemplate servicecontractcontacts
knowledgearticle knowledgearticleincident knowledgearticleviews knowledgearticlescategories knowledgebaserecord kbarticle kbarticlecomment
routingrule routingruleitem convertrule convertruleitem product uom uomschedule
service site equipment resource resourcegroup resourcespec serviceappointment
msdyn_oc* msdyn_conversation* msdyn_livechat* msdyn_transcript msdyn_sentiment* msdyn_survey* msfp_* msdyn_swarm* msdyn_casetopic* msdyn_kbenrichment msdyn_knowledge*`},

		// Table reference of Dynamics 365 Field Service
		// (learn.microsoft.com/dynamics365/field-service/developer/reference).
		{"field-service", `
msdyn_workorder* msdyn_incidenttype* msdyn_servicetasktype msdyn_priority msdyn_customerasset* msdyn_functionallocation*
msdyn_agreement* msdyn_bookingsetupmetadata msdyn_booking* bookableresource bookableresourcebooking bookableresourcebookingheader
bookableresourcecategory bookableresourcecategoryassn bookableresourcecharacteristic bookableresourcegroup bookingstatus characteristic ratingmodel ratingvalue
msdyn_resource* msdyn_requirement* msdyn_organizationalunit msdyn_timegroup* msdyn_timeoffrequest msdyn_timeentry msdyn_actual
msdyn_warehouse msdyn_productinventory msdyn_inventory* msdyn_purchaseorder* msdyn_rma* msdyn_rtv* msdyn_orderinvoicing*
msdyn_taxcode* msdyn_paymentterm msdyn_payment* msdyn_shipvia msdyn_postalbum msdyn_iot* msdyn_inspection* msdyn_fieldservice* msdyn_entitlementapplication msdyn_trade* msdyn_nottoexceed
product productpricelevel pricelevel uom uomschedule incident entitlement invoice invoicedetail`},

		// Table reference of Customer Insights - Journeys
		// (learn.microsoft.com/dynamics365/developer/reference/entities): all
		// begin with msdynmkt_, those of outbound marketing with msdyncrm_.
		{"journeys", `
msdynmkt_* msdyncrm_* msevtmgt_* msdyn_consent* lead leadaddress list listmember campaign campaignactivity campaignresponse product`},
	}
}
