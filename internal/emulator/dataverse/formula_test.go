package dataverse_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// A calculated column has its value when it is read, follows the rows it
// depends on without a new version, can be filtered and ordered by, and cannot
// be written.
func TestCalculatedColumn(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	account := c.want(204, "POST", "accounts", `{"name":"Huber"}`).id()
	card := c.want(204, "POST", "alp_loyaltycards", `{"alp_name":"Card 1","alp_points":250,"alp_discount":1.005,"alp_label":"mine","alp_worth":7,"alp_Account@odata.bind":"/accounts(`+account+`)"}`).id()
	other := c.want(204, "POST", "alp_loyaltycards", `{"alp_name":"Card 2","alp_discount":1}`).id()
	at := "alp_loyaltycards(" + card + ")"
	read := func(path string) map[string]any { t.Helper(); return c.want(200, "GET", path, "").json() }
	was := read(at + "?$select=alp_label,alp_worth,versionnumber")
	if was["alp_label"] != "Card 1 of Huber" || was["alp_worth"] != 3.51 {
		t.Errorf("got %v", was)
	}
	if r := read("alp_loyaltycards(" + other + ")?$select=alp_label,alp_worth"); r["alp_label"] != "Card 2 of " || r["alp_worth"] != nil {
		t.Errorf("of a row that lacks columns: got %v", r)
	}
	c.want(204, "PATCH", "accounts("+account+")", `{"name":"Maier"}`)
	c.want(204, "PATCH", at, `{"alp_label":"mine"}`)
	now := read(at)
	if now["alp_label"] != "Card 1 of Maier" {
		t.Errorf("after its parent changed: got %v", now["alp_label"])
	}
	for path, want := range map[string]int{
		"alp_loyaltycards?$filter=alp_label eq 'Card 1 of Maier'":   1,
		"alp_loyaltycards?$filter=alp_worth gt 3.5":                 1,
		"alp_loyaltycards?$filter=contains(alp_label,'mine')":       0,
		"alp_loyaltycards?$orderby=alp_worth desc&$select=alp_name": 2,
		`alp_loyaltycards?fetchXml=<fetch><entity name="alp_loyaltycard"><attribute name="alp_label"/><filter><condition attribute="alp_label" operator="like" value="%25Maier"/></filter></entity></fetch>`: 1,
	} {
		if rows := c.want(200, "GET", path, "").rows(); len(rows) != want {
			t.Errorf("%s: got %d rows, want %d", path, len(rows), want)
		}
	}
	if got := read(at + "/alp_label")["value"]; got != "Card 1 of Maier" {
		t.Errorf("single property: got %v", got)
	}
	if got := c.want(200, "GET", at+"?$select=alp_worth", "", "Prefer", `odata.include-annotations="*"`).json()["alp_worth@OData.Community.Display.V1.FormattedValue"]; got != "3.51" {
		t.Errorf("formatted: got %v", got)
	}
	def := read("EntityDefinitions(LogicalName='alp_loyaltycard')/Attributes(LogicalName='alp_label')")
	if def["SourceType"] != 1.0 || !strings.HasPrefix(fmt.Sprint(def["FormulaDefinition"]), "CONCAT(") || def["IsValidForCreate"] != false || def["IsValidForUpdate"] != false {
		t.Errorf("definition: got %v", def)
	}
}

// A calculated column lacks a number: null, or 0 where that is assumed.
func TestCalculatedNull(t *testing.T) {
	c := standardCompany(t, dvemu.Options{Assume: map[string]string{"calculated-null": "zero"}})
	id := c.want(204, "POST", "alp_loyaltycards", `{"alp_name":"Card","alp_discount":1.5}`).id()
	if got := c.want(200, "GET", "alp_loyaltycards("+id+")?$select=alp_worth", "").json()["alp_worth"]; got != 1.5 {
		t.Errorf("got %v", got)
	}
}

// A rollup column keeps the value of its last calculation, with time and state,
// until CalculateRollupField or the hourly job reckons it anew.
func TestRollupColumn(t *testing.T) {
	for _, c := range []struct {
		touches           string
		version, modified bool
	}{{"version", true, false}, {"modifiedon", true, true}, {"nothing", false, false}} {
		t.Run(c.touches, func(t *testing.T) { rollUp(t, c.touches, c.version, c.modified) })
	}
}

