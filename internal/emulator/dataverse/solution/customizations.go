package solution

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/roles"
	"allod/internal/emulator/dataverse/store"
)

// value reads a column of a row as the text that customizations.xml has:
// numbers in digits, yes and no as 1 and 0.
func (w *writer) value(table string, r *store.Row, column string) string {
	v := w.tx.Value(table, r, column)
	switch v.Type() {
	case allod.Boolean:
		return bit(v.Bool())
	case allod.Integer:
		return strconv.FormatInt(v.Int(), 10)
	case allod.JSON: // a managed property
		var p struct{ Value bool }
		return bit(json.Unmarshal([]byte(v.Text()), &p) == nil && p.Value)
	case allod.Lookup, allod.ID:
		return v.GUID().String()
	default:
		return v.Text()
	}
}

// fields makes one element for each pair of element and column whose column has
// a value.
func (w *writer) fields(n *node, table string, r *store.Row, pairs ...string) *node {
	for i := 0; i+1 < len(pairs); i += 2 {
		if text := w.value(table, r, pairs[i+1]); text != "" {
			n.add(leaf(pairs[i], text))
		}
	}
	return n
}

// customizations is customizations.xml; the files it names are put into
// w.files.
func (w *writer) customizations() *node {
	root := importExport().add(
		w.entities(),
		w.roles(),
		w.processes(),
		el("FieldSecurityProfiles"),
		el("Templates"),
		el("EntityMaps"),
		w.relationships(),
		el("OrganizationSettings"),
		el("optionsets"),
		w.webResources(),
		el("CustomControls"),
		w.apps(),
		w.canvasApps(),
		el("EntityDataProviders"),
		w.connections(),
		el("Languages").add(leaf("Language", "1033")),
	)
	w.variables()
	return root
}

func (w *writer) roles() *node {
	known := roles.Names(w.m)
	list := el("Roles")
	for _, r := range w.rows(kindRole, "role") {
		held := map[string]string{}
		for id, depth := range access.Held(w.tx, r.Key) {
			if name := known[id]; name != "" {
				held[name] = depth
			}
		}
		privileges := el("RolePrivileges")
		for _, name := range sorted(held) {
			privileges.add(el("RolePrivilege", "name", name, "level", held[name]))
		}
		list.add(el("Role", "id", braces(r.Key), "name", w.value("role", r, "name")).add(
			leaf("IsCustomizable", w.value("role", r, "iscustomizable")), privileges))
	}
	return list
}

// processes writes flows and workflows, their definitions as files.
func (w *writer) processes() *node {
	const t = "workflow"
	list := el("Workflows")
	for _, r := range w.rows(kindProcess, t) {
		name := w.value(t, r, "name")
		kind, body, ext := "XamlFileName", w.value(t, r, "xaml"), ".xaml"
		if category := w.tx.Value(t, r, "category").Int(); category == 5 || category == 6 { // of the cloud and of desktops (§11.2)
			kind, body, ext = "JsonFileName", w.value(t, r, "clientdata"), ".json"
		}
		file := "Workflows/" + fileName(name) + "-" + strings.ToUpper(r.Key.String()) + ext
		w.files[file] = []byte(body)
		table := w.value(t, r, "primaryentity")
		if table == "" {
			table = "none"
		}
		list.add(w.fields(el("Workflow", "WorkflowId", braces(r.Key), "Name", name).add(leaf(kind, "/"+file)), t, r,
			"Type", "type", "Subprocess", "subprocess", "Category", "category", "Mode", "mode", "Scope", "scope", "OnDemand", "ondemand",
			"StateCode", "statecode", "StatusCode", "statuscode", "IsCustomizable", "iscustomizable",
		).add(leaf("PrimaryEntity", table), names("LocalizedNames", "LocalizedName", name)))
	}
	return list
}

func (w *writer) webResources() *node {
	const t = "webresource"
	list := el("WebResources")
	for _, r := range w.rows(kindWebResource, t) {
		file := "WebResources/" + fileName(w.value(t, r, "name")) + strings.ToUpper(r.Key.String())
		raw, err := base64.StdEncoding.DecodeString(w.value(t, r, "content"))
		if err != nil {
			raw = []byte(w.value(t, r, "content")) // whatever a client has put there
		}
		w.files[file] = raw
		list.add(w.fields(el("WebResource").add(leaf("WebResourceId", braces(r.Key))), t, r,
			"Name", "name", "DisplayName", "displayname", "Description", "description", "LanguageCode", "languagecode", "WebResourceType", "webresourcetype",
			"IsCustomizable", "iscustomizable",
		).add(leaf("FileName", "/"+file)))
	}
	return list
}

