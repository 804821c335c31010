package keyring

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod"
	"allod/internal/blob"
)

var update = flag.Bool("update", false, "write golden files of the current format")

var testVault = allod.GUID{0xa1, 0x10, 0xd0, 2}

func testNow() time.Time { return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }

// place is a slot place in memory that can refuse or garble a Replace.
type place struct {
	objects map[string][]byte
	refuse  bool
	garble  bool
	sticky  bool // Delete does nothing
}

var _ blob.Mutable = (*place)(nil)

func newPlace() *place { return &place{objects: map[string][]byte{}} }

func (p *place) Put(context.Context, string, io.Reader, int64, blob.PutOptions) error {
	return errors.New("slots are replaced")
}

func (p *place) Replace(_ context.Context, name string, b []byte) error {
	if p.refuse {
		return allod.Errorf(allod.Unavailable, "the place is down")
	}
	b = bytes.Clone(b)
	if p.garble {
		b[100] ^= 1
	}
	p.objects[name] = b
	return nil
}

func (p *place) Get(_ context.Context, name string, _, n int64) (io.ReadCloser, error) {
	b, ok := p.objects[name]
	if !ok {
		return nil, blob.ErrNotFound
	}
	return io.NopCloser(io.LimitReader(bytes.NewReader(b), n)), nil
}

func (p *place) List(_ context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		var names []string
		for name := range p.objects {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			if !yield(blob.Info{Name: name}, nil) {
				return
			}
		}
	}
}

func (p *place) Stat(context.Context, string) (blob.Info, error) {
	return blob.Info{}, blob.ErrNotFound
}

func (p *place) Delete(_ context.Context, name string) error {
	if !p.sticky {
		delete(p.objects, name)
	}
	return nil
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func pinOf(t testing.TB, s Secrets) Pin {
	t.Helper()
	key := must[ed25519.PrivateKey](t)(s.Signer(SignSlot))
	return Pin{Vault: s.Vault, Signers: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
}

// fixture is a vault with a slot of each kind in one place.
type fixture struct {
	place      *place
	secrets    Secrets
	pin        Pin
	slots      []Slot
	passphrase *Passphrase
	keyFile    *KeyFile
	paper      *Paper
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{
		place: newPlace(), secrets: must[Secrets](t)(NewSecrets(testVault)),
		passphrase: must[*Passphrase](t)(NewPassphrase([]byte("correct horse battery"))),
		keyFile:    must[*KeyFile](t)(NewKeyFile()), paper: must[*Paper](t)(NewPaper()),
	}
	f.pin = pinOf(t, f.secrets)
	f.slots = []Slot{
		must[Slot](t)(NewSlot(t.Context(), testVault, "passphrase", RoleAll, f.passphrase)),
		must[Slot](t)(NewSlot(t.Context(), testVault, "key-file", RoleRead, f.keyFile)),
		must[Slot](t)(NewSlot(t.Context(), testVault, "paper", RoleAll, f.paper)),
	}
	if err := Write(t.Context(), []blob.Mutable{f.place}, f.slots, f.secrets, testNow); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSlotsOpen(t *testing.T) {
	f := newFixture(t)
	other := must[*Passphrase](t)(NewPassphrase([]byte("Correct horse battery")))
	tests := []struct {
		name string
		w    Wrapper
		role Role
		want allod.Kind
	}{
		{"passphrase", f.passphrase, RoleAll, 0},
		{"key file", must[*KeyFile](t)(ParseKeyFile(f.keyFile.Text())), RoleRead, 0},
		{"paper", must[*Paper](t)(ParsePaper(strings.Join(f.paper.Words(), " "))), RoleAll, 0},
		{"wrong passphrase", other, "", allod.Denied},
		{"wrong key file", must[*KeyFile](t)(NewKeyFile()), "", allod.Denied},
		{"wrong paper", must[*Paper](t)(NewPaper()), "", allod.Denied},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, placed, err := OpenSlot(t.Context(), f.place, f.pin, 1, test.w)
			if allod.KindOf(err) != test.want {
				t.Fatalf("open: %v, want kind %v", err, test.want)
			}
			if err != nil {
				if allod.HintOf(err) == "" {
					t.Error("no hint")
				}
				return
			}
			want := must[Secrets](t)(f.secrets.For(test.role))
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("secrets differ: %s", diff)
			}
			if placed.Epoch != 1 || placed.Root != 1 || !placed.Written.Equal(testNow()) {
				t.Errorf("placed %+v", placed)
			}
			proof, err := Prove(t.Context(), f.place, f.pin, 0, placed.Name, test.w, testNow)
			want2 := Proof{Slot: placed.Name, Kind: test.w.Kind(), Role: test.role, Root: 1, Epoch: 1, At: testNow()}
			if err != nil || proof != want2 {
				t.Errorf("proof %+v, %v; want %+v", proof, err, want2)
			}
			if _, err := Prove(t.Context(), f.place, f.pin, 0, "absent", test.w, testNow); allod.KindOf(err) != allod.NotFound {
				t.Errorf("prove an absent slot: %v", err)
			}
		})
	}
	if _, _, err := OpenSlot(t.Context(), f.place, f.pin, 2, f.paper); allod.KindOf(err) != allod.NotFound {
		t.Errorf("open an epoch that is not there: %v", err)
	}
}

