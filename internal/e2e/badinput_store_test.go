package e2e_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/capture"
)

// changes changes a contact, so that the next backup has something to store.
func (r *rough) changes(title string) {
	r.t.Helper()
	id, _ := r.contactWithPhone()
	r.co.call(http.MethodPatch, "contacts("+id+")", map[string]any{"jobtitle": title})
}

// diskFull fills a real disk, where one can be mounted: with no room at all, and
// with room for the ledger but not for what is to be stored. Where exactly it
// fills up in the middle of a commit is the fault store's part.
func diskFull(t *testing.T, r *rough) {
	const noted = 700 << 10
	if r.mounted {
		leave := r.fillDisk(t)
		r.changes("full")
		leave(0)
		r.allod(8, []string{"hold keys", "leases/", "no space left", "Free space"}, "backup", "demo")
		r.allod(8, []string{"read demo", "ledger", "no space left", "Free space"}, "ls", "demo@2", "contact", "--limit", "1")
		leave(noted / 2)
		r.co.call(http.MethodPost, "annotations", map[string]any{"subject": "too big", "filename": "f.bin", "mimetype": "application/octet-stream", "isdocument": true, "documentbody": noise(noted)})
		r.allod(8, []string{"back up demo", "annotation", "no space left", "Free space"}, "backup", "demo", "--table", "annotation")
		if err := os.Remove(filepath.Join(r.disk, "ballast")); err != nil {
			t.Fatal(err)
		}
		r.allod(0, nil, "backup", "demo")
		r.intact()
		r.golden("disk full: a real disk")
		r.shown.Reset()
	}
	for _, c := range [][2]string{{"packs/", "back up demo"}, {"log/", "back up demo"}, {"ledger/", "capture demo"}} {
		at, names := c[0], c[1]
		r.changes("full at " + at)
		r.wrap = func(s blob.Mutable) blob.Mutable {
			return fault.New(s, fault.Fault{Call: 1, Mode: fault.NoSpace, Match: func(c fault.Call) bool { return c.Op == fault.Put && strings.HasPrefix(c.Name, at) }})
		}
		r.allod(8, []string{names, at, "no space left", "Free space"}, "backup", "demo")
		r.wrap = nil
	}
}

// noise is n bytes that cannot be packed, in base64.
func noise(n int) string {
	rnd, b := rand.NewChaCha8([32]byte{1}), make([]byte, n)
	_, _ = rnd.Read(b) // never fails
	return base64.StdEncoding.EncodeToString(b)
}

// fillDisk writes until the disk is full; what it returns leaves so many bytes.
func (r *rough) fillDisk(t *testing.T) (leave func(int64)) {
	t.Helper()
	path := filepath.Join(r.disk, "ballast")
	return func(free int64) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for block := make([]byte, 64<<10); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err = errors.Join(err, f.Truncate(info.Size()-free), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// readOnlyStore: backups are refused, and what would have to be recorded is not
// shown; what needs no key and no record goes on.
func readOnlyStore(t *testing.T, r *rough) {
	r.changes("read-only")
	if r.mounted {
		if err := remount(r.disk, true); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := remount(r.disk, false); err != nil {
				t.Fatal(err)
			}
		}()
		r.allod(4, []string{"hold keys", "read-only file system", "mount it writable"}, "backup", "demo")
		r.allod(4, []string{"read demo", "read-only file system"}, "ls", "demo@2", "contact", "--limit", "1")
		r.allod(0, []string{" 0 bad"}, "vault", "verify", "--public")
		if err := remount(r.disk, false); err != nil {
			t.Fatal(err)
		}
		r.intact()
		r.golden("read-only store: a real disk")
		r.shown.Reset()
	}
	r.wrap = func(s blob.Mutable) blob.Mutable { return refusing{s} }
	r.allod(4, []string{"hold keys", "permission denied", "right to write"}, "backup", "demo")
}

// refusing is a store in a folder that may not be written to.
type refusing struct{ blob.Mutable }

func (refusing) Put(_ context.Context, name string, _ io.Reader, _ int64, _ blob.PutOptions) error {
	return allod.WithHint(allod.Errorf(allod.Denied, "put %s: %w", name, os.ErrPermission), "Give the user that runs Allod the right to write there.")
}

// wrongPassphrase: nothing opens, and nothing is touched.
func wrongPassphrase(t *testing.T, r *rough) {
	dir := shortDir(t)
	r.passphrase = "the one it was made with"
	d := newDeskIn(t, r.clock, dir, r.desk.deps, act.InitOptions{})
	d.connect("demo", r.co.url)
	d.backup("demo", capture.Options{Tables: []string{"account"}})
	had := d.rowsAt(latest("demo"), "account")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.Office = nil
	sum := treeSum(t, dir)
	r.passphrase = "another one, of last year"
	for _, args := range [][]string{{"ls", "demo@1", "account"}, {"backup", "demo"}, {"vault", "verify"}} {
		r.allodIn(dir, 4, []string{tidy(dir), "passphrase", "recovery key"}, args...)
	}
	r.allodIn(dir, 4, []string{"read the key file"}, "status", "--key", "file:keys/lost")
	r.allodIn(dir, 5, []string{"none of kind key-file"}, "status", "--key", "file:"+filepath.Join(r.desk.dir, "keys", "test.key"))
	r.allodIn(dir, 2, []string{"recovery key"}, "status", "--key", "paper")
	if strings.Contains(r.shown.String(), r.passphrase) {
		t.Error("the passphrase is shown")
	}
	if got := treeSum(t, dir); got != sum {
		t.Error("something was written without the key")
	}
	r.passphrase = "the one it was made with"
	d.reopen()
	if got := d.rowsAt(latest("demo"), "account"); got != had || had == 0 {
		t.Errorf("%d accounts, had %d", got, had)
	}
}

// treeSum is a digest of all files in a folder and their names.
func treeSum(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%q %x\n", path, sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// newerFormat: a vault, or one entry of its log, of a format to come is refused
// by every command, and not touched.
func newerFormat(t *testing.T, r *rough) {
	for _, object := range []string{"vault", "log/*1"} {
		dir := filepath.Join(shortDir(t), "newer")
		if err := os.CopyFS(dir, os.DirFS(r.desk.dir)); err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(dir, "disk", "vault", object))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v %v", object, found, err)
		}
		rewrite(t, found[0], func(b []byte) []byte { return []byte(strings.Replace(string(b), `"format":1,`, `"format":3,`, 1)) })
		sum := treeSum(t, dir)
		for _, args := range [][]string{{"backup", "demo"}, {"ls", "demo@2", "contact"}, {"vault", "verify", "--public"}} {
			r.allodIn(dir, 2, []string{"newer version of Allod", "nothing was touched"}, args...)
		}
		if treeSum(t, dir) != sum {
			t.Error("something was written into a vault of a newer format")
		}
	}
}

