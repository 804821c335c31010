package query

import "allod/internal/odata/query/internal/expr"

// scan is a cursor that knows its Dialect.
type scan struct {
	expr.Scanner
	d Dialect
}

// digits returns how many digits s starts with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
