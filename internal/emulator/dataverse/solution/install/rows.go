package install

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"slices"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/filerow"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/roles"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// installer writes the rows of one package.
type installer struct {
	*platform.Act
	p        *pack
	managed  bool
	warnings []string
	parts    []part
}

type part struct {
	kind     int
	id       allod.GUID
	behavior int
}

// guid reads an id in braces; what is none is zero.
func guid(text string) allod.GUID {
	id, err := allod.ParseGUID(strings.Trim(text, "{}"))
	if err != nil {
		return allod.GUID{}
	}
	return id
}

// named finds the row whose column holds the text; else the id given, else a
// new one.
func (i *installer) named(table, column, text string, id allod.GUID) allod.GUID {
	if i.Tx.Has(table) && id.IsZero() {
		for _, old := range i.Tx.Find(table, column, allod.StringValue(text)) {
			id = old
		}
	}
	if id.IsZero() {
		id = i.NewID()
	}
	return id
}

// put writes columns of a row that is a component, and counts it as a part of
// the solution unless kind is 0. Values are texts as XML has them, or values.
func (i *installer) put(table string, kind int, id allod.GUID, values map[string]any) {
	t := i.Schema.Model.Table(table)
	if t == nil || !i.Tx.Has(table) {
		i.warnings = append(i.warnings, "The organization has no table "+table+".")
		return
	}
	cells := map[int]allod.Value{}
	set := func(column string, v allod.Value, always bool) {
		at := i.Tx.Column(table, column)
		if _, there := cells[at]; at >= 0 && (always || !there) {
			cells[at] = v
		}
	}
	if old := i.Tx.Get(table, id); old != nil {
		for _, c := range i.Tx.Cells(old) {
			cells[c.Column] = c.Value
		}
	}
	for column, x := range values {
		if v, ok := x.(allod.Value); ok {
			set(column, v, true)
		} else if c := t.Column(column); c != nil {
			set(column, held(c, x.(string)), true) // texts are all that is left
		}
	}
	now, user := allod.TextValue(allod.DateTime, wire.Stamp(i.Now)), allod.LookupValue("systemuser", i.User)
	set("modifiedon", now, true)
	set("modifiedby", user, true)
	set("ismanaged", allod.BooleanValue(i.managed), true)
	if kind != 0 {
		set("componentstate", allod.IntegerValue(0), true)
	}
	for column, v := range map[string]allod.Value{
		"createdon": now, "createdby": user, "ownerid": user, "owninguser": user, "owningbusinessunit": allod.LookupValue("businessunit", i.Unit),
		"statecode": allod.IntegerValue(0), "statuscode": allod.IntegerValue(1), "iscustomizable": property(true, "iscustomizable"),
	} {
		if t.Column(column) != nil {
			set(column, v, false)
		}
	}
	list := make([]store.Cell, 0, len(cells))
	for at, v := range cells {
		list = append(list, store.Cell{Column: at, Value: v})
	}
	i.Tx.Put(table, id, list)
	filerow.Keep(i.Tx, t, id, wire.Stamp(i.Now))
	if kind != 0 {
		i.parts = append(i.parts, part{kind, id, 0})
	}
}

func property(on bool, name string) allod.Value {
	return allod.TextValue(allod.JSON, `{"Value":`+strconv.FormatBool(on)+`,"CanBeChanged":true,"ManagedPropertyLogicalName":"`+name+`"}`)
}

// held is a text of the XML as the column holds it; nothing is null.
func held(c *entity.Column, text string) allod.Value {
	if text == "" {
		return allod.NullValue()
	}
	switch c.Kind {
	case "Integer", "Picklist", "State", "Status", "BigInt":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return allod.NullValue()
		}
		return allod.IntegerValue(n)
	case "Boolean":
		return allod.BooleanValue(text == "1")
	case "Uniqueidentifier":
		return allod.IDValue(guid(text))
	}
	return allod.StringValue(text)
}

// rows writes everything of the package that is rows.
func (i *installer) rows() {
	i.screens()
	i.processes()
	i.apps()
	i.variables()
	i.roles()
	i.solution()
}

