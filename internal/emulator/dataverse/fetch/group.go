package fetch

import (
	"math/big"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
)

const maxAggregate = 50_000 // rows an aggregate reads (§4.5)

func itoa(n int) string { return strconv.Itoa(n) }

// measure is an attribute of an aggregate.
type measure struct {
	field
	Attribute
}

// sum is the state of one measure in one group.
type sum struct {
	count    int64 // rows, or values that are not null
	total    *big.Rat
	least    allod.Value
	most     allod.Value
	distinct map[string]bool
}

// aggregate makes a line for each group.
func (r *run) aggregate(tuples []tuple) (*Result, error) {
	measures, columns, err := r.measures()
	if err != nil {
		return nil, err
	}
	most := maxAggregate
	if r.q.Limit > 0 {
		most = min(most, r.q.Limit)
	}
	if len(tuples) > most {
		return nil, wire.Refuse(http.StatusBadRequest, "0x8004E023", "The maximum record limit is exceeded. Reduce the number of records.")
	}
	type group struct {
		keys []allod.Value
		sums []sum
	}
	groups := map[string]*group{}
	var all []*group
	grouped := false
	for _, m := range measures {
		grouped = grouped || m.GroupBy
	}
	if !grouped {
		g := &group{keys: make([]allod.Value, len(measures)), sums: make([]sum, len(measures))}
		groups[keys(nil)], all = g, append(all, g)
	}
	for _, t := range tuples {
		values := make([]allod.Value, len(measures))
		var by []allod.Value
		for i, m := range measures {
			values[i] = r.value(m.node, t[m.node], m.col)
			if m.GroupBy {
				values[i] = r.part(values[i], &m)
				by = append(by, values[i])
			}
		}
		g := groups[keys(by)]
		if g == nil {
			g = &group{keys: values, sums: make([]sum, len(measures))}
			groups[keys(by)], all = g, append(all, g)
		}
		for i := range measures {
			g.sums[i].add(values[i], &measures[i])
		}
	}
	lines := make([]Line, len(all))
	for i, g := range all {
		for k := range measures {
			v := g.keys[k]
			if !measures[k].GroupBy {
				v = g.sums[k].result(&measures[k])
			}
			lines[i].Values = append(lines[i].Values, v)
		}
	}
	if err := r.sortGroups(lines, measures); err != nil {
		return nil, err
	}
	out := &Result{Columns: columns}
	return out, r.page(out, len(lines), 0, func(i int) Line { return lines[i] })
}

// measures checks the attributes of an aggregate.
func (r *run) measures() ([]measure, []Column, error) {
	var out []measure
	var columns []Column
	for i, n := range r.nodes {
		if n.e.All {
			return nil, nil, invalid("all-attributes cannot be used in an aggregate.")
		}
		for _, a := range n.e.Attributes {
			c, err := column(n.t, a.Name)
			if err != nil {
				return nil, nil, err
			}
			if a.Alias == "" {
				return nil, nil, invalid("An alias is required for the attribute '%s' of an aggregate.", a.Name)
			}
			m := measure{field{node: i, col: c}, a}
			if err := m.check(); err != nil {
				return nil, nil, err
			}
			col := Column{a.Alias, n.t, c}
			if a.Aggregate == "count" || a.Aggregate == "countcolumn" || a.GroupBy && a.DateGrouping != "" {
				col.Source = nil
			}
			out, columns = append(out, m), append(columns, col)
		}
	}
	if len(out) == 0 {
		return nil, nil, invalid("An aggregate needs an attribute.")
	}
	return out, columns, nil
}

func (m *measure) check() error {
	dates := m.col.EdmType == "Edm.DateTimeOffset" || m.col.EdmType == "Edm.Date"
	numbers := m.col.EdmType == "Edm.Decimal" || m.col.EdmType == "Edm.Double" || m.col.EdmType == "Edm.Int32" || m.col.EdmType == "Edm.Int64"
	if m.GroupBy {
		switch {
		case m.Aggregate != "":
			return invalid("The attribute '%s' cannot be grouped and aggregated.", m.Name)
		case m.DateGrouping != "" && !dates:
			return invalid("The attribute '%s' is no date and cannot have a dategrouping.", m.Name)
		}
		switch m.DateGrouping {
		case "", "day", "week", "month", "quarter", "year", "fiscal-period", "fiscal-year":
			return nil
		}
		return invalid("The dategrouping '%s' is not valid.", m.DateGrouping)
	}
	switch m.Aggregate {
	case "count", "countcolumn":
		return nil
	case "min", "max":
		if numbers || dates {
			return nil
		}
	case "sum", "avg":
		if numbers {
			return nil
		}
	case "":
		return invalid("The attribute '%s' of an aggregate is neither grouped nor aggregated.", m.Name)
	}
	return invalid("The aggregate '%s' cannot be used for the attribute '%s'.", m.Aggregate, m.Name)
}

