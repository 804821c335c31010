package mem_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"allod/internal/blob/blobcheck"
	"allod/internal/blob/mem"
)

func TestChecks(t *testing.T) {
	begun := time.Now()
	fast := func() time.Time { return begun.Add(10 * time.Since(begun)) } // locks end sooner
	for name, opts := range map[string]mem.Options{"plain": {Now: fast}, "versions": {Now: fast, Versions: true}} {
		for _, c := range blobcheck.Checks() {
			t.Run(name+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				err := c.Run(t.Context(), mem.New(opts))
				var skipped blobcheck.Skipped
				if errors.As(err, &skipped) && name == "plain" && strings.HasPrefix(c.Name, "version") {
					return // it keeps none
				}
				if err != nil {
					t.Errorf("%v (%s)", err, c.Why)
				}
			})
		}
	}
}
