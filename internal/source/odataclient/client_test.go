package odataclient_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.uber.org/goleak"

	"allod"
	"allod/internal/source/odataclient"
	"allod/internal/source/odataclient/scan"
	"allod/internal/source/pace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that moves only when somebody sleeps.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	slept []time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)} }

func client(t *testing.T, h http.HandlerFunc, change func(*odataclient.Options)) (*odataclient.Client, *clock) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := newClock()
	o := odataclient.Options{
		Base: s.URL + "/api/", Environment: "contoso", RequestIDHeaders: []string{"X-Ms-Service-Request-Id", "Req_id"},
		Now: c.now, Sleep: c.sleep, Rand: func() float64 { return 0 },
	}
	if change != nil {
		change(&o)
	}
	out, err := odataclient.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return out, c
}

// checkJSON is a Check that wants whole JSON.
func checkJSON(r *odataclient.Response) error {
	p := scan.New(r.Body)
	return p.Skip()
}

func TestThrottledRequestsWaitAsLongAsTheServiceSays(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPatch} {
		var n atomic.Int32
		c, at := client(t, func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1) <= 3 {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(http.StatusTooManyRequests)
				fmt.Fprint(w, `{"error":{"code":"0x80072322","message":"Number of requests exceeded the limit of 6000 over time window of 300 seconds."}}`)
				return
			}
			fmt.Fprint(w, `{}`)
		}, nil)
		if _, err := c.Do(t.Context(), &odataclient.Request{Method: method, URL: "accounts"}); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if got, want := at.slept, []time.Duration{7 * time.Second, 7 * time.Second, 7 * time.Second}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: slept %v, want %v", method, got, want)
		}
		if got, want := c.Stats().Throttled, int64(3); got != want {
			t.Errorf("%s: got %d throttled, want %d", method, got, want)
		}
	}
}

// A token is asked for after the wait for the limits: it might not outlive it.
func TestTokenOutlivesTheWait(t *testing.T) {
	var n atomic.Int32
	var at *clock
	c, at := client(t, func(w http.ResponseWriter, r *http.Request) {
		until, err := time.Parse(time.RFC3339, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		switch {
		case err != nil || !at.now().Before(until):
			t.Errorf("an expired token was sent: %q at %v (%v)", r.Header.Get("Authorization"), at.now(), err)
			w.WriteHeader(http.StatusUnauthorized)
		case n.Add(1) == 1:
			w.Header().Set("Retry-After", "400")
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			fmt.Fprint(w, `{}`)
		}
	}, func(o *odataclient.Options) { o.Credential = short{o.Now} })
	if _, err := c.Do(t.Context(), &odataclient.Request{URL: "accounts"}); err != nil {
		t.Fatal(err)
	}
}

// short gives tokens of six minutes that say when they end.
type short struct{ now func() time.Time }

func (s short) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	until := s.now().Add(6 * time.Minute)
	return azcore.AccessToken{Token: until.Format(time.RFC3339), ExpiresOn: until}, nil
}

func TestOnlyWhatIsSafeIsRepeated(t *testing.T) {
	for _, c := range []struct {
		name       string
		method     string
		repeatable bool
		status     int // 0 = cut the connection
		calls      int32
		lost       bool
	}{
		{"get 503", http.MethodGet, false, 503, 6, false},
		{"get cut", http.MethodGet, false, 0, 6, false},
		{"get 400", http.MethodGet, false, 400, 1, false},
		{"post 503", http.MethodPost, false, 503, 1, true},
		{"patch cut", http.MethodPatch, false, 0, 1, true},
		{"patch 500", http.MethodPatch, false, 500, 1, true},
		{"patch 412", http.MethodPatch, false, 412, 1, false},
		{"put repeatable", http.MethodPut, true, 502, 6, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n atomic.Int32
			cl, _ := client(t, func(w http.ResponseWriter, _ *http.Request) {
				n.Add(1)
				if c.status == 0 {
					w.Header().Set("Content-Length", "100")
					fmt.Fprint(w, `{"value":[`)
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(c.status)
			}, nil)
			_, err := cl.Do(t.Context(), &odataclient.Request{Method: c.method, URL: "accounts(1)", Repeatable: c.repeatable, Body: []byte("{}")})
			if err == nil {
				t.Fatal("got no error")
			}
			if got := n.Load(); got != c.calls {
				t.Errorf("got %d calls, want %d", got, c.calls)
			}
			if got := odataclient.IsLost(err); got != c.lost {
				t.Errorf("lost: got %v, want %v (%v)", got, c.lost, err)
			}
		})
	}
}

