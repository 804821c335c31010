package compute_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// ask sends a request to the service; spaces in the path are escaped.
func ask(t *testing.T, root, method, path, body string) (int, map[string]any, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, root+"/api/data/v9.2/"+strings.ReplaceAll(path, " ", "%20"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer x")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if len(b) > 0 && json.Unmarshal(b, &out) != nil {
		t.Fatalf("%s: no JSON: %s", path, b)
	}
	return res.StatusCode, out, res.Header
}

func TestFunctions(t *testing.T) {
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	s, err := dvemu.New(dvemu.Options{Model: m})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.Handler())
	t.Cleanup(h.Close)
	for call, want := range map[string]string{
		"(LocalizedStandardName='Pacific Standard Time',LocaleId=1033)":                   "200 4",
		"(LocalizedStandardName=@p1,LocaleId=@p2)?@p1='W. Europe Standard Time'&@p2=1033": "200 110",
		"(LocalizedStandardName='nowhere',LocaleId=1033)":                                 "404 <nil>",
		"(LocaleId=1033)": "400 <nil>", "(LocalizedStandardName='UTC')": "400 <nil>",
	} {
		status, out, _ := ask(t, h.URL, "GET", "GetTimeZoneCodeByLocalizedName"+call, "")
		if got := fmt.Sprint(status, " ", out["TimeZoneCode"]); got != want {
			t.Errorf("%s: got %s, want %s", call, got, want)
		}
	}
	create := func(set, body string) string {
		t.Helper()
		status, out, header := ask(t, h.URL, "POST", set, body)
		if status != 204 {
			t.Fatalf("%s: got %d %v", set, status, out)
		}
		u := header.Get("OData-EntityId")
		return u[strings.LastIndexByte(u, '(')+1 : len(u)-1]
	}
	account := create("accounts", `{"name":"A"}`)
	incident := create("incidents", `{"title":"I","customerid_account@odata.bind":"/accounts(`+account+`)"}`)
	for minutes, done := range map[int]bool{30: true, 60: true, 500: false} {
		for _, regarding := range []string{"incident_task@odata.bind\":\"/incidents(" + incident, "account_task@odata.bind\":\"/accounts(" + account} {
			id := create("tasks", fmt.Sprintf(`{"subject":"s","actualdurationminutes":%d,"regardingobjectid_%s)"}`, minutes, regarding))
			if done {
				if status, out, _ := ask(t, h.URL, "PATCH", "tasks("+id+")", `{"statecode":1}`); status != 204 {
					t.Fatalf("got %d %v", status, out)
				}
			}
		}
	}
	if status, out, _ := ask(t, h.URL, "GET", "incidents("+incident+")/Microsoft.Dynamics.CRM.CalculateTotalTimeIncident()", ""); status != 200 || out["TotalTime"] != 90.0 {
		t.Errorf("got %d %v, want the 90 minutes of completed tasks of the case", status, out)
	}
	if status, _, _ := ask(t, h.URL, "GET", "incidents(00000000-0000-0000-0000-000000000001)/Microsoft.Dynamics.CRM.CalculateTotalTimeIncident()", ""); status != 404 {
		t.Errorf("no such case: got %d", status)
	}
}
