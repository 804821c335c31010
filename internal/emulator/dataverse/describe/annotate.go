package describe

import (
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/odata/csdl"
)

const (
	core    = "Org.OData.Core.V1"
	capable = "Org.OData.Capabilities.V1"
)

// annotate adds what $metadata?annotations=true has beyond the plain document (§3.1;
// "Web API Properties"): descriptions, which properties only the service writes, and
// which sets can be tracked. The types and sets of tables are the document's own,
// everything else is shared with other documents and stays as it is.
func annotate(doc *csdl.Model, m *entity.Model) {
	for _, name := range []string{core, capable} {
		doc.References = append(doc.References[:len(doc.References):len(doc.References)], csdl.Reference{
			URI: "http://vocabularies.odata.org/" + name + ".xml", Includes: []csdl.Include{{Namespace: name}},
			IncludeAnnotations: []csdl.IncludeAnnotations{{TermNamespace: name}},
		})
	}
	for _, s := range doc.Schemas {
		for _, et := range s.EntityTypes {
			t := m.Table(et.Name)
			if t == nil {
				continue
			}
			et.Annotations = append(description(Table(t)), et.Annotations...)
			for i := range et.Properties {
				if c := property(t, et.Properties[i].Name); c != nil {
					et.Properties[i].Annotations = columnNotes(t, c)
				}
			}
		}
		if s.Container == nil {
			continue
		}
		for _, set := range s.Container.EntitySets {
			if t := m.Set(set.Name); t != nil {
				set.Annotations = append(set.Annotations[:len(set.Annotations):len(set.Annotations)], tracking(t))
			}
		}
	}
}

func property(t *entity.Table, name string) *entity.Column {
	for _, c := range t.Columns {
		if c.Property() == name {
			return c
		}
	}
	return nil
}

// description is the description of a table or column, if it has one.
func description(o entity.Object) []csdl.Annotation {
	v, _ := o.Get("Description/UserLocalizedLabel/Label")
	text, _ := v.(string)
	if text == "" {
		return nil
	}
	return []csdl.Annotation{{Term: core + ".Description", Attrs: []csdl.Attr{{Name: "String", Value: text}}}}
}

// columnNotes are the annotations of a column; lookup properties are written by their
// navigation property, so they are read-only too.
func columnNotes(t *entity.Table, c *entity.Column) []csdl.Annotation {
	out := description(Column(c, t))
	if c.ValidForCreate || c.ValidForUpdate {
		if c.Property() == c.LogicalName {
			return out
		}
	}
	return append(out,
		csdl.Annotation{Term: core + ".Computed", Attrs: []csdl.Attr{{Name: "Bool", Value: "true"}}},
		csdl.Annotation{Term: core + ".Permissions", Children: []csdl.Element{{Name: "EnumMember", Text: core + ".PermissionType/Read"}}})
}

// tracking says whether changes of a set can be asked for (§5.2).
func tracking(t *entity.Table) csdl.Annotation {
	on := "false"
	if t.ChangeTracking {
		on = "true"
	}
	return csdl.Annotation{Term: capable + ".ChangeTracking", Children: []csdl.Element{{Name: "Record", Children: []csdl.Element{
		{Name: "PropertyValue", Attrs: []csdl.Attr{{Name: "Property", Value: "Supported"}, {Name: "Bool", Value: on}}},
	}}}}
}
