package capture

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"allod"
	"allod/internal/source"
)

// A first read that broke off after a checkpoint has its token already, but
// not its rows: the next run goes on where it stopped and misses nothing.
func TestCutFirstReadGoesOn(t *testing.T) {
	for _, table := range []string{"account", "contact"} {
		t.Run(table, func(t *testing.T) {
			r := newRig(t)
			r.fill(table, 0, 95)
			broken := true
			r.beforeRow = func(name, what string, n int) error {
				if broken && name == table && what != "keys" && n == 6 {
					return unavailable()
				}
				return nil
			}
			res := r.backupWith(Options{Checkpoint: 20})
			wantGaps(t, res, table, allod.GapTableFailed)
			wantPartial(t, res, true)
			broken = false
			r.put(table, 3, "changed meanwhile")
			res = r.backup()
			wantGaps(t, res, table)
			if table == "account" {
				r.same(table) // the token shows what changed behind the cursor
				if !slices.Contains(r.asked, "account next") {
					t.Errorf("the read did not go on: %v", r.asked)
				}
			}
			res = r.backup()
			wantGaps(t, res, table)
			r.same(table)
		})
	}
}

// What a first read was to go on with may be too old when it goes on.
func TestCutFirstReadWithOldCursor(t *testing.T) {
	for _, what := range []string{"token", "cursor"} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			r.fill("account", 0, 95)
			broken := true
			r.beforeRow = func(name, at string, n int) error {
				if broken && name == "account" && at != "keys" && n == 6 {
					return unavailable()
				}
				if !broken && what == "cursor" && at == "next" {
					return allod.Errorf(allod.Invalid, "HTTP 400: the paging cookie is not valid")
				}
				return nil
			}
			r.backupWith(Options{Checkpoint: 20})
			broken = false
			r.remove("account", 5)
			r.put("account", 6, "changed")
			if what == "token" {
				r.change(func() { r.oldest = r.version })
			}
			r.backup()
			r.same("account")
			if res := r.backup(); res.Partial() {
				t.Errorf("still partial: %+v", res.Gaps)
			}
		})
	}
}

// Rows that come back while changes are chased are alive.
func TestDeletedAndBackWhileReading(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 1500)
	r.page = 200
	rounds := 0
	r.beforeRow = func(table, what string, n int) error {
		if table != "account" {
			return nil
		}
		if what == "start" && n == 7 {
			// While the pages are read: enough changes for a second round, and a deletion…
			r.fill("account", 100, 1400)
			r.remove("account", 5)
		}
		if what == "delta" {
			if rounds++; rounds == 2 {
				r.put("account", 5, "back from the recycle bin")
			}
		}
		return nil
	}
	r.backup()
	if rounds < 2 {
		t.Fatalf("%d rounds, the test needs 2", rounds)
	}
	r.same("account")
}

// A table that failed is read whole next time if it was to be read whole now.
func TestFailedReadRemembersWhy(t *testing.T) {
	for name, change := range map[string]func(*fakeSource){
		"a column can be seen again": func(s *fakeSource) { s.rights.Hidden = map[string][]string{} },
		"a new column": func(s *fakeSource) {
			acc := &s.schema.Tables[0]
			acc.Columns = append(acc.Columns, allod.Column{Name: "more", ID: allod.GUID{77}, Type: allod.String})
			for k, row := range s.rows["account"] {
				row.Cells = append(slices.Clone(row.Cells), allod.StringValue("new"))
				s.rows["account"][k] = row
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fill("account", 0, 5)
			r.rights.Hidden["account"] = []string{"secret"}
			r.backup()
			r.change(func() { change(r.fakeSource) })
			r.beforeRow = func(table, what string, _ int) error {
				if table == "account" && what != "get" {
					return unavailable()
				}
				return nil
			}
			wantPartial(t, r.backup(), true)
			r.beforeRow = nil
			r.backup()
			if !slices.Contains(r.asked, "account start") {
				t.Errorf("read by %v, want from the start", r.asked)
			}
			if row := r.stored("account")[nth(1)]; name == "a new column" && row.Cell(4) != allod.StringValue("new") {
				t.Errorf("the new column is stored as %v", row.Cell(4))
			}
		})
	}
}

