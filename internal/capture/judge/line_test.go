package judge

import (
	"testing"

	"allod"
)

func TestLineBreak(t *testing.T) {
	org, other := allod.GUID{1}, allod.GUID{2}
	var ws []Witness
	still := map[allod.RecordRef]uint64{}
	for i := range MinWitnesses {
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

func TestWitnessesKeepTheNewest(t *testing.T) {
	var many []Witness
	for i := range 100 {
		many = append(many, Witness{Table: "account", Key: allod.GUID{byte(i)}, Version: uint64(i)})
	}
	got := Keep(many[:50], many[50:])
	if len(got) != MaxWitnesses || got[0].Version != 99 || got[len(got)-1].Version != 100-MaxWitnesses {
		t.Errorf("got %d witnesses from %d to %d", len(got), got[0].Version, got[len(got)-1].Version)
	}
	again := Keep(got, []Witness{{Table: "account", Key: allod.GUID{99}, Version: 200}})
	if again[0].Version != 200 || len(again) != MaxWitnesses {
		t.Errorf("a newer version of the same record: got %+v", again[0])
	}
}
