package erasure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"allod"
	"allod/internal/act"
	"allod/internal/act/containers"
	"allod/internal/govern/rights"
	"allod/internal/vault"
	"allod/internal/vault/escrow"
	"allod/internal/vault/keytree"
)

// Tags returns the tags of the planned records, in their order.
func (p *Plan) Tags() []vault.RecordTag { return p.tags }

// ForgetPlans removes the plans of restores that name one of the records.
func ForgetPlans(ctx context.Context, o *act.Office, records []Planned) error {
	return open(o).forgetPlans(ctx, records)
}

// holds are those that name records of an erasure, by tag.
type holds map[vault.RecordTag][]rights.Container

// holds asks the register. A record that was erased before is not held.
func (d *desk) holds(ctx context.Context, tags []vault.RecordTag) (holds, error) {
	all, err := containers.Load(ctx, d.office)
	if err != nil {
		return nil, err
	}
	why, err := d.vault.Absences(tags)
	if err != nil {
		return nil, err
	}
	out := holds{}
	for i, t := range tags {
		if of := rights.HoldsOf(all, t); len(of) > 0 && why[i] != keytree.Erased.String() {
			out[t] = of
		}
	}
	return out, nil
}

// escrow is where the keys of a record go instead of being destroyed.
func (h holds) escrow(t vault.RecordTag) []escrow.Container {
	var out []escrow.Container
	for i := range h[t] {
		out = append(out, containers.Escrow(&h[t][i]))
	}
	return out
}

// key tells two states of the register apart.
func (h holds) key() string {
	var out []string
	for t, of := range h {
		for _, c := range of {
			out = append(out, fmt.Sprintf("%d %d %x %s", t.Environment, t.Table, t.Tag, c.ID))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// unchanged is asked at the commit: Conflict when a hold has come or gone.
func (h holds) unchanged(ctx context.Context, d *desk, tags []vault.RecordTag) error {
	now, err := d.holds(ctx, tags)
	if err == nil && now.key() != h.key() {
		err = allod.WithHint(allod.Errorf(allod.Conflict, "erase: a hold of the records has come or was released meanwhile"), "Run the command again.")
	}
	return err
}

// against names the holds that an erasure has to wait for: one that destroys a
// part of a record's versions, whose keys cannot be put into escrow, or whose
// keys lie in the escrow of a restriction already.
func (d *desk) against(ctx context.Context, e *rights.Erasure) ([]string, error) {
	h, err := d.holds(ctx, e.Tags)
	if err != nil || len(h) == 0 {
		return nil, err
	}
	why, err := d.vault.Absences(e.Tags)
	if err != nil {
		return nil, err
	}
	var names []string
	for i, t := range e.Tags {
		if e.Past || e.Rectify != nil || why[i] != "" {
			for _, c := range h[t] {
				names = append(names, c.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// keptBy are the holds whose escrow has what opens records of an erasure that
// was committed.
func (d *desk) keptBy(ctx context.Context, e *rights.Erasure) ([]rights.Item, error) {
	all, err := containers.Load(ctx, d.office)
	if err != nil {
		return nil, err
	}
	why, err := d.vault.Absences(e.Tags)
	if err != nil {
		return nil, err
	}
	var out []rights.Item
	for _, c := range all {
		n := 0
		for i, t := range e.Tags {
			if why[i] == keytree.Held.String() && slices.Contains(c.Tags, t) {
				n++
			}
		}
		if c.Kind == rights.Hold && c.Closed.IsZero() && n > 0 {
			out = append(out, rights.Item{Place: "the hold " + c.Name, Next: fmt.Sprintf("%d records are held: their holders open them until `allod vault release %s`", n, c.Name)})
		}
	}
	return out, nil
}
