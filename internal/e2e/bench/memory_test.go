//go:build linux

package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/durable"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/vault"
	"allod/internal/vault/keyring"
	"allod/internal/vault/verify"
)

// memoryGoal is the most memory a backup may take, bytes (design/vault.md,
// figures to reach).
const memoryGoal = 512 << 20

// emulatorGoal is the most memory the emulator may take for a million rows.
const emulatorGoal = 3 << 30

// smallMemory is the most memory a small backup may take, bytes: it takes
// about 55 MiB.
const smallMemory = 128 << 20

// TestBackupMemory backs a large table and large files up in a process of its
// own, then one percent of changes, then reads single rows.
func TestBackupMemory(t *testing.T) {
	together(t)
	rows := pick(3_000, 1_000_000)
	spec := emulatorSpec{Wide: []int{rows}, Files: []int64{pick[int64](4<<20, 1<<30)}}
	for range pick(5, 500) {
		spec.Files = append(spec.Files, pick[int64](300<<10, 1<<20))
	}
	begin := time.Now()
	e := startEmulator(t, spec)
	figure(t, fmt.Sprintf("emulator filled: %d rows × %d columns", rows, wideColumns), seconds(time.Since(begin))+", "+mebibytes(highWater(e.cmd.Process.Pid)), "3072 MiB")
	dir := newAllod(t, e.url)

	u, res := backup(t, dir)
	if want := int64(rows + len(spec.Files)); res.Created < want || !res.Complete {
		t.Fatalf("the backup stored %d rows, complete %v; want at least %d: %+v", res.Created, res.Complete, want, res.Gaps)
	}
	report(t, "first backup", u, rows)
	disk := diskUsage(t, filepath.Join(dir, "vault"))
	figure(t, "vault after the first backup", mebibytes(disk), "")

	changed := rows / 100
	e.change(t, changed, rows)
	u, res = backup(t, dir)
	if res.Updated != int64(changed) {
		t.Errorf("the second backup updated %d rows, want %d", res.Updated, changed)
	}
	report(t, "incremental backup of 1 % changes", u, changed)
	figure(t, "vault grew by", fmt.Sprintf("%.1f MiB", float64(diskUsage(t, filepath.Join(dir, "vault"))-disk)/(1<<20)), "")
	u, res = backup(t, dir, "--full")
	if res.Created+res.Updated+res.Deleted != 0 {
		t.Errorf("a full read found changes that are none: %d, %d, %d", res.Created, res.Updated, res.Deleted)
	}
	report(t, "full read again, nothing changed", u, rows)
	held := highWater(e.cmd.Process.Pid)
	figure(t, "emulator, most memory", mebibytes(held), mebibytes(emulatorGoal))
	check(t, held > 0 && held < emulatorGoal, "memory of the emulator")
	pointReads(t, dir, rows)
	verifying(t, dir, int64(rows+len(spec.Files)))
}

// verifying checks everything that is stored: without keys, then with them.
func verifying(t *testing.T, dir string, rows int64) {
	t.Helper()
	stored := diskUsage(t, filepath.Join(dir, "vault"))
	for _, args := range [][]string{{"--public"}, {"--full"}} {
		u, out := run(t, dir, append([]string{"vault", "verify", "--json"}, args...)...)
		var rep verify.Report
		if err := json.Unmarshal(out, &rep); err != nil {
			t.Fatal(err)
		}
		if len(rep.Bad) > 0 || args[0] == "--full" && rep.Rows < rows {
			t.Errorf("vault verify %s: %d findings, %d rows opened; want none, %d", args[0], len(rep.Bad), rep.Rows, rows)
		}
		what := "vault verify " + args[0]
		figure(t, what, fmt.Sprintf("%s for %s: %.0f MB/s; %d rows opened, %d files", seconds(u.wall), mebibytes(stored), float64(stored)/1e6/u.wall.Seconds(), rep.Rows, rep.Files), "")
		resident(t, what, u)
	}
}

// TestManyTablesMemory backs up many tables of the width of account at once:
// as many as the environment suggests.
func TestManyTablesMemory(t *testing.T) {
	together(t)
	tables, rows := pick(3, 24), pick(50, 10_000)
	spec := emulatorSpec{Columns: 200, Latency: pick(0, 20*time.Millisecond)}
	for range tables {
		spec.Wide = append(spec.Wide, rows)
	}
	e := startEmulator(t, spec)
	dir := newAllod(t, e.url)
	u, res := backup(t, dir)
	if want := int64(tables * rows); res.Created < want || !res.Complete {
		t.Fatalf("the backup stored %d rows, complete %v; want at least %d: %+v", res.Created, res.Complete, want, res.Gaps)
	}
	report(t, fmt.Sprintf("backup of %d tables × %d rows × %d columns", tables, rows, spec.Columns), u, tables*rows)
}

