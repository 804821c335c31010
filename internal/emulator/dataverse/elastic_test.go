package dataverse_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
)

func elasticModel() *entity.Model {
	m := withTables(model(), "contoso_sensordata contoso_sensordatas contoso_sensordataid partitionid:String ttlinseconds:Integer value:Integer")
	m.Table("contoso_sensordata").Keys = []*entity.Key{{SchemaName: "KeyForNoSqlEntityWithPKPartitionId", Columns: []string{"contoso_sensordataid", "partitionid"}}}
	return m
}

func TestElasticRowsLiveInPartitions(t *testing.T) {
	c := start(t, dvemu.Options{Model: elasticModel()})
	a := c.want(204, "POST", "contoso_sensordatas", `{"name":"s","value":1,"partitionid":"d1"}`)
	if a.Header.Get("x-ms-session-token") == "" {
		t.Error("a write returns no session token")
	}
	id := a.id()
	key := "contoso_sensordatas(contoso_sensordataid=" + id + ",partitionid='d1')"
	c.want(204, "PATCH", key, `{"value":2,"partitionid":"d2"}`, "If-Match", "*")
	if r := c.want(200, "GET", key, "").json(); r["value"] != 2.0 || r["name"] != "s" || r["partitionid"] != "d1" {
		t.Errorf("update: got %v", r)
	}
	// Without a condition the row is replaced.
	c.want(204, "PATCH", "contoso_sensordatas("+id+")?partitionId=d1", `{"value":3}`)
	if r := c.want(200, "GET", key, "").json(); r["value"] != 3.0 || r["name"] != nil || r["partitionid"] != "d1" {
		t.Errorf("upsert: got %v, want the row replaced", r)
	}
	c.want(404, "DELETE", "contoso_sensordatas("+id+")?partitionId=other", "")
	c.want(204, "DELETE", "contoso_sensordatas("+id+")?partitionId=d1", "")
	// Standard tables know nothing of it.
	acc := c.want(204, "POST", "accounts", `{"name":"a","accountnumber":"1"}`)
	if acc.Header.Get("x-ms-session-token") != "" {
		t.Error("a standard table returns a session token")
	}
	c.want(204, "PATCH", "accounts("+acc.id()+")", `{"name":"b"}`)
	if r := c.want(200, "GET", "accounts("+acc.id()+")", "").json(); r["accountnumber"] != "1" {
		t.Errorf("PATCH replaced an account: %v", r)
	}
}

func TestElasticRowsExpire(t *testing.T) {
	k := &clock{time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)}
	c := start(t, dvemu.Options{Model: elasticModel(), Now: k.now})
	id := c.want(204, "POST", "contoso_sensordatas", `{"name":"s","ttlinseconds":60}`).id()
	c.want(204, "POST", "contoso_sensordatas", `{"name":"stays"}`)
	k.at = k.at.Add(50 * time.Second)
	c.want(204, "PATCH", "contoso_sensordatas("+id+")", `{"value":1}`, "If-Match", "*") // begins anew
	k.at = k.at.Add(50 * time.Second)
	c.want(200, "GET", "contoso_sensordatas("+id+")", "")
	k.at = k.at.Add(11 * time.Second)
	c.want(404, "GET", "contoso_sensordatas("+id+")", "")
	if rows := c.want(200, "GET", "contoso_sensordatas", "").rows(); len(rows) != 1 || rows[0]["name"] != "stays" {
		t.Errorf("got %v", rows)
	}
}

