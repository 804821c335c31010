package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every trap that protocols/dataverse.md §15 counts has a test named after it
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
	if !ok || len(traps) == 0 {
		t.Fatal("the protocol has no section 15 with traps")
	}
	names := regexp.MustCompile(`(?m)^// (\d+)\. (.+)\nfunc TestTrap(\d\d)_\w+\(`)
	for _, path := range []string{"../emulator/dataverse/traps_test.go", "../source/dataverse/traps_test.go"} {
		code, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		tests := names.FindAllStringSubmatch(string(code), -1)
		if n := strings.Count(string(code), "func TestTrap"); n != len(traps) || len(tests) != n {
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
