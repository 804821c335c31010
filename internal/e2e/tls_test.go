package e2e_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	"allod/internal/emulator"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/history"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/source/odataclient/entra"
)

const (
	tenantID = "11111111-2222-3333-4444-555555555555"
	clientID = "00000000-0000-4000-a000-000000000001" // of emu.DefaultAppUsers
	workload = "system:serviceaccount:allod:backup"
)

// signIn makes the credential that a connection names, as the command does.
func signIn(c act.Connection, secret string) (azcore.TokenCredential, error) {
	return entra.New(entra.Options{
		Method: entra.Method(c.Auth), TenantID: c.TenantID, ClientID: c.ClientID, ClientSecret: secret,
		CertificateFile: c.Certificate, Authority: c.Authority, CAFile: c.CAFile, Proxy: c.Proxy,
	})
}

// secure is a company without rows that takes only tokens of its own authority,
// over TLS: what `allod emulate dataverse --tls --auth strict --empty` runs.
type secure struct {
	url, ca string
	tokens  atomic.Int64 // asked for
	calls   atomic.Int64 // of the API
	expire  atomic.Int64 // the call before which all tokens become worthless; 0 = none
}

func startSecure(t *testing.T, c *clock, change func(*emu.Options)) *secure {
	t.Helper()
	model, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	o := emu.Options{Model: model, Seed: 1, Now: c.Now, Auth: "strict", AppUsers: emu.DefaultAppUsers(1)}
	o.AppUsers[0].Tenant = tenantID
	if change != nil {
		change(&o)
	}
	server, err := emu.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s, next := &secure{}, server.Handler()
	running, err := emulator.Listen(t.Context(), emulator.ListenOptions{Addr: "127.0.0.1:0", TLS: true, Dir: t.TempDir()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/token"):
			s.tokens.Add(1)
		case strings.HasPrefix(r.URL.Path, "/api/data/") && s.calls.Add(1) == s.expire.Load():
			next.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(r.Context(), http.MethodPost, "/_emulator/actions/reset-token-epoch", strings.NewReader("{}")))
		}
		next.ServeHTTP(w, r)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = running.Wait() }) // it ends with the test's context
	s.url, s.ca = running.URL, running.CAFile
	return s
}

// certificate writes a new certificate and its key to a file.
func certificate(t *testing.T) (file string, c *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "allod"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "app.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, c
}

// workloadToken writes what a cluster gives a workload and points the process
// environment at it.
func workloadToken(t *testing.T, subject string) {
	t.Helper()
	part := base64.RawURLEncoding.EncodeToString
	token := part([]byte(`{"alg":"RS256"}`)) + "." + part(fmt.Appendf(nil, `{"iss":"https://kubernetes.example","sub":%q,"aud":"api://AzureADTokenExchange","nbf":%d,"exp":%d}`,
		subject, time.Now().Unix()-60, time.Now().Unix()+3600)) + "." + part([]byte("the cluster's signature"))
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
}

// signing is one way to sign in, and how it goes wrong.
type signing struct {
	method entra.Method
	right  func(*testing.T, *act.Connection)
	wrong  func(*testing.T, *act.Connection)
	code   string // of Entra, for what is wrong
}

