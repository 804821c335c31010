package samples_test

import "fmt"

// formatted is a request that asks for formatted values, as the pages about
// queries do.
const formatted = "\nPrefer: odata.include-annotations=\"OData.Community.Display.V1.FormattedValue\""

const paged = "\nPrefer: odata.maxpagesize=10, odata.include-annotations=OData.Community.Display.V1.FormattedValue"

// more makes n further rows of a set.
func more(set, key, members string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`%s {"%s":"00000000-0000-0000-0000-ffff%08d",%s}`, set, key, i, members))
	}
	return out
}

// dot is a GIF of one pixel: what the samples call byte[] is an image.
const dot = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;"

// plays are the exchanges that need more than the file tells.
var plays = map[string]play{
	// Another service or host.
	"checker__webapi__analyze:90":                  {na: elsewhere},
	"checker__webapi__check-status:93":             {na: elsewhere},
	"checker__webapi__retrieve-rules:89":           {na: elsewhere},
	"checker__webapi__retrieve-rules:144":          {na: elsewhere},
	"checker__webapi__retrieve-rules:181":          {na: elsewhere},
	"checker__webapi__retrieve-rulesets:65":        {na: elsewhere},
	"checker__webapi__upload-file:80":              {na: elsewhere},
	"webapi__discover-url-organization-web-api:45": {na: elsewhere},
	"webapi__discover-url-organization-web-api:87": {na: elsewhere},
	"webapi__discover-url-organization-web-api:99": {na: elsewhere},
	"webapi__discovery-orgsdk-to-webapi:43":        {na: elsewhere},
	"webapi__discovery-orgsdk-to-webapi:69":        {na: elsewhere},
	"webapi__web-api-functions-actions-sample:365": {na: invented},
	"webapi__web-api-functions-actions-sample:425": {na: invented},
	"webapi__web-api-functions-actions-sample:454": {na: invented},
	"webapi__use-web-api-actions:191":              {na: invented},

	// 204 without a header that would tell what was asked.
	"webapi__associate-disassociate-entities-using-web-api:97":  {na: fragment},
	"webapi__associate-disassociate-entities-using-web-api:197": {na: fragment},
	"webapi__update-delete-entities-using-web-api:71":           {na: fragment},
	"webapi__update-delete-entities-using-web-api:173":          {na: fragment},
	"webapi__web-api-basic-operations-sample:109":               {na: fragment},
	"webapi__web-api-basic-operations-sample:605":               {na: fragment},
	"webapi__web-api-conditional-operations-sample:112":         {na: fragment},
	"webapi__web-api-conditional-operations-sample:262":         {na: fragment},
	"webapi__web-api-conditional-operations-sample:446":         {na: fragment},

	// Files and images.
	"file-attributes:66": {
		amend: []string{"accounts(id)", "accounts(b9ccec62-f266-e911-8196-000d3a6de638)", "Range: 0-1023/8192", "Range: bytes=0-1023"}, want: 206,
		before: []string{"PATCH accounts(b9ccec62-f266-e911-8196-000d3a6de638)/myfileattribute\nContent-Type: application/octet-stream\nx-ms-file-name: sample.png\n\nbyte[]"},
	},
	"file-attributes:168":  {amend: []string{"accounts(id)", "accounts(b9ccec62-f266-e911-8196-000d3a6de638)"}},
	"image-attributes:114": {before: []string{"PUT accounts(b9ccec62-f266-e911-8196-000d3a6de638)/myentityimage\nContent-Type: application/octet-stream\n\n" + dot}},
	"image-attributes:132": {before: []string{"PUT accounts(C0864F1C-0B71-E911-8196-000D3A6D09B3)/myentityimage\nContent-Type: application/octet-stream\n\n" + dot}},
	"image-attributes:213": {amend: []string{"byte[]", dot}},
	"image-attributes:251": {amend: []string{"accounts(id)", "accounts(b9ccec62-f266-e911-8196-000d3a6de638)", "byte[]", dot}},

	// Metadata.
	"create-auto-number-attributes:122": {ask: `POST EntityDefinitions(402fa40f-287c-e511-80d2-00155d2a68d2)/Attributes

{"@odata.type":"Microsoft.Dynamics.CRM.StringAttributeMetadata","AttributeType":"String","AttributeTypeName":{"Value":"StringType"},"SchemaName":"new_SerialNumber","MaxLength":100,"AutoNumberFormat":"WID-{SEQNUM:5}","FormatName":{"Value":"Text"},"RequiredLevel":{"Value":"None"},"DisplayName":{"LocalizedLabels":[{"Label":"Serial Number","LanguageCode":1033}]},"Description":{"LocalizedLabels":[{"Label":"Serial Number of the widget.","LanguageCode":1033}]}}`},
	"webapi__create-update-entity-definitions-using-web-api:159": {ask: `POST EntityDefinitions

{"@odata.type":"Microsoft.Dynamics.CRM.EntityMetadata","SchemaName":"new_BankBranch","DisplayName":{"LocalizedLabels":[{"Label":"Bank Branch","LanguageCode":1033}]},"DisplayCollectionName":{"LocalizedLabels":[{"Label":"Bank Branches","LanguageCode":1033}]},"OwnershipType":"UserOwned","IsActivity":false,"HasActivities":false,"HasNotes":false,"Attributes":[{"@odata.type":"Microsoft.Dynamics.CRM.StringAttributeMetadata","AttributeType":"String","AttributeTypeName":{"Value":"StringType"},"SchemaName":"new_Name","IsPrimaryName":true,"MaxLength":100,"FormatName":{"Value":"Text"},"RequiredLevel":{"Value":"None"},"DisplayName":{"LocalizedLabels":[{"Label":"Name","LanguageCode":1033}]}}]}`},
	"webapi__create-update-entity-definitions-using-web-api:182": {amend: []string{"417129e1-207c-e511-80d2-00155d2a68d2", "402fa40f-287c-e511-80d2-00155d2a68d2"}},
	"webapi__create-update-entity-definitions-using-web-api:629": {ask: `POST EntityDefinitions(402fa40f-287c-e511-80d2-00155d2a68d2)/Attributes

{"@odata.type":"Microsoft.Dynamics.CRM.MoneyAttributeMetadata","AttributeType":"Money","AttributeTypeName":{"Value":"MoneyType"},"SchemaName":"new_Balance","PrecisionSource":2,"RequiredLevel":{"Value":"None"},"DisplayName":{"LocalizedLabels":[{"Label":"Balance","LanguageCode":1033}]}}`},
	"webapi__create-update-entity-relationships-using-web-api:152": {ask: `POST RelationshipDefinitions

{"@odata.type":"Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata","SchemaName":"new_contact_new_bankaccount","ReferencedEntity":"contact","ReferencedAttribute":"contactid","ReferencingEntity":"new_bankaccount","CascadeConfiguration":{"Assign":"Cascade","Delete":"Cascade","Merge":"Cascade","Reparent":"Cascade","Share":"Cascade","Unshare":"Cascade"},"Lookup":{"AttributeType":"Lookup","AttributeTypeName":{"Value":"LookupType"},"SchemaName":"new_AccountOwner","DisplayName":{"LocalizedLabels":[{"Label":"Account Owner","LanguageCode":1033}]}}}`},
	"webapi__query-metadata-web-api:45":             {amend: []string{"EntityDefinitions(LogicalName='account')?$select", "EntityDefinitions?$filter=LogicalName eq 'account'&$select"}},
	"webapi__query-metadata-web-api:168":            {ask: "GET EntityDefinitions(70816501-edb9-4740-a16c-6a5efbc05d84)/Attributes(LogicalName='preferredappointmentdaycode')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet"},
	"webapi__retrieve-metadata-name-metadataid:71":  {ask: "GET EntityDefinitions(LogicalName='account')/Attributes(LogicalName='accountcategorycode')/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)"},
	"webapi__retrieve-metadata-name-metadataid:227": {ask: "GET EntityDefinitions(70816501-edb9-4740-a16c-6a5efbc05d84)/Attributes(118771ca-6fb9-4f60-8fd4-99b6124b63ad)/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)"},

	// Rows with choices.
	"multi-select-picklist:122": {ask: "GET contacts?$select=fullname,sample_outdooractivities&$filter=Microsoft.Dynamics.CRM.ContainValues(PropertyName='sample_outdooractivities',PropertyValues=['2'])" + formatted},
	"multi-select-picklist:184": {ask: "GET contacts?fetchXml=<fetch distinct='false' no-lock='false' mapping='logical'><entity name='contact'><attribute name='fullname'/><attribute name='sample_outdooractivities'/><filter type='and'><condition attribute='sample_outdooractivities' operator='not-contain-values'><value>2</value></condition></filter></entity></fetch>" + formatted},

	// Duplicates.
	"run-duplicate-detection:112": {ask: `POST BulkDetectDuplicates

{"Query":{"@odata.type":"Microsoft.Dynamics.CRM.QueryExpression","EntityName":"account","ColumnSet":{"AllColumns":true}},"JobName":"Detect","SendEmailNotification":false,"ToRecipients":[],"CCRecipients":[],"RecurrencePattern":"","RecurrenceStartTime":"2017-09-19T03:34:25Z"}`},
	"run-duplicate-detection:49": {rows: []string{`duplicaterules {"duplicateruleid":"00000000-0000-0000-0000-00000000000a","baseentityname":"account","matchingentityname":"account","statuscode":2}`, `duplicateruleconditions {"duplicateruleconditionid":"00000000-0000-0000-0000-00000000000b","baseattributename":"name","matchingattributename":"name","operatorcode":0,"_regardingobjectid_value":"00000000-0000-0000-0000-00000000000a"}`, `accounts {"accountid":"0d1156d2-1598-e711-80e8-00155db64062","name":"A"}`, `accounts {"accountid":"0d1156d2-1598-e711-80e8-00155db64063","name":"A"}`}},
	"webapi__manage-duplicate-detection-create-update:76": {ask: `POST leads
MSCRM.SuppressDuplicateDetection: false

{"firstname":"Monte","lastname":"Orton","emailaddress1":"monte.orton@example.com"}`, rows: []string{`duplicaterules {"duplicateruleid":"00000000-0000-0000-0000-00000000000a","baseentityname":"lead","matchingentityname":"lead","statuscode":2}`, `duplicateruleconditions {"duplicateruleconditionid":"00000000-0000-0000-0000-00000000000b","baseattributename":"emailaddress1","matchingattributename":"emailaddress1","operatorcode":0,"_regardingobjectid_value":"00000000-0000-0000-0000-00000000000a"}`, `leads {"leadid":"c4567bb6-47a3-e711-811b-e0071b6ac1b1","emailaddress1":"monte.orton@example.com"}`}},

	// Steps.
	"register-web-hook:162": {amend: []string{
		"serviceendpoints(@id)/serviceendpoint_sdkmessageprocessingstep?$select=sdkmessageprocessingstepid,name,description,asyncautodelete,filteringattributes,mode,stage?@id=<id>",
		"serviceendpoints(b9ccec62-f266-e911-8196-000d3a6de638)/serviceendpoint_sdkmessageprocessingstep?$select=sdkmessageprocessingstepid,name,description,asyncautodelete,filteringattributes,mode,stage",
	}},
	"register-web-hook:168": {amend: []string{"?@id=<stepid>", "&@id=b9ccec62-f266-e911-8196-000d3a6de638"}, rows: []string{`sdkmessageprocessingsteps {"sdkmessageprocessingstepid":"b9ccec62-f266-e911-8196-000d3a6de638"}`}},

	// Change tracking: the token is of another organisation and long expired.
	"use-change-tracking-synchronize-data-external-systems:79": {want: 400},

	// Writing.
	"webapi__associate-disassociate-entities-using-web-api:68": {rows: []string{`opportunities {"opportunityid":"00000000-0000-0000-0000-000000000001","customerid_account":{"accountid":"00000000-0000-0000-0000-000000000002"}}`}},
	"webapi__associate-disassociate-entities-using-web-api:77": {rows: []string{`opportunities {"opportunityid":"00000000-0000-0000-0000-000000000001","customerid_account":{"accountid":"00000000-0000-0000-0000-000000000002"}}`}},
	"webapi__create-entity-web-api:123": {ask: `POST accounts
Content-Type: application/json

{"name":"Sample Account","primarycontactid":{"firstname":"John","lastname":"Smith"},"opportunity_customer_accounts":[{"name":"Opportunity associated to Sample Account","Opportunity_Tasks":[{"subject":"Task associated to opportunity"}]}]}`},
	"webapi__web-api-basic-operations-sample:279":              {ask: "POST contacts?$select=fullname,annualincome,jobtitle\nPrefer: return=representation\n\n" + `{"firstname":"Peter_Alt","lastname":"Cambel","jobtitle":"Junior Developer","annualincome":80000}`},
	"webapi__web-api-basic-operations-sample:318":              {ask: "POST contacts?$select=fullname,annualincome,jobtitle\nPrefer: return=representation\n\n" + `{"firstname":"Peter_Alt","lastname":"Cambel","jobtitle":"Junior Developer","annualincome":80000}`},
	"webapi__web-api-basic-operations-sample:459":              {ask: "POST accounts\n\n" + `{"name":"Fourth Coffee","primarycontactid":{"firstname":"Susie","lastname":"Curtis","Contact_Tasks":[{"subject":"Sign invoice"}]}}`},
	"webapi__web-api-basic-operations-sample:688":              {ask: "POST accounts\n\n" + `{"name":"Adventure Works"}`},
	"webapi__perform-conditional-operations-using-web-api:102": {absent: true},
	"webapi__perform-conditional-operations-using-web-api:162": {ask: "PATCH accounts(00000000-0000-0000-0000-000000000001)\nIf-None-Match: *\n\n" + `{"name":"Updated Sample Account"}`},
	"webapi__perform-conditional-operations-using-web-api:219": {stale: true},
	"webapi__web-api-conditional-operations-sample:126":        {stale: true},
	"webapi__web-api-conditional-operations-sample:179":        {stale: true, want: 412},
	"webapi__web-api-conditional-operations-sample:211":        {stale: true},
	"webapi__web-api-conditional-operations-sample:327":        {want: 412},
	"webapi__web-api-conditional-operations-sample:460":        {absent: true, want: 404},
	"webapi__impersonate-another-user-web-api:58": {rows: []string{
		`systemusers {"systemuserid":"75df116d-d9da-e711-a94b-000d3a34ed47","azureactivedirectoryobjectid":"e39c5d16-675b-48d1-8e67-667427e9c084"}`,
		// The user it speaks of may create accounts.
		`roles {"roleid":"00000000-0000-0000-0000-000000000008","_roletemplateid_value":"627090ff-40a3-4053-8790-584edc5be201","_roletemplateid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"roletemplate"}`,
		`systemuserrolescollection {"systemuserroleid":"00000000-0000-0000-0000-000000000009","systemuserid":"75df116d-d9da-e711-a94b-000d3a34ed47","roleid":"00000000-0000-0000-0000-000000000008"}`,
	}},

	// Reading.
	"webapi__impersonate-another-user-web-api:84": {
		amend: []string{"00000000-0000-0000-000000000003", "00000000-0000-0000-0000-000000000003", "($select=fullname)", "($select=fullname,azureactivedirectoryobjectid)"},
		rows:  []string{`accounts {"accountid":"00000000-0000-0000-0000-000000000003","name":"Sample Account created using impersonation","createdby":{"systemuserid":"75df116d-d9da-e711-a94b-000d3a34ed47","fullname":"Impersonated User","azureactivedirectoryobjectid":"e39c5d16-675b-48d1-8e67-667427e9c084"},"createdonbehalfby":{"systemuserid":"278742b0-1e61-4fb5-84ef-c7de308c19e2","fullname":"Actual User","azureactivedirectoryobjectid":"3d8bed3e-79a3-47c8-80cf-269869b2e9f0"},"owninguser":{"systemuserid":"75df116d-d9da-e711-a94b-000d3a34ed47"}}`},
	},
	"webapi__query-data-web-api:53":             {ask: "GET accounts?$select=name&$top=3"},
	"webapi__query-data-web-api:128":            {ask: "GET accounts?$select=name\nPrefer: odata.maxpagesize=3", rows: []string{`accounts {"accountid":"ff51925c-cde2-e411-80db-00155d2a68cb"}`}},
	"webapi__query-data-web-api:402":            {ask: "GET accounts?$select=name&$filter=contains(name,'Child Account')&$orderby=name"},
	"webapi__query-data-web-api:548":            {ask: "GET accounts?$select=name&$filter=contains(name,'sample')&$count=true\nPrefer: odata.maxpagesize=3", rows: more("accounts", "accountid", `"name":"x (sample)"`, 7)},
	"webapi__query-data-web-api:732":            {ask: "GET accounts?$select=name&$expand=Account_Tasks($select=subject,scheduledstart)"},
	"webapi__query-data-web-api:673":            {amend: []string{"title,_customerid_value", "_customerid_value"}},
	"webapi__retrieve-entity-using-web-api:105": {rows: []string{`accounts {"accountid":"00000000-0000-0000-0000-000000000002","primarycontactid":{"contactid":"00000000-0000-0000-0000-000000000001"}}`}},
	"webapi__retrieve-entity-using-web-api:147": {rows: []string{`accounts {"accountid":"00000000-0000-0000-0000-000000000001","primarycontactid":{"contactid":"ff390c24-9c72-e511-80d4-00155d2a68d1","fullname":"Rene Valdes (sample)"}}`}},
	"webapi__retrieve-entity-using-web-api:181": {
		ask:  "GET accounts(00000000-0000-0000-0000-000000000001)/Account_Tasks/$ref",
		rows: []string{`accounts {"accountid":"00000000-0000-0000-0000-000000000001","Account_Tasks":[{"activityid":"6b5941dd-d175-e511-80d4-00155d2a68d1"},{"activityid":"fcbb60ed-d175-e511-80d4-00155d2a68d1"}]}`},
	},
	"webapi__retrieve-entity-using-web-api:270":         {ask: "GET accounts(00000000-0000-0000-0000-000000000001)?$select=name&$expand=primarycontactid/$ref"},
	"webapi__retrieve-entity-using-web-api:330":         {amend: []string{"99390c24-9c72-e511-80d4-00155d2a68d1", "915e89f5-29fc-e511-80d2-00155db07c77"}},
	"webapi__retrieve-related-entities-query:297":       {ask: "GET accounts?$select=name&$expand=Account_Tasks($select=subject,scheduledstart)"},
	"webapi__query-data-web-api:356":                    {rows: []string{`contacts {"contactid":"a0dbf27c-8efb-e511-80d2-00155db07c77","account_primary_contact":[{"accountid":"3adbf27c-8efb-e511-80d2-00155db07c77"},{"accountid":"3edbf27c-8efb-e511-80d2-00155db07c77"}]}`}},
	"webapi__use-web-api-functions:122":                 {ask: "GET incidents(90679956-722e-e711-8123-000d3a34ed47)/Microsoft.Dynamics.CRM.CalculateTotalTimeIncident()", rows: []string{`tasks {"activityid":"00000000-0000-0000-0000-000000000009","statecode":1,"actualdurationminutes":30,"_regardingobjectid_value":"90679956-722e-e711-8123-000d3a34ed47","_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"incident"}`}},
	"webapi__use-web-api-functions:164":                 {ask: "GET WhoAmI"},
	"webapi__use-web-api-actions:110":                   {rows: []string{`letters {"activityid":"59ae8258-4878-e511-80d4-00155d2a68d1"}`}},
	"webapi__web-api-functions-actions-sample:287":      {rows: []string{`letters {"activityid":"4c920da5-fb4a-e611-80d5-00155da84802"}`}},
	"webapi__web-api-functions-actions-sample:217":      {ask: "GET incidents(90679956-722e-e711-8123-000d3a34ed47)/Microsoft.Dynamics.CRM.CalculateTotalTimeIncident()", rows: []string{`tasks {"activityid":"00000000-0000-0000-0000-000000000009","statecode":1,"actualdurationminutes":90,"_regardingobjectid_value":"90679956-722e-e711-8123-000d3a34ed47","_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"incident"}`}},
	"webapi__web-api-basic-operations-sample:234":       {rows: []string{`contacts {"contactid":"60f77a42-5f0e-e611-80e0-00155da84c03","telephone1":"555-0105"}`}},
	"webapi__web-api-basic-operations-sample:652":       {rows: []string{`accounts {"accountid":"6af77a42-5f0e-e611-80e0-00155da84c03","contact_customer_accounts":[{"contactid":"60f77a42-5f0e-e611-80e0-00155da84c03"}]}`}},
	"webapi__web-api-basic-operations-sample:768":       {ask: "GET competitors(77f77a42-5f0e-e611-80e0-00155da84c03)?$select=name&$expand=opportunitycompetitors_association($select=name,description)"},
	"webapi__web-api-basic-operations-sample:798":       {rows: []string{`competitors {"competitorid":"77f77a42-5f0e-e611-80e0-00155da84c03","opportunitycompetitors_association":[{"opportunityid":"7cf77a42-5f0e-e611-80e0-00155da84c03"}]}`}},
	"webapi__web-api-conditional-operations-sample:402": {ask: "GET accounts(14e151db-9b4f-e611-80e0-00155da84c08)?$select=name,revenue,telephone1,description"},
	"webapi__web-api-query-data-sample:172":             {amend: []string{"b848fdee-c143-e611-80d5-00155da84802", "15c364b2-bf43-e611-80d5-00155da84802"}},
	"webapi__web-api-query-data-sample:238":             {ask: "GET contacts?$select=fullname,jobtitle,annualincome&$filter=contains(fullname,'(sample)')" + paged},
	"webapi__web-api-query-data-sample:644":             {ask: "GET contacts?$select=fullname,jobtitle,annualincome&$filter=contains(fullname,'(sample)') and (contains(jobtitle,'senior') or contains(jobtitle,'specialist')) and annualincome gt 55000" + paged},
	"webapi__web-api-query-data-sample:1020":            {ask: "GET contacts?$select=fullname,jobtitle,annualincome&$filter=contains(fullname,'(sample)')&$top=5" + formatted},
	"webapi__web-api-query-data-sample:1214":            {rows: more("contacts", "contactid", `"fullname":"x (sample)"`, 6)},
	"webapi__web-api-query-data-sample:1307": {
		ask:  "GET contacts?$select=fullname,jobtitle,annualincome&$filter=contains(fullname,'(sample)')&$count=true&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%253ccontactid%2520last%253d%2522%257bC748FDEE-C143-E611-80D5-00155DA84802%257d%2522%2520first%253d%2522%257bB848FDEE-C143-E611-80D5-00155DA84802%257d%2522%2520%252f%253e%253c%252fcookie%253e%22%20istracking=%22False%22%20/%3E\nPrefer: odata.maxpagesize=4, odata.include-annotations=OData.Community.Display.V1.FormattedValue",
		rows: []string{`contacts {"contactid":"b848fdee-c143-e611-80d5-00155da84802","fullname":"1 (sample)"}`, `contacts {"contactid":"bf48fdee-c143-e611-80d5-00155da84802","fullname":"2 (sample)"}`, `contacts {"contactid":"c348fdee-c143-e611-80d5-00155da84802","fullname":"3 (sample)"}`, `contacts {"contactid":"c748fdee-c143-e611-80d5-00155da84802","fullname":"4 (sample)"}`, `contacts {"contactid":"e748fdee-c143-e611-80d5-00155da84802","fullname":"9 (sample)"}`, `contacts {"contactid":"f748fdee-c143-e611-80d5-00155da84802","fullname":"10 (sample)"}`},
	},
	"webapi__web-api-query-data-sample:1502":             {ask: "GET accounts(86546951-c543-e611-80d5-00155da84802)?$select=name&$expand=contact_customer_accounts($select=fullname,jobtitle,annualincome)" + paged},
	"webapi__web-api-query-data-sample:2116":             {ask: "GET accounts?savedQuery=00000000-0000-0000-00aa-000010001002" + formatted, rows: []string{`savedqueries {"savedqueryid":"00000000-0000-0000-00aa-000010001002","fetchxml":"<fetch><entity name='account'><attribute name='name'/><attribute name='primarycontactid'/><attribute name='accountid'/></entity></fetch>"}`}},
	"webapi__web-api-query-data-sample:2187":             {rows: []string{`userqueries {"userqueryid":"7ec390ab-c943-e611-80d5-00155da84802","fetchxml":"<fetch><entity name='contact'><attribute name='fullname'/><attribute name='contactid'/><attribute name='jobtitle'/><attribute name='annualincome'/><order attribute='fullname'/></entity></fetch>"}`}},
	"webapi__retrieve-and-execute-predefined-queries:59": {rows: []string{`userqueries {"userqueryid":"121c6fd8-1975-e511-80d4-00155d2a68d1","fetchxml":"<fetch><entity name='account'><attribute name='name'/></entity></fetch>"}`}},
	"webapi__retrieve-and-execute-predefined-queries:67": {rows: []string{`savedqueries {"savedqueryid":"00000000-0000-0000-00aa-000010003001","fetchxml":"<fetch><entity name='opportunity'><attribute name='name'/></entity></fetch>"}`}},
}
