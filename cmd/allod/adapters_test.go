package main

import (
	"testing"

	"allod/internal/act"
	"allod/internal/source/pace"
)

// What a connection says of a run reaches the connector.
func TestSourceTakesOptions(t *testing.T) {
	open := openSource(func(string) string { return "" })
	for _, want := range []int{1, 7} {
		src, err := open(t.Context(), "prod", act.Connection{URL: "http://127.0.0.1:1", Auth: "loopback", Pace: pace.Pace{MaxConcurrency: want}})
		if err != nil {
			t.Fatal(err)
		}
		if got := src.Capabilities().Parallel; got != want {
			t.Errorf("--max-concurrency %d: %d requests at once", want, got)
		}
	}
}
