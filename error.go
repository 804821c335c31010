package allod

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is. Command-line exit codes and HTTP
// statuses are decided from it in one place each. The numbers are exit codes
// and part of the command-line contract: do not reorder.
type Kind uint8

// The kinds of failure. An error without a Kind counts as Internal.
const (
	Internal    Kind = 1 // a defect of Allod, or something it did not foresee
	Invalid     Kind = 2 // the caller asked for something that makes no sense
	Partial     Kind = 3 // done in part; what is missing is listed as Gaps
	Denied      Kind = 4 // refused by policy, by rights or by the source
	NotFound    Kind = 5 // the named thing does not exist
	Conflict    Kind = 6 // somebody else changed it, or holds it
	Corrupt     Kind = 7 // stored bytes are not what was stored
	Unavailable Kind = 8 // try again later
)

// String returns the name of the kind in lower case, as it appears in --json.
func (k Kind) String() string {
	switch k {
	case Internal:
		return "internal"
	case Invalid:
		return "invalid"
	case Partial:
		return "partial"
	case Denied:
		return "denied"
	case NotFound:
		return "not-found"
	case Conflict:
		return "conflict"
	case Corrupt:
		return "corrupt"
	case Unavailable:
		return "unavailable"
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// Error is a failure with a Kind and, where there is one, the next step for
// the person who reads it.
type Error struct {
	Kind Kind
	Err  error  // what was being done to what, and why it did not work
	Hint string // the next step, one sentence; empty if there is none

	// RequestID is the source's own id of the failed request, for its
	// support; empty if there is none.
	RequestID string
}

// Error returns the message without the hint.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error of the given kind; format and args are those of
// fmt.Errorf, %w included.
func Errorf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// WithHint attaches the next step to err, keeping its kind and request id. A
// nil err stays nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: KindOf(err), Err: err, Hint: fmt.Sprintf(format, args...), RequestID: RequestIDOf(err)}
}

// KindOf returns the kind of the outermost Error in err's chain; 0 for nil,
// Unavailable for an interrupted or timed-out context, Internal otherwise.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Unavailable
	}
	return Internal
}

// HintOf returns the first hint in err's chain, outermost first.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// RequestIDOf returns the first request id in err's chain.
func RequestIDOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.RequestID != "" {
			return e.RequestID
		}
		err = e.Err
	}
	return ""
}
