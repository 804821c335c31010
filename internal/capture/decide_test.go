package capture

import (
	"testing"
	"time"

	"allod"
	"allod/internal/source"
)

func TestJudgeAbsence(t *testing.T) {
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
			v := JudgeAbsence(a)
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

func TestLineBreak(t *testing.T) {
	org, other := allod.GUID{1}, allod.GUID{2}
	var ws []Witness
	still := map[allod.RecordRef]uint64{}
	for i := range minWitnesses {
		w := Witness{Table: "account", Key: allod.GUID{byte(i + 1)}, Version: uint64(100 + i)}
		ws = append(ws, w)
		still[w.Ref()] = w.Version + uint64(i%2)
	}
	older := map[allod.RecordRef]uint64{ws[0].Ref(): 99}
	someGone := map[allod.RecordRef]uint64{ws[3].Ref(): 500}
	id := func(org allod.GUID, high uint64) allod.Identity {
		return allod.Identity{Organization: org, HighestVersion: high}
	}
	for _, tt := range []struct {
		name         string
		before, next allod.Identity
		witnesses    []Witness
		now          map[allod.RecordRef]uint64
		broken       bool
	}{
		{"goes on", id(org, 200), id(org, 300), ws, still, false},
		{"another organisation", id(org, 200), id(other, 300), ws, still, true},
		{"versions went back", id(org, 200), id(org, 150), ws, still, true},
		{"versions not known", id(org, 0), id(org, 0), ws, still, false},
		{"a row got older, then the environment went on", id(org, 200), id(org, 999), ws, older, true},
		{"some were deleted", id(org, 200), id(org, 300), ws, someGone, false},
		{"all are gone", id(org, 200), id(org, 300), ws, nil, true},
		{"too few to tell", id(org, 200), id(org, 300), ws[:3], nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := LineBreak(tt.before, tt.next, tt.witnesses, tt.now); (got != "") != tt.broken {
				t.Errorf("got %q, want broken = %v", got, tt.broken)
			}
		})
	}
}

func TestStateSurvives(t *testing.T) {
	s := &State{Line: 2, Identity: allod.Identity{Organization: allod.GUID{7}}, Tables: map[string]TableState{
		"account": {ID: allod.GUID{1}, Delta: source.Cursor{Kind: source.CursorDelta, Token: "t"}, KeyOnly: true, Rows: 5, Depth: source.DepthGlobal, High: 9, Run: "r"},
	}}
	b, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Line != 2 || got.Tables["account"].Delta.Token != "t" || !got.Tables["account"].KeyOnly {
		t.Errorf("got %+v", got)
	}
	got.restartLine()
	if ts := got.Tables["account"]; ts.Delta != (source.Cursor{}) || ts.High != 0 || got.Line != 3 || ts.Rows != 5 {
		t.Errorf("after restartLine: %+v", ts)
	}
	if _, err := decodeState([]byte(`{"format":2}`)); allod.KindOf(err) != allod.Invalid {
		t.Errorf("newer format: got %v, want Invalid", err)
	}
	if _, err := decodeState([]byte(`{`)); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("broken state: got %v, want Corrupt", err)
	}
}

func TestWitnessesKeepTheNewest(t *testing.T) {
	var many []Witness
	for i := range 100 {
		many = append(many, Witness{Table: "account", Key: allod.GUID{byte(i)}, Version: uint64(i)})
	}
	got := addWitnesses(many[:50], many[50:])
	if len(got) != maxWitnesses || got[0].Version != 99 || got[len(got)-1].Version != 100-maxWitnesses {
		t.Errorf("got %d witnesses from %d to %d", len(got), got[0].Version, got[len(got)-1].Version)
	}
	again := addWitnesses(got, []Witness{{Table: "account", Key: allod.GUID{99}, Version: 200}})
	if again[0].Version != 200 || len(again) != maxWitnesses {
		t.Errorf("a newer version of the same record: got %+v", again[0])
	}
}