func rollUp(t *testing.T, touches string, version, modified bool) {
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := standardCompany(t, dvemu.Options{Now: func() time.Time { return clock }, Assume: map[string]string{"rollup-touches": touches}})
	shop := c.want(204, "POST", "alp_stores", `{"alp_name":"Shop","alp_cards":7,"alp_cards_state":1}`).id()
	at := "alp_stores(" + shop + ")"
	check := func(want map[string]any) map[string]any {
		t.Helper()
		got := c.want(200, "GET", at+"?$select=alp_cards,alp_cards_date,alp_cards_state,alp_cardpoints,modifiedon,versionnumber", "").json()
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: got %v, want %v", k, got[k], v)
			}
		}
		return got
	}
	check(map[string]any{"alp_cards": nil, "alp_cards_date": nil, "alp_cards_state": 0.0})
	for i, more := range []string{"", "", `,"statecode":1,"statuscode":2`} {
		id := c.want(204, "POST", "alp_loyaltycards", fmt.Sprintf(`{"alp_name":"C","alp_points":%d,"alp_HomeStore@odata.bind":"/alp_stores(%s)"}`, 10+i, shop)).id()
		if more != "" {
			c.want(204, "PATCH", "alp_loyaltycards("+id+")", "{"+more[1:]+"}")
		}
	}
	was := check(map[string]any{"alp_cards": nil})
	clock = clock.Add(time.Hour)
	target := `@p1={'@odata.id':'alp_stores(` + shop + `)'}`
	answer := c.want(200, "GET", "CalculateRollupField(Target=@p1,FieldName=@p2)?"+target+"&@p2='alp_cards'", "").json()
	want := map[string]any{"alp_cards": 3.0, "alp_cards_date": "2026-03-01T13:00:00Z", "alp_cards_state": 1.0}
	for k, v := range want {
		if answer[k] != v {
			t.Errorf("answer: %s: got %v, want %v", k, answer[k], v)
		}
	}
	want["alp_cardpoints"] = nil
	now := check(want)
	if got := now["versionnumber"] != was["versionnumber"]; got != version {
		t.Errorf("new version: %v, want %v", got, version)
	}
	if got := now["modifiedon"] != was["modifiedon"]; got != modified {
		t.Errorf("new modifiedon: %v, want %v", got, modified)
	}
	clock = clock.Add(time.Hour)
	c.action("calculate-rollups", "")
	check(map[string]any{"alp_cards": 3.0, "alp_cards_date": "2026-03-01T13:00:00Z", "alp_cardpoints": 21.0}) // two active cards; what is as it was stays
	c.action("calculate-rollups", "")
	if n := c.srv.Counters()["rollups"]; n != 1 {
		t.Errorf("%d rows were changed by the job, want 1", n)
	}
	for path, status := range map[string]int{
		"CalculateRollupField(Target=@p1,FieldName=@p2)?" + target + "&@p2='alp_name'":                                                400,
		"CalculateRollupField(Target=@p1,FieldName=@p2)?" + target + "&@p2='alp_nobody'":                                              400,
		"CalculateRollupField(Target=@p1)?" + target:                                                                                  400,
		"CalculateRollupField(FieldName='alp_cards')":                                                                                 400,
		"CalculateRollupField(Target=@p1,FieldName='alp_cards')?@p1={'@odata.id':'alp_stores(99999999-9999-4999-8999-999999999999)'}": 404,
	} {
		c.want(status, "GET", path, "")
	}
}

