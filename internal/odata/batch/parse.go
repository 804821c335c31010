package batch

import (
	"bytes"
	"mime"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxHeader is how long the header of a part or operation may be, in bytes: a
// URL and what goes with it.
const maxHeader = MaxURL + 64<<10

// maxBoundary is the longest boundary (RFC 2046 §5.1.1 allows 70).
const maxBoundary = 200

// Boundary returns the boundary in a multipart/mixed content type, quoted or
// not. Anything else is Invalid.
func Boundary(contentType string) (string, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "multipart/mixed" {
		return "", invalid("content type is not multipart/mixed")
	}
	b := params["boundary"]
	if !validBoundary(b) {
		return "", invalid("content type without a boundary that may be one")
	}
	return b, nil
}

func validBoundary(b string) bool {
	for i := range len(b) {
		if b[i] <= ' ' || b[i] >= 0x7f || b[i] == '"' {
			return false
		}
	}
	return b != "" && len(b) <= maxBoundary
}

// line cuts the first line off, without its end. ok is false if there is no
// end of line, or a bare line feed where CRLF is required.
func (r *reader) line(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return nil, b, false
	}
	line, rest = b[:i], b[i+1:]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1], rest, true
	}
	return line, rest, !r.strict
}

// split calls f for every part between the boundaries of body. The last line
// of an inner body has lost its end to the boundary around it.
func (r *reader) split(boundary string, body []byte, inner bool, f func(part) error) error {
	delim := []byte("--" + boundary)
	start, last, _, ok := r.delimiter(body, delim, 0, inner)
	if !ok {
		return invalid("no boundary in the body")
	}
	for at, n := start, 1; !last; n++ {
		if n > MaxOperations {
			return invalid("more than %d parts", MaxOperations)
		}
		next, isLast, end, ok := r.delimiter(body, delim, at, inner)
		if !ok {
			return invalid("the body breaks off before the last boundary")
		}
		p, err := r.part(body[at:end])
		if err != nil {
			return err
		}
		if err := f(p); err != nil {
			return err
		}
		at, last = next, isLast
	}
	return nil
}

// delimiter finds the next delimiter line at or after from. It returns where
// the text after the line starts, whether it is the last one, and where the
// text before it ends, the line break in front of the delimiter not included.
func (r *reader) delimiter(body, delim []byte, from int, inner bool) (after int, last bool, end int, ok bool) {
	for at := from; at < len(body); {
		i := bytes.Index(body[at:], delim)
		if i < 0 {
			return 0, false, 0, false
		}
		i += at
		at = i + len(delim)
		if i > from && body[i-1] != '\n' {
			continue
		}
		rest := body[at:]
		if last = bytes.HasPrefix(rest, []byte("--")); last {
			rest = rest[2:]
		}
		trimmed := bytes.TrimLeft(rest, " \t")
		switch {
		case last && len(trimmed) == 0 && (inner || !r.strict):
			after = len(body)
		case bytes.HasPrefix(trimmed, []byte("\r\n")):
			after = len(body) - len(trimmed) + 2
		case bytes.HasPrefix(trimmed, []byte("\n")) && !r.strict:
			after = len(body) - len(trimmed) + 1
		default:
			continue
		}
		end = i
		if end > from {
			end--
			if end > from && body[end-1] == '\r' {
				end--
			} else if r.strict {
				continue
			}
		}
		return after, last, end, true
	}
	return 0, false, 0, false
}

// part reads the header of a part.
func (r *reader) part(b []byte) (part, error) {
	h, content, err := r.header(b)
	if err != nil {
		return part{}, err
	}
	p := part{contentType: h.Get("Content-Type"), contentID: h.Get("Content-ID"), content: content}
	media, _, _ := strings.Cut(p.contentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "application/http":
		if enc := h.Get("Content-Transfer-Encoding"); enc != "" && !strings.EqualFold(enc, "binary") {
			return part{}, invalid("a part whose transfer encoding is not binary")
		}
		return p, r.one()
	case "multipart/mixed":
		p.boundary, err = Boundary(p.contentType)
		return p, err
	}
	return part{}, invalid("a part that is neither application/http nor multipart/mixed")
}

