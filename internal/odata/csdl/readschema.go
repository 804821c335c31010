package csdl

import "strconv"

func (p *reader) schema(e element) error {
	ns, err := p.need(e, "Namespace")
	if err != nil {
		return err
	}
	s := &Schema{Namespace: ns, Alias: p.str(e, "Alias")}
	p.model.Schemas = append(p.model.Schemas, s)
	return p.children(func(e element) error { return p.schemaChild(s, e) })
}

func (p *reader) schemaChild(s *Schema, e element) error {
	switch e.name {
	case "EntityType":
		t, err := p.entityType(e)
		s.EntityTypes = append(s.EntityTypes, t)
		return err
	case "ComplexType":
		t, err := p.entityType(e)
		s.ComplexTypes = append(s.ComplexTypes, &ComplexType{
			Name: t.Name, BaseType: t.BaseType, Abstract: t.Abstract, OpenType: t.OpenType,
			Properties: t.Properties, Navigation: t.Navigation, Annotations: t.Annotations,
		})
		return err
	case "EnumType":
		t, err := p.enumType(e)
		s.EnumTypes = append(s.EnumTypes, t)
		return err
	case "TypeDefinition":
		t, err := p.typeDefinition(e)
		s.TypeDefinitions = append(s.TypeDefinitions, t)
		return err
	case "Function":
		f, err := p.operation(e)
		s.Functions = append(s.Functions, f)
		return err
	case "Action":
		a, err := p.operation(e)
		s.Actions = append(s.Actions, a)
		return err
	case "Term":
		t, err := p.term(e)
		s.Terms = append(s.Terms, t)
		return err
	case "EntityContainer":
		if s.Container != nil {
			return invalid("a schema with two containers")
		}
		var err error
		s.Container, err = p.container(e)
		return err
	case "Annotations":
		t := AnnotationTarget{Target: p.str(e, "Target"), Qualifier: p.str(e, "Qualifier")}
		err := p.annotations(&t.Annotations)
		s.Targets = append(s.Targets, t)
		return err
	}
	return p.annotationOr(e, &s.Annotations)
}

// entityType reads an entity type or a complex type, which differ in the key.
func (p *reader) entityType(e element) (*EntityType, error) {
	t := &EntityType{BaseType: p.str(e, "BaseType")}
	var err error
	if t.Name, err = p.need(e, "Name"); err != nil {
		return t, err
	}
	if t.Abstract, err = p.boolean(e, "Abstract", false); err != nil {
		return t, err
	}
	if t.OpenType, err = p.boolean(e, "OpenType", false); err != nil {
		return t, err
	}
	if t.HasStream, err = p.boolean(e, "HasStream", false); err != nil {
		return t, err
	}
	err = p.children(func(e element) error {
		switch e.name {
		case "Key":
			return p.children(func(e element) error {
				if e.name == "PropertyRef" {
					t.Key = append(t.Key, PropertyRef{p.str(e, "Name"), p.str(e, "Alias")})
					return p.skip()
				}
				return p.unknown(e)
			})
		case "Property":
			prop, err := p.property(e)
			t.Properties = append(t.Properties, prop)
			return err
		case "NavigationProperty":
			nav, err := p.navigation(e)
			t.Navigation = append(t.Navigation, nav)
			return err
		}
		return p.annotationOr(e, &t.Annotations)
	})
	return t, err
}

func (p *reader) property(e element) (Property, error) {
	var (
		prop Property
		err  error
	)
	if prop.Name, err = p.need(e, "Name"); err != nil {
		return prop, err
	}
	if prop.Type, err = p.need(e, "Type"); err != nil {
		return prop, err
	}
	nullable, err := p.boolean(e, "Nullable", true)
	if err != nil {
		return prop, err
	}
	prop.NotNull = !nullable
	if prop.Facets, err = p.facets(e); err != nil {
		return prop, err
	}
	prop.Default, prop.HasDefault = p.attr(e, "DefaultValue")
	return prop, p.annotations(&prop.Annotations)
}

func (p *reader) navigation(e element) (NavigationProperty, error) {
	n := NavigationProperty{Partner: p.str(e, "Partner")}
	var err error
	if n.Name, err = p.need(e, "Name"); err != nil {
		return n, err
	}
	full, err := p.need(e, "Type")
	if err != nil {
		return n, err
	}
	n.Type, n.Collection = SplitCollection(full)
	n.Type = p.intern(n.Type)
	nullable, err := p.boolean(e, "Nullable", true)
	if err != nil {
		return n, err
	}
	n.NotNull = !nullable
	if n.ContainsTarget, err = p.boolean(e, "ContainsTarget", false); err != nil {
		return n, err
	}
	return n, p.children(func(e element) error {
		switch e.name {
		case "ReferentialConstraint":
			c := ReferentialConstraint{Property: p.str(e, "Property"), ReferencedProperty: p.str(e, "ReferencedProperty")}
			err := p.annotations(&c.Annotations)
			n.Constraints = append(n.Constraints, c)
			return err
		case "OnDelete":
			n.OnDelete = p.str(e, "Action")
			return p.skip()
		}
		return p.annotationOr(e, &n.Annotations)
	})
}

