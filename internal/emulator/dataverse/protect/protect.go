// Package protect imitates Dataverse's service protection limits and holds the
// model of what requests cost (protocols/dataverse.md §7, design/capture.md
// "Cost model").
package protect

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"allod"
)

// Cost says how long requests take on the emulated server. Nobody measured
// it: the figures are assumptions, which is why they stand in a file.
type Cost struct {
	Page       Millis `json:"page_ms"`        // a page of rows, fixed part
	Row        Millis `json:"row_ms"`         // each row of a page
	Columns    Millis `json:"columns_ms"`     // each 100 columns of a page
	Write      Millis `json:"write_ms"`       // a single create, update or delete
	Multiple   Millis `json:"multiple_ms"`    // CreateMultiple and its like, fixed part
	MultipleIn Millis `json:"multiple_in_ms"` // each target of one
	Metadata   Millis `json:"metadata_ms"`    // EntityDefinitions, $metadata
	Chunk      Millis `json:"chunk_ms"`       // a chunk of a file
	Other      Millis `json:"other_ms"`       // anything else
}

// Millis is a duration in milliseconds.
type Millis float64

// Of returns n times the duration.
func (m Millis) Of(n int) time.Duration {
	return time.Duration(float64(m) * float64(n) * float64(time.Millisecond))
}

// DefaultCost is the model of design/capture.md.
func DefaultCost() *Cost {
	return &Cost{Page: 30, Row: 0.05, Columns: 1, Write: 60, Multiple: 60, MultipleIn: 15, Metadata: 200, Chunk: 40, Other: 10}
}

// ParseCost reads a cost file; "default" in place of JSON is DefaultCost.
// Fields left out keep their default.
func ParseCost(data []byte) (*Cost, error) {
	c := DefaultCost()
	if string(data) == "default" {
		return c, nil
	}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, allod.Errorf(allod.Invalid, "read cost file: %w", err)
	}
	return c, nil
}

// The documented limits, per user and web server (§7).
const (
	Requests   = 6000
	Time       = 1200 * time.Second
	Concurrent = 52
	Window     = 300 * time.Second
)

const slots = 300 // one a second

// Denial is a 429.
type Denial struct {
	Code       string
	Message    string
	RetryAfter int // seconds
}

// Limiter keeps the three windows of every user on every server. All methods
// may be called concurrently.
type Limiter struct {
	// Now tells the time; New sets time.Now. Enforce false only counts.
	Now     func() time.Time
	Enforce bool

	mu    sync.Mutex
	users map[string]*usage
}

type usage struct {
	requests  [slots]int
	spent     [slots]time.Duration
	second    int64 // the second of the newest slot
	active    int
	pushed    int // denials since the last request that passed
	totalReqs int
	totalTime time.Duration
}

// New makes a limiter.
func New(enforce bool) *Limiter {
	return &Limiter{Now: time.Now, Enforce: enforce, users: map[string]*usage{}}
}

// Admit lets a request of the user on the server begin, or says why not.
// Every request admitted must end with Done.
func (l *Limiter) Admit(user string, server int) *Denial {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.user(user, server)
	u.roll(l.Now().Unix())
	if l.Enforce {
		if d := u.deny(); d != nil {
			u.pushed++
			d.RetryAfter += min(u.pushed-1, 60)
			return d
		}
	}
	u.pushed = 0
	u.active++
	u.requests[u.second%slots]++
	u.totalReqs++
	return nil
}

// Done ends a request that took so long on the server and returns what
// remains of the windows.
func (l *Limiter) Done(user string, server int, took time.Duration) (requests int, left time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.user(user, server)
	u.roll(l.Now().Unix())
	u.active--
	u.spent[u.second%slots] += took
	u.totalTime += took
	return max(0, Requests-u.totalReqs), max(0, Time-u.totalTime)
}

func (l *Limiter) user(user string, server int) *usage {
	key := fmt.Sprintf("%s#%d", user, server)
	u := l.users[key]
	if u == nil {
		u = &usage{second: l.Now().Unix()}
		l.users[key] = u
	}
	return u
}

// roll forgets the slots that fell out of the window.
func (u *usage) roll(now int64) {
	for n := 0; u.second < now && n < slots; n++ {
		u.second++
		i := u.second % slots
		u.totalReqs -= u.requests[i]
		u.totalTime -= u.spent[i]
		u.requests[i], u.spent[i] = 0, 0
	}
	u.second = max(u.second, now)
}

func (u *usage) deny() *Denial {
	switch {
	case u.active >= Concurrent:
		return &Denial{"0x80072326", fmt.Sprintf("Number of concurrent requests exceeded the limit of %d.", Concurrent), 1}
	case u.totalReqs >= Requests:
		return &Denial{"0x80072322", fmt.Sprintf("Number of requests exceeded the limit of %d over time window of 300 seconds.", Requests), u.wait(func(i int64) bool { return u.requests[i] > 0 })}
	case u.totalTime >= Time:
		return &Denial{"0x80072321", "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later.", u.wait(func(i int64) bool { return u.spent[i] > 0 })}
	}
	return nil
}

// wait is how many seconds pass until the oldest used slot leaves the window.
func (u *usage) wait(used func(slot int64) bool) int {
	for n := int64(1); n < slots; n++ {
		if used((u.second + n) % slots) {
			return int(n)
		}
	}
	return slots
}
