package rows_test

import (
	"fmt"
	"strings"
	"testing"

	"allod"
	"allod/internal/source/dataverse/rows"
)

// wide is a table of 20 columns of every usual type.
func wide() *allod.Table {
	t := &allod.Table{Name: "wide", Set: "wides", Key: "wideid"}
	add := func(name string, typ allod.Type) {
		c := allod.Column{Name: name, Type: typ}
		if typ == allod.Lookup {
			c.Bind = map[string]string{"account": name, "contact": name}
		}
		t.Columns = append(t.Columns, c)
	}
	add("wideid", allod.ID)
	add("modifiedon", allod.DateTime)
	for i := range 6 {
		add(fmt.Sprintf("text%d", i), allod.String)
	}
	for i := range 4 {
		add(fmt.Sprintf("number%d", i), allod.Integer)
	}
	for i := range 3 {
		add(fmt.Sprintf("money%d", i), allod.Decimal)
	}
	add("flag", allod.Boolean)
	add("stamp", allod.DateTime)
	for i := range 3 {
		add(fmt.Sprintf("ref%d", i), allod.Lookup)
	}
	return t
}

// page makes the text of a page of n rows of wide.
func page(n int) string {
	var b strings.Builder
	b.WriteString(`{"@odata.context":"http://x/$metadata#wides","value":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"@odata.etag":"W/\"%d\"","wideid":"00000000-0000-4000-8000-%012d","modifiedon":"2026-01-02T03:04:05Z"`, i+1, i)
		for j := range 6 {
			fmt.Fprintf(&b, `,"text%d":"some text of usual length %d"`, j, i)
		}
		for j := range 4 {
			fmt.Fprintf(&b, `,"number%d":%d`, j, i*j)
		}
		for j := range 3 {
			fmt.Fprintf(&b, `,"money%d":%d.5000`, j, i)
		}
		b.WriteString(`,"flag":true,"stamp":null`)
		for j := range 3 {
			fmt.Fprintf(&b, `,"_ref%[1]d_value@Microsoft.Dynamics.CRM.associatednavigationproperty":"ref%[1]d","_ref%[1]d_value@Microsoft.Dynamics.CRM.lookuplogicalname":"account","_ref%[1]d_value":"00000000-0000-4000-8000-%012[2]d"`, j, i)
		}
		b.WriteByte('}')
	}
	b.WriteString(`]}`)
	return b.String()
}

func TestDecodeIndependentOfOrder(t *testing.T) {
	table := wide()
	plan, err := rows.NewPlan(table, nil, [2]string{})
	if err != nil {
		t.Fatal(err)
	}
	const id = "49b0be2e-d01c-ed11-b83e-000d3a572421"
	for _, body := range []string{
		`{"value":[{"wideid":"` + id + `","_ref0_value@Microsoft.Dynamics.CRM.lookuplogicalname":"contact","_ref0_value":"` + id + `","text0":"a","@odata.etag":"W/\"9\""}]}`,
		`{"value":[{"_ref0_value":"` + id + `","text0":"a","extra":{"a":[1]},"@odata.etag":"W/\"9\"","_ref0_value@Microsoft.Dynamics.CRM.lookuplogicalname":"contact","wideid":"` + id + `"}]}`,
	} {
		p, err := plan.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		r := p.Rows[0]
		if table, target := r.Cell(16 + 1).Target(); table != "contact" || target.String() != id {
			t.Errorf("got reference %s(%v)", table, target)
		}
		if r.Version != 9 || r.Cell(2) != allod.StringValue("a") || !r.Cell(3).IsAbsent() {
			t.Errorf("got %+v", r)
		}
	}
}

func TestDecodeKeepsWhatHasAnotherType(t *testing.T) {
	plan, err := rows.NewPlan(wide(), nil, [2]string{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Decode(`{"value":[{"wideid":"49b0be2e-d01c-ed11-b83e-000d3a572421","text0":12.50,"number0":1e3,"number1":92233720368547758080,"flag":"yes","money0":-0.0001,"text1":{"Value":true}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	json := func(s string) allod.Value { return allod.TextValue(allod.JSON, s) }
	for i, want := range map[int]allod.Value{
		2: json("12.50"), 8: json("1e3"), 9: json("92233720368547758080"), 15: json(`"yes"`),
		12: allod.TextValue(allod.Decimal, "-0.0001"), 3: json(`{"Value":true}`),
	} {
		if got := p.Rows[0].Cell(i); got != want {
			t.Errorf("cell %d: got %v %v, want %v", i, got.Type(), got, want)
		}
	}
}

func TestDecodeRefusesHostilePages(t *testing.T) {
	plan, err := rows.NewPlan(wide(), nil, [2]string{})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		``, `[]`, `{}`, `{"value":7}`, `{"value":[7]}`, `{"value":[{}]}`, `{"value":[]}x`,
		`{"value":[{"@odata.context":"x/$deletedEntity","id":"nothing"}]}`,
		`{"value":[{"wideid":null}]}`, `{"@odata.nextLink":5,"value":[]}`, `{"@odata.count":1.5,"value":[]}`,
	} {
		if p, err := plan.Decode(body); err == nil {
			t.Errorf("%q: got %d rows", body, len(p.Rows))
		}
	}
}

func TestLongSelectIsLeftOut(t *testing.T) {
	table := &allod.Table{Name: "t", Set: "ts", Key: "id", Columns: []allod.Column{{Name: "id", Type: allod.ID}}}
	for i := range 1000 {
		table.Columns = append(table.Columns, allod.Column{Name: fmt.Sprintf("a_rather_long_column_name_%04d", i), Type: allod.String})
	}
	plan, err := rows.NewPlan(table, nil, [2]string{})
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.Select(); got != "" {
		t.Errorf("got a $select of %d bytes", len(got))
	}
	if plan, err = rows.NewPlan(table, []string{"a_rather_long_column_name_0007"}, [2]string{}); err != nil || plan.Select() != "a_rather_long_column_name_0007,id" {
		t.Errorf("got %q, %v", plan.Select(), err)
	}
	if _, err := rows.NewPlan(table, []string{"nope"}, [2]string{}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("unknown column: got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(page(2))
	f.Add(`{"value":[{"@odata.context":"x/$deletedEntity","id":"49b0be2e-d01c-ed11-b83e-000d3a572421","reason":"deleted"}],"@odata.deltaLink":"x"}`)
	f.Add(`{"value":[{"wideid":"49b0be2e-d01c-ed11-b83e-000d3a572421","\u0074ext0":"\ud800"}]}`)
	plan, err := rows.NewPlan(wide(), nil, [2]string{"ref0", "ref1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		p, err := plan.Decode(body)
		if err != nil && (len(p.Rows) > 0 || len(p.Deleted) > 0) {
			t.Error("rows beside an error")
		}
		for i := range p.Rows {
			if len(p.Rows[i].Cells) != plan.Cells() {
				t.Errorf("row %d has %d cells", i, len(p.Rows[i].Cells))
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	plan, err := rows.NewPlan(wide(), nil, [2]string{})
	if err != nil {
		b.Fatal(err)
	}
	const n = 5000
	body := page(n)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		p, err := plan.Decode(body)
		if err != nil || len(p.Rows) != n {
			b.Fatal(len(p.Rows), err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
