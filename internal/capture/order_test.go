package capture

import (
	"slices"
	"testing"

	"allod"
	"allod/internal/source"
)

// Small tables come first, by what the last capture found, and those with files
// last: what is read first is usable first (design/capture.md, reading much).
func TestOrderOfTables(t *testing.T) {
	r := newRig(t)
	lead := fakeTable(3, "lead", true)
	r.change(func() {
		r.schema.Tables = append(r.schema.Tables, lead)
		r.rows["lead"] = map[allod.GUID]allod.Row{}
		r.rights.Depth["lead"] = source.DepthGlobal
	})
	r.fill("account", 0, 40)
	r.fill("contact", 50, 55)
	r.fill("lead", 60, 61)
	o := Options{Exclude: []string{"account.document", "contact.document"}} // lead alone has files
	r.backupWith(o)
	r.asked = nil
	o.Full = true
	r.backupWith(o)
	var order []string
	for _, a := range r.asked {
		for _, name := range []string{"account", "contact", "lead"} {
			if a == name+" start" && !slices.Contains(order, name) {
				order = append(order, name)
			}
		}
	}
	if want := []string{"contact", "account", "lead"}; !slices.Equal(order, want) {
		t.Errorf("read %v, want %v", order, want)
	}
}

// A gap says who left something out: the configuration, or whoever ran this backup.
func TestExcludedByWhom(t *testing.T) {
	r := newRig(t)
	r.fill("account", 0, 3)
	r.fill("contact", 10, 13)
	res := r.backupWith(Options{Config: []string{"contact", "account.secret"}, Exclude: []string{"account.document", "contact"}})
	got := map[string]string{}
	for _, g := range res.Gaps {
		if g.Kind != allod.GapExcluded || !g.Accepted {
			t.Errorf("got %+v", g)
		}
		got[g.Table+"."+g.Column] = g.Reason
	}
	const configured, run = "excluded by configuration", "excluded for this run, with --exclude"
	want := map[string]string{"contact.": configured, "account.secret": configured, "account.document": run}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for name, why := range want {
		if got[name] != why {
			t.Errorf("%s: got %q, want %q", name, got[name], why)
		}
	}
	if n := len(r.stored("contact")); n != 0 {
		t.Errorf("%d rows of what was left out", n)
	}
	if res = r.backupWith(Options{Config: []string{"contact"}, Include: []string{"contact"}}); len(r.stored("contact")) != 3 {
		t.Errorf("--include does not take it in again: %+v", res.Gaps)
	}
	if _, err := r.run(t.Context(), Options{Config: []string{"nosuch"}}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("a configured table that is none: got %v", err)
	}
}
