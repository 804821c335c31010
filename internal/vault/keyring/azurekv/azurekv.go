// Package azurekv wraps keys of slots under a key of Azure Key Vault or of a
// managed HSM: RSA-OAEP-256 under an RSA key, AES key wrap (A256KW) under an
// AES key of a managed HSM. Wrapping needs the permissions keys/get and
// keys/wrapKey, unwrapping keys/unwrapKey
// (learn.microsoft.com/rest/api/keyvault/keys/wrap-key).
//
// One version of a key cannot be deleted by itself, and a deleted key can be
// recovered for 7 to 90 days: the service is no place of deletion.
package azurekv

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"allod"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/kms"
)

// Kind is that of slots wrapped by this service.
const Kind = "azure-kv"

// Key is one key in a Key Vault. Methods may be called from several goroutines.
type Key struct {
	client  *azkeys.Client
	address string // https://HOST/keys/NAME
	name    string
}

var _ kms.Service = (*Key)(nil)

var keyName = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)

// Open names the key at https://VAULT.vault.azure.net/keys/NAME, or that of a
// managed HSM, and signs in as azidentity's users know it: AZURE_… variables, a
// workload or managed identity, or the Azure command line. Nothing is asked of
// the service yet. Invalid if the address is not that of a key without a
// version.
func Open(address string) (*Key, error) {
	if _, _, err := parse(address); err != nil {
		return nil, err
	}
	cred, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, allod.Errorf(allod.Denied, "sign in to Azure Key Vault: %w", err)
	}
	return open(address, cred, nil)
}

func open(address string, cred azcore.TokenCredential, opts *azkeys.ClientOptions) (*Key, error) {
	host, name, err := parse(address)
	if err != nil {
		return nil, err
	}
	client, err := azkeys.NewClient("https://"+host, cred, opts)
	if err != nil {
		return nil, allod.Errorf(allod.Invalid, "name a key of Azure Key Vault: %w", err)
	}
	return &Key{client: client, address: "https://" + host + "/keys/" + name, name: name}, nil
}

func parse(address string) (host, name string, err error) {
	u, err := url.Parse(address)
	if err == nil {
		name = strings.TrimPrefix(u.Path, "/keys/")
	}
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "/keys/"+name || !keyName.MatchString(name) {
		err := allod.Errorf(allod.Invalid, "name a key of Azure Key Vault: that is not its address")
		return "", "", allod.WithHint(err, "Give it without a version: azurekv:https://NAME.vault.azure.net/keys/KEY.")
	}
	return strings.ToLower(u.Host), name, nil
}

// Kind implements kms.Service.
func (k *Key) Kind() string { return Kind }

// Address implements kms.Service.
func (k *Key) Address() string { return k.address }

// Wrap implements kms.Service: under the newest version of the key, which the
// answer names.
func (k *Key) Wrap(ctx context.Context, _ keyring.Of, key []byte) (kms.Wrapped, error) {
	got, err := k.client.GetKey(ctx, k.name, "", nil)
	if err != nil {
		return kms.Wrapped{}, failed("look at the key", err)
	}
	alg, err := algorithm(got.Key)
	if err != nil {
		return kms.Wrapped{}, err
	}
	res, err := k.client.WrapKey(ctx, k.name, "", azkeys.KeyOperationParameters{Algorithm: &alg, Value: key}, nil)
	if err != nil {
		return kms.Wrapped{}, failed("wrap a key", err)
	}
	if res.KID == nil || res.KID.Version() == "" || len(res.Result) == 0 {
		return kms.Wrapped{}, allod.Errorf(allod.Unavailable, "wrap a key with Azure Key Vault: its answer names no version of the key")
	}
	return kms.Wrapped{Version: res.KID.Version(), Algorithm: string(alg), Bytes: res.Result}, nil
}

// algorithm is how a key of this type wraps.
func algorithm(k *azkeys.JSONWebKey) (azkeys.EncryptionAlgorithm, error) {
	if k != nil && k.Kty != nil {
		switch *k.Kty {
		case azkeys.KeyTypeRSA, azkeys.KeyTypeRSAHSM:
			return azkeys.EncryptionAlgorithmRSAOAEP256, nil
		case azkeys.KeyTypeOct, azkeys.KeyTypeOctHSM:
			return azkeys.EncryptionAlgorithmA256KW, nil
		case azkeys.KeyTypeEC, azkeys.KeyTypeECHSM: // they sign
		}
	}
	err := allod.Errorf(allod.Invalid, "wrap a key with Azure Key Vault: this type of key cannot wrap")
	return "", allod.WithHint(err, "Take an RSA key of 2048 bits or more, or an AES-256 key of a managed HSM.")
}

// Unwrap implements kms.Service.
func (k *Key) Unwrap(ctx context.Context, _ keyring.Of, w kms.Wrapped) ([]byte, error) {
	alg := azkeys.EncryptionAlgorithm(w.Algorithm)
	if alg != azkeys.EncryptionAlgorithmRSAOAEP256 && alg != azkeys.EncryptionAlgorithmA256KW || !keyName.MatchString(w.Version) {
		return nil, allod.Errorf(allod.Corrupt, "unwrap a key with Azure Key Vault: the slot names an algorithm or version that makes no sense")
	}
	res, err := k.client.UnwrapKey(ctx, k.name, w.Version, azkeys.KeyOperationParameters{Algorithm: &alg, Value: w.Bytes}, nil)
	if err != nil {
		return nil, failed("unwrap a key", err)
	}
	return res.Result, nil
}

// failed gives an error of the client its Kind. The service's own words are
// left out but for its code.
func failed(doing string, err error) error {
	var r *azcore.ResponseError
	if !errors.As(err, &r) {
		if errors.Is(err, context.Canceled) {
			return allod.Errorf(allod.Unavailable, "%s with Azure Key Vault: %w", doing, context.Canceled)
		}
		return allod.WithHint(allod.Errorf(allod.Unavailable, "%s with Azure Key Vault: %w", doing, err), "Open the vault with another of its slots meanwhile, e.g. --key paper.")
	}
	e := &allod.Error{Kind: allod.Unavailable, RequestID: r.RawResponse.Header.Get("x-ms-request-id"), Hint: "Open the vault with another of its slots meanwhile, e.g. --key paper."}
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Kind, e.Hint = allod.Denied, "The identity that is signed in needs keys/get, keys/wrapKey and keys/unwrapKey (role Key Vault Crypto User), and the key must be enabled."
	case http.StatusNotFound:
		e.Kind, e.Hint = allod.Denied, "The key or its version is gone; a deleted key can be recovered while its days of soft delete last."
	case http.StatusBadRequest:
		e.Kind, e.Hint = allod.Corrupt, "The service does not take what the slot holds; open the vault with another of its slots, and make this one anew."
	}
	e.Err = allod.Errorf(e.Kind, "%s with Azure Key Vault: it answered %d %s", doing, r.StatusCode, r.ErrorCode)
	return e
}
