package e2e_test

import (
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
