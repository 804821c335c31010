package act

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"allod"
	"allod/internal/preset"
	"allod/internal/source"
	"allod/internal/source/live"
)

// Connected says what Connect found behind the address.
type Connected struct {
	Environment  string `json:"environment"`
	URL          string `json:"url"`
	Organization string `json:"organization"`
	Version      string `json:"version"`
	Tables       int    `json:"tables"`
	Readable     int    `json:"readable"`
	source.Standing
}

// Connect asks the environment who it is and, if it answers, remembers how it
// is reached under the name env. Nothing is changed in the environment.
// Conflict when the name is taken by another address.
func (o *Office) Connect(ctx context.Context, env string, c Connection) (*Connected, error) {
	if err := CheckName(env); err != nil {
		return nil, err
	}
	if err := checkURL(&c); err != nil {
		return nil, err
	}
	if err := preset.Check(c.Presets); err != nil {
		return nil, fmt.Errorf("connect %s: %w", env, err)
	}
	if old, ok := o.config.Environments[env]; ok && old.URL != c.URL && c.SameAs != env {
		err := allod.Errorf(allod.Conflict, "connect %s: the name stands for %s already", env, old.URL)
		return nil, allod.WithHint(err, "Choose another name, or add --same-as %s if it is the same environment at a new address.", env)
	}
	if c.SameAs != "" && c.SameAs != env {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "connect %s: --same-as names another environment, %s", env, c.SameAs),
			"An environment at a new address keeps its name: `allod connect %s %s --same-as %s`.", c.SameAs, c.URL, c.SameAs)
	}
	src, err := o.deps.OpenSource(ctx, env, c)
	if err != nil {
		return nil, err
	}
	schema, err := src.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", env, err)
	}
	old := o.config.Environments[env] // what is set in the file alone stays
	c.Production = cmp.Or(c.Production, old.Production)
	standing, err := source.StandingOf(ctx, src, c.Production)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", env, err)
	}
	if c.Exclude == nil {
		c.Exclude = old.Exclude
	}
	if c.Applications == nil {
		c.Applications = old.Applications
	}
	c.Schedule, c.SecretExpires, c.Pace = cmp.Or(c.Schedule, old.Schedule), cmp.Or(c.SecretExpires, old.SecretExpires), c.Pace.Over(old.Pace)
	o.config.Environments[env] = c
	if err := saveConfig(ctx, o.deps.Disk, o.Dir, o.config); err != nil {
		return nil, err
	}
	res := &Connected{Environment: env, URL: c.URL, Organization: schema.Identity.Name, Version: schema.Identity.Version, Tables: len(schema.Tables), Standing: standing}
	for i := range schema.Tables {
		if schema.Tables[i].Unreadable == "" {
			res.Readable++
		}
	}
	return res, nil
}

// checkURL cleans the address and picks the credential that follows from it.
func checkURL(c *Connection) error {
	if c.Kind != "dataverse" {
		return allod.WithHint(allod.Errorf(allod.Invalid, "connect to a source of kind %q: this version knows dataverse only", c.Kind), "Add --kind dataverse.")
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return allod.WithHint(allod.Errorf(allod.Invalid, "connect to %q: not an address", c.URL), "Give the environment's own address, e.g. https://contoso.crm4.dynamics.com.")
	}
	loopback := isLoopback(u.Hostname())
	if u.Scheme == "http" && !loopback {
		return allod.WithHint(allod.Errorf(allod.Denied, "connect to %s: content never travels unencrypted over a network", c.URL), "Use https. Plain http is for emulators on this machine.")
	}
	c.URL = u.Scheme + "://" + u.Host
	if path := strings.Trim(u.Path, "/"); path != "" && !strings.HasPrefix(path, "api/data") {
		return allod.WithHint(allod.Errorf(allod.Invalid, "connect to %s/%s: only the environment's root is needed", c.URL, path), "Give %s.", c.URL)
	}
	if c.Auth == "" {
		c.Auth = "secret"
		if loopback && u.Scheme == "http" {
			c.Auth = "loopback"
		}
	}
	if !slices.Contains([]string{"loopback", "secret", "certificate", "managed-identity", "workload-identity"}, c.Auth) {
		return allod.Errorf(allod.Invalid, "connect with --auth %q: want secret, certificate, managed-identity or workload-identity", c.Auth)
	}
	if c.Auth == "loopback" && !loopback {
		return allod.Errorf(allod.Denied, "connect to %s without a credential: only an emulator on this machine takes that", c.URL)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// liveView opens the environment itself, now.
func (o *Office) liveView(ctx context.Context, env string) (source.View, error) {
	src, err := o.source(ctx, env)
	if err != nil {
		return nil, err
	}
	return live.New(ctx, src)
}
