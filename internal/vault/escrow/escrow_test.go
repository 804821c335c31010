package escrow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/vault/keytree"
	"allod/internal/vault/seal"
)

var update = flag.Bool("update", false, "write the golden file")

var (
	signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, 32))
	pin    = Pin{Vault: allod.GUID{1}, Signers: []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)}}
	record = Record{Vault: allod.GUID{1}, Container: allod.GUID{2}, Environment: 3, Table: 4, Tag: keytree.Tag{5}, Run: allod.GUID{6}, Epoch: 7}
	roots  = []Root{
		{Number: 1, Kept: keytree.Kept{Nodes: []keytree.KeptNode{{Depth: 64, Seed: keytree.Seed{9}}}}},
		{Number: 2, Kept: keytree.Kept{Nodes: []keytree.KeptNode{{Depth: 72, Generation: 1, Seed: keytree.Seed{8}}}, Absents: []keytree.KeptAbsent{{Depth: 72, Kind: keytree.Superseded, Log: 12}}}},
	}
)

func identity(t *testing.T) *age.HybridIdentity {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sealed(t *testing.T, to *age.HybridIdentity) ([]byte, *Keys) {
	t.Helper()
	k, err := NewKeys(roots)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Seal(record, k, to.Recipient().String(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return b, k
}

func TestSealAndOpen(t *testing.T) {
	container := identity(t)
	b, k := sealed(t, container)
	o, err := Parse(b, pin)
	if err != nil {
		t.Fatal(err)
	}
	if o.Record != record {
		t.Errorf("record: got %+v, want %+v", o.Record, record)
	}
	got, err := o.Open(container)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(roots, got.Roots); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
	if got.identity.String() != k.identity.String() || got.digest != k.digest {
		t.Error("the record's own key came back changed")
	}
	if _, err := o.Open(identity(t)); allod.KindOf(err) != allod.Denied {
		t.Errorf("another container's key: got %v, want kind denied", err)
	}
}

// TestEveryFlippedBitIsRefused flips each byte of an object: what lies in a
// place that others may write to is not believed.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	b, _ := sealed(t, identity(t))
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1 << (i % 8)
		if _, err := Parse(c, pin); err == nil {
			t.Fatalf("byte %d changed: it was read", i)
		}
	}
	for _, n := range []int{0, 15, 16, 100, len(b) - 1} {
		if _, err := Parse(b[:n], pin); err == nil {
			t.Errorf("cut off after %d bytes: it was read", n)
		}
	}
	newer := bytes.Clone(b)
	newer[15] = 2
	if _, err := Parse(newer, pin); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a newer format: got %v, want kind invalid", err)
	}
	other := Pin{Vault: allod.GUID{9}, Signers: pin.Signers}
	if _, err := Parse(b, other); allod.KindOf(err) != allod.Denied {
		t.Errorf("another vault: got %v, want kind denied", err)
	}
	if _, err := Parse(b, Pin{Vault: pin.Vault}); allod.KindOf(err) != allod.Denied {
		t.Errorf("another signer: got %v, want kind denied", err)
	}
}

func TestNames(t *testing.T) {
	name := record.Name()
	if got, ok := ParseName(name); !ok || got.Name() != name {
		t.Errorf("%s: got %+v, %v", name, got, ok)
	}
	for _, bad := range []string{"", "escrow/", "slots/a@1", name + "0x", name[:len(name)-1], name[:40] + "Z" + name[41:], name + "/x", name[:len(name)-1] + "07"} {
		if _, ok := ParseName(bad); ok {
			t.Errorf("%q was taken for a name", bad)
		}
	}
}

