package capture

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"allod"
)

// mark remembers the present; the function it returns puts the environment back
// to it, after which life goes on beyond the old row versions.
func (r *rig) mark() (rewind func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows, log, version := map[string]map[allod.GUID]allod.Row{}, slices.Clone(r.log), r.version
	for table, list := range r.rows {
		rows[table] = maps.Clone(list)
	}
	return func() {
		r.change(func() { r.rows, r.log, r.version = rows, log, version })
		r.fill("contact", 200, 260)
	}
}

// during does something once, when contacts are read: accounts are read then.
func (r *rig) during(do func()) {
	done := false
	r.beforeRow = func(table, what string, _ int) error {
		if table == "contact" && what == "start" && !done {
			done = true
			do()
		}
		return nil
	}
}

func count(list []string, what string) int {
	n := 0
	for _, x := range list {
		if x == what {
			n++
		}
	}
	return n
}

// An environment that is put back to an earlier moment while it is read, and
// goes on beyond its old row versions: the run is not complete and the next
// begins a new line, whatever it was that was taken back.
func TestPutBackWhileItIsRead(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"new rows":                  func(r *rig) { r.fill("account", 50, 53) },
		"many new rows":             func(r *rig) { r.fill("account", 50, 90) },
		"changed rows":              func(r *rig) { r.fill("account", 3, 5) },
		"deleted rows":              func(r *rig) { r.remove("account", 3) },
		"deleted and changed rows":  func(r *rig) { r.remove("account", 3); r.fill("account", 10, 30) },
		"rows deleted and new ones": func(r *rig) { r.remove("account", 3); r.fill("account", 50, 51) },
	} {
		for _, full := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, full %v", name, full), func(t *testing.T) {
				r := newRig(t)
				r.fill("account", 0, 20)
				r.fill("contact", 0, 40)
				r.backup()
				rewind := r.mark()
				change(r)
				r.during(rewind)
				res, err := r.run(t.Context(), Options{Full: full})
				if allod.KindOf(err) != allod.Partial || res.Complete {
					t.Fatalf("a run over two pasts: complete %t, %v", res.Complete, err)
				}
				r.beforeRow = nil
				if res := r.backup(); res.Line != 2 || res.LineReason == "" || !res.Complete {
					t.Errorf("line %d, reason %q, complete %t; want a new line", res.Line, res.LineReason, res.Complete)
				}
				r.same("account")
				r.same("contact")
			})
		}
	}
}

// What was taken back was changed, or made, again since: such a row has not got
// older. The next run sees that nothing was said of it.
func TestPutBackAndTouchedAgain(t *testing.T) {
	for _, full := range []bool{false, true} {
		for name, again := range map[string]func(r *rig){
			"changed":          func(r *rig) { r.put("account", 3, "another life") },
			"back and changed": func(r *rig) { r.put("account", 5, "another life") },
		} {
			t.Run(fmt.Sprintf("%s, full %v", name, full), func(t *testing.T) {
				r := newRig(t)
				r.fill("account", 0, 20)
				r.fill("contact", 0, 40)
				r.backup()
				rewind := r.mark()
				if r.put("account", 3, "after the mark"); name != "changed" {
					r.put("account", 3, "after the mark")
					r.remove("account", 5)
				}
				r.fill("contact", 100, 190)
				r.during(func() {
					rewind()
					if again(r); name != "changed" {
						r.put("account", 3, "another life")
					}
					r.fill("contact", 300, 400)
				})
				res, err := r.run(t.Context(), Options{Full: full})
				if err == nil {
					wantGaps(t, res, "account", allod.GapConcurrentlyChanged)
				} else if allod.KindOf(err) != allod.Partial {
					t.Fatal(err)
				}
				r.beforeRow = nil
				if res := r.backup(); res.Line != 2 || res.LineReason == "" || !res.Complete {
					t.Errorf("line %d, reason %q, complete %t; want a new line", res.Line, res.LineReason, res.Complete)
				}
				r.same("account")
				r.same("contact")
			})
		}
	}
}

