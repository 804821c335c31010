// Package audit holds the commands for those who look after the ledger.
package audit

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/audit"
	"allod/internal/cli/text"
	"allod/internal/durable"
	"allod/internal/ledger"
)

// Console is what the commands need of the command line around them. All fields
// are required. Deps is asked when a command runs, as flags bear on it.
type Console struct {
	Deps   func() act.Deps
	Out    io.Writer
	Folder func() (string, error)                                       // of this Allod
	Write  func(path string, b []byte) error                            // a new file, durably
	JSON   func() bool                                                  // machine-readable output was asked for
	Print  func(v any)                                                  // one JSON object to stdout
	With   func(ctx context.Context, f func(o *act.Office) error) error // opens the Allod
	Said   func(err error) error                                        // err, of which people know already: its exit code counts
}

const maxInput = 1 << 16 // bytes of a checkpoint

// Command is the command.
func (c *Console) Command() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Read, check and prove the ledger of everything done", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.logCommand(), c.verifyCommand(), c.proveCommand(), c.checkpointCommand(), c.cosignedCommand())
	return cmd
}

func (c *Console) outf(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

func (c *Console) para(indent, format string, args ...any) {
	text.Paragraph(c.Out, indent, fmt.Sprintf(format, args...))
}

// since reads a moment: 2026-11-20, 2026-11-20T10:00Z, or how long ago: 90m, 12h, 7d.
func since(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t.UTC(), nil
		}
	}
	unit := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[len(s)-1]]
	n, err := strconv.Atoi(s[:len(s)-1])
	if err != nil || unit == 0 || n < 0 || n > 1_000_000 {
		return time.Time{}, allod.WithHint(allod.Errorf(allod.Invalid, "read --since %q: it is no moment", s), "Want a day (2026-11-20, in UTC), a time with its zone (2026-11-20T10:00Z), or how long ago: 90m, 12h, 7d.")
	}
	return now.Add(-time.Duration(n) * unit), nil
}

func (c *Console) logCommand() *cobra.Command {
	var q audit.Query
	var from string
	cmd := &cobra.Command{
		Use: "log", Short: "Read the ledger: every decision, and what was done", Args: cobra.NoArgs, Example: "  allod audit log --since 7d --action restore",
		Long: `Read the ledger, the oldest entry first. People and environments are pseudonyms
in it, for ever; shown by name are the environments that are connected, you, and
whoever --actor asks for. Reading the ledger is recorded in it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = since(from, c.Deps().Now()); err != nil {
				return err
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				shown := 0
				err := audit.Log(cmd.Context(), o, q, func(l audit.Line) error {
					if shown++; c.JSON() {
						c.Print(l)
					} else {
						c.line(l)
					}
					return nil
				})
				if err == nil && !c.JSON() {
					c.outf("%d entries.\n", shown)
				}
				return err
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "since", "", "only from this `MOMENT` on: 2026-11-20, 2026-11-20T10:00Z, 90m, 12h, 7d")
	f.StringVar(&q.Actor, "actor", "", "only of this `NAME`, such as os:alice, or pseudonym")
	f.StringVar(&q.Action, "action", "", "only this `WORD`, such as restore")
	return cmd
}

// line shows one entry: what was done, by whom, and its numbers.
func (c *Console) line(l audit.Line) {
	what := l.Action
	if l.Effect != "" {
		what += ": " + l.Effect
	}
	c.outf("%d  %s  %s\n", l.N, l.Time.Format("2006-01-02 15:04:05"), what)
	var parts []string
	add := func(name, value, pseudonym string) {
		if value == "" && len(pseudonym) >= 8 {
			value = pseudonym[:8] + "…"
		}
		if value != "" {
			parts = append(parts, name+value)
		}
	}
	add("by ", l.ActorName, l.Actor)
	add("in ", l.EnvironmentName, l.Environment)
	add("for ", l.Purpose, "")
	for _, k := range slices.Sorted(maps.Keys(l.Counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, l.Counts[k]))
	}
	if len(parts) > 0 {
		c.para("    ", "    %s", strings.Join(parts, ", "))
	}
	if l.Run != "" {
		c.outf("    run %s\n", l.Run)
	}
}

// keys reads the keys of witnesses.
func keys(texts []string) ([]ledger.Witness, error) {
	var out []ledger.Witness
	for _, s := range texts {
		w, err := ledger.ParseWitness(s)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

func (c *Console) verifyCommand() *cobra.Command {
	var head string
	var witnesses []string
	cmd := &cobra.Command{
		Use: "verify [FILE...]", Short: "Check the ledger, or what was handed out from it", Example: "  allod audit verify certificate.json",
		Long: `Check the whole ledger: every entry, tile and checkpoint, and that it contains
what this Allod, the vault's log, and --head FILE (a checkpoint that was kept
elsewhere) have seen of it. Ends with 7 when it does not. Needs no key.

With FILEs: check certificates, proofs and checkpoints instead, each by itself
and against each other, as allod-verify does for people who have no Allod.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := c.Folder()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				return c.verifyFiles(dir, witnesses, args)
			}
			var given []byte
			if head != "" {
				if given, err = read(head); err != nil {
					return err
				}
			}
			return c.verify(cmd.Context(), dir, given)
		},
	}
	f := cmd.Flags()
	f.StringVar(&head, "head", "", "`FILE` of a checkpoint that the ledger must contain")
	f.StringArrayVar(&witnesses, "witness", nil, "verifier `KEY` of a witness; may be given several times")
	return cmd
}

