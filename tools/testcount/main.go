// Command testcount reads `go test -json` on its input, shows what failed and
// what was skipped, and ends with the line "N passed, N failed, N skipped". It
// exits with 1 if a test or a package failed, if none ran, or, with -noskip,
// if one was skipped: in continuous integration a skipped integration test
// proves nothing and must not look like success.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// event is a line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of what was built, in the build-… events, which have no Package
	Test       string
	Output     string
}

// tally counts finished tests, subtests included.
type tally struct {
	passed, failed, skipped int
	broken                  []string // packages that failed, built or not
	names                   []string // tests skipped
	output                  map[string]string
}

func (t *tally) add(e event) {
	key := e.Package + e.ImportPath + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		t.output[key] += e.Output
		return
	case "pass":
		if e.Test != "" {
			t.passed++
		}
	case "fail":
		if e.Test != "" {
			t.failed++
		} else {
			t.broken = append(t.broken, e.Package)
		}
		fmt.Print(t.output[key])
	case "build-fail": // the package's own "fail" follows
		fmt.Print(t.output[key])
	case "skip":
		if e.Test != "" {
			t.skipped++
			t.names = append(t.names, key+": "+reason(t.output[key]))
		}
	default:
		return
	}
	delete(t.output, key)
}

// reason finds the text of t.Skip in a test's output.
func reason(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool {
		l = strings.TrimSpace(l)
		return strings.HasPrefix(l, "===") || strings.HasPrefix(l, "---")
	})
	return strings.TrimSpace(strings.Join(lines, " "))
}

// verdict is the last line, and whether all is well.
func (t *tally) verdict(noskip bool) (line string, ok bool) {
	line = fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
	return line, t.failed == 0 && len(t.broken) == 0 && t.passed > 0 && (!noskip || t.skipped == 0)
}

func main() {
	noskip := flag.Bool("noskip", false, "a skipped test is a failure")
	flag.Parse()
	t := tally{output: map[string]string{}}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil {
			fmt.Println(in.Text()) // the go command's own words
			continue
		}
		t.add(e)
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "testcount: read events:", err)
		os.Exit(1)
	}
	for _, name := range t.names {
		fmt.Println("skipped:", name)
	}
	for _, name := range t.broken {
		fmt.Println("FAIL", name)
	}
	line, ok := t.verdict(*noskip)
	fmt.Println(line)
	if !ok {
		os.Exit(1)
	}
}
