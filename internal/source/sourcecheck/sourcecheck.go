// Package sourcecheck holds the checks that every source must pass. Tests of
// adapters run them, and so does "allod check source" against a customer's own
// environment, so they use nothing but the contracts of package source.
package sourcecheck

import (
	"context"
	"fmt"
	"time"

	"allod"
	"allod/internal/source"
)

// Check is one property of a source. Run returns nil if the source has it, and
// Skipped if it cannot be tried here. Checks are independent of each other and
// of their order.
type Check struct {
	Name string // e.g. "pages"; unique
	Why  string // what goes wrong without it, one sentence
	Run  func(ctx context.Context, s source.Source) error
}

// Skipped is returned by a check that cannot be tried in this environment; its
// text says why.
type Skipped string

// Error returns why the check was not tried.
func (s Skipped) Error() string { return "not tried: " + string(s) }

// bad is an error that says what a source does wrong.
func bad(format string, args ...any) error {
	return allod.Errorf(allod.Internal, format, args...)
}

// Read returns the checks that only read. They read small tables whole and at
// most a few pages of others.
func Read() []Check {
	return []Check{
		{"capabilities", "errors and snapshots could not name the environment", capabilities},
		{"schema", "rows could not be read, compared or written back", schema},
		{"schema-again", "every capture would believe that the schema changed", schemaAgain},
		{"pages", "a snapshot would miss rows or hold them twice", pages},
		{"values", "what is written back would not be what was read", values},
		{"resume", "a backup cut off in the middle would begin anew", resume},
		{"stop", "a reader that has enough would hang or crash", stop},
		{"delta", "changes would be lost between two captures", delta},
		{"bad-cursor", "a damaged cursor would read the wrong rows", badCursor},
		{"unreadable", "a table that cannot be read would look empty", unreadable},
		{"cancel", "an interrupted backup would not end", cancelled},
		{"get", "a restore would compare with the wrong row", get},
		{"query", "a filtered view would show the wrong rows", query},
		{"count", "an estimate would be wrong", count},
		{"rights", "missing rights would look like deletions", rights},
	}
}

// most is the most rows a check reads of a table.
const most = 3000