func report(t *testing.T, what string, u usage, rows int) {
	t.Helper()
	figure(t, what+", time", fmt.Sprintf("%s, %.0f rows/s; processor time %s", seconds(u.wall), float64(rows)/u.wall.Seconds(), seconds(u.cpu)), "")
	resident(t, what, u)
}

// resident reports the most memory a process had and holds it to its goal.
func resident(t *testing.T, what string, u usage) {
	t.Helper()
	goal := int64(pick(smallMemory, memoryGoal))
	figure(t, what+", most memory resident (VmHWM)", mebibytes(u.peak), mebibytes(goal))
	if u.peak <= 0 || u.peak >= goal {
		t.Errorf("%s: %s resident, want less than %s", what, mebibytes(u.peak), mebibytes(goal))
	}
}

// openVault opens the vault of an Allod for reading, as a new process would.
func openVault(t *testing.T, dir string) (*vault.Vault, *vault.Snapshot) {
	t.Helper()
	ctx := t.Context()
	o, err := act.OpenPublic(ctx, dir, deps(nil))
	if err != nil {
		t.Fatal(err)
	}
	pin := o.Config().Pin
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "keys", "bench.key"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := keyring.ParseKeyFile(key)
	if err != nil {
		t.Fatal(err)
	}
	store, err := file.Open(filepath.Join(dir, "vault"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	slots, err := file.Open(filepath.Join(dir, "slots"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(ctx, vault.Config{Store: store, Slots: []blob.Mutable{slots}, TempDir: t.TempDir(), Pin: pin}, w)
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.LedgerConfig()
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := gate.New(gate.ShippedMatrix(), l, time.Now).Open(ctx, gate.Request{
		Actor: "bench", Action: gate.ActionRead, Purpose: allod.PurposeOperate,
		Resource: gate.Resource{Environment: "bench", Class: allod.ClassContent},
	})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := v.At(ctx, s, "bench", 0)
	if err != nil {
		t.Fatal(err)
	}
	return v, snap
}

func deps(d *act.Deps) act.Deps {
	all := act.Deps{
		OpenStore: func(_ context.Context, path string, create bool) (blob.Mutable, error) {
			if create {
				return file.Create(path, file.Options{})
			}
			return file.Open(path, file.Options{})
		},
		Now: time.Now, Actor: "bench", Disk: &durable.Disk{},
	}
	if d != nil {
		all.OpenSource = d.OpenSource
	}
	return all
}

// pointReads reads single rows of the newest snapshot: cold from a vault just
// opened, warm from one that has its indexes and filters in memory.
func pointReads(t *testing.T, dir string, rows int) {
	t.Helper()
	get := func(s *vault.Snapshot, n int) time.Duration {
		begin := time.Now()
		got, err := s.Get(t.Context(), wideName(0), []allod.RecordRef{{Key: wideKey(uint64(n))}})
		if d := time.Since(begin); err == nil && len(got) == 1 {
			return d
		}
		t.Fatalf("read row %d: %d rows, %v", n, len(got), err)
		return 0
	}
	var opening, cold, warm []time.Duration
	var v *vault.Vault
	var s *vault.Snapshot
	for i := range pick(2, 7) {
		if v != nil {
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		v, s = openVault(t, dir)
		opening = append(opening, time.Since(begin))
		cold = append(cold, get(s, i*7919%rows))
	}
	for i := range pick(100, 3000) {
		if d := get(s, i*7919%rows); i >= pick(50, 500) {
			warm = append(warm, d)
		}
	}
	begin, n := time.Now(), 0
	for _, err := range s.Rows(t.Context(), wideName(0)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != rows {
		t.Errorf("a scan of the table found %d rows, want %d", n, rows)
	}
	figure(t, "scan of the whole table", fmt.Sprintf("%.0f rows/s", float64(n)/time.Since(begin).Seconds()), "")
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	figure(t, fmt.Sprintf("read of one row out of %d, warm: median, 99th of 100", rows), fmt.Sprintf("%.2f ms, %.2f ms", ms(median(warm)), ms(percentile(warm, 0.99))), "50 ms")
	figure(t, "the first read after opening the vault: median", fmt.Sprintf("%.1f ms", ms(median(cold))), "")
	figure(t, "opening vault, ledger and snapshot: median", fmt.Sprintf("%.1f ms", ms(median(opening))), "")
	check(t, median(warm) < 50*time.Millisecond, "read of one row, warm")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
