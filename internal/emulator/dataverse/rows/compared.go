package rows

import "allod/internal/odata/query"

// comparesColumns reports whether two columns are compared with each other, which
// FetchXML alone can (§4.3).
func comparesColumns(e query.Expr) bool {
	switch e := e.(type) {
	case *query.Unary:
		return comparesColumns(e.X)
	case *query.Binary:
		switch e.Op {
		case "eq", "ne", "gt", "ge", "lt", "le":
			if isColumn(e.L) && isColumn(e.R) {
				return true
			}
		}
		return comparesColumns(e.L) || comparesColumns(e.R)
	case *query.Path:
		for i := range e.Steps {
			if p := e.Steps[i].Pred; p != nil && comparesColumns(p) {
				return true
			}
		}
	}
	return false
}

func isColumn(e query.Expr) bool {
	p, ok := e.(*query.Path)
	return ok && len(p.Steps) > 0 && p.Steps[len(p.Steps)-1].Kind == query.StepName
}
