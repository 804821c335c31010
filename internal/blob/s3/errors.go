package s3

import (
	"context"
	"errors"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"allod"
	"allod/internal/blob"
)

// answer is what a store said, in few words; the client's own error has many.
type answer struct {
	text string
	err  error
}

func (a *answer) Error() string { return a.text }
func (a *answer) Unwrap() error { return a.err }

// codeOf returns the store's code of an error, e.g. "NoSuchKey", and the HTTP
// status; "" and 0 if it did not answer.
func codeOf(err error) (code string, status int) {
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	var res *awshttp.ResponseError
	if errors.As(err, &res) {
		status = res.HTTPStatusCode()
	}
	return code, status
}

// isMissing reports that there is no such object, or version. A bucket that is
// not there is another matter.
func isMissing(err error) bool {
	code, status := codeOf(err)
	switch code {
	case "NoSuchBucket":
		return false
	case "NoSuchKey", "NoSuchVersion", "NotFound":
		return true
	case "MethodNotAllowed": // a version that is a delete marker
		return true
	}
	return status == http.StatusNotFound && code == ""
}

// isMissingVersion is isMissing for a request that names a version: to an id
// that a store cannot have given it says "invalid".
func isMissingVersion(err error) bool {
	code, _ := codeOf(err)
	return code == "InvalidArgument" || isMissing(err)
}

// wrap gives an error of the client its words, its Kind, its hint, the
// store's id of the request and, for what is missing, blob.ErrNotFound. what
// was being done is e.g. "put packs/3f00". nil stays nil.
func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	for _, over := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, over) {
			return allod.Errorf(allod.Unavailable, "%s: %w", what, over)
		}
	}
	if isMissing(err) {
		return allod.Errorf(allod.NotFound, "%s: %w", what, blob.ErrNotFound)
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		var send *smithyhttp.RequestSendError
		if errors.As(err, &send) {
			err = &answer{"the store does not answer: " + send.Err.Error(), err}
		}
		return allod.WithHint(allod.Errorf(allod.Unavailable, "%s: %w", what, err), "Look whether the store can be reached from here, then try again.")
	}
	code, status := codeOf(err)
	kind, hint := judge(code, status)
	text := "the store answers " + code
	if m := api.ErrorMessage(); m != "" {
		text += ": " + m
	}
	wrapped := &allod.Error{Kind: kind, Hint: hint, Err: allod.Errorf(kind, "%s: %w", what, &answer{text, err})}
	var res *awshttp.ResponseError
	if errors.As(err, &res) {
		wrapped.RequestID = res.ServiceRequestID()
	}
	return wrapped
}

// judge says what kind of failure an answer is, and what to do next.
func judge(code string, status int) (allod.Kind, string) {
	switch code {
	case "NoSuchBucket":
		return allod.NotFound, "Make the bucket first, or name the right one: docs/stores.md says with which settings."
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return allod.Invalid, "The bucket is in another region: name it with region=… in the address."
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return allod.Denied, "Look at the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile of the shared configuration."
	case "RequestTimeTooSkewed":
		return allod.Denied, "Set the clock of this machine."
	case "NotImplemented":
		return allod.Invalid, "This store lacks what is asked of it; `allod check store` says what else."
	}
	switch {
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return allod.Denied, "docs/stores.md lists the rights that Allod needs."
	case status == http.StatusPreconditionFailed || status == http.StatusConflict:
		return allod.Conflict, ""
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests:
		return allod.Invalid, ""
	}
	return allod.Unavailable, "Try again later."
}
