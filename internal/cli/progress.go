package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"allod/internal/capture"
	"allod/internal/cli/text"
)

// meter shows how far long work is: a bar on a terminal, a line now and then
// elsewhere. Its methods are called from one goroutine at a time.
type meter struct {
	out   io.Writer
	bar   *progressbar.ProgressBar
	what  string
	last  time.Time
	now   func() time.Time
	every time.Duration
}

// newMeter returns a meter for total steps; total < 0 = not known.
func (a *app) newMeter(what string, total int64) *meter {
	m := &meter{out: a.deps.Err, what: what, now: a.deps.Now, last: a.deps.Now(), every: 5 * time.Second}
	if a.deps.Terminal {
		m.bar = newBar(a.deps.Err, what, total, 100*time.Millisecond)
	}
	return m
}

// newBar draws at most once in throttle. Numbers of nine digits and times of days
// leave room for few words beside the bar in 80 columns.
func newBar(w io.Writer, what string, total int64, throttle time.Duration) *progressbar.ProgressBar {
	const most = 16
	if r := []rune(what); len(r) > most {
		what = string(r[:most-1]) + "…"
	}
	return progressbar.NewOptions64(max(total, -1), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(12),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(throttle), progressbar.OptionClearOnFinish(),
		progressbar.OptionUseANSICodes(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetSpinnerChangeInterval(0)) // else a goroutine draws too, and races with a changed total
}

// set moves the meter; note says what is being done, for the lines without a
// terminal.
func (m *meter) set(done, total int64, note string) {
	if m.bar != nil {
		if total > 0 && m.bar.GetMax64() != total {
			m.bar.ChangeMax64(max(total, done))
		}
		_ = m.bar.Set64(min(done, max(total, done))) // only fails when out of range
		return
	}
	if now := m.now(); now.Sub(m.last) >= m.every {
		m.last = now
		paragraph(m.out, "  ", m.what+": "+note)
	}
}

// done removes the bar.
func (m *meter) done() {
	if m.bar != nil {
		_ = m.bar.Finish() // it only redraws
	}
}

// captureProgress shows a backup.
func (m *meter) captureProgress(p capture.Progress) {
	m.set(p.Rows, p.Expected, fmt.Sprintf("%d rows, table %d of %d (%s), %d files", p.Rows, p.TablesDone, p.Tables, p.Table, p.Files))
}

func bytesText(n int64) string { return text.Bytes(n) }

func agoText(d time.Duration) string { return text.Ago(d) }

// para writes a paragraph to stdout; see text.Paragraph.
func (a *app) para(indent, format string, args ...any) {
	paragraph(a.deps.Out, indent, fmt.Sprintf(format, args...))
}

func paragraph(w io.Writer, indent, words string) { text.Paragraph(w, indent, words) }
