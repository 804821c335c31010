package dataverse_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/protect"
)

// TestCostIsSpentAndCharged runs on virtual time.
func TestCostIsSpentAndCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := dvemu.New(dvemu.Options{Model: model(), Cost: protect.DefaultCost(), Latency: 80 * time.Millisecond, Limits: "real"})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r := httptest.NewRequest("POST", "/api/data/v9.2/accounts", strings.NewReader(`{"name":"A"}`))
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if got, want := time.Since(began), 140*time.Millisecond; got != want {
			t.Errorf("a create took %v, want %v", got, want)
		}
		if got := w.Header().Get("x-ms-ratelimit-time-remaining-xrm-requests"); got != "1,199.94" {
			t.Errorf("remaining time: got %s", got)
		}
	})
}

func TestTimeScaleAgesTokens(t *testing.T) {
	k := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	c := start(t, dvemu.Options{Now: k.now, TimeScale: 1000})
	link := c.want(200, "GET", "accounts", "", "Prefer", "odata.track-changes").json()["@odata.deltaLink"].(string)
	k.at = k.at.Add(9 * time.Minute)
	c.want(200, "GET", link, "")
	k.at = k.at.Add(2 * time.Minute)
	c.want(400, "GET", link, "")
}

func TestAssumptionsAreChecked(t *testing.T) {
	if _, err := dvemu.New(dvemu.Options{Model: model(), Assume: map[string]string{"no-such": "x"}}); err == nil {
		t.Error("unknown switch accepted")
	}
	if _, err := dvemu.New(dvemu.Options{Model: model(), Assume: map[string]string{"etag-on-missing": "500"}}); err == nil {
		t.Error("unknown value accepted")
	}
	c := start(t, dvemu.Options{Assume: map[string]string{"etag-on-missing": "412", "full-last-page": "empty-page"}})
	c.want(412, "PATCH", "accounts(11111111-1111-1111-1111-111111111111)", `{"name":"B"}`, "If-Match", `W/"1"`)
	c.want(204, "POST", "accounts", `{"name":"A"}`)
	next, _ := c.want(200, "GET", "accounts", "", "Prefer", "odata.maxpagesize=1").json()["@odata.nextLink"].(string)
	if a := c.want(200, "GET", next, "", "Prefer", "odata.maxpagesize=1"); len(a.rows()) != 0 || a.json()["@odata.nextLink"] != nil {
		t.Errorf("extra page: got %s", a.Body)
	}
}

func TestStrictAuth(t *testing.T) {
	c := start(t, dvemu.Options{Auth: "strict"})
	c.want(401, "GET", "WhoAmI", "")
	u := c.srv.Users()[0]
	form := "grant_type=client_credentials&client_id=" + u.ClientID + "&client_secret=" + u.Secret + "&scope=" + c.url + "/.default"
	tok := c.want(200, "POST", c.url+"/t/oauth2/v2.0/token", form, "Content-Type", "application/x-www-form-urlencoded").json()["access_token"].(string)
	a := c.want(200, "GET", "WhoAmI", "", "Authorization", "Bearer "+tok)
	if a.json()["UserId"] != u.User.String() {
		t.Errorf("user: got %v", a.json()["UserId"])
	}
	c.action("reset-token-epoch", "")
	c.want(401, "GET", "WhoAmI", "", "Authorization", "Bearer "+tok)
}

// A client that is no user of the organisation, because its row was deleted, is
// known and refused (§1.2).
func TestSection1_2_ClientWithoutUser(t *testing.T) {
	c := start(t, dvemu.Options{Auth: "strict", AppUsers: dvemu.DefaultAppUsers(2)})
	token := func(u dvemu.AppUser) string {
		form := "grant_type=client_credentials&client_id=" + u.ClientID + "&client_secret=" + u.Secret + "&scope=" + c.url + "/.default"
		return "Bearer " + c.want(200, "POST", c.url+"/t/oauth2/v2.0/token", form, "Content-Type", "application/x-www-form-urlencoded").json()["access_token"].(string)
	}
	users := c.srv.Users()
	other := token(users[1])
	c.want(200, "GET", "WhoAmI", "", "Authorization", other)
	c.want(204, "DELETE", "systemusers("+users[1].User.String()+")", "", "Authorization", token(users[0]))
	if a := c.want(403, "GET", "WhoAmI", "", "Authorization", other); a.code() != "0x80072560" || !strings.Contains(a.Body, "not a member of the organization") {
		t.Errorf("got %s", a.Body)
	}
	c.want(200, "GET", "WhoAmI", "", "Authorization", token(users[0]))
}

func TestElasticPages(t *testing.T) {
	c := start(t, dvemu.Options{})
	for i := range uint64(501) {
		if err := c.srv.Store().Insert("contoso_sensordata", key(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.want(200, "GET", "contoso_sensordatas", "").rows()); n != 500 {
		t.Errorf("elastic page: got %d rows, want 500", n)
	}
}

func key(i uint64) (g [16]byte) {
	g[0], g[1], g[15] = byte(i), byte(i>>8), 1
	return g
}
