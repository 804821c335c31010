package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/capture"
	"allod/internal/history"

	emu "allod/internal/emulator/dataverse"
)

// action runs an action of the emulator.
func (c *company) action(name string, body map[string]any) {
	c.t.Helper()
	c.call(http.MethodPost, "/_emulator/actions/"+name, body)
}

func (c *company) faults(list []map[string]any) {
	c.t.Helper()
	if list == nil {
		list = []map[string]any{}
	}
	b := make([]any, len(list))
	for i := range list {
		b[i] = list[i]
	}
	c.put("/_emulator/faults", b)
}

// scene is a company that has been backed up once.
type scene struct {
	t     *testing.T
	clock *clock
	co    *company
	desk  *desk
	first *capture.Result
}

func newScene(t *testing.T, change func(*emu.Options)) *scene {
	t.Helper()
	s := &scene{t: t, clock: &clock{}}
	s.co = startCompany(t, s.clock, change)
	s.desk = newDesk(t, s.clock)
	s.desk.connect("demo", s.co.url)
	s.first = s.desk.backup("demo", capture.Options{})
	return s
}

// kept fails if the latest snapshot has other accounts and contacts than the
// first.
func (s *scene) kept(res *capture.Result, tables ...string) {
	s.t.Helper()
	for _, table := range tables {
		before, after := s.desk.rowsAt(at("demo", s.first.Snapshot), table), s.desk.rowsAt(latest("demo"), table)
		if before == 0 || after != before {
			s.t.Errorf("%s: %d rows before, %d in the latest snapshot; nothing was deleted", table, before, after)
		}
	}
	for _, m := range res.PerTable {
		for _, table := range tables {
			if m.Table == table && m.Deleted > 0 {
				s.t.Errorf("%s: %d deletions recorded that never happened", table, m.Deleted)
			}
		}
	}
}

// A role that was reduced between captures makes rows invisible, not deleted.
func TestNoFalseDeletionWhenTheRoleIsReduced(t *testing.T) {
	for _, full := range []bool{false, true} {
		s := newScene(t, nil)
		s.co.action("set-depth", map[string]any{"client_id": s.co.user.ClientID, "table": "account", "depth": "Basic"})
		s.co.action("set-depth", map[string]any{"client_id": s.co.user.ClientID, "table": "contact", "depth": "None"})
		res := s.desk.backup("demo", capture.Options{Full: full})
		s.kept(res, "account", "contact")
		if gap(res, "contact", allod.GapTableUnreadable) == nil {
			t.Errorf("full %v: no gap says that contact cannot be read: %+v", full, openGaps(res))
		}
		if gap(res, "account", allod.GapReadDepth) == nil {
			t.Errorf("full %v: no gap says that account is seen in part: %+v", full, openGaps(res))
		}
		if !res.Partial() {
			t.Errorf("full %v: the backup claims to be whole", full)
		}
		// Rights come back: so does the truth.
		s.co.action("set-depth", map[string]any{"client_id": s.co.user.ClientID, "table": "account", "depth": "Global"})
		s.co.action("set-depth", map[string]any{"client_id": s.co.user.ClientID, "table": "contact", "depth": "Global"})
		s.co.action("set-administrator", map[string]any{"client_id": s.co.user.ClientID, "on": true})
		s.desk.backup("demo", capture.Options{})
		s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
	}
}

