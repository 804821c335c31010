// Package notify tells people that something needs them: by a ping of a
// dead man's switch, by a webhook, by mail. What it sends holds names of
// environments, times and numbers, never content, and no address that it was
// told is repeated in an error: such addresses are passwords.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"allod"
)

// Config says who is told, and from when on. It stands under "alarms" in
// allod.yaml and holds no passwords; a ping or webhook address may be one.
type Config struct {
	MaxAge     time.Duration `yaml:"max_age,omitempty"`     // without a good backup; 0 = 26 h, or the schedule's own time and 2 h
	DiskDays   int           `yaml:"disk_days,omitempty"`   // until the disk is full; 0 = 14
	SecretDays int           `yaml:"secret_days,omitempty"` // until a secret expires; 0 = 21
	Ping       string        `yaml:"ping,omitempty"`        // address of a dead man's switch
	Webhook    string        `yaml:"webhook,omitempty"`
	CAFile     string        `yaml:"ca_file,omitempty"` // PEM file of an own certificate authority, for all three
	Mail       *Mail         `yaml:"mail,omitempty"`
}

// Mail says how mail is sent.
type Mail struct {
	Server      string   `yaml:"server"` // host:port
	From        string   `yaml:"from"`
	To          []string `yaml:"to"`
	User        string   `yaml:"user,omitempty"`
	PasswordEnv string   `yaml:"password_env,omitempty"` // name of the environment variable with the password
	TLS         string   `yaml:"tls,omitempty"`          // starttls (default), implicit, or none, which only this machine may be told
}

// Notice is one thing that people are told.
type Notice struct {
	Kind        string    `json:"kind"` // a word, e.g. "too-old"
	Environment string    `json:"environment,omitempty"`
	Text        string    `json:"text"` // one sentence without content
	Hint        string    `json:"hint,omitempty"`
	Since       time.Time `json:"since"` // UTC
	Over        bool      `json:"over"`  // it was told before, and has ended
}

// Sender sends. Its methods may be called from several goroutines; each call
// lasts at most 30 seconds.
type Sender struct {
	config Config
	client *http.Client
	ca     []byte // PEM; nil = the system's
	getenv func(string) string
	now    func() time.Time
}

const patience = 30 * time.Second

// New checks the configuration. ca is the content of CAFile, nil without one.
// Invalid when an address cannot be one, or mail would go out in the open.
func New(c Config, ca []byte, getenv func(string) string, now func() time.Time) (*Sender, error) {
	bad := func(what, hint string) error {
		return allod.WithHint(allod.Errorf(allod.Invalid, "read the alarms of the configuration: %s", what), "%s", hint)
	}
	for name, address := range map[string]string{"ping": c.Ping, "webhook": c.Webhook} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			return nil, bad(name+" is no address", "Give it as https://host/path.")
		}
	}
	if c.MaxAge < 0 || c.DiskDays < 0 || c.SecretDays < 0 {
		return nil, bad("a span is negative", "Give max_age as 26h, disk_days and secret_days as numbers.")
	}
	if m := c.Mail; m != nil {
		host, _, err := net.SplitHostPort(m.Server)
		if err != nil || host == "" {
			return nil, bad("mail.server is no address", "Give it as smtp.example.org:587.")
		}
		for _, a := range append([]string{m.From}, m.To...) {
			if _, err := mail.ParseAddress(a); err != nil {
				return nil, bad("a mail address is none", "Give mail.from and mail.to as name@example.org.")
			}
		}
		if len(m.To) == 0 {
			return nil, bad("mail has nobody to go to", "Name somebody under mail.to.")
		}
		if !slices.Contains([]string{"", "starttls", "implicit", "none"}, m.TLS) {
			return nil, bad("mail.tls is none of starttls, implicit, none", "Leave it out for starttls.")
		}
		if ip := net.ParseIP(host); m.TLS == "none" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, bad("mail.tls none would send the password in the open", "Use starttls or implicit; none is for a relay on this machine.")
		}
		if m.User != "" && m.PasswordEnv == "" {
			return nil, bad("mail.user has no password", "Name the environment variable that holds it under mail.password_env.")
		}
	}
	pool, err := authorities(ca)
	if err != nil {
		return nil, bad("ca_file holds no certificate", "It is a PEM file.")
	}
	client := &http.Client{Timeout: patience, Transport: transport(pool)}
	return &Sender{config: c, client: client, ca: ca, getenv: getenv, now: now}, nil
}

// Ping tells a dead man's switch how a run went: its address for good, address
// plus "/fail" for bad, as healthchecks.io and those like it take it. Nothing is
// sent but the request. Without an address nothing happens.
func (s *Sender) Ping(ctx context.Context, good bool) error {
	if s.config.Ping == "" {
		return nil
	}
	u, err := url.Parse(s.config.Ping)
	if err != nil {
		return allod.Errorf(allod.Invalid, "ping: not an address")
	}
	if !good {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/fail"
		u.RawPath = ""
	}
	return s.send(ctx, "ping", http.MethodGet, u, nil)
}

// Tell sends notices to the webhook and by mail, whatever of both there is. It
// tries both; the error joins what failed.
func (s *Sender) Tell(ctx context.Context, notices []Notice) error {
	if len(notices) == 0 {
		return nil
	}
	return errors.Join(s.post(ctx, notices), s.mail(ctx, notices))
}

func (s *Sender) post(ctx context.Context, notices []Notice) error {
	if s.config.Webhook == "" {
		return nil
	}
	u, err := url.Parse(s.config.Webhook)
	if err != nil {
		return allod.Errorf(allod.Invalid, "tell the webhook: not an address")
	}
	body, err := json.Marshal(struct {
		From    string   `json:"from"`
		Time    string   `json:"time"`
		Notices []Notice `json:"notices"`
	}{"allod", s.now().UTC().Format(time.RFC3339), notices})
	if err != nil {
		return fmt.Errorf("tell the webhook: %w", err)
	}
	return s.send(ctx, "tell the webhook", http.MethodPost, u, body)
}

// send makes a request. The path of an address is a password: errors name the
// host alone.
func (s *Sender) send(ctx context.Context, what, method string, u *url.URL, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return allod.Errorf(allod.Invalid, "%s at %s: not an address", what, u.Hostname())
	}
	req.Header.Set("User-Agent", "allod")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address
		}
		return allod.Errorf(allod.Unavailable, "%s at %s: %w", what, u.Hostname(), err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if res.StatusCode >= 300 {
		return allod.Errorf(allod.Unavailable, "%s at %s: it answered %d", what, u.Hostname(), res.StatusCode)
	}
	if err != nil {
		return allod.Errorf(allod.Unavailable, "%s at %s: %w", what, u.Hostname(), err)
	}
	return nil
}
