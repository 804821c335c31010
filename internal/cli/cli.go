// Package cli is the command line: one file per command, each thin. Text for
// people goes to stderr or stdout as the command says; --json makes stdout
// machine-readable. Exit codes follow the Kind of the error
// (design/interface.md) and are decided by ExitCode alone.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"allod"
	"allod/internal/act"
	"allod/internal/cli/keys"
	"allod/internal/cli/upkeep"
)

// Deps are what the command line needs from main.
type Deps struct {
	act.Deps
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Terminal bool // Err is a terminal: progress is drawn in place
	Local    *time.Location
	Version  string

	Emulate func(ctx context.Context, o EmulateOptions) (*Emulator, error)
	Demo    func(ctx context.Context, o DemoOptions) error
}

// app is one run of the command line.
type app struct {
	deps Deps
	dir  string
	json bool
	purp string
	key  string
	said string // the words of the recovery key, once they were read
}

// Run carries out the command line and returns the exit code.
func Run(ctx context.Context, args []string, deps Deps) int {
	a := &app{deps: deps}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(deps.In)
	root.SetOut(deps.Out)
	root.SetErr(deps.Err)
	err := root.ExecuteContext(ctx)
	if err != nil {
		a.json = a.json || slices.Contains(args, "--json") // it may stand behind a flag that was not understood
		a.showError(ctx, err)
	}
	return ExitCode(ctx, err)
}

// Interrupted is the exit code after a signal.
const Interrupted = 130

// ExitCode is the exit code for the outcome of a command.
func ExitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return Interrupted
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return int(allod.Invalid)
	}
	return int(allod.KindOf(err))
}

// usageError is a command line that could not be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// silent is an outcome whose text has been shown already: only its exit code
// counts.
type silent struct{ err error }

func (e *silent) Error() string { return e.err.Error() }
func (e *silent) Unwrap() error { return e.err }

func (a *app) showError(ctx context.Context, err error) {
	var quiet *silent
	if errors.As(err, &quiet) {
		return
	}
	kind := allod.KindOf(err)
	var usage *usageError
	if errors.As(err, &usage) {
		kind = allod.Invalid
		if allod.HintOf(err) == "" {
			err = allod.WithHint(err, "`allod --help` lists the commands, `allod COMMAND --help` says what one takes.")
		}
	}
	hint := allod.HintOf(err)
	if ExitCode(ctx, err) == Interrupted && hint == "" {
		hint = "What was committed is kept; run the same command again to go on."
	}
	if a.json {
		type body struct {
			Kind      string `json:"kind"`
			Message   string `json:"message"`
			Hint      string `json:"hint"`
			RequestID string `json:"request_id"`
		}
		a.print(map[string]body{"error": {kind.String(), err.Error(), hint, allod.RequestIDOf(err)}})
		return
	}
	message := err.Error()
	if ExitCode(ctx, err) == Interrupted {
		message = strings.ReplaceAll(message, context.Canceled.Error(), "interrupted")
	}
	a.complain("allod: " + message)
	if id := allod.RequestIDOf(err); id != "" {
		fmt.Fprintf(a.deps.Err, "  request id: %s\n", id)
	}
	if hint != "" {
		a.complain("  " + hint)
	}
}

// complain writes to stderr: 80 columns wide for people, on one line for logs.
func (a *app) complain(text string) {
	if a.deps.Terminal {
		paragraph(a.deps.Err, "  ", text)
		return
	}
	a.errf("%s\n", text)
}

const about = `Allod keeps your own copy of what you have in Dynamics 365: encrypted,
verifiable, restorable row by row.

Exit codes: 0 done, 1 failed, 2 usage, 3 done in part (gaps are listed),
4 denied, 5 not found, 6 conflict, 7 corrupt, 8 unavailable (try again later),
130 interrupted.`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "allod", Short: "Own the data you keep in Dynamics 365", Long: about,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.fromEnvironment(cmd) },
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetUsageTemplate(strings.NewReplacer(".FlagUsages ", ".FlagUsagesWrapped 80 ", "more information about a command", "more about a command").Replace(root.UsageTemplate()))
	root.SetFlagErrorFunc(flagError)
	f := root.PersistentFlags()
	f.StringVar(&a.dir, "dir", "", "`FOLDER` of this Allod (default $ALLOD_DIR, else "+defaultDirText()+")")
	f.BoolVar(&a.json, "json", false, "machine-readable output on stdout")
	f.StringVar(&a.purp, "purpose", "", "what stored content is wanted for, instead of what follows from the command")
	f.StringVar(&a.key, "key", "", "what opens the vault instead of its usual key: passphrase, file:PATH, identity:PATH, a service's, or paper (the recovery key)")
	root.AddCommand(a.demoCommand(), a.initCommand(), a.setupCommand(), a.connectCommand(), a.checkCommand(), a.statusCommand(), a.backupCommand(),
		a.snapshotsCommand(), a.schemaCommand(), a.lsCommand(), a.getCommand(), a.diffCommand(), a.restoreCommand(),
		a.vaultCommand(), a.nativeCommand(), a.emulateCommand(), a.versionCommand())
	root.AddCommand(append(a.officeCommands(), a.undoing()...)...)
	root.AddCommand(a.upkeep().Commands()...)
	root.CompletionOptions.DisableDefaultCmd = true // upkeep has one that fits the page
	a.upkeep().CompleteEnvironments(root)
	wrapArgs(root)
	return root
}

