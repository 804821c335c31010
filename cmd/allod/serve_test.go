package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// listen NAME starts a web server until the script ends and sets NAME to its
// address. What it is asked for becomes lines of the file NAME.heard.
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listen NAME")
	}
	path := ts.MkAbs(args[0] + ".heard")
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintf(f, "%s %s ", r.Method, r.URL.Path)
			_, err = io.Copy(f, r.Body)
			fmt.Fprintln(f)
		}
		if err != nil || f.Close() != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// line FILE AFTER TEXT adds a line after the one line that contains AFTER, as
// far to the right.
func cmdLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: line FILE AFTER TEXT")
	}
	var out strings.Builder
	found := 0
	for l := range strings.Lines(ts.ReadFile(args[0])) {
		out.WriteString(l)
		if strings.Contains(l, args[1]) {
			found++
			out.WriteString(l[:len(l)-len(strings.TrimLeft(l, " "))] + args[2] + "\n")
		}
	}
	if found != 1 {
		ts.Fatalf("%s: %d lines with %q, want 1", args[0], found, args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}

// serve PATTERN [URL] runs `allod serve` until a line of its stderr matches and
// the company at URL was asked a lot, sends SIGTERM, and wants it to end well.
// Its stderr is the file "served".
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: serve PATTERN [URL]")
	}
	if len(args) == 2 {
		cmdHTTP(ts, false, []string{"DELETE", args[1] + "/_emulator/counters"})
	}
	re := regexp.MustCompile(args[0])
	path, err := exec.LookPath("allod")
	ts.Check(err)
	log := &watched{re: re, seen: make(chan struct{})}
	cmd := exec.Command(path, "serve")
	cmd.Stderr = log
	cmd.Env = append(os.Environ(), "ALLOD_DIR="+ts.Getenv("ALLOD_DIR"), "ALLOD_PASSPHRASE="+ts.Getenv("ALLOD_PASSPHRASE"))
	ts.Check(cmd.Start())
	select {
	case <-log.seen:
	case <-time.After(30 * time.Second):
		ts.Logf("%s was not said", args[0])
	}
	if len(args) == 2 {
		asked(ts, args[1], "requests", 25)
	}
	ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	err = cmd.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("served"), log.all(), 0o600))
	if err != nil || !re.Match(log.all()) {
		ts.Fatalf("serve: %v, said was: %s", err, log.all())
	}
}

// watched keeps what is written and says when it matches.
type watched struct {
	mu   sync.Mutex
	re   *regexp.Regexp
	text bytes.Buffer
	seen chan struct{}
	done bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.done && w.re.Match(w.text.Bytes()) {
		w.done = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *watched) all() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.text.Bytes())
}

// unpack ZIP writes the files of a zip file into the folder bundle, and all of
// them, with their names, into bundle/all.
func cmdUnpack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unpack ZIP")
	}
	z, err := zip.OpenReader(ts.MkAbs(args[0]))
	ts.Check(err)
	defer z.Close()
	ts.Check(os.RemoveAll(ts.MkAbs("bundle")))
	ts.Check(os.MkdirAll(ts.MkAbs("bundle"), 0o700))
	all := []byte(z.Comment + "\n")
	for _, f := range z.File {
		r, err := f.Open()
		ts.Check(err)
		text, err := io.ReadAll(r)
		ts.Check(err)
		ts.Check(r.Close())
		all = fmt.Appendf(all, "%s %s %s\n%s\n", f.Name, f.Comment, f.Extra, text)
		ts.Check(os.WriteFile(filepath.Join(ts.MkAbs("bundle"), filepath.Base(f.Name)), text, 0o600))
	}
	ts.Check(os.WriteFile(ts.MkAbs("bundle/all"), all, 0o600))
}
