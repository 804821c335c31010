package dataverse_test

import (
	"fmt"
	"net/url"
	"sort"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// sorted are the values of a property over the rows of an answer.
func sorted(a answer, property string) string {
	a.t.Helper()
	if a.Status != 200 {
		a.t.Fatalf("got %d %s", a.Status, a.Body)
	}
	var out []string
	for _, r := range a.rows() {
		out = append(out, fmt.Sprint(r[property]))
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}

// What protocols/dataverse.md §4.3 says of $filter.
func TestFilterFacts(t *testing.T) {
	c, ids := company(t) // on 2026-03-11 at ten, accounts of 3, 5, 7, 9 and 11 March
	user := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	c.want(204, "PATCH", "accounts("+ids["b"]+")", `{"parentaccountid@odata.bind":"/accounts(`+ids["a"]+`)"}`)
	c.want(204, "PATCH", "accounts("+ids["c"]+")", `{"parentaccountid@odata.bind":"/accounts(`+ids["b"]+`)"}`)
	const crm = "Microsoft.Dynamics.CRM."
	for filter, want := range map[string]string{
		"name eq accountnumber":                                                         "", // columns of one type are compared (query/filter-rows)
		"accountnumber gt name":                                                         "a b c d e",
		"name eq 'A'":                                                                   "a", // collation
		"contains(description,'OFF')":                                                   "e",
		"startswith(accountnumber,'n')":                                                 "a b c d e",
		"endswith(accountnumber,'3')":                                                   "d",
		"contains(name,'[ab]')":                                                         "a b", // wildcards
		"contains(name,'[^ab]')":                                                        "c d e",
		"startswith(accountnumber,'_4')":                                                "e",
		"contains(description,'50[%25] off[_][[]x')":                                    "e", // escaped
		"contains(description,'off-')":                                                  "",
		"primarycontactid/lastname eq 'y'":                                              "a",
		"accountid eq " + ids["a"]:                                                      "a", // GUIDs unquoted
		"_primarycontactid_value eq " + ids["y"]:                                        "a",
		"contact_customer_accounts/any(p:p/lastname eq 'z')":                            "b",
		"contact_customer_accounts/all(p:p/lastname eq 'z')":                            "b c d e",
		crm + "In(PropertyName='name',PropertyValues=['a','c'])":                        "a c",
		crm + "Between(PropertyName='revenue',PropertyValues=['100','201'])":            "a b",
		crm + "LastXDays(PropertyName='createdon',PropertyValue=3)":                     "d e",
		crm + "LastXDays(PropertyName=@p,PropertyValue=@n)&@p='createdon'&@n=3":         "d e",
		crm + "LastXHours(PropertyName='createdon',PropertyValue='1')":                  "e",
		"not " + crm + "Last7Days(PropertyName='createdon')":                            "a",
		crm + "EqualUserId(PropertyName='ownerid')":                                     "a b c d e",
		crm + "NotEqualUserId(PropertyName='_ownerid_value')":                           "",
		crm + "EqualBusinessId(PropertyName='owningbusinessunit')":                      "a b c d e",
		crm + "EqualUserOrUserTeams(PropertyName='ownerid')":                            "a b c d e",
		crm + "EqualUserTeams(PropertyName='ownerid')":                                  "",
		crm + "Under(PropertyName='accountid',PropertyValue='" + ids["a"] + "')":        "b c",
		crm + "UnderOrEqual(PropertyName='accountid',PropertyValue='" + ids["a"] + "')": "a b c",
		crm + "NotUnder(PropertyName='accountid',PropertyValue='" + ids["a"] + "')":     "a d e",
		crm + "Above(PropertyName='accountid',PropertyValue='" + ids["c"] + "')":        "a b",
		crm + "AboveOrEqual(PropertyName='accountid',PropertyValue='" + ids["b"] + "')": "a b",
		"revenue eq @nothing":                                                           "d e", // an alias without a value is null
		"name eq @n&@n='b'":                                                             "b",
		"@c eq 'b'&@c=name":                                                             "b",
		"(name eq 'a' or name eq 'b') and not (revenue gt 150)":                         "a",
		"revenue ge 100.5 and revenue lt 300.5 and revenue ne 200.5":                    "a",
		"contains(name,'a')%20":                                                         "a", // as the documentation spells it
		"primarycontactid/parentcustomerid_account/accountnumber eq 'N0'":               "a",
	} {
		if got := sorted(c.do("GET", "accounts?$select=name&$filter="+filter, ""), "name"); got != want {
			t.Errorf("%s: got %q, want %q", filter, got, want)
		}
	}
	if got := sorted(c.do("GET", "systemusers?$filter="+crm+"EqualUserId(PropertyName='systemuserid')", ""), "systemuserid"); got != user {
		t.Errorf("got %s, want %s", got, user)
	}
	for filter, status := range map[string]int{
		"Name eq 'a'": 400, "nothing eq 1": 400, "name eq 1": 400, crm + "Fits(PropertyName='name')": 400, crm + "EqualUserId(PropertyName='nothing')": 400,
		crm + "Under(PropertyName='name',PropertyValue='" + ids["a"] + "')": 400, crm + "Under(PropertyName='accountid',PropertyValue='x')": 400,
		"nothing/any(p:p/lastname eq 'z')": 400, "primarycontactid/nothing eq 1": 400,
	} {
		if a := c.do("GET", "accounts?$filter="+filter, ""); a.Status != status {
			t.Errorf("%s: got %d %s, want %d", filter, a.Status, a.Body, status)
		}
	}
}

// Names of query options are case-sensitive, each counts once, and without its
// $ it is none (§4.3).
func TestNamesOfOptions(t *testing.T) {
	c, _ := company(t)
	for path, status := range map[string]int{
		"accounts?$Select=name": 400, "accounts?$filter=name eq 'a'&$filter=name eq 'b'": 400, "accounts?$FILTER=name eq 'a'": 400, "accounts?$nothing=1": 400,
		"accounts?$orderby=Name": 400, "accounts?$select=name&$top=1": 200, "accounts?tag=x": 200, "Accounts": 404,
	} {
		if a := c.do("GET", path, ""); a.Status != status {
			t.Errorf("%s: got %d %.200s, want %d", path, a.Status, a.Body, status)
		}
	}
	if got := sorted(c.do("GET", "accounts?$select=name&filter=name eq 'a'", ""), "name"); got != "a b c d e" {
		t.Errorf("an option without its $: got %s", got)
	}
}

// A lookup may be selected by the name of its navigation property; $select may
// end in a comma (data/dataverse/documented-http-samples.json).
func TestSelectByNavigation(t *testing.T) {
	c, ids := company(t)
	r := c.want(200, "GET", "accounts("+ids["a"]+")?$select=name,primarycontactid,", "").json()
	if r["_primarycontactid_value"] != ids["y"] || r["name"] != "a" || r["revenue"] != nil {
		t.Errorf("got %v", r)
	}
	if r := c.want(200, "GET", "accounts("+ids["a"]+")?$select=contact_customer_accounts", "").json(); len(r) != 3 || r["accountid"] != ids["a"] {
		t.Errorf("a collection alone: got %v", r)
	}
}

// What protocols/dataverse.md §4.2 says of counts.
func TestCountFacts(t *testing.T) {
	c := start(t, dvemu.Options{})
	var parts []string
	for range 5001 {
		parts = append(parts, `{"@odata.type":"Microsoft.Dynamics.CRM.lead","subject":"s"}`)
	}
	c.want(200, "POST", "leads/Microsoft.Dynamics.CRM.CreateMultiple", `{"Targets":[`+strings.Join(parts, ",")+`]}`)
	if a := c.want(200, "GET", "leads/$count", ""); a.Body != "\uFEFF5000" || a.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("got %q, %s", a.Body, a.Header.Get("Content-Type"))
	}
	a := c.want(200, "GET", "leads?$count=true&$top=1", "", "Prefer", `odata.include-annotations="*"`).json()
	if a["@odata.count"] != 5000.0 || a["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] != true || a["@Microsoft.Dynamics.CRM.totalrecordcount"] != 5000.0 {
		t.Errorf("got %v", a)
	}
	a = c.want(200, "GET", "leads?$count=true&$filter=subject eq 'none'", "", "Prefer", `odata.include-annotations="*"`).json()
	if a["@odata.count"] != 0.0 || a["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] != false {
		t.Errorf("got %v", a)
	}
	a = c.want(200, "GET", `RetrieveTotalRecordCount(EntityNames=@p1)?@p1=["lead","account"]`, "").json()["EntityRecordCountCollection"].(map[string]any)
	if fmt.Sprint(a["Count"], a["Keys"], a["Values"]) != "2 [lead account] [5001 0]" {
		t.Errorf("got %v", a)
	}
	exact := c.want(200, "GET", "leads?$apply=aggregate($count as n)", "").rows()
	if len(exact) != 1 || exact[0]["n"] != 5001.0 {
		t.Errorf("exact count: got %v", exact)
	}
}

// What protocols/dataverse.md §4.4 says of $expand.
func TestExpandFacts(t *testing.T) {
	c, ids := company(t)
	c.want(204, "PATCH", "accounts("+ids["b"]+")", `{"parentaccountid@odata.bind":"/accounts(`+ids["a"]+`)"}`)
	for _, s := range []string{"t1", "t2", "t3"} {
		c.want(204, "POST", "tasks", `{"subject":"`+s+`","regardingobjectid_contact_task@odata.bind":"/contacts(`+ids["x"]+`)"}`)
	}
	// One level: no pages, and in lists a link to the rows.
	a := c.want(200, "GET", "accounts?$select=name&$filter=name eq 'a'&$expand=contact_customer_accounts($select=lastname;$orderby=lastname desc;$filter=lastname ne 'q')", "", "Prefer", "odata.maxpagesize=1").rows()[0]
	people := a["contact_customer_accounts"].([]any)
	if len(people) != 2 || people[0].(map[string]any)["lastname"] != "y" || people[0].(map[string]any)["@odata.etag"] == nil {
		t.Errorf("got %v", people)
	}
	link, _ := a["contact_customer_accounts@odata.nextLink"].(string)
	if !strings.Contains(link, "accounts("+ids["a"]+")/contact_customer_accounts?$select=lastname&$filter=") {
		t.Errorf("got %s", link)
	}
	if got := sorted(c.do("GET", link, ""), "lastname"); got != "x y" {
		t.Errorf("link: got %s", got)
	}
	one := c.want(200, "GET", "accounts("+ids["a"]+")?$select=name&$expand=contact_customer_accounts($select=lastname;$top=1)", "").json()
	if one["contact_customer_accounts@odata.nextLink"] != nil || len(one["contact_customer_accounts"].([]any)) != 1 {
		t.Errorf("a single row: got %v", one)
	}
	// Several levels: collections have pages.
	a = c.want(200, "GET", "accounts("+ids["a"]+")?$select=name&$expand=contact_customer_accounts($select=lastname;$expand=Contact_Tasks($select=subject;$filter=subject ne 't9'),parentcustomerid_account($select=name))", "", "Prefer", "odata.maxpagesize=2").json()
	tasks := 0
	for _, p := range a["contact_customer_accounts"].([]any) {
		p := p.(map[string]any)
		if p["parentcustomerid_account"].(map[string]any)["name"] != "a" {
			t.Errorf("got %v", p)
		}
		list := p["Contact_Tasks"].([]any)
		tasks += len(list)
		next, more := p["Contact_Tasks@odata.nextLink"].(string)
		if more != (p["lastname"] == "x") {
			t.Errorf("%v: got link %q", p["lastname"], next)
		}
		if more {
			rest := c.want(200, "GET", next, "", "Prefer", "odata.maxpagesize=2")
			tasks += len(rest.rows())
		}
	}
	if tasks != 3 {
		t.Errorf("got %d tasks", tasks)
	}
	deep := c.want(200, "GET", "accounts?$select=name&$filter=name eq 'b'&$expand=parentaccountid($select=name;$expand=primarycontactid($select=lastname;$expand=parentcustomerid_account($select=name)))", "").rows()[0]
	parent := deep["parentaccountid"].(map[string]any)["primarycontactid"].(map[string]any)
	if parent["lastname"] != "y" || parent["parentcustomerid_account"].(map[string]any)["name"] != "a" {
		t.Errorf("got %v", deep)
	}
	// References, and the value beside them.
	ref := c.want(200, "GET", "accounts("+ids["a"]+")?$select=name&$expand=primarycontactid/$ref", "").json()
	if ref["_primarycontactid_value"] != ids["y"] || !strings.HasSuffix(fmt.Sprint(ref["primarycontactid"]), "contacts("+ids["y"]+")]") {
		t.Errorf("got %v", ref)
	}
	// Of a polymorphic lookup the other navigation properties are null.
	poly := c.want(200, "GET", "contacts("+ids["x"]+")?$select=lastname&$expand=parentcustomerid_account($select=name),parentcustomerid_contact($select=lastname)", "").json()
	if poly["parentcustomerid_contact"] != nil || poly["parentcustomerid_account"].(map[string]any)["name"] != "a" {
		t.Errorf("got %v", poly)
	}
	many := "contact_customer_accounts($select=lastname)" + strings.Repeat(",contact_customer_accounts($select=lastname)", 15)
	for expand, message := range map[string]string{
		"contact_customer_accounts/$ref":                                            "Expand with $ref is only supported on lookup type navigation property.",
		"primarycontactid($orderby=lastname)":                                       "Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or nested one-to-many relationship.",
		"contact_customer_accounts($expand=Contact_Tasks($top=1))":                  "Only $select and $filter clause",
		"contact_customer_accounts($top=1;$expand=Contact_Tasks)":                   "Only $select and $filter clause",
		"accountleads_association,contact_customer_accounts($expand=Contact_Tasks)": "many-to-many",
		many: "exceeds the limit of 15",
	} {
		a := c.do("GET", "accounts?$expand="+expand, "")
		if a.Status != 400 || a.code() != "0x80060888" || !strings.Contains(a.Body, message) {
			t.Errorf("%s: got %d %s", expand, a.Status, a.Body)
		}
	}
	c.want(400, "GET", "accounts?$expand=nothing", "")
	c.want(400, "GET", "accounts?$expand=primarycontactid($expand=nothing)", "")
}

// What protocols/dataverse.md §4.5 and the documentation's page about it show
// of $apply.
func TestApply(t *testing.T) {
	c, ids := company(t)
	c.want(204, "PATCH", "accounts("+ids["b"]+")", `{"primarycontactid@odata.bind":"/contacts(`+ids["y"]+`)"}`)
	ask := func(apply string, header ...string) string {
		t.Helper()
		a := c.want(200, "GET", "accounts?$apply="+apply, "", header...)
		_, rest, _ := strings.Cut(a.Body, `$metadata#accounts","value":`)
		return strings.TrimSuffix(rest, "}")
	}
	formatted := []string{"Prefer", `odata.include-annotations="OData.Community.Display.V1.FormattedValue"`}
	const note = "@OData.Community.Display.V1.FormattedValue"
	for _, tt := range []struct {
		apply, want string
		header      []string
	}{
		{"groupby((statuscode))", `[{"statuscode` + note + `":"Active","statuscode":1},{"statuscode` + note + `":"Inactive","statuscode":2}]`, formatted},
		{"groupby((statuscode),aggregate($count as count))", `[{"statuscode` + note + `":"Active","statuscode":1,"count` + note + `":"4","count":4},{"statuscode` + note + `":"Inactive","statuscode":2,"count` + note + `":"1","count":1}]`, formatted},
		{"aggregate(revenue with sum as total)", `[{"total` + note + `":"$601.50","total":601.500000000}]`, formatted},
		{"groupby((statuscode),aggregate(revenue with average as mean))", `[{"statuscode":1,"mean":150.500000000},{"statuscode":2,"mean":300.500000000}]`, nil},
		{"groupby((primarycontactid/fullname),aggregate(revenue with sum as total))", `[{"total":300.500000000},{"contact_fullname":"y","total":301.000000000}]`, nil},
		{"filter(revenue gt 150)/groupby((primarycontactid/fullname))", `[{},{"contact_fullname":"y"}]`, nil},
		{"aggregate(createdon with max as lastCreate)", `[{"lastCreate` + note + `":"3/11/2026 9:00 AM","lastCreate":"2026-03-11T09:00:00Z"}]`, formatted},
		{"aggregate(createdon with min as firstCreate)", `[{"firstCreate":"2026-03-03T09:00:00Z"}]`, nil},
		{"groupby((statecode,statuscode))", `[{"statecode":0,"statuscode":1},{"statecode":1,"statuscode":2}]`, nil},
		{"filter(revenue gt 100)/filter(revenue lt 300)/aggregate($count as n,revenue with max as most,revenue with min as least)", `[{"n":2,"most":200.5000,"least":100.5000}]`, nil},
		{"aggregate(_primarycontactid_value with countdistinct as n)", `[{"n":1}]`, nil},
		{"filter(name eq 'none')/aggregate($count as n,revenue with sum as total)", `[{"n":0}]`, nil},
		{"filter(name eq 'none')/groupby((statecode),aggregate($count as n))", `[]`, nil},
		{"groupby((statecode),aggregate($count as n))&$orderby=statecode desc&$top=1", `[{"statecode":1,"n":1}]`, nil},
		{"groupby((_primarycontactid_value))&$top=2", `[{},{"_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname":"contact","_primarycontactid_value":"` + ids["y"] + `"}]`, []string{"Prefer", `odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"`}},
	} {
		if got := ask(tt.apply, tt.header...); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.apply, got, tt.want)
		}
	}
	for apply, status := range map[string]int{
		"groupby((createdon))": 400, "groupby((nothing))": 400, "groupby((nothing/name))": 400, "aggregate(name with sum as n)": 400, "aggregate(nothing with sum as n)": 400,
		"groupby((statecode),aggregate($count as n))&$orderby=n": 400, "orderby(name)": 501, "filter(name eq 'a')/top(1)": 501, "filter(name eq 'a')/filter(nothing eq 1)": 400,
		"groupby((statecode))/groupby((statuscode))": 400, "groupby((statecode))/orderby(name)": 400, "groupby((statecode))/filter(name eq 'a')": 400, "groupby((statecode))/concat(top(1),skip(1))": 400,
		"aggregate($count as n)&$filter=name eq 'a'": 400, "filter(nothing eq 1)/aggregate($count as n)": 400, "groupby((statecode),filter(name eq 'a'))": 501, "groupby((statecode))/compute(statecode add 1 as x)": 501, "groupby((statecode),aggregate(createdon with max as at))/groupby((at))": 400,
		"nonsense(1)": 400,
	} {
		if a := c.do("GET", "accounts?$apply="+apply, ""); a.Status != status {
			t.Errorf("%s: got %d %s, want %d", apply, a.Status, a.Body, status)
		}
	}
	c.action("set-administrator", `{"on":false}`)
	if got := ask("aggregate(governmentid with countdistinct as n)"); got != `[{"n":0}]` {
		t.Errorf("a secured column: got %s", got)
	}
	c.action("set-depth", `{"table":"account","depth":"None"}`)
	if a := c.do("GET", "accounts?$apply=aggregate($count as n)", ""); a.Status != 403 {
		t.Errorf("rows that may not be read: got %d", a.Status)
	}
}

