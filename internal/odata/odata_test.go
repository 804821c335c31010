package odata_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/odata"
)

func TestEtag(t *testing.T) {
	for _, n := range []uint64{0, 1, 502186, 1<<64 - 1} {
		if got, err := odata.ParseEtag(odata.FormatEtag(n)); got != n || err != nil {
			t.Errorf("%d: got %d, %v", n, got, err)
		}
	}
	if got := odata.FormatEtag(502186); got != `W/"502186"` {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"", "W/", `W/""`, `"12`, `12`, `W/"x"`, `W/"18446744073709551616"`, `W/"99999999999999999999999"`} {
		if _, err := odata.ParseEtag(bad); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: got %v, want an Invalid error", bad, err)
		}
	}
}

func TestCondition(t *testing.T) {
	for _, c := range []struct {
		header string
		want   odata.ETagCondition
		bad    bool
	}{
		{"", odata.ETagCondition{None: true}, false},
		{"null", odata.ETagCondition{None: true}, false},
		{" * ", odata.ETagCondition{Any: true}, false},
		{`W/"1", "2"`, odata.ETagCondition{Tags: []string{`W/"1"`, `"2"`}}, false},
		{`W/"1" "2"`, odata.ETagCondition{}, true},
		{`W/"1`, odata.ETagCondition{}, true},
		{`1`, odata.ETagCondition{}, true},
		{`"1",`, odata.ETagCondition{}, true},
	} {
		got, err := odata.ParseCondition(c.header)
		if c.bad != (allod.KindOf(err) == allod.Invalid) {
			t.Errorf("%q: got error %v, want one: %v", c.header, err, c.bad)
		}
		if diff := cmp.Diff(got, c.want); diff != "" {
			t.Errorf("%q: %s", c.header, diff)
		}
	}
	c, err := odata.ParseCondition(`W/"1","2"`)
	if err != nil || !c.Matches(`W/"2"`) || !c.Matches(`"1"`) || c.Matches(`W/"3"`) || (odata.ETagCondition{None: true}).Matches(`"1"`) {
		t.Errorf("weak comparison is wrong: %+v, %v", c, err)
	}
}

func TestAppendValue(t *testing.T) {
	id, err := allod.ParseGUID("49B0BE2E-d01c-ed11-b83e-000d3a572421")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		v    allod.Value
		want string
	}{
		{allod.Value{}, "null"},
		{allod.NullValue(), "null"},
		{allod.StringValue("a\"b\\c\n\x01é\xff\u2028"), `"a\"b\\c\n\u0001é` + "\uFFFD\u2028" + `"`},
		{allod.IntegerValue(-9007199254740993), "-9007199254740993"},
		{allod.BooleanValue(true), "true"},
		{allod.TextValue(allod.Decimal, "20000.0000"), "20000.0000"},
		{allod.TextValue(allod.Double, "1E-07"), "1E-07"},
		{allod.TextValue(allod.Double, "INF"), `"INF"`},
		{allod.IDValue(id), `"49b0be2e-d01c-ed11-b83e-000d3a572421"`},
		{allod.LookupValue("contact", id), `"49b0be2e-d01c-ed11-b83e-000d3a572421"`},
		{allod.TextValue(allod.DateTime, "2023-04-07T21:59:01Z"), `"2023-04-07T21:59:01Z"`},
		{allod.TextValue(allod.Choices, "1,2"), `"1,2"`},
		{allod.TextValue(allod.JSON, `{"Value":true}`), `{"Value":true}`},
	} {
		got := string(odata.AppendValue(nil, c.v))
		if got != c.want {
			t.Errorf("%v: got %s, want %s", c.v.Type(), got, c.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s is not JSON", got)
		}
	}
	for s, want := range map[string]bool{"0": true, "-0.5e+10": true, "01": false, "1.": false, ".5": false, "+1": false, "1e": false, "": false, "-": false, "0x1": false} {
		if got := odata.IsNumber(s); got != want {
			t.Errorf("IsNumber(%q): got %v, want %v", s, got, want)
		}
	}
}

func TestContext(t *testing.T) {
	for _, c := range []struct {
		set, columns string
		form         odata.Form
		want         string
	}{
		{"", "", odata.FormCollection, "B/$metadata"},
		{"accounts", "", odata.FormCollection, "B/$metadata#accounts"},
		{"accounts", "name,primarycontactid(fullname)", odata.FormEntity, "B/$metadata#accounts(name,primarycontactid(fullname))/$entity"},
		{"accounts", "name", odata.FormDelta, "B/$metadata#accounts(name)/$delta"},
		{"accounts", "name", odata.FormDeleted, "B/$metadata#accounts/$deletedEntity"},
	} {
		got := string(odata.AppendContext(nil, "B", c.set, c.columns, c.form))
		if got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		if odata.IsDeletedContext(got) != (c.form == odata.FormDeleted) {
			t.Errorf("%s: IsDeletedContext is wrong", got)
		}
	}
}

