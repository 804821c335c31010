package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/erasure"
	"allod/internal/act/restriction"
	"allod/internal/act/undo"
	"allod/internal/capture"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/govern/gate"
	"allod/internal/vault/verify"
)

// TestRegister plays sequences of everything that could bring back what rights
// forbid: captures, erasures, forgotten pasts, corrections, restrictions and their lifting, restores of any
// moment and undos of them, rows that the source makes again under their old ids, crashes, and
// stores that are turned back. Every value that is ever written is a text of its
// own; the oracle is a map from the text to why nobody may see it. After each
// step everything that opens is read, whole history and every snapshot.
//
// ALLOD_SEED repeats one sequence.
func TestRegister(t *testing.T) {
	seeds, steps := []uint64{1}, 12
	if os.Getenv("ALLOD_INTEGRATION") != "" {
		seeds, steps = []uint64{1, 3, 4}, 40
	}
	if s := os.Getenv("ALLOD_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds, steps = []uint64{n}, 45
	}
	for _, seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			w := newRegister(t, seed)
			for range steps {
				w.step()
			}
			w.end()
		})
	}
}

// marks are the texts in the two columns of a contact.
type marks struct{ job, note string }

// register is a small company, an Allod, and what both should be like.
type register struct {
	t    *testing.T
	rnd  *rand.Rand
	clk  *clock
	co   *company
	d    *desk
	n    int
	did  map[string]int
	tale []string

	ids    []string
	live   map[string]marks             // what the source has
	stored map[string][]marks           // what was captured, oldest first
	alive  map[string]bool              // at the last capture
	gone   map[string]bool              // erased for good
	never  map[string]string            // text → why the vault must not show it
	wrong  map[string]map[string]string // contact → text → why a restore must not write it
	shut   map[string]string            // contact → the container that restricts it
	older  string                       // a copy of the store and its slots, of before
}

var markPattern = regexp.MustCompile(`mark\d{5}x`)

func newRegister(t *testing.T, seed uint64) *register {
	t.Helper()
	clk := &clock{}
	model, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	server, err := emu.New(emu.Options{Model: model, Seed: seed, Now: clk.Now})
	if err != nil {
		t.Fatal(err)
	}
	w := &register{
		t: t, rnd: rand.New(rand.NewPCG(seed, 0x7e915)), clk: clk, co: serve(t, server), d: newDesk(t, clk), did: map[string]int{},
		live: map[string]marks{}, stored: map[string][]marks{}, alive: map[string]bool{}, gone: map[string]bool{}, shut: map[string]string{}, never: map[string]string{}, wrong: map[string]map[string]string{},
	}
	w.d.connect("prod", w.co.url)
	for range 6 {
		w.write(newID().String())
	}
	w.backup()
	return w
}

func (w *register) tell(format string, args ...any) {
	w.tale = append(w.tale, fmt.Sprintf(format, args...))
}

func (w *register) mark() string {
	w.n++
	return fmt.Sprintf("mark%05dx", w.n)
}

// write makes or changes a contact in the source.
func (w *register) write(id string) {
	m := marks{w.mark(), w.mark()}
	w.co.call("PATCH", "contacts("+id+")", map[string]any{"lastname": "Person", "jobtitle": m.job, "description": m.note})
	if !slices.Contains(w.ids, id) {
		w.ids = append(w.ids, id)
	}
	w.live[id] = m
	w.tell("the source writes %s: %v", id[:4], m)
}

func (w *register) anyone() string { return w.ids[w.rnd.IntN(len(w.ids))] }

// step does one thing, and looks at everything.
func (w *register) step() {
	w.clk.advance(time.Minute)
	id := w.anyone()
	what := []string{"change", "change", "backup", "backup", "full backup", "delete", "make again", "erase", "forget the past", "correct", "correct from here", "restore", "restore", "undo", "undo", "restrict", "restrict", "lift", "lift", "take back", "crash", "turn back"}[w.rnd.IntN(22)]
	did := true
	switch what {
	case "change":
		if did = w.live[id] != (marks{}); did {
			w.write(id)
		}
	case "backup", "full backup":
		w.capture(what == "full backup")
	case "delete":
		if did = w.live[id] != (marks{}); did {
			w.co.call("DELETE", "contacts("+id+")", nil)
			delete(w.live, id)
			w.tell("the source deletes %s", id[:4])
		}
	case "make again":
		if did = w.live[id] == (marks{}); did {
			w.write(id)
		}
	case "erase", "forget the past":
		did = w.erase(id, what == "forget the past")
	case "correct", "correct from here":
		did = w.correct(id, what == "correct from here")
	case "restore":
		w.restore()
	case "undo":
		did = w.undo()
	case "restrict":
		did = w.restrict(id)
	case "lift":
		did = w.lift(id)
	case "take back":
		did = w.takeBack(id)
	case "crash":
		w.d.reopen()
	case "turn back":
		w.turnBack()
	}
	if did {
		w.did[what]++
		w.look(what)
	}
}

