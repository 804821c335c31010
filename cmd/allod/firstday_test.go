package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// firstDay is the page.
func firstDay(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/first-day.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// TestFirstDay carries out docs/first-day.md, as TestNight does with its page;
// what it shows of the configuration is put into it.
func TestFirstDay(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the page shows a unit of systemd")
	}
	t.Parallel()
	newNight(t).play("first", firstDay(t), 0)
}

// configure writes what the page shows of allod.yaml into it: under the
// environment, and at the end. The
// switch is one that answers.
func (n *night) configure() {
	n.t.Helper()
	parts := strings.Split(firstDay(n.t), "```yaml\n")
	if len(parts) != 3 {
		n.t.Fatalf("the page shows %d pieces of configuration, want 2", len(parts)-1)
	}
	below, _, _ := strings.Cut(parts[1], "```")
	below = strings.Replace(below, "2028-11-01", "2999-11-01", 1) // or the page has an alarm one day
	end, _, _ := strings.Cut(parts[2], "```")
	end = strings.Replace(end, "https://ping.example.org/0f4c", n.url+"/_emulator/counters", 1)
	path := filepath.Join(n.dir, "allod", "allod.yaml")
	old, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	text := strings.Replace(string(old), "  prod:\n", "  prod:\n"+below, 1) + end
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
}