// Rows that are deleted, or come back, while the rest is read are no reason for
// a new line; asking costs one request for their table, and nothing where the
// deletion was said before.
func TestDeletedWhileItIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		before, during func(r *rig)
		o              Options
		deltas         int // requests by token for accounts
	}{
		"nothing":                      {deltas: 1},
		"new rows, deleted meanwhile":  {before: func(r *rig) { r.fill("account", 50, 53) }, during: func(r *rig) { r.remove("account", 51) }, deltas: 2},
		"the same, all read":           {before: func(r *rig) { r.fill("account", 50, 53) }, during: func(r *rig) { r.remove("account", 51) }, o: Options{Full: true}, deltas: 2},
		"newest deleted before":        {before: func(r *rig) { r.remove("account", 19); r.fill("account", 50, 51) }, deltas: 1},
		"all newest deleted before":    {before: func(r *rig) { r.removeAll("account", 8, 20); r.fill("account", 50, 51) }, deltas: 1},
		"the same again, all read":     {before: func(r *rig) { r.removeAll("account", 8, 20); r.fill("account", 50, 51) }, o: Options{Full: true}},
		"deleted before, comes back":   {before: func(r *rig) { r.remove("account", 3) }, during: func(r *rig) { r.put("account", 3, "back") }, deltas: 2},
		"the same once more, all read": {before: func(r *rig) { r.remove("account", 3) }, during: func(r *rig) { r.put("account", 3, "back") }, o: Options{Full: true}, deltas: 2},
		"new rows, changed meanwhile":  {before: func(r *rig) { r.fill("account", 50, 53) }, during: func(r *rig) { r.put("account", 51, "again") }, deltas: 2},
		"old rows changed meanwhile":   {before: func(r *rig) { r.fill("account", 50, 53) }, during: func(r *rig) { r.put("account", 2, "again") }, deltas: 1},
		"the same row before":          {before: func(r *rig) { r.put("account", 51, "first") }, during: func(r *rig) { r.put("account", 51, "again"); r.remove("account", 51) }, deltas: 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fill("contact", 0, 40)
			r.fill("account", 0, 20)
			r.backup()
			if c.before != nil {
				c.before(r)
			}
			if c.during != nil {
				r.during(func() { c.during(r) })
			}
			r.backupWith(c.o)
			if got := count(r.asked, "account delta"); got != c.deltas {
				t.Errorf("accounts were read by token %d times, want %d: %v", got, c.deltas, r.asked)
			}
			r.beforeRow = nil
			for range 3 { // nor is it one later
				if res := r.backup(); res.Line != 1 || !res.Complete {
					t.Errorf("line %d because %q, complete %t", res.Line, res.LineReason, res.Complete)
				}
			}
			r.same("account")
			r.same("contact")
		})
	}
}

func (r *rig) removeAll(table string, from, to int) {
	for n := from; n < to; n++ {
		r.remove(table, n)
	}
}

// A deletion that the source says late makes a run incomplete, and no new line.
func TestDeletionSaidLate(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 20)
	r.fill("contact", 0, 40)
	r.backup()
	r.fill("account", 50, 53)
	var late []fakeChange
	r.during(func() {
		r.remove("account", 51)
		r.change(func() { late, r.log = r.log[len(r.log)-1:], r.log[:len(r.log)-1] })
	})
	res, err := r.run(t.Context(), Options{})
	if allod.KindOf(err) != allod.Partial || res.Complete || !strings.Contains(err.Error(), "gone") {
		t.Fatalf("complete %t, %v", res.Complete, err)
	}
	r.beforeRow = nil
	r.change(func() { late[0].version = r.version + 1; r.version++; r.log = append(r.log, late...) })
	if res := r.backup(); res.Line != 1 || !res.Complete || res.Deleted != 1 {
		t.Errorf("line %d because %q, complete %t, %d deleted", res.Line, res.LineReason, res.Complete, res.Deleted)
	}
	r.same("account")
}

// A run that is killed has no look at the end; the next one has.
func TestPutBackBeforeARunIsCutOff(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 20)
	r.fill("contact", 0, 40)
	r.backup()
	rewind := r.mark()
	r.fill("account", 50, 53)
	r.during(rewind)
	ctx, cancel := context.WithCancel(t.Context())
	restore := r.beforeRow
	r.beforeRow = func(table, what string, n int) error {
		if table == "contact" && n == 1 {
			cancel()
			return ctx.Err()
		}
		return restore(table, what, n)
	}
	if _, err := r.run(ctx, Options{CommitEvery: 1}); err == nil {
		t.Fatal("the run was not cut off")
	}
	r.beforeRow = nil
	if _, err := r.run(t.Context(), Options{}); allod.KindOf(err) != allod.Partial {
		t.Fatalf("a vault over two pasts: %v", err)
	}
	if res := r.backup(); res.Line != 2 || !res.Complete {
		t.Errorf("line %d because %q, complete %t; want a new line", res.Line, res.LineReason, res.Complete)
	}
	r.same("account")
	r.same("contact")
}