func TestBadAnswersAreToldApart(t *testing.T) {
	for _, c := range []struct {
		name, contentType, body string
		calls                   int32
		kind                    allod.Kind
		want                    error
	}{
		{"truncated", "application/json", `{"value":[{"a":1},{"b`, 6, allod.Unavailable, scan.ErrTruncated},
		{"not JSON", "application/json", `{"value":!}`, 6, allod.Unavailable, scan.ErrSyntax},
		{"web page", "text/html", `<html>sign in</html>`, 1, allod.Invalid, nil},
		{"web page as JSON", "application/json", "\n<!DOCTYPE html>", 1, allod.Invalid, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n atomic.Int32
			cl, _ := client(t, func(w http.ResponseWriter, _ *http.Request) {
				n.Add(1)
				w.Header().Set("Content-Type", c.contentType)
				fmt.Fprint(w, c.body)
			}, nil)
			_, err := cl.Do(t.Context(), &odataclient.Request{URL: "accounts", Check: checkJSON})
			if got := allod.KindOf(err); got != c.kind {
				t.Errorf("got kind %v, want %v (%v)", got, c.kind, err)
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want it to wrap %v", err, c.want)
			}
			if got := n.Load(); got != c.calls {
				t.Errorf("got %d calls, want %d", got, c.calls)
			}
		})
	}
}

func TestTruncatedPageIsReadAgain(t *testing.T) {
	var n atomic.Int32
	c, _ := client(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) < 3 {
			fmt.Fprint(w, `{"value":[`)
			return
		}
		fmt.Fprint(w, `{"value":[]}`)
	}, nil)
	if _, err := c.Do(t.Context(), &odataclient.Request{URL: "accounts", Check: checkJSON}); err != nil {
		t.Fatal(err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	c, _ := client(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 1<<16))
	}, nil)
	_, err := c.Do(t.Context(), &odataclient.Request{URL: "accounts", MaxBytes: 1000})
	if err == nil || allod.KindOf(err) != allod.Unavailable {
		t.Fatalf("got %v", err)
	}
}

