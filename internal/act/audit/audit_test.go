package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"allod"
	"allod/internal/act"
	"allod/internal/act/people"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/durable"
	"allod/internal/govern/approve"
	"allod/internal/ledger"
	vlog "allod/internal/vault/log"
)

func now() time.Time { return time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC) }

// folder is one with an Allod in it.
type folder struct {
	t    *testing.T
	dir  string
	deps act.Deps
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	n := byte(0)
	f := &folder{t: t, dir: filepath.Join(t.TempDir(), "allod"), deps: act.Deps{
		OpenStore: func(_ context.Context, path string, create bool) (blob.Mutable, error) {
			if create {
				return file.Create(path, file.Options{})
			}
			return file.Open(path, file.Options{})
		},
		Now: now, Actor: "os:alice", Disk: &durable.Disk{}, NewID: func() allod.GUID { n++; return allod.GUID{1, n} },
	}}
	_, err := act.Init(t.Context(), f.dir, act.InitOptions{Key: "file:key"}, f.deps)
	f.must(err)
	return f
}

func (f *folder) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// with opens the Allod around do, as a command does.
func (f *folder) with(do func(o *act.Office) error) error {
	o, err := act.Open(f.t.Context(), f.dir, f.deps)
	if err != nil {
		return err
	}
	err = do(o)
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	return err
}

// register is a command that adds to log and ledger: the key with the number.
func (f *folder) register(name string, n byte) {
	f.t.Helper()
	pub, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(slices.Repeat([]byte{n}, ed25519.SeedSize)).Public())
	f.must(err)
	keys, err := approve.ParseKeys(ssh.MarshalAuthorizedKey(pub))
	f.must(err)
	f.must(f.with(func(o *act.Office) error {
		if _, err := people.Add(f.t.Context(), o, name, keys); err != nil {
			return err
		}
		if n == 1 {
			_, err = people.Ask(f.t.Context(), o, approve.Erase, approve.Digest{n}, "erase")
		}
		return err
	}))
}

