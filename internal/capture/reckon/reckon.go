// Package reckon estimates what a backup takes: requests, bytes and time. It
// does no I/O.
package reckon

import (
	"fmt"

	"allod"
	"allod/internal/source"
	"allod/internal/source/pace"
)

// Plan says what a backup would read. Numbers are estimates.
type Plan struct {
	Environment string      `json:"environment"`
	Tables      []Table     `json:"tables"`
	Rows        int64       `json:"rows"`     // to be read; -1 parts are left out
	Requests    int64       `json:"requests"` // against the source's limits, those for files included
	Bytes       int64       `json:"bytes"`    // on disk: about 400 per row read in full, and the files
	Files       int64       `json:"files"`    // to be read, as far as known
	FileBytes   int64       `json:"file_bytes"`
	Unsized     []string    `json:"files_not_known,omitempty"`  // tables with files or images whose length nobody tells
	Seconds     float64     `json:"seconds"`                    // how long it takes, by what is assumed: see Time
	AtOnce      int         `json:"at_once"`                    // requests at once that this is for
	PerDay      int64       `json:"requests_per_day,omitempty"` // that the licence entitles to; 0 = not known
	Pace        pace.Pace   `json:"pace,omitzero"`              // what may be taken of the source
	Days        float64     `json:"days,omitempty"`             // how long it takes within a window and a number of requests a day; 0 = none is set
	Gaps        []allod.Gap `json:"gaps"`                       // what would not be read
	NewLine     string      `json:"new_line,omitempty"`
	Absent      []string    `json:"absent,omitempty"` // tables of the presets that the environment has not
}

// Allow reckons with what may be taken of the source. Time comes before it.
func (p *Plan) Allow(allowed pace.Pace) {
	p.Pace = allowed
	if allowed.Window != "" {
		p.Days = p.Seconds / allowed.Window.Long().Seconds()
	}
	if n := allowed.MaxRequestsPerDay; n > 0 {
		p.Days = max(p.Days, float64(p.Requests)/float64(n))
	}
}

// Within says what is allowed and how long that takes; "" where nothing is set
// that takes longer. long writes seconds.
func (p *Plan) Within(long func(seconds float64) string) string {
	if p.Days == 0 {
		return ""
	}
	return fmt.Sprintf(" Allowed: %s; so it is about %s.", p.Pace, long(max(p.Days*24*3600, p.Seconds)))
}

// Table is one table of a Plan.
type Table struct {
	Table     string `json:"table"`
	Method    string `json:"method"`     // full or delta
	Rows      int64  `json:"rows"`       // in the source; -1 = not known
	Files     bool   `json:"files"`      // has file columns that are read
	FileCount int64  `json:"file_count"` // of a full read, as far as known
	FileBytes int64  `json:"file_bytes"`

	Requests int64 `json:"-"` // without those for files
	Twice    bool  `json:"-"` // its keys are read before its rows
	Unsized  bool  `json:"-"` // nobody tells the length of some of its files
}

const (
	rowBytes = 400     // on disk; measured, docs/benchmarks.md
	fileStep = 4 << 20 // bytes of a file that one request brings

	// How long the source works, in seconds: assumed, nobody has measured it on
	// the product. A page of 5,000 rows takes 2 s.
	perRequest = 0.1
	perRow     = 0.0004 // with all columns; half as much for the key alone
)

// Count fills in the files of a table that is read in full: those of the given
// columns, as long as size says.
func (t *Table) Count(columns []allod.Column, size source.FileSize, known bool) {
	for i := range columns {
		switch n := columns[i].Native; {
		case n == "Image" || n == "SolutionPackage": // nobody says how long those are
			t.Unsized = true
		case !known || size.Files < 0 || size.Bytes < 0:
			t.Unsized = true
		default:
			t.FileCount, t.FileBytes = size.Files, size.Bytes
		}
	}
}

// Add adds a table.
func (p *Plan) Add(t Table) {
	p.Tables = append(p.Tables, t)
	requests := t.Requests + t.FileCount + t.FileBytes/fileStep
	p.Requests += requests
	p.Seconds += perRequest * float64(requests)
	if t.Rows > 0 {
		p.Rows += t.Rows
		p.Bytes += t.Rows * rowBytes
		p.Seconds += perRow * float64(t.Rows)
		if t.Twice {
			p.Seconds += perRow / 2 * float64(t.Rows)
		}
	}
	p.Files += t.FileCount
	p.FileBytes += t.FileBytes
	p.Bytes += t.FileBytes
	if t.Unsized {
		p.Unsized = append(p.Unsized, t.Table)
	}
}

// Time makes the time that the plan takes out of the time that the source works
// for it: so many requests at once, and no more than the source allows. That a page
// of 5,000 rows keeps it busy for 2 s and any other request for 0.1 s is assumed.
// To be called once, after the last Add.
func (p *Plan) Time(b source.Budget, atOnce int) {
	p.AtOnce, p.PerDay = max(atOnce, 1), b.PerDay
	share := float64(p.AtOnce)
	if b.Busy > 0 {
		share = min(share, b.Busy)
	}
	p.Seconds /= share
	if b.PerSecond > 0 {
		p.Seconds = max(p.Seconds, float64(p.Requests)/b.PerSecond)
	}
}
