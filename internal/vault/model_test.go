package vault

import (
	"context"
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"allod"
	"allod/internal/blob/mem"
	"allod/internal/govern/gate"
	"allod/internal/vault/compact"
	"allod/internal/vault/puncture"
	"allod/internal/vault/verify"
)

// model is what the vault should hold: the rows of every snapshot, and who was
// erased since.
type model struct {
	snaps  map[allod.SnapshotID]map[int]string
	order  []allod.SnapshotID
	now    map[int]string
	erased map[int]bool
	forgot map[int]int // record → number of snapshots whose versions of it were destroyed
	since  map[int]int // record that is alive → number of snapshots before its newest version
}

// take notes what the next snapshot holds.
func (m *model) take(now map[int]string) {
	for n, s := range now {
		if was, alive := m.now[n]; !alive || was != s {
			m.since[n] = len(m.order)
		}
	}
	m.now = now
}

func (m *model) at(id allod.SnapshotID) map[int]string {
	out := maps.Clone(m.snaps[id])
	for n := range m.erased {
		delete(out, n)
	}
	for n, until := range m.forgot {
		if slices.Index(m.order, id) < until {
			delete(out, n)
		}
	}
	return out
}

// puncture erases a record of table account, and its old slots.
func (v *testVault) puncture(n int) error {
	return v.erase(EraseOptions{}, n)
}

func (v *testVault) erase(o EraseOptions, ns ...int) error {
	if _, err := v.eraseTags(o, ns...); err != nil {
		return err
	}
	return v.destroySlots(v.session(gate.ActionErase))
}

// eraseTags erases records of table account, and leaves the old slots.
func (v *testVault) eraseTags(o EraseOptions, ns ...int) (*puncture.Done, error) {
	ctx := context.Background()
	var refs []allod.RecordRef
	for _, n := range ns {
		refs = append(refs, ref("account", n))
	}
	tags, err := v.Tags(ctx, v.session(gate.ActionRead), "contoso", refs)
	if err != nil {
		return nil, err
	}
	return v.Erase(ctx, v.session(gate.ActionErase), tags, o)
}

func (v *testVault) destroySlots(s gate.Session) error {
	places, err := v.DestroySlots(context.Background(), s)
	for _, p := range places {
		err = errors.Join(err, p.Err)
	}
	return err
}

// TestModel runs captures, deletes, punctures, compactions, reopening and reading at old
// moments against a map.
func TestModel(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); os.Getenv("ALLOD_LONG") == "" && f.Value.String() == f.DefValue {
		if err := flag.Set("rapid.checks", "25"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set("rapid.checks", f.DefValue) }) // it was set a moment ago
	}
	rapid.Check(t, func(rt *rapid.T) {
		v := newVault(t, mem.New(mem.Options{}))
		m := &model{snaps: map[allod.SnapshotID]map[int]string{}, now: map[int]string{}, erased: map[int]bool{}, forgot: map[int]int{}, since: map[int]int{}}
		done := func(s allod.Snapshot, c Changes, err error) {
			if err != nil {
				rt.Fatal(err)
			}
			m.snaps[s.ID] = maps.Clone(m.now)
			m.order = append(m.order, s.ID)
			if want := int64(len(m.now)); s.Rows != want && len(m.erased)+len(m.forgot) == 0 {
				rt.Fatalf("rows alive: got %d, want %d", s.Rows, want)
			}
		}
		rows := rapid.MapOfN(rapid.IntRange(1, 12), rapid.SampledFrom([]string{"a", "b", "c"}), 0, 8)
		rt.Repeat(map[string]func(*rapid.T){
			"full": func(rt *rapid.T) {
				put := rows.Draw(rt, "rows")
				want := maps.Clone(put)
				for n := range m.erased {
					delete(want, n)
				}
				m.take(want)
				s, c, err := v.captureRows(ModeFull, put)
				done(s, c, err)
			},
			"delta": func(rt *rapid.T) {
				put := rows.Draw(rt, "rows")
				var deletes []int
				for _, n := range rapid.SliceOfN(rapid.IntRange(1, 12), 0, 3).Draw(rt, "deletes") {
					if _, both := put[n]; !both {
						deletes = append(deletes, n)
					}
				}
				want := maps.Clone(m.now)
				for n, s := range put {
					if !m.erased[n] {
						want[n] = s
					}
				}
				for _, n := range deletes {
					delete(want, n)
				}
				m.take(want)
				s, c, err := v.captureRows(ModeDelta, put, deletes...)
				done(s, c, err)
			},
			"puncture": func(rt *rapid.T) {
				n := rapid.IntRange(1, 12).Draw(rt, "record")
				if m.erased[n] || len(m.order) == 0 {
					rt.Skip()
				}
				if err := v.puncture(n); err != nil {
					rt.Fatal(err)
				}
				m.erased[n] = true
				delete(m.now, n)
			},
			"forget the past": func(rt *rapid.T) {
				n := rapid.IntRange(1, 12).Draw(rt, "record")
				if m.erased[n] || len(m.order) == 0 {
					rt.Skip()
				}
				if err := v.erase(EraseOptions{Past: true}, n); err != nil {
					rt.Fatal(err)
				}
				m.forgot[n] = len(m.order)
				if _, alive := m.now[n]; alive {
					m.forgot[n] = m.since[n]
				}
			},
			"rectify": func(rt *rapid.T) {
				n := rapid.IntRange(1, 12).Draw(rt, "record")
				if m.erased[n] || len(m.order) == 0 {
					rt.Skip()
				}
				if _, err := v.rectify(n, "right", RectifyOptions{}); err != nil {
					rt.Fatal(err)
				}
				for _, snap := range append(slices.Collect(maps.Values(m.snaps)), m.now) {
					if _, alive := snap[n]; alive {
						snap[n] = "right"
					}
				}
			},
			"rotate": func(rt *rapid.T) {
				s := v.session(gate.ActionKeys)
				if _, err := v.Rotate(t.Context(), s); err != nil {
					rt.Fatal(err)
				}
				if err := v.destroySlots(s); err != nil {
					rt.Fatal(err)
				}
			},
			"new root": func(rt *rapid.T) {
				if err := v.beginRoot(); err != nil {
					rt.Fatal(err)
				}
			},
			"compact": func(rt *rapid.T) {
				if _, err := v.compact(); err != nil {
					rt.Fatal(err)
				}
			},
			"a week": func(rt *rapid.T) { // what was replaced may go once the log knows of it
				v.clock.add(compact.Keep)
			},
			"reopen": func(rt *rapid.T) {
				v = v.reopen(v.store)
			},
			"read": func(rt *rapid.T) {
				if len(m.order) == 0 {
					rt.Skip()
				}
				id := rapid.SampledFrom(m.order).Draw(rt, "snapshot")
				got, err := v.rowsAt(id)
				if err != nil || !maps.Equal(got, m.at(id)) {
					rt.Fatalf("snapshot %d: got %v, %v, want %v", id, got, err, m.at(id))
				}
				getAll(rt, v, id, m.at(id))
			},
			"verify": func(rt *rapid.T) {
				rep, err := v.Verify(t.Context(), verify.Options{Sample: 1})
				if err != nil || len(rep.Bad) > 0 {
					rt.Fatalf("verify: got %+v, %v", rep, err)
				}
			},
		})
	})
}

