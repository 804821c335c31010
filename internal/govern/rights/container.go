package rights

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"allod"
	"allod/internal/govern/approve"
	"allod/internal/vault"
)

// The kinds of containers.
const (
	Restriction = "restriction" // its records are shown to nobody
	Hold        = "hold"        // its records are not destroyed, whatever is erased
)

// Container is a restriction or a legal hold: which records it names, by tag
// alone, and who may open what lies in its escrow. Times are UTC with whole
// seconds; zero = not yet.
type Container struct {
	ID          allod.GUID        `json:"id"`
	Name        string            `json:"name"` // letters, digits and -, as typed; no content of records
	Kind        string            `json:"kind"`
	Environment string            `json:"environment"`
	Recipient   string            `json:"recipient"` // age1pq1…
	Holders     []Holder          `json:"holders"`   // who hold its private half
	Tags        []vault.RecordTag `json:"tags"`      // in the order of Order
	Ground      string            `json:"ground,omitempty"`
	By          allod.Actor       `json:"by"`
	Created     time.Time         `json:"created"`
	Lifted      []Lifted          `json:"lifted,omitempty"`
	Released    time.Time         `json:"released,omitzero"` // a hold: from here on it holds nothing
	Closed      time.Time         `json:"closed,omitzero"`   // a hold: nothing of its escrow is left
}

// Holder is one way to the private half of a container.
type Holder struct {
	Kind    string `json:"kind"` // of the wrapper: age, passphrase, key-file, …
	Wrapped []byte `json:"wrapped"`
}

// Lifted is a restriction that was lifted, in part or as a whole.
type Lifted struct {
	At        time.Time   `json:"at"`
	Records   int         `json:"records"`
	Told      time.Time   `json:"told"` // when the person was told, as typed
	By        allod.Actor `json:"by"`
	OnePerson bool        `json:"one_person,omitempty"`
}

// Names reports whether the container is in force for a record.
func (c *Container) Names(t vault.RecordTag) bool {
	return c.Released.IsZero() && slices.Contains(c.Tags, t)
}

// HoldsOf returns the holds in force that name a record.
func HoldsOf(all []Container, t vault.RecordTag) []Container {
	var out []Container
	for _, c := range all {
		if c.Kind == Hold && c.Names(t) {
			out = append(out, c)
		}
	}
	return out
}

// Digest is what people approve when records of the container are lifted, or it
// is released: the SHA-256 of the canonical JSON.
func (c *Container) Digest(what approve.Act, tags []vault.RecordTag, told time.Time) (approve.Digest, error) {
	b, err := json.Marshal(struct {
		Format    string            `json:"format"`
		Act       approve.Act       `json:"act"`
		Container allod.GUID        `json:"container"`
		Tags      []vault.RecordTag `json:"tags"`
		Told      time.Time         `json:"told,omitzero"`
	}{"allod container v1", what, c.ID, Order(tags), told})
	if err != nil {
		return approve.Digest{}, allod.Errorf(allod.Internal, "digest an act on container %s: %w", c.Name, err)
	}
	return sha256.Sum256(b), nil
}
