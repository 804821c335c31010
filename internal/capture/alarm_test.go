package capture

import "testing"

func TestLossAlarm(t *testing.T) {
	for _, tt := range []struct {
		lost, before int64
		alarm        bool
	}{
		{0, 100, false}, {3, 3, false}, {4, 4, true}, {255, 255, true}, {50, 1000, false}, {51, 1000, true}, {1000, 1000000, false}, {1001, 1000000, true},
	} {
		if got := lossAlarm("task", tt.lost, tt.before) != ""; got != tt.alarm {
			t.Errorf("lossAlarm of %d of %d: got %v, want %v", tt.lost, tt.before, got, tt.alarm)
		}
	}
}
