package audit

import (
	"testing"
	"time"

	"allod"
)

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2026-11-20": time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), "2026-11-20T10:00Z": time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC),
		"2026-11-20T10:00:05+01:00": time.Date(2026, 11, 20, 9, 0, 5, 0, time.UTC), "90m": now.Add(-90 * time.Minute), "12h": now.Add(-12 * time.Hour), "7d": now.AddDate(0, 0, -7), "0d": now,
	} {
		if got, err := since(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "d", "-1d", "5", "5y", "2026-11-20T10:00", "9999999999d", "1.5h"} {
		if _, err := since(text, now); allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
			t.Errorf("%q: got %v, want kind invalid with a hint", text, err)
		}
	}
}
