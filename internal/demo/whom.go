package demo

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"allod"
	"allod/internal/act"
)

// byWhom says who changed the rows that changed, from the snapshot itself, and
// who deleted, from the company's audit, which is where deletions leave a name.
func (t *tour) byWhom(ctx context.Context) error {
	names, err := t.users(ctx)
	if err != nil {
		return err
	}
	changes := map[string]int{}
	table, rows, err := t.office.Rows(ctx, act.Moment{Environment: env, Snapshot: t.second}, "contact", "", 0)
	if err != nil {
		return err
	}
	by := table.ColumnIndex("modifiedby")
	for row, err := range rows {
		if err != nil {
			return err
		}
		if _, hit := t.loss.phones[row.Key.String()]; hit {
			_, user := row.Cell(by).Target()
			changes[names[user]]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		t.say("%d contacts were last changed by %s.", changes[name], name)
	}
	deletions, err := t.deletions(ctx, names)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(deletions)) {
		t.say("%d rows were deleted by %s, says the audit.", deletions[name], name)
	}
	return nil
}

// users are the names of the company's users, from the snapshot.
func (t *tour) users(ctx context.Context) (map[allod.GUID]string, error) {
	names := map[allod.GUID]string{}
	table, rows, err := t.office.Rows(ctx, act.Moment{Environment: env, Snapshot: t.second}, "systemuser", "", 0)
	if err != nil {
		return nil, err
	}
	full := table.ColumnIndex("fullname")
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		names[row.Key] = row.Cell(full).Text()
	}
	return names, nil
}

// deletions counts what the audit says of deletions, by name.
func (t *tour) deletions(ctx context.Context, names map[allod.GUID]string) (map[string]int, error) {
	rows, err := t.api.rows(ctx, "audits", query("$select", "_userid_value", "$filter", "operation eq 3"))
	if err != nil {
		return nil, fmt.Errorf("read the company's audit: %w", err)
	}
	counts := map[string]int{}
	for _, r := range rows {
		id, _ := r["_userid_value"].(string)
		g, err := allod.ParseGUID(id)
		if err != nil {
			return nil, fmt.Errorf("read the company's audit: %w", err)
		}
		counts[names[g]]++
	}
	return counts, nil
}
