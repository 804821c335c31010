package capture

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/capture.md names tests that exist.
func TestPageNamesTests(t *testing.T) {
	const root = "../../"
	page, err := os.ReadFile(root + "docs/capture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(internal/[a-z0-9/]+) (Test[A-Za-z]+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 30 {
		t.Fatalf("the page names %d tests", len(named))
	}
	for _, m := range named {
		files, err := filepath.Glob(root + m[1] + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(text), "\nfunc "+m[2]+"(")
		}
		if !found {
			t.Errorf("docs/capture.md: there is no %s in %s", m[2], m[1])
		}
	}
}