func (f *folder) copyTo(dir string, names ...string) {
	f.t.Helper()
	for _, name := range names {
		path := filepath.Join(f.dir, name)
		info, err := os.Stat(path)
		f.must(err)
		if info.IsDir() {
			f.must(os.CopyFS(filepath.Join(dir, name), os.DirFS(path)))
			continue
		}
		b, err := os.ReadFile(path)
		f.must(err)
		f.must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		f.must(os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
}

// put replaces files and folders by those of another folder.
func (f *folder) put(from string, names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.must(os.RemoveAll(filepath.Join(f.dir, name)))
		(&folder{t: f.t, dir: from}).copyTo(f.dir, name)
	}
}

// last is the name of the last file in a folder of the store.
func last(t *testing.T, dir, name string) string {
	t.Helper()
	names, err := os.ReadDir(filepath.Join(dir, name))
	if err != nil || len(names) == 0 {
		t.Fatal(name, err)
	}
	return filepath.Join(name, names[len(names)-1].Name())
}

// TestAttacksOnTheStore: what was put back, cut off, forked or overlaid behind
// the back of an Allod is reported by the next command, although every signature
// in it holds.
func TestAttacksOnTheStore(t *testing.T) {
	f := newFolder(t)
	all := []string{"vault", "slots", "seen.json", "allod.yaml", "vault.pin", "key"}
	f.register("alice", 1)
	before, good := t.TempDir(), t.TempDir()
	f.copyTo(before, all...)

	fork := *f // the same vault, in a folder that went another way from there
	fork.dir = filepath.Join(t.TempDir(), "fork")
	(&folder{t: t, dir: before}).copyTo(fork.dir, all...)
	fork.register("mallory", 2)
	fork.must(fork.with(func(o *act.Office) error {
		_, err := people.Ask(t.Context(), o, approve.Purge, approve.Digest{3}, "purge")
		return err
	}))
	f.register("bob", 3)
	f.copyTo(good, all...)

	remove := func(name string) { f.must(os.Remove(filepath.Join(f.dir, name))) }
	lastEntry := last(t, good, "vault/log")
	lastLedger := last(t, good, "vault/ledger/entry")
	for _, tc := range []struct {
		name   string
		attack func()
		says   string
	}{
		{"rolled back", func() { f.put(before, "vault") }, "cut off"},
		{"log rolled back", func() { f.put(before, "vault/log", "vault/packs") }, "cut off"},
		{"ledger rolled back", func() { f.put(before, "vault/ledger") }, "shorter"},
		{"log truncated", func() { remove(lastEntry) }, "cut off"},
		{"ledger truncated", func() { remove(lastLedger) }, "shorter"},
		{"forked", func() { f.put(fork.dir, "vault") }, "another way"},
		{"ledger forked", func() { f.put(fork.dir, "vault/ledger") }, "its past is not the one"},
		{"log overlaid", func() { f.put(fork.dir, lastEntry) }, "another way"},
		{"ledger overlaid", func() { f.put(fork.dir, lastLedger) }, ""},
		{"both overlaid", func() { f.put(fork.dir, lastEntry, lastLedger) }, ""},
		{"another vault", func() { f.put(newFolder(t).dir, "vault/vault") }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.attack()
			err := f.with(func(*act.Office) error { return nil })
			if allod.KindOf(err) != allod.Corrupt || !strings.Contains(err.Error(), tc.says) || allod.HintOf(err) == "" {
				t.Errorf("got %v, want kind corrupt that says %q; hint %q", err, tc.says, allod.HintOf(err))
			}
			b, err := os.ReadFile(filepath.Join(f.dir, "seen.json"))
			if want, err2 := os.ReadFile(filepath.Join(good, "seen.json")); err != nil || err2 != nil || !bytes.Equal(b, want) {
				t.Errorf("what was seen is now %s, want %s, %v, %v", b, want, err, err2)
			}
		})
		f.put(good, "vault")
	}
	f.must(f.with(func(*act.Office) error { return nil }))

	// Without what was seen the first of them passes: that is what it is for.
	f.put(before, "vault")
	f.must(os.Remove(filepath.Join(f.dir, "seen.json")))
	f.must(f.with(func(*act.Office) error { return nil }))
}

func (f *folder) log(q Query) (lines []Line) {
	f.t.Helper()
	f.must(f.with(func(o *act.Office) error {
		return Log(f.t.Context(), o, q, func(l Line) error {
			lines = append(lines, l)
			return nil
		})
	}))
	return lines
}

func TestLog(t *testing.T) {
	f := newFolder(t)
	f.register("alice", 1)
	lines := f.log(Query{})
	var actions []string
	for i, l := range lines {
		if l.N != int64(i) {
			t.Errorf("line %d is entry %d", i, l.N)
		}
		actions = append(actions, l.Action)
	}
	if want := []string{"office", "user-added", "office", "approval-asked", "audit"}; !slices.Equal(actions, want) {
		t.Errorf("actions %q, want %q", actions, want)
	}
	if l := lines[1]; l.ActorName != "os:alice" || l.EnvironmentName != "office" || len(l.Actor) != 32 || l.Run != lines[0].Run || l.Effect != "" || lines[0].Effect != "allow" {
		t.Errorf("line %+v after %+v", l, lines[0])
	}
	if got := f.log(Query{Action: "user-added"}); len(got) != 1 {
		t.Errorf("by action: %+v", got)
	}
	if got := f.log(Query{Since: now().Add(time.Hour)}); len(got) != 0 {
		t.Errorf("since later: %+v", got)
	}
	f.deps.Actor = "os:bob"
	if got := f.log(Query{Actor: "os:alice", Action: "office"}); len(got) != 2 || got[0].ActorName != "os:alice" {
		t.Errorf("by another's name: %+v", got)
	}
	if got := f.log(Query{Action: "office"}); len(got) != 2 || got[0].ActorName != "" {
		t.Errorf("a name that was not asked for: %+v", got)
	}
	if got := f.log(Query{Actor: lines[0].Actor, Action: "office"}); len(got) != 2 {
		t.Errorf("by pseudonym: %+v", got)
	}
}

