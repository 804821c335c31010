package dataverse_test

import (
	"strings"
	"testing"
	"time"

	"allod/internal/emulator/dataverse/entity"

	dvemu "allod/internal/emulator/dataverse"
)

// The link-types of §4.6 as "Join tables" and "link-entity" document them. Accounts
// a and b have contacts x, y and z; y is the primary contact of a.
func TestS46LinkTypes(t *testing.T) {
	c, _ := company(t)
	link := func(kind, inner string) string {
		return `<link-entity name="contact" from="parentcustomerid" to="accountid" link-type="` + kind + `">` + inner + `</link-entity>`
	}
	is := func(name string) string {
		return `<filter><condition attribute="lastname" operator="eq" value="` + name + `"/></filter>`
	}
	for _, tt := range []struct{ body, want string }{
		{link("exists", ""), "a b"},
		{link("in", is("x")), "a"},
		{link("matchfirstrowusingcrossapply", ""), "a b"},
		{link("inner", ""), "a a b"},
		{`<filter>` + link("any", "") + `</filter>`, "a b"},
		{`<filter>` + link("any", is("x")) + `</filter>`, "a"},
		{`<filter>` + link("not any", "") + `</filter>`, "c d e"},
		{`<filter>` + link("not any", is("x")) + `</filter>`, "b c d e"},
		{`<filter>` + link("all", is("x")) + `</filter>`, "b"}, // none of its rows passes, and it has some
		{`<filter>` + link("not all", is("x")) + `</filter>`, "a"},
		{`<filter type="or">` + link("any", is("x")) + `<condition attribute="name" operator="eq" value="d"/></filter>`, "a d"},
		{`<filter><filter type="or">` + link("not any", "") + link("any", is("z")) + `</filter><condition attribute="statecode" operator="eq" value="0"/></filter>`, "b d e"},
		// A join within the tested rows: contacts that are the primary one of an account.
		{`<filter>` + link("any", `<link-entity name="account" from="primarycontactid" to="contactid"/>`) + `</filter>`, "a"},
		// A test within a join.
		{`<link-entity name="contact" from="parentcustomerid" to="accountid" alias="p"><filter><link-entity name="account" from="primarycontactid" to="contactid" link-type="not any"/></filter></link-entity>`, "a b"},
		{`<link-entity name="contact" from="contactid" to="primarycontactid" link-type="exists"/>`, "a"},
	} {
		got := names(t, c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/><order attribute="name"/>`+tt.body+`</entity></fetch>`), "name")
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.body, got, tt.want)
		}
	}
	first := c.fetch("accounts", `<fetch><entity name="account"><link-entity name="contact" from="parentcustomerid" to="accountid" alias="p" link-type="matchfirstrowusingcrossapply"><attribute name="lastname"/></link-entity><order attribute="name"/></entity></fetch>`)
	if r := first.rows(); len(r) != 2 || r[1]["p.lastname"] != "z" {
		t.Errorf("the columns of the first row: got %s", first.Body)
	}
	for _, body := range []string{
		link("any", ""), `<filter>` + link("inner", "") + `</filter>`, `<filter>` + link("any", `<attribute name="lastname"/>`) + `</filter>`,
		link("exists", `<all-attributes/>`), link("sideways", ""), `<filter>` + link("exists", "") + `</filter>`,
		`<link-entity name="contact" from="nothing" to="accountid" link-type="exists"/>`, `<link-entity name="contact" from="contactid" to="contract" link-type="exists"/>`,
	} {
		if a := c.fetch("accounts", `<fetch><entity name="account">`+body+`</entity></fetch>`); a.Status != 400 {
			t.Errorf("%s: got %d %s, want 400", body, a.Status, a.Body)
		}
	}
	c.action("set-administrator", `{"on":false}`)
	c.action("set-depth", `{"table":"contact","depth":"None"}`)
	if a := c.fetch("accounts", `<fetch><entity name="account"><filter>`+link("any", "")+`</filter></entity></fetch>`); a.Status != 403 {
		t.Errorf("rows that may not be read: got %d", a.Status)
	}
}

// Conditions and orders that speak of another element than the one they stand in
// ("Filter rows", "Order rows using FetchXml").
func TestS46AcrossElements(t *testing.T) {
	c, ids := company(t)
	c.want(204, "PATCH", "contacts("+ids["z"]+")", `{"lastname":"b","birthdate":"1980-01-01"}`)
	contacts := `<link-entity name="contact" from="parentcustomerid" to="accountid" alias="p"><attribute name="lastname"/>`
	for _, tt := range []struct{ body, column, want string }{
		{contacts + `</link-entity><order entityname="p" attribute="lastname"/><order attribute="name"/>`, "p.lastname", "b x y"},
		{contacts + `</link-entity><order entityname="p" attribute="birthdate" descending="true"/>`, "p.lastname", "y x b"},
		{contacts + `</link-entity><filter><condition attribute="name" operator="eq" valueof="p.lastname"/></filter>`, "name", "b"},
		{contacts + `</link-entity><filter><condition attribute="name" operator="ne" valueof="p.lastname"/></filter><order entityname="p" attribute="lastname"/>`, "p.lastname", "x y"},
		// In a link, a condition on one further down is judged after all joins.
		{`<link-entity name="contact" from="contactid" to="primarycontactid"><filter><condition entityname="up" attribute="name" operator="eq" value="a"/></filter><link-entity name="account" from="accountid" to="parentcustomerid" alias="up"/></link-entity>`, "name", "a"},
		{`<link-entity name="contact" from="contactid" to="primarycontactid"><filter><condition entityname="up" attribute="name" operator="ne" value="a"/></filter><link-entity name="account" from="accountid" to="parentcustomerid" alias="up"/></link-entity>`, "name", ""},
	} {
		got := names(t, c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/>`+tt.body+`</entity></fetch>`), tt.column)
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.body, got, tt.want)
		}
	}
	for _, body := range []string{`<order entityname="p" attribute="name"/>`, `<filter><condition attribute="name" operator="eq" valueof="p.name"/></filter>`} {
		if a := c.fetch("accounts", `<fetch><entity name="account">`+body+`</entity></fetch>`); a.Status != 400 {
			t.Errorf("%s: got %d %s, want 400", body, a.Status, a.Body)
		}
	}
}

