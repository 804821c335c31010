package durable_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/durable"
)

// recorder notes the steps and fails one of them.
type recorder struct {
	mu    sync.Mutex
	steps []string
	fail  int  // index of the step to fail; -1 = none
	done  bool // do it, then report a failure
	err   error
}

func (r *recorder) hook(step durable.Step, _ string, do func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, string(step))
	if len(r.steps)-1 != r.fail {
		return do()
	}
	if r.done {
		if err := do(); err != nil {
			return err
		}
	}
	return r.err
}

func newRecorder() *recorder { return &recorder{fail: -1, err: syscall.EIO} }

func read(t *testing.T, path string) (string, bool) {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b), true
}

// temps lists what a crash or failure left behind in dir.
func temps(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), durable.TempPrefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestOrderOfSystemCalls(t *testing.T) {
	publish := []string{"link", "unlink-temp"}
	if runtime.GOOS == "windows" {
		publish = []string{"rename-no-replace"}
	}
	write := []string{"open-temp", "write", "fsync", "close"}
	join := func(parts ...[]string) (all []string) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, tc := range []struct {
		name string
		do   func(d *durable.Disk, dir string) error
		want []string
	}{
		{"create", func(d *durable.Disk, dir string) error {
			return d.Create(filepath.Join(dir, "f"), strings.NewReader("x"), 1)
		}, join(write, publish, []string{"fsync-dir"})},
		{"create over an existing file", func(d *durable.Disk, dir string) error {
			err := d.Create(filepath.Join(dir, "old"), strings.NewReader("x"), 1)
			if !errors.Is(err, fs.ErrExist) {
				return errors.Join(errors.New("no ErrExist"), err)
			}
			return nil
		}, join(write, publish[:1], []string{"cleanup-temp", "fsync-dir"})},
		{"replace", func(d *durable.Disk, dir string) error {
			return d.Replace(filepath.Join(dir, "old"), []byte("x"))
		}, join(write, []string{"rename", "fsync-dir"})},
		{"remove", func(d *durable.Disk, dir string) error {
			return d.Remove(filepath.Join(dir, "old"))
		}, []string{"unlink", "fsync-dir"}},
		{"mkdirall", func(d *durable.Disk, dir string) error {
			return d.MkdirAll(filepath.Join(dir, "a", "b"))
		}, []string{"mkdir", "fsync-dir", "mkdir", "fsync-dir"}},
		{"ensuredir syncs what another has made", func(d *durable.Disk, dir string) error {
			if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
				return err
			}
			return d.EnsureDir(dir, "a/b")
		}, []string{"mkdir", "fsync-dir", "mkdir", "fsync-dir"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			r := newRecorder()
			if err := tc.do(&durable.Disk{Hook: r.hook}, dir); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, r.steps); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if left := temps(t, dir); len(left) > 0 {
				t.Errorf("temp files left: %v", left)
			}
		})
	}
}

