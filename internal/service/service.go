// Package service has the operating system start `allod serve`: a unit of
// systemd on Linux, a service on Windows. What would be written or run can be
// shown first; that is what the tests hold.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"allod"
	"allod/internal/durable"
)

// Name is what the service is called.
const Name = "allod"

// Flag of `allod serve`, without its hyphens, says that the service manager of
// Windows has started it.
const Flag = "as-service"

// Service says what is to be started.
type Service struct {
	Exe      string   // the program, absolute
	Dir      string   // folder of the Allod, absolute
	Writable []string // further folders it writes to, absolute
	User     string   // who runs it; "" = root, or LocalSystem on Windows
	EnvFile  string   // Linux: file of NAME=VALUE lines with secrets; may be missing
}

// Check refuses, as Invalid, what cannot be written down safely.
func (s Service) Check() error {
	for _, text := range append([]string{s.Exe, s.Dir, s.User, s.EnvFile}, s.Writable...) {
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == '"' }) {
			return allod.Errorf(allod.Invalid, "describe the service: a path or name holds a quotation mark or a control character")
		}
	}
	return nil
}

// Systemd is the unit (systemd.unit(5), systemd.exec(5)). It may write to its
// folders and reach the network, and do nothing else.
func (s Service) Systemd() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by `allod service install`; `allod service remove` takes it away.\n")
	fmt.Fprintf(&b, "[Unit]\nDescription=Allod backs up and checks by its schedules\nWants=network-online.target\nAfter=network-online.target\n\n")
	fmt.Fprintf(&b, "[Service]\nType=exec\nExecStart=%s serve --dir %s\n", unitWord(s.Exe), unitWord(s.Dir))
	if s.User != "" {
		fmt.Fprintf(&b, "User=%s\n", strings.ReplaceAll(s.User, "%", "%%"))
	}
	fmt.Fprintf(&b, "EnvironmentFile=-%s\n", strings.ReplaceAll(s.EnvFile, "%", "%%"))
	b.WriteString("Restart=on-failure\nRestartSec=60\n# 2: the configuration makes no sense, and will not by itself.\nRestartPreventExitStatus=2\n# What was committed stays; two minutes are ample to end.\nTimeoutStopSec=120\nUMask=0077\n\n")
	b.WriteString("NoNewPrivileges=yes\nProtectSystem=strict\nProtectHome=read-only\n")
	for _, dir := range append([]string{s.Dir}, s.Writable...) {
		fmt.Fprintf(&b, "ReadWritePaths=%s\n", unitPath(dir))
	}
	b.WriteString("PrivateTmp=yes\nPrivateDevices=yes\nProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectControlGroups=yes\nRestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\nRestrictNamespaces=yes\nRestrictSUIDSGID=yes\nLockPersonality=yes\nMemoryDenyWriteExecute=yes\nSystemCallArchitectures=native\n\n")
	b.WriteString("[Install]\nWantedBy=multi-user.target\n")
	return b.String()
}

// unitWord is a word of a command line in a unit: % and $ stand for something
// there, and so does a backslash in quotes.
func unitWord(s string) string {
	return `"` + strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`).Replace(s) + `"`
}

// unitPath is a path of a list in a unit, where $ stands for itself.
func unitPath(s string) string {
	return `"` + strings.NewReplacer("%", "%%", `\`, `\\`).Replace(s) + `"`
}

// Windows are the command lines of sc.exe that make and start the service, as
// lists of words. sc.exe wants a word for `binPath=` and one for its value.
func (s Service) Windows() [][]string {
	create := []string{"sc.exe", "create", Name, "binPath=", fmt.Sprintf(`"%s" serve --%s --dir "%s"`, s.Exe, Flag, s.Dir), "start=", "delayed-auto", "DisplayName=", "Allod"}
	if s.User != "" {
		create = append(create, "obj=", s.User)
	}
	return [][]string{
		create,
		{"sc.exe", "description", Name, "Backs up and checks by the schedules of Allod."},
		{"sc.exe", "failure", Name, "reset=", "86400", "actions=", "restart/60000/restart/60000/restart/300000"},
		{"sc.exe", "start", Name},
	}
}

// Line is a command line as it is typed into cmd.exe.
func Line(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		if out[i] = w; w == "" || strings.ContainsAny(w, " \t\"") {
			out[i] = `"` + strings.ReplaceAll(w, `"`, `\"`) + `"`
		}
	}
	return strings.Join(out, " ")
}

