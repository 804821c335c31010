package install

import (
	"encoding/json"
	"net/http"
	"strings"

	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/customize"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/odata/query"
)

type object = map[string]any

// definition is one request that makes something of the schema.
type definition struct {
	path string
	body object
}

// kinds maps the types of customizations.xml to those that can be created
// alone; lookups come with their relationships.
func kinds() map[string]string {
	return map[string]string{
		"nvarchar": "String", "ntext": "Memo", "int": "Integer", "bigint": "BigInt", "decimal": "Decimal", "float": "Double", "money": "Money", "bit": "Boolean",
		"datetime": "DateTime", "picklist": "Picklist", "multiselectpicklist": "MultiSelectPicklist", "file": "File", "image": "Image",
	}
}

func localized(text string) object {
	return object{"LocalizedLabels": []object{{"Label": text, "LanguageCode": 1033}}}
}

// definitions lists what of the schema is missing, in an order in which it can
// be made, and says what cannot be.
func (p *pack) definitions(c change.Writer) (list []definition, warnings []string) {
	m := c.Schema.Model
	var last []definition // columns with formulas: they read others
	fresh := map[string]bool{}
	for i := range p.Tables {
		x := &p.Tables[i]
		if x.Info == nil {
			continue
		}
		name := strings.ToLower(x.SchemaName)
		old := m.Table(name)
		if old != nil && !c.Exists(old) {
			old = nil
		}
		at := "EntityDefinitions(LogicalName='" + name + "')"
		var columns []object
		for j := range x.Info.Columns {
			c := &x.Info.Columns[j]
			if old != nil && old.Column(c.LogicalName) != nil || !p.alone(x, c) {
				continue
			}
			body, ok := p.column(c)
			switch {
			case !ok:
				warnings = append(warnings, "The emulator cannot create the column "+c.LogicalName+" of "+name+".")
			case c.SourceType != 0:
				last = append(last, definition{at + "/Attributes", body})
			default:
				columns = append(columns, body)
			}
		}
		if old == nil {
			fresh[name] = true
			list = append(list, definition{"EntityDefinitions", x.definition(columns)})
			columns = nil
		}
		for _, body := range columns {
			list = append(list, definition{at + "/Attributes", body})
		}
		for _, k := range x.Info.Keys {
			if x.Info.Nature != "Elastic" && (old == nil || !hasKey(old, k.Name)) { // an elastic table comes with its only key
				last = append(last, definition{at + "/Keys", object{"SchemaName": k.Name, "KeyAttributes": k.Columns, "DisplayName": localized(k.Name)}})
			}
		}
	}
	for i := range p.Relationships {
		r := &p.Relationships[i]
		if m.Relationship(r.Name) == nil || fresh[r.ReferencingEntityName] || fresh[r.FirstEntityName] || fresh[r.SecondEntityName] {
			if body := p.relationship(r); body != nil {
				list = append(list, definition{"RelationshipDefinitions", body})
			}
		}
	}
	return append(list, last...), warnings
}

func hasKey(t *entity.Table, name string) bool {
	for _, k := range append(append([]*entity.Key{}, t.Keys...), t.Failed...) {
		if strings.EqualFold(k.SchemaName, name) {
			return true
		}
	}
	return false
}

// alone reports whether a column is made by itself: a custom one that does not
// come with the table, an amount, a rollup or a relationship.
func (p *pack) alone(x *table, c *column) bool {
	switch c.Type {
	case "primarykey", "lookup", "customer", "owner", "state", "status":
		return false
	}
	if c.IsCustomField != "1" {
		return false
	}
	for _, of := range x.Info.Columns {
		part, ok := strings.CutPrefix(c.LogicalName, of.LogicalName)
		if ok && (part == "_base" && of.Type == "money" || (part == "_date" || part == "_state") && of.SourceType == 2 || part == "id" && of.Type == "image") {
			return false
		}
	}
	return true
}