// A column that was removed and made again under its name has other values,
// although no row changed.
func TestColumnMadeAgain(t *testing.T) {
	for name, change := range map[string]func(*allod.Column){
		"made again": func(c *allod.Column) { c.ID = allod.GUID{88} },
		"retyped":    func(c *allod.Column) { c.Type = allod.Integer },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fill("account", 0, 5)
			r.backup()
			r.change(func() {
				c := &r.schema.Tables[0].Columns[1]
				change(c)
				for k, row := range r.rows["account"] {
					row.Cells = slices.Clone(row.Cells)
					if row.Cells[1] = allod.StringValue("other"); c.Type == allod.Integer {
						row.Cells[1] = allod.IntegerValue(7)
					}
					r.rows["account"][k] = row
				}
			})
			r.backup()
			r.same("account")
		})
	}
}

// A reader with part of a table reads it whole each time, with a Gap; when it
// sees everything again, so does the backup.
func TestDepthReducedAndRaised(t *testing.T) {
	for _, table := range []string{"account", "contact"} {
		t.Run(table, func(t *testing.T) {
			r := newRig(t)
			r.fill(table, 0, 9)
			r.partly = func(row *allod.Row) bool { return row.Key[15]%2 == 0 }
			r.backup()
			r.same(table)

			r.change(func() { r.rights.Depth[table] = source.DepthLocal })
			r.put(table, 1, "changed unseen")
			r.put(table, 2, "changed")
			r.remove(table, 3)
			res := r.backup()
			wantGaps(t, res, table, allod.GapReadDepth, allod.GapDeletionsUnproven)
			wantPartial(t, res, true)
			if n := len(r.stored(table)); n != 9 {
				t.Errorf("%d rows are stored, want all 9 of before", n)
			}

			r.change(func() { r.rights.Depth[table] = source.DepthGlobal })
			res = r.backup()
			if got := gaps(res, table); len(got) > 0 && !slices.Equal(got, []allod.GapKind{allod.GapDeletionsUnproven}) {
				t.Errorf("gaps %v", got)
			}
			if row := r.stored(table)[nth(1)]; row.Cell(1) != allod.StringValue("changed unseen") {
				t.Errorf("what changed unseen is stored as %v", row.Cell(1))
			}
			// A deletion that is not proven stays a Gap until it is.
			res = r.backup()
			if _, alive := r.stored(table)[nth(3)]; alive && !slices.Contains(gaps(res, table), allod.GapDeletionsUnproven) {
				t.Error("a row that the source has not is stored, and no Gap says so")
			}
			r.backup()
			r.same(table)
		})
	}
}

// Rights that shrink while the first read of a table goes on leave rows out;
// that must be said, and the next read must be a whole one.
func TestDepthReducedWhileReading(t *testing.T) {
	for _, table := range []string{"account", "contact"} {
		t.Run(table, func(t *testing.T) {
			r := newRig(t)
			r.fill(table, 0, 25)
			r.partly = func(row *allod.Row) bool { return row.Key[15]%2 == 0 }
			r.beforeRow = func(name, _ string, n int) error {
				if name == table && n == 1 {
					r.change(func() { r.rights.Depth[table] = source.DepthLocal })
				}
				return nil
			}
			res := r.backup()
			wantPartial(t, res, true)
			if !slices.Contains(gaps(res, table), allod.GapReadDepth) {
				t.Errorf("gaps %v, want %s", gaps(res, table), allod.GapReadDepth)
			}
			r.beforeRow = nil
			r.change(func() { r.rights.Depth[table] = source.DepthGlobal })
			r.backup()
			r.same(table)
		})
	}
}

