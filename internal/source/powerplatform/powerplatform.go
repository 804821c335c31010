// Package powerplatform asks the Power Platform for its own backups of an
// environment: it lists them, makes one, and restores one into a sandbox
// (protocols/dataverse.md §12). They are the platform's, not Allod's: they hold
// a whole environment, end after 28 or 7 days, and bring back all or nothing.
package powerplatform

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"allod"
	"allod/internal/source"
	"allod/internal/source/odataclient"
)

// Address is the API of the public cloud, and Scope what a token for it is asked
// with (§12.2).
const (
	Address = "https://api.powerplatform.com"
	Scope   = Address + "/.default"
)

const (
	apiVersion = "api-version=2024-10-01"
	// maxPages bounds a list whose continuation never ends.
	maxPages = 1000
	// maxWait bounds how long one wait between two looks may be, whatever the
	// service says.
	maxWait = 5 * time.Minute
)

// Options of a Client. Environment and ID are required.
type Options struct {
	Environment string     // name given by allod connect, for errors
	ID          allod.GUID // of the environment, as RetrieveCurrentOrganization says
	URL         string     // "" = Address

	Credential    azcore.TokenCredential // nil only for an emulator on this machine
	CAFile, Proxy string

	Transport http.RoundTripper // replaces the network, for tests
	Now       func() time.Time
	Sleep     func(context.Context, time.Duration) error
}

// Client asks about one environment. It is safe for concurrent use.
type Client struct {
	o      Options
	client *odataclient.Client
}

var _ source.Native = (*Client)(nil)

// New makes a Client. It does no I/O besides reading CAFile.
func New(o Options) (*Client, error) {
	if o.ID.IsZero() {
		return nil, allod.Errorf(allod.Invalid, "ask the Power Platform about %s: the environment does not say its id", o.Environment)
	}
	if o.URL == "" {
		o.URL = Address
	}
	scope := strings.TrimSuffix(o.URL, "/") + "/.default"
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	c, err := odataclient.New(odataclient.Options{
		Base: o.URL, Environment: o.Environment, Credential: o.Credential, Scope: scope, CAFile: o.CAFile, Proxy: o.Proxy,
		Transport: o.Transport, Now: o.Now, Sleep: o.Sleep, Explain: explain, MaxConcurrency: 2,
		RequestIDHeaders: []string{"X-Ms-Correlation-Id"},
		Header:           http.Header{"Accept": {"application/json"}, "User-Agent": {"Allod"}},
	})
	if err != nil {
		return nil, err
	}
	return &Client{o: o, client: c}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func explain(status int, _ string) (allod.Kind, string) {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return allod.Denied, "register the application with the Power Platform API and let it manage environments (Power Platform administrator), or make the backup in the admin center"
	case http.StatusNotFound:
		return allod.NotFound, ""
	case http.StatusConflict:
		return allod.Conflict, "the platform is at work on this environment: try again when it has ended"
	case http.StatusBadRequest:
		return allod.Invalid, "the platform restores into a sandbox or developer environment of the same region and tenant with 1 GB free, from a moment within 28 or 7 days; it makes no backups by hand of the default environment"
	}
	return 0, ""
}

func (c *Client) path(environment allod.GUID, rest string) string {
	return "environmentmanagement/environments/" + environment.String() + "/" + rest
}

type wireBackup struct {
	ID                   string `json:"id"`
	Label                string `json:"label"`
	BackupPointDateTime  string `json:"backupPointDateTime"`
	BackupExpiryDateTime string `json:"backupExpiryDateTime"`
	CreatedBy            struct {
		Type string `json:"type"`
	} `json:"createdBy"`
}

func (w *wireBackup) backup() (source.NativeBackup, error) {
	point, err := time.Parse(time.RFC3339, w.BackupPointDateTime)
	if err != nil {
		return source.NativeBackup{}, allod.Errorf(allod.Invalid, "the backup %q has no readable time", w.ID)
	}
	expires, err := time.Parse(time.RFC3339, w.BackupExpiryDateTime)
	if err != nil || w.ID == "" {
		return source.NativeBackup{}, allod.Errorf(allod.Invalid, "the backup %q has no id or readable end", w.ID)
	}
	return source.NativeBackup{ID: w.ID, Label: w.Label, Point: point.UTC(), Expires: expires.UTC(), Creator: w.CreatedBy.Type}, nil
}

// List returns the backups that were made by hand and have not ended, as the
// service orders them.
func (c *Client) List(ctx context.Context) ([]source.NativeBackup, error) {
	var out []source.NativeBackup
	next := ""
	for range maxPages {
		var page struct {
			Collection        []wireBackup `json:"collection"`
			ContinuationToken string       `json:"continuationToken"`
		}
		q := "backups?" + apiVersion
		if next != "" {
			q += "&continuationToken=" + url.QueryEscape(next)
		}
		if _, err := c.ask(ctx, http.MethodGet, c.path(c.o.ID, q), nil, &page); err != nil {
			return nil, fmt.Errorf("list the platform's backups: %w", err)
		}
		for i := range page.Collection {
			b, err := page.Collection[i].backup()
			if err != nil {
				return nil, fmt.Errorf("list the platform's backups of %s: %w", c.o.Environment, err)
			}
			out = append(out, b)
		}
		if page.ContinuationToken == "" {
			return out, nil
		}
		if page.ContinuationToken == next {
			break
		}
		next = page.ContinuationToken
	}
	return nil, allod.Errorf(allod.Unavailable, "list the platform's backups of %s: the list does not end", c.o.Environment)
}