// header reads header lines up to an empty line, or to the end.
func (r *reader) header(b []byte) (http.Header, []byte, error) {
	h := http.Header{}
	size := 0
	for len(b) > 0 {
		line, rest, ok := r.line(b)
		if !ok {
			if r.strict && bytes.IndexByte(b, '\n') >= 0 {
				return nil, nil, invalid("a line that does not end in CRLF")
			}
			line, rest = bytes.TrimSuffix(b, []byte("\r")), nil // the last line of a part needs no end
		}
		b = rest
		if len(line) == 0 {
			return h, b, nil
		}
		if size += len(line); size > maxHeader {
			return nil, nil, invalid("a header longer than %d bytes", maxHeader)
		}
		name, value, found := strings.Cut(string(line), ":")
		if !found || !token(name) {
			return nil, nil, invalid("a header line without a name")
		}
		value = strings.Trim(value, " \t")
		for i := range len(value) {
			if value[i] < ' ' && value[i] != '\t' || value[i] == 0x7f {
				return nil, nil, invalid("a control character in a header")
			}
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		h[key] = append(h[key], value)
	}
	return h, b, nil
}

// token reports whether s may be the name of a header (RFC 9110 §5.6.2).
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}

// operation reads the request in a part.
func (r *reader) operation(p part) (Operation, error) {
	line, rest, err := r.firstLine(p.content)
	if err != nil {
		return Operation{}, err
	}
	method, rest2, _ := strings.Cut(line, " ")
	url, version, found := cutLast(strings.Trim(rest2, " "), ' ')
	if !found || !strings.HasPrefix(version, "HTTP/1.") {
		return Operation{}, invalid("a request line that is not METHOD URL HTTP/1.1")
	}
	url = strings.Trim(url, " ")
	switch {
	case !token(method) || strings.ToUpper(method) != method:
		return Operation{}, invalid("a request line without a method")
	case url == "" || len(url) > MaxURL:
		return Operation{}, invalid("a URL that is empty or longer than %d bytes", MaxURL)
	case strings.ContainsFunc(url, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return Operation{}, invalid("a control character in a URL")
	case nested(url):
		return Operation{}, invalid("a batch inside the batch")
	}
	op := Operation{ContentID: p.contentID, Method: method, URL: url}
	if op.Header, op.Body, err = r.header(rest); err != nil {
		return Operation{}, err
	}
	if op.ContentID == "" {
		op.ContentID = op.Header.Get("Content-ID")
	}
	op.Header.Del("Content-ID")
	op.Body, err = trimBody(op.Header, op.Body)
	return op, err
}

// cutLast cuts s at the last sep.
func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// nested reports whether the URL is that of $batch.
func nested(url string) bool {
	path, _, _ := strings.Cut(url, "?")
	return path == "$batch" || strings.HasSuffix(path, "/$batch")
}

// firstLine reads the request or status line.
func (r *reader) firstLine(b []byte) (string, []byte, error) {
	line, rest, ok := r.line(b)
	if !ok {
		if bytes.IndexByte(b, '\n') >= 0 {
			return "", nil, invalid("a line that does not end in CRLF")
		}
		line, rest = b, nil
	}
	if len(line) > maxHeader {
		return "", nil, invalid("a first line longer than %d bytes", maxHeader)
	}
	return string(line), rest, nil
}

// trimBody cuts the body to Content-Length if there is one; otherwise line
// breaks at its end do not count, since writers differ in how many they put
// before a boundary.
func trimBody(h http.Header, body []byte) ([]byte, error) {
	if s := h.Get("Content-Length"); s != "" {
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil || n > uint64(len(body)) {
			return nil, invalid("a Content-Length that the part does not have")
		}
		body = body[:n]
	} else {
		body = bytes.TrimRight(body, "\r\n")
	}
	if len(body) == 0 {
		return nil, nil
	}
	return body, nil
}

// result reads the response in a part.
func (r *reader) result(p part) (Result, error) {
	line, rest, err := r.firstLine(p.content)
	if err != nil {
		return Result{}, err
	}
	version, tail, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(tail, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || status < 100 || !strings.HasPrefix(version, "HTTP/1.") {
		return Result{}, invalid("a status line that is not HTTP/1.1 STATUS")
	}
	res := Result{ContentID: p.contentID, Status: status, Reason: reason}
	if reason == http.StatusText(status) {
		res.Reason = ""
	}
	if res.Header, res.Body, err = r.header(rest); err != nil {
		return Result{}, err
	}
	if res.ContentID == "" {
		res.ContentID = res.Header.Get("Content-ID")
	}
	res.Header.Del("Content-ID")
	res.Body, err = trimBody(res.Header, res.Body)
	return res, err
}
