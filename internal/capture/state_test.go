package capture

import (
	"testing"

	"allod"
	"allod/internal/source"
)

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
