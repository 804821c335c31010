package odataclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/source/odataclient/scan"
)

// DefaultMaxBytes bounds an answer that names no bound of its own: a page of
// 5,000 wide rows has some tens of megabytes.
const DefaultMaxBytes = 256 << 20

// attempts is how often a request that may be repeated is sent at most.
const attempts = 6

// maxThrottles is how often a request waits for the service's limits before it
// is given up. Waits are as long as the service says.
const maxThrottles = 40

// Request is one request.
type Request struct {
	Method string // "" = GET
	// URL is relative to the base, rooted ("/…"), or absolute on the base's
	// host, and used byte for byte.
	URL    string
	Header http.Header
	Body   []byte
	Table  string // for errors
	// Repeatable says that carrying the request out twice does no harm. GET
	// and HEAD always are.
	Repeatable bool
	MaxBytes   int64 // of the answer; 0 = DefaultMaxBytes
	// Check looks at the body of a success; an error that wraps
	// scan.ErrTruncated or scan.ErrSyntax makes a repeatable request be sent
	// again. It may be called several times.
	Check func(*Response) error
}

// Response is an answer, read whole.
type Response struct {
	Status int
	Header http.Header
	Body   string
	ID     string // the service's id of the request
}

func (r *Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

func (r *Request) repeatable() bool {
	return r.Repeatable || r.method() == http.MethodGet || r.method() == http.MethodHead
}

// Do sends a request and returns the answer if its status is a success (2xx or
// 304). Otherwise the error names environment, table, method, path and request
// id; AsStatus finds the status and code in it, IsLost says that a write may or
// may not have happened. Answers 429 are waited out for every request, since the
// service refused them unread; other failures are repeated only if the request
// may be.
func (c *Client) Do(ctx context.Context, r *Request) (*Response, error) {
	u, err := c.resolve(r.URL)
	if err != nil {
		return nil, &allod.Error{
			Kind: allod.Unavailable, Hint: "look what stands between here and the service, and report it if nothing does",
			Err: fmt.Errorf("%s: %s: %w", c.where(r), r.method(), err),
		}
	}
	var throttles, failures int
	fresh := false
	for {
		resp, cause := c.once(ctx, r, u, fresh)
		if cause == nil {
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, c.wrapError(r, u, cause.id, allod.Unavailable, "", c.maybeLost(r, cause, ctx.Err()))
		}
		switch {
		case cause.final:
			return nil, cause.err
		case cause.status == http.StatusTooManyRequests:
			if throttles++; throttles > maxThrottles {
				return nil, c.failure(r, u, cause)
			}
			c.stats.throttled.Add(1)
			c.pace.throttled(c.throttleWait(cause.after, throttles))
		case cause.status == http.StatusUnauthorized && !fresh:
			fresh = true // the token may have been revoked or outlived its time
		case r.repeatable() && cause.transient:
			if failures++; failures >= attempts {
				return nil, c.failure(r, u, cause)
			}
			if err := c.o.Sleep(ctx, c.backoff(failures, cause.after)); err != nil {
				return nil, c.wrapError(r, u, cause.id, allod.Unavailable, "", err)
			}
		default:
			return nil, c.failure(r, u, cause)
		}
		c.stats.retries.Add(1)
	}
}

// failed says how one attempt failed.
type failed struct {
	status    int // 0 = no answer
	code      string
	id        string
	err       error
	kind      allod.Kind
	hint      string
	after     time.Duration // Retry-After; -1 = not given
	transient bool          // another attempt may succeed
	sent      bool          // the service may have acted on it
	final     bool          // err is complete and is returned as it is
}

// maybeLost wraps err as lost if a write may have happened.
func (c *Client) maybeLost(r *Request, f *failed, err error) error {
	if f.sent && !r.repeatable() {
		return &LostError{err}
	}
	return err
}

func (c *Client) failure(r *Request, u *url.URL, f *failed) error {
	err := f.err
	if f.transient && f.status != http.StatusTooManyRequests {
		err = c.maybeLost(r, f, err)
	}
	hint := f.hint
	if f.status == http.StatusUnauthorized && c.Skew().Abs() > maxSkew {
		hint = fmt.Sprintf("this machine's clock is off by about %s: set it", c.Skew().Abs().Round(time.Second))
	}
	return c.wrapError(r, u, f.id, f.kind, hint, err)
}

// resolve makes the URL of a request. Text from the service (nextLink) is used
// byte for byte, and only if it stays on the host that the token is for.
func (c *Client) resolve(link string) (*url.URL, error) {
	switch {
	case strings.Contains(link[:min(len(link), 12)], "://"):
	case strings.HasPrefix(link, "/"):
		link = c.base.Scheme + "://" + c.base.Host + link
	default:
		link = c.base.String() + link
	}
	if len(link) > 64<<10 {
		return nil, fmt.Errorf("the service gave an address of %d bytes", len(link))
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, errors.New("the service gave an address that cannot be read")
	}
	if u.Scheme != c.base.Scheme || !strings.EqualFold(u.Host, c.base.Host) || u.User != nil {
		return nil, fmt.Errorf("refused to follow an address to another host than %s", c.base.Host)
	}
	return u, nil
}

// once sends the request one time.
func (c *Client) once(ctx context.Context, r *Request, u *url.URL, fresh bool) (*Response, *failed) {
	waited := c.o.Now()
	if err := c.pace.acquire(ctx); err != nil {
		kind := allod.KindOf(err)
		return nil, &failed{err: c.wrapError(r, u, "", kind, allod.HintOf(err), err), final: true}
	}
	start := c.o.Now()
	c.stats.waited.Add(int64(start.Sub(waited)))
	ok, left := false, seen{requests: -1, left: -1}
	defer func() { c.pace.release(c.o.Now().Sub(start), left, ok) }()

	token, err := c.token(ctx, fresh) // after the wait, which it might not outlive
	if err != nil {
		return nil, &failed{err: err, final: true}
	}
	start = c.o.Now() // signing in is no time of the service
	req, err := http.NewRequestWithContext(ctx, r.method(), u.String(), bodyReader(r.Body))
	if err != nil {
		return nil, &failed{err: err, kind: allod.Internal}
	}
	req.URL = u
	for _, h := range []http.Header{c.o.Header, r.Header} {
		for name, values := range h {
			req.Header[name] = values
		}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	c.stats.requests.Add(1)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, networkFailure(err)
	}
	defer func() { _ = res.Body.Close() }() // only read
	f := c.observe(res)
	left = remaining(res)
	body, err := readBounded(res.Body, r.MaxBytes, res.ContentLength)
	c.stats.bytesIn.Add(int64(len(body)))
	if err != nil {
		if allod.KindOf(err) == allod.Invalid {
			return nil, &failed{id: f.id, err: err, kind: allod.Unavailable, sent: true}
		}
		out := networkFailure(err)
		out.id, out.sent = f.id, true
		return nil, out
	}
	if res.StatusCode >= 300 && res.StatusCode != http.StatusNotModified {
		return nil, c.refused(f, res, body)
	}
	out := &Response{Status: res.StatusCode, Header: res.Header, Body: body, ID: f.id}
	if bad := c.checked(r, out, f); bad != nil {
		return nil, bad
	}
	ok = true
	return out, nil
}

// checked looks at the body of a success.
func (c *Client) checked(r *Request, out *Response, f *failed) *failed {
	if r.Check == nil {
		return nil
	}
	if isHTML(out.Header.Get("Content-Type"), out.Body) {
		f.err = errors.New("a web page came instead of data")
		f.kind, f.hint, f.sent = allod.Invalid, htmlHint, true
		return f
	}
	err := r.Check(out)
	if err == nil {
		return nil
	}
	f.err, f.kind, f.sent = err, allod.KindOf(err), true
	f.transient = errors.Is(err, scan.ErrTruncated) || errors.Is(err, scan.ErrSyntax)
	if f.hint = allod.HintOf(err); f.hint == "" && f.transient {
		f.hint = "the answer was damaged on the way: check proxies between here and the service, or try again later"
	}
	return f
}

const htmlHint = "the address is not that of the data service, or a proxy or sign-in page stands in between"

func isHTML(contentType, body string) bool {
	if strings.Contains(contentType, "html") {
		return true
	}
	return strings.HasPrefix(strings.TrimLeft(body[:min(len(body), 64)], " \r\n\t\ufeff"), "<") && !strings.Contains(contentType, "xml")
}

// observe reads what every answer says: request id, clock, suggestions.
func (c *Client) observe(res *http.Response) *failed {
	f := &failed{status: res.StatusCode, after: -1}
	for _, name := range c.o.RequestIDHeaders {
		if v := res.Header.Get(name); v != "" && codePattern.MatchString(v) {
			f.id = v
			break
		}
	}
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		if skew := at.Sub(c.o.Now()); skew.Abs() > 2*time.Second {
			c.skew.Store(int64(skew))
		} else {
			c.skew.Store(0)
		}
	}
	if n, ok := Count(res.Header.Get("X-Ms-Dop-Hint")); ok {
		c.pace.hint(int(min(n, 1<<20)))
	}
	f.after = RetryAfter(res.Header.Get("Retry-After"), c.o.Now())
	return f
}

