package sample

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fill"
	"allod/internal/emulator/dataverse/platform"
)

// Ids that are the same in every organisation: the solution that holds what is
// customised, and the one that shows everything.
const (
	activeSolution  = "fd140aae-4df4-11dd-bd17-0019b9312238"
	defaultSolution = "fd140aaf-4df4-11dd-bd17-0019b9312238"
)

// changeable is a managed property that is on.
func changeable(name string) string {
	return `{"Value":true,"CanBeChanged":true,"ManagedPropertyLogicalName":"` + name + `"}`
}

// component adds a row that is a component of solutions, published and not
// managed, and makes it part of a solution of the company.
func (l *loader) component(solution ref, table string, v values) ref {
	t := l.m.Table(table)
	v["componentstate"], v["ismanaged"] = 0, false
	if t.Column("iscustomizable") != nil {
		v["iscustomizable"] = changeable("iscustomizable")
	}
	if t.Column("solutionid").Kind == "Uniqueidentifier" {
		v["solutionid"] = wellKnown(activeSolution)
	}
	r := l.add(table, v)
	l.part(solution, platform.ComponentType(t), r.id, 0)
	return r
}

// part writes a row of solutioncomponent.
func (l *loader) part(solution ref, kind int, id allod.GUID, behavior int) {
	l.add("solutioncomponent", values{"solutionid": solution, "componenttype": kind, "objectid": id, "rootcomponentbehavior": behavior, "ismetadata": kind < 20})
}

func wellKnown(id string) allod.GUID {
	g, err := allod.ParseGUID(id)
	if err != nil {
		panic("sample: " + id) // a constant
	}
	return g
}

// components makes the solutions of the company and what they hold beside
// tables: forms, views, web resources, flows, roles, apps, connections of flows,
// environment variables (protocols/dataverse.md §11.2).
func (l *loader) components() {
	microsoft := l.add("publisher", values{"friendlyname": "Dynamics 365", "uniquename": "dynamics365", "customizationprefix": "msdyn", "customizationoptionvalueprefix": 19235, "isreadonly": true})
	house := l.add("publisher", values{"friendlyname": "Alpenrand", "uniquename": "alpenrand", "customizationprefix": "alp", "customizationoptionvalueprefix": 10000, "isreadonly": false})
	usual := l.add("publisher", values{"friendlyname": "Default Publisher for Alpenrand", "uniquename": "DefaultPublisheralpenrand", "customizationprefix": "new", "customizationoptionvalueprefix": 10000, "isreadonly": false})
	t := l.m.Table("solution")
	for _, s := range []struct{ id, unique, name string }{{activeSolution, "Active", "Active Solution"}, {defaultSolution, "Default", "Default Solution"}} {
		l.insert(t, wellKnown(s.id), values{"uniquename": s.unique, "friendlyname": s.name, "version": "1.0", "ismanaged": false, "isvisible": s.unique == "Default", "publisherid": usual})
	}
	solution := func(unique, name, version, about string, managed bool, by ref) ref {
		return l.add("solution", values{"uniquename": unique, "friendlyname": name, "version": version, "description": about, "ismanaged": managed, "isvisible": true, "publisherid": by, "installedon": l.moment(300)})
	}
	sales := solution("msdynce_Sales", "Dynamics 365 Sales", "9.0.24013.10016", "", true, microsoft)
	for _, table := range []string{"account", "opportunity", "quote", "salesorder", "invoice"} {
		l.part(sales, 1, l.m.Table(table).MetadataID, 0)
	}
	loyalty := solution("AlpenrandLoyalty", "Alpenrand Loyalty", "1.4.0.2", "Loyalty cards, shops and what belongs to them.", false, house)
	service := solution("AlpenrandService", "Alpenrand Service", "1.0.0.7", "How we answer customers.", false, house)
	l.tables(loyalty)
	l.screens(loyalty, service)
	l.processes(loyalty, service)
	l.settings(loyalty, service)
}

// tables puts custom tables and columns into the solution.
func (l *loader) tables(solution ref) {
	if l.err != nil {
		return
	}
	for _, name := range []string{"alp_loyaltycard", "alp_store"} {
		l.part(solution, 1, l.m.Table(name).MetadataID, 0)
	}
	account := l.m.Table("account")
	l.part(solution, 1, account.MetadataID, 1) // the table without all that belongs to it
	for _, name := range []string{"alp_creditreport", "alp_taxnumber"} {
		l.part(solution, 2, account.Column(name).MetadataID, 0)
	}
}

