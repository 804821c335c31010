package dataverse_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"allod"
)

const me = "22222222-2222-2222-2222-222222222222"

func (s *service) identity() {
	s.json("GET WhoAmI", `{"UserId":"`+me+`","OrganizationId":"33333333-3333-3333-3333-333333333333","BusinessUnitId":"44444444-4444-4444-4444-444444444444"}`)
	s.json("GET RetrieveVersion()", `{"Version":"9.2.1"}`)
	s.json("GET organizations", `{"value":[{"organizationid":"33333333-3333-3333-3333-333333333333","name":"Contoso"}]}`)
}

// Tables on a later page of the list are there, not dropped.
func TestDescribeReadsEveryPage(t *testing.T) {
	s := newService(t)
	s.identity()
	s.on("GET EntityDefinitions", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "2" {
			fmt.Fprint(w, `{"value":[{"LogicalName":"contact","EntitySetName":"contacts","PrimaryIdAttribute":"contactid"}]}`)
			return
		}
		fmt.Fprintf(w, `{"value":[{"LogicalName":"account","EntitySetName":"accounts","PrimaryIdAttribute":"accountid"}],"@odata.nextLink":%q}`, s.URL+api+"EntityDefinitions?page=2")
	})
	for _, name := range []string{"account", "contact"} {
		s.json("GET EntityDefinitions(LogicalName='"+name+"')", `{"LogicalName":"`+name+`","Attributes":[{"LogicalName":"`+name+`id","AttributeType":"Uniqueidentifier","IsValidForRead":true}]}`)
	}
	schema, err := s.source(t).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"account", "contact"} {
		if schema.Table(name) == nil {
			t.Errorf("table %s of the list is not in the schema", name)
		}
	}
	s.on("GET EntityDefinitions", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"value":[{"LogicalName":"account"}],"@odata.nextLink":%q}`, s.URL+api+"EntityDefinitions?again")
	})
	if _, err := s.source(t).Describe(t.Context()); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a list that leads in circles: got %v, want Unavailable", err)
	}
}

// Only the service's own word says that a row is gone: a deletion is believed
// because of it.
func TestRowIsGoneOnlyIfTheServiceSaysSo(t *testing.T) {
	key := allod.GUID{15: 7}
	for _, tt := range []struct {
		name, contentType, body string
		gone                    bool
	}{
		{"missing row", "application/json", `{"error":{"code":"0x80040217","message":"account With Id = 7 Does Not Exist"}}`, true},
		{"missing table", "application/json", `{"error":{"code":"0x8006088a","message":"Resource not found for the segment"}}`, false},
		{"gateway", "text/html", `<html>Not Found</html>`, false},
		{"nothing said", "application/json", ``, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t)
			s.on("GET accounts("+key.String()+")", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, tt.body)
			})
			got, err := s.source(t).Get(t.Context(), accounts(), []allod.GUID{key}, nil)
			if len(got) != 0 || (err == nil) != tt.gone {
				t.Errorf("got %d rows, %v; want gone = %v", len(got), err, tt.gone)
			}
		})
	}
}

// The service dates retention runs by its own clock; captures are dated by
// this machine's.
func TestRetentionRunsByThisMachinesClock(t *testing.T) {
	for _, skew := range []time.Duration{0, 2 * time.Hour, -2 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			s := newService(t)
			run := time.Now().Add(-time.Minute).Truncate(time.Second).UTC()
			s.identity()
			dated := func(route, body string) {
				s.on(route, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Date", time.Now().Add(skew).UTC().Format(http.TimeFormat))
					fmt.Fprint(w, body)
				})
			}
			dated("GET systemusers("+me+")/Microsoft.Dynamics.CRM.RetrieveUserPrivileges", `{"RolePrivileges":[]}`)
			dated("GET systemusers("+me+")/teammembership_association", `{"value":[]}`)
			dated("GET systemusers("+me+")/systemuserroles_association", `{"value":[{"_roletemplateid_value":"627090ff-40a3-4053-8790-584edc5be201"}]}`)
			dated("GET EntityDefinitions", `{"value":[]}`)
			dated("GET retentionoperations", `{"value":[{"retentionoperationid":"55555555-5555-5555-5555-555555555555","entity":"account","endtime":"`+run.Add(skew).Format(time.RFC3339)+`"}]}`)
			schema := &allod.Schema{Tables: []allod.Table{*accounts(), {
				Name: "retentionoperation", Set: "retentionoperations", Key: "retentionoperationid",
				Columns: []allod.Column{{Name: "retentionoperationid", Type: allod.ID}, {Name: "entity", Type: allod.String}, {Name: "endtime", Type: allod.DateTime}},
			}}}
			r, err := s.source(t).Rights(t.Context(), schema)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.RetentionRuns["account"]; got.Sub(run).Abs() > 5*time.Second {
				t.Errorf("the run is dated %v, want %v", got, run)
			}
		})
	}
}
