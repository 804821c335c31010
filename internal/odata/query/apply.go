package query

import "strings"

// transforms reads $apply: transformations separated by slashes
// (protocols/dataverse.md §4.5).
func (p *scan) transforms() ([]Transform, error) {
	if err := p.Enter(); err != nil {
		return nil, err
	}
	defer p.Leave()
	var list []Transform
	for {
		t, err := p.transform()
		if err != nil {
			return nil, err
		}
		list = append(list, t)
		if !p.Take('/') {
			return list, nil
		}
	}
}

func (p *scan) transform() (t Transform, err error) {
	name, err := p.Ident()
	if err != nil {
		return t, err
	}
	if err = p.Need('('); err != nil {
		return t, err
	}
	p.Space()
	switch name {
	case "filter":
		t.Kind = TransformFilter
		t.Filter, err = p.Expr()
	case "groupby":
		t.Kind = TransformGroupBy
		err = p.groupBy(&t)
	case "aggregate":
		t.Kind = TransformAggregate
		err = p.Items(func() error {
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
		err = p.Fail("a transformation that is supported")
	}
	if err != nil {
		return t, err
	}
	p.Space()
	return t, p.Need(')')
}

func (p *scan) groupBy(t *Transform) error {
	if err := p.Need('('); err != nil {
		return err
	}
	err := p.Items(func() error {
		p.Space()
		e, err := p.Path()
		if err != nil {
			return err
		}
		path, _ := e.(*Path)
		t.GroupBy = append(t.GroupBy, path)
		p.Space()
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.Need(')'); err != nil {
		return err
	}
	p.Space()
	if !p.Take(',') {
		return nil
	}
	p.Space()
	t.Apply, err = p.transforms()
	return err
}

// aggregate reads "$count as n" or "revenue with sum as total".
func (p *scan) aggregate() (a Aggregate, err error) {
	p.Space()
	if p.TakeExact("$count") {
		a.Count = true
	} else {
		if a.Expr, err = p.Expr(); err != nil {
			return a, err
		}
		if !p.Keyword("with") {
			return a, p.Fail("\"with\"")
		}
		if a.With, err = p.Dotted(); err != nil {
			return a, err
		}
		if strings.IndexByte(a.With, '.') < 0 && !strings.Contains(" sum average min max countdistinct ", " "+a.With+" ") {
			return a, p.Fail("sum, average, min, max or countdistinct")
		}
	}
	if !p.Keyword("as") {
		return a, p.Fail("\"as\"")
	}
	a.As, err = p.Ident()
	p.Space()
	return a, err
}