// rewrite changes a file that may be read-only.
func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, change(b), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// twoAtOnce: while one backup is about to commit, another one does. The first is
// told; the next goes on from there. Then two real processes at once.
func twoAtOnce(t *testing.T, r *rough) {
	r.changes("two at once")
	var once sync.Once
	r.wrap = func(s blob.Mutable) blob.Mutable {
		return &between{Mutable: s, before: func() {
			once.Do(func() {
				r.wrap = nil
				other, err := act.Open(t.Context(), r.desk.dir, r.desk.deps)
				if err != nil {
					t.Fatal(err)
				}
				_, err = other.Backup(t.Context(), "demo", capture.Options{})
				if err = errors.Join(err, other.Close()); err != nil {
					t.Error(err)
				}
			})
		}}
	}
	r.allod(6, []string{"back up demo"}, "backup", "demo")
	r.allod(0, []string{"0 created, 0 updated, 0 deleted"}, "backup", "demo")
	if runtime.GOOS == "windows" {
		return // the child's main is in a file for unix
	}
	r.changes("two processes at once")
	var done [2]error
	var said [2][]byte
	var wait sync.WaitGroup
	for i := range done {
		wait.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "ALLOD_E2E_KILL=none:1", "ALLOD_E2E_DIR="+r.desk.dir, "ALLOD_E2E_AHEAD="+time.Until(r.clock.Now()).String())
			said[i], done[i] = cmd.CombinedOutput()
		})
	}
	wait.Wait()
	if !slices.Contains(done[:], nil) {
		t.Errorf("neither backup was done: %s; %s", said[0], said[1])
	}
	for i, err := range done {
		if err != nil && !strings.Contains(string(said[i]), "demo") {
			t.Errorf("%v: %s", err, said[i])
		}
	}
}

// between calls before ahead of each put of a log entry.
type between struct {
	blob.Mutable
	before func()
}

func (b *between) Put(ctx context.Context, name string, r io.Reader, size int64, o blob.PutOptions) error {
	if strings.HasPrefix(name, "log/") {
		b.before()
	}
	return b.Mutable.Put(ctx, name, r, size, o)
}

// hostileLengths makes objects a gibibyte long, or 60 bytes:
// they are named, with exit code 7, without being read whole; put back, all is
// well.
func hostileLengths(t *testing.T, r *rough) {
	for _, c := range []struct {
		glob, names string
		code, half  int
	}{
		{"disk/vault/vault", "vault", 7, 7},
		{"disk/vault/log/*2", "log/", 7, 7},
		{"disk/vault/packs/*", "packs/", 7, 7},
		{"disk/vault/ledger/entry/*", "ledger/", 7, 7},
		{"disk/vault/keytree/*/*/root", "keytree/", 7, 7},
		{"slots/slots/*", "slots/", 7, 7},
		{"allod.yaml", "allod.yaml", 2, 2},
		{"vault.pin", "vault.pin", 7, 7},
	} {
		found, err := filepath.Glob(filepath.Join(r.desk.dir, filepath.FromSlash(c.glob)))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v %v", c.glob, found, err)
		}
		path := found[len(found)-1]
		if c.names == "packs/" { // their names are digests
			path = slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(sizeOf(t, a), sizeOf(t, b)) })
		}
		had, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 1<<30)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&r.shown, "# %s of 1 GiB\n", c.glob)
		var was, is runtime.MemStats
		runtime.ReadMemStats(&was)
		begun := time.Now()
		r.allod(c.code, []string{c.names}, "vault", "verify")
		runtime.ReadMemStats(&is)
		if n := is.TotalAlloc - was.TotalAlloc; n > 768<<20 {
			t.Errorf("%s: %d MiB were allocated in %s", c.glob, n>>20, time.Since(begun))
		}
		t.Logf("%s: %d MiB in %s", c.glob, (is.TotalAlloc-was.TotalAlloc)>>20, time.Since(begun))
		if err := os.Truncate(path, 60); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&r.shown, "# the first 60 bytes of %s\n", c.glob)
		r.allod(c.half, []string{c.names}, "vault", "verify")
		if err := os.WriteFile(path, had, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
