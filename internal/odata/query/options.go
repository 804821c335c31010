package query

import (
	"strings"

	"allod"
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
	name, err := decode(rawName, "query option", d.PlusIsSpace)
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
	value, err := decode(rawValue, what, d.PlusIsSpace)
	if err != nil {
		return err
	}
	p := &scan{s: value, d: d, what: what}
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
	if err == nil && !p.done() {
		err = p.fail("the end")
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
	v, err := p.jsonValue()
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
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	p.i++ // "("
	o := &Options{}
	for {
		if err := p.nestedOption(o, at); err != nil {
			return nil, err
		}
		if p.take(')') {
			return o, nil
		}
		if err := p.need(';'); err != nil {
			return nil, err
		}
	}
}

func (p *scan) nestedOption(o *Options, at place) error {
	if (at == inExpand || at == inSelect) && p.take('@') {
		name, err := p.ident()
		if err != nil {
			return err
		}
		if err := p.need('='); err != nil {
			return err
		}
		return p.alias(o, name)
	}
	dollar := p.take('$')
	n := run(p.rest(), func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' })
	key := p.rest()[:n]
	if !p.d.Exact {
		key = strings.ToLower(key)
	} else if !dollar {
		return p.fail("\"$\" before an option")
	}
	if key == "" || !strings.Contains(allowed[at], " "+key+" ") {
		return p.fail("an option that is allowed here")
	}
	p.i += n
	if err := p.need('='); err != nil {
		return err
	}
	if p.d.Exact && o.Has("$"+key) {
		return p.fail("each option once")
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
		o.Filter, err = p.expr()
	case "orderby":
		o.OrderBy, err = p.orderItems()
	case "compute":
		o.Compute, err = p.computeItems()
	case "apply":
		o.Apply, err = p.transforms()
	case "search":
		o.Search, err = p.search()
	case "count":
		o.Count.Set = true
		switch {
		case p.takeText("true"):
			o.Count.Value = true
		case p.takeText("false"):
		default:
			err = p.fail("true or false")
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
	v := p.rest()
	p.i = len(p.s)
	switch key {
	case "format":
		a, b, media := strings.Cut(v, "/")
		if l := strings.ToLower(v); media && (a == "" || b == "") || !media && l != "json" && l != "xml" && l != "atom" {
			return p.fail("json, xml, atom or a media type")
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
			if c := v[i]; v != "*" && !wordByte(c) && strings.IndexByte("-.~", c) < 0 {
				return p.fail("a version")
			}
		}
		o.Schema = v
	}
	if v == "" {
		return p.fail("a value")
	}
	return nil
}

func (p *scan) number(signed bool) (Number, error) {
	neg := signed && p.take('-')
	n := run(p.rest(), isDigit)
	v, ok := parseInt(p.rest()[:n])
	if !ok {
		return Number{}, p.fail("a number")
	}
	p.i += n
	if neg {
		v = -v
	}
	return Number{Set: true, N: v}, nil
}

func (p *scan) levels() (Number, error) {
	if p.takeText("max") {
		return Number{Set: true, N: LevelsMax}, nil
	}
	if c := p.peek(); c < '1' || c > '9' {
		return Number{}, p.fail("\"max\" or a number without leading zeroes")
	}
	return p.number(false)
}

// list reads items separated by commas.
func (p *scan) items(item func() error) error {
	for {
		if err := item(); err != nil {
			return err
		}
		if !p.take(',') {
			return nil
		}
		p.space()
	}
}

func (p *scan) orderItems() ([]OrderItem, error) {
	var list []OrderItem
	return list, p.items(func() error {
		e, err := p.expr()
		if err != nil {
			return err
		}
		it := OrderItem{Expr: e}
		at := p.i
		if p.space() {
			switch {
			case p.takeText("asc"):
				it.Asc = true
			case p.takeText("desc"):
				it.Desc = true
			default:
				p.i = at
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
	at := p.i
	p.space()
	if c := p.peek(); c != 0 && c != ',' {
		p.i = at
	}
}

func (p *scan) computeItems() ([]ComputeItem, error) {
	var list []ComputeItem
	return list, p.items(func() error {
		e, err := p.expr()
		if err != nil {
			return err
		}
		if !p.keyword("as") {
			return p.fail("\"as\"")
		}
		name, err := p.ident()
		list = append(list, ComputeItem{e, name})
		return err
	})
}

func (p *scan) selectItems() ([]SelectItem, error) {
	var list []SelectItem
	return list, p.items(func() error {
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
		if strings.HasSuffix(seg, "*") || !p.take('/') {
			break
		}
	}
	last := it.Path[len(it.Path)-1]
	if last == "*" && len(it.Path) > 1 {
		return it, p.fail("\"*\" alone")
	}
	if p.peek() != '(' || strings.HasSuffix(last, "*") {
		p.spaceBeforeEnd()
		return it, nil
	}
	if inner := p.rest()[1:]; strings.HasPrefix(inner, "$") || strings.HasPrefix(inner, "@") ||
		strings.HasPrefix(inner[identLen(inner):], "=") {
		var err error
		it.Options, err = p.nested(inSelect)
		return it, err
	}
	p.i++
	it.Parens = true
	err := p.items(func() error {
		name, err := p.ident()
		it.Params = append(it.Params, name)
		return err
	})
	if err != nil {
		return it, err
	}
	return it, p.need(')')
}

// itemSegment reads a segment of a $select or $expand path.
func (p *scan) itemSegment() (string, error) {
	start := p.i
	switch {
	case p.take('*'):
		return "*", nil
	case p.take('@'):
		if _, err := p.annotation(); err != nil {
			return "", err
		}
		return p.s[start:p.i], nil
	}
	if _, err := p.dotted(); err != nil {
		return "", err
	}
	if strings.HasPrefix(p.rest(), ".*") {
		p.i += 2
	}
	return p.s[start:p.i], nil
}

func (p *scan) expandItems() ([]ExpandItem, error) {
	var list []ExpandItem
	return list, p.items(func() error {
		it, err := p.expandItem()
		list = append(list, it)
		return err
	})
}

func (p *scan) expandItem() (ExpandItem, error) {
	var it ExpandItem
	if p.takeExact("$value") {
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
			return it, p.fail("a navigation property")
		}
		if !p.take('/') {
			break
		}
		if p.takeExact("$ref") {
			it.Ref, at = true, inExpandRef
			break
		}
		if at == inExpandStar {
			return it, p.fail("the end after \"*\"")
		}
		if p.takeExact("$count") {
			it.Count, at = true, inCount
			break
		}
	}
	last := it.Path[len(it.Path)-1]
	if len(it.Path) == 1 && strings.IndexByte(last, '.') > 0 && last[0] != '@' {
		return it, p.fail("\"/\" after a type")
	}
	if p.peek() == '(' && (at != inExpandRef || last != "*") {
		var err error
		it.Options, err = p.nested(at)
		return it, err
	}
	p.spaceBeforeEnd()
	return it, nil
}

// search reads the value of $search and returns it as it stands: words and
// phrases separated by whitespace, in parentheses perhaps, or anything in
// single quotes.
func (p *scan) search() (string, error) {
	start := p.i
	p.space()
	if p.peek() == '\'' {
		_, err := p.quoted()
		return p.s[start:p.i], err
	}
	err := p.searchTerms()
	return p.s[start:p.i], err
}

func (p *scan) searchTerms() error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	for {
		switch p.peek() {
		case '(':
			p.i++
			p.space()
			if err := p.searchTerms(); err != nil {
				return err
			}
			p.space()
			if err := p.need(')'); err != nil {
				return err
			}
		case '"':
			n := strings.IndexByte(p.rest()[1:], '"')
			if n <= 0 {
				return p.fail("a phrase in double quotes")
			}
			p.i += n + 2
		default:
			n := run(p.rest(), func(c byte) bool { return c > ' ' && strings.IndexByte("()\";", c) < 0 })
			if n == 0 || p.peek() == '\'' {
				return p.fail("a word")
			}
			p.i += n
		}
		at := p.i
		if !p.space() || p.done() || p.peek() == ')' || p.peek() == ';' {
			p.i = at
			return nil
		}
	}
}
