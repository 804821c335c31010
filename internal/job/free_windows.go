package job

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// FreeSpace returns the bytes that may still be stored in a folder.
func FreeSpace(path string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, fmt.Errorf("ask how much room is left: %w", err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("ask how much room is left: %w", err)
	}
	return free, nil
}
