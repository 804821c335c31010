package expr

import "strings"

// isGeo reports whether s is a geography or geometry value, e.g.
// SRID=0;Point(142.1 64.1). Dataverse has no such columns; the grammar is here
// so that such literals are told from garbage.
func isGeo(s string) bool {
	p := &Scanner{Text: s, What: "geo literal"}
	if !p.TakeText("SRID=") {
		return false
	}
	n := Run(p.Rest(), IsDigit)
	if n == 0 || n > 5 {
		return false
	}
	p.At += n
	return p.Take(';') && p.shape() && p.Done()
}

// shape reads one shape.
func (p *Scanner) shape() bool {
	if p.Enter() != nil {
		return false
	}
	defer p.Leave()
	switch {
	case p.TakeText("GeometryCollection"):
		return p.group(1, p.shape)
	case p.TakeText("MultiLineString"):
		return p.group(0, p.line)
	case p.TakeText("MultiPoint"):
		return p.group(0, p.point)
	case p.TakeText("MultiPolygon"):
		return p.group(0, p.polygon)
	case p.TakeText("LineString"):
		return p.line()
	case p.TakeText("Point"):
		return p.point()
	case p.TakeText("Polygon"):
		return p.polygon()
	}
	return false
}

func (p *Scanner) line() bool    { return p.group(2, p.position) }
func (p *Scanner) point() bool   { return p.Take('(') && p.position() && p.Take(')') }
func (p *Scanner) polygon() bool { return p.group(1, func() bool { return p.group(1, p.position) }) }

// group reads at least atLeast things between parentheses, separated by
// commas.
func (p *Scanner) group(atLeast int, thing func() bool) bool {
	if !p.Take('(') {
		return false
	}
	n := 0
	for !p.Take(')') {
		if n > 0 && !p.Take(',') || !thing() {
			return false
		}
		n++
	}
	return n >= atLeast
}

// position reads two to four numbers.
func (p *Scanner) position() bool {
	for n := 0; ; n++ {
		if n > 0 && (n == 4 || !strings.HasPrefix(p.Rest(), " ")) {
			return n >= 2
		}
		if n > 0 {
			p.At++
		}
		l := NumberLen(p.Rest())
		if l == 0 {
			return false
		}
		p.At += l
	}
}