func (w *register) backup() { w.capture(false) }

func (w *register) capture(full bool) {
	w.t.Helper()
	res, err := w.d.Backup(w.t.Context(), "prod", capture.Options{Tables: []string{"contact"}, Full: full})
	if err != nil && allod.KindOf(err) != allod.Partial {
		w.fail("a backup: %v", err)
	}
	returned := gap(res, "contact", allod.GapErasedReturned) != nil
	w.tell("backup, full %v: erased ones returned: %v", full, returned)
	for _, id := range w.ids {
		m := w.live[id]
		w.alive[id] = m != marks{}
		switch {
		case m == marks{}:
		case w.gone[id]:
			w.never[m.job], w.never[m.note] = "erased", "erased"
			if full && !returned {
				w.fail("%s is erased and in the source, and a full backup says nothing of it", id[:4])
			}
		case len(w.stored[id]) == 0 || w.stored[id][len(w.stored[id])-1] != m:
			w.stored[id] = append(w.stored[id], m)
		}
	}
}

// forbid says that the vault must not show any of the texts.
func (w *register) forbid(why string, all []marks) {
	for _, m := range all {
		w.never[m.job], w.never[m.note] = why, why
	}
}

func (w *register) erase(id string, past bool) bool {
	w.t.Helper()
	if w.gone[id] || len(w.stored[id]) == 0 || past && w.shut[id] != "" {
		return false
	}
	p, err := erasure.Make(w.t.Context(), w.d.Office, erasure.Request{Environment: "prod", Table: "contact", IDs: []string{id}, Past: past, Urgent: true})
	if err == nil {
		w.carry(p)
	} else {
		w.fail("plan to erase: %v", err)
	}
	w.tell("erase %s, past only %v", id[:4], past)
	if !past {
		w.gone[id] = true
		delete(w.shut, id)
		w.forbid("erased", w.stored[id])
		return true
	}
	all := w.stored[id]
	if w.alive[id] {
		all = all[:len(all)-1]
	}
	w.stored[id] = w.stored[id][len(all):]
	w.forbid("past forgotten", all)
	for _, m := range w.stored[id] { // what is kept may be what older versions were corrected to
		delete(w.never, m.job)
		delete(w.never, m.note)
	}
	return true
}

func (w *register) carry(p *erasure.Plan) {
	w.t.Helper()
	asked, err := erasure.Ask(w.t.Context(), w.d.Office, p, "request of the person")
	if err != nil {
		w.fail("ask: %v", err)
	}
	w.run(asked)
}

func (w *register) run(asked *erasure.Open) {
	w.t.Helper()
	if w.rnd.IntN(3) == 0 {
		w.d.reopen()
	}
	done, err := erasure.Run(w.t.Context(), w.d.Office, &asked.ID)
	if err != nil || len(done) != 1 || done[0].Final.IsZero() {
		w.fail("carry out: %+v, %v", done, err)
	}
}

// correct corrects the job of a contact in every backup, or only in what is
// restored from now on.
func (w *register) correct(id string, keep bool) bool {
	w.t.Helper()
	if w.gone[id] || len(w.stored[id]) == 0 || w.shut[id] != "" {
		return false
	}
	right := w.mark()
	p, err := erasure.MakeRectify(w.t.Context(), w.d.Office, erasure.Rectification{
		Environment: "prod", Table: "contact", ID: id, Values: erasure.Values{Set: map[string]string{"jobtitle": right}}, Keep: keep, Urgent: true, Ground: "request of the person",
	})
	if err != nil {
		w.fail("plan to correct: %v", err)
	}
	asked, err := erasure.AskRectify(w.t.Context(), w.d.Office, p)
	if err != nil {
		w.fail("ask to correct: %v", err)
	}
	w.tell("correct %s to %s, keep %v", id[:4], right, keep)
	if w.wrong[id] == nil {
		w.wrong[id] = map[string]string{}
	}
	for i, m := range w.stored[id] {
		w.wrong[id][m.job] = "corrected"
		if !keep {
			w.never[m.job] = "corrected"
			w.stored[id][i].job = right
		}
	}
	if !keep {
		w.run(asked)
	}
	if m, ok := w.live[id]; ok && m.job != right { // as the plan says: there too
		w.co.call("PATCH", "contacts("+id+")", map[string]any{"jobtitle": right})
		w.live[id] = marks{right, m.note}
	}
	return true
}

