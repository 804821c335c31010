// Package inspect asks an environment what stands around its rows: logic that a
// restore would set off, and what lies outside Dataverse. It reads tables of
// configuration through source.Finder and takes what it may not read as a fact.
package inspect

import (
	"cmp"
	"context"
	"slices"

	"allod"
	"allod/internal/source"
)

// Values of columns, from the tables' reference pages.
const (
	active     = 1  // workflow.statecode: activated
	definition = 1  // workflow.type: the process itself, not its activation
	enabled    = 0  // sdkmessageprocessingstep.statecode
	core       = 30 // sdkmessageprocessingstep.stage: the platform's own operation
	ownCode    = 1  // sdkmessageprocessingstep.customizationlevel: not the platform's
)

// Look asks what stands around the rows: logic that writes set off, tables that
// can never be tracked, how far the platform's own backups reach, and what lies
// outside. What may not be asked is left out and named; an error is a service
// that could not be reached.
func Look(ctx context.Context, f source.Finder, s Service, schema *allod.Schema) (*source.Surroundings, error) {
	l := &looker{f: f, schema: schema, out: &source.Surroundings{}}
	err := l.triggers(ctx)
	if err != nil {
		return nil, err
	}
	if l.out.Outside, err = Outside(ctx, f, s, schema); err != nil {
		return nil, err
	}
	if l.out.NeverTracked, err = neverTracked(ctx, s); err != nil {
		return nil, err
	}
	if l.out.NativeDays, err = nativeDays(ctx, s, schema); err != nil {
		return nil, err
	}
	return l.out, nil
}

// Triggers lists what writes set off, and the tables that tell of such and may
// not be read.
func Triggers(ctx context.Context, f source.Finder, schema *allod.Schema) ([]source.Trigger, []string, error) {
	l := &looker{f: f, schema: schema, out: &source.Surroundings{}}
	err := l.triggers(ctx)
	return l.out.Triggers, l.out.Unlisted, err
}

func (l *looker) triggers(ctx context.Context) error {
	for _, look := range []func(context.Context) error{l.processes, l.steps} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	slices.SortFunc(l.out.Triggers, func(a, b source.Trigger) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
	})
	slices.Sort(l.out.Unlisted)
	return nil
}

type looker struct {
	f      source.Finder
	schema *allod.Schema
	out    *source.Surroundings
}

// record is a row with its columns by name.
type record struct {
	key   allod.GUID
	cells map[string]allod.Value
}

