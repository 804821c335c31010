package store

import (
	"encoding/gob"
	"fmt"
	"maps"
	"slices"

	"allod"
)

// What Save writes, one gob value after another: a savedStore; for each of its
// tables the rows in slices of savedRow; for each blob a savedBlob and its
// content in pieces.
type (
	savedStore struct {
		Version uint64
		Tables  []savedTable
		Blobs   int
		Names   []string // of packed lookups
	}
	savedTable struct {
		Name    string
		Columns []string
		Rows    int
		Log     []Change
		Stale   int
	}
	savedRow struct {
		Key     allod.GUID
		Version uint64
		Data    string
	}
	savedBlob struct {
		ID         allod.GUID
		Name, MIME string
		Size       int64
		Made       bool
		Seed       uint64
	}
)

const (
	saveRows  = 512
	savePiece = 8 << 20 // bytes of a blob
)

// Save writes the present: rows, their versions, logs and files. Marks are not
// part of it. Requests go on while it writes what was there when it began.
func (s *Store) Save(e *gob.Encoder) error {
	s.mu.Lock()
	m := s.copy(s.version, s.tables, s.blobs)
	s.mu.Unlock()
	head := savedStore{Version: m.version, Blobs: len(m.blobs), Names: s.TableNames()}
	for _, name := range slices.Sorted(maps.Keys(m.tables)) {
		head.Tables = append(head.Tables, savedOf(m.tables[name]))
	}
	if err := e.Encode(head); err != nil {
		return fmt.Errorf("save the store: %w", err)
	}
	for _, t := range head.Tables {
		if err := saveTable(e, m.tables[t.Name]); err != nil {
			return fmt.Errorf("save table %s: %w", t.Name, err)
		}
	}
	for id, b := range m.blobs {
		if err := saveBlob(e, id, b); err != nil {
			return fmt.Errorf("save file %s: %w", id, err)
		}
	}
	return nil
}

func savedOf(t *table) savedTable {
	return savedTable{Name: t.name, Columns: t.columns, Rows: t.rows.n, Log: t.log, Stale: t.stale}
}

func saveTable(e *gob.Encoder, t *table) error {
	batch := make([]savedRow, 0, saveRows)
	for _, c := range t.rows.chunks {
		for _, r := range c.rows {
			if batch = append(batch, savedRow{r.Key, r.Version, r.data}); len(batch) < saveRows {
				continue
			}
			if err := e.Encode(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return e.Encode(batch)
}

func saveBlob(e *gob.Encoder, id allod.GUID, b *Blob) error {
	if err := e.Encode(savedBlob{ID: id, Name: b.Name, MIME: b.MIME, Size: b.Size, Made: b.data == nil, Seed: b.seed}); err != nil {
		return err
	}
	for piece := range slices.Chunk(b.data, savePiece) {
		if err := e.Encode(piece); err != nil {
			return err
		}
	}
	return nil
}

// Load replaces everything by what Save wrote. What it reads must be what Save
// wrote, byte for byte: the caller checks that. A failure leaves the store as it
// was.
func (s *Store) Load(d *gob.Decoder) error {
	var head savedStore
	if err := d.Decode(&head); err != nil {
		return fmt.Errorf("load the store: %w", err)
	}
	next := moment{version: head.Version, tables: map[string]*table{}, blobs: map[allod.GUID]*Blob{}}
	for i := range head.Tables {
		t, err := loadTable(d, &head.Tables[i])
		if err != nil {
			return fmt.Errorf("load table %s: %w", head.Tables[i].Name, err)
		}
		next.tables[t.name] = t
	}
	for range head.Blobs {
		id, b, err := loadBlob(d)
		if err != nil {
			return fmt.Errorf("load a file: %w", err)
		}
		next.blobs[id] = b
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version, s.tables, s.blobs, s.marks = next.version, next.tables, next.blobs, map[string]*moment{}
	s.shape++
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
	s.names, s.numbers = head.Names, map[string]int{}
	for i, name := range head.Names {
		s.numbers[name] = i
	}
	return nil
}

func loadTable(d *gob.Decoder, head *savedTable) (*table, error) {
	t := &table{name: head.Name, byName: map[string]int{}, log: head.Log, stale: head.Stale, index: map[int]postings{}}
	for _, c := range head.Columns {
		t.addColumn(c)
	}
	for t.rows.n < head.Rows {
		var batch []savedRow
		if err := d.Decode(&batch); err != nil {
			return nil, err
		}
		before := t.rows.n
		for _, r := range batch {
			t.rows.put(&Row{Key: r.Key, Version: r.Version, data: r.Data})
		}
		if t.rows.n == before {
			return nil, allod.Errorf(allod.Invalid, "%d of %d rows are there", before, head.Rows)
		}
	}
	return t, nil
}

func loadBlob(d *gob.Decoder) (allod.GUID, *Blob, error) {
	var head savedBlob
	if err := d.Decode(&head); err != nil {
		return allod.GUID{}, nil, err
	}
	if head.Made {
		return head.ID, MadeBlob(head.Name, head.MIME, head.Size, head.Seed), nil
	}
	data := []byte{}
	for int64(len(data)) < head.Size {
		var piece []byte
		if err := d.Decode(&piece); err != nil {
			return allod.GUID{}, nil, err
		}
		if len(piece) == 0 || int64(len(data)+len(piece)) > head.Size {
			return allod.GUID{}, nil, allod.Errorf(allod.Invalid, "a piece of %d bytes does not fit", len(piece))
		}
		data = append(data, piece...)
	}
	return head.ID, NewBlob(head.Name, head.MIME, data), nil
}
