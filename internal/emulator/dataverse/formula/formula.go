// Package formula evaluates calculated and rollup columns ("Define calculated
// columns", "Define rollup columns", "Formula, calculated, and rollup columns
// using code"). The definition of a real column is XAML whose schema is not
// documented; here it is the formula as the editor shows it:
//
//	CONCAT(alp_name, " ", alp_account.name)   (alp_points - 10) * 0.25
//	SUM(alp_loyaltycard.alp_points, alp_homestore) WHERE statecode = 0
//
// Known are + - * / and parentheses, numbers, texts, columns, columns of a
// parent row, NOW, CONCAT, TRIMLEFT, TRIMRIGHT, ADD and SUBTRACT of HOURS, DAYS,
// WEEKS, MONTHS, YEARS, DIFFIN of MINUTES, HOURS, DAYS, WEEKS, MONTHS, YEARS.
//
// Formula columns ("Work with Dataverse formula columns") are Power Fx, in which
// these are known as well: = <> < <= > >= && || ! &, If, Switch, And, Or, Not,
// IsBlank, Blank, UTCNow, UTCToday, Year, Month, Day, Hour, Minute, Second,
// Weekday, DateAdd, DateDiff with TimeUnit, Concatenate. Columns go by their
// logical names, and choices by their numbers.
package formula

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// Values of SourceType.
const (
	Calculated = 1
	Rolled     = 2
	Fx         = 3
)

// Env is what formulas depend on beside rows.
type Env struct {
	Now        func() time.Time // nil = no NOW()
	NullIsZero bool             // a number that is missing counts as 0; else the result is null
}

// Get reads a column of the row, or of the row that the lookup leads to.
type Get func(lookup, column string) allod.Value

// Ref is a column that a formula reads; Lookup is "" for the row's own.
type Ref struct{ Lookup, Column string }

// Formula is that of a calculated column or of a formula column. It may be used concurrently.
type Formula struct {
	Refs []Ref
	root expr
}

// expr is a part of a formula; values are nil, *big.Rat, string, bool or time.Time.
type expr func(s *scope) any

type scope struct {
	env Env
	get Get
}

// maxText is how long a formula may be, in bytes.
const maxText = 4000

// Parse reads a formula; what is not known here is Invalid.
func Parse(text string) (*Formula, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	root, err := p.logic(0)
	if err == nil && p.peek() != "" {
		err = p.unexpected()
	}
	if err != nil {
		return nil, err
	}
	return &Formula{Refs: p.refs, root: root}, nil
}

// Definition is the formula of a column whose definition has one, else "".
func Definition(c *entity.Column) string {
	var d struct{ FormulaDefinition string }
	if c.SourceType == 0 || len(c.Said) == 0 || json.Unmarshal(c.Said, &d) != nil {
		return ""
	}
	return d.FormulaDefinition
}

// Eval reckons the value for one row, as the column holds it.
func (f *Formula) Eval(c *entity.Column, env Env, get Get) allod.Value {
	return hold(c, f.root(&scope{env, get}))
}

// hold makes what came out into a value of the column; what does not fit is
// null.
func hold(c *entity.Column, v any) allod.Value {
	switch v := v.(type) {
	case *big.Rat:
		return holdNumber(c, v)
	case string:
		if c.Kind == "String" && (c.MaxLength <= 0 || len([]rune(v)) <= c.MaxLength) {
			return allod.StringValue(v)
		}
	case bool:
		if c.Kind == "Boolean" {
			return allod.BooleanValue(v)
		}
	case time.Time:
		if c.EdmType == "Edm.Date" {
			return allod.TextValue(allod.Date, v.UTC().Format(time.DateOnly))
		}
		if c.Kind == "DateTime" {
			return allod.TextValue(allod.DateTime, v.UTC().Format("2006-01-02T15:04:05Z"))
		}
	}
	return allod.NullValue()
}

func holdNumber(c *entity.Column, v *big.Rat) allod.Value {
	switch c.Kind {
	case "Integer":
		n, err := strconv.ParseInt(v.FloatString(0), 10, 32)
		if err != nil {
			return allod.NullValue()
		}
		return allod.IntegerValue(n)
	case "Decimal":
		return allod.TextValue(allod.Decimal, v.FloatString(min(max(c.Precision, 0), 10)))
	case "Money":
		return allod.TextValue(allod.Decimal, v.FloatString(4))
	case "String":
		return hold(c, textOf(v))
	}
	return allod.NullValue()
}

// of turns a value of a row into one that formulas reckon with.
func of(v allod.Value) any {
	switch v.Type() {
	case allod.Integer:
		return new(big.Rat).SetInt64(v.Int())
	case allod.Decimal, allod.Double:
		return ratOf(v.Text())
	case allod.String:
		return v.Text()
	case allod.Boolean:
		return v.Bool()
	case allod.Date, allod.DateTime:
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, v.Text()); err == nil {
				return t.UTC()
			}
		}
		return nil
	default:
		return nil
	}
}

// ratOf reads plain digits; an exponent could ask for any amount of memory.
func ratOf(text string) any {
	if len(text) > 64 || strings.ContainsAny(text, "pP/xXbBoO_") {
		return nil
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 { // a double
		f, err := strconv.ParseFloat(text, 64)
		if r := new(big.Rat).SetFloat64(f); err == nil && r != nil {
			return r
		}
		return nil
	}
	if r, ok := new(big.Rat).SetString(text); ok {
		return r
	}
	return nil
}

// textOf writes a number in as few digits as it takes, ten after the point at
// most.
func textOf(v *big.Rat) string {
	text := v.FloatString(10)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