// Rows that the reader may not see any more witness nothing.
func TestDepthReducedIsNoNewLine(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 40)
	r.partly = func(*allod.Row) bool { return false }
	r.backup()
	r.change(func() { r.rights.Depth["account"] = source.DepthBasic })
	res := r.backup()
	if res.Line != 1 || res.LineReason != "" {
		t.Errorf("line %d: %s", res.Line, res.LineReason)
	}
	if n := len(r.stored("account")); n != 40 {
		t.Errorf("%d rows are stored, want 40", n)
	}
}

// A file that could not be read is read by a later run, and is a Gap in every
// snapshot until then.
func TestUnreadFilesAreReadLater(t *testing.T) {
	for _, table := range []string{"account", "contact"} {
		for _, why := range []string{"failed", "left out"} {
			t.Run(table+" "+why, func(t *testing.T) {
				r := newRig(t)
				r.files[nth(2)] = "hello"
				r.fill(table, 0, 5)
				var o Options
				if why == "failed" {
					r.openFile = func(*allod.Row) (io.ReadCloser, error) { return nil, unavailable() }
				} else {
					o.NoFiles = true
				}
				for range 2 {
					res := r.backupWith(o)
					wantGaps(t, res, table, allod.GapFileUnread)
					wantPartial(t, res, why == "failed")
				}
				r.openFile = nil
				wantGaps(t, r.backup(), table)
				f, err := r.stored(table)[nth(2)].Cells[3].FileRef()
				if err != nil || f.Content == "" || f.Size != 5 {
					t.Errorf("the file is stored as %+v, %v", f, err)
				}
			})
		}
	}
}

// A file whose row vanishes between the row and the file is a Gap now, and
// none once the deletion is known.
func TestFileVanishesAfterItsRow(t *testing.T) {
	r := newRig(t)
	r.files[nth(2)] = "hello"
	r.fill("account", 0, 5)
	r.openFile = func(*allod.Row) (io.ReadCloser, error) {
		r.change(func() { delete(r.files, nth(2)) })
		r.remove("account", 2)
		r.openFile = nil
		return nil, allod.Errorf(allod.NotFound, "no file")
	}
	wantGaps(t, r.backup(), "account", allod.GapFileUnread)
	wantGaps(t, r.backup(), "account")
	r.same("account")
}

// After a native restore the same version can stand for other bytes.
func TestFileVersionsOfAnotherLine(t *testing.T) {
	r := newRig(t)
	r.files[nth(2)] = "before"
	r.fill("account", 0, 20)
	r.backup()
	r.change(func() {
		r.files[nth(2)] = "after!"
		r.version -= 5 // the environment was put back; row 2 came to the same version again
		for k, row := range r.rows["account"] {
			if row.Version > r.version {
				delete(r.rows["account"], k)
			}
		}
	})
	if res := r.backup(); res.Line != 2 {
		t.Fatalf("line %d, want a new one", res.Line)
	}
	snap, err := r.v.At(t.Context(), r.session("read"), "contoso", 0)
	if err != nil {
		t.Fatal(err)
	}
	row := r.stored("account")[nth(2)]
	body, err := snap.OpenFile(t.Context(), &row, "document")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }() // only read
	got, err := io.ReadAll(body)
	if err != nil || string(got) != "after!" {
		t.Errorf("got %q, %v, want the bytes of now", got, err)
	}
}

// A retention run does not make a partial list complete.
func TestRetentionNeedsProofToo(t *testing.T) {
	r := newRig(t)
	r.fill("contact", 0, 50)
	r.backup()
	r.change(func() { r.rights.RetentionRuns["contact"] = r.now() })
	for n := range 5 {
		r.remove("contact", n)
	}
	r.omits = func(k allod.GUID) bool { return k[15] < 30 } // rows 5 to 29 are there
	res := r.backup()
	if n := len(r.stored("contact")); n < 45 {
		t.Errorf("%d rows are stored, want at least the 45 that are there: %+v", n, res.Gaps)
	}
}