func (w *writer) apps() *node {
	const t = "appmodule"
	list := el("AppModules")
	for _, r := range w.rows(kindApp, t) {
		list.add(w.fields(el("AppModule"), t, r,
			"UniqueName", "uniquename", "IntroducedVersion", "appmoduleversion", "WebResourceId", "webresourceid", "statecode", "statecode", "statuscode", "statuscode",
			"FormFactor", "formfactor", "ClientType", "clienttype", "NavigationType", "navigationtype",
		).add(el("AppModuleComponents"), names("LocalizedNames", "LocalizedName", w.value(t, r, "name")), names("Descriptions", "Description", w.value(t, r, "description"))))
	}
	return list
}

func (w *writer) canvasApps() *node {
	const t = "canvasapp"
	list := el("CanvasApps")
	for _, r := range w.rows(kindCanvasApp, t) {
		name := w.value(t, r, "name")
		n := w.fields(el("CanvasApp").add(leaf("Name", name)), t, r,
			"AppVersion", "appversion", "Status", "status", "Tags", "tags", "DisplayName", "displayname", "Description", "description",
			"ConnectionReferences", "connectionreferences", "DatabaseReferences", "databasereferences", "CanvasAppType", "canvasapptype", "IsCustomizable", "iscustomizable")
		if v := w.tx.Value(t, r, "document"); v.Type() == allod.ID && w.tx.Blob(v.GUID()) != nil {
			if data, err := content(w.tx.Blob(v.GUID())); err == nil { // a blob in memory can be read
				file := "CanvasApps/" + fileName(name) + "_DocumentUri.msapp"
				w.files[file] = data
				n.add(leaf("DocumentUri", "/"+file))
			}
		}
		list.add(n)
	}
	return list
}

// connections writes connection references: which connector, not which
// connection (§11.2).
func (w *writer) connections() *node {
	const t = "connectionreference"
	list := el("connectionreferences")
	at := w.m.Table(t)
	if at == nil {
		return list
	}
	for _, r := range w.rows(at.TypeCode, t) {
		list.add(w.fields(el(t, "connectionreferencelogicalname", w.value(t, r, "connectionreferencelogicalname")), t, r,
			"connectionreferencedisplayname", "connectionreferencedisplayname", "connectorid", "connectorid", "description", "description",
			"iscustomizable", "iscustomizable", "statecode", "statecode", "statuscode", "statuscode"))
	}
	return list
}

// variables writes each environment variable into a file of its own, with its
// value when that is part of the solution; secrets stay where they are (§11.2).
func (w *writer) variables() {
	const t, values, secret = "environmentvariabledefinition", "environmentvariablevalue", 100000005
	for _, r := range w.rows(kindVariable, t) {
		name := w.value(t, r, "schemaname")
		folder := t + "s/" + fileName(name) + "/"
		hidden := w.tx.Value(t, r, "type").Int() == secret
		n := el(t, "schemaname", name)
		if !hidden {
			w.fields(n, t, r, "defaultvalue", "defaultvalue")
		}
		labelled := func(element, column string) {
			if text := w.value(t, r, column); text != "" {
				n.add(el(element, "default", text).add(el("label", "description", text, "languagecode", "1033")))
			}
		}
		labelled("description", "description")
		labelled("displayname", "displayname")
		w.fields(n, t, r, "introducedversion", "introducedversion", "iscustomizable", "iscustomizable", "isrequired", "isrequired", "type", "type")
		w.files[folder+t+".xml"] = n.document()
		for _, v := range w.rows(kindValue, values) {
			if _, of := w.tx.Value(values, v, "environmentvariabledefinitionid").Target(); of != r.Key || hidden {
				continue
			}
			text, err := json.Marshal(object{values + "s": object{values: object{
				"@" + values + "id": v.Key.String(), "iscustomizable": w.value(values, v, "iscustomizable"), "schemaname": w.value(values, v, "schemaname"), "value": w.value(values, v, "value"),
			}}})
			if err == nil { // texts only
				w.files[folder+values+"s.json"] = text
			}
		}
	}
}

// relationships writes those between tables that the solution holds whole and
// any other, once each.
func (w *writer) relationships() *node {
	list := el("EntityRelationships")
	has := map[string]bool{}
	for _, p := range w.parts {
		if t := w.tableOf(p.id); t != nil && p.kind == kindTable && p.behavior == whole {
			has[t.LogicalName] = true
		}
	}
	for _, r := range w.m.Relationships {
		if r.Intersect != "" && (has[r.Entity1] || has[r.Entity2]) {
			list.add(el("EntityRelationship", "Name", r.SchemaName).add(
				leaf("EntityRelationshipType", "ManyToMany"), leaf("IntersectEntityName", r.Intersect),
				leaf("FirstEntityName", r.Entity1), leaf("SecondEntityName", r.Entity2)))
			continue
		}
		if !has[r.Referencing] {
			continue
		}
		list.add(el("EntityRelationship", "Name", r.SchemaName).add(
			leaf("EntityRelationshipType", "OneToMany"),
			leaf("ReferencingEntityName", r.Referencing), leaf("ReferencedEntityName", r.Referenced),
			leaf("CascadeAssign", r.Cascade.Assign), leaf("CascadeDelete", r.Cascade.Delete), leaf("CascadeReparent", r.Cascade.Reparent),
			leaf("CascadeShare", r.Cascade.Share), leaf("CascadeUnshare", r.Cascade.Unshare),
			leaf("ReferencingAttributeName", r.ReferencingAttr)))
	}
	return list
}

