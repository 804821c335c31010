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
