package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"allod/internal/blob"
	"allod/internal/blob/file"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
)

// officer is somebody in a folder of their own, which holds the configuration
// and the key of one slot and nothing else.
func (p *person) officer(role string) *person {
	p.t.Helper()
	admin, dir := p.dir(), p.t.TempDir()
	for _, name := range []string{"vault.pin", role + ".key"} {
		b, err := os.ReadFile(filepath.Join(admin, name))
		if err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(admin, "allod.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	text := string(b)
	for old, now := range map[string]string{
		"\nstore: vault\n": "\nstore: " + filepath.Join(admin, "vault") + "\n", "\n  - slots\n": "\n  - " + filepath.Join(admin, "slots") + "\n",
		"\nkey: passphrase\n": "\nkey: file:" + role + ".key\n",
	} {
		if !strings.Contains(text, old) {
			p.t.Fatalf("the configuration has no line %q", old)
		}
		text = strings.Replace(text, old, now, 1)
	}
	if err := os.WriteFile(filepath.Join(dir, "allod.yaml"), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	env := slices.DeleteFunc(slices.Clone(p.env), func(s string) bool {
		return strings.HasPrefix(s, "ALLOD_") || strings.HasPrefix(s, "HOME=")
	})
	return &person{t: p.t, bin: p.bin, env: append(env, "HOME="+dir, "ALLOD_DIR="+dir)}
}

func (p *person) dir() string {
	for _, s := range slices.Backward(p.env) {
		if dir, ok := strings.CutPrefix(s, "ALLOD_DIR="); ok {
			return dir
		}
	}
	p.t.Fatal("no folder")
	return ""
}

// refused runs `allod ARGS…`, which must end with the code, and returns what it
// says.
func (p *person) refused(code int, args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), p.bin, args...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		p.t.Errorf("allod %s: %v, want exit code %d\n%.2000s", strings.Join(args, " "), err, code, out)
	}
	return string(out)
}

// loot is what an attacker has who takes a process over: the secrets of its
// slot, and every object of the vault.
type loot struct {
	t       *testing.T
	store   blob.Store
	secrets keyring.Secrets
}

func (p *person) loot(admin string) *loot {
	p.t.Helper()
	l := &loot{t: p.t}
	ctx := p.t.Context()
	var err error
	if l.store, err = file.Open(filepath.Join(admin, "vault"), file.Options{}); err != nil {
		p.t.Fatal(err)
	}
	slots, err := file.Open(filepath.Join(admin, "slots"), file.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(p.dir(), "*.key"))
	if err != nil || len(keys) != 1 {
		p.t.Fatalf("keys in the folder: %v, %v, want one", keys, err)
	}
	text, err := os.ReadFile(keys[0])
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := keyring.ParseKeyFile(text)
	if err != nil {
		p.t.Fatal(err)
	}
	pin := l.pin()
	l.secrets, _, err = keyring.OpenSlot(ctx, slots, keyring.Pin{Vault: pin.Vault, Signers: pin.Keys(vlog.UseSlot)}, 0, key)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

func (l *loot) read(name string) []byte {
	l.t.Helper()
	b, err := object.Get(l.t.Context(), l.store, name, 1<<30)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

func (l *loot) pin() vlog.Pin {
	l.t.Helper()
	pin, err := vlog.DecodeVault(l.read(vlog.VaultName), vlog.Pin{})
	if err != nil {
		l.t.Fatal(err)
	}
	return pin
}

// opened counts the packs and the rows that the secrets open, of all that was
// ever stored, and returns what the rows say.
func (l *loot) opened() (packs, rows int, text string) {
	l.t.Helper()
	pin := l.pin()
	identity, identityErr := pack.ParseIdentity(l.secrets.Identity)
	tree, treeErr := keytree.Load(pin.Vault, l.secrets.Root, l.secrets.Epoch, l.secrets.State, func(name string) ([]byte, error) {
		return object.Get(l.t.Context(), l.store, name, 1<<30)
	})
	codec, err := seal.NewCodec()
	if err != nil {
		l.t.Fatal(err)
	}
	defer codec.Close()
	index := keytree.NewIndexer(l.secrets.Index)
	var all strings.Builder
	for n := uint64(1); ; n++ {
		if _, err := l.store.Stat(l.t.Context(), vlog.EntryName(n)); err != nil {
			break
		}
		e, _, err := vlog.Decode(l.read(vlog.EntryName(n)), n, pin)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, o := range e.Objects {
			if o.Role != vlog.RolePack || identityErr != nil {
				continue
			}
			b := l.read(o.Name())
			r, err := pack.Open(bytes.NewReader(b), int64(len(b)), identity, o.Trailer, nil)
			if err != nil {
				continue
			}
			packs++
			it := r.Seek(pack.Key{}, 1<<20)
			for it.Next() && treeErr == nil {
				en := it.Entry()
				m, err := seal.ParseMeta(en.Meta[:])
				if err != nil {
					l.t.Fatal(err)
				}
				tag := keytree.Tag(en.Key.Tag())
				seed, err := tree.Seed(index.Leaf(tag), en.Key.Generation())
				if err != nil {
					continue
				}
				row, err := codec.Open(&seal.Place{
					Vault: pin.Vault, Environment: e.Environment, Table: en.Key.Table(), Tag: tag, Generation: en.Key.Generation(), Capture: en.Key.Capture(), Meta: m,
				}, seed, en.Sealed)
				if err == nil {
					rows++
					fmt.Fprintf(&all, "%s\n", row.Content)
				}
			}
		}
	}
	return packs, rows, all.String()
}

// TestRolesOpenNothing has the real program capture and compact in processes
// that hold one slot each, and then takes all that they hold, with the whole
// store: neither opens a row of the past. A slot that reads does.
func TestRolesOpenNothing(t *testing.T) {
	integration(t)
	admin := newPerson(t, buildAllod(t))
	url := admin.emulates("--empty")
	c := &company{t: t, url: url}
	secret := "Nobody But Readers Ltd"
	id := func(n int) string { return fmt.Sprintf("5ec4e700-0000-4000-8000-%012d", n) }
	create := func(n int) {
		c.call(http.MethodPost, "accounts", map[string]any{"accountid": id(n), "name": fmt.Sprint(secret, " ", n)})
	}
	create(1)
	create(2)
	create(3)
	admin.types("init")
	admin.types("connect", "contoso", url, "--kind", "dataverse")
	admin.types("backup", "contoso")
	for _, role := range []string{"capture", "maintain", "read", "erase"} {
		admin.types("vault", "keys", "add", role, "--role", role, "--key", "file:"+role+".key")
	}
	capturer, maintainer, reader, eraser := admin.officer("capture"), admin.officer("maintain"), admin.officer("read"), admin.officer("erase")

	if said := capturer.refused(5, "backup", "contoso"); !strings.Contains(said, "vault index rebuild") {
		t.Errorf("a capture that knows nothing: got %q, want the next step", said)
	}
	reader.types("vault", "index", "rebuild", "--out", filepath.Join(capturer.dir(), "index"))
	changes := func(flags ...string) (c struct{ Created, Updated, Deleted, Rows int64 }) {
		var res struct {
			PerTable []struct {
				Table                           string
				Created, Updated, Deleted, Rows int64
			} `json:"per_table"`
		}
		capturer.asks(&res, append([]string{"backup", "contoso"}, flags...)...)
		for _, t := range res.PerTable {
			if t.Table == "account" {
				c.Created, c.Updated, c.Deleted, c.Rows = t.Created, t.Updated, t.Deleted, t.Rows
			}
		}
		return c
	}
	if got := changes("--full"); got.Created+got.Updated+got.Deleted != 0 || got.Rows != 3 {
		t.Errorf("a full backup of what is known: got %+v, want 3 rows and no change", got)
	}
	c.call(http.MethodPatch, "accounts("+id(1)+")", map[string]any{"name": secret + " changed"})
	c.call(http.MethodDelete, "accounts("+id(2)+")", nil)
	create(4)
	if got := changes(); got.Created != 1 || got.Updated != 1 || got.Deleted != 1 || got.Rows != 3 {
		t.Errorf("a backup of three changes: got %+v", got)
	}
	if got := changes("--full"); got.Created+got.Updated+got.Deleted != 0 {
		t.Errorf("a full backup after it: got %+v, want no change", got)
	}
	capturer.refused(4, "ls", "contoso", "account")
	var rep struct {
		Packs, Rows int64
		Bad         []json.RawMessage
	}
	maintainer.asks(&rep, "vault", "verify")
	if rep.Packs == 0 || rep.Rows != 0 || len(rep.Bad) != 0 {
		t.Errorf("verify by who maintains: got %+v, want packs and no row", rep)
	}
	read := func() string {
		return reader.types("ls", "contoso", "account") + reader.types("diff", "contoso@1", "contoso@3") + reader.types("get", "contoso@1", "account", id(2)) +
			reader.types("get", "contoso", "account", id(1))
	}
	seen := read()
	var merged struct {
		Merged []struct{ Rows, Packs, Packs_made int64 }
	}
	maintainer.asks(&merged, "vault", "compact", "--all")
	if len(merged.Merged) != 1 || merged.Merged[0].Packs < 2 || merged.Merged[0].Packs_made != 1 || merged.Merged[0].Rows == 0 {
		t.Errorf("compaction by who maintains: got %+v", merged)
	}
	if now := read(); now != seen {
		t.Errorf("after a compaction who reads sees\n%s\nbefore it\n%s", now, seen)
	}
	maintainer.refused(4, "ls", "contoso", "account")
	maintainer.refused(4, "backup", "contoso")
	eraser.refused(4, "ls", "contoso", "account")
	if out := reader.types("ls", "contoso", "account"); strings.Count(out, secret) != 3 {
		t.Errorf("who reads sees %q", out)
	}
	for who, want := range map[*person]string{admin: "this process holds all roles", capturer: "this process captures", maintainer: "this process maintains", reader: "this process reads", eraser: "this process erases"} {
		if out := who.types("vault", "status"); !strings.Contains(out, want) {
			t.Errorf("status: got %q, want %q", out, want)
		}
	}

	packs, rows, text := reader.loot(admin.dir()).opened()
	if packs == 0 || rows == 0 || !strings.Contains(text, secret) {
		t.Fatalf("who reads opens %d packs and %d rows: the attack is no attack", packs, rows)
	}
	taken := map[string]*loot{}
	for name, who := range map[string]*person{"capture": capturer, "maintain": maintainer, "erase": eraser} {
		l := who.loot(admin.dir())
		taken[name] = l
		gotPacks, gotRows, _ := l.opened()
		if wantPacks := map[bool]int{true: packs}[name == "maintain"]; gotRows != 0 || gotPacks != wantPacks {
			t.Errorf("with all that role %s holds: %d packs and %d rows open, want %d and none", name, gotPacks, gotRows, wantPacks)
		}
		noneIn(t, who.dir(), secret)
	}
	both := *taken["maintain"]
	both.secrets.Index, both.secrets.RootKey = taken["capture"].secrets.Index, taken["capture"].secrets.RootKey
	if _, got, _ := both.opened(); got != rows {
		t.Errorf("the two together open %d rows, and THREATS.md says that they are a reader, who opens %d", got, rows)
	}
}

// noneIn looks for a text in every file below a folder.
func noneIn(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			t.Errorf("%s has what a row says", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
