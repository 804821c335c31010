package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"allod": main})
}

// TestScripts runs the stories of testdata. Every `allod` in them is a process
// of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("ALLOD_UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			for k, v := range map[string]string{
				"HOME": e.WorkDir, "NO_COLOR": "1", "COLUMNS": "80", "TZ": "UTC", "TMPDIR": e.WorkDir,
				"ALLOD_DIR": filepath.Join(e.WorkDir, "allod"), "ALLOD_PASSPHRASE": "only a test would use this one",
			} {
				e.Setenv(k, v)
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": cmdExits, "company": cmdCompany, "http": cmdHTTP, "faults": cmdFaults, "field": cmdField,
			"fields": cmdFields, "narrow": cmdNarrow, "twice": cmdTwice, "interrupt": cmdInterrupt, "edit": cmdEdit,
			"listen": cmdListen, "line": cmdLine, "serve": cmdServe, "unpack": cmdUnpack,
		},
	})
}

// exits CODE PROGRAM ARGS… runs a program that must end with CODE.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// start runs allod in the background with the script's environment.
func start(ts *testscript.TestScript, args ...string) (*exec.Cmd, io.Reader) {
	path, err := exec.LookPath("allod")
	ts.Check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"HOME", "NO_COLOR", "TZ", "TMPDIR", "PATH", "ALLOD_DIR", "ALLOD_PASSPHRASE", "GOCOVERDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	return cmd, out
}

// company NAME FLAGS… runs `allod emulate dataverse FLAGS` until the script
// ends and sets NAME to its address; with --tls NAME_CA to its authority.
func cmdCompany(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: company NAME FLAGS…")
	}
	cmd, out := start(ts, append([]string{"emulate", "dataverse", "--json"}, args[1:]...)...)
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		if err := cmd.Wait(); err != nil {
			ts.Logf("emulate dataverse: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	ts.Check(err)
	var ready struct {
		URL string `json:"url"`
		CA  string `json:"ca_file"`
	}
	ts.Check(json.Unmarshal(line, &ready))
	ts.Setenv(args[0], ready.URL)
	ts.Setenv(args[0]+"_CA", ready.CA)
}

// http METHOD URL [BODY] sends a request as a person's own program would; its
// answer becomes the file "answer".
func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD URL [BODY]")
	}
	var body io.Reader
	if len(args) > 2 {
		body = strings.NewReader(args[2])
	}
	req, err := http.NewRequest(args[0], strings.ReplaceAll(args[1], " ", "%20"), body)
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer a-person")
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	ts.Check(err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), raw, 0o600))
	if refused := res.StatusCode >= 300; refused != neg {
		ts.Fatalf("%s %s: status %d: %s", args[0], args[1], res.StatusCode, raw)
	}
}

// faults URL JSON sets what goes wrong in a company.
func cmdFaults(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: faults URL LIST")
	}
	cmdHTTP(ts, false, []string{"PUT", args[0] + "/_emulator/faults", args[1]})
}

// field NAME FILE PATH sets a variable to a value in a JSON file; PATH is
// a.0.b. Lists of texts become words.
func cmdField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: field NAME FILE PATH")
	}
	v := lookUp(ts, args[1], args[2])
	switch v := v.(type) {
	case string:
		ts.Setenv(args[0], v)
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = fmt.Sprint(v[i])
		}
		ts.Setenv(args[0], strings.Join(words, " "))
	case float64:
		ts.Setenv(args[0], strconv.FormatFloat(v, 'f', -1, 64))
	default:
		ts.Setenv(args[0], fmt.Sprint(v))
	}
}

func lookUp(ts *testscript.TestScript, file, path string) any {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile(file)), &v); err != nil {
		ts.Fatalf("%s is not one JSON value: %v", file, err)
	}
	if path == "." {
		return v
	}
	for _, step := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[step]
			if !ok {
				ts.Fatalf("%s: there is no %s", file, path)
			}
			v = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(at) {
				ts.Fatalf("%s: there is no %s in %d", file, path, len(at))
			}
			v = at[i]
		default:
			ts.Fatalf("%s: there is no %s", file, path)
		}
	}
	return v
}