func (i *installer) screens() {
	kinds := map[string]string{"main": "2", "quick": "6", "quickCreate": "7", "card": "11", "other": "0"}
	for k := range i.p.Tables {
		x := &i.p.Tables[k]
		name := strings.ToLower(x.SchemaName)
		for _, group := range x.Forms {
			for _, f := range group.Forms {
				i.put("systemform", 60, i.named("systemform", "", "", guid(f.ID)), map[string]any{
					"name": first(f.Names), "description": first(f.Descriptions), "objecttypecode": name, "type": kinds[group.Kind], "formactivationstate": f.FormActivationState,
					"canbedeleted": property(true, "canbedeleted"), "formxml": "<form>" + strings.TrimSpace(f.Form.XML) + "</form>",
				})
			}
		}
		for _, v := range x.Views {
			i.put("savedquery", 26, i.named("savedquery", "", "", guid(v.ID)), map[string]any{
				"name": first(v.Names), "description": first(v.Descriptions), "returnedtypecode": name, "querytype": v.QueryType, "isdefault": v.Default, "isquickfindquery": v.Quick,
				"fetchxml": strings.TrimSpace(v.Fetch.XML), "layoutxml": strings.TrimSpace(v.Layout.XML),
			})
		}
	}
	for _, w := range i.p.WebResources {
		i.put("webresource", 61, i.named("webresource", "name", w.Name, guid(w.WebResourceId)), map[string]any{
			"name": w.Name, "displayname": w.DisplayName, "description": w.Description, "languagecode": w.LanguageCode, "webresourcetype": w.WebResourceType,
			"content": base64.StdEncoding.EncodeToString(i.p.file(w.FileName)),
		})
	}
}

func (i *installer) processes() {
	for _, w := range i.p.Processes {
		values := map[string]any{
			"name": w.Name, "type": w.Type, "subprocess": w.Subprocess, "category": w.Category, "mode": w.Mode, "scope": w.Scope, "ondemand": w.OnDemand,
			"statecode": w.StateCode, "statuscode": w.StatusCode, "primaryentity": w.PrimaryEntity,
		}
		if w.JsonFileName != "" {
			values["clientdata"] = string(i.p.file(w.JsonFileName))
		} else {
			values["xaml"] = string(i.p.file(w.XamlFileName))
		}
		i.put("workflow", 29, i.named("workflow", "", "", guid(w.ID)), values)
	}
	if t := i.Schema.Model.Table("connectionreference"); t != nil {
		for _, r := range i.p.Connections {
			i.put("connectionreference", t.TypeCode, i.named("connectionreference", "connectionreferencelogicalname", r.Name, allod.GUID{}), map[string]any{
				"connectionreferencelogicalname": r.Name, "connectionreferencedisplayname": r.Title, "connectorid": r.Connector, "description": r.Description,
			})
		}
	}
}

func (i *installer) apps() {
	for _, x := range i.p.Apps {
		i.put("appmodule", 80, i.named("appmodule", "uniquename", x.UniqueName, allod.GUID{}), map[string]any{
			"uniquename": x.UniqueName, "name": first(x.Names), "description": first(x.Descriptions), "appmoduleversion": x.IntroducedVersion, "formfactor": x.FormFactor,
			"clienttype": x.ClientType, "navigationtype": x.NavigationType,
		})
	}
	for _, x := range i.p.CanvasApps {
		values := map[string]any{
			"name": x.Name, "displayname": x.DisplayName, "description": x.Description, "status": x.Status, "tags": x.Tags, "canvasapptype": x.CanvasAppType,
			"connectionreferences": x.ConnectionReferences, "databasereferences": x.DatabaseReferences,
		}
		if data := i.p.file(x.DocumentUri); data != nil {
			id := i.NewID()
			i.Tx.PutBlob(id, store.NewBlob(x.Name+".msapp", "application/octet-stream", data))
			values["document"] = allod.IDValue(id)
		}
		i.put("canvasapp", 300, i.named("canvasapp", "name", x.Name, allod.GUID{}), values)
	}
}