// remaining reads what an answer says of the limits. ARRAffinity is the cookie
// of the load balancer and names the web server that answered; since it is not
// sent back, requests spread over all of them (protocols/dataverse.md §7).
func remaining(res *http.Response) seen {
	v := seen{requests: -1, left: -1}
	if n, ok := Count(res.Header.Get("X-Ms-Ratelimit-Burst-Remaining-Xrm-Requests")); ok {
		v.requests = n
	}
	if n, ok := Count(res.Header.Get("X-Ms-Ratelimit-Time-Remaining-Xrm-Requests")); ok {
		v.left = time.Duration(min(n, 1<<20)) * time.Second
	}
	for _, k := range res.Cookies() {
		if k.Name == "ARRAffinity" && len(k.Value) <= 256 {
			v.server = k.Value
		}
	}
	return v
}

// refused makes the failure of an answer that is no success.
func (c *Client) refused(f *failed, res *http.Response, body string) *failed {
	code, message := errorBody(body)
	f.code = code
	f.err = &StatusError{Status: res.StatusCode, Code: code, Message: message}
	f.kind, f.hint = statusKind(res.StatusCode)
	definite := false // the code says that it was refused, and why
	if c.o.Explain != nil {
		kind, hint := c.o.Explain(res.StatusCode, code)
		if kind != 0 {
			f.kind, f.hint = kind, hint
		}
		definite = kind != 0 && kind != allod.Unavailable
	}
	if code == "" && message == "" && isHTML(res.Header.Get("Content-Type"), body) && res.StatusCode < 500 {
		f.err = fmt.Errorf("%w; a web page came instead of data", f.err)
		if res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden {
			f.hint = htmlHint
		}
	}
	if definite {
		return f
	}
	switch res.StatusCode {
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.transient, f.sent = true, true
	}
	return f
}

