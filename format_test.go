package allod_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// goldenList names every golden file of a stored format with its digest, as
// sha256sum writes it. The tests of the packages open these files; this rule
// keeps them from being changed or lost, because what was written once must
// open for ever. `go test -run Golden -update .` adds the lines of new files
// and touches no other: to change one is to take its line out by hand.
const goldenList = "testdata/golden-formats.sha256"

// goldenDirs match the folders that hold such files. Seeds of fuzz targets,
// which grow below "fuzz", are left out.
var goldenDirs = []string{"internal/vault/testdata", "internal/vault/*/testdata", "internal/vault/log/certificate/testdata/format-v1", "internal/ledger/testdata"}

var updateGolden = flag.Bool("update", false, "add new golden files of formats to "+goldenList)

func TestGoldenFormats(t *testing.T) {
	text, err := os.ReadFile(goldenList)
	if err != nil {
		t.Fatal(err)
	}
	found, err := goldenFiles(os.DirFS("."), goldenDirs)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := goldenDigests(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if *updateGolden {
		var b strings.Builder
		all := maps.Clone(found)
		maps.Copy(all, listed)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			fmt.Fprintf(&b, "%s  %s\n", all[name], name)
		}
		if err := os.WriteFile(goldenList, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		listed = all
	}
	report(t, goldenProblems(listed, found))
}

// goldenFiles returns path → digest of the files in folders that match.
func goldenFiles(fsys fs.FS, patterns []string) (map[string]string, error) {
	found := map[string]string{}
	for _, pattern := range patterns {
		dirs, err := fs.Glob(fsys, pattern)
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			err := fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
				switch {
				case err != nil:
					return err
				case d.IsDir() && path.Base(name) == "fuzz":
					return fs.SkipDir
				case d.IsDir():
					return nil
				}
				data, err := fs.ReadFile(fsys, name)
				sum := sha256.Sum256(data)
				found[name] = hex.EncodeToString(sum[:])
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

func goldenDigests(text string) (map[string]string, error) {
	listed := map[string]string{}
	for line := range strings.Lines(text) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if _, twice := listed[name]; !ok || len(sum) != 64 || twice {
			return nil, errors.New(goldenList + ": bad or repeated line " + line)
		}
		listed[name] = sum
	}
	return listed, nil
}

func goldenProblems(listed, found map[string]string) (problems []string) {
	for name, sum := range listed {
		switch got, ok := found[name]; {
		case !ok:
			problems = append(problems, "golden file "+name+" is gone")
		case got != sum:
			problems = append(problems, "golden file "+name+" was changed")
		}
	}
	for name := range found {
		if _, ok := listed[name]; !ok {
			problems = append(problems, "golden file "+name+" is not in "+goldenList+": add it with go test -run Golden -update .")
		}
	}
	if len(listed) == 0 {
		problems = append(problems, goldenList+" is empty")
	}
	slices.Sort(problems)
	return problems
}

func TestGoldenRuleCanFail(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"v/a/testdata/one": "1", "v/b/testdata/v1/two": "2", "v/b/testdata/fuzz/F/seed": "3"} {
		full := path.Join(dir, name)
		if err := os.MkdirAll(path.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := goldenFiles(os.DirFS(dir), []string{"v/*/testdata"})
	if err != nil {
		t.Fatal(err)
	}
	wantProblems(t, goldenProblems(maps.Clone(found), found))
	listed := maps.Clone(found)
	listed["v/a/testdata/one"] = strings.Repeat("0", 64)
	listed["v/a/testdata/three"] = strings.Repeat("0", 64)
	delete(listed, "v/b/testdata/v1/two")
	wantProblems(t, goldenProblems(listed, found), "one was changed", "three is gone", "v1/two is not in")
	wantProblems(t, goldenProblems(nil, nil), "is empty")
	for _, bad := range []string{"abc  x\n", strings.Repeat("0", 64) + " x\n", strings.Repeat(strings.Repeat("0", 64)+"  x\n", 2)} {
		if _, err := goldenDigests(bad); err == nil {
			t.Errorf("list %q is accepted", bad)
		}
	}
}
