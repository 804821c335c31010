package query_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/odata/query"
)

// row is a row of a test: cells by name, related rows by navigation property.
type row struct {
	cells map[string]allod.Value
	one   map[string]*row
	many  map[string][]*row
}

func env() query.Env[*row] {
	e := query.Env[*row]{
		FoldCase: true, Wildcards: true,
		Now: func() time.Time { return time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC) },
	}
	e.Column = func(name string) (func(*row) (allod.Value, error), error) {
		if name == "unknown" {
			return nil, allod.Errorf(allod.Invalid, "could not find a property named 'unknown'")
		}
		return func(r *row) (allod.Value, error) { return r.cells[name], nil }, nil
	}
	e.Single = func(name string) (func(*row) (*row, bool, error), *query.Env[*row], error) {
		return func(r *row) (*row, bool, error) { return r.one[name], r.one[name] != nil, nil }, &e, nil
	}
	e.Many = func(name string) (func(*row) ([]*row, error), *query.Env[*row], error) {
		return func(r *row) ([]*row, error) { return r.many[name], nil }, &e, nil
	}
	e.Aliases = map[string]query.Expr{"p1": &query.Literal{Kind: query.LitString, Text: "contoso"}, "loop": &query.Alias{Name: "loop"}}
	return e
}

func sample() *row {
	text := func(t allod.Type, s string) allod.Value { return allod.TextValue(t, s) }
	id, err := allod.ParseGUID("49b0be2e-d01c-ed11-b83e-000d3a572421")
	if err != nil {
		panic(err)
	}
	task := func(subject string, done bool) *row {
		return &row{cells: map[string]allod.Value{"subject": allod.StringValue(subject), "done": allod.BooleanValue(done)}}
	}
	return &row{
		cells: map[string]allod.Value{
			"name": allod.StringValue("Contoso"), "nothing": allod.NullValue(), "empty": allod.StringValue(""),
			"city": allod.StringValue("Zürich"), "rate": allod.StringValue("100% [net]"),
			"revenue": text(allod.Decimal, "20000.0000"), "tenth": text(allod.Decimal, "0.1"),
			"huge": text(allod.Decimal, "12345678901234567890.123456789"), "tiny": text(allod.Double, "1E-07"),
			"statuscode": allod.IntegerValue(1), "big": allod.IntegerValue(9007199254740993),
			"accountid": allod.IDValue(id), "_owner_value": allod.LookupValue("systemuser", id),
			"createdon": text(allod.DateTime, "2024-02-28T23:59:01Z"), "birth": text(allod.Date, "2024-02-29"),
			"kinds": text(allod.Choices, "1,2,30"), "active": allod.BooleanValue(true),
		},
		one:  map[string]*row{"primarycontactid": {cells: map[string]allod.Value{"fullname": allod.StringValue("Ann")}}},
		many: map[string][]*row{"tasks": {task("call", true), task("write", false)}, "none": nil},
	}
}

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		filter string
		want   bool
	}{
		// null
		{"nothing eq null", true},
		{"name eq null", false},
		{"name ne null", true},
		{"nothing ne 'x'", true},
		{"nothing gt 1", false},
		{"not (nothing gt 1)", true},
		{"contains(nothing,'x')", false},
		{"not contains(nothing,'x')", false},
		{"contains(nothing,'x') or true", true},
		{"contains(nothing,'x') and true", false},
		{"not (contains(nothing,'x') and false)", true},
		{"null in (null)", true},
		{"empty eq ''", true},
		{"empty eq null", false},
		{"absent eq null", true},
		// text
		{"name eq 'CONTOSO'", true},
		{"name eq @p1", true},
		{"name eq @missing", false},
		{"nothing eq @missing", true},
		{"city eq 'ZÜRICH'", true},
		{"contains(city,'ÜR')", true},
		{"startswith(name,'con')", true},
		{"endswith(name,'SO')", true},
		{"endswith(name,'xx')", false},
		{"indexof(city,'r') eq 2", true},
		{"length(city) eq 6", true},
		{"substring(city,1,2) eq 'ür'", true},
		{"substring(city,99) eq ''", true},
		{"tolower(name) eq 'contoso'", true},
		{"toupper(concat(name,'x')) eq 'CONTOSOX'", true},
		{"trim('  a ') eq 'a'", true},
		{"name gt 'b' and name lt 'd'", true},
		{"name in ('a','contoso')", true},
		{"name in ('a')", false},
		{"contains(name,'c%o')", true},
		{"startswith(name,'_on')", true},
		{"contains(name,'[x-z]')", false},
		{"startswith(name,'[^a]on')", true},
		{"contains(rate,'100[%]')", true},
		{"contains(rate,'[[]net]')", true},
		// numbers
		{"revenue eq 20000", true},
		{"revenue eq 20000.0001", false},
		{"revenue gt 19999.9999", true},
		{"tenth add 0.2 eq 0.3", true},
		{"big eq 9007199254740993", true},
		{"big eq 9007199254740992", false},
		{"huge gt 12345678901234567890.123456788", true},
		{"huge eq 12345678901234567890.1234567890", true},
		{"tiny eq 0.0000001", true},
		{"tiny lt 1e-6", true},
		{"statuscode eq 1.0", true},
		{"5 div 2 eq 2", true},
		{"5 divby 2 eq 2.5", true},
		{"-7 mod 3 eq -1", true},
		{"2 mul 3 add 1 eq 7", true},
		{"1 add 2 mul 3 eq 7", true},
		{"round(2.5) eq 3 and round(-2.5) eq -3", true},
		{"floor(-2.1) eq -3", true},
		{"ceiling(2.1) eq 3 and ceiling(-2.9) eq -2", true},
		{"- statuscode eq -1", true},
		{"revenue lt INF", true},
		{"revenue eq NaN", false},
		{"statuscode in (1,2)", true},
		{"statuscode has Microsoft.Dynamics.CRM.X'1'", true},
		{"case(statuscode eq 2:'two',true:'other') eq 'other'", true},
		// GUIDs and times
		{"accountid eq 49B0BE2E-d01c-ed11-b83e-000d3a572421", true},
		{"_owner_value eq '49b0be2e-d01c-ed11-b83e-000d3a572421'", true},
		{"_owner_value ne 00000000-0000-0000-0000-000000000000", true},
		{"createdon lt 2024-02-29", true},
		{"createdon ge 2024-02-28T23:59:01Z", true},
		{"createdon eq 2024-02-29T00:59:01+01:00", true},
		{"birth eq 2024-02-29", true},
		{"year(createdon) eq 2024 and month(birth) eq 2 and day(birth) eq 29", true},
		{"hour(createdon) eq 23 and minute(createdon) eq 59 and second(createdon) eq 1", true},
		{"date(createdon) eq 2024-02-28", true},
		{"time(createdon) eq 23:59:01", true},
		{"now() gt createdon", true},
		{"createdon add duration'PT1M' ge 2024-02-29T00:00:01Z", true},
		{"birth sub 2024-02-28 eq duration'P1D'", true},
		{"mindatetime() lt createdon and createdon lt maxdatetime()", true},
		// related rows
		{"primarycontactid/fullname eq 'ann'", true},
		{"parent/fullname eq null", true},
		{"tasks/any()", true},
		{"none/any()", false},
		{"tasks/any(t:t/subject eq 'call' and t/done eq true)", true},
		{"tasks/all(t:t/done eq true)", false},
		{"none/all(t:t/done eq true)", true},
		{"tasks/any(t:t/subject eq 'call' and name eq 'contoso')", true},
		{"tasks/any(t:$it/name eq 'contoso')", true},
		{"tasks/$count eq 2", true},
		{"tasks/$count($filter=done eq true) eq 1", true},
		// functions of Dataverse
		{"Microsoft.Dynamics.CRM.In(PropertyName='accountid',PropertyValues=[\"49b0be2e-d01c-ed11-b83e-000d3a572421\"])", true},
		{"Microsoft.Dynamics.CRM.In(PropertyName='statuscode',PropertyValues=['1','7'])", true},
		{"Microsoft.Dynamics.CRM.NotIn(PropertyName='statuscode',PropertyValues=['1'])", false},
		{"Microsoft.Dynamics.CRM.Between(PropertyName='revenue',PropertyValues=['19999','20000'])", true},
		{"Microsoft.Dynamics.CRM.NotBetween(PropertyName='revenue',PropertyValues=['1','2'])", true},
		{"Microsoft.Dynamics.CRM.ContainValues(PropertyName='kinds',PropertyValues=['3','30'])", true},
		{"Microsoft.Dynamics.CRM.DoesNotContainValues(PropertyName='kinds',PropertyValues=['3'])", true},
		{"Microsoft.Dynamics.CRM.Yesterday(PropertyName='createdon')", true},
		{"Microsoft.Dynamics.CRM.Today(PropertyName='createdon')", false},
		{"Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=1)", true},
		{"Microsoft.Dynamics.CRM.OlderThanXHours(PropertyName='createdon',PropertyValue=13)", false},
		{"Microsoft.Dynamics.CRM.OlderThanXHours(PropertyName='createdon',PropertyValue='11')", true},
		{"Microsoft.Dynamics.CRM.On(PropertyName='createdon',PropertyValue='2024-02-28')", true},
		{"Microsoft.Dynamics.CRM.OnOrBefore(PropertyName='createdon',PropertyValue='2024-02-27')", false},
		{"Microsoft.Dynamics.CRM.In(PropertyName='primarycontactid/fullname',PropertyValues=['Ann'])", true},
		{"not active eq false", true},
		{"active", true},
		{"active and not (statuscode eq 2)", true},
	} {
		e, err := query.ParseExpr(c.filter)
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		judge, err := query.Compile(e, env())
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		got, err := judge(sample())
		if err != nil || got != c.want {
			t.Errorf("%s: got %v, %v, want %v", c.filter, got, err, c.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, filter := range []string{
		"unknown eq 1", "birth eq 2023-02-29", "@loop eq 1", "cast(name,Edm.Int32) eq 1", "geo.length(name) eq 1",
		"Microsoft.Dynamics.CRM.EqualUserId(PropertyName='accountid')", "Microsoft.Dynamics.CRM.In(PropertyName='a')", "statuscode eq 1e999999999",
		// seen when a row shows it
		"statuscode eq 'one'", "name add 1 eq 2", "1 div 0 eq 1", "name", "not name", "name and active", "length(statuscode) eq 1", "statuscode in name",
	} {
		e, err := query.ParseExpr(filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		judge, err := query.Compile(e, env())
		if err == nil {
			_, err = judge(sample())
		}
		if allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want an Invalid error", filter, err)
		}
	}
}

func TestCompileOrder(t *testing.T) {
	o, err := query.Dialect{}.ParseOptions("$orderby=a desc,b")
	if err != nil {
		t.Fatal(err)
	}
	cmpRows, err := query.CompileOrder(o.OrderBy, env())
	if err != nil {
		t.Fatal(err)
	}
	mk := func(a, b allod.Value) *row { return &row{cells: map[string]allod.Value{"a": a, "b": b}} }
	one, two, null := allod.IntegerValue(1), allod.TextValue(allod.Decimal, "2.0"), allod.NullValue()
	for _, c := range []struct {
		x, y *row
		want int
	}{
		{mk(two, one), mk(one, one), -1}, {mk(one, one), mk(null, one), -1}, {mk(one, null), mk(one, two), -1}, {mk(one, two), mk(one, two), 0},
	} {
		got, err := cmpRows(c.x, c.y)
		back, err2 := cmpRows(c.y, c.x)
		if err != nil || err2 != nil || got != c.want || back != -c.want {
			t.Errorf("got %d and %d back, %v, want %d", got, back, err, c.want)
		}
	}
}

func TestPrint(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"(a or b) and not (c eq 1)", "(a or b) and not (c eq 1)"},
		{"a or (b and c)", "a or b and c"},
		{"a sub (b sub c)", "a sub (b sub c)"},
		{"NOT a EQ 'O''Neil'", "not a eq 'O''Neil'"},
		{`f(x=["a\"b",1,{"k":null}])`, `f(x=['a"b',1,{"k":null}])`},
		{"Nav/$filter(a gt 1)(Id=2)/b/$count($filter=c eq 1;$search=x y) gt 1", "Nav/$filter(a gt 1)(Id=2)/b/$count($filter=c eq 1;$search=x y) gt 1"},
	} {
		e, err := query.ParseExpr(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got := query.Print(e); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestParseURL(t *testing.T) {
	d := query.Dialect{Exact: true, PlusIsSpace: true}
	r, err := d.ParseURL("accounts(49b0be2e-d01c-ed11-b83e-000d3a572421)/contact_customer_accounts/$ref?$select=name,primarycontactid&$filter=name+eq+%27a%2Fb%27" +
		"&$expand=primarycontactid($select=fullname;$expand=x),tasks($top=5;$orderby=a%20desc)&$orderby=name%20desc,a&$top=10&$count=true&fetchXml=%3Cfetch%2F%3E&@p1=[%22a%22]" +
		"&$apply=filter(a eq 1)/groupby((statuscode),aggregate(revenue with sum as total,$count as n))")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Path) != 3 || r.Path[0].Name != "accounts" || r.Path[2].Kind != query.SegRef {
		t.Errorf("got path %+v", r.Path)
	}
	if id, ok := r.Path[0].ID(); !ok || id.String() != "49b0be2e-d01c-ed11-b83e-000d3a572421" {
		t.Errorf("got id %v, %v", id, ok)
	}
	o := r.Options
	if query.Print(o.Filter) != "name eq 'a/b'" || o.Top.N != 10 || !o.Count.Value || len(o.Select) != 2 || len(o.OrderBy) != 2 || !o.OrderBy[0].Desc {
		t.Errorf("got options %+v", o)
	}
	if len(o.Expand) != 2 || o.Expand[0].Options.Select[0].Path[0] != "fullname" || len(o.Expand[0].Options.Expand) != 1 || o.Expand[1].Options.Top.N != 5 {
		t.Errorf("got expand %+v", o.Expand)
	}
	if xml, ok := o.Get("fetchXml"); !ok || xml != "<fetch/>" {
		t.Errorf("got fetchXml %q", xml)
	}
	if len(o.Apply) != 2 || o.Apply[1].Apply[0].Aggregate[0].As != "total" || !o.Apply[1].Apply[0].Aggregate[1].Count {
		t.Errorf("got apply %+v", o.Apply)
	}
	want := []string{"$select", "$filter", "$expand", "$orderby", "$top", "$count", "fetchXml", "@p1", "$apply"}
	if diff := cmp.Diff(o.Names, want); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"accounts/", "accounts?$top=1&$top=2", "accounts?$Top=1", "accounts?$top=x", "accounts?$foo=1", "accounts(1", "accounts('a)", "accounts(name='a',1)",
		"$batch/x", "accounts?$filter=" + strings.Repeat("(", 300), "accounts?$filter=%00", "accounts?$filter=%zz", "accounts#x", strings.Repeat("a/", 200) + "a",
		"accounts?$expand=" + strings.Repeat("a($expand=", 300),
	} {
		if _, err := d.ParseURL(bad); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%.60s: got %v, want an Invalid error", bad, err)
		}
	}
	one, err := d.ParseURL("$1/contacts/$ref")
	if err != nil || one.Path[0].Kind != query.SegContentID || one.Path[0].Name != "1" {
		t.Errorf("got %+v, %v", one, err)
	}
}