// readBounded reads a body of at most limit bytes.
func readBounded(r io.Reader, limit, announced int64) (string, error) {
	if limit <= 0 {
		limit = DefaultMaxBytes
	}
	if announced > limit {
		return "", allod.Errorf(allod.Invalid, "the answer has %d bytes, more than %d", announced, limit)
	}
	var b strings.Builder
	if announced > 0 { // also saves a copy buffer of 32 KiB for a few bytes
		limit = announced
		b.Grow(int(announced))
	}
	n, err := io.Copy(&b, io.LimitReader(r, limit+1))
	if err != nil {
		return b.String(), err
	}
	if n > limit {
		return "", allod.Errorf(allod.Invalid, "the answer has more than %d bytes", limit)
	}
	return b.String(), nil
}

// networkFailure classifies what the transport returned, without its text:
// that holds whole URLs.
func networkFailure(err error) *failed {
	f := &failed{after: -1, transient: true, sent: true, kind: allod.Unavailable, hint: "check network and proxy, or try again later"}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		f.transient, f.sent, f.hint = false, false, "if the service has a certificate of your own authority, give it with --ca-file"
	case errors.As(err, &host), errors.As(err, &invalid):
		f.transient, f.sent, f.hint = false, false, "check the address and this machine's clock"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		f.transient, f.sent, f.hint = false, false, "the service does not speak TLS there: check scheme and port"
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		f.transient = !dns.IsNotFound
		f.sent = false
		f.hint = "check the address"
		if dns.IsNotFound {
			f.kind = allod.Invalid
		}
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		f.sent = false
	}
	text := KindOfNetwork(err)
	if text == "" {
		text = "the connection broke off"
	}
	f.err = networkError{text, err}
	return f
}

