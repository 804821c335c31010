package file_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/blobcheck"
	"allod/internal/blob/file"
	"allod/internal/durable"
)

func open(t *testing.T, root string, opts file.Options) *file.Store {
	t.Helper()
	s, err := file.Open(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *file.Store, name, data string) error {
	t.Helper()
	return s.Put(t.Context(), name, strings.NewReader(data), int64(len(data)), blob.PutOptions{})
}

func TestChecks(t *testing.T) {
	for _, c := range blobcheck.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			err := c.Run(t.Context(), open(t, t.TempDir(), file.Options{}))
			var skipped blobcheck.Skipped
			if errors.As(err, &skipped) && (c.Locks || strings.HasPrefix(c.Name, "version")) {
				return // a folder has neither locks nor versions
			}
			if err != nil {
				t.Errorf("%v (%s)", err, c.Why)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := file.Open(filepath.Join(dir, "missing"), file.Options{}); allod.KindOf(err) != allod.NotFound {
		t.Errorf("open of a missing folder: %v, want not-found", err)
	}
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Open(plain, file.Options{}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("open of a file: %v, want invalid", err)
	}
	s, err := file.Create(filepath.Join(dir, "a", "b"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.String())
	if err != nil || len(entries) != 0 {
		t.Errorf("a fresh store holds %v (%v), want nothing", entries, err)
	}
}

// TestForeignFiles: what cannot be an object is neither listed nor touched,
// and a folder is not mistaken for an object.
func TestForeignFiles(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, file.Options{})
	if err := put(t, s, "packs/a", "x"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.TXT", "packs/Thumbs.db", "packs/a~"} {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	var names []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	if got := strings.Join(names, " "); got != "packs/a" {
		t.Errorf("list = %q, want packs/a", got)
	}
	if err := s.Delete(t.Context(), "empty"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "empty")); err != nil {
		t.Errorf("delete of an object took a folder: %v", err)
	}
	if err := put(t, s, "packs", "x"); allod.KindOf(err) != allod.Invalid {
		t.Errorf("put over a folder: %v, want invalid", err)
	}
	if err := put(t, s, "packs/a/b", "x"); allod.KindOf(err) != allod.Invalid {
		t.Errorf("put below an object: %v, want invalid", err)
	}
}

func TestStaleTempFilesAreSwept(t *testing.T) {
	root := t.TempDir()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	temp := filepath.Join(root, "~tmp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{
		durable.TempPrefix + "old":   25 * time.Hour,
		durable.TempPrefix + "young": 23 * time.Hour,
		"foreign":                    99 * time.Hour,
	} {
		path := filepath.Join(temp, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, root, file.Options{Now: func() time.Time { return now }})
	if err := put(t, s, "a", "x"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got, want := strings.Join(left, " "), "foreign "+durable.TempPrefix+"young"; got != want {
		t.Errorf("left in the temp folder: %q, want %q", got, want)
	}
}

// TestOthersMayNotLook checks the modes of everything that a store makes,
// whatever the umask of the process is stricter than.
func TestOthersMayNotLook(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	root := filepath.Join(t.TempDir(), "new", "store")
	s, err := file.Create(root, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := put(t, s, "packs/a", "x"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"slots/a@1", "packs/b"} {
		if err := s.Replace(t.Context(), name, []byte("y")); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	err = filepath.WalkDir(filepath.Dir(root), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if seen++; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s: got mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil || seen != 8 {
		t.Errorf("looked at %d files and folders, %v, want 8", seen, err)
	}
}

// TestPutFailsAtEveryStep: after a put that failed at any system call the
// object is absent or whole, and the put repeated settles it.
func TestPutFailsAtEveryStep(t *testing.T) {
	for _, done := range []bool{false, true} {
		for k := 1; ; k++ {
			root := t.TempDir()
			calls := 0
			s := open(t, root, file.Options{Hook: func(_ durable.Step, _ string, do func() error) error {
				calls++
				if calls != k {
					return do()
				}
				if done {
					if err := do(); err != nil {
						return err
					}
				}
				return syscall.ENOSPC
			}})
			err := put(t, s, "log/00000000000000000001", "entry")
			if calls < k {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if allod.KindOf(err) != allod.Unavailable || allod.HintOf(err) == "" {
				t.Errorf("call %d, done %v: %v (kind %v), want unavailable with a hint", k, done, err, allod.KindOf(err))
			}
			r, err := s.Get(t.Context(), "log/00000000000000000001", 0, -1)
			if err == nil {
				if got, _ := io.ReadAll(r); string(got) != "entry" {
					t.Errorf("call %d, done %v: object holds %q", k, done, got)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			} else if !errors.Is(err, blob.ErrNotFound) {
				t.Error(err)
			}
			again := open(t, root, file.Options{})
			if err := put(t, again, "log/00000000000000000001", "entry"); err != nil && !errors.Is(err, blob.ErrExists) {
				t.Errorf("call %d, done %v: put again: %v", k, done, err)
			}
		}
	}
}

func TestReadOnlyFolder(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("root and Windows write everywhere; TestKinds of durable covers the error")
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := put(t, open(t, root, file.Options{}), "a", "x"); allod.KindOf(err) != allod.Denied {
		t.Errorf("put into a read-only folder: %v, want denied", err)
	}
}
