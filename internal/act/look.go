package act

import (
	"context"
	"fmt"
	"iter"

	"allod"
	"allod/internal/act/near"
	"allod/internal/govern/gate"
	"allod/internal/odata/rowjson"
	"allod/internal/source"
	"allod/internal/vault"
)

// Snapshots lists the snapshots of an environment ("" = of all), oldest first.
func (o *Office) Snapshots(ctx context.Context, env string) ([]allod.Snapshot, error) {
	if env != "" {
		if _, known := o.config.Environments[env]; !known {
			if _, err := o.connection(env); err != nil {
				return nil, err
			}
		}
	}
	return o.vault.Snapshots(ctx, env)
}

// Manifest returns what a snapshot says of its tables and gaps.
func (o *Office) Manifest(ctx context.Context, m Moment) (allod.Snapshot, vault.Manifest, error) {
	s, err := o.session(ctx, gate.ActionRead, m.Environment, allod.PurposeOperate)
	if err != nil {
		return allod.Snapshot{}, vault.Manifest{}, err
	}
	meta, err := o.pick(ctx, m)
	if err != nil {
		return meta, vault.Manifest{}, err
	}
	snap, err := o.vault.At(ctx, s, m.Environment, meta.ID)
	if err != nil {
		return meta, vault.Manifest{}, err
	}
	return snap.Meta(), snap.Manifest(), nil
}

// Schema returns the schema as of the moment.
func (o *Office) Schema(ctx context.Context, m Moment) (*allod.Schema, error) {
	v, _, err := o.open(ctx, m, gate.ActionRead)
	if err != nil {
		return nil, err
	}
	return v.Schema(), nil
}

// Seen is a table, and what it is read with: what belongs to its rows is read with
// the same.
type Seen struct {
	*allod.Table
	View    source.View
	Session gate.Session
}

// Rows yields rows of a table at a moment for which filter (OData; "" = all)
// holds, at most limit (0 = all), and records in the ledger how many were
// shown.
func (o *Office) Rows(ctx context.Context, m Moment, table, filter string, limit int) (*Seen, iter.Seq2[allod.Row, error], error) {
	v, s, err := o.open(ctx, m, gate.ActionRead)
	if err != nil {
		return nil, nil, err
	}
	t, err := findTable(v, table)
	if err != nil {
		return nil, nil, err
	}
	keep, err := rowjson.Rows(t, filter)
	if err != nil {
		return nil, nil, err
	}
	return &Seen{t, v, s}, func(yield func(allod.Row, error) bool) {
		left := false
		n := walk(ctx, v, t, keep, limit, func(row allod.Row, err error) bool {
			left = !yield(row, err)
			return !left
		})
		// Whoever has left the loop can be told nothing more; the decision to
		// show rows stands in the ledger since before the first of them.
		if err := o.gate.Act(ctx, s, "rows-shown", map[string]int64{"rows": n}); err != nil && !left {
			yield(allod.Row{}, err)
		}
	}, nil
}

// DeletedRows is Rows of those that are not in the environment any more: what
// somebody deleted since the moment, by name. It keeps about 50 bytes per row of
// the table.
func (o *Office) DeletedRows(ctx context.Context, m Moment, table, filter string, limit int) (*Seen, iter.Seq2[allod.Row, error], error) {
	if m.Live {
		return nil, nil, allod.WithHint(allod.Errorf(allod.Invalid, "list what was deleted since %s: that is the environment itself", m), "Name a moment before the loss: `allod snapshots %s` lists them.", m.Environment)
	}
	now, err := o.liveView(ctx, m.Environment)
	if err != nil {
		return nil, nil, err
	}
	here := map[allod.RecordRef]struct{}{}
	t, all, err := o.Rows(ctx, m, table, filter, 0)
	if err != nil {
		return nil, nil, err
	}
	if lt := now.Schema().Table(t.Name); lt != nil && lt.Unreadable != "" {
		return nil, nil, allod.Errorf(allod.Denied, "list what was deleted of %s since %s: the table cannot be read now: %s", t.Name, m, lt.Unreadable)
	} else if lt != nil {
		for row, err := range now.Rows(ctx, t.Name) {
			if err != nil {
				return nil, nil, err
			}
			here[row.Ref()] = struct{}{}
		}
	}
	return t, func(yield func(allod.Row, error) bool) {
		n := 0
		for row, err := range all {
			if _, there := here[row.Ref()]; there && err == nil {
				continue
			}
			if !yield(row, err) || err != nil {
				return
			}
			if n++; limit > 0 && n >= limit {
				return
			}
		}
	}, nil
}

