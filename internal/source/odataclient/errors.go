package odataclient

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"allod"
	"allod/internal/source/odataclient/scan"
)

// StatusError is an answer that is not a success. Its text holds status and
// code, never the service's message.
type StatusError struct {
	Status  int
	Code    string // e.g. "0x80040217"; "" if the answer had none
	Message string // as the service wrote it: may quote content, never log it
}

// Error names status and code, not the message.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("the service answered %d", e.Status)
	if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	if e.Code != "" {
		s += " (" + e.Code + ")"
	}
	return s
}

// SignInRefused reports whether the service did not take the credential
// (protocols/dataverse.md §1.1): then no table is at fault. A token was asked
// for anew before.
func (e *StatusError) SignInRefused() bool { return e.Status == http.StatusUnauthorized }

// signInError is a refusal of the sign-in service.
type signInError struct{ error }

// SignInRefused is true.
func (signInError) SignInRefused() bool { return true }

// LostError says that a request was sent and no answer is known: it may have
// been carried out or not.
type LostError struct{ Err error }

// Error describes how the answer was lost.
func (e *LostError) Error() string { return "the answer was lost: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Err }

// AsStatus returns the StatusError in err's chain, or nil.
func AsStatus(err error) *StatusError {
	var s *StatusError
	if errors.As(err, &s) {
		return s
	}
	return nil
}

// IsLost reports whether err says that an answer was lost.
func IsLost(err error) bool {
	var l *LostError
	return errors.As(err, &l)
}

func wrap(doing string, err error) error { return fmt.Errorf("%s: %w", doing, err) }

// errorBody reads {"error":{"code":"…","message":"…"}}; what is not that has
// neither.
func errorBody(body string) (code, message string) {
	s := scan.New(body)
	err := s.Object(func(key string) error {
		if key != "error" && key != "errorDetail" || s.Peek() != '{' {
			return s.Skip()
		}
		return s.Object(func(key string) error {
			into := &message
			switch key {
			case "code":
				into = &code
			case "message":
			default:
				return s.Skip()
			}
			if s.Peek() != '"' {
				return s.Skip()
			}
			var err error
			*into, err = s.Text()
			return err
		})
	})
	if err != nil {
		return "", ""
	}
	return cleanCode(code), message
}

var codePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,60}$`)

// cleanCode drops what does not look like a code: it goes into errors.
func cleanCode(code string) string {
	if codePattern.MatchString(code) {
		return code
	}
	return ""
}

// statusKind is the Kind of an HTTP status that no product knows better.
func statusKind(status int) (allod.Kind, string) {
	switch {
	case status == http.StatusUnauthorized:
		return allod.Denied, "the service did not take the token: check tenant, application and that the address is the one the token is for"
	case status == http.StatusForbidden:
		return allod.Denied, "give the application user a role that may do this"
	case status == http.StatusNotFound || status == http.StatusGone:
		return allod.NotFound, "there is nothing at this address: check that it is the root address of an environment"
	case status == http.StatusConflict || status == http.StatusPreconditionFailed:
		return allod.Conflict, ""
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		return allod.Unavailable, "try again later"
	case status >= 300 && status < 400:
		return allod.Invalid, "the address leads elsewhere: give the root address of the environment itself"
	}
	return allod.Invalid, "the service does not take this request: report its code and request id"
}

// quoted finds text keys in paths, which are content; GUIDs of rows are not.
var quoted = regexp.MustCompile(`='[^']*'|\('[^']*'\)`)

// describe names a request without its query values and quoted keys, which may
// hold content.
func describe(method string, u *url.URL, base *url.URL) string {
	path := u.Path
	if rest, ok := strings.CutPrefix(path, base.Path); ok {
		path = rest
	}
	path = quoted.ReplaceAllString(path, "=…")
	if len(path) > 200 {
		path = path[:200] + "…"
	}
	var names []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		if name, _, _ := strings.Cut(pair, "="); name != "" && len(names) < 8 && queryName.MatchString(name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		path += "?" + strings.Join(names, "&")
	}
	return method + " " + path
}

var queryName = regexp.MustCompile(`^[$@]?[A-Za-z0-9_-]{1,40}$`)

// wrapError puts environment, table, request and request id around err.
func (c *Client) wrapError(r *Request, u *url.URL, id string, kind allod.Kind, hint string, err error) error {
	return &allod.Error{Kind: kind, Hint: hint, RequestID: id, Err: fmt.Errorf("%s: %s: %w", c.where(r), describe(r.method(), u, c.base), err)}
}

// where names environment and table.
func (c *Client) where(r *Request) string {
	if r.Table != "" {
		return c.o.Environment + ", table " + r.Table
	}
	return c.o.Environment
}

// signInHints maps the codes of Microsoft Entra to what to do
// (https://learn.microsoft.com/entra/identity-platform/reference-error-codes).
var signInHints = map[string]string{
	"AADSTS7000215": "the client secret is wrong: give the secret's value, not its id, and check that it was copied whole",
	"AADSTS7000222": "the client secret has expired: make a new one in the app registration",
	"AADSTS700016":  "the application is not known in this tenant: check the client id and the tenant id",
	"AADSTS90002":   "the tenant is not known: check the tenant id",
	"AADSTS900023":  "the tenant id is malformed: give the directory id (a GUID) or a verified domain",
	"AADSTS70011":   "the scope is not valid: check the address of the environment",
	"AADSTS500011":  "the tenant knows no resource with this address: check the address of the environment, and that it belongs to this tenant",
	"AADSTS65001":   "an administrator has to consent to the application",
	"AADSTS50034":   "the account does not exist in this tenant",
	"AADSTS50076":   "multi-factor authentication is demanded: use an application, not a person",
	"AADSTS50105":   "the application is not assigned to a role that may sign in",
	"AADSTS53003":   "a conditional access policy blocks the sign-in: exempt this application or sign in from an allowed place",
	"AADSTS700024":  "the client assertion is outside its time range: set this machine's clock",
	"AADSTS700027":  "the certificate is not the one registered for the application, or its key does not fit",
	"AADSTS700213":  "no federated credential of the application fits this workload's token: check issuer, subject and audience",
	"AADSTS70021":   "no federated credential of the application fits this workload's token: check issuer, subject and audience",
	"AADSTS7000112": "the application is disabled",
	"AADSTS7000229": "the application has no service principal in this tenant: create one",
	"AADSTS50196":   "the sign-in loops: too many requests for tokens",
	"AADSTS90033":   "Entra is unavailable: try again later",
	"AADSTS50000":   "Entra had an error of its own: try again later",
	"AADSTS50053":   "the account is locked",
	"AADSTS50020":   "the account belongs to another tenant",
	"AADSTS1002016": "this machine speaks an old TLS version",
}

var (
	signInCode  = regexp.MustCompile(`AADSTS[0-9]{4,8}`)
	signInTrace = regexp.MustCompile(`(?:Trace ID|trace_id)["']?: ?["']?([0-9a-fA-F-]{36})`)
)