func (c *Console) verifyFiles(dir string, witnesses, files []string) error {
	by, err := keys(witnesses)
	if err != nil {
		return err
	}
	out := c.Out
	if c.JSON() {
		out = io.Discard
	}
	if err := audit.VerifyFiles(dir, out, by, files); err != nil {
		return err
	}
	if c.JSON() {
		c.Print(map[string]any{"files": files, "good": true})
	}
	return nil
}

func (c *Console) verify(ctx context.Context, dir string, given []byte) error {
	o, err := act.OpenPublic(ctx, dir, c.Deps())
	if err != nil {
		return err
	}
	rep, err := audit.Verify(ctx, o, given)
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	if err != nil && len(rep.Bad) == 0 {
		return err
	}
	if c.JSON() {
		type bad struct {
			Object string `json:"object"`
			What   string `json:"what"`
			Kind   string `json:"kind"`
		}
		list := []bad{}
		for _, b := range rep.Bad {
			list = append(list, bad{b.Object, b.What, b.Kind.String()})
		}
		c.Print(map[string]any{"entries": rep.Entries, "tiles": rep.Tiles, "checkpoints": rep.Checkpoints, "witnessed": rep.Witnessed, "log": rep.Log, "bad": list})
		if err != nil {
			return c.Said(err)
		}
		return nil
	}
	for _, b := range rep.Bad {
		c.para("     ", "BAD  %s: %s (%s)", b.Object, b.What, b.Kind)
	}
	c.para("", "Ledger: %d entries, %d tiles, %d checkpoints, %d cosigned by witnesses, %d bad.", rep.Entries, rep.Tiles, rep.Checkpoints, rep.Witnessed, len(rep.Bad))
	c.outf("Log: %d entries, chained and signed, the last one\n  %s\n", rep.Log.N, rep.Log.Digest)
	return err
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, durable.Wrap(err, "read %s", path)
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxInput+1))
	if err != nil {
		return nil, durable.Wrap(err, "read %s", path)
	}
	if len(b) > maxInput {
		return nil, allod.Errorf(allod.Invalid, "read %s: more than %d bytes", path, maxInput)
	}
	return b, nil
}

// give writes what leaves the house to a new file, or to the standard output.
func (c *Console) give(out string, b []byte, said map[string]any) error {
	if out == "" && !c.JSON() {
		_, err := c.Out.Write(b)
		return err
	}
	if out != "" {
		if err := c.Write(out, b); err != nil {
			return err
		}
		said["file"] = out
	} else {
		said["text"] = string(b)
	}
	if c.JSON() {
		c.Print(said)
		return nil
	}
	c.outf("Wrote %s.\n", out)
	return nil
}

