package people

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/durable"
	"allod/internal/govern/approve"
	"allod/internal/govern/gate"
)

// clock is set by tests.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newOffice(t *testing.T) (*act.Office, *clock) {
	t.Helper()
	o, c, _ := newOfficeWith(t)
	return o, c
}

// newOfficeWith also returns what opens the office once more, with the recovery
// key.
func newOfficeWith(t *testing.T) (*act.Office, *clock, func() *act.Office) {
	t.Helper()
	c := &clock{t: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)}
	n := byte(0)
	deps := act.Deps{
		OpenStore: func(_ context.Context, path string, create bool) (blob.Mutable, error) {
			if create {
				return file.Create(path, file.Options{})
			}
			return file.Open(path, file.Options{})
		},
		Now: c.now, Actor: "os:alice", Disk: &durable.Disk{}, NewID: func() allod.GUID { n++; return allod.GUID{1, n} },
	}
	dir := filepath.Join(t.TempDir(), "allod")
	made, err := act.Init(t.Context(), dir, act.InitOptions{Key: "file:key"}, deps)
	if err != nil {
		t.Fatal(err)
	}
	open := func(deps act.Deps) *act.Office {
		o, err := act.Open(t.Context(), dir, deps)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		})
		return o
	}
	recovered := deps
	recovered.Key, recovered.Recovery = byRecovery, func() (string, error) { return strings.Join(made.Words, " "), nil }
	return open(deps), c, func() *act.Office { return open(recovered) }
}

// keyFile writes the private key with the number and returns its path and its
// public half.
func keyFile(t *testing.T, n byte) (string, approve.Key) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(slices.Repeat([]byte{n}, ed25519.SeedSize))
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "id_ed25519")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := approve.ParseKeys(ssh.MarshalAuthorizedKey(pub))
	if err != nil {
		t.Fatal(err)
	}
	return path, keys[0]
}