func TestNames(t *testing.T) {
	property, term := odata.SplitName("revenue@" + odata.FormattedValue)
	if property != "revenue" || term != odata.FormattedValue {
		t.Errorf("got %q, %q", property, term)
	}
	if col, ok := odata.LookupColumn(odata.LookupProperty("ownerid")); col != "ownerid" || !ok {
		t.Errorf("got %q, %v", col, ok)
	}
	for _, bad := range []string{"name", "_value", "__value", "_x_valu"} {
		if col, ok := odata.LookupColumn(bad); ok {
			t.Errorf("%s: got %q, want none", bad, col)
		}
	}
	row := odata.AppendMember([]byte("{"), "a")
	row = odata.AppendAnnotated(append(row, '1'), "b", odata.FormattedValue)
	if got, want := string(row), `{"a":1,"b@OData.Community.Display.V1.FormattedValue":`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestError(t *testing.T) {
	e := &odata.Error{Code: "0x80040265", Message: "no \"x\"", Extra: map[string]string{"@Microsoft.PowerApps.CDS.HelpLink": "http://x", "@A.B": "1"}}
	body := e.AppendTo(nil)
	if want := `{"error":{"code":"0x80040265","message":"no \"x\"","@A.B":"1","@Microsoft.PowerApps.CDS.HelpLink":"http://x"}}`; string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	got, err := odata.ParseError(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, e); diff != "" {
		t.Error(diff)
	}
	if got, err := odata.ParseError([]byte("\uFEFF" + `{"error":{"code":null,"message":"m","innererror":{"a":[1]},"details":[]}}`)); err != nil || got.Code != "" || got.Message != "m" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "<html>", "{}", `{"error":null}`, `{"error":"x"}`, strings.Repeat(" ", 2<<20)} {
		if _, err := odata.ParseError([]byte(bad)); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%.20q: got %v, want an Invalid error", bad, err)
		}
	}
}

func TestPrefer(t *testing.T) {
	p, err := odata.ParsePrefer(`odata.maxpagesize=50, odata.include-annotations="*,-display.*", return=representation,odata.track-changes,odata.continue-on-error, strange;a=b`)
	if err != nil {
		t.Fatal(err)
	}
	want := &odata.Preferences{MaxPageSize: 50, IncludeAnnotations: []string{"*", "-display.*"}, Return: "representation", TrackChanges: true, ContinueOnError: true, Unknown: []string{"strange"}}
	if diff := cmp.Diff(p, want); diff != "" {
		t.Error(diff)
	}
	if !p.Includes(odata.FormattedValue) || p.Includes("display.x") || (&odata.Preferences{}).Includes("a.b") {
		t.Error("Includes does not follow the patterns")
	}
	for _, bad := range []string{"", "odata.maxpagesize=0", "odata.maxpagesize=x", "odata.maxpagesize=99999999999999999999", "return=all", "odata.include-annotations=*", "odata.track-changes=1", "a,,b"} {
		if _, err := odata.ParsePrefer(bad); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: got %v, want an Invalid error", bad, err)
		}
	}
}

func TestEntityID(t *testing.T) {
	_, id, err := odata.ParseEntityID("https://org/api/data/v9.2/accounts(49b0be2e-d01c-ed11-b83e-000d3a572421)")
	if err != nil || id.String() != "49b0be2e-d01c-ed11-b83e-000d3a572421" {
		t.Errorf("got %v, %v", id, err)
	}
	if url, id, err := odata.ParseEntityID("https://org/accounts(key='a')"); err != nil || url == "" || !id.IsZero() {
		t.Errorf("got %q, %v, %v", url, id, err)
	}
	if _, _, err := odata.ParseEntityID("a b"); allod.KindOf(err) != allod.Invalid {
		t.Errorf("got %v, want an Invalid error", err)
	}
}

func FuzzEtag(f *testing.F) {
	f.Add(`W/"123"`)
	f.Add(`"1", W/"2"`)
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := odata.ParseEtag(s); err == nil {
			if again, err := odata.ParseEtag(odata.FormatEtag(n)); again != n || err != nil {
				t.Fatalf("got %d, %v, want %d", again, err, n)
			}
		} else if allod.KindOf(err) != allod.Invalid {
			t.Fatalf("got %v, want an Invalid error", err)
		}
		c, err := odata.ParseCondition(s)
		if err != nil && allod.KindOf(err) != allod.Invalid {
			t.Fatalf("got %v, want an Invalid error", err)
		}
		for _, tag := range c.Tags {
			if !c.Matches(tag) {
				t.Fatalf("%q does not match itself", tag)
			}
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"b\\\x00\xffé\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(odata.AppendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); utf8.ValidString(s) && got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// BenchmarkAppendRow writes a row as a server does: an etag, ten texts, five
// numbers, two GUIDs and a time, with three annotations.
func BenchmarkAppendRow(b *testing.B) {
	id, err := allod.ParseGUID("49b0be2e-d01c-ed11-b83e-000d3a572421")
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	var cells []allod.Value
	add := func(name string, v allod.Value) { names, cells = append(names, name), append(cells, v) }
	for i := range 10 {
		add("address1_line"+string(rune('0'+i)), allod.StringValue("Bahnhofstraße 12, 8001 Zürich"))
	}
	for i := range 5 {
		add("revenue"+string(rune('0'+i)), allod.TextValue(allod.Decimal, "20000.0000"))
	}
	add("accountid", allod.IDValue(id))
	add("_ownerid_value", allod.LookupValue("systemuser", id))
	add("createdon", allod.TextValue(allod.DateTime, "2023-04-07T21:59:01Z"))
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = append(buf[:0], '{')
		buf = odata.AppendMember(buf, odata.ETag)
		buf = odata.AppendString(buf, odata.FormatEtag(502186))
		for i, name := range names {
			if cells[i].Type() == allod.Lookup {
				buf = odata.AppendAnnotated(buf, name, odata.FormattedValue)
				buf = odata.AppendString(buf, "Ann")
				buf = odata.AppendAnnotated(buf, name, odata.LookupLogicalName)
				buf = odata.AppendString(buf, "systemuser")
				buf = odata.AppendAnnotated(buf, name, odata.AssociatedNavigation)
				buf = odata.AppendString(buf, "ownerid")
			}
			buf = odata.AppendMember(buf, name)
			buf = odata.AppendValue(buf, cells[i])
		}
		buf = append(buf, '}')
	}
	b.SetBytes(int64(len(buf)))
}
