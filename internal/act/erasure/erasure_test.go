package erasure

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob"
	"allod/internal/blob/fault"
	"allod/internal/blob/mem"
	"allod/internal/durable"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/vault"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/log/certificate"
)

// bench is an Allod over stores in memory that a test can make fail.
type bench struct {
	t     *testing.T
	dir   string
	deps  act.Deps
	mu    sync.Mutex
	now   time.Time
	kept  map[string]*mem.Store // by the last name of the path
	fault map[string]fault.Fault
	last  map[string]*fault.Store
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: filepath.Join(t.TempDir(), "allod"), now: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC), kept: map[string]*mem.Store{}}
	n := byte(0)
	b.deps = act.Deps{
		OpenStore: func(_ context.Context, path string, _ bool) (blob.Mutable, error) {
			name := filepath.Base(path)
			if b.kept[name] == nil {
				b.kept[name] = mem.New(mem.Options{Now: b.clock})
			}
			if b.fault == nil {
				return b.kept[name], nil
			}
			if b.last[name] == nil { // one for all clients of a process: it counts their calls
				b.last[name] = fault.New(b.kept[name], b.fault[name])
			}
			return b.last[name], nil
		},
		Now: b.clock, Actor: "os:test", Disk: &durable.Disk{},
		NewID: func() allod.GUID { n++; return allod.GUID{1, n} },
	}
	if _, err := act.Init(t.Context(), b.dir, act.InitOptions{Key: "file:key"}, b.deps); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// with opens the Allod for one use.
func (b *bench) with(do func(o *act.Office) error) error {
	o, err := act.Open(b.t.Context(), b.dir, b.deps)
	if err != nil {
		return err
	}
	return errors.Join(do(o), o.Close())
}

func id(n int) allod.GUID { return allod.GUID{0: 0xab, 15: byte(n)} }

