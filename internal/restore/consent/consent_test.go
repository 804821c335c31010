package consent

import (
	"testing"

	"allod"
)

func TestLoosens(t *testing.T) {
	yes, no, null := allod.BooleanValue(true), allod.BooleanValue(false), allod.NullValue()
	in, out := allod.IntegerValue(534120001), allod.IntegerValue(534120002)
	for _, tc := range []struct {
		table, column string
		was, now      allod.Value
		want          bool
	}{
		{"contact", "donotemail", no, yes, true},
		{"account", "donotphone", null, yes, true},
		{"lead", "donotbulkpostalmail", allod.Value{}, yes, true},
		{"contact", "donotemail", yes, no, false}, // it refuses more
		{"contact", "donotemail", no, null, false},
		{"contact", "donotemail", yes, yes, false},
		{"contact", "creditonhold", no, yes, false},
		{"msdynmkt_contactpointconsent4", "msdynmkt_value", in, out, true},
		{"msdynmkt_contactpointconsent3", "msdynmkt_value", null, out, true},
		{"msdynmkt_contactpointconsent4", "msdynmkt_value", out, in, false},
		{"msdynmkt_purpose", "msdynmkt_value", in, out, false},
	} {
		if got := Loosens(tc.table, tc.column, tc.was, tc.now); got != tc.want {
			t.Errorf("%s.%s, %s over %s: got %t, want %t", tc.table, tc.column, tc.was, tc.now, got, tc.want)
		}
	}
}

func TestParse(t *testing.T) {
	id := allod.GUID{1, 2}
	got, err := Parse([]string{"contact:" + id.String()})
	if err != nil || len(got) != 1 || !got[allod.RecordRef{Table: "contact", Key: id}] {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "contact", ":" + id.String(), "contact:x"} {
		if _, err := Parse([]string{bad}); allod.KindOf(err) != allod.Invalid {
			t.Errorf("%q: got %v, want kind invalid", bad, err)
		}
	}
}
