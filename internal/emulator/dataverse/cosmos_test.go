package dataverse_test

import (
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
		{"select c.props.new_count as n from c where not (c.props.new_count = 1 or c.props.new_energy.at.room = 'a')", "", nil, rows{row{"n": 2.0}}},
		{"select c.props.new_count as n from c order by c.props.new_count", ",PartitionId=@p4", []string{"@p4", "'d0'"}, rows{row{"n": 0.0}, row{"n": 2.0}}},
		{"select c.props.new_count as n from c where c.props.new_energy.power = null", "", nil, rows{row{"n": 2.0}}},
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
