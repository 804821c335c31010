package dataverse_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
)

func (c *client) fetch(set, xml string, header ...string) answer {
	c.t.Helper()
	return c.do("GET", set+"?fetchXml="+strings.ReplaceAll(url.QueryEscape(xml), "+", "%20"), "", header...)
}

// names are the values of a column, in order; absent ones are "-".
func names(t *testing.T, a answer, column string) string {
	t.Helper()
	if a.Status != 200 {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	var out []string
	for _, r := range a.rows() {
		if v, ok := r[column]; ok {
			out = append(out, fmt.Sprint(v))
		} else {
			out = append(out, "-")
		}
	}
	return strings.Join(out, " ")
}

const now = "2026-03-11T10:00:00Z" // a Wednesday

// company has accounts a to e and contacts of a and b, at fixed times.
func company(t *testing.T) (c *client, ids map[string]string) {
	t.Helper()
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		t.Fatal(err)
	}
	c, ids = start(t, dvemu.Options{Now: (&clock{at}).now}), map[string]string{}
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		body := fmt.Sprintf(`{"name":%q,"accountnumber":"N%d","overriddencreatedon":"2026-03-%02dT09:00:00Z"`, name, i, 3+2*i)
		if i < 3 {
			body += fmt.Sprintf(`,"revenue":%d.5`, 100*(i+1))
		}
		if i == 4 {
			body += `,"description":"50% off_[x]"`
		}
		ids[name] = c.want(204, "POST", "accounts", body+"}").id()
	}
	for _, p := range [][2]string{{"x", "a"}, {"y", "a"}, {"z", "b"}} {
		ids[p[0]] = c.want(204, "POST", "contacts", fmt.Sprintf(`{"lastname":%q,"birthdate":"1980-05-0%d","parentcustomerid_account@odata.bind":"/accounts(%s)"}`, p[0], 1+len(ids)%7, ids[p[1]])).id()
	}
	c.want(204, "PATCH", "accounts("+ids["a"]+")", `{"primarycontactid@odata.bind":"/contacts(`+ids["y"]+`)"}`)
	c.want(204, "PATCH", "accounts("+ids["c"]+")", `{"statecode":1,"statuscode":2}`)
	return c, ids
}

