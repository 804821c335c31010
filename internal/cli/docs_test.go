package cli

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func page(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// commandsAndFlags are all commands, as typed, and all flags but --help.
func commandsAndFlags() (commands, flags []string) {
	walk((&app{}).rootCommand(), func(cmd *cobra.Command) {
		if cmd.Runnable() && cmd.HasParent() && !cmd.HasSubCommands() {
			commands = append(commands, cmd.CommandPath())
		}
		note := func(f *pflag.Flag) {
			if f.Name != "help" {
				flags = append(flags, "--"+f.Name)
			}
		}
		cmd.LocalFlags().VisitAll(note)
		cmd.PersistentFlags().VisitAll(note)
	})
	return commands, flags
}

var flagOfPage = regexp.MustCompile(`(^|[^-\w])(--[a-z][a-z-]*[a-z])`)

func flagsOn(text string) []string {
	var out []string
	for _, m := range flagOfPage.FindAllStringSubmatch(text, -1) {
		out = append(out, m[2])
	}
	return out
}

// docs/commands.md names every command and every flag that the program has, and
// none that it does not have.
func TestCommandsPage(t *testing.T) {
	text := page(t, "../../docs/commands.md")
	commands, flags := commandsAndFlags()
	onPage := flagsOn(text)
	own := flagsOn(page(t, "../../docs/emulator.md")) // to which the page refers
	for _, f := range flags {
		if !slices.Contains(onPage, f) && !slices.Contains(own, f) {
			t.Errorf("docs/commands.md does not name the flag %s", f)
		}
	}
	for _, f := range onPage {
		if !slices.Contains(flags, f) {
			t.Errorf("docs/commands.md names %s, which no command has", f)
		}
	}
	named := strings.ReplaceAll(text, `\|`, "|")
	for _, c := range commands {
		if !namesCommand(named, c) {
			t.Errorf("docs/commands.md does not name the command %s", c)
		}
	}
}

// namesCommand reports whether the page has the command, in full or as one of
// several: `allod vault status|verify`.
func namesCommand(text, command string) bool {
	words := strings.Fields(command)
	last := words[len(words)-1]
	re := regexp.MustCompile(`\b` + regexp.QuoteMeta(strings.Join(words[:len(words)-1], " ")) + ` ([a-z| ]*\|)?` + last + `\b`)
	if re.MatchString(text) {
		return true
	}
	// allod vault status|verify|keys list|keys prove
	return len(words) == 4 && regexp.MustCompile(`\b`+words[0]+` `+words[1]+` [a-z| ]*\|`+words[2]+` `+last+`\b`).MatchString(text)
}

// Every page shows only commands and flags that exist.
func TestPagesShowWhatExists(t *testing.T) {
	commands, flags := commandsAndFlags()
	var first []string
	for _, c := range commands {
		first = append(first, strings.Fields(c)[1])
	}
	others := []string{"--help"}
	for _, path := range []string{"../../README.md", "../../docs/commands.md", "../../docs/emulator.md", "../../docs/night.md", "../../docs/newcomer.md", "../../docs/first-day.md", "../../docs/keys.md"} {
		text := page(t, path)
		for _, f := range flagsOn(text) {
			if !slices.Contains(flags, f) && !slices.Contains(others, f) {
				t.Errorf("%s shows %s, which no command has", path, f)
			}
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|^ {4}|^\\$ )(?:\\./|go run \\./cmd/)?allod ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !slices.Contains(first, m[1]) {
				t.Errorf("%s shows allod %s, which is no command", path, m[1])
			}
		}
	}
}

// Every flag of `allod emulate` stands in docs/emulator.md, which says where their
// meaning is listed.
func TestEmulatorPage(t *testing.T) {
	text := page(t, "../../docs/emulator.md")
	if !strings.Contains(text, "`allod emulate --help` lists all flags") {
		t.Error("docs/emulator.md does not say where all flags are listed")
	}
	shown := flagsOn(text)
	(&app{}).emulateCommand().LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !slices.Contains(shown, "--"+f.Name) {
			t.Errorf("docs/emulator.md does not name the flag --%s", f.Name)
		}
	})
}
