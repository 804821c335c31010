// Package durable writes files so that a crash at any instant leaves either
// the old state or the new one, never a part, and so that a nil error means
// the bytes are on the disk.
//
// The order of system calls is the whole point, so here it is:
//
//	Create    open temp, write, fsync temp, close, link temp→path (fails if
//	          path exists), unlink temp, fsync the folder of path
//	Replace   open temp, write, fsync temp, close, rename temp→path, fsync
//	          the folder of path
//	Remove    unlink path, fsync the folder of path
//	EnsureDir mkdir each missing folder, fsync the folder above it
//
// Where the file system has no hard links (FAT, exFAT, some network shares)
// Create renames with the operating system's "do not replace" flag instead:
// renameat2 on Linux, renamex_np on macOS, MoveFileEx on Windows, which is
// the only way used there. Where that is missing too, Create refuses with
// Kind Invalid: it never falls back to check-then-rename, which two writers
// would both win.
//
// Folders cannot be fsynced on Windows; there the move itself is written
// through. A file system that answers an fsync of a folder with "invalid" or
// "not supported" has no such operation, and Disk goes on: what it promises is
// then what that file system promises.
//
// After an fsync has failed the temp file is dropped, never synced again: the
// kernel may have thrown the pages away and a second fsync would lie.
package durable

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"allod"
)

// TempPrefix begins the name of every temp file. A crash leaves such files
// behind; whoever owns the folder removes them when they are old enough that
// no writer can still be at work on them.
const TempPrefix = "~tmp-"

// Step names one system call of a durable write.
type Step string

// The steps, in the words of the package comment.
const (
	StepMkdir       Step = "mkdir"
	StepOpenTemp    Step = "open-temp"
	StepWrite       Step = "write"
	StepSync        Step = "fsync"
	StepClose       Step = "close"
	StepLink        Step = "link"
	StepRenameNew   Step = "rename-no-replace"
	StepRename      Step = "rename"
	StepUnlinkTemp  Step = "unlink-temp"
	StepUnlink      Step = "unlink"
	StepSyncDir     Step = "fsync-dir"
	StepCleanupTemp Step = "cleanup-temp" // unlink of a temp file after a failure; its own failure is not reported
)

// Disk writes files durably. The zero value is ready for use. Methods may be
// called from several goroutines and processes at once.
type Disk struct {
	// Temp is the folder for temp files; it must exist and lie in the same
	// file system as the files written. Empty means the folder of the file.
	Temp string

	// Hook, if set, stands around every system call: it calls do, or does
	// not, and what it returns counts as the outcome. Tests use it to see the
	// order and to fail a step before or after it was done.
	Hook func(step Step, path string, do func() error) error
}

func (d *Disk) step(s Step, path string, do func() error) error {
	if d.Hook == nil {
		return do()
	}
	return d.Hook(s, path, do)
}

// Create writes the bytes of r to a new file at path, whose folder must exist.
// If path exists the error is of Kind Conflict and satisfies
// errors.Is(err, fs.ErrExist), nothing is changed, and the file that exists is
// durable by then: it can be relied on as if this call had made it. Of several
// callers at once exactly one succeeds.
//
// size is the exact number of bytes of r, or -1 when not known; if r gives
// more or fewer the error is Invalid and there is no file. An error of r
// itself is wrapped and keeps its Kind. After any other error the file may or
// may not be there, but if it is, it is whole.
func (d *Disk) Create(path string, r io.Reader, size int64) error {
	temp, err := d.writeTemp(path, r, size)
	if err != nil {
		return err
	}
	err = d.publish(temp, path)
	if errors.Is(err, fs.ErrExist) {
		d.cleanup(temp)
		// The other writer may not have come to its own fsync yet. The file's
		// bytes were synced before it got its name.
		if serr := d.syncDir(filepath.Dir(path)); serr != nil {
			return Wrap(serr, "create %s", path)
		}
		return Wrap(err, "create %s", path)
	}
	if err != nil {
		d.cleanup(temp)
		return Wrap(err, "create %s", path)
	}
	if err := d.syncDir(filepath.Dir(path)); err != nil {
		return Wrap(err, "create %s", path)
	}
	return nil
}