// Transformations follow one another, each on what the one before it gave (§4.5).
func TestS45TransformationsInSequence(t *testing.T) {
	c, ids := company(t)
	c.want(204, "PATCH", "accounts("+ids["b"]+")", `{"primarycontactid@odata.bind":"/contacts(`+ids["y"]+`)"}`)
	const by = "groupby((statecode,statuscode),aggregate($count as n,revenue with sum as total))"
	for _, tt := range []struct{ apply, want string }{
		{by + "/filter(n gt 1)", `[{"statecode":0,"statuscode":1,"n":4,"total":301.000000000}]`},
		{by + "/filter(total ge 301 and statecode eq 1)", `[]`},
		{"filter(revenue gt 150)/" + by + "/filter(n gt 0)", `[{"statecode":0,"statuscode":1,"n":1,"total":200.500000000},{"statecode":1,"statuscode":2,"n":1,"total":300.500000000}]`},
		{by + "/aggregate(n with max as most,total with sum as all,$count as groups)", `[{"most":4,"all":601.500000000,"groups":2}]`},
		{by + "/groupby((statecode),aggregate(n with sum as m))", `[{"statecode":0,"m":4},{"statecode":1,"m":1}]`},
		{by + "/orderby(n)", `[{"statecode":1,"statuscode":2,"n":1,"total":300.500000000},{"statecode":0,"statuscode":1,"n":4,"total":301.000000000}]`},
		{by + "/orderby(statecode desc)/top(1)", `[{"statecode":1,"statuscode":2,"n":1,"total":300.500000000}]`},
		{by + "/skip(1)", `[{"statecode":1,"statuscode":2,"n":1,"total":300.500000000}]`},
		{"orderby(revenue desc)/top(2)/aggregate(revenue with sum as total)", `[{"total":501.000000000}]`},
		{"orderby(revenue desc)/skip(2)/filter(revenue gt 0)/aggregate(revenue with sum as total)", `[{"total":100.500000000}]`},
		{"groupby((primarycontactid/fullname),aggregate($count as n))/filter(contact_fullname eq 'y')", `[{"contact_fullname":"y","n":2}]`},
		{"groupby((primarycontactid/fullname),aggregate($count as n))/groupby((primarycontactid/fullname))", `[{},{"contact_fullname":"y"}]`},
		{"groupby((_primarycontactid_value),aggregate($count as n))/filter(_primarycontactid_value eq " + ids["y"] + ")", `[{"_primarycontactid_value":"` + ids["y"] + `","n":2}]`},
		{"groupby((statecode),filter(revenue gt 150)/aggregate($count as n))", `[{"statecode":0,"n":1},{"statecode":1,"n":1}]`},
		{"groupby((statecode),orderby(revenue desc)/top(1)/aggregate(revenue with max as most))", `[{"statecode":0,"most":200.5000},{"statecode":1,"most":300.5000}]`},
		{"groupby((statecode),groupby((statuscode),aggregate($count as n))/filter(n gt 1))", `[{"statecode":0,"statuscode":1,"n":4}]`},
		{by + "/filter(n gt 1)&$orderby=statecode&$select=n", `[{"n":4}]`},
	} {
		body := c.want(200, "GET", "accounts?$apply="+tt.apply, "").Body
		_, rest, _ := strings.Cut(body, `$metadata#accounts","value":`)
		if got := strings.TrimSuffix(rest, "}"); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.apply, got, tt.want)
		}
	}
	// Filters alone give rows, as $filter does.
	if got := names(t, c.do("GET", "accounts?$apply=filter(revenue gt 100)/filter(statecode eq 0)&$filter=revenue lt 300&$orderby=name desc&$select=name", ""), "name"); got != "b a" {
		t.Errorf("filters alone: got %s", got)
	}
	first := c.want(200, "GET", "accounts?$apply=filter(statecode eq 0)&$select=name", "", "Prefer", "odata.maxpagesize=3").json()
	next, _ := first["@odata.nextLink"].(string)
	if len(first["value"].([]any)) != 3 || next == "" {
		t.Fatalf("pages of filters: got %v", first)
	}
	if rows := c.want(200, "GET", next, "", "Prefer", "odata.maxpagesize=3").rows(); len(rows) != 1 {
		t.Errorf("the second page: got %v", rows)
	}
}

