package query

import (
	"strings"

	"allod"
	"allod/internal/odata/query/internal/expr"
)

// maxSegments is how many segments a resource path may have.
const maxSegments = 100

// ParseURL reads a URL relative to the service root: a resource path and
// perhaps "?" with query options, both percent-encoded. A fragment is allowed
// only after $metadata. Errors are Invalid.
func (d Dialect) ParseURL(raw string) (*Request, error) {
	if len(raw) > MaxURL {
		return nil, allod.Errorf(allod.Invalid, "parse URL: longer than %d bytes", MaxURL)
	}
	raw, fragment, hasFragment := strings.Cut(raw, "#")
	rawPath, rawQuery, _ := strings.Cut(raw, "?")
	path, err := d.ParsePath(rawPath)
	if err != nil {
		return nil, err
	}
	o, err := d.ParseOptions(rawQuery)
	if err != nil {
		return nil, err
	}
	if hasFragment {
		if len(path) != 1 || path[0].Kind != SegMetadata {
			return nil, allod.Errorf(allod.Invalid, "parse URL: a fragment is allowed only after $metadata")
		}
		if _, err := ParseContext(fragment); err != nil {
			return nil, err
		}
	}
	r := &Request{Path: path, Options: o, Fragment: fragment}
	return r, r.check()
}

// check judges options that depend on the resource.
func (r *Request) check() error {
	if len(r.Path) == 0 {
		return nil
	}
	able := ""
	switch r.Path[0].Kind {
	case SegBatch, SegMetadata:
		able = " $format "
	case SegEntity:
		able = " $format $id "
		if len(r.Path) > 1 {
			able = " $format $id $expand $select "
		}
		if !r.Options.Has("$id") {
			return allod.Errorf(allod.Invalid, "parse URL: $entity needs $id")
		}
	default:
		return nil
	}
	for _, n := range r.Options.Names {
		if n[0] == '$' && !strings.Contains(able, " "+n+" ") {
			return allod.Errorf(allod.Invalid, "parse URL: %s is not allowed here", n)
		}
	}
	return nil
}

// ParsePath reads a percent-encoded resource path. Empty means the service
// document. Errors are Invalid.
func (d Dialect) ParsePath(raw string) ([]Segment, error) {
	if len(raw) > MaxURL {
		return nil, allod.Errorf(allod.Invalid, "parse path: longer than %d bytes", MaxURL)
	}
	var path []Segment
	for raw != "" {
		n := segmentLen(raw)
		text, err := expr.Decode(raw[:n], "path", false)
		if err != nil {
			return nil, err
		}
		if len(path) >= maxSegments {
			return nil, allod.Errorf(allod.Invalid, "parse path: more than %d segments", maxSegments)
		}
		seg, err := d.segment(text, path)
		if err != nil {
			return nil, err
		}
		path = append(path, seg)
		if n == len(raw) {
			return path, nil
		}
		if raw = raw[n+1:]; raw == "" {
			return nil, allod.Errorf(allod.Invalid, "parse path: a slash at the end")
		}
	}
	return path, nil
}

// segmentLen returns the length of the first segment of a percent-encoded
// path: up to a slash that stands neither in parentheses nor in quotes.
func segmentLen(raw string) int {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' && i+2 < len(raw) && raw[i+1] == '2' && raw[i+2] >= '7' && raw[i+2] <= '9' {
			c = '\'' + raw[i+2] - '7' // %27 ' %28 ( %29 )
			i += 2
		}
		switch {
		case c == '\'' && depth > 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '/' && depth == 0:
			return i
		}
	}
	return len(raw)
}

// dollar are the segments that start with "$" and take nothing more.
var dollar = map[string]SegmentKind{
	"$count": SegCount, "$ref": SegRef, "$value": SegValue, "$query": SegQuery, "$each": SegEach,
	"$batch": SegBatch, "$metadata": SegMetadata, "$entity": SegEntity, "$all": SegAll,
}

// segment reads one decoded segment; before are those in front of it.
func (d Dialect) segment(text string, before []Segment) (Segment, error) {
	p := &scan{Scanner: expr.Scanner{Text: text, What: "path"}, d: d}
	if err := follows(text, before); err != nil {
		return Segment{}, err
	}
	if strings.HasPrefix(text, "$") {
		return p.dollarSegment(len(before) == 0)
	}
	name, err := p.Dotted()
	if err != nil || !p.Done() && p.Peek() != '(' {
		if len(before) == 0 || text == "" || strings.ContainsAny(text, "()") || strings.HasPrefix(text, "@") {
			return Segment{}, p.Fail("a name")
		}
		return Segment{Kind: SegKey, Name: text}, nil
	}
	seg := Segment{Kind: SegName, Name: name}
	if p.Peek() == '(' {
		seg.Parens = true
		if seg.Args, err = p.Args(false); err != nil {
			return Segment{}, err
		}
	}
	if !p.Done() {
		return Segment{}, p.Fail("\"/\" or the end")
	}
	return seg, nil
}

