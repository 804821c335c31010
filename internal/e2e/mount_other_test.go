//go:build !linux

package e2e_test

import (
	"errors"
	"testing"
)

// mountDisk: only Linux has disks that a test can make.
func mountDisk(*testing.T, string, int64) bool { return false }

func remount(string, bool) error { return errors.ErrUnsupported }
