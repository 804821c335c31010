package allod_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDependencies compares three things: the modules that packages of this
// repository import, the direct requirements in go.mod, and DEPENDENCIES.md,
// where each has its reason.
func TestDependencies(t *testing.T) {
	doc, err := os.ReadFile("DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	listed, problems := dependencyList(string(doc))
	report(t, problems)
	direct, required := requirements(string(mod))
	report(t, dependencyProblems(listed, direct, required, packages(t)))
}

// TestBinary looks at what is linked into cmd/allod, with cgo off and on. Go
// takes the cgo variant of a package wherever it finds a C compiler, so the
// rule is checked on the list of files that would be built then, which needs
// no compiler.
func TestBinary(t *testing.T) {
	doc, err := os.ReadFile("DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	listed, _ := dependencyList(string(doc))
	for _, cgo := range []string{"0", "1"} {
		deps, err := goList(cgo, "-deps", "./cmd/allod")
		if err != nil {
			t.Fatal(err)
		}
		if len(deps) < 50 {
			t.Fatalf("cmd/allod is made of %d packages, which cannot be all", len(deps))
		}
		report(t, binaryProblems(cgo, listed, deps))
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^godebug netdns=go$`).Match(mod) {
		t.Error("go.mod lacks \"godebug netdns=go\": where a C compiler exists, names would be resolved by C code (docs/decisions/0001-cgo.md)")
	}
}

// dependency is one line of DEPENDENCIES.md.
type dependency struct {
	tests bool // used in tests only
}

// dependencyList reads the table rows "| `module` | reason |"; those under a
// heading that says "tests" are for tests only.
func dependencyList(doc string) (list map[string]dependency, problems []string) {
	list = map[string]dependency{}
	tests := false
	for line := range strings.Lines(doc) {
		if strings.HasPrefix(line, "#") {
			tests = strings.Contains(strings.ToLower(line), "tests")
		}
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		module := strings.Trim(cells[1], " `")
		if len(strings.Fields(cells[2])) < 3 {
			problems = append(problems, module+" has no reason in DEPENDENCIES.md")
		}
		if _, twice := list[module]; twice {
			problems = append(problems, module+" stands twice in DEPENDENCIES.md")
		}
		list[module] = dependency{tests}
	}
	return list, problems
}

// requirements returns the modules that go.mod requires: those without the
// comment "indirect", and all.
func requirements(gomod string) (direct, all []string) {
	for line := range strings.Lines(gomod) {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(f) < 2 || !strings.Contains(f[0], ".") || !strings.HasPrefix(f[1], "v") {
			continue
		}
		all = append(all, f[0])
		if !strings.Contains(line, "// indirect") {
			direct = append(direct, f[0])
		}
	}
	return direct, all
}

// moduleOf returns the module, among those required, that provides a package;
// "" for the standard library and for this module.
func moduleOf(importPath string, required []string) string {
	best := ""
	for _, m := range required {
		if (importPath == m || strings.HasPrefix(importPath, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

func dependencyProblems(listed map[string]dependency, direct, required []string, pkgs []pkg) (problems []string) {
	inTests, inProduct := map[string]bool{}, map[string]bool{}
	for _, p := range pkgs {
		for _, imp := range p.Imports {
			inProduct[moduleOf(imp, required)] = true
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			inTests[moduleOf(imp, required)] = true
		}
	}
	delete(inTests, "")
	delete(inProduct, "")
	for m := range inProduct {
		if d, ok := listed[m]; !ok {
			problems = append(problems, m+" is imported and has no line in DEPENDENCIES.md")
		} else if d.tests {
			problems = append(problems, m+" is for tests only by DEPENDENCIES.md, but a package imports it")
		}
	}
	for m := range inTests {
		if _, ok := listed[m]; !ok && !inProduct[m] {
			problems = append(problems, m+" is imported by tests and has no line in DEPENDENCIES.md")
		}
	}
	for m := range listed {
		if !inProduct[m] && !inTests[m] {
			problems = append(problems, m+" stands in DEPENDENCIES.md and nothing imports it")
		}
	}
	for _, m := range direct {
		if _, ok := listed[m]; !ok {
			problems = append(problems, m+" is a direct requirement in go.mod and has no line in DEPENDENCIES.md")
		}
	}
	slices.Sort(problems)
	return problems
}

// cgoOfGo are the packages of the standard library whose C variant a build
// with a C compiler takes and no file in a module can prevent. What keeps
// their C code from mattering is told in docs/decisions/0001-cgo.md.
var cgoOfGo = map[string]bool{"runtime/cgo": true, "net": true, "os/user": true}

func binaryProblems(cgo string, listed map[string]dependency, deps []pkg) (problems []string) {
	for _, p := range deps {
		if p.ImportPath == "testing" || strings.HasPrefix(p.ImportPath, "testing/") {
			problems = append(problems, fmt.Sprintf("cmd/allod links %s", p.ImportPath))
		}
		if p.Module != nil && listed[p.Module.Path].tests {
			problems = append(problems, fmt.Sprintf("cmd/allod links %s, whose module is for tests only", p.ImportPath))
		}
		if len(p.CgoFiles) > 0 && (!p.Standard || !cgoOfGo[p.ImportPath]) {
			problems = append(problems, fmt.Sprintf("cmd/allod with CGO_ENABLED=%s links the C code of %s", cgo, p.ImportPath))
		}
	}
	slices.Sort(problems)
	return problems
}

func TestDependencyRulesCanFail(t *testing.T) {
	list, problems := dependencyList("# D\n| `a.io/x` | does the needful thing |\n| `b.io/y` | |\n| `b.io/y` | said again for nothing |\n## For tests only\n| `c.io/z` | compares two values well |\n| `e.io/unused` | is not needed any more |\n")
	wantProblems(t, problems, "b.io/y has no reason", "b.io/y stands twice")
	direct, all := requirements("module m\n\nrequire (\n\ta.io/x v1.0.0\n\tb.io/y v1.0.0 // indirect\n\tc.io/z v1.0.0\n\tpgregory.net/rapid v1.3.0\n\tgithub.com/u/d v0.1.0\n)\n\nrequire golang.org/x/new/v2 v2.0.0\n")
	if got, want := strings.Join(direct, " "), "a.io/x c.io/z pgregory.net/rapid github.com/u/d golang.org/x/new/v2"; got != want {
		t.Errorf("direct requirements = %q, want %q", got, want)
	}
	wantProblems(t, dependencyProblems(list, direct, all, []pkg{
		{ImportPath: "allod/internal/a", Imports: []string{"io", "a.io/x/sub", "c.io/z", "github.com/u/d"}, TestImports: []string{"pgregory.net/rapid"}},
	}),
		"b.io/y stands in DEPENDENCIES.md and nothing imports it",
		"c.io/z is for tests only",
		"e.io/unused stands in DEPENDENCIES.md and nothing imports it",
		"github.com/u/d is a direct requirement",
		"github.com/u/d is imported and has no line",
		"golang.org/x/new/v2 is a direct requirement",
		"pgregory.net/rapid is a direct requirement",
		"pgregory.net/rapid is imported by tests and has no line",
	)
	wantProblems(t, binaryProblems("1", maps.Clone(list), []pkg{
		{ImportPath: "net", Standard: true, CgoFiles: []string{"cgo.go"}},
		{ImportPath: "plugin", Standard: true, CgoFiles: []string{"plugin.go"}},
		{ImportPath: "testing", Standard: true},
		{ImportPath: "github.com/DataDog/zstd", CgoFiles: []string{"zstd.go"}},
		{ImportPath: "c.io/z/sub", Module: &struct{ Path string }{"c.io/z"}},
	}), "links c.io/z/sub", "links testing", "C code of github.com/DataDog/zstd", "C code of plugin")
}
