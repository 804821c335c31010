// Package approve decides whether an act that needs two people has them. People
// are known by the SSH keys they registered and by nothing else: a person
// approves by signing the request, with Allod or with `ssh-keygen -Y sign`
// anywhere. Everything here is pure: what is stored is stored elsewhere, and the
// time is an argument. The bytes are described in FORMAT.md, "Office".
package approve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"allod"
)

// Act is what two people are needed for (design/rights.md "The gate").
type Act string

// The acts.
const (
	Erase         Act = "erase"               // destroy keys of records; its urgent form too
	Rectify       Act = "rectify"             // correct stored versions, and destroy the keys of what they were
	Purge         Act = "purge"               // remove what retention would keep
	Shorten       Act = "shorten-retention"   // keep less than before
	Overwrite     Act = "overwrite"           // restore over rows of production
	ReleaseHold   Act = "release-hold"        // lift a legal hold
	LiftBlock     Act = "lift-restriction"    // open a restricted record again
	Leave         Act = "leave"               // give the data back and go
	ChangeUsers   Act = "change-users"        // register or remove one of those who approve
	AcceptHistory Act = "accept-slot-history" // keep slots where they cannot be erased
)

// Known reports whether the act is one of the constants of this package.
func (a Act) Known() bool {
	switch a {
	case Erase, Rectify, Purge, Shorten, Overwrite, ReleaseHold, LiftBlock, Leave, ChangeUsers, AcceptHistory:
		return true
	}
	return false
}

// Digest is the SHA-256 of the canonical bytes of a plan: what exactly is
// approved. Whoever plans says what the canonical bytes are.
type Digest [sha256.Size]byte

// String returns lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns what String returns.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(d) || hex.EncodeToString(raw) != string(b) {
		return allod.Errorf(allod.Invalid, "read the digest of a plan: want %d hexadecimal digits", 2*len(d))
	}
	copy(d[:], raw)
	return nil
}

// Lifetime is how long a request can be approved and acted on.
const Lifetime = 7 * 24 * time.Hour

// MaxSays is the most characters of Request.Says.
const MaxSays = 400

// Request asks for an act. Times are UTC with whole seconds.
type Request struct {
	ID      allod.GUID  `json:"id"`
	Act     Act         `json:"act"`
	Plan    Digest      `json:"plan"`
	Says    string      `json:"says"` // one line for those who approve: what will be done to what
	By      allod.Actor `json:"by"`
	At      time.Time   `json:"at"`
	Expires time.Time   `json:"expires"`
	Spent   time.Time   `json:"spent,omitzero"` // when the act was done under it; zero = not yet
}

// Check refuses, as Invalid, a request that could not be signed for what it is.
func (r Request) Check() error {
	bad := func(what string) error {
		return allod.Errorf(allod.Invalid, "ask for approval: %s", what)
	}
	switch {
	case r.ID.IsZero():
		return bad("the request has no id")
	case !r.Act.Known():
		return bad("nobody knows this act")
	case r.Plan == Digest{}:
		return bad("no plan is named")
	case strings.TrimSpace(string(r.By)) == "":
		return bad("nobody is named who asks")
	case r.Says == "" || utf8.RuneCountInString(r.Says) > MaxSays || !utf8.ValidString(r.Says) || strings.ContainsFunc(r.Says, hidden):
		return bad(fmt.Sprintf("what it says must be one line of at most %d characters that can all be seen", MaxSays))
	case !r.Expires.After(r.At) || r.Expires.Sub(r.At) > Lifetime:
		return bad("it must expire within seven days after it was made")
	}
	return nil
}

// hidden reports whether a reader would not see the character, or see others in
// its place: what is shown must be what is signed.
func hidden(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r) && r != ' '
}

// User is somebody who may approve.
type User struct {
	ID      allod.GUID `json:"id"`
	Name    string     `json:"name"`
	Keys    []Key      `json:"keys"`
	Added   time.Time  `json:"added"`            // UTC
	Removed time.Time  `json:"removed,omitzero"` // UTC; zero = still there
}

// Active reports whether the user may approve now.
func (u User) Active() bool { return u.Removed.IsZero() && len(u.Keys) > 0 }

// Approval is a signature under a request.
type Approval struct {
	ID        allod.GUID `json:"id"`
	Request   allod.GUID `json:"request"`
	User      allod.GUID `json:"user"`
	At        time.Time  `json:"at"`        // UTC, when it was handed in; a label
	Signature string     `json:"signature"` // armored, as ssh-keygen -Y sign writes it
}

// Namespace is what a signature must have been made for, so that none made for
// another purpose counts.
const Namespace = "allod-approve@1"

// Statement returns the text that people sign. It names the vault, the request
// and the plan, so that it fits nothing else, and says what a person reads.
func (r Request) Statement(vault allod.GUID) []byte {
	return fmt.Appendf(nil, "allod approval v1\nvault: %s\nrequest: %s\nact: %s\nplan: sha256:%s\nexpires: %s\nsays: %s\n",
		vault, r.ID, r.Act, r.Plan, r.Expires.UTC().Format(time.RFC3339), r.Says)
}
