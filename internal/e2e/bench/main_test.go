//go:build linux

// Package bench_test measures the whole of Allod: time, memory and bytes of a
// backup against an emulator in a process of its own. By default everything
// runs small, to keep the measuring itself from breaking; ALLOD_BENCH=full
// takes the sizes of docs/benchmarks.md (`make bench`), ALLOD_BENCH=year those
// and a whole year of hourly captures.
package bench_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain becomes the emulator when the environment asks for one.
func TestMain(m *testing.M) {
	if spec := os.Getenv(emulatorEnv); spec != "" {
		os.Exit(runEmulator(spec))
	}
	code := m.Run()
	if err := os.RemoveAll(built); err != nil { // nothing if there is none
		fmt.Fprintln(os.Stderr, "remove the program:", err)
		code = 1
	}
	os.Exit(code)
}

// full reports whether the real sizes are wanted.
func full() bool { return os.Getenv("ALLOD_BENCH") == "full" || year() }

// year reports whether a year of captures is wanted.
func year() bool { return os.Getenv("ALLOD_BENCH") == "year" }

// together lets small tests run side by side; the real ones measure time.
func together(t *testing.T) {
	t.Helper()
	if !full() {
		t.Parallel()
	}
}

// pick chooses between a size for trying and the real one.
func pick[T any](small, real T) T {
	if full() {
		return real
	}
	return small
}

// figure prints one measured figure as a row of docs/benchmarks.md. goal may
// be empty.
func figure(t *testing.T, what, value, goal string) {
	t.Helper()
	if goal == "" {
		goal = "–"
	}
	t.Logf("| %s | %s | %s |", what, value, goal)
}

// check fails the test when a goal is missed. Small sizes have goals too, far
// enough from what they measure to hold on a busy machine.
func check(t *testing.T, ok bool, what string) {
	t.Helper()
	if !ok {
		t.Errorf("MISSED: %s", what)
	}
}

func median(all []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(all))
	return s[len(s)/2]
}

func middle(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	return s[len(s)/2]
}

func percentile(all []time.Duration, p float64) time.Duration {
	s := slices.Sorted(slices.Values(all))
	return s[min(int(float64(len(s))*p), len(s)-1)]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func list(all []time.Duration) string {
	var s []string
	for _, d := range all {
		s = append(s, fmt.Sprintf("%.2f", d.Seconds()))
	}
	return strings.Join(s, ", ") + " s"
}
