package entity

import "strings"

// validity is what IsValidForCreate, Update and Read say together.
type validity uint8

const (
	readOnly   validity = 1 << iota // read
	createOnly                      // create, read
	updateOnly                      // update, read
	never                           // none of the three
)

// ruled are the columns whose validity the platform fixes by name, in every
// table (protocols/dataverse.md §3.3, §6.7; entity reference of the standard
// tables).
func ruled(name string) validity {
	switch name {
	case "createdon", "modifiedon", "createdby", "modifiedby", "createdonbehalfby", "modifiedonbehalfby",
		"createdbyexternalparty", "modifiedbyexternalparty", "versionnumber", "owninguser", "owningteam", "owningbusinessunit",
		"exchangerate", "organizationid", "solutionid", "overwritetime", "componentstate", "ismanaged", "onholdtime", "slainvokedid",
		"timespentbymeonemailandmeetings", "entityimageid", "merged", "masterid", "defaultmailbox", "sortdate", "isregularactivity", "instancetypecode",
		"formidunique", "formxmlmanaged", "publishedon", "ismaster", "relatedconnectionid", "record1objecttypecode", "record2objecttypecode",
		"systemmanaged", "supportingsolutionid", "yomifullname", "isworkflowcreated", "fullname", "aging30", "aging60", "aging90":
		return readOnly
	case "importsequencenumber", "overriddencreatedon", "introducedversion":
		return createOnly
	case "statecode", "lastusedincampaign":
		return updateOnly
	}
	return 0
}

// ruledIn are the columns whose validity depends on the table.
func ruledIn(table, column string) validity {
	switch table + "." + column {
	case "connection.name", "team.isdefault", "systemform.objecttypecodename":
		return readOnly
	case "team.teamtype", "team.regardingobjectid", "team.teamtemplateid", "systemform.ancestorformid", "systemform.objecttypecode",
		"systemform.type", "systemform.uniquename", "activityparty.activityid", "queueitem.objectid", "annotation.objecttypecode":
		return createOnly
	case "mailbox.actstatus", "mailbox.incomingemailstatus", "mailbox.outgoingemailstatus", "mailbox.enabledforact", "mailbox.enabledforincomingemail", "mailbox.enabledforoutgoingemail":
		return updateOnly
	case "contact.accountid", "contact.parentcontactid", "opportunity.accountid", "opportunity.contactid", "lead.accountid", "lead.contactid",
		"incident.accountid", "incident.contactid", "quote.accountid", "quote.contactid", "salesorder.accountid", "salesorder.contactid",
		"invoice.accountid", "invoice.contactid", "list.membercount", "activitymimeattachment.filesize", "annotation.filesize", "annotation.isdocument",
		"incident.numberofchildincidents", "queue.numberofitems", "queue.numberofmembers", "activityparty.ispartydeleted", "activityparty.addressused",
		"knowledgearticle.knowledgearticleviews", "knowledgearticle.rating", "email.attachmentcount":
		return readOnly
	}
	return 0
}

// readOnlyTable reports tables of which nothing can be written: pairs (written
// through $ref, protocols/dataverse.md §3.1) and what only the platform
// writes.
func readOnlyTable(t *Table) bool {
	if t.Intersect {
		return true
	}
	switch t.LogicalName {
	case activityTable, "audit", "principalobjectaccess", "principalobjectattributeaccess", "principalentitymap", "dependency", "invaliddependency", "runtimedependency",
		"tracelog", "plugintracelog", "plugintypestatistic", "syncerror", "subscriptionstatisticsoffline", "subscriptionstatisticsoutlook",
		"subscriptionsyncentryoffline", "subscriptionsyncentryoutlook", "mailboxtrackingfolder", "bulkdeletefailure", "importlog", "workflowlog", "duplicaterecord",
		"privilege", "languagelocale", "timezonedefinition", "timezonelocalizedname", "timezonerule", "recommendeddocument":
		return true
	}
	return false
}

