package durable

import "golang.org/x/sys/unix"

// renameNoReplace renames unless path exists (EEXIST).
func renameNoReplace(temp, path string) error {
	return unix.RenamexNp(temp, path, unix.RENAME_EXCL)
}
