package erasure

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/blob/fault"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/vault"
)

// names returns what every stored version of a contact says, newest first.
func (b *bench) names(n int) string {
	b.t.Helper()
	var out []string
	err := b.with(func(o *act.Office) error {
		v, _, _, _ := o.Inside()
		snaps, err := v.Snapshots(b.t.Context(), "prod")
		if err != nil {
			return err
		}
		for _, s := range snaps {
			_, row, err := o.Get(b.t.Context(), act.Moment{Environment: "prod", Snapshot: s.ID}, "contact", id(n).String())
			if err != nil {
				return err
			}
			out = append(out, row.Cell(0).Text())
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

func (b *bench) askRectify(o *act.Office, r Rectification) (*Open, error) {
	r.Environment, r.Table, r.ID = "prod", "contact", id(2).String()
	p, err := MakeRectify(b.t.Context(), o, r)
	if err != nil {
		return nil, err
	}
	return AskRectify(b.t.Context(), o, p)
}

// values counts the corrections of the office that open.
func (b *bench) values() int {
	b.t.Helper()
	n := 0
	err := b.with(func(o *act.Office) error {
		all, _, err := open(o).spent(b.t.Context(), &rights.Erasure{})
		n = len(all)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func set(name string) Values { return Values{Set: map[string]string{"fullname": name}} }

// TestRectifyWaits asks for a correction, takes it back, asks again and waits:
// the record is shown as it is until then, and afterwards nobody has the values
// of the requests any more, nor of the one that was taken back.
func TestRectifyWaits(t *testing.T) {
	b := newBench(t)
	b.fill()
	const before, after = "Person Number 2, Person Number 2", "Right, Right"
	step := func(want rights.Step, names string) {
		t.Helper()
		err := b.with(func(o *act.Office) error {
			n, err := Carry(t.Context(), o)
			if err != nil {
				return err
			}
			all, err := List(t.Context(), o)
			if err == nil && all[len(all)-1].Next.Step != want {
				err = fmt.Errorf("got %+v after %d were carried on, want one to %s", all[len(all)-1].Next, n, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.names(2); got != names {
			t.Fatalf("versions: got %s, want %s", got, names)
		}
	}
	var asked *Open
	ask := func(v Values) {
		t.Helper()
		if err := b.with(func(o *act.Office) (err error) { asked, err = b.askRectify(o, Rectification{Values: v}); return err }); err != nil {
			t.Fatal(err)
		}
	}
	ask(set("Mistaken"))
	step(rights.StepWait, before)
	if err := b.with(func(o *act.Office) error { _, err := Cancel(t.Context(), o, asked.ID); return err }); err != nil {
		t.Fatal(err)
	}
	b.wait(100 * time.Hour)
	step(rights.StepNone, before)
	ask(set("Right"))
	if n := b.values(); n != 2 {
		t.Errorf("corrections that open: got %d, want 2", n)
	}
	b.wait(71 * time.Hour)
	step(rights.StepWait, before)
	b.wait(time.Hour)
	step(rights.StepNone, after)
	if n := b.values(); n != 0 {
		t.Errorf("corrections that open at the end: got %d, want none", n)
	}
	b.wantCertificate(true)
	err := b.with(func(o *act.Office) error {
		all, err := List(t.Context(), o)
		if err != nil {
			return err
		}
		e := all[len(all)-1]
		if e.Final.IsZero() || !e.OnePerson || e.Rectify.Changed != 1 && e.Rectify.Changed != 2 || len(e.Places) != 1 {
			t.Errorf("at the end: got %+v", e)
		}
		if g := e.Rectify.Generation; g != 0 && (g < 1 || e.Rectify.Corrected < 1 || e.Rectify.Sealed < e.Rectify.Corrected) {
			t.Errorf("what was done: got %+v", e.Rectify)
		}
		_, err = b.askRectify(o, Rectification{Values: set("Right")})
		if allod.KindOf(err) != allod.Invalid {
			t.Errorf("nothing to correct: got %v, want kind invalid", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRectifyPlan counts per column, within the moments and the wrong values
// that were named, and refuses what no column can have without naming it.
func TestRectifyPlan(t *testing.T) {
	b := newBench(t)
	b.fill()
	err := b.with(func(o *act.Office) error {
		v, _, _, _ := o.Inside()
		snaps, err := v.Snapshots(t.Context(), "prod")
		if err != nil {
			return err
		}
		first, last := &act.Moment{Environment: "prod", Snapshot: snaps[0].ID}, &act.Moment{Environment: "prod", Snapshot: snaps[1].ID}
		for _, tc := range []struct {
			r    Rectification
			want string
			kind allod.Kind
		}{
			{r: Rectification{Values: set("Right")}, want: "2 [fullname] map[fullname:2] true"},
			{r: Rectification{Values: set("Person Number 2")}, want: "2 [fullname] map[] true"},
			{r: Rectification{Values: Values{Clear: []string{"description"}, Set: map[string]string{"fullname": "Right"}}}, want: "2 [description fullname] map[description:2 fullname:2] true"},
			{r: Rectification{Values: set("Right"), To: first}, want: "2 [fullname] map[fullname:1] false"},
			{r: Rectification{Values: set("Right"), From: last}, want: "2 [fullname] map[fullname:1] true"},
			{r: Rectification{Values: Values{Clear: []string{"description"}, Only: map[string]string{"description": "round 0, knows person number 3"}}}, want: "2 [description] map[description:1] false"},
			{r: Rectification{Values: set("Right"), From: last, To: first}, kind: allod.Invalid},
			{r: Rectification{}, kind: allod.Invalid},
			{r: Rectification{Values: Values{Clear: []string{"nothing"}}}, kind: allod.NotFound},
			{r: Rectification{Values: Values{Clear: []string{"fullname"}, Set: map[string]string{"fullname": "secret"}}}, kind: allod.Invalid},
			{r: Rectification{Values: Values{Set: map[string]string{"managerid": "secret"}}}, kind: allod.Invalid},
			{r: Rectification{Values: Values{Set: map[string]string{"fullname": "x"}, Only: map[string]string{"description": "secret"}}}, kind: allod.Invalid},
		} {
			tc.r.Environment, tc.r.Table, tc.r.ID = "prod", "contacts", id(2).String()
			p, err := MakeRectify(t.Context(), o, tc.r)
			if err != nil || tc.kind != 0 {
				if err == nil || allod.KindOf(err) != tc.kind || strings.Contains(err.Error()+allod.HintOf(err), "secret") {
					t.Errorf("%+v: got %v, want kind %v and no value", tc.r, err, tc.kind)
				}
				continue
			}
			live := strings.Contains(fmt.Sprint(p.Warnings), "in the source as well") || len(p.Counts) == 0
			if got := fmt.Sprint(p.Versions, p.Columns, p.Counts, live); got != tc.want {
				t.Errorf("%+v: got %s, want %s", tc.r, got, tc.want)
			}
		}
		_, err = MakeRectify(t.Context(), o, Rectification{Environment: "prod", Table: "contact", ID: id(9).String(), Values: set("x")})
		if allod.KindOf(err) != allod.NotFound {
			t.Errorf("a record that was never stored: got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadValues(t *testing.T) {
	v, err := ReadValues(strings.NewReader(`{"set":{"a":"x","n":12.50,"b":true},"clear":["c"],"only":{"a":"y"}}`))
	if err != nil || v.Set["a"] != "x" || v.Set["n"] != "12.50" || v.Set["b"] != "true" || v.Clear[0] != "c" || v.Only["a"] != "y" {
		t.Errorf("got %+v, %v", v, err)
	}
	for _, bad := range []string{"", "secret", `{"set":{"a":["secret"]}}`, `{"secret":1}`, `{"set":{"a":"x"}} secret`, `{"set":{"a":null}}`} {
		if _, err := ReadValues(strings.NewReader(bad)); allod.KindOf(err) != allod.Invalid || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want kind invalid and no value", bad, err)
		}
	}
	if _, err := ReadValues(io.LimitReader(zeros{}, maxValues+10)); allod.KindOf(err) != allod.Invalid {
		t.Errorf("too long: got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestEraseTakesCorrections erases a record with a correction that was kept for
// restores: its values go in the same step.
func TestEraseTakesCorrections(t *testing.T) {
	b := newBench(t)
	b.fill()
	err := b.with(func(o *act.Office) error {
		e, err := b.askRectify(o, Rectification{Values: set("Right"), Keep: true})
		if err != nil || e != nil {
			return fmt.Errorf("got %+v, %w", e, err)
		}
		all, err := Corrections(t.Context(), o)
		if err != nil || len(all) != 1 || all[0].Record != id(2).String() || !all[0].Ended.IsZero() {
			return fmt.Errorf("got %+v, %w", all, err)
		}
		asked, err := b.ask(o, true, 2)
		if err == nil {
			_, err = Run(t.Context(), o, &asked.ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := b.values(); n != 0 {
		t.Errorf("corrections that open: got %d, want none", n)
	}
}

// TestEraseOvertakesARectification erases a record whose correction waits: that
// one ends by itself, and nobody tries to carry it out.
func TestEraseOvertakesARectification(t *testing.T) {
	b := newBench(t)
	b.fill()
	err := b.with(func(o *act.Office) error {
		waits, err := b.askRectify(o, Rectification{Values: set("Right")})
		if err != nil {
			return err
		}
		b.wait(time.Hour)
		asked, err := b.ask(o, true, 2)
		if err != nil {
			return err
		}
		if _, err := Run(t.Context(), o, &asked.ID); err != nil {
			return err
		}
		b.wait(100 * time.Hour)
		if n, err := Carry(t.Context(), o); err != nil || n != 0 {
			return fmt.Errorf("carried on: got %d, %w", n, err)
		}
		now, err := Find(t.Context(), o, waits.ID.String())
		if err == nil && now.Next.Step != rights.StepNone {
			err = fmt.Errorf("got %+v, want nothing to be done", now.Next)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := b.values(); n != 0 {
		t.Errorf("corrections that open: got %d, want none", n)
	}
}

// TestEveryCallOfARectificationFails lets calls fail in turn while an urgent
// one is asked for and carried out, both ways, with the process gone from there
// on: the next process finds the old value or the new one and carries it to its
// end exactly once.
func TestEveryCallOfARectificationFails(t *testing.T) {
	step := 61
	if os.Getenv("ALLOD_INTEGRATION") != "" {
		step = 11
	}
	const before, after = "Person Number 2, Person Number 2", "Right, Right"
	ends := map[string]int{}
	for _, where := range []string{"vault", "slots"} {
		for _, mode := range []fault.Mode{fault.NotDone, fault.DoneButFailed} {
			for k := 1 + int(mode); ; k += step {
				b := newBench(t)
				b.fill()
				b.fault, b.last = map[string]fault.Fault{"vault": {Call: -1}, "slots": {Call: -1}}, map[string]*fault.Store{}
				b.fault[where] = fault.Fault{Call: k, Mode: mode, Down: true}
				failed := b.with(func(o *act.Office) error {
					e, err := b.askRectify(o, Rectification{Values: set("Right"), Urgent: true})
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
				found := b.names(2)
				if ends[found]++; found != before && found != after {
					t.Fatalf("%s: got %s", what, found)
				}
				err := b.with(func(o *act.Office) error {
					all, err := List(t.Context(), o)
					if err == nil && len(all) == 0 { // it was lost before it was recorded
						_, err = b.askRectify(o, Rectification{Values: set("Right"), Urgent: true})
					}
					if err != nil {
						return err
					}
					done, err := Run(t.Context(), o, nil)
					if err == nil && (len(done) > 1 || len(done) == 1 && done[0].Final.IsZero()) {
						err = errors.New("it is not final")
					}
					return err
				})
				if err != nil {
					t.Fatalf("%s: carry on: %v", what, err)
				}
				if got := b.names(2); got != after {
					t.Fatalf("%s: at the end: got %s", what, got)
				}
				if n := b.values(); n != 0 {
					t.Fatalf("%s: corrections that open at the end: got %d, want none", what, n)
				}
			}
		}
	}
	if ends[before] == 0 || ends[after] == 0 {
		t.Errorf("ends: got %v, want both", ends)
	}
}

// TestTheLastGenerationBeginsARoot corrects and forgets the past of a record whose
// generations are used up: a new root is begun by itself.
func TestTheLastGenerationBeginsARoot(t *testing.T) {
	if testing.Short() {
		t.Skip("it destroys 255 generations")
	}
	b := newBench(t)
	b.fill()
	err := b.with(func(o *act.Office) error {
		v, g, _, deps := o.Inside()
		s, err := g.Open(t.Context(), gate.Request{Actor: deps.Actor, Action: gate.ActionErase, Purpose: allod.PurposeAnswerRequest, Resource: gate.Resource{Environment: "prod", Class: allod.ClassContent}})
		if err != nil {
			return err
		}
		p, err := Make(t.Context(), o, Request{Environment: "prod", Table: "contact", IDs: []string{id(2).String()}, Urgent: true})
		if err != nil {
			return err
		}
		for range 255 {
			if _, err := v.Erase(t.Context(), s, p.Tags(), vault.EraseOptions{Past: true}); err != nil {
				return err
			}
		}
		if _, err := b.askRectify(o, Rectification{Values: set("right"), Urgent: true}); err != nil {
			return err
		}
		done, err := Run(t.Context(), o, nil)
		if err != nil {
			return err
		}
		if len(done) != 1 || done[0].Committed.IsZero() {
			t.Errorf("got %+v, want it carried out", done)
		}
		status, err := v.Status(t.Context())
		if len(status.Roots) != 2 {
			t.Errorf("got %d roots, want 2", len(status.Roots))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = b.with(func(o *act.Office) error {
		_, row, err := o.Get(t.Context(), act.Moment{Environment: "prod"}, "contact", id(2).String())
		if err == nil && row.Cell(0).Text() != "right" {
			t.Errorf("the record: got %s, want right", row.Cell(0).Text())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
