package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
)

// mountDisk puts a small disk of its own at dir. It says false where mounting
// is not allowed: not root, or a container without that right.
func mountDisk(t *testing.T, dir string, size int64) bool {
	t.Helper()
	if err := syscall.Mount("allod-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Logf("a disk of its own cannot be mounted (%v): faults take its place", err)
		return false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return true
}

// remount makes the disk at dir read-only, or writable again.
func remount(dir string, readOnly bool) error {
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	return syscall.Mount("allod-test", dir, "tmpfs", flags, "")
}
