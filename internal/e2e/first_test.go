package e2e_test

import (
	"testing"

	"allod"
	"allod/internal/capture"
	"allod/internal/history"
)

// A company is captured, and what is captured is what is there; a second
// capture finds nothing; what changes is found by the third.
func TestCaptureFollowsTheCompany(t *testing.T) {
	c := &clock{}
	co := startCompany(t, c, nil)
	d := newDesk(t, c)
	d.connect("demo", co.url)

	first := d.backup("demo", capture.Options{})
	if first.Partial() {
		t.Errorf("the first backup has gaps: %+v", openGaps(first))
	}
	if first.Rows == 0 || first.Created != first.Rows {
		t.Errorf("got %d rows, %d created", first.Rows, first.Created)
	}
	d.wantSame(latest("demo"), live("demo"), history.Options{})

	second := d.backup("demo", capture.Options{})
	if second.Created+second.Updated+second.Deleted != 0 {
		t.Errorf("nothing changed, but the second backup says %+v", second)
	}

	contacts := co.rows("contacts", "?$select=contactid&$filter=telephone1 ne null")
	changed, deleted := contacts[0]["contactid"].(string), contacts[1]["contactid"].(string)
	co.call("PATCH", "contacts("+changed+")", map[string]any{"telephone1": "+44 20 7946 0000"})
	co.call("DELETE", "contacts("+deleted+")", nil)
	co.call("POST", "accounts", map[string]any{"name": "A new one"})
	third := d.backup("demo", capture.Options{})
	if third.Created < 1 || third.Updated < 1 || third.Deleted < 1 {
		t.Errorf("one of each changed, but the third backup says created %d, updated %d, deleted %d", third.Created, third.Updated, third.Deleted)
	}
	d.wantSame(latest("demo"), live("demo"), history.Options{})
	d.reopen()
	if got := d.rowsAt(at("demo", first.Snapshot), "contact"); got != len(co.rows("contacts", "?$select=contactid"))+1 {
		t.Errorf("the first snapshot has %d contacts", got)
	}
	full := d.backup("demo", capture.Options{Full: true})
	if full.Created+full.Updated+full.Deleted != 0 {
		t.Errorf("a full read found changes that are none: %d created, %d updated, %d deleted", full.Created, full.Updated, full.Deleted)
	}
}

// openGaps lists what nobody chose to leave out.
func openGaps(r *capture.Result) []allod.Gap {
	var open []allod.Gap
	for _, g := range r.Gaps {
		if !g.Accepted {
			open = append(open, g)
		}
	}
	return open
}
