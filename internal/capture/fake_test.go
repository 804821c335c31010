package capture

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/source"
	"allod/internal/vault"
	"allod/internal/vault/keyring"
)

// fakeSource is an environment in memory that keeps a log of its changes and
// can be made to behave badly. Its pages are as short as page says. The
// methods that change it take the lock; hooks run without it.
type fakeSource struct {
	mu        sync.Mutex
	schema    *allod.Schema
	rows      map[string]map[allod.GUID]allod.Row
	version   uint64
	log       []fakeChange
	page      int
	oldest    uint64 // tokens before this version have expired
	partly    func(*allod.Row) bool
	rights    source.Rights
	files     map[allod.GUID]string
	asked     []string // what was read: "account start", "account delta", "account next", "account get"
	beforeRow func(table, what string, n int) error
	openFile  func(*allod.Row) (io.ReadCloser, error)
	stale     map[allod.GUID]allod.Row // what Get answers instead of the present row
	cutShort  bool                     // reads end without their last page
	noRights  func() error             // why rights cannot be asked for
	omits     func(allod.GUID) bool    // rows that lists leave out
	dates     bool                     // tokens tell their version
	flips     []string                 // columns whose security changed, "account.name", in order
	marks     func(mark string) error  // what stands against telling of them; mark "" = a mark is asked for
}

type fakeChange struct {
	table   string
	key     allod.GUID
	version uint64
	gone    bool
}

func fakeTable(n byte, name string, tracking bool) allod.Table {
	id := func(c byte) allod.GUID { return allod.GUID{0: n, 15: c} }
	return allod.Table{
		Name: name, ID: id(0), Set: name + "s", Key: name + "id", Class: allod.ClassData, Tracking: tracking,
		Columns: []allod.Column{
			{Name: name + "id", ID: id(1), Type: allod.ID},
			{Name: "name", ID: id(2), Type: allod.String},
			{Name: "secret", ID: id(3), Type: allod.String, Secured: true},
			{Name: "document", ID: id(4), Type: allod.File, Native: "File"},
		},
	}
}

func newFake() *fakeSource {
	s := &fakeSource{
		schema:  &allod.Schema{Identity: allod.Identity{Organization: allod.GUID{9}}, Tables: []allod.Table{fakeTable(1, "account", true), fakeTable(2, "contact", false)}},
		rows:    map[string]map[allod.GUID]allod.Row{"account": {}, "contact": {}},
		version: 1000, page: 10, files: map[allod.GUID]string{}, stale: map[allod.GUID]allod.Row{},
	}
	s.rights = source.Rights{
		Depth:  map[string]source.Depth{"account": source.DepthGlobal, "contact": source.DepthGlobal},
		Hidden: map[string][]string{}, RetentionRuns: map[string]time.Time{},
	}
	return s
}

func nth(n int) allod.GUID { return allod.GUID{0: 0xaa, 14: byte(n >> 8), 15: byte(n)} }

// put writes row n of a table; its secret is "s" and its name.
func (s *fakeSource) put(table string, n int, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	doc := allod.NullValue()
	if body, ok := s.files[nth(n)]; ok {
		doc = allod.FileValue(allod.FileRef{Name: "a.txt", Size: int64(len(body)), SourceID: fmt.Sprint(s.version)})
	}
	cells := []allod.Value{allod.IDValue(nth(n)), allod.StringValue(name), allod.StringValue("s" + name), doc}
	s.rows[table][nth(n)] = allod.Row{Table: table, Key: nth(n), Version: s.version, Cells: cells}
	s.log = append(s.log, fakeChange{table, nth(n), s.version, false})
}

func (s *fakeSource) fill(table string, from, to int) {
	for n := from; n < to; n++ {
		s.put(table, n, fmt.Sprint("row", n))
	}
}

func (s *fakeSource) remove(table string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	delete(s.rows[table], nth(n))
	s.log = append(s.log, fakeChange{table, nth(n), s.version, true})
}

// change runs f under the lock.
func (s *fakeSource) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *fakeSource) Capabilities() source.Capabilities {
	return source.Capabilities{Kind: "fake", Environment: "contoso", DeltaLife: 7 * 24 * time.Hour, Parallel: 1}
}

