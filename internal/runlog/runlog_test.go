package runlog

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/ledger"
)

func openLedger(t *testing.T, now func() time.Time) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Config{Store: mem.New(mem.Options{}), Vault: allod.GUID{1}, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestNewest(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	l := openLedger(t, func() time.Time { return now })
	prod, gone := l.Opaque("environment", "prod"), l.Opaque("environment", "gone")
	add := func(kind ledger.Kind, session, env, action, effect string, counts map[string]int64) {
		t.Helper()
		now = now.Add(time.Minute)
		e := ledger.Entry{Kind: kind, Session: session, Actor: l.Opaque("actor", "os:me"), Environment: env, Action: action, Effect: effect, Counts: counts}
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(session, env, action string) { add(ledger.KindDecision, session, env, action, "allow", nil) }
	act := func(session, env, action string, counts map[string]int64) {
		add(ledger.KindAct, session, env, action, "", counts)
	}
	begin("0a", prod, "capture")
	act("0a", prod, Captured, map[string]int64{"rows": 7})
	begin("0b", gone, "capture")
	begin("0c", prod, "read") // somebody looks
	act("0b", gone, Captured, map[string]int64{"rows": 9, Open: 2})
	act("0c", prod, "rows-shown", map[string]int64{"rows": 1})
	begin("0d", "", "verify")
	act("0d", "", Verified, map[string]int64{Bad: 1})
	begin("0e", prod, "capture")
	act("0e", prod, Captured, map[string]int64{"rows": 8})
	act("0e", prod, Failed, map[string]int64{KindOf: int64(allod.Unavailable)})
	begin("0f", prod, "capture")
	act("0f", prod, Interrupted, nil)
	add(ledger.KindDecision, "1a", prod, "capture", "deny", nil)
	begin("1b", "", "verify")
	act("1b", "", Failed, map[string]int64{KindOf: 77})
	begin("1c", prod, "capture")

	at := func(minutes int) time.Time {
		return time.Date(2026, 11, 21, 10, minutes, 0, 0, time.UTC)
	}
	want := []Run{
		{Backup, "prod", at(17), time.Time{}, Unfinished, 0, "", nil},
		{Verify, "", at(15), at(16), Broken, allod.Internal, "internal", nil},
		{Backup, "prod", at(14), at(14), Broken, allod.Denied, "denied", nil},
		{Backup, "prod", at(12), at(13), Stopped, 0, "", nil},
		{Backup, "prod", at(9), at(11), Broken, allod.Unavailable, "unavailable", map[string]int64{"rows": 8}},
		{Verify, "", at(7), at(8), Broken, allod.Corrupt, "corrupt", map[string]int64{Bad: 1}},
		{Backup, "", at(3), at(5), Partial, 0, "", map[string]int64{"rows": 9, Open: 2}},
		{Backup, "prod", at(1), at(2), Done, 0, "", map[string]int64{"rows": 7}},
	}
	var got []Run
	for r, err := range Newest(t.Context(), l, []string{"prod"}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// Many entries later, those before a moment are not looked for any more.
	for range older {
		begin("2a", prod, "read")
	}
	for r, err := range Newest(t.Context(), l, []string{"prod"}, now.Add(time.Second)) {
		t.Errorf("after all of them: %+v, %v", r, err)
	}
}

// A past ends with a restore by the platform that was asked for behind the newest
// capture that committed something, in the order of the ledger.
func TestPutBack(t *testing.T) {
	for _, c := range []struct {
		name, entries string // d, c: a capture is begun and commits; r: a restore; o: another environment's restore
		want          bool
	}{
		{"no restore", "dc", false},
		{"restored behind the capture", "dcr", true},
		{"captured again", "dcrdc", false},
		{"an attempt that committed nothing", "dcrd", true},
		{"restored while it was captured", "drc", true},
		{"another environment", "dco", false},
		{"never captured", "r", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
			l := openLedger(t, func() time.Time { return now })
			prod, other := l.Opaque("environment", "prod"), l.Opaque("environment", "other")
			session := "00"
			for i, r := range c.entries {
				e := ledger.Entry{Kind: ledger.KindAct, Session: session, Actor: l.Opaque("actor", "os:me"), Environment: prod, Action: Restoring}
				switch r {
				case 'd':
					session = fmt.Sprintf("%02x", i+1)
					e.Kind, e.Session, e.Action, e.Effect = ledger.KindDecision, session, "capture", "allow"
				case 'c':
					e.Action = Captured
				case 'o':
					e.Environment = other
				}
				if _, err := l.Append(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			why, err := PutBack(t.Context(), l, "prod", now)
			if err != nil || (why != "") != c.want {
				t.Errorf("%q: got %q, %v", c.entries, why, err)
			}
		})
	}
}