// fields FILE PATH NAME[:TYPE]… checks that an object has these members, of
// type text, number, bool, list, object or, with a question mark, null.
func cmdFields(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fields FILE PATH NAME:TYPE…")
	}
	object, ok := lookUp(ts, args[0], args[1]).(map[string]any)
	if !ok {
		ts.Fatalf("%s: %s is no object", args[0], args[1])
	}
	for _, want := range args[2:] {
		name, typ, _ := strings.Cut(want, ":")
		v, has := object[name]
		if !has {
			ts.Fatalf("%s: %s has no member %q", args[0], args[1], name)
		}
		typ, mayBeNull := strings.CutSuffix(typ, "?")
		if v == nil && mayBeNull {
			continue
		}
		if got := typeName(v); got != typ {
			ts.Fatalf("%s: %s is %s, want %s", args[0], name, got, typ)
		}
	}
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case float64:
		return "number"
	case bool:
		return "bool"
	case []any:
		return "list"
	case map[string]any:
		return "object"
	}
	return "null"
}

// narrow FILE… checks that no line is wider than 80 columns.
func cmdNarrow(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		for line := range strings.Lines(ts.ReadFile(file)) {
			line = strings.ReplaceAll(line, ts.Getenv("WORK"), "/home/me") // how long that is says nothing
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
				ts.Fatalf("%s: %d columns: %s", file, n, line)
			}
		}
		if strings.Contains(ts.ReadFile(file), "\x1b[") {
			ts.Fatalf("%s holds colours", file)
		}
	}
}

// interrupt URL [COUNTER=N] ARGS… runs allod, sends SIGINT when a counter of the
// company at URL is above N (requests above 25), and wants the exit code 130;
// stderr becomes the file "interrupted".
func cmdInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt URL ARGS…")
	}
	cmdHTTP(ts, false, []string{"DELETE", args[0] + "/_emulator/counters"})
	counter, least := "requests", 25.0
	if name, n, ok := strings.Cut(args[1], "="); ok {
		var err error
		counter = name
		least, err = strconv.ParseFloat(n, 64)
		ts.Check(err)
		args = append(args[:1:1], args[2:]...)
	}
	path, err := exec.LookPath("allod")
	ts.Check(err)
	errs, err := os.Create(ts.MkAbs("interrupted"))
	ts.Check(err)
	defer errs.Close()
	cmd := exec.Command(path, args[1:]...)
	cmd.Stderr = errs
	cmd.Env = append(os.Environ(), "ALLOD_DIR="+ts.Getenv("ALLOD_DIR"), "ALLOD_PASSPHRASE="+ts.Getenv("ALLOD_PASSPHRASE"))
	ts.Check(cmd.Start())
	asked(ts, args[0], counter, least)
	ts.Check(cmd.Process.Signal(syscall.SIGINT))
	err = cmd.Wait()
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 130 {
		ts.Fatalf("interrupted: %v, want exit status 130: %s", err, ts.ReadFile("interrupted"))
	}
}

// twice PROGRAM ARGS… runs a program in two processes at once: each ends with 0
// or 6, one at least with 0.
func cmdTwice(ts *testscript.TestScript, neg bool, args []string) {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	var cmds [2]*exec.Cmd
	var outs [2]bytes.Buffer
	for i := range cmds {
		cmds[i] = exec.Command(path, args[1:]...)
		cmds[i].Stderr = &outs[i]
		cmds[i].Env = append(os.Environ(), "ALLOD_DIR="+ts.Getenv("ALLOD_DIR"), "ALLOD_PASSPHRASE="+ts.Getenv("ALLOD_PASSPHRASE"))
		ts.Check(cmds[i].Start())
	}
	done := 0
	for i := range cmds {
		err := cmds[i].Wait()
		code := cmds[i].ProcessState.ExitCode()
		if code == 0 {
			done++
		}
		ts.Logf("process %d ended with %d: %s", i, code, outs[i].String())
		if code != 0 && code != 6 || code == 6 && strings.Count(outs[i].String(), "\n") < 2 {
			ts.Fatalf("process %d: %v", i, err)
		}
	}
	if done == 0 {
		ts.Fatalf("neither was done")
	}
}

// asked waits until a company has counted more than least.
func asked(ts *testscript.TestScript, url, counter string, least float64) {
	for deadline := time.Now().Add(30 * time.Second); ; {
		cmdHTTP(ts, false, []string{"GET", url + "/_emulator/counters"})
		counters, _ := lookUp(ts, "answer", ".").(map[string]any) // null before the first request
		if n, _ := counters[counter].(float64); n > least {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the company was not asked")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// edit FILE PATTERN TEXT replaces the one match of a pattern.
func cmdEdit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE PATTERN TEXT")
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	old := ts.ReadFile(args[0])
	if n := len(re.FindAllString(old, -1)); n != 1 {
		ts.Fatalf("%s: %d matches of %s, want 1", args[0], n, args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(re.ReplaceAllLiteralString(old, args[2])), 0o600))
}