// ?sql= answers as the equivalent query does (§4.7).
func TestSQL(t *testing.T) {
	c, _ := company(t)
	ask := func(statement string) answer {
		return c.do("GET", "accounts?sql="+url.QueryEscape(statement), "", "Prefer", `odata.include-annotations="OData.Community.Display.V1.FormattedValue"`)
	}
	for statement, want := range map[string]string{
		"SELECT TOP 2 name FROM account ORDER BY name DESC":                            "d e",
		"SELECT name FROM account AS a WHERE a.name IN ('a','c') OR a.revenue = 200.5": "a b c",
		"SELECT name FROM account WHERE description LIKE '50[%]%'":                     "e",
		"SELECT name FROM account WHERE revenue IS NULL AND name <> 'd'":               "e",
		"SELECT name FROM account WHERE revenue BETWEEN 100 AND 201 AND statecode = 0": "a b",
	} {
		if got := sorted(ask(statement), "name"); got != want {
			t.Errorf("%s: got %s, want %s", statement, got, want)
		}
	}
	r := ask("SELECT TOP 1 name AS title, revenue FROM account ORDER BY name").rows()[0]
	if r["title"] != "a" || r["revenue@OData.Community.Display.V1.FormattedValue"] != "$100.50" || r["accountid"] == nil || r["@odata.etag"] == nil {
		t.Errorf("got %v", r)
	}
	for statement, status := range map[string]int{"SELECT * FROM account": 400, "SELECT name FROM contact": 400, "SELECT nothing FROM account": 400, "DROP TABLE account": 400} {
		if a := ask(statement); a.Status != status {
			t.Errorf("%s: got %d %s", statement, a.Status, a.Body)
		}
	}
}

