package erasure

import (
	"strings"
	"testing"
	"time"

	"allod/internal/act"
	"allod/internal/act/keys"
	"allod/internal/govern/rights"
	"allod/internal/vault/lease"
)

// An erasure waits, by name, for a process that holds the keys of before; the
// certificate says so, until it was not heard of for 15 minutes.
func TestWaitsForWorker(t *testing.T) {
	b := newBench(t)
	b.fill()
	holder := keys.NewHolder()
	book := &lease.Book{Store: b.kept["vault"], Holder: holder, Now: b.clock}
	h, err := book.Take(t.Context(), lease.Keys+"/"+holder, 10*time.Minute, lease.State{Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	// run carries on what there is and returns what it waits for.
	run := func() (waits []rights.Item, final bool) {
		t.Helper()
		err := b.with(func(o *act.Office) error {
			if _, err := Run(t.Context(), o, nil); err != nil {
				return err
			}
			all, err := List(t.Context(), o)
			if err == nil {
				waits, final = all[0].Waits, !all[0].Final.IsZero()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return waits, final
	}
	if err := b.with(func(o *act.Office) error { _, err := b.ask(o, true, 2); return err }); err != nil {
		t.Fatal(err)
	}
	waits, final := run()
	if final || len(waits) != 1 || waits[0].Place != "worker-"+holder[:12] || !waits[0].Until.Equal(b.clock().Add(15*time.Minute)) {
		t.Fatalf("final %v, it waits for %+v", final, waits)
	}
	err = b.with(func(o *act.Office) error {
		all, err := List(t.Context(), o)
		if err != nil {
			return err
		}
		_, c, err := Certify(t.Context(), o, &all[0])
		if err != nil {
			return err
		}
		if len(c.Pending) != 1 || !strings.Contains(c.Pending[0].What, "worker-"+holder[:12]) {
			t.Errorf("the certificate has pending %+v", c.Pending)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantCertificate(false)
	b.wait(time.Minute)
	if err := h.Renew(t.Context(), lease.State{Epoch: 1}); err != nil { // it lives, and has not followed
		t.Fatal(err)
	}
	b.wait(15*time.Minute - time.Second)
	if _, final := run(); final {
		t.Fatal("final although the keys may be in memory")
	}
	b.wait(time.Second)
	if waits, final := run(); !final || len(waits) != 0 {
		t.Fatalf("final %v, it waits for %+v", final, waits)
	}
	b.wantCertificate(true)
}
