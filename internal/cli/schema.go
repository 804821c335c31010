package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/history"
)

func (a *app) schemaCommand() *cobra.Command {
	var past bool
	cmd := &cobra.Command{
		Use: "schema ENV[@WHEN] [TABLE]", Short: "Show tables with their class, or the columns of one", Args: cobra.RangeArgs(1, 2), SuggestFor: []string{"tables", "columns", "describe"},
		Example: "  allod schema prod account\n  allod schema prod --history",
		Long: `Show the tables of a moment with their class, or the columns of one.

--history shows instead which tables, columns, keys and relationships were
added, removed or got another type from snapshot to snapshot, up to the moment;
up to ENV@live, also since the last backup. Relationships are counted; --json
names them.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.moment(args[0])
			if err != nil {
				return err
			}
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				if past {
					h, err := o.SchemaHistory(cmd.Context(), m, strings.Join(args[1:], ""))
					if err == nil {
						a.showSchemaHistory(h)
					}
					return err
				}
				schema, err := o.Schema(cmd.Context(), m)
				if err != nil {
					return err
				}
				if len(args) == 1 {
					a.showTables(schema)
					return nil
				}
				t := schema.Table(args[1])
				if t == nil {
					return act.NoTable(schema, m.String(), args[1])
				}
				a.showColumns(t)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&past, "history", false, "what changed from snapshot to snapshot")
	return cmd
}

func (a *app) showSchemaHistory(h *act.SchemaHistory) {
	if a.json {
		a.print(h)
		return
	}
	a.outf("%s@%d, read until %s: %d tables.\n", h.Environment, h.First, h.FirstTo.Format(time.RFC3339), h.Tables)
	for i := range h.Changes {
		c := &h.Changes[i]
		name := h.Environment + "@live"
		if c.Snapshot != 0 {
			name = fmt.Sprintf("%s@%d", h.Environment, c.Snapshot)
		}
		a.para("  ", "%s, read until %s; %s.", name, c.To.Format(time.RFC3339), schemaCounts(c.SchemaDiff))
		a.showSchemaDiff(c.SchemaDiff)
	}
	if len(h.Changes) == 0 {
		a.outf("The same in all of %d snapshots.\n", h.Snapshots)
	}
}

// schemaCounts says in a few words how much differs.
func schemaCounts(d *history.SchemaDiff) string {
	added, removed, retyped := d.Columns()
	var parts []string
	count := func(what string, added, removed, retyped int) {
		var words []string
		for i, n := range []int{added, removed, retyped} {
			if n > 0 {
				words = append(words, fmt.Sprintf("%d %s", n, []string{"added", "removed", "of another type"}[i]))
			}
		}
		if len(words) > 0 {
			parts = append(parts, what+": "+strings.Join(words, ", "))
		}
	}
	count("tables", len(d.Added), len(d.Removed), 0)
	count("columns", added, removed, retyped)
	count("relationships", len(d.RelationshipsAdded), len(d.RelationshipsRemoved), 0)
	if len(parts) == 0 {
		return "alternate keys changed"
	}
	return strings.Join(parts, "; ")
}

// showSchemaDiff lists tables, columns and keys. A new table brings dozens of
// relationships to those of the platform: they are only counted.
func (a *app) showSchemaDiff(d *history.SchemaDiff) {
	for _, t := range d.Added {
		a.outf("  + table %s\n", t)
	}
	for _, t := range d.Removed {
		a.outf("  - table %s\n", t)
	}
	for i := range d.Changed {
		t := &d.Changed[i]
		for _, c := range t.Added {
			a.outf("  + column %s.%s (%s)\n", t.Table, c.Column, c.Native)
		}
		for _, c := range t.Removed {
			a.outf("  - column %s.%s (%s)\n", t.Table, c.Column, c.Native)
		}
		for _, c := range t.Retyped {
			from, to := c.From.Native, c.To.Native
			if from == to {
				from, to = from+", "+c.From.Type, to+", "+c.To.Type
			}
			a.outf("  ~ column %s.%s (%s) is now (%s)\n", t.Table, c.Column, from, to)
		}
		for _, k := range t.KeysAdded {
			a.outf("  + key %s of %s\n", k, t.Table)
		}
		for _, k := range t.KeysRemoved {
			a.outf("  - key %s of %s\n", k, t.Table)
		}
	}
}
