package dataverse

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata"
	"allod/internal/odata/query"
)

const maxBody = 160 << 20 // bytes of a request body that are read; files of 128 MB fit

// call is one request, on its own or as a part of a batch.
type call struct {
	s      *Server
	schema *wire.Schema
	user   *AppUser
	method string
	header http.Header
	root   string // service root with host, no trailing slash
	url    string // relative to the root, as sent
	req    *query.Request
	body   []byte
	prefer prefer
	tx     *store.Tx         // of the change set the call is part of; nil = none
	refs   map[string]string // Content-ID to entity URL, in a batch
	nested bool              // part of a batch
	work   *work
}

// work adds up what a request costs.
type work struct{ cost time.Duration }

// reply is an answer.
type reply struct {
	status int
	header http.Header
	ctype  string // "" = JSON when there is a body
	body   []byte
}

// prefer is a parsed Prefer header (protocols/dataverse.md §2.2).
type prefer struct {
	representation bool
	track          bool
	continueOnErr  bool
	pageSize       int
	notes          wire.Annotations
	applied        []string
}

func parsePrefer(h http.Header) (prefer, error) {
	var p prefer
	for _, token := range splitList(strings.Join(h.Values("Prefer"), ",")) {
		name, value, _ := strings.Cut(token, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "return":
			p.representation = value == "representation"
		case "odata.track-changes":
			p.track = true
		case "odata.continue-on-error":
			p.continueOnErr = true
			continue
		case "odata.maxpagesize":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return p, wire.Refuse(http.StatusBadRequest, "0x80060888", "The value '%s' of the preference 'odata.maxpagesize' is invalid.", value)
			}
			p.pageSize = n
		case "odata.include-annotations":
			p.notes = parseAnnotations(value)
		default:
			continue
		}
		p.applied = append(p.applied, token)
	}
	return p, nil
}

// splitList splits at commas outside quotes.
func splitList(s string) []string {
	var out []string
	quoted, start := false, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] == '"' {
			quoted = !quoted
		}
		if i == len(s) || s[i] == ',' && !quoted {
			if t := strings.TrimSpace(s[start:i]); t != "" {
				out = append(out, t)
			}
			start = i + 1
		}
	}
	return out
}

func parseAnnotations(list string) wire.Annotations {
	var a wire.Annotations
	match := func(pattern, term string) bool {
		prefix, star := strings.CutSuffix(pattern, "*")
		return pattern == term || star && strings.HasPrefix(term, prefix)
	}
	for _, p := range strings.Split(list, ",") {
		p = strings.TrimSpace(p)
		a.All = a.All || p == "*"
		a.Formatted = a.Formatted || match(p, odata.FormattedValue)
		a.Navigation = a.Navigation || match(p, odata.AssociatedNavigation)
		a.Logical = a.Logical || match(p, odata.LookupLogicalName)
	}
	return a
}

// api answers one HTTP request to the service.
func (s *Server) api(w http.ResponseWriter, r *http.Request, version, rest string) {
	client, ok := s.authority.Check(r)
	user := s.userOf(client)
	switch {
	case !ok:
		s.counters.Add("status:401", 1)
		w.Header().Set("WWW-Authenticate", "Bearer authorization_uri="+scheme(r)+r.Host+"/common/oauth2/authorize")
		s.send(w, r, refusal(wire.Refuse(http.StatusUnauthorized, "", "Authorization has been denied for this request."), false))
		return
	case user == nil:
		s.send(w, r, refusal(wire.Refuse(http.StatusForbidden, "0x80072560", "The user is not a member of the organization."), false))
		return
	}
	server := s.serverOf(w, r)
	if d := s.limiter.Admit(user.ClientID, server); d != nil {
		s.counters.Add("throttled", 1)
		out := refusal(wire.Refuse(http.StatusTooManyRequests, d.Code, "%s", d.Message), false)
		out.header.Set("Retry-After", strconv.Itoa(d.RetryAfter))
		s.send(w, r, out)
		return
	}
	began := s.opts.Now()
	c := &call{s: s, schema: s.schema.Load(), user: user, method: r.Method, header: r.Header, root: scheme(r) + r.Host + "/api/data/v" + version, url: rest, work: &work{}}
	if r.URL.RawQuery != "" {
		c.url += "?" + r.URL.RawQuery
	}
	out := c.run(w, r)
	s.sleep(r.Context(), s.opts.Latency+c.work.cost)
	took := c.work.cost
	if s.opts.Cost == nil {
		took = s.opts.Now().Sub(began)
	}
	requests, left := s.limiter.Done(user.ClientID, server, took)
	h := w.Header()
	h.Set("x-ms-ratelimit-burst-remaining-xrm-requests", strconv.Itoa(requests))
	h.Set("x-ms-ratelimit-time-remaining-xrm-requests", seconds(left))
	s.send(w, r, out)
}

func (c *call) run(w http.ResponseWriter, r *http.Request) *reply {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return refusal(wire.Refuse(http.StatusRequestEntityTooLarge, "", "The request body is too large."), false)
	}
	c.body = body
	return c.answer()
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https://"
	}
	return "http://"
}

// seconds writes a remaining time as the service does: 1,200.00 (§7).
func seconds(d time.Duration) string {
	text := strconv.FormatFloat(d.Seconds(), 'f', 2, 64)
	if i := strings.IndexByte(text, '.'); i > 3 {
		text = text[:i-3] + "," + text[i-3:]
	}
	return text
}

