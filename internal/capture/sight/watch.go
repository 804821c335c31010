package sight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"allod"
	"allod/internal/source"
)

// maxKeys is how many rows of a table are remembered one by one.
const maxKeys = 1000

// Watch remembers which rows a run takes, and finds those whose nulls may be
// none because the security of their columns changed after the run had read the
// schema, also if it is again what it was. A value beside a null in one answer
// proves the null: an answer is made with one set of rights. It is safe for
// concurrent use.
type Watch struct {
	src source.SchemaWatcher // nil = the source has nothing of the kind

	mu      sync.Mutex
	from    string // mark that the run began with
	mark    string // up to which the rows taken are judged; "" = the service does not say
	carried bool   // rows were taken by another process, under the mark
	taken   map[string]*taken
}

// taken are the rows of one table.
type taken struct {
	keys  []allod.GUID // none once there are too many
	many  bool
	blind map[string]bool // columns of which some answer showed nothing but nulls
}

// Verdict names what is to be read again of a table.
type Verdict struct {
	Table string
	Keys  []allod.GUID // rows, or
	Whole bool         // all of it
	// Sure is unset where the service does not say whether anything changed.
	Sure bool
	// Remade says that the table was dropped and made again under its name: rows
	// of two tables were read, and the next run finds another one.
	Remade bool
}

// Begin takes the present moment of the schema, which must not have been read
// yet. Errors are those of the source.
func Begin(ctx context.Context, src source.Source) (*Watch, error) {
	w := &Watch{taken: map[string]*taken{}}
	if w.src, _ = src.(source.SchemaWatcher); w.src == nil {
		return w, nil
	}
	mark, err := w.src.SchemaMark(ctx)
	w.from, w.mark = mark, mark
	return w, err
}

// GoOn takes over the mark of a run that was cut off; "" = there is none.
func (w *Watch) GoOn(mark string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if mark != "" && w.src != nil {
		w.from, w.mark, w.carried = mark, mark, true
	}
}

// From is the mark that a run that goes on with this one needs.
func (w *Watch) From() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.from
}

// Took notes the rows of a page, as they came.
func (w *Watch) Took(t *allod.Table, page *source.Page) {
	rows := page.Rows
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.src == nil || len(rows) == 0 {
		return
	}
	k := w.taken[t.Name]
	if k == nil {
		k = &taken{blind: map[string]bool{}}
		w.taken[t.Name] = k
	}
	for c := range t.Columns {
		name, null := t.Columns[c].Name, func(r allod.Row) bool { return r.Cell(c).IsNull() }
		if !k.blind[name] && slices.ContainsFunc(rows, null) && (page.Mixed || !slices.ContainsFunc(rows, shows(c))) {
			k.blind[name] = true
		}
	}
	if k.many = k.many || len(k.keys)+len(rows) > maxKeys || rows[0].Key.IsZero(); k.many {
		k.keys = nil
		return
	}
	for i := range rows {
		k.keys = append(k.keys, rows[i].Key)
	}
}

// Judge says what has to be read again, in the order of schema, and begins anew.
// It puts the present state of column security, and the ids of tables that were
// made again, into schema. read reports whether this run has read a table, also
// before it was cut off. No table may be read meanwhile. Errors are those of the
// source; then the rows are still to be judged.
func (w *Watch) Judge(ctx context.Context, schema *allod.Schema, read func(table string) bool) ([]Verdict, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change, err := w.ask(ctx)
	if err != nil || w.src == nil {
		return nil, err
	}
	var out []Verdict
	for i := range schema.Tables {
		t := &schema.Tables[i]
		if change != nil && read(t.Name) && remade(t, change) {
			t.ID = change.Made[t.Name] // it is not the one that was read: nothing in it witnesses anything
			out = append(out, Verdict{Table: t.Name, Sure: true, Remade: true})
			continue
		}
		k, earlier := w.taken[t.Name], w.carried && read(t.Name)
		if k == nil && !earlier {
			continue
		}
		v := Verdict{Table: t.Name, Whole: earlier || k.many, Sure: w.mark != ""}
		if !v.Whole {
			v.Keys = k.keys
		}
		doubtful := func(c allod.Column) bool {
			_, changed := change.Columns[t.Name][c.Name]
			return changed && (earlier || !c.Secured && k.blind[c.Name])
		}
		if change == nil && (earlier || len(k.blind) > 0) || change != nil && slices.ContainsFunc(t.Columns, doubtful) {
			out = append(out, v)
		}
	}
	if change != nil {
		secure(schema, change)
	}
	w.taken, w.carried = map[string]*taken{}, false
	return out, nil
}

// ask returns what changed since the mark, and moves it on; nil when the service
// does not say. The caller holds mu.
func (w *Watch) ask(ctx context.Context) (*source.SchemaChange, error) {
	if w.src == nil {
		return nil, nil
	}
	if w.mark != "" {
		change, err := w.src.SchemaSince(ctx, w.mark)
		if err == nil {
			w.mark = change.Mark
			return change, nil
		}
		if !errors.Is(err, source.ErrMarkExpired) {
			return nil, fmt.Errorf("look whether column security changed meanwhile: %w", err)
		}
	}
	mark, err := w.src.SchemaMark(ctx)
	if err == nil {
		w.mark = mark
	}
	return nil, err
}

// remade reports whether a table was dropped and made again under its name.
func remade(t *allod.Table, change *source.SchemaChange) bool {
	id, made := change.Made[t.Name]
	return made && id != t.ID && slices.Contains(change.Gone, t.ID)
}

// secure puts the present state of column security into schema.
func secure(schema *allod.Schema, change *source.SchemaChange) {
	for i := range schema.Tables {
		t := &schema.Tables[i]
		for j := range t.Columns {
			c := &t.Columns[j]
			if on, changed := change.Columns[t.Name][c.Name]; changed {
				c.Secured = on
			}
		}
	}
}
