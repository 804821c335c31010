package vault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/vault/keyring"
)

// plainWrapper keeps the private half as it is: deriving keys from passphrases
// is keyring's business, and slow on purpose.
type plainWrapper struct{}

func (plainWrapper) Kind() string { return "plain" }
func (plainWrapper) Wrap(_ context.Context, _ keyring.Of, b []byte) ([]byte, error) {
	return bytes.Clone(b), nil
}

func (plainWrapper) Unwrap(_ context.Context, _ keyring.Of, b []byte) ([]byte, error) {
	return bytes.Clone(b), nil
}

type testVault struct {
	*Vault
	t     testing.TB
	store blob.Store
	slots blob.Mutable
	side  blob.Store // of the ledger
	gate  *gate.Gate
	clock *clock
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(time.Second)
	return c.t
}

// sideStore keeps the ledger in a store of its own, so that faults and counts
// of the vault's store concern the vault alone.
type sideStore struct {
	blob.Store
	ledger blob.Store
}

func (s sideStore) of(name string) blob.Store {
	if strings.HasPrefix(name, "ledger/") {
		return s.ledger
	}
	return s.Store
}

func (s sideStore) Put(ctx context.Context, name string, r io.Reader, size int64, o blob.PutOptions) error {
	return s.of(name).Put(ctx, name, r, size, o)
}

func (s sideStore) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	return s.of(name).Get(ctx, name, off, n)
}

func (s sideStore) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return s.of(prefix).List(ctx, prefix)
}

