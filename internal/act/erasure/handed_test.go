package erasure

import (
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/keys"
	"allod/internal/govern/rights"
	"allod/internal/vault/keyring"
)

// as opens the Allod with a slot of the role for one use.
func (b *bench) as(role keyring.Role, do func(o *act.Office) error) error {
	deps := b.deps
	defer func() { b.deps = deps }()
	b.deps.Key = "file:" + string(role)
	return b.with(do)
}

// TestFulfil has an erasure carried out by a process that holds the keys of role
// erase alone. What was not handed over, was taken back or waits too long it
// leaves alone; who can read puts on record what it did.
func TestFulfil(t *testing.T) {
	b := newBench(t)
	b.fill()
	ctx := t.Context()
	err := b.with(func(o *act.Office) error {
		_, err := keys.Add(ctx, o, keys.AddOptions{Name: "erase", Role: keyring.RoleErase, Spec: "file:erase"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	fulfil := func(want int) []Fulfilled {
		t.Helper()
		var done []Fulfilled
		err := b.as(keyring.RoleErase, func(o *act.Office) (err error) {
			if !Blind(o) {
				t.Error("role erase can read")
			}
			if _, err := List(ctx, o); allod.KindOf(err) != allod.Denied {
				t.Errorf("list erasures: got %v, want kind denied", err)
			}
			done, err = Fulfil(ctx, o)
			return err
		})
		if err != nil || len(done) != want {
			t.Fatalf("fulfil: got %+v, %v, want %d", done, err, want)
		}
		return done
	}
	var asked *Open
	do := func(f func(o *act.Office) error) error { t.Helper(); return b.with(f) }
	must := func(f func(o *act.Office) error) {
		t.Helper()
		if err := do(f); err != nil {
			t.Fatal(err)
		}
	}
	handOver := func(o *act.Office) error { _, err := HandOver(ctx, o, asked.ID); return err }
	must(func(o *act.Office) (err error) { asked, err = b.ask(o, false, 2); return err })
	if err := do(handOver); allod.KindOf(err) != allod.Conflict {
		t.Errorf("hand over before its time: got %v, want kind conflict", err)
	}
	fulfil(0)
	b.wait(rights.Wait)
	must(handOver)
	must(func(o *act.Office) error { _, err := Cancel(ctx, o, asked.ID); return err })
	fulfil(0)
	must(func(o *act.Office) (err error) { asked, err = b.ask(o, true, 3); return err })
	must(handOver)
	b.wait(rights.HandedFor + time.Second)
	fulfil(0)
	must(handOver)
	if done := fulfil(1); done[0].Records != 1 || done[0].Left != 0 || done[0].Environment != "prod" {
		t.Errorf("fulfilled: got %+v", done)
	}
	fulfil(1) // again: nothing is destroyed twice
	if err := do(func(o *act.Office) error { _, err := Cancel(ctx, o, asked.ID); return err }); allod.KindOf(err) != allod.Conflict {
		t.Errorf("take back what is erased: got %v, want kind conflict", err)
	}
	b.wait(30 * 24 * time.Hour) // the approval is long over
	must(func(o *act.Office) error {
		list, err := Run(ctx, o, &asked.ID)
		if err == nil && (len(list) != 1 || list[0].Next.Step != rights.StepNone) {
			t.Errorf("put on record: got %+v", list)
		}
		return err
	})
	if got := b.shown(); got != "1245" {
		t.Errorf("shown: got %s, want 1245", got)
	}
	fulfil(0)
	b.wantCertificate(true)
}
