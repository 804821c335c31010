package query

import "strings"

// isGeo reports whether s is a geography or geometry value, e.g.
// SRID=0;Point(142.1 64.1). Dataverse has no such columns; the grammar is here
// so that such literals are told from garbage.
func isGeo(s string) bool {
	p := &scan{s: s, what: "geo literal"}
	if !p.takeText("SRID=") {
		return false
	}
	n := run(p.rest(), isDigit)
	if n == 0 || n > 5 {
		return false
	}
	p.i += n
	return p.take(';') && p.shape() && p.done()
}

// shape reads one shape.
func (p *scan) shape() bool {
	if p.enter() != nil {
		return false
	}
	defer p.leave()
	switch {
	case p.takeText("GeometryCollection"):
		return p.group(1, p.shape)
	case p.takeText("MultiLineString"):
		return p.group(0, p.line)
	case p.takeText("MultiPoint"):
		return p.group(0, p.point)
	case p.takeText("MultiPolygon"):
		return p.group(0, p.polygon)
	case p.takeText("LineString"):
		return p.line()
	case p.takeText("Point"):
		return p.point()
	case p.takeText("Polygon"):
		return p.polygon()
	}
	return false
}

func (p *scan) line() bool    { return p.group(2, p.position) }
func (p *scan) point() bool   { return p.take('(') && p.position() && p.take(')') }
func (p *scan) polygon() bool { return p.group(1, func() bool { return p.group(1, p.position) }) }

// group reads at least atLeast things between parentheses, separated by
// commas.
func (p *scan) group(atLeast int, thing func() bool) bool {
	if !p.take('(') {
		return false
	}
	n := 0
	for !p.take(')') {
		if n > 0 && !p.take(',') || !thing() {
			return false
		}
		n++
	}
	return n >= atLeast
}

// position reads two to four numbers.
func (p *scan) position() bool {
	for n := 0; ; n++ {
		if n > 0 && (n == 4 || !strings.HasPrefix(p.rest(), " ")) {
			return n >= 2
		}
		if n > 0 {
			p.i++
		}
		l := numberLen(p.rest())
		if l == 0 {
			return false
		}
		p.i += l
	}
}