func (s sideStore) Stat(ctx context.Context, name string) (blob.Info, error) {
	return s.of(name).Stat(ctx, name)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newVault(t testing.TB, store blob.Store) *testVault {
	t.Helper()
	return newVaultWith(t, store, mem.New(mem.Options{}), "plain")
}

// newVaultWith makes a vault with the ledger in side, and the named slots.
func newVaultWith(t testing.TB, store, side blob.Store, slotNames ...string) *testVault {
	t.Helper()
	return makeVault(t, store, side, mem.New(mem.Options{}), &clock{t: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}, slotNames...)
}

// newVaultAt makes a vault with its slots in a place, by a clock.
func newVaultAt(t testing.TB, store blob.Store, slots blob.Mutable, c *clock) *testVault {
	t.Helper()
	return makeVault(t, store, mem.New(mem.Options{}), slots, c, "plain")
}

func makeVault(t testing.TB, store, side blob.Store, slots blob.Mutable, c *clock, slotNames ...string) *testVault {
	t.Helper()
	cfg := Config{Store: sideStore{store, side}, Slots: []blob.Mutable{slots}, Now: c.now, TempDir: t.TempDir()}
	var opts CreateOptions
	for _, name := range slotNames {
		opts.Wrappers = append(opts.Wrappers, NamedWrapper{Name: name, Wrapper: plainWrapper{}})
	}
	v, _, err := Create(context.Background(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	tv := &testVault{Vault: v, t: t, store: store, slots: slots, side: side, clock: c}
	tv.openGate()
	return tv
}

func (v *testVault) openGate() {
	v.t.Helper()
	c, err := v.LedgerConfig()
	if err != nil {
		v.t.Fatal(err)
	}
	l, err := ledger.Open(context.Background(), c)
	if err != nil {
		v.t.Fatal(err)
	}
	v.gate = gate.New(gate.ShippedMatrix(), l, v.clock.now)
}

func (v *testVault) session(a gate.Action) gate.Session {
	v.t.Helper()
	s, err := v.gate.Open(context.Background(), gate.Request{
		Actor: "os:test", Action: a, Purpose: allod.PurposeRestore,
		Resource: gate.Resource{Environment: gate.AllEnvironments, Class: allod.ClassContent},
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return s
}

// reopen opens the vault anew from what is stored.
func (v *testVault) reopen(store blob.Store) *testVault {
	v.t.Helper()
	w, err := v.tryOpen(store)
	if err != nil {
		v.t.Fatal(err)
	}
	return w
}

func (v *testVault) tryOpen(store blob.Store) (*testVault, error) {
	cfg := v.cfg
	cfg.Store = sideStore{store, v.side}
	nv, err := Open(context.Background(), cfg, plainWrapper{})
	if err != nil {
		return nil, err
	}
	w := *v
	w.Vault, w.store = nv, store
	return &w, nil
}

func testSchema() *allod.Schema {
	id := func(n byte) allod.GUID { return allod.GUID{15: n} }
	return &allod.Schema{Tables: []allod.Table{
		{Name: "account", ID: id(1), Set: "accounts", Key: "accountid", Columns: []allod.Column{
			{Name: "name", ID: id(11), Type: allod.String}, {Name: "revenue", ID: id(12), Type: allod.Decimal}, {Name: "document", ID: id(13), Type: allod.File},
		}},
		{Name: "account_contact", ID: id(2), Set: "account_contacts", Intersect: true, Columns: []allod.Column{{Name: "accountid", Type: allod.ID}, {Name: "contactid", Type: allod.ID}}},
		{Name: "contact", ID: id(3), Set: "contacts", Key: "contactid", Columns: []allod.Column{
			{Name: "fullname", ID: id(31), Type: allod.String}, {Name: "parent", ID: id(32), Type: allod.Lookup},
		}},
	}}
}

func key(n int) allod.GUID { return allod.GUID{0: 0xab, 14: byte(n >> 8), 15: byte(n)} }

func account(n int, name string) *allod.Row {
	return &allod.Row{
		Table: "account", Key: key(n), Version: uint64(n), Modified: time.Unix(int64(n), 0).UTC(),
		Cells: []allod.Value{allod.StringValue(name), allod.TextValue(allod.Decimal, "12.3400")},
	}
}

func ref(table string, n int) allod.RecordRef { return allod.RecordRef{Table: table, Key: key(n)} }

// captureRows commits rows of account, full or delta, and deletes.
func (v *testVault) captureRows(mode Mode, rows map[int]string, deletes ...int) (allod.Snapshot, Changes, error) {
	v.t.Helper()
	ctx := context.Background()
	r, err := v.Begin(ctx, v.session(gate.ActionCapture), RunOptions{Environment: "contoso", Line: 1})
	if err != nil {
		return allod.Snapshot{}, Changes{}, err
	}
	defer r.Abort()
	s := testSchema()
	if err := r.SetSchema(s); err != nil {
		return allod.Snapshot{}, Changes{}, err
	}
	w, err := r.Table(ctx, s.Table("account"), mode)
	if err != nil {
		return allod.Snapshot{}, Changes{}, err
	}
	for n, name := range rows {
		if err := w.Put(account(n, name)); err != nil {
			return allod.Snapshot{}, Changes{}, err
		}
	}
	for _, n := range deletes {
		if err := w.Delete(ref("account", n), allod.DeleteSaid); err != nil {
			return allod.Snapshot{}, Changes{}, err
		}
	}
	c, err := w.Finish(ctx)
	if err != nil {
		return allod.Snapshot{}, c, err
	}
	if mode == ModeFull {
		if err := w.DeleteMissing(allod.DeleteAbsent); err != nil {
			return allod.Snapshot{}, c, err
		}
	}
	snap, err := r.Commit(ctx, Manifest{Tables: []allod.TableManifest{{Table: "account", State: allod.TableFull}}, State: []byte("state"), Complete: true})
	return snap, c, err
}

func (v *testVault) mustCapture(mode Mode, rows map[int]string, deletes ...int) allod.Snapshot {
	v.t.Helper()
	s, _, err := v.captureRows(mode, rows, deletes...)
	if err != nil {
		v.t.Fatal(err)
	}
	return s
}

// rowsAt reads account as of a snapshot.
func (v *testVault) rowsAt(id allod.SnapshotID) (map[int]string, error) {
	s, err := v.At(context.Background(), v.session(gate.ActionRead), "contoso", id)
	if err != nil {
		return nil, err
	}
	out := map[int]string{}
	for row, err := range s.Rows(context.Background(), "account") {
		if err != nil {
			return out, err
		}
		n := int(row.Key[14])<<8 | int(row.Key[15])
		if _, twice := out[n]; twice {
			return out, fmt.Errorf("row %d came twice", n)
		}
		out[n] = row.Cell(0).Text()
		if row.Version != uint64(n) || !row.Modified.Equal(time.Unix(int64(n), 0)) || row.Cell(1).Text() != "12.3400" {
			return out, fmt.Errorf("row %d is not what was stored", n)
		}
	}
	return out, nil
}

func (v *testVault) wantRows(id allod.SnapshotID, want map[int]string) {
	v.t.Helper()
	got, err := v.rowsAt(id)
	if err != nil {
		v.t.Fatalf("rows of snapshot %d: %v", id, err)
	}
	if !maps.Equal(got, want) {
		v.t.Fatalf("rows of snapshot %d: got %v, want %v", id, got, want)
	}
}

func numbered(n int, name string) map[int]string {
	m := map[int]string{}
	for i := range n {
		m[i+1] = fmt.Sprintf("%s %d", name, i+1)
	}
	return m
}

// objectNames lists a store.
func objectNames(t testing.TB, s blob.Store) []string {
	t.Helper()
	var names []string
	for info, err := range s.List(context.Background(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	slices.Sort(names)
	return names
}

func objectBytes(t testing.TB, s blob.Store, name string) []byte {
	t.Helper()
	r, err := s.Get(context.Background(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var _ keyring.Wrapper = plainWrapper{}
