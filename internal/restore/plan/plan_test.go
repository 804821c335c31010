package plan

import (
	"encoding/json"
	"testing"
)

func FuzzReadPlan(f *testing.F) {
	f.Add([]byte(`{"id":"x","tables":["account"],"steps":[{"op":"create","table":"account","id":"00000000-0000-0000-0000-000000000001","pass":1}]}`))
	f.Add([]byte(`{"steps":[{"op":"create","pass":99}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p Plan
		if json.Unmarshal(data, &p) != nil {
			return
		}
		if _, err := json.Marshal(&p); err != nil {
			t.Errorf("a plan that was read cannot be written: %v", err)
		}
	})
}