// Create makes a backup of the present under a label. It can be restored after
// some 10 to 15 minutes (§12.1).
func (c *Client) Create(ctx context.Context, label string) (source.NativeBackup, error) {
	if strings.TrimSpace(label) == "" || len(label) > 200 {
		return source.NativeBackup{}, allod.Errorf(allod.Invalid, "make a backup by the platform: a label of 1 to 200 characters is needed")
	}
	var w wireBackup
	if _, err := c.ask(ctx, http.MethodPost, c.path(c.o.ID, "backups?"+apiVersion), map[string]string{"label": label}, &w); err != nil {
		return source.NativeBackup{}, fmt.Errorf("make a backup by the platform: %w", err)
	}
	return w.backup()
}

// Delete removes a backup that was made by hand.
func (c *Client) Delete(ctx context.Context, id string) error {
	_, err := c.ask(ctx, http.MethodDelete, c.path(c.o.ID, "backups/"+url.PathEscape(id)+"?"+apiVersion), nil, nil)
	if err != nil {
		return fmt.Errorf("delete the platform's backup %s: %w", id, err)
	}
	return nil
}

// Check asks the service whether it would carry the restore out.
func (c *Client) Check(ctx context.Context, o source.NativeRestore) error {
	_, err := c.restore(ctx, o, true)
	return err
}

// Restore overwrites the target with what the environment was, and waits until
// it is done or ctx ends; what was begun goes on without us.
func (c *Client) Restore(ctx context.Context, o source.NativeRestore) error {
	res, err := c.restore(ctx, o, false)
	if err != nil {
		return err
	}
	where := res.Header.Get("Operation-Location")
	if where == "" {
		return allod.WithHint(allod.Errorf(allod.Partial, "restore by the platform: it began, and the service does not say how to follow it"), "look at the target in the Power Platform admin center")
	}
	for {
		if err := c.o.Sleep(ctx, pause(res)); err != nil {
			return allod.WithHint(fmt.Errorf("wait for the platform's restore, which goes on: %w", err), "look at the target in the Power Platform admin center")
		}
		var state struct {
			State       json.RawMessage `json:"state"`
			Status      string          `json:"status"`
			ErrorDetail struct {
				Code string `json:"code"`
			} `json:"errorDetail"`
		}
		if res, err = c.ask(ctx, http.MethodGet, where, nil, &state); err != nil {
			return fmt.Errorf("follow the platform's restore: %w", err)
		}
		switch word := stateOf(state.State, state.Status); word {
		case "succeeded", "completed":
			return nil
		case "failed", "cancelled", "canceled":
			return allod.Errorf(allod.Partial, "restore by the platform: it ended as %s (%s)", word, safeCode(state.ErrorDetail.Code))
		}
	}
}

// stateOf reads the word that stands for the state: the shape is observed, not
// documented (§12.2), so each that was seen is taken.
func stateOf(raw json.RawMessage, status string) string {
	var word string
	var named struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(raw, &word) != nil && json.Unmarshal(raw, &named) == nil {
		word = named.ID
	}
	if word == "" {
		word = status
	}
	return strings.ToLower(word)
}

func pause(res *odataclient.Response) time.Duration {
	d := odataclient.RetryAfter(res.Header.Get("Retry-After"), time.Time{})
	if d <= 0 {
		d = 15 * time.Second
	}
	return min(d, maxWait)
}

func (c *Client) restore(ctx context.Context, o source.NativeRestore, only bool) (*odataclient.Response, error) {
	if o.Target.IsZero() || o.At.IsZero() {
		return nil, allod.Errorf(allod.Invalid, "restore by the platform: a target and a moment are needed")
	}
	options := map[string]any{"skipAuditData": !o.WithAudit}
	if o.Name != "" {
		options["environmentNameToOverride"] = o.Name
	}
	body := map[string]any{
		"sourceEnvironmentId": c.o.ID.String(), "restorePointDateTime": o.At.UTC().Format(time.RFC3339), "restoreOptions": options,
	}
	res, err := c.ask(ctx, http.MethodPost, c.path(o.Target, fmt.Sprintf("restore?ValidateOnly=%t&%s", only, apiVersion)), body, nil)
	if err != nil {
		return nil, fmt.Errorf("restore by the platform: %w", err)
	}
	return res, nil
}

// ask sends a request and reads the answer into out. A refusal names the
// fields that the service objects to.
func (c *Client) ask(ctx context.Context, method, path string, body, out any) (*odataclient.Response, error) {
	r := &odataclient.Request{Method: method, URL: path, Header: http.Header{}, MaxBytes: 16 << 20}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r.Body = b
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := c.client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if out != nil {
		if err := json.Unmarshal([]byte(res.Body), out); err != nil {
			return nil, allod.Errorf(allod.Unavailable, "read the answer of the Power Platform: %w", err)
		}
	}
	return res, nil
}

// safeCode keeps what looks like a code.
func safeCode(s string) string {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '.' {
			return "no readable code"
		}
	}
	if s == "" || len(s) > 80 {
		return "no code"
	}
	return s
}