// Host is the machine that a service is installed on.
type Host struct {
	OS    string // as GOOS names it
	Units string // Linux: folder of units, /etc/systemd/system
	Disk  *durable.Disk
	// Run runs a program and returns what it printed, also beside an error.
	Run func(ctx context.Context, words []string) (string, error)
}

// Plan is what Install would do, as text.
func (h Host) Plan(s Service) (string, error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	switch h.OS {
	case "linux":
		return s.Systemd(), nil
	case "windows":
		var b strings.Builder
		for _, words := range s.Windows() {
			b.WriteString(Line(words) + "\n")
		}
		return b.String(), nil
	}
	return "", h.unknown()
}

func (h Host) unknown() error {
	return allod.WithHint(allod.Errorf(allod.Invalid, "make a service: not on %s", h.OS), "Have its own scheduler run `allod serve --once` every quarter of an hour.")
}

func (h Host) unit() string { return filepath.Join(h.Units, Name+".service") }

// Install makes the service, starts it, and has it started with the machine. A
// service that was installed before is described anew on Linux; Conflict on
// Windows.
func (h Host) Install(ctx context.Context, s Service) error {
	text, err := h.Plan(s)
	if err != nil {
		return err
	}
	if h.OS == "windows" {
		return h.all(ctx, s.Windows())
	}
	if err := h.Disk.Replace(h.unit(), []byte(text)); err != nil {
		return allod.WithHint(fmt.Errorf("write the unit %s: %w", h.unit(), err), "Run it as root, or write what `allod service install --print` shows yourself.")
	}
	return h.all(ctx, [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "enable", Name}, {"systemctl", "restart", Name}})
}

// Remove ends the service and takes it away. NotFound when there is none. The
// folder of the Allod stays as it is.
func (h Host) Remove(ctx context.Context) error {
	switch h.OS {
	case "windows":
		_, _ = h.Run(ctx, []string{"sc.exe", "stop", Name}) // it may not run
		return h.all(ctx, [][]string{{"sc.exe", "delete", Name}})
	case "linux":
	default:
		return h.unknown()
	}
	if _, err := os.Stat(h.unit()); errors.Is(err, fs.ErrNotExist) {
		return allod.Errorf(allod.NotFound, "remove the service: there is no unit %s", h.unit())
	}
	if err := h.all(ctx, [][]string{{"systemctl", "disable", "--now", Name}}); err != nil {
		return err
	}
	if err := os.Remove(h.unit()); err != nil {
		return allod.WithHint(allod.Errorf(allod.Denied, "remove the unit: %w", err), "Run it as root.")
	}
	return h.all(ctx, [][]string{{"systemctl", "daemon-reload"}})
}

// Status says in the words of the operating system how the service is. NotFound
// when there is none.
func (h Host) Status(ctx context.Context) (string, error) {
	switch h.OS {
	case "windows":
		out, err := h.Run(ctx, []string{"sc.exe", "query", Name})
		if err != nil {
			return "", allod.WithHint(allod.Errorf(allod.NotFound, "ask for the service: %w", err), "`allod service install` makes it.")
		}
		return strings.TrimSpace(out), nil
	case "linux":
	default:
		return "", h.unknown()
	}
	if _, err := os.Stat(h.unit()); err != nil {
		return "", allod.WithHint(allod.Errorf(allod.NotFound, "ask for the service: there is no unit %s", h.unit()), "`allod service install` makes it.")
	}
	out, err := h.Run(ctx, []string{"systemctl", "is-active", Name})
	if word := strings.TrimSpace(out); word != "" {
		return word, nil // it ends with another code than 0 for all but active, and says which
	}
	return "", err
}

func (h Host) all(ctx context.Context, lines [][]string) error {
	for _, words := range lines {
		if out, err := h.Run(ctx, words); err != nil {
			err = allod.Errorf(allod.Denied, "run %s: %w: %s", Line(words), err, strings.Join(strings.Fields(out), " "))
			return allod.WithHint(err, "Run it as root or administrator, or do by hand what `allod service install --print` shows.")
		}
	}
	return nil
}