func describe(ctx context.Context, s source.Source) (*allod.Schema, error) {
	schema, err := s.Describe(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	return schema, nil
}

// small finds tables with some rows, but few, and calls try with each until
// enough were tried.
func small(ctx context.Context, s source.Source, enough int, fit func(*allod.Table) bool, try func(*allod.Schema, *allod.Table, []allod.Row) error) error {
	schema, err := describe(ctx, s)
	if err != nil {
		return err
	}
	tried, looked := 0, 0
	for i := range schema.Tables {
		t := &schema.Tables[i]
		if t.Unreadable != "" || !fit(t) || tried >= enough || looked >= 60 {
			continue
		}
		looked++
		if f, ok := s.(source.Finder); ok {
			if n, err := f.Count(ctx, t); err == nil && (n > most || n == 0) {
				continue
			}
		}
		rows, whole, err := upTo(ctx, s, source.ReadRequest{Table: t}, most)
		if allod.KindOf(err) == allod.Denied || allod.KindOf(err) == allod.NotFound {
			continue // no right: said elsewhere
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", t.Name, err)
		}
		if !whole || len(rows) < 2 {
			continue
		}
		tried++
		if err := try(schema, t, rows); err != nil {
			return err
		}
	}
	if tried == 0 {
		return Skipped("no small table with rows")
	}
	return nil
}

// upTo reads until the last page, or until there are more than limit rows.
func upTo(ctx context.Context, s source.Source, req source.ReadRequest, limit int) (rows []allod.Row, whole bool, err error) {
	for page, err := range s.Read(ctx, req) {
		if err != nil {
			return nil, false, err
		}
		rows = append(rows, page.Rows...)
		if page.Last {
			return rows, true, nil
		}
		if len(rows) > limit {
			return rows, false, nil
		}
	}
	return nil, false, bad("read %s: the pages ended without a last one and without an error", req.Table.Name)
}

func capabilities(_ context.Context, s source.Source) error {
	c := s.Capabilities()
	switch {
	case c.Kind == "":
		return bad("capabilities: no kind")
	case c.Environment == "":
		return bad("capabilities: no environment")
	case c.Parallel < 1:
		return bad("capabilities: %d tables at once", c.Parallel)
	case c.DeltaLife < 0 || c.DeltaLife > 400*24*time.Hour:
		return bad("capabilities: change tokens live %v", c.DeltaLife)
	}
	return nil
}

func schema(ctx context.Context, s source.Source) error {
	got, err := describe(ctx, s)
	if err != nil {
		return err
	}
	if got.Identity.Organization.IsZero() {
		return bad("describe: no organization id")
	}
	last := ""
	for i := range got.Tables {
		t := &got.Tables[i]
		if t.Name <= last {
			return bad("describe: tables are not sorted by name, or %s comes twice", t.Name)
		}
		last = t.Name
		if err := table(t); err != nil {
			return err
		}
	}
	last = ""
	for i := range got.Relationships {
		r := &got.Relationships[i]
		if r.Name <= last {
			return bad("describe: relationships are not sorted by name, or %s comes twice", r.Name)
		}
		last = r.Name
		if r.ManyToMany() == (r.Many != "") {
			return bad("describe: relationship %s is neither one-to-many nor many-to-many", r.Name)
		}
	}
	return nil
}

func table(t *allod.Table) error {
	switch t.Class {
	case allod.ClassData, allod.ClassLink, allod.ClassSecurity, allod.ClassConfiguration, allod.ClassPlatform:
	default:
		return bad("describe: table %s has class %q", t.Name, t.Class)
	}
	if t.Reason == "" {
		return bad("describe: table %s has a class without a reason", t.Name)
	}
	if t.Unreadable == "" && (t.Set == "" || t.Column(t.Key) == nil) {
		return bad("describe: table %s is readable but has no set or no key column", t.Name)
	}
	seen := map[string]bool{}
	tail := false
	for i := range t.Columns {
		c := &t.Columns[i]
		storeless := c.Derived != "" || c.Unreadable != ""
		switch {
		case c.Name == "" || seen[c.Name]:
			return bad("describe: column %s.%s has no name or comes twice", t.Name, c.Name)
		case tail && !storeless:
			return bad("describe: column %s.%s stands behind columns without cells", t.Name, c.Name)
		case c.Type == allod.Absent || c.Type == allod.Null:
			return bad("describe: column %s.%s has type %v", t.Name, c.Name, c.Type)
		case (c.Unwritable == "") != (c.Create || c.Update):
			return bad("describe: column %s.%s is unwritable without a reason, or writable with one", t.Name, c.Name)
		case c.Unwritable != "" && c.Unwritable != allod.NotWritableMetadata && c.Unwritable != allod.NotWritableComputed && c.Unwritable != allod.NotWritablePlatform:
			return bad("describe: column %s.%s is unwritable for a reason outside the closed list", t.Name, c.Name)
		case len(c.Bind) > 0 && c.Type != allod.Lookup:
			return bad("describe: column %s.%s binds but is no lookup", t.Name, c.Name)
		}
		seen[c.Name] = true
		tail = tail || storeless
	}
	return nil
}

func schemaAgain(ctx context.Context, s source.Source) error {
	a, err := describe(ctx, s)
	if err != nil {
		return err
	}
	b, err := describe(ctx, s)
	if err != nil {
		return err
	}
	if a.Identity.Organization != b.Identity.Organization || a.Identity.User != b.Identity.User {
		return bad("describe: the identity differs between two calls")
	}
	if len(a.Tables) != len(b.Tables) || len(a.Relationships) != len(b.Relationships) {
		return bad("describe: %d tables and %d relationships, then %d and %d", len(a.Tables), len(a.Relationships), len(b.Tables), len(b.Relationships))
	}
	for i := range a.Tables {
		if a.Tables[i].Name != b.Tables[i].Name || len(a.Tables[i].Columns) != len(b.Tables[i].Columns) {
			return bad("describe: table %s differs between two calls", a.Tables[i].Name)
		}
		for j := range a.Tables[i].Columns {
			x, y := &a.Tables[i].Columns[j], &b.Tables[i].Columns[j]
			if x.Name != y.Name || x.Type != y.Type || x.Native != y.Native || x.Create != y.Create || x.Update != y.Update {
				return bad("describe: column %s.%s differs between two calls", a.Tables[i].Name, x.Name)
			}
		}
	}
	return nil
}

func any1(*allod.Table) bool { return true }

func pages(ctx context.Context, s source.Source) error {
	return small(ctx, s, 5, any1, func(_ *allod.Schema, t *allod.Table, whole []allod.Row) error {
		paged, ended, err := upTo(ctx, s, source.ReadRequest{Table: t, PageSize: max(len(whole)/3, 1)}, 2*most)
		if err != nil || !ended {
			return fmt.Errorf("read %s in small pages: %w", t.Name, err)
		}
		want, got := refs(whole), refs(paged)
		for r := range want {
			if !got[r] {
				return bad("read %s: %d rows at once, %d in small pages", t.Name, len(want), len(got))
			}
		}
		return nil
	})
}

func refs(rows []allod.Row) map[allod.RecordRef]bool {
	m := make(map[allod.RecordRef]bool, len(rows))
	for i := range rows {
		m[rows[i].Ref()] = true
	}
	return m
}

func values(ctx context.Context, s source.Source) error {
	return small(ctx, s, 20, any1, func(_ *allod.Schema, t *allod.Table, rows []allod.Row) error {
		for i := range rows {
			r := &rows[i]
			if r.Table != t.Name || (r.Key.IsZero() && !r.Ref().IsPair()) || len(r.Cells) > len(t.Columns) {
				return bad("read %s: a row of %q with %d cells for %d columns", t.Name, r.Table, len(r.Cells), len(t.Columns))
			}
			for j := range r.Cells {
				v, c := r.Cells[j], &t.Columns[j]
				if v.IsAbsent() || v.IsNull() || v.Type() == c.Type || v.Type() == allod.JSON {
					continue
				}
				return bad("read %s: column %s is %v and has a value that is %v", t.Name, c.Name, c.Type, v.Type())
			}
		}
		return nil
	})
}
