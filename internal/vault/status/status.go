// Package status describes a vault for people: what lies there, in which places
// its keys are, and what is not as it should be. No content.
package status

import (
	"context"
	"fmt"
	"time"

	"allod"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/rack"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
)

// Status describes a vault for people: no content.
type Status struct {
	Vault           string   `json:"vault"`  // vault id, 32 hex digits
	Format          int      `json:"format"` // 1
	Places          []string `json:"places"` // where slots lie
	Slots           []Slot   `json:"slots"`
	Roots           []Root   `json:"roots"`
	Entries         uint64   `json:"entries"` // log entries
	Packs           int64    `json:"packs"`
	Files           int64    `json:"files"`
	Bytes           int64    `json:"bytes"`               // of live packs and files
	Compacted       int64    `json:"compacted,omitempty"` // packs that compactions have replaced, removed or not
	ErasuresPending int      `json:"erasures_pending"`
	Role            string   `json:"role,omitempty"`  // of the slot that it was opened with
	RoleSeparation  string   `json:"role_separation"` // one sentence
	Warnings        []string `json:"warnings,omitempty"`
}

// Slot describes one slot in one place. Times are UTC; zero = never.
type Slot struct {
	Name   string    `json:"name"`
	Place  string    `json:"place"`
	Epoch  uint64    `json:"epoch"`
	Proved time.Time `json:"proved,omitzero"` // when it was last opened for real
}

// Root describes one root of the key tree.
type Root struct {
	Root      uint32 `json:"root"`
	Epoch     uint64 `json:"epoch"`
	Punctures int    `json:"punctures"` // entries of the absent list

	Restricted int `json:"restricted"` // records: their keys lie in escrow
	Held       int `json:"held"`       // erased records whose keys a hold keeps in escrow
}

// Of is the vault that is described.
type Of struct {
	Vault   allod.GUID
	Log     *journal.Log // read to its end
	Trees   []*keytree.State
	Rack    *rack.Rack
	Role    keyring.Role // of the slot that it was opened with; "" = none
	Pending int          // erasures that are not final
	Now     time.Time
}

// Describe looks at log and slots.
func (o Of) Describe(ctx context.Context) (Status, error) {
	s := Status{
		Vault: fmt.Sprintf("%x", o.Vault[:]), Format: vlog.Format, Entries: o.Log.Chain().N, ErasuresPending: o.Pending,
		Role: string(o.Role), RoleSeparation: o.Role.Separation(),
	}
	entries := o.Log.Entries()
	replaced := journal.Replaced(entries)
	s.Compacted = int64(len(replaced))
	for _, e := range entries {
		for _, obj := range e.Objects {
			if replaced[obj.Digest] != nil {
				continue
			}
			s.Bytes += obj.Size
			if obj.Role == vlog.RoleFile {
				s.Files++
			} else {
				s.Packs++
			}
		}
	}
	for _, tree := range o.Trees {
		kinds := tree.Kinds()
		s.Roots = append(s.Roots, Root{
			Root: uint32(tree.Root()), Epoch: tree.Epoch(), Punctures: tree.Punctures(), Restricted: kinds[keytree.Restricted], Held: kinds[keytree.Held],
		})
	}
	slots, warnings, err := o.Rack.List(ctx)
	if err != nil {
		return s, err
	}
	s.Warnings = append(s.Warnings, warnings...)
	for i := range o.Rack.Places {
		s.Places = append(s.Places, rack.PlaceName(i))
	}
	for _, e := range slots {
		s.Slots = append(s.Slots, Slot{Name: e.Name, Place: e.Place, Epoch: e.Epoch, Proved: e.Proved})
	}
	s.Warnings = append(s.Warnings, rack.Judge(slots, max(o.Log.Epoch(), 1), o.Now).Warnings...)
	if len(o.Rack.Places) < 2 {
		s.Warnings = append(s.Warnings, "slots lie in one place: keep them in two independent places")
	}
	return s, nil
}
