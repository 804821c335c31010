package place_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/blob/place"
)

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		name string
		f    blob.Facts
		want place.Verdict
	}{
		{
			"folder",
			blob.Facts{Versions: blob.KeepsNone, Unread: []blob.Unread{{What: "snapshots", Why: "who knows"}}},
			place.Verdict{Erasable: true, Reasons: []string{"it keeps no versions: what is deleted is gone"}, NotKnown: []string{"snapshots: who knows"}},
		},
		{
			"versions and locks",
			blob.Facts{Versions: blob.KeepsAll, Locks: true},
			place.Verdict{Erasable: true, Reasons: []string{"it keeps versions; they are deleted by their ids"}},
		},
		{
			"suspended, soft delete",
			blob.Facts{Versions: blob.KeepsSuspended, SoftDeleteDays: 7},
			place.Verdict{Erasable: true, LatencyDays: 7, Reasons: []string{"it keeps versions; they are deleted by their ids", "what is deleted can be brought back for 7 days, which are counted"}},
		},
		{
			"default retention",
			blob.Facts{Versions: blob.KeepsAll, Locks: true, DefaultLock: "compliance", DefaultLockDays: 30, SoftDeleteDays: 7},
			place.Verdict{LatencyDays: 37, Reasons: []string{"it keeps versions; they are deleted by their ids", "every new object is locked for 30 days (compliance): a slot could not be destroyed before", "what is deleted can be brought back for 7 days, which are counted"}},
		},
		{
			"replication",
			blob.Facts{Versions: blob.KeepsAll, Copies: []string{"x", "y"}},
			place.Verdict{LatencyDays: -1, Reasons: []string{"it keeps versions; they are deleted by their ids", "it copies objects to x, y, where deleting a version here deletes nothing"}},
		},
		{
			"not told",
			blob.Facts{Versions: blob.KeepsAll, Unread: []blob.Unread{{What: "replication", Why: "no right", Refused: true}}},
			place.Verdict{LatencyDays: -1, Reasons: []string{"its replication could not be read: no right", "it keeps versions; they are deleted by their ids"}},
		},
		{"nothing known", blob.Facts{Versions: blob.KeepsUnknown}, place.Verdict{LatencyDays: -1, Reasons: []string{"it does not say whether it keeps versions"}}},
		{"zero", blob.Facts{}, place.Verdict{LatencyDays: -1, Reasons: []string{"it does not say whether it keeps versions"}}},
		{
			"expiry",
			blob.Facts{Versions: blob.KeepsNone, Rules: []blob.Rule{{Name: "all", Current: true, Days: 3}, {Name: "old", Days: 3}}},
			place.Verdict{Erasable: true, Reasons: []string{"it keeps no versions: what is deleted is gone"}, Warnings: []string{`the lifecycle rule "all" deletes current objects by itself: it would delete slots in use, and with the last of them the vault`}},
		},
	} {
		for _, list := range []*[]string{&tc.want.Warnings, &tc.want.NotKnown} {
			if *list == nil {
				*list = []string{}
			}
		}
		if d := cmp.Diff(tc.want, place.Judge(tc.f)); d != "" {
			t.Errorf("%s: -want +got\n%s", tc.name, d)
		}
	}
}

// TestJudgeNeverTrustsTooMuch: a place that copies, locks, or does not tell is
// never called erasable, and one whose latency is not known neither.
func TestJudgeNeverTrustsTooMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := blob.Facts{
			Versions:        rapid.SampledFrom([]blob.Keeping{blob.KeepsNone, blob.KeepsAll, blob.KeepsSuspended, blob.KeepsUnknown, "other"}).Draw(t, "versions"),
			DefaultLockDays: rapid.IntRange(0, 3).Draw(t, "lock"),
			SoftDeleteDays:  rapid.IntRange(0, 3).Draw(t, "soft"),
			Copies:          rapid.SliceOfN(rapid.Just("x"), 0, 2).Draw(t, "copies"),
		}
		refused := rapid.Bool().Draw(t, "refused")
		f.Unread = []blob.Unread{{What: "replication", Why: "because", Refused: refused}}
		v := place.Judge(f)
		told := f.Versions == blob.KeepsNone || f.Versions == blob.KeepsAll || f.Versions == blob.KeepsSuspended
		want := told && !refused && f.DefaultLockDays == 0 && len(f.Copies) == 0
		if v.Erasable != want {
			t.Fatalf("%+v: erasable %v, want %v", f, v.Erasable, want)
		}
		days := -1
		if told && !refused && len(f.Copies) == 0 {
			days = f.DefaultLockDays + f.SoftDeleteDays
		}
		if v.LatencyDays != days || len(v.Reasons) == 0 {
			t.Fatalf("%+v: latency %d, want %d; reasons %q", f, v.LatencyDays, days, v.Reasons)
		}
	})
}

// hides is a versioned store whose Delete only hides, as a client that knows
// nothing of versions would.
type hides struct{ *mem.Store }

func (h hides) Delete(ctx context.Context, name string) error { return h.Hide(ctx, name) }

// lockedByDefault locks every object that is put.
type lockedByDefault struct{ *mem.Store }

func (l lockedByDefault) Replace(ctx context.Context, name string, data []byte) error {
	return errors.Join(l.Store.Replace(ctx, name, data), l.Lock(ctx, name, time.Now().Add(time.Hour)))
}

func TestAccept(t *testing.T) {
	versioned := func() *mem.Store { return mem.New(mem.Options{Versions: true}) }
	for _, tc := range []struct {
		name  string
		place blob.Mutable
		want  string // in the error; "" = accepted
	}{
		{"plain", mem.New(mem.Options{}), ""},
		{"versions", versioned(), ""},
		{"copies", mem.New(mem.Options{Facts: blob.Facts{Copies: []string{"elsewhere"}}}), "copies objects to elsewhere"},
		{"delete hides", hides{versioned()}, "versions of it are left"},
		{"secretly locked", lockedByDefault{versioned()}, "locked against deletion"},
		{"says nothing", struct{ blob.Mutable }{versioned()}, "does not say whether it keeps versions"},
	} {
		err := place.Accept(t.Context(), tc.place, "there")
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			for info := range tc.place.List(t.Context(), "") {
				t.Errorf("%s: %s is left", tc.name, info.Name)
			}
			continue
		}
		if allod.KindOf(err) != allod.Invalid || !strings.Contains(err.Error(), tc.want) || !strings.Contains(allod.HintOf(err), "--accept-slot-history") {
			t.Errorf("%s: %v (kind %v, hint %q), want invalid: %s", tc.name, err, allod.KindOf(err), allod.HintOf(err), tc.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := place.Accept(ctx, versioned(), "there"); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a place that cannot be asked: %v, want unavailable", err)
	}
}
