package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every trap that protocols/dataverse.md §15 counts, and every runner-up in its
// last line, counted on from there, has a test named after it
// on both sides, with the words of the section above it, and no other test
// claims to be one.
func TestTrapsAgreeWithTheProtocol(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "protocols", "dataverse.md"))
	if err != nil {
		t.Skipf("the protocol is absent: %v", err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## 15.")
	section, _, _ = strings.Cut(section, "\n## ")
	traps := regexp.MustCompile(`(?m)^(\d+)\. \*\*(.+?)\*\*`).FindAllStringSubmatch(section, -1)
	_, list, more := strings.Cut(section, "\nRunner-ups: ")
	if !ok || len(traps) == 0 || !more {
		t.Fatal("the protocol has no section 15 with traps and runner-ups")
	}
	for _, trap := range strings.Split(strings.TrimSuffix(strings.TrimSpace(list), "."), " · ") {
		traps = append(traps, []string{"", strconv.Itoa(len(traps) + 1), trap})
	}
	names := regexp.MustCompile(`(?m)^// (\d+)\. (.+)\nfunc TestTrap(\d\d)_\w+\(`)
	for _, path := range []string{"../emulator/dataverse/", "../source/dataverse/"} {
		var code string
		for _, file := range []string{"traps_test.go", "traps_more_test.go"} {
			one, err := os.ReadFile(path + file)
			if err != nil {
				t.Fatal(err)
			}
			code += string(one)
		}
		tests := names.FindAllStringSubmatch(code, -1)
		if n := strings.Count(code, "func TestTrap"); n != len(traps) || len(tests) != n {
			t.Errorf("%s: %d tests of traps, %d with the words of the section; the protocol has %d traps", path, n, len(tests), len(traps))
			continue
		}
		for i, trap := range traps {
			if got := tests[i]; got[1] != trap[1] || strings.TrimLeft(got[3], "0") != trap[1] || got[2] != trap[2] {
				t.Errorf("%s: test %s is about %q, the protocol's trap %s about %q", path, got[3], got[2], trap[1], trap[2])
			}
		}
	}
}
