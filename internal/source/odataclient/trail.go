package odataclient

import (
	"crypto/sha256"

	"allod"
)

// maxEmpty is how many pages without rows may follow each other: a service may
// filter rows out after paging, but not for ever.
const maxEmpty = 1000

// Trail remembers the links of one paged read, so that a service that leads in
// circles is noticed. The zero Trail is empty. Not safe for concurrent use.
type Trail struct {
	seen  map[[16]byte]struct{}
	empty int
}

// Follow notes the link after a page of n rows. Unavailable if the link came
// before, or if nothing but empty pages comes.
func (t *Trail) Follow(link string, n int) error {
	sum := sha256.Sum256([]byte(link))
	key := [16]byte(sum[:16])
	if _, again := t.seen[key]; again {
		return allod.WithHint(allod.Errorf(allod.Unavailable, "the service's link to the next page leads back to a page that was read"), "try again later, and report it to the service if it stays")
	}
	if t.seen == nil {
		t.seen = map[[16]byte]struct{}{}
	}
	t.seen[key] = struct{}{}
	if n > 0 {
		t.empty = 0
	} else if t.empty++; t.empty > maxEmpty {
		return allod.WithHint(allod.Errorf(allod.Unavailable, "the service sent %d empty pages in a row", t.empty), "try again later, and report it to the service if it stays")
	}
	return nil
}
