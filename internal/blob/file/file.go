// Package file keeps objects as files in a local folder, one file per object,
// through package durable: when Put, Replace or Delete returns nil the change
// has reached the disk. Object names are file names, so any tool can list and
// copy such a store.
//
// What a file system cannot do: lock objects (RetainUntil is refused with
// blob.ErrLockUnsupported), and hold an object "a" beside an object "a/b".
// Files whose names no object may have (upper case, "~", hidden files of the
// system) are not objects and are left alone.
package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/durable"
)

// tempDir holds temp files; "~" may not stand in the name of an object.
const tempDir = "~tmp"

// staleAfter is the age at which a temp file cannot belong to a writer that
// is still at work.
const staleAfter = 24 * time.Hour

// Store is a folder of objects. Several Stores, also in other processes, may
// use one folder at once.
type Store struct {
	root string
	disk durable.Disk
	now  func() time.Time

	sweepOnce sync.Once
	dirs      sync.Map // slash-separated folder below root → made durable by this Store
}

var (
	_ blob.Mutable   = (*Store)(nil)
	_ blob.Describer = (*Store)(nil)
)

// Options of a Store. The zero value is what everybody but tests wants.
type Options struct {
	// Hook stands around every system call that writes; see durable.Disk.
	Hook func(step durable.Step, path string, do func() error) error
	// Now is the clock that tells which temp files are stale; nil = time.Now.
	Now func() time.Time
}

// Open returns the store in the existing folder root and writes nothing. The
// error is NotFound if root does not exist, Invalid if it is not a folder.
func Open(root string, opts Options) (*Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, durable.Wrap(err, "open store")
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, durable.Wrap(err, "open store %s", root)
	}
	if !info.IsDir() {
		return nil, allod.Errorf(allod.Invalid, "open store %s: not a folder", root)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Store{
		root: root, now: opts.Now,
		disk: durable.Disk{Temp: filepath.Join(root, tempDir), Hook: opts.Hook},
	}, nil
}

// Create makes the folder root, and those above it, if they are missing, and
// opens it.
func Create(root string, opts Options) (*Store, error) {
	disk := durable.Disk{Hook: opts.Hook}
	if err := disk.MkdirAll(root); err != nil {
		return nil, err
	}
	return Open(root, opts)
}

// String returns the folder.
func (s *Store) String() string { return s.root }

// Describe implements blob.Describer. Nothing is read: a folder keeps nothing
// of what is deleted, and what lies below it cannot be asked.
func (s *Store) Describe(ctx context.Context) (blob.Facts, error) {
	if err := ctx.Err(); err != nil {
		return blob.Facts{}, allod.Errorf(allod.Unavailable, "describe %s: %w", s.root, err)
	}
	return blob.Facts{Kind: "folder", Versions: blob.KeepsNone, Unread: []blob.Unread{
		{What: "snapshots", Why: "the file system or the machine below may keep snapshots of this folder"},
		{What: "backups", Why: "other programs may copy this folder"},
		{What: "media", Why: "a disk may keep freed blocks until it writes over them"},
	}}, nil
}

// Put implements blob.Store. It looks first whether the object exists, so a
// put that is not needed costs no writing.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if !opts.RetainUntil.IsZero() {
		return allod.WithHint(allod.Errorf(allod.Invalid, "put %s: %w", name, blob.ErrLockUnsupported),
			"A local folder cannot lock; use an object store with object lock, or no lock.")
	}
	if err := s.prepareWrite(ctx, name); err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return allod.Errorf(allod.Invalid, "put %s: objects exist below that name", name)
	} else if err == nil {
		// Create would find it too, after writing all of r to a temp file.
		err = s.disk.SyncDir(filepath.Dir(path))
		return exists(name, err)
	}
	err = s.disk.Create(path, ctxReader{ctx, r}, size)
	if errors.Is(err, fs.ErrExist) {
		return exists(name, nil)
	}
	return wrap(err, "put "+name)
}

// Replace implements blob.Mutable.
func (s *Store) Replace(ctx context.Context, name string, data []byte) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := s.prepareWrite(ctx, name); err != nil {
		return err
	}
	return wrap(s.disk.Replace(path, data), "replace "+name)
}