// screens makes forms, views, scripts and model-driven apps.
func (l *loader) screens(loyalty, service ref) {
	form := func(in ref, table, name string, kind int, columns ...string) {
		l.component(in, "systemform", values{
			"name": name, "objecttypecode": table, "type": kind, "formxml": formXML(l.m.Table(table), name, columns), "isdefault": kind == 2, "formactivationstate": 1, "version": 1,
			"description": "A form for this table.", "canbedeleted": changeable("canbedeleted"),
		})
	}
	form(loyalty, "alp_loyaltycard", "Information", 2, "alp_name", "alp_cardnumber", "alp_account", "alp_points", "alp_balance", "alp_tier", "alp_validuntil", "ownerid")
	form(loyalty, "alp_loyaltycard", "Quick Create: Card", 7, "alp_name", "alp_cardnumber", "alp_account")
	form(loyalty, "alp_store", "Information", 2, "alp_name", "alp_manager", "alp_opened", "alp_area")
	form(service, "incident", "Case at Alpenrand", 2, "title", "ticketnumber", "customerid", "prioritycode", "caseorigincode", "description")
	view := func(in ref, table, name, condition string, columns ...string) {
		t := l.m.Table(table)
		l.component(in, "savedquery", values{
			"name": name, "returnedtypecode": table, "querytype": 0, "isdefault": false, "isquickfindquery": false,
			"fetchxml": fetchXML(t, condition, columns), "layoutxml": layoutXML(t, columns),
		})
	}
	view(loyalty, "alp_loyaltycard", "Active Cards", `<condition attribute="statecode" operator="eq" value="0" />`, "alp_name", "alp_cardnumber", "alp_points", "alp_validuntil")
	view(loyalty, "alp_loyaltycard", "Gold Cards", `<condition attribute="alp_tier" operator="eq" value="100000002" />`, "alp_name", "alp_cardnumber", "alp_balance")
	view(loyalty, "alp_store", "Shops", `<condition attribute="statecode" operator="eq" value="0" />`, "alp_name", "alp_opened")
	view(service, "incident", "Urgent Cases", `<condition attribute="prioritycode" operator="eq" value="1" />`, "title", "createdon")
	for _, w := range []struct {
		name, title, content string
		kind                 int
	}{
		{"alp_/scripts/card.js", "Card form", "function onLoad(context) {\n  const form = context.getFormContext();\n  form.getControl(\"alp_points\").setDisabled(true);\n}\n", 3},
		{"alp_/pages/welcome.html", "Welcome page", "<!DOCTYPE html>\n<html><head><title>Grüß Gott</title></head><body><p>Willkommen bei Alpenrand.</p></body></html>\n", 1},
		{"alp_/styles/alpenrand.css", "Colours of the house", "body { color: #143d2b; font-family: sans-serif; }\n", 2},
	} {
		l.component(loyalty, "webresource", values{"name": w.name, "displayname": w.title, "webresourcetype": w.kind, "content": base64.StdEncoding.EncodeToString([]byte(w.content)), "languagecode": 1033})
	}
	for i, name := range []string{"Sales", "Loyalty"} {
		app := l.component([]ref{service, loyalty}[i], "appmodule", values{
			"name": "Alpenrand " + name, "uniquename": "alp_" + name, "clienttype": 4, "formfactor": 1, "appmoduleversion": "1.0.0.0", "isdefault": false, "isfeatured": false, "navigationtype": 0,
		})
		l.partOf(app, "systemform", 3*(1-i)) // that of cases, that of cards
		l.partOf(app, "savedquery", 3*(1-i))
	}
}

// partOf puts a row that was made before into an app.
func (l *loader) partOf(app ref, table string, at int) {
	l.add("appmodulecomponent", values{"appmoduleidunique": app, "objectid": l.at(table, at), "componenttype": platform.ComponentType(l.m.Table(table)), "rootcomponentbehavior": 0})
}