// TestRotationNeedsPublicHalvesOnly writes epoch 2 as the erase role, which has
// neither the identity nor other roles' signing keys; the old wrappers open it.
func TestRotationNeedsPublicHalvesOnly(t *testing.T) {
	f := newFixture(t)
	eraser := must[Secrets](t)(f.secrets.For(RoleErase))
	placed, bad, err := List(t.Context(), f.place, f.pin)
	if err != nil || len(bad) > 0 || len(placed) != 3 {
		t.Fatalf("list: %d slots, %v, %v", len(placed), bad, err)
	}
	var slots []Slot
	for _, p := range placed {
		slots = append(slots, p.Slot)
	}
	eraser.Epoch, eraser.State = 2, [32]byte{42}
	if err := Write(t.Context(), []blob.Mutable{f.place}, slots, eraser, testNow); err != nil {
		t.Fatal(err)
	}
	if err := Write(t.Context(), []blob.Mutable{f.place}, f.slots, eraser, testNow); allod.KindOf(err) != allod.Denied {
		t.Errorf("new reader slots from the erase role: %v, want Denied", err)
	}
	want := must[Secrets](t)(f.secrets.For(RoleAll))
	for _, epoch := range []uint64{1, 2} {
		if epoch == 2 {
			want.Epoch, want.State = 2, [32]byte{42}
		}
		got, _, err := OpenSlot(t.Context(), f.place, f.pin, epoch, f.paper)
		if diff := cmp.Diff(got, want); err != nil || diff != "" {
			t.Errorf("epoch %d: %v %s", epoch, err, diff)
		}
	}
	if n, err := Destroy(t.Context(), f.place, 2); n != 3 || err != nil {
		t.Errorf("destroyed %d, %v; want 3", n, err)
	}
	if _, _, err := OpenSlot(t.Context(), f.place, f.pin, 1, f.paper); allod.KindOf(err) != allod.NotFound {
		t.Errorf("open a destroyed epoch: %v", err)
	}
	if _, p, err := OpenSlot(t.Context(), f.place, f.pin, 0, f.paper); err != nil || p.Epoch != 2 {
		t.Errorf("open the newest epoch: %+v, %v", p, err)
	}
	f.place.sticky = true
	if _, err := Destroy(t.Context(), f.place, 3); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a place that deletes nothing: %v", err)
	}
}

func TestRolesGetTheirPart(t *testing.T) {
	all := must[Secrets](t)(NewSecrets(testVault))
	all.Root, all.Older = 3, []RootKey{{Root: 1, Epoch: 4, State: [32]byte{1}}}
	tests := []struct {
		role                         Role
		index, tree, older, identity bool
		signs                        string
	}{
		{RoleCapture, true, true, false, false, "capture ledger"},
		{RoleMaintain, false, false, false, true, "ledger maintain"},
		{RoleRead, true, true, true, true, "ledger"},
		{RoleRestore, true, true, true, true, "ledger undo"},
		{RoleErase, true, true, true, false, "erase ledger slot"},
		{RoleAll, true, true, true, true, "capture erase ledger maintain slot undo"},
	}
	for _, test := range tests {
		s := must[Secrets](t)(all.For(test.role))
		var signs []string
		for _, k := range s.Signing {
			signs = append(signs, k.Use)
		}
		got := []any{s.Index != [32]byte{}, s.State != [32]byte{}, len(s.Older) > 0, s.Identity != "", strings.Join(signs, " ")}
		want := []any{test.index, test.tree, test.older, test.identity, test.signs}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%s: %s", test.role, diff)
		}
		for _, other := range []Role{RoleCapture, RoleMaintain, RoleRestore, RoleErase, RoleAll} {
			if test.role == RoleAll || other == test.role {
				continue
			}
			if _, err := s.For(other); allod.KindOf(err) != allod.Denied {
				t.Errorf("%s gives itself the secrets of %s: %v", test.role, other, err)
			}
		}
	}
	if _, err := all.For("king"); allod.KindOf(err) != allod.Invalid {
		t.Errorf("unknown role: %v", err)
	}
}

