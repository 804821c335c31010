// Package labels says in words what rows refer to: the names of the rows that
// lookups point at, as they were at the same moment, and the labels of options
// by the schema of that moment. Nothing of it is stored (design/capture.md).
package labels

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"allod"
	"allod/internal/act"
	"allod/internal/odata"
	"allod/internal/source"
	"allod/internal/vault"
)

// The bounds of what one Labeler looks up. References beyond stay ids.
const (
	Most     = 5000 // records of a snapshot
	MostLive = 1000 // records of the environment itself: they take requests
	page     = 500  // rows whose references are looked up together
)

// unreadable is the label of a record whose stored bytes are damaged: the row
// that refers to it is shown all the same.
const unreadable = "(unreadable)"

// Labeler finds labels for rows of one table at one moment, under the session
// that the rows are read with. It remembers what it has looked up. Not safe for
// several goroutines.
type Labeler struct {
	view  source.View
	table *allod.Table
	why   func(context.Context, []allod.RecordRef) ([]string, error) // why records are withheld, "" = they are not; nil = none can be
	act   func(context.Context, int64) error                         // records how many records were named
	most  int
	known map[allod.RecordRef]string // "" = there is nothing to say
	named int64
	over  map[allod.RecordRef]struct{} // beyond the bound, at most as many as that
	ends  []end
}

// end is one of the two ends of a pair: a column, and the tables that it may
// refer to. Members of a list, for one, are accounts, contacts or leads.
type end struct {
	column string
	tables []string
}

// New returns a labeler for rows that Rows, DeletedRows or Get of the office
// gave with seen.
func New(o *act.Office, m act.Moment, seen *act.Seen) *Labeler {
	v, g, _, _ := o.Inside()
	l := newLabeler(seen.View, seen.Table, Most)
	l.act = func(ctx context.Context, n int64) error {
		return g.Act(ctx, seen.Session, "names-shown", map[string]int64{"names": n})
	}
	if m.Live {
		l.most = MostLive
		return l
	}
	l.why = func(ctx context.Context, refs []allod.RecordRef) ([]string, error) {
		tags, err := v.Tags(ctx, seen.Session, m.Environment, refs)
		if err != nil {
			return nil, err
		}
		return withheld(ctx, v, tags)
	}
	return l
}

func newLabeler(view source.View, t *allod.Table, most int) *Labeler {
	l := &Labeler{view: view, table: t, most: most, known: map[allod.RecordRef]string{}, over: map[allod.RecordRef]struct{}{}}
	for i := range view.Schema().Relationships {
		if r := &view.Schema().Relationships[i]; t.Intersect && r.Intersect == t.Name {
			l.join(end{r.Column1, []string{r.Table1}}, end{r.Column2, []string{r.Table2}})
		}
	}
	return l
}

// join adds one relationship of a table of pairs to what its ends may be.
func (l *Labeler) join(ends ...end) {
	if l.ends == nil {
		l.ends = ends
		return
	}
	for _, e := range ends {
		for i := range l.ends {
			if l.ends[i].column == e.column {
				l.ends[i].tables = append(l.ends[i].tables, e.tables...)
			}
		}
	}
}

// withheld says why records are not shown, in the words of `allod get`.
func withheld(ctx context.Context, v *vault.Vault, tags []vault.RecordTag) ([]string, error) {
	why, err := v.Absences(tags)
	if err != nil {
		return nil, err
	}
	office, err := v.OfficeState(ctx)
	if err != nil {
		return nil, err
	}
	for i, t := range tags {
		if why[i] == "" && slices.Contains(office.Hidden, t) {
			why[i] = "erasure requested"
		}
	}
	return why, nil
}

