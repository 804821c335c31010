package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"allod/internal/capture"
)

// ageProgram is the age of its authors, as tools/go.mod pins it.
type ageProgram struct {
	t    *testing.T
	path string
	dir  string
}

func buildAge(t *testing.T) *ageProgram {
	t.Helper()
	a := &ageProgram{t: t, dir: t.TempDir()}
	a.path = filepath.Join(a.dir, "age")
	if runtime.GOOS == "windows" {
		a.path += ".exe"
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-modfile", "../../tools/go.mod", "-o", a.path, "filippo.io/age/cmd/age")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build age: %v\n%s", err, out)
	}
	return a
}

// decrypt runs age -d with the identity file.
func (a *ageProgram) decrypt(identity string, sealed []byte) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(a.t.Context(), a.path, "-d", "-i", identity)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(sealed), &out, &errs
	err := cmd.Run()
	a.t.Logf("age -d of %d bytes: %d bytes, %v %s", len(sealed), out.Len(), err, errs.String())
	return out.Bytes(), err
}

func (a *ageProgram) mustDecrypt(identity string, sealed []byte) []byte {
	a.t.Helper()
	b, err := a.decrypt(identity, sealed)
	if err != nil {
		a.t.Fatal(err)
	}
	return b
}

// keep writes an identity file and returns its name.
func (a *ageProgram) keep(name string, identity []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, identity, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// slotParts reads what FORMAT.md §9 says of a slot object, and nothing more:
// the wrapped private half, lasting, and sealed.
func slotParts(t *testing.T, b []byte) (wrapped, lasting, sealed []byte) {
	t.Helper()
	if !bytes.HasPrefix(b, []byte("allod slot")) {
		t.Fatal("not a slot")
	}
	b = b[16+16+8+8+8:] // magic, vault id, root, epoch, written
	text := func() []byte {
		n := int(binary.BigEndian.Uint16(b))
		out := b[2 : 2+n]
		b = b[2+n:]
		return out
	}
	for range 4 { // name, kind, role, recipient
		text()
	}
	wrapped, lasting = text(), text()
	return wrapped, lasting, b[4 : 4+binary.BigEndian.Uint32(b)]
}

// With a key file, a slot and the age program, and nothing of Allod, every pack
// and every file object of a vault opens: the key file opens the slot's private
// half, that opens what the slot keeps, and the identity in there the rest.
func TestAgeProgramOpensTheVault(t *testing.T) {
	c := &clock{}
	co := startCompany(t, c, nil)
	account := co.rows("accounts", "?$select=accountid&$top=1")[0]["accountid"].(string)
	co.call("POST", "annotations", map[string]any{
		"subject": "large", "filename": "large.bin", "mimetype": "application/octet-stream", "isdocument": true,
		"documentbody": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 400<<10)), "objectid_account@odata.bind": "/accounts(" + account + ")",
	})
	d := newDesk(t, c)
	d.connect("demo", co.url)
	d.backup("demo", capture.Options{})
	age := buildAge(t)

	slots, err := filepath.Glob(filepath.Join(d.dir, "slots", "slots", "file@*"))
	if err != nil || len(slots) != 1 {
		t.Fatalf("slots of the key file: got %v, %v, want one", slots, err)
	}
	wrapped, lasting, sealed := slotParts(t, read(t, slots[0]))
	keyFile := filepath.Join(d.dir, "keys", "test.key")
	own := age.keep("slot.txt", append(age.mustDecrypt(keyFile, wrapped), '\n'))
	if b := age.mustDecrypt(own, sealed); !bytes.HasPrefix(b, []byte("allod epoch")) {
		t.Errorf("sealed begins with %q", b[:min(len(b), 16)])
	}
	found := regexp.MustCompile(`AGE-SECRET-KEY-PQ-1[0-9A-Z]+`).Find(age.mustDecrypt(own, lasting))
	if found == nil {
		t.Fatal("lasting holds no identity")
	}
	identity := age.keep("identity.txt", append(found, '\n'))

	for kind, magic := range map[string]string{"packs": "allodPK1", "files": "allodFL1"} {
		objects, err := filepath.Glob(filepath.Join(d.dir, "vault", kind, "*"))
		if err != nil || len(objects) == 0 {
			t.Errorf("%s: got %d objects, %v", kind, len(objects), err)
		}
		for _, o := range objects {
			b := age.mustDecrypt(identity, read(t, o))
			if !strings.HasPrefix(string(b), magic) || kind == "packs" && !bytes.HasSuffix(b, []byte("allodEND")) {
				t.Errorf("%s: age opens it and it is none", o)
			}
			if _, err := age.decrypt(own, read(t, o)); err == nil {
				t.Errorf("%s: the slot's own identity opens it", o)
			}
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