// part is the part of a date by which it is grouped: of a moment in the time zone
// of the user, unless usertimezone is false.
func (r *run) part(v allod.Value, m *measure) allod.Value {
	by := m.DateGrouping
	if by == "" || !isTime(v) {
		return v
	}
	t := timeOf(v)
	if !m.UTC && m.col.EdmType == "Edm.DateTimeOffset" && m.col.Behavior != "TimeZoneIndependent" {
		t = r.clock(t)
	}
	if strings.HasPrefix(by, "fiscal-") {
		return allod.StringValue(r.calendar().group(t, by))
	}
	n := t.Year()
	switch by {
	case "day":
		n = t.Day()
	case "week": // that of 1 January is the first; weeks begin on Sunday
		first := time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		n = (t.YearDay()-1+int(first.Weekday()))/7 + 1
	case "month":
		n = int(t.Month())
	case "quarter":
		n = (int(t.Month())-1)/3 + 1
	}
	return allod.IntegerValue(int64(n))
}

func (s *sum) add(v allod.Value, m *measure) {
	if m.Aggregate == "count" {
		s.count++
		return
	}
	if empty(v) || m.GroupBy {
		return
	}
	if m.Distinct {
		if s.distinct == nil {
			s.distinct = map[string]bool{}
		}
		if s.distinct[key(v)] {
			return
		}
		s.distinct[key(v)] = true
	}
	s.count++
	if s.count == 1 || order(v, s.least) < 0 {
		s.least = v
	}
	if s.count == 1 || order(v, s.most) > 0 {
		s.most = v
	}
	if m.Aggregate == "sum" || m.Aggregate == "avg" {
		if s.total == nil {
			s.total = new(big.Rat)
		}
		s.total.Add(s.total, ratOf(v))
	}
}

func (s *sum) result(m *measure) allod.Value {
	if m.Aggregate == "count" || m.Aggregate == "countcolumn" {
		return allod.IntegerValue(s.count)
	}
	if s.count == 0 {
		return allod.NullValue()
	}
	switch m.Aggregate {
	case "min":
		return s.least
	case "max":
		return s.most
	case "avg":
		return wire.Number(new(big.Rat).Quo(s.total, new(big.Rat).SetInt64(s.count)), m.col, digits(m.col))
	}
	return wire.Number(s.total, m.col, digits(m.col))
}

// digits writes a number with as many decimals as its column has, up to ten
// where it takes them.
func digits(col *entity.Column) func(*big.Rat) string {
	return func(n *big.Rat) string {
		whole, frac, _ := strings.Cut(strings.TrimRight(n.FloatString(10), "0"), ".")
		for len(frac) < col.Precision {
			frac += "0"
		}
		if frac == "" {
			return whole
		}
		return whole + "." + frac
	}
}

// sortGroups orders by aliases; without orders groups come by their keys.
func (r *run) sortGroups(lines []Line, measures []measure) error {
	var by []int
	var down []bool
	for _, n := range r.nodes {
		for _, o := range n.e.Orders {
			at := -1
			for i := range measures {
				if o.Alias != "" && measures[i].Alias == o.Alias {
					at = i
				}
			}
			if at < 0 {
				return invalid("An attribute can not be specified for an order clause for an aggregate query. Use an alias.")
			}
			by, down = append(by, at), append(down, o.Descending)
		}
	}
	for i := range measures {
		if measures[i].GroupBy {
			by, down = append(by, i), append(down, false)
		}
	}
	sort.SliceStable(lines, func(i, j int) bool {
		for k, at := range by {
			if n := order(lines[i].Values[at], lines[j].Values[at]); n != 0 {
				return n < 0 != down[k]
			}
		}
		return false
	})
	return nil
}
