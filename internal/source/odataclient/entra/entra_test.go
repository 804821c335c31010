package entra_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"allod"
	"allod/internal/source/odataclient"
	"allod/internal/source/odataclient/entra"
)

const tenant, app = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"

// authority is a sign-in service that takes one secret.
func authority(t *testing.T) (url, caFile string) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
			fmt.Fprintf(w, `{"issuer":"%[1]s/%[2]s/v2.0","authorization_endpoint":"%[1]s/%[2]s/oauth2/v2.0/authorize","token_endpoint":"%[1]s/%[2]s/oauth2/v2.0/token"}`, s.URL, tenant)
			return
		}
		if err := r.ParseForm(); err != nil || r.PostForm.Get("client_secret") != "right" || r.PostForm.Get("scope") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Trace ID: 22222222-2222-3333-4444-555555555555","error_codes":[7000215]}`)
			return
		}
		fmt.Fprint(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"a-token"}`)
	})
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, ca
}

func TestSecret(t *testing.T) {
	at, ca := authority(t)
	for _, c := range []struct {
		secret string
		ok     bool
	}{{"right", true}, {"wrong", false}} {
		cred, err := entra.New(entra.Options{Method: entra.Secret, TenantID: tenant, ClientID: app, ClientSecret: c.secret, Authority: at, CAFile: ca})
		if err != nil {
			t.Fatal(err)
		}
		token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://contoso.crm.dynamics.com/.default"}})
		if c.ok {
			if err != nil || token.Token != "a-token" || time.Until(token.ExpiresOn) < time.Minute {
				t.Errorf("got %v, %v", token.ExpiresOn, err)
			}
			continue
		}
		told := odataclient.SignInError("contoso", err, 0)
		if !strings.Contains(told.Error(), "AADSTS7000215") || allod.HintOf(told) == "" || allod.RequestIDOf(told) != "22222222-2222-3333-4444-555555555555" {
			t.Errorf("got %v (%s, %s)", told, allod.HintOf(told), allod.RequestIDOf(told))
		}
	}
}

func TestUntrustedAuthority(t *testing.T) {
	at, _ := authority(t)
	cred, err := entra.New(entra.Options{Method: entra.Secret, TenantID: tenant, ClientID: app, ClientSecret: "right", Authority: at})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, err = cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"x/.default"}})
	if err == nil || !strings.Contains(odataclient.SignInError("contoso", err, 0).Error(), "does not trust") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, o := range map[string]entra.Options{
		"nothing":     {},
		"no tenant":   {Method: entra.Secret, ClientID: app, ClientSecret: "x"},
		"no app":      {Method: entra.Secret, TenantID: tenant, ClientSecret: "x"},
		"no secret":   {Method: entra.Secret, TenantID: tenant, ClientID: app},
		"no cert":     {Method: entra.Certificate, TenantID: tenant, ClientID: app},
		"lost cert":   {Method: entra.Certificate, TenantID: tenant, ClientID: app, CertificateFile: "/nowhere/x.pem"},
		"plain http":  {Method: entra.Secret, TenantID: tenant, ClientID: app, ClientSecret: "x", Authority: "http://127.0.0.1"},
		"odd method":  {Method: "password", TenantID: tenant, ClientID: app},
		"no ca":       {Method: entra.Secret, TenantID: tenant, ClientID: app, ClientSecret: "x", CAFile: "/nowhere/ca.pem"},
		"odd proxy":   {Method: entra.Secret, TenantID: tenant, ClientID: app, ClientSecret: "x", Proxy: "::"},
		"bad cert":    {Method: entra.Certificate, TenantID: tenant, ClientID: app, CertificateFile: "entra_test.go"},
		"odd tenant":  {Method: entra.Secret, TenantID: "a/b c", ClientID: app, ClientSecret: "x"},
		"no workload": {Method: entra.WorkloadIdentity, TenantID: tenant, ClientID: app},
	} {
		if _, err := entra.New(o); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := entra.New(entra.Options{Method: entra.ManagedIdentity}); err != nil {
		t.Errorf("managed identity: %v", err)
	}
}