// Each calls f with every row and its labels by column, a page at a time, and
// puts on record at the end how many records it named, as Rows does with rows. A
// nil Labeler has no labels and waits for no page.
func (l *Labeler) Each(ctx context.Context, rows iter.Seq2[allod.Row, error], f func(*allod.Row, map[string]string) error) error {
	if l == nil {
		for row, err := range rows {
			if err != nil {
				return err
			}
			if err := f(&row, nil); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.Join(l.pages(ctx, rows, f), l.record(ctx))
}

func (l *Labeler) pages(ctx context.Context, rows iter.Seq2[allod.Row, error], f func(*allod.Row, map[string]string) error) error {
	var waiting []allod.Row
	flush := func() error {
		all, err := l.of(ctx, waiting)
		for i := 0; i < len(waiting) && err == nil; i++ {
			err = f(&waiting[i], all[i])
		}
		waiting = waiting[:0]
		return err
	}
	for row, err := range rows {
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			return errors.Join(flush(), err) // what came before it is shown
		}
		if waiting = append(waiting, row); len(waiting) == page {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// One returns the labels of a row by column, and puts on record how many
// records it named. A column without one is left out: its target was not there
// at the moment, has no name, may not be seen, or lies beyond the bound.
func (l *Labeler) One(ctx context.Context, row *allod.Row) (map[string]string, error) {
	all, err := l.of(ctx, []allod.Row{*row})
	if err != nil {
		return nil, err
	}
	return all[0], l.record(ctx)
}

// of returns the labels of rows, in their order.
func (l *Labeler) of(ctx context.Context, rows []allod.Row) ([]map[string]string, error) {
	if err := l.look(ctx, rows); err != nil {
		return nil, err
	}
	out := make([]map[string]string, len(rows))
	for i := range rows {
		out[i] = map[string]string{}
		l.refs(&rows[i], func(column string, ref allod.RecordRef) {
			if label := l.known[ref]; label != "" {
				out[i][column] = label
			}
		})
		for j := range l.table.Columns {
			if label := options(&l.table.Columns[j], rows[i].Cell(j)); label != "" {
				out[i][l.table.Columns[j].Name] = label
			}
		}
	}
	return out, nil
}

// Over returns how many records were not looked up because of the bound, which
// is the second; counting ends at it too.
func (l *Labeler) Over() (records, bound int) {
	if l == nil {
		return 0, 0
	}
	return len(l.over), l.most
}

// refs calls f with what the row refers to.
func (l *Labeler) refs(row *allod.Row, f func(column string, ref allod.RecordRef)) {
	if row.Ref().IsPair() {
		for i, e := range l.ends {
			for _, table := range e.tables {
				f(e.column, allod.RecordRef{Table: table, Key: row.Pair[i]})
			}
		}
		return
	}
	for i := range l.table.Columns {
		v := row.Cell(i)
		if v.Type() != allod.Lookup {
			continue
		}
		table, id := v.Target()
		if table == "" && len(l.table.Columns[i].Bind) == 1 { // the source did not say, and there is one that it can be
			for table = range l.table.Columns[i].Bind {
			}
		}
		f(l.table.Columns[i].Name, allod.RecordRef{Table: table, Key: id})
	}
}

// look finds out what the rows refer to and is not known yet, each record once,
// table by table.
func (l *Labeler) look(ctx context.Context, rows []allod.Row) error {
	var tables []string
	wanted := map[string][]allod.RecordRef{}
	for i := range rows {
		l.refs(&rows[i], func(_ string, ref allod.RecordRef) {
			if _, known := l.known[ref]; known {
				return
			}
			t := l.view.Schema().Table(ref.Table)
			if t == nil || t.Unreadable != "" || t.ColumnIndex(t.Title) < 0 {
				return
			}
			if len(l.known) >= l.most {
				if len(l.over) < l.most {
					l.over[ref] = struct{}{}
				}
				return
			}
			if wanted[ref.Table] == nil {
				tables = append(tables, ref.Table)
			}
			l.known[ref] = ""
			wanted[ref.Table] = append(wanted[ref.Table], ref)
		})
	}
	for _, name := range tables {
		if err := l.read(ctx, l.view.Schema().Table(name), wanted[name]); err != nil {
			return err
		}
	}
	return nil
}

// record puts on record how many records were named since the last time.
func (l *Labeler) record(ctx context.Context) error {
	n := l.named
	if l.named = 0; n == 0 || l.act == nil {
		return nil
	}
	return l.act(ctx, n)
}

// read names records of one table.
func (l *Labeler) read(ctx context.Context, t *allod.Table, refs []allod.RecordRef) error {
	rows, err := l.view.Get(ctx, t.Name, refs)
	switch kind := allod.KindOf(err); {
	case err == nil:
	case kind == allod.Denied || kind == allod.NotFound: // the session, or the user, may not see the table, or the source has none
		return nil
	case kind == allod.Corrupt:
		for _, ref := range refs {
			l.known[ref] = unreadable
		}
		return nil
	default:
		return err
	}
	there := map[allod.RecordRef]bool{}
	title := t.ColumnIndex(t.Title)
	for i := range rows {
		ref := rows[i].Ref()
		there[ref] = true
		if name := rows[i].Cell(title).Text(); name != "" {
			l.known[ref] = name
			l.named++
		}
	}
	missing := slices.DeleteFunc(slices.Clone(refs), func(r allod.RecordRef) bool { return there[r] })
	if len(missing) == 0 || l.why == nil {
		return nil
	}
	why, err := l.why(ctx, missing)
	if allod.KindOf(err) == allod.NotFound { // a table that the newest schema has no more
		return nil
	} else if err != nil {
		return err
	}
	for i, ref := range missing {
		if why[i] != "" {
			l.known[ref] = "(" + why[i] + ")"
		}
	}
	return nil
}

// options returns the label of a choice, a state, a yes or no, or of several
// choices, joined by "; ". A value that the schema does not know stays a number
// among several, and is "" alone.
func options(c *allod.Column, v allod.Value) string {
	if len(c.Options) == 0 {
		return ""
	}
	if v.Type() == allod.Integer || v.Type() == allod.Boolean {
		return option(c, v.Int())
	}
	if v.Type() != allod.Choices || v.Text() == "" {
		return ""
	}
	parts := strings.Split(v.Text(), ",")
	for i, p := range parts {
		n, err := strconv.ParseInt(p, 10, 64)
		if err != nil {
			continue
		}
		if label := option(c, n); label != "" {
			parts[i] = label
		}
	}
	return strings.Join(parts, "; ")
}

func option(c *allod.Column, n int64) string {
	for _, o := range c.Options {
		if o.Value == n {
			return o.Label
		}
	}
	return ""
}

// AppendJSON appends a row as act.AppendJSON does, with the labels as one member
// more, "labels", by logical name of the column. A table that has a column of
// that name shows none.
func AppendJSON(dst []byte, t *allod.Table, row *allod.Row, labels map[string]string) []byte {
	dst = act.AppendJSON(dst, t, row)
	if len(labels) == 0 || t.Column("labels") != nil {
		return dst
	}
	dst = append(odata.AppendMember(dst[:len(dst)-1], "labels"), '{')
	for _, column := range slices.Sorted(maps.Keys(labels)) {
		dst = odata.AppendString(odata.AppendMember(dst, column), labels[column])
	}
	return append(dst, "}}"...)
}

// Pair returns the names of the two ends of a pair, "?" for one that has none;
// "" when neither has.
func (l *Labeler) Pair(labels map[string]string) string {
	if len(labels) == 0 || len(l.ends) != 2 {
		return ""
	}
	names := make([]string, len(l.ends))
	for i, e := range l.ends {
		if names[i] = labels[e.column]; names[i] == "" {
			names[i] = "?"
		}
	}
	return strings.Join(names, " / ")
}
