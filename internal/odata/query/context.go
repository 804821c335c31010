package query

import (
	"strings"

	"allod"
	"allod/internal/odata/query/internal/expr"
)

// ContextURL is a parsed context URL fragment
// (…/$metadata#accounts(name)/$entity).
type ContextURL struct {
	// Path is the set, singleton or type with what leads from it: names,
	// casts and keys in parentheses.
	Path []Segment
	// Collection is the type in Collection(…); then Path is empty.
	Collection string
	Select     []ContextItem
	HasSelect  bool
	// Suffix is "", "$entity", "$delta", "$deletedEntity", "$link",
	// "$deletedLink" or "$ref".
	Suffix string
}

// ContextItem is one item of the select list of a context URL.
type ContextItem struct {
	Path      []string // segments; "*" for all
	Recursive bool     // "+"
	Parens    bool
	Items     []ContextItem
}

// ParseContext reads the fragment of a context URL, without "#", as it stands
// in payloads: not percent-encoded. Errors are Invalid.
func ParseContext(fragment string) (*ContextURL, error) {
	if len(fragment) > MaxURL {
		return nil, allod.Errorf(allod.Invalid, "parse context URL: longer than %d bytes", MaxURL)
	}
	p := &scan{Scanner: expr.Scanner{Text: fragment, What: "context URL"}}
	c := &ContextURL{}
	if p.TakeExact("$ref") {
		c.Suffix = "$ref"
	} else if strings.HasPrefix(fragment, "Collection(") {
		p.At = len("Collection(")
		start := p.At
		if !p.TakeExact("$ref") {
			if _, err := p.Dotted(); err != nil {
				return nil, err
			}
		}
		c.Collection = p.Text[start:p.At]
		if err := p.Need(')'); err != nil {
			return nil, err
		}
		if err := p.contextSelect(c); err != nil {
			return nil, err
		}
	} else if err := p.contextPath(c); err != nil {
		return nil, err
	}
	if !p.Done() {
		return nil, p.Fail("the end")
	}
	return c, nil
}

func (p *scan) contextPath(c *ContextURL) error {
	for {
		if p.Peek() == '$' {
			p.At++
			name, err := p.Ident()
			if err != nil || !strings.Contains(" entity delta deletedEntity link deletedLink ", " "+name+" ") || len(c.Path) == 0 {
				return p.Fail("$entity, $delta, $deletedEntity, $link or $deletedLink")
			}
			c.Suffix = "$" + name
			return nil
		}
		if c.HasSelect || len(c.Path) > maxSegments {
			return p.Fail("the end")
		}
		name, err := p.Dotted()
		if err != nil {
			return err
		}
		seg := Segment{Kind: SegName, Name: name}
		if p.Peek() == '(' {
			at := p.At
			args, err := p.Args(false)
			// A key is followed by more of the path; a list of names, or
			// nothing, is a select list.
			if err == nil && len(args) > 0 && p.Peek() == '/' {
				seg.Parens, seg.Args = true, args
			} else {
				p.At = at
			}
		}
		c.Path = append(c.Path, seg)
		if err := p.contextSelect(c); err != nil {
			return err
		}
		if !p.Take('/') {
			return nil
		}
	}
}

// contextSelect reads a select list if there is one.
func (p *scan) contextSelect(c *ContextURL) (err error) {
	if p.Peek() != '(' {
		return nil
	}
	c.HasSelect = true
	c.Select, err = p.contextItems()
	return err
}

func (p *scan) contextItems() ([]ContextItem, error) {
	if err := p.Enter(); err != nil {
		return nil, err
	}
	defer p.Leave()
	p.At++
	if p.Take(')') {
		return nil, nil
	}
	var list []ContextItem
	err := p.Items(func() error {
		it, err := p.contextItem()
		list = append(list, it)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, p.Need(')')
}

func (p *scan) contextItem() (it ContextItem, err error) {
	for {
		seg, err := p.itemSegment()
		if err != nil {
			return it, err
		}
		it.Path = append(it.Path, seg)
		if !p.Take('/') {
			break
		}
	}
	it.Recursive = p.Take('+')
	if p.Peek() == '(' {
		it.Parens = true
		it.Items, err = p.contextItems()
	}
	return it, err
}
