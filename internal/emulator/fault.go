package emulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"allod"
)

// Fault is something that goes wrong on purpose. Empty conditions match
// everything; Nth and Count choose among the matching requests.
type Fault struct {
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`  // regular expression on path and raw query
	Table  string `json:"table,omitempty"` // entity set or other first segment of the request
	Nth    int    `json:"nth,omitempty"`   // the first matching request that is hit, from 1; 0 = 1
	Count  int    `json:"count,omitempty"` // how many are hit; 0 = 1, -1 = all from then on

	// Kind is one of: status (Status, Code, Message, RetryAfter), throttle
	// (429), html (a page instead of JSON), reset (connection cut, nothing
	// done), reset-after (done, then cut), truncate (half the body), badjson
	// (body damaged), slow (Delay, then as usual), drip (as usual, the body in
	// pieces over Delay), cyclic (nextLink leads to the same page),
	// duplicate-page (the same, meant for Count 1), repeat-page (the page comes
	// twice, by two addresses), swap-pages (the page after this one comes
	// first) and reverse-rows (the rows of the page, last first). The kinds
	// that concern pages leave other answers alone.
	Kind       string `json:"kind"`
	Status     int    `json:"status,omitempty"`
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	RetryAfter int    `json:"retry_after,omitempty"` // seconds
	DelayMS    int    `json:"delay_ms,omitempty"`

	Hits int `json:"hits"` // how often it struck; set by the emulator

	seen int
	path *regexp.Regexp
}

// Faults is the list in force. It may be used concurrently.
type Faults struct {
	mu      sync.Mutex
	list    []*Fault
	detours []detour // pages that are served once more, by their number in links less one
}

// Set replaces the list. A bad kind or path is Invalid and changes nothing.
func (f *Faults) Set(list []Fault) error {
	next := make([]*Fault, len(list))
	for i := range list {
		c := list[i]
		switch c.Kind {
		case "status", "throttle", "html", "reset", "reset-after", "truncate", "badjson", "slow", "drip",
			"cyclic", "duplicate-page", "repeat-page", "swap-pages", "reverse-rows":
		default:
			return allod.Errorf(allod.Invalid, "set fault %d: unknown kind %q", i, c.Kind)
		}
		re, err := regexp.Compile(c.Path)
		if err != nil {
			return allod.Errorf(allod.Invalid, "set fault %d: path: %w", i, err)
		}
		c.path, c.seen, c.Hits = re, 0, 0
		next[i] = &c
	}
	f.mu.Lock()
	f.list = next
	f.mu.Unlock()
	return nil
}

// List returns the faults with their hits.
func (f *Faults) List() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Fault, len(f.list))
	for i, c := range f.list {
		out[i] = *c
	}
	return out
}

// strike returns the first fault that hits the request, counting it for all.
func (f *Faults) strike(r *http.Request, table string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit *Fault
	for _, c := range f.list {
		if c.Method != "" && c.Method != r.Method || c.Table != "" && c.Table != table || !c.path.MatchString(r.URL.RequestURI()) {
			continue
		}
		c.seen++
		first, count := max(c.Nth, 1), c.Count
		if count == 0 {
			count = 1
		}
		if hit == nil && c.seen >= first && (count < 0 || c.seen < first+count) {
			c.Hits++
			copied := *c
			hit = &copied
		}
	}
	return hit
}

// Serve calls next for the request, with what the first fault that strikes
// does to it. table is what Fault.Table is compared with.
func (f *Faults) Serve(w http.ResponseWriter, r *http.Request, table string, next http.HandlerFunc) {
	if plain, d := f.detoured(r); d != nil {
		r = plain
		inner := next
		next = func(w http.ResponseWriter, r *http.Request) { d.again(r, inner).send(w) }
	}
	c := f.strike(r, table)
	if c == nil {
		next(w, r)
		return
	}
	switch c.Kind {
	case "drip":
		recorded(r, next).drip(w, r, time.Duration(c.DelayMS)*time.Millisecond)
	case "repeat-page", "swap-pages", "reverse-rows":
		f.rearrange(c.Kind, r, next).send(w)
	case "slow":
		t := time.NewTimer(time.Duration(c.DelayMS) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
		next(w, r)
	case "reset":
		panic(http.ErrAbortHandler)
	case "status", "throttle":
		c.refuse(w)
	case "html":
		w.Header().Set("Content-Type", "text/html")
		status := c.Status
		if status == 0 {
			status = http.StatusOK
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>We are sorry.</body></html>")) // the client has gone
	default:
		plain := r.Clone(r.Context())
		plain.Header.Del("Accept-Encoding") // what is damaged must be text
		c.spoil(w, r, recorded(plain, next))
	}
}

func (c *Fault) refuse(w http.ResponseWriter) {
	status, code, message, retry := c.Status, c.Code, c.Message, c.RetryAfter
	if c.Kind == "throttle" {
		status = http.StatusTooManyRequests
		if code == "" {
			code = "0x80072322"
		}
		if message == "" {
			message = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
		}
		retry = max(retry, 1)
	}
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	writeJSON(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

var nextLink = regexp.MustCompile(`"@odata\.nextLink":"(?:[^"\\]|\\.)*"`)

// spoil sends what was recorded, damaged.
func (c *Fault) spoil(w http.ResponseWriter, r *http.Request, rec *recorder) {
	if c.Kind == "reset-after" {
		panic(http.ErrAbortHandler)
	}
	body := rec.body.Bytes()
	full := len(body)
	switch c.Kind {
	case "badjson":
		body = append(body[:full/2:full/2], append([]byte("\x00}{"), body[full/2:]...)...)
		full = len(body)
	case "cyclic", "duplicate-page":
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		self, err := json.Marshal(scheme + r.Host + r.URL.RequestURI())
		if err == nil {
			body = nextLink.ReplaceAllLiteral(body, append([]byte(`"@odata.nextLink":`), self...))
		}
		full = len(body)
	case "truncate":
		body = body[:full/2]
	}
	for k, v := range rec.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(full))
	w.WriteHeader(rec.status)
	_, _ = w.Write(body) // the client has gone
	if len(body) < full {
		panic(http.ErrAbortHandler)
	}
}
