package csdl

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"

	"allod"
)

// Limits of ParseCSDL against hostile input. The largest real documents have
// about 10 MB and 300,000 elements.
const (
	maxBytes    = 128 << 20
	maxElements = 4 << 20
	maxNesting  = 64
	maxIgnored  = 100
)

// ParseCSDL reads a $metadata document (CSDL XML 4.0 or 4.01) of at most
// 128 MiB, 4 Mi elements and 64 levels. Namespace prefixes are not checked;
// elements it does not know are left out and named in Ignored. What is not XML,
// has a document type, or is no CSDL is Invalid; an error of r keeps its Kind,
// or is Unavailable if it has none.
func ParseCSDL(r io.Reader) (*Model, error) {
	watched := &watch{r: r}
	limited := &io.LimitedReader{R: watched, N: maxBytes + 1}
	p := &reader{dec: xml.NewDecoder(limited), limited: limited, watched: watched, names: map[string]string{}}
	m, err := p.document()
	if err != nil {
		return nil, err
	}
	m.Index()
	return m, nil
}

// watch remembers the error of a reader, to tell it from those of the decoder.
type watch struct {
	r   io.Reader
	err error
}

func (w *watch) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

type reader struct {
	dec      *xml.Decoder
	limited  *io.LimitedReader
	watched  *watch
	names    map[string]string // interns repeated values
	open     []xml.Name
	elements int
	model    *Model
}

// element is a start tag with its attributes, which attr takes out.
type element struct {
	name  string
	attrs []xml.Attr
}

func invalid(format string, args ...any) error {
	return allod.Errorf(allod.Invalid, "read CSDL: "+format, args...)
}

// token returns the next start tag, end tag or text; io.EOF at the end.
func (p *reader) token() (xml.Token, error) {
	for {
		t, err := p.dec.RawToken()
		if err != nil {
			return nil, p.fail(err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			p.elements++
			if p.elements > maxElements {
				return nil, invalid("more than %d elements", maxElements)
			}
			if len(p.open) >= maxNesting {
				return nil, invalid("nested deeper than %d levels", maxNesting)
			}
			p.open = append(p.open, t.Name)
			return t, nil
		case xml.EndElement:
			if len(p.open) == 0 || p.open[len(p.open)-1] != t.Name {
				return nil, invalid("end tag without its start tag at byte %d", p.dec.InputOffset())
			}
			p.open = p.open[:len(p.open)-1]
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Directive:
			return nil, invalid("a document type is not allowed")
		}
	}
}

func (p *reader) fail(err error) error {
	if cause := p.watched.err; cause != nil {
		kind := allod.KindOf(cause)
		if kind == allod.Internal {
			kind = allod.Unavailable
		}
		return allod.Errorf(kind, "read CSDL: %w", cause)
	}
	if p.limited.N <= 0 {
		return invalid("more than %d bytes", maxBytes)
	}
	if errors.Is(err, io.EOF) {
		if len(p.open) > 0 {
			return invalid("the document breaks off")
		}
		return io.EOF
	}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return invalid("not XML in line %d", syntax.Line)
	}
	return invalid("not XML in UTF-8")
}

