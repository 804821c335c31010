package plan

import (
	"crypto/sha256"
	"encoding/json"

	"allod"
)

// Overwrites is the number of rows that exist in the target, not made by this
// plan, in which it changes something: columns, owner, state, files or the list
// of parties. Rows that it makes, and pairs that it adds, overwrite nothing.
func (p *Plan) Overwrites() int64 {
	type row struct {
		table uint16
		key   allod.GUID
	}
	made, changed := map[row]struct{}{}, map[row]struct{}{}
	for i := range p.steps {
		if s := &p.steps[i]; s.Op == OpCreate || p.reasons[s.Reason] == ReasonParentMade {
			made[row{s.Table, s.Key}] = struct{}{}
		}
	}
	for i := range p.steps {
		s := &p.steps[i]
		at := row{s.Table, s.Key}
		if _, ok := made[at]; !ok && s.Op != OpAssociate && s.Op != OpCreate {
			changed[at] = struct{}{}
		}
	}
	return int64(len(changed))
}

// Digest is what people approve: it follows from everything that decides what is
// written, where, over which versions of rows, and with which custom logic kept
// from running (bypass, in this order). The same restore planned again has the
// same digest as long as neither side has changed; when it was planned, and what
// else the plan says, do not count.
func (p *Plan) Digest(bypass []string) ([sha256.Size]byte, error) {
	h := sha256.New()
	head := []any{"allod plan of a restore 1", p.From, p.To, p.Organization, p.OnConflict, p.Mappings, p.Dropped, p.Replayed, p.tables, append([]string{}, bypass...)}
	if after := p.besides(); len(after) > 0 {
		head = append(head, after)
	}
	if err := json.NewEncoder(h).Encode(head); err != nil {
		return [sha256.Size]byte{}, allod.Errorf(allod.Internal, "take the digest of a plan: %w", err)
	}
	p.hashSteps(h)
	return [sha256.Size]byte(h.Sum(nil)), nil
}
