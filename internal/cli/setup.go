package cli

import (
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/preset"
)

func (a *app) initCommand() *cobra.Command {
	var o act.InitOptions
	cmd := &cobra.Command{
		Use: "init", Short: "Make a vault, its key and a recovery key on paper", Args: cobra.NoArgs,
		Long: `Make a vault, its key and a recovery key on paper.

The passphrase is asked for, or taken from ALLOD_PASSPHRASE when nobody is
there to type. The recovery key is printed once and stored nowhere: it opens
the vault when the passphrase is lost. Prove it with ` + "`allod vault keys prove`" + `.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.folder()
			if err != nil {
				return err
			}
			made, err := act.Init(cmd.Context(), dir, o, a.deps.Deps)
			if err != nil {
				return err
			}
			if a.json {
				a.print(made)
				return nil
			}
			a.outf("Made vault %s\nin %s.\n\n", made.Vault, made.Dir)
			a.outf("Your recovery key. Write it down or print it, keep it away from this machine;\nit is shown once and stored nowhere:\n\n")
			for i := 0; i < len(made.Words); i += 6 {
				a.outf("    %s\n", strings.Join(made.Words[i:min(i+6, len(made.Words))], " "))
			}
			a.outf("\nNext: `allod vault keys prove` to see that it works, then\n      `allod connect ENV URL --kind dataverse` and `allod backup ENV`.\n")
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Store, "store", "", "folder or s3:// address of the vault (default vault, inside the folder)")
	f.StringArrayVar(&o.Slots, "slots", nil, "folder or s3:// address for the slots, which hold the keys; may be repeated (default slots)")
	f.BoolVar(&o.AcceptSlotHistory, "accept-slot-history", false, "take places of slots where what is deleted is not gone; every certificate will say so")
	f.StringVar(&o.Key, "key", "passphrase", "how the vault is opened: passphrase, or file:PATH")
	return cmd
}

func (a *app) connectCommand() *cobra.Command {
	var c act.Connection
	cmd := &cobra.Command{
		Use: "connect ENV URL", Short: "Connect an environment", Args: cobra.ExactArgs(2), Example: "  allod connect prod https://contoso.crm4.dynamics.com \\\n    --tenant-id … --client-id …",
		Long: `Connect an environment under a name of your choice. It is asked who it is;
nothing is changed in it. Secrets are read from ALLOD_CLIENT_SECRET or from
the file named with --client-secret-file, and are never stored by Allod.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c.URL = args[1]
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				res, err := o.Connect(cmd.Context(), args[0], c)
				if err != nil {
					return err
				}
				if a.json {
					a.print(res)
					return nil
				}
				a.para("", "Connected %s: %s, version %s, %d tables of which %d can be read.", res.Environment, res.Organization, res.Version, res.Tables, res.Readable)
				counts := map[bool]string{true: "It counts as production", false: "It does not count as production"}[res.Production]
				a.para("", "%s: %s. If that is wrong: `--production=%t`.", counts, res.Why, !res.Production)
				a.para("      ", "Next: `allod backup %s --plan` to see what a first backup takes, or `allod backup %s`.", res.Environment, res.Environment)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Kind, "kind", "dataverse", "kind of system")
	f.StringVar(&c.Auth, "auth", "", "secret, certificate, managed-identity or workload-identity (default secret; none for an emulator on this machine)")
	f.StringVar(&c.TenantID, "tenant-id", "", "Entra tenant")
	f.StringVar(&c.ClientID, "client-id", "", "application (client) id")
	f.StringVar(&c.ClientSecretFile, "client-secret-file", "", "file that holds the client secret")
	f.StringVar(&c.Certificate, "certificate", "", "PEM or PKCS#12 file of the application's certificate and key")
	f.StringVar(&c.Authority, "authority", "", "Entra authority of a sovereign cloud (default https://login.microsoftonline.com)")
	f.StringVar(&c.CAFile, "ca-file", "", "PEM file of an own certificate authority")
	f.StringVar(&c.Proxy, "proxy", "", "proxy for this environment")
	f.StringVar(&c.PowerPlatform, "power-platform", "", "address of the Power Platform API of a sovereign cloud or an emulator (default https://api.powerplatform.com)")
	f.StringSliceVar(&c.Presets, "preset", nil, "back up only what belongs to "+strings.Join(preset.Names(), ", ")+"; may be repeated")
	f.BoolFunc("production", "restores that change its rows need two people; --production=false for not (default: as it says itself)", func(s string) error {
		yes, err := strconv.ParseBool(s)
		c.Production = &yes
		return err
	})
	f.StringVar(&c.SameAs, "same-as", "", "the environment this is, at a new address")
	return cmd
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Say which Allod this is", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		if a.json {
			a.print(map[string]any{"version": a.deps.Version, "vault_format": 1, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			return nil
		}
		a.outf("allod %s, vault format 1\n", a.deps.Version)
		return nil
	}}
}
