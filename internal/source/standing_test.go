package source

import (
	"context"
	"testing"

	"allod"
)

type stands struct {
	Source
	loopback bool
	said     *Standing
	err      error
}

func (s stands) Capabilities() Capabilities                      { return Capabilities{Loopback: s.loopback} }
func (s stands) Standing(ctx context.Context) (*Standing, error) { return s.said, s.err }

type silent struct{ Source }

func (silent) Capabilities() Capabilities { return Capabilities{} }

// What somebody set goes before what the service says, and that before where it
// runs; in doubt an environment is production.
func TestStandingOf(t *testing.T) {
	yes, no := true, false
	said := func(p bool) *Standing { return &Standing{p, "it says so"} }
	for _, tc := range []struct {
		name string
		src  Source
		set  *bool
		want bool
	}{
		{"set against what it says", stands{said: said(true)}, &no, false},
		{"set against what it says, the other way", stands{said: said(false), loopback: true}, &yes, true},
		{"it says yes, on this machine", stands{said: said(true), loopback: true}, nil, true},
		{"it says no, elsewhere", stands{said: said(false)}, nil, false},
		{"it says nothing, on this machine", stands{loopback: true}, nil, false},
		{"it says nothing, elsewhere", stands{}, nil, true},
		{"it cannot say", silent{}, nil, true},
	} {
		got, err := StandingOf(t.Context(), tc.src, tc.set)
		if err != nil || got.Production != tc.want || got.Why == "" {
			t.Errorf("%s: got %+v, %v, want %t", tc.name, got, err, tc.want)
		}
	}
	if _, err := StandingOf(t.Context(), stands{err: allod.Errorf(allod.Unavailable, "gone"), loopback: true}, nil); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a service that was not reached: got %v", err)
	}
}
