// Package batch reads and writes the bodies of OData $batch requests and
// responses (protocols/dataverse.md §6.11), for clients and servers alike. It
// is pure: bodies are byte slices in memory, within Limits.
package batch

import (
	"net/http"
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
	ResponsePrefix    = "batchresponse_"
	ChangeSetPrefix   = "changesetresponse_"
)

// Operation is one request of a batch.
type Operation struct {
	ContentID string // "" if none
	Method    string
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

// Options say how strictly a request is read. The zero value takes bare line
// feeds, as dynamics-web-api sends them (protocols/dataverse.md §6.11).
type Options struct {
	RequireCRLF bool // refuse bare line feeds with ErrLineEnds
	MaxBody     int  // of the whole body, in bytes; 0 = 128 MiB
}

// ParseRequest reads the body of a batch request. contentType is the
// Content-Type header with the boundary.
func ParseRequest(contentType string, body []byte, o Options) ([]Item, error) { return nil, nil }

// AppendRequest appends the body of a batch request; boundary as given in
// Content-Type.
func AppendRequest(dst []byte, boundary string, items []Item) ([]byte, error) { return nil, nil }

// ParseResponse reads the body of a batch response.
func ParseResponse(contentType string, body []byte, o Options) ([]ResultItem, error) {
	return nil, nil
}

// AppendResponse appends the body of a batch response. id makes the boundaries:
// batchresponse_<id> and changesetresponse_<id>_<n>.
func AppendResponse(dst []byte, id string, items []ResultItem) ([]byte, error) { return nil, nil }
