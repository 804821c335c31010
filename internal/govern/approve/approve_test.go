package approve

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"allod"
)

var vaultID = allod.GUID{7}

func at(h int) time.Time { return time.Date(2026, 11, 21, 8+h, 0, 0, 0, time.UTC) }

func testRequest() Request {
	return Request{ID: allod.GUID{1}, Act: Erase, Plan: Digest{9}, Says: "erase 3 records of contoso: contact", By: "os:alice", At: at(0), Expires: at(0).Add(Lifetime)}
}

// signerOf makes the same Ed25519 key for the same number.
func signerOf(t testing.TB, n byte) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromSigner(ed25519.NewKeyFromSeed(slices.Repeat([]byte{n}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keyOf(t testing.TB, s ssh.Signer) Key {
	t.Helper()
	keys, err := ParseKeys(ssh.MarshalAuthorizedKey(s.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	return keys[0]
}

func userOf(t testing.TB, n byte) User {
	return User{ID: allod.GUID{n}, Name: fmt.Sprintf("user%d", n), Keys: []Key{keyOf(t, signerOf(t, n))}, Added: at(0)}
}

func approvalOf(t testing.TB, r Request, user, key byte) Approval {
	t.Helper()
	sig, err := Sign(r.Statement(vaultID), signerOf(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return Approval{ID: allod.GUID{user, key}, Request: r.ID, User: allod.GUID{user}, At: at(1), Signature: sig}
}

func TestDecide(t *testing.T) {
	r := testRequest()
	a, b := approvalOf(t, r, 1, 1), approvalOf(t, r, 2, 2)
	two := []User{userOf(t, 1), userOf(t, 2)}
	removed := userOf(t, 2)
	removed.Removed = at(1)
	other := r
	other.Says = "erase 1 record of contoso: contact"
	spent := r
	spent.Spent = at(1)
	shared := userOf(t, 2)
	shared.Keys = append(shared.Keys, two[0].Keys[0])
	for _, tc := range []struct {
		name      string
		r         Request
		plan      Digest
		approvals []Approval
		users     []User
		now       time.Time
		granted   bool
		one       bool
		says      string // in the reasons or in what is missing
	}{
		{"two people", r, r.Plan, []Approval{a, b}, two, at(2), true, false, "2 of the 2"},
		{"nobody", r, r.Plan, nil, two, at(2), false, false, "the signatures of 2 of: user1, user2"},
		{"one of two", r, r.Plan, []Approval{a}, two, at(2), false, false, "the signature of one of: user2"},
		{"the same twice", r, r.Plan, []Approval{a, a}, two, at(2), false, false, "the signature of one of: user2"},
		{"nobody is registered", r, r.Plan, nil, nil, at(2), true, true, "one person: 0 of"},
		{"one is registered", r, r.Plan, nil, two[:1], at(2), true, true, "one person: 1 of"},
		{"one is left", r, r.Plan, nil, []User{two[0], removed}, at(2), true, true, "one person: 1 of"},
		{"another plan", r, Digest{8}, []Approval{a, b}, two, at(2), false, false, "has changed"},
		{"another plan, one person", r, Digest{8}, nil, nil, at(2), false, true, "has changed"},
		{"expired", r, r.Plan, []Approval{a, b}, two, r.Expires, false, false, "expired"},
		{"expired, one person", r, r.Plan, nil, nil, r.Expires, false, true, "expired"},
		{"done already", spent, r.Plan, []Approval{a, b}, two, at(2), false, false, "done already"},
		{"from the future", r, r.Plan, []Approval{a, b}, two, at(-1), false, false, "clock"},
		{"other words", other, r.Plan, []Approval{a, b}, two, at(2), false, false, "not one of this text"},
		{"the other's key", r, r.Plan, []Approval{a, approvalOf(t, r, 2, 1)}, two, at(2), false, false, "the key is not theirs"},
		{"one key for two", r, r.Plan, []Approval{a, b}, []User{two[0], shared}, at(2), false, false, "registered for two people"},
		{"a stranger", r, r.Plan, []Approval{a, approvalOf(t, r, 3, 3)}, two, at(2), false, false, "not registered"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Decide(vaultID, tc.r, tc.plan, tc.approvals, tc.users, tc.now)
			if o.Granted != tc.granted || o.OnePerson != tc.one {
				t.Errorf("granted %v, one person %v, want %v, %v: %q", o.Granted, o.OnePerson, tc.granted, tc.one, o.Reasons)
			}
			if all := strings.Join(append(o.Reasons, o.Missing...), "\n"); !strings.Contains(all, tc.says) {
				t.Errorf("got %q, want it to say %q", all, tc.says)
			}
			if o.Granted && len(o.Missing) > 0 {
				t.Errorf("granted, and missing %q", o.Missing)
			}
		})
	}
	if o := Decide(allod.GUID{8}, r, r.Plan, []Approval{a, b}, two, at(2)); o.Granted {
		t.Error("signatures for another vault count")
	}
}

// TestDecideAtRandom compares Decide with a count of people that knows how each
// signature was made.
func TestDecideAtRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := testRequest()
		var users []User
		owner := map[byte]int{} // key → how many active users have it
		active := map[byte]bool{}
		for n := byte(1); n <= byte(rapid.IntRange(0, 4).Draw(rt, "users")); n++ {
			u := userOf(t, n)
			if rapid.IntRange(0, 3).Draw(rt, "removed") == 0 {
				u.Removed = at(1)
			}
			if rapid.IntRange(0, 5).Draw(rt, "shares") == 0 && n > 1 {
				u.Keys = append(u.Keys, keyOf(t, signerOf(t, n-1)))
			}
			users = append(users, u)
			active[n] = u.Active()
			if u.Active() {
				for k := byte(1); k <= 5; k++ {
					if slices.Contains(u.Keys, keyOf(t, signerOf(t, k))) {
						owner[k]++
					}
				}
			}
		}
		var approvals []Approval
		signed := map[byte]bool{}
		for range rapid.IntRange(0, 5).Draw(rt, "approvals") {
			user, key := rapid.ByteRange(1, 5).Draw(rt, "user"), rapid.ByteRange(1, 5).Draw(rt, "key")
			of := r
			good := true
			switch rapid.IntRange(0, 5).Draw(rt, "flaw") {
			case 0:
				of.Plan, good = Digest{8}, false
			case 1:
				of.Expires, good = of.Expires.Add(-time.Hour), false
			}
			a := approvalOf(t, of, user, key)
			if rapid.IntRange(0, 5).Draw(rt, "elsewhere") == 0 {
				a.Request, good = allod.GUID{2}, false
			}
			approvals = append(approvals, a)
			has := int(user) <= len(users) && slices.Contains(users[user-1].Keys, keyOf(t, signerOf(t, key)))
			if good && active[user] && has && owner[key] == 1 {
				signed[user] = true
			}
		}
		plan, now, fit := r.Plan, at(2), true
		switch rapid.IntRange(0, 5).Draw(rt, "circumstance") {
		case 0:
			plan, fit = Digest{8}, false
		case 1:
			now, fit = r.Expires.Add(time.Duration(rapid.IntRange(0, 9).Draw(rt, "late"))*time.Hour), false
		case 2:
			r.Spent, fit = at(1), false
		}
		count := 0
		for _, a := range active {
			if a {
				count++
			}
		}
		want := fit && (count < 2 || len(signed) >= 2)
		o := Decide(vaultID, r, plan, approvals, users, now)
		if o.Granted != want || o.OnePerson != (count < 2) || len(o.People) != len(signed) {
			rt.Fatalf("granted %v, want %v; one person %v, of %d; %d signed, want %d: %q", o.Granted, want, o.OnePerson, count, len(o.People), len(signed), o.Reasons)
		}
		slices.Reverse(approvals)
		slices.Reverse(users)
		if again := Decide(vaultID, r, plan, append(approvals, approvals...), append(users, users...), now); fmt.Sprint(again) != fmt.Sprint(o) {
			rt.Fatalf("in another order %v, before %v", again, o)
		}
	})
}

func TestKeys(t *testing.T) {
	line := string(ssh.MarshalAuthorizedKey(signerOf(t, 1).PublicKey()))
	rsaKey := func(bits int) string {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := ssh.NewPublicKey(&k.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return string(ssh.MarshalAuthorizedKey(pub))
	}
	for _, tc := range []struct{ name, text, says string }{
		{"nothing", "", "there is none"},
		{"a comment", "# mine\n\n", "there is none"},
		{"rubbish", "hello\n", "the line is none"},
		{"an age recipient", "age1pq1qqq\n", "cannot sign"},
		{"a private key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE=\n", "private"},
		{"an age identity", "AGE-SECRET-KEY-1QQQ\n", "private"},
		{"options", `command="ls" ` + line, "options"},
		{"twice", line + line, "twice"},
		{"RSA of 2048 bits", rsaKey(2048), "3072"},
		{"too much", strings.Repeat("#", maxKeyFile+1), "bytes"},
	} {
		if _, err := ParseKeys([]byte(tc.text)); allod.KindOf(err) != allod.Invalid || !strings.Contains(err.Error()+allod.HintOf(err), tc.says) {
			t.Errorf("%s: got %v, want kind invalid that says %q", tc.name, err, tc.says)
		}
	}
	keys, err := ParseKeys([]byte("# mine\n" + strings.TrimSpace(line) + " alice@laptop\n"))
	if err != nil || len(keys) != 1 || string(keys[0])+"\n" != line || !strings.HasPrefix(keys[0].Fingerprint(), "SHA256:") {
		t.Errorf("a key with a comment: got %q, %v", keys, err)
	}
}

// TestKinds signs and verifies with every kind of key that counts. A security key
// is played by its own arithmetic: OpenSSH, PROTOCOL.u2f, "SSH U2F Signatures".
func TestKinds(t *testing.T) {
	text := testRequest().Statement(vaultID)
	signers := map[string]ssh.Signer{"ed25519": signerOf(t, 1)}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signers[name], err = ssh.NewSignerFromSigner(k); err != nil {
			t.Fatal(err)
		}
	}
	k, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	if signers["rsa"], err = ssh.NewSignerFromSigner(k); err != nil {
		t.Fatal(err)
	}
	signers["security key"] = newSecurityKey(t, 1)
	for name, s := range signers {
		sig, err := Sign(text, s)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := Verify(text, sig, keyOf(t, s)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := Verify(append(text, '.'), sig, keyOf(t, s)); allod.KindOf(err) != allod.Denied {
			t.Errorf("%s, another text: got %v, want kind denied", name, err)
		}
		if err := Verify(text, sig, keyOf(t, signerOf(t, 99))); allod.KindOf(err) != allod.Denied {
			t.Errorf("%s, another key: got %v, want kind denied", name, err)
		}
	}
	untouched := newSecurityKey(t, 0)
	sig, err := Sign(text, untouched)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(text, sig, keyOf(t, untouched)); allod.KindOf(err) != allod.Denied {
		t.Errorf("a security key that nobody touched: got %v, want kind denied", err)
	}
	sha1, err := signers["rsa"].Sign(rand.Reader, toSign(text, "sha512")) // ssh-rsa: SHA-1
	if err != nil || sha1.Format != ssh.KeyAlgoRSA {
		t.Fatal(sha1.Format, err)
	}
	if sig, err = Sign(text, fixedSigner{signers["rsa"].PublicKey(), sha1}); err != nil {
		t.Fatal(err)
	}
	if err := Verify(text, sig, keyOf(t, signers["rsa"])); allod.KindOf(err) != allod.Denied || !strings.Contains(err.Error(), "SHA-1") {
		t.Errorf("RSA with SHA-1: got %v, want kind denied", err)
	}
}

type fixedSigner struct {
	pub ssh.PublicKey
	sig *ssh.Signature
}

func (f fixedSigner) PublicKey() ssh.PublicKey { return f.pub }

func (f fixedSigner) Sign(_ io.Reader, _ []byte) (*ssh.Signature, error) {
	return f.sig, nil
}

type securityKey struct {
	key   ed25519.PrivateKey
	pub   ssh.PublicKey
	flags byte
}

func newSecurityKey(t *testing.T, flags byte) *securityKey {
	t.Helper()
	s := &securityKey{key: ed25519.NewKeyFromSeed(slices.Repeat([]byte{77}, 32)), flags: flags}
	blob := ssh.Marshal(struct {
		Name string
		Key  []byte
		App  string
	}{ssh.KeyAlgoSKED25519, s.key.Public().(ed25519.PublicKey), "ssh:"})
	var err error
	if s.pub, err = ssh.ParsePublicKey(blob); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *securityKey) PublicKey() ssh.PublicKey { return s.pub }

func (s *securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	app, digest := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	counter := binary.BigEndian.AppendUint32([]byte{s.flags}, 5)
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(s.key, slices.Concat(app[:], counter, digest[:])), Rest: counter}, nil
}

// TestSSHKeygen checks both ways against OpenSSH's own program, where there is
// one.
func TestSSHKeygen(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("no ssh-keygen here")
	}
	dir := t.TempDir()
	run := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), keygen, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
		}
	}
	text := testRequest().Statement(vaultID)
	if err := os.WriteFile(filepath.Join(dir, "statement"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	run("", "-q", "-t", "ed25519", "-N", "", "-C", "alice@laptop", "-f", "key")
	pub, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys(pub)
	if err != nil {
		t.Fatal(err)
	}
	run("", "-q", "-Y", "sign", "-n", Namespace, "-f", "key", "statement")
	theirs, err := os.ReadFile(filepath.Join(dir, "statement.sig"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(text, string(theirs), keys[0]); err != nil {
		t.Errorf("what ssh-keygen signed: %v", err)
	}
	private, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := Sign(text, signer)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]string{"ours.sig": ours, "signers": "alice " + string(keys[0]) + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(string(text), "-q", "-Y", "verify", "-f", "signers", "-I", "alice", "-n", Namespace, "-s", "ours.sig")
}

func TestRequestCheck(t *testing.T) {
	if err := testRequest().Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Request){
		"no id": func(r *Request) { r.ID = allod.GUID{} }, "act": func(r *Request) { r.Act = "sell" }, "plan": func(r *Request) { r.Plan = Digest{} },
		"nobody": func(r *Request) { r.By = " " }, "nothing said": func(r *Request) { r.Says = "" }, "two lines": func(r *Request) { r.Says = "a\nplan: b" },
		"turned around": func(r *Request) { r.Says = "a\u202eb" }, "no text": func(r *Request) { r.Says = "\xff" }, "long": func(r *Request) { r.Says = strings.Repeat("é", MaxSays+1) },
		"line separator": func(r *Request) { r.Says = "a\u2028b" }, "hidden": func(r *Request) { r.Says = "a\u200bb" },
		"long life": func(r *Request) { r.Expires = r.At.Add(Lifetime + 1) }, "no life": func(r *Request) { r.Expires = r.At },
	} {
		r := testRequest()
		change(&r)
		if err := r.Check(); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%s: got %v, want kind invalid", name, err)
		}
	}
}

func FuzzSignature(f *testing.F) {
	r := testRequest()
	sig := approvalOf(f, r, 1, 1).Signature
	k := keyOf(f, signerOf(f, 1))
	f.Add(sig)
	f.Add(sigBegin + "\n" + sigEnd)
	f.Fuzz(func(t *testing.T, s string) {
		if Verify(r.Statement(vaultID), s, k) != nil {
			return
		}
		want, got := strings.Join(strings.Fields(sig), ""), strings.Join(strings.Fields(s), "")
		if got != want {
			t.Error("accepted a signature that was not made")
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(keyOf(f, signerOf(f, 1))))
	f.Add([]byte("sk-ssh-ed25519@openssh.com AAAA\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := ParseKeys(b)
		if err != nil {
			return
		}
		for _, k := range keys {
			again, err := ParseKeys([]byte(k))
			if err != nil || len(again) != 1 || again[0] != k || k.Fingerprint() == "" {
				t.Errorf("%q does not read as itself: %q, %v", k, again, err)
			}
		}
	})
}
