//go:build linux

package bench_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/erasure"
	"allod/internal/capture"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/govern/gate"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/vault"
)

// month is a company that was backed up on several days, with Allod and as
// JSONL files of each day.
type month struct {
	office  *act.Office
	dir     string // of the Allod
	exports []string
	person  allod.GUID
	names   []string // that name the person: id, name, mail, phone
}

// newMonth backs the sample company up on so many days; about 1 % of the contacts
// and accounts change from one to the next.
func newMonth(t *testing.T, days int) *month {
	t.Helper()
	model, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	server, err := emu.New(emu.Options{Model: model, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sample.Load(model, server.Store(), sample.Options{Seed: 1, Scale: 1}); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(server.Handler())
	t.Cleanup(h.Close)
	m := &month{dir: filepath.Join(t.TempDir(), "allod")}
	d := deps(&act.Deps{OpenSource: func(_ context.Context, env string, c act.Connection) (source.Source, error) {
		return dataverse.New(dataverse.Options{Environment: env, URL: c.URL})
	}})
	d.NewID = func() (id allod.GUID) {
		_, _ = rand.Read(id[:]) // it does not fail
		return id
	}
	if _, err := act.Init(t.Context(), m.dir, act.InitOptions{Key: "file:keys/bench.key"}, d); err != nil {
		t.Fatal(err)
	}
	if m.office, err = act.Open(t.Context(), m.dir, d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.office.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := m.office.Connect(t.Context(), "prod", act.Connection{Kind: "dataverse", URL: h.URL}); err != nil {
		t.Fatal(err)
	}
	exports := t.TempDir()
	var ids []string
	for day := range days {
		for i, id := range ids {
			if i%100 == day%100 {
				m.patch(t, h.URL, id, day)
			}
		}
		res, err := m.office.Backup(t.Context(), "prod", capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(exports, fmt.Sprintf("day-%02d", day+1))
		m.export(t, res.Snapshot, to)
		m.exports = append(m.exports, to)
		if day == 0 {
			ids = m.choose(t, res.Snapshot)
		}
	}
	return m
}

func (m *month) patch(t *testing.T, url, id string, day int) {
	t.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"jobtitle": "day %d"}`, day))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, url+"/api/data/v9.2/contacts("+id+")", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer bench")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("change a contact: status %d", res.StatusCode)
	}
}

func (m *month) open(t *testing.T, id allod.SnapshotID) *vault.Snapshot {
	t.Helper()
	v, g, _, d := m.office.Inside()
	s, err := g.Open(t.Context(), gate.Request{Actor: d.Actor, Action: gate.ActionRead, Purpose: allod.PurposeAnswerRequest, Resource: gate.Resource{Environment: "prod", Class: allod.ClassContent}})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := v.At(t.Context(), s, "prod", id)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// choose picks the person, and returns the ids of all contacts.
func (m *month) choose(t *testing.T, id allod.SnapshotID) []string {
	t.Helper()
	snap := m.open(t, id)
	table := snap.Schema().Table("contact")
	var ids []string
	for row, err := range snap.Rows(t.Context(), "contact") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, row.Key.String())
		text := func(column string) string { return row.Cell(table.ColumnIndex(column)).Text() }
		if mail, phone, name := text("emailaddress1"), text("telephone1"), text("fullname"); len(m.names) == 0 && mail != "" && len(phone) > 8 && len(name) > 8 {
			m.person, m.names = row.Key, []string{row.Key.String(), name, mail, phone}
		}
	}
	if len(m.names) == 0 {
		t.Fatal("nobody has a name, a mail address and a phone number")
	}
	return ids
}

// export writes a snapshot as JSONL, a file a table.
func (m *month) export(t *testing.T, id allod.SnapshotID, to string) {
	t.Helper()
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	snap := m.open(t, id)
	for i := range snap.Schema().Tables {
		table := &snap.Schema().Tables[i]
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		for row, err := range snap.Rows(t.Context(), table.Name) {
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]string{table.Key: row.Key.String()}
			for j, c := range table.Columns {
				if v := row.Cell(j); !v.IsNull() && !v.IsAbsent() {
					out[c.Name] = v.String()
				}
			}
			if err := enc.Encode(out); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(to, table.Name+".jsonl"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// drop removes the lines of a day's files that name the person, and says how
// many there were.
func (m *month) drop(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var out []byte
		for line := range bytes.Lines(b) {
			if m.named(line) {
				n++
				continue
			}
			out = append(out, line...)
		}
		return os.WriteFile(path, out, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (m *month) named(line []byte) bool {
	for _, name := range m.names {
		if bytes.Contains(line, []byte(name)) {
			return true
		}
	}
	return false
}

// found counts the lines below a folder that name the person.
func (m *month) found(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for line := range bytes.Lines(b) {
			if m.named(line) {
				n++
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// peer is a program that backs files up.
type peer struct {
	t    *testing.T
	name string
	repo string
	env  []string
}

func (p *peer) run(dir string, args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), p.env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", p.name, strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

func folderBytes(t *testing.T, dir string) int64 {
	t.Helper()
	n := int64(0)
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestEraseBesideResticAndBorg removes one person from 30 daily backups: with
// Allod by destroying keys, with restic and borg by restoring each day, filtering,
// backing up again, forgetting and pruning. Each side ends with a search for the
// person in everything it still gives.
func TestEraseBesideResticAndBorg(t *testing.T) {
	if !full() && os.Getenv("ALLOD_INTEGRATION") == "" {
		t.Skip("ALLOD_INTEGRATION=1 tries it in small, ALLOD_BENCH=full measures it")
	}
	days := pick(2, 30)
	m := newMonth(t, days)
	raw := folderBytes(t, filepath.Dir(m.exports[0]))
	lines := m.found(t, filepath.Dir(m.exports[0]))
	t.Logf("%d days, %d bytes of JSONL, %d lines name the person", days, raw, lines)

	before := folderBytes(t, filepath.Join(m.dir, "vault", "packs"))
	began := time.Now()
	plan, err := erasure.Make(t.Context(), m.office, erasure.Request{Environment: "prod", Table: "contact", IDs: []string{m.person.String()}, Related: []string{"all:1"}, Urgent: true})
	if err != nil {
		t.Fatal(err)
	}
	planned := time.Since(began)
	began = time.Now()
	asked, err := erasure.Ask(t.Context(), m.office, plan, "")
	if err != nil {
		t.Fatal(err)
	}
	done, err := erasure.Run(t.Context(), m.office, &asked.ID)
	if err != nil || len(done) != 1 || done[0].Final.IsZero() {
		t.Fatalf("erase: got %+v, %v", done, err)
	}
	took := time.Since(began)
	left, kept := 0, map[string]bool{}
	for _, k := range plan.Kept {
		kept[k.Table] = true
	}
	out := t.TempDir()
	for i, s := range m.snapshots(t) {
		m.export(t, s, filepath.Join(out, fmt.Sprintf("day-%02d", i)))
	}
	_ = filepath.WalkDir(out, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !kept[strings.TrimSuffix(e.Name(), ".jsonl")] {
			b, _ := os.ReadFile(path) // written a moment ago
			for line := range bytes.Lines(b) {
				if m.named(line) {
					left++
				}
			}
		}
		return err
	})
	figure(t, fmt.Sprintf("Allod: one person with %d records out of %d snapshots", len(plan.Records), days), fmt.Sprintf("plan and search %s, erase %s; no pack changed, %d bytes of new ones for the register; %d hits outside of what the plan kept (%d columns)",
		seconds(planned), seconds(took), folderBytes(t, filepath.Join(m.dir, "vault", "packs"))-before, left, len(plan.Kept)), "")
	check(t, left == 0, "Allod: nothing names the person but what the plan kept")
	figure(t, fmt.Sprintf("Allod: stored, %d days", days), mebibytes(folderBytes(t, filepath.Join(m.dir, "vault"))), "")

	if !full() {
		return // the others are compared at the real size
	}
	for _, name := range []string{"restic", "borg"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is not installed: apt-get install restic borgbackup", name)
		}
	}
	m.restic(t, days)
	m.borg(t, days)
}

func (m *month) snapshots(t *testing.T) []allod.SnapshotID {
	t.Helper()
	all, err := m.office.Snapshots(t.Context(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	var out []allod.SnapshotID
	for _, s := range all {
		if s.Complete {
			out = append(out, s.ID)
		}
	}
	return out
}

// restic stores the days and removes the person again.
func (m *month) restic(t *testing.T, days int) {
	t.Helper()
	p := &peer{t: t, name: "restic", repo: t.TempDir(), env: []string{"RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + t.TempDir()}}
	p.env = append(p.env, "RESTIC_REPOSITORY="+p.repo)
	p.run("/", "init", "--quiet")
	began := time.Now()
	for i, dir := range m.exports {
		p.run(dir, "backup", "--quiet", "--tag", fmt.Sprintf("day-%02d", i), ".")
	}
	stored, size := time.Since(began), folderBytes(t, p.repo)
	began = time.Now()
	removed := 0
	for i := range m.exports {
		tag, work := fmt.Sprintf("day-%02d", i), t.TempDir()
		p.run("/", "restore", "latest", "--quiet", "--tag", tag, "--target", work)
		removed += m.drop(t, work)
		p.run(work, "backup", "--quiet", "--tag", tag+"-clean", ".")
	}
	for _, id := range m.tagged(p, days) {
		p.run("/", "forget", "--quiet", id)
	}
	p.run("/", "prune", "--quiet", "--max-unused", "0")
	took := time.Since(began)
	left := 0
	for i := range m.exports {
		work := t.TempDir()
		p.run("/", "restore", "latest", "--quiet", "--tag", fmt.Sprintf("day-%02d-clean", i), "--target", work)
		left += m.found(t, work)
	}
	version := strings.Join(strings.Fields(p.run("/", "version"))[:2], " ")
	figure(t, version+": the same person", fmt.Sprintf("erase %s (restore, filter, back up, forget, prune), %d lines removed, %d hits left; stored in %s", seconds(took), removed, left, seconds(stored)), "")
	figure(t, fmt.Sprintf("%s: stored, %d days", version, days), mebibytes(size), "")
	check(t, left == 0, version+": nothing names the person")
}

// tagged returns the ids of the snapshots before the removal.
func (m *month) tagged(p *peer, days int) []string {
	var ids []string
	for i := range days {
		var found []struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(p.run("/", "snapshots", "--json", "--tag", fmt.Sprintf("day-%02d", i))), &found); err != nil {
			p.t.Fatal(err)
		}
		for _, f := range found {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// borg stores the days and removes the person again.
func (m *month) borg(t *testing.T, days int) {
	t.Helper()
	p := &peer{t: t, name: "borg", repo: filepath.Join(t.TempDir(), "repo"), env: []string{"BORG_PASSPHRASE=bench", "BORG_BASE_DIR=" + t.TempDir()}}
	p.env = append(p.env, "BORG_REPO="+p.repo)
	p.run("/", "init", "--encryption=repokey-blake2")
	began := time.Now()
	for i, dir := range m.exports {
		p.run(dir, "create", fmt.Sprintf("::day-%02d", i), ".")
	}
	stored, size := time.Since(began), folderBytes(t, p.repo)
	began = time.Now()
	removed := 0
	for i := range days {
		work, name := t.TempDir(), fmt.Sprintf("::day-%02d", i)
		p.run(work, "extract", name)
		removed += m.drop(t, work)
		p.run(work, "create", name+"-clean", ".")
		p.run("/", "delete", name)
	}
	p.run("/", "compact", "--threshold", "0")
	took := time.Since(began)
	left := 0
	for i := range days {
		work := t.TempDir()
		p.run(work, "extract", fmt.Sprintf("::day-%02d-clean", i))
		left += m.found(t, work)
	}
	version := strings.TrimSpace(p.run("/", "--version"))
	figure(t, version+": the same person", fmt.Sprintf("erase %s (extract, filter, create, delete, compact), %d lines removed, %d hits left; stored in %s", seconds(took), removed, left, seconds(stored)), "")
	figure(t, fmt.Sprintf("%s: stored, %d days", version, days), mebibytes(size), "")
	check(t, left == 0, version+": nothing names the person")
}
