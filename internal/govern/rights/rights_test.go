package rights

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"allod"
	"allod/internal/govern/approve"
	"allod/internal/vault"
	"allod/internal/vault/keytree"
)

var monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func tag(n byte) vault.RecordTag {
	return vault.RecordTag{Environment: 1, Table: 2, Tag: keytree.Tag{n}}
}

func tags(n int) []vault.RecordTag {
	var out []vault.RecordTag
	for i := range n {
		out = append(out, vault.RecordTag{Environment: 1, Table: 2, Tag: keytree.Tag{byte(i >> 8), byte(i)}})
	}
	return out
}

func TestDecide(t *testing.T) {
	granted, missing := approve.Outcome{Granted: true, Reasons: []string{"two people"}}, approve.Outcome{Missing: []string{"one signature"}}
	asked := Erasure{ID: allod.GUID{1}, Tags: tags(3), Asked: monday}
	with := func(f func(*Erasure)) Erasure { e := asked; f(&e); return e }
	other := func(n int, at time.Time) Erasure { return Erasure{ID: allod.GUID{9}, Tags: tags(n), Committed: at} }
	for _, tc := range []struct {
		what     string
		e        Erasure
		approval approve.Outcome
		all      []Erasure
		held     []string
		now      time.Time
		want     Step
		until    time.Time
	}{
		{what: "not signed", e: asked, approval: missing, now: monday.Add(100 * time.Hour), want: StepApprove},
		{what: "an hour before", e: asked, approval: granted, now: monday.Add(71 * time.Hour), want: StepWait, until: monday.Add(72 * time.Hour)},
		{what: "due", e: asked, approval: granted, now: monday.Add(72 * time.Hour), want: StepErase},
		{what: "urgent", e: with(func(e *Erasure) { e.Urgent = true }), approval: granted, now: monday, want: StepErase},
		{what: "urgent, not signed", e: with(func(e *Erasure) { e.Urgent = true }), approval: missing, now: monday, want: StepApprove},
		{what: "held", e: with(func(e *Erasure) { e.Urgent = true }), approval: granted, held: []string{"litigation 7"}, now: monday, want: StepWait},
		{what: "taken back", e: with(func(e *Erasure) { e.Cancelled = monday }), approval: granted, now: monday.Add(100 * time.Hour), want: StepNone},
		{what: "committed", e: with(func(e *Erasure) { e.Committed = monday }), approval: missing, now: monday, want: StepDestroy},
		{what: "final", e: with(func(e *Erasure) { e.Committed, e.Final = monday, monday }), now: monday, want: StepNone},
		{
			what: "over the cap", e: asked, approval: granted, all: []Erasure{other(998, monday.Add(79*time.Hour))}, now: monday.Add(80 * time.Hour),
			want: StepWait, until: monday.Add(103 * time.Hour),
		},
		{what: "within the cap", e: asked, approval: granted, all: []Erasure{other(997, monday.Add(79*time.Hour))}, now: monday.Add(80 * time.Hour), want: StepErase},
		{what: "another day", e: asked, approval: granted, all: []Erasure{other(998, monday)}, now: monday.Add(80 * time.Hour), want: StepErase},
		{what: "larger than the cap, alone", e: with(func(e *Erasure) { e.Tags = tags(1500) }), approval: granted, now: monday.Add(80 * time.Hour), want: StepErase},
	} {
		got := Decide(&tc.e, tc.approval, tc.all, tc.held, tc.now)
		if got.Step != tc.want || !got.Until.Equal(tc.until) || len(got.Reasons) == 0 {
			t.Errorf("%s: got %+v, want %s until %s, with a reason", tc.what, got, tc.want, tc.until)
		}
	}
}

// TestDecideNeverErasesTooEarly asks any erasure at any time: nothing is erased
// that is held, taken back, not signed, or, unless urgent, younger than the wait.
func TestDecideNeverErasesTooEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours := func(what string) time.Duration {
			return time.Duration(rapid.IntRange(0, 200).Draw(t, what)) * time.Hour
		}
		e := Erasure{ID: allod.GUID{1}, Tags: tags(rapid.IntRange(1, 1200).Draw(t, "records")), Asked: monday, Urgent: rapid.Bool().Draw(t, "urgent")}
		if rapid.Bool().Draw(t, "cancelled") {
			e.Cancelled = monday.Add(hours("cancelled at"))
		}
		var all []Erasure
		for i := range rapid.IntRange(0, 4).Draw(t, "others") {
			all = append(all, Erasure{ID: allod.GUID{byte(i + 2)}, Tags: tags(rapid.IntRange(1, 600).Draw(t, "their records")), Committed: monday.Add(hours("committed"))})
		}
		var held []string
		if rapid.Bool().Draw(t, "held") {
			held = []string{"a hold"}
		}
		now := monday.Add(hours("now"))
		approval := approve.Outcome{Granted: rapid.Bool().Draw(t, "granted")}
		d := Decide(&e, approval, all, held, now)
		if d.Step == StepErase && (!approval.Granted || len(held) > 0 || !e.Cancelled.IsZero() || !e.Urgent && now.Sub(e.Asked) < Wait) {
			t.Fatalf("got %+v", d)
		}
		if d.Step == StepWait && !d.Until.IsZero() && !d.Until.After(now) {
			t.Fatalf("waits until %s, which is over at %s", d.Until, now)
		}
		if d.Step == StepWait && !d.Until.IsZero() {
			if again := Decide(&e, approval, all, held, d.Until); again.Step != StepErase && !again.Until.After(d.Until) {
				t.Fatalf("at the end of the wait: got %+v", again)
			}
		}
	})
}

func TestHiddenAndDigest(t *testing.T) {
	all := []Erasure{
		{ID: allod.GUID{1}, Tags: []vault.RecordTag{tag(3), tag(1)}},
		{ID: allod.GUID{2}, Tags: []vault.RecordTag{tag(1), tag(2)}},
		{ID: allod.GUID{3}, Tags: []vault.RecordTag{tag(7)}, Cancelled: monday},
		{ID: allod.GUID{4}, Tags: []vault.RecordTag{tag(8)}, Committed: monday},
	}
	if got, want := Hidden(all), []vault.RecordTag{tag(1), tag(2), tag(3)}; !slices.Equal(got, want) {
		t.Errorf("hidden: got %v, want %v", got, want)
	}
	if got := Pending(append(all, Erasure{Committed: monday, Final: monday})); got != 1 {
		t.Errorf("pending: got %d, want 1", got)
	}
	seen := map[string]string{}
	for _, e := range []Erasure{
		all[0], all[1],
		{ID: allod.GUID{1}, Tags: all[0].Tags, Past: true},
		{ID: allod.GUID{1}, Tags: all[0].Tags, Urgent: true},
		{ID: allod.GUID{1}, Tags: all[0].Tags[:1]},
	} {
		d, err := e.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if was, ok := seen[d.String()]; ok {
			t.Errorf("digest of %+v: the same as of %s", e, was)
		}
		seen[d.String()] = fmt.Sprintf("%+v", e)
	}
	turned := Erasure{ID: allod.GUID{1}, Tags: []vault.RecordTag{tag(1), tag(3), tag(1)}}
	a, _ := all[0].Digest()
	if b, err := turned.Digest(); err != nil || a != b {
		t.Errorf("another order: got %s, %v, want %s", b, err, a)
	}
}
