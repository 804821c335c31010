package zone

import (
	"testing"
	"time"
)

// Every code has a zone that the database knows.
func TestZones(t *testing.T) {
	n := 0
	find(func(code int64, iana, name string) bool {
		n++
		if _, err := time.LoadLocation(iana); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, ok := Code(name); !ok || got != code {
			t.Errorf("%s: got %d, want %d", name, got, code)
		}
		return false
	})
	if n != 74 || Location(110).String() != "Europe/Berlin" || Location(-1) != time.UTC {
		t.Errorf("%d zones; 110 is %v, -1 is %v", n, Location(110), Location(-1))
	}
	if _, ok := Code("Nowhere"); ok {
		t.Error("Nowhere has a code")
	}
}
