package erasure

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/erasure"
	"allod/internal/cli/text"
	"allod/internal/durable"
)

// typed are the flags of rectify.
type typed struct {
	r              erasure.Rectification
	set, only      []string // COLUMN=VALUE
	values         string   // file or "-"
	from, to       string
	planOnly, asks bool
}

func (c *Console) rectifyCommand() *cobra.Command {
	var t typed
	cmd := &cobra.Command{
		Use: "rectify ENV TABLE ID", Short: "Correct a record in every backup", Args: cobra.ExactArgs(3),
		Long: `Show which stored versions of a record hold another value than the right one;
with --yes ask for their correction. Every stored version is then sealed anew,
corrected where it was wrong, and the key of what was stored before is
destroyed, in the same step: no backup shows or holds the wrong value any more.
It waits for two people and 72 hours as an erasure does (--urgent leaves the
wait out) and is listed by ` + "`allod vault erasures`" + `; until then the record is
shown as it is.

--keep-history leaves the versions as they are and corrects what is restored
of them, from then on and without waiting; ` + "`allod vault corrections`" + ` lists
and ends such corrections.

What is typed after --set may end up in the history of a shell: --values takes
it from a file, as {"set":{"COLUMN":"VALUE"},"clear":["COLUMN"],
"only":{"COLUMN":"WRONG VALUE"}}. Values never stand in logs or in the ledger.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t.r.Environment, t.r.Table, t.r.ID = args[0], args[1], args[2]
			if err := c.readTyped(&t); err != nil {
				return err
			}
			return c.With(cmd.Context(), func(o *act.Office) error { return c.rectify(cmd.Context(), o, &t) })
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&t.set, "set", nil, "the right value, as `COLUMN=VALUE`; may be repeated")
	f.StringArrayVar(&t.r.Values.Clear, "clear", nil, "a `COLUMN` that should have been empty; may be repeated")
	f.StringArrayVar(&t.only, "only", nil, "correct only versions with this value: `COLUMN=VALUE`; may be repeated")
	f.StringVar(&t.values, "values", "", "`FILE` with the values, - for the standard input")
	f.StringVar(&t.from, "from", "", "only versions shown by this snapshot or later ones; `WHEN` as in ENV@WHEN")
	f.StringVar(&t.to, "to", "", "only versions shown by this snapshot or earlier ones")
	f.BoolVar(&t.r.Keep, "keep-history", false, "leave the versions, and correct what is restored of them")
	f.BoolVar(&t.r.Urgent, "urgent", false, "do not wait 72 hours once two people have approved")
	f.StringVar(&t.r.Ground, "ground", "", "why; no content of records")
	f.BoolVar(&t.planOnly, "plan", false, "show the plan and ask for nothing")
	f.BoolVar(&t.asks, "yes", false, "ask for it")
	return cmd
}

// readTyped puts values and moments into the request. Errors name no value.
func (c *Console) readTyped(t *typed) error {
	clears := t.r.Values.Clear
	if t.values != "" {
		in := c.In
		if t.values != "-" {
			f, err := os.Open(t.values)
			if err != nil {
				return durable.Wrap(err, "read %s", t.values)
			}
			defer func() { _ = f.Close() }() // only read
			in = f
		}
		v, err := erasure.ReadValues(in)
		if err != nil {
			return err
		}
		t.r.Values = v
		t.r.Values.Clear = append(t.r.Values.Clear, clears...)
	}
	var err error
	if t.r.Values.Set, err = split("--set", t.set, t.r.Values.Set); err != nil {
		return err
	}
	if t.r.Values.Only, err = split("--only", t.only, t.r.Values.Only); err != nil {
		return err
	}
	if t.r.From, err = c.when(t.r.Environment, t.from); err != nil {
		return err
	}
	t.r.To, err = c.when(t.r.Environment, t.to)
	return err
}

// split reads COLUMN=VALUE into a copy of known.
func split(flag string, typed []string, known map[string]string) (map[string]string, error) {
	out := maps.Clone(known)
	if out == nil {
		out = map[string]string{}
	}
	for i, one := range typed {
		name, value, ok := strings.Cut(one, "=")
		if !ok || name == "" {
			return nil, allod.Errorf(allod.Invalid, "read %s number %d: want COLUMN=VALUE", flag, i+1)
		}
		if _, twice := out[name]; twice {
			return nil, allod.Errorf(allod.Invalid, "read %s: column %s is named twice", flag, name)
		}
		out[name] = value
	}
	return out, nil
}

func (c *Console) when(env, when string) (*act.Moment, error) {
	if when == "" {
		return nil, nil
	}
	m, err := c.Moment(env + "@" + when)
	if err == nil && m.Live {
		err = allod.Errorf(allod.Invalid, "read %s@%s: name a snapshot", env, when)
	}
	return &m, err
}

func (c *Console) rectify(ctx context.Context, o *act.Office, t *typed) error {
	p, err := erasure.MakeRectify(ctx, o, t.r)
	if err != nil {
		return err
	}
	if t.planOnly || !t.asks {
		if c.JSON() {
			c.Print(p)
		} else {
			c.showRectify(p)
		}
		if t.planOnly {
			return nil
		}
		return allod.WithHint(allod.Errorf(allod.Invalid, "rectify: nothing was asked for"), "Read the plan; `--yes` asks for it.")
	}
	if !c.JSON() {
		c.showRectify(p)
	}
	e, err := erasure.AskRectify(ctx, o, p)
	if err != nil {
		return err
	}
	if e == nil {
		if c.JSON() {
			c.Print(p)
		} else {
			c.outf("In force. `allod vault corrections` lists it.\n")
		}
		return nil
	}
	return c.carry(ctx, o, e)
}

func (c *Console) showRectify(p *erasure.RectifyPlan) {
	c.outf("Correct %s of %s %s\n  in %d of %s stored in %s:\n", strings.Join(p.Columns, ", "), p.Table, p.ID, len(p.Corrected), count(p.Versions, "version"), p.Environment)
	for i, v := range p.Corrected {
		if i == most {
			c.outf("  … and %d more; --json shows all\n", len(p.Corrected)-most)
			break
		}
		c.outf("  stored by %s@%d: %s\n", p.Environment, v.Snapshot, strings.Join(v.Columns, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Counts)) {
		after := int64(0)
		if p.Keep {
			after = p.Counts[name]
		}
		c.outf("  %s: %d versions hold another value before, %d after\n", name, p.Counts[name], after)
	}
	for _, w := range p.Warnings {
		text.Paragraph(c.Out, "      ", "NOTE  "+w)
	}
	if p.Keep {
		c.outf("The versions stay as they are; what is restored of them is corrected.\n")
		return
	}
	c.outf("Old keys are then removed from: %s\n", strings.Join(p.Places, ", "))
	c.outf("Asked for now and approved, it is carried out from %s.\n", p.Due.Format(time.RFC3339))
}

// Mark says on the standard error which columns of a row that is shown were
// wrong, by corrections that leave history as it is.
func (c *Console) Mark(ctx context.Context, o *act.Office, m act.Moment, row *allod.Row) error {
	marks, err := erasure.Marks(ctx, o, m, row.Ref())
	for _, one := range marks {
		ground := ""
		if one.Ground != "" {
			ground = ", ground: " + one.Ground
		}
		text.Paragraph(c.Err, "  ", fmt.Sprintf("NOTE  %s: corrected on %s (%s%s). A restore writes what is right.", strings.Join(one.Columns, ", "), one.At.Format(time.DateOnly), one.ID.String()[:8], ground))
	}
	return err
}

func (c *Console) correctionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "corrections", Short: "List corrections that restores replay", Args: cobra.NoArgs,
		Long: `List the corrections that were made with --keep-history: which columns of which
record, since when and why. The values are not shown.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				all, err := erasure.Corrections(cmd.Context(), o)
				if err != nil {
					return err
				}
				return c.showCorrections(all)
			})
		},
	}
	end := &cobra.Command{
		Use: "end ID", Short: "Replay a correction no more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				one, err := erasure.EndCorrection(cmd.Context(), o, args[0])
				if err != nil {
					return err
				}
				return c.showCorrections([]erasure.Replayed{*one})
			})
		},
	}
	cmd.AddCommand(end)
	return cmd
}

func (c *Console) showCorrections(all []erasure.Replayed) error {
	if c.JSON() {
		c.Print(map[string]any{"corrections": all})
		return nil
	}
	if len(all) == 0 {
		c.outf("No correction is replayed.\n")
	}
	for _, one := range all {
		state := "since " + one.At.Format(time.RFC3339)
		if !one.Ended.IsZero() {
			state = "ended " + one.Ended.Format(time.RFC3339)
		}
		c.outf("Correction %s: %s of %s %s\n  %s, %s\n", one.ID, strings.Join(one.Columns, ", "), one.Table, one.Record, one.Environment, state)
		if one.Ground != "" {
			text.Paragraph(c.Out, "  ", fmt.Sprintf("  ground: %s", one.Ground))
		}
	}
	return nil
}
