package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"allod"
	"allod/internal/capture/judge"
	"allod/internal/source"
)

// State is what one capture leaves for the next. It rides in the log entry,
// sealed for the capture slot, so that a vault restored from a lagging copy
// never skips changes.
type State struct {
	Format     int                   `json:"format"` // 1
	Line       uint64                `json:"line"`
	Identity   allod.Identity        `json:"identity"`
	Witnesses  []judge.Witness       `json:"witnesses,omitempty"`
	Doubts     []judge.Witness       `json:"doubts,omitempty"`      // rows that changed or went without a word; the next capture asks again
	Broken     string                `json:"broken,omitempty"`      // why the line ends here; "" = it goes on
	SchemaMark string                `json:"schema_mark,omitempty"` // what the source called the moment before the run read the schema; "" = the run ended
	Tables     map[string]TableState `json:"tables"`                // by logical name
}

// TableState is what is remembered of one table.
type TableState struct {
	ID      allod.GUID    `json:"id"`      // the source's immutable id
	Columns string        `json:"columns"` // digest of the columns read, with their ids and types
	Delta   source.Cursor `json:"delta,omitzero"`
	DeltaAt time.Time     `json:"delta_at,omitzero"`  // UTC; when Delta was handed out
	Resume  source.Cursor `json:"resume,omitzero"`    // where a first read that was cut off goes on
	Left    int64         `json:"left,omitempty"`     // rows of which that one had read the keys alone
	KeyOnly bool          `json:"key_only,omitempty"` // Delta gives keys; the rows are fetched by id
	Run     string        `json:"run"`                // the run that read it last
	ReadAt  time.Time     `json:"read_at,omitzero"`   // UTC; when that read began
	Rows    int64         `json:"rows"`               // rows alive
	Depth   source.Depth  `json:"depth"`
	Hidden  []string      `json:"hidden,omitempty"` // secured columns the reader could not see
	High    uint64        `json:"high"`             // highest row version read
	Gone    bool          `json:"gone,omitempty"`   // the table is no longer in the source
	Again   []allod.GUID  `json:"again,omitempty"`  // rows to read again though nothing says that they changed
	Whole   bool          `json:"whole,omitempty"`  // the next read must be a whole one, whatever token there is
	Unread  int64         `json:"unread,omitempty"` // files whose bytes are not stored
	Gaps    []allod.Gap   `json:"gaps,omitempty"`   // what the stored rows lack, for captures that carry them
}

const stateFormat = 1

func decodeState(b []byte) (*State, error) {
	s := &State{Tables: map[string]TableState{}}
	if len(b) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, &allod.Error{Kind: allod.Corrupt, Err: fmt.Errorf("read the state of the last capture: %w", err)}
	}
	if s.Format != stateFormat {
		return nil, allod.Errorf(allod.Invalid, "read the state of the last capture: format %d, this program knows %d", s.Format, stateFormat)
	}
	if s.Tables == nil {
		s.Tables = map[string]TableState{}
	}
	return s, nil
}

func (s *State) encode() ([]byte, error) {
	s.Format = stateFormat
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the state of the capture: %w", err)
	}
	return b, nil
}

// restartLine forgets every token: the next reads are full.
func (s *State) restartLine() {
	s.Line++
	s.Witnesses, s.Doubts, s.Broken = nil, nil, ""
	for name, t := range s.Tables {
		t.Delta, t.DeltaAt, t.Resume, t.High, t.Run = source.Cursor{}, time.Time{}, source.Cursor{}, 0, ""
		s.Tables[name] = t
	}
}

// columnsDigest names the set of columns a table is read with: a delta token
// is bound to it. A column that was removed and made again under its name is
// another one, and so is one of another type: its values are other ones in rows
// that did not change.
func columnsDigest(t *allod.Table, columns []string) string {
	sorted := slices.Clone(columns)
	slices.Sort(sorted)
	h := sha256.New()
	for _, name := range sorted {
		c := t.Column(name)
		fmt.Fprintf(h, "%d:%s%s%d%t", len(name), name, c.ID, c.Type, c.Unreadable == "")
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
