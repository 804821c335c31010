//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// publish gives temp the name path unless path exists (fs.ErrExist).
func (d *Disk) publish(temp, path string) error {
	err := d.step(StepLink, path, func() error { return os.Link(temp, path) })
	if noLinks(err) {
		return d.renameNew(temp, path)
	}
	if err != nil {
		return err
	}
	if err := d.step(StepUnlinkTemp, temp, func() error { return os.Remove(temp) }); err != nil {
		// path is whole and has its name: make that durable before saying
		// that rubbish was left behind.
		return errors.Join(err, d.syncDir(filepath.Dir(path)))
	}
	return nil
}

// noLinks reports whether the file system has no hard links. vfat says EPERM.
func noLinks(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK) || errors.Is(err, errors.ErrUnsupported)
}

func rename(temp, path string) error { return os.Rename(temp, path) }

// syncDir makes the names in a folder durable.
func (d *Disk) syncDir(dir string) error {
	return d.step(StepSyncDir, dir, func() error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = f.Sync()
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
			err = nil // no such operation here: see the package comment
		}
		return errors.Join(err, f.Close())
	})
}

func isUnsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)
}

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

func isTooManyFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

func isBadName(err error) bool {
	return errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, syscall.EXDEV)
}
