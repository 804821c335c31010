package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"allod"
	"allod/internal/capture"
	"allod/internal/history"
)

// flip is a company of which something is otherwise for as long as the rows of
// one table are read, and as before when anything else is asked for.
type flip struct {
	*scene
	armed, off int // rounds left; whether it is otherwise now
}

func newFlip(t *testing.T, set string, other func(s *scene, on bool)) *flip {
	t.Helper()
	f := &flip{scene: &scene{t: t, clock: &clock{}}}
	f.co = startCompany(t, f.clock, nil)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rows := strings.HasSuffix(r.URL.Path, "/"+set); rows != (f.off == 1) && (f.off == 1 || f.armed > 0) {
			other(f.scene, rows)
			if f.off = 0; rows {
				f.off = 1
				f.armed--
			}
		}
		f.co.server.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	f.desk = newDesk(t, f.clock)
	f.desk.connect("demo", front.URL)
	return f
}

// A column that is secured after a run has read the schema, and opened again
// before the run ends, is null to who may not see it: those nulls are no values.
func TestNoNullFromAColumnThatWasSecuredForAMoment(t *testing.T) {
	integration(t)
	f := newFlip(t, "contacts", func(s *scene, on bool) {
		s.co.action("set-secured", map[string]any{"table": "contact", "column": "telephone1", "on": on})
	})
	f.co.action("set-administrator", map[string]any{"client_id": f.co.user.ClientID, "on": false})
	for _, c := range []struct {
		name  string
		full  bool
		times int
	}{{"first read", false, 1}, {"delta", false, 1}, {"full read", true, 1}} {
		id, _ := f.contactWithPhone()
		f.co.call(http.MethodPatch, "contacts("+id+")", map[string]any{"jobtitle": "changed: " + c.name})
		f.armed = c.times
		res := f.desk.backup("demo", capture.Options{Full: c.full, Parallel: 1})
		if f.armed > 0 || f.off == 1 {
			t.Fatalf("%s: armed %d, off %d", c.name, f.armed, f.off)
		}
		if g := gap(res, "contact", allod.GapColumnSecured); g != nil {
			t.Errorf("%s: a gap that is none: %+v", c.name, g)
		}
		f.desk.wantSame(latest("demo"), live("demo"), history.Options{})
	}
}

// What else may be otherwise for as long as a table is read: the snapshot of the
// run equals the source or says what it lacks, and the next one equals it.
func TestOtherwiseForAMoment(t *testing.T) {
	integration(t)
	const card = "alp_loyaltycard"
	for name, c := range map[string]struct {
		table string
		gap   allod.GapKind // of the table, in the run; "" = none is needed
		other func(s *scene, on bool)
	}{
		"tracking off": {"contact", allod.GapTableFailed, func(s *scene, on bool) {
			s.co.action("set-tracking", map[string]any{"table": "contact", "on": !on})
		}},
		"column made again": {"contact", "", func(s *scene, on bool) {
			if on {
				s.co.action("remove-column", map[string]any{"table": "contact", "column": "alp_flip"})
				s.co.action("add-column", map[string]any{"table": "contact", "column": "alp_flip", "kind": "String"})
			}
		}},
		"table made again": {card, allod.GapSchemaChanged, func(s *scene, on bool) {
			if on {
				s.co.action("drop-table", map[string]any{"table": card})
				s.co.action("create-table", map[string]any{"table": card})
			}
		}},
		"own rows only": {"contact", allod.GapTableUnreadable, func(s *scene, on bool) {
			s.co.action("set-depth", map[string]any{"client_id": s.co.user.ClientID, "table": "contact", "depth": map[bool]string{true: "Basic", false: "Global"}[on]})
		}},
	} {
		for _, full := range []bool{false, true} {
			if full && c.table == "contact" && name != "own rows only" {
				continue // the same
			}
			t.Run(fmt.Sprintf("%s, full %v", name, full), func(t *testing.T) {
				f := newFlip(t, c.table+"s", c.other)
				f.co.action("add-column", map[string]any{"table": "contact", "column": "alp_flip", "kind": "String"})
				id, _ := f.contactWithPhone()
				f.co.call(http.MethodPatch, "contacts("+id+")", map[string]any{"alp_flip": "a"})
				f.co.call(http.MethodPost, card+"s", map[string]any{"alp_name": "a card"})
				if name == "own rows only" {
					f.co.action("set-administrator", map[string]any{"client_id": f.co.user.ClientID, "on": false})
				}
				f.desk.backup("demo", capture.Options{})
				f.co.call(http.MethodPatch, "contacts("+id+")", map[string]any{"jobtitle": "changed"})
				f.co.call(http.MethodPost, card+"s", map[string]any{"alp_name": "another card"})
				f.armed = 1
				res := f.desk.backup("demo", capture.Options{Full: full, Parallel: 1})
				if f.armed > 0 || f.off == 1 {
					t.Fatalf("armed %d, off %d", f.armed, f.off)
				}
				said := gap(res, c.table, c.gap) != nil
				if said == (c.gap == "") {
					t.Errorf("want a gap %q: %+v", c.gap, openGaps(res))
				}
				if c.gap == "" {
					f.desk.wantSame(latest("demo"), live("demo"), history.Options{})
				}
				f.desk.backup("demo", capture.Options{})
				f.desk.wantSame(latest("demo"), live("demo"), history.Options{})
			})
		}
	}
}