// A key that is said to have changed but is not found, or comes older than it
// was said to be, is looked for again.
func TestAnswersBehindTheToken(t *testing.T) {
	for _, what := range []string{"older", "not found yet"} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			r.fill("account", 0, 25) // more than two pages: keys come first
			r.backup()
			old := r.rows["account"][nth(3)]
			if what == "older" {
				r.put("account", 3, "newer")
				r.stale[nth(3)] = old
			} else {
				r.put("account", 90, "created")
				r.stale[nth(90)] = allod.Row{}
			}
			r.backup()
			clear(r.stale)
			r.backup()
			r.same("account")
		})
	}
}

// A full read that a few rows fell out of proves nothing about them.
func TestReadThatMissesAFewRows(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 100)
	r.fill("contact", 0, 100)
	r.backup()
	r.omits = func(k allod.GUID) bool { return k == nth(3) } // as when it came back behind the page being read
	r.remove("contact", 50)
	res := r.backupWith(Options{Full: true})
	wantGaps(t, res, "account", allod.GapDeletionsUnproven)
	wantGaps(t, res, "contact", allod.GapDeletionsUnproven)
	for _, table := range []string{"account", "contact"} {
		if _, kept := r.stored(table)[nth(3)]; !kept {
			t.Errorf("%s: a row that the source has is recorded as deleted", table)
		}
	}
	r.omits = nil
	res = r.backup()
	wantGaps(t, res, "account")
	wantGaps(t, res, "contact")
	r.same("account")
	r.same("contact")
}

// A read that ends without its last page has not ended.
func TestReadWithoutLastPage(t *testing.T) {
	for _, table := range []string{"account", "contact"} {
		t.Run(table, func(t *testing.T) {
			r := newRig(t)
			r.fill(table, 0, 25)
			r.cutShort = true
			res := r.backup()
			wantPartial(t, res, true)
			r.cutShort = false
			r.backup()
			r.same(table)
		})
	}
}

// A table that was read before and cannot be read at all now is no matter of
// course.
func TestTableBecomesUnreadable(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 5)
	r.backup()
	r.schema.Tables[0].Unreadable = "the source has no entity set for it"
	res := r.backup()
	wantPartial(t, res, true)
	if n := len(r.stored("account")); n != 5 {
		t.Errorf("%d rows are stored, want the former 5", n)
	}
}

// A table that was dropped and made again is told, once.
func TestTableMadeAgain(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 5)
	r.backup()
	r.change(func() { r.schema.Tables[0].ID = allod.GUID{99}; clear(r.rows["account"]) })
	r.put("account", 9, "new")
	wantGaps(t, r.backup(), "account", allod.GapTableDropped)
	r.same("account")
	wantGaps(t, r.backup(), "account")
	r.same("account")
}

// What a snapshot does not hold, the next one does not hold either when it
// carries the table.
func TestGapsOfCarriedTables(t *testing.T) {
	r := newRig(t)
	r.files[nth(1)] = "hello"
	r.fill("account", 0, 5)
	r.openFile = func(*allod.Row) (io.ReadCloser, error) { return nil, unavailable() }
	r.rights.Hidden["account"] = []string{"secret"}
	wantGaps(t, r.backup(), "account", allod.GapFileUnread, allod.GapColumnSecured)
	res := r.backupWith(Options{Tables: []string{"contact"}})
	wantGaps(t, res, "account", allod.GapFileUnread, allod.GapColumnSecured, allod.GapNotAsked)
	r.beforeRow = func(table, what string, _ int) error {
		if table == "account" && what != "get" {
			return unavailable()
		}
		return nil
	}
	wantGaps(t, r.backup(), "account", allod.GapFileUnread, allod.GapColumnSecured, allod.GapTableFailed)
}