// A secured column reads as null; that null is not stored over the value.
func TestNoNullOverAValueInASecuredColumn(t *testing.T) {
	s := newScene(t, nil)
	id, phone := s.contactWithPhone()
	s.co.action("set-administrator", map[string]any{"client_id": s.co.user.ClientID, "on": false})
	s.co.action("set-secured", map[string]any{"table": "contact", "column": "telephone1", "on": true})
	s.co.call(http.MethodPatch, "contacts("+id+")", map[string]any{"jobtitle": "changed"})
	if row := s.co.call(http.MethodGet, "contacts("+id+")?$select=telephone1", nil); row["telephone1"] != nil {
		t.Fatalf("the emulator shows a secured column: %v", row["telephone1"] != nil)
	}
	res := s.desk.backup("demo", capture.Options{})
	g := false
	for _, x := range res.Gaps {
		g = g || x.Table == "contact" && x.Column == "telephone1" && x.Kind == allod.GapColumnSecured
	}
	if !g {
		t.Errorf("no gap names the secured column: %+v", openGaps(res))
	}
	tab, row, err := s.desk.Get(t.Context(), latest("demo"), "contact", id)
	if err != nil {
		t.Fatal(err)
	}
	if v := row.Cell(tab.ColumnIndex("telephone1")); !v.IsAbsent() {
		t.Errorf("the hidden value is stored as %v, want absent", v.Type())
	}
	tab, row, err = s.desk.Get(t.Context(), at("demo", s.first.Snapshot), "contact", id)
	if err != nil {
		t.Fatal(err)
	}
	if got := row.Cell(tab.ColumnIndex("telephone1")).Text(); got != phone {
		t.Error("the value of the first snapshot is gone")
	}
}

// A secured column that is hidden and shown again while its table is read: the
// rights are the same before and after, and yet no null is stored over a value.
func TestNoNullFromAColumnThatWasHiddenForAMoment(t *testing.T) {
	s := &scene{t: t, clock: &clock{}}
	s.co = startCompany(t, s.clock, nil)
	s.co.action("set-secured", map[string]any{"table": "contact", "column": "telephone1", "on": true})
	hide, hidden := false, false
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rows := strings.HasSuffix(r.URL.Path, "/contacts") && !strings.Contains(r.URL.RawQuery, "filter") // not by their ids
		if hide && rows != hidden {
			hidden = rows
			s.co.action("set-administrator", map[string]any{"client_id": s.co.user.ClientID, "on": !rows})
			hide = rows // for one moment
		}
		s.co.server.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.desk = newDesk(t, s.clock)
	s.desk.connect("demo", front.URL)
	s.first = s.desk.backup("demo", capture.Options{})
	id, _ := s.contactWithPhone()
	s.co.call(http.MethodPatch, "contacts("+id+")", map[string]any{"jobtitle": "changed"})
	for _, full := range []bool{false, true} {
		hide = true
		res := s.desk.backup("demo", capture.Options{Full: full, Parallel: 1})
		if hide || hidden {
			t.Fatalf("full %v: hidden %v, still armed %v", full, hidden, hide)
		}
		if g := gap(res, "contact", allod.GapColumnSecured); g != nil {
			t.Errorf("full %v: a gap that is none: %+v", full, g)
		}
		s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
	}
}

func (s *scene) contactWithPhone() (id, phone string) {
	s.t.Helper()
	row := s.co.rows("contacts", "?$select=contactid,telephone1&$filter=telephone1 ne null&$top=1")[0]
	return row["contactid"].(string), row["telephone1"].(string)
}

// A native restore to yesterday under the same URL begins a new line; the
// snapshot after it is what is there, even when the environment has gone on
// beyond its old row versions.
func TestNativeRestoreUnderTheSameURL(t *testing.T) {
	for _, goOn := range []int{0, 400} {
		s := newScene(t, nil)
		s.co.action("mark", map[string]any{"name": "yesterday"})
		id, _ := s.contactWithPhone()
		for i := range 40 {
			s.co.call(http.MethodPatch, "contacts("+id+")", map[string]any{"jobtitle": string(rune('a' + i%26))})
			s.co.call(http.MethodPost, "accounts", map[string]any{"name": "after the mark"})
		}
		s.desk.backup("demo", capture.Options{})
		s.co.action("rewind-to", map[string]any{"name": "yesterday"})
		for range goOn {
			s.co.call(http.MethodPost, "tasks", map[string]any{"subject": "life goes on"})
		}
		res := s.desk.backup("demo", capture.Options{})
		if res.Line != 2 || res.LineReason == "" {
			t.Errorf("%d writes later: line %d, reason %q; want a new line", goOn, res.Line, res.LineReason)
		}
		s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
	}
}