func TestRows(t *testing.T) {
	container := identity(t)
	b, _ := sealed(t, container)
	o, err := Parse(b, pin)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := o.Open(container)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := seal.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer codec.Close()
	row := seal.Row{Key: allod.GUID{1}, Version: 3, Modified: time.Unix(5, 0).UTC(), Content: []byte("some cells")}
	place := seal.Place{Vault: record.Vault, Environment: 3, Table: 4, Tag: record.Tag, Capture: 9, Meta: seal.Meta{Op: seal.OpPut, KeyKind: seal.KindEscrow, Root: 1, Schema: 2}}
	out, err := o.Public.Seal(nil, codec, &place, &row)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(out); err != nil {
		t.Error(err)
	}
	got, err := keys.Row(codec, &place, out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(row, got); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	if !o.Public.Same(out, seal.OpPut, 2, []byte("some cells")) {
		t.Error("the same content counts as changed")
	}
	if o.Public.Same(out, seal.OpPut, 2, []byte("other cells")) || o.Public.Same(out, seal.OpPut, 3, []byte("some cells")) || o.Public.Same(out, seal.OpDelete, 2, []byte("some cells")) {
		t.Error("other content, another schema or operation counts as the same")
	}
	_, other := sealed(t, container)
	if _, err := other.Row(codec, &place, out); allod.KindOf(err) != allod.Denied {
		t.Errorf("another escrow of the record: got %v, want kind denied", err)
	}
	for i := range out {
		if i >= 2 && i < len(out)-100 && i%7 != 0 {
			continue // the wrapped key is an age file: a sample of it is enough
		}
		c := bytes.Clone(out)
		c[i] ^= 1
		_, digest, _, _ := split(out)
		_, changed, _, _ := split(c)
		if _, err := keys.Row(codec, &place, c); err == nil && bytes.Equal(digest, changed) {
			t.Errorf("byte %d changed: it was opened", i)
		}
	}
	for n := range 40 {
		if err := Check(out[:n]); allod.KindOf(err) != allod.Corrupt {
			t.Fatalf("%d bytes: got %v, want kind corrupt", n, err)
		}
	}
}

func facts(whole *keytree.AbsentError, runs map[uint64]string, epoch uint64) Facts {
	return Facts{
		Whole: func(keytree.Tag) *keytree.AbsentError { return whole },
		RunOf: func(n uint64) string { return runs[n] },
		HasRun: func(run string) bool {
			for _, r := range runs {
				if r == run {
					return true
				}
			}
			return false
		},
		InForce: epoch,
	}
}

func TestStale(t *testing.T) {
	const own = "06000000000000000000000000000000"
	absent := func(k keytree.Kind) *keytree.AbsentError { return &keytree.AbsentError{Kind: k, Log: 4} }
	for _, tc := range []struct {
		what   string
		f      Facts
		counts bool
		stale  bool
	}{
		{"restricted by its run", facts(absent(keytree.Restricted), map[uint64]string{4: own}, 8), true, false},
		{"held by its run", facts(absent(keytree.Held), map[uint64]string{4: own}, 8), true, false},
		{"restricted by another run", facts(absent(keytree.Restricted), map[uint64]string{4: "x"}, 8), false, true},
		{"erased by its run", facts(absent(keytree.Erased), map[uint64]string{4: own}, 8), false, true},
		{"lifted", facts(nil, map[uint64]string{4: own}, 9), false, true},
		{"on its way", facts(nil, nil, 7), false, false},
		{"left by a crash", facts(nil, nil, 8), false, true},
	} {
		if got := tc.f.Counts(&record); got != tc.counts {
			t.Errorf("%s: counts %v, want %v", tc.what, got, tc.counts)
		}
		if got := tc.f.Stale(&record); got != tc.stale {
			t.Errorf("%s: stale %v, want %v", tc.what, got, tc.stale)
		}
	}
}

func TestPlaces(t *testing.T) {
	ctx := context.Background()
	container := identity(t)
	b, _ := sealed(t, container)
	one, two := mem.New(mem.Options{}), mem.New(mem.Options{})
	places := []blob.Mutable{one, two}
	if _, err := Read(ctx, places, record, pin); allod.KindOf(err) != allod.NotFound {
		t.Errorf("before it is written: got %v, want kind not found", err)
	}
	if err := Write(ctx, places, record, b, pin); err != nil {
		t.Fatal(err)
	}
	if err := one.Replace(ctx, record.Name(), b[:100]); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(ctx, places, record, pin); err != nil {
		t.Errorf("one place is damaged, the other not: %v", err)
	}
	for _, p := range places {
		if all, err := List(ctx, p, true); err != nil || len(all) != 1 || all[0].Name() != record.Name() {
			t.Errorf("list: got %v, %v", all, err)
		}
		if n, err := Remove(ctx, p, func(*Record) bool { return false }); n != 0 || err != nil {
			t.Errorf("remove nothing: got %d, %v", n, err)
		}
		if n, err := Remove(ctx, p, func(r *Record) bool { return r.Container == record.Container }); n != 1 || err != nil {
			t.Errorf("remove: got %d, %v", n, err)
		}
	}
	if _, err := Read(ctx, places, record, pin); allod.KindOf(err) != allod.NotFound {
		t.Errorf("after it was removed: got %v, want kind not found", err)
	}
}

// TestWriteFailsAtEveryCall fails each call of a place in turn, stored and not:
// when Write says that the object is there, it is.
func TestWriteFailsAtEveryCall(t *testing.T) {
	ctx := context.Background()
	b, _ := sealed(t, identity(t))
	for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed, fault.Truncate} {
		for k := 1; ; k++ {
			s := fault.New(mem.New(mem.Options{}), fault.Fault{Call: k, Mode: mode, Down: true})
			err := Write(ctx, []blob.Mutable{s}, record, b, pin)
			if s.Calls() < k {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			if err == nil {
				t.Fatalf("call %d failed as %d: written all the same", k, mode)
			}
			if _, err := Read(ctx, []blob.Mutable{s.Inner()}, record, pin); err != nil && allod.KindOf(err) != allod.NotFound {
				t.Fatalf("call %d: what is left is neither nothing nor whole: %v", k, err)
			}
		}
	}
}

type golden struct {
	Identity string `json:"identity"`
	Object   []byte `json:"object"`
	Row      []byte `json:"row"`
}

// TestGolden opens what version 1 wrote.
func TestGolden(t *testing.T) {
	codec, err := seal.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer codec.Close()
	place := seal.Place{Vault: record.Vault, Environment: 3, Table: 4, Tag: record.Tag, Capture: 9, Meta: seal.Meta{Op: seal.OpPut, KeyKind: seal.KindEscrow, Root: 1, Schema: 2}}
	row := seal.Row{Key: allod.GUID{1}, Version: 3, Content: []byte("some cells")}
	file := filepath.Join("testdata", "format-v1", "escrow.json")
	if *update {
		container := identity(t)
		b, _ := sealed(t, container)
		o, err := Parse(b, pin)
		if err != nil {
			t.Fatal(err)
		}
		r, err := o.Public.Seal(nil, codec, &place, &row)
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.MarshalIndent(golden{container.String(), b, r}, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(out, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	container, err := age.ParseHybridIdentity(g.Identity)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Parse(g.Object, pin)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := o.Open(container)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(roots, keys.Roots); diff != "" || o.Record != record {
		t.Errorf("record %+v, roots (-want +got):\n%s", o.Record, diff)
	}
	got, err := keys.Row(codec, &place, g.Row)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(row, got); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	if !o.Public.Same(g.Row, seal.OpPut, 2, row.Content) {
		t.Error("the digest of the row is not that of its content")
	}
}
