package query

import (
	"strings"

	"allod"
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
	p := &scan{s: fragment, what: "context URL"}
	c := &ContextURL{}
	if p.takeExact("$ref") {
		c.Suffix = "$ref"
	} else if strings.HasPrefix(fragment, "Collection(") {
		p.i = len("Collection(")
		start := p.i
		if !p.takeExact("$ref") {
			if _, err := p.dotted(); err != nil {
				return nil, err
			}
		}
		c.Collection = p.s[start:p.i]
		if err := p.need(')'); err != nil {
			return nil, err
		}
		if err := p.contextSelect(c); err != nil {
			return nil, err
		}
	} else if err := p.contextPath(c); err != nil {
		return nil, err
	}
	if !p.done() {
		return nil, p.fail("the end")
	}
	return c, nil
}

func (p *scan) contextPath(c *ContextURL) error {
	for {
		if p.peek() == '$' {
			p.i++
			name, err := p.ident()
			if err != nil || !strings.Contains(" entity delta deletedEntity link deletedLink ", " "+name+" ") || len(c.Path) == 0 {
				return p.fail("$entity, $delta, $deletedEntity, $link or $deletedLink")
			}
			c.Suffix = "$" + name
			return nil
		}
		if c.HasSelect || len(c.Path) > maxSegments {
			return p.fail("the end")
		}
		name, err := p.dotted()
		if err != nil {
			return err
		}
		seg := Segment{Kind: SegName, Name: name}
		if p.peek() == '(' {
			at := p.i
			args, err := p.args(false)
			// A key is followed by more of the path; a list of names, or
			// nothing, is a select list.
			if err == nil && len(args) > 0 && p.peek() == '/' {
				seg.Parens, seg.Args = true, args
			} else {
				p.i = at
			}
		}
		c.Path = append(c.Path, seg)
		if err := p.contextSelect(c); err != nil {
			return err
		}
		if !p.take('/') {
			return nil
		}
	}
}

// contextSelect reads a select list if there is one.
func (p *scan) contextSelect(c *ContextURL) (err error) {
	if p.peek() != '(' {
		return nil
	}
	c.HasSelect = true
	c.Select, err = p.contextItems()
	return err
}

func (p *scan) contextItems() ([]ContextItem, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	p.i++
	if p.take(')') {
		return nil, nil
	}
	var list []ContextItem
	err := p.items(func() error {
		it, err := p.contextItem()
		list = append(list, it)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, p.need(')')
}

func (p *scan) contextItem() (it ContextItem, err error) {
	for {
		seg, err := p.itemSegment()
		if err != nil {
			return it, err
		}
		it.Path = append(it.Path, seg)
		if !p.take('/') {
			break
		}
	}
	it.Recursive = p.take('+')
	if p.peek() == '(' {
		it.Parens = true
		it.Items, err = p.contextItems()
	}
	return it, err
}
