package s3_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/blob/s3"
	"allod/internal/capture"
	"allod/internal/durable"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/history"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/vault/verify"
)

// company is a running emulator.
type company struct {
	t   *testing.T
	url string
}

func startCompany(t *testing.T) *company {
	t.Helper()
	model, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	server, err := emu.New(emu.Options{Model: model, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sample.Load(model, server.Store(), sample.Options{Seed: 1, Scale: 1}); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	t.Cleanup(h.Close)
	return &company{t, h.URL}
}

// call sends a request to the company, below the service root.
func (c *company) call(method, path string, body any) map[string]any {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+"/api/data/v9.2/"+strings.ReplaceAll(path, " ", "%20"), bytes.NewReader(raw))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer test")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		c.t.Fatalf("%s %s: status %d, %v", method, path, res.StatusCode, err)
	}
	out := map[string]any{}
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &out); err != nil {
			c.t.Fatal(err)
		}
	}
	return out
}

// changeAccounts makes one account and changes n others, so that the next
// backup has something to store.
func (c *company) changeAccounts(what string, n int) {
	c.t.Helper()
	c.call("POST", "accounts", map[string]any{"name": "A new one, " + what})
	for _, row := range c.call("GET", "accounts?$select=accountid&$top=200", nil)["value"].([]any)[:n] {
		c.call("PATCH", "accounts("+row.(map[string]any)["accountid"].(string)+")", map[string]any{"description": what})
	}
}

// desk is an open Allod whose vault lies in S3.
type desk struct {
	*act.Office
	t    *testing.T
	dir  string
	deps act.Deps
}

// deps is what the Allods of these tests run with; wrap, if not nil, stands
// before every bucket.
func deps(attempts int, wrap func(*s3.Store) blob.Mutable) act.Deps {
	return act.Deps{
		OpenSource: func(_ context.Context, env string, c act.Connection) (source.Source, error) {
			return dataverse.New(dataverse.Options{Environment: env, URL: c.URL})
		},
		OpenStore: func(ctx context.Context, path string, create bool) (blob.Mutable, error) {
			switch {
			case strings.HasPrefix(path, "s3://"):
				s, err := s3.Open(ctx, path, s3.Options{Attempts: attempts})
				if err != nil || wrap == nil {
					return s, err
				}
				return wrap(s), nil
			case create:
				return file.Create(path, file.Options{})
			}
			return file.Open(path, file.Options{})
		},
		Now: time.Now, Actor: "test", Disk: &durable.Disk{},
	}
}

// newDesk makes an Allod with these places and two environments of a company.
func newDesk(t *testing.T, co *company, d act.Deps, store string, slots ...string) *desk {
	t.Helper()
	k := &desk{t: t, dir: filepath.Join(t.TempDir(), "allod"), deps: d}
	if _, err := act.Init(t.Context(), k.dir, act.InitOptions{Key: "file:test.key", Store: store, Slots: slots}, d); err != nil {
		t.Fatal(err)
	}
	k.open()
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, env := range []string{"one", "two"} {
		if _, err := k.Connect(t.Context(), env, act.Connection{Kind: "dataverse", URL: co.url}); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func (k *desk) open() {
	k.t.Helper()
	var err error
	if k.Office, err = act.Open(k.t.Context(), k.dir, k.deps); err != nil {
		k.t.Fatal(err)
	}
}

func (k *desk) reopen() {
	k.t.Helper()
	if err := k.Close(); err != nil {
		k.t.Fatal(err)
	}
	k.open()
}

// few is a backup of two tables: the tests are about the store.
func few() capture.Options { return capture.Options{Tables: []string{"account", "contact"}} }

func (k *desk) backup(env string) *capture.Result {
	k.t.Helper()
	res, err := k.Backup(k.t.Context(), env, few())
	if err != nil {
		k.t.Fatal(err)
	}
	return res
}

// wantLive fails unless the newest snapshot holds what the company has.
func (k *desk) wantLive(env string) {
	k.t.Helper()
	diff, err := k.Compare(k.t.Context(), act.Moment{Environment: env}, act.Moment{Environment: env, Live: true}, history.Options{Tables: few().Tables})
	if err != nil {
		k.t.Fatal(err)
	}
	if !diff.Same() {
		k.t.Errorf("%s: the newest snapshot and the company differ: %d added, %d removed, %d changed", env, diff.Added, diff.Removed, diff.Changed)
	}
}

// verify opens everything that is stored.
func (k *desk) verify() []verify.Bad {
	k.t.Helper()
	rep, err := k.Verify(k.t.Context(), verify.Options{Sample: 1})
	if err != nil && (allod.KindOf(err) != allod.Corrupt || len(rep.Bad) == 0) {
		k.t.Fatal(err)
	}
	if rep.Rows == 0 {
		k.t.Errorf("verify opened no row")
	}
	return rep.Bad
}

func read(ctx context.Context, s blob.Store, name string) ([]byte, error) {
	r, err := s.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}
