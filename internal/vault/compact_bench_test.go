package vault

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/blob/file"
	"allod/internal/govern/gate"
	"allod/internal/vault/compact"
)

// BenchmarkCompact merges a year of daily captures, each of which changes 1 % of
// the rows, with what a slot of role maintain holds. It reports packs, objects
// and bytes before and after what was replaced is removed, the most memory that
// was resident before and meanwhile (Linux), and how long one record takes as of the middle
// of the year, with nothing in memory, before and after.
func BenchmarkCompact(b *testing.B) {
	for _, rows := range []int{2000, 50_000} {
		b.Run(strconv.Itoa(rows), func(b *testing.B) {
			for b.Loop() {
				benchCompact(b, rows)
			}
		})
	}
}

func benchCompact(b *testing.B, rows int) {
	b.StopTimer()
	dir, err := file.Create(b.TempDir(), file.Options{})
	if err != nil {
		b.Fatal(err)
	}
	v := newVault(b, dir)
	captureWide(b, v, rows, 0, func() {})
	for day := range 364 {
		v.clock.add(24 * time.Hour)
		changeWide(b, v, rows, day)
	}
	v.clock.add(366 * 24 * time.Hour)
	v.changeNothing(b) // the year is over
	packs, objects, stored := weigh(b, v)
	b.ReportMetric(float64(v.pointReads(b, rows))/1e6, "ms/read-before")
	b.ReportMetric(float64(packs), "packs-before")
	b.ReportMetric(float64(objects), "objects-before")
	b.ReportMetric(float64(stored)/(1<<20), "MiB-before")
	debug.FreeOSMemory()
	forgetPeak()
	b.ReportMetric(float64(peak())/(1<<20), "MiB-idle")
	b.StartTimer()
	c, err := v.compactor()
	if err != nil {
		b.Fatal(err)
	}
	r, err := c.Run(b.Context(), compact.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(peak())/(1<<20), "MiB-peak")
	versions := int64(0)
	for _, m := range r.Merged {
		versions += m.Rows
	}
	b.ReportMetric(float64(versions), "versions")
	v.clock.add(compact.Keep)
	v.changeNothing(b)
	begin := time.Now()
	if _, err := c.Run(b.Context(), compact.Options{}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(begin).Seconds(), "s/removal")
	packs, objects, stored = weigh(b, v)
	b.ReportMetric(float64(packs), "packs-after")
	b.ReportMetric(float64(objects), "objects-after")
	b.ReportMetric(float64(stored)/(1<<20), "MiB-after")
	b.ReportMetric(float64(v.pointReads(b, rows))/1e6, "ms/read-after")
	b.StartTimer()
}

// changeWide commits a day on which 1 % of the rows have changed.
func changeWide(b *testing.B, v *testVault, rows, day int) {
	b.Helper()
	r, err := v.Begin(b.Context(), v.session(gate.ActionCapture), RunOptions{Environment: "contoso"})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Abort()
	s, table := wideTable()
	if err := r.SetSchema(s); err != nil {
		b.Fatal(err)
	}
	w, err := r.Table(b.Context(), table, ModeDelta)
	if err != nil {
		b.Fatal(err)
	}
	var row allod.Row
	for i := range rows / 100 {
		wideRow(table, (day*7919+i*101)%rows, day+1, &row)
		if err := w.Put(&row); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Finish(b.Context()); err != nil {
		b.Fatal(err)
	}
	if _, err := r.Commit(b.Context(), Manifest{Complete: true}); err != nil {
		b.Fatal(err)
	}
}

// changeNothing commits a capture without a change, so that the log's time moves
// on.
func (v *testVault) changeNothing(b *testing.B) {
	b.Helper()
	r, err := v.Begin(b.Context(), v.session(gate.ActionCapture), RunOptions{Environment: "contoso"})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Abort()
	if _, err := r.Commit(b.Context(), Manifest{Complete: true}); err != nil {
		b.Fatal(err)
	}
}

// weigh counts packs, objects of the vault, and their bytes.
func weigh(b *testing.B, v *testVault) (packs, objects int, size int64) {
	b.Helper()
	for info, err := range v.store.List(b.Context(), "") {
		if err != nil {
			b.Fatal(err)
		}
		objects++
		size += info.Size
		if strings.HasPrefix(info.Name, "packs/") {
			packs++
		}
	}
	return packs, objects, size
}

// pointReads returns how long one record takes as of the middle of the year,
// with nothing of the packs in memory.
func (v *testVault) pointReads(b *testing.B, rows int) time.Duration {
	b.Helper()
	s, err := v.At(b.Context(), v.session(gate.ActionRead), "contoso", 180)
	if err != nil {
		b.Fatal(err)
	}
	_, table := wideTable()
	var row allod.Row
	const reads = 20
	begin := time.Now()
	for i := range reads {
		v.content.ForgetPacks()
		wideRow(table, i*7919%rows, 0, &row)
		if got, err := s.Get(b.Context(), "contact", []allod.RecordRef{{Key: row.Key}}); err != nil || len(got) != 1 {
			b.Fatal(len(got), err)
		}
	}
	return time.Since(begin) / reads
}

// forgetPeak has the kernel forget how much memory was resident; elsewhere than
// on Linux it does nothing.
func forgetPeak() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // see above
}

// peak returns VmHWM in bytes, 0 where there is none.
func peak() int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "VmHWM:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err == nil {
				return n << 10
			}
		}
	}
	return 0
}