func TestFetchConditions(t *testing.T) {
	c, ids := company(t)
	user := c.want(200, "GET", "WhoAmI", "").json()["UserId"].(string)
	for _, tt := range []struct{ filter, want string }{
		{`<condition attribute="name" operator="eq" value="B"/>`, "b"},
		{`<condition attribute="name" operator="ne" value="b"/>`, "a c d e"},
		{`<condition attribute="revenue" operator="gt" value="200.5"/>`, "c"},
		{`<condition attribute="revenue" operator="ge" value="200.5"/>`, "b c"},
		{`<condition attribute="revenue" operator="lt" value="200.50"/>`, "a"},
		{`<condition attribute="revenue" operator="le" value="200.5"/>`, "a b"},
		{`<condition attribute="revenue" operator="ne" value="200.5"/>`, "a c d e"},
		{`<condition attribute="revenue" operator="null"/>`, "d e"},
		{`<condition attribute="revenue" operator="not-null"/>`, "a b c"},
		{`<condition attribute="revenue" operator="between"><value>100</value><value>300</value></condition>`, "a b"},
		{`<condition attribute="name" operator="in"><value>a</value><value>E</value></condition>`, "a e"},
		{`<condition attribute="name" operator="not-in"><value>a</value><value>E</value></condition>`, "b c d"},
		{`<condition attribute="accountid" operator="eq" value="{` + strings.ToUpper(ids["d"]) + `}"/>`, "d"},
		{`<condition attribute="primarycontactid" operator="eq" value="` + ids["y"] + `"/>`, "a"},
		{`<condition attribute="statecode" operator="eq" value="1"/>`, "c"},
		{`<condition attribute="accountnumber" operator="like" value="n_"/>`, "a b c d e"},
		{`<condition attribute="accountnumber" operator="like" value="%[2-3]"/>`, "c d"},
		{`<condition attribute="accountnumber" operator="like" value="N[^2-3]"/>`, "a b e"},
		{`<condition attribute="accountnumber" operator="not-like" value="%2"/>`, "a b d e"},
		{`<condition attribute="description" operator="like" value="50[%] off[_]%"/>`, "e"},
		{`<condition attribute="accountnumber" operator="begins-with" value="n"/>`, "a b c d e"},
		{`<condition attribute="accountnumber" operator="ends-with" value="4"/>`, "e"},
		{`<condition attribute="accountnumber" operator="not-end-with" value="4"/>`, "a b c d"},
		{`<condition attribute="createdon" operator="on" value="2026-03-05"/>`, "b"},
		{`<condition attribute="createdon" operator="on-or-before" value="2026-03-05"/>`, "a b"},
		{`<condition attribute="createdon" operator="on-or-after" value="2026-03-05"/>`, "b c d e"},
		{`<condition attribute="createdon" operator="today"/>`, "e"},
		{`<condition attribute="createdon" operator="last-x-days" value="2"/>`, "d e"},
		{`<condition attribute="createdon" operator="this-week"/>`, "d e"},
		{`<condition attribute="createdon" operator="last-week"/>`, "a b c"},
		{`<condition attribute="createdon" operator="this-month"/>`, "a b c d e"},
		{`<condition attribute="createdon" operator="olderthan-x-days" value="6"/>`, "a b"},
		{`<condition attribute="ownerid" operator="eq-userid"/>`, "a b c d e"},
		{`<condition attribute="ownerid" operator="ne-userid"/>`, ""},
		{`<condition attribute="ownerid" operator="eq" value="` + user + `"/>`, "a b c d e"},
		{`<condition attribute="name" operator="eq" valueof="accountnumber"/>`, ""},
		{`<filter type="or"><condition attribute="name" operator="eq" value="a"/><filter><condition attribute="statecode" operator="eq" value="0"/><condition attribute="name" operator="gt" value="c"/></filter></filter>`, "a d e"},
		{``, "a b c d e"},
	} {
		got := names(t, c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/><order attribute="name"/><filter>`+tt.filter+`</filter></entity></fetch>`), "name")
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.filter, got, tt.want)
		}
	}
}

func TestFetchLinks(t *testing.T) {
	c, _ := company(t)
	for _, tt := range []struct{ body, column, want string }{
		{`<link-entity name="contact" from="parentcustomerid" to="accountid" alias="p"><attribute name="fullname"/><order attribute="fullname"/></link-entity>`, "p.fullname", "x y z"},
		{`<order attribute="name"/><link-entity name="contact" from="parentcustomerid" to="accountid" alias="p" link-type="outer"><attribute name="fullname"/><order attribute="fullname" descending="true"/></link-entity>`, "p.fullname", "y x z - - -"},
		{`<order attribute="name"/><link-entity name="contact" from="parentcustomerid" to="accountid" alias="p" link-type="outer"/><filter><condition entityname="p" attribute="contactid" operator="null"/></filter>`, "name", "c d e"},
		{`<order attribute="name"/><link-entity name="contact" from="parentcustomerid" to="accountid" alias="p" link-type="outer"><attribute name="fullname"/><filter><condition attribute="fullname" operator="eq" value="x"/></filter></link-entity>`, "p.fullname", "x - - - -"},
		{`<link-entity name="contact" to="primarycontactid"><attribute name="fullname" alias="who"/></link-entity>`, "who", "y"},
		{`<link-entity name="contact" to="primarycontactid"><attribute name="fullname"/></link-entity>`, "contact1.fullname", "y"},
		{`<link-entity name="contact" to="primarycontactid"><link-entity name="account" from="accountid" to="parentcustomerid" alias="back"><attribute name="accountnumber"/></link-entity></link-entity>`, "back.accountnumber", "N0"},
	} {
		got := names(t, c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/>`+tt.body+`</entity></fetch>`), tt.column)
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.body, got, tt.want)
		}
	}
}

