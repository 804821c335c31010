package query

import (
	"strings"

	"allod"
	"allod/internal/odata/query/internal/expr"
)

// place is where options stand; it decides which are allowed.
type place uint8

const (
	inRequest place = iota
	inExpand
	inExpandRef
	inCount // $count of an $expand item or of an expression
	inExpandStar
	inSelect
)

// allowed lists the options of each place, without "$". inRequest allows all
// but levels.
var allowed = map[place]string{
	inExpand:     " filter search orderby skip top count select expand compute levels apply ",
	inExpandRef:  " filter search orderby skip top count ",
	inCount:      " filter search ",
	inExpandStar: " levels ",
	inSelect:     " filter search count orderby skip top compute select ",
	inRequest: " compute deltatoken expand filter format id count orderby schemaversion search select skip skiptoken" +
		" top index apply ",
}

// ParseOptions reads a percent-encoded query string, without "?". Errors are
// Invalid.
func (d Dialect) ParseOptions(raw string) (*Options, error) {
	o := &Options{}
	if len(raw) > MaxURL {
		return nil, allod.Errorf(allod.Invalid, "parse query options: longer than %d bytes", MaxURL)
	}
	if strings.IndexByte(raw, '#') >= 0 {
		return nil, allod.Errorf(allod.Invalid, "parse query options: \"#\" has to be percent-encoded")
	}
	for rawPart := range strings.SplitSeq(raw, "&") {
		if rawPart == "" && raw == "" {
			break
		}
		if err := d.option(o, rawPart); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// option reads one percent-encoded option into o.
func (d Dialect) option(o *Options, raw string) error {
	rawName, rawValue, hasValue := strings.Cut(raw, "=")
	name, err := expr.Decode(rawName, "query option", d.PlusIsSpace)
	if err != nil {
		return err
	}
	if name == "" {
		return allod.Errorf(allod.Invalid, "parse query options: an option without a name")
	}
	key, system := d.system(name)
	what := "query option"
	if system {
		what = "$" + key
	}
	value, err := expr.Decode(rawValue, what, d.PlusIsSpace)
	if err != nil {
		return err
	}
	p := &scan{Scanner: expr.Scanner{Text: value, What: what}, d: d}
	switch {
	case system:
		if key == "search" && strings.IndexByte(rawValue, ';') >= 0 {
			return allod.Errorf(allod.Invalid, "parse $search: \";\" has to be percent-encoded")
		}
		if d.Exact && o.Has("$"+key) {
			return allod.Errorf(allod.Invalid, "parse query options: $%s given twice", key)
		}
		err = p.value(o, key)
	case name[0] == '@':
		if !hasValue || !IsIdentifier(name[1:]) {
			return allod.Errorf(allod.Invalid, "parse query options: want a value for a parameter alias")
		}
		err = p.alias(o, name[1:])
	case name[0] == '$' || d.Custom != nil && !d.Custom(name):
		return allod.Errorf(allod.Invalid, "parse query options: the query parameter %q is not supported", clip(name))
	default:
		o.Custom = append(o.Custom, Custom{name, value})
		o.Names = append(o.Names, name)
		return nil
	}
	if err == nil && !p.Done() {
		err = p.Fail("the end")
	}
	return err
}

func clip(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// system returns the name without "$" if it is that of a system query option.
func (d Dialect) system(name string) (string, bool) {
	key := strings.TrimPrefix(name, "$")
	if !d.Exact {
		key = strings.ToLower(key)
	}
	if d.Exact && key == name || strings.ContainsAny(key, " $") || !strings.Contains(allowed[inRequest], " "+key+" ") {
		return "", false
	}
	return key, true
}

// alias reads the value of a parameter alias.
func (p *scan) alias(o *Options, name string) error {
	v, err := p.JSONValue()
	if err != nil {
		return err
	}
	if o.Aliases == nil {
		o.Aliases = map[string]Expr{}
	}
	o.Aliases[name] = v
	o.Names = append(o.Names, "@"+name)
	return nil
}

// nested reads options in parentheses, separated by semicolons.
func (p *scan) nested(at place) (*Options, error) {
	if err := p.Enter(); err != nil {
		return nil, err
	}
	defer p.Leave()
	p.At++ // "("
	o := &Options{}
	for {
		if err := p.nestedOption(o, at); err != nil {
			return nil, err
		}
		if p.Take(')') {
			return o, nil
		}
		if err := p.Need(';'); err != nil {
			return nil, err
		}
	}
}

func (p *scan) nestedOption(o *Options, at place) error {
	if (at == inExpand || at == inSelect) && p.Take('@') {
		name, err := p.Ident()
		if err != nil {
			return err
		}
		if err := p.Need('='); err != nil {
			return err
		}
		return p.alias(o, name)
	}
	dollar := p.Take('$')
	n := expr.Run(p.Rest(), func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' })
	key := p.Rest()[:n]
	if !p.d.Exact {
		key = strings.ToLower(key)
	} else if !dollar {
		return p.Fail("\"$\" before an option")
	}
	if key == "" || !strings.Contains(allowed[at], " "+key+" ") {
		return p.Fail("an option that is allowed here")
	}
	p.At += n
	if err := p.Need('='); err != nil {
		return err
	}
	if p.d.Exact && o.Has("$"+key) {
		return p.Fail("each option once")
	}
	return p.value(o, key)
}

// value reads the value of a system query option up to where it ends.
func (p *scan) value(o *Options, key string) error {
	o.Names = append(o.Names, "$"+key)
	var err error
	switch key {
	case "select":
		o.Select, err = p.selectItems()
	case "expand":
		o.Expand, err = p.expandItems()
	case "filter":
		o.Filter, err = p.Expr()
	case "orderby":
		o.OrderBy, err = p.orderItems()
	case "compute":
		o.Compute, err = p.computeItems()
	case "apply":
		o.Apply, err = p.transforms()
	case "search":
		o.Search, err = p.Search()
	case "count":
		o.Count.Set = true
		switch {
		case p.TakeText("true"):
			o.Count.Value = true
		case p.TakeText("false"):
		default:
			err = p.Fail("true or false")
		}
	case "top":
		o.Top, err = p.number(false)
	case "skip":
		o.Skip, err = p.number(false)
	case "index":
		o.Index, err = p.number(true)
	case "levels":
		o.Levels, err = p.levels()
	default:
		err = p.text(o, key)
	}
	return err
}

// text reads an option whose value is taken as it is.
func (p *scan) text(o *Options, key string) error {
	v := p.Rest()
	p.At = len(p.Text)
	switch key {
	case "format":
		a, b, media := strings.Cut(v, "/")
		if l := strings.ToLower(v); media && (a == "" || b == "") || !media && l != "json" && l != "xml" && l != "atom" {
			return p.Fail("json, xml, atom or a media type")
		}
		o.Format = v
	case "id":
		o.ID = v
	case "skiptoken":
		o.SkipToken = v
	case "deltatoken":
		o.DeltaToken = v
	case "schemaversion":
		for i := range len(v) {
			if c := v[i]; v != "*" && !expr.WordByte(c) && strings.IndexByte("-.~", c) < 0 {
				return p.Fail("a version")
			}
		}
		o.Schema = v
	}
	if v == "" {
		return p.Fail("a value")
	}
	return nil
}

func (p *scan) number(signed bool) (Number, error) {
	neg := signed && p.Take('-')
	n := digits(p.Rest())
	v, ok := expr.ParseInt(p.Rest()[:n])
	if !ok {
		return Number{}, p.Fail("a number")
	}
	p.At += n
	if neg {
		v = -v
	}
	return Number{Set: true, N: v}, nil
}

func (p *scan) levels() (Number, error) {
	if p.TakeText("max") {
		return Number{Set: true, N: LevelsMax}, nil
	}
	if c := p.Peek(); c < '1' || c > '9' {
		return Number{}, p.Fail("\"max\" or a number without leading zeroes")
	}
	return p.number(false)
}

func (p *scan) orderItems() ([]OrderItem, error) {
	var list []OrderItem
	return list, p.Items(func() error {
		e, err := p.Expr()
		if err != nil {
			return err
		}
		it := OrderItem{Expr: e}
		at := p.At
		if p.Space() {
			switch {
			case p.TakeText("asc"):
				it.Asc = true
			case p.TakeText("desc"):
				it.Desc = true
			default:
				p.At = at
			}
		}
		p.spaceBeforeEnd()
		list = append(list, it)
		return nil
	})
}

// spaceBeforeEnd skips whitespace in front of a comma or of the end, which
// clients write and services take.
func (p *scan) spaceBeforeEnd() {
	at := p.At
	p.Space()
	if c := p.Peek(); c != 0 && c != ',' {
		p.At = at
	}
}

func (p *scan) computeItems() ([]ComputeItem, error) {
	var list []ComputeItem
	return list, p.Items(func() error {
		e, err := p.Expr()
		if err != nil {
			return err
		}
		if !p.Keyword("as") {
			return p.Fail("\"as\"")
		}
		name, err := p.Ident()
		list = append(list, ComputeItem{e, name})
		return err
	})
}

func (p *scan) selectItems() ([]SelectItem, error) {
	var list []SelectItem
	return list, p.Items(func() error {
		it, err := p.selectItem()
		list = append(list, it)
		return err
	})
}

func (p *scan) selectItem() (SelectItem, error) {
	var it SelectItem
	for {
		seg, err := p.itemSegment()
		if err != nil {
			return it, err
		}
		it.Path = append(it.Path, seg)
		if strings.HasSuffix(seg, "*") || !p.Take('/') {
			break
		}
	}
	last := it.Path[len(it.Path)-1]
	if last == "*" && len(it.Path) > 1 {
		return it, p.Fail("\"*\" alone")
	}
	if p.Peek() != '(' || strings.HasSuffix(last, "*") {
		p.spaceBeforeEnd()
		return it, nil
	}
	if inner := p.Rest()[1:]; strings.HasPrefix(inner, "$") || strings.HasPrefix(inner, "@") ||
		strings.HasPrefix(inner[expr.IdentLen(inner):], "=") {
		var err error
		it.Options, err = p.nested(inSelect)
		return it, err
	}
	p.At++
	it.Parens = true
	err := p.Items(func() error {
		name, err := p.Ident()
		it.Params = append(it.Params, name)
		return err
	})
	if err != nil {
		return it, err
	}
	return it, p.Need(')')
}

// itemSegment reads a segment of a $select or $expand path.
func (p *scan) itemSegment() (string, error) {
	start := p.At
	switch {
	case p.Take('*'):
		return "*", nil
	case p.Take('@'):
		if _, err := p.Annotation(); err != nil {
			return "", err
		}
		return p.Text[start:p.At], nil
	}
	if _, err := p.Dotted(); err != nil {
		return "", err
	}
	if strings.HasPrefix(p.Rest(), ".*") {
		p.At += 2
	}
	return p.Text[start:p.At], nil
}

func (p *scan) expandItems() ([]ExpandItem, error) {
	var list []ExpandItem
	return list, p.Items(func() error {
		it, err := p.expandItem()
		list = append(list, it)
		return err
	})
}

func (p *scan) expandItem() (ExpandItem, error) {
	var it ExpandItem
	if p.TakeExact("$value") {
		it.Path = []string{"$value"}
		return it, nil
	}
	at := inExpand
	for {
		seg, err := p.itemSegment()
		if err != nil {
			return it, err
		}
		it.Path = append(it.Path, seg)
		if seg == "*" {
			at = inExpandStar
		} else if strings.HasSuffix(seg, "*") {
			return it, p.Fail("a navigation property")
		}
		if !p.Take('/') {
			break
		}
		if p.TakeExact("$ref") {
			it.Ref, at = true, inExpandRef
			break
		}
		if at == inExpandStar {
			return it, p.Fail("the end after \"*\"")
		}
		if p.TakeExact("$count") {
			it.Count, at = true, inCount
			break
		}
	}
	last := it.Path[len(it.Path)-1]
	if len(it.Path) == 1 && strings.IndexByte(last, '.') > 0 && last[0] != '@' {
		return it, p.Fail("\"/\" after a type")
	}
	if p.Peek() == '(' && (at != inExpandRef || last != "*") {
		var err error
		it.Options, err = p.nested(at)
		return it, err
	}
	p.spaceBeforeEnd()
	return it, nil
}
