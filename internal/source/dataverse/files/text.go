package files

import (
	"encoding/base64"
	"io"
	"strings"

	"allod"
)

// Text opens the body of a note or attachment, whose value is base64 text and not
// bytes (protocols/dataverse.md §8.1). What is no base64 ends with Unavailable.
func Text(p Place, text string) io.ReadCloser {
	return &textReader{p, base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.TrimPrefix(text, "\ufeff")))}
}

// textReader says of what is no base64 where it came from.
type textReader struct {
	Place
	r io.Reader
}

// Read decodes on.
func (t *textReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // exact: a text that ends in the middle of a group wraps it
		err = allod.Errorf(allod.Unavailable, "%s, table %s: the service sent %s in another form than base64", t.Environment, t.Table, t.Column)
	}
	return n, err
}

// Close does nothing: the text is in memory.
func (t *textReader) Close() error { return nil }
