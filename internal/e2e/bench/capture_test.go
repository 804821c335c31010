//go:build linux

package bench_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// newOffice makes an Allod in this process whose environment "bench" is read
// from src.
func newOffice(t *testing.T, src source.Source) *act.Office {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "allod")
	d := deps(&act.Deps{OpenSource: func(context.Context, string, act.Connection) (source.Source, error) { return src, nil }})
	if _, err := act.Init(t.Context(), dir, act.InitOptions{Key: "file:keys/bench.key"}, d); err != nil {
		t.Fatal(err)
	}
	o, err := act.Open(t.Context(), dir, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := o.Connect(t.Context(), "bench", act.Connection{Kind: "dataverse", URL: "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	return o
}

// tape passes a source on and remembers what was asked, so that the same can
// be asked again and thrown away.
type tape struct {
	*dataverse.Source
	mu    sync.Mutex
	calls []call
}

type call struct {
	table string // "" = before the tables
	ask   func(context.Context) error
}

func (p *tape) note(table string, ask func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call{table, ask})
}

func (p *tape) Describe(ctx context.Context) (*allod.Schema, error) {
	p.note("", func(ctx context.Context) error { _, err := p.Source.Describe(ctx); return err })
	return p.Source.Describe(ctx)
}

func (p *tape) Rights(ctx context.Context, s *allod.Schema) (*source.Rights, error) {
	p.note("", func(ctx context.Context) error { _, err := p.Source.Rights(ctx, s); return err })
	return p.Source.Rights(ctx, s)
}

// Read remembers how many pages were taken: capture leaves a read when it sees
// that another way is better.
func (p *tape) Read(ctx context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		pages := 0
		defer func() {
			p.note(req.Table.Name, func(ctx context.Context) error {
				left := pages
				for _, err := range p.Source.Read(ctx, req) {
					if left--; err != nil || left == 0 {
						return err
					}
				}
				return nil
			})
		}()
		for page, err := range p.Source.Read(ctx, req) {
			pages++
			if !yield(page, err) {
				return
			}
		}
	}
}

func (p *tape) Get(ctx context.Context, t *allod.Table, keys []allod.GUID, columns []string) ([]allod.Row, error) {
	keys = slices.Clone(keys)
	p.note(t.Name, func(ctx context.Context) error { _, err := p.Source.Get(ctx, t, keys, columns); return err })
	return p.Source.Get(ctx, t, keys, columns)
}

func (p *tape) OpenFile(ctx context.Context, t *allod.Table, row *allod.Row, column string) (io.ReadCloser, error) {
	p.note(t.Name, func(ctx context.Context) error {
		f, err := p.Source.OpenFile(ctx, t, row, column)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, f)
		return err
	})
	return p.Source.OpenFile(ctx, t, row, column)
}

