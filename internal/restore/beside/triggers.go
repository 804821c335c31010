package beside

import (
	"context"
	"slices"
	"strings"

	"allod/internal/restore/plan"
	"allod/internal/source"
)

// bypassing is the privilege that keeping plug-ins from running takes
// (protocols/dataverse.md §6.9).
const bypassing = "prvBypassCustomBusinessLogic"

// messages are the messages of Dataverse that a step sends or sets off.
func messages(s plan.Packed) []string {
	switch s.Op {
	case plan.OpCreate:
		return []string{"Create", "CreateMultiple", "Upsert", "UpsertMultiple"}
	case plan.OpUpdate, plan.OpParties, plan.OpFile:
		out := []string{"Update", "UpdateMultiple", "Upsert", "UpsertMultiple"}
		if s.Pass == plan.PassOwner {
			out = append(out, "Assign")
		}
		return out
	case plan.OpState:
		return []string{"Update", "UpdateMultiple", "SetState", "SetStateDynamicEntity", "Close", "Win", "Lose"}
	case plan.OpAssociate:
		return []string{"Associate"}
	case plan.OpDissociate:
		return []string{"Disassociate"}
	case plan.OpDelete:
		return []string{"Delete"}
	}
	return nil
}

// triggers names the logic that the steps set off, and says whether it is asked
// not to run.
func (l *looker) triggers(ctx context.Context) error {
	src, ok := l.Source.(source.TriggerLister)
	if !ok || len(l.tables) == 0 {
		return nil
	}
	all, unlisted, err := src.Triggers(ctx, l.live.Schema())
	if err != nil {
		return l.refused("flows, workflows and plug-ins that this sets off", err)
	}
	if len(unlisted) > 0 {
		l.warn("flows, workflows and plug-ins that this sets off: the restorer may not read %s", strings.Join(unlisted, ", "))
	}
	for _, t := range all {
		if l.fires(t) {
			l.p.Triggers = append(l.p.Triggers, t)
		}
	}
	if len(l.p.Triggers) == 0 && len(l.Bypass) == 0 {
		return nil
	}
	l.p.Bypass = &plan.Bypass{Asked: slices.Clone(l.Bypass)}
	holder, ok := l.Source.(source.PrivilegeHolder)
	if !ok || !slices.Contains(l.Bypass, "plugins") {
		return nil
	}
	holds, err := holder.Holds(ctx, bypassing)
	if err != nil {
		return l.refused("the privilege "+bypassing+", which --bypass takes", err)
	}
	if !holds {
		l.p.Bypass.Lacking = bypassing
		if len(l.p.Triggers) == 0 {
			l.warn("--bypass takes the privilege %s, which the restorer does not hold: the writes will be refused", bypassing)
		}
	}
	return nil
}

// fires reports whether a step sets it off: one of its table with one of its
// messages. What is not known counts as fitting.
func (l *looker) fires(t source.Trigger) bool {
	fits := func(of *touched) bool {
		return len(t.Messages) == 0 || slices.ContainsFunc(t.Messages, func(m string) bool { return of.messages[m] })
	}
	if t.Table != "" {
		of := l.tables[t.Table]
		return of != nil && fits(of)
	}
	return len(l.names(fits)) > 0
}
