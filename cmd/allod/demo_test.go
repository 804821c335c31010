package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"allod/internal/act"
	"allod/internal/cli"
	"allod/internal/demo"
	"allod/internal/durable"
)

// runDemo runs `allod demo --once` with everything real, and meddle between
// the restore and the proof.
func runDemo(t *testing.T, meddle func(ctx context.Context, url string) error) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	deps := cli.Deps{
		Deps: act.Deps{OpenSource: openSource(func(string) string { return "" }), OpenStore: openStore, Now: time.Now, Actor: "os:test", Disk: &durable.Disk{}},
		In:   strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" }, Local: time.UTC,
	}
	deps.Demo = func(ctx context.Context, o cli.DemoOptions) error {
		options := demoOptions(deps, o)
		options.Meddle = meddle
		return demo.Run(ctx, options)
	}
	code = cli.Run(t.Context(), []string{"demo", "--once", "--dir", filepath.Join(t.TempDir(), "demo")}, deps)
	return code, out.String(), errs.String()
}

// The guided tour ends well, in lines of at most 80 columns.
func TestDemo(t *testing.T) {
	code, stdout, stderr := runDemo(t, nil)
	if code != 0 || !strings.Contains(stdout, "Everything is back.") || stderr != "" {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for line := range strings.Lines(stdout) {
		if n := len([]rune(line)) - 1; n > 80 && !strings.Contains(line, t.TempDir()[:8]) {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// One phone number that is not what it was makes the proof fail.
func TestDemoWithAPlantedDifference(t *testing.T) {
	var contact string
	code, stdout, stderr := runDemo(t, func(ctx context.Context, url string) error {
		var page struct {
			Value []struct {
				ID string `json:"contactid"`
			} `json:"value"`
		}
		if err := ask(ctx, http.MethodGet, url+"/api/data/v9.2/contacts?$select=contactid&$top=1", "", &page); err != nil {
			return err
		}
		contact = page.Value[0].ID
		return ask(ctx, http.MethodPatch, url+"/api/data/v9.2/contacts("+contact+")", `{"telephone1": "planted"}`, nil)
	})
	if code != 1 || strings.Contains(stdout, "Everything is back.") || !strings.Contains(stderr, "the company is not what it was") {
		t.Errorf("exit code %d, want 1\n%s%s", code, stdout, stderr)
	}
	if contact == "" || !strings.Contains(stdout, contact) {
		t.Errorf("the contact %q is not named:\n%s", contact, stdout)
	}
}

func ask(ctx context.Context, method, url, body string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer a-person")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s: status %d", method, res.StatusCode)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}
