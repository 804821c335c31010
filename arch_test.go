package allod_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestArchitecture fails when a package, its tests included, imports one that
// its row in ARCHITECTURE.md does not allow, when a package has no row, when a
// row has no package, and when emulators and sources meet.
func TestArchitecture(t *testing.T) {
	doc, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := importTable(string(doc))
	if len(rows) < 10 {
		t.Fatalf("ARCHITECTURE.md has %d rows, which cannot be all", len(rows))
	}
	report(t, importBreaches(rows, packages(t)))
	report(t, strangersMeet(packages(t)))
	report(t, keysInCompaction(packages(t)))
	report(t, testingInProduct(packages(t)))
}

// row of the table: the patterns that a package, and its tests besides, may
// import.
type row struct{ may, tests []string }

// importTable reads the rows "| `pattern` | `may` `import` tests: `more` | … |".
func importTable(doc string) map[string]row {
	code := regexp.MustCompile("`([^`]+)`")
	patterns := func(cell string) (list []string) {
		for _, m := range code.FindAllStringSubmatch(cell, -1) {
			list = append(list, m[1])
		}
		return list
	}
	rows := map[string]row{}
	for line := range strings.Lines(doc) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		may, tests, _ := strings.Cut(cells[2], "tests:")
		rows[strings.Trim(cells[1], " `")] = row{patterns(may), slices.Concat(patterns(may), patterns(tests))}
	}
	return rows
}

// matches knows the patterns of the go command: "x/..." is x and all below.
func matches(pattern, path string) bool {
	prefix, deep := strings.CutSuffix(pattern, "/...")
	return pattern == path || deep && (path == prefix || strings.HasPrefix(path, prefix+"/"))
}

// rowFor returns the most specific row for a package: an exact one, or the
// longest pattern.
func rowFor(rows map[string]row, path string) (pattern string, ok bool) {
	for p := range rows {
		if matches(p, path) && (!ok || p == path || pattern != path && len(p) > len(pattern)) {
			pattern, ok = p, true
		}
	}
	return pattern, ok
}

func importBreaches(rows map[string]row, pkgs []pkg) (problems []string) {
	used := map[string]bool{}
	for _, p := range pkgs {
		path, _ := rel(p.ImportPath)
		row, ok := rowFor(rows, path)
		if !ok {
			problems = append(problems, path+" has no row in ARCHITECTURE.md")
			continue
		}
		used[row] = true
		seen := map[string]bool{path: true} // an external test imports what it tests
		check := func(imports, may []string, who string) {
			for _, imp := range imports {
				to, ours := rel(imp)
				if !ours || seen[to] {
					continue
				}
				seen[to] = true
				if !slices.ContainsFunc(may, func(m string) bool { return matches(m, to) }) {
					problems = append(problems, fmt.Sprintf("%s%s imports %s, which its row `%s` in ARCHITECTURE.md does not allow", path, who, to, row))
				}
			}
		}
		check(p.Imports, rows[row].may, "")
		check(slices.Concat(p.TestImports, p.XTestImports), rows[row].tests, " (test)")
	}
	for row := range rows {
		if !used[row] {
			problems = append(problems, "no package for the row `"+row+"` in ARCHITECTURE.md")
		}
	}
	slices.Sort(problems)
	return problems
}

