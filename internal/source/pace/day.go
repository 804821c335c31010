package pace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"allod"
)

// maxDay bounds a file of counts: a line a minute and process, with room.
const maxDay = 1 << 20

// Day counts requests within 24 hours, those of other processes with the same
// folder included as they were written down. It is safe for concurrent use.
type Day struct {
	Most int // requests; 0 = any number, and nothing is counted
	// Dir holds a file for each day (UTC), with a line for each minute in which a
	// process sent requests; it is made when it is needed. The files are no record: a
	// process that is killed loses the count of its last minute.
	Dir string

	mu     sync.Mutex
	minute time.Time // whose requests are not written down yet
	open   int       // requests of it
	others int       // written down within 24 hours before minute
}

// Take counts one request, or reports that the number is used up. Unavailable
// when the counts cannot be read or written.
func (d *Day) Take(now time.Time) (bool, error) {
	if d == nil || d.Most <= 0 {
		return true, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := now.UTC().Truncate(time.Minute); !at.Equal(d.minute) {
		if err := d.turn(at); err != nil {
			return false, fmt.Errorf("count the requests of the day: %w", err)
		}
	}
	if d.others+d.open >= d.Most {
		return false, nil
	}
	d.open++
	return true, nil
}

// Close writes down what is not yet.
func (d *Day) Close() error {
	if d == nil || d.Most <= 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.write()
}

// turn begins another minute.
func (d *Day) turn(at time.Time) error {
	if err := d.write(); err != nil {
		return err
	}
	list, err := os.ReadDir(d.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.minute, d.others = at, 0
	for _, e := range list {
		day, perr := time.Parse(time.DateOnly, e.Name())
		if perr != nil {
			continue // not ours
		}
		if day.Before(at.AddDate(0, 0, -2)) {
			err = os.Remove(filepath.Join(d.Dir, e.Name()))
		} else {
			var n int
			n, err = d.read(day, at.Add(-24*time.Hour))
			d.others += n
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another process may have removed it
			return err
		}
	}
	return nil
}

// write appends what the minute took.
func (d *Day) write() error {
	if d.open == 0 {
		return nil
	}
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.Dir, d.minute.Format(time.DateOnly)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %d\n", d.minute.Format("15:04"), d.open)
	if err = errors.Join(err, f.Close()); err == nil {
		d.open = 0
	}
	return err
}

// read sums what a file tells of the time behind since. A line that is no count
// is Corrupt.
func (d *Day) read(day, since time.Time) (int, error) {
	path := filepath.Join(d.Dir, day.Format(time.DateOnly))
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxDay+1))
	if err != nil {
		return 0, err
	}
	if len(b) > maxDay {
		return 0, corrupt(path)
	}
	sum := 0
	for line := range bytes.Lines(b) {
		at, n, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		t, terr := time.Parse("15:04", at)
		count, nerr := strconv.Atoi(n)
		if !ok || terr != nil || nerr != nil || count < 0 || count > 1<<30 {
			return 0, corrupt(path)
		}
		if day.Add(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute).After(since) {
			sum += count
		}
	}
	return sum, nil
}

func corrupt(path string) error {
	return allod.WithHint(allod.Errorf(allod.Corrupt, "read %s: not a list of counts", path), "It counts requests for max_requests_per_day and nothing else: it can be deleted.")
}
