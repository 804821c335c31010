// Package beside is what a restore takes besides writing rows: it looks, while a
// plan is made, at what the rows of it touch in the target, adds warnings and
// what is to be done, and does that when the rows are written. What may not be
// read is said in the plan and keeps nothing else from being planned.
package beside

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// Request says what is to be done besides writing rows. The zero value is
// nothing: the plan only says what would be wise.
type Request struct {
	FixSeeds bool `json:"fix_seeds,omitempty"`    // columns that count go on behind what comes back
	Sharing  bool `json:"with_sharing,omitempty"` // rows that are made are shared again
	// Holding is a team, by name or id, that owns rows that are made in place of
	// owners whose mailbox would give them to Exchange; "" = none.
	Holding string `json:"no_sync_owners,omitempty"`
}

// Side is one restore, seen from beside.
type Side struct {
	Request
	Source source.Source // that is written to
	Schema *allod.Schema // of it
	Bypass []string      // custom logic that is asked not to run
	Part   bool          // single columns are written, or left out
}

// readBatch is how many rows are read at once.
const readBatch = 250

// Look adds to the plan what its steps bring with them: restore.Options.Look. The
// steps need not be in order yet.
func (s Side) Look(ctx context.Context, p *plan.Plan, snap, live source.View) error {
	l := &looker{Side: s, p: p, snap: snap, live: live, tables: map[string]*touched{}}
	l.gather()
	for _, look := range []func(context.Context) error{l.mailboxes, l.bin, l.numbers, l.shares, l.triggers, l.duplicates} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// LookAtTriggers adds what the steps set off alone: of an undo nothing else is done
// besides.
func (s Side) LookAtTriggers(ctx context.Context, p *plan.Plan, snap, live source.View) error {
	l := &looker{Side: s, p: p, snap: snap, live: live, tables: map[string]*touched{}}
	l.gather()
	return l.triggers(ctx)
}

// After does what the plan says is to be done when the rows are written, and looks
// what became of amounts that the platform reckons: undo.Carrier.After. What is
// refused is a failure of the report.
func (s Side) After(ctx context.Context, p *plan.Plan, snap, live source.View, rep *apply.Report) error {
	o := source.WriteOptions{Tag: "allod:" + rep.ID}
	if p.After != nil {
		if err := s.setNumbers(ctx, o, p.After.Seeds, rep); err != nil {
			return err
		}
		if p.After.Shares != nil {
			if err := s.share(ctx, o, p, rep); err != nil {
				return err
			}
		}
	}
	return totals(ctx, p, snap, live, rep)
}

// looker is the work on one plan.
type looker struct {
	Side
	p          *plan.Plan
	snap, live source.View
	tables     map[string]*touched
}

// touched is what the plan does to one table.
type touched struct {
	made     []allod.GUID
	columns  map[string][]allod.GUID // rows by column that is written
	messages map[string]bool         // that writing it sends
}

// gather sorts the steps by table.
func (l *looker) gather() {
	for _, s := range l.p.Packed() {
		t := l.tables[l.p.TableOf(s)]
		if t == nil {
			t = &touched{columns: map[string][]allod.GUID{}, messages: map[string]bool{}}
			l.tables[l.p.TableOf(s)] = t
		}
		for _, m := range messages(s) {
			t.messages[m] = true
		}
		if s.Op == plan.OpCreate {
			t.made = append(t.made, s.Key)
		}
		if s.Op == plan.OpCreate || s.Op == plan.OpUpdate {
			for _, c := range l.p.ColumnsOf(s) {
				t.columns[c] = append(t.columns[c], s.Key)
			}
		}
	}
}

// names are the tables, sorted, for which keep holds.
func (l *looker) names(keep func(*touched) bool) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(l.tables)) {
		if keep(l.tables[name]) {
			out = append(out, name)
		}
	}
	return out
}

func (l *looker) warn(format string, args ...any) {
	l.p.Warnings = append(l.p.Warnings, fmt.Sprintf(format, args...))
}

// refused says in the plan that something could not be looked at, and keeps
// errors of a source that could not be reached.
func (l *looker) refused(what string, err error) error {
	if err == nil || !no(err) {
		return err
	}
	l.warn("%s: %s does not let the restorer look (%s)", what, l.live.Name(), allod.KindOf(err))
	return nil
}

// no reports whether the source answered, and the answer was no.
func no(err error) bool {
	switch allod.KindOf(err) {
	case allod.Denied, allod.NotFound, allod.Invalid:
		return true
	default:
		return false
	}
}

// rows calls fn with rows of the snapshot, some at a time.
func (l *looker) rows(ctx context.Context, table string, ids []allod.GUID, fn func(t *allod.Table, row *allod.Row)) error {
	t := l.snap.Schema().Table(table)
	if t == nil {
		return nil
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b allod.GUID) int { return bytes.Compare(a[:], b[:]) })
	for batch := range slices.Chunk(slices.Compact(ids), readBatch) {
		refs := make([]allod.RecordRef, len(batch))
		for i, id := range batch {
			refs[i] = allod.RecordRef{Table: table, Key: id}
		}
		rows, err := l.snap.Get(ctx, table, refs)
		if err != nil {
			return err
		}
		for i := range rows {
			fn(t, &rows[i])
		}
	}
	return nil
}
