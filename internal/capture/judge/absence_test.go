package judge

import (
	"testing"
	"time"

	"allod"
	"allod/internal/source"
)

func TestMissing(t *testing.T) {
	base := Absence{
		Table: "account", Before: 1000, Missing: 2, Ended: true, RightsKnown: true,
		DepthBefore: source.DepthGlobal, DepthAfter: source.DepthGlobal, DepthLast: source.DepthGlobal,
		LastCapture: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
	}
	for _, tt := range []struct {
		name   string
		change func(*Absence)
		del    bool
		reason allod.DeleteReason
		gap    allod.GapKind
		ask    bool
		alarm  bool
	}{
		{name: "nothing missing", change: func(a *Absence) { a.Missing = 0 }},
		{name: "a few missing", change: func(*Absence) {}, del: true, reason: allod.DeleteAbsent},
		{name: "a few missing, found by a second look", change: func(a *Absence) { a.Refuted = true }, gap: allod.GapDeletionsUnproven},
		{name: "read broke off", change: func(a *Absence) { a.Ended = false }, gap: allod.GapDeletionsUnproven},
		{name: "rights not known", change: func(a *Absence) { a.RightsKnown = false }, gap: allod.GapDeletionsUnproven},
		{name: "role reduced before", change: func(a *Absence) { a.DepthBefore = source.DepthLocal }, gap: allod.GapDeletionsUnproven},
		{name: "role reduced while reading", change: func(a *Absence) { a.DepthAfter = source.DepthDeep }, gap: allod.GapDeletionsUnproven},
		{name: "role raised since", change: func(a *Absence) { a.DepthLast = source.DepthBasic }, gap: allod.GapDeletionsUnproven, ask: true},
		{name: "role raised since, confirmed", change: func(a *Absence) { a.DepthLast = source.DepthBasic; a.Confirmed = true }, del: true, reason: allod.DeleteAbsent},
		{name: "role reduced, though confirmed", change: func(a *Absence) { a.DepthBefore = source.DepthLocal; a.Confirmed = true }, gap: allod.GapDeletionsUnproven},
		{name: "five percent", change: func(a *Absence) { a.Missing = 50 }, del: true, reason: allod.DeleteAbsent},
		{name: "more, not confirmed", change: func(a *Absence) { a.Missing = 51 }, gap: allod.GapDeletionsUnproven, ask: true},
		{name: "more, confirmed", change: func(a *Absence) { a.Missing = 51; a.Confirmed = true }, del: true, reason: allod.DeleteAbsent, alarm: true},
		{name: "three of three", change: func(a *Absence) { a.Before, a.Missing = 3, 3 }, del: true, reason: allod.DeleteAbsent},
		{name: "four of four", change: func(a *Absence) { a.Before, a.Missing = 4, 4 }, gap: allod.GapDeletionsUnproven, ask: true},
		{name: "many of very many", change: func(a *Absence) { a.Before, a.Missing = 1_000_000, 1001 }, del: true, reason: allod.DeleteAbsent, alarm: true},
		{name: "retention run", change: func(a *Absence) { a.Missing = 900; a.Confirmed = true; a.RetentionRun = a.LastCapture.Add(time.Hour) }, del: true, reason: allod.DeleteRetention, gap: allod.GapRetention},
		{name: "retention run, not confirmed", change: func(a *Absence) { a.Missing = 900; a.RetentionRun = a.LastCapture.Add(time.Hour) }, gap: allod.GapDeletionsUnproven, ask: true},
		{name: "old retention run", change: func(a *Absence) { a.Missing = 900; a.RetentionRun = a.LastCapture.Add(-time.Hour) }, gap: allod.GapDeletionsUnproven, ask: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := base
			tt.change(&a)
			v := Missing(a)
			if v.Delete != tt.del || v.Reason != tt.reason || v.Ask != tt.ask || (v.Alarm != "") != tt.alarm {
				t.Errorf("got %+v, want delete %v, reason %v, ask %v, alarm %v", v, tt.del, tt.reason, tt.ask, tt.alarm)
			}
			var got allod.GapKind
			if v.Gap != nil {
				got = v.Gap.Kind
			}
			if got != tt.gap {
				t.Errorf("got gap %q, want %q", got, tt.gap)
			}
		})
	}
}

func TestLossAlarm(t *testing.T) {
	for _, tt := range []struct {
		lost, before int64
		alarm        bool
	}{
		{0, 100, false}, {3, 3, false}, {4, 4, true}, {255, 255, true}, {50, 1000, false}, {51, 1000, true}, {1000, 1000000, false}, {1001, 1000000, true},
	} {
		if got := LossAlarm("task", tt.lost, tt.before) != ""; got != tt.alarm {
			t.Errorf("LossAlarm of %d of %d: got %v, want %v", tt.lost, tt.before, got, tt.alarm)
		}
	}
}