func getAll(rt *rapid.T, v *testVault, id allod.SnapshotID, want map[int]string) {
	s, err := v.At(context.Background(), v.session(gate.ActionRead), "contoso", id)
	if err != nil {
		rt.Fatal(err)
	}
	var refs []allod.RecordRef
	for n := range 14 {
		refs = append(refs, ref("account", n))
	}
	rows, err := s.Get(context.Background(), "account", refs)
	if err != nil {
		rt.Fatal(err)
	}
	got := map[int]string{}
	for _, r := range rows {
		got[int(r.Key[15])] = r.Cell(0).Text()
	}
	if !maps.Equal(got, want) {
		rt.Fatalf("get of snapshot %d: got %v, want %v", id, got, want)
	}
}

// TestErasedIsTold punctures a record: it is gone from every snapshot, history
// says "erased", and a row of it that comes back is not stored.
func TestErasedIsTold(t *testing.T) {
	v := newVault(t, mem.New(mem.Options{}))
	first := v.mustCapture(ModeFull, numbered(5, "x"))
	v.mustCapture(ModeDelta, map[int]string{2: "y"})
	if err := v.puncture(2); err != nil {
		t.Fatal(err)
	}
	_, c, err := v.captureRows(ModeDelta, map[int]string{2: "back", 3: "z"})
	if err != nil || c.Erased != 1 || c.Updated != 1 {
		t.Errorf("changes: got %+v, %v, want one erased, one updated", c, err)
	}
	want := numbered(5, "x")
	delete(want, 2)
	v.wantRows(first.ID, want)
	h, err := v.History(t.Context(), v.session(gate.ActionRead), "contoso", ref("account", 2))
	if err != nil || len(h) != 2 || slices.ContainsFunc(h, func(x Version) bool { return x.Withheld != "erased" || x.Row != nil }) {
		t.Errorf("history: got %+v, %v", h, err)
	}
	rep, err := v.Verify(t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) > 0 || rep.Erased != 2 {
		t.Errorf("verify: got %+v, %v, want two erased", rep, err)
	}
	if _, c, err = v.captureRows(ModeFull, map[int]string{2: "back", 3: "z"}); err != nil || c.Before != 4 || c.Missing != 3 || c.Erased != 1 {
		t.Errorf("full capture after an erasure: got %+v, %v", c, err)
	}
}
