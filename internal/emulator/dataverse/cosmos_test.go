package dataverse_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
)

func TestSection4_8_ExecuteCosmosSqlQuery(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_Sensor", `"TableType":"Elastic"`))
	c.want(204, "POST", "EntityDefinitions(LogicalName='new_sensor')/Attributes", column("Memo", "new_Energy", `"Format":"Json"`, `"FormatName":{"Value":"Json"}`))
	c.want(204, "POST", "EntityDefinitions(LogicalName='new_sensor')/Attributes", column("Integer", "new_Count"))
	for i, energy := range []string{`{"power":12,"unit":"kWh","at":{"room":"a"}}`, `{"power":0.55,"unit":"kWh"}`, `no JSON`} {
		c.want(204, "POST", "new_sensors", fmt.Sprintf(`{"new_accountname":"s%d","new_count":%d,"partitionid":"d%d","new_energy":%q}`, i, i, i%2, energy))
	}
	query := func(status int, text, more string, aliases ...string) answer {
		t.Helper()
		q := url.Values{"@p1": {"'" + strings.ReplaceAll(text, "'", "''") + "'"}, "@p2": {"'new_sensor'"}}
		for i := 0; i < len(aliases); i += 2 {
			q.Set(aliases[i], aliases[i+1])
		}
		return c.want(status, "GET", "ExecuteCosmosSqlQuery(QueryText=@p1,EntityLogicalName=@p2"+more+")?"+strings.ReplaceAll(q.Encode(), "+", "%20"), "")
	}
	type rows = []any
	type row = map[string]any
	for _, x := range []struct {
		text, more string
		aliases    []string
		want       rows
	}{
		{"select c.props.new_accountname as name, c.props.new_energy.power as power from c where c.props.new_energy.power > 5", "", nil, rows{row{"name": "s0", "power": 12.0}}},
		{
			"select c.props.new_accountname as name from c where c.props.new_energy.unit=@unit and c.props.new_energy.power < @power", ",QueryParameters=@p3",
			[]string{"@p3", `{"Keys":["@unit","@power"],"Values":[{"Type":"System.String","Value":"kWh"},{"Type":"System.Int32","Value":"5"}]}`},
			rows{row{"name": "s1"}},
		},
		{"SELECT TOP 2 c.props.new_Count FROM c ORDER BY c.props.new_count DESC", "", nil, rows{row{"new_Count": 2.0}, row{"new_Count": 1.0}}},
		{"select c.props.new_count as n from c where not (c.props.new_count = 1 or IS_DEFINED(c.props.new_energy.at.room))", "", nil, rows{row{"n": 2.0}}},
		{"select c.props.new_count as n from c order by c.props.new_count", ",PartitionId=@p4", []string{"@p4", "'d0'"}, rows{row{"n": 0.0}, row{"n": 2.0}}},
		{"select c.props.new_count as n from c where not is_defined(c.props.new_energy.power)", "", nil, rows{row{"n": 2.0}}},
	} {
		if diff := cmp.Diff(query(200, x.text, x.more, x.aliases...).json()["Result"], any(x.want)); diff != "" {
			t.Errorf("%s: got -, want +:\n%s", x.text, diff)
		}
	}
	const all = "select c.props.new_count as n from c order by c.props.new_count"
	first := query(200, all, ",PageSize=@p5", "@p5", "2").json()
	rest := query(200, all, ",PageSize=@p5,PagingCookie=@p6", "@p5", "2", "@p6", "'"+first["PagingCookie"].(string)+"'").json()
	if first["HasMore"] != true || rest["HasMore"] != false || len(first["Result"].(rows)) != 2 || len(rest["Result"].(rows)) != 1 {
		t.Errorf("pages: got %v, then %v", first, rest)
	}
	for _, text := range []string{
		"delete from c", "select c.new_count from c", "select c.props.new_count from c where", "select c.props.new_count from c where c.props.new_count = @nobody", "select c.props.new_count from c where c.props.new_count = 'a",
		"select * from c where " + strings.Repeat("(", 1000) + "c.props.new_count = 1" + strings.Repeat(")", 1000), "select c.props.new_count from c limit 1", "select c..x from c",
	} {
		query(400, text, "")
	}
	query(400, all, "", "@p2", "'account'")
}