// TestLogSince reads no more of a long ledger than it has to, and what a clock
// that was set has put among older entries.
func TestLogSince(t *testing.T) {
	f := newFolder(t)
	f.must(f.with(func(o *act.Office) error {
		_, _, l, _ := o.Inside()
		for i := range 300 {
			at := now().Add(time.Duration(i) * time.Minute)
			if i == 200 {
				at = at.Add(-3 * time.Hour)
			}
			if _, err := l.Append(t.Context(), ledger.Entry{Time: at, Kind: ledger.KindAct, Action: "read"}); err != nil {
				return err
			}
		}
		return nil
	}))
	f.deps.Now = func() time.Time { return now().Add(300 * time.Minute) }
	since := now().Add(150 * time.Minute)
	if got := f.log(Query{Since: since, Action: "read"}); len(got) != 149 || got[0].N != 150 {
		t.Errorf("%d entries since 150 minutes, from %d, want 149 from 150", len(got), got[0].N)
	}
	stop := fmt.Errorf("enough")
	err := f.with(func(o *act.Office) error {
		return Log(t.Context(), o, Query{}, func(Line) error { return stop })
	})
	if !errors.Is(err, stop) {
		t.Errorf("ended by the reader: got %v", err)
	}
}

// TestProofsLeaveTheHouse: what is proved here is checked with the pin alone.
func TestProofsLeaveTheHouse(t *testing.T) {
	f := newFolder(t)
	ctx := t.Context()
	f.register("alice", 1)
	dir := t.TempDir()
	save := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		f.must(os.WriteFile(path, b, 0o644))
		return path
	}
	var files []string
	var checkpoint []byte
	run := f.log(Query{Action: "user-added"})[0].Run
	f.must(f.with(func(o *act.Office) error {
		proof, err := Prove(ctx, o, 1)
		f.must(err)
		n, ofRun, err := ProveRun(ctx, o, run)
		f.must(err)
		if n != 1 {
			t.Errorf("the run ended with entry %d, want 1", n)
		}
		var head ledger.Head
		head, checkpoint, err = Checkpoint(ctx, o, -1)
		f.must(err)
		files = append(files, save("a.tlog-proof", proof), save("b.tlog-proof", ofRun), save("c.txt", checkpoint))
		_, grown, err := Checkpoint(ctx, o, head.Size)
		f.must(err)
		files = append(files, save("grown.txt", grown))
		_, first, err := Checkpoint(ctx, o, 0)
		f.must(err)
		if !strings.HasPrefix(string(first), "old 0\n\n") {
			t.Errorf("the first request of a witness is %s", first)
		}
		_, asked, _ := bytes.Cut(grown, []byte("\n\n")) // what a request ends with is the checkpoint to be cosigned
		if _, by, err := KeepCosigned(ctx, o, slices.Concat(asked, cosign(asked, testWitness())), []ledger.Witness{testWitness()}); err != nil || len(by) != 1 {
			t.Errorf("kept what a request ends with: %v, %v", by, err)
		}
		if _, err := Prove(ctx, o, 1000); allod.KindOf(err) != allod.NotFound {
			t.Errorf("no such entry: got %v", err)
		}
		if _, _, err := ProveRun(ctx, o, ""); allod.KindOf(err) != allod.NotFound {
			t.Errorf("no run: got %v", err)
		}
		if _, _, err := Checkpoint(ctx, o, 1000); allod.KindOf(err) != allod.NotFound {
			t.Errorf("no such size: got %v", err)
		}
		return nil
	}))
	var out strings.Builder
	f.must(VerifyFiles(f.dir, &out, nil, files))
	if !strings.Contains(out.String(), "act user-added") || !strings.Contains(out.String(), "contains that of") {
		t.Errorf("checked:\n%s", out.String())
	}
	if err := VerifyFiles(f.dir, &out, nil, []string{save("text", []byte("x"))}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a file of another kind: got %v", err)
	}

	w := testWitness()
	f.must(f.with(func(o *act.Office) error {
		_, by, err := KeepCosigned(ctx, o, slices.Concat(checkpoint, cosign(checkpoint, w)), []ledger.Witness{w})
		if err != nil || len(by) != 1 {
			t.Errorf("kept %v, %v", by, err)
		}
		if _, _, err := KeepCosigned(ctx, o, checkpoint, []ledger.Witness{w}); allod.KindOf(err) != allod.Denied {
			t.Errorf("kept what nobody cosigned: got %v", err)
		}
		rep, err := Verify(ctx, o, nil)
		if err != nil || rep.Witnessed != 2 {
			t.Errorf("verify: %+v, %v", rep, err)
		}
		return nil
	}))
}