// Each way to sign in brings a whole backup over TLS: also when all tokens are
// revoked in its middle, and when each lives for a second only. What is wrong is
// named with the code of Microsoft Entra.
func TestSignIn(t *testing.T) {
	file, registered := certificate(t)
	other, _ := certificate(t)
	for _, c := range []signing{
		{entra.Secret, func(*testing.T, *act.Connection) {}, func(_ *testing.T, c *act.Connection) { c.ClientSecretFile = "wrong" }, "AADSTS7000215"},
		{entra.Certificate, func(_ *testing.T, c *act.Connection) { c.Certificate = file }, func(_ *testing.T, c *act.Connection) { c.Certificate = other }, "AADSTS700027"},
		{entra.WorkloadIdentity, func(t *testing.T, _ *act.Connection) { workloadToken(t, workload) }, func(t *testing.T, _ *act.Connection) { workloadToken(t, "system:serviceaccount:other:pod") }, "AADSTS700213"},
		{entra.ManagedIdentity, func(*testing.T, *act.Connection) {}, func(_ *testing.T, c *act.Connection) { c.ClientID = "00000000-0000-4000-a000-000000000099" }, "the credential gave no token"},
	} {
		t.Run(string(c.method), func(t *testing.T) {
			users := emu.DefaultAppUsers(1)
			users[0].Tenant, users[0].Certificates, users[0].Workloads = tenantID, []*x509.Certificate{registered}, []string{workload}
			clk := &clock{}
			s := startSecure(t, clk, func(o *emu.Options) { o.AppUsers = users })
			d, con := signingDesk(t, clk, s, c.method)

			bad := con
			c.right(t, &bad)
			c.wrong(t, &bad)
			_, err := d.Connect(t.Context(), "secure", bad)
			if allod.KindOf(err) != allod.Denied || !strings.Contains(err.Error(), "sign in to secure") || !strings.Contains(err.Error(), c.code) || allod.HintOf(err) == "" {
				t.Errorf("with a wrong credential: %v (%s; %s)", err, allod.KindOf(err), allod.HintOf(err))
			}
			if s.tokens.Load() == 0 || s.calls.Load() > 0 {
				t.Errorf("%d requests for tokens, %d calls without one", s.tokens.Load(), s.calls.Load())
			}

			c.right(t, &con)
			if _, err := d.Connect(t.Context(), "secure", con); err != nil {
				t.Fatal(err)
			}
			s.calls.Store(0)
			s.expire.Store(40)
			asked := s.tokens.Load()
			if res := d.backup("secure", capture.Options{}); res.Partial() || s.calls.Load() <= 40 {
				t.Errorf("with tokens revoked in the middle of %d calls: %+v", s.calls.Load(), openGaps(res))
			}
			if n := s.tokens.Load() - asked; n < 1 {
				t.Errorf("the tokens were revoked, and %d asked for", n)
			}
			d.wantSame(latest("secure"), live("secure"), history.Options{})
		})
	}
}

// Tokens that live for a second are renewed as often as it takes.
func TestTokensExpireInTheMiddle(t *testing.T) {
	clk := &clock{}
	s := startSecure(t, clk, func(o *emu.Options) { o.TimeScale, o.Latency = 3600, 20*time.Millisecond })
	d, con := signingDesk(t, clk, s, entra.Secret)
	if _, err := d.Connect(t.Context(), "secure", con); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if res := d.backup("secure", capture.Options{Parallel: 1}); res.Partial() {
		t.Errorf("%+v", openGaps(res))
	}
	if took := time.Since(begun); took < 2*time.Second || s.tokens.Load() < 3 {
		t.Errorf("%d tokens in %s: none expired in the middle", s.tokens.Load(), took)
	}
}

// signingDesk is an Allod whose connector signs in, and the connection to s. A
// client secret file that is named stands for a wrong secret.
func signingDesk(t *testing.T, clk *clock, s *secure, method entra.Method) (*desk, act.Connection) {
	t.Helper()
	t.Setenv("IDENTITY_ENDPOINT", s.url+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "of the machine")
	d := newDesk(t, clk)
	d.deps.OpenSource = func(_ context.Context, env string, c act.Connection) (source.Source, error) {
		secret := "secret-1"
		if c.ClientSecretFile != "" {
			secret = c.ClientSecretFile
		}
		cred, err := signIn(c, secret)
		if err != nil {
			return nil, err
		}
		return dataverse.New(dataverse.Options{Environment: env, URL: c.URL, CAFile: c.CAFile, Proxy: c.Proxy, Credential: cred, Now: clk.Now})
	}
	d.reopen()
	return d, act.Connection{Kind: "dataverse", URL: s.url, Auth: string(method), TenantID: tenantID, ClientID: clientID, Authority: s.url, CAFile: s.ca}
}