// networkError shows a fixed text and keeps the cause for errors.Is.
type networkError struct {
	text  string
	cause error
}

func (e networkError) Error() string { return e.text }
func (e networkError) Unwrap() error { return e.cause }

// KindOfNetwork describes a network failure in words without addresses; "" for
// an error that is none.
func KindOfNetwork(err error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &unknown):
		return "its certificate is from an authority that this machine does not trust"
	case errors.As(err, &host):
		return "its certificate is for another name"
	case errors.As(err, &invalid):
		return "its certificate is not valid now"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no host of that name"
	case errors.As(err, &dns):
		return "the name could not be looked up"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection"
	case errors.As(err, &op), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "the connection broke off"
	}
	return ""
}

// backoff is the wait before the n-th repeat: 0.5 s doubling to 30 s, with
// jitter, or what the service said.
func (c *Client) backoff(n int, after time.Duration) time.Duration {
	d := time.Duration(math.Min(float64(500*time.Millisecond)*math.Pow(2, float64(n-1)), float64(30*time.Second)))
	d = d/2 + time.Duration(c.o.Rand()*float64(d/2))
	return max(d, after)
}

// Backoff waits before the n-th repeat of something, counted from 1, as Do does
// between its own.
func (c *Client) Backoff(ctx context.Context, n int) error {
	return c.o.Sleep(ctx, c.backoff(n, 0))
}

// throttleWait is how long a 429 pauses everything: what the service said, else
// growing.
func (c *Client) throttleWait(after time.Duration, n int) time.Duration {
	if after < 0 {
		after = time.Duration(min(n, 6)) * 5 * time.Second
	}
	return after + time.Duration(c.o.Rand()*float64(250*time.Millisecond))
}

// maxRetryAfter bounds what a service may make us wait at once.
const maxRetryAfter = 10 * time.Minute

// RetryAfter reads a Retry-After header: seconds, or a date. -1 = not given or
// not understood. At most ten minutes.
func RetryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return -1
	}
	if n, err := strconv.ParseFloat(header, 64); err == nil {
		if !(n >= 0) { // also NaN
			return -1
		}
		return time.Duration(min(n, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return -1
}

// Count reads a number of a limit header, which may have thousands separators
// and decimals: "1,200.00" (protocols/dataverse.md §7). Fractions are dropped.
func Count(header string) (int64, bool) {
	header = strings.ReplaceAll(strings.TrimSpace(header), ",", "")
	f, err := strconv.ParseFloat(header, 64)
	if err != nil || !(f >= 0) || f > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func bodyReader(b []byte) io.Reader {
	if b == nil {
		return nil
	}
	return strings.NewReader(string(b))
}
