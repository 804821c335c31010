// Package pace holds what somebody allows Allod to take of a service beside what
// the service itself does: requests at once, requests a day, hours of the day.
package pace

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"allod"
)

// Pace is how much of a service a backup may take. The zero value is as much as
// the service suggests.
type Pace struct {
	MaxConcurrency    int    `yaml:"max_concurrency,omitempty" json:"max_concurrency,omitempty"`           // requests at once; 0 = half of what the service suggests
	MaxRequestsPerDay int    `yaml:"max_requests_per_day,omitempty" json:"max_requests_per_day,omitempty"` // by backups, within 24 hours, of this folder's processes; 0 = no limit
	Window            Window `yaml:"window,omitempty" json:"window,omitempty"`
}

// Over returns p, with what other says where p says nothing.
func (p Pace) Over(other Pace) Pace {
	return Pace{
		cmp.Or(p.MaxConcurrency, other.MaxConcurrency), cmp.Or(p.MaxRequestsPerDay, other.MaxRequestsPerDay), cmp.Or(p.Window, other.Window),
	}
}

// Check refuses what is no pace: Invalid.
func (p Pace) Check() error {
	if p.MaxConcurrency < 0 || p.MaxRequestsPerDay < 0 {
		return allod.Errorf(allod.Invalid, "read the pace: a number of requests is below 0")
	}
	_, _, err := p.Window.clock()
	return err
}

// Window is the hours of a day in which requests are sent, FROM-TO as in
// 22:00-06:00, in local time; "" = always. It may go over midnight.
type Window string

// clock returns its ends as minutes of the day; both 0 for "".
func (w Window) clock() (from, to int, err error) {
	if w == "" {
		return 0, 0, nil
	}
	bad := allod.WithHint(allod.Errorf(allod.Invalid, "read the window %q: not FROM-TO", string(w)), "Two times of the day that differ, e.g. 22:00-06:00.")
	a, b, ok := strings.Cut(string(w), "-")
	if !ok {
		return 0, 0, bad
	}
	for i, s := range []string{a, b} {
		t, err := time.Parse("15:04", strings.TrimSpace(s))
		if err != nil {
			return 0, 0, bad
		}
		*[]*int{&from, &to}[i] = t.Hour()*60 + t.Minute()
	}
	if from == to {
		return 0, 0, bad
	}
	return from, to, nil
}

// Wait returns how long it is until the window opens, by the clock on the wall of
// now's zone; 0 = it is open. A window that cannot be read is always open: Check
// refuses it.
func (w Window) Wait(now time.Time) time.Duration {
	from, to, err := w.clock()
	if err != nil || from == to {
		return 0
	}
	at := now.Hour()*60 + now.Minute()
	if from < to && at >= from && at < to || from > to && (at >= from || at < to) {
		return 0
	}
	y, m, d := now.Date()
	open := time.Date(y, m, d, from/60, from%60, 0, 0, now.Location())
	if !open.After(now) {
		open = time.Date(y, m, d+1, from/60, from%60, 0, 0, now.Location())
	}
	return open.Sub(now)
}

// Long is for how long it is open each day, by the clock on the wall; 24 h for "".
func (w Window) Long() time.Duration {
	from, to, err := w.clock()
	if err != nil || from == to {
		return 24 * time.Hour
	}
	return time.Duration((to-from+24*60)%(24*60)) * time.Minute
}

// String says the pace in words; "" = the zero value.
func (p Pace) String() string {
	var s []string
	if p.MaxConcurrency > 0 {
		s = append(s, fmt.Sprintf("at most %d requests at once", p.MaxConcurrency))
	}
	if p.MaxRequestsPerDay > 0 {
		s = append(s, fmt.Sprintf("%d a day", p.MaxRequestsPerDay))
	}
	if p.Window != "" {
		s = append(s, "between "+strings.Replace(string(p.Window), "-", " and ", 1))
	}
	return strings.Join(s, ", ")
}
