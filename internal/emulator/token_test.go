package emulator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

const tenant = "11111111-2222-3333-4444-555555555555"

// TestAzidentityGetsToken is the real client library against the endpoint
// over TLS.
func TestAzidentityGetsToken(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := NewAuthority(true, []Client{{ID: "app", Secret: "right", Tenant: tenant}})
	r, err := Listen(ctx, ListenOptions{Addr: "127.0.0.1:0", TLS: true, Dir: t.TempDir()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.Serve(w, r) {
			http.NotFound(w, r)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	pem, err := os.ReadFile(r.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	get := func(secret string) (azcore.AccessToken, error) {
		cred, err := azidentity.NewClientSecretCredential(tenant, "app", secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions:            azcore.ClientOptions{Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: r.URL + "/"}, Transport: &http.Client{Transport: transport}},
			DisableInstanceDiscovery: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{r.URL + "/.default"}})
	}
	tok, err := get("right")
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(ctx, "GET", r.URL, nil)
	req.Header.Set("Authorization", "Bearer "+tok.Token)
	if id, ok := a.Check(req); id != "app" || !ok {
		t.Errorf("token: got %q, %v", id, ok)
	}
	a.ExpireTokens()
	if _, ok := a.Check(req); ok {
		t.Error("an expired token passes")
	}
	if _, err := get("wrong"); err == nil || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("wrong secret: got %v", err)
	}
}

func TestTokenRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		path, form, want string
		strict           bool
	}{
		"unknown client": {"/" + tenant + "/oauth2/v2.0/token", "grant_type=client_credentials&client_id=no&client_secret=x&scope=https://h/.default", "AADSTS700016", true},
		"unknown tenant": {"/other/oauth2/v2.0/token", "grant_type=client_credentials&client_id=app&client_secret=right&scope=https://h/.default", "AADSTS90002", true},
		"wrong secret":   {"/" + tenant + "/oauth2/v2.0/token", "grant_type=client_credentials&client_id=app&client_secret=no&scope=https://h/.default", "AADSTS7000215", false},
		"scope":          {"/" + tenant + "/oauth2/v2.0/token", "grant_type=client_credentials&client_id=app&client_secret=right&scope=https://h/x", "AADSTS70011", false},
		"grant":          {"/" + tenant + "/oauth2/v2.0/token", "grant_type=password&client_id=app", "AADSTS70003", false},
		"loose client":   {"/any/oauth2/v2.0/token", "grant_type=client_credentials&client_id=zzz&client_secret=x&scope=https://h/.default", "access_token", false},
		"version 1":      {"/any/oauth2/token", "grant_type=client_credentials&client_id=zzz&client_secret=x&resource=https://h", "access_token", false},
	} {
		a := NewAuthority(tc.strict, []Client{{ID: "app", Secret: "right", Tenant: tenant}})
		w := record(t, a, tc.path, tc.form)
		if !strings.Contains(w, tc.want) {
			t.Errorf("%s: got %s, want %s", name, w, tc.want)
		}
	}
}

func record(t *testing.T, a *Authority, path, form string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://h"+path, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := &recorder{header: http.Header{}}
	if !a.Serve(rec, r) {
		t.Fatal("path is not the authority's")
	}
	return rec.body.String()
}