// TestErrorsAreGolden pins what people read: environment, table, request and
// request id, never content.
func TestErrorsAreGolden(t *testing.T) {
	c, _ := client(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("REQ_ID", "11111111-2222-3333-4444-555555555555")
		w.Header().Set("Date", newClock().at.Format(http.TimeFormat))
		status, code := 400, "0x80060888"
		switch r.URL.Path {
		case "/api/secret('Jane Doe')":
			status, code = 404, "0x80040217"
		case "/api/forbidden":
			status, code = 403, "0x80040220"
		case "/api/unauthorized":
			status, code = 401, ""
		case "/api/odd":
			status, code = 418, "Jane Doe likes <tea>"
		case "/api/redirect":
			w.Header().Set("Location", "https://evil.example/")
			status, code = 302, ""
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"code":%q,"message":"Jane Doe"}}`, code)
	}, nil)
	var b strings.Builder
	for _, link := range []string{"secret('Jane%20Doe')?$select=name", "forbidden?$filter=name%20eq%20'Jane'", "unauthorized", "odd", "redirect", "accounts(49b0be2e-d01c-ed11-b83e-000d3a572421)"} {
		_, err := c.Do(t.Context(), &odataclient.Request{URL: link, Table: "account"})
		wantRefused(t, err, link == "unauthorized")
		fmt.Fprintf(&b, "%v: %v\n  hint: %s\n  request id: %s\n", allod.KindOf(err), err, allod.HintOf(err), allod.RequestIDOf(err))
	}
	got := b.String()
	if strings.Contains(got, "Jane") {
		t.Error("content in errors")
	}
	const golden = "testdata/errors.golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLinksStayOnTheHost(t *testing.T) {
	c, _ := client(t, func(w http.ResponseWriter, _ *http.Request) { t.Error("was called") }, nil)
	for _, link := range []string{"https://evil.example/api/accounts", "http://127.0.0.1:1/x", "http://u:p@127.0.0.1/", strings.Repeat("x", 70<<10), "%zz"} {
		if _, err := c.Do(t.Context(), &odataclient.Request{URL: link}); err == nil {
			t.Errorf("%.40q was followed", link)
		}
	}
}

// What was kept of a service follows it to another address, and nothing else does.
func TestKeptLinksFollowTheService(t *testing.T) {
	c, _ := client(t, func(http.ResponseWriter, *http.Request) {}, nil)
	for link, want := range map[string]string{
		"https://old.example/api/accounts?$skiptoken=%3Ca%20b=%22https://x/y%22": c.Base() + "accounts?$skiptoken=%3Ca%20b=%22https://x/y%22",
		c.Base() + "accounts":                c.Base() + "accounts",
		"accounts?$select=a":                 "accounts?$select=a",
		"https://old.example/other/accounts": "https://old.example/other/accounts",
		"https://old.example":                "https://old.example",
		"":                                   "",
	} {
		if got := c.Here(link); got != want {
			t.Errorf("%s: got %s, want %s", link, got, want)
		}
	}
}

func TestTrailNoticesCircles(t *testing.T) {
	var tr odataclient.Trail
	for i := range 3 {
		if err := tr.Follow(fmt.Sprintf("page%d", i), 5); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Follow("page1", 5); err == nil {
		t.Error("a link back was followed")
	}
	var empty odataclient.Trail
	var err error
	for i := 0; err == nil && i < 5000; i++ {
		err = empty.Follow(fmt.Sprint(i), 0)
	}
	if err == nil {
		t.Error("endless empty pages were followed")
	}
}

func TestCredentials(t *testing.T) {
	base := odataclient.Options{Base: "https://contoso.crm.dynamics.com/api/", Environment: "contoso"}
	if _, err := odataclient.New(base); allod.KindOf(err) != allod.Denied {
		t.Errorf("no credential for a real host: got %v", err)
	}
	base.Credential = odataclient.Loopback{}
	if _, err := odataclient.New(base); allod.KindOf(err) != allod.Denied {
		t.Errorf("loopback credential for a real host: got %v", err)
	}
	base.Base, base.Credential = "http://contoso.crm.dynamics.com/api/", failing{errors.New("x")}
	if _, err := odataclient.New(base); allod.KindOf(err) != allod.Denied {
		t.Errorf("token over plain http: got %v", err)
	}
	for _, bad := range []string{"", "contoso", "ftp://x/", "https://u:p@x/", "https://x/?a=b"} {
		if _, err := odataclient.New(odataclient.Options{Base: bad}); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

type failing struct{ err error }

func (f failing) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, f.err
}

func TestSignInErrorsNameCodeAndNextStep(t *testing.T) {
	c, _ := client(t, func(http.ResponseWriter, *http.Request) { t.Error("was called") }, func(o *odataclient.Options) {
		o.Credential = failing{errors.New(`ClientSecretCredential authentication failed. {"error_description":"AADSTS7000215: Invalid client secret provided hunter2. Trace ID: 11111111-2222-3333-4444-555555555555"}`)}
	})
	_, err := c.Do(t.Context(), &odataclient.Request{URL: "WhoAmI"})
	if allod.KindOf(err) != allod.Denied || !strings.Contains(err.Error(), "AADSTS7000215") || !strings.Contains(allod.HintOf(err), "secret") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v (hint %q)", err, allod.HintOf(err))
	}
	if got, want := allod.RequestIDOf(err), "11111111-2222-3333-4444-555555555555"; got != want {
		t.Errorf("request id: got %q, want %q", got, want)
	}
	wantRefused(t, err, true)
}

// wantRefused checks whether err says that the credential was not taken.
func wantRefused(t *testing.T, err error, want bool) {
	t.Helper()
	var s interface{ SignInRefused() bool }
	if got := errors.As(err, &s) && s.SignInRefused(); got != want {
		t.Errorf("the credential was refused: got %v, want %v: %v", got, want, err)
	}
}

func TestClockSkewIsNoticed(t *testing.T) {
	c, _ := client(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", newClock().at.Add(10*time.Minute).Format(http.TimeFormat))
		w.WriteHeader(http.StatusUnauthorized)
	}, nil)
	_, err := c.Do(t.Context(), &odataclient.Request{URL: "WhoAmI"})
	if got, want := c.Skew(), 10*time.Minute; got != want {
		t.Errorf("got skew %v, want %v", got, want)
	}
	wantRefused(t, err, true)
	if !strings.Contains(allod.HintOf(err), "clock") {
		t.Errorf("hint %q does not speak of the clock", allod.HintOf(err))
	}
}

func TestWindowLimitsAreKept(t *testing.T) {
	var at *clock
	var mu sync.Mutex
	var times []time.Time
	c, k := client(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		times = append(times, at.now())
		mu.Unlock()
	}, func(o *odataclient.Options) {
		o.Limits = odataclient.Limits{Window: time.Minute, Requests: 100}
	})
	at = k
	for range 400 {
		if _, err := c.Do(t.Context(), &odataclient.Request{URL: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range times {
		n := 0
		for j := i; j < len(times) && times[j].Sub(times[i]) < time.Minute; j++ {
			n++
		}
		if n > 100 {
			t.Fatalf("%d requests within a minute", n)
		}
	}
	if took := times[len(times)-1].Sub(times[0]); took > 5*time.Minute {
		t.Errorf("400 requests at 100 per minute took %v", took)
	}
}

func TestDailyLimit(t *testing.T) {
	c, k := client(t, func(http.ResponseWriter, *http.Request) {}, func(o *odataclient.Options) { o.Day = &pace.Day{Most: 3, Dir: t.TempDir()} })
	var err error
	for range 4 {
		_, err = c.Do(t.Context(), &odataclient.Request{URL: "x"})
	}
	if allod.KindOf(err) != allod.Unavailable || allod.HintOf(err) == "" {
		t.Fatalf("got %v", err)
	}
	if err := k.sleep(t.Context(), 25*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), &odataclient.Request{URL: "x"}); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

func TestConcurrencyFollowsTheHint(t *testing.T) {
	var now, most atomic.Int32
	c, _ := client(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(2 * time.Millisecond)
		w.Header().Set("x-ms-dop-hint", "6")
		now.Add(-1)
	}, nil)
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, err := c.Do(t.Context(), &odataclient.Request{URL: "x"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := most.Load(); got > 4 || got < 2 {
		t.Errorf("got %d at once, want 2 to 4", got)
	}
	if got, want := c.Parallel(), 3; got != want {
		t.Errorf("got %d, want half of the hint, %d", got, want)
	}
}

func TestHeaderNumbers(t *testing.T) {
	now := newClock().at
	for _, c := range []struct {
		in   string
		want time.Duration
	}{
		{"7", 7 * time.Second},
		{" 0 ", 0},
		{"", -1},
		{"-5", -1},
		{"NaN", -1},
		{"abc", -1},
		{"1e300", 10 * time.Minute},
		{now.Add(30 * time.Second).Format(http.TimeFormat), 30 * time.Second},
		{now.Add(-time.Hour).Format(http.TimeFormat), 0},
	} {
		if got := odataclient.RetryAfter(c.in, now); got != c.want {
			t.Errorf("Retry-After %q: got %v, want %v", c.in, got, c.want)
		}
	}
	for in, want := range map[string]int64{"1,200.00": 1200, "5999": 5999, "48": 48, "0": 0} {
		if got, ok := odataclient.Count(in); !ok || got != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "x", "-1", "1e99", "NaN"} {
		if got, ok := odataclient.Count(in); ok {
			t.Errorf("%q: got %d", in, got)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("7")
	f.Add("1,200.00")
	f.Add("Fri, 20 Nov 2026 10:00:30 GMT")
	f.Fuzz(func(t *testing.T, s string) {
		if d := odataclient.RetryAfter(s, newClock().at); d < -1 || d > 10*time.Minute {
			t.Errorf("%q: %v", s, d)
		}
		if n, _ := odataclient.Count(s); n < 0 {
			t.Errorf("%q: %d", s, n)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	f.Add(`{"error":{"code":"0x80040217","message":"x"}}`)
	f.Add(`{"error":null}`)
	f.Add(`<html>`)
	f.Add(`{"error":{"code":7}}`)
	f.Fuzz(func(t *testing.T, body string) {
		const marker = "content-that-must-not-show"
		_, err := doBody(t, strings.ReplaceAll(body, "x", marker))
		if err == nil || strings.Contains(err.Error(), " "+marker) || allod.KindOf(err) != allod.Invalid {
			t.Errorf("got %v", err)
		}
	})
}

// doBody gets a 400 with a body without a network.
func doBody(t *testing.T, body string) (*odataclient.Response, error) {
	c, err := odataclient.New(odataclient.Options{Base: "http://127.0.0.1/", Environment: "e", Transport: answer(body)})
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(t.Context(), &odataclient.Request{URL: "y"})
}

type answer string

func (a answer) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(w, string(a))
	return w.Result(), nil
}

// Outside of its window a client waits, and tells of each wait once.
func TestWindowIsWaitedFor(t *testing.T) {
	var told []time.Time
	c, k := client(t, func(http.ResponseWriter, *http.Request) {}, func(o *odataclient.Options) {
		o.Window = pace.Window("22:00-06:00").Wait
		o.Paused = func(until time.Time) { told = append(told, until) }
	})
	open := func() bool { return pace.Window("22:00-06:00").Wait(k.now()) == 0 }
	for day := range 3 {
		for open() {
			if err := k.sleep(t.Context(), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if _, err := c.Do(t.Context(), &odataclient.Request{URL: "x"}); err != nil {
				t.Fatal(err)
			}
			if !open() {
				t.Fatalf("sent at %s", k.now())
			}
		}
		if len(told) != day+1 || told[day].Hour() != 22 {
			t.Errorf("told %v", told)
		}
	}
}
