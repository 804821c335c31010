package reckon_test

import (
	"math"
	"slices"
	"testing"

	"allod"
	"allod/internal/capture/reckon"
	"allod/internal/source"
)

// TestTime: the hours follow from what binds: the requests at once that were
// chosen, the work that the source allows, or the number of requests.
func TestTime(t *testing.T) {
	limits := source.Budget{PerDay: 500_000, PerSecond: 20, Busy: 4}
	for _, c := range []struct {
		name   string
		tables []reckon.Table
		budget source.Budget
		atOnce int
		want   float64 // seconds
	}{
		{"nothing", nil, limits, 4, 0},
		{"one at a time", []reckon.Table{{Rows: 1_000_000, Requests: 200}}, limits, 1, 0.0004*1e6 + 20},
		{"four at once", []reckon.Table{{Rows: 1_000_000, Requests: 200}}, limits, 4, (0.0004*1e6 + 20) / 4},
		{"no more than the source allows", []reckon.Table{{Rows: 1_000_000, Requests: 200}}, limits, 24, (0.0004*1e6 + 20) / 4},
		{"an emulator allows everything", []reckon.Table{{Rows: 1_000_000, Requests: 200}}, source.Budget{}, 24, (0.0004*1e6 + 20) / 24},
		{"keys first", []reckon.Table{{Rows: 1_000_000, Requests: 400, Twice: true}}, limits, 1, 0.0006*1e6 + 40},
		{"many small files", []reckon.Table{{Rows: 1000, Requests: 1, FileCount: 1_000_000, FileBytes: 1_000_000}}, limits, 24, 1_000_001.0 / 20},
		{"rows not known", []reckon.Table{{Rows: -1, Requests: 1}}, limits, 1, 0.1},
	} {
		var p reckon.Plan
		for _, table := range c.tables {
			p.Add(table)
		}
		p.Time(c.budget, c.atOnce)
		if math.Abs(p.Seconds-c.want) > 1e-6*max(c.want, 1) {
			t.Errorf("%s: %f s, want %f", c.name, p.Seconds, c.want)
		}
	}
}

// TestSums: rows and files add up to disk and requests, and what is not known is
// named.
func TestSums(t *testing.T) {
	file, image, body := allod.Column{Native: "File"}, allod.Column{Native: "Image"}, allod.Column{Native: "Memo"}
	table := func(name string, rows int64, size source.FileSize, known bool, columns ...allod.Column) reckon.Table {
		out := reckon.Table{Table: name, Rows: rows, Requests: 1}
		out.Count(columns, size, known)
		return out
	}
	var p reckon.Plan
	p.Add(table("note", 100, source.FileSize{Files: 10, Bytes: 9 << 20}, true, body))
	p.Add(table("account", 10, source.FileSize{Files: 2, Bytes: 1000}, true, file, image))
	p.Add(table("contact", 10, source.FileSize{}, false, image))
	p.Add(table("contract", -1, source.FileSize{}, false, file))
	p.Add(table("task", 5, source.FileSize{}, false))
	if p.Rows != 125 || p.Files != 12 || p.FileBytes != 9<<20+1000 || p.Bytes != 125*400+9<<20+1000 || p.Requests != 5+12+2 {
		t.Errorf("got %+v", p)
	}
	if want := []string{"account", "contact", "contract"}; !slices.Equal(p.Unsized, want) {
		t.Errorf("not known: got %v, want %v", p.Unsized, want)
	}
}