// A table that could not be read, and whose token has expired, says nothing of
// rows that are gone.
func TestFailedTableSaysNothingOfThePast(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 20)
	r.backup()
	r.remove("account", 19)
	r.fill("contact", 0, 3)
	r.change(func() { r.oldest = r.version })
	r.beforeRow = func(table, what string, _ int) error {
		if table == "account" && what == "start" {
			return unavailable()
		}
		return nil
	}
	wantGaps(t, r.backup(), "account", allod.GapTableFailed, allod.GapTrackingExpired)
	r.beforeRow = nil
	if res := r.backup(); res.Line != 1 || !res.Complete {
		t.Errorf("line %d because %q, complete %t", res.Line, res.LineReason, res.Complete)
	}
	r.same("account")
}

// The same when the run is killed before it can look: what was changed again by
// then is not as it was read, and nothing says so.
func TestTouchedAgainBeforeARunIsCutOff(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 20)
	r.fill("contact", 0, 40)
	r.backup()
	rewind := r.mark()
	r.put("account", 3, "after the mark")
	r.fill("contact", 100, 190)
	r.during(func() {
		rewind()
		r.put("account", 3, "another life")
		r.fill("contact", 300, 400)
	})
	ctx, cancel := context.WithCancel(t.Context())
	restore := r.beforeRow
	r.beforeRow = func(table, what string, n int) error {
		if table == "contact" && n == 1 {
			cancel()
			return ctx.Err()
		}
		return restore(table, what, n)
	}
	if _, err := r.run(ctx, Options{CommitEvery: 1}); err == nil {
		t.Fatal("the run was not cut off")
	}
	r.beforeRow = nil
	wantGaps(t, r.backup(), "account", allod.GapConcurrentlyChanged)
	if res := r.backup(); res.Line != 2 || !res.Complete {
		t.Errorf("line %d because %q, complete %t; want a new line", res.Line, res.LineReason, res.Complete)
	}
	r.same("account")
	r.same("contact")
}

// Nothing that was read is taken back, and yet tokens that were given out before
// hide what is changed after: they do not go on from one another.
func TestTokensWentBack(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := newRig(t)
		r.schema.Tables[1].Tracking, r.dates = true, true
		r.fill("account", 0, 20)
		r.fill("contact", 0, 40)
		r.backup()
		rewind := r.mark()
		r.fill("contact", 100, 190)
		back := func() {
			rewind() // sixty rows further
			r.put("account", 3, "hidden by the token")
		}
		r.beforeRow = func(table, what string, _ int) error {
			if table == "contact" && what == "delta" && !late {
				r.beforeRow = nil
				back()
			}
			return nil
		}
		if _, err := r.run(t.Context(), Options{}); late == (err != nil) {
			t.Fatalf("put back after the run %v: %v", late, err)
		}
		if r.beforeRow = nil; late {
			back() // and the environment has not come as far as the last token yet
		}
		if res := r.backup(); res.Line != 2 || !res.Complete {
			t.Errorf("put back after the run %v: line %d because %q, complete %t; want a new line", late, res.Line, res.LineReason, res.Complete)
		}
		r.same("account")
		r.same("contact")
	}
}

// A token that comes with the last page is as old as the first one, and older
// than those that other tables had meanwhile: nothing went back.
func TestTokenOfALongRead(t *testing.T) {
	r := newRig(t)
	r.schema.Tables[1].Tracking, r.dates = true, true
	r.fill("account", 0, 95)
	r.fill("contact", 0, 5)
	begun, done := make(chan struct{}), make(chan struct{})
	var first, last sync.Once
	r.beforeRow = func(table, what string, n int) error {
		switch {
		case table == "account" && what == "start" && n == 1:
			first.Do(func() {
				close(begun)
				<-done
			})
		case table == "contact" && what == "start":
			<-begun
			r.put("contact", 6, "later")
		}
		return nil
	}
	res, err := r.run(t.Context(), Options{Parallel: 2, Progress: func(p Progress) {
		if p.TablesDone > 0 {
			last.Do(func() { close(done) })
		}
	}})
	if err != nil || !res.Complete {
		t.Fatalf("complete %t: %v", res.Complete, err)
	}
	r.same("account")
}