// Choices are ordered by label, or by number with useraworderby; lookups by the name
// of their row, by $orderby too, which takes choices by number ("Order rows").
func TestS46OrderOfChoicesAndLookups(t *testing.T) {
	c, ids := company(t)
	c.want(204, "PATCH", "accounts("+ids["b"]+")", `{"statuscode":3,"primarycontactid@odata.bind":"/contacts(`+ids["x"]+`)"}`)
	c.want(204, "PATCH", "accounts("+ids["d"]+")", `{"primarycontactid@odata.bind":"/contacts(`+ids["z"]+`)"}`)
	order := func(head, by string) string {
		return names(t, c.fetch("accounts", `<fetch `+head+`><entity name="account"><attribute name="name"/><order attribute="`+by+`"/><order attribute="name"/></entity></fetch>`), "name")
	}
	// 1 Active, 2 Inactive, 3 On hold
	if got := order("", "statuscode"); got != "a d e c b" {
		t.Errorf("by label: got %s", got)
	}
	set := `{"Value":1,"OptionSetName":"","Label":{"LocalizedLabels":[{"Label":"Zero","LanguageCode":1033}]},"EntityLogicalName":"account","AttributeLogicalName":"statuscode"}`
	c.want(204, "POST", "UpdateOptionValue", strings.Replace(set, `"OptionSetName":"",`, "", 1))
	if got := order("", "statuscode"); got != "c b a d e" {
		t.Errorf("by another label: got %s", got)
	}
	if got := order(`useraworderby="true"`, "statuscode"); got != "a d e c b" {
		t.Errorf("by number: got %s", got)
	}
	if got := order("", "primarycontactid"); got != "c e b a d" {
		t.Errorf("a lookup: got %s", got)
	}
	if got := names(t, c.do("GET", "accounts?$select=name&$orderby=_primarycontactid_value,name", ""), "name"); got != "c e b a d" {
		t.Errorf("a lookup by $orderby: got %s", got)
	}
	if got := names(t, c.do("GET", "accounts?$select=name&$orderby=statuscode desc,name", ""), "name"); got != "b c a d e" {
		t.Errorf("a choice by $orderby: got %s", got)
	}
}