// Functions, JOINs, VALUE and aggregates; what is not there is undefined, and no
// comparison with it holds (§4.8).
func TestSection4_8_FunctionsAndJoins(t *testing.T) {
	c := standardCompany(t, dvemu.Options{})
	c.want(204, "POST", "EntityDefinitions", bank("new_Sensor", `"TableType":"Elastic"`))
	for _, name := range []string{"new_Data", "new_Tags"} {
		c.want(204, "POST", "EntityDefinitions(LogicalName='new_sensor')/Attributes", column("Memo", name, `"Format":"Json"`, `"FormatName":{"Value":"Json"}`))
	}
	for name, values := range map[string][2]string{
		"Alpha": {`{"n":1.5,"none":null,"list":[{"k":"x","v":1},{"k":"y","v":2}]}`, `["red","blue"]`},
		"beta":  {`{"n":-2,"list":[{"k":"x","v":3}]}`, `["red"]`},
		"Gamma": {`{"n":"text"}`, ""},
	} {
		body := fmt.Sprintf(`{"new_accountname":%q,"new_data":%q`, name, values[0])
		if values[1] != "" {
			body += fmt.Sprintf(`,"new_tags":%q`, values[1])
		}
		c.want(204, "POST", "new_sensors", body+"}")
	}
	ask := func(text string) answer {
		q := url.Values{"@p1": {"'" + strings.ReplaceAll(text, "'", "''") + "'"}}
		return c.do("GET", "ExecuteCosmosSqlQuery(QueryText=@p1,EntityLogicalName='new_sensor')?"+strings.ReplaceAll(q.Encode(), "+", "%20"), "")
	}
	const name, data, by = "c.props.new_accountname", "c.props.new_data", " order by c.props.new_accountname"
	names := func(where string) string { return "select value " + name + " from c where " + where + by }
	for _, x := range [][2]string{
		{names("contains(" + name + ", 'a')"), `["Alpha","Gamma","beta"]`},
		{names("contains(" + name + ", 'BET')"), `[]`},
		{names("CONTAINS(" + name + ", 'BET', true)"), `["beta"]`},
		{names("startswith(" + name + ", 'Al')"), `["Alpha"]`},
		{names("ENDSWITH(" + name + ", 'ma')"), `["Gamma"]`},
		{names("LOWER(" + name + ") = 'alpha'"), `["Alpha"]`},
		{names("UPPER(" + name + ") = 'BETA'"), `["beta"]`},
		{names("length(" + name + ") < 5"), `["beta"]`},
		{names("is_null(" + data + ".none)"), `["Alpha"]`},
		{names("IS_DEFINED(" + data + ".none)"), `["Alpha"]`},
		{names("not is_defined(c.props.new_tags)"), `["Gamma"]`},
		{names("array_contains(c.props.new_tags, 'blue')"), `["Alpha"]`},
		{names("array_length(c.props.new_tags) = 1"), `["beta"]`},
		{names("not array_length(c.props.new_tags) = 1"), `["Alpha"]`}, // of nothing there is no opposite
		{names(data + ".n != 0"), `["Alpha","beta"]`},
		{names("not " + data + ".n = 0"), `["Alpha","beta"]`},
		{names(data + ".list = " + data + ".list"), `["Alpha","beta"]`},
		{names("abs(" + data + ".n) = 2"), `["beta"]`},
		{names(data + ".list[1].k = 'y'"), `["Alpha"]`},
		{names(data + "['n'] = 'text'"), `["Gamma"]`},
		{names("concat(" + name + ", '!') = 'beta!'"), `["beta"]`},
		{names("(" + name + " = 'beta') = true"), `["beta"]`},
		{"select value substring(" + name + ", 1, 3) from c" + by, `["lph","amm","eta"]`},
		{"select value round(" + data + ".n) from c" + by, `[2,-2]`},
		{"select floor(" + data + ".n) as f, ceiling(" + data + ".n) as g, length('ab') from c where " + name + " = 'Alpha'", `[{"$3":2,"f":1,"g":2}]`},
		{"select value count(1) from c", `[3]`},
		{"select value count(" + data + ".list) from c", `[2]`},
		{"select value sum(t.v) from c join t in " + data + ".list", `[6]`},
		{"select value avg(t.v) from c join t in " + data + ".list where t.k = 'x'", `[2]`},
		{"select min(t.v) as lo, max(t.v) as hi, count(t) as n from c join t in " + data + ".list", `[{"hi":3,"lo":1,"n":3}]`},
		{"select value sum(" + data + ".n) from c", `[]`}, // one is a text
		{"select value max(" + name + ") from c where " + name + " = 'none'", `[]`},
		{"select " + name + " as name, t.k, t.v from c join t in " + data + ".list" + by, `[{"k":"x","name":"Alpha","v":1},{"k":"y","name":"Alpha","v":2},{"k":"x","name":"beta","v":3}]`},
		{"select value t from c join t in c.props.new_tags where t = 'red'", `["red","red"]`},
		{"select value concat(a, b.k) from c join a in c.props.new_tags join b in " + data + ".list where array_contains(" + data + ".list, b) order by a", `["bluex","bluey","redx","redy","redx"]`},
		{"select top 1 value t.v from c join t in " + data + ".list order by t.v desc", `[3]`},
		{"select value 1 from c where array_contains(" + data + ".list, @none)", "400"},
		{"select value count(1), 2 from c", "400"},
		{"select count(1) as n, " + name + " from c", "400"},
		{"select nonsense(1) from c", "400"},
		{"select lower() from c", "400"},
		{"select value 1, 2 from c", "400"},
		{"select * from c join t in " + data + ".list", "400"},
		{"select value t from c join t", "400"},
		{"select value u.v from c join t in " + data + ".list", "400"},
		{"select value abs(1 from c", "400"},
		{"select value " + strings.Repeat("abs(", 200) + "1" + strings.Repeat(")", 200) + " from c", "400"},
		{"select value c.props.new_tags[0 from c", "400"},
	} {
		text, want := x[0], x[1]
		a := ask(text)
		got := fmt.Sprint(a.Status)
		if a.Status == 200 {
			result, err := json.Marshal(a.json()["Result"])
			if err != nil {
				t.Fatal(err)
			}
			got = string(result)
		}
		if strings.Contains(text, "concat(a, b.k)") { // the rows have no order of their own
			got, want = fmt.Sprint(len(got)), fmt.Sprint(len(want))
		}
		if got != want {
			t.Errorf("%s:\ngot  %s %s\nwant %s", text, got, a.Body, want)
		}
	}
	// An object that an array holds in part.
	q := url.Values{"@p1": {"'select value " + name + " from c where array_contains(" + data + ".list, c.props.new_data.list[0], true) order by c.props.new_accountname'"}}
	if rows := c.want(200, "GET", "ExecuteCosmosSqlQuery(QueryText=@p1,EntityLogicalName='new_sensor')?"+strings.ReplaceAll(q.Encode(), "+", "%20"), "").json()["Result"].([]any); len(rows) != 2 {
		t.Errorf("in part: got %v", rows)
	}
}
