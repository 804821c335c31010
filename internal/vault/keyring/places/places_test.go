package places

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod"
)

var now = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func TestCheckLock(t *testing.T) {
	tests := []struct {
		g, l int
		gdpr bool
		want allod.Kind
	}{
		{g: 0, gdpr: true},
		{g: 14, gdpr: true},
		{g: 25, gdpr: true},
		{g: 20, l: 5, gdpr: true},
		{g: 26, gdpr: true, want: allod.Invalid},
		{g: 20, l: 6, gdpr: true, want: allod.Invalid},
		{g: 26},
		{g: 400, l: 7},
		{g: -1, want: allod.Invalid},
		{l: -1, want: allod.Invalid},
		{g: maxLock + 1, want: allod.Invalid},
	}
	for _, tt := range tests {
		err := CheckLock(tt.g, tt.l, tt.gdpr)
		if tt.want == 0 && err != nil || tt.want != 0 && allod.KindOf(err) != tt.want {
			t.Errorf("lock %d, latency %d, GDPR %v: got %v, want %v", tt.g, tt.l, tt.gdpr, err, tt.want)
		}
	}
}

func TestFinal(t *testing.T) {
	local := time.Date(2026, 11, 21, 12, 0, 0, 0, time.FixedZone("", 7200))
	tests := []struct {
		g, l    int
		want    time.Time
		reasons int
	}{
		{0, 0, now, 0}, {14, 0, now.AddDate(0, 0, 14), 1}, {14, 7, now.AddDate(0, 0, 21), 2}, {0, 1, now.AddDate(0, 0, 1), 1}, {-3, -1, now, 0},
	}
	for _, tt := range tests {
		got, reasons := Final(local, tt.g, tt.l)
		if !got.Equal(tt.want) || got.Location() != time.UTC || len(reasons) != tt.reasons {
			t.Errorf("lock %d, latency %d: got %s, %q, want %s with %d reasons", tt.g, tt.l, got, reasons, tt.want, tt.reasons)
		}
	}
}

func TestStates(t *testing.T) {
	tests := []struct {
		name string
		p    Place
		want State
	}{
		{"slots rotated", Place{Kind: Slots, Keys: true, Epoch: 3, Oldest: 3}, Rotated},
		{"slots, later epoch", Place{Kind: Slots, Keys: true, Epoch: 4, Oldest: 4}, Rotated},
		{"slots, old ones left", Place{Kind: Slots, Keys: true, Epoch: 3, Oldest: 2}, Waiting},
		{"slots behind", Place{Kind: Slots, Keys: true, Epoch: 2, Oldest: 2}, Behind},
		{"slots unreachable", Place{Kind: Slots, Keys: true, Epoch: 3, Oldest: 3, Lost: "no answer"}, Unreachable},
		{"slots, nobody looked", Place{Kind: Slots, Keys: true, Epoch: 3}, Unreachable},
		{"store", Place{Kind: Store}, NoKeys},
		{"copy of packs", Place{Kind: Copy, Lost: "offline"}, NoKeys},
		{"copy of slots", Place{Kind: Copy, Keys: true, Epoch: 2}, Behind},
		{"exported before", Place{Kind: Exported, Keys: true, Epoch: 2}, Behind},
		{"exported since", Place{Kind: Exported, Keys: true, Epoch: 3}, Rotated},
		{"exported, declared", Place{Kind: Exported, Keys: true, Epoch: 2, Destroyed: &Declaration{By: "os:anna", At: now}}, Destroyed},
		{"worker of before", Place{Kind: Worker, Keys: true, Epoch: 2, Lease: now.Add(time.Minute)}, Waiting},
		{"worker, lease over", Place{Kind: Worker, Keys: true, Epoch: 2, Lease: now}, Ended},
		{"worker of now", Place{Kind: Worker, Keys: true, Epoch: 3, Lease: now.Add(time.Minute)}, Rotated},
		{"worker without a lease", Place{Kind: Worker, Keys: true, Epoch: 2}, Unreachable},
	}
	for _, tt := range tests {
		if got := tt.p.StateOf(3, now); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPending(t *testing.T) {
	all := []Place{
		{Name: "stick", Kind: Exported, Keys: true, Epoch: 1},
		{Name: "bucket", Kind: Slots, Keys: true, Epoch: 3, Oldest: 2, Locked: now.AddDate(0, 0, 3)},
		{Name: "folder", Kind: Slots, Keys: true, Epoch: 3, Oldest: 2},
		{Name: "store", Kind: Store},
		{Name: "worker-1", Kind: Worker, Keys: true, Epoch: 2, Lease: now.Add(time.Minute)},
	}
	var names []string
	until := map[string]time.Time{}
	for _, item := range Pending(3, all, now) {
		names, until[item.Place] = append(names, item.Place), item.Until
		if item.Next == "" || !item.State.Pending() {
			t.Errorf("%s, %s: nothing to do about it", item.Place, item.State)
		}
	}
	if want := []string{"bucket", "folder", "stick", "worker-1"}; !cmp.Equal(names, want) {
		t.Errorf("pending: %q, want %q", names, want)
	}
	want := map[string]time.Time{"bucket": now.AddDate(0, 0, 3), "folder": {}, "stick": {}, "worker-1": now.Add(time.Minute)}
	if !cmp.Equal(until, want) {
		t.Errorf("until %v, want %v", until, want)
	}
}

// A place that has keys from before the epoch keeps the erasure pending, unless
// somebody declared it destroyed or it is a worker whose lease has ended.
func TestNothingIsForgotten(t *testing.T) {
	kinds := []Kind{Slots, Store, Copy, Worker, Exported}
	rapid.Check(t, func(t *rapid.T) {
		p := Place{
			Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Keys: true, Epoch: rapid.Uint64Range(0, 5).Draw(t, "epoch"), Oldest: rapid.Uint64Range(0, 5).Draw(t, "oldest"),
			Lease: now.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "lease")) * time.Minute),
		}
		if rapid.Bool().Draw(t, "lost") {
			p.Lost = "no answer"
		}
		epoch := rapid.Uint64Range(1, 5).Draw(t, "after")
		older := p.Epoch < epoch
		if p.Kind == Slots || p.Kind == Store {
			older = p.Oldest < epoch
		}
		if s := p.StateOf(epoch, now); older && !s.Pending() && (p.Kind != Worker || now.Before(p.Lease)) {
			t.Fatalf("%+v has keys from before epoch %d and is %q", p, epoch, s)
		}
	})
}

func TestCheck(t *testing.T) {
	for name, p := range map[string]Place{"name": {Name: "A place", Kind: Copy}, "kind": {Name: "a", Kind: "cellar"}, "note": {Name: "a", Kind: Copy, Note: string(make([]byte, 1001))}} {
		if err := p.Check(); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want Invalid", name, err)
		}
	}
	if err := (Place{Name: "safe-2", Kind: Exported, Keys: true}).Check(); err != nil {
		t.Error(err)
	}
}
