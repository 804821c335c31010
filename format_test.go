package allod_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// manifest lists the golden files of one format version, as sha256sum writes
// them: digest, two spaces, path.
const manifest = "SHA256SUMS"

// goldenDirs are the folders that hold the golden files of released formats,
// one folder "format-vN" per version. Files there are never changed: what was
// written once must open for ever. The tests of the packages open them; this
// rule keeps them from being changed or lost.
var goldenDirs = []string{"internal/vault/testdata"}

func TestGoldenFormats(t *testing.T) {
	for _, dir := range goldenDirs {
		if _, err := os.Stat(dir); err != nil {
			continue // the first format has not been written yet
		}
		report(t, goldenProblems(os.DirFS("."), dir))
	}
}

func goldenProblems(fsys fs.FS, dir string) (problems []string) {
	versions, err := fs.Glob(fsys, path.Join(dir, "format-v*"))
	if err != nil {
		return []string{err.Error()}
	}
	if len(versions) == 0 {
		return []string{dir + " holds no format-vN folder"}
	}
	for _, version := range versions {
		text, err := fs.ReadFile(fsys, path.Join(version, manifest))
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s has no %s (write it with: cd %s && find . -type f ! -name %[2]s | sort | xargs sha256sum > %[2]s)", version, manifest, version))
			continue
		}
		listed := map[string]bool{manifest: true}
		for line := range strings.Lines(string(text)) {
			want, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
			name = path.Clean(name)
			data, err := fs.ReadFile(fsys, path.Join(version, name))
			if !ok || err != nil {
				problems = append(problems, fmt.Sprintf("%s: golden file %q is gone", version, name))
				continue
			}
			listed[name] = true
			if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
				problems = append(problems, fmt.Sprintf("%s: golden file %q was changed", version, name))
			}
		}
		if len(listed) == 1 {
			problems = append(problems, version+" holds no golden file")
		}
		err = fs.WalkDir(fsys, version, func(p string, d fs.DirEntry, err error) error {
			if name := strings.TrimPrefix(p, version+"/"); err == nil && !d.IsDir() && !listed[name] {
				problems = append(problems, fmt.Sprintf("%s: %q is not in %s", version, name, manifest))
			}
			return err
		})
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	slices.Sort(problems)
	return problems
}

func TestGoldenRuleCanFail(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		full := dir + "/" + name
		if err := os.MkdirAll(path.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	write("empty/readme", "x")
	wantProblems(t, goldenProblems(os.DirFS(dir), "empty"), "holds no format-vN folder")

	write("t/format-v1/a", "one")
	write("t/format-v1/sub/b", "two")
	write("t/format-v1/"+manifest, sum("one")+"  ./a\n"+sum("two")+"  sub/b\n")
	wantProblems(t, goldenProblems(os.DirFS(dir), "t"))

	write("t/format-v1/extra", "three")
	write("t/format-v1/a", "changed")
	write("t/format-v1/"+manifest, sum("one")+"  a\n"+sum("two")+"  sub/b\n"+sum("x")+"  gone\n")
	write("t/format-v2/a", "no manifest")
	write("t/format-v3/"+manifest, "")
	wantProblems(t, goldenProblems(os.DirFS(dir), "t"),
		`t/format-v1: "extra" is not in`, `golden file "a" was changed`, `golden file "gone" is gone`,
		"t/format-v2 has no "+manifest, "t/format-v3 holds no golden file")
}
