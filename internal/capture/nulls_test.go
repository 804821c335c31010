package capture

import (
	"slices"
	"testing"

	"allod"
	"allod/internal/source"
)

// hideOnce hides the secrets of accounts from some page of a read on, and shows
// them again before anybody asks what may be seen. It says whether it did.
func (r *rig) hideOnce(at string, page int) *bool {
	done := new(bool)
	r.beforeRow = func(table, what string, n int) error {
		if table == "account" && what == at && n == page && !*done {
			*done = true
			r.change(func() { r.rights.Hidden["account"] = []string{"secret"} })
		}
		return nil
	}
	r.noRights = func() error {
		r.change(func() { delete(r.rights.Hidden, "account") })
		return nil
	}
	return done
}

// A column that is hidden and shown again while its table is read, so that the
// rights are the same before and after: its nulls are not believed.
func TestHiddenAndShownWhileItIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		rows, more  int // more rows once there is a token
		at          string
		page        int
		o           Options
		wantAgain   bool // the read begins again
		storedFirst bool // all rows are stored before
	}{
		"first read":           {rows: 95, at: "start", page: 3},
		"first read, one page": {rows: 5, at: "start"},
		"long first read":      {rows: 2500, at: "start", page: 4, wantAgain: true},
		"full read":            {rows: 95, at: "start", page: 3, o: Options{Full: true}, storedFirst: true},
		"delta":                {rows: 5, more: 3, at: "delta", storedFirst: true},
		"rows by id":           {rows: 95, more: 3, at: "get", storedFirst: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fill("account", 0, c.rows)
			r.page = max(10, c.rows/10)
			if c.storedFirst {
				r.backup()
				for n := range c.more {
					r.put("account", n, "changed")
				}
			}
			done := r.hideOnce(c.at, c.page)
			res := r.backupWith(c.o)
			if !*done {
				t.Fatalf("nothing was hidden: %v", r.asked)
			}
			wantGaps(t, res, "account")
			r.same("account")
			starts := count(r.asked, "account keys")
			if c.wantAgain != (starts > 1) {
				t.Errorf("read from the start %d times: %v", starts, r.asked)
			}
		})
	}
}

// A column whose values show on every page is not asked for twice.
func TestShownNullsCostNothing(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 95)
	r.backup()
	gets := count(r.asked, "account get")
	if gets != 1 { // the newest rows, at the end: whether they went back
		t.Errorf("rows were read by id %d times: %v", gets, r.asked)
	}
}

// Rows that were committed while nobody knew that a column had been hidden are
// not what a later run goes on from.
func TestCheckpointWithOtherRights(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 95)
	r.beforeRow = func(table, what string, n int) error {
		if table == "account" && what == "start" && n == 3 {
			r.change(func() { r.rights.Hidden["account"] = []string{"secret"} })
		}
		if table == "account" && what == "start" && n == 7 {
			r.change(func() { r.rights.Depth["account"] = source.DepthNone })
		}
		return nil
	}
	res := r.backupWith(Options{Checkpoint: 50})
	if !slices.Contains(gaps(res, "account"), allod.GapTableUnreadable) {
		t.Fatalf("the table was read: %+v", res.Gaps)
	}
	r.beforeRow = nil
	r.change(func() { clear(r.rights.Hidden); r.rights.Depth["account"] = source.DepthGlobal })
	res = r.backup()
	wantGaps(t, res, "account")
	r.same("account")
}

// Rows that are not shown for a moment while their table is read: a role was
// reduced and given back, so that the rights are the same before and after.
func TestRowsHiddenForAMoment(t *testing.T) {
	for name, c := range flipCases {
		if c.at == "delta" || c.rows == 5 {
			continue // tracked, and so refused without organization-level read
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			o := r.flipCase(name)
			r.partly = func(row *allod.Row) bool { return row.Key[15]%2 == 0 }
			done := false
			back := func() { r.change(func() { r.rights.Depth["account"] = source.DepthGlobal }) }
			r.beforeRow = func(table, what string, n int) error {
				if back(); table == "account" && what == c.at && n == c.page && !done {
					done = true
					r.change(func() { r.rights.Depth["account"] = source.DepthBasic })
				}
				return nil
			}
			r.noRights = func() error { back(); return nil }
			res := r.backupWith(o)
			if !done {
				t.Fatalf("nothing was hidden: %v", r.asked)
			}
			if gaps(res, "account") != nil {
				t.Logf("gaps %+v", res.Gaps)
				res = r.backup()
			}
			wantGaps(t, res, "account")
			r.same("account")
		})
	}
}