// column is the definition of a column; ok is false for a type that cannot be
// created.
func (p *pack) column(c *column) (body object, ok bool) {
	kind := kinds()[c.Type]
	if kind == "" {
		return nil, false
	}
	level := map[string]string{"applicationrequired": "ApplicationRequired", "systemrequired": "ApplicationRequired", "recommended": "Recommended"}[c.RequiredLevel]
	if level == "" {
		level = "None"
	}
	body = object{
		"@odata.type": request.Namespace + kind + "AttributeMetadata", "SchemaName": c.SchemaName, "DisplayName": localized(first(c.Names)),
		"RequiredLevel": object{"Value": level}, "IsSecured": c.IsSecured == "1", "IsAuditEnabled": object{"Value": c.IsAuditEnabled != "0"},
	}
	if c.MaxLength > 0 {
		body["MaxLength"] = c.MaxLength
	}
	switch kind {
	case "Decimal", "Double", "Money":
		body["Precision"] = c.Accuracy
	case "DateTime":
		body["DateTimeBehavior"] = object{"Value": c.Behavior}
	case "File", "Image":
		body["MaxSizeInKB"] = c.MaxSizeInKB
	}
	for member, text := range map[string]string{"MinValue": c.MinValue, "MaxValue": c.MaxValue} {
		if json.Valid([]byte(text)) {
			body[member] = json.RawMessage(text)
		}
	}
	if c.AutoNumberFormat != "" {
		body["AutoNumberFormat"] = c.AutoNumberFormat
	}
	if strings.HasPrefix(c.DisplayMask, "PrimaryName") {
		body["IsPrimaryName"] = true
	}
	if kind == "Picklist" || kind == "MultiSelectPicklist" {
		options := []object{}
		for _, o := range c.Options {
			options = append(options, object{"Value": o.Value, "Label": localized(first(o.Labels))})
		}
		body["OptionSet"] = object{"IsGlobal": false, "OptionSetType": "Picklist", "Options": options}
	}
	if c.SourceType != 0 {
		body["SourceType"], body["FormulaDefinition"] = c.SourceType, string(p.file(c.FormulaDefinitionFileName))
	}
	return body, true
}

func (x *table) definition(columns []object) object {
	owner := "UserOwned"
	switch x.Info.Ownership {
	case "OrgOwned":
		owner = "OrganizationOwned"
	case "TeamOwned":
		owner = x.Info.Ownership
	}
	activity := x.Info.Activity == "1"
	if activity { // the primary column of activities is never custom
		columns = append(columns, object{"@odata.type": request.Namespace + "StringAttributeMetadata", "SchemaName": "Subject", "IsPrimaryName": true, "DisplayName": localized("Subject")})
	}
	name := first(x.Info.Names)
	made := object{
		"SchemaName": x.SchemaName, "DisplayName": localized(name), "DisplayCollectionName": localized(name + "s"), "OwnershipType": owner, "EntitySetName": x.Info.SetName, "IsActivity": activity,
		"ChangeTrackingEnabled": x.Info.Tracking == "1", "IsAuditEnabled": object{"Value": x.Info.Audit == "1"}, "Attributes": columns,
	}
	if x.Info.Nature != "" {
		made["TableType"] = x.Info.Nature
	}
	if x.Info.Provider != "" {
		made["DataProviderId"] = x.Info.Provider
	}
	return made
}

// relationship is the definition of a relationship; nil for those that come
// with a table.
func (p *pack) relationship(r *relationship) object {
	if r.EntityRelationshipType == "ManyToMany" {
		return object{
			"@odata.type": request.Namespace + "ManyToManyRelationshipMetadata", "SchemaName": r.Name, "IntersectEntityName": r.IntersectEntityName,
			"Entity1LogicalName": r.FirstEntityName, "Entity2LogicalName": r.SecondEntityName,
		}
	}
	for i := range p.Tables {
		x := &p.Tables[i]
		if x.Info == nil || !strings.EqualFold(x.SchemaName, r.ReferencingEntityName) {
			continue
		}
		for j := range x.Info.Columns {
			c := &x.Info.Columns[j]
			if c.LogicalName != r.ReferencingAttributeName || c.IsCustomField != "1" {
				continue
			}
			return object{
				"@odata.type": request.Namespace + "OneToManyRelationshipMetadata", "SchemaName": r.Name,
				"ReferencedEntity": r.ReferencedEntityName, "ReferencingEntity": r.ReferencingEntityName,
				"CascadeConfiguration": object{"Assign": r.CascadeAssign, "Delete": r.CascadeDelete, "Reparent": r.CascadeReparent, "Share": r.CascadeShare, "Unshare": r.CascadeUnshare, "Merge": "NoCascade"},
				"Lookup":               object{"@odata.type": request.Namespace + "LookupAttributeMetadata", "SchemaName": c.SchemaName, "DisplayName": localized(first(c.Names))},
			}
		}
	}
	return nil
}

// make carries the definitions out, each as the request of an administrator.
func (d definition) make(c change.Writer, reshape customize.Reshape) error {
	body, err := json.Marshal(d.body)
	if err != nil {
		return err
	}
	call := *c.Call
	call.Method, call.URL, call.Body, call.Prefer = http.MethodPost, d.path, body, request.Prefer{}
	if call.Req, err = (query.Dialect{}).ParseURL(d.path); err != nil {
		return err
	}
	if _, err = customize.Definitions(&call, reshape); err == nil {
		c.Schema = call.Schema
	}
	return err
}
