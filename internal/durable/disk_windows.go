package durable

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

// publish gives temp the name path unless path exists (fs.ErrExist).
func (d *Disk) publish(temp, path string) error { return d.renameNew(temp, path) }

func renameNoReplace(temp, path string) error {
	return move(temp, path, windows.MOVEFILE_WRITE_THROUGH)
}

func rename(temp, path string) error {
	return move(temp, path, windows.MOVEFILE_WRITE_THROUGH|windows.MOVEFILE_REPLACE_EXISTING)
}

func move(temp, path string, flags uint32) error {
	from, err := windows.UTF16PtrFromString(temp)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(from, to, flags)
}

// syncDir does nothing: Windows has no fsync of folders, moves are written
// through. The step is announced so that the order stays visible.
func (d *Disk) syncDir(dir string) error {
	return d.step(StepSyncDir, dir, func() error { return nil })
}

func isUnsupported(err error) bool {
	return errors.Is(err, windows.ERROR_NOT_SUPPORTED) || errors.Is(err, windows.ERROR_INVALID_FUNCTION)
}

func isDiskFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func isReadOnly(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }

func isTooManyFiles(err error) bool { return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES) }

func isBadName(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_NAME) || errors.Is(err, windows.ERROR_FILENAME_EXCED_RANGE) ||
		errors.Is(err, windows.ERROR_NOT_SAME_DEVICE) || errors.Is(err, fs.ErrInvalid)
}
