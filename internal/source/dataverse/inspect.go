package dataverse

import "allod"

// unlessRefused keeps an error of a service that could not be reached; what it
// answered with no is a fact, not a failure.
func unlessRefused(err error) error {
	switch allod.KindOf(err) {
	case allod.Denied, allod.NotFound, allod.Invalid:
		return nil
	default:
		return err
	}
}
