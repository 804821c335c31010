//go:build unix

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/capture"
	"allod/internal/history"
	"allod/internal/source"
	"allod/internal/source/dataverse"
	"allod/internal/vault/verify"
)

// TestMain runs a backup that kills itself when the test asked for one.
func TestMain(m *testing.M) {
	if spec := os.Getenv("ALLOD_E2E_KILL"); spec != "" {
		os.Exit(killedBackup(spec, os.Getenv("ALLOD_E2E_DIR")))
	}
	os.Exit(m.Run())
}

// killPoint is where a backup dies: WHERE:N, the N-th time.
type killPoint struct {
	where string // read, pack, file, log-before, log-after
	nth   int64
}

func parseKill(s string) killPoint {
	where, n, _ := strings.Cut(s, ":")
	nth, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		panic(err)
	}
	return killPoint{where, nth}
}

// die is kill -9: no deferred function runs, nothing is flushed.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// killedBackup is the child process.
func killedBackup(spec, dir string) int {
	k := parseKill(spec)
	clk := &clock{}
	if ahead, err := time.ParseDuration(os.Getenv("ALLOD_E2E_AHEAD")); err == nil {
		clk.advance(ahead) // as the parent's
	}
	deps := deskDeps(clk)
	openStore := deps.OpenStore
	deps.OpenStore = func(ctx context.Context, path string, create bool) (blob.Mutable, error) {
		s, err := openStore(ctx, path, create)
		return &killStore{Mutable: s, kill: k}, err
	}
	deps.OpenSource = func(_ context.Context, env string, c act.Connection) (source.Source, error) {
		return dataverse.New(dataverse.Options{Environment: env, URL: c.URL, Transport: &killTransport{kill: k}})
	}
	ctx := context.Background()
	o, err := act.Open(ctx, dir, deps)
	if err == nil {
		_, err = o.Backup(ctx, "demo", smallCommits())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0 // it did not come that far
}

// smallCommits makes a small company's backup commit many times.
func smallCommits() capture.Options {
	return capture.Options{CommitBytes: 150 << 10, Checkpoint: 100, Parallel: 1}
}

type killTransport struct {
	kill killPoint
	n    atomic.Int64
}

func (k *killTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && k.kill.where == "read" && k.n.Add(1) == k.kill.nth {
		_, _ = io.CopyN(io.Discard, res.Body, 100) // in the middle of an answer
		die()
	}
	return res, err
}

type killStore struct {
	blob.Mutable
	kill killPoint
	n    atomic.Int64
}

func (k *killStore) hit(where string) bool {
	return k.kill.where == where && k.n.Add(1) == k.kill.nth
}

func (k *killStore) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	switch {
	case strings.HasPrefix(name, "packs/") && k.hit("pack"), strings.HasPrefix(name, "files/") && k.hit("file"):
		r = &dyingReader{r: r, left: max(size/2, 1)}
	case strings.HasPrefix(name, "log/") && k.hit("log-before"):
		die()
	case strings.HasPrefix(name, "log/") && k.hit("log-after"):
		defer die()
	}
	return k.Mutable.Put(ctx, name, r, size, opts)
}

// dyingReader kills the process when left bytes have been read.
type dyingReader struct {
	r    io.Reader
	left int64
}

func (d *dyingReader) Read(p []byte) (int, error) {
	if d.left <= 0 {
		die()
	}
	n, err := d.r.Read(p[:min(int64(len(p)), d.left)])
	d.left -= int64(n)
	return n, err
}

// A backup killed at any point leaves the snapshots before it whole, and the
// next backup brings everything. ALLOD_KILLS rounds, each through all points.
func TestKill(t *testing.T) {
	integration(t)
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ALLOD_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	rounds := 2
	if s := os.Getenv("ALLOD_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		rounds = n
	}
	t.Logf("seed %d (ALLOD_SEED repeats it), %d rounds (ALLOD_KILLS)", seed, rounds)
	k := &killRun{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), sums: map[allod.SnapshotID]string{}, died: map[string]int{}}
	clk := &clock{}
	k.co = startCompany(t, clk, nil)
	k.desk = newDesk(t, clk)
	k.desk.connect("demo", k.co.url)
	for range rounds {
		for _, where := range []string{"read", "pack", "file", "log-before", "log-after"} {
			k.round(where)
		}
	}
	for where, n := range k.died {
		t.Logf("killed %d times at %s", n, where)
	}
	for _, where := range []string{"read", "pack", "file", "log-before", "log-after"} {
		if k.died[where] < rounds {
			t.Errorf("killed only %d times at %s, want %d", k.died[where], where, rounds)
		}
	}
}