// replay asks everything again, with as many tables at once as the capture
// read, and throws the answers away.
func (p *tape) replay(t *testing.T, parallel int) time.Duration {
	t.Helper()
	calls := p.calls
	begin := time.Now()
	tables := map[string][]call{}
	var order []string
	for _, c := range calls {
		if c.table == "" {
			if err := c.ask(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if tables[c.table] == nil {
			order = append(order, c.table)
		}
		tables[c.table] = append(tables[c.table], c)
	}
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(parallel)
	for _, name := range order {
		g.Go(func() error {
			for _, c := range tables[name] {
				if err := c.ask(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}

// TestCaptureAgainstReading compares a capture with asking the same and
// throwing the answers away, while the source needs its time.
func TestCaptureAgainstReading(t *testing.T) {
	together(t)
	tables, rows := pick(2, 4), pick(500, 20_000)
	spec := emulatorSpec{Latency: pick(time.Millisecond, 80*time.Millisecond), Cost: full()}
	var names []string
	for i := range tables {
		spec.Wide = append(spec.Wide, rows)
		names = append(names, wideName(i))
	}
	e := startEmulator(t, spec)
	for _, parallel := range pick([]int{tables}, []int{1, tables}) {
		var reading, capturing []time.Duration
		var ratios []float64
		for range pick(1, 3) {
			src, err := dataverse.New(dataverse.Options{Environment: "bench", URL: e.url})
			if err != nil {
				t.Fatal(err)
			}
			p := &tape{Source: src}
			o := newOffice(t, p)
			p.calls = nil
			begin := time.Now()
			res, err := o.Backup(t.Context(), "bench", capture.Options{Tables: names, Parallel: parallel})
			if err != nil {
				t.Fatal(err)
			}
			capturing = append(capturing, time.Since(begin))
			if want := int64(tables * rows); res.Created != want || !res.Complete {
				t.Fatalf("the capture stored %d rows, complete %v; want %d", res.Created, res.Complete, want)
			}
			reading = append(reading, p.replay(t, parallel))
			t.Logf("%d tables at once: capture %s, reading %s", parallel, list(capturing), list(reading))
			ratios = append(ratios, float64(capturing[len(capturing)-1])/float64(reading[len(reading)-1]))
		}
		slices.Sort(ratios)
		ratio := ratios[len(ratios)/2]
		what := fmt.Sprintf("capture of %d × %d rows, %d tables at once, against reading the same and discarding it", tables, rows, parallel)
		figure(t, what, fmt.Sprintf("%+.0f %% (median; capture %s; reading %s)", 100*(ratio-1), list(capturing), list(reading)), "+30 %")
		check(t, ratio < 1.3, what)
	}
}

// memorySource yields pages that are in memory already.
type memorySource struct {
	schema *allod.Schema
	pages  []source.Page
}

func (m *memorySource) Describe(context.Context) (*allod.Schema, error) { return m.schema, nil }

func (m *memorySource) Capabilities() source.Capabilities {
	return source.Capabilities{Kind: "dataverse", Environment: "bench", URL: "http://127.0.0.1:1", Parallel: 1, Loopback: true}
}

func (m *memorySource) Read(context.Context, source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		for i := range m.pages {
			if !yield(m.pages[i], nil) {
				return
			}
		}
	}
}

// readPages reads the wide table of an emulator in this process through the
// connector; bytes is what they took as JSON.
func readPages(t *testing.T, rows int) (m *memorySource, bytes int64) {
	t.Helper()
	server, err := newEmulator(emulatorSpec{Wide: []int{rows}})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	defer h.Close()
	src, err := dataverse.New(dataverse.Options{Environment: "bench", URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	all, err := src.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := *all.Table(wideName(0))
	table.Tracking = false // one read, from the start to the end
	m = &memorySource{schema: &allod.Schema{Identity: all.Identity, Tables: []allod.Table{table}}}
	for page, err := range src.Read(t.Context(), source.ReadRequest{Table: &m.schema.Tables[0]}) {
		if err != nil {
			t.Fatal(err)
		}
		bytes += page.WireBytes
		page.Next = source.Cursor{}
		m.pages = append(m.pages, page)
	}
	return m, bytes
}

// TestCaptureFromMemory measures capture and vault alone: rows per second of
// one processor, from pages that are there already to a committed snapshot.
func TestCaptureFromMemory(t *testing.T) {
	together(t)
	rows := pick(2_000, 100_000)
	m, _ := readPages(t, rows)
	first, again := []time.Duration{}, []time.Duration{}
	var wall time.Duration
	for range pick(1, 3) {
		o := newOffice(t, m)
		for i, times := range []*[]time.Duration{&first, &again} {
			runtime.GC()
			begin, cpu := time.Now(), cpuTime(t)
			res, err := o.Backup(t.Context(), "bench", capture.Options{Full: i > 0})
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				wall += time.Since(begin)
			}
			*times = append(*times, cpuTime(t)-cpu)
			if want := int64(rows * (1 - i)); res.Created != want || res.Updated+res.Deleted != 0 {
				t.Fatalf("run %d: created %d, updated %d, deleted %d", i, res.Created, res.Updated, res.Deleted)
			}
		}
	}
	perCore := func(d []time.Duration) string {
		return fmt.Sprintf("%.0f rows/s per core", float64(rows)/median(d).Seconds())
	}
	figure(t, fmt.Sprintf("capture and vault from memory, %d rows × %d columns, all new", rows, wideColumns), perCore(first), "")
	figure(t, "the same read again, nothing changed", perCore(again), "")
}

// TestBytesPerRow compares what rows take in the vault with their JSON.
func TestBytesPerRow(t *testing.T) {
	together(t)
	rows := pick(2_000, 50_000)
	m, bytes := readPages(t, rows)
	o := newOffice(t, m)
	res, err := o.Backup(t.Context(), "bench", capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	figure(t, fmt.Sprintf("row of %d columns", wideColumns), fmt.Sprintf("%.0f B stored, %.0f B as JSON", float64(res.StoredBytes)/float64(rows), float64(bytes)/float64(rows)), "")

	if !full() {
		return // filling a company takes longer than a small run may
	}
	server, err := newEmulator(emulatorSpec{Company: 20})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	defer h.Close()
	src, err := dataverse.New(dataverse.Options{Environment: "bench", URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	o = newOffice(t, src)
	schema, err := src.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The schema is stored once, with the first commit.
	if _, err := o.Backup(t.Context(), "bench", capture.Options{Tables: []string{"businessunit"}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"account", "contact"} {
		res, err := o.Backup(t.Context(), "bench", capture.Options{Tables: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		var wire int64
		for page, err := range src.Read(t.Context(), source.ReadRequest{Table: schema.Table(name)}) {
			if err != nil {
				t.Fatal(err)
			}
			wire += page.WireBytes
		}
		n := float64(res.Created)
		figure(t, fmt.Sprintf("row of %s of the sample company, %d columns, %d rows", name, len(schema.Table(name).Columns), res.Created),
			fmt.Sprintf("%.0f B stored, %.0f B as JSON", float64(res.StoredBytes)/n, float64(wire)/n), "")
	}
}
