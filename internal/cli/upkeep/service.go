package upkeep

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/service"
)

func (a *Console) serviceCommand() *cobra.Command {
	host := service.Host{OS: runtime.GOOS, Units: "/etc/systemd/system", Run: runProgram}
	cmd := &cobra.Command{Use: "service", Short: "Have the operating system run `allod serve`", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	remove := &cobra.Command{Use: "remove", Short: "End the service and take it away; the folder stays", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return host.Remove(cmd.Context())
	}}
	status := &cobra.Command{Use: "status", Short: "Say how the service is", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		text, err := host.Status(cmd.Context())
		if err != nil {
			return err
		}
		if a.JSON() {
			a.Print(map[string]string{"status": text})
			return nil
		}
		fmt.Fprintln(a.Out, text)
		return nil
	}}
	cmd.AddCommand(a.serviceInstallCommand(host), remove, status)
	return cmd
}

func (a *Console) serviceInstallCommand(host service.Host) *cobra.Command {
	var show bool
	s := service.Service{EnvFile: "/etc/allod/allod.env"}
	cmd := &cobra.Command{
		Use: "install", Short: "Make the service, start it, and start it with the machine", Args: cobra.NoArgs,
		Long: `Have the operating system run ` + "`allod serve`" + ` for this folder: by a unit of
systemd on Linux, by a service on Windows. --print shows what would be written
or run, and does nothing.

Secrets stand in the file of --env-file on Linux, as NAME=VALUE lines that root
alone may read: ALLOD_PASSPHRASE if the vault opens with one, and
ALLOD_CLIENT_SECRET. A service on Windows reads files: --key file:PATH when the
vault is made, --client-secret-file when connecting.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if s.Dir, err = a.Folder(); err != nil {
				return err
			}
			if s.Exe, err = os.Executable(); err != nil {
				return allod.Errorf(allod.Internal, "find this program: %w", err)
			}
			config, err := act.ReadConfig(s.Dir)
			if err != nil {
				return err
			}
			s.Writable = outside(s.Dir, append([]string{config.Store}, config.Slots...))
			if show {
				text, err := host.Plan(s)
				if err != nil {
					return err
				}
				fmt.Fprint(a.Out, text)
				return nil
			}
			host.Disk = a.Deps().Disk
			if err := host.Install(cmd.Context(), s); err != nil {
				return err
			}
			fmt.Fprintln(a.Err, "Installed and started. `allod service status` and `allod status` say how it is.")
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&show, "print", false, "show what would be written or run")
	f.StringVar(&s.User, "user", "", "`NAME` of who runs it; the folder must be theirs (default root, or LocalSystem)")
	f.StringVar(&s.EnvFile, "env-file", s.EnvFile, "Linux: `FILE` with the secrets")
	return cmd
}

// outside are the folders of places that do not lie in dir.
func outside(dir string, places []string) []string {
	var out []string
	for _, p := range places {
		p = strings.TrimPrefix(p, "file://")
		if filepath.IsAbs(p) && !strings.HasPrefix(filepath.Clean(p)+string(filepath.Separator), dir+string(filepath.Separator)) {
			out = append(out, filepath.Clean(p))
		}
	}
	return out
}

// runProgram runs a program of the operating system.
func runProgram(ctx context.Context, words []string) (string, error) {
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	return string(out), err
}
