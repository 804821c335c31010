package restriction

import (
	"cmp"
	"context"
	"encoding/json"

	"allod"
	"allod/internal/act"
	"allod/internal/act/containers"
	"allod/internal/govern/gate"
	"allod/internal/vault"
)

// ShowRequest says which record of a container is to be seen, as typed.
type ShowRequest struct {
	Container string
	Table     string
	ID        string
	Key       string // SPEC of a holder's key
}

// Shown is what is stored of a record that is restricted or held.
type Shown struct {
	Container string         `json:"container"`
	Table     string         `json:"table"`
	ID        allod.GUID     `json:"id"`
	Versions  []ShownVersion `json:"versions"` // newest first
}

// ShownVersion is one stored version.
type ShownVersion struct {
	Snapshot allod.SnapshotID `json:"snapshot"`
	Row      json.RawMessage  `json:"row,omitempty"`
	Deleted  bool             `json:"deleted,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	Withheld string           `json:"withheld,omitempty"` // e.g. superseded: its key was destroyed before
}

// Show shows a record that is restricted or held to a holder of its container,
// and to nobody else; nothing is lifted, and the ledger says that it was done. The
// purpose is that of the process, litigation where it has none: Denied for one
// that the restriction was made against (GDPR Art. 18(2)). Conflict for a record
// that is shown to everybody.
func Show(ctx context.Context, o *act.Office, r ShowRequest) (*Shown, error) {
	c, _, err := containers.Find(ctx, o, r.Container)
	if err != nil {
		return nil, err
	}
	v, g, _, deps := o.Inside()
	why := cmp.Or(deps.Purpose, allod.PurposeLitigation)
	if why != allod.PurposeLitigation && why != allod.PurposeAnswerRequest {
		return nil, allod.WithHint(allod.Errorf(allod.Denied, "show a record of %s for the purpose %s: that is not one for which it may be used", c.Name, why),
			"It may be for --purpose %s or %s.", allod.PurposeLitigation, allod.PurposeAnswerRequest)
	}
	s, err := g.Open(ctx, gate.Request{Actor: deps.Actor, Action: gate.ActionRead, Purpose: why, Resource: gate.Resource{Environment: c.Environment, Class: allod.ClassContent}})
	if err != nil {
		return nil, err
	}
	d := &desk{o, v, g, deps, s}
	tags, err := d.inside(ctx, s, c, r.Table, []string{r.ID})
	if err != nil {
		return nil, err
	}
	away, err := v.Absences(tags)
	if err != nil {
		return nil, err
	}
	if away[0] == "" {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "show a record of %s: it is not out of sight", c.Name), "`allod get %s %s %s` shows it.", c.Environment, r.Table, r.ID)
	}
	key, err := containers.Unlock(ctx, o, c, r.Key)
	if err != nil {
		return nil, err
	}
	id, err := allod.ParseGUID(r.ID)
	if err != nil {
		return nil, err
	}
	all, err := v.HistoryHeld(ctx, s, c.Environment, allod.RecordRef{Table: r.Table, Key: id}, c.ID, key)
	if err != nil {
		return nil, err
	}
	if err := g.Act(ctx, s, "held-rows-shown", map[string]int64{"rows": int64(len(all))}); err != nil {
		return nil, err
	}
	return shown(c.Name, r.Table, id, all), nil
}

func shown(container, table string, id allod.GUID, all []vault.Version) *Shown {
	out := &Shown{Container: container, Table: table, ID: id, Versions: []ShownVersion{}}
	for _, v := range all {
		one := ShownVersion{Snapshot: v.Snapshot, Deleted: v.Deleted, Withheld: v.Withheld}
		if v.Deleted {
			one.Reason = v.Reason.String()
		}
		if v.Row != nil {
			one.Row = act.AppendJSON(nil, v.Table, v.Row)
		}
		out.Versions = append(out.Versions, one)
	}
	return out
}
