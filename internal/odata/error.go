package odata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"

	"allod"
)

// maxErrorBody is how much of an error body is read, in bytes.
const maxErrorBody = 1 << 20

// Error is the error body of a service: {"error":{"code","message"}}
// (protocols/dataverse.md §9.1). Message is the service's own text and may hold
// customer content: it belongs into no log.
type Error struct {
	Code    string            // e.g. "0x80040217"; "" and "0x0" occur
	Message string            // for people
	Extra   map[string]string // annotations with their @, e.g. "@Microsoft.PowerApps.CDS.HelpLink"; nil if none
}

// Error returns code and message.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// AppendTo appends the error body as JSON, annotations sorted by name.
func (e *Error) AppendTo(dst []byte) []byte {
	dst = append(dst, `{"error":{"code":`...)
	dst = AppendString(dst, e.Code)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, e.Message)
	names := make([]string, 0, len(e.Extra))
	for name := range e.Extra {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		dst = AppendMember(dst, name)
		dst = AppendString(dst, e.Extra[name])
	}
	return append(dst, '}', '}')
}

// ParseError reads an error body. A body that is not one, such as an HTML page,
// or is longer than 1 MiB, is Invalid.
func ParseError(body []byte) (*Error, error) {
	if len(body) > maxErrorBody {
		return nil, allod.Errorf(allod.Invalid, "read error body: %d bytes are more than %d", len(body), maxErrorBody)
	}
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	var outer struct {
		Error map[string]json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(body, &outer); err != nil {
		return nil, allod.Errorf(allod.Invalid, "read error body: not the JSON of an error")
	}
	if outer.Error == nil {
		return nil, allod.Errorf(allod.Invalid, "read error body: no member \"error\"")
	}
	e := &Error{}
	for name, raw := range outer.Error {
		text := string(raw)
		if len(raw) > 0 && raw[0] == '"' {
			if err := json.Unmarshal(raw, &text); err != nil {
				return nil, allod.Errorf(allod.Invalid, "read error body: member is not a string")
			}
		}
		switch {
		case name == "code" && text != "null":
			e.Code = text
		case name == "message" && text != "null":
			e.Message = text
		case len(name) > 0 && name[0] == '@':
			if e.Extra == nil {
				e.Extra = map[string]string{}
			}
			e.Extra[name] = text
		}
	}
	return e, nil
}
