// Package odataclient talks HTTP to OData services and knows no product. It
// signs requests in, keeps to the service's limits, repeats what is safe to
// repeat, reads bounded answers, and says of every failure which environment,
// table and request it concerns, never what a row holds.
package odataclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"allod"
	"allod/internal/source/pace"
)

// Options of a Client. Base is required; the zero value of the rest works.
type Options struct {
	// Base is the service root with a trailing slash, e.g.
	// https://org.crm.dynamics.com/api/data/v9.2/.
	Base        string
	Environment string // name used in errors

	// Credential signs requests in. nil is taken for a loopback host only:
	// the loopback credential.
	Credential azcore.TokenCredential
	Scope      string // of the token, e.g. https://org.crm.dynamics.com/.default

	CAFile string // PEM file of further certificate authorities
	Proxy  string // URL of a proxy; "" = as the process environment says

	// Transport replaces the network, for tests; CAFile and Proxy are then
	// not used.
	Transport http.RoundTripper

	MaxConcurrency int       // requests at once; 0 = half of what the service suggests
	Day            *pace.Day // counts requests; nil = no limit
	// Window says how long nothing may be sent from now on; nil = never. Paused,
	// if there is one, is called once for each such wait, from whatever goroutine.
	Window func(now time.Time) time.Duration
	Paused func(until time.Time)
	Limits Limits

	// Explain turns an error answer of the product into a Kind and a next
	// step; nil or Kind 0 = by HTTP status.
	Explain func(status int, code string) (allod.Kind, string)
	// RequestIDHeaders name the headers of an answer that hold the service's
	// id of the request, best first.
	RequestIDHeaders []string
	// Header is sent with every request.
	Header http.Header

	Now   func() time.Time                           // nil = time.Now
	Sleep func(context.Context, time.Duration) error // nil = a timer
	Rand  func() float64                             // in [0,1), for jitter; nil = math/rand/v2
}

// Limits are what a service allows one user, per sliding Window. Zero fields
// are not enforced here; the service's own answers always are.
type Limits struct {
	Window     time.Duration
	Requests   int           // requests started per Window, on each web server the answers tell apart
	Busy       time.Duration // summed duration of requests per Window, likewise
	Concurrent int           // requests at once, at most
}

// Client talks to one service. It is safe for concurrent use.
type Client struct {
	o       Options
	base    *url.URL
	http    *http.Client
	pace    *pacer
	skew    atomic.Int64 // nanoseconds the service is ahead; 0 = not known
	stats   counters
	idOnce  sync.Mutex
	idToken azcore.AccessToken
}

// Stats are counts since New.
type Stats struct {
	Requests  int64         // HTTP requests sent, repeats included
	Retries   int64         // of these, repeats
	Throttled int64         // answers 429
	BytesIn   int64         // decompressed
	Waited    time.Duration // summed time that requests waited for the limits
}

type counters struct{ requests, retries, throttled, bytesIn, waited atomic.Int64 }

