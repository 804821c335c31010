package beside

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"allod/internal/source/pace"
)

// Pace adds the flags that say what may be taken of an environment.
func Pace(f *pflag.FlagSet, p *pace.Pace) {
	f.IntVar(&p.MaxConcurrency, "max-concurrency", 0, "requests at once (default: half of what the environment suggests)")
	f.IntVar(&p.MaxRequestsPerDay, "max-requests-per-day", 0, "stop when so many were sent within 24 hours (default: no limit)")
	f.StringVar((*string)(&p.Window), "window", "", "hours of the day to read in, e.g. 22:00-06:00; it waits between them (default: always)")
}

// Waiting tells whoever reads w until when a window is shut, in their zone.
func Waiting(w io.Writer, zone *time.Location) func(until time.Time) {
	return func(until time.Time) {
		fmt.Fprintf(w, "The window is shut: waiting until %s.\n", until.In(zone).Format("2006-01-02 15:04"))
	}
}