// Columns with formulas can be made through the API; one that the emulator would
// not evaluate is refused, and says why.
func TestDefineFormula(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	const at = "EntityDefinitions(LogicalName='alp_store')/Attributes"
	define := func(class, name, kind, formula string) answer {
		return c.do("POST", at, column(class, name, `"SourceType":`+kind, fmt.Sprintf(`"FormulaDefinition":%q`, formula)))
	}
	for _, bad := range []struct{ class, kind, formula, why string }{
		{"Decimal", "1", "alp_area * new_nothing", "new_nothing"},
		{"Decimal", "1", "POWER(alp_area, 2)", "POWER"},
		{"Decimal", "1", "alp_area *", "ends too early"},
		{"Decimal", "1", "<Activity />", "not expected"},
		{"Decimal", "1", "alp_area; 1", "not understood"},
		{"Decimal", "1", "alp_name.name + 1", "no lookup"},
		{"Memo", "1", "alp_area", "Memo"},
		{"Decimal", "2", "MEDIAN(alp_loyaltycard.alp_points, alp_homestore)", "MEDIAN"},
		{"Decimal", "2", "SUM(alp_loyaltycard.alp_points, alp_account)", "alp_account"},
		{"Decimal", "2", "SUM(alp_loyaltycard.alp_points, alp_homestore) WHERE x = 1", "no column x"},
		{"Decimal", "4", "alp_area", "SourceType"},
	} {
		a := define(bad.class, "new_Bad", bad.kind, bad.formula)
		if a.Status != 400 || !strings.Contains(a.Body, bad.why) {
			t.Errorf("%s: got %d %s", bad.formula, a.Status, a.Body)
		}
	}
	if a := define("Decimal", "new_Yards", "1", "alp_area * 1.0936"); a.Status != 204 {
		t.Fatal(a.Body)
	}
	if a := define("Decimal", "new_Average", "2", "AVG(alp_loyaltycard.alp_points, alp_homestore)"); a.Status != 204 {
		t.Fatal(a.Body)
	}
	shop := c.want(204, "POST", "alp_stores", `{"alp_name":"Shop","alp_area":100}`).id()
	for _, n := range []int{1, 2, 2} {
		c.want(204, "POST", "alp_loyaltycards", fmt.Sprintf(`{"alp_name":"C","alp_points":%d,"alp_HomeStore@odata.bind":"/alp_stores(%s)"}`, n, shop))
	}
	c.action("calculate-rollups", "")
	row := "alp_stores(" + shop + ")?$select=new_yards,new_average,new_average_state"
	want := map[string]any{"new_yards": 109.36, "new_average": 1.67, "new_average_state": 1.0}
	got := c.want(200, "GET", row, "").json()
	for k := range got {
		if want[k] == nil {
			delete(got, k)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	c.want(400, "PUT", at+"(LogicalName='new_yards')", column("Decimal", "new_Yards", `"SourceType":1,"FormulaDefinition":"alp_area *"`))
	c.want(204, "PUT", at+"(LogicalName='new_yards')", column("Decimal", "new_Yards", `"SourceType":1,"FormulaDefinition":"alp_area * 2"`))
	if got := c.want(200, "GET", row, "").json()["new_yards"]; got != 200.0 {
		t.Errorf("after the formula changed: got %v", got)
	}
}

// Every aggregate over rows below, and what an amount does that does not fit.
func TestRollupAggregates(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	for name, x := range map[string]struct{ class, formula string }{
		"new_Total":  {"Integer", "SUM(alp_loyaltycard.alp_points, alp_homestore)"},
		"new_Least":  {"Integer", "MIN(alp_loyaltycard.alp_points, alp_homestore)"},
		"new_Most":   {"Decimal", "MAX(alp_loyaltycard.alp_points, alp_homestore)"},
		"new_Known":  {"Integer", "COUNT(alp_loyaltycard.alp_points, alp_homestore)"},
		"new_Silver": {"Integer", `COUNT(alp_loyaltycard, alp_homestore) WHERE alp_tier = 100000001 AND alp_name = "c"`},
		"new_Until":  {"DateTime", "MAX(alp_loyaltycard.alp_validuntil, alp_homestore)"},
	} {
		c.want(204, "POST", "EntityDefinitions(LogicalName='alp_store')/Attributes", column(x.class, name, `"SourceType":2`, fmt.Sprintf(`"FormulaDefinition":%q`, x.formula)))
	}
	shop := func(cards ...string) string {
		id := c.want(204, "POST", "alp_stores", `{"alp_name":"Shop"}`).id()
		for _, card := range cards {
			c.want(204, "POST", "alp_loyaltycards", `{"alp_name":"C","alp_HomeStore@odata.bind":"/alp_stores(`+id+`)"`+card+`}`)
		}
		return id
	}
	three := shop(`,"alp_points":5,"alp_tier":100000001,"alp_validuntil":"2026-01-01T00:00:00Z"`, `,"alp_points":7,"alp_tier":100000002,"alp_validuntil":"2027-01-01T00:00:00Z"`, "")
	none := shop()
	much := shop(`,"alp_points":2000000000`, `,"alp_points":2000000000`)
	c.action("calculate-rollups", "")
	for id, want := range map[string]map[string]any{
		three: {"new_total": 12.0, "new_least": 5.0, "new_most": 7.0, "new_known": 2.0, "new_silver": 1.0, "new_until": "2027-01-01T00:00:00Z", "new_total_state": 1.0},
		none:  {"new_total": nil, "new_least": nil, "new_most": nil, "new_known": 0.0, "new_silver": 0.0, "new_until": nil, "new_total_state": 1.0},
		much:  {"new_total": nil, "new_least": 2000000000.0, "new_most": 2000000000.0, "new_known": 2.0, "new_silver": 0.0, "new_until": nil, "new_total_state": 2.0},
	} {
		got := c.want(200, "GET", "alp_stores("+id+")", "").json()
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: got %v, want %v", k, got[k], v)
			}
		}
	}
}