// RetrieveDuplicates finds what published rules call duplicates of a row that
// exists, and of one that does not yet.
func TestRetrieveDuplicates(t *testing.T) {
	m := withTables(model(),
		"duplicaterule duplicaterules duplicateruleid name:String baseentityname:String matchingentityname:String statuscode:Integer iscasesensitive:Boolean excludeinactiverecords:Boolean",
		"duplicaterulecondition duplicateruleconditions duplicateruleconditionid baseattributename:String matchingattributename:String operatorcode:Integer operatorparam:Integer ignoreblankvalues:Boolean regardingobjectid:Lookup>duplicaterule")
	c := start(t, dvemu.Options{Model: m})
	rule := c.want(204, "POST", "duplicaterules", `{"name":"r","baseentityname":"account","matchingentityname":"account","statuscode":2}`).id()
	c.want(204, "POST", "duplicateruleconditions", `{"baseattributename":"name","matchingattributename":"name","operatorcode":0,"regardingobjectid@odata.bind":"/duplicaterules(`+rule+`)"}`)
	var id string
	for _, n := range []string{"1", "2", "3"} {
		id = c.want(204, "POST", "accounts", `{"name":"A","accountnumber":"`+n+`"}`).id()
	}
	c.want(204, "POST", "accounts", `{"name":"B","accountnumber":"4"}`)
	ask := func(like, paging string) answer {
		t.Helper()
		return c.do("GET", "RetrieveDuplicates(BusinessEntity=@p1,MatchingEntityName=@p2,PagingInfo=@p3)?@p1="+url.PathEscape(like)+"&@p2='account'&@p3="+url.PathEscape(paging), "")
	}
	exists := `{'@odata.type':'Microsoft.Dynamics.CRM.account','accountid':'` + id + `'}`
	for _, tt := range []struct{ like, paging, want string }{
		{exists, `{'PageNumber':1,'Count':50}`, "1 2"},
		{`{"@odata.type":"#Microsoft.Dynamics.CRM.account","name":"a"}`, `{"PageNumber":1,"Count":50}`, "1 2 3"},
		{`{'@odata.type':'Microsoft.Dynamics.CRM.account','name':'none'}`, `{'PageNumber':1,'Count':50}`, ""},
		{`{'@odata.type':'Microsoft.Dynamics.CRM.account','name':'A'}`, `{'PageNumber':3,'Count':2}`, ""},
	} {
		if got := sorted(ask(tt.like, tt.paging), "accountnumber"); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.like, got, tt.want)
		}
	}
	one, two := ask(`{'@odata.type':'Microsoft.Dynamics.CRM.account','name':'A'}`, `{'PageNumber':1,'Count':2}`).rows(), ask(`{'@odata.type':'Microsoft.Dynamics.CRM.account','name':'A'}`, `{'PageNumber':2,'Count':2}`).rows()
	if len(one) != 2 || len(two) != 1 || one[0]["accountid"] == two[0]["accountid"] {
		t.Errorf("pages: got %v and %v", one, two)
	}
	for _, like := range []string{`{'name':'A'}`, `{'@odata.type':'Microsoft.Dynamics.CRM.nothing'}`, `{'@odata.type':'Microsoft.Dynamics.CRM.account','nothing':1}`} {
		if a := ask(like, `{'PageNumber':1,'Count':2}`); a.Status != 400 {
			t.Errorf("%s: got %d", like, a.Status)
		}
	}
	c.want(204, "PATCH", "duplicaterules("+rule+")", `{"statuscode":0}`)
	if rows := ask(exists, `{'PageNumber':1,'Count':50}`).rows(); len(rows) != 0 {
		t.Errorf("a rule that is not published: got %v", rows)
	}
}
