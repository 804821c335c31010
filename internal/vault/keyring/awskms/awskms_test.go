package awskms

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"allod"
	"allod/internal/vault/keyring"
	wrap "allod/internal/vault/keyring/kms"
)

const arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

// fake is a stand-in for AWS KMS, our own: it answers Encrypt and Decrypt in
// AWS JSON 1.1 as the service's reference says, with one key, and authenticates
// the encryption context. It is not the service; signatures of requests are
// looked for and not checked.
type fake struct {
	aead    cipher.AEAD
	fail    string // the code of every answer, if not empty
	context map[string]string
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("x-amzn-RequestId", "a-request")
	refuse := func(code string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "words of the service"})
	}
	if f.fail != "" {
		refuse(f.fail)
		return
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
		refuse("MissingAuthenticationTokenException")
		return
	}
	var body struct {
		KeyId                     string
		Plaintext, CiphertextBlob []byte
		EncryptionContext         map[string]string
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.KeyId != arn {
		refuse("NotFoundException")
		return
	}
	f.context = body.EncryptionContext
	ad, _ := json.Marshal(body.EncryptionContext) // keys sorted
	nonce := make([]byte, f.aead.NonceSize())
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": arn, "CiphertextBlob": f.aead.Seal(nil, nonce, body.Plaintext, ad)})
	case "TrentService.Decrypt":
		plain, err := f.aead.Open(nil, nonce, body.CiphertextBlob, ad)
		if err != nil {
			refuse("InvalidCiphertextException")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"KeyId": arn, "Plaintext": plain})
	default:
		refuse("UnknownOperationException")
	}
}

func serve(t *testing.T) (*fake, *Key) {
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
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_MAX_ATTEMPTS": "1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	k, err := Open(t.Context(), arn)
	if err != nil {
		t.Fatal(err)
	}
	return f, k
}

var slot = keyring.Of{Vault: allod.GUID{1}, Slot: "office"}

func TestWrapUnwrap(t *testing.T) {
	f, k := serve(t)
	w := wrap.New(k)
	wrapped, err := w.Wrap(t.Context(), slot, []byte("half"))
	if err != nil {
		t.Fatal(err)
	}
	if f.context["allod:vault"] != slot.Vault.String() || f.context["allod:slot"] != "office" {
		t.Errorf("encryption context %v, want the vault and the slot", f.context)
	}
	got, err := w.Unwrap(t.Context(), slot, wrapped)
	if err != nil || string(got) != "half" {
		t.Errorf("got %q, %v, want the half", got, err)
	}
	other := keyring.Of{Vault: slot.Vault, Slot: "other"}
	if _, err := w.Unwrap(t.Context(), other, wrapped); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("for another slot: got %v, want Corrupt", err)
	}
}

func TestRefusals(t *testing.T) {
	f, k := serve(t)
	wrapped, err := k.Wrap(t.Context(), slot, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]allod.Kind{
		"AccessDeniedException": allod.Denied, "DisabledException": allod.Denied, "KMSInvalidStateException": allod.Denied, "IncorrectKeyException": allod.Denied,
		"InvalidCiphertextException": allod.Corrupt, "ThrottlingException": allod.Unavailable, "KMSInternalException": allod.Unavailable,
	} {
		f.fail = code
		_, err1 := k.Wrap(t.Context(), slot, make([]byte, 32))
		_, err2 := k.Unwrap(t.Context(), slot, wrapped)
		for _, err := range []error{err1, err2} {
			if allod.KindOf(err) != want || allod.HintOf(err) == "" || strings.Contains(err.Error(), "words of the service") || allod.RequestIDOf(err) != "a-request" {
				t.Errorf("%s: got %v (%v, request %q), want %v with a hint, without the service's words", code, err, allod.KindOf(err), allod.RequestIDOf(err), want)
			}
		}
	}
	f.fail = "AccessDeniedException" // a request would say so
	for name, w := range map[string]wrap.Wrapped{"algorithm": {Algorithm: "none", Bytes: []byte{1}}, "version": {Version: "1", Algorithm: wrapped.Algorithm, Bytes: []byte{1}}, "bytes": {Algorithm: wrapped.Algorithm}} {
		if _, err := k.Unwrap(t.Context(), slot, w); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("hostile %s: got %v, want Corrupt", name, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		arn: true, "arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/allod": true,
		"1234abcd-12ab-34cd-56ef-1234567890ab": false, "arn:aws:s3:::bucket": false, "arn:aws:kms:eu-central-1:1111:key/x": false, "": false,
	} {
		if _, err := Open(t.Context(), address); (err == nil) != want {
			t.Errorf("%q: got %v, want accepted = %v", address, err, want)
		}
	}
}
