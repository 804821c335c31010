//go:build linux

package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// tape passes a source on and remembers what was read, so that the same can
// be read again and thrown away. The schema and the rights it asks for once:
// what it takes to describe an environment is no part of reading its pages.
type tape struct {
	*dataverse.Source
	schema *allod.Schema
	rights *source.Rights

	mu    sync.Mutex
	calls []call
}

type call struct {
	table string
	ask   func(context.Context) error
}

func newTape(t *testing.T, o dataverse.Options) *tape {
	t.Helper()
	o.Environment = "bench"
	src, err := dataverse.New(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &tape{Source: src}
	if p.schema, err = src.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.rights, err = src.Rights(t.Context(), p.schema); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *tape) note(table string, ask func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call{table, ask})
}

func (p *tape) Describe(context.Context) (*allod.Schema, error) { return p.schema, nil }

func (p *tape) Rights(context.Context, *allod.Schema) (*source.Rights, error) { return p.rights, nil }

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

// once is what a reader who knows nothing of captures would do: every column
// of each table, from the first page to the last, once.
func (p *tape) once(tables []string) []call {
	var calls []call
	for _, name := range tables {
		calls = append(calls, call{name, func(ctx context.Context) error {
			for _, err := range p.Source.Read(ctx, source.ReadRequest{Table: p.schema.Table(name)}) {
				if err != nil {
					return err
				}
			}
			return nil
		}})
	}
	return calls
}