// Get implements blob.Store. The reader ends with the context's error once
// ctx is done.
func (s *Store) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, allod.Errorf(allod.Invalid, "get %s: offset %d", name, off)
	}
	if err := ctx.Err(); err != nil {
		return nil, allod.Errorf(allod.Unavailable, "get %s: %w", name, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, wrap(err, "get "+name)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist // a folder is no object
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, wrap(err, "get "+name)
	}
	length := max(0, info.Size()-off)
	if n >= 0 {
		length = min(length, n)
	}
	return section{ctxReader{ctx, io.NewSectionReader(f, off, length)}, f}, nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	path, err := s.path(name)
	if err != nil {
		return blob.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return blob.Info{}, allod.Errorf(allod.Unavailable, "stat %s: %w", name, err)
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return blob.Info{}, wrap(err, "stat "+name)
	}
	return blob.Info{Name: name, Size: info.Size(), Modified: info.ModTime().UTC()}, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return allod.Errorf(allod.Unavailable, "delete %s: %w", name, err)
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return nil // a folder is no object; os.Remove would take an empty one
	}
	if err := s.disk.Remove(path); !isMissing(err) {
		return wrap(err, "delete "+name)
	}
	return nil
}

// List implements blob.Store. One folder at a time is held in memory.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Info{}, err)
			return
		}
		folder := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			folder = prefix[:i+1]
		}
		s.list(ctx, folder, prefix, yield)
	}
}

// list yields the objects of folder ("" or ending in "/") that begin with
// prefix; false if the caller has had enough.
func (s *Store) list(ctx context.Context, folder, prefix string, yield func(blob.Info, error) bool) bool {
	entries, err := os.ReadDir(filepath.Join(s.root, filepath.FromSlash(folder)))
	if isMissing(err) && folder != "" {
		return true
	}
	if err != nil {
		yield(blob.Info{}, wrap(err, "list "+folder))
		return false
	}
	// A folder stands where its objects' names stand: "a-b" < "a/x" < "a0".
	sortName := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		name := folder + e.Name()
		if blob.CheckName(name) != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			yield(blob.Info{}, allod.Errorf(allod.Unavailable, "list %s: %w", prefix, err))
			return false
		}
		if e.IsDir() {
			// Everything below begins with prefix, or part of it may.
			if strings.HasPrefix(name+"/", prefix) || strings.HasPrefix(prefix, name+"/") {
				if !s.list(ctx, name+"/", prefix, yield) {
					return false
				}
			}
			continue
		}
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		info, err := s.Stat(ctx, name)
		if errors.Is(err, blob.ErrNotFound) {
			continue // deleted meanwhile, or no regular file
		}
		if !yield(info, err) || err != nil {
			return false
		}
	}
	return true
}

// path returns the file of an object.
func (s *Store) path(name string) (string, error) {
	if err := blob.CheckName(name); err != nil {
		return "", err
	}
	if runtime.GOOS == "windows" {
		for seg := range strings.SplitSeq(name, "/") {
			if !filepath.IsLocal(seg) || strings.HasSuffix(seg, ".") {
				return "", allod.Errorf(allod.Invalid, "object name %q: Windows reserves %q", name, seg)
			}
		}
	}
	return filepath.Join(s.root, filepath.FromSlash(name)), nil
}

// prepareWrite makes the folders that a write of name needs.
func (s *Store) prepareWrite(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return allod.Errorf(allod.Unavailable, "write %s: %w", name, err)
	}
	folder := ""
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		folder = name[:i]
	}
	for _, rel := range []string{tempDir, folder} {
		if _, ok := s.dirs.Load(rel); ok || rel == "" {
			continue
		}
		if err := s.disk.EnsureDir(s.root, rel); err != nil {
			return err
		}
		s.dirs.Store(rel, true)
	}
	s.sweepOnce.Do(s.sweep)
	return nil
}

// sweep removes temp files that crashed writers left. What cannot be removed
// (another user's, or just gone) stays for the next time: it is rubbish, and
// no reason to refuse a backup.
func (s *Store) sweep() {
	entries, err := os.ReadDir(s.disk.Temp)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), durable.TempPrefix) && s.now().Sub(info.ModTime()) > staleAfter {
			_ = os.Remove(filepath.Join(s.disk.Temp, e.Name()))
		}
	}
}

// exists reports an object that was there before; err is what came of making
// sure that it is durable.
func exists(name string, err error) error {
	if err != nil {
		return wrap(err, "put "+name)
	}
	return allod.Errorf(allod.Conflict, "put %s: %w", name, blob.ErrExists)
}

// wrap gives an error of the file system its words, its Kind and, for what is
// missing, blob.ErrNotFound.
func wrap(err error, what string) error {
	if isMissing(err) {
		return allod.Errorf(allod.NotFound, "%s: %w", what, blob.ErrNotFound)
	}
	return durable.Wrap(err, "%s", what)
}

// isMissing also knows the answer to a name below an object: "a/b" where "a"
// is a file.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// ctxReader ends a long read when its context is done.
type ctxReader struct {
	ctx context.Context // of the one call that made the reader
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// section is a range of an open file.
type section struct {
	io.Reader
	io.Closer
}
