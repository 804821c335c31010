package main

import "testing"

func TestVerdict(t *testing.T) {
	pass, skip := event{Action: "pass", Package: "p", Test: "A"}, event{Action: "skip", Package: "p", Test: "B"}
	for _, tc := range []struct {
		name   string
		events []event
		noskip bool
		line   string
		ok     bool
	}{
		{"passed", []event{pass, {Action: "pass", Package: "p"}}, true, "1 passed, 0 failed, 0 skipped", true},
		{"nothing ran", nil, false, "0 passed, 0 failed, 0 skipped", false},
		{"skipped and allowed", []event{pass, skip}, false, "1 passed, 0 failed, 1 skipped", true},
		{"skipped and refused", []event{pass, skip}, true, "1 passed, 0 failed, 1 skipped", false},
		{"failed", []event{pass, {Action: "fail", Package: "p", Test: "C"}}, false, "1 passed, 1 failed, 0 skipped", false},
		{"package does not build", []event{pass, {Action: "fail", Package: "q"}}, false, "1 passed, 0 failed, 0 skipped", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tally := tally{output: map[string]string{}}
			for _, e := range tc.events {
				tally.add(e)
			}
			line, ok := tally.verdict(tc.noskip)
			if line != tc.line || ok != tc.ok {
				t.Errorf("got %q, %v; want %q, %v", line, ok, tc.line, tc.ok)
			}
		})
	}
}
