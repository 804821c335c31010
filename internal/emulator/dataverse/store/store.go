package store

import (
	"sort"
	"sync"
	"time"

	"allod"
)

// Store holds the tables of one organisation. All methods may be called from
// many goroutines; reading several things at one moment goes through View,
// writing through Update. Nothing is durable.
type Store struct {
	// Now tells the time at which deletions are logged. Set it before use;
	// New sets time.Now.
	Now func() time.Time

	mu      sync.RWMutex
	version uint64
	tables  map[string]*table
	names   []string // packed lookups hold positions in names
	numbers map[string]int
	namesMu sync.Mutex
	blobs   map[allod.GUID]*Blob
	marks   map[string]*moment
	shape   uint64
}

type table struct {
	name    string
	columns []string
	byName  map[string]int
	rows    ordered
	log     []Change         // by version
	stale   int              // entries of log that later ones replaced
	index   map[int]postings // by column position, built when first needed
}

// Change is one entry of a table's log: at Version the row was written, or
// removed at When (UTC).
type Change struct {
	Version uint64
	Key     allod.GUID
	Deleted bool
	When    time.Time // of a deletion
}

// New makes an empty store whose versions start above first.
func New(first uint64) *Store {
	return &Store{
		Now:     time.Now,
		version: first,
		tables:  map[string]*table{},
		numbers: map[string]int{},
		blobs:   map[allod.GUID]*Blob{},
		marks:   map[string]*moment{},
	}
}

func (s *Store) number(name string) int {
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
	n, ok := s.numbers[name]
	if !ok {
		n = len(s.names)
		s.names = append(s.names, name)
		s.numbers[name] = n
	}
	return n
}

func (s *Store) name(n int) string {
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
	return s.names[n]
}

// TableName returns the table a packed lookup's number stands for.
func (s *Store) TableName(n int) string { return s.name(n) }

// TableNames returns every name a packed lookup may refer to, by number.
func (s *Store) TableNames() []string {
	s.namesMu.Lock()
	defer s.namesMu.Unlock()
	return append([]string(nil), s.names...)
}

// AddTable makes a table with the columns (logical names) in this order. A
// table that exists already keeps its rows and gains the columns it lacks.
func (s *Store) AddTable(name string, columns []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[name]
	if t == nil {
		t = &table{name: name, byName: make(map[string]int, len(columns)), index: map[int]postings{}}
		s.tables[name] = t
	}
	for _, c := range columns {
		t.addColumn(c)
	}
	s.shape++
}

func (t *table) addColumn(name string) {
	if _, ok := t.byName[name]; !ok {
		t.byName[name] = len(t.columns)
		t.columns = append(t.columns, name)
	}
}

// DropColumn makes the column unknown; its values cannot be read any more, nor
// by a column of that name that is added later.
func (s *Store) DropColumn(name, column string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[name]
	if t == nil {
		return
	}
	if i, ok := t.byName[column]; ok {
		delete(t.byName, column)
		delete(t.index, i)
		t.columns[i] = ""
		s.shape++
	}
}

// DropTable removes the table with its rows and its log; nothing is logged.
func (s *Store) DropTable(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tables, name)
	s.shape++
}

// Shape grows whenever tables or columns come or go.
func (s *Store) Shape() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.shape
}

// Has reports whether the table exists.
func (s *Store) Has(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tables[name] != nil
}

// Columns returns the position of every column of the table by logical name;
// nil when there is no such table.
func (s *Store) Columns(name string) map[string]int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tables[name]
	if t == nil {
		return nil
	}
	out := make(map[string]int, len(t.byName))
	for c, i := range t.byName {
		out[c] = i
	}
	return out
}

// Insert loads one row under a key that must be new (Conflict otherwise) and
// gives it the next version. It is the bulk way in: nothing is derived,
// checked or defaulted. Cells of value null may be left out. An unknown table
// or a column out of range is Invalid.
func (s *Store) Insert(name string, key allod.GUID, cells []Cell) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[name]
	if t == nil {
		return allod.Errorf(allod.Invalid, "insert into table %s: no such table", name)
	}
	for _, c := range cells {
		if c.Column < 0 || c.Column >= len(t.columns) {
			return allod.Errorf(allod.Invalid, "insert into table %s: column %d of %d", name, c.Column, len(t.columns))
		}
	}
	if t.rows.get(key) != nil {
		return allod.Errorf(allod.Conflict, "insert into table %s: key %v exists", name, key)
	}
	s.version++
	s.set(t, &Row{Key: key, Version: s.version, data: pack(cells, s)})
	t.log = append(t.log, Change{Version: s.version, Key: key})
	return nil
}

// Version returns the highest row version given out.
func (s *Store) Version() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.version
}

// set puts the row in place and keeps the indexes true.
func (s *Store) set(t *table, r *Row) (old *Row) {
	old = t.rows.put(r)
	for col, idx := range t.index {
		if old != nil {
			idx.drop(s, old, col)
		}
		idx.add(s, r, col)
	}
	return old
}

func (s *Store) unset(t *table, key allod.GUID) (old *Row) {
	old = t.rows.remove(key)
	if old == nil {
		return nil
	}
	for col, idx := range t.index {
		idx.drop(s, old, col)
	}
	return old
}

// View calls f with a reader; no write happens meanwhile. f must not call
// other methods of the store that lock (they may wait for a waiting writer).
func (s *Store) View(f func(tx *Tx)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(&Tx{s: s})
}

// Update calls f with a reader and writer. When f fails, everything it wrote
// is taken back, versions included, and its error is returned. A table that has
// gone since f was made ready is NotFound.
func (s *Store) Update(f func(tx *Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := &Tx{s: s, writable: true, before: s.version}
	if err := attempt(f, tx); err != nil {
		tx.rollback(0)
		s.version = tx.before
		return err
	}
	for _, u := range tx.undo {
		if u.t != nil {
			u.t.compact()
		}
	}
	return nil
}

// noTable is what writing to a table that is not there panics with.
type noTable string

// attempt runs f and turns its panic over a table that is not there into an
// error: a schema change may have taken the table between the check of the
// request and its write.
func attempt(f func(tx *Tx) error, tx *Tx) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		name, ok := r.(noTable)
		if !ok {
			panic(r)
		}
		err = allod.Errorf(allod.NotFound, "write to table %s: no such table", string(name))
	}()
	return f(tx)
}

// compact drops log entries that later ones replaced, once they are many.
func (t *table) compact() {
	if t.stale < 1024 || t.stale < len(t.log)/2 {
		return
	}
	kept := make([]Change, 0, len(t.log)-t.stale)
	for _, c := range t.log {
		r := t.rows.get(c.Key)
		if c.Deleted && r == nil || r != nil && r.Version == c.Version {
			kept = append(kept, c)
		}
	}
	t.log, t.stale = kept, 0
}

// since returns the position of the first log entry above version.
func (t *table) since(version uint64) int {
	return sort.Search(len(t.log), func(i int) bool { return t.log[i].Version > version })
}
