package capture

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"allod"
	"allod/internal/source"
)

// secureWhile secures the names of accounts, without a permission for the
// caller, before some page of a read is answered, and opens them again before
// the next look at the rights, the schema or another table: so many times.
func (r *rig) secureWhile(at string, page, times int) *int {
	var mu sync.Mutex // pages are read ahead of what judges them
	left, on := times, false
	open := func() {
		if on {
			on = false
			r.secure("account", "name", false)
		}
	}
	r.beforeRow = func(table, what string, n int) error {
		mu.Lock()
		defer mu.Unlock()
		if open(); table == "account" && what == at && n == page && left > 0 {
			left, on = left-1, true
			r.secure("account", "name", true)
		}
		return nil
	}
	r.noRights = func() error {
		mu.Lock()
		defer mu.Unlock()
		open()
		return nil
	}
	return &left
}

// flipCases are the ways in which rows of accounts are read.
var flipCases = map[string]struct {
	rows, more  int // more rows once there is a token
	at          string
	page        int
	o           Options
	storedFirst bool // all rows are stored before
}{
	"first read":           {rows: 95, at: "start", page: 3},
	"first read, one page": {rows: 5, at: "start"},
	"long first read":      {rows: 1100, at: "start", page: 4},
	"first read in parts":  {rows: 95, at: "start", page: 3, o: Options{Checkpoint: 20}},
	"full read":            {rows: 95, at: "start", page: 3, o: Options{Full: true}, storedFirst: true},
	"delta":                {rows: 5, more: 3, at: "delta", storedFirst: true},
	"rows by id":           {rows: 95, more: 3, at: "get", storedFirst: true},
}

func (r *rig) flipCase(name string) Options {
	c := flipCases[name]
	r.fill("account", 0, c.rows)
	r.page = max(10, c.rows/10)
	if c.storedFirst {
		r.backup()
		for n := range c.more {
			r.put("account", n, "changed")
		}
	}
	return c.o
}

// A column that is secured after a run has read the schema and opened again
// before it ends: what was hidden meanwhile is no null. It is read again in the
// same run, as often as that happens but not for ever.
func TestSecuredAndOpenedWhileItIsRead(t *testing.T) {
	for name, c := range flipCases {
		for _, times := range []int{1, 2, 100} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				o := r.flipCase(name)
				left := r.secureWhile(c.at, c.page, times)
				res := r.backupWith(o)
				if *left == times {
					t.Fatalf("nothing was hidden: %v", r.asked)
				}
				if slices.Contains(gaps(res, "account"), allod.GapConcurrentlyChanged) {
					if *left > 0 && times < 100 {
						t.Errorf("hidden %d times, and not read again: %v", times-*left, r.asked)
					}
					wantPartial(t, res, true)
					r.beforeRow, r.noRights = nil, nil
					r.secure("account", "name", false)
					res = r.backup()
				}
				wantGaps(t, res, "account")
				wantPartial(t, res, false)
				r.same("account")
			})
		}
	}
}

// A column that is secured in a run and stays so: what the reader does not see
// is absent, in the snapshot of this very run.
func TestSecuredWhileItIsRead(t *testing.T) {
	for name, c := range flipCases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			o := r.flipCase(name)
			if c.storedFirst {
				r.remove("account", c.rows-1) // said by the token alone, before the table is read whole
			}
			r.beforeRow = func(table, what string, n int) error {
				if table == "account" && what == c.at && n == c.page && len(r.flips) == 0 {
					r.secure("account", "name", true)
				}
				return nil
			}
			res := r.backupWith(o)
			wantGaps(t, res, "account", allod.GapColumnSecured)
			for k, row := range r.stored("account") {
				if v := row.Cell(1); v.IsNull() {
					t.Fatalf("row %s: a hidden value is stored as null", k)
				}
			}
			r.secure("account", "name", false)
			wantGaps(t, r.backup(), "account")
			r.same("account")
		})
	}
}

// A run that is cut off has stored rows that nobody judged: the run that goes on
// with it judges them, by the mark of the first.
func TestCutOffBeforeItIsJudged(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 95)
	r.fill("contact", 0, 200) // read after account
	cut := true
	r.beforeRow = func(table, what string, n int) error {
		switch {
		case table == "account" && what == "start" && n == 3:
			r.secure("account", "name", true)
		case table == "account" && what == "start" && n == 7:
			r.secure("account", "name", false)
		case table == "contact" && cut:
			return &fatalError{unavailable()}
		}
		return nil
	}
	if res, err := r.run(t.Context(), Options{Checkpoint: 20, CommitBytes: 1}); err == nil {
		t.Fatalf("the run was not cut off: %+v", res)
	}
	cut, r.beforeRow = false, nil
	wantGaps(t, r.backup(), "account")
	r.same("account")
	r.backup()
	if slices.Contains(r.asked, "account start") {
		t.Errorf("judged a second time: %v", r.asked)
	}
}

// A service that does not tell what changed in the schema: nulls are in doubt,
// the snapshot says so, and rows are read again until it does.
func TestSchemaChangesAreNotTold(t *testing.T) {
	for name, c := range flipCases {
		for _, never := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, never %v", name, never), func(t *testing.T) {
				r := newRig(t)
				o := r.flipCase(name)
				asked := 0
				r.marks = func(mark string) error {
					if never {
						return allod.Errorf(allod.Denied, "no right")
					}
					if mark != "" && asked == 0 {
						asked++
						return source.ErrMarkExpired
					}
					return nil
				}
				for range 2 {
					left := r.secureWhile(c.at, c.page, 1)
					res := r.backupWith(o)
					if *left > 0 && !never {
						t.Fatalf("nothing was hidden: %v", r.asked)
					}
					if wantPartial(t, res, never); !never {
						r.same("account")
						return
					}
					wantGaps(t, res, "account", allod.GapConcurrentlyChanged)
				}
				r.beforeRow, r.noRights, r.marks = nil, nil, nil
				r.secure("account", "name", false)
				wantPartial(t, r.backup(), false)
				r.same("account")
			})
		}
	}
}

// What cannot be asked ends the run, and the next judges what it read.
func TestSchemaChangesCannotBeAskedFor(t *testing.T) {
	r := newRig(t)
	r.flipCase("delta")
	r.secureWhile("delta", 0, 1)
	r.marks = func(mark string) error {
		if mark == "" {
			return nil
		}
		return unavailable()
	}
	if res, err := r.run(t.Context(), Options{}); allod.KindOf(err) != allod.Unavailable || res.Complete {
		t.Fatalf("got %v, complete %v", err, res.Complete)
	}
	r.marks, r.beforeRow, r.noRights = nil, nil, nil
	wantPartial(t, r.backup(), false)
	r.same("account")
}
