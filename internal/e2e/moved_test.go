package e2e_test

import (
	"net/http"
	"testing"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
)

// An environment that got another address is the same environment: `allod connect
// --same-as` goes on with its tokens, on the same line (design/capture.md).
func TestMovedEnvironmentGoesOn(t *testing.T) {
	s := newScene(t, nil)
	moved := serve(t, s.co.server)
	if _, err := s.desk.Connect(t.Context(), "demo", act.Connection{Kind: "dataverse", URL: moved.url}); allod.KindOf(err) != allod.Conflict {
		t.Fatalf("without a word: got %v, want Conflict", err)
	}
	if _, err := s.desk.Connect(t.Context(), "demo", act.Connection{Kind: "dataverse", URL: moved.url, SameAs: "demo"}); err != nil {
		t.Fatal(err)
	}
	moved.call(http.MethodPost, "accounts", map[string]any{"name": "made at the new address"})
	res := s.desk.backup("demo", capture.Options{})
	if res.Line != s.first.Line || !res.Complete || res.Partial() {
		t.Errorf("line %d, was %d: %q; gaps %+v", res.Line, s.first.Line, res.LineReason, res.Gaps)
	}
	for _, m := range res.PerTable {
		if m.Table == "account" && (m.State != allod.TableDelta || m.Created != 1) {
			t.Errorf("accounts: %s with %d new rows, want what changed, 1", m.State, m.Created)
		}
	}
}