// withSettings is the model with the settings of an organisation, teams and
// managers that operators about the caller need.
func withSettings() *entity.Model {
	m := model()
	add := func(t *entity.Table, name, kind, edm string, targets ...string) {
		t.Columns = append(t.Columns, &entity.Column{LogicalName: name, SchemaName: name, Kind: entity.ColumnKind(kind), EdmType: edm, ValidForCreate: true, ValidForUpdate: true, ValidForRead: true, ValidOData: true, Required: "None", Targets: targets})
	}
	for _, t := range m.Tables {
		switch t.LogicalName {
		case "organization":
			add(t, "fiscalcalendarstart", "DateTime", "Edm.DateTimeOffset")
			add(t, "fiscalperiodtype", "Integer", "Edm.Int32")
			add(t, "ishierarchicalsecuritymodelenabled", "Boolean", "Edm.Boolean")
			add(t, "maxdepthforhierarchicalsecuritymodel", "Integer", "Edm.Int32")
			add(t, "languagecode", "Integer", "Edm.Int32")
		case "systemuser":
			add(t, "parentsystemuserid", "Lookup", "Edm.Guid", "systemuser")
		case "account":
			add(t, "numberofemployees", "Integer", "Edm.Int32")
		case "accountleads":
			pair := *t
			pair.LogicalName, pair.SchemaName, pair.SetName, pair.LogicalSet = "teammembership", "TeamMembership", "teammemberships", "teammemberships"
			pair.PrimaryID, pair.ODataKey = "teammembershipid", "teammembershipid"
			pair.Columns = append([]*entity.Column(nil), t.Columns...)
			for i, name := range []string{"teammembershipid", "teamid", "systemuserid"} {
				col := *t.Columns[i]
				col.LogicalName, col.SchemaName = name, name
				pair.Columns[i] = &col
			}
			pair.MetadataID[0] = 200
			defer func() { m.Tables = append(m.Tables, &pair) }()
		}
	}
	m.Relationships = append(m.Relationships, &entity.Relationship{SchemaName: "user_parent_user", Referenced: "systemuser", ReferencedAttr: "systemuserid", Referencing: "systemuser", ReferencingAttr: "parentsystemuserid", ReferencingNav: "parentsystemuserid", ReferencedNav: "user_parent_user", Cascade: entity.Cascade{Delete: "NoCascade"}},
		&entity.Relationship{SchemaName: "teammembership_association", Intersect: "teammembership", Entity1: "team", Entity2: "systemuser", Attribute1: "teamid", Attribute2: "systemuserid", Nav1: "teammembership_association", Nav2: "teammembership_association"})
	return m
}

