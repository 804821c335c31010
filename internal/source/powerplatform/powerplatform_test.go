package powerplatform

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/source"
)

func serving(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *Client {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(h.Close)
	c, err := New(Options{Environment: "prod", ID: allod.GUID{1}, URL: h.URL, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const one = `{"id":"b1","label":"l","backupPointDateTime":"2025-01-01T10:00:00Z","backupExpiryDateTime":"2025-01-29T10:00:00Z","createdBy":{"type":"User"}}`

// What a service says is never believed: lists that do not end, times that are
// none, bodies that are no JSON, an operation on another host.
func TestHostileAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		kind allod.Kind
	}{
		"the same continuation for ever": {`{"collection":[` + one + `],"continuationToken":"again"}`, allod.Unavailable},
		"no time":                        {`{"collection":[{"id":"b1","backupPointDateTime":"yesterday"}]}`, allod.Invalid},
		"no id":                          {strings.Replace(`{"collection":[`+one+`]}`, `"b1"`, `""`, 1), allod.Invalid},
		"no JSON":                        {`{"collection":[`, allod.Unavailable},
		"a web page":                     {`<html>sign in</html>`, allod.Unavailable},
	} {
		client := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.body)) })
		if _, err := client.List(t.Context()); allod.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	elsewhere := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Operation-Location", "https://elsewhere.test/operation")
		w.WriteHeader(http.StatusAccepted)
	})
	if err := elsewhere.Restore(t.Context(), source.NativeRestore{Target: allod.GUID{2}, At: time.Unix(1, 0)}); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("an operation on another host: %v", err)
	}
}

// Each shape of an operation that was seen is understood.
func TestOperationStates(t *testing.T) {
	for body, want := range map[string]allod.Kind{
		`{"state":"Succeeded"}`:                                        0,
		`{"status":"Succeeded"}`:                                       0,
		`{"state":{"id":"Succeeded"}}`:                                 0,
		`{"state":{"id":"Failed"},"errorDetail":{"code":"NoRoom"}}`:    allod.Partial,
		`{"status":"Cancelled","errorDetail":{"code":"a <b> secret"}}`: allod.Partial,
	} {
		asked := 0
		c := serving(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				w.Header().Set("Operation-Location", "http://"+r.Host+"/op")
				w.WriteHeader(http.StatusAccepted)
				return
			}
			if asked++; asked == 1 {
				_, _ = w.Write([]byte(`{"state":"Running"}`))
				return
			}
			_, _ = w.Write([]byte(body))
		})
		err := c.Restore(t.Context(), source.NativeRestore{Target: allod.GUID{2}, At: time.Unix(1, 0)})
		if want == 0 && err != nil || want != 0 && allod.KindOf(err) != want || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", body, err)
		}
		if asked != 2 {
			t.Errorf("%s: asked %d times", body, asked)
		}
	}
	silent := serving(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	if err := silent.Restore(t.Context(), source.NativeRestore{Target: allod.GUID{2}, At: time.Unix(1, 0)}); allod.KindOf(err) != allod.Partial {
		t.Errorf("no operation is named: %v", err)
	}
}