func FuzzExpr(f *testing.F) {
	for _, s := range []string{
		"name eq 'O''Neil' and not (a add -1 gt 2.5e3) or x in ('a',null)", "a/any(t:t/b eq 1) and b/all(c:c eq @p)", `f(x={"a":[1,"b"]})/$count($filter=a;$search=x) ge 1`,
		"case(a:1,true:-b)", "isof(Edm.String) and cast(a,Collection(x.y)) has x.y'A,1'", "$it/@x.y#q eq duration'P1D' and $root/A(1)/b eq 2012-01-01T00:00Z", "geography'SRID=0;Point(1 2)' eq null",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := query.ParseExpr(s)
		if err != nil {
			if allod.KindOf(err) != allod.Invalid {
				t.Fatalf("got %v, want an Invalid error", err)
			}
			return
		}
		text := query.Print(e)
		again, err := query.ParseExpr(text)
		if err != nil {
			if len(text) > query.MaxURL || strings.Contains(err.Error(), "nested deeper") {
				return // parentheses that the printer adds count too
			}
			t.Fatalf("print gives %q, which is refused: %v", text, err)
		}
		if diff := cmp.Diff(again, e); diff != "" {
			t.Fatalf("%q prints as %q:\n%s", s, text, diff)
		}
		if judge, err := query.Compile(e, env()); err == nil {
			_, _ = judge(sample()) // only that it does not panic
		}
	})
}