// walk yields matching rows and returns how many.
func walk(ctx context.Context, v source.View, t *allod.Table, keep func(*allod.Row) (bool, error), limit int, yield func(allod.Row, error) bool) int64 {
	var n int64
	for row, err := range v.Rows(ctx, t.Name) {
		if err == nil {
			var ok bool
			if ok, err = keep(&row); err == nil && !ok {
				continue
			}
		}
		if !yield(row, err) || err != nil {
			return n
		}
		if n++; limit > 0 && n >= int64(limit) {
			return n
		}
	}
	return n
}

// Get returns one row at a moment; NotFound when it is not there.
func (o *Office) Get(ctx context.Context, m Moment, table, id string) (*Seen, *allod.Row, error) {
	v, s, err := o.open(ctx, m, gate.ActionRead)
	if err != nil {
		return nil, nil, err
	}
	t, err := findTable(v, table)
	if err != nil {
		return nil, nil, err
	}
	key, err := parseID(v, t, id)
	if err != nil {
		return nil, nil, err
	}
	rows, err := v.Get(ctx, t.Name, []allod.RecordRef{{Table: t.Name, Key: key}})
	if err != nil {
		return nil, nil, err
	}
	if err := o.gate.Act(ctx, s, "rows-shown", map[string]int64{"rows": int64(len(rows))}); err != nil {
		return nil, nil, err
	}
	if len(rows) == 0 {
		if h, err := o.vault.History(ctx, s, m.Environment, allod.RecordRef{Table: t.Name, Key: key}); err == nil && len(h) > 0 && h[0].Withheld != "" {
			return nil, nil, allod.WithHint(allod.Errorf(allod.NotFound, "get %s(%s) from %s: it is withheld: %s", t.Name, key, v.Name(), h[0].Withheld), "`allod vault erasures` and `allod vault containers` list what was asked for, and by whom.")
		}
		return nil, nil, allod.WithHint(allod.Errorf(allod.NotFound, "get %s(%s) from %s: there is no such row", t.Name, key, v.Name()), "It may be there at an earlier moment: `allod snapshots %s` lists them.", m.Environment)
	}
	return &Seen{t, v, s}, &rows[0], nil
}

// parseID reads the id of a row. People know names: the hint says how to find
// the id of one.
func parseID(v source.View, t *allod.Table, text string) (allod.GUID, error) {
	id, err := allod.ParseGUID(text)
	if err == nil {
		return id, nil
	}
	err = allod.Errorf(allod.Invalid, "find the row %q of %s: that is not an id", text, t.Name)
	if t.Title == "" {
		return id, allod.WithHint(err, "`allod ls %s %s` lists rows with their ids.", v.Name(), t.Name)
	}
	return id, allod.WithHint(err, "`allod ls %s %s --filter \"%s eq '…'\"` finds the id of a name; `allod restore` takes --filter too.", v.Name(), t.Name, t.Title)
}

// findTable finds a table by logical name; NotFound says what comes near.
func findTable(v source.View, name string) (*allod.Table, error) {
	if t := v.Schema().Table(name); t != nil {
		return t, nil
	}
	return nil, NoTable(v.Schema(), v.Name(), name)
}

// tableHint says which table a wrong name may mean.
func tableHint(s *allod.Schema, where, name string) string {
	var names []string
	for i := range s.Tables {
		if t := &s.Tables[i]; t.Set == name || t.SchemaName == name || t.Label == name {
			return fmt.Sprintf("Tables go by their logical names: did you mean %q?", t.Name)
		}
		names = append(names, s.Tables[i].Name)
	}
	if meant := near.Of(name, names); meant != "" {
		return fmt.Sprintf("Did you mean %q? `allod schema %s` lists the tables.", meant, where)
	}
	return fmt.Sprintf("`allod schema %s` lists the tables by their logical names.", where)
}

// NoTable is the error for a table that a schema does not have.
func NoTable(s *allod.Schema, where, name string) error {
	return allod.WithHint(allod.Errorf(allod.NotFound, "find the table %q in %s: there is none", name, where), "%s", tableHint(s, where, name))
}