func (s *fakeSource) Describe(context.Context) (*allod.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := *s.schema
	c.Tables = slices.Clone(c.Tables)
	for i := range c.Tables {
		c.Tables[i].Columns = slices.Clone(c.Tables[i].Columns)
	}
	c.Identity.HighestVersion = s.version
	return &c, nil
}

// secure switches column security on, without a permission for the caller, or
// off.
func (s *fakeSource) secure(table, column string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.schema.Table(table).Column(column).Secured = on
	s.rights.Hidden[table] = slices.DeleteFunc(s.rights.Hidden[table], func(c string) bool { return c == column })
	if on {
		s.rights.Hidden[table] = append(s.rights.Hidden[table], column)
	}
	s.flips = append(s.flips, table+"."+column)
}

func (s *fakeSource) SchemaMark(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks != nil {
		if err := s.marks(""); err != nil {
			return "", unlessRefused(err)
		}
	}
	return fmt.Sprintf("mark %d", len(s.flips)), nil
}

func (s *fakeSource) SchemaSince(_ context.Context, mark string) (*source.SchemaChange, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks != nil {
		if err := s.marks(mark); err != nil {
			return nil, err
		}
	}
	from := 0
	if _, err := fmt.Sscanf(mark, "mark %d", &from); err != nil {
		panic(err)
	}
	c := &source.SchemaChange{Mark: fmt.Sprintf("mark %d", len(s.flips)), Columns: map[string]map[string]bool{}}
	for _, flip := range s.flips[from:] {
		table, column, _ := strings.Cut(flip, ".")
		if c.Columns[table] == nil {
			c.Columns[table] = map[string]bool{}
		}
		c.Columns[table][column] = s.schema.Table(table).Column(column).Secured
	}
	return c, nil
}

// unlessRefused is what a source makes of an error of a mark.
func unlessRefused(err error) error {
	if allod.KindOf(err) == allod.Denied {
		return nil
	}
	return err
}

