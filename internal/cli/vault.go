package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/cli/custody"
	"allod/internal/cli/erasure"
	"allod/internal/cli/keys"
	"allod/internal/cli/roles"
	"allod/internal/vault"
	"allod/internal/vault/verify"
)

func (a *app) vaultCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "vault", Short: "Look after the vault: status, verify, keys", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.vaultStatusCommand(), a.vaultVerifyCommand())
	cmd.AddCommand(a.keyConsole().Commands()...)
	maintainer := &roles.Console{Out: a.deps.Out, JSON: func() bool { return a.json }, Print: a.print, With: a.withOffice, Holding: a.holding, Meter: a.meterOf}
	cmd.AddCommand(maintainer.Command(), maintainer.CompactCommand())
	cmd.AddCommand(a.erasureConsole().Commands()...)
	cmd.AddCommand((&custody.Console{Out: a.deps.Out, JSON: func() bool { return a.json }, Print: a.print, With: a.withOffice}).Commands()...)
	return cmd
}

func (a *app) erasureConsole() *erasure.Console {
	return &erasure.Console{In: a.deps.In, Out: a.deps.Out, Err: a.deps.Err, Moment: a.moment, Write: a.create, JSON: func() bool { return a.json }, Print: a.print, With: a.withOffice, Meter: a.meterOf}
}

// meterOf is newMeter for the packages of commands.
func (a *app) meterOf(what string) (set func(done, total int64, note string), done func()) {
	m := a.newMeter(what, -1)
	return m.set, m.done
}

// create writes a new file; Conflict if there is one.
func (a *app) create(path string, b []byte) error {
	err := a.deps.Disk.Create(path, bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return allod.WithHint(allod.Errorf(allod.KindOf(err), "write %s: %w", path, err), "%s", allod.HintOf(err))
	}
	return nil
}

func (a *app) vaultStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say what the vault holds and who can open it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				s, err := o.VaultStatus(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					a.print(s)
					return nil
				}
				a.outf("Vault %s, format %d\n", s.Vault, s.Format)
				a.outf("  %d log entries, %d packs, %d files, %s\n", s.Entries, s.Packs, s.Files, bytesText(s.Bytes))
				if s.Compacted > 0 {
					a.outf("  Compacted: %d packs of before were replaced\n", s.Compacted)
				}
				a.outf("  Slots lie in: %s\n", strings.Join(s.Places, ", "))
				a.showSlots(s.Slots)
				for i, r := range s.Roots {
					a.outf("  Key tree %d: epoch %d, %d punctures\n", r.Root, r.Epoch, r.Punctures)
					if i == len(s.Roots)-1 && r.Restricted+r.Held > 0 {
						a.outf("  %d records restricted, %d held: `allod vault containers`\n", r.Restricted, r.Held)
					}
				}
				a.outf("  Roles: %s\n", s.RoleSeparation)
				for _, w := range s.Warnings {
					a.outf("  WARNING  %s\n", w)
				}
				return nil
			})
		},
	}
}

func (a *app) showSlots(slots []vault.SlotStatus) {
	for _, s := range slots {
		proved := "never proved"
		if !s.Proved.IsZero() {
			proved = "proved " + s.Proved.Format(time.RFC3339)
		}
		a.outf("  Slot %-12s in %s, epoch %d, %s\n", s.Name, s.Place, s.Epoch, proved)
	}
}

