package csdl

import (
	"bufio"
	"io"
	"strconv"

	"allod"
)

// Write writes the model as CSDL XML, elements in the order of edm.xsd and
// without line breaks, as Dataverse does. An error of w keeps its Kind.
func (m *Model) Write(w io.Writer) error {
	x := &writer{w: bufio.NewWriterSize(w, 1<<16)}
	x.raw(`<?xml version="1.0" encoding="utf-8"?><edmx:Edmx`)
	version := m.Version
	if version == "" {
		version = "4.0"
	}
	x.attr("Version", version)
	x.raw(` xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">`)
	for i := range m.References {
		x.reference(&m.References[i])
	}
	x.raw("<edmx:DataServices>")
	for _, s := range m.Schemas {
		x.schema(s)
	}
	x.raw("</edmx:DataServices></edmx:Edmx>")
	if err := x.w.Flush(); err != nil {
		if kind := allod.KindOf(err); kind != allod.Internal {
			return allod.Errorf(kind, "write CSDL: %w", err)
		}
		return allod.Errorf(allod.Unavailable, "write CSDL: %w", err)
	}
	return nil
}

// writer writes tags; the first error of w sticks in it until Flush.
type writer struct{ w *bufio.Writer }

func (x *writer) raw(s string) {
	_, _ = x.w.WriteString(s) // a bufio.Writer keeps its first error for Flush
}

func (x *writer) text(s string) {
	start := 0
	for i := 0; i < len(s); i++ {
		var esc string
		switch s[i] {
		case '&':
			esc = "&amp;"
		case '<':
			esc = "&lt;"
		case '>':
			esc = "&gt;"
		case '"':
			esc = "&quot;"
		case '\n':
			esc = "&#xA;"
		case '\r':
			esc = "&#xD;"
		case '\t':
			esc = "&#x9;"
		default:
			continue
		}
		x.raw(s[start:i])
		x.raw(esc)
		start = i + 1
	}
	x.raw(s[start:])
}

func (x *writer) attr(name, value string) {
	x.raw(" ")
	x.raw(name)
	x.raw(`="`)
	x.text(value)
	x.raw(`"`)
}

// opt writes an attribute unless it is empty.
func (x *writer) opt(name, value string) {
	if value != "" {
		x.attr(name, value)
	}
}

// flag writes an attribute if set says so.
func (x *writer) flag(name string, set bool, value string) {
	if set {
		x.attr(name, value)
	}
}

// body closes a start tag, writes the content and the end tag; an element
// without content is written as an empty tag.
func (x *writer) body(tag string, empty bool, content func()) {
	if empty {
		x.raw(" />")
		return
	}
	x.raw(">")
	content()
	x.raw("</" + tag + ">")
}

func (x *writer) annotated(tag string, list []Annotation) {
	x.body(tag, len(list) == 0, func() { x.annotations(list) })
}

func (x *writer) annotations(list []Annotation) {
	for i := range list {
		a := &list[i]
		x.raw("<Annotation")
		x.attr("Term", a.Term)
		x.opt("Qualifier", a.Qualifier)
		for _, at := range a.Attrs {
			x.attr(at.Name, at.Value)
		}
		x.body("Annotation", len(a.Children) == 0, func() { x.elements(a.Children) })
	}
}

func (x *writer) elements(list []Element) {
	for i := range list {
		e := &list[i]
		x.raw("<" + e.Name)
		for _, a := range e.Attrs {
			x.attr(a.Name, a.Value)
		}
		x.body(e.Name, len(e.Children) == 0 && e.Text == "", func() {
			if len(e.Children) == 0 {
				x.text(e.Text)
			}
			x.elements(e.Children)
		})
	}
}

func (x *writer) reference(r *Reference) {
	x.raw("<edmx:Reference")
	x.attr("Uri", r.URI)
	empty := len(r.Includes)+len(r.IncludeAnnotations)+len(r.Annotations) == 0
	x.body("edmx:Reference", empty, func() {
		for _, i := range r.Includes {
			x.raw("<edmx:Include")
			x.attr("Namespace", i.Namespace)
			x.opt("Alias", i.Alias)
			x.raw(" />")
		}
		for _, i := range r.IncludeAnnotations {
			x.raw("<edmx:IncludeAnnotations")
			x.attr("TermNamespace", i.TermNamespace)
			x.opt("Qualifier", i.Qualifier)
			x.opt("TargetNamespace", i.TargetNamespace)
			x.raw(" />")
		}
		for _, a := range r.Annotations {
			x.raw(`<Annotation xmlns="http://docs.oasis-open.org/odata/ns/edm"`)
			x.attr("Term", a.Term)
			x.opt("Qualifier", a.Qualifier)
			for _, at := range a.Attrs {
				x.attr(at.Name, at.Value)
			}
			x.body("Annotation", len(a.Children) == 0, func() { x.elements(a.Children) })
		}
	})
}

