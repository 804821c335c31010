package batch

import (
	"bytes"
	"net/http"
	"sort"
	"strconv"
	"strings"
)

const crlf = "\r\n"

// AppendRequest appends the body of a batch request with CRLF line ends;
// boundary is the one of the Content-Type header, change sets get
// changeset_<boundary>_<n>. What ParseRequest would refuse is Invalid, a body
// that holds the boundary too.
func AppendRequest(dst []byte, boundary string, items []Item) ([]byte, error) {
	if !validBoundary(boundary) || len(boundary) > maxBoundary-20 {
		return nil, invalid("a boundary that cannot be one")
	}
	count := 0
	for n, item := range items {
		dst = open(dst, boundary)
		count += len(item.Operations)
		if count > MaxOperations {
			return nil, invalid("more than %d operations", MaxOperations)
		}
		if !item.ChangeSet {
			if len(item.Operations) != 1 {
				return nil, invalid("want one operation outside of a change set, not %d", len(item.Operations))
			}
			var err error
			if dst, err = appendOperation(dst, boundary, &item.Operations[0]); err != nil {
				return nil, err
			}
			continue
		}
		set := "changeset_" + boundary + "_" + strconv.Itoa(n+1)
		dst = multipart(dst, set)
		if len(item.Operations) == 0 {
			return nil, invalid("a change set without operations")
		}
		for i := range item.Operations {
			op := &item.Operations[i]
			if op.Method == http.MethodGet || op.Method == http.MethodHead {
				return nil, invalid("%s inside a change set", op.Method)
			}
			dst = open(dst, set)
			var err error
			if dst, err = appendOperation(dst, boundary, op); err != nil {
				return nil, err
			}
		}
		dst = closing(dst, set)
	}
	return closing(dst, boundary), nil
}

func open(dst []byte, boundary string) []byte {
	dst = append(dst, "--"...)
	dst = append(dst, boundary...)
	return append(dst, crlf...)
}

func closing(dst []byte, boundary string) []byte {
	dst = append(dst, "--"...)
	dst = append(dst, boundary...)
	return append(dst, "--"+crlf...)
}

func multipart(dst []byte, boundary string) []byte {
	dst = append(dst, "Content-Type: multipart/mixed; boundary="...)
	dst = append(dst, boundary...)
	return append(dst, crlf+crlf...)
}

// partHead appends the header of a part that holds one operation.
func partHead(dst []byte, contentID string) ([]byte, error) {
	dst = append(dst, "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"...)
	if contentID != "" {
		if !clean(contentID) {
			return nil, invalid("a Content-ID with a control character")
		}
		dst = append(dst, "Content-ID: "...)
		dst = append(dst, contentID...)
		dst = append(dst, crlf...)
	}
	return append(dst, crlf...), nil
}

// clean reports whether s can stand in a line.
func clean(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) && strings.Trim(s, " \t") == s
}

func appendOperation(dst []byte, boundary string, op *Operation) ([]byte, error) {
	dst, err := partHead(dst, op.ContentID)
	if err != nil {
		return nil, err
	}
	switch {
	case !token(op.Method) || strings.ToUpper(op.Method) != op.Method:
		return nil, invalid("an operation without a method")
	case op.URL == "" || len(op.URL) > MaxURL || !clean(op.URL):
		return nil, invalid("a URL that is empty, longer than %d bytes or not clean", MaxURL)
	case nested(op.URL):
		return nil, invalid("a batch inside the batch")
	}
	dst = append(dst, op.Method...)
	dst = append(dst, ' ')
	dst = append(dst, op.URL...)
	dst = append(dst, " HTTP/1.1\r\n"...)
	return appendMessage(dst, op.Header, op.Body, boundary, "changeset_"+boundary)
}

// appendMessage appends header, sorted by name, and body.
func appendMessage(dst []byte, h http.Header, body []byte, boundaries ...string) ([]byte, error) {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, value := range h[name] {
			if !token(name) || !clean(value) {
				return nil, invalid("a header that cannot stand in a line")
			}
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = append(dst, value...)
			dst = append(dst, crlf...)
		}
	}
	for _, b := range boundaries {
		if bytes.Contains(body, []byte("--"+b)) {
			return nil, invalid("a body that holds a boundary")
		}
	}
	dst = append(dst, crlf...)
	dst = append(dst, body...)
	return append(dst, crlf...), nil
}

// AppendResponse appends the body of a batch response. id, e.g. a GUID, makes
// the boundaries: batchresponse_<id> and changesetresponse_<id>_<n>; a
// Content-Type header needs ResponsePrefix+id.
func AppendResponse(dst []byte, id string, items []ResultItem) ([]byte, error) {
	boundary := ResponsePrefix + id
	if !validBoundary(boundary) || len(boundary) > maxBoundary-40 {
		return nil, invalid("an id that cannot be in a boundary")
	}
	for n, item := range items {
		dst = open(dst, boundary)
		var err error
		if !item.ChangeSet {
			if len(item.Results) != 1 {
				return nil, invalid("want one result outside of a change set, not %d", len(item.Results))
			}
			if dst, err = appendResult(dst, id, &item.Results[0]); err != nil {
				return nil, err
			}
			continue
		}
		set := ChangeSetPrefix + id + "_" + strconv.Itoa(n+1)
		dst = multipart(dst, set)
		for i := range item.Results {
			dst = open(dst, set)
			if dst, err = appendResult(dst, id, &item.Results[i]); err != nil {
				return nil, err
			}
		}
		dst = closing(dst, set)
	}
	return closing(dst, boundary), nil
}

func appendResult(dst []byte, id string, res *Result) ([]byte, error) {
	dst, err := partHead(dst, res.ContentID)
	if err != nil {
		return nil, err
	}
	reason := res.Reason
	if reason == "" {
		reason = http.StatusText(res.Status)
	}
	if res.Status < 100 || res.Status > 999 || !clean(reason) {
		return nil, invalid("a status that cannot be one")
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(res.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	dst = append(dst, crlf...)
	return appendMessage(dst, res.Header, res.Body, ResponsePrefix+id, ChangeSetPrefix+id)
}