// follows judges whether a segment may come after those before it.
func follows(text string, before []Segment) error {
	if len(before) == 0 {
		return nil
	}
	last := before[len(before)-1]
	ok := true
	switch last.Kind {
	case SegCount, SegRef, SegValue, SegQuery, SegBatch, SegMetadata:
		ok = false
	case SegEntity, SegAll:
		ok = len(before) == 1 && expr.DottedLen(text) == len(text)
	case SegCrossjoin:
		ok = text == "$query"
	case SegEach:
		ok = expr.DottedLen(text) > 0
	case SegName, SegKey, SegFilter, SegContentID:
	}
	if !ok {
		return allod.Errorf(allod.Invalid, "parse path: nothing may follow %s", kindName(last.Kind))
	}
	return nil
}

func kindName(k SegmentKind) string {
	for name, kind := range dollar {
		if kind == k {
			return name
		}
	}
	return "$crossjoin"
}

// dollarSegment reads a segment that starts with "$".
func (p *scan) dollarSegment(first bool) (Segment, error) {
	if kind, ok := dollar[p.Text]; ok {
		root := kind == SegBatch || kind == SegMetadata || kind == SegEntity || kind == SegAll
		if root != first && !(kind == SegAll && !first) {
			return Segment{}, p.Fail("another segment")
		}
		return Segment{Kind: kind, Name: p.Text}, nil
	}
	p.At++
	if id := p.Rest(); first && id != "" && expr.Run(id, func(c byte) bool { return expr.IsDigit(c) }) == len(id) {
		return Segment{Kind: SegContentID, Name: id}, nil
	}
	switch {
	case !first && strings.HasPrefix(p.Rest(), "filter("):
		p.At += len("filter(")
		pred, err := p.Expr()
		if err != nil {
			return Segment{}, err
		}
		if err := p.Need(')'); err != nil {
			return Segment{}, err
		}
		if !p.Done() {
			return Segment{}, p.Fail("\"/\" or the end")
		}
		return Segment{Kind: SegFilter, Name: "$filter", Filter: pred}, nil
	case first && strings.HasPrefix(p.Rest(), "crossjoin("):
		p.At += len("crossjoin(")
		seg := Segment{Kind: SegCrossjoin, Name: "$crossjoin"}
		err := p.Items(func() error {
			name, err := p.Ident()
			seg.Sets = append(seg.Sets, name)
			return err
		})
		if err != nil {
			return Segment{}, err
		}
		if err := p.Need(')'); err != nil {
			return Segment{}, err
		}
		if !p.Done() {
			return Segment{}, p.Fail("the end")
		}
		return seg, nil
	}
	return Segment{}, p.Fail("a segment that is known")
}

// SplitOrigin takes an absolute http or https URL apart into its origin, e.g.
// https://org.crm.dynamics.com, and the rest with its leading slash. Errors are
// Invalid.
func SplitOrigin(raw string) (origin, rest string, err error) {
	bad := func(want string) (string, string, error) {
		return "", "", allod.Errorf(allod.Invalid, "parse URL: want %s", want)
	}
	i := strings.Index(raw, "://")
	if i < 0 || !strings.EqualFold(raw[:i], "http") && !strings.EqualFold(raw[:i], "https") {
		return bad("http:// or https:// at the start")
	}
	i += 3
	slash := strings.IndexByte(raw[i:], '/')
	if slash < 0 {
		return bad("a slash after the host")
	}
	end := i + slash
	host, port := raw[i:end], ""
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		host, port = host[:colon], host[colon+1:]
	}
	if expr.Run(port, expr.IsDigit) != len(port) || len(port) > 5 {
		return bad("a number as port")
	}
	if strings.HasPrefix(host, "[") {
		body, ok := strings.CutSuffix(host[1:], "]")
		if !ok || expr.Run(body, func(c byte) bool { return expr.IsHex(c) || c == ':' || c == '.' }) != len(body) || strings.Count(body, ":") < 2 {
			return bad("an IPv6 address in brackets")
		}
	} else if host == "" || expr.Run(host, func(c byte) bool { return expr.WordByte(c) || strings.IndexByte("-.~%!$&'()*+,;=", c) >= 0 }) != len(host) {
		return bad("a host")
	}
	return raw[:end], raw[end:], nil
}