func sign(t *testing.T, o *act.Office, id allod.GUID, path string) string {
	t.Helper()
	text, err := Statement(t.Context(), o, id)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := Sign(text, path, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func wantKind(t *testing.T, what string, err error, want allod.Kind) {
	t.Helper()
	if allod.KindOf(err) != want {
		t.Errorf("%s: got %v, want kind %s", what, err, want)
	}
}

// TestTwoPeople is the life of a request with two people, from nobody registered
// to the act done.
func TestTwoPeople(t *testing.T) {
	o, clock := newOffice(t)
	ctx := t.Context()
	plan := approve.Digest{1}
	_, out, err := Require(ctx, o, approve.Erase, plan, "erase 1 record of contoso")
	if err != nil || !out.Granted || !out.OnePerson {
		t.Fatalf("nobody is registered: got %+v, %v", out, err)
	}
	alice, aliceKey := keyFile(t, 1)
	bob, bobKey := keyFile(t, 2)
	for name, k := range map[string]approve.Key{"alice": aliceKey, "bob": bobKey} {
		if _, err := Add(ctx, o, name, []approve.Key{k}); err != nil {
			t.Fatal(err)
		}
	}
	r, out, err := Require(ctx, o, approve.Erase, plan, "erase 1 record of contoso")
	wantKind(t, "nobody has signed", err, allod.Denied)
	if out.OnePerson || !strings.Contains(allod.HintOf(err), "allod approve "+r.ID.String()) {
		t.Errorf("got %+v, hint %q", out, allod.HintOf(err))
	}
	if again, err := Ask(ctx, o, approve.Erase, plan, "erase 1 record of contoso"); err != nil || again.ID != r.ID {
		t.Errorf("asked again: got %s, want %s, %v", again.ID, r.ID, err)
	}
	first := sign(t, o, r.ID, alice)
	for range 2 { // handing in twice is no second person
		p, err := Approve(ctx, o, r.ID, first)
		if err != nil || p.Outcome.Granted || len(p.Outcome.People) != 1 {
			t.Errorf("alice alone: got %+v, %v", p.Outcome, err)
		}
	}
	stranger, _ := keyFile(t, 9)
	_, err = Approve(ctx, o, r.ID, sign(t, o, r.ID, stranger))
	wantKind(t, "a stranger's key", err, allod.Denied)
	other, err := Ask(ctx, o, approve.Erase, approve.Digest{2}, "erase 2 records of contoso")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Approve(ctx, o, r.ID, sign(t, o, other.ID, bob))
	wantKind(t, "a signature of another request", err, allod.Denied)
	p, err := Approve(ctx, o, r.ID, sign(t, o, r.ID, bob))
	if err != nil || !p.Outcome.Granted || p.Outcome.OnePerson || len(p.Outcome.People) != 2 {
		t.Fatalf("both: got %+v, %v", p.Outcome, err)
	}
	if out, err := Granted(ctx, o, r.ID, approve.Digest{2}); err != nil || out.Granted {
		t.Errorf("another plan: got %+v, %v", out, err)
	}
	if pending, err := Requests(ctx, o, false); err != nil || len(pending) != 2 {
		t.Errorf("%d requests are open, want 2, %v", len(pending), err)
	}
	for range 2 {
		if err := Spend(ctx, o, r.ID); err != nil {
			t.Error(err)
		}
	}
	if out, err := Granted(ctx, o, r.ID, plan); err != nil || out.Granted {
		t.Errorf("spent: got %+v, %v", out, err)
	}
	_, err = Approve(ctx, o, r.ID, first)
	wantKind(t, "a spent request", err, allod.Conflict)
	clock.add(approve.Lifetime)
	_, err = Approve(ctx, o, other.ID, sign(t, o, other.ID, bob))
	wantKind(t, "an expired request", err, allod.Conflict)
	_, err = Granted(ctx, o, allod.GUID{5}, plan)
	wantKind(t, "no such request", err, allod.NotFound)
	if pending, err := Requests(ctx, o, false); err != nil || len(pending) != 0 {
		t.Errorf("%d requests are open, want none, %v", len(pending), err)
	}
	if pending, err := Requests(ctx, o, true); err != nil || len(pending) != 2 {
		t.Errorf("%d requests were made, want 2, %v", len(pending), err)
	}
}

// TestChangingUsers: one person may register a second one, and from then on takes
// two to change who they are.
func TestChangingUsers(t *testing.T) {
	o, _ := newOffice(t)
	ctx := t.Context()
	alice, aliceKey := keyFile(t, 1)
	bob, bobKey := keyFile(t, 2)
	_, carolKey := keyFile(t, 3)
	for name, k := range map[string]approve.Key{"alice": aliceKey, "bob": bobKey} {
		if _, err := Add(ctx, o, name, []approve.Key{k}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Add(ctx, o, "carol", []approve.Key{carolKey})
	wantKind(t, "a third person without approval", err, allod.Denied)
	_, err = Add(ctx, o, "ALICE", []approve.Key{carolKey})
	wantKind(t, "a name that is taken", err, allod.Conflict)
	_, err = Add(ctx, o, "alice2", []approve.Key{aliceKey})
	wantKind(t, "a key that is taken", err, allod.Conflict)
	for _, name := range []string{"", " alice", "a\nb", "a\u202eb", "-x", strings.Repeat("a", maxName+1)} {
		_, err = Add(ctx, o, name, []approve.Key{carolKey})
		wantKind(t, "name "+name, err, allod.Invalid)
	}
	_, err = Add(ctx, o, "dave", nil)
	wantKind(t, "no key", err, allod.Invalid)
	wantKind(t, "removing without approval", Remove(ctx, o, "bob"), allod.Denied)
	wantKind(t, "removing nobody", Remove(ctx, o, "zoe"), allod.NotFound)
	pending, err := Requests(ctx, o, false)
	if err != nil || len(pending) != 2 {
		t.Fatalf("%d requests, want those to register carol and to remove bob, %v", len(pending), err)
	}
	for _, p := range pending {
		for _, key := range []string{alice, bob} {
			if _, err := Approve(ctx, o, p.ID, sign(t, o, p.ID, key)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err = Add(ctx, o, "carol", []approve.Key{carolKey}); err != nil {
		t.Error(err)
	}
	if err := Remove(ctx, o, "bob"); err != nil {
		t.Error(err)
	}
	wantKind(t, "what was approved once", Remove(ctx, o, "carol"), allod.Denied)
	users, err := Users(ctx, o)
	if err != nil || len(users) != 3 || users[0].Name != "alice" || users[1].Name != "carol" || users[2].Name != "bob" || users[2].Active() {
		t.Errorf("users %+v, %v", users, err)
	}
}

// TestTamperedUsers: whoever changes what is stored of people, or puts an older
// list in its place, is noticed.
func TestTamperedUsers(t *testing.T) {
	o, _ := newOffice(t)
	ctx := t.Context()
	vault := filepath.Join(o.Dir, "vault")
	for i, name := range []string{"alice", "bob"} {
		_, k := keyFile(t, byte(i+1))
		if _, err := Add(ctx, o, name, []approve.Key{k}); err != nil {
			t.Fatal(err)
		}
	}
	users := func() error {
		_, _, _, deps := o.Inside()
		again, err := act.Open(ctx, o.Dir, deps)
		if err != nil {
			return err
		}
		_, err = Users(ctx, again)
		return errors.Join(err, again.Close())
	}
	if err := users(); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"packs/*", "log/*1", "log/*2"} {
		names, err := filepath.Glob(filepath.Join(vault, pattern))
		if err != nil || len(names) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			changed := slices.Clone(b)
			changed[len(b)*3/4] ^= 1
			replace(t, name, changed)
			wantKind(t, "a byte of "+filepath.Base(name)+" changed", users(), allod.Corrupt)
			replace(t, name, b)
		}
	}
	if err := os.Remove(filepath.Join(vault, "log", "00000000000000000002")); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "the entry that registered bob taken away", users(), allod.Corrupt)
}

// replace writes a file that may be read-only.
func replace(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRecovery: where one of two people is gone, whoever holds the recovery key
// removes them alone, and it shows.
func TestRecovery(t *testing.T) {
	o, _, withRecoveryKey := newOfficeWith(t)
	ctx := t.Context()
	for i, name := range []string{"alice", "bob"} {
		_, k := keyFile(t, byte(i+1))
		if _, err := Add(ctx, o, name, []approve.Key{k}); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, "removing alone", Remove(ctx, o, "bob"), allod.Denied)
	r := withRecoveryKey()
	wantKind(t, "removing nobody", Remove(ctx, r, "zoe"), allod.NotFound)
	_, k := keyFile(t, 3)
	_, err := Add(ctx, r, "carol", []approve.Key{k})
	wantKind(t, "registering alone with the recovery key", err, allod.Denied)
	if err := Remove(ctx, r, "bob"); err != nil {
		t.Fatal(err)
	}
	_, _, l, _ := r.Inside()
	if e, err := l.Get(ctx, l.Head().Size-1); err != nil || e.Action != "user-removed-by-recovery" {
		t.Errorf("recorded %+v, %v", e, err)
	}
	if _, err := Add(ctx, o, "carol", []approve.Key{k}); err != nil {
		t.Errorf("another in their place: %v", err)
	}
}

// TestChangeAgain: what somebody else wrote between reading and writing is read
// and decided on again.
func TestChangeAgain(t *testing.T) {
	o, _ := newOffice(t)
	ctx := t.Context()
	d, err := open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	_, k := keyFile(t, 1)
	_, k2 := keyFile(t, 2)
	looks := 0
	err = d.change(ctx, "user-added", func(s *state) ([]allod.Row, error) {
		if looks++; looks == 1 {
			if _, err := Add(ctx, o, "bob", []approve.Key{k2}); err != nil {
				return nil, err
			}
		}
		return []allod.Row{userRow(approve.User{ID: allod.GUID{3}, Name: "alice", Keys: []approve.Key{k}, Added: d.now()})}, nil
	})
	if err != nil || looks != 2 {
		t.Errorf("looked %d times, want 2: %v", looks, err)
	}
	if users, err := Users(ctx, o); err != nil || len(users) != 2 {
		t.Errorf("%d users, want 2, %v", len(users), err)
	}
}

// TestLedgerNamesNobody: what is done with people is on record, and whose names
// and keys they are is not.
func TestLedgerNamesNobody(t *testing.T) {
	o, _ := newOffice(t)
	ctx := t.Context()
	_, k := keyFile(t, 1)
	if _, err := Add(ctx, o, "alice", []approve.Key{k}); err != nil {
		t.Fatal(err)
	}
	_, _, l, _ := o.Inside()
	var words []string
	for n := range l.Head().Size {
		e, err := l.Get(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, e.Action)
	}
	if want := []string{string(gate.ActionOffice), "user-added"}; !slices.Equal(words, want) {
		t.Errorf("recorded %q, want %q", words, want)
	}
	err := filepath.WalkDir(filepath.Join(o.Dir, "vault"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && (strings.Contains(string(b), "alice") || strings.Contains(string(b), string(k)[20:])) {
			t.Errorf("%s shows who is registered", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSign(t *testing.T) {
	path, k := keyFile(t, 1)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	key := ed25519.NewKeyFromSeed(slices.Repeat([]byte{1}, ed25519.SeedSize))
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	locked, public := write("locked", pem.EncodeToMemory(block)), write("key.pub", []byte(string(k)+" alice\n"))
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket := serveAgent(t, ring)
	text := []byte("what is signed\n")
	for name, tc := range map[string]struct{ path, socket, passphrase string }{
		"private": {path, "", ""}, "by the agent": {public, socket, ""}, "encrypted, by the agent": {locked, socket, ""}, "encrypted": {locked, "", "secret"},
	} {
		sig, err := Sign(text, tc.path, tc.socket, tc.passphrase)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := approve.Verify(text, sig, k); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, otherKey := keyFile(t, 2)
	for name, tc := range map[string]struct {
		path, socket, passphrase string
		kind                     allod.Kind
	}{
		"another passphrase":      {locked, socket, "wrong", allod.Denied},
		"encrypted, no agent":     {locked, "", "", allod.Denied},
		"no such agent":           {public, filepath.Join(dir, "none"), "", allod.Denied},
		"not held by the agent":   {write("other.pub", []byte(otherKey)), socket, "", allod.Denied},
		"no key":                  {write("text", []byte("hello")), "", "", allod.Invalid},
		"too long":                {write("long", make([]byte, maxKeyFile+1)), "", "", allod.Invalid},
		"no file":                 {filepath.Join(dir, "missing"), "", "", allod.NotFound},
		"a private key of others": {write("odd", []byte("-----BEGIN ODD PRIVATE KEY-----\nAAAA\n-----END ODD PRIVATE KEY-----\n")), "", "", allod.Denied},
	} {
		_, err := Sign(text, tc.path, tc.socket, tc.passphrase)
		wantKind(t, name, err, tc.kind)
		if tc.kind == allod.Denied && !strings.Contains(allod.HintOf(err), "ssh-keygen -Y sign") {
			t.Errorf("%s: the hint is %q", name, allod.HintOf(err))
		}
	}
}

// serveAgent serves keys until the test ends.
func serveAgent(t *testing.T, ring agent.Agent) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "allod") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, c) // ends when the client goes
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return socket
}
