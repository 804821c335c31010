// Package text renders what people read on a terminal.
package text

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Bytes renders a number of bytes for people.
func Bytes(n int64) string {
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

// Ago renders an age for people; a negative one is never.
func Ago(d time.Duration) string {
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

// Long renders how long something takes, in seconds, for people who plan a day.
func Long(seconds float64) string {
	switch {
	case !(seconds >= 1):
		return "1 s"
	case seconds < 100:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 100*60:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%.1f h", seconds/3600)
	}
	return fmt.Sprintf("%.1f days", seconds/(24*3600))
}

// Paragraph writes text, 80 columns wide where its words let it; further lines
// begin with indent. A command in backquotes stays on one line, so that it can
// be copied.
func Paragraph(w io.Writer, indent, text string) {
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
