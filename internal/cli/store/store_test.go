package store_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/cli/store"
)

func TestFacts(t *testing.T) {
	for _, tc := range []struct {
		facts blob.Facts
		wants []string
	}{
		{blob.Facts{SoftDeleteDays: 7}, []string{"there", "Versions: off. Locks: possible.", "gone after L = 7 days", "brought back for 7 days"}},
		{blob.Facts{DefaultLock: "governance", DefaultLockDays: 9}, []string{"Locks: every object for 9 days (governance).", "Slots may not lie here (L = 9 days)"}},
		{blob.Facts{Copies: []string{"elsewhere"}, Unread: []blob.Unread{{What: "media", Why: "is not told"}}}, []string{"Slots may not lie here (L is not known): ", "copies objects to elsewhere", "Not known: media: is not told."}},
		{blob.Facts{Rules: []blob.Rule{{Name: "tidy", Current: true, Days: 3}, {Name: "old", Days: 4}}}, []string{`"tidy" deletes objects after 3 days`, `"old" deletes old versions after 4 days`, "Careful: "}},
	} {
		var out bytes.Buffer
		c := &store.Console{
			Deps: func() act.Deps {
				return act.Deps{OpenStore: func(context.Context, string, bool) (blob.Mutable, error) {
					return mem.New(mem.Options{Facts: tc.facts}), nil
				}, Now: time.Now}
			},
			Out: &out, JSON: func() bool { return false }, Show: func(act.Checked) {},
		}
		cmd := c.Command()
		cmd.SetArgs([]string{"there"})
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Error(err)
		}
		text := strings.Join(strings.Fields(out.String()), " ")
		for _, want := range tc.wants {
			if !strings.Contains(text, want) {
				t.Errorf("%+v: says nothing of %q:\n%s", tc.facts, want, &out)
			}
		}
	}
}