func (s *fakeSource) Rights(_ context.Context, schema *allod.Schema) (*source.Rights, error) {
	if s.noRights != nil {
		if err := s.noRights(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := source.Rights{Depth: maps.Clone(s.rights.Depth), Hidden: map[string][]string{}, RetentionRuns: maps.Clone(s.rights.RetentionRuns)}
	for t, list := range s.rights.Hidden {
		r.Hidden[t] = slices.DeleteFunc(slices.Clone(list), func(c string) bool { return !schema.Table(t).Column(c).Secured })
	}
	return &r, nil
}

// give is a row as the caller may see it: hidden columns are null, columns not
// asked for absent.
func (s *fakeSource) give(t *allod.Table, row *allod.Row, columns []string) allod.Row {
	out := *row
	out.Cells = slices.Clone(row.Cells)
	for i := range out.Cells {
		switch name := t.Columns[i].Name; {
		case columns != nil && !slices.Contains(columns, name):
			out.Cells[i] = allod.Value{}
		case slices.Contains(s.rights.Hidden[t.Name], name):
			out.Cells[i] = allod.NullValue()
		}
	}
	return out
}

func (s *fakeSource) sees(table string, row *allod.Row) bool {
	return s.rights.Depth[table] == source.DepthGlobal || s.partly == nil || s.partly(row)
}

func (s *fakeSource) Read(_ context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		what, rest, _ := strings.Cut(req.Cursor.Token, ":")
		if what == "" {
			what = "start"
		}
		if what == "start" && len(req.Columns) == 1 {
			what = "keys"
		}
		s.change(func() { s.asked = append(s.asked, req.Table.Name+" "+what) })
		for n := 0; ; n++ {
			if s.beforeRow != nil {
				if err := s.beforeRow(req.Table.Name, what, n); err != nil {
					yield(source.Page{}, err)
					return
				}
			}
			var page source.Page
			var err error
			s.change(func() {
				switch {
				case s.rights.Depth[req.Table.Name] == source.DepthNone:
					err = allod.Errorf(allod.Denied, "read %s: no right", req.Table.Name)
				case what == "delta":
					page, err = s.delta(&req, rest)
				default:
					page = s.list(&req, rest)
					rest = strings.TrimPrefix(page.Next.Token, "next:")
				}
			})
			if err != nil {
				yield(source.Page{}, err)
				return
			}
			if s.cutShort && page.Last {
				return
			}
			if !yield(page, nil) || page.Last {
				return
			}
		}
	}
}

// list gives one page by key; rest is "token key" of the page before.
func (s *fakeSource) list(req *source.ReadRequest, rest string) source.Page {
	token, after := uint64(s.version), ""
	if rest != "" {
		if _, err := fmt.Sscanf(rest, "%d %s", &token, &after); err != nil {
			panic(err)
		}
	}
	size := s.page
	if req.PageSize > 0 {
		size = min(size, req.PageSize)
	}
	var page source.Page
	keys := slices.SortedFunc(maps.Keys(s.rows[req.Table.Name]), func(a, b allod.GUID) int { return cmp.Compare(a.String(), b.String()) })
	for _, k := range keys {
		row := s.rows[req.Table.Name][k]
		if k.String() <= after || !s.sees(req.Table.Name, &row) || s.omits != nil && s.omits(k) {
			continue
		}
		if len(page.Rows) == size {
			page.Next = source.Cursor{Kind: source.CursorNext, Token: fmt.Sprintf("next:%d %s", token, page.Rows[size-1].Key)}
			return page
		}
		page.Rows = append(page.Rows, s.give(req.Table, &row, req.Columns))
	}
	page.Last = true
	if req.Track && req.Table.Tracking {
		page.Delta = source.Cursor{Kind: source.CursorDelta, Token: fmt.Sprintf("delta:%d", token)}
	}
	return page
}

func (s *fakeSource) delta(req *source.ReadRequest, rest string) (source.Page, error) {
	var from uint64
	if _, err := fmt.Sscan(rest, &from); err != nil {
		panic(err)
	}
	if from < s.oldest {
		return source.Page{}, fmt.Errorf("read %s: %w", req.Table.Name, source.ErrDeltaExpired)
	}
	page := source.Page{Last: true, Delta: source.Cursor{Kind: source.CursorDelta, Token: fmt.Sprintf("delta:%d", s.version)}}
	seen := map[allod.GUID]bool{}
	for _, c := range slices.Backward(s.log) {
		if c.table != req.Table.Name || c.version <= from || seen[c.key] {
			continue
		}
		seen[c.key] = true
		if row, ok := s.rows[c.table][c.key]; !ok {
			page.Deleted = append(page.Deleted, c.key)
		} else if s.sees(c.table, &row) {
			page.Rows = append(page.Rows, s.give(req.Table, &row, req.Columns))
		}
	}
	return page, nil
}

func (s *fakeSource) Get(_ context.Context, t *allod.Table, keys []allod.GUID, columns []string) ([]allod.Row, error) {
	if s.beforeRow != nil {
		if err := s.beforeRow(t.Name, "get", 0); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, t.Name+" get")
	var out []allod.Row
	for _, k := range keys {
		row, ok := s.rows[t.Name][k]
		if old, is := s.stale[k]; is {
			row, ok = old, old.Version != 0
		}
		if ok && s.sees(t.Name, &row) {
			out = append(out, s.give(t, &row, columns))
		}
	}
	return out, nil
}

func (s *fakeSource) TokenVersion(c source.Cursor) uint64 {
	var v uint64
	if _, err := fmt.Sscanf(c.Token, "delta:%d", &v); err != nil || !s.dates {
		return 0
	}
	return v
}

func (s *fakeSource) Query(context.Context, *allod.Table, string, []string) iter.Seq2[allod.Row, error] {
	return func(func(allod.Row, error) bool) {}
}

func (s *fakeSource) Count(_ context.Context, t *allod.Table) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.rows[t.Name])), nil
}

