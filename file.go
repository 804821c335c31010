package allod

import (
	"encoding/json"
	"fmt"
)

// FileRef is what a row knows of a file kept beside it: a file or image
// column, the body of a note or of an attachment. The bytes are stored once
// per record and version, under the record's own key.
type FileRef struct {
	// SourceID changes whenever the source's content changes: a file id, or
	// the row version for bodies that have none. Equal SourceID means the
	// bytes need not be read again.
	SourceID string `json:"source_id,omitempty"`
	Name     string `json:"name,omitempty"` // file name as the source has it; content, never logged
	MIME     string `json:"mime,omitempty"`
	Size     int64  `json:"size"` // bytes, decoded (not base64)

	// Content names the stored bytes inside the vault, opaque to everybody
	// else; empty while the row has not been stored, or when the bytes were
	// deliberately not read (--no-files), which is a Gap.
	Content string `json:"content,omitempty"`
	// SHA256 is the lower-case hex digest of the bytes; empty when not read.
	SHA256 string `json:"sha256,omitempty"`
}

// FileValue holds a reference to a file.
func FileValue(f FileRef) Value {
	b, err := json.Marshal(f)
	if err != nil { // a struct of strings and a number always marshals
		panic(err)
	}
	return Value{typ: File, text: string(b)}
}

// FileRef returns the reference of a File value; other types are Invalid.
func (v Value) FileRef() (FileRef, error) {
	var f FileRef
	if v.typ != File {
		return f, Errorf(Invalid, "read file reference: value is %v, not file", v.typ)
	}
	if err := json.Unmarshal([]byte(v.text), &f); err != nil {
		return f, &Error{Kind: Corrupt, Err: fmt.Errorf("read file reference: %w", err)}
	}
	return f, nil
}