// Operators about the caller, the same as query functions (§4.3, §4.6). One
// reports to the caller, another to that one; the other's team owns e.
func TestS46Callers(t *testing.T) {
	m := withSettings()
	m.Seal()
	c := start(t, dvemu.Options{Model: m})
	me := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	user := func(name, boss string) string {
		return c.want(204, "POST", "systemusers", `{"fullname":"`+name+`","parentsystemuserid@odata.bind":"/systemusers(`+boss+`)"}`).id()
	}
	one := user("one", me)
	two := user("two", one)
	mine, theirs := c.want(204, "POST", "teams", `{"name":"mine"}`).id(), c.want(204, "POST", "teams", `{"name":"theirs"}`).id()
	join := func(team, user string) {
		c.want(204, "POST", "teams("+team+")/teammembership_association/$ref", `{"@odata.id":"`+c.url+`/api/data/v9.2/systemusers(`+user+`)"}`)
	}
	join(mine, me)
	join(theirs, two)
	for _, row := range [][2]string{{"a", "systemusers(" + me}, {"b", "systemusers(" + one}, {"c", "systemusers(" + two}, {"d", "teams(" + mine}, {"e", "teams(" + theirs}} {
		c.want(204, "POST", "accounts", `{"name":"`+row[0]+`","numberofemployees":1033,"ownerid@odata.bind":"/`+row[1]+`)"}`)
	}
	org := c.want(200, "GET", "organizations", "").rows()[0]["organizationid"].(string)
	check := func(when string, want map[string]string) {
		t.Helper()
		for operator, list := range want {
			column, function, _ := strings.Cut(operator, " ")
			column, operator, _ := strings.Cut(column, ":")
			got := names(t, c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/><order attribute="name"/><filter><condition attribute="`+column+`" operator="`+operator+`"/></filter></entity></fetch>`), "name")
			if got != list {
				t.Errorf("%s, %s: got %q, want %q", when, operator, got, list)
			}
			got = sorted(c.do("GET", "accounts?$select=name&$filter=Microsoft.Dynamics.CRM."+function+"(PropertyName='"+column+"')", ""), "name")
			if got != list {
				t.Errorf("%s, %s: got %q, want %q", when, function, got, list)
			}
		}
	}
	check("without hierarchy security", map[string]string{
		"ownerid:eq-userid EqualUserId": "a", "ownerid:ne-userid NotEqualUserId": "b c d e", "ownerid:eq-userteams EqualUserTeams": "d",
		"ownerid:eq-useroruserteams EqualUserOrUserTeams": "a d", "ownerid:eq-useroruserhierarchy EqualUserOrUserHierarchy": "a",
		"ownerid:eq-useroruserhierarchyandteams EqualUserOrUserHierarchyAndTeams": "a d",
		"numberofemployees:eq-userlanguage EqualUserLanguage":                     "a b c d e",
	})
	c.want(204, "PATCH", "organizations("+org+")", `{"ishierarchicalsecuritymodelenabled":true,"languagecode":1031}`)
	check("with it", map[string]string{
		"ownerid:eq-useroruserhierarchy EqualUserOrUserHierarchy":                 "a b c",
		"ownerid:eq-useroruserhierarchyandteams EqualUserOrUserHierarchyAndTeams": "a b c d e",
		"numberofemployees:eq-userlanguage EqualUserLanguage":                     "",
	})
	c.want(204, "PATCH", "organizations("+org+")", `{"maxdepthforhierarchicalsecuritymodel":1}`)
	check("one level deep", map[string]string{"ownerid:eq-useroruserhierarchy EqualUserOrUserHierarchy": "a b"})
}

// Hierarchies of rows by the key and by a lookup (§4.3; "Query hierarchical data").
func TestS46Hierarchy(t *testing.T) {
	c, ids := company(t)
	for child, parent := range map[string]string{"b": "a", "c": "b", "d": "a"} {
		c.want(204, "PATCH", "accounts("+ids[child]+")", `{"parentaccountid@odata.bind":"/accounts(`+ids[parent]+`)"}`)
	}
	for condition, want := range map[string]string{
		`attribute="accountid" operator="above" value="{` + ids["c"] + `}"`:           "a b",
		`attribute="accountid" operator="eq-or-above" value="` + ids["c"] + `"`:       "a b c",
		`attribute="accountid" operator="under" value="` + ids["a"] + `"`:             "b c d",
		`attribute="accountid" operator="eq-or-under" value="` + ids["b"] + `"`:       "b c",
		`attribute="accountid" operator="not-under" value="` + ids["a"] + `"`:         "a e",
		`attribute="parentaccountid" operator="under" value="` + ids["a"] + `"`:       "c",
		`attribute="accountid" operator="under" value="` + ids["x"] + `"`:             "",
		`attribute="parentaccountid" operator="eq-or-under" value="` + ids["a"] + `"`: "b c d",
	} {
		got := names(t, c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/><order attribute="name"/><filter><condition `+condition+`/></filter></entity></fetch>`), "name")
		if got != want {
			t.Errorf("%s: got %q, want %q", condition, got, want)
		}
	}
	got := names(t, c.fetch("contacts", `<fetch><entity name="contact"><attribute name="lastname"/><order attribute="lastname"/><filter><condition attribute="parentcustomerid" operator="eq-or-under" value="`+ids["b"]+`"/></filter></entity></fetch>`), "lastname")
	if got != "z" {
		t.Errorf("contacts of accounts under b: got %q", got)
	}
	for _, condition := range []string{`attribute="accountid" operator="under" value="x"`, `attribute="name" operator="under" value="` + ids["a"] + `"`, `attribute="accountid" operator="under"`} {
		if a := c.fetch("accounts", `<fetch><entity name="account"><filter><condition `+condition+`/></filter></entity></fetch>`); a.Status != 400 {
			t.Errorf("%s: got %d %s, want 400", condition, a.Status, a.Body)
		}
	}
	count := c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/><attribute name="accountid" rowaggregate="CountChildren" alias="under"/><order attribute="name"/></entity></fetch>`)
	if got := names(t, count, "under"); got != "2 1 0 0 0" {
		t.Errorf("CountChildren: got %s", got)
	}
}

// Fiscal years and periods of the organisation (§4.3, §4.6). Accounts were made on
// 2026-03-03, 05, 07, 09 and 11; it is 2026-03-11.
func TestS46Fiscal(t *testing.T) {
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		t.Fatal(err)
	}
	m := withSettings()
	m.Seal()
	c := start(t, dvemu.Options{Model: m, Now: (&clock{at}).now})
	for name, day := range map[string]string{"a": "2024-12-31", "b": "2025-03-31", "c": "2025-04-01", "d": "2025-12-31", "e": "2026-02-28", "f": "2026-05-01", "g": "2027-01-01"} {
		c.want(204, "POST", "accounts", `{"name":"`+name+`","overriddencreatedon":"`+day+`T09:00:00Z"}`)
	}
	org := c.want(200, "GET", "organizations", "").rows()[0]["organizationid"].(string)
	check := func(when string, want map[string]string) {
		t.Helper()
		for ask, list := range want {
			operator, function, _ := strings.Cut(ask, " ")
			operator, values, _ := strings.Cut(operator, "=")
			xml, args := "", ""
			if values != "" {
				for i, v := range strings.Split(values, ",") {
					xml += "<value>" + v + "</value>"
					if args += ",PropertyValue"; strings.Contains(values, ",") {
						args += []string{"1", "2"}[i]
					}
					args += "=" + v
				}
			}
			got := names(t, c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/><order attribute="name"/><filter><condition attribute="createdon" operator="`+operator+`">`+xml+`</condition></filter></entity></fetch>`), "name")
			if got != list {
				t.Errorf("%s, %s: got %q, want %q", when, operator, got, list)
			}
			got = sorted(c.do("GET", "accounts?$select=name&$filter=Microsoft.Dynamics.CRM."+function+"(PropertyName='createdon'"+args+")", ""), "name")
			if got != list {
				t.Errorf("%s, %s: got %q, want %q", when, function, got, list)
			}
		}
	}
	check("quarters of the year", map[string]string{
		"this-fiscal-year ThisFiscalYear": "e f", "last-fiscal-year LastFiscalYear": "b c d", "next-fiscal-year NextFiscalYear": "g",
		"this-fiscal-period ThisFiscalPeriod": "e", "last-fiscal-period LastFiscalPeriod": "d", "next-fiscal-period NextFiscalPeriod": "f",
		"last-x-fiscal-years=2 LastXFiscalYears": "a b c d", "next-x-fiscal-years=1 NextXFiscalYears": "g",
		"last-x-fiscal-periods=4 LastXFiscalPeriods": "b c d", "next-x-fiscal-periods=4 NextXFiscalPeriods": "f g",
		"in-fiscal-year=2025 InFiscalYear": "b c d", "in-fiscal-period=1 InFiscalPeriod": "b e g", "in-fiscal-period-and-year=1,2025 InFiscalPeriodAndYear": "b",
		"in-or-after-fiscal-period-and-year=2,2025 InOrAfterFiscalPeriodAndYear": "c d e f g", "in-or-before-fiscal-period-and-year=2,2025 InOrBeforeFiscalPeriodAndYear": "a b c",
	})
	group := func(by string) string {
		return names(t, c.fetch("accounts", `<fetch aggregate="true"><entity name="account"><attribute name="createdon" alias="when" groupby="true" dategrouping="`+by+`"/><attribute name="accountid" alias="n" aggregate="count"/><filter><condition attribute="createdon" operator="in-fiscal-year" value="2025"/></filter></entity><order alias="when"/></fetch>`,
			"Prefer", `odata.include-annotations="*"`), "when")
	}
	if got := group("fiscal-period"); got != "Quarter 1 FY2025 Quarter 2 FY2025 Quarter 4 FY2025" {
		t.Errorf("by period: got %s", got)
	}
	if got := group("fiscal-year"); got != "FY2025" {
		t.Errorf("by year: got %s", got)
	}
	c.want(204, "PATCH", "organizations("+org+")", `{"fiscalcalendarstart":"2000-04-01T00:00:00Z","fiscalperiodtype":2001}`)
	check("half years from April", map[string]string{
		"this-fiscal-year ThisFiscalYear": "c d e", "last-fiscal-year LastFiscalYear": "a b", "this-fiscal-period ThisFiscalPeriod": "d e", "in-fiscal-period=1 InFiscalPeriod": "c f",
	})
	c.want(204, "PATCH", "organizations("+org+")", `{"fiscalcalendarstart":"2000-01-01T00:00:00Z","fiscalperiodtype":2004}`)
	check("four weeks", map[string]string{"in-fiscal-period-and-year=3,2026 InFiscalPeriodAndYear": "e", "in-fiscal-period=13 InFiscalPeriod": "a d", "last-fiscal-period LastFiscalPeriod": ""})
	for _, bad := range []string{"in-fiscal-period=14", "in-fiscal-year=x", "in-fiscal-year=", "in-fiscal-period-and-year=1", "last-x-fiscal-years=0", "in-fiscal-week=1"} {
		operator, value, _ := strings.Cut(bad, "=")
		if a := c.fetch("accounts", `<fetch><entity name="account"><filter><condition attribute="createdon" operator="`+operator+`" value="`+value+`"/></filter></entity></fetch>`); a.Status != 400 {
			t.Errorf("%s: got %d %s, want 400", bad, a.Status, a.Body)
		}
	}
}

