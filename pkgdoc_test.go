package allod_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackageDoc fails unless every package has exactly one package comment
// and it begins as godoc expects.
func TestPackageDoc(t *testing.T) {
	for _, p := range packages(t) {
		var sources []source
		for _, f := range p.GoFiles {
			sources = append(sources, source{filepath.Join(p.Dir, f), nil})
		}
		report(t, docProblems(p.ImportPath, p.Name, sources))
	}
}

// source is a Go file; text nil means that it is read from path.
type source struct {
	path string
	text any
}

func docProblems(importPath, name string, sources []source) (problems []string) {
	var docs []string
	for _, s := range sources {
		f, err := parser.ParseFile(token.NewFileSet(), s.path, s.text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		if f.Doc == nil {
			continue
		}
		docs = append(docs, filepath.Base(s.path))
		if text := f.Doc.Text(); !strings.HasPrefix(text, "Package "+name+" ") && (name != "main" || !strings.HasPrefix(text, "Command ")) {
			problems = append(problems, fmt.Sprintf("%s: package comment in %s does not begin with its name", importPath, filepath.Base(s.path)))
		}
	}
	if len(docs) != 1 && len(sources) > 0 {
		problems = append(problems, fmt.Sprintf("%s: %d package comments, want exactly one: %v", importPath, len(docs), docs))
	}
	return problems
}

func TestPackageDocRuleCanFail(t *testing.T) {
	good := source{"doc.go", "// Package a does.\npackage a"}
	none := source{"x.go", "package a"}
	wantProblems(t, docProblems("a", "a", []source{good, none}))
	wantProblems(t, docProblems("a", "a", []source{none}), "0 package comments")
	wantProblems(t, docProblems("a", "a", []source{good, {"two.go", "// Package a again.\npackage a"}}), "2 package comments")
	wantProblems(t, docProblems("a", "a", []source{{"doc.go", "// This does.\npackage a"}}), "does not begin with its name")
	wantProblems(t, docProblems("cmd/x", "main", []source{{"main.go", "// Command x does.\npackage main"}}))
}
