package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"allod"
	"allod/internal/act"
	"allod/internal/act/connection"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/blob/s3"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/source/dataverse/several"
	"allod/internal/source/odataclient/entra"
	"allod/internal/source/pace"
	"allod/internal/source/powerplatform"
	"allod/internal/vault/keyring/awskms"
	"allod/internal/vault/keyring/azurekv"
	"allod/internal/vault/keyring/hcvault"
	"allod/internal/vault/keyring/kms"
)

// openStore opens a bucket by its address, or a local folder; create makes the
// folder if it is missing. A bucket is never made.
func openStore(ctx context.Context, path string, create bool) (blob.Mutable, error) {
	scheme, _, address := strings.Cut(path, "://")
	switch {
	case address && scheme == s3.Scheme:
		return s3.Open(ctx, path, s3.Options{})
	case address:
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "open a store: there is none for %s:// addresses", scheme), "Name a folder, or a bucket as s3://BUCKET/PREFIX (docs/stores.md).")
	case create:
		return file.Create(path, file.Options{})
	}
	return file.Open(path, file.Options{})
}

// keyServices reach the services that wrap keys of slots.
func keyServices() map[string]func(context.Context, string) (kms.Service, error) {
	return map[string]func(context.Context, string) (kms.Service, error){
		"awskms":  func(ctx context.Context, arn string) (kms.Service, error) { return awskms.Open(ctx, arn) },
		"azurekv": func(_ context.Context, address string) (kms.Service, error) { return azurekv.Open(address) },
		"hcvault": func(_ context.Context, address string) (kms.Service, error) { return hcvault.Open(address) },
	}
}

// openSource opens the connector of an environment. The client secret comes
// from its file or from ALLOD_CLIENT_SECRET.
func openSource(getenv func(string) string) func(context.Context, string, act.Connection) (source.Source, error) {
	return func(_ context.Context, env string, c act.Connection) (source.Source, error) {
		o := dataverse.Options{
			Environment: env, URL: c.URL, CAFile: c.CAFile, Proxy: c.Proxy, MaxConcurrency: c.Pace.MaxConcurrency,
			Day: &pace.Day{Most: c.Pace.MaxRequestsPerDay, Dir: c.Counts}, Paused: c.Paused,
			Window: func(now time.Time) time.Duration { return c.Pace.Window.Wait(now.In(time.Local)) },
		}
		if c.Auth == "loopback" {
			return dataverse.New(o)
		}
		users := append([]connection.Application{{ClientID: c.ClientID, ClientSecretFile: c.ClientSecretFile, Certificate: c.Certificate}}, c.Applications...)
		var all []*dataverse.Source
		for _, u := range users {
			c.ClientID, c.ClientSecretFile, c.Certificate = u.ClientID, u.ClientSecretFile, u.Certificate
			cred, err := credential(env, c, getenv)
			if err != nil {
				return nil, err
			}
			o.Credential = cred
			src, err := dataverse.New(o)
			if err != nil {
				return nil, err
			}
			all = append(all, src)
		}
		if len(all) == 1 {
			return all[0], nil
		}
		return several.New(all[0], all[1:]...), nil
	}
}

// openNative reaches the platform's own backups of an environment, signed in as
// for the environment itself.
func openNative(getenv func(string) string) func(context.Context, string, act.Connection, allod.GUID) (source.Native, error) {
	return func(_ context.Context, env string, c act.Connection, id allod.GUID) (source.Native, error) {
		o := powerplatform.Options{Environment: env, ID: id, URL: c.PowerPlatform, CAFile: c.CAFile, Proxy: c.Proxy}
		if c.Auth == "loopback" {
			if c.PowerPlatform == "" {
				return nil, allod.WithHint(allod.Errorf(allod.Invalid, "ask the Power Platform about %s: it is an emulator", env),
					"Start it with --power-platform, and name the address it prints with `allod connect %s … --power-platform URL`.", env)
			}
			return powerplatform.New(o)
		}
		var err error
		if o.Credential, err = credential(env, c, getenv); err != nil {
			return nil, err
		}
		return powerplatform.New(o)
	}
}

// credential makes what an application signs in with.
func credential(env string, c act.Connection, getenv func(string) string) (azcore.TokenCredential, error) {
	o := entra.Options{
		Method: entra.Method(c.Auth), TenantID: c.TenantID, ClientID: c.ClientID, CertificateFile: c.Certificate,
		CertificatePassword: getenv("ALLOD_CERTIFICATE_PASSWORD"), Authority: c.Authority, CAFile: c.CAFile, Proxy: c.Proxy,
	}
	if o.Method == entra.Secret && c.TenantID != "" && c.ClientID != "" { // else entra.New says what is missing
		secret, err := clientSecret(env, c, getenv)
		if err != nil {
			return nil, err
		}
		o.ClientSecret = secret
	}
	return entra.New(o)
}

func clientSecret(env string, c act.Connection, getenv func(string) string) (string, error) {
	if c.ClientSecretFile == "" {
		if s := getenv("ALLOD_CLIENT_SECRET"); s != "" {
			return s, nil
		}
		err := allod.Errorf(allod.Denied, "sign in to %s: there is no client secret", env)
		return "", allod.WithHint(err, "Set ALLOD_CLIENT_SECRET, or name a file with --client-secret-file when connecting.")
	}
	b, err := os.ReadFile(c.ClientSecretFile)
	if err != nil {
		return "", &allod.Error{Kind: allod.Denied, Err: fmt.Errorf("sign in to %s: read the client secret: %w", env, err)}
	}
	return strings.TrimSpace(string(b)), nil
}