func (i *installer) variables() {
	const folder, definition, value = "environmentvariabledefinitions/", "environmentvariabledefinition", "environmentvariablevalue"
	names := make([]string, 0, len(i.p.files))
	for name := range i.p.files {
		if strings.HasPrefix(name, folder) && strings.HasSuffix(name, "/"+definition+".xml") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		var v variable
		if xml.Unmarshal(i.p.files[name], &v) != nil || v.SchemaName == "" {
			i.warnings = append(i.warnings, "The file "+name+" is no environment variable.")
			continue
		}
		id := i.named(definition, "schemaname", v.SchemaName, allod.GUID{})
		i.put(definition, 380, id, map[string]any{
			"schemaname": v.SchemaName, "displayname": v.DisplayName.Text, "description": v.Description.Text, "defaultvalue": v.DefaultValue, "type": v.Type, "isrequired": v.Required,
			"introducedversion": v.Version,
		})
		var x struct {
			Values struct {
				Value struct {
					ID                string `json:"@environmentvariablevalueid"`
					SchemaName, Value string
				} `json:"environmentvariablevalue"`
			} `json:"environmentvariablevalues"`
		}
		if json.Unmarshal(i.p.files[strings.TrimSuffix(name, definition+".xml")+value+"s.json"], &x) != nil {
			continue // most have none
		}
		i.put(value, 381, i.named(value, "schemaname", x.Values.Value.SchemaName, guid(x.Values.Value.ID)), map[string]any{
			"schemaname": x.Values.Value.SchemaName, "value": x.Values.Value.Value, "environmentvariabledefinitionid": allod.LookupValue(definition, id),
		})
	}
}

func (i *installer) roles() {
	ids := map[string]allod.GUID{}
	for id, name := range roles.Names(i.Schema.Model) {
		ids[name] = id
	}
	for _, r := range i.p.Roles {
		id := i.named("role", "", "", guid(r.ID))
		i.put("role", 20, id, map[string]any{"name": r.Name, "businessunitid": allod.LookupValue("businessunit", i.Unit)})
		for _, p := range r.Privileges {
			privilege, known := ids[p.Name]
			if !known || !roles.Give(i.Act, id, privilege, p.Level) {
				i.warnings = append(i.warnings, "The privilege "+p.Name+" of the role "+r.Name+" is not known.")
			}
		}
	}
}

// solution writes the publisher, the solution and the list of its components.
func (i *installer) solution() {
	s := &i.p.Solution
	publisher := i.named("publisher", "uniquename", s.Publisher.UniqueName, allod.GUID{})
	i.put("publisher", 0, publisher, map[string]any{
		"uniquename": s.Publisher.UniqueName, "friendlyname": first(s.Publisher.Names), "customizationprefix": s.Publisher.CustomizationPrefix,
		"customizationoptionvalueprefix": s.Publisher.CustomizationOptionValuePrefix,
	})
	id := i.named("solution", "uniquename", s.UniqueName, allod.GUID{})
	i.put("solution", 0, id, map[string]any{
		"uniquename": s.UniqueName, "friendlyname": first(s.Names), "description": first(s.Descriptions), "version": s.Version, "isvisible": allod.BooleanValue(true),
		"publisherid": allod.LookupValue("publisher", publisher), "installedon": allod.TextValue(allod.DateTime, wire.Stamp(i.Now)),
	})
	for _, r := range s.Roots {
		t := i.Schema.Model.Table(r.Schema)
		if r.Type != 1 || t == nil {
			continue
		}
		i.parts = append(i.parts, part{1, t.MetadataID, r.Behavior})
		if r.Behavior == 0 {
			continue
		}
		for k := range i.p.Tables { // single columns
			x := &i.p.Tables[k]
			if x.Info == nil || !strings.EqualFold(x.SchemaName, t.LogicalName) {
				continue
			}
			for _, c := range x.Info.Columns {
				if col := t.Column(c.LogicalName); col != nil {
					i.parts = append(i.parts, part{2, col.MetadataID, 0})
				}
			}
		}
	}
	i.list(id)
}

// list makes the rows of solutioncomponent those of the package.
func (i *installer) list(solution allod.GUID) {
	const components = "solutioncomponent"
	if !i.Tx.Has(components) {
		return
	}
	for _, old := range i.Tx.Find(components, "solutionid", allod.IDValue(solution)) {
		i.Tx.Delete(components, old)
	}
	for _, p := range i.parts {
		i.put(components, 0, i.NewID(), map[string]any{
			"solutionid": allod.LookupValue("solution", solution), "componenttype": allod.IntegerValue(int64(p.kind)), "objectid": allod.IDValue(p.id),
			"rootcomponentbehavior": allod.IntegerValue(int64(p.behavior)), "ismetadata": allod.BooleanValue(p.kind < 20),
		})
	}
}
