package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
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

// A copy of Allod that lags behind goes on where it was: what the other one read
// since is changes to it, since the tokens lie in the log beside the rows that
// they came with (design/capture.md, delta tokens).
func TestLaggingCopyMissesNothing(t *testing.T) {
	integration(t)
	s := newScene(t, nil)
	lost := newID().String()
	s.co.call(http.MethodPost, "accounts", map[string]any{"accountid": lost, "name": "made before the copy"})
	s.desk.backup("demo", capture.Options{})
	if err := s.desk.Close(); err != nil {
		t.Fatal(err)
	}
	older := *s.desk
	older.dir = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(older.dir, os.DirFS(s.desk.dir)); err != nil {
		t.Fatal(err)
	}
	s.desk.Office = nil
	s.desk.reopen()
	s.co.call(http.MethodPost, "accounts", map[string]any{"name": "the other one alone has read this"})
	s.co.call(http.MethodDelete, "accounts("+lost+")", nil)
	s.desk.backup("demo", capture.Options{})

	older.Office = nil
	older.reopen()
	t.Cleanup(func() {
		if err := older.Close(); err != nil {
			t.Error(err)
		}
	})
	s.co.call(http.MethodPost, "accounts", map[string]any{"name": "made since"})
	res := older.backup("demo", capture.Options{})
	for _, m := range res.PerTable {
		if m.Table == "account" && (m.State != allod.TableDelta || m.Created != 2 || m.Deleted != 1) {
			t.Errorf("accounts: %s with %d new and %d deleted, want 2 and 1 of what changed since the copy", m.State, m.Created, m.Deleted)
		}
	}
	if res.Line != 1 || res.Partial() {
		t.Errorf("line %d (%s), gaps %+v", res.Line, res.LineReason, res.Gaps)
	}
}
