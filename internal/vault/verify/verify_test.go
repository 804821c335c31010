package verify

import (
	"context"
	"errors"
	"testing"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/ledger"
	"allod/internal/vault/journal"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

// Whole vaults are damaged and verified in package vault: byte by byte in
// flip_test.go, object by object in TestMissingObjects.

// TestFindings tells what is wrong with bytes from what stops the check.
func TestFindings(t *testing.T) {
	for _, tc := range []struct {
		what string
		err  error
		kind string // of the finding; "" = none
		stop bool
	}{
		{"nothing", nil, "", false},
		{"damage", allod.Errorf(allod.Corrupt, "read a: no"), "corrupt", false},
		{"a newer form", allod.Errorf(allod.Invalid, "read a: no"), "corrupt", false},
		{"no object", allod.Errorf(allod.NotFound, "read a: %w", blob.ErrNotFound), "missing", false},
		{"no object that the log names", object.Missing("a", blob.ErrNotFound), "missing", false},
		{"a store that is away", allod.Errorf(allod.Unavailable, "read a: no"), "", true},
		{"an interruption", context.Canceled, "", true},
	} {
		c := &check{}
		err := c.bad("a", tc.err)
		got := ""
		if len(c.Bad) > 0 {
			got = c.Bad[0].Kind
		}
		if got != tc.kind || (err != nil) != tc.stop || tc.stop && !errors.Is(err, tc.err) {
			t.Errorf("%s: got a finding of kind %q and error %v, want %q, %v", tc.what, got, err, tc.kind, tc.stop)
		}
	}
}

func TestObjectOf(t *testing.T) {
	for text, want := range map[string]string{
		"packs/00ff: it is missing":     "packs/00ff",
		"read a row: packs/00ff: wrong": "log/1",
		"no object":                     "log/1",
		"":                              "log/1",
	} {
		if got := objectOf(errors.New(text), "log/1"); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestLedgerSeen(t *testing.T) {
	at := func(size int64, hash byte) *journal.Entry {
		return &journal.Entry{Entry: vlog.Entry{Ledger: vlog.LedgerRoot{Size: size, Hash: vlog.Digest{hash}}}}
	}
	if got := LedgerSeen([]*journal.Entry{at(3, 3), at(5, 5), at(4, 4), at(0, 0)}); got.Size != 5 || got.Hash[0] != 5 {
		t.Errorf("got %+v, want the largest", got)
	}
	if got := LedgerSeen(nil); got != (ledger.Head{}) {
		t.Errorf("of no entries: got %+v", got)
	}
}

// TestEmptyStore verifies a target whose store holds nothing, and one whose
// store has what no log names.
func TestEmptyStore(t *testing.T) {
	s := mem.New(mem.Options{})
	target := Target{Store: s, Log: journal.New(s, vlog.Pin{})}
	if err := object.Put(t.Context(), s, "packs/left-behind", []byte("x")); err != nil {
		t.Fatal(err)
	}
	rep, err := Run(t.Context(), target, Options{Public: true})
	if err != nil || len(rep.Bad) != 1 || rep.Bad[0].Object != vlog.VaultName || rep.Bad[0].Kind != "missing" {
		t.Errorf("got %+v, %v, want the vault object missing", rep, err)
	}
	if rep.Orphans != 1 || len(rep.OrphanNames) != 1 || rep.OrphanNames[0] != "packs/left-behind" {
		t.Errorf("orphans: got %+v", rep)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, target, Options{Public: true}); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("interrupted: got %v, want kind unavailable", err)
	}
}