func (x *writer) schema(s *Schema) {
	x.raw("<Schema")
	x.attr("Namespace", s.Namespace)
	x.opt("Alias", s.Alias)
	x.raw(` xmlns="http://docs.oasis-open.org/odata/ns/edm">`)
	for _, t := range s.EntityTypes {
		x.entityType(t)
	}
	for _, t := range s.ComplexTypes {
		x.raw("<ComplexType")
		x.typeHead(t.Name, t.BaseType, t.Abstract, t.OpenType)
		x.structure("ComplexType", nil, t.Properties, t.Navigation, t.Annotations)
	}
	for _, t := range s.EnumTypes {
		x.enumType(t)
	}
	for _, t := range s.TypeDefinitions {
		x.raw("<TypeDefinition")
		x.attr("Name", t.Name)
		x.attr("UnderlyingType", t.Underlying)
		x.facets(t.Facets)
		x.annotated("TypeDefinition", t.Annotations)
	}
	for _, f := range s.Functions {
		x.operation("Function", f)
	}
	for _, a := range s.Actions {
		x.operation("Action", a)
	}
	for _, t := range s.Terms {
		x.term(t)
	}
	for _, t := range s.Targets {
		x.raw("<Annotations")
		x.attr("Target", t.Target)
		x.opt("Qualifier", t.Qualifier)
		x.annotated("Annotations", t.Annotations)
	}
	if s.Container != nil {
		x.container(s.Container)
	}
	x.annotations(s.Annotations)
	x.raw("</Schema>")
}

func (x *writer) typeHead(name, base string, abstract, open bool) {
	x.attr("Name", name)
	x.opt("BaseType", base)
	x.flag("Abstract", abstract, "true")
	x.flag("OpenType", open, "true")
}

func (x *writer) entityType(t *EntityType) {
	x.raw("<EntityType")
	x.typeHead(t.Name, t.BaseType, t.Abstract, t.OpenType)
	x.flag("HasStream", t.HasStream, "true")
	x.structure("EntityType", t.Key, t.Properties, t.Navigation, t.Annotations)
}

func (x *writer) structure(tag string, key []PropertyRef, props []Property, navs []NavigationProperty, notes []Annotation) {
	x.body(tag, len(key)+len(props)+len(navs)+len(notes) == 0, func() {
		if len(key) > 0 {
			x.raw("<Key>")
			for _, k := range key {
				x.raw("<PropertyRef")
				x.attr("Name", k.Name)
				x.opt("Alias", k.Alias)
				x.raw(" />")
			}
			x.raw("</Key>")
		}
		for i := range props {
			x.property(&props[i])
		}
		for i := range navs {
			x.navigation(&navs[i])
		}
		x.annotations(notes)
	})
}

func (x *writer) facets(f Facets) {
	switch {
	case f.MaxLength == MaxLengthMax:
		x.attr("MaxLength", "max")
	case f.MaxLength > 0:
		x.attr("MaxLength", strconv.Itoa(f.MaxLength))
	}
	x.opt("Precision", f.Precision)
	x.opt("Scale", f.Scale)
	x.opt("SRID", f.SRID)
	x.flag("Unicode", f.NotUnicode, "false")
}

func (x *writer) property(p *Property) {
	x.raw("<Property")
	x.attr("Name", p.Name)
	x.attr("Type", p.Type)
	x.flag("Nullable", p.NotNull, "false")
	x.flag("DefaultValue", p.HasDefault, p.Default)
	x.facets(p.Facets)
	x.annotated("Property", p.Annotations)
}

