//go:build linux || darwin

package job

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FreeSpace returns the bytes that may still be stored in a folder.
func FreeSpace(path string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("ask how much room is left: %w", err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