// deriveValidity sets IsValidForCreate, Update and Read of columns that have
// none of the three set.
func deriveValidity(m *Model, t *Table) {
	fixed := readOnlyTable(t)
	for _, c := range t.Columns {
		c.ValidOData = c.EdmType != ""
		c.Logical = c.Logical || logical(c.LogicalName)
		if c.ValidForRead || c.ValidForCreate || c.ValidForUpdate {
			continue
		}
		v := validityOf(m, t, c)
		if fixed && v != never {
			v = readOnly
		}
		c.ValidForRead = v != never
		c.ValidForCreate = v == 0 || v == createOnly
		c.ValidForUpdate = v == 0 || v == updateOnly
	}
}

// logical reports columns that live in another table's row: addresses, images
// and the two owner columns derived from ownerid.
func logical(name string) bool {
	if rest, ok := strings.CutPrefix(name, "address"); ok && len(rest) > 2 && rest[0] >= '1' && rest[0] <= '3' && rest[1] == '_' {
		return true
	}
	return name == "owninguser" || name == "owningteam" || name == "entityimage" || name == "entityimage_timestamp" || name == "entityimage_url"
}

func validityOf(m *Model, t *Table, c *Column) validity {
	name := c.LogicalName
	switch {
	case c.EdmType == "":
		return never
	case c.Hidden:
		return readOnly
	case name == t.PrimaryID:
		return createOnly
	}
	if v := ruledIn(t.LogicalName, name); v != 0 {
		return v
	}
	if v := ruled(name); v != 0 && !(name == "organizationid" && t.LogicalName == "organization" || name == "exchangerate" && t.LogicalName == "transactioncurrency") {
		return v
	}
	switch c.Kind {
	case "Lookup", "Customer", "Owner":
		if !settable(m, t, c) {
			return readOnly
		}
	case "Money":
		if strings.HasSuffix(name, "_base") {
			c.SourceType = 0
			return readOnly
		}
	case "File", "Virtual", "CalendarRules": // a file's id is set by its upload alone (§8.2)
		return readOnly
	}
	if strings.HasSuffix(name, "_composite") || strings.HasSuffix(name, "idunique") || shadowOfImage(t, name) || shadowOfFile(t, name) {
		return readOnly
	}
	if rollup(t, name) {
		return readOnly
	}
	return 0
}

// settable reports whether a lookup has a navigation property to bind.
func settable(m *Model, t *Table, c *Column) bool {
	for _, b := range m.Bases(t) {
		for _, r := range m.ManyToOne(b.LogicalName) {
			if r.ReferencingAttr == c.LogicalName {
				return true
			}
		}
	}
	return false
}

// rollup reports rollup columns and their _date, _state, _count and _sum parts.
func rollup(t *Table, name string) bool {
	if t.Column(name+"_date") != nil && t.Column(name+"_state") != nil {
		t.Column(name).SourceType = 2
		return true
	}
	for _, part := range []string{"_date", "_state", "_count", "_sum"} {
		if base, ok := strings.CutSuffix(name, part); ok && t.Column(base+"_date") != nil && t.Column(base+"_state") != nil {
			return true
		}
	}
	return false
}

// shadowOfImage reports <image>_timestamp, <image>_url and <image>id.
func shadowOfImage(t *Table, name string) bool {
	for _, part := range []string{"_timestamp", "_url", "id"} {
		if base, ok := strings.CutSuffix(name, part); ok {
			if c := t.Column(base); c != nil && c.EdmType == "Edm.Binary" {
				t.Column(name).AttributeOf = base + "id"
				if part == "id" {
					t.Column(name).AttributeOf = ""
				}
				return true
			}
		}
	}
	return false
}

// shadowOfFile reports <file>_name.
func shadowOfFile(t *Table, name string) bool {
	base, ok := strings.CutSuffix(name, "_name")
	c := t.Column(base)
	if !ok || c == nil || c.EdmType != "Edm.Binary" {
		return false
	}
	t.Column(name).AttributeOf = base
	return true
}
