package azurekv

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"allod"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/kms"
)

// fake is a stand-in for Azure Key Vault, our own: it answers get key, wrapKey
// and unwrapKey of one RSA key as the service's reference says, and asks for a
// token by a challenge. It is not the service.
type fake struct {
	key      *rsa.PrivateKey
	kty      string
	status   int // of every answer, if not 0
	requests []string
}

const version = "0123456789abcdef0123456789abcdef"

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.example/tenant", resource="https://vault.azure.net"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-ms-request-id", "a-request")
	if f.status != 0 {
		w.WriteHeader(f.status)
		_, _ = w.Write([]byte(`{"error":{"code":"SomeCode","message":"words of the service"}}`))
		return
	}
	kid := "https://" + r.Host + "/keys/allod/" + version
	path := strings.TrimPrefix(r.URL.Path, "/keys/allod/")
	if r.Method == http.MethodGet && path == "" {
		_ = json.NewEncoder(w).Encode(map[string]any{"key": map[string]any{"kid": kid, "kty": f.kty}})
		return
	}
	var body struct{ Alg, Value string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Alg != "RSA-OAEP-256" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	value, err := base64.RawURLEncoding.DecodeString(body.Value)
	switch {
	case err != nil:
	case path == "wrapkey" || path == "/wrapkey":
		value, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, &f.key.PublicKey, value, nil)
	case path == version+"/unwrapkey":
		value, err = rsa.DecryptOAEP(sha256.New(), nil, f.key, value, nil)
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":{"code":"BadParameter","message":"words of the service"}}`))
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kid": kid, "value": base64.RawURLEncoding.EncodeToString(value)})
}

type token struct{}

func (token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "t", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func serve(t *testing.T) (*fake, *Key) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{key: key, kty: "RSA"}
	server := httptest.NewTLSServer(f)
	t.Cleanup(server.Close)
	k, err := open(server.URL+"/keys/allod", token{}, &azkeys.ClientOptions{
		ClientOptions:                        azcore.ClientOptions{Transport: server.Client(), Retry: policy.RetryOptions{MaxRetries: -1}},
		DisableChallengeResourceVerification: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f, k
}

var slot = keyring.Of{Vault: allod.GUID{1}, Slot: "office"}

func TestWrapUnwrap(t *testing.T) {
	f, k := serve(t)
	w := kms.New(k)
	wrapped, err := w.Wrap(t.Context(), slot, []byte("half"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Unwrap(t.Context(), slot, wrapped)
	if err != nil || string(got) != "half" {
		t.Errorf("got %q, %v, want the half", got, err)
	}
	if last := f.requests[len(f.requests)-1]; last != "POST /keys/allod/"+version+"/unwrapkey" {
		t.Errorf("asked for %s, want the version that wrapped", last)
	}
	f.key, _ = rsa.GenerateKey(rand.Reader, 2048)
	if _, err := w.Unwrap(t.Context(), slot, wrapped); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("another key behind the address: got %v, want Corrupt", err)
	}
}

func TestRefusals(t *testing.T) {
	f, k := serve(t)
	wrapped, err := k.Wrap(t.Context(), slot, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]allod.Kind{401: allod.Denied, 403: allod.Denied, 404: allod.Denied, 400: allod.Corrupt, 429: allod.Unavailable, 503: allod.Unavailable} {
		f.status = status
		for _, err := range []error{second(k.Wrap(t.Context(), slot, make([]byte, 32))), second(k.Unwrap(t.Context(), slot, wrapped))} {
			if allod.KindOf(err) != want || allod.HintOf(err) == "" || strings.Contains(err.Error(), "words of the service") {
				t.Errorf("status %d: got %v (%v), want %v with a hint, without the service's words", status, err, allod.KindOf(err), want)
			}
		}
	}
	f.status, f.kty = 0, "EC"
	if _, err := k.Wrap(t.Context(), slot, make([]byte, 32)); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a key that only signs: got %v, want Invalid", err)
	}
	for name, w := range map[string]kms.Wrapped{"algorithm": {Version: version, Algorithm: "none"}, "version": {Version: "../x", Algorithm: "RSA-OAEP-256"}} {
		before := len(f.requests)
		if _, err := k.Unwrap(t.Context(), slot, w); allod.KindOf(err) != allod.Corrupt || len(f.requests) != before {
			t.Errorf("hostile %s: got %v after a request, want Corrupt without", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestAlgorithms(t *testing.T) {
	for kty, want := range map[azkeys.KeyType]azkeys.EncryptionAlgorithm{
		azkeys.KeyTypeRSA: "RSA-OAEP-256", azkeys.KeyTypeRSAHSM: "RSA-OAEP-256", azkeys.KeyTypeOctHSM: "A256KW", azkeys.KeyTypeEC: "",
	} {
		if got, _ := algorithm(&azkeys.JSONWebKey{Kty: &kty}); got != want {
			t.Errorf("%s wraps with %q, want %q", kty, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	tests := map[string]bool{
		"https://contoso.vault.azure.net/keys/allod":               true,
		"https://contoso.managedhsm.azure.net/keys/allod-1":        true,
		"http://contoso.vault.azure.net/keys/allod":                false,
		"https://contoso.vault.azure.net/keys/allod/" + version:    false,
		"https://contoso.vault.azure.net/secrets/allod":            false,
		"https://user:pw@contoso.vault.azure.net/keys/allod":       false,
		"https://contoso.vault.azure.net/keys/allod?api-version=1": false,
		"https://contoso.vault.azure.net/keys/":                    false,
		"contoso":                                                  false,
	}
	for address, want := range tests {
		if _, _, err := parse(address); (err == nil) != want {
			t.Errorf("%s: got %v, want accepted = %v", address, err, want)
		}
	}
}