func (a *app) vaultVerifyCommand() *cobra.Command {
	var opts verify.Options
	var full bool
	var sample string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that what was stored is still there, unchanged", Args: cobra.NoArgs,
		Long: `Check names, digests, chain and signatures of everything stored. --full opens
every row and file too; --public needs no key. A slot of role maintain opens
every pack, and no row in it. Ends with 7 and names each object that is not
what was stored.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Public && full {
				return &usageError{allod.Errorf(allod.Invalid, "vault verify: --public and --full exclude each other: rows cannot be opened without a key")}
			}
			share, err := percent(sample)
			if err != nil {
				return err
			}
			if opts.Sample = share; full {
				opts.Sample = 1
			}
			if opts.Public {
				return a.verifyPublic(cmd, opts)
			}
			return a.holding(cmd, func(o *act.Office) error { return a.verify(cmd, o, opts) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.Public, "public", false, "check what needs no key")
	f.BoolVar(&full, "full", false, "open every row and file")
	f.StringVar(&sample, "sample", "5%", "share of the rows to open")
	return cmd
}

func (a *app) verifyPublic(cmd *cobra.Command, opts verify.Options) error {
	dir, err := a.folder()
	if err != nil {
		return err
	}
	o, err := act.OpenPublic(cmd.Context(), dir, a.deps.Deps)
	if err != nil {
		return err
	}
	return a.verify(cmd, o, opts)
}

func (a *app) verify(cmd *cobra.Command, o *act.Office, opts verify.Options) error {
	m := a.newMeter("verify", -1)
	opts.Progress = func(done, total int64) { m.set(done, total, bytesText(done)+" of "+bytesText(total)) }
	rep, err := o.Verify(cmd.Context(), opts)
	m.done()
	if err != nil && len(rep.Bad) == 0 {
		return err
	}
	if a.json {
		if rep.Bad == nil {
			rep.Bad = []verify.Bad{}
		}
		a.print(rep)
		if err != nil {
			return &silent{err}
		}
		return nil
	}
	for _, b := range rep.Bad {
		a.para("     ", "BAD  %s: %s (%s)", b.Object, b.What, b.Kind)
	}
	if rep.Packs > 0 {
		a.outf("%d packs opened to their end, and no row in them.\n", rep.Packs)
	}
	a.outf("%d objects checked, %d rows and %d files opened, %d bad, %d orphans.\n", rep.Objects, rep.Rows, rep.Files, len(rep.Bad), rep.Orphans)
	return err
}

// percent reads "5%", "100%" or "0".
func percent(s string) (float64, error) {
	n := strings.TrimSuffix(strings.TrimSpace(s), "%")
	var f float64
	var ok bool
	if f, ok = parseFloat(n); !ok || f < 0 || f > 100 {
		return 0, &usageError{allod.Errorf(allod.Invalid, "read --sample %q: want a share such as 5%%", s)}
	}
	return f / 100, nil
}

// keyConsole is what the commands around keys need.
func (a *app) keyConsole() *keys.Console {
	return &keys.Console{
		Out: a.deps.Out, JSON: func() bool { return a.json }, Print: a.print, With: a.withOffice, Key: func() string { return a.key },
		OpenBy: func(spec string) { a.deps.Key = cmp.Or(spec, a.deps.Getenv("ALLOD_KEY")) },
		Words:  a.recoveryWords, Said: func(err error) error { return &silent{err} }, Create: a.deps.Disk.Create,
	}
}

// recoveryWords takes the words of the recovery key from ALLOD_RECOVERY_KEY, or
// reads them, once: a command may want them twice.
func (a *app) recoveryWords() (string, error) {
	if a.said != "" {
		return a.said, nil
	}
	if words := a.deps.Getenv("ALLOD_RECOVERY_KEY"); words != "" {
		return words, nil
	}
	a.errf("Type the words of the recovery key, then an empty line:\n")
	var err error
	a.said, err = readWords(a.deps.In)
	return a.said, err
}

// readWords reads lines up to an empty one or the end.
func readWords(r io.Reader) (string, error) {
	var words []string
	scan := bufio.NewScanner(io.LimitReader(r, 16<<10))
	for scan.Scan() {
		line := strings.TrimSpace(scan.Text())
		if line == "" && len(words) > 0 {
			break
		}
		words = append(words, strings.Fields(line)...)
	}
	if err := scan.Err(); err != nil {
		return "", allod.Errorf(allod.Invalid, "read the recovery key: %w", err)
	}
	return strings.Join(words, " "), nil
}