func (p *reader) enumType(e element) (*EnumType, error) {
	t := &EnumType{Underlying: p.str(e, "UnderlyingType")}
	var err error
	if t.Name, err = p.need(e, "Name"); err != nil {
		return t, err
	}
	if t.IsFlags, err = p.boolean(e, "IsFlags", false); err != nil {
		return t, err
	}
	return t, p.children(func(e element) error {
		if e.name != "Member" {
			return p.annotationOr(e, &t.Annotations)
		}
		m := Member{Name: p.str(e, "Name")}
		if s, ok := p.attr(e, "Value"); ok {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return invalid("Member: Value is not a number at byte %d", p.dec.InputOffset())
			}
			m.Value, m.HasValue = n, true
		} else if len(t.Members) > 0 {
			m.Value = t.Members[len(t.Members)-1].Value + 1
		}
		err := p.annotations(&m.Annotations)
		t.Members = append(t.Members, m)
		return err
	})
}

func (p *reader) typeDefinition(e element) (*TypeDefinition, error) {
	t := &TypeDefinition{}
	var err error
	if t.Name, err = p.need(e, "Name"); err != nil {
		return t, err
	}
	if t.Underlying, err = p.need(e, "UnderlyingType"); err != nil {
		return t, err
	}
	if t.Facets, err = p.facets(e); err != nil {
		return t, err
	}
	return t, p.annotations(&t.Annotations)
}

func (p *reader) operation(e element) (*Operation, error) {
	o := &Operation{EntitySetPath: p.str(e, "EntitySetPath")}
	var err error
	if o.Name, err = p.need(e, "Name"); err != nil {
		return o, err
	}
	if o.Bound, err = p.boolean(e, "IsBound", false); err != nil {
		return o, err
	}
	if o.Composable, err = p.boolean(e, "IsComposable", false); err != nil {
		return o, err
	}
	return o, p.children(func(e element) error {
		switch e.name {
		case "Parameter":
			prop, err := p.property(e)
			o.Parameters = append(o.Parameters, Parameter{prop.Name, prop.Type, prop.NotNull, prop.Facets, prop.Annotations})
			return err
		case "ReturnType":
			if o.Return != nil {
				return invalid("an operation with two return types")
			}
			o.Return, err = p.returnType(e)
			return err
		}
		return p.annotationOr(e, &o.Annotations)
	})
}

func (p *reader) returnType(e element) (*ReturnType, error) {
	t := &ReturnType{}
	var err error
	if t.Type, err = p.need(e, "Type"); err != nil {
		return t, err
	}
	nullable, err := p.boolean(e, "Nullable", true)
	if err != nil {
		return t, err
	}
	t.NotNull = !nullable
	if t.Facets, err = p.facets(e); err != nil {
		return t, err
	}
	return t, p.annotations(&t.Annotations)
}

func (p *reader) term(e element) (*Term, error) {
	prop, err := p.property(e)
	t := &Term{
		Name: prop.Name, Type: prop.Type, NotNull: prop.NotNull, Default: prop.Default, HasDefault: prop.HasDefault,
		BaseTerm: p.str(e, "BaseTerm"), AppliesTo: p.str(e, "AppliesTo"), Facets: prop.Facets, Annotations: prop.Annotations,
	}
	return t, err
}

func (p *reader) container(e element) (*EntityContainer, error) {
	c := &EntityContainer{Extends: p.str(e, "Extends")}
	var err error
	if c.Name, err = p.need(e, "Name"); err != nil {
		return c, err
	}
	return c, p.children(func(e element) error {
		switch e.name {
		case "EntitySet":
			s, err := p.entitySet(e)
			c.EntitySets = append(c.EntitySets, s)
			return err
		case "Singleton":
			s := &Singleton{Type: p.str(e, "Type")}
			if s.Name, err = p.need(e, "Name"); err != nil {
				return err
			}
			c.Singletons = append(c.Singletons, s)
			return p.bindings(&s.Bindings, &s.Annotations)
		case "FunctionImport":
			i, err := p.operationImport(e, "Function")
			c.FunctionImports = append(c.FunctionImports, i)
			return err
		case "ActionImport":
			i, err := p.operationImport(e, "Action")
			c.ActionImports = append(c.ActionImports, i)
			return err
		}
		return p.annotationOr(e, &c.Annotations)
	})
}

func (p *reader) entitySet(e element) (*EntitySet, error) {
	s := &EntitySet{}
	var err error
	if s.Name, err = p.need(e, "Name"); err != nil {
		return s, err
	}
	if s.EntityType, err = p.need(e, "EntityType"); err != nil {
		return s, err
	}
	listed, err := p.boolean(e, "IncludeInServiceDocument", true)
	if err != nil {
		return s, err
	}
	s.Hidden = !listed
	return s, p.bindings(&s.Bindings, &s.Annotations)
}

func (p *reader) bindings(list *[]Binding, annotations *[]Annotation) error {
	return p.children(func(e element) error {
		if e.name != "NavigationPropertyBinding" {
			return p.annotationOr(e, annotations)
		}
		*list = append(*list, Binding{p.str(e, "Path"), p.str(e, "Target")})
		return p.skip()
	})
}

func (p *reader) operationImport(e element, attr string) (*OperationImport, error) {
	i := &OperationImport{EntitySet: p.str(e, "EntitySet")}
	var err error
	if i.Name, err = p.need(e, "Name"); err != nil {
		return i, err
	}
	if i.Operation, err = p.need(e, attr); err != nil {
		return i, err
	}
	if i.Listed, err = p.boolean(e, "IncludeInServiceDocument", false); err != nil {
		return i, err
	}
	return i, p.annotations(&i.Annotations)
}