// A run that was killed leaves tokens; the next must notice an environment
// put back to a moment before them, even if it has gone on since.
func TestKilledRunLeavesWitnesses(t *testing.T) {
	r := newRig(t)
	r.fill("contact", 0, 30) // read last
	r.fill("account", 0, 10)
	r.backup()
	before := map[allod.GUID]allod.Row{}
	r.change(func() {
		for k, row := range r.rows["account"] {
			before[k] = row
		}
	})
	point := r.version
	r.fill("account", 20, 30)
	r.put("account", 4, "changed, and lost by the restore")
	ctx, kill := context.WithCancel(t.Context())
	r.beforeRow = func(table, what string, _ int) error {
		if table == "contact" && what != "get" {
			kill()
			return ctx.Err()
		}
		return nil
	}
	if _, err := r.run(ctx, Options{CommitEvery: time.Nanosecond}); err == nil {
		t.Fatal("the run was not killed")
	}
	if n := len(r.stored("account")); n != 20 {
		t.Fatalf("%d rows are stored, want those of the killed run too", n)
	}
	r.beforeRow = nil
	// Put back, and on again beyond the versions of before.
	r.change(func() {
		r.rows["account"] = before
		r.log = slices.DeleteFunc(r.log, func(c fakeChange) bool { return c.version > point })
		r.version = point
	})
	r.put("account", 3, "after the restore")
	r.change(func() { r.version += 100 })
	res := r.backup()
	if res.Line != 2 {
		t.Errorf("line %d (%s), want a new one", res.Line, res.LineReason)
	}
	if row := r.stored("account")[nth(3)]; row.Cell(1) != allod.StringValue("after the restore") {
		t.Errorf("got %v", row.Cell(1))
	}
}

// The plan's requests are those that a first read takes.
func TestPlanCountsRequests(t *testing.T) {
	for _, n := range []int{0, 25, 500, 501, 4000, 6000} {
		for _, table := range []string{"account", "contact"} {
			t.Run(fmt.Sprint(table, n), func(t *testing.T) {
				r := newRig(t)
				r.page = maxPage
				r.fill(table, 0, n)
				p, err := Estimate(t.Context(), r.v, r.fakeSource, "contoso", Options{Now: r.now})
				if err != nil {
					t.Fatal(err)
				}
				pages := int64(0)
				r.beforeRow = func(string, string, int) error { pages++; return nil }
				r.backup()
				// A page that was read ahead and not wanted may come on top.
				if p.Rows != int64(n) || p.Requests > pages+1 || p.Requests < pages-1 {
					t.Errorf("planned %d rows in %d requests, it were %d in %d", p.Rows, p.Requests, n, pages)
				}
			})
		}
	}
}

// Files left out that are too many to be listed are all read later, even if a
// run without files lies between.
func TestManyFilesLeftOut(t *testing.T) {
	r := newRig(t)
	r.page = 5000
	const n = maxAgain + 10
	for i := range n {
		r.files[nth(i)] = "x"
	}
	r.fill("account", 0, n)
	for range 2 {
		wantGaps(t, r.backupWith(Options{NoFiles: true}), "account", allod.GapFileUnread)
		r.put("account", 3, "changed")
	}
	wantGaps(t, r.backup(), "account")
	for k, row := range r.stored("account") {
		if f, err := row.Cells[3].FileRef(); err != nil || f.Content == "" {
			t.Fatalf("row %s: %+v, %v", k, f, err)
		}
	}
	r.backup()
	if slices.Contains(r.asked, "account start") {
		t.Errorf("read whole without need: %v", r.asked)
	}
}

