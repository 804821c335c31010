package query

import "strings"

// transforms reads $apply: transformations separated by slashes
// (protocols/dataverse.md §4.5).
func (p *scan) transforms() ([]Transform, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var list []Transform
	for {
		t, err := p.transform()
		if err != nil {
			return nil, err
		}
		list = append(list, t)
		if !p.take('/') {
			return list, nil
		}
	}
}

func (p *scan) transform() (t Transform, err error) {
	name, err := p.ident()
	if err != nil {
		return t, err
	}
	if err = p.need('('); err != nil {
		return t, err
	}
	p.space()
	switch name {
	case "filter":
		t.Kind = TransformFilter
		t.Filter, err = p.expr()
	case "groupby":
		t.Kind = TransformGroupBy
		err = p.groupBy(&t)
	case "aggregate":
		t.Kind = TransformAggregate
		err = p.items(func() error {
			a, err := p.aggregate()
			t.Aggregate = append(t.Aggregate, a)
			return err
		})
	case "orderby":
		t.Kind = TransformOrderBy
		t.OrderBy, err = p.orderItems()
	case "compute":
		t.Kind = TransformCompute
		t.Compute, err = p.computeItems()
	case "top", "skip":
		t.Kind = TransformTop
		if name == "skip" {
			t.Kind = TransformSkip
		}
		var n Number
		n, err = p.number(false)
		t.N = n.N
	default:
		err = p.fail("a transformation that is supported")
	}
	if err != nil {
		return t, err
	}
	p.space()
	return t, p.need(')')
}

func (p *scan) groupBy(t *Transform) error {
	if err := p.need('('); err != nil {
		return err
	}
	err := p.items(func() error {
		p.space()
		e, err := p.path(Path{})
		if err != nil {
			return err
		}
		path, _ := e.(*Path)
		t.GroupBy = append(t.GroupBy, path)
		p.space()
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.need(')'); err != nil {
		return err
	}
	p.space()
	if !p.take(',') {
		return nil
	}
	p.space()
	t.Apply, err = p.transforms()
	return err
}

// aggregate reads "$count as n" or "revenue with sum as total".
func (p *scan) aggregate() (a Aggregate, err error) {
	p.space()
	if p.takeExact("$count") {
		a.Count = true
	} else {
		if a.Expr, err = p.expr(); err != nil {
			return a, err
		}
		if !p.keyword("with") {
			return a, p.fail("\"with\"")
		}
		if a.With, err = p.dotted(); err != nil {
			return a, err
		}
		if strings.IndexByte(a.With, '.') < 0 && !strings.Contains(" sum average min max countdistinct ", " "+a.With+" ") {
			return a, p.fail("sum, average, min, max or countdistinct")
		}
	}
	if !p.keyword("as") {
		return a, p.fail("\"as\"")
	}
	a.As, err = p.ident()
	p.space()
	return a, err
}