// upkeep is what the commands of an Allod that runs by itself need.
func (a *app) upkeep() *upkeep.Console {
	return &upkeep.Console{
		Deps: func() act.Deps { return a.deps.Deps }, Out: a.deps.Out, Err: a.deps.Err, Getenv: a.deps.Getenv, Local: a.deps.Local, Version: a.deps.Version,
		Folder: a.folder, JSON: func() bool { return a.json }, Print: a.print, Said: func(err error) error { return &silent{err} },
	}
}

// flagError says which flag was not understood, without the parser's own words,
// and where the flags are listed.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	for _, parser := range []string{": strconv.", ": time:"} {
		text, _, _ = strings.Cut(text, parser)
	}
	return &usageError{allod.WithHint(allod.Errorf(allod.Invalid, "%s: %s", cmd.CommandPath(), text), "`%s --help` lists what it takes.", cmd.CommandPath())}
}

// wrapArgs makes wrong arguments usage errors everywhere.
func wrapArgs(cmd *cobra.Command) {
	if args := cmd.Args; args != nil {
		cmd.Args = func(c *cobra.Command, given []string) error {
			err := args(c, given)
			switch {
			case err == nil:
				return nil
			case c.HasSubCommands() && len(given) > 0:
				return unknownCommand(c, given[0])
			case !c.HasSubCommands():
				err = wrongArgs(c, len(given))
			}
			return &usageError{err}
		}
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

// wrongArgs says what a command takes, with an example.
func wrongArgs(c *cobra.Command, given int) error {
	_, takes, ok := strings.Cut(c.Use, " ")
	if !ok {
		takes = "no arguments"
	}
	number := fmt.Sprintf("%d were", given)
	if given == 1 {
		number = "1 was"
	}
	err := allod.Errorf(allod.Invalid, "%s: it takes %s; %s given", c.CommandPath(), takes, number)
	example, _, _ := strings.Cut(strings.ReplaceAll(c.Example, "\\\n   ", ""), "\n")
	if example == "" {
		return err
	}
	return allod.WithHint(err, "For example: `%s`.", strings.TrimSpace(example))
}

// unknownCommand says which command a wrong word may mean: one that is spelt
// like it, or one that other programs call so.
func unknownCommand(c *cobra.Command, word string) error {
	err := allod.Errorf(allod.Invalid, "%s: there is no command %q", c.CommandPath(), word)
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(word); len(near) > 0 {
		return &usageError{allod.WithHint(err, "Did you mean `%s %s`? `%s --help` lists the commands.", c.CommandPath(), near[0], c.CommandPath())}
	}
	return &usageError{allod.WithHint(err, "`%s --help` lists the commands.", c.CommandPath())}
}

// fromEnvironment fills flags that were not given from ALLOD_<FLAG>.
func (a *app) fromEnvironment(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "ALLOD_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v := a.deps.Getenv(name); v != "" && !f.Changed && f.Name != "help" && f.Name != "yes" && f.Annotations[keys.NotFromEnvironment] == nil && err == nil {
			if e := cmd.Flags().Set(f.Name, v); e != nil {
				err = &usageError{fmt.Errorf("read %s: %w", name, e)}
			}
		}
	})
	a.deps.Purpose, a.deps.Key, a.deps.Recovery = allod.Purpose(a.purp), a.key, a.recoveryWords
	return err
}

// folder is the folder of this Allod.
func (a *app) folder() (string, error) {
	if a.dir != "" {
		return filepath.Abs(a.dir)
	}
	base, err := defaultDir(a.deps.Getenv)
	if err != nil {
		return "", allod.WithHint(err, "Name the folder with --dir or ALLOD_DIR.")
	}
	return base, nil
}

func defaultDir(getenv func(string) string) (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", allod.Errorf(allod.Invalid, "find the folder of this Allod: %w", err)
	}
	switch runtime.GOOS {
	case "windows":
		return filepath.Join(getenv("ProgramData"), "Allod"), nil
	case "darwin":
		return filepath.Join(home, "Library", "Application Support", "Allod"), nil
	}
	if x := getenv("XDG_DATA_HOME"); x != "" {
		return filepath.Join(x, "allod"), nil
	}
	return filepath.Join(home, ".local", "share", "allod"), nil
}

func defaultDirText() string {
	switch runtime.GOOS {
	case "windows":
		return `%ProgramData%\Allod`
	case "darwin":
		return "~/Library/Application Support/Allod"
	}
	return "~/.local/share/allod"
}

// withOffice opens the Allod of this run around do.
func (a *app) withOffice(ctx context.Context, do func(*act.Office) error) error {
	dir, err := a.folder()
	if err != nil {
		return err
	}
	o, err := act.Open(ctx, dir, a.deps.Deps)
	if err != nil {
		return err
	}
	err = do(o)
	if cerr := o.Close(); err == nil {
		err = cerr
	}
	return err
}

// print writes one JSON object to stdout, on one line.
func (a *app) print(v any) {
	enc := json.NewEncoder(a.deps.Out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		fmt.Fprintf(a.deps.Err, "allod: write the result: %v\n", err)
	}
}

func (a *app) outf(format string, args ...any) { fmt.Fprintf(a.deps.Out, format, args...) }
func (a *app) errf(format string, args ...any) { fmt.Fprintf(a.deps.Err, format, args...) }

// moment reads an ENV@WHEN argument.
func (a *app) moment(s string) (act.Moment, error) {
	m, err := act.ParseMoment(s, a.deps.Now(), a.deps.Local)
	if err != nil {
		return m, &usageError{err}
	}
	return m, nil
}