func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"accounts(1)/a/$ref?$select=a,b/c&$expand=a($levels=max;$select=b),*($levels=2)&$filter=a eq 1&@p=[1]&$search=a (b OR \"c d\")",
		"$crossjoin(a,b)?$apply=groupby((a,b/c),aggregate($count as n,x with max as y))", "$metadata#a(b+(c))/$entity", "f(a=@b,c='d')/$filter(@b)/$each/x.y?@b=a gt 1", "$entity/x.y?$id=a&$select=b",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := query.Dialect{}.ParseURL(s)
		if err != nil {
			if allod.KindOf(err) != allod.Invalid {
				t.Fatalf("got %v, want an Invalid error", err)
			}
			return
		}
		var text []byte
		for i := range r.Path {
			if i > 0 {
				text = append(text, '/')
			}
			text = query.AppendSegment(text, &r.Path[i])
		}
		if len(text) > query.MaxURL {
			return
		}
		again, err := query.Dialect{}.ParsePath(string(text))
		if err != nil {
			if strings.Contains(err.Error(), "nested deeper") {
				return
			}
			t.Fatalf("%q is written as %q, which is refused: %v", s, text, err)
		}
		if diff := cmp.Diff(again, r.Path); diff != "" {
			t.Fatalf("%q is written as %q:\n%s", s, text, diff)
		}
	})
}

func BenchmarkParseExpr(b *testing.B) {
	for b.Loop() {
		if _, err := query.ParseExpr("revenue gt 19999.99 and contains(name,'tos') and statuscode eq 1"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	for name, filter := range map[string]string{
		"number": "revenue gt 19999.99", "guid": "accountid eq 49b0be2e-d01c-ed11-b83e-000d3a572421", "time": "createdon ge 2024-01-01T00:00:00Z",
		"three": "revenue gt 19999.99 and contains(name,'tos') and statuscode eq 1",
	} {
		b.Run(name, func(b *testing.B) {
			e, err := query.ParseExpr(filter)
			if err != nil {
				b.Fatal(err)
			}
			judge, err := query.Compile(e, env())
			if err != nil {
				b.Fatal(err)
			}
			r := sample()
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := judge(r); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
