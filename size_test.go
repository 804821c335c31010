package allod_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The budgets. What is above the soft one needs a comment that gives the
// reason: "// long: …" in a function or on it, "// wide: …" on an interface.
const (
	funcSoft, funcHard           = 80, 150 // lines, braces included
	interfaceSoft, interfaceHard = 5, 8    // methods and embedded interfaces
	fileHard                     = 700     // lines, tests included
	packageHard                  = 2500    // lines without tests
)

// TestSizes polices the tail: the longest function, the widest interface, the
// biggest file and package.
func TestSizes(t *testing.T) {
	for _, p := range packages(t) {
		lines := 0
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines += strings.Count(string(text), "\n")
			report(t, sizeProblems(p.ImportPath+"/"+name, string(text)))
		}
		for _, name := range append(p.TestGoFiles, p.XTestGoFiles...) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			report(t, fileProblem(p.ImportPath+"/"+name, string(text)))
		}
		if lines > packageHard {
			t.Errorf("%s: %d lines without tests, want at most %d: split it", p.ImportPath, lines, packageHard)
		}
	}
}

func fileProblem(name, text string) []string {
	if n := strings.Count(text, "\n"); n > fileHard {
		return []string{fmt.Sprintf("%s: %d lines, want at most %d: split it", name, n, fileHard)}
	}
	return nil
}

func sizeProblems(name, text string) []string {
	problems := fileProblem(name, text)
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		return append(problems, err.Error())
	}
	// reason reports whether a comment between two positions gives one.
	reason := func(from, to token.Pos, mark string) bool {
		for _, g := range f.Comments {
			for _, c := range g.List {
				why, ok := strings.CutPrefix(c.Text, mark)
				if ok && strings.TrimSpace(why) != "" && c.Pos() >= from && c.End() <= to {
					return true
				}
			}
		}
		return false
	}
	judge := func(what string, n, soft, hard int, mark string, excused bool) {
		switch {
		case n > hard:
			problems = append(problems, fmt.Sprintf("%s: %s has %d, refused above %d", name, what, n, hard))
		case n > soft && !excused:
			problems = append(problems, fmt.Sprintf("%s: %s has %d, above %d it needs a reason (%q)", name, what, n, soft, mark))
		}
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			from := d.Pos()
			if d.Doc != nil {
				from = d.Doc.Pos()
			}
			lines := fset.Position(d.End()).Line - fset.Position(d.Pos()).Line + 1
			judge("function "+d.Name.Name+" (lines)", lines, funcSoft, funcHard, "// long:", reason(from, d.End(), "// long:"))
		case *ast.GenDecl:
			from := d.Pos()
			if d.Doc != nil {
				from = d.Doc.Pos()
			}
			for _, spec := range d.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if it, ok := ts.Type.(*ast.InterfaceType); ok {
					n := 0
					for _, field := range it.Methods.List {
						n += max(1, len(field.Names))
					}
					judge("interface "+ts.Name.Name+" (methods)", n, interfaceSoft, interfaceHard, "// wide:", reason(from, d.End(), "// wide:"))
				}
			}
		}
	}
	return problems
}

func TestSizeRulesCanFail(t *testing.T) {
	function := func(lines int, comment string) string {
		return "package a\n" + comment + "func f() {" + strings.Repeat("\n", lines-1) + "}\n"
	}
	iface := func(methods int, comment string) string {
		var b strings.Builder
		for i := range methods {
			fmt.Fprintf(&b, "\tM%d()\n", i)
		}
		return "package a\n" + comment + "type I interface {\n" + b.String() + "}\n"
	}
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"function of 80", function(80, ""), nil},
		{"function of 81", function(81, ""), []string{"above 80 it needs a reason"}},
		{"function of 81 with a reason", function(81, "// long: one table.\n"), nil},
		{"function of 81 with an empty reason", function(81, "// long:\n"), []string{"above 80 it needs a reason"}},
		{"function of 151 with a reason", function(151, "// long: one table.\n"), []string{"refused above 150"}},
		{"interface of 5", iface(5, ""), nil},
		{"interface of 6", iface(6, ""), []string{"above 5 it needs a reason"}},
		{"interface of 6 with a reason", iface(6, "// wide: six verbs.\n"), nil},
		{"interface of 9", iface(9, "// wide: nine verbs.\n"), []string{"refused above 8"}},
		{"file of 701", "package a\n" + strings.Repeat("\n", 700), []string{"701 lines"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wantProblems(t, sizeProblems("a.go", tc.text), tc.want...)
		})
	}
}