// takeBack asks for an erasure, which hides the record, and takes it back.
func (w *register) takeBack(id string) bool {
	w.t.Helper()
	if w.gone[id] || len(w.stored[id]) == 0 || w.shut[id] != "" {
		return false
	}
	p, err := erasure.Make(w.t.Context(), w.d.Office, erasure.Request{Environment: "prod", Table: "contact", IDs: []string{id}})
	if err != nil {
		w.fail("plan to erase: %v", err)
	}
	asked, err := erasure.Ask(w.t.Context(), w.d.Office, p, "request of the person")
	if err != nil {
		w.fail("ask: %v", err)
	}
	for text := range w.shown() {
		for _, m := range w.stored[id] {
			if text == m.note {
				w.fail("%s is asked to be erased, and %s is shown", id[:4], text)
			}
		}
	}
	if _, err := erasure.Cancel(w.t.Context(), w.d.Office, asked.ID); err != nil {
		w.fail("take back: %v", err)
	}
	w.tell("an erasure of %s is taken back", id[:4])
	return true
}

// restrict puts a contact into a container of its own.
func (w *register) restrict(id string) bool {
	w.t.Helper()
	if w.gone[id] || len(w.stored[id]) == 0 || w.shut[id] != "" {
		return false
	}
	w.n++
	name := "c" + strconv.Itoa(w.n)
	r := restriction.Request{Request: erasure.Request{Environment: "prod", Table: "contact", IDs: []string{id}}, Container: name, Holders: []string{"file:keys/" + name}}
	p, err := erasure.Make(w.t.Context(), w.d.Office, r.Request)
	if err != nil {
		w.fail("plan to restrict: %v", err)
	}
	if _, err := restriction.Restrict(w.t.Context(), w.d.Office, p, r); err != nil {
		w.fail("restrict: %v", err)
	}
	w.shut[id] = r.Container
	w.tell("restrict %s in %s", id[:4], r.Container)
	return true
}

// lift shows a contact again, with what was captured meanwhile.
func (w *register) lift(id string) bool {
	w.t.Helper()
	if w.shut[id] == "" {
		for _, id = range slices.Sorted(maps.Keys(w.shut)) {
			break
		}
	}
	name := w.shut[id]
	if name == "" {
		return false
	}
	if _, err := restriction.Lift(w.t.Context(), w.d.Office, restriction.LiftRequest{Container: name, Key: "file:keys/" + name, Told: w.clk.Now()}); err != nil {
		w.fail("lift: %v", err)
	}
	delete(w.shut, id)
	w.tell("lift %s from %s", id[:4], name)
	return true
}

// restore brings everything of some moment back to the source.
func (w *register) restore() {
	w.t.Helper()
	snaps, err := w.d.Snapshots(w.t.Context(), "prod")
	if err != nil {
		w.fail("list: %v", err)
	}
	from := snaps[w.rnd.IntN(len(snaps))].ID
	before := maps.Clone(w.live)
	r := act.RestoreRequest{From: at("prod", from), Selection: act.RestoreSelection{All: true}, Conflict: "backup"}
	if w.rnd.IntN(2) == 0 {
		r.Selection = act.RestoreSelection{Table: "contact", IDs: []string{w.anyone()}}
	}
	pl, err := w.d.PlanRestore(w.t.Context(), r)
	if err == nil {
		_, err = w.d.Restore(w.t.Context(), r, pl, act.RestoreControl{})
	}
	if k := allod.KindOf(err); err != nil && k != allod.NotFound && k != allod.Partial && k != allod.Conflict {
		w.fail("restore from %d: %v", from, err)
	}
	w.wrote(fmt.Sprintf("restore from %d", from), before, err)
}

// undo takes one of the restores, or undos, back, whatever was touched since.
func (w *register) undo() bool {
	w.t.Helper()
	all, err := undo.List(w.t.Context(), w.d.Office, "prod")
	if err != nil {
		w.fail("list restores: %v", err)
	}
	all = slices.DeleteFunc(all, func(r undo.Restore) bool { return !r.CanUndo })
	if len(all) == 0 {
		return false
	}
	r := undo.Request{ID: all[w.rnd.IntN(len(all))].ID, Conflict: "backup"}
	before := maps.Clone(w.live)
	u, err := undo.Make(w.t.Context(), w.d.Office, r)
	if err == nil {
		_, err = u.Run(w.t.Context(), act.RestoreControl{})
	}
	if k := allod.KindOf(err); err != nil && k != allod.NotFound && k != allod.Partial && k != allod.Conflict {
		w.fail("undo %s: %v", r.ID, err)
	}
	w.wrote("undo of "+r.ID, before, err)
	return true
}

