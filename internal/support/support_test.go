package support

import "testing"

// What is told of an address is what many organisations share.
func TestCloud(t *testing.T) {
	for address, want := range map[string]string{
		"https://contoso.crm4.dynamics.com":           "crm4.dynamics.com",
		"https://contoso.crm.dynamics.com/main.aspx":  "crm.dynamics.com",
		"https://contoso.crm.dynamics.cn":             "crm.dynamics.cn",
		"https://contoso.crm.microsoftdynamics.us":    "crm.microsoftdynamics.us",
		"https://contoso.crm.appsplatform.us":         "crm.appsplatform.us",
		"http://127.0.0.1:7001":                       "this machine",
		"http://localhost:7001":                       "this machine",
		"https://a.contoso.dynamics.com":              "other",
		"https://a.cont.dynamics.com":                 "other",
		"https://a.b.crm4.dynamics.com":               "other",
		"https://contoso.example":                     "other",
		"https://contoso.crm4.dynamics.com.evil.test": "other",
		"contoso": "other",
		"":        "other",
	} {
		if got := cloud(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