// Dates are grouped in the time zone of the user, as its settings have it, unless
// usertimezone is false (§4.6).
func TestS46UserTimeZone(t *testing.T) {
	c := start(t, dvemu.Options{Model: withTables(withSettings(), "usersettings usersettingscollection systemuserid timezonecode:Integer")})
	for _, at := range []string{"2024-12-31T23:30:00Z", "2025-06-30T22:30:00Z", "2025-07-01T12:00:00Z"} {
		c.want(204, "POST", "accounts", `{"name":"a","overriddencreatedon":"`+at+`"}`)
	}
	groups := func(by, more string) string {
		t.Helper()
		return names(t, c.fetch("accounts", `<fetch aggregate="true"><entity name="account"><attribute name="createdon" alias="x" groupby="true" dategrouping="`+by+`" `+more+`/><attribute name="accountid" alias="n" aggregate="count"/><order alias="x"/></entity></fetch>`), "x")
	}
	check := func(by, more, want string) {
		t.Helper()
		if got := groups(by, more); got != want {
			t.Errorf("by %s %s: got %s, want %s", by, more, got, want)
		}
	}
	check("day", "", "1 30 31")
	me := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	c.want(204, "POST", "usersettingscollection", `{"systemuserid":"`+me+`","timezonecode":110}`) // W. Europe: an hour ahead, two in summer
	check("day", "", "1")
	check("day", `usertimezone="true"`, "1")
	check("day", `usertimezone="false"`, "1 30 31")
	check("year", "", "2025")
	check("year", `usertimezone="false"`, "2024 2025")
	check("fiscal-period", "", "Quarter 1 FY2025 Quarter 3 FY2025")
	c.want(204, "PATCH", "usersettingscollection("+me+")", `{"timezonecode":4711}`) // no such code
	check("month", "", "6 7 12")
	c.want(204, "PATCH", "usersettingscollection("+me+")", `{"timezonecode":235}`) // Tokyo: nine hours ahead
	check("month", "", "1 7")
}

// aggregatelimit lowers the limit of an aggregate (§4.2, §4.6).
func TestS46AggregateLimit(t *testing.T) {
	c, _ := company(t)
	count := func(limit string) answer {
		return c.fetch("accounts", `<fetch aggregate="true" aggregatelimit="`+limit+`"><entity name="account"><attribute name="accountid" alias="n" aggregate="count"/></entity></fetch>`)
	}
	if a := count("4"); a.Status != 400 || a.code() != "0x8004E023" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	if got := names(t, count("5"), "n"); got != "5" {
		t.Errorf("got %s", got)
	}
}
