package dataverse

import (
	"context"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/level"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/spelling"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

const maxBody = 160 << 20 // bytes of a request body that are read; files of 128 MB fit

// call is one request with all that can answer it.
type call struct {
	change.Writer
	s *Server
}

func (s *Server) newCall(c *request.Call) *call { return &call{change.NewWriter(c, s.uploads), s} }

// api answers one HTTP request to the service.
func (s *Server) api(w http.ResponseWriter, r *http.Request, version, rest string) {
	client, ok := s.authority.Check(r)
	user := s.userOf(client)
	switch {
	case !ok:
		s.unauthorized(w, r)
		return
	case user == nil || !s.member(user):
		s.send(w, r, refusal(wire.Refuse(http.StatusForbidden, "0x80072560", "The user is not a member of the organization."), false))
		return
	case s.administered.Load() && !user.Administrator: // the code is assumed: no document says it
		s.send(w, r, refusal(wire.Refuse(http.StatusForbidden, "0x80040220", "The environment is in administration mode: only administrators can sign in."), false))
		return
	}
	server := s.serverOf(w, r)
	if d := s.limiter.Admit(user.ClientID, server); d != nil {
		s.org.Counters.Add("throttled", 1)
		out := refusal(wire.Refuse(http.StatusTooManyRequests, d.Code, "%s", d.Message), s.org.Assume["limit-annotations"] == "details")
		out.Header.Set("Retry-After", strconv.Itoa(s.clientSeconds(d.RetryAfter)))
		s.send(w, r, out)
		return
	}
	s.runJobs()
	began := s.opts.Now()
	spent := time.Duration(0)
	c := s.newCall(&request.Call{
		Org: s.org, Schema: s.schema.Load(), User: user, Method: r.Method, Header: r.Header,
		Root: scheme(r) + r.Host + "/api/data/v" + version, URL: rest, Spent: &spent,
	})
	if r.URL.RawQuery != "" {
		c.URL += "?" + r.URL.RawQuery
	}
	s.noteAccess(c, user.User)
	out := c.run(w, r)
	s.sleep(r.Context(), s.opts.Latency+spent)
	took := spent
	if s.opts.Cost == nil {
		took = s.opts.Now().Sub(began)
	}
	requests, left := s.limiter.Done(user.ClientID, server, took)
	h := w.Header()
	h.Set("x-ms-ratelimit-burst-remaining-xrm-requests", strconv.Itoa(requests))
	h.Set("x-ms-ratelimit-time-remaining-xrm-requests", seconds(left))
	s.send(w, r, out)
}

// unauthorized refuses a token that is missing or no good (§1.1).
func (s *Server) unauthorized(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", "Bearer authorization_uri="+scheme(r)+r.Host+"/common/oauth2/authorize")
	s.send(w, r, refusal(wire.Refuse(http.StatusUnauthorized, "", "Authorization has been denied for this request."), false))
}

func (c *call) run(w http.ResponseWriter, r *http.Request) *request.Reply {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return refusal(wire.Refuse(http.StatusRequestEntityTooLarge, "", "The request body is too large."), false)
	}
	c.Body = body
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

// clientSeconds is how long the client must wait for so many emulated seconds
// to pass, at least one.
func (s *Server) clientSeconds(n int) int { return max(1, int(math.Ceil(float64(n)/s.opts.TimeScale))) }

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

// member reports whether the application user has its row: one whose row was
// deleted is no user of the organisation any more (§1.2).
func (s *Server) member(u *AppUser) bool {
	const users = "systemuser"
	ok := true
	s.org.Store.View(func(tx *store.Tx) { ok = tx.Len(users) == 0 || tx.Get(users, u.User) != nil })
	return ok
}

// send writes the answer with the headers of §1.3.
func (s *Server) send(w http.ResponseWriter, r *http.Request, out *request.Reply) {
	h := w.Header()
	id := s.newID().String()
	h.Set("Date", s.now().UTC().Format(http.TimeFormat)) // the clock that dates rows and runs
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
	s.cookies(h, r)
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
	for k, v := range out.Header {
		h[k] = v
	}
	s.org.Counters.Add("status:"+strconv.Itoa(out.Status), 1)
	s.org.Counters.Add("bytes", int64(len(out.Body)))
	if len(out.Body) == 0 {
		w.WriteHeader(out.Status)
		return
	}
	if out.Type == "" {
		out.Type = "application/json; odata.metadata=minimal"
	}
	h.Set("Content-Type", out.Type)
	if len(out.Body) < 1400 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.Itoa(len(out.Body)))
		w.WriteHeader(out.Status)
		_, _ = w.Write(out.Body) // the client has gone
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(out.Status)
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return
	}
	_, _ = z.Write(out.Body) // the client has gone
	_ = z.Close()            // as above
}

// cookies tells a client that has none which client and organization it is (§1.3).
func (s *Server) cookies(h http.Header, r *http.Request) {
	if _, err := r.Cookie("ReqClientId"); err == nil {
		return
	}
	attributes := "; expires=" + s.now().UTC().AddDate(50, 0, 0).Format(http.TimeFormat) + "; path=/"
	if r.TLS != nil {
		attributes += "; secure"
	}
	h.Add("Set-Cookie", "ReqClientId="+h.Get("REQ_ID")+attributes+"; HttpOnly")
	h.Add("Set-Cookie", "orgId="+s.Organization().String()+attributes+"; HttpOnly")
}

func refusal(e *wire.Error, full bool) *request.Reply {
	return &request.Reply{Status: e.Status, Header: http.Header{}, Body: wire.AppendError(nil, e, full)}
}

func (c *call) fail(err error) *request.Reply { return refusal(wire.AsError(err), c.Prefer.Notes.All) }

// answer answers the call, with the control information that it asks for.
func (c *call) answer() *request.Reply {
	out := c.routed()
	if l := level.Of(c.Header); l != level.Minimal && out.Type == "" && len(out.Body) > 0 {
		r := *out // bodies may be kept for others
		r.Type, r.Body = l.ContentType(), l.Rewrite(c.Schema, out.Body)
		out = &r
	}
	return out
}

// routed parses and routes the call; every error becomes the service's.
func (c *call) routed() *request.Reply {
	var err error
	if c.Prefer, err = request.ParsePrefer(c.Header); err != nil {
		return c.fail(err)
	}
	if len(c.URL) > 32768 && !c.Nested || len(c.URL) > 65536 {
		return c.fail(wire.Refuse(http.StatusRequestURITooLong, "", "The request URI is too long."))
	}
	if c.Req, err = (query.Dialect{Exact: true}).ParseURL(spelling.URL(c.URL)); err != nil {
		return c.fail(wire.Refuse(http.StatusBadRequest, "0x80060888", "%v", err))
	}
	out, err := c.route()
	if err != nil {
		return c.fail(err)
	}
	if out.Header == nil {
		out.Header = http.Header{}
	}
	if len(c.Prefer.Applied) > 0 && out.Status < 300 {
		out.Header.Set("Preference-Applied", strings.Join(c.Prefer.Applied, ","))
	}
	return out
}
