// Package dataverse reads and writes one Dataverse environment over the Web
// API (protocols/dataverse.md). It implements source.Source and the further
// abilities source.RightsReader, Finder, FileReader and Target.
package dataverse

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/beside"
	"allod/internal/source/dataverse/changes"
	"allod/internal/source/dataverse/codes"
	"allod/internal/source/dataverse/packages"
	"allod/internal/source/dataverse/sizes"
	"allod/internal/source/odataclient"
	"allod/internal/source/pace"
)

// apiPath is the version of the Web API that is spoken (protocols/dataverse.md
// §2.1).
const apiPath = "/api/data/v9.2/"

// deltaLife is how long a change-tracking token lives
// (organization.ExpireChangeTrackingInDays; protocols/dataverse.md §5.2).
const deltaLife = 7 * 24 * time.Hour

// Options of a Source. Environment and URL are required.
type Options struct {
	Environment string // name given by allod connect
	URL         string // root, e.g. https://contoso.crm.dynamics.com

	// Credential signs in; nil only for an emulator on this machine.
	Credential azcore.TokenCredential
	CAFile     string // PEM file of further certificate authorities
	Proxy      string // URL; "" = as the process environment says

	MaxConcurrency int       // 0 = half of what the service suggests
	Day            *pace.Day // counts requests; nil = no limit
	Window         func(now time.Time) time.Duration
	Paused         func(until time.Time) // as odataclient.Options

	// Transport replaces the network, for tests.
	Transport http.RoundTripper
	Now       func() time.Time                           // nil = time.Now
	Sleep     func(context.Context, time.Duration) error // nil = a timer
	Rand      func() float64                             // in [0,1); nil = random
}

// Close writes down how many requests were sent (Options.Day).
func (s *Source) Close() error { return s.day.Close() }

// Source is one environment. It is safe for concurrent use.
type Source struct {
	name    string
	root    string
	client  *odataclient.Client
	watcher *changes.Watcher
	now     func() time.Time
	budget  source.Budget
	day     *pace.Day

	mu    sync.Mutex
	pairs map[string][2]string // intersect table → the two columns of a pair
	sets  map[string]string    // table → entity set
	user  allod.GUID           // who we are; zero = not asked yet
	// table → name of its read privilege; nil = not asked yet
	privileges map[string]string
	// activity table → collection of its participants; nil = not asked yet
	parties  map[string]string
	packages *packages.Exporter // nil = not described yet, or no solutions
	*beside.Beside
}

var (
	_ source.Source         = (*Source)(nil)
	_ source.RightsReader   = (*Source)(nil)
	_ source.Divider        = (*Source)(nil)
	_ source.Finder         = (*Source)(nil)
	_ source.FileReader     = (*Source)(nil)
	_ source.FileSizer      = (*Source)(nil)
	_ source.Target         = (*Source)(nil)
	_ source.Inspector      = (*Source)(nil)
	_ source.Outsider       = (*Source)(nil)
	_ source.PlatformMember = (*Source)(nil)
	_ source.SchemaWatcher  = (*Source)(nil)
)

// New makes a Source. It does no I/O besides reading CAFile. A URL with
// another path than the root or the API's own is Invalid.
func New(o Options) (*Source, error) {
	root, err := rootOf(o.URL)
	if err != nil {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "connect %s: %w", o.Environment, err),
			"give the root address of the environment, e.g. https://contoso.crm.dynamics.com")
	}
	c, err := odataclient.New(odataclient.Options{
		Base: root + apiPath, Environment: o.Environment,
		Credential: o.Credential, Scope: root + "/.default",
		CAFile: o.CAFile, Proxy: o.Proxy, Transport: o.Transport,
		MaxConcurrency: o.MaxConcurrency, Day: o.Day, Window: o.Window, Paused: o.Paused,
		Limits:           limits(o),
		Explain:          codes.Explain,
		RequestIDHeaders: []string{"X-Ms-Service-Request-Id", "Req_id"},
		Header: http.Header{
			"Accept": {"application/json"}, "Odata-Version": {"4.0"}, "Odata-Maxversion": {"4.0"},
			"If-None-Match": {"null"}, "User-Agent": {"Allod"},
		},
		Now: o.Now, Sleep: o.Sleep, Rand: o.Rand,
	})
	if err != nil {
		return nil, err
	}
	now := o.Now
	if now == nil {
		now = time.Now
	}
	s := &Source{name: o.Environment, root: root, client: c, now: now, budget: budget(limits(o)), day: o.Day, pairs: map[string][2]string{}, sets: map[string]string{}}
	s.Beside = beside.New(service{s}, s)
	s.watcher = &changes.Watcher{Get: s.requestJSON, Escape: escapeQuery}
	return s, nil
}

// limits are what the service allows a user on one web server
// (protocols/dataverse.md §7). An emulator on this machine has none to be saved
// from; what it refuses is still waited for.
func limits(o Options) odataclient.Limits {
	if u, err := url.Parse(o.URL); o.Credential == nil && err == nil && odataclient.IsLoopback(u.Hostname()) {
		return odataclient.Limits{}
	}
	return odataclient.Limits{Window: 5 * time.Minute, Requests: 6000, Busy: 1200 * time.Second, Concurrent: 52}
}

// budget is what the limits come to, with the requests a day that an application
// user without a licence is entitled to at least (protocols/dataverse.md §7).
func budget(l odataclient.Limits) source.Budget {
	if l.Window == 0 {
		return source.Budget{}
	}
	return source.Budget{PerDay: 500_000, PerSecond: float64(l.Requests) / l.Window.Seconds(), Busy: l.Busy.Seconds() / l.Window.Seconds()}
}

// rootOf takes the root out of what people paste: the root, the API's address,
// or that of a page of the application.
func rootOf(address string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Host == "" || u.User != nil {
		return "", allod.Errorf(allod.Invalid, "the address is not a URL")
	}
	switch p := strings.TrimSuffix(u.Path, "/"); {
	case p == "", strings.HasPrefix(p, "/api/data"), strings.HasPrefix(p, "/main.aspx"):
	default:
		return "", allod.Errorf(allod.Invalid, "the address has a path that is not Dataverse's")
	}
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host), nil
}

// Capabilities says what this source can do.
func (s *Source) Capabilities() source.Capabilities {
	return source.Capabilities{
		Kind: "dataverse", Environment: s.name, URL: s.root, DeltaLife: deltaLife,
		Loopback: s.client.IsLoopback(), Parallel: max(s.client.Parallel(), 1), Budget: s.budget,
	}
}

// FileSizes adds up what the service says of the lengths of files.
func (s *Source) FileSizes(ctx context.Context, schema *allod.Schema) (map[string]source.FileSize, error) {
	return sizes.Of(ctx, s.getJSON, escapeQuery, s.now(), schema)
}

// Stats returns what was asked of the service so far.
func (s *Source) Stats() odataclient.Stats { return s.client.Stats() }

// ClockSkew is how far the service's clock is ahead of this machine's; 0 when
// they agree or nothing was asked yet.
func (s *Source) ClockSkew() time.Duration { return s.client.Skew() }

// SchemaMark returns the present moment of the schema.
func (s *Source) SchemaMark(ctx context.Context) (string, error) { return s.watcher.SchemaMark(ctx) }

// SchemaSince returns what changed in the schema since a moment.
func (s *Source) SchemaSince(ctx context.Context, mark string) (*source.SchemaChange, error) {
	return s.watcher.SchemaSince(ctx, mark)
}