// SignInError turns what a credential returned into an error that names the
// code of Microsoft Entra and the next step, without the text around it.
func SignInError(environment string, err error, skew time.Duration) error {
	text := err.Error()
	code := signInCode.FindString(text)
	out := &allod.Error{Kind: allod.Denied}
	if m := signInTrace.FindStringSubmatch(text); m != nil {
		out.RequestID = m[1]
	}
	switch {
	case code != "":
		out.Err = fmt.Errorf("sign in to %s: Microsoft Entra refused with %s", environment, code)
		out.Hint = signInHints[code]
		if out.Hint == "" {
			out.Hint = "look the code up at https://login.microsoftonline.com/error"
		}
		if code == "AADSTS90033" || code == "AADSTS50000" {
			out.Kind = allod.Unavailable
		}
	case networkText(err, text) != "":
		out.Kind = allod.Unavailable
		out.Err = fmt.Errorf("sign in to %s: the sign-in service: %s", environment, networkText(err, text))
		out.Hint = "check the name of the sign-in service, network, proxy and certificate authorities"
	default:
		out.Err = fmt.Errorf("sign in to %s: the credential gave no token", environment)
		out.Hint = "check how the environment was connected (allod connect), and that this machine has the identity it names"
	}
	if out.Kind == allod.Denied {
		out.Err = signInError{out.Err}
	}
	if skew.Abs() > maxSkew {
		out.Hint += fmt.Sprintf("; this machine's clock is off by about %s", skew.Abs().Round(time.Second))
	}
	return out
}

// networkText is KindOfNetwork, also for errors of the sign-in library, which
// keeps the text of a network failure but not its type.
func networkText(err error, text string) string {
	if s := KindOfNetwork(err); s != "" {
		return s
	}
	for _, known := range [...]struct{ part, say string }{
		{"server gave HTTP response to HTTPS client", "it does not speak TLS"},
		{"signed by unknown authority", "its certificate is from an authority that this machine does not trust"},
		{"x509:", "its certificate is not valid now or for this name"},
		{"no such host", "there is no host of that name"},
		{"connection refused", "no connection"},
		{"i/o timeout", "no answer in time"},
		{"deadline exceeded", "no answer in time"},
	} {
		if strings.Contains(text, known.part) {
			return known.say
		}
	}
	return ""
}

// maxSkew is how far clocks may differ before it is mentioned.
const maxSkew = 2 * time.Minute
