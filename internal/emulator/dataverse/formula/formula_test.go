package formula

import (
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
)

// row is what formulas of the tests read.
func row(lookup, column string) allod.Value {
	switch lookup + "." + column {
	case ".n":
		return allod.IntegerValue(7)
	case ".price":
		return allod.TextValue(allod.Decimal, "0.10")
	case ".half":
		return allod.TextValue(allod.Double, "5e-1")
	case ".name":
		return allod.StringValue("Ährenfeld")
	case ".day":
		return allod.TextValue(allod.Date, "2024-02-29")
	case ".at":
		return allod.TextValue(allod.DateTime, "2024-03-01T06:30:00Z")
	case "parent.name":
		return allod.StringValue("Huber")
	}
	return allod.NullValue()
}

func TestEval(t *testing.T) {
	text := &entity.Column{Kind: "String", EdmType: "Edm.String", MaxLength: 40}
	whole := &entity.Column{Kind: "Integer", EdmType: "Edm.Int32"}
	exact := &entity.Column{Kind: "Decimal", EdmType: "Edm.Decimal", Precision: 3}
	moment := &entity.Column{Kind: "DateTime", EdmType: "Edm.DateTimeOffset"}
	date := &entity.Column{Kind: "DateTime", EdmType: "Edm.Date"}
	yes := &entity.Column{Kind: "Boolean", EdmType: "Edm.Boolean"}
	now := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC) }
	for _, c := range []struct {
		column  *entity.Column
		formula string
		want    allod.Value
	}{
		{whole, "n", allod.IntegerValue(7)},
		{whole, "1 + 2 * 3 - 8 / 4", allod.IntegerValue(5)},
		{whole, "-(n - 10)", allod.IntegerValue(3)},
		{whole, "n * 1000000000", allod.NullValue()},
		{whole, "n / 0", allod.NullValue()},
		{whole, "n + missing", allod.NullValue()},
		{whole, "name * 2", allod.NullValue()},
		{exact, "price + 0.2", allod.TextValue(allod.Decimal, "0.300")},
		{exact, "2 / 3", allod.TextValue(allod.Decimal, "0.667")},
		{exact, "half * -0.001", allod.TextValue(allod.Decimal, "-0.001")},
		{text, `CONCAT(name, " von ", parent.name, ": ", n, missing, price)`, allod.StringValue("Ährenfeld von Huber: 70.1")},
		{text, "TRIMLEFT(name, 6)", allod.StringValue("eld")},
		{text, "trimright(name, 99)", allod.StringValue("")},
		{text, "TRIMLEFT(name, -1)", allod.NullValue()},
		{text, "n", allod.StringValue("7")},
		{text, `CONCAT(name, name, name, name, name)`, allod.NullValue()}, // too long
		{date, "ADDDAYS(1, day)", allod.TextValue(allod.Date, "2024-03-01")},
		{date, "SUBTRACTMONTHS(1, day)", allod.TextValue(allod.Date, "2024-01-29")},
		{moment, "ADDHOURS(18, at)", allod.TextValue(allod.DateTime, "2024-03-02T00:30:00Z")},
		{moment, "ADDYEARS(9000000, at)", allod.NullValue()},
		{moment, "NOW()", allod.TextValue(allod.DateTime, "2026-01-02T03:04:05Z")},
		{whole, "DIFFINHOURS(day, at)", allod.IntegerValue(30)},
		{whole, "DIFFINDAYS(at, day)", allod.IntegerValue(-1)},
		{date, "n", allod.NullValue()},

		// Formula columns.
		{text, `If(n > 5, "many", "few")`, allod.StringValue("many")},
		{text, `If(n > 9, "many", n >= 7, "some", "few")`, allod.StringValue("some")},
		{text, `If(n < 5, "few")`, allod.NullValue()},
		{text, `Switch(n, 1, "one", 7, "seven", "other")`, allod.StringValue("seven")},
		{text, `Switch(name, "ährenfeld", "here", "other")`, allod.StringValue("here")},
		{text, `Switch(n, 1, "one", 2, "two")`, allod.NullValue()},
		{text, `Switch(n, 1, "one", "other")`, allod.StringValue("other")},
		{text, `name & " " & n`, allod.StringValue("Ährenfeld 7")},
		{yes, "n = 7 && price < 1 || false", allod.BooleanValue(true)},
		{yes, "!(n <> 7)", allod.BooleanValue(true)},
		{yes, "And(n > 1, Or(n > 100, Not(IsBlank(name))))", allod.BooleanValue(true)},
		{yes, "missing = Blank()", allod.BooleanValue(true)},
		{yes, "missing < 1", allod.BooleanValue(false)},
		{yes, "IsBlank(missing)", allod.BooleanValue(true)},
		{yes, "name > 3", allod.BooleanValue(false)},
		{yes, "n", allod.NullValue()},
		{yes, "at > day", allod.BooleanValue(true)},
		{whole, "Year(day) * 10000 + Month(day) * 100 + Day(day)", allod.IntegerValue(20240229)},
		{whole, "Hour(at) * 100 + Minute(at)", allod.IntegerValue(630)},
		{whole, "Weekday(day)", allod.IntegerValue(5)},
		{whole, "DateDiff(day, UTCToday(), TimeUnit.Months)", allod.IntegerValue(23)},
		{whole, "DateDiff(day, UTCNow(), TimeUnit.Years)", allod.IntegerValue(2)},
		{whole, "DateDiff(day, at)", allod.IntegerValue(1)},
		{whole, "DIFFINMONTHS(day, at)", allod.IntegerValue(1)},
		{whole, "DateDiff(day, at, TimeUnit.Fortnights)", allod.NullValue()},
		{date, "DateAdd(day, 1)", allod.TextValue(allod.Date, "2024-03-01")},
		{date, "DateAdd(day, -2, TimeUnit.Quarters)", allod.TextValue(allod.Date, "2023-08-29")},
		{moment, "DateAdd(at, 90, TimeUnit.Minutes)", allod.TextValue(allod.DateTime, "2024-03-01T08:00:00Z")},
		{moment, `If(IsBlank(missing), at, UTCNow())`, allod.TextValue(allod.DateTime, "2024-03-01T06:30:00Z")},
	} {
		f, err := Parse(c.formula)
		if err != nil {
			t.Errorf("%s: %v", c.formula, err)
			continue
		}
		if got := f.Eval(c.column, Env{Now: now}, row); got != c.want {
			t.Errorf("%s: got %v %q, want %v %q", c.formula, got.Type(), got, c.want.Type(), c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, bad := range []string{
		"", "1 +", "(1", "1)", "1 2", "f(1)", "NOW(1)", "CONCAT()", "ADDDAYS(1)", `"open`, "a.", "<xaml/>", ".", "=", "1,2", "CONCAT(1,", "1.2.3", "If(1)", "Switch(1, 2)", "1 <", "|| 1", "!", "n && ", "Not(1, 2)", "1 = 2 = 3", "a | b",
		strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100), strings.Repeat("-", 100) + "1", strings.Repeat("x", maxText+1), "\xff",
	} {
		if _, err := Parse(bad); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%.30q: got %v", bad, err)
		}
	}
	for _, bad := range []string{
		"", "SUM", "SUM(a, b)", "SUM(a.b)", "SUM(a.b, c", "COUNT(a, b) WHERE", "COUNT(a, b) WHERE c", "COUNT(a, b) WHERE c =", "COUNT(a, b) OR c = 1", "COUNT(a, b) WHERE c = 1 WHERE d = 2", "LIST(a.b, c)",
	} {
		if _, err := ParseRollup(bad); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`CONCAT(name, " ", parent.name)`, "(n - 10) * 0.25 / price", "ADDDAYS(1, day)", "DIFFINDAYS(day, NOW())", "COUNT(a, b) WHERE c = 1 AND d = \"x\"", "SUM(a.b, c)", "-1.5", "If(n > 1 && !IsBlank(name), \"a\" & n, Switch(n, 1, \"b\"))", "DateAdd(day, 1, TimeUnit.Days)", "9999999999999999999999999999999999"} {
		f.Add(s)
	}
	columns := []*entity.Column{{Kind: "String", EdmType: "Edm.String"}, {Kind: "Integer"}, {Kind: "Decimal", Precision: 10}, {Kind: "DateTime", EdmType: "Edm.Date"}}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRollup(text); err == nil && (r.Table == "" || r.Lookup == "") {
			t.Errorf("%q: got %+v", text, r)
		}
		e, err := Parse(text)
		if err != nil {
			return
		}
		for _, c := range columns {
			if v := e.Eval(c, Env{}, row); v.IsAbsent() {
				t.Errorf("%q: no value", text)
			}
		}
	})
}