// Trap 7: null columns are absent, names are those of the query.
func TestFetchShape(t *testing.T) {
	c, ids := company(t)
	a := c.fetch("accounts", `<fetch top="1"><entity name="account"><attribute name="revenue"/><attribute name="description"/><attribute name="primarycontactid"/><attribute name="revenue"/>
		<filter><condition attribute="name" operator="eq" value="a"/></filter></entity></fetch>`, "Prefer", `odata.include-annotations="*"`)
	r := a.rows()[0]
	for k, v := range map[string]any{
		"revenue": 100.5, "revenue@OData.Community.Display.V1.FormattedValue": "$100.50", "accountid": ids["a"], "_primarycontactid_value": ids["y"],
		"_primarycontactid_value@OData.Community.Display.V1.FormattedValue": "y", "_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "contact",
		"_primarycontactid_value@Microsoft.Dynamics.CRM.associatednavigationproperty": "primarycontactid", "description": nil,
	} {
		if got, ok := r[k]; got != v || ok != (v != nil) {
			t.Errorf("%s: got %v, want %v", k, got, v)
		}
	}
	if e, _ := r["@odata.etag"].(string); !strings.HasPrefix(e, `W/"`) {
		t.Errorf("etag: got %q", e)
	}
	if ctx := a.json()["@odata.context"].(string); !strings.HasSuffix(ctx, "#accounts(revenue,_transactioncurrencyid_value,description,_primarycontactid_value,accountid)") {
		t.Errorf("context: got %s", ctx)
	}
	// What an attribute list leaves out is everything.
	if r := c.fetch("accounts", `<fetch><entity name="account"/></fetch>`).rows(); len(r) != 5 || r[0]["createdon"] == nil {
		t.Errorf("no attributes: got %v", r)
	}
	if got := names(t, c.fetch("accounts", `<fetch distinct="true"><entity name="account"><attribute name="statecode"/></entity></fetch>`), "statecode"); got != "0 1" && got != "1 0" {
		t.Errorf("distinct: got %s", got)
	}
	// The documentation's samples encode twice; a batch carries long ones.
	twice := url.PathEscape(url.PathEscape(`<fetch><entity name='account'><attribute name='name'/><order attribute='name'/></entity></fetch>`))
	if got := names(t, c.do("GET", "accounts?fetchXml="+twice, ""), "name"); got != "a b c d e" {
		t.Errorf("encoded twice: got %s", got)
	}
	batch := c.want(200, "POST", "$batch", "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET /api/data/v9.2/accounts?fetchXml="+twice+" HTTP/1.1\r\n\r\n\r\n--b--\r\n", "Content-Type", "multipart/mixed;boundary=b")
	if !strings.Contains(batch.Body, `"name":"e"`) {
		t.Errorf("batch: got %s", batch.Body)
	}
}