// fill captures five contacts, twice.
func (b *bench) fill() {
	b.t.Helper()
	err := b.with(func(o *act.Office) error {
		v, g, _, deps := o.Inside()
		schema := &allod.Schema{Tables: []allod.Table{{
			Name: "contact", ID: allod.GUID{9}, Set: "contacts", Key: "contactid", Title: "fullname", Class: allod.ClassData,
			Columns: []allod.Column{{Name: "fullname", ID: allod.GUID{8}, Type: allod.String}, {Name: "description", ID: allod.GUID{7}, Type: allod.String}, {Name: "managerid", ID: allod.GUID{6}, Type: allod.Lookup}},
		}}}
		for round := range 2 {
			s, err := g.Open(b.t.Context(), gate.Request{Actor: deps.Actor, Action: gate.ActionCapture, Purpose: allod.PurposeOperate, Resource: gate.Resource{Environment: "prod", Class: allod.ClassContent}})
			if err != nil {
				return err
			}
			r, err := v.Begin(b.t.Context(), s, vault.RunOptions{Environment: "prod", Line: 1})
			if err != nil {
				return err
			}
			if err := r.SetSchema(schema); err != nil {
				return err
			}
			w, err := r.Table(b.t.Context(), schema.Table("contact"), vault.ModeFull)
			if err != nil {
				return err
			}
			for n := 1; n <= 5; n++ {
				row := &allod.Row{Table: "contact", Key: id(n), Version: uint64(n + round), Cells: []allod.Value{
					allod.StringValue(fmt.Sprintf("Person Number %d", n)), allod.StringValue(fmt.Sprintf("round %d, knows person number %d", round, n%5+1)), allod.LookupValue("contact", id(n%5+1)),
				}}
				if err := w.Put(row); err != nil {
					return err
				}
			}
			if _, err := w.Finish(b.t.Context()); err != nil {
				return err
			}
			if _, err := r.Commit(b.t.Context(), vault.Manifest{Complete: true, Tables: []allod.TableManifest{{Table: "contact", State: allod.TableFull}}}); err != nil {
				return err
			}
			r.Abort()
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// shown returns which contacts the newest snapshot shows.
func (b *bench) shown() string {
	b.t.Helper()
	var out []string
	err := b.with(func(o *act.Office) error {
		_, rows, err := o.Rows(b.t.Context(), act.Moment{Environment: "prod"}, "contact", "", 0)
		if err != nil {
			return err
		}
		seen := map[byte]bool{}
		for row, err := range rows {
			if err != nil {
				return err
			}
			seen[row.Key[15]] = true
		}
		for n := range byte(10) {
			if seen[n] {
				out = append(out, fmt.Sprint(n))
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(out, "")
}

func (b *bench) ask(o *act.Office, urgent bool, n int) (*Open, error) {
	p, err := Make(b.t.Context(), o, Request{Environment: "prod", Table: "contact", IDs: []string{id(n).String()}, Urgent: urgent})
	if err != nil {
		return nil, err
	}
	return Ask(b.t.Context(), o, p, "")
}

// TestPlan names what goes, and where else she is named.
func TestPlan(t *testing.T) {
	b := newBench(t)
	b.fill()
	err := b.with(func(o *act.Office) error {
		p, err := Make(t.Context(), o, Request{Environment: "prod", Table: "contacts", IDs: []string{id(2).String()}})
		if err != nil {
			return err
		}
		if len(p.Records) != 1 || p.Records[0].Versions != 2 || !p.Records[0].Live || p.Versions != 2 {
			t.Errorf("records: got %+v", p.Records)
		}
		want := "[{contact description text 2 1 " + groundText + "} {contact managerid reference 2 1 " + groundReference + "}]"
		if got := fmt.Sprint(p.Kept); got != want {
			t.Errorf("kept: got %s, want %s", got, want)
		}
		var told []Progress
		if _, err := Make(t.Context(), o, Request{Environment: "prod", Table: "contact", IDs: []string{id(2).String()}, Progress: func(p Progress) { told = append(told, p) }}); err != nil {
			return err
		}
		if n := len(told); n == 0 || told[n-1].Versions == 0 || told[n-1].Versions != told[n-1].Expected || told[n-1].TablesDone != told[n-1].Tables || told[n-1].Tables != n {
			t.Errorf("progress: got %+v, want one call a table, the last with every version", told)
		}
		for _, bad := range []Request{
			{Environment: "prod", Table: "contact"},
			{Environment: "prod", Table: "contact", IDs: []string{"x"}},
			{Environment: "prod", Table: "contact", IDs: []string{id(2).String()}, Also: []string{"contact"}},
			{Environment: "prod", Table: "contact", IDs: []string{id(2).String()}, Related: []string{"nobody:1"}},
			{Environment: "prod", Table: "nothing", IDs: []string{id(2).String()}},
			{Environment: "prod", Table: "contact", IDs: []string{id(9).String()}},
			{Environment: "other", Table: "contact", IDs: []string{id(2).String()}},
		} {
			if _, err := Make(t.Context(), o, bad); err == nil || allod.HintOf(err) == "" && allod.KindOf(err) != allod.Invalid {
				t.Errorf("%+v: got %v, want an error with a hint", bad, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWaitCancelAndRun asks, waits, takes back, and asks again.
func TestWaitCancelAndRun(t *testing.T) {
	b := newBench(t)
	b.fill()
	run := func(want rights.Step) {
		t.Helper()
		err := b.with(func(o *act.Office) error {
			done, err := Run(t.Context(), o, nil)
			if err == nil && (len(done) != 1 || done[0].Next.Step != want) {
				err = fmt.Errorf("got %+v, want one to %s", done, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var asked *Open
	ask := func() {
		t.Helper()
		if err := b.with(func(o *act.Office) (err error) { asked, err = b.ask(o, false, 2); return err }); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	if got := b.shown(); got != "1345" {
		t.Errorf("asked for: got %s", got)
	}
	run(rights.StepWait)
	b.wait(71 * time.Hour)
	run(rights.StepWait)
	if err := b.with(func(o *act.Office) error { _, err := Cancel(t.Context(), o, asked.ID); return err }); err != nil {
		t.Fatal(err)
	}
	if got := b.shown(); got != "12345" {
		t.Errorf("taken back: got %s", got)
	}
	b.wait(100 * time.Hour)
	ask()
	b.wait(72 * time.Hour)
	run(rights.StepNone)
	if got := b.shown(); got != "1345" {
		t.Errorf("erased: got %s", got)
	}
	if err := b.with(func(o *act.Office) error { _, err := Cancel(t.Context(), o, asked.ID); return err }); allod.KindOf(err) != allod.Conflict {
		t.Errorf("take back what is erased: got %v, want kind conflict", err)
	}
	b.wantCertificate(true)
}

// wantCertificate issues the certificate of the last erasure and checks it with
// what is pinned alone.
func (b *bench) wantCertificate(final bool) {
	b.t.Helper()
	err := b.with(func(o *act.Office) error {
		all, err := List(b.t.Context(), o)
		if err != nil {
			return err
		}
		cert, _, err := Certify(b.t.Context(), o, &all[len(all)-1])
		if err != nil {
			return err
		}
		v, _, _, _ := o.Inside()
		pin, err := vlog.DecodeVault(b.object("vault"), vlog.Pin{})
		if err != nil {
			return err
		}
		if pin.Vault != v.ID() {
			b.t.Fatal("another vault")
		}
		c, checks, err := certificate.Verify(cert, pin)
		if err != nil {
			return err
		}
		if _, ok := c.Final(); ok != final || len(checks) < 3 || !c.Approval.OnePerson {
			b.t.Errorf("certificate: final %v, checks %q, %+v", ok, checks, c.Approval)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) object(name string) []byte {
	b.t.Helper()
	r, err := b.kept["vault"].Get(b.t.Context(), name, 0, -1)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	out := make([]byte, 1<<20)
	n, _ := r.Read(out) // of a store in memory: all of it
	return out[:n]
}

// TestEveryCallFails lets calls to the store and to the place of slots fail in
// turn while an urgent erasure is asked for and carried out, both ways, with the
// process gone from there on. Whatever is left: the next process shows the
// record or hides it, and carries it to its end exactly once.
func TestEveryCallFails(t *testing.T) {
	step := 11
	if testing.Short() {
		step = 29
	}
	ends := map[string]int{}
	for _, where := range []string{"vault", "slots"} {
		for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
			for k := 1 + int(mode); ; k += step {
				b := newBench(t)
				b.fill()
				b.fault, b.last = map[string]fault.Fault{"vault": {Call: -1}, "slots": {Call: -1}}, map[string]*fault.Store{}
				b.fault[where] = fault.Fault{Call: k, Mode: mode, Down: true}
				failed := b.with(func(o *act.Office) error {
					e, err := b.ask(o, true, 2)
					if err != nil {
						return err
					}
					_, err = Run(t.Context(), o, &e.ID)
					return err
				})
				calls := b.last[where].Calls()
				b.fault = nil
				if calls < k {
					break
				}
				what := fmt.Sprintf("%s, mode %d, call %d: %v", where, mode, k, failed)
				shown := b.shown()
				if shown != "12345" && shown != "1345" {
					t.Fatalf("%s: shown are %s", what, shown)
				}
				ends[shown]++
				err := b.with(func(o *act.Office) error {
					all, err := List(t.Context(), o)
					if err != nil || len(all) == 1 {
						return err
					}
					_, err = b.ask(o, true, 2) // it was lost before it was recorded
					return err
				})
				if err == nil {
					err = b.with(func(o *act.Office) error {
						done, err := Run(t.Context(), o, nil)
						if err == nil && (len(done) > 1 || len(done) == 1 && done[0].Final.IsZero()) {
							err = fmt.Errorf("got %+v", done)
						}
						return err
					})
				}
				if err != nil {
					t.Fatalf("%s: carry on: %v", what, err)
				}
				if got := b.shown(); got != "1345" {
					t.Fatalf("%s: at the end: shown are %s", what, got)
				}
				b.wantCertificate(true)
			}
		}
	}
	if ends["12345"] == 0 || ends["1345"] == 0 {
		t.Errorf("ends: got %v, want both", ends)
	}
}