// A native restore while the environment is read, after which life goes on
// beyond the old row versions: tables read before it and after it belong to two
// pasts. The run says so and is not complete, and the next begins a new line.
func TestNativeRestoreWhileItIsRead(t *testing.T) {
	for name, change := range map[string]func(co *company, set, id string){
		"changed rows": func(co *company, set, id string) {
			co.call(http.MethodPatch, set+"("+id+")", map[string]any{"description": "after the mark"})
		},
		"new rows":     func(co *company, set, _ string) { co.call(http.MethodPost, set, map[string]any{"description": "new"}) },
		"deleted rows": func(co *company, set, id string) { co.call(http.MethodDelete, set+"("+id+")", nil) },
	} {
		t.Run(name, func(t *testing.T) { restoredWhileItIsRead(t, change) })
	}
}

func restoredWhileItIsRead(t *testing.T, change func(co *company, set, id string)) {
	s := &scene{t: t, clock: &clock{}}
	s.co = startCompany(t, s.clock, nil)
	var armed bool
	read := map[string]bool{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, set := range []string{"accounts", "contacts"} {
			if armed && strings.HasSuffix(r.URL.Path, "/"+set) && !strings.Contains(r.URL.RawQuery, "filter") {
				read[set] = true
			}
		}
		if armed && len(read) == 2 { // one of them is read, the other is about to be
			armed = false
			s.co.action("rewind-to", map[string]any{"name": "yesterday"})
			for range 200 {
				s.co.call(http.MethodPost, "tasks", map[string]any{"subject": "life goes on"})
			}
		}
		s.co.server.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	sets := []string{"accounts", "contacts"}
	ids := map[string][]string{}
	for _, set := range sets {
		for range 3 {
			s.co.call(http.MethodPost, set, map[string]any{"description": "before the mark"})
		}
		key := strings.TrimSuffix(set, "s") + "id"
		for _, row := range s.co.rows(set, "?$select="+key+"&$filter=description eq 'before the mark'") {
			ids[set] = append(ids[set], row[key].(string))
		}
	}
	s.desk = newDesk(t, s.clock)
	s.desk.connect("demo", front.URL)
	s.desk.backup("demo", capture.Options{})
	s.co.call(http.MethodPost, "tasks", map[string]any{"subject": "the newest rows are others"})
	s.co.action("mark", map[string]any{"name": "yesterday"})
	for _, set := range sets {
		for _, id := range ids[set] {
			change(s.co, set, id)
		}
	}
	armed = true
	res, err := s.desk.Backup(t.Context(), "demo", capture.Options{Parallel: 1})
	if allod.KindOf(err) != allod.Partial || res.Complete || armed {
		t.Fatalf("a run over two pasts: complete %t, %v", res.Complete, err)
	}
	if res := s.desk.backup("demo", capture.Options{}); res.Line != 2 || res.LineReason == "" {
		t.Errorf("line %d, reason %q; want a new line", res.Line, res.LineReason)
	}
	s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
}

// Rows that went to long-term retention are marked so, not lost.
func TestRetentionRunIsNoLoss(t *testing.T) {
	s := newScene(t, nil)
	s.clock.advance(time.Hour)
	s.co.action("retention-run", map[string]any{"table": "incident", "count": 30})
	s.clock.advance(time.Hour)
	res := s.desk.backup("demo", capture.Options{})
	g := gap(res, "incident", allod.GapRetention)
	if g == nil || g.Rows != 30 {
		t.Fatalf("no gap says that 30 cases went to retention: %+v", res.Gaps)
	}
	if len(res.Alarms) > 0 {
		t.Errorf("a retention run raised an alarm: %v", res.Alarms)
	}
	// What went along with the cases is said and counted as well, though no
	// policy names its tables.
	for _, table := range []string{"incident", "annotation"} {
		retained := s.co.retained(table)
		if retained == 0 {
			t.Fatalf("no rows of %s are in retention", table)
		}
		if g := gap(res, table, allod.GapRetention); g == nil || g.Rows != int64(retained) {
			t.Errorf("%s: %d rows went to retention, the gap says %+v", table, retained, g)
		}
		if g := gap(res, table, allod.GapOutside); g == nil || g.Rows != int64(retained) || !strings.Contains(g.Reason, "long-term retention") {
			t.Errorf("%s: %d rows lie outside, the snapshot says %+v", table, retained, g)
		}
	}
}

// retained counts the rows of a table in long-term retention.
func (c *company) retained(table string) int {
	c.t.Helper()
	return len(c.rows(c.server.Model().Table(table).SetName, "?fetchXml="+url.PathEscape(`<fetch datasource="retained"><entity name="`+table+`"/></fetch>`)))
}

// A server error in the middle of a full read leaves the former rows.
func TestServerErrorInTheMiddleOfAFullRead(t *testing.T) {
	s := newScene(t, func(o *emu.Options) { o.PageSize = 20 })
	s.co.faults([]map[string]any{{"method": "GET", "path": "/contacts.*skiptoken", "nth": 30, "count": -1, "kind": "status", "status": 500}})
	res, err := s.desk.Backup(t.Context(), "demo", capture.Options{Full: true, Tables: []string{"contact"}})
	if err != nil {
		t.Fatal(err)
	}
	s.kept(res, "contact")
	if gap(res, "contact", allod.GapTableFailed) == nil {
		t.Errorf("no gap says that contact failed: %+v", openGaps(res))
	}
	s.co.faults(nil)
	s.desk.backup("demo", capture.Options{})
	s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
}

// A token that is too old costs a full read and says between which moments
// deletions lie.
func TestExpiredToken(t *testing.T) {
	s := newScene(t, nil)
	id, _ := s.contactWithPhone()
	s.co.call(http.MethodDelete, "contacts("+id+")", nil)
	s.clock.advance(8 * 24 * time.Hour)
	res := s.desk.backup("demo", capture.Options{})
	if gap(res, "contact", allod.GapTrackingExpired) == nil {
		t.Errorf("no gap says that the token had expired: %+v", res.Gaps)
	}
	if res.Deleted == 0 {
		t.Error("the deletion was not found")
	}
	s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
}

// A table that is dropped keeps its rows; one created anew under its name is
// another table.
func TestTableDroppedAndCreatedAgain(t *testing.T) {
	const table = "alp_loyaltycard"
	s := newScene(t, nil)
	before := s.desk.rowsAt(latest("demo"), table)
	if before == 0 {
		t.Fatalf("the company has no %s", table)
	}
	s.co.action("drop-table", map[string]any{"table": table})
	res := s.desk.backup("demo", capture.Options{})
	if gap(res, table, allod.GapTableDropped) == nil {
		t.Errorf("no gap says that the table is gone: %+v", res.Gaps)
	}
	if res.Deleted != 0 {
		t.Errorf("dropping a table was recorded as %d deletions", res.Deleted)
	}
	if got := s.desk.rowsAt(at("demo", s.first.Snapshot), table); got != before {
		t.Errorf("the first snapshot has %d rows of it, want %d", got, before)
	}
	s.co.action("create-table", map[string]any{"table": table})
	s.desk.backup("demo", capture.Options{})
	if got := s.desk.rowsAt(latest("demo"), table); got != 0 {
		t.Errorf("the table that was created anew has %d rows, want none", got)
	}
	if got := s.desk.rowsAt(at("demo", s.first.Snapshot), table); got != before {
		t.Errorf("the first snapshot has %d rows of the old table, want %d", got, before)
	}
	s.desk.wantSame(latest("demo"), live("demo"), history.Options{})
}