// strangersMeet reports emulators that reach a source, or the reverse, by any
// number of imports; tests are left out. The two must not share an
// understanding of a product, or a mistake in it would agree with itself.
func strangersMeet(pkgs []pkg) (problems []string) {
	imports := map[string][]string{}
	for _, p := range pkgs {
		imports[p.ImportPath] = p.Imports
	}
	for _, p := range pkgs {
		path, _ := rel(p.ImportPath)
		var stranger string
		switch {
		case matches("internal/emulator/...", path):
			stranger = "internal/source/..."
		case matches("internal/source/...", path):
			stranger = "internal/emulator/..."
		default:
			continue
		}
		seen := map[string]bool{}
		for todo := []string{p.ImportPath}; len(todo) > 0; {
			at := todo[0]
			todo = todo[1:]
			for _, imp := range imports[at] {
				if to, ours := rel(imp); ours && !seen[imp] {
					seen[imp] = true
					todo = append(todo, imp)
					if matches(stranger, to) {
						from, _ := rel(at)
						problems = append(problems, fmt.Sprintf("%s reaches %s (imported by %s)", path, to, from))
					}
				}
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// keysInCompaction reports what could use a key of a row and is reached from the
// package that merges packs, by any number of imports: it runs where none is.
func keysInCompaction(pkgs []pkg) (problems []string) {
	imports := map[string][]string{}
	for _, p := range pkgs {
		imports[p.ImportPath] = p.Imports
	}
	seen := map[string]bool{}
	for todo := []string{"allod/internal/vault/compact"}; len(todo) > 0; {
		at := todo[0]
		todo = todo[1:]
		for _, imp := range imports[at] {
			to, ours := rel(imp)
			if !ours || seen[imp] {
				continue
			}
			seen[imp] = true
			todo = append(todo, imp)
			for _, keys := range []string{"internal/vault/keytree", "internal/vault/seal", "internal/vault/keyring/...", "internal/vault/escrow", "internal/vault/internal/..."} {
				if matches(keys, to) {
					problems = append(problems, "internal/vault/compact reaches "+to+" (imported by "+at+")")
				}
			}
		}
	}
	return problems
}

func testingInProduct(pkgs []pkg) (problems []string) {
	for _, p := range pkgs {
		for _, imp := range p.Imports {
			if imp == "testing" || strings.HasPrefix(imp, "testing/") {
				problems = append(problems, fmt.Sprintf("%s imports %s outside its tests", p.ImportPath, imp))
			}
		}
	}
	return problems
}

func TestArchitectureRulesCanFail(t *testing.T) {
	rows := importTable("| package | may import |\n|---|---|\n| `.` | |\n| `internal/a/...` | `.` |\n| `internal/a/b` | `internal/a` tests: `internal/t` |\n| `internal/gone` | |\n")
	wantProblems(t, importBreaches(rows, []pkg{
		{ImportPath: "allod", Imports: []string{"io"}},
		{ImportPath: "allod/internal/a", Imports: []string{"allod"}, XTestImports: []string{"allod/internal/a", "allod/internal/a/b"}},
		{ImportPath: "allod/internal/a/b", Imports: []string{"allod/internal/a"}, TestImports: []string{"allod", "allod/internal/t"}},
		{ImportPath: "allod/internal/a/b/c", Imports: []string{"allod"}},
		{ImportPath: "allod/internal/other"},
	}),
		"internal/a (test) imports internal/a/b, which its row `internal/a/...`",
		"internal/a/b (test) imports ., which its row `internal/a/b`",
		"internal/other has no row",
		"no package for the row `internal/gone`",
	)
	wantProblems(t, strangersMeet([]pkg{
		{ImportPath: "allod/internal/emulator/x", Imports: []string{"allod/internal/between"}},
		{ImportPath: "allod/internal/between", Imports: []string{"allod/internal/source"}},
		{ImportPath: "allod/internal/source", TestImports: []string{"allod/internal/emulator/x"}},
		{ImportPath: "allod/internal/source/y", Imports: []string{"allod/internal/emulator/x"}},
	}),
		"internal/emulator/x reaches internal/source (imported by internal/between)",
		"internal/source/y reaches internal/emulator/x",
	)
	wantProblems(t, keysInCompaction([]pkg{
		{ImportPath: "allod/internal/vault/compact", Imports: []string{"allod/internal/vault/pack"}},
		{ImportPath: "allod/internal/vault/pack", Imports: []string{"io", "allod/internal/vault/seal"}},
		{ImportPath: "allod/internal/vault", Imports: []string{"allod/internal/vault/keytree"}},
	}), "internal/vault/compact reaches internal/vault/seal")
	wantProblems(t, testingInProduct([]pkg{
		{ImportPath: "allod/internal/a", TestImports: []string{"testing"}},
		{ImportPath: "allod/internal/b", Imports: []string{"testing"}},
		{ImportPath: "allod/internal/c", Imports: []string{"testing/iotest"}},
	}), "internal/b imports testing", "internal/c imports testing/iotest")
}
