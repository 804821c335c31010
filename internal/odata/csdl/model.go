// Package csdl holds the entity data model that an OData v4 service publishes
// under $metadata, reads it from CSDL XML and writes it back (OASIS OData CSDL
// XML 4.01; protocols/dataverse.md §3.1). It does no I/O beyond the reader and
// writer it is given.
//
// A Model is safe for concurrent reading once Index has returned; it must not
// be changed while others read it.
package csdl

import "strings"

// Model is one $metadata document.
type Model struct {
	Version    string // of the Edmx element, e.g. "4.0"
	References []Reference
	Schemas    []*Schema

	// Ignored names the elements that ParseCSDL did not understand and left
	// out, each once, in order of appearance.
	Ignored []string

	index *index
}

// Reference points to another CSDL document.
type Reference struct {
	URI                string
	Includes           []Include
	IncludeAnnotations []IncludeAnnotations
	Annotations        []Annotation
}

// Include makes a schema of a referenced document known.
type Include struct{ Namespace, Alias string }

// IncludeAnnotations makes annotations of a referenced document known.
type IncludeAnnotations struct{ TermNamespace, Qualifier, TargetNamespace string }

// Schema is one namespace of the model.
type Schema struct {
	Namespace, Alias string
	EntityTypes      []*EntityType
	ComplexTypes     []*ComplexType
	EnumTypes        []*EnumType
	TypeDefinitions  []*TypeDefinition
	Functions        []*Operation
	Actions          []*Operation
	Terms            []*Term
	Container        *EntityContainer // nil if the schema has none
	Targets          []AnnotationTarget
	Annotations      []Annotation
}

// AnnotationTarget is an Annotations element: annotations written apart from
// what they annotate.
type AnnotationTarget struct {
	Target, Qualifier string
	Annotations       []Annotation
}

// EntityType is a type whose values have a key.
type EntityType struct {
	Name       string
	BaseType   string // qualified by namespace or alias as written, "" = none
	Abstract   bool
	OpenType   bool
	HasStream  bool
	Key        []PropertyRef // empty if inherited
	Properties []Property
	Navigation []NavigationProperty

	Annotations []Annotation
}

// ComplexType is a structured type without a key.
type ComplexType struct {
	Name        string
	BaseType    string
	Abstract    bool
	OpenType    bool
	Properties  []Property
	Navigation  []NavigationProperty
	Annotations []Annotation
}

// PropertyRef is one part of a key.
type PropertyRef struct{ Name, Alias string }

// Facets refine a type. The zero value says nothing.
type Facets struct {
	MaxLength  int    // characters or bytes; 0 = not said, MaxLengthMax = "max"
	Precision  string // digits as written, "" = not said
	Scale      string // digits, "variable" or "floating" as written, "" = not said
	SRID       string
	NotUnicode bool // Unicode="false"
}

// MaxLengthMax is the MaxLength of a property that says "max".
const MaxLengthMax = -1

// Property is a structural property.
type Property struct {
	Name    string
	Type    string // e.g. "Edm.String", "Collection(mscrm.x)", as written
	NotNull bool   // Nullable="false"; the default of CSDL is nullable
	Facets
	Default     string // DefaultValue
	HasDefault  bool
	Annotations []Annotation
}

// NavigationProperty leads to other entities.
type NavigationProperty struct {
	Name           string
	Type           string // of one target, as written, without Collection()
	Collection     bool
	NotNull        bool // Nullable="false"; noise in Dataverse (protocols/dataverse.md §3.1)
	Partner        string
	ContainsTarget bool
	Constraints    []ReferentialConstraint
	OnDelete       string // Cascade, None, SetNull, SetDefault; "" = not said
	Annotations    []Annotation
}

// ReferentialConstraint says which property holds the key of the target.
type ReferentialConstraint struct {
	Property, ReferencedProperty string
	Annotations                  []Annotation
}

// EnumType is an enumeration.
type EnumType struct {
	Name        string
	Underlying  string // UnderlyingType, "" = Edm.Int32
	IsFlags     bool
	Members     []Member
	Annotations []Annotation
}

// Member is one value of an EnumType.
type Member struct {
	Name        string
	Value       int64
	HasValue    bool // false: one more than the member before it
	Annotations []Annotation
}

// TypeDefinition gives a primitive type another name.
type TypeDefinition struct {
	Name, Underlying string
	Facets
	Annotations []Annotation
}

// Operation is a function or an action.
type Operation struct {
	Name          string
	Bound         bool // the first parameter is the binding parameter
	Composable    bool // functions only
	EntitySetPath string
	Parameters    []Parameter
	Return        *ReturnType // nil if it returns nothing
	Annotations   []Annotation
}

// Parameter is a parameter of an Operation.
type Parameter struct {
	Name    string
	Type    string
	NotNull bool
	Facets
	Annotations []Annotation
}

// ReturnType is the type an Operation returns.
type ReturnType struct {
	Type    string
	NotNull bool
	Facets
	Annotations []Annotation
}

// Term is an annotation term.
type Term struct {
	Name, Type, BaseTerm, AppliesTo string
	NotNull                         bool
	Default                         string
	HasDefault                      bool
	Facets
	Annotations []Annotation
}

// EntityContainer lists what the service offers.
type EntityContainer struct {
	Name            string
	Extends         string
	EntitySets      []*EntitySet
	Singletons      []*Singleton
	FunctionImports []*OperationImport
	ActionImports   []*OperationImport
	Annotations     []Annotation
}

// EntitySet is a collection under a URL.
type EntitySet struct {
	Name        string
	EntityType  string // qualified as written
	Hidden      bool   // IncludeInServiceDocument="false"
	Bindings    []Binding
	Annotations []Annotation
}

// Binding says in which set the targets of a navigation property lie.
type Binding struct{ Path, Target string }

// Singleton is a single entity under a URL.
type Singleton struct {
	Name        string
	Type        string
	Bindings    []Binding
	Annotations []Annotation
}

// OperationImport makes an unbound function or action callable.
type OperationImport struct {
	Name        string
	Operation   string // qualified name of the function or action
	EntitySet   string
	Listed      bool // IncludeInServiceDocument="true", functions only
	Annotations []Annotation
}

// Annotation is a statement about a model element. Its value is an expression:
// either an attribute in Attrs (e.g. String, Bool, PropertyPath) or elements
// in Children.
type Annotation struct {
	Term      string
	Qualifier string
	Attrs     []Attr
	Children  []Element
}

// Element is a piece of an annotation's expression, as in the XML.
type Element struct {
	Name     string // local name
	Attrs    []Attr
	Text     string // character data, trimmed; "" where there are Children
	Children []Element
}

// Attr is an attribute of an Element.
type Attr struct{ Name, Value string }

// Attr returns the attribute's value, "" if the element lacks it.
func (e *Element) Attr(name string) string { return attrOf(e.Attrs, name) }

// Attr returns the attribute's value, "" if the annotation lacks it.
func (a *Annotation) Attr(name string) string { return attrOf(a.Attrs, name) }

func attrOf(attrs []Attr, name string) string {
	for _, a := range attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// SplitCollection takes Collection(T) apart.
func SplitCollection(t string) (item string, collection bool) {
	if rest, ok := strings.CutPrefix(t, "Collection("); ok {
		if item, ok := strings.CutSuffix(rest, ")"); ok {
			return item, true
		}
	}
	return t, false
}