func TestDeleteMultipleIsForElasticTables(t *testing.T) {
	c := start(t, dvemu.Options{Model: elasticModel()})
	one := c.want(204, "POST", "contoso_sensordatas", `{"name":"1","partitionid":"d1"}`).id()
	two := c.want(204, "POST", "contoso_sensordatas", `{"name":"2","partitionid":"d2"}`).id()
	three := c.want(204, "POST", "contoso_sensordatas", `{"name":"3"}`).id()
	target := func(id, partition string) string {
		return `{"@odata.type":"Microsoft.Dynamics.CRM.contoso_sensordata","contoso_sensordataid":"` + id + `","partitionid":"` + partition + `"}`
	}
	const path = "contoso_sensordatas/Microsoft.Dynamics.CRM.DeleteMultiple"
	c.want(204, "POST", path, `{"Targets":[`+target(one, "d1")+`]}`)
	a := c.want(400, "POST", path, `{"Targets":[`+target(two, "wrong")+`,`+target(three, "")+`]}`)
	detail := a.json()["error"].(map[string]any)["@Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails"].(string)
	var got []struct {
		RequestIndex int
		ID           string `json:"Id"`
		StatusCode   int
	}
	if err := json.Unmarshal([]byte(detail), &got); err != nil || len(got) != 2 || got[0].StatusCode != 404 || got[1].StatusCode != 200 || got[1].ID != three {
		t.Errorf("details: %v %s", err, detail)
	}
	var left []any
	for _, r := range c.want(200, "GET", "contoso_sensordatas", "").rows() {
		left = append(left, r["name"])
	}
	if diff := cmp.Diff(left, []any{"2"}); diff != "" {
		t.Errorf("what works stays done, got -, want +:\n%s", diff)
	}
	if a := c.want(501, "POST", "accounts/Microsoft.Dynamics.CRM.DeleteMultiple", `{"Targets":[]}`); a.json()["error"].(map[string]any)["message"] != "DeleteMultiple has not yet been implemented." {
		t.Errorf("got %s", a.Body)
	}
}

func TestDuplicateDetection(t *testing.T) {
	m := withTables(model(),
		"duplicaterule duplicaterules duplicateruleid name:String baseentityname:String matchingentityname:String statuscode:Integer iscasesensitive:Boolean excludeinactiverecords:Boolean",
		"duplicaterulecondition duplicateruleconditions duplicateruleconditionid baseattributename:String matchingattributename:String operatorcode:Integer operatorparam:Integer ignoreblankvalues:Boolean regardingobjectid:Lookup>duplicaterule")
	for _, tt := range []struct {
		name, rule, condition string
		base, same, other     string
		status                string
	}{
		{"exact", `"statuscode":2`, `"operatorcode":0`, "Contoso", "CONTOSO", "Contoso Ltd", "412"},
		{"case matters", `"statuscode":2,"iscasesensitive":true`, `"operatorcode":0`, "Contoso", "Contoso", "CONTOSO", "412"},
		{"first characters", `"statuscode":2`, `"operatorcode":1,"operatorparam":4`, "Contoso", "Cont.", "Kontoso", "412"},
		{"last characters", `"statuscode":2`, `"operatorcode":2,"operatorparam":3`, "Contoso", "Miso oso", "Contosa", "412"},
		{"as older pages say", `"statuscode":2`, `"operatorcode":0`, "Contoso", "contoso", "x", "500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := start(t, dvemu.Options{Model: m, Assume: map[string]string{"duplicate-status": tt.status}})
			rule := c.want(204, "POST", "duplicaterules", `{"name":"r","baseentityname":"account","matchingentityname":"account",`+tt.rule+`}`).id()
			c.want(204, "POST", "duplicateruleconditions", `{"baseattributename":"name","matchingattributename":"name",`+tt.condition+`,"regardingobjectid@odata.bind":"/duplicaterules(`+rule+`)"}`)
			c.want(204, "POST", "accounts", `{"name":"`+tt.base+`"}`)
			c.want(204, "POST", "accounts", `{"name":"`+tt.other+`"}`, "MSCRM.SuppressDuplicateDetection", "false")
			id := c.want(204, "POST", "accounts", `{"name":"free"}`, "MSCRM.SuppressDuplicateDetection", "false").id()
			for _, r := range [][2]string{{"POST", "accounts"}, {"PATCH", "accounts(" + id + ")"}} {
				a := c.do(r[0], r[1], `{"name":"`+tt.same+`"}`, "MSCRM.SuppressDuplicateDetection", "false")
				if got := map[int]string{412: "412", 500: "500"}[a.Status]; got != tt.status || a.code() != "0x80040333" {
					t.Errorf("%s: got %d %s", r[0], a.Status, a.Body)
				}
			}
			if r := c.want(200, "GET", "accounts("+id+")", "").json(); r["name"] != "free" {
				t.Errorf("the refused update was done: %v", r["name"])
			}
			c.want(204, "POST", "accounts", `{"name":"`+tt.same+`"}`) // off unless asked for
			c.want(204, "PATCH", "duplicaterules("+rule+")", `{"statuscode":0}`)
			c.want(204, "POST", "accounts", `{"name":"`+tt.same+`"}`, "MSCRM.SuppressDuplicateDetection", "false")
		})
	}
}