// entities writes the tables: those that are components, and those that a
// form or view of the solution belongs to.
func (w *writer) entities() *node {
	type holding struct {
		t       *entity.Table
		all     bool
		columns []*entity.Column
		forms   []*store.Row
		views   []*store.Row
	}
	held := map[string]*holding{}
	of := func(t *entity.Table) *holding {
		if held[t.LogicalName] == nil {
			held[t.LogicalName] = &holding{t: t}
		}
		return held[t.LogicalName]
	}
	single := map[allod.GUID]bool{}
	for _, p := range w.parts {
		switch t := w.tableOf(p.id); {
		case p.kind == kindColumn:
			single[p.id] = true
		case p.kind == kindTable && t != nil:
			of(t).all = p.behavior == whole
		}
	}
	for _, t := range w.m.Tables {
		for _, c := range t.Columns {
			if single[c.MetadataID] || held[t.LogicalName] != nil && held[t.LogicalName].all {
				h := of(t)
				h.columns = append(h.columns, c)
			}
		}
	}
	for _, r := range w.rows(kindForm, "systemform") {
		if t := w.m.Table(w.value("systemform", r, "objecttypecode")); t != nil {
			h := of(t)
			h.forms = append(h.forms, r)
		}
	}
	for _, r := range w.rows(kindView, "savedquery") {
		if t := w.m.Table(w.value("savedquery", r, "returnedtypecode")); t != nil {
			h := of(t)
			h.views = append(h.views, r)
		}
	}
	list := el("Entities")
	for _, name := range sorted(held) {
		h := held[name]
		n := el("Entity").add(&node{name: "Name", attrs: []string{"LocalizedName", h.t.DisplayName, "OriginalName", h.t.DisplayName}, text: h.t.SchemaName}, leaf("ObjectTypeCode", strconv.Itoa(h.t.TypeCode)))
		if len(h.columns) > 0 || h.all {
			n.add(w.entityInfo(h.t, h.columns))
		}
		list.add(n.add(w.forms(h.forms), w.views(h.views), el("RibbonDiffXml")))
	}
	return list
}

// forms groups the forms by kind, as the file does.
func (w *writer) forms(rows []*store.Row) *node {
	const t = "systemform"
	groups := map[string]*node{}
	for _, r := range rows {
		kind := formKind(w.tx.Value(t, r, "type").Int())
		if groups[kind] == nil {
			groups[kind] = el("forms", "type", kind)
		}
		name := w.value(t, r, "name")
		form := &node{name: "systemform"}
		form.add(leaf("formid", braces(r.Key)))
		w.fields(form, t, r, "FormActivationState", "formactivationstate")
		if xml := w.value(t, r, "formxml"); wellFormed(xml) {
			form.add(embed("form", inner(xml)))
		}
		w.fields(form, t, r, "IsCustomizable", "iscustomizable", "CanBeDeleted", "canbedeleted")
		groups[kind].add(form.add(names("LocalizedNames", "LocalizedName", name), names("Descriptions", "Description", w.value(t, r, "description"))))
	}
	n := el("FormXml")
	for _, kind := range sorted(groups) {
		n.add(groups[kind])
	}
	return n
}

func formKind(n int64) string {
	switch n {
	case 2:
		return "main"
	case 6:
		return "quick"
	case 7:
		return "quickCreate"
	case 11:
		return "card"
	}
	return "other"
}

// inner takes the outermost element off XML that is well formed.
func inner(xml string) string {
	open, last := strings.IndexByte(xml, '>'), strings.LastIndexByte(xml, '<')
	if open < 0 || last <= open {
		return ""
	}
	return xml[open+1 : last]
}

func (w *writer) views(rows []*store.Row) *node {
	const t = "savedquery"
	list := el("savedqueries")
	for _, r := range rows {
		n := w.fields(el("savedquery"), t, r, "IsCustomizable", "iscustomizable", "isquickfindquery", "isquickfindquery", "isdefault", "isdefault")
		n.add(leaf("savedqueryid", braces(r.Key)), embed("layoutxml", w.value(t, r, "layoutxml")))
		w.fields(n, t, r, "querytype", "querytype")
		n.add(embed("fetchxml", w.value(t, r, "fetchxml")), names("LocalizedNames", "LocalizedName", w.value(t, r, "name")), names("Descriptions", "Description", w.value(t, r, "description")))
		list.add(n)
	}
	return el("SavedQueries").add(list)
}