func (x *writer) navigation(n *NavigationProperty) {
	x.raw("<NavigationProperty")
	x.attr("Name", n.Name)
	if n.Collection {
		x.attr("Type", "Collection("+n.Type+")")
	} else {
		x.attr("Type", n.Type)
	}
	x.flag("Nullable", n.NotNull, "false")
	x.opt("Partner", n.Partner)
	x.flag("ContainsTarget", n.ContainsTarget, "true")
	x.body("NavigationProperty", len(n.Constraints)+len(n.Annotations) == 0 && n.OnDelete == "", func() {
		for _, c := range n.Constraints {
			x.raw("<ReferentialConstraint")
			x.attr("Property", c.Property)
			x.attr("ReferencedProperty", c.ReferencedProperty)
			x.annotated("ReferentialConstraint", c.Annotations)
		}
		if n.OnDelete != "" {
			x.raw("<OnDelete")
			x.attr("Action", n.OnDelete)
			x.raw(" />")
		}
		x.annotations(n.Annotations)
	})
}

func (x *writer) enumType(t *EnumType) {
	x.raw("<EnumType")
	x.attr("Name", t.Name)
	x.opt("UnderlyingType", t.Underlying)
	x.flag("IsFlags", t.IsFlags, "true")
	x.body("EnumType", len(t.Members)+len(t.Annotations) == 0, func() {
		for _, m := range t.Members {
			x.raw("<Member")
			x.attr("Name", m.Name)
			x.flag("Value", m.HasValue, strconv.FormatInt(m.Value, 10))
			x.annotated("Member", m.Annotations)
		}
		x.annotations(t.Annotations)
	})
}

func (x *writer) operation(tag string, o *Operation) {
	x.raw("<" + tag)
	x.attr("Name", o.Name)
	x.flag("IsBound", o.Bound, "true")
	x.flag("IsComposable", o.Composable && tag == "Function", "true")
	x.opt("EntitySetPath", o.EntitySetPath)
	x.body(tag, len(o.Parameters)+len(o.Annotations) == 0 && o.Return == nil, func() {
		for _, p := range o.Parameters {
			x.raw("<Parameter")
			x.attr("Name", p.Name)
			x.attr("Type", p.Type)
			x.flag("Nullable", p.NotNull, "false")
			x.facets(p.Facets)
			x.annotated("Parameter", p.Annotations)
		}
		if r := o.Return; r != nil {
			x.raw("<ReturnType")
			x.attr("Type", r.Type)
			x.flag("Nullable", r.NotNull, "false")
			x.facets(r.Facets)
			x.annotated("ReturnType", r.Annotations)
		}
		x.annotations(o.Annotations)
	})
}

func (x *writer) term(t *Term) {
	x.raw("<Term")
	x.attr("Name", t.Name)
	x.attr("Type", t.Type)
	x.opt("BaseTerm", t.BaseTerm)
	x.flag("Nullable", t.NotNull, "false")
	x.flag("DefaultValue", t.HasDefault, t.Default)
	x.opt("AppliesTo", t.AppliesTo)
	x.facets(t.Facets)
	x.annotated("Term", t.Annotations)
}

func (x *writer) container(c *EntityContainer) {
	x.raw("<EntityContainer")
	x.attr("Name", c.Name)
	x.opt("Extends", c.Extends)
	x.raw(">")
	x.annotations(c.Annotations)
	for _, s := range c.EntitySets {
		x.raw("<EntitySet")
		x.attr("Name", s.Name)
		x.attr("EntityType", s.EntityType)
		x.flag("IncludeInServiceDocument", s.Hidden, "false")
		x.bound("EntitySet", s.Bindings, s.Annotations)
	}
	for _, s := range c.Singletons {
		x.raw("<Singleton")
		x.attr("Name", s.Name)
		x.attr("Type", s.Type)
		x.bound("Singleton", s.Bindings, s.Annotations)
	}
	for _, i := range c.FunctionImports {
		x.operationImport("FunctionImport", "Function", i)
	}
	for _, i := range c.ActionImports {
		x.operationImport("ActionImport", "Action", i)
	}
	x.raw("</EntityContainer>")
}

func (x *writer) bound(tag string, list []Binding, notes []Annotation) {
	x.body(tag, len(list)+len(notes) == 0, func() {
		for _, b := range list {
			x.raw("<NavigationPropertyBinding")
			x.attr("Path", b.Path)
			x.attr("Target", b.Target)
			x.raw(" />")
		}
		x.annotations(notes)
	})
}

func (x *writer) operationImport(tag, attr string, i *OperationImport) {
	x.raw("<" + tag)
	x.attr("Name", i.Name)
	x.attr(attr, i.Operation)
	x.opt("EntitySet", i.EntitySet)
	x.flag("IncludeInServiceDocument", i.Listed && tag == "FunctionImport", "true")
	x.annotated(tag, i.Annotations)
}
