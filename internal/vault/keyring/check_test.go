package keyring

import (
	"testing"

	"allod"
)

func TestCheck(t *testing.T) {
	f, other := newFixture(t), newFixture(t)
	paper, passphrase := ObjectName("paper", 1), ObjectName("passphrase", 1)
	flipped := append([]byte(nil), f.place.objects[paper]...)
	flipped[200] ^= 1
	for _, tc := range []struct {
		what, name string
		b          []byte
		kind       allod.Kind
	}{
		{"a slot", paper, f.place.objects[paper], 0},
		{"another slot of the vault", paper, f.place.objects[passphrase], allod.Corrupt},
		{"under another epoch", ObjectName("paper", 2), f.place.objects[paper], allod.Corrupt},
		{"of another signer", paper, other.place.objects[paper], allod.Denied},
		{"a flipped bit", paper, flipped, allod.Corrupt},
		{"rubbish", paper, []byte("forged"), allod.Corrupt},
		{"no name of a slot", "slots/paper", f.place.objects[paper], allod.Corrupt},
		{"no slot at all", "proofs/paper", []byte("{}"), 0},
	} {
		if err := Check(tc.name, tc.b, f.pin); allod.KindOf(err) != tc.kind {
			t.Errorf("%s: %v (kind %v), want kind %v", tc.what, err, allod.KindOf(err), tc.kind)
		}
	}
}
