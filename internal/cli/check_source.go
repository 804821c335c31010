package cli

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/survey"
)

func (a *app) checkSourceCommand() *cobra.Command {
	var write, all bool
	var table string
	cmd := &cobra.Command{
		Use: "source ENV", Short: "Prove that an environment behaves; say what to know of it", Args: cobra.ExactArgs(1), Example: "  allod check source prod",
		Long: `Prove that an environment behaves as Allod needs it to, and say what to know
before relying on a backup of it: rights that are missing, column security,
tables that cannot be followed, what is left out and why, logic that a restore
would set off, clocks that run out, and what lies outside.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				if write == (table == "") {
					return &usageError{allod.Errorf(allod.Invalid, "check source: --write and --table go together")}
				}
				cerr := o.CheckSource(cmd.Context(), args[0], table, a.showCheck)
				facts, err := o.Survey(cmd.Context(), args[0])
				if err != nil {
					return cmp.Or(cerr, err) // they fail for the same reason
				}
				found := survey.Findings(facts)
				if a.json {
					for _, g := range survey.Gaps(facts) {
						a.print(g)
					}
					for i := range found {
						a.print(&found[i])
					}
					return cerr
				}
				a.showFindings(found, all)
				return cerr
			})
		},
	}
	cmd.Flags().BoolVar(&write, "write", false, "try writing too: rows are made in --table and removed again")
	cmd.Flags().StringVar(&table, "table", "", "table to write to; it needs a title column and no other required one")
	cmd.Flags().BoolVar(&all, "all", false, "name every table of every finding")
	return cmd
}

// showFindings tells what there is to know, the gravest first. Of a long list
// of tables it names the first, unless all are wanted.
func (a *app) showFindings(found []survey.Finding, all bool) {
	for i := range found {
		f := &found[i]
		word := string(f.Severity)
		if f.Severity == survey.Problem {
			word = strings.ToUpper(word)
		}
		a.para("  ", "%-8s %s: %s", word, f.Topic, f.What)
		a.showItems(f.Items, all || f.Severity == survey.Problem)
		a.para("  ", "  %s", f.Why)
		if f.Next != "" {
			a.para("    ", "  → %s", f.Next)
		}
	}
}

// showItems lists what has a detail line by line, and bare names one after
// another.
func (a *app) showItems(items []survey.Item, all bool) {
	const most = 12
	rest := 0
	if !all && len(items) > most {
		items, rest = items[:most], len(items)-most
	}
	var bare []string
	for _, it := range items {
		if it.Detail == "" {
			bare = append(bare, it.Name)
		} else {
			a.para("    ", "  %s: %s", it.Name, it.Detail)
		}
	}
	if len(bare) > 0 {
		a.para("  ", "  %s", strings.Join(bare, ", "))
	}
	if rest > 0 {
		a.para("  ", "  and %d more (`--all` names them)", rest)
	}
}
