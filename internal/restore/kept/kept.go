// Package kept is what lies beside a plan once it is carried out: when that began
// and ended, and which version each row was left in. It holds ids, numbers and
// times, no value of a row.
package kept

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/durable"
)

// Folder is where plans are kept. Methods may be called from several goroutines.
type Folder struct {
	Dir  string
	Disk *durable.Disk
}

// Run says how far carrying out a plan has come. One that was begun and did not
// get to its end has left rows half made. Times are UTC.
type Run struct {
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended"` // zero = broken off
	// Uncounted says that processes wrote of it that were cut off: the counts are
	// of the others.
	Uncounted bool `json:"uncounted,omitempty"`
	// Kept says that what was there before is in the vault, under the id of the
	// plan.
	Kept   bool      `json:"kept,omitempty"`
	Undone time.Time `json:"undone,omitzero"` // taken back, to the end
	By     string    `json:"by,omitempty"`    // the undo that did it

	Created   int64 `json:"created,omitempty"`
	Updated   int64 `json:"updated,omitempty"`
	Deleted   int64 `json:"deleted,omitempty"`
	Failed    int64 `json:"failed,omitempty"`
	Conflicts int64 `json:"conflicts,omitempty"`
	// Numbers are the columns, TABLE.COLUMN, that were told which number comes
	// next. No undo takes that back.
	Numbers map[string]int64 `json:"numbers,omitempty"`
}

func (f Folder) path(id, ext string) string { return filepath.Join(f.Dir, id+ext) }

// Run returns what is known of carrying out a plan; nil when it never was.
func (f Folder) Run(id string) (*Run, error) {
	b, err := os.ReadFile(f.path(id, ".run"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("read whether the plan %s was begun: %w", id, err)}
	}
	var r Run
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, allod.Errorf(allod.Corrupt, "read whether the plan %s was begun: %w", id, err)
	}
	return &r, nil
}

// Note keeps how far carrying out a plan has come. It is durable when it returns
// nil.
func (f Folder) Note(id string, r Run) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = f.Disk.MkdirAll(f.Dir)
	}
	if err == nil {
		err = f.Disk.Replace(f.path(id, ".run"), b)
	}
	if err != nil {
		return fmt.Errorf("note that the plan %s is carried out: %w", id, err)
	}
	return nil
}

// Begun returns the ids of the plans that were ever carried out, sorted.
func (f Folder) Begun() ([]string, error) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("look for restores that were begun: %w", err)}
	}
	var out []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".run"); ok {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Written is one write that was done: Version is that of the row after it, 0 =
// not known.
type Written struct {
	Table   string     `json:"t"`
	Key     allod.GUID `json:"k"`
	Version uint64     `json:"v,omitempty"`
}

// Left are the versions that rows were left in, the last of each.
type Left map[allod.RecordRef]uint64

// Left reads what a run has written down; it may lack the last writes of one
// that broke off.
func (f Folder) Left(id string) (Left, error) {
	out := Left{}
	in, err := os.Open(f.path(id, ".left"))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("read what the restore %s has written: %w", id, err)}
	}
	s := bufio.NewScanner(in)
	for s.Scan() {
		var w Written
		if json.Unmarshal(s.Bytes(), &w) == nil { // a line that was cut off is a write that is not known of
			out[allod.RecordRef{Table: w.Table, Key: w.Key}] = w.Version
		}
	}
	if err := errors.Join(s.Err(), in.Close()); err != nil {
		return nil, &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("read what the restore %s has written: %w", id, err)}
	}
	return out, nil
}

// Journal writes down what a run does. It is appended to as writes come back, and
// durable after Sync: what a crash takes from its end is found by comparing.
// Methods may be called from several goroutines.
type Journal struct {
	mu sync.Mutex
	f  *os.File
}

// Journal opens the journal of a run, behind what it has.
func (f Folder) Journal(id string) (*Journal, error) {
	if err := f.Disk.MkdirAll(f.Dir); err != nil {
		return nil, fmt.Errorf("write down what the restore %s does: %w", id, err)
	}
	file, err := os.OpenFile(f.path(id, ".left"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, durable.Wrap(err, "write down what the restore %s does", id)
	}
	return &Journal{f: file}, nil
}

// Add writes writes down.
func (j *Journal) Add(all ...Written) error {
	var b []byte
	for i := range all {
		line, err := json.Marshal(&all[i])
		if err != nil {
			return allod.Errorf(allod.Internal, "write down what a restore does: %w", err)
		}
		b = append(append(b, line...), '\n')
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.Write(b); err != nil {
		return durable.Wrap(err, "write down what a restore does")
	}
	return nil
}

// Sync makes what was written down durable.
func (j *Journal) Sync() error {
	if err := j.f.Sync(); err != nil {
		return durable.Wrap(err, "write down what a restore does")
	}
	return nil
}

// Close closes the journal.
func (j *Journal) Close() error { return j.f.Close() }
