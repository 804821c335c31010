// Package hcvault wraps keys of slots under a key of the transit engine of
// HashiCorp Vault, or of OpenBao, which speaks the same protocol
// (developer.hashicorp.com/vault/api-docs/secret/transit). The vault and the
// slot are the associated data of the encryption. The token needs update on
// MOUNT/encrypt/KEY and MOUNT/decrypt/KEY.
package hcvault

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/hashicorp/vault/api"

	"allod"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/kms"
)

// Kind is that of slots wrapped by this service.
const Kind = "hc-vault"

// Key is one key of a transit engine. Methods may be called from several
// goroutines.
type Key struct {
	client     *api.Client
	address    string // https://HOST/MOUNT/KEY
	mount, key string
}

var _ kms.Service = (*Key)(nil)

var segment = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}$`)

// Open names the key at https://HOST:8200/MOUNT/KEY; the mount may have several
// segments. The token and the authority of the server's certificate come from
// VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT and their like, as users of Vault
// know it. Nothing is asked of the service yet. Invalid if the address is not
// one; plain http is for this machine.
func Open(address string) (*Key, error) {
	k, server, err := parse(address)
	if err != nil {
		return nil, err
	}
	c := api.DefaultConfig()
	if c.Error != nil {
		return nil, allod.Errorf(allod.Invalid, "reach HashiCorp Vault: %w", c.Error)
	}
	c.Address, c.AgentAddress = server, ""
	if k.client, err = api.NewClient(c); err != nil {
		return nil, allod.Errorf(allod.Invalid, "reach HashiCorp Vault: %w", err)
	}
	if err := k.client.SetAddress(server); err != nil { // VAULT_ADDR does not decide
		return nil, allod.Errorf(allod.Invalid, "reach HashiCorp Vault: %w", err)
	}
	return k, nil
}

func parse(address string) (*Key, string, error) {
	bad := func() (*Key, string, error) {
		err := allod.Errorf(allod.Invalid, "name a key of HashiCorp Vault: that is not its address")
		return nil, "", allod.WithHint(err, "It looks like hcvault:https://vault.example.org:8200/transit/KEY; http only on this machine.")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" {
		return bad()
	}
	local := u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost"
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return bad()
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if len(parts) < 2 {
		return bad()
	}
	for _, p := range parts {
		if !segment.MatchString(p) {
			return bad()
		}
	}
	server := u.Scheme + "://" + strings.ToLower(u.Host)
	last := len(parts) - 1
	return &Key{address: server + "/" + strings.Join(parts, "/"), mount: strings.Join(parts[:last], "/"), key: parts[last]}, server, nil
}

// Kind implements kms.Service.
func (k *Key) Kind() string { return Kind }

// Address implements kms.Service.
func (k *Key) Address() string { return k.address }

// algorithm names what the engine does: its ciphertext says the version of the
// key itself ("vault:v1:…").
const algorithm = "transit"

func associated(of keyring.Of) string {
	return base64.StdEncoding.EncodeToString(append(of.Vault[:len(of.Vault):len(of.Vault)], of.Slot...))
}

// Wrap implements kms.Service.
func (k *Key) Wrap(ctx context.Context, of keyring.Of, key []byte) (kms.Wrapped, error) {
	s, err := k.client.Logical().WriteWithContext(ctx, k.mount+"/encrypt/"+k.key, map[string]any{
		"plaintext": base64.StdEncoding.EncodeToString(key), "associated_data": associated(of),
	})
	if err != nil {
		return kms.Wrapped{}, failed("wrap a key", err)
	}
	text, ok := field(s, "ciphertext")
	if !ok || !strings.HasPrefix(text, "vault:v") {
		return kms.Wrapped{}, allod.Errorf(allod.Unavailable, "wrap a key with HashiCorp Vault: its answer is not that of a transit engine")
	}
	return kms.Wrapped{Algorithm: algorithm, Bytes: []byte(text)}, nil
}

// Unwrap implements kms.Service.
func (k *Key) Unwrap(ctx context.Context, of keyring.Of, w kms.Wrapped) ([]byte, error) {
	if w.Algorithm != algorithm || w.Version != "" || !strings.HasPrefix(string(w.Bytes), "vault:v") {
		return nil, allod.Errorf(allod.Corrupt, "unwrap a key with HashiCorp Vault: the slot makes no sense")
	}
	s, err := k.client.Logical().WriteWithContext(ctx, k.mount+"/decrypt/"+k.key, map[string]any{
		"ciphertext": string(w.Bytes), "associated_data": associated(of),
	})
	if err != nil {
		return nil, failed("unwrap a key", err)
	}
	text, ok := field(s, "plaintext")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, allod.Errorf(allod.Unavailable, "unwrap a key with HashiCorp Vault: its answer is not that of a transit engine")
	}
	return key, nil
}

func field(s *api.Secret, name string) (string, bool) {
	if s == nil {
		return "", false
	}
	text, ok := s.Data[name].(string)
	return text, ok
}

// failed gives an error of the client its Kind. The server's own words are left
// out.
func failed(doing string, err error) error {
	const other = "Open the vault with another of its slots meanwhile, e.g. --key paper."
	var r *api.ResponseError
	if !errors.As(err, &r) {
		if errors.Is(err, context.Canceled) {
			return allod.Errorf(allod.Unavailable, "%s with HashiCorp Vault: %w", doing, context.Canceled)
		}
		return allod.WithHint(allod.Errorf(allod.Unavailable, "%s with HashiCorp Vault: %w", doing, err), other)
	}
	kind, hint := allod.Unavailable, other // sealed, standby, 5xx, 429
	switch r.StatusCode {
	case http.StatusForbidden:
		kind, hint = allod.Denied, "The token needs update on MOUNT/encrypt/KEY and MOUNT/decrypt/KEY: set VAULT_TOKEN, or renew it."
	case http.StatusNotFound:
		kind, hint = allod.Denied, "There is no such mount on that server."
	case http.StatusBadRequest:
		kind, hint = allod.Corrupt, "The server does not take what the slot holds, or has no such key; open the vault with another of its slots."
	}
	return allod.WithHint(allod.Errorf(kind, "%s with HashiCorp Vault: it answered %d", doing, r.StatusCode), "%s", hint)
}
