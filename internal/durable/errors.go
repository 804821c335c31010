package durable

import (
	"errors"
	"fmt"
	"io/fs"

	"allod"
)

// Wrap says what was being done when err came from the file system, and gives
// it the Kind and the hint it deserves: a full disk is Unavailable, a
// read-only or forbidden place Denied, a missing file NotFound, an existing
// one Conflict. An error that has a Kind keeps it. nil stays nil.
func Wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	kind, hint := classify(err)
	return &allod.Error{
		Kind: kind, Hint: hint,
		Err: fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err),
	}
}

func classify(err error) (allod.Kind, string) {
	var kinded *allod.Error
	switch {
	case errors.As(err, &kinded):
		return kinded.Kind, allod.HintOf(kinded)
	case isDiskFull(err):
		return allod.Unavailable, "Free space on that disk or raise its quota, then try again; nothing stored before was touched."
	case isReadOnly(err):
		return allod.Denied, "The file system is read-only; mount it writable or choose another folder."
	case errors.Is(err, errSize):
		return allod.Invalid, ""
	case errors.Is(err, fs.ErrExist):
		return allod.Conflict, ""
	case errors.Is(err, fs.ErrNotExist):
		return allod.NotFound, ""
	case errors.Is(err, fs.ErrPermission):
		return allod.Denied, "Give the user that runs Allod the right to read and write that folder."
	case isTooManyFiles(err):
		return allod.Unavailable, "Raise the limit of open files, then try again."
	case isBadName(err):
		return allod.Invalid, ""
	}
	return allod.KindOf(err), ""
}
