package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"allod/internal/e2e/s3server"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
)

// stuck is a company that stops answering after some requests, until it is let
// go on.
type stuck struct {
	*httptest.Server
	mu    sync.Mutex
	left  int           // requests until it stops; -1 = it does not
	stops chan struct{} // closed when it has stopped
	goes  chan struct{} // closed when it is to go on
}

func startStuck(t *testing.T) *stuck {
	t.Helper()
	model, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	server, err := emu.New(emu.Options{Model: model, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := &stuck{left: -1, stops: make(chan struct{}), goes: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.now() {
			select {
			case <-s.goes:
			case <-r.Context().Done():
				return
			}
		}
		server.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// now counts a request and reports whether it gets no answer.
func (s *stuck) now() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left > 0 {
		if s.left--; s.left == 0 {
			close(s.stops)
		}
	}
	return s.left == 0
}

func (s *stuck) stopAfter(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = n
}

// worker is a running `allod worker`.
type worker struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *worker) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *worker) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// until waits for a line.
func (w *worker) until(pattern string) {
	w.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(90 * time.Second); !re.MatchString(w.said()); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("nobody said %q:\n%s", pattern, w.said())
		}
	}
}

// on is the program on another machine: in a folder of its own, with what has to
// be copied there.
func (p *program) on(name string) *program {
	p.t.Helper()
	from, _ := strings.CutPrefix(p.env[len(p.env)-1], "ALLOD_DIR=")
	dir := filepath.Join(p.t.TempDir(), name)
	for _, file := range []string{"allod.yaml", "vault.pin"} {
		b, err := os.ReadFile(filepath.Join(from, file))
		if err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), b, 0o600)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return &program{p.t, p.path, append(os.Environ(), "ALLOD_DIR="+dir)}
}

// until repeats a command until it says something.
func (p *program) until(command, pattern string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(time.Second) {
		text := p.run(0, command)
		if re.MatchString(text) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("allod %s: says nothing of %q:\n%s", command, pattern, text)
		}
	}
}

func (p *program) work(flags ...string) *worker {
	p.t.Helper()
	w := &worker{t: p.t, cmd: exec.Command(p.path, append([]string{"worker", "--lease", "5s"}, flags...)...)}
	w.cmd.Env, w.cmd.Stderr = p.env, w
	if err := w.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = w.cmd.Process.Kill() // it may have ended
		_ = w.cmd.Wait()
	})
	return w
}

// TestWorkers: two processes on two machines share what is due, each task done
// once. One is killed in the middle of a capture; the other shows how far it
// was, counts it among those that hold keys, and takes over.
func TestWorkers(t *testing.T) {
	t.Parallel()
	server := startServer(t, map[string]s3server.Bucket{"vault": {Locks: true}, "keys": {Versions: true}})
	built := build(t)
	for _, tc := range []struct{ name, store, slots string }{
		{"folder", "file://" + filepath.Join(t.TempDir(), "vault"), "file://" + filepath.Join(t.TempDir(), "slots")},
		{"s3", server.Address("vault/work"), server.Address("keys")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			co := startStuck(t)
			p := &program{t, built.path, append(os.Environ(), "ALLOD_DIR="+filepath.Join(t.TempDir(), "one"))}
			p.run(0, "init --key file:"+filepath.Join(t.TempDir(), "key")+" --store "+strings.TrimPrefix(tc.store, "file://")+" --slots "+strings.TrimPrefix(tc.slots, "file://"))
			tasks := []string{"verify"}
			config := filepath.Join(strings.TrimPrefix(p.env[len(p.env)-1], "ALLOD_DIR="), "allod.yaml")
			connect := func(env string) {
				p.run(0, "connect "+env+" "+co.URL+" --kind dataverse --preset sales")
				b, err := os.ReadFile(config)
				if err != nil {
					t.Fatal(err)
				}
				head := "  " + env + ":\n"
				text := strings.Replace(string(b), head, head+"    schedule: every 1d\n", 1)
				if err := os.WriteFile(config, []byte(text), 0o600); err != nil || text == string(b) {
					t.Fatalf("give %s a schedule: %v in\n%s", env, err, b)
				}
				tasks = append(tasks, env)
			}
			for i := range 3 {
				connect(fmt.Sprintf("env-%d", i))
			}
			a, b := p.work("--once"), p.on("two").work("--once")
			for _, w := range []*worker{a, b} {
				if err := w.cmd.Wait(); err != nil && w.cmd.ProcessState.ExitCode() != 3 { // the company has gaps that nobody chose
					t.Fatalf("a worker: %v: %s", err, w.said())
				}
			}
			all := a.said() + b.said()
			for _, task := range tasks {
				if n := strings.Count(all, " "+task+": begins: "); n != 1 {
					t.Errorf("%s was begun %d times:\n%s\nand\n%s", task, n, a.said(), b.said())
				}
			}
			for _, env := range tasks[1:] {
				if n := strings.Count(p.run(0, "snapshots "+env+" --json"), `"id"`); n != 1 {
					t.Errorf("%s has %d snapshots, want 1", env, n)
				}
			}

			co.stopAfter(-1)
			connect("slow")
			co.stopAfter(40)
			a = p.work()
			a.until(`slow: begins: it was never done`)
			<-co.stops
			other := p.on("three")
			b = other.work()
			other.until("status slow", `Under way: process [0-9a-f]+, .* tables and `)
			other.until("vault places list", `worker-[0-9a-f]+ worker rotated`)
			if err := a.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = a.cmd.Wait() // it was killed
			close(co.goes)
			b.until(`slow: begins: the process that did it is gone`)
			b.until(`slow: done`)
			if strings.Contains(b.said(), "env-") {
				t.Errorf("done again:\n%s", b.said())
			}
			if n := strings.Count(a.said()+b.said(), " slow: begins"); n != 2 {
				t.Errorf("slow was begun %d times, want twice:\n%s\nand\n%s", n, a.said(), b.said())
			}
			other.run(0, "status slow", "the last one: ")
			other.run(0, "vault verify", "0 bad")
		})
	}
}