func (c *Console) proveCommand() *cobra.Command {
	var run, out string
	cmd := &cobra.Command{
		Use: "prove [N]", Short: "Prove to others that the ledger has an entry", Args: cobra.MaximumNArgs(1), Example: "  allod audit prove 41 --out entry.tlog-proof",
		Long: `Write the proof that entry N, or the last one of a run, is in the ledger: a C2SP
tlog-proof. Whoever has the vault object checks it without a network or a key:
allod-verify --vault vault entry.tlog-proof`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (run != "") {
				return allod.WithHint(allod.Errorf(allod.Invalid, "audit prove: name an entry or a run"), "`allod audit log` shows the numbers of entries, and the runs.")
			}
			n := int64(-1)
			if len(args) == 1 {
				var err error
				if n, err = strconv.ParseInt(args[0], 10, 64); err != nil || n < 0 {
					return allod.WithHint(allod.Errorf(allod.Invalid, "audit prove %s: it is not the number of an entry", args[0]), "`allod audit log` shows the numbers of entries.")
				}
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				var proof []byte
				var err error
				if run != "" {
					n, proof, err = audit.ProveRun(cmd.Context(), o, run)
				} else {
					proof, err = audit.Prove(cmd.Context(), o, n)
				}
				if err != nil {
					return err
				}
				return c.give(out, proof, map[string]any{"entry": n})
			})
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "`ID` of a run, as the log shows it, instead of a number")
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write, which must not exist (default the standard output)")
	return cmd
}

func (c *Console) checkpointCommand() *cobra.Command {
	var out string
	old := int64(-1)
	cmd := &cobra.Command{
		Use: "checkpoint", Short: "Write a signed checkpoint, to be kept elsewhere or cosigned", Args: cobra.NoArgs, Example: "  allod audit checkpoint --out 2026-11-21.checkpoint",
		Long: `Write a checkpoint of the ledger as it is now: size and root, signed. Kept where
nobody who can write to the vault can reach it, it shows later whether entries
were removed or replaced: allod audit verify --head FILE

With --old N, the size that a witness knows (0 the first time), it is written as
the request that a C2SP witness takes (add-checkpoint). Put the lines that it
answers behind the checkpoint that the request ends with, and hand both to
` + "`allod audit cosigned`" + `.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("old") && old < 0 {
				return allod.Errorf(allod.Invalid, "audit checkpoint: --old is a number of entries")
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				head, b, err := audit.Checkpoint(cmd.Context(), o, old)
				if err != nil {
					return err
				}
				return c.give(out, b, map[string]any{"entries": head.Size, "root": head.Hash})
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write, which must not exist (default the standard output)")
	cmd.Flags().Int64Var(&old, "old", -1, "`SIZE` that the witness knows")
	return cmd
}

func (c *Console) cosignedCommand() *cobra.Command {
	var witnesses []string
	cmd := &cobra.Command{
		Use: "cosigned FILE", Short: "Keep a checkpoint that witnesses have cosigned", Args: cobra.ExactArgs(1), Example: "  allod audit cosigned checkpoint --witness witness.example/w1+d0a1b2c3+BM…",
		Long: `Compare a cosigned checkpoint with the ledger and keep it beside it. Ends with
7, an alarm, when the ledger does not contain what the witness has seen.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			by, err := keys(witnesses)
			if err != nil {
				return err
			}
			b, err := read(args[0])
			if err != nil {
				return err
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				head, signed, err := audit.KeepCosigned(cmd.Context(), o, b, by)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(map[string]any{"entries": head.Size, "root": head.Hash, "witnesses": signed})
					return nil
				}
				for _, w := range signed {
					c.para("  ", "%s saw the ledger of %d entries on %s.", w.Witness, head.Size, w.At.Format(time.RFC3339))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringArrayVar(&witnesses, "witness", nil, "verifier `KEY` of a witness; may be given several times")
	_ = cmd.MarkFlagRequired("witness") // only fails for a flag that is not there
	return cmd
}