// Rights that shrink after the job of a table was chosen must not let it follow
// a token that would step over what it does not see.
func TestRightsAskedAgainMeanwhile(t *testing.T) {
	r := newRig(t)
	r.fill("contact", 0, 3)
	r.fill("account", 0, 9) // read after contact
	r.partly = func(row *allod.Row) bool { return row.Key[15]%2 == 0 }
	r.backup()
	r.put("account", 1, "unseen")
	r.beforeRow = func(table, what string, _ int) error {
		if table == "contact" && what == "start" {
			r.change(func() {
				r.rights.Hidden["contact"] = []string{"secret"} // makes the run ask again
				r.rights.Depth["account"] = source.DepthLocal
			})
		}
		return nil
	}
	res := r.backup()
	if len(gaps(res, "account")) == 0 {
		t.Errorf("no gap says that rows may be missing: %+v", res.Gaps)
	}
	r.beforeRow = nil
	r.change(func() { clear(r.rights.Hidden); r.rights.Depth["account"] = source.DepthGlobal })
	r.backup()
	r.same("account")
	for k, row := range r.stored("contact") {
		if row.Cell(2).IsNull() {
			t.Errorf("contact %s: a hidden value is stored as null", k)
		}
	}
}

// A long first read that came to its end does not go on next time, and one that
// was cut off does not forget the files it could not read.
func TestFilesOfACutFirstRead(t *testing.T) {
	for _, table := range []string{"account", "contact"} {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprint(table, cut), func(t *testing.T) {
				r := newRig(t)
				r.files[nth(2)], r.files[nth(90)] = "hello", "world"
				r.fill(table, 0, 95)
				r.openFile = func(*allod.Row) (io.ReadCloser, error) { return nil, unavailable() }
				r.beforeRow = func(name, what string, n int) error {
					if cut && name == table && what != "keys" && n == 6 {
						return unavailable()
					}
					return nil
				}
				wantPartial(t, r.backupWith(Options{Checkpoint: 20}), true)
				r.openFile, r.beforeRow = nil, nil
				r.backup()
				// Without a token nothing tells what became of the pages read before.
				if slices.Contains(r.asked, table+" next") != (cut && table == "account") {
					t.Errorf("read by %v", r.asked)
				}
				for _, n := range []int{2, 90} {
					row := r.stored(table)[nth(n)]
					if f, err := row.Cell(3).FileRef(); err != nil || f.Content == "" {
						t.Errorf("file %d is stored as %+v, %v", n, f, err)
					}
				}
			})
		}
	}
}

// Rows of a first read that was cut off may change before the next one: without
// change tracking it begins anew.
func TestRowsOfACutFirstReadChange(t *testing.T) {
	for _, table := range []string{"account", "contact"} {
		r := newRig(t)
		r.fill(table, 0, 95)
		r.beforeRow = func(name, what string, n int) error {
			if name == table && what != "keys" && n == 6 {
				return unavailable()
			}
			return nil
		}
		wantPartial(t, r.backupWith(Options{Checkpoint: 20}), true)
		r.beforeRow = nil
		r.put(table, 2, "changed meanwhile")
		r.remove(table, 3)
		r.backup()
		r.same(table)
	}
}

// When nobody can say at the end what the reader could see, the run does not
// claim to be complete; what it read stays.
func TestRightsUnknownAtTheEnd(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 5)
	asked := 0
	r.noRights = func() error {
		if asked++; asked > 1 {
			return unavailable()
		}
		return nil
	}
	// No secured columns: rights are asked for at the beginning and at the end.
	for i := range r.schema.Tables {
		r.schema.Tables[i].Columns[2].Secured = false
	}
	res, err := r.run(t.Context(), Options{})
	if allod.KindOf(err) != allod.Unavailable || res == nil || res.Complete {
		t.Errorf("got %+v, %v, want an incomplete run and Unavailable", res, err)
	}
	if n := len(r.stored("account")); n != 5 {
		t.Errorf("%d rows are stored, want the 5 that were read", n)
	}
	r.noRights = nil
	if res := r.backup(); !res.Complete || res.Partial() {
		t.Errorf("the next run: %+v", res)
	}
}