func TestSlotsOfOthers(t *testing.T) {
	f := newFixture(t)
	tests := map[string]struct {
		pin  Pin
		want allod.Kind
	}{
		"another vault":  {Pin{Vault: allod.GUID{9}, Signers: f.pin.Signers}, allod.Denied},
		"another signer": {Pin{Vault: testVault, Signers: pinOf(t, must[Secrets](t)(NewSecrets(testVault))).Signers}, allod.Denied},
		"nothing pinned": {Pin{}, allod.Denied},
	}
	for name, test := range tests {
		if _, _, err := OpenSlot(t.Context(), f.place, test.pin, 0, f.paper); allod.KindOf(err) != test.want {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	// A slot under another slot's name, and one of another epoch, are not obeyed.
	b := f.place.objects["slots/paper@1"]
	clear(f.place.objects)
	f.place.objects["slots/paper@7"] = b
	if _, _, err := OpenSlot(t.Context(), f.place, f.pin, 0, f.paper); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("renamed slot: %v", err)
	}
}

// TestMixedParts signs, with the right key, a slot whose sealed parts come from
// another slot of the same recipient: the parts name their slot.
func TestMixedParts(t *testing.T) {
	f := newFixture(t)
	key := must[ed25519.PrivateKey](t)(f.secrets.Signer(SignSlot))
	o := must[object](t)(parseSlot(f.place.objects["slots/paper@1"], f.pin))
	o.Name = "other"
	o = must[object](t)(parseSlot(marshalSlot(o, key), f.pin))
	if _, err := o.open(t.Context(), f.paper); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("parts of another slot: %v", err)
	}
	o = must[object](t)(parseSlot(f.place.objects["slots/paper@1"], f.pin))
	o.epoch = 2
	if _, err := o.open(t.Context(), f.paper); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("parts of another epoch: %v", err)
	}
}

func TestEveryFlippedByteIsRefused(t *testing.T) {
	f := newFixture(t)
	b := f.place.objects["slots/paper@1"]
	for i := range b {
		b[i] ^= 1
		if _, err := parseSlot(b, f.pin); err == nil {
			t.Fatalf("byte %d flipped: accepted", i)
		}
		b[i] ^= 1
	}
	newer := bytes.Clone(b)
	newer[len(slotMagic)-1] = 2
	if _, err := parseSlot(newer, f.pin); allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
		t.Errorf("a newer format: %v", err)
	}
	for _, n := range []int{0, 10, 100, len(b) - 1} {
		if _, err := parseSlot(b[:n], f.pin); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := parseSlot(append(bytes.Clone(b), 0), f.pin); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("a byte more: %v", err)
	}
}

func TestArgonBounds(t *testing.T) {
	p := must[*Passphrase](t)(NewPassphrase([]byte("a long passphrase")))
	good := must[[]byte](t)(p.Wrap(t.Context(), Of{}, []byte("half")))
	tests := map[string]func(b []byte){
		"memory 4 TiB":  func(b []byte) { binary.BigEndian.PutUint32(b[1:], 1<<32-1) },
		"memory 2 GiB":  func(b []byte) { binary.BigEndian.PutUint32(b[1:], 2<<20) },
		"memory 63 MiB": func(b []byte) { binary.BigEndian.PutUint32(b[1:], 63<<10) },
		"no passes":     func(b []byte) { binary.BigEndian.PutUint32(b[5:], 0) },
		"many passes":   func(b []byte) { binary.BigEndian.PutUint32(b[5:], 1<<30) },
		"no lanes":      func(b []byte) { b[9] = 0 },
		"many lanes":    func(b []byte) { b[9] = 255 },
		"version":       func(b []byte) { b[0] = 2 },
	}
	for name, harm := range tests {
		b := bytes.Clone(good)
		harm(b)
		if _, err := p.Unwrap(t.Context(), Of{}, b); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("%s: %v, want Corrupt", name, err)
		}
	}
	if got, err := p.Unwrap(t.Context(), Of{}, good); err != nil || string(got) != "half" {
		t.Errorf("unwrap: %q %v", got, err)
	}
	for _, n := range []int{0, 5, 25} {
		if _, err := p.Unwrap(t.Context(), Of{}, good[:n]); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	short := must[*Passphrase](t)(NewPassphrase([]byte("äöüäöü7")))
	if _, err := short.Wrap(t.Context(), Of{}, []byte("half")); allod.KindOf(err) != allod.Invalid {
		t.Errorf("seven characters: %v", err)
	}
	// The same letters, typed on another machine.
	composed := must[*Passphrase](t)(NewPassphrase([]byte("Schl\u00fcssel 12")))
	decomposed := must[*Passphrase](t)(NewPassphrase([]byte("Schlu\u0308ssel 12")))
	if got, err := decomposed.Unwrap(t.Context(), Of{}, must[[]byte](t)(composed.Wrap(t.Context(), Of{}, []byte("x")))); err != nil || string(got) != "x" {
		t.Errorf("decomposed letters: %q %v", got, err)
	}
}

func TestPaperWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Paper{secret: [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret"))}
		words := p.Words()
		if len(words) != paperWords {
			t.Fatalf("%d words", len(words))
		}
		text := "1. " + strings.ToUpper(strings.Join(words, " -\n"))
		got, err := ParsePaper(text)
		if err != nil || *got != *p {
			t.Fatalf("read back: %v", err)
		}
		i, j := rapid.IntRange(0, 17).Draw(t, "i"), rapid.IntRange(0, 17).Draw(t, "j")
		if words[i] != words[j] {
			words[i], words[j] = words[j], words[i]
			if _, err := ParsePaper(strings.Join(words, " ")); allod.KindOf(err) != allod.Invalid {
				t.Fatalf("words %d and %d swapped: %v", i, j, err)
			}
		}
	})
	words := strings.Fields(strings.Repeat("babab ", 18))
	for name, text := range map[string]string{
		"17 words":  strings.Join(words[1:], " "),
		"no word":   strings.Join(append(words[1:], "bebab"), " "),
		"long word": strings.Join(append(words[1:], "bababb"), " "),
		"checksum":  strings.Join(words, " "),
		"empty":     "",
	} {
		_, err := ParsePaper(text)
		if allod.KindOf(err) != allod.Invalid || strings.Contains(err.Error(), "ba") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyFileText(t *testing.T) {
	k := must[*KeyFile](t)(NewKeyFile())
	for name, text := range map[string]string{
		"empty":      "",
		"two":        string(k.Text()) + string(k.Text()),
		"x25519":     "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
		"passphrase": "correct horse",
		"long":       strings.Repeat("#\n", 40_000),
	} {
		if _, err := ParseKeyFile([]byte(text)); allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWriteStopsAtTheFirstFailure(t *testing.T) {
	f := newFixture(t)
	good, down, liar := newPlace(), newPlace(), newPlace()
	down.refuse, liar.garble = true, true
	if err := Write(t.Context(), []blob.Mutable{good, down}, f.slots, f.secrets, testNow); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a place that is down: %v", err)
	}
	if err := Write(t.Context(), []blob.Mutable{liar}, f.slots, f.secrets, testNow); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("a place that garbles: %v", err)
	}
	twice := []Slot{f.slots[0], f.slots[0]}
	if err := Write(t.Context(), []blob.Mutable{good}, twice, f.secrets, testNow); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a name twice: %v", err)
	}
	reader := must[Secrets](t)(f.secrets.For(RoleRead))
	if err := Write(t.Context(), []blob.Mutable{good}, f.slots, reader, testNow); allod.KindOf(err) != allod.Denied {
		t.Errorf("without the slot signing key: %v", err)
	}
	if _, err := NewSlot(t.Context(), testVault, "Name with spaces", RoleAll, f.paper); allod.KindOf(err) != allod.Invalid {
		t.Errorf("bad name: %v", err)
	}
}

func TestWipe(t *testing.T) {
	s := must[Secrets](t)(NewSecrets(testVault))
	signing := s.Signing
	s.Wipe()
	if diff := cmp.Diff(s, Secrets{}); diff != "" {
		t.Errorf("left after Wipe: %s", diff)
	}
	for _, k := range signing {
		if k.Seed != [32]byte{} {
			t.Errorf("the seed of %s is left", k.Use)
		}
	}
}

// goldenPassphrase opens the passphrase slot in testdata.
const goldenPassphrase = "golden passphrase"