// Replace writes data to path, whose folder must exist, in place of what was
// there, if anything. A reader sees the old or the new bytes. After an error
// either of them is there.
func (d *Disk) Replace(path string, data []byte) error {
	temp, err := d.writeTemp(path, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	if err := d.step(StepRename, path, func() error { return rename(temp, path) }); err != nil {
		d.cleanup(temp)
		return Wrap(err, "replace %s", path)
	}
	if err := d.syncDir(filepath.Dir(path)); err != nil {
		return Wrap(err, "replace %s", path)
	}
	return nil
}

// Remove unlinks path and makes that durable. A path that does not exist is
// not an error.
func (d *Disk) Remove(path string) error {
	err := d.step(StepUnlink, path, func() error { return os.Remove(path) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Wrap(err, "remove %s", path)
	}
	err = d.syncDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Wrap(err, "remove %s", path)
	}
	return nil
}

// MkdirAll makes the folder path and those above it that are missing, each
// with mode 0700 before umask, and makes the new ones durable. Folders that
// exist are left alone.
func (d *Disk) MkdirAll(path string) error {
	path = filepath.Clean(path)
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return allod.Errorf(allod.Invalid, "make folder %s: a file is in its place", path)
		}
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := d.MkdirAll(parent); err != nil {
			return err
		}
	}
	return d.mkdir(path)
}

// EnsureDir makes the folder rel (slash-separated) below base, which exists.
// Every folder of rel is durable afterwards, even one that another process
// has just made and not yet synced.
func (d *Disk) EnsureDir(base, rel string) error {
	path := base
	for seg := range strings.SplitSeq(rel, "/") {
		if seg == "" || seg == "." {
			continue
		}
		path = filepath.Join(path, seg)
		if err := d.mkdir(path); err != nil {
			return err
		}
	}
	return nil
}

// SyncDir makes the names in the folder dir durable: who finds a file that
// another process has just made calls it before relying on that file.
func (d *Disk) SyncDir(dir string) error {
	return Wrap(d.syncDir(dir), "sync folder %s", dir)
}

// mkdir makes one folder, or finds it there, and syncs the one above.
func (d *Disk) mkdir(path string) error {
	err := d.step(StepMkdir, path, func() error { return os.Mkdir(path, 0o700) })
	if errors.Is(err, fs.ErrExist) {
		info, serr := os.Stat(path)
		if serr != nil {
			return Wrap(serr, "make folder %s", path)
		}
		if !info.IsDir() {
			return allod.Errorf(allod.Invalid, "make folder %s: a file is in its place", path)
		}
		err = nil
	}
	if err != nil {
		return Wrap(err, "make folder %s", path)
	}
	if err := d.syncDir(filepath.Dir(path)); err != nil {
		return Wrap(err, "make folder %s", path)
	}
	return nil
}

// writeTemp writes a synced, closed temp file for path and returns its name;
// after an error there is none.
func (d *Disk) writeTemp(path string, r io.Reader, size int64) (string, error) {
	dir := d.Temp
	if dir == "" {
		dir = filepath.Dir(path)
	}
	temp := filepath.Join(dir, TempPrefix+rand.Text())
	var f *os.File
	err := d.step(StepOpenTemp, temp, func() (err error) {
		f, err = os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return err
	})
	if err != nil {
		if f != nil {
			_ = f.Close() // the step was done and reported failed; nothing was written
			d.cleanup(temp)
		}
		return "", Wrap(err, "write %s", path)
	}
	err = d.step(StepWrite, temp, func() error { return copyExactly(f, r, size) })
	if err == nil {
		err = d.step(StepSync, temp, f.Sync)
	}
	// Close is called even when the hook refuses the step, or the file would leak.
	cerr := d.step(StepClose, temp, f.Close)
	if cerr != nil {
		_ = f.Close() // a second close of a closed file only says so
	}
	if err = errors.Join(err, cerr); err != nil {
		d.cleanup(temp)
		return "", Wrap(err, "write %s", path)
	}
	return temp, nil
}

// cleanup removes a temp file after a failure. Its own failure is not
// reported: the write has failed already, and the owner of the folder sweeps
// temp files.
func (d *Disk) cleanup(temp string) {
	_ = d.step(StepCleanupTemp, temp, func() error { return os.Remove(temp) })
}

// renameNew is publish by the operating system's rename that refuses to
// replace.
func (d *Disk) renameNew(temp, path string) error {
	err := d.step(StepRenameNew, path, func() error { return renameNoReplace(temp, path) })
	if isUnsupported(err) {
		return allod.WithHint(allod.Errorf(allod.Invalid, "file system can neither link nor rename without replacing: %w", err),
			"Choose a folder on a file system with hard links.")
	}
	return err
}

// errSize marks a reader that did not give the promised number of bytes.
var errSize = errors.New("size differs from what was announced")

// copyExactly copies all of r and checks it against size unless that is -1.
// It reads at most one byte more than size.
func copyExactly(w io.Writer, r io.Reader, size int64) error {
	if size < 0 {
		_, err := io.Copy(w, r)
		return err
	}
	n, err := io.Copy(w, io.LimitReader(r, size))
	if err != nil {
		return err
	}
	if n < size {
		return fmt.Errorf("%w: got %d of %d bytes", errSize, n, size)
	}
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n > 0:
		return fmt.Errorf("%w: got more than %d bytes", errSize, size)
	case err != io.EOF:
		return err
	}
	return nil
}