// New returns a client. An unusable base address is Invalid; a nil Credential
// for a host that is not on this machine is Denied.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Base)
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") || base.User != nil || base.RawQuery != "" {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "connect %s: the address is not an http or https URL without user and query", o.Environment),
			"give the root address of the environment, e.g. https://contoso.crm.dynamics.com")
	}
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	loopback := IsLoopback(base.Hostname())
	if _, fixed := o.Credential.(Loopback); fixed && !loopback {
		return nil, allod.Errorf(allod.Denied, "connect %s: the loopback credential is for this machine only, not for %s", o.Environment, base.Host)
	}
	if o.Credential == nil {
		if !loopback {
			return nil, allod.WithHint(allod.Errorf(allod.Denied, "connect %s: no credential for %s", o.Environment, base.Host),
				"only an emulator on this machine needs none")
		}
		o.Credential = Loopback{}
	}
	if base.Scheme == "http" && !loopback {
		return nil, allod.WithHint(allod.Errorf(allod.Denied, "connect %s: refused to send a token to %s without TLS", o.Environment, base.Host),
			"use https")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	c := &Client{o: o, base: base}
	rt := o.Transport
	if rt == nil {
		if rt, err = NewTransport(o.CAFile, o.Proxy); err != nil {
			return nil, err
		}
	}
	c.http = &http.Client{
		Transport: rt,
		// A redirect would carry the token to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.pace = newPacer(o)
	return c, nil
}

// NewTransport returns a transport that trusts the system's authorities and
// those of caFile, and uses the given proxy, or that of the process environment.
// Also used to sign in.
func NewTransport(caFile, proxy string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   20 * time.Second,
		ResponseHeaderTimeout: 150 * time.Second, // the service cuts queries off at about 120 s
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil || u.Host == "" {
			return nil, allod.Errorf(allod.Invalid, "use proxy: not a URL with a host")
		}
		t.Proxy = http.ProxyURL(u)
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, &allod.Error{Kind: allod.Invalid, Err: wrap("read the file of certificate authorities", err)}
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, allod.Errorf(allod.Invalid, "read the file of certificate authorities: no PEM certificate in it")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}

// Base returns the service root, with a trailing slash.
func (c *Client) Base() string { return c.base.String() }

// Here gives a link of the service that was kept the address that the service has
// now: scheme and host change, nothing else. What is no link into the service
// comes back as it was.
func (c *Client) Here(link string) string {
	_, rest, _ := strings.Cut(link, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 && strings.HasPrefix(rest[i:], c.base.Path) {
		return c.base.Scheme + "://" + c.base.Host + rest[i:]
	}
	return link
}

// IsLoopback reports whether the service is on this machine.
func (c *Client) IsLoopback() bool { return IsLoopback(c.base.Hostname()) }

// Skew is how far the service's clock is ahead of this machine's, to about a
// second; 0 when they agree within that or nothing was asked yet.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

// Parallel is how many requests at once are worth sending now.
func (c *Client) Parallel() int { return c.pace.parallel() }

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	return Stats{
		Requests: c.stats.requests.Load(), Retries: c.stats.retries.Load(), Throttled: c.stats.throttled.Load(),
		BytesIn: c.stats.bytesIn.Load(), Waited: time.Duration(c.stats.waited.Load()),
	}
}

// token returns a bearer token. Credentials keep tokens themselves; what they
// return is only asked for again near its end.
func (c *Client) token(ctx context.Context, fresh bool) (string, error) {
	c.idOnce.Lock()
	defer c.idOnce.Unlock()
	if !fresh && c.idToken.Token != "" && c.o.Now().Before(c.idToken.ExpiresOn.Add(-5*time.Minute)) {
		return c.idToken.Token, nil
	}
	want := policy.TokenRequestOptions{Scopes: []string{c.o.Scope}}
	if fresh {
		// Credentials return what they kept unless a claim asks for a newer one:
		// https://learn.microsoft.com/entra/identity-platform/claims-challenge
		want.Claims = fmt.Sprintf(`{"access_token":{"nbf":{"essential":true,"value":"%d"}}}`, c.o.Now().Unix())
	}
	t, err := c.o.Credential.GetToken(ctx, want)
	if err != nil {
		if ctx.Err() != nil {
			return "", &allod.Error{Kind: allod.Unavailable, Err: wrap("sign in to "+c.o.Environment, ctx.Err())}
		}
		return "", SignInError(c.o.Environment, err, c.Skew())
	}
	c.idToken = t
	return t.Token, nil
}

// Loopback is the credential for emulators on this machine: a fixed token that
// no real service takes. A Client refuses to use it for any other host.
type Loopback struct {
	// Token is sent as it stands; "" = "loopback".
	Token string
}

// GetToken returns the fixed token.
func (l Loopback) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t := l.Token
	if t == "" {
		t = "loopback"
	}
	return azcore.AccessToken{Token: t, ExpiresOn: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, nil
}

// IsLoopback reports whether a host name or address is this machine.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