// TestGoldenSlots opens slot objects that were written once by version 1; the
// secrets in them are for tests alone.
func TestGoldenSlots(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	if *update {
		writeGolden(t, dir)
	}
	file := func(name string) []byte { return must[[]byte](t)(os.ReadFile(filepath.Join(dir, name))) }
	p := newPlace()
	for _, name := range []string{"passphrase", "key-file", "paper"} {
		p.objects[ObjectName(name, 3)] = file(name + ".slot")
	}
	pin := Pin{Vault: testVault, Signers: []ed25519.PublicKey{file("signer.key")}}
	wrappers := []Wrapper{
		must[*Passphrase](t)(NewPassphrase([]byte(goldenPassphrase))),
		must[*KeyFile](t)(ParseKeyFile(file("key-file.txt"))),
		must[*Paper](t)(ParsePaper(string(file("paper.txt")))),
	}
	for _, w := range wrappers {
		s, _, err := OpenSlot(t.Context(), p, pin, 3, w)
		if err != nil {
			t.Errorf("%s: %v", w.Kind(), err)
			continue
		}
		older := []RootKey{{Root: 1, Epoch: 9, State: [32]byte{8}}}
		if s.Root != 2 || s.Index != [32]byte{5} || s.State != [32]byte{6} || s.Pseudonyms != [32]byte{7} || cmp.Diff(s.Older, older) != "" {
			t.Errorf("%s: root %d, older %d, or keys differ", w.Kind(), s.Root, len(s.Older))
		}
	}
}

func writeGolden(t *testing.T, dir string) {
	t.Helper()
	s := must[Secrets](t)(NewSecrets(testVault))
	s.Root, s.Epoch, s.Index, s.State, s.Pseudonyms = 2, 3, [32]byte{5}, [32]byte{6}, [32]byte{7}
	s.Older = []RootKey{{Root: 1, Epoch: 9, State: [32]byte{8}}}
	keyFile, paper := must[*KeyFile](t)(NewKeyFile()), must[*Paper](t)(NewPaper())
	p := newPlace()
	slots := []Slot{
		must[Slot](t)(NewSlot(t.Context(), testVault, "passphrase", RoleAll, must[*Passphrase](t)(NewPassphrase([]byte(goldenPassphrase))))),
		must[Slot](t)(NewSlot(t.Context(), testVault, "key-file", RoleRead, keyFile)),
		must[Slot](t)(NewSlot(t.Context(), testVault, "paper", RoleErase, paper)),
	}
	if err := Write(t.Context(), []blob.Mutable{p}, slots, s, testNow); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"signer.key": pinOf(t, s).Signers[0], "key-file.txt": keyFile.Text(), "paper.txt": []byte(strings.Join(paper.Words(), " ") + "\n"),
	}
	for _, slot := range slots {
		files[slot.Name+".slot"] = p.objects[ObjectName(slot.Name, 3)]
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzSlot(f *testing.F) {
	fix := newFixture(f)
	f.Add(fix.place.objects["slots/paper@1"])
	f.Add([]byte(slotMagic))
	key := must[ed25519.PrivateKey](f)(fix.secrets.Signer(SignSlot))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseSlot(b, fix.pin); err != nil && allod.KindOf(err) != allod.Corrupt && allod.KindOf(err) != allod.Denied && allod.KindOf(err) != allod.Invalid {
			t.Fatalf("kind of %v", err)
		}
		// Behind a valid signature, too, nothing may panic.
		if len(b) < ed25519.SignatureSize+ed25519.PublicKeySize {
			return
		}
		b = bytes.Clone(b[:len(b)-ed25519.SignatureSize-ed25519.PublicKeySize])
		b = append(b, fix.pin.Signers[0]...)
		b = append(b, ed25519.Sign(key, signed(b))...)
		o, err := parseSlot(b, fix.pin)
		if err != nil {
			return
		}
		if !bytes.Equal(marshalSlot(o, key), b) {
			t.Fatal("two spellings of one slot")
		}
		if o.Kind == KindPaper {
			if s, err := o.open(t.Context(), fix.paper); err == nil {
				s.Wipe()
			}
		}
	})
}

func FuzzSecrets(f *testing.F) {
	s := must[Secrets](f)(NewSecrets(testVault))
	f.Add(s.marshalLasting("a"), s.marshalEpoch("a"))
	f.Fuzz(func(t *testing.T, lasting, epoch []byte) {
		s, err := unmarshalSecrets(lasting, epoch, testVault, RoleAll, "a")
		if err != nil {
			return
		}
		if !bytes.Equal(s.marshalLasting("a"), lasting) || !bytes.Equal(s.marshalEpoch("a"), epoch) {
			t.Fatal("two spellings of the same secrets")
		}
	})
}

func BenchmarkPassphrase(b *testing.B) {
	p := must[*Passphrase](b)(NewPassphrase([]byte("a long passphrase")))
	w := must[[]byte](b)(p.Wrap(b.Context(), Of{}, []byte("half")))
	for b.Loop() {
		if _, err := p.Unwrap(b.Context(), Of{}, w); err != nil {
			b.Fatal(err)
		}
	}
}
