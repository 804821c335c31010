//go:build linux

package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"allod/internal/capture"
)

// built is the folder of the program, "" before it was built.
var built string

// program builds cmd/allod as it is delivered, once.
var program = sync.OnceValues(func() (string, error) {
	var err error
	if built, err = os.MkdirTemp("", "allod-bench-"); err != nil {
		return "", err
	}
	path := filepath.Join(built, "allod")
	cmd := exec.Command("go", "build", "-o", path, "allod/cmd/allod")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

// usage is what a process took.
type usage struct {
	wall, cpu time.Duration
	peak      int64 // bytes resident at most (VmHWM)
}

// run runs the program in dir's Allod to its end.
func run(t *testing.T, dir string, args ...string) (usage, []byte) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--dir", dir}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var u usage
	for {
		u.peak = max(u.peak, highWater(cmd.Process.Pid))
		select {
		case err := <-ended:
			u.wall, u.cpu = time.Since(begin), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
			if err != nil {
				t.Fatalf("allod %s: %v\n%s", strings.Join(args, " "), err, errs.Bytes())
			}
			return u, out.Bytes()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// highWater is VmHWM of a process: the most memory it had resident so far,
// bytes; 0 when it has ended. It only rises, so that the last look counts.
func highWater(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "VmHWM:" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// newAllod makes an Allod with the program and connects it.
func newAllod(t *testing.T, url string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "allod")
	run(t, dir, "init", "--key", "file:keys/bench.key")
	run(t, dir, "connect", "bench", url, "--kind", "dataverse")
	return dir
}

func backup(t *testing.T, dir string, args ...string) (usage, *capture.Result) {
	t.Helper()
	u, out := run(t, dir, append([]string{"backup", "bench", "--json"}, args...)...)
	var res capture.Result
	if err := json.Unmarshal(out, &res); err != nil {
		var all []capture.Result
		if json.Unmarshal(out, &all) != nil || len(all) != 1 {
			t.Fatalf("read the result of the backup: %v\n%s", err, out)
		}
		res = all[0]
	}
	return u, &res
}

// diskUsage adds up the files below dir.
func diskUsage(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cpuTime is what this process has used so far.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
