package capture

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/capture.md and docs/capture-audit.md name tests that exist.
func TestPageNamesTests(t *testing.T) {
	const root = "../../"
	for file, least := range map[string]int{"docs/capture.md": 30, "docs/capture-audit.md": 100} {
		page, err := os.ReadFile(root + file)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`((?:internal|cmd)/[a-z0-9/]+) (Test[A-Za-z0-9_]+)(?:/([a-z]+))?`").FindAllStringSubmatch(string(page), -1)
		if len(named) < least {
			t.Fatalf("%s names %d tests", file, len(named))
		}
		for _, m := range named {
			if !exists(t, root+m[1], m[2], m[3]) {
				t.Errorf("%s: there is no %s in %s", file, strings.Trim(m[2]+"/"+m[3], "/"), m[1])
			}
		}
	}
}

// exists reports whether a folder has a test, and its script where one is named.
func exists(t *testing.T, folder, test, script string) bool {
	t.Helper()
	if script != "" {
		if _, err := os.Stat(folder + "/testdata/" + script + ".txt"); err != nil {
			return false
		}
	}
	files, err := filepath.Glob(folder + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