// TestEveryStepFails fails each step of each operation in turn, once not done
// and once done but reported failed. Afterwards the file is the old or the new
// one, whole; the call has reported the failure; and the next call works.
func TestEveryStepFails(t *testing.T) {
	const old, fresh = "old content", "the new content"
	ops := map[string]struct {
		before  bool // the file is there beforehand
		do      func(d *durable.Disk, path string) error
		allowed map[string]bool // contents allowed after a failure; "-" = no file
	}{
		"create": {false, func(d *durable.Disk, path string) error {
			return d.Create(path, strings.NewReader(fresh), -1)
		}, map[string]bool{"-": true, fresh: true}},
		"replace": {true, func(d *durable.Disk, path string) error {
			return d.Replace(path, []byte(fresh))
		}, map[string]bool{old: true, fresh: true}},
		"remove": {true, func(d *durable.Disk, path string) error {
			return d.Remove(path)
		}, map[string]bool{old: true, "-": true}},
	}
	for name, op := range ops {
		for _, done := range []bool{false, true} {
			for k := 0; ; k++ {
				dir := t.TempDir()
				path := filepath.Join(dir, "f")
				if op.before {
					if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				r := newRecorder()
				r.fail, r.done = k, done
				err := op.do(&durable.Disk{Hook: r.hook}, path)
				reached := len(r.steps) > k
				if reached && r.steps[k] != "cleanup-temp" && !errors.Is(err, syscall.EIO) {
					t.Errorf("%s, step %d (%s), done %v: error %v, want EIO", name, k, r.steps[k], done, err)
				}
				got, there := read(t, path)
				if !there {
					got = "-"
				}
				if reached && !op.allowed[got] {
					t.Errorf("%s, step %d (%s), done %v: file holds %q", name, k, r.steps[k], done, got)
				}
				if err := op.do(&durable.Disk{}, path); err != nil && !errors.Is(err, fs.ErrExist) {
					t.Errorf("%s after a failure in step %d: %v", name, k, err)
				}
				if !reached {
					if err != nil {
						t.Errorf("%s without a failure: %v", name, err)
					}
					break
				}
			}
		}
	}
}

func TestCreateRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var wg sync.WaitGroup
	results := make([]error, 16)
	for i := range results {
		wg.Go(func() {
			results[i] = (&durable.Disk{}).Create(path, bytes.NewReader(bytes.Repeat([]byte{byte(i)}, 4096)), 4096)
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range results {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("%d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, fs.ErrExist) || allod.KindOf(err) != allod.Conflict:
			t.Errorf("loser %d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	if got, _ := read(t, path); got != strings.Repeat(string(rune(winner)), 4096) {
		t.Error("the file is not the winner's")
	}
}

func TestReaderFails(t *testing.T) {
	broken := allod.Errorf(allod.Corrupt, "bad page")
	for _, tc := range []struct {
		name string
		r    io.Reader
		size int64
		kind allod.Kind
	}{
		{"reader breaks off", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), -1, allod.Corrupt},
		{"reader breaks off, size known", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), 8, allod.Corrupt},
		{"reader breaks off at the very end", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)), 4, allod.Corrupt},
		{"too short", strings.NewReader("1234567"), 8, allod.Invalid},
		{"too long", strings.NewReader("123456789"), 8, allod.Invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			err := (&durable.Disk{}).Create(filepath.Join(dir, "f"), tc.r, tc.size)
			if got := allod.KindOf(err); got != tc.kind {
				t.Errorf("kind of %v = %v, want %v", err, got, tc.kind)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 0 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	for _, tc := range []struct {
		err  error
		kind allod.Kind
		hint bool
	}{
		{syscall.ENOSPC, allod.Unavailable, true},
		{syscall.EROFS, allod.Denied, true},
		{syscall.EACCES, allod.Denied, true},
		{syscall.EMFILE, allod.Unavailable, true},
		{syscall.ENOENT, allod.NotFound, false},
		{syscall.EEXIST, allod.Conflict, false},
		{syscall.ENAMETOOLONG, allod.Invalid, false},
		{syscall.EIO, allod.Internal, false},
	} {
		if runtime.GOOS == "windows" {
			t.Skip("the numbers are those of unix")
		}
		for step := range 4 { // the steps that write
			r := newRecorder()
			r.fail, r.err = step, &fs.PathError{Op: "x", Path: "y", Err: tc.err}
			err := (&durable.Disk{Hook: r.hook}).Create(filepath.Join(t.TempDir(), "f"), strings.NewReader("x"), 1)
			if got := allod.KindOf(err); got != tc.kind {
				t.Errorf("%v: kind %v, want %v", tc.err, got, tc.kind)
			}
			if got := allod.HintOf(err) != ""; got != tc.hint {
				t.Errorf("%v: hint %q, want one: %v", tc.err, allod.HintOf(err), tc.hint)
			}
			if !errors.Is(err, tc.err) {
				t.Errorf("%v is not in the chain of %v", tc.err, err)
			}
		}
	}
}

// TestWithoutHardLinks plays a file system that refuses links.
func TestWithoutHardLinks(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("no second way on " + runtime.GOOS)
	}
	var steps []string
	d := &durable.Disk{Hook: func(step durable.Step, _ string, do func() error) error {
		steps = append(steps, string(step))
		if step == durable.StepLink {
			return syscall.EPERM
		}
		return do()
	}}
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := d.Create(path, strings.NewReader("one"), 3); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(path, strings.NewReader("two"), 3); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second create: %v, want ErrExist", err)
	}
	if got, _ := read(t, path); got != "one" {
		t.Errorf("file holds %q, want one", got)
	}
	if left := temps(t, dir); len(left) > 0 {
		t.Errorf("temp files left: %v", left)
	}
	want := []string{"open-temp", "write", "fsync", "close", "link", "rename-no-replace", "fsync-dir"}
	if diff := cmp.Diff(want, steps[:len(want)]); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	d.Hook = func(step durable.Step, _ string, do func() error) error {
		if step == durable.StepLink || step == durable.StepRenameNew {
			return errors.ErrUnsupported
		}
		return do()
	}
	err := d.Create(filepath.Join(dir, "g"), strings.NewReader("x"), 1)
	if allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
		t.Errorf("without either way: %v (kind %v, hint %q)", err, allod.KindOf(err), allod.HintOf(err))
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	d := &durable.Disk{}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"mkdirall on a file":  d.MkdirAll(filepath.Join(dir, "file")),
		"ensuredir on a file": d.EnsureDir(dir, "file"),
	} {
		if allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: %v, want an invalid error", name, err)
		}
	}
	if err := d.Create(filepath.Join(dir, "missing", "f"), strings.NewReader(""), 0); allod.KindOf(err) != allod.NotFound {
		t.Errorf("create in a missing folder: %v, want not-found", err)
	}
	if err := d.Remove(filepath.Join(dir, "missing", "f")); err != nil {
		t.Errorf("remove below a missing folder: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	_, err = f.Write([]byte("x"))
	if got := allod.KindOf(durable.Wrap(err, "write")); got != allod.Unavailable {
		t.Errorf("kind of %v = %v, want unavailable", err, got)
	}
	if durable.Wrap(nil, "write") != nil {
		t.Error("Wrap(nil) is not nil")
	}
}