// children calls f for every child of the element whose start tag was read
// last. f must consume the child (children, skip or tree).
func (p *reader) children(f func(e element) error) error {
	for {
		t, err := p.token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := f(element{t.Name.Local, t.Attr}); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

func (p *reader) skip() error { return p.children(func(element) error { return p.skip() }) }

// unknown skips an element and notes its name.
func (p *reader) unknown(e element) error {
	known := len(p.model.Ignored) >= maxIgnored
	for _, n := range p.model.Ignored {
		known = known || n == e.name
	}
	if !known {
		p.model.Ignored = append(p.model.Ignored, e.name)
	}
	return p.skip()
}

func (p *reader) intern(s string) string {
	if len(s) > 64 {
		return s
	}
	if t, ok := p.names[s]; ok {
		return t
	}
	p.names[s] = s
	return s
}

// attr returns an attribute without a prefix.
func (p *reader) attr(e element, name string) (string, bool) {
	for _, a := range e.attrs {
		if a.Name.Local == name && a.Name.Space == "" {
			return p.intern(a.Value), true
		}
	}
	return "", false
}

func (p *reader) str(e element, name string) string {
	s, _ := p.attr(e, name)
	return s
}

func (p *reader) need(e element, name string) (string, error) {
	s, ok := p.attr(e, name)
	if !ok || s == "" {
		return "", invalid("%s without %s at byte %d", e.name, name, p.dec.InputOffset())
	}
	return s, nil
}

func (p *reader) boolean(e element, name string, def bool) (bool, error) {
	s, ok := p.attr(e, name)
	if !ok {
		return def, nil
	}
	switch strings.TrimSpace(s) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, invalid("%s: %s is neither true nor false at byte %d", e.name, name, p.dec.InputOffset())
}

func (p *reader) document() (*Model, error) {
	p.model = &Model{}
	root := false
	for {
		t, err := p.token()
		if errors.Is(err, io.EOF) {
			if !root {
				return nil, invalid("no Edmx element")
			}
			return p.model, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if root || t.Name.Local != "Edmx" {
				return nil, invalid("want one Edmx element at the top")
			}
			root = true
			if err := p.edmx(element{t.Name.Local, t.Attr}); err != nil {
				return nil, err
			}
		case xml.CharData:
			if strings.Trim(string(t), " \t\r\n\uFEFF") != "" {
				return nil, invalid("text outside of the Edmx element")
			}
		}
	}
}

func (p *reader) edmx(e element) error {
	p.model.Version = p.str(e, "Version")
	if p.model.Version != "4.0" && p.model.Version != "4.01" {
		return invalid("Edmx version is not 4.0 or 4.01")
	}
	return p.children(func(e element) error {
		switch e.name {
		case "Reference":
			return p.reference(e)
		case "DataServices":
			return p.children(func(e element) error {
				if e.name == "Schema" {
					return p.schema(e)
				}
				return p.unknown(e)
			})
		}
		return p.unknown(e)
	})
}

func (p *reader) reference(e element) error {
	uri, err := p.need(e, "Uri")
	if err != nil {
		return err
	}
	ref := Reference{URI: uri}
	err = p.children(func(e element) error {
		switch e.name {
		case "Include":
			ref.Includes = append(ref.Includes, Include{p.str(e, "Namespace"), p.str(e, "Alias")})
			return p.skip()
		case "IncludeAnnotations":
			ref.IncludeAnnotations = append(ref.IncludeAnnotations, IncludeAnnotations{
				p.str(e, "TermNamespace"), p.str(e, "Qualifier"), p.str(e, "TargetNamespace"),
			})
			return p.skip()
		}
		return p.annotationOr(e, &ref.Annotations)
	})
	p.model.References = append(p.model.References, ref)
	return err
}

// annotationOr reads e into list if it is an Annotation and notes it as
// unknown otherwise.
func (p *reader) annotationOr(e element, list *[]Annotation) error {
	if e.name != "Annotation" {
		return p.unknown(e)
	}
	term, err := p.need(e, "Term")
	if err != nil {
		return err
	}
	tree, err := p.tree(e)
	if err != nil {
		return err
	}
	a := Annotation{Term: term, Qualifier: p.str(e, "Qualifier"), Children: tree.Children}
	for _, at := range tree.Attrs {
		if at.Name != "Term" && at.Name != "Qualifier" {
			a.Attrs = append(a.Attrs, at)
		}
	}
	*list = append(*list, a)
	return nil
}

// annotations reads an element that holds nothing but annotations.
func (p *reader) annotations(list *[]Annotation) error {
	return p.children(func(e element) error { return p.annotationOr(e, list) })
}

// tree reads an annotation expression as it stands.
func (p *reader) tree(e element) (Element, error) {
	out := Element{Name: p.intern(e.name)}
	for _, a := range e.attrs {
		if a.Name.Space == "" && a.Name.Local != "xmlns" {
			out.Attrs = append(out.Attrs, Attr{p.intern(a.Name.Local), p.intern(a.Value)})
		}
	}
	var text strings.Builder
	for {
		t, err := p.token()
		if err != nil {
			return out, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			child, err := p.tree(element{t.Name.Local, t.Attr})
			if err != nil {
				return out, err
			}
			out.Children = append(out.Children, child)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if len(out.Children) == 0 {
				out.Text = strings.TrimSpace(text.String())
			}
			return out, nil
		}
	}
}

func (p *reader) facets(e element) (Facets, error) {
	f := Facets{Precision: p.str(e, "Precision"), Scale: p.str(e, "Scale"), SRID: p.str(e, "SRID")}
	unicode, err := p.boolean(e, "Unicode", true)
	if err != nil {
		return f, err
	}
	f.NotUnicode = !unicode
	if s, ok := p.attr(e, "MaxLength"); ok {
		if strings.EqualFold(s, "max") {
			f.MaxLength = MaxLengthMax
		} else if f.MaxLength, err = strconv.Atoi(s); err != nil || f.MaxLength < 0 {
			return f, invalid("%s: MaxLength is not a length at byte %d", e.name, p.dec.InputOffset())
		}
	}
	return f, nil
}
