//go:build !linux && !darwin && !windows

package job

import (
	"errors"
	"fmt"
)

// FreeSpace does not know on this system.
func FreeSpace(string) (uint64, error) {
	return 0, fmt.Errorf("ask how much room is left: %w", errors.ErrUnsupported)
}
