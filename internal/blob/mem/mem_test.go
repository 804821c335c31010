package mem_test

import (
	"testing"

	"allod/internal/blob/blobcheck"
	"allod/internal/blob/mem"
)

func TestChecks(t *testing.T) {
	for _, c := range blobcheck.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if err := c.Run(t.Context(), mem.New(mem.Options{})); err != nil {
				t.Errorf("%v (%s)", err, c.Why)
			}
		})
	}
}
