package emulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	nextMember  = "@odata.nextLink"
	deltaMember = "@odata.deltaLink"

	// detourOption marks, in a link, a page that is served a second time. It
	// is taken off again before anybody else sees the request.
	detourOption = "_emulator_page="
)

// detour is what a page that is served once more leads to. Member is "" when
// it leads where it always did.
type detour struct {
	replace bool
	member  string // "" with replace: nowhere, it is the last page
	link    json.RawMessage
	// kept is the page itself, as it was when the one after it was made: rows
	// that come meanwhile must not push others over the edge between the two.
	kept *recorder
}

// page is a page of rows: the members of its object.
type page map[string]json.RawMessage

// readPage takes an answer apart; nil when it is no page of rows.
func readPage(rec *recorder) page {
	var p page
	if rec.status != http.StatusOK || json.Unmarshal(rec.body.Bytes(), &p) != nil || len(p["value"]) == 0 || p["value"][0] != '[' {
		return nil
	}
	return p
}

// link returns what the page leads to: the next one, or the next changes.
func (p page) link() (member string, link json.RawMessage) {
	for _, m := range []string{nextMember, deltaMember} {
		if l, ok := p[m]; ok {
			return m, l
		}
	}
	return "", nil
}

func (p page) lead(member string, link json.RawMessage) {
	delete(p, nextMember)
	delete(p, deltaMember)
	if member != "" {
		p[member] = link
	}
}

// write puts the page into the recorder. Annotations sort before the rows, as
// the service has them.
func (p page) write(rec *recorder) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(p) == nil { // members that were read can be written
		rec.body.Reset()
		_, _ = rec.body.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n"))) // a buffer takes everything
	}
}

// back makes a link to the page of the request, served once more as d says.
func (f *Faults) back(r *http.Request, d detour) json.RawMessage {
	f.mu.Lock()
	f.detours = append(f.detours, d)
	n := len(f.detours)
	f.mu.Unlock()
	scheme, at := "http://", r.URL.RequestURI()
	if r.TLS != nil {
		scheme = "https://"
	}
	join := "?"
	if r.URL.RawQuery != "" {
		join = "&"
	}
	text := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(scheme + r.Host + at + join + detourOption + strconv.Itoa(n))
	return json.RawMessage(`"` + text + `"`)
}

// detoured takes the mark off a request for a page that is served once more;
// nil when it has none.
func (f *Faults) detoured(r *http.Request) (*http.Request, *detour) {
	head, number, ok := strings.Cut(r.URL.RawQuery, detourOption)
	if !ok {
		return r, nil
	}
	n, err := strconv.Atoi(number)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || n < 1 || n > len(f.detours) {
		return r, nil
	}
	d := f.detours[n-1]
	return asking(r, r.URL.EscapedPath(), strings.TrimSuffix(head, "&")), &d
}

// asking is the request for another address of the same host.
func asking(r *http.Request, path, query string) *http.Request {
	c := r.Clone(r.Context())
	c.Header.Del("Accept-Encoding") // what is taken apart must be text
	c.URL.RawPath = path
	if p, err := url.PathUnescape(path); err == nil {
		c.URL.Path = p
	}
	c.URL.RawQuery = query
	c.RequestURI = c.URL.RequestURI()
	return c
}

// recorded lets next answer into a recorder.
func recorded(r *http.Request, next http.HandlerFunc) *recorder {
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	next(rec, r)
	return rec
}

// rearrange answers a page of rows otherwise than in its place. What is no
// page of rows goes out as it is.
func (f *Faults) rearrange(kind string, r *http.Request, next http.HandlerFunc) *recorder {
	rec := recorded(asking(r, r.URL.EscapedPath(), r.URL.RawQuery), next)
	p := readPage(rec)
	if p == nil {
		return rec
	}
	member, link := p.link()
	switch kind {
	case "reverse-rows":
		var rows []json.RawMessage
		if json.Unmarshal(p["value"], &rows) != nil {
			return rec
		}
		slices.Reverse(rows)
		list := append([]byte{'['}, bytes.Join(toBytes(rows), []byte{','})...)
		p["value"] = append(list, ']')
	case "repeat-page":
		p.lead(nextMember, f.back(r, detour{replace: true, member: member, link: link}))
	case "swap-pages":
		var text string
		if member != nextMember || json.Unmarshal(link, &text) != nil {
			return rec
		}
		u, err := url.Parse(text)
		if err != nil {
			return rec
		}
		second := recorded(asking(r, u.EscapedPath(), u.RawQuery), next)
		q := readPage(second)
		if q == nil {
			return rec
		}
		after, to := q.link()
		p.lead(after, to)
		p.write(rec)
		q.lead(nextMember, f.back(r, detour{kept: rec}))
		rec, p = second, q
	}
	p.write(rec)
	return rec
}

func toBytes(list []json.RawMessage) [][]byte {
	out := make([][]byte, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// again answers a page that is served once more.
func (d *detour) again(r *http.Request, next http.HandlerFunc) *recorder {
	if d.kept != nil {
		return d.kept
	}
	rec := recorded(r, next)
	if p := readPage(rec); p != nil && d.replace {
		p.lead(d.member, d.link)
		p.write(rec)
	}
	return rec
}

// send passes on what was recorded.
func (r *recorder) send(w http.ResponseWriter) {
	for k, v := range r.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(r.body.Len()))
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes()) // the client has gone
}

// drip passes on what was recorded in pieces, over the given time.
func (r *recorder) drip(w http.ResponseWriter, req *http.Request, over time.Duration) {
	const pieces = 4
	for k, v := range r.header {
		w.Header()[k] = v
	}
	body := r.body.Bytes()
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(r.status)
	out := http.NewResponseController(w)
	for i := range pieces {
		_, err := w.Write(body[len(body)*i/pieces : len(body)*(i+1)/pieces])
		if err != nil || out.Flush() != nil {
			return // the client has gone
		}
		t := time.NewTimer(over / pieces)
		select {
		case <-t.C:
		case <-req.Context().Done():
			t.Stop()
			return
		}
	}
}