type killRun struct {
	t    *testing.T
	rnd  *rand.Rand
	co   *company
	desk *desk
	sums map[allod.SnapshotID]string // what older snapshots held
	died map[string]int
	made int
}

func (k *killRun) round(where string) {
	k.t.Helper()
	for try := 0; try < 20; try++ {
		k.change()
		// The first backup makes many requests and commits, later ones few.
		nth := int64(1)
		if where == "read" {
			nth += k.rnd.Int64N(60)
		} else if len(k.sums) == 0 {
			nth += k.rnd.Int64N(2)
		}
		killed := k.child(fmt.Sprintf("%s:%d", where, nth))
		k.check(where)
		if killed {
			k.died[where]++
			return
		}
	}
	k.t.Errorf("the backup never came to %s", where)
}

// child runs a backup that dies; false when it ended before.
func (k *killRun) child(spec string) bool {
	k.t.Helper()
	cmd := exec.CommandContext(k.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "ALLOD_E2E_KILL="+spec, "ALLOD_E2E_DIR="+k.desk.dir)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		k.t.Fatalf("the backup to be killed at %s ended otherwise: %v: %s", spec, err, out)
	}
	return true
}

// change makes rows, files and deletions, so that the next backup has work.
func (k *killRun) change() {
	k.t.Helper()
	k.made++
	contacts := k.co.rows("contacts", "?$select=contactid&$top=400")
	for range 5 {
		id := contacts[k.rnd.IntN(len(contacts))]["contactid"].(string)
		k.co.try(http.MethodPatch, "contacts("+id+")", map[string]any{"jobtitle": fmt.Sprintf("change %d", k.rnd.Uint32())})
	}
	k.co.try(http.MethodDelete, "contacts("+contacts[k.rnd.IntN(len(contacts))]["contactid"].(string)+")", nil)
	big := strings.Repeat(fmt.Sprintf("%08x", k.rnd.Uint32()), 60_000) // 480 kB: an object of its own
	k.co.call(http.MethodPost, "annotations", map[string]any{"subject": "a file", "filename": "f.txt", "mimetype": "text/plain", "isdocument": true, "documentbody": big})
}

// check is what must hold after every kill.
func (k *killRun) check(where string) {
	k.t.Helper()
	k.desk.reopen()
	k.checkOld(where)
	res, err := k.desk.Backup(k.t.Context(), "demo", smallCommits())
	if err != nil {
		k.t.Fatalf("the backup after a kill at %s: %v", where, err)
	}
	if !res.Complete {
		k.t.Errorf("the backup after a kill at %s is not complete", where)
	}
	k.desk.wantSame(latest("demo"), live("demo"), history.Options{})
	rep, err := k.desk.Verify(k.t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) > 0 {
		k.t.Errorf("verify after a kill at %s: %v %v", where, err, rep.Bad)
	}
	k.sums[res.Snapshot] = k.sum(res.Snapshot)
}

func (k *killRun) checkOld(where string) {
	k.t.Helper()
	for id, want := range k.sums {
		if got := k.sum(id); got != want {
			k.t.Errorf("after a kill at %s, snapshot %d is not what it was: %s, want %s", where, id, got, want)
		}
	}
}

// sum is a fingerprint of what a snapshot holds of the tables that change.
func (k *killRun) sum(id allod.SnapshotID) string {
	k.t.Helper()
	var b strings.Builder
	for _, table := range []string{"contact", "annotation", "account"} {
		tab, rows, err := k.desk.Rows(k.t.Context(), at("demo", id), table, "", 0)
		if err != nil {
			k.t.Fatal(err)
		}
		var x uint64
		n := 0
		for row, err := range rows {
			if err != nil {
				k.t.Fatal(err)
			}
			n++
			x ^= hash(act.AppendJSON(nil, tab.Table, &row))
		}
		fmt.Fprintf(&b, "%s %d %016x; ", table, n, x)
	}
	return b.String()
}
