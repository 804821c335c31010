package formula

import (
	"math/big"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// Values of the column <name>_state.
const (
	NotCalculated = 0
	Done          = 1
	Overflow      = 2
)

// Rollup is a rollup column: what it makes of the rows that refer to its row.
type Rollup struct {
	Func   string // SUM, COUNT, MIN, MAX or AVG
	Table  string // of the rows below
	Column string // "" for COUNT
	Lookup string // column of Table that leads to the row
	Where  []Condition
}

// Condition holds for rows whose column has the value: a number or a text.
type Condition struct{ Column, Value string }

// ParseRollup reads FUNC(table.column, lookup) WHERE column = value AND …; of
// COUNT, the column may be left out.
func ParseRollup(text string) (*Rollup, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	r := &Rollup{Func: strings.ToUpper(p.next())}
	switch r.Func {
	case "SUM", "COUNT", "MIN", "MAX", "AVG":
	default:
		return nil, allod.Errorf(allod.Invalid, "read rollup: %q aggregates nothing that is known here", r.Func)
	}
	fail := func() (*Rollup, error) { return nil, p.unexpected() }
	if !p.take("(") {
		return fail()
	}
	r.Table = strings.ToLower(p.next())
	if p.take(".") {
		r.Column = strings.ToLower(p.next())
	}
	if !p.take(",") {
		return fail()
	}
	if r.Lookup = strings.ToLower(p.next()); !p.take(")") {
		return fail()
	}
	for i := 0; p.peek() != ""; i++ {
		if joint := []string{"WHERE", "AND"}[min(i, 1)]; !strings.EqualFold(p.next(), joint) {
			p.at--
			return fail()
		}
		c := Condition{Column: strings.ToLower(p.next())}
		if !p.take("=") || p.peek() == "" {
			return fail()
		}
		c.Value = strings.TrimPrefix(p.next(), `"`)
		r.Where = append(r.Where, c)
	}
	if r.Column == "" && r.Func != "COUNT" {
		return nil, allod.Errorf(allod.Invalid, "read rollup: %s of no column", r.Func)
	}
	return r, nil
}

// Eval reckons the value for one row and the state it leaves. Of no rows,
// COUNT is 0 and everything else null.
func (r *Rollup) Eval(tx *store.Tx, c *entity.Column, row allod.GUID) (allod.Value, int) {
	var sum, best *big.Rat
	var last time.Time
	n := int64(0)
	for _, id := range tx.Find(r.Table, r.Lookup, allod.IDValue(row)) {
		below := tx.Get(r.Table, id)
		if !r.counts(tx, below) {
			continue
		}
		if r.Column == "" {
			n++
			continue
		}
		switch v := of(tx.Value(r.Table, below, r.Column)).(type) {
		case *big.Rat:
			if n++; sum == nil {
				sum, best = new(big.Rat), v
			}
			sum.Add(sum, v)
			if r.better(v.Cmp(best)) {
				best = v
			}
		case time.Time:
			if n++; n == 1 || r.better(v.Compare(last)) {
				last = v
			}
		case string:
			n++
		}
	}
	var out any
	switch {
	case r.Func == "COUNT":
		out = new(big.Rat).SetInt64(n)
	case r.Func == "SUM" && sum != nil:
		out = sum
	case r.Func == "AVG" && sum != nil:
		out = new(big.Rat).Quo(sum, new(big.Rat).SetInt64(n))
	case (r.Func == "MIN" || r.Func == "MAX") && best != nil:
		out = best
	case (r.Func == "MIN" || r.Func == "MAX") && !last.IsZero():
		out = last
	}
	v := hold(c, out)
	if out != nil && v.IsNull() {
		return v, Overflow
	}
	return v, Done
}

// better reports whether a value that compares so replaces the one before.
func (r *Rollup) better(cmp int) bool {
	return r.Func == "MIN" && cmp < 0 || r.Func == "MAX" && cmp > 0
}

func (r *Rollup) counts(tx *store.Tx, row *store.Row) bool {
	for _, c := range r.Where {
		v := tx.Value(r.Table, row, c.Column)
		switch x := of(v).(type) {
		case *big.Rat:
			want, ok := ratOf(c.Value).(*big.Rat)
			if !ok || x.Cmp(want) != 0 {
				return false
			}
		case string:
			if !strings.EqualFold(x, c.Value) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
