package powerplatform_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/emulator"
	"allod/internal/emulator/powerplatform"
)

// tenant is a Power Platform of several environments, and what was done to its
// sandbox.
type tenant struct {
	t            *testing.T
	h            http.Handler
	ids          map[string]string
	kept         bool // the audit, by the last restore
	restores     int
	administered bool
	now          time.Time
}

func newTenant(t *testing.T) *tenant {
	x := &tenant{t: t, ids: map[string]string{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	env := func(n byte, name string, change func(*powerplatform.Environment)) powerplatform.Environment {
		e := powerplatform.Environment{ID: allod.GUID{15: n}, Name: name, Kind: powerplatform.Sandbox, Region: "europe", Managed: true, Key: "own", Keep: func(string) {}}
		e.Take = func(_ allod.GUID, _ string, keepAudit bool) error {
			x.kept = keepAudit
			x.restores++
			return nil
		}
		e.Administer = func(on bool) { x.administered = on }
		change(&e)
		x.ids[name] = e.ID.String()
		return e
	}
	s, err := powerplatform.New(powerplatform.Options{
		Authority: emulator.NewAuthority(false, nil), Ready: time.Second, Now: func() time.Time { return x.now },
		Environments: []powerplatform.Environment{
			env(1, "source", func(e *powerplatform.Environment) { e.Kind = powerplatform.Production }),
			env(2, "target", func(*powerplatform.Environment) {}),
			env(3, "unmanaged", func(e *powerplatform.Environment) { e.Managed = false }),
			env(4, "another key", func(e *powerplatform.Environment) { e.Key = "" }),
			env(5, "full", func(e *powerplatform.Environment) { e.Full = true }),
			env(6, "far", func(e *powerplatform.Environment) { e.Region = "asia" }),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	x.h = s.Handler()
	return x
}

func (x *tenant) call(method, path, body string) (int, string) {
	x.t.Helper()
	r := httptest.NewRequest(method, "http://host/environmentmanagement/environments/"+path+"?api-version=2024-10-01", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	x.h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// §12.1, §12.2: which environments a backup can be restored into, and what the
// options do.
func TestRestoreRules(t *testing.T) {
	x := newTenant(t)
	if status, body := x.call("POST", x.ids["source"]+"/backups", `{"label":"one"}`); status != http.StatusCreated {
		t.Fatal(status, body)
	}
	restore := func(target, options string) (int, string) {
		x.now = x.now.Add(time.Minute)
		at := x.now.Format(time.RFC3339)
		return x.call("POST", x.ids[target]+"/restore", `{"sourceEnvironmentId":"`+x.ids["source"]+`","restorePointDateTime":"`+at+`","restoreOptions":{`+options+`}}`)
	}
	for target, word := range map[string]string{"source": "sandbox", "unmanaged": "managed", "another key": "key", "full": "capacity", "far": "region"} {
		if status, body := restore(target, ""); status != http.StatusBadRequest || !strings.Contains(body, word) {
			t.Errorf("into %s: %d %s", target, status, body)
		}
	}
	if status, body := restore("target", `"securityGroupIdToOverride":"everybody"`); status != http.StatusBadRequest || !strings.Contains(body, "securityGroupIdToOverride") {
		t.Errorf("a group that is none: %d %s", status, body)
	}
	if x.restores != 0 {
		t.Fatalf("%d restores were carried out", x.restores)
	}
	for options, kept := range map[string]bool{``: false, `"skipAuditData":true`: false, `"skipAuditData":false`: true} {
		if status, body := restore("target", options); status != http.StatusAccepted || x.kept != kept {
			t.Errorf("%q: %d %s, audit kept: %t", options, status, body, x.kept)
		}
	}
	if status, _ := restore("target", `"environmentNameToOverride":"renamed"`); status != http.StatusAccepted {
		t.Error(status)
	}
	_, body := x.call("GET", x.ids["source"]+"/restoreCandidates", "")
	var list struct {
		Collection []struct{ DisplayName string }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Collection) != 1 || list.Collection[0].DisplayName != "renamed" {
		t.Errorf("candidates: %s, %v", body, err)
	}
}

// Administration mode begins and ends.
func TestDisableAndEnable(t *testing.T) {
	x := newTenant(t)
	for _, what := range []string{"Disable", "Enable"} {
		if status, body := x.call("POST", x.ids["target"]+"/"+what, ""); status != http.StatusAccepted || x.administered != (what == "Disable") {
			t.Errorf("%s: %d %s, administered: %t", what, status, body, x.administered)
		}
	}
	if status, _ := x.call("GET", x.ids["target"]+"/Disable", ""); status != http.StatusNotFound {
		t.Errorf("GET: %d", status)
	}
}