// processes makes cloud flows, a workflow, a business rule and a role.
func (l *loader) processes(loyalty, service ref) {
	flow := func(in ref, name string, state int, table string, v values) {
		v["name"], v["type"], v["scope"], v["mode"], v["primaryentity"], v["statecode"], v["statuscode"] = name, 1, 4, 0, table, state, state+1
		l.component(in, "workflow", v)
	}
	// This one would greet everybody whose card a restore makes again.
	flow(loyalty, "Greet new card holders", 1, "none", values{"category": 5, "clientdata": cloudFlow(added("alp_loyaltycard"))})
	flow(loyalty, "Count the points every night", 1, "none", values{"category": 5, "clientdata": cloudFlow(`"Recurrence":{"type":"Recurrence","recurrence":{"frequency":"Day","interval":1,"startTime":"2025-01-01T02:00:00Z"}}`)})
	flow(service, "Tell the team of urgent cases", 0, "incident", values{"category": 0, "subprocess": false, "ondemand": true, "xaml": xaml("Tell the team of urgent cases")})
	flow(loyalty, "A card needs a number", 0, "alp_loyaltycard", values{"category": 2, "xaml": xaml("A card needs a number")})

	role := l.component(loyalty, "role", values{"name": "Loyalty Manager", "businessunitid": ref{"businessunit", l.unit}})
	if l.err != nil {
		return
	}
	for _, verb := range []string{"Create", "Read", "Write"} {
		l.add("roleprivileges", values{"roleid": role, "privilegeid": ref{"privilege", l.m.Table("alp_loyaltycard").PrivilegeID(verb)}, "privilegedepthmask": 8})
	}
}

// settings makes what differs from environment to environment, and a canvas
// app.
func (l *loader) settings(loyalty, service ref) {
	connector := func(name string) string { return "/providers/Microsoft.PowerApps/apis/" + name }
	for i, name := range []string{"shared_commondataserviceforapps", "shared_office365"} {
		l.component(loyalty, "connectionreference", values{
			"connectionreferencedisplayname": "Alpenrand " + []string{"Dataverse", "Outlook"}[i], "connectionreferencelogicalname": connectionName(name),
			"connectorid": connector(name), "connectionid": "c0ffee0000000000000000000000000" + strconv.Itoa(i),
		})
	}
	for i, x := range []struct{ name, title, standard, value string }{
		{"alp_LoyaltyServiceUrl", "Address of the loyalty service", "https://loyalty.alpenrand.example/test", "https://loyalty.alpenrand.example/"},
		{"alp_PointsPerEuro", "Points per euro", "1", "2"},
		{"alp_WelcomeText", "Welcome text", "Grüß Gott", ""},
	} {
		in := []ref{loyalty, loyalty, service}[i]
		d := l.component(in, "environmentvariabledefinition", values{
			"schemaname": x.name, "displayname": x.title, "type": 100000000 + i%2, "defaultvalue": x.standard, "isrequired": i == 0, "introducedversion": "1.0.0.0",
		})
		if x.value != "" {
			l.component(in, "environmentvariablevalue", values{"schemaname": x.name + "_value", "value": x.value, "environmentvariabledefinitionid": d, "introducedversion": "1.0.0.0"})
		}
	}
	l.component(loyalty, "canvasapp", values{
		"name": "alp_storecheck_5a1c2", "displayname": "Store check", "description": "Counting skis in the shops.", "canvasapptype": 0, "status": "Ready", "createdtime": l.o.Now.AddDate(0, -3, 0), "lastmodifiedtime": l.o.Now.AddDate(0, -1, 0),
		"connectionreferences": `{"1":{"id":"` + connector("shared_commondataserviceforapps") + `","displayName":"Microsoft Dataverse"}}`,
		"document":             l.file("alp_storecheck_5a1c2.msapp", 7300),
	})
}

// connectionName is the logical name of a connection reference of the company.
func connectionName(api string) string { return "alp_" + api }

// added is the trigger of a flow that runs when a row comes.
func added(table string) string {
	return `"When_a_row_is_added":{"type":"OpenApiConnectionWebhook","inputs":{"host":{"connectionName":"shared_commondataserviceforapps","operationId":"SubscribeWebhookTrigger","apiId":"/providers/Microsoft.PowerApps/apis/shared_commondataserviceforapps"},` +
		`"parameters":{"subscriptionRequest/message":1,"subscriptionRequest/entityname":"` + table + `","subscriptionRequest/scope":4},"authentication":"@parameters('$authentication')"}}`
}