// sleep waits out what the request costs on a real server.
func (s *Server) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// serverOf picks the web server by the affinity cookie, else the next one.
func (s *Server) serverOf(w http.ResponseWriter, r *http.Request) int {
	if c, err := r.Cookie("ARRAffinity"); err == nil {
		if n, err := strconv.ParseUint(c.Value, 16, 32); err == nil && int(n) < s.opts.Servers {
			return int(n)
		}
	}
	n := int(s.next.Add(1) % uint64(s.opts.Servers))
	secure := ""
	if r.TLS != nil {
		secure = "; secure"
	}
	w.Header().Add("Set-Cookie", "ARRAffinity="+strconv.FormatInt(int64(n), 16)+"; path=/"+secure+"; HttpOnly")
	return n
}

// userOf returns the application user of the client; a client nobody knows,
// and a foreign token, count as the first user unless authentication is
// strict.
func (s *Server) userOf(client string) *AppUser {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.users {
		if strings.EqualFold(s.users[i].ClientID, client) {
			u := s.users[i]
			return &u
		}
	}
	if s.opts.Auth == "strict" {
		return nil
	}
	u := s.users[0]
	return &u
}

// send writes the answer with the headers of §1.3.
func (s *Server) send(w http.ResponseWriter, r *http.Request, out *reply) {
	h := w.Header()
	id := s.newID().String()
	h.Set("Cache-Control", "no-cache")
	h.Set("Allow", "OPTIONS,GET,HEAD,POST")
	h.Set("Expires", "-1")
	h.Set("Vary", "Accept-Encoding")
	h.Add("x-ms-service-request-id", id)
	h.Add("x-ms-service-request-id", id)
	h.Set("REQ_ID", id)
	h.Set("CRM.ServiceId", "framework")
	h.Set("AuthActivityId", id)
	h.Set("x-ms-dop-hint", strconv.Itoa(s.opts.DOPHint))
	h.Set("OData-Version", "4.0")
	h.Set("Public", "OPTIONS,GET,HEAD,POST")
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
	for k, v := range out.header {
		h[k] = v
	}
	s.counters.Add("status:"+strconv.Itoa(out.status), 1)
	s.counters.Add("bytes", int64(len(out.body)))
	if len(out.body) == 0 {
		w.WriteHeader(out.status)
		return
	}
	if out.ctype == "" {
		out.ctype = "application/json; odata.metadata=minimal"
	}
	h.Set("Content-Type", out.ctype)
	if len(out.body) < 1400 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(len(out.body)))
		w.WriteHeader(out.status)
		_, _ = w.Write(out.body) // the client has gone
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(out.status)
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return
	}
	_, _ = z.Write(out.body) // the client has gone
	_ = z.Close()            // as above
}

func refusal(e *wire.Error, full bool) *reply {
	return &reply{status: e.Status, header: http.Header{}, body: wire.AppendError(nil, e, full)}
}

func (c *call) fail(err error) *reply { return refusal(wire.AsError(err), c.prefer.notes.All) }

// answer parses and routes the call; every error becomes the service's.
func (c *call) answer() *reply {
	var err error
	if c.prefer, err = parsePrefer(c.header); err != nil {
		return c.fail(err)
	}
	if len(c.url) > 32768 && !c.nested {
		return c.fail(wire.Refuse(http.StatusRequestURITooLong, "", "The request URI is too long."))
	}
	if c.req, err = (query.Dialect{}).ParseURL(c.url); err != nil {
		return c.fail(wire.Refuse(http.StatusBadRequest, "0x80060888", "%v", err))
	}
	out, err := c.route()
	if err != nil {
		return c.fail(err)
	}
	if out.header == nil {
		out.header = http.Header{}
	}
	if len(c.prefer.applied) > 0 && out.status < 300 {
		out.header.Set("Preference-Applied", strings.Join(c.prefer.applied, ","))
	}
	return out
}

// view runs f at one moment of the store, within the change set if there is
// one.
func (c *call) view(f func(tx *store.Tx) error) error {
	if c.tx != nil {
		return f(c.tx)
	}
	var err error
	c.s.store.View(func(tx *store.Tx) { err = f(tx) })
	return err
}

// update runs f as one write.
func (c *call) update(f func(a *platform.Act) error) error {
	if c.tx != nil {
		point := c.tx.Point()
		err := f(c.act(c.tx))
		if err != nil {
			c.tx.Back(point)
		}
		return err
	}
	return c.s.store.Update(func(tx *store.Tx) error { return f(c.act(tx)) })
}

func (c *call) act(tx *store.Tx) *platform.Act {
	s := c.s
	a := &platform.Act{
		Tx: tx, Schema: c.schema, User: c.user.User, Unit: s.unit, Currency: s.currency, Now: s.now(), NewID: s.newID, Refs: c.refs,
		Assume: func(key string) string { return s.assume[key] }, Allow: allowWrite(c.user),
	}
	if id, ok := c.impersonated(tx); ok {
		a.User, a.RealUser = id, c.user.User
	}
	return a
}

// impersonated reads the headers of §6.8.
func (c *call) impersonated(tx *store.Tx) (allod.GUID, bool) {
	if g, err := allod.ParseGUID(c.header.Get("MSCRMCallerID")); err == nil && tx.Get("systemuser", g) != nil {
		return g, true
	}
	if g, err := allod.ParseGUID(c.header.Get("CallerObjectId")); err == nil {
		for _, id := range tx.Find("systemuser", "azureactivedirectoryobjectid", allod.IDValue(g)) {
			return id, true
		}
	}
	return allod.GUID{}, false
}

// charge adds to what the request costs.
func (c *call) charge(f func(m *protect.Cost) time.Duration) {
	if m := c.s.opts.Cost; m != nil {
		c.work.cost += f(m)
	}
}

func (c *call) count(route string, t *entity.Table) {
	c.s.counters.Add("requests", 1)
	c.s.counters.Add("requests:"+route, 1)
	if t != nil {
		c.s.counters.Add("requests:"+route+":"+t.LogicalName, 1)
	}
}
