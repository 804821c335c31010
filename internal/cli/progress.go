package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"

	"allod/internal/capture"
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
		m.bar = progressbar.NewOptions64(max(total, -1), progressbar.OptionSetWriter(a.deps.Err), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(24),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionUseANSICodes(false), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetSpinnerChangeInterval(0)) // else a goroutine draws too, and races with a changed total
	}
	return m
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
		fmt.Fprintf(m.out, "%s: %s\n", m.what, note)
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

// bytesText renders a number of bytes for people.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	div, exp := int64(unit), 0
	for x := n / unit; x >= unit; x /= unit {
		div *= unit
		exp++
	}
	return fmt.Sprintf("%.1f %ciB", float64(n)/float64(div), "KMGTPE"[exp])
}

// agoText renders an age for people.
func agoText(d time.Duration) string {
	switch {
	case d < 0:
		return "never"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// para writes a paragraph to stdout; see paragraph.
func (a *app) para(indent, format string, args ...any) {
	paragraph(a.deps.Out, indent, fmt.Sprintf(format, args...))
}

// paragraph writes text, 80 columns wide where its words let it; further lines
// begin with indent. A command in backquotes stays on one line, so that it can
// be copied.
func paragraph(w io.Writer, indent, text string) {
	line, quoted, at := "", false, 0
	for i, word := range strings.Split(text, " ") {
		at += len(word) + 1
		whole := word // up to the closing quote
		turns := strings.Count(word, "`")%2 == 1
		if turns && !quoted && at < len(text) {
			rest, _, _ := strings.Cut(text[at:], "`")
			whole += " " + rest + "`"
		}
		switch {
		case i == 0:
			line = word
		case !quoted && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(whole) > 80:
			fmt.Fprintf(w, "%s\n", strings.TrimRight(line, " "))
			line = indent + word
		default:
			line += " " + word
		}
		quoted = quoted != turns
	}
	fmt.Fprintf(w, "%s\n", line)
}
