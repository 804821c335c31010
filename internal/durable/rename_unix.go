//go:build unix && !linux && !darwin

package durable

import "errors"

// renameNoReplace is not to be had on this system.
func renameNoReplace(_, _ string) error { return errors.ErrUnsupported }
