package seed

import (
	"testing"
	"time"

	"allod"
)

func TestFormat(t *testing.T) {
	at := time.Date(2026, 5, 1, 9, 8, 7, 0, time.UTC)
	for _, tt := range []struct{ format, want string }{
		{"CAR-{SEQNUM:5}", "CAR-01000"},
		{"{SEQNUM:2}", "1000"},
		{"A{SEQNUM:4}-{DATETIMEUTC:yyyyMMddHHmmss}", "A1000-20260501090807"},
		{"{RANDSTRING:4}-{SEQNUM:4}", "BCDE-1000"},
		{"plain", "plain"},
		{"{SEQNUM:x}{", "{SEQNUM:x}{"},
		{"}{SEQNUM:4}", "}{SEQNUM:4}"},
		{"{SEQNUM:99}", "{SEQNUM:99}"},
		{"", ""},
	} {
		if got := Format(tt.format, 1000, at, allod.GUID{1, 2, 3, 4}); got != tt.want {
			t.Errorf("Format(%q): got %q, want %q", tt.format, got, tt.want)
		}
	}
}

func FuzzFormat(f *testing.F) {
	f.Add("CAR-{SEQNUM:5}-{RANDSTRING:6}")
	f.Add("{DATETIMEUTC:yyyy}}{{")
	f.Fuzz(func(t *testing.T, format string) {
		if got := Format(format, 7, time.Unix(0, 0), allod.GUID{}); len(got) > 4*len(format)+40*(len(format)/10+1) {
			t.Errorf("Format(%q) is %d long", format, len(got))
		}
	})
}
