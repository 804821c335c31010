package vault

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
)

// childEnv names what the process of TestCaptureProcess works on.
const childEnv = "ALLOD_TEST_CHILD"

// child is what that process is told.
type child struct {
	Dir string
	Pin string // the JSON of a vlog.Pin, base64
}

func openChild(t testing.TB, c child) *testVault {
	t.Helper()
	place := func(name string) *file.Store {
		s, err := file.Open(filepath.Join(c.Dir, name), file.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	b, err := base64.StdEncoding.DecodeString(c.Pin)
	var pin vlog.Pin
	if err == nil {
		err = json.Unmarshal(b, &pin)
	}
	if err != nil {
		t.Fatal(err)
	}
	store := place("store")
	v, err := Open(context.Background(), Config{Store: store, Slots: []blob.Mutable{place("slots")}, TempDir: t.TempDir(), Pin: pin}, plainWrapper{})
	if err != nil {
		t.Fatal(err)
	}
	lc, err := v.LedgerConfig()
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(context.Background(), lc)
	if err != nil {
		t.Fatal(err)
	}
	return &testVault{Vault: v, t: t, store: store, clock: &clock{t: time.Now()}, gate: gate.New(gate.ShippedMatrix(), l, time.Now)}
}

// TestCaptureProcess is not a test but the process whose memory
// TestMemoryOfACaptureProcess looks through: it captures and waits.
func TestCaptureProcess(t *testing.T) {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	v := openChild(t, c)
	if _, _, err := v.captureRows(ModeDelta, map[int]string{1: "by the child", 3: "by the child"}); err != nil {
		t.Fatal(err)
	}
	fmt.Println("captured")
	_, _ = io.ReadAll(os.Stdin) // until the parent has seen enough
}

// TestMemoryOfACaptureProcess takes the memory of a process that captures after
// an erasure, and looks for every seed on the way from the root of the tree to
// the erased record: one would open it. The seeds beside that way must be there:
// the search finds what is in memory.
func TestMemoryOfACaptureProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("looks through the memory of another process")
	}
	dir := t.TempDir()
	place := func(name string) *file.Store {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		s, err := file.Open(path, file.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c := &clock{t: time.Now()}
	store := place("store")
	v := makeVault(t, store, store, place("slots"), c, "plain")
	v.mustCapture(ModeFull, numbered(50, "x"))
	way, beside := v.way(t, 2)
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	pin, err := json.Marshal(v.Pin())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(child{Dir: dir, Pin: base64.StdEncoding.EncodeToString(pin)})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCaptureProcess$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "captured" {
		if strings.HasPrefix(lines.Text(), "--- FAIL") {
			t.Fatal(lines.Text())
		}
	}
	memory := memoryOf(t, cmd.Process.Pid)
	_ = in.Close()         // let it end
	_, _ = io.ReadAll(out) // it says how
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	found := 0
	for depth, seed := range beside {
		if contains(memory, seed) {
			found++
		}
		if contains(memory, way[depth]) {
			t.Errorf("the seed at depth %d on the way to the erased record is in memory", depth)
		}
	}
	if found < 10 {
		t.Errorf("of the seeds beside the way %d are in memory: the search finds nothing", found)
	}
	_, c2, err := v.captureRows(ModeDelta, map[int]string{2: "back"})
	if err != nil || c2.Erased != 1 {
		t.Errorf("at the end: got %+v, %v", c2, err)
	}
}

// way returns the seeds at depths 0 to 63 on the way to a record's node, and
// those beside it, by FORMAT.md §4 and §5 alone; the tree must not have been
// punctured.
func (v *testVault) way(t *testing.T, n int) (way, beside []keytree.Seed) {
	t.Helper()
	block, err := aes.NewCipher(v.secrets.State[:])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	b := objectBytes(t, v.store, "keytree/00000001/00000000000000000001/root")
	id := v.ID()
	ad := append([]byte("allod keytree v1"), id[:]...)
	ad = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(ad, 1), 1)
	ad = append(ad, 0xff, 0xff)
	plain, err := gcm.Open(nil, b[5:17], b[17:], ad)
	if err != nil {
		t.Fatal(err)
	}
	seed := keytree.Seed(plain[34:50])
	tags, err := v.Tags(t.Context(), v.session(gate.ActionRead), "contoso", []allod.RecordRef{ref("account", n)})
	if err != nil {
		t.Fatal(err)
	}
	leaf := uint64(keytree.NewIndexer(v.secrets.Index).Leaf(tags[0].Tag))
	for depth := range 64 {
		way = append(way, seed)
		in := binary.BigEndian.AppendUint64(append([]byte("allodG1"), id[:]...), 1)
		sum := sha256.Sum256(append(in, seed[:]...))
		left, right := keytree.Seed(sum[:16]), keytree.Seed(sum[16:])
		if leaf>>(63-depth)&1 == 1 {
			left, right = right, left
		}
		seed = left
		beside = append(beside, right)
	}
	want, err := v.content.Tree().Keep(keytree.Leaf(leaf))
	if err != nil || want.Nodes[0].Seed != seed {
		t.Fatalf("the seed of the record: got %x, want %v, %v", seed, want, err)
	}
	return append(way[1:], seed), beside // where the first step leads, and what lies beside
}

func contains(memory [][]byte, seed keytree.Seed) bool {
	for _, m := range memory {
		if bytes.Contains(m, seed[:]) {
			return true
		}
	}
	return false
}

// memoryOf reads what a process may write to.
func memoryOf(t *testing.T, pid int) [][]byte {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("look into the memory of another process: %v", err)
	}
	defer mem.Close()
	var out [][]byte
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); n != 3 || !strings.HasPrefix(rights, "rw") || to-from > 1<<32 {
			continue
		}
		b := make([]byte, to-from)
		n, err := mem.ReadAt(b, int64(from))
		if n > 0 && err != nil || err == nil {
			out = append(out, b[:n])
		}
	}
	if len(out) == 0 {
		t.Fatal("no memory could be read")
	}
	return out
}
