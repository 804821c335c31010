package erasure

import (
	"strings"
	"testing"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/vault"
	"allod/internal/vault/office"
)

// TestBroken has a request whose approval is gone and one that cannot be read:
// the others are carried out, both are named, what they hide stays hidden, and
// neither is written over.
func TestBroken(t *testing.T) {
	b := newBench(t)
	b.fill()
	ctx := t.Context()
	err := b.with(func(o *act.Office) error {
		var asked []*Open
		for n := 1; n <= 3; n++ {
			e, err := b.ask(o, true, n)
			if err != nil {
				return err
			}
			asked = append(asked, e)
		}
		good, lost, unread := asked[0].ID, asked[1].ID, asked[2].ID
		d := open(o)
		if _, err := d.save(ctx, lost, nil, func(e *rights.Erasure) (*rights.Erasure, error) {
			e.Approval = id(99)
			return e, nil
		}); err != nil {
			return err
		}
		s, err := d.session(ctx, gate.ActionOffice, vault.Office)
		if err != nil {
			return err
		}
		r, err := d.load(ctx, s)
		if err != nil {
			return err
		}
		row := allod.Row{Table: table, Key: unread, Cells: []allod.Value{allod.StringValue(`{"id":`)}}
		if err := office.Write(ctx, d.vault, s, r.snap, tables(), []allod.Row{row}, d.now()); err != nil {
			return err
		}

		done, err := Run(ctx, o, nil)
		if allod.KindOf(err) != allod.Partial || allod.HintOf(err) == "" || strings.Contains(err.Error(), good.String()) || !strings.Contains(err.Error(), lost.String()) || !strings.Contains(err.Error(), unread.String()) {
			t.Errorf("run: got %v, want it to be partial and to name two", err)
		}
		if len(done) != 3 || done[0].ID != good || done[0].Final.IsZero() || done[0].Broken != "" || done[1].Broken == "" || done[2].Broken == "" {
			t.Errorf("run: got %+v", done)
		}
		all, err := List(ctx, o)
		if err != nil || len(all) != 3 || allod.KindOf(Broken(all)) != allod.Partial || Broken(all[:1]) != nil {
			t.Errorf("list: got %+v, %v", all, err)
		}
		if _, err := Run(ctx, o, &lost); allod.KindOf(err) != allod.NotFound {
			t.Errorf("run that one: got %v, want its own error", err)
		}
		if _, err := Find(ctx, o, unread.String()); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("find what cannot be read: got %v, want kind corrupt", err)
		}
		if _, err := Cancel(ctx, o, unread); allod.KindOf(err) != allod.Corrupt {
			t.Errorf("take back what cannot be read: got %v, want kind corrupt", err)
		}
		if n, err := Carry(ctx, o); n != 0 || allod.KindOf(err) != allod.Partial {
			t.Errorf("carry: got %d, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.shown(); got != "45" {
		t.Errorf("shown: got %s, want 45: what a broken request hides stays hidden", got)
	}
	err = b.with(func(o *act.Office) error {
		all, err := List(ctx, o)
		if err != nil {
			return err
		}
		if _, err := Cancel(ctx, o, all[1].ID); err != nil {
			return err
		}
		if _, err := b.ask(o, true, 5); err != nil {
			return err
		}
		if done, err := Run(ctx, o, nil); allod.KindOf(err) != allod.Partial || len(done) != 2 || done[0].Committed.IsZero() {
			t.Errorf("run once more: got %+v, %v", done, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.shown(); got != "24" {
		t.Errorf("shown: got %s, want 24: the one that was taken back, and 4", got)
	}
}

// TestOrder asks for several within a second: they are listed, and carried out,
// in that order, whatever their ids are.
func TestOrder(t *testing.T) {
	b := newBench(t)
	b.fill()
	n := byte(200)
	b.deps.NewID = func() allod.GUID { n--; return allod.GUID{1, n} }
	err := b.with(func(o *act.Office) error {
		var want []allod.GUID
		for n := 1; n <= 4; n++ {
			e, err := b.ask(o, n == 4, n)
			if err != nil {
				return err
			}
			want = append(want, e.ID)
		}
		if _, err := Cancel(t.Context(), o, want[1]); err != nil { // written later, asked before
			return err
		}
		if _, err := Run(t.Context(), o, nil); err != nil {
			return err
		}
		all, err := List(t.Context(), o)
		if err != nil || len(all) != len(want) {
			t.Fatalf("got %d, %v", len(all), err)
		}
		for i := range all {
			if all[i].ID != want[i] {
				t.Errorf("%d: got %s, want %s", i, all[i].ID, want[i])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
