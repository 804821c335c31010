package keys

import (
	"context"
	"slices"
	"strings"

	"allod"
	"allod/internal/act"
	"allod/internal/vault"
)

// Reasons are why a new root of the key tree is begun: words for the ledger.
func Reasons() []string { return []string{"size", "leak", "generations"} }

// RootPlan says what beginning a new root would do.
type RootPlan struct {
	Root   uint64             `json:"root"`  // that would be begun
	Roots  []vault.RootStatus `json:"roots"` // that there are
	Slots  []string           `json:"slots"` // names of those that would be written anew, ascending
	Places int                `json:"places"`
}

// PlanRoot says what BeginRoot would do, and does nothing.
func PlanRoot(ctx context.Context, o *act.Office) (*RootPlan, error) {
	b := open(o)
	status, err := b.vault.Status(ctx)
	if err != nil {
		return nil, err
	}
	p := &RootPlan{Root: 1, Roots: status.Roots, Places: len(status.Places)}
	epoch := uint64(0)
	for _, r := range status.Roots {
		p.Root, epoch = max(p.Root, uint64(r.Root)+1), max(epoch, r.Epoch)
	}
	for _, s := range status.Slots {
		if s.Epoch == epoch {
			p.Slots = append(p.Slots, s.Name)
		}
	}
	slices.Sort(p.Slots)
	p.Slots = slices.Compact(p.Slots)
	return p, nil
}

// BeginRoot is Rotate, and begins a new root of the key tree: rows of later
// backups open with no slot from before. What is stored stays under the roots
// it is under. The reason is one of Reasons, or "". Invalid for any other.
func BeginRoot(ctx context.Context, o *act.Office, reason string) (*Rotated, error) {
	word := "root-begun"
	if reason != "" {
		if !slices.Contains(Reasons(), reason) {
			return nil, allod.WithHint(allod.Errorf(allod.Invalid, "begin a new root: there is no reason called %q", reason), "Reasons are %s; it may be left out.", strings.Join(Reasons(), ", "))
		}
		word += "-" + reason
	}
	b := open(o)
	return b.rotate(ctx, word, b.vault.BeginRoot)
}