// all reads the named columns of a table, as far as it has them. A table that
// is not there has no rows; one that may not be read is noted.
func (l *looker) all(ctx context.Context, table, filter string, columns ...string) ([]record, error) {
	t := l.schema.Table(table)
	if t == nil {
		return nil, nil
	}
	if t.Unreadable != "" {
		l.out.Unlisted = append(l.out.Unlisted, table)
		return nil, nil
	}
	var have []string
	for _, c := range columns {
		if col := t.Column(c); col != nil && col.Unreadable == "" && col.Derived == "" {
			have = append(have, c)
		}
	}
	var out []record
	for row, err := range l.f.Query(ctx, t, filter, append(have, t.Key)) {
		if closed(err) {
			l.out.Unlisted = append(l.out.Unlisted, table)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		r := record{key: row.Key, cells: make(map[string]allod.Value, len(have))}
		for _, c := range have {
			r.cells[c] = row.Cell(t.ColumnIndex(c))
		}
		out = append(out, r)
	}
	return out, nil
}

// closed reports whether the service answered, and the answer was no.
func closed(err error) bool {
	if err == nil {
		return false
	}
	switch allod.KindOf(err) {
	case allod.Denied, allod.NotFound, allod.Invalid:
		return true
	default:
		return false
	}
}

// processes lists activated workflows, business rules and cloud flows
// (protocols/dataverse.md §11.2). Flows outside solutions are in no table.
func (l *looker) processes(ctx context.Context) error {
	kinds := map[int64]source.TriggerKind{0: source.TriggerWorkflow, 2: source.TriggerRule, 5: source.TriggerFlow}
	rows, err := l.all(ctx, "workflow", "statecode eq 1", "name", "category", "type", "statecode", "primaryentity", "clientdata", "ismanaged", "triggeroncreate", "triggerondelete", "triggeronupdateattributelist")
	if err != nil {
		return err
	}
	for _, r := range rows {
		kind, ok := kinds[r.cells["category"].Int()]
		state, of := r.cells["statecode"], r.cells["type"]
		if !ok || state.Type() == allod.Integer && state.Int() != active || of.Type() == allod.Integer && of.Int() != definition {
			continue
		}
		t := source.Trigger{Kind: kind, Name: r.cells["name"].Text(), Table: r.cells["primaryentity"].Text(), Managed: r.cells["ismanaged"].Bool()}
		if kind == source.TriggerFlow {
			fires, table, messages := FlowTrigger(r.cells["clientdata"].Text())
			if !fires {
				continue
			}
			t.Table, t.Messages = table, messages
		} else if kind == source.TriggerWorkflow {
			t.Messages = startsOn(r)
		}
		if t.Table == "none" {
			t.Table = ""
		}
		l.out.Triggers = append(l.out.Triggers, t)
	}
	return nil
}

// startsOn tells what a workflow starts on by itself (workflow table reference:
// triggeroncreate, triggerondelete, triggeronupdateattributelist); none = the
// table does not say.
func startsOn(r record) []string {
	var out []string
	known := false
	for _, m := range []struct{ column, message string }{{"triggeroncreate", "Create"}, {"triggerondelete", "Delete"}} {
		v := r.cells[m.column]
		known = known || v.Type() == allod.Boolean
		if v.Bool() {
			out = append(out, m.message)
		}
	}
	if r.cells["triggeronupdateattributelist"].Text() != "" {
		out = append(out, "Update")
	}
	if known && out == nil {
		return []string{"on demand"}
	}
	return out
}

// steps lists enabled plug-in steps that are not the platform's own, and tells
// those that call a web address apart.
func (l *looker) steps(ctx context.Context) error {
	steps, err := l.all(ctx, "sdkmessageprocessingstep", "statecode eq 0", "name", "stage", "statecode", "customizationlevel", "eventhandler", "sdkmessageid", "sdkmessagefilterid", "ismanaged")
	if err != nil || len(steps) == 0 {
		return err
	}
	messages, err := l.names(ctx, "sdkmessage", "name")
	if err != nil {
		return err
	}
	filters, err := l.names(ctx, "sdkmessagefilter", "primaryobjecttypecode")
	if err != nil {
		return err
	}
	for _, s := range steps {
		_, message := s.cells["sdkmessageid"].Target()
		name, known := messages[message]
		level, state := s.cells["customizationlevel"], s.cells["statecode"]
		if s.cells["stage"].Int() == core || level.Type() == allod.Integer && level.Int() != ownCode ||
			state.Type() == allod.Integer && state.Int() != enabled || known && !writes(name) {
			continue
		}
		t := source.Trigger{Kind: source.TriggerStep, Name: s.cells["name"].Text(), Managed: s.cells["ismanaged"].Bool()}
		if known {
			t.Messages = []string{name}
		}
		if handler, _ := s.cells["eventhandler"].Target(); handler == "serviceendpoint" {
			t.Kind = source.TriggerWebhook
		}
		_, filter := s.cells["sdkmessagefilterid"].Target()
		if t.Table = filters[filter]; t.Table == "none" {
			t.Table = ""
		}
		l.out.Triggers = append(l.out.Triggers, t)
	}
	return nil
}

// writes reports whether a restore sends the message, or sets it off.
func writes(message string) bool {
	switch message {
	case "Create", "Update", "Delete", "Assign", "SetState", "SetStateDynamicEntity", "Associate", "Disassociate",
		"CreateMultiple", "UpdateMultiple", "Upsert", "UpsertMultiple", "Close", "Win", "Lose", "GrantAccess", "ModifyAccess", "AddMembers":
		return true
	}
	return false
}

// names reads one text of every row of a table.
func (l *looker) names(ctx context.Context, table, column string) (map[allod.GUID]string, error) {
	rows, err := l.all(ctx, table, "", column)
	out := make(map[allod.GUID]string, len(rows))
	for _, r := range rows {
		out[r.key] = r.cells[column].Text()
	}
	return out, err
}
