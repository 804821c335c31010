package durable

import "golang.org/x/sys/unix"

// renameNoReplace renames unless path exists (EEXIST).
func renameNoReplace(temp, path string) error {
	return unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
}
