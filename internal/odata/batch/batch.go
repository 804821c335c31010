// Package batch reads and writes the bodies of OData $batch requests and
// responses (protocols/dataverse.md §6.11), for clients and servers alike. It
// is pure: bodies are byte slices in memory, and what is parsed refers to them
// without copying.
package batch

import (
	"net/http"

	"allod"
)

// MaxOperations is how many operations one batch may hold, those of change
// sets counted one by one (protocols/dataverse.md §6.11).
const MaxOperations = 1000

// MaxURL is the longest URL of an operation, in bytes (protocols/dataverse.md
// §4.7).
const MaxURL = 65536

// Boundary prefixes of responses, which some clients look for
// (protocols/dataverse.md §14.2).
const (
	ResponsePrefix  = "batchresponse_"
	ChangeSetPrefix = "changesetresponse_"
)

// Operation is one request of a batch.
type Operation struct {
	ContentID string // "" if none
	Method    string // upper case
	URL       string // absolute, rooted, relative to the service root, or starting with $ContentID, as written
	Header    http.Header
	Body      []byte
}

// Item is one part of a batch: a single operation, or a change set.
type Item struct {
	ChangeSet  bool
	Operations []Operation // exactly one unless ChangeSet
}

// Result is the answer to one operation.
type Result struct {
	ContentID string
	Status    int    // e.g. 204
	Reason    string // "" = the standard text
	Header    http.Header
	Body      []byte
}

// ResultItem is the answer to one Item. A change set that failed has a single
// Result and ChangeSet false.
type ResultItem struct {
	ChangeSet bool
	Results   []Result
}

// Options say how strictly a body is read. The zero value takes bare line
// feeds, as dynamics-web-api sends them (protocols/dataverse.md §6.11).
type Options struct {
	// RequireCRLF refuses bare line feeds in the frame of the batch; bodies of
	// operations may hold them.
	RequireCRLF bool
	// MaxBody is how long a body may be, in bytes; 0 means 128 MiB, the limit
	// of a Dataverse request.
	MaxBody int
}

const defaultMaxBody = 128 << 20

func invalid(format string, args ...any) error {
	return allod.Errorf(allod.Invalid, "read batch: "+format, args...)
}

// reader splits a body into the parts of a batch and counts operations.
type reader struct {
	strict bool
	count  int
}

func newReader(body []byte, o Options) (*reader, error) {
	limit := o.MaxBody
	if limit <= 0 {
		limit = defaultMaxBody
	}
	if len(body) > limit {
		return nil, invalid("%d bytes are more than %d", len(body), limit)
	}
	return &reader{strict: o.RequireCRLF}, nil
}

// part is one part of a multipart body with its own header.
type part struct {
	contentType string
	contentID   string
	content     []byte // after the part's header
	boundary    string // not empty if the part is a multipart itself
}

// ParseRequest reads the body of a batch request; contentType is the
// Content-Type header with the boundary. Nested batches, GET in change sets,
// more than MaxOperations operations and anything malformed are Invalid.
func ParseRequest(contentType string, body []byte, o Options) ([]Item, error) {
	r, err := newReader(body, o)
	if err != nil {
		return nil, err
	}
	var items []Item
	err = r.parts(contentType, body, func(p part) error {
		if p.boundary == "" {
			op, err := r.operation(p)
			items = append(items, Item{Operations: []Operation{op}})
			return err
		}
		item := Item{ChangeSet: true}
		err := r.split(p.boundary, p.content, true, func(p part) error {
			if p.boundary != "" {
				return invalid("a change set inside a change set")
			}
			op, err := r.operation(p)
			if err == nil && (op.Method == http.MethodGet || op.Method == http.MethodHead) {
				err = invalid("%s inside a change set", op.Method)
			}
			item.Operations = append(item.Operations, op)
			return err
		})
		if err == nil && len(item.Operations) == 0 {
			err = invalid("a change set without operations")
		}
		items = append(items, item)
		return err
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// ParseResponse reads the body of a batch response; contentType is the
// Content-Type header with the boundary. What is malformed is Invalid.
func ParseResponse(contentType string, body []byte, o Options) ([]ResultItem, error) {
	r, err := newReader(body, o)
	if err != nil {
		return nil, err
	}
	var items []ResultItem
	err = r.parts(contentType, body, func(p part) error {
		if p.boundary == "" {
			res, err := r.result(p)
			items = append(items, ResultItem{Results: []Result{res}})
			return err
		}
		item := ResultItem{ChangeSet: true}
		err := r.split(p.boundary, p.content, true, func(p part) error {
			if p.boundary != "" {
				return invalid("a change set inside a change set")
			}
			res, err := r.result(p)
			item.Results = append(item.Results, res)
			return err
		})
		items = append(items, item)
		return err
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

// parts splits the whole body.
func (r *reader) parts(contentType string, body []byte, f func(part) error) error {
	boundary, err := Boundary(contentType)
	if err != nil {
		return err
	}
	return r.split(boundary, body, false, f)
}

// one counts an operation.
func (r *reader) one() error {
	r.count++
	if r.count > MaxOperations {
		return invalid("more than %d operations", MaxOperations)
	}
	return nil
}
