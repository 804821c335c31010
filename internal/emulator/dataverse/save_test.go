package dataverse_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"allod"
	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/emulator/dataverse/store"
)

// saved runs the sample company, changes it, and returns it with what Save
// writes.
func saved(t *testing.T) (*dvemu.Server, []byte) {
	t.Helper()
	s := emptyOrganisation(t)
	if _, err := sample.Load(s.Model(), s.Store(), sample.Options{Seed: 1, Scale: 1}); err != nil {
		t.Fatal(err)
	}
	asked(t, s, "POST", "/_emulator/actions/add-column", `{"table": "account", "column": "alp_kept", "kind": "String"}`)
	asked(t, s, "POST", "/api/data/v9.2/accounts", `{"name": "kept", "alp_kept": "yes"}`)
	s.Store().InsertBlob(allod.GUID{1}, store.NewBlob("f", "text/plain", bytes.Repeat([]byte("kept "), 4<<20)))
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	return s, b.Bytes()
}

func emptyOrganisation(t *testing.T) *dvemu.Server {
	t.Helper()
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	s, err := dvemu.New(dvemu.Options{Model: m, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func asked(t *testing.T, s *dvemu.Server, method, path, body string, prefer ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, strings.ReplaceAll(path, " ", "%20"), strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("Content-Type", "application/json")
	r.Header["Prefer"] = prefer
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code >= 300 {
		t.Fatalf("%s %s: status %d: %s", method, path, w.Code, w.Body)
	}
	return w
}

// A loaded organisation answers as the saved one: schema, rows, versions, what
// was deleted since a token, files; and goes on with new identifiers.
func TestSavedOrganisationGoesOn(t *testing.T) {
	before, b := saved(t)
	after := emptyOrganisation(t)
	if err := after.Load(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	paths := []string{"$metadata", "EntityDefinitions?$expand=Attributes,Keys,ManyToOneRelationships,ManyToManyRelationships", "WhoAmI"}
	for _, table := range before.Model().Tables {
		if table.SetName != "" && !table.Abstract && !table.Intersect {
			paths = append(paths, table.SetName)
		}
	}
	for _, p := range paths {
		want, got := asked(t, before, "GET", "/api/data/v9.2/"+p, "").Body.String(), asked(t, after, "GET", "/api/data/v9.2/"+p, "").Body.String()
		if got != want {
			t.Errorf("%s: another answer after loading: %d bytes, had %d", p, len(got), len(want))
		}
	}
	var blob *store.Blob
	after.Store().View(func(tx *store.Tx) { blob = tx.Blob(allod.GUID{1}) })
	content := make([]byte, 20<<20)
	if _, err := blob.ReadAt(content, 0); err != nil || !bytes.Equal(content, bytes.Repeat([]byte("kept "), 4<<20)) {
		t.Errorf("the file is another one (%v)", err)
	}
	one, two := asked(t, before, "POST", "/api/data/v9.2/accounts", `{"name": "next"}`), asked(t, after, "POST", "/api/data/v9.2/accounts", `{"name": "next"}`)
	if got, want := two.Header().Get("OData-EntityId"), one.Header().Get("OData-EntityId"); got != want {
		t.Errorf("the next row is %s, would have been %s: identifiers may come twice", got, want)
	}
	if got, want := after.Store().Version(), before.Store().Version(); got != want {
		t.Errorf("row version %d, want %d", got, want)
	}
}

// Deletions outlive a restart: a token from before it finds them after it.
func TestTokenOutlivesSaving(t *testing.T) {
	s, _ := saved(t)
	var page struct {
		Delta string `json:"@odata.deltaLink"`
		Value []struct {
			ID string `json:"accountid"`
		} `json:"value"`
	}
	if err := json.Unmarshal(asked(t, s, "GET", "/api/data/v9.2/accounts?$select=accountid", "", "odata.track-changes").Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	gone := page.Value[0].ID
	asked(t, s, http.MethodDelete, "/api/data/v9.2/accounts("+gone+")", "")
	var b bytes.Buffer
	if err := s.Save(&b); err != nil {
		t.Fatal(err)
	}
	after := emptyOrganisation(t)
	if err := after.Load(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	_, link, _ := strings.Cut(page.Delta, "/api/data/")
	if body := asked(t, after, "GET", "/api/data/"+link, "").Body.String(); !strings.Contains(body, "$deletedEntity") || !strings.Contains(body, gone) {
		t.Errorf("the deletion is forgotten: %s", body)
	}
}

// Damage anywhere, and what is no saved organisation, is refused before it is
// used.
func TestDamagedOrganisationIsRefused(t *testing.T) {
	_, b := saved(t)
	for _, at := range []int{0, 20, 1000, len(b) / 2, len(b) - 40, len(b) - 1} {
		bad := slices.Clone(b)
		bad[at] ^= 1
		if k := allod.KindOf(emptyOrganisation(t).Load(bytes.NewReader(bad))); k != allod.Corrupt && k != allod.Invalid {
			t.Errorf("a flipped bit at %d of %d: kind %v", at, len(b), k)
		}
	}
	for _, n := range []int{0, 10, 60, len(b) - 1} {
		if k := allod.KindOf(emptyOrganisation(t).Load(bytes.NewReader(b[:n]))); k != allod.Corrupt && k != allod.Invalid {
			t.Errorf("cut to %d bytes: kind %v", n, k)
		}
	}
}
