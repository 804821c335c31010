// Package rows shows rows of a moment, with the names of what they refer to.
package rows

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"allod"
	"allod/internal/act"
	"allod/internal/act/labels"
)

// Console is where rows are shown.
type Console struct {
	Out, Err io.Writer
	JSON     bool
}

// List shows rows that the office gave with seen: one line of JSON each, or the
// id and the title. A pair shows its two ids, and the names of both below.
func (c Console) List(ctx context.Context, o *act.Office, m act.Moment, seen *act.Seen, all iter.Seq2[allod.Row, error]) error {
	var names *labels.Labeler
	if c.JSON || seen.Intersect {
		names = labels.New(o, m, seen)
	}
	var buf []byte
	n := 0
	err := names.Each(ctx, all, func(row *allod.Row, said map[string]string) error {
		n++
		buf = buf[:0]
		switch {
		case c.JSON:
			buf = append(labels.AppendJSON(buf, seen.Table, row, said), '\n')
		case row.Ref().IsPair():
			buf = fmt.Appendf(buf, "%s  %s\n", row.Pair[0], row.Pair[1])
			if both := names.Pair(said); both != "" {
				buf = fmt.Appendf(buf, "  %s\n", both)
			}
		default:
			title := ""
			if i := seen.ColumnIndex(seen.Title); i >= 0 {
				title = row.Cell(i).Text()
			}
			buf = fmt.Appendf(buf, "%s  %s\n", row.Key, title)
		}
		_, err := c.Out.Write(buf)
		return err
	})
	if err != nil {
		return err
	}
	if over, bound := names.Over(); over > 0 {
		if _, err := fmt.Fprintf(c.Err, "Names were looked up for %d records; references to others stay ids.\n", bound); err != nil {
			return err
		}
	}
	if !c.JSON {
		_, err = fmt.Fprintf(c.Err, "%d rows\n", n)
	}
	return err
}

// One shows a row that the office gave with seen, as JSON in lines, or in one.
func (c Console) One(ctx context.Context, o *act.Office, m act.Moment, seen *act.Seen, row *allod.Row) error {
	said, err := labels.New(o, m, seen).One(ctx, row)
	if err != nil {
		return err
	}
	raw := labels.AppendJSON(nil, seen.Table, row, said)
	if c.JSON {
		_, err := c.Out.Write(append(raw, '\n'))
		return err
	}
	enc := json.NewEncoder(c.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(json.RawMessage(raw))
}
