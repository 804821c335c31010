package plain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// The comparison is independent only as long as it imports nothing of Allod.
func TestStandardLibraryAlone(t *testing.T) {
	for _, name := range []string{"plain.go", "cells.go"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		block, _, _ := strings.Cut(string(raw), "\n)")
		imports := regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(block, -1)
		if len(imports) < 5 {
			t.Errorf("%s: got imports %q", name, imports)
		}
		for _, m := range imports {
			if first, _, _ := strings.Cut(m[1], "/"); first == "allod" || strings.Contains(first, ".") {
				t.Errorf("%s imports %s", name, m[1])
			}
		}
	}
}

// side is one of two sample companies.
type side struct {
	t   *testing.T
	url string
}

func start(t *testing.T) side {
	t.Helper()
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	server, err := emu.New(emu.Options{Model: m, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sample.Load(m, server.Store(), sample.Options{Seed: 1, Scale: 1}); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	t.Cleanup(h.Close)
	return side{t, h.URL}
}

// send sends a request below the service root and returns the answer.
func (s side) send(method, path, contentType string, body []byte) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+"/api/data/v9.2/"+strings.ReplaceAll(path, " ", "%20"), bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer test")
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("X-Ms-File-Name", "planted.txt")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		s.t.Fatalf("%s %s: status %d: %s, %v", method, path, res.StatusCode, out, err)
	}
	return out
}

func (s side) json(method, path, body string) []byte {
	s.t.Helper()
	return s.send(method, path, "application/json", []byte(body))
}

// first returns a row of a set.
func (s side) first(path string) map[string]any {
	s.t.Helper()
	var page struct{ Value []map[string]any }
	if err := json.Unmarshal(s.json(http.MethodGet, path, ""), &page); err != nil || len(page.Value) == 0 {
		s.t.Fatalf("GET %s: %d rows, %v", path, len(page.Value), err)
	}
	return page.Value[0]
}

// Two companies of one seed are the same; each planted difference is found, and
// only it. A comparison that cannot fail proves nothing.
func TestPlantedDifferences(t *testing.T) {
	a, b := start(t), start(t)
	account := fmt.Sprint(a.first("accounts?$select=accountid&$filter=_primarycontactid_value ne null")["accountid"])
	other := fmt.Sprint(a.first("contacts?$select=contactid&$filter=_parentcustomerid_value ne " + account)["contactid"])
	compare := func(table string) *Result {
		t.Helper()
		r, err := Compare(t.Context(), a.url, b.url, time.Now().Add(-time.Hour), func(name string) (bool, error) { return table == "" || name == table, nil })
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	email := b.first("emails?$select=activityid")["activityid"]
	credit := a.first("accounts?$select=accountid,alp_creditreport&$filter=alp_creditreport ne null")
	photo := fmt.Sprint(a.first("alp_loyaltycards?$select=alp_loyaltycardid")["alp_loyaltycardid"])
	pair := b.first("accountleadscollection?$select=accountid,leadid")
	own := []string{"account", "contact", "annotation", "accountleads", "activityparty", "alp_loyaltycard"}
	for _, table := range own {
		if r := compare(table); len(r.Differ) > 0 || r.Rows == 0 || r.Cells == 0 {
			t.Fatalf("%s of two companies alike: %d rows, %d cells, differ %q", table, r.Rows, r.Cells, r.Differ)
		}
	}
	for _, tc := range []struct {
		name, table string
		plant       func()
		want        string // of each difference
	}{
		{"a text", "account", func() { b.json(http.MethodPatch, "accounts("+account+")", `{"name":"planted"}`) }, `^account\.name differs$`},
		{"a number", "account", func() { b.json(http.MethodPatch, "accounts("+account+")", `{"revenue":0.0001}`) }, `^account\.revenue differs$`},
		{"null", "account", func() { b.json(http.MethodPatch, "accounts("+account+")", `{"telephone1":null}`) }, `^account\.telephone1 differs$`},
		{"a lookup", "account", func() {
			b.json(http.MethodPatch, "accounts("+account+")", `{"primarycontactid@odata.bind":"/contacts(`+other+`)"}`)
		}, `^account\.primarycontactid differs$`},
		{"a row less", "annotation", func() {
			b.json(http.MethodDelete, "annotations("+fmt.Sprint(b.first("annotations?$select=annotationid")["annotationid"])+")", "")
		}, `^annotation\(.*\): only on the first side$`},
		{"a row more", "contact", func() { b.json(http.MethodPost, "contacts", `{"lastname":"Planted"}`) }, `^contact\(.*\): only on the second side$`},
		{"a pair less", "accountleads", func() {
			b.json(http.MethodDelete, fmt.Sprintf("accounts(%v)/accountleads_association(%v)/$ref", pair["accountid"], pair["leadid"]), "")
		}, `^accountleads\(.*\): only on the first side$`},
		{"a participant more", "activityparty", func() {
			b.json(http.MethodPut, fmt.Sprintf("emails(%v)/email_activity_parties", email), `{"value":[{"participationtypemask":4,"partyid_contact@odata.bind":"/contacts(`+other+`)"}]}`)
		}, `^activityparty\(.*\): only on the`},
		{"bytes of a file", "account", func() {
			b.send(http.MethodPatch, fmt.Sprintf("accounts(%v)/alp_creditreport", credit["accountid"]), "application/octet-stream", []byte("planted"))
		}, `^account\.alp_creditreport: the files differ$`},
		{"an image", "alp_loyaltycard", func() {
			b.json(http.MethodPatch, "alp_loyaltycards("+photo+")", `{"alp_photo":"R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"}`)
		}, `^alp_loyaltycard\.alp_photo differs$`},
		{"a state", "contact", func() { b.json(http.MethodPatch, "contacts("+other+")", `{"statecode":1,"statuscode":2}`) }, `^contact\.stat(e|us)code differs$`},
	} {
		before := compare(tc.table).Differ
		tc.plant()
		got := slices.DeleteFunc(compare(tc.table).Differ, func(d string) bool { return slices.Contains(before, d) })
		if strange := slices.DeleteFunc(slices.Clone(got), regexp.MustCompile(tc.want).MatchString); len(got) == 0 || len(strange) > 0 {
			t.Errorf("%s: got %q, want %s", tc.name, got, tc.want)
		}
	}
}