// replay makes calls again, with as many tables at once as the capture read,
// and throws the answers away.
func replay(t *testing.T, calls []call, parallel int) time.Duration {
	t.Helper()
	runtime.GC()
	begin := time.Now()
	tables := map[string][]call{}
	var order []string
	for _, c := range calls {
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

// captureGoal is what a capture may take, as a multiple of reading the same
// pages while the source is the bottleneck (design/vault.md, figures to reach).
const captureGoal = 1.3

// smallRatio is what a small run may take at most: it only notices when
// something is wrong by far.
const smallRatio = 8.0

// TestCaptureAgainstReading compares a capture with reading the same pages and
// throwing them away, while the source needs its time.
func TestCaptureAgainstReading(t *testing.T) {
	together(t)
	tables, rows := pick(2, 4), pick(1200, 25_000)
	spec := emulatorSpec{Latency: pick(5*time.Millisecond, 80*time.Millisecond), Cost: full()}
	var names []string
	for i := range tables {
		spec.Wide = append(spec.Wide, rows)
		names = append(names, wideName(i))
	}
	p := newTape(t, dataverse.Options{URL: startEmulator(t, spec).url})
	for _, parallel := range pick([]int{tables}, []int{1, tables}) {
		var capturing, reading, once []time.Duration
		var same, naive []float64
		for range pick(1, 3) {
			o := newOffice(t, p)
			p.calls = nil
			runtime.GC()
			begin := time.Now()
			res, err := o.Backup(t.Context(), "bench", capture.Options{Tables: names, Parallel: parallel})
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(begin)
			if want := int64(tables * rows); res.Created != want || !res.Complete {
				t.Fatalf("the capture stored %d rows, complete %v; want %d", res.Created, res.Complete, want)
			}
			again, plain := replay(t, p.calls, parallel), replay(t, p.once(names), parallel)
			capturing, reading, once = append(capturing, took), append(reading, again), append(once, plain)
			same, naive = append(same, took.Seconds()/again.Seconds()), append(naive, took.Seconds()/plain.Seconds())
		}
		what := fmt.Sprintf("capture of %d × %d rows, %d tables at once", tables, rows, parallel)
		ratio, goal := middle(same), ""
		if parallel == 1 || !full() { // otherwise emulator, reader and vault wait for the processors
			goal = fmt.Sprintf("× %.1f", pick(smallRatio, captureGoal))
			check(t, ratio < pick(smallRatio, captureGoal), what+": time")
		}
		figure(t, what+", against reading the same pages and discarding them", fmt.Sprintf("× %.2f (capture %s; reading %s)", ratio, list(capturing), list(reading)), goal)
		figure(t, what+", against reading all columns once, without a token", fmt.Sprintf("× %.2f (reading %s)", middle(naive), list(once)), "")
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

// canned answers from memory what a server has answered before.
type canned struct {
	handler http.Handler
	mu      sync.Mutex
	answers map[string]*httptest.ResponseRecorder
}

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	key := strings.Join([]string{r.Method, r.URL.String(), r.Header.Get("Prefer"), string(body)}, " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.answers[key]
	if known == nil {
		known = httptest.NewRecorder()
		again := r.Clone(r.Context())
		again.Body, again.RequestURI = io.NopCloser(bytes.NewReader(body)), r.URL.RequestURI()
		c.handler.ServeHTTP(known, again)
		c.answers[key] = known
	}
	return &http.Response{
		StatusCode: known.Code, Status: http.StatusText(known.Code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: known.Header().Clone(), Body: io.NopCloser(bytes.NewReader(known.Body.Bytes())), ContentLength: int64(known.Body.Len()), Request: r,
	}, nil
}

// inMemory is an environment with one wide table whose answers are in memory
// once they were asked for.
func inMemory(t *testing.T, rows int) *tape {
	t.Helper()
	server, err := newEmulator(emulatorSpec{Wide: []int{rows}})
	if err != nil {
		t.Fatal(err)
	}
	return newTape(t, dataverse.Options{URL: "http://127.0.0.1:1", Transport: &canned{handler: server.Handler(), answers: map[string]*httptest.ResponseRecorder{}}})
}

// readPages reads the wide table of an environment in memory; bytes is what
// the pages took as JSON.
func readPages(t *testing.T, rows int) (m *memorySource, bytes int64) {
	t.Helper()
	p := inMemory(t, rows)
	table := *p.schema.Table(wideName(0))
	table.Tracking = false // one read, from the start to the end
	m = &memorySource{schema: &allod.Schema{Identity: p.schema.Identity, Tables: []allod.Table{table}}}
	for page, err := range p.Source.Read(t.Context(), source.ReadRequest{Table: &m.schema.Tables[0]}) {
		if err != nil {
			t.Fatal(err)
		}
		bytes += page.WireBytes
		page.Next = source.Cursor{}
		m.pages = append(m.pages, page)
	}
	return m, bytes
}

// perCore is how many rows a second of one processor's time is enough for.
func perCore(rows int, d time.Duration) float64 { return float64(rows) / d.Seconds() }

// TestCaptureFromMemory measures rows per second of one processor: of capture
// and vault alone, from pages that are there already to a committed snapshot,
// and of a whole capture beside reading the same and throwing it away, from
// answers that are in memory already.
func TestCaptureFromMemory(t *testing.T) {
	together(t)
	rows := pick(2_000, 100_000)
	m, _ := readPages(t, rows)
	var first, again []time.Duration
	for range pick(1, 3) {
		o := newOffice(t, m)
		for i, times := range []*[]time.Duration{&first, &again} {
			runtime.GC()
			cpu := cpuTime(t)
			res, err := o.Backup(t.Context(), "bench", capture.Options{Full: i > 0})
			if err != nil {
				t.Fatal(err)
			}
			*times = append(*times, cpuTime(t)-cpu)
			if want := int64(rows * (1 - i)); res.Created != want || res.Updated+res.Deleted != 0 {
				t.Fatalf("run %d: created %d, updated %d, deleted %d", i, res.Created, res.Updated, res.Deleted)
			}
		}
	}
	m.pages = nil
	what := fmt.Sprintf("%d rows × %d columns", rows, wideColumns)
	got := perCore(rows, median(first))
	figure(t, "capture and vault, decoded pages in memory, "+what+", all new", fmt.Sprintf("%.0f rows/s per core", got), "")
	figure(t, "the same read again, nothing changed", fmt.Sprintf("%.0f rows/s per core", perCore(rows, median(again))), "")
	check(t, got > pick[float64](2_000, 20_000), "capture from memory: rows/s per core")

	p := inMemory(t, rows)
	var capturing, reading []time.Duration
	for i := range pick(2, 4) {
		o := newOffice(t, p)
		p.calls = nil
		runtime.GC()
		cpu := cpuTime(t)
		res, err := o.Backup(t.Context(), "bench", capture.Options{Tables: []string{wideName(0)}})
		if err != nil {
			t.Fatal(err)
		}
		took := cpuTime(t) - cpu
		if res.Created != int64(rows) {
			t.Fatalf("the capture stored %d rows, want %d", res.Created, rows)
		}
		runtime.GC()
		cpu = cpuTime(t)
		replay(t, p.calls, 1)
		if i > 0 { // the first one made the answers
			capturing, reading = append(capturing, took), append(reading, cpuTime(t)-cpu)
		}
	}
	figure(t, "connector, capture and vault, answers in memory, "+what+", all new", fmt.Sprintf("%.0f rows/s per core", perCore(rows, median(capturing))), "")
	figure(t, "reading the same pages and discarding them", fmt.Sprintf("%.0f rows/s per core; capture takes × %.1f the processor time", perCore(rows, median(reading)), median(capturing).Seconds()/median(reading).Seconds()), "")
}

// storedGoal is what a row of 40 columns may take in the vault, bytes
// (design/vault.md, what must not survive, says 417–439 without dictionary).
const storedGoal = 439

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
	stored := float64(res.StoredBytes) / float64(rows)
	figure(t, fmt.Sprintf("row of %d columns", wideColumns), fmt.Sprintf("%.0f B stored, %.0f B as JSON", stored, float64(bytes)/float64(rows)), "")
	check(t, stored < storedGoal, "bytes per row")

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