// The company's rollups are what its rows come to.
func TestCompanyRollups(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	if _, err := sample.Load(c.srv.Model(), c.srv.Store(), sample.Options{Seed: 1}); err != nil {
		t.Fatal(err)
	}
	c.action("calculate-rollups", "")
	if n := c.srv.Counters()["rollups"]; n != 0 {
		t.Errorf("%d rollups were not up to date", n)
	}
}

// A formula column is Power Fx, and may hold yes or no.
func TestFormulaColumn(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	c := standardCompany(t, dvemu.Options{Now: k.now})
	const at = "EntityDefinitions(LogicalName='alp_loyaltycard')/Attributes"
	no := `"OptionSet":{"TrueOption":{"Value":1,"Label":` + label("Yes") + `},"FalseOption":{"Value":0,"Label":` + label("No") + `},"OptionSetType":"Boolean"}`
	for _, x := range [][3]string{
		{"String", "new_Standing", `If(alp_points >= 200, "gold", alp_points >= 100, "silver", "none")`},
		{"Integer", "new_Age", `DateDiff(createdon, UTCToday(), TimeUnit.Days)`},
		{"Boolean", "new_Good", `alp_points > 100 && !IsBlank(alp_name)`},
	} {
		more := []string{`"SourceType":3`, fmt.Sprintf(`"FormulaDefinition":%q`, x[2])}
		if x[0] == "Boolean" {
			more = append(more, no)
		}
		c.want(204, "POST", at, column(x[0], x[1], more...))
	}
	if a := c.want(400, "POST", at, column("String", "new_Bad", `"SourceType":3`, `"FormulaDefinition":"Sqrt(alp_points)"`)); !strings.Contains(a.Body, "SQRT") {
		t.Errorf("a function that is not known: got %s", a.Body)
	}
	card := c.want(204, "POST", "alp_loyaltycards", `{"alp_name":"A","alp_points":150,"new_standing":"mine"}`).id()
	c.want(204, "POST", "alp_loyaltycards", `{"alp_name":"B","alp_points":20}`)
	k.at = k.at.AddDate(0, 0, 3)
	r := c.want(200, "GET", "alp_loyaltycards("+card+")?$select=new_standing,new_age,new_good", "").json()
	if r["new_standing"] != "silver" || r["new_age"] != 3.0 || r["new_good"] != true {
		t.Errorf("got %v", r)
	}
	if l := c.want(200, "GET", "alp_loyaltycards?$filter=new_good eq true and new_standing ne 'gold'", "").rows(); len(l) != 1 || l[0]["alp_name"] != "A" {
		t.Errorf("filtered: got %v", l)
	}
	if def := c.want(200, "GET", at+"(LogicalName='new_good')", "").json(); def["SourceType"] != 3.0 || def["IsValidForCreate"] != false {
		t.Errorf("definition: got %v %v", def["SourceType"], def["IsValidForCreate"])
	}
}
