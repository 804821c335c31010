package compact

import (
	"fmt"
	"slices"
	"testing"
	"time"

	vlog "allod/internal/vault/log"
)

// daily is a unit for each day from one on, at noon, with one pack.
func daily(from time.Time, days int) []unit {
	var out []unit
	for i := range days {
		at := from.AddDate(0, 0, i).Add(12 * time.Hour)
		n := uint64(i + 1)
		out = append(out, unit{Stand: vlog.Stand{First: n, Last: n, Entry: n, Packs: make([]vlog.Object, 1)}, from: at, to: at, bytes: 1000})
	}
	return out
}

func shapes(groups []group) string {
	var out []string
	for _, g := range groups {
		out = append(out, fmt.Sprintf("%d:%d-%d", g.tier, g.units[0].First, g.units[len(g.units)-1].Last))
	}
	return fmt.Sprint(out)
}

// merged puts one unit in place of each group.
func merged(units []unit, groups []group) []unit {
	for _, g := range groups {
		i := slices.IndexFunc(units, func(u unit) bool { return u.First == g.units[0].First })
		last := g.units[len(g.units)-1]
		one := unit{Stand: vlog.Stand{First: g.units[0].First, Last: last.Last, Packs: make([]vlog.Object, 1)}, from: g.units[0].from, to: last.to}
		units = slices.Replace(slices.Clone(units), i, i+len(g.units), one)
	}
	return units
}

func TestChoose(t *testing.T) {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	year := daily(day(2025, 11, 29), 40) // until 7 January
	for _, tc := range []struct {
		what  string
		units []unit
		now   time.Time
		all   bool
		want  string
	}{
		{"nothing", nil, day(2026, 1, 1), true, "[]"},
		{"one", year[:1], day(2030, 1, 1), false, "[]"},
		{"a month that is over, and one that is not", year, day(2025, 12, 31).Add(24*time.Hour - 1), false, "[2:1-2]"},
		{"a year that is over", year, day(2026, 1, 8), false, "[3:1-33]"},
		{"all", year, day(2026, 1, 8), true, "[3:1-40]"},
		{"all of one day", daily(day(2026, 1, 1), 1), day(2026, 1, 1), true, "[]"},
		{"the moment at which it is over", year, day(2026, 1, 1), false, "[3:1-33]"},
	} {
		if got := shapes(choose(tc.units, tc.now, tc.all)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.what, got, tc.want)
		}
	}
	var often []unit
	for i := range 6 { // every 8 hours
		u := daily(day(2026, 1, 1), 1)[0]
		u.First, u.Last = uint64(i+1), uint64(i+1)
		u.from = day(2026, 1, 1).Add(time.Duration(i) * 8 * time.Hour)
		u.to = u.from
		often = append(often, u)
	}
	if got := shapes(choose(often, day(2026, 1, 2).Add(20*time.Hour), false)); got != "[1:1-3]" {
		t.Errorf("a day that is over: got %s", got)
	}
	often[0].Packs, often[1].Packs = nil, nil
	if got := shapes(choose(often, day(2026, 1, 3), false)); got != "[1:4-6]" {
		t.Errorf("days with and without packs: got %s", got)
	}
}

// TestChooseEnds runs it day by day for three years: no version is written again
// more than three times, and few units are left.
func TestChooseEnds(t *testing.T) {
	all := daily(time.Date(2023, 5, 20, 0, 0, 0, 0, time.UTC), 1000)
	var units []unit
	times, most := make([]int, len(all)+1), 0
	for i, u := range all {
		units = append(units, u)
		for {
			groups := choose(units, u.to, false)
			if len(groups) == 0 {
				break
			}
			for _, g := range groups {
				for c := g.units[0].First; c <= g.units[len(g.units)-1].Last; c++ {
					times[c]++
				}
			}
			units = merged(units, groups)
		}
		if most = max(most, len(units)); len(units) > 3+11+31 {
			t.Fatalf("after %d days: %d units", i+1, len(units))
		}
	}
	if got := slices.Max(times); got != 2 { // month and year: of each day there is one
		t.Errorf("a version is written again %d times", got)
	}
	if most < 20 {
		t.Errorf("never more than %d units: nothing waited", most)
	}
}

// TestSplit bounds what one merge has open.
func TestSplit(t *testing.T) {
	many := daily(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), 2*maxUnits+1)
	if got := shapes(choose(many, time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), true)); got != fmt.Sprintf("[3:1-%d 3:%d-%d]", maxUnits, maxUnits+1, 2*maxUnits) {
		t.Errorf("too many: got %s", got)
	}
	for i := range many {
		many[i].bytes = 10 << 30
	}
	groups := choose(many[:200], time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), true)
	if len(groups) < 2 || len(groups[0].units) > maxHeavy/partSize || len(groups[0].units) < 50 {
		t.Errorf("large ones: got %s", shapes(groups))
	}
}