func TestFetchRefuses(t *testing.T) {
	c, _ := company(t)
	in := func(s string) string { return `<fetch><entity name="account">` + s + `</entity></fetch>` }
	cond := func(s string) string { return in(`<filter><condition ` + s + `/></filter>`) }
	for xml, want := range map[string]string{
		`<fetch><entity name="contact"/></fetch>`: "0x80040203", "<": "0x80040203",
		in(`<attribute name="nothing"/>`):                                                    "0x80041103",
		in(`<attribute name="_primarycontactid_value"/>`):                                    "0x80041103",
		in(`<link-entity name="nothing"/>`):                                                  "0x80041102",
		in(`<link-entity name="contact" from="nothing" to="accountid"/>`):                    "0x80041103",
		in(`<link-entity name="contact" alias="x"/><link-entity name="contact" alias="x"/>`): "0x80040203",
		in(`<order attribute="nothing"/>`):                                                   "0x80041103",
		cond(`attribute="nothing" operator="null"`):                                          "0x80041103",
		cond(`attribute="name" operator="fits"`):                                             "0x80040203",
		cond(`attribute="name" operator="eq"`):                                               "0x80040203",
		cond(`attribute="statecode" operator="eq" value="Active"`):                           "0x80040203",
		cond(`attribute="accountid" operator="eq" value="1"`):                                "0x80040203",
		cond(`attribute="createdon" operator="on" value="yesterday"`):                        "0x80040203",
		cond(`attribute="name" operator="on" value="1"`):                                     "0x80040203",
		cond(`attribute="createdon" operator="last-x-days" value="-1"`):                      "0x80040203",
		cond(`entityname="z" attribute="name" operator="null"`):                              "0x80040203",
		cond(`attribute="revenue" operator="eq" value="1e999999999"`):                        "0x80040203",
	} {
		if a := c.fetch("accounts", xml); a.Status < 400 || a.code() != want {
			t.Errorf("%s: got %d %s, want %s", xml, a.Status, a.Body, want)
		}
	}
	c.action("set-administrator", `{"on":false}`)
	c.action("set-depth", `{"table":"contact","depth":"None"}`)
	if a := c.fetch("accounts", in(`<link-entity name="contact" to="primarycontactid"/>`)); a.Status != 403 || a.code() != "0x80040220" {
		t.Errorf("a table that may not be read: got %d %s", a.Status, a.Body)
	}
}

func TestFetchRights(t *testing.T) {
	c := start(t, dvemu.Options{})
	c.want(204, "POST", "accounts", `{"name":"A","governmentid":"secret"}`)
	xml := `<fetch><entity name="account"><attribute name="governmentid"/><filter><condition attribute="governmentid" operator="eq" value="secret"/></filter></entity></fetch>`
	if got := names(t, c.fetch("accounts", xml), "governmentid"); got != "secret" {
		t.Errorf("administrator: got %s", got)
	}
	c.action("set-administrator", `{"on":false}`)
	if got := c.fetch("accounts", xml).rows(); len(got) != 0 {
		t.Errorf("the filter tells a secured value: got %v", got)
	}
	if got := names(t, c.fetch("accounts", strings.Replace(xml, `operator="eq" value="secret"`, `operator="null"`, 1)), "governmentid"); got != "-" {
		t.Errorf("secured column: got %s", got)
	}
}

var pagingCookie = regexp.MustCompile(`pagingcookie="([^"]*)"`)

