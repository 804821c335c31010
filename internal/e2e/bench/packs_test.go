//go:build linux

package bench_test

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"allod"
	"allod/internal/capture"
	"allod/internal/source"
	"allod/internal/vault"
)

// hourly is a table of which some rows change every hour, in turn; the second
// half of them never does.
type hourly struct {
	table   allod.Table
	rows    int
	changed int
	hour    int // 0 = the first read
}

func newHourly(rows, changed int) *hourly {
	h := &hourly{rows: rows, changed: changed, table: allod.Table{
		Name: "new_hourly", Set: "new_hourlies", ID: allod.GUID{0xee}, Key: "new_hourlyid", Tracking: true,
		Columns: []allod.Column{{Name: "new_hourlyid", ID: allod.GUID{0xee, 1}, Type: allod.ID}},
	}}
	for i := range 10 {
		h.table.Columns = append(h.table.Columns, allod.Column{Name: "new_text" + strconv.Itoa(i), ID: allod.GUID{0xee, byte(i + 2)}, Type: allod.String, MaxLength: 100})
	}
	return h
}

func (h *hourly) Describe(context.Context) (*allod.Schema, error) {
	return &allod.Schema{Identity: allod.Identity{Organization: allod.GUID{1}}, Tables: []allod.Table{h.table}}, nil
}

func (h *hourly) Capabilities() source.Capabilities {
	return source.Capabilities{Kind: "dataverse", Environment: "bench", URL: "http://127.0.0.1:1", Parallel: 1, Loopback: true}
}

// row is row n as of an hour.
func (h *hourly) row(n, hour int) allod.Row {
	key := wideKey(uint64(n))
	r := allod.Row{Table: h.table.Name, Key: key, Version: uint64(hour*h.rows + n + 1), Cells: []allod.Value{allod.IDValue(key)}}
	for i := range len(h.table.Columns) - 1 {
		r.Cells = append(r.Cells, allod.StringValue("row "+strconv.Itoa(n)+" column "+strconv.Itoa(i)+" hour "+strconv.Itoa(hour)))
	}
	return r
}

func (h *hourly) active() int { return h.rows / 2 }

// last is the hour in which row n changed last, 0 = never.
func (h *hourly) last(n int) int {
	for hour := h.hour; hour > 0; hour-- {
		if first := hour * h.changed % h.active(); n < h.active() && (n-first+h.active())%h.active() < h.changed {
			return hour
		}
	}
	return 0
}

func (h *hourly) Read(_ context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	return func(yield func(source.Page, error) bool) {
		page := source.Page{Last: true, Delta: source.Cursor{Kind: source.CursorDelta, Token: strconv.Itoa(h.hour)}}
		if req.Cursor.Kind == source.CursorDelta {
			for i := range h.changed {
				page.Rows = append(page.Rows, h.row((h.hour*h.changed+i)%h.active(), h.hour))
			}
		} else {
			for n := range h.rows {
				page.Rows = append(page.Rows, h.row(n, 0))
			}
		}
		yield(page, nil)
	}
}

// TestManyCaptures measures what many small captures do to reading: a pack
// each, until they are merged into tiers.
func TestManyCaptures(t *testing.T) {
	together(t)
	h := newHourly(pick(500, 5_000), 50)
	o := newOffice(t, h)
	dir := o.Dir
	begin, since := time.Now(), 0
	periods := pick([]int{20}, []int{24, 24 * 30, 24 * 91})
	if year() {
		periods = append(periods, 24*365)
	}
	for _, hours := range periods {
		for ; h.hour <= hours; h.hour++ {
			want := int64(h.changed)
			if h.hour == 0 {
				want = int64(h.rows)
			}
			res, err := o.Backup(t.Context(), "bench", capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := res.Created + res.Updated; got != want {
				t.Fatalf("hour %d: stored %d rows, want %d", h.hour, got, want)
			}
		}
		h.hour--
		figure(t, fmt.Sprintf("%d captures of %d changed rows each, one of them", hours, h.changed), fmt.Sprintf("%.0f ms on average of the last %d", ms(time.Since(begin))/float64(hours-since), hours-since), "")
		h.reads(t, dir, hours)
		h.hour++
		begin, since = time.Now(), hours
	}
	figure(t, "what they take", mebibytes(diskUsage(t, filepath.Join(dir, "vault"))), "")
}

// reads reads single rows, cold and warm, one row's history, and all rows.
func (h *hourly) reads(t *testing.T, dir string, hours int) {
	t.Helper()
	begin := time.Now()
	v, s := openVault(t, dir)
	opening := time.Since(begin)
	get := func(s *vault.Snapshot, n int) time.Duration {
		begin := time.Now()
		got, err := s.Get(t.Context(), h.table.Name, []allod.RecordRef{{Key: wideKey(uint64(n))}})
		d := time.Since(begin)
		if err != nil || len(got) != 1 {
			t.Fatalf("read row %d: %d rows, %v", n, len(got), err)
		}
		if want := h.row(n, h.last(n)); got[0].Cells[1] != want.Cells[1] {
			t.Errorf("row %d: got %q, want %q", n, got[0].Cells[1].Text(), want.Cells[1].Text())
		}
		return d
	}
	// A row that never changed: every pack since has to be asked.
	cold := get(s, h.rows-1)
	var warm, old []time.Duration
	for i := range 50 {
		warm = append(warm, get(s, i*7919%h.active()))
		old = append(old, get(s, h.rows-1-i))
	}
	begin = time.Now()
	n := 0
	for _, err := range s.Rows(t.Context(), h.table.Name) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != h.rows {
		t.Errorf("a scan found %d rows, want %d", n, h.rows)
	}
	scan := time.Since(begin)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	what := fmt.Sprintf("%d packs: ", hours+1)
	figure(t, what+"opening the vault", fmt.Sprintf("%.0f ms", ms(opening)), "")
	figure(t, what+"first read of one row that never changed", fmt.Sprintf("%.0f ms", ms(cold)), "")
	figure(t, what+"read of one row, warm: median; of one that never changed", fmt.Sprintf("%.2f ms; %.2f ms", ms(median(warm)), ms(median(old))), "50 ms")
	figure(t, what+fmt.Sprintf("scan of %d rows", n), fmt.Sprintf("%.0f ms", ms(scan)), "")
}