func (s *fakeSource) OpenFile(_ context.Context, _ *allod.Table, row *allod.Row, _ string) (io.ReadCloser, error) {
	if s.openFile != nil {
		if r, err := s.openFile(row); r != nil || err != nil {
			return r, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.files[row.Key]
	if !ok {
		return nil, allod.Errorf(allod.NotFound, "no file")
	}
	return io.NopCloser(strings.NewReader(body)), nil
}

// plainWrapper keeps the private half as it is.
type plainWrapper struct{}

func (plainWrapper) Kind() string { return "plain" }
func (plainWrapper) Wrap(_ context.Context, _ keyring.Of, b []byte) ([]byte, error) {
	return bytes.Clone(b), nil
}

func (plainWrapper) Unwrap(_ context.Context, _ keyring.Of, b []byte) ([]byte, error) {
	return bytes.Clone(b), nil
}

// rig is a fake source and a vault in memory.
type rig struct {
	*fakeSource
	t    *testing.T
	v    *vault.Vault
	gate *gate.Gate
	mu2  sync.Mutex
	at   time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{fakeSource: newFake(), t: t, at: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	slots := mem.New(mem.Options{})
	cfg := vault.Config{Store: mem.New(mem.Options{}), Slots: []blob.Mutable{slots}, Now: r.now, TempDir: t.TempDir()}
	v, _, err := vault.Create(t.Context(), cfg, vault.CreateOptions{Wrappers: []vault.NamedWrapper{{Name: "plain", Wrapper: plainWrapper{}}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.LedgerConfig()
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r.v, r.gate = v, gate.New(gate.ShippedMatrix(), l, r.now)
	return r
}

// now ticks.
func (r *rig) now() time.Time {
	r.mu2.Lock()
	defer r.mu2.Unlock()
	r.at = r.at.Add(10 * time.Millisecond)
	return r.at
}

func (r *rig) session(a gate.Action) gate.Session {
	r.t.Helper()
	s, err := r.gate.Open(r.t.Context(), gate.Request{
		Actor: "os:test", Action: a, Purpose: allod.PurposeRestore,
		Resource: gate.Resource{Environment: gate.AllEnvironments, Class: allod.ClassContent},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) run(ctx context.Context, o Options) (*Result, error) {
	r.t.Helper()
	o.Now = r.now
	r.change(func() { r.asked = nil })
	return Run(ctx, r.session(gate.ActionCapture), r.v, r.fakeSource, "contoso", o)
}

func (r *rig) backup() *Result { r.t.Helper(); return r.backupWith(Options{}) }

func (r *rig) backupWith(o Options) *Result {
	r.t.Helper()
	res, err := r.run(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// stored reads a table of the newest snapshot by key.
func (r *rig) stored(table string) map[allod.GUID]allod.Row {
	r.t.Helper()
	snap, err := r.v.At(r.t.Context(), r.session(gate.ActionRead), "contoso", 0)
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[allod.GUID]allod.Row{}
	for row, err := range snap.Rows(r.t.Context(), table) {
		if err != nil {
			r.t.Fatal(err)
		}
		out[row.Key] = row
	}
	return out
}

// same compares the newest snapshot of a table with the source: names and
// secrets of every row.
func (r *rig) same(table string) {
	r.t.Helper()
	got := r.stored(table)
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, want := range r.rows[table] {
		row, ok := got[k]
		if !ok {
			r.t.Errorf("%s: row %s of the source is not stored", table, k)
			continue
		}
		for c := range 3 {
			if row.Cell(c) != want.Cells[c] {
				r.t.Errorf("%s: row %s, %s: got %v, want %v", table, k, r.schema.Table(table).Columns[c].Name, row.Cell(c), want.Cells[c])
			}
		}
	}
	for k := range got {
		if _, ok := r.rows[table][k]; !ok {
			r.t.Errorf("%s: row %s is stored, the source has none", table, k)
		}
	}
}

// gaps returns the kinds of the gaps of a table, sorted, each once.
func gaps(res *Result, table string) []allod.GapKind {
	var out []allod.GapKind
	for _, g := range res.Gaps {
		if g.Table == table {
			out = append(out, g.Kind)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func wantGaps(t *testing.T, res *Result, table string, want ...allod.GapKind) {
	t.Helper()
	slices.Sort(want)
	if got := gaps(res, table); !slices.Equal(got, want) {
		t.Errorf("gaps of %s: got %v, want %v (%+v)", table, got, want, res.Gaps)
	}
}

func wantPartial(t *testing.T, res *Result, want bool) {
	t.Helper()
	if got := res.Partial(); got != want {
		t.Errorf("partial: got %v, want %v: %+v", got, want, res.Gaps)
	}
}

func unavailable() error { return allod.Errorf(allod.Unavailable, "HTTP 503") }