// Following the cookie as clients do, or the page number, gives every row once
// and in order; the last page has no cookie.
func TestFetchPaging(t *testing.T) {
	c := start(t, dvemu.Options{})
	for i := range 23 {
		c.want(204, "POST", "accounts", fmt.Sprintf(`{"name":"n%02d","revenue":%d}`, i, i%4))
	}
	const prefer = `odata.include-annotations="Microsoft.Dynamics.CRM.fetchxmlpagingcookie,Microsoft.Dynamics.CRM.morerecords,Microsoft.Dynamics.CRM.totalrecordcount"`
	for _, order := range []string{"", `<order attribute="name"/>`, `<order attribute="revenue" descending="true"/>`} {
		body := `<entity name="account"><attribute name="name"/>` + order + `</entity></fetch>`
		want := strings.Fields(names(t, c.fetch("accounts", `<fetch>`+body), "name"))
		if len(want) != 23 {
			t.Fatalf("got %v", want)
		}
		for _, size := range []int{1, 4, 22, 23, 24} {
			for _, byCookie := range []bool{true, false} {
				var got []string
				cookie := ""
				for page := 1; page <= 24; page++ {
					a := c.fetch("accounts", fmt.Sprintf(`<fetch count="%d" page="%d" returntotalrecordcount="true" %s>`, size, page, cookie)+body, "Prefer", prefer)
					got = append(got, strings.Fields(names(t, a, "name"))...)
					j := a.json()
					if j["@Microsoft.Dynamics.CRM.totalrecordcount"] != 23.0 || j["@odata.nextLink"] != nil {
						t.Fatalf("got %v", j)
					}
					next, more := j["@Microsoft.Dynamics.CRM.fetchxmlpagingcookie"].(string)
					if more != (j["@Microsoft.Dynamics.CRM.morerecords"] == true) {
						t.Fatalf("page %d: got %v", page, j)
					}
					if !more {
						break
					}
					if byCookie {
						cookie = `paging-cookie="` + escapeTwiceDecoded(t, next) + `"`
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %d a page, cookie %v: got %v, want %v", order, size, byCookie, got, want)
				}
			}
		}
	}
	if a := c.fetch("accounts", `<fetch count="2"><entity name="account"/></fetch>`); strings.Contains(a.Body, "morerecords") || strings.Contains(a.Body, "fetchxmlpagingcookie") {
		t.Errorf("annotations nobody asked for: got %s", a.Body)
	}
	if a := c.fetch("accounts", `<fetch count="2" page="2" paging-cookie="x"><entity name="account"/></fetch>`); a.Status != 400 {
		t.Errorf("malformed cookie: got %d", a.Status)
	}
	if a := c.fetch("accounts", `<fetch count="5000" page="11"><entity name="account"/></fetch>`); a.Status != 400 {
		t.Errorf("far page without a cookie: got %d", a.Status)
	}
}

// escapeTwiceDecoded is what protocols/dataverse.md §4.6 has clients do.
func escapeTwiceDecoded(t *testing.T, annotation string) string {
	t.Helper()
	text := pagingCookie.FindStringSubmatch(annotation)[1]
	for range 2 {
		var err error
		if text, err = url.PathUnescape(text); err != nil {
			t.Fatal(err)
		}
	}
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(text)
}

// Every aggregate equals the one computed here from the rows.
func TestFetchAggregates(t *testing.T) {
	c := start(t, dvemu.Options{})
	type want struct{ rows, known, sum, least, most int }
	groups := map[string]*want{}
	distinct := map[int]bool{}
	for i := range 40 {
		city := []string{"Bern", "Ulm", "Graz"}[i*i%3]
		day := fmt.Sprintf("2025-%02d-10T00:00:00Z", 1+i%3*4)
		body := fmt.Sprintf(`{"name":"n","address1_city":%q,"overriddencreatedon":%q`, city, day)
		g := groups[city]
		if g == nil {
			g = &want{}
			groups[city] = g
		}
		g.rows++
		if i%5 > 0 {
			n := i * 7 % 13
			body += fmt.Sprintf(`,"revenue":%d`, n)
			if g.known == 0 || n < g.least {
				g.least = n
			}
			g.known, g.sum, g.most = g.known+1, g.sum+n, max(g.most, n)
			distinct[n] = true
		}
		c.want(204, "POST", "accounts", body+"}")
	}
	a := c.fetch("accounts", `<fetch aggregate="true"><entity name="account"><attribute name="address1_city" groupby="true" alias="city"/>
		<attribute name="accountid" aggregate="count" alias="n"/><attribute name="revenue" aggregate="countcolumn" alias="known"/><attribute name="revenue" aggregate="sum" alias="total"/>
		<attribute name="revenue" aggregate="avg" alias="mean"/><attribute name="revenue" aggregate="min" alias="least"/><attribute name="revenue" aggregate="max" alias="most"/>
		<order alias="n" descending="true"/></entity></fetch>`)
	rows := a.rows()
	if len(rows) != len(groups) {
		t.Fatalf("got %s", a.Body)
	}
	last := 1e9
	for _, r := range rows {
		g := groups[r["city"].(string)]
		mean := float64(g.sum) / float64(g.known)
		got := want{int(r["n"].(float64)), int(r["known"].(float64)), int(r["total"].(float64)), int(r["least"].(float64)), int(r["most"].(float64))}
		if d := r["mean"].(float64) - mean; got != *g || d > 1e-9 || d < -1e-9 {
			t.Errorf("%v: want %+v, mean %v", r, *g, mean)
		}
		if r["n"].(float64) > last || r["@odata.etag"] != nil || r["accountid"] != nil {
			t.Errorf("got %v", r)
		}
		last = r["n"].(float64)
	}
	one := func(body string) string {
		b, err := json.Marshal(c.fetch("accounts", `<fetch aggregate="true"><entity name="account">`+body+`</entity></fetch>`).json()["value"])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for body, want := range map[string]string{
		`<attribute name="revenue" aggregate="countcolumn" distinct="true" alias="n"/>`:                                                                     fmt.Sprintf(`[{"n":%d}]`, len(distinct)),
		`<attribute name="name" aggregate="count" alias="n"/><filter><condition attribute="name" operator="eq" value="no"/></filter>`:                       `[{"n":0}]`,
		`<attribute name="revenue" aggregate="sum" alias="n"/><filter><condition attribute="name" operator="eq" value="no"/></filter>`:                      `[{}]`,
		`<attribute name="createdon" groupby="true" dategrouping="month" alias="m"/><attribute name="name" aggregate="count" alias="n"/><order alias="m"/>`: `[{"m":1,"n":14},{"m":5,"n":13},{"m":9,"n":13}]`,
		`<attribute name="createdon" groupby="true" dategrouping="quarter" alias="m"/><attribute name="name" aggregate="count" alias="n"/>`:                 `[{"m":1,"n":14},{"m":2,"n":13},{"m":3,"n":13}]`,
		`<attribute name="createdon" groupby="true" dategrouping="year" alias="m"/><attribute name="name" aggregate="count" alias="n"/>`:                    `[{"m":2025,"n":40}]`,
		`<attribute name="createdon" groupby="true" dategrouping="week" alias="m"/><attribute name="name" aggregate="count" alias="n"/>`:                    `[{"m":2,"n":14},{"m":19,"n":13},{"m":37,"n":13}]`,
	} {
		if got := one(body); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
	for _, body := range []string{
		`<attribute name="name" aggregate="sum" alias="n"/>`, `<attribute name="revenue" aggregate="sum"/>`, `<attribute name="name" alias="n"/>`, `<all-attributes/>`, ``,
		`<attribute name="name" groupby="true" dategrouping="day" alias="n"/>`, `<attribute name="name" aggregate="count" alias="n"/><order attribute="name"/>`,
	} {
		if a := c.fetch("accounts", `<fetch aggregate="true"><entity name="account">`+body+`</entity></fetch>`); a.Status != 400 {
			t.Errorf("%s: got %d %s", body, a.Status, a.Body)
		}
	}
}

// A view of the system or of a user decides on the rows of a set, or of those
// that a row leads to (§4.7).
func TestSavedAndUserQueries(t *testing.T) {
	m := model()
	for _, name := range []string{"savedquery", "userquery"} {
		col := func(name, kind, edm string) *entity.Column {
			return &entity.Column{LogicalName: name, SchemaName: name, Kind: entity.ColumnKind(kind), EdmType: edm, MaxLength: 1 << 20, ValidForCreate: true, ValidForUpdate: true, ValidForRead: true, ValidOData: true}
		}
		m.Tables = append(m.Tables, &entity.Table{
			LogicalName: name, SchemaName: name, SetName: name[:len(name)-1] + "ies", PrimaryID: name + "id", ODataKey: name + "id", PrimaryName: "name", TableType: "Standard",
			Columns: []*entity.Column{col(name+"id", "Uniqueidentifier", "Edm.Guid"), col("name", "String", "Edm.String"), col("fetchxml", "Memo", "Edm.String")},
		})
	}
	m.Seal()
	c := start(t, dvemu.Options{Model: m})
	id := c.want(204, "POST", "accounts", `{"name":"a"}`).id()
	c.want(204, "POST", "accounts", `{"name":"b"}`)
	for _, who := range []string{"p", "q", "r"} {
		bind := ""
		if who != "r" {
			bind = `,"parentcustomerid_account@odata.bind":"/accounts(` + id + `)"`
		}
		c.want(204, "POST", "contacts", `{"lastname":"`+who+`"`+bind+`}`)
	}
	view := `{"name":"v","fetchxml":"<fetch><entity name='contact'><attribute name='fullname'/><order attribute='fullname' descending='true'/></entity></fetch>"}`
	saved := c.want(204, "POST", "savedqueries", view).id()
	user := c.want(204, "POST", "userqueries", view).id()
	for path, want := range map[string]string{
		"contacts?savedQuery=" + saved: "r q p", "contacts?userQuery=" + user: "r q p",
		"accounts(" + id + ")/contact_customer_accounts?savedQuery=" + saved: "q p",
	} {
		if got := names(t, c.do("GET", path, ""), "fullname"); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]int{
		"accounts?savedQuery=" + saved: 400, "contacts?savedQuery=" + user: 404, "contacts?userQuery=x": 400,
	} {
		if a := c.do("GET", path, ""); a.Status != want {
			t.Errorf("%s: got %d %s, want %d", path, a.Status, a.Body, want)
		}
	}
}

// The queries of the documentation, as they stand there but for columns that
// this model lacks.
func TestFetchDocumented(t *testing.T) {
	c, ids := company(t)
	l := c.want(204, "POST", "leads", `{"subject":"without"}`).id()
	c.want(204, "POST", "tasks", `{"subject":"call","regardingobjectid_account_task@odata.bind":"/accounts(`+ids["a"]+`)"}`)
	for _, tt := range []struct{ set, xml, column, want string }{
		{"accounts", `<fetch mapping='logical'><entity name='account'><attribute name='accountid'/><attribute name='name'/><attribute name='accountid'/></entity></fetch>`, "name", "a b c d e"},
		{"accounts", `<fetch mapping='logical'><entity name='account'><attribute name='accountid'/><attribute name='name'/>
			<link-entity name='systemuser' to='owninguser'><filter type='and'><condition attribute='fullname' operator='ne' value='Cannon' /></filter></link-entity></entity></fetch>`, "name", "a b c d e"},
		{"contacts", `<fetch mapping="logical" output-format="xml-platform" version="1.0" distinct="false" page="2" count="2"><entity name="contact"><attribute name="fullname" /><attribute name="birthdate" />
			<order descending="true" attribute="fullname" /><filter type="and"><condition value="%" attribute="fullname" operator="like" /></filter></entity></fetch>`, "fullname", "x"},
		{"leads", `<fetch version="1.0" output-format="xml-platform" mapping="logical" distinct="true"><entity name="lead"><attribute name="subject" />
			<link-entity name="task" from="regardingobjectid" to="leadid" alias="ab" link-type="outer"><attribute name="regardingobjectid" /></link-entity>
			<filter type="and"><condition entityname="ab" attribute="regardingobjectid" operator="null" /></filter></entity></fetch>`, "subject", "without"},
		{"accounts", `<fetch version="1.0" mapping="logical" distinct="true"><entity name="account"><attribute name="name" />
			<link-entity name="task" from="regardingobjectid" to="accountid" alias="ab" link-type="outer"/>
			<filter type="and"><condition entityname="ab" attribute="activityid" operator="null" /></filter></entity></fetch>`, "name", "b c d e"},
		{"accounts", `<fetch><entity name="account"><attribute name="name" /><filter type="and"><condition attribute="createdon" operator="olderthan-x-minutes" value="1441" /></filter></entity></fetch>`, "name", "a b c d"},
		{"accounts", `<fetch distinct='false' mapping='logical' aggregate='true'><entity name='account'><attribute name='name' aggregate='count' alias='total'/></entity></fetch>`, "total", "5"},
		{"activitypointers", `<fetch><entity name="activitypointer"><attribute name="subject"/><attribute name="activitytypecode"/></entity></fetch>`, "subject", "call"},
	} {
		got := strings.Fields(names(t, c.fetch(tt.set, tt.xml, "Prefer", `odata.maxpagesize=10, odata.include-annotations=OData.Community.Display.V1.FormattedValue`), tt.column))
		slices.Sort(got)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.xml, got, tt.want)
		}
	}
	if r := c.fetch("leads", `<fetch><entity name="lead"/></fetch>`).rows(); r[0]["leadid"] != l {
		t.Errorf("got %v", r)
	}
}

func TestFetchChoicesPairsAndPeriods(t *testing.T) {
	m := model()
	a := m.Table("account")
	a.Columns = append(a.Columns, &entity.Column{
		LogicalName: "interests", SchemaName: "interests", Kind: "MultiSelectPicklist", EdmType: "Edm.String", ValidForCreate: true, ValidForUpdate: true, ValidForRead: true, ValidOData: true,
		OptionSet: &entity.OptionSet{Options: []entity.Option{{Value: 1, Label: "One"}, {Value: 2, Label: "Two"}, {Value: 12, Label: "Twelve"}}},
	})
	m.Seal()
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, dvemu.Options{Model: m, Now: (&clock{at}).now})
	one := c.want(204, "POST", "accounts", `{"name":"p","interests":"1,2","overriddencreatedon":"2026-03-11T07:30:00Z"}`).id()
	c.want(204, "POST", "accounts", `{"name":"q","interests":"12","overriddencreatedon":"2026-02-28T23:59:59Z"}`)
	c.want(204, "POST", "accounts", `{"name":"r","overriddencreatedon":"2025-12-31T23:59:59Z"}`)
	lead := c.want(204, "POST", "leads", `{"subject":"s"}`).id()
	c.want(204, "POST", "accounts("+one+")/accountleads_association/$ref", `{"@odata.id":"`+c.url+`/api/data/v9.2/leads(`+lead+`)"}`)
	for _, tt := range []struct{ body, want string }{
		{`<filter><condition attribute="interests" operator="contain-values"><value>2</value><value>7</value></condition></filter>`, "p"},
		{`<filter><condition attribute="interests" operator="contain-values"><value>1</value><value>12</value></condition></filter>`, "p q"},
		{`<filter><condition attribute="interests" operator="not-contain-values"><value>2</value></condition></filter>`, "q r"},
		{`<link-entity name="accountleads" from="accountid" to="accountid"><link-entity name="lead" from="leadid" to="leadid"><filter><condition attribute="subject" operator="eq" value="S"/></filter></link-entity></link-entity>`, "p"},
		{`<filter><condition attribute="createdon" operator="last-x-hours" value="3"/></filter>`, "p"},
		{`<filter><condition attribute="createdon" operator="last-x-hours" value="2"/></filter>`, ""},
		{`<filter><condition attribute="createdon" operator="last-month"/></filter>`, "q"},
		{`<filter><condition attribute="createdon" operator="this-year"/></filter>`, "p q"},
		{`<filter><condition attribute="createdon" operator="last-year"/></filter>`, "r"},
		{`<filter><condition attribute="createdon" operator="yesterday"/></filter>`, ""},
		{`<filter><condition attribute="createdon" operator="next-x-days" value="1"/></filter>`, ""},
		{`<filter><condition attribute="owningbusinessunit" operator="eq-businessid"/></filter>`, "p q r"},
		{`<filter><condition attribute="owningbusinessunit" operator="ne-businessid"/></filter>`, ""},
	} {
		got := names(t, c.fetch("accounts", `<fetch><entity name="account"><attribute name="name"/><order attribute="name"/>`+tt.body+`</entity></fetch>`), "name")
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.body, got, tt.want)
		}
	}
}