func testWitness() ledger.Witness {
	return ledger.Witness{Name: "w", Key: ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)}
}

// cosign is a witness (C2SP tlog-cosignature) that signs anything.
func cosign(checkpoint []byte, w ledger.Witness) []byte {
	text, _, _ := bytes.Cut(checkpoint, []byte("\n\n"))
	id := sha256.Sum256(slices.Concat([]byte(w.Name), []byte{'\n', 4}, w.Key))
	sig := binary.BigEndian.AppendUint64(id[:4:4], uint64(now().Unix()))
	sig = append(sig, ed25519.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", now().Unix(), text))...)
	return fmt.Appendf(nil, "— %s %s\n", w.Name, base64.StdEncoding.EncodeToString(sig))
}

// TestVerify compares with what this folder has seen and with a checkpoint that
// lay elsewhere, without any key.
func TestVerify(t *testing.T) {
	f := newFolder(t)
	ctx := t.Context()
	f.register("alice", 1)
	var old, checkpoint []byte
	f.must(f.with(func(o *act.Office) (err error) {
		_, old, err = Checkpoint(ctx, o, -1)
		return err
	}))
	f.register("bob", 2)
	f.must(f.with(func(o *act.Office) (err error) {
		_, checkpoint, err = Checkpoint(ctx, o, -1)
		return err
	}))
	verify := func(given []byte) (Report, error) {
		o, err := act.OpenPublic(ctx, f.dir, f.deps)
		f.must(err)
		defer func() { f.must(o.Close()) }()
		return Verify(ctx, o, given)
	}
	for name, given := range map[string][]byte{"nothing given": nil, "an old checkpoint": old, "the newest": checkpoint} {
		if rep, err := verify(given); err != nil || rep.Entries == 0 || rep.Log.N != 3 {
			t.Errorf("%s: %+v, %v", name, rep, err)
		}
	}
	if _, err := verify([]byte("x")); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("what is no checkpoint: got %v, want kind corrupt", err)
	}
	f.must(os.Remove(filepath.Join(f.dir, last(t, f.dir, "vault/ledger/entry"))))
	if rep, err := verify(nil); allod.KindOf(err) != allod.Corrupt || len(rep.Bad) != 1 || allod.HintOf(err) == "" {
		t.Errorf("cut off behind what was seen: %+v, %v", rep, err)
	}
	f.must(os.Remove(filepath.Join(f.dir, "seen.json")))
	if _, err := verify(nil); err != nil {
		t.Errorf("without what was seen the log's own memory is shorter: %v", err)
	}
	if _, err := verify(checkpoint); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("against a checkpoint that lay elsewhere: got %v, want kind corrupt", err)
	}
}

func TestVaultObjectIsThePin(t *testing.T) {
	f := newFolder(t)
	b, err := os.ReadFile(filepath.Join(f.dir, "vault", vlog.VaultName))
	f.must(err)
	c, err := act.ReadConfig(f.dir)
	f.must(err)
	if pin, err := vlog.DecodeVault(b, vlog.Pin{}); err != nil || !pin.Equal(c.Pin) {
		t.Errorf("whoever gets the vault object gets %+v, the configuration pins %+v: %v", pin, c.Pin, err)
	}
}