// wrote looks at what a restore or an undo has written to the source.
func (w *register) wrote(what string, before map[string]marks, err error) {
	w.t.Helper()
	w.tell("%s: %v", what, err)
	w.live = map[string]marks{}
	for _, row := range w.co.rows("contacts", "?$select=contactid,jobtitle,description") {
		id := row["contactid"].(string)
		job, _ := row["jobtitle"].(string)
		note, _ := row["description"].(string)
		w.live[id] = marks{job, note}
	}
	for id, m := range w.live {
		if m == before[id] {
			continue
		}
		if w.gone[id] {
			w.fail("%s wrote %s, which is erased: %v", what, id[:4], m)
		}
		if w.shut[id] != "" {
			w.fail("%s wrote %s, which is restricted: %v", what, id[:4], m)
		}
		for _, text := range []string{m.job, m.note} {
			if why := w.never[text]; why != "" {
				w.fail("%s wrote %s to %s: %s", what, text, id[:4], why)
			}
		}
		if why := w.wrong[id][m.job]; why != "" {
			w.fail("%s wrote %s to %s: %s", what, m.job, id[:4], why)
		}
	}
}

// turnBack puts an older copy of store and slots in the place of today's: the
// Allod must notice it. Then today's are put back.
func (w *register) turnBack() {
	w.t.Helper()
	folders := []string{"vault", "slots"}
	copyTo := func(to, from string) {
		for _, name := range folders {
			if err := errors.Join(os.RemoveAll(filepath.Join(to, name)), os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(from, name)))); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	if err := w.d.Close(); err != nil {
		w.t.Fatal(err)
	}
	now := w.t.TempDir()
	copyTo(now, w.d.dir)
	if w.older != "" {
		copyTo(w.d.dir, w.older)
		o, err := act.Open(w.t.Context(), w.d.dir, w.d.deps)
		if allod.KindOf(err) != allod.Corrupt {
			w.fail("a store that was turned back opens: %v", err)
		}
		if err == nil {
			_ = o.Close() // the test has failed
		}
		copyTo(w.d.dir, now)
	}
	w.older = now
	w.d.Office = nil
	w.d.reopen()
}

// shown is every text that anything of the vault opens.
func (w *register) shown() map[string]bool {
	w.t.Helper()
	v, g, _, deps := w.d.Office.Inside()
	s, err := g.Open(w.t.Context(), gate.Request{Actor: deps.Actor, Action: gate.ActionRead, Purpose: allod.PurposeAnswerRequest, Resource: gate.Resource{Environment: "prod", Class: allod.ClassContent}})
	if err != nil {
		w.fail("open the gate: %v", err)
	}
	snap, err := v.At(w.t.Context(), s, "prod", 0)
	if err != nil {
		w.fail("open the newest: %v", err)
	}
	out := map[string]bool{}
	see := func(row *allod.Row) {
		for _, c := range row.Cells {
			for _, text := range markPattern.FindAllString(c.String(), -1) {
				out[text] = true
			}
		}
	}
	for version, err := range snap.Versions(w.t.Context(), "contact") {
		if err != nil {
			w.fail("read every version: %v", err)
		}
		if version.Row != nil {
			see(version.Row)
		}
	}
	snaps, err := w.d.Snapshots(w.t.Context(), "prod")
	if err != nil {
		w.fail("list: %v", err)
	}
	for _, one := range snaps {
		_, rows, err := w.d.Rows(w.t.Context(), at("prod", one.ID), "contact", "", 0)
		if allod.KindOf(err) == allod.NotFound {
			continue // an entry before the table was read
		}
		if err != nil {
			w.fail("rows of %d: %v", one.ID, err)
		}
		for row, err := range rows {
			if err != nil {
				w.fail("rows of %d: %v", one.ID, err)
			}
			see(&row)
		}
	}
	return out
}

// look compares what opens with what may be seen: nothing that is forbidden, and
// all that is stored and not forbidden.
func (w *register) look(after string) {
	w.t.Helper()
	shown := w.shown()
	for text := range shown {
		if why := w.never[text]; why != "" {
			w.fail("after %q: %s is shown: %s", after, text, why)
		}
	}
	for id, all := range w.stored {
		if w.gone[id] {
			continue
		}
		for _, m := range all {
			if w.shut[id] != "" {
				if shown[m.note] || shown[m.job] {
					w.fail("after %q: %v of %s is shown, which is restricted", after, m, id[:4])
				}
				continue
			}
			if w.never[m.note] == "" && !shown[m.note] {
				w.fail("after %q: %s of %s is lost", after, m.note, id[:4])
			}
		}
	}
}

func (w *register) end() {
	w.t.Helper()
	w.capture(true)
	w.look("the end")
	rep, err := w.d.Verify(w.t.Context(), verify.Options{Sample: 1})
	if err != nil || len(rep.Bad) != 0 {
		w.fail("verify: %+v, %v", rep.Bad, err)
	}
	w.t.Logf("%v; %d texts, %d of them forbidden", w.did, w.n, len(w.never))
}

func (w *register) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf(format+"\n  "+strings.Join(w.tale, "\n  "), args...)
}