// cloudFlow is the clientdata of a flow with the trigger and one action
// (manage-flows-with-code).
func cloudFlow(trigger string) string {
	reference := func(api string) string {
		return `"` + api + `":{"runtimeSource":"embedded","connection":{"connectionReferenceLogicalName":"` + connectionName(api) + `"},"api":{"name":"` + api + `"}}`
	}
	return `{"properties":{"connectionReferences":{` + reference("shared_commondataserviceforapps") + "," + reference("shared_office365") + `},` +
		`"definition":{"$schema":"https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#","contentVersion":"1.0.0.0",` +
		`"parameters":{"$connections":{"defaultValue":{},"type":"Object"},"$authentication":{"defaultValue":{},"type":"SecureObject"}},"triggers":{` + trigger + `},` +
		`"actions":{"Send_an_email":{"runAfter":{},"type":"OpenApiConnection","inputs":{"host":{"connectionName":"shared_office365","operationId":"SendEmailV2","apiId":"/providers/Microsoft.PowerApps/apis/shared_office365"},` +
		`"parameters":{"emailMessage/To":"loyalty@alpenrand.example","emailMessage/Subject":"Cards","emailMessage/Body":"<p>Grüß Gott!</p>"},"authentication":"@parameters('$authentication')"}}}}},"schemaVersion":"1.0.0.0"}`
}

func xaml(name string) string {
	return `<Activity x:Class="XrmWorkflow" mc:Ignorable="sap" DisplayName="` + name + `" xmlns="http://schemas.microsoft.com/netfx/2009/xaml/activities" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" xmlns:sap="http://schemas.microsoft.com/netfx/2009/xaml/activities/presentation" xmlns:x="http://schemas.microsoft.com/winfx/2006/xaml"><Sequence /></Activity>`
}

// formXML lays the columns out one below the other.
func formXML(t *entity.Table, name string, columns []string) string {
	var b strings.Builder
	id := func(part string) string { return "{" + fill.ID(0, "form:"+t.LogicalName+name+part, 0).String() + "}" }
	label := func(text string) string {
		return `<labels><label description="` + text + `" languagecode="1033" /></labels>`
	}
	fmt.Fprintf(&b, `<form><tabs><tab name="general" id="%s" IsUserDefined="0">%s<columns><column width="100%%"><sections><section name="section" id="%s" IsUserDefined="0">%s<rows>`, id("tab"), label("General"), id("section"), label("General"))
	for _, c := range columns {
		x := t.Column(c)
		class := "{4273EDBD-AC1D-40d3-9FB2-095C621B552D}" // a line of text
		if len(x.Targets) > 0 {
			class = "{270BD3DB-D9AF-4782-9025-509E298DEC0A}" // a lookup
		}
		fmt.Fprintf(&b, `<row><cell id="%s">%s<control id="%s" classid="%s" datafieldname="%s" disabled="false" /></cell></row>`, id(c), label(x.DisplayName), c, class, c)
	}
	b.WriteString(`</rows></section></sections></column></columns></tab></tabs></form>`)
	return b.String()
}

func fetchXML(t *entity.Table, condition string, columns []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<fetch version="1.0" output-format="xml-platform" mapping="logical"><entity name="%s"><attribute name="%s" />`, t.LogicalName, t.PrimaryID)
	for _, c := range columns {
		fmt.Fprintf(&b, `<attribute name="%s" />`, c)
	}
	fmt.Fprintf(&b, `<order attribute="%s" descending="false" /><filter type="and">%s</filter></entity></fetch>`, columns[0], condition)
	return b.String()
}

func layoutXML(t *entity.Table, columns []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<grid name="resultset" object="%d" jump="%s" select="1" icon="1" preview="1"><row name="result" id="%s">`, t.TypeCode, t.PrimaryName, t.PrimaryID)
	for _, c := range columns {
		fmt.Fprintf(&b, `<cell name="%s" width="150" />`, c)
	}
	b.WriteString(`</row></grid>`)
	return b.String()
}
