package hcvault

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"allod"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/kms"
)

// fake is a stand-in for the transit engine of HashiCorp Vault, our own: it
// answers encrypt and decrypt of one key as the engine's reference says. The
// engine itself is asked in internal/e2e/transit.
type fake struct {
	aead   cipher.AEAD
	status int
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{"words of the service"}})
	}
	if r.Header.Get("X-Vault-Token") != "root" {
		refuse(http.StatusForbidden)
		return
	}
	if f.status != 0 {
		refuse(f.status)
		return
	}
	var body struct {
		Plaintext      []byte `json:"plaintext"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData []byte `json:"associated_data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		refuse(http.StatusBadRequest)
		return
	}
	nonce := make([]byte, f.aead.NonceSize())
	data := map[string]any{}
	switch r.URL.Path {
	case "/v1/team/transit/encrypt/allod":
		data["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(f.aead.Seal(nil, nonce, body.Plaintext, body.AssociatedData))
	case "/v1/team/transit/decrypt/allod":
		sealed, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(body.Ciphertext, "vault:v1:"))
		plain, err := f.aead.Open(nil, nonce, sealed, body.AssociatedData)
		if err != nil {
			refuse(http.StatusBadRequest)
			return
		}
		data["plaintext"] = plain
	default:
		refuse(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

func serve(t *testing.T) (*fake, string) {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	if f.aead, err = cipher.NewGCM(block); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	environment(t, "root")
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:1") // the slot's own address counts
	return f, server.URL
}

func environment(t *testing.T, token string) {
	t.Setenv("VAULT_TOKEN", token)
	t.Setenv("VAULT_MAX_RETRIES", "0")
	t.Setenv("VAULT_NAMESPACE", "")
}

func open(t *testing.T, address string) *Key {
	t.Helper()
	k, err := Open(address)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var slot = keyring.Of{Vault: allod.GUID{1}, Slot: "office"}

func TestWrapUnwrap(t *testing.T) {
	_, url := serve(t)
	wrapsAndUnwraps(t, url+"/team/transit/allod")
}

// wrapsAndUnwraps holds for a fake and for the engine.
func wrapsAndUnwraps(t *testing.T, address string) {
	t.Helper()
	k := open(t, address)
	w := kms.New(k)
	wrapped, err := w.Wrap(t.Context(), slot, []byte("half"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Unwrap(t.Context(), slot, wrapped)
	if err != nil || string(got) != "half" {
		t.Errorf("got %q, %v, want the half", got, err)
	}
	inner, err := k.Wrap(t.Context(), slot, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	other := keyring.Of{Vault: slot.Vault, Slot: "other"}
	if _, err := k.Unwrap(t.Context(), other, inner); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("for another slot: got %v, want Corrupt", err)
	}
}

func TestRefusals(t *testing.T) {
	f, url := serve(t)
	k := open(t, url+"/team/transit/allod")
	wrapped, err := k.Wrap(t.Context(), slot, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]allod.Kind{403: allod.Denied, 404: allod.Denied, 400: allod.Corrupt, 429: allod.Unavailable, 503: allod.Unavailable} {
		f.status = status
		_, err1 := k.Wrap(t.Context(), slot, make([]byte, 32))
		_, err2 := k.Unwrap(t.Context(), slot, wrapped)
		for _, err := range []error{err1, err2} {
			if allod.KindOf(err) != want || allod.HintOf(err) == "" || strings.Contains(err.Error(), "words of the service") {
				t.Errorf("status %d: got %v (%v), want %v with a hint, without the service's words", status, err, allod.KindOf(err), want)
			}
		}
	}
	f.status = 0
	for name, w := range map[string]kms.Wrapped{"algorithm": {Algorithm: "none", Bytes: wrapped.Bytes}, "bytes": {Algorithm: algorithm, Bytes: []byte("x")}} {
		if _, err := k.Unwrap(t.Context(), slot, w); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("hostile %s: got %v, want Corrupt", name, err)
		}
	}
	if _, err := open(t, url+"/transit/allod").Wrap(t.Context(), slot, nil); allod.KindOf(err) != allod.Denied {
		t.Errorf("no such mount: got %v, want Denied", err)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"https://vault.example.org:8200/transit/allod": true, "https://vault.example.org/team/transit/allod": true, "http://127.0.0.1:8200/transit/allod": true,
		"http://vault.example.org/transit/allod": false, "https://vault.example.org/allod": false, "https://vault.example.org/transit/../sys": false,
		"https://u:p@vault.example.org/transit/allod": false, "https://vault.example.org/transit/a%2Fb": false, "transit/allod": false,
	} {
		if _, err := Open(address); (err == nil) != want {
			t.Errorf("%s: got %v, want accepted = %v", address, err, want)
		}
	}
}
