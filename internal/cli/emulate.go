package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// EmulateOptions are the flags of `allod emulate`.
type EmulateOptions struct {
	Kind      string
	Listen    string
	Seed      uint64
	Scale     int
	Empty     bool
	Metadata  []string // $metadata first, then EntityMetadata exports
	Limits    string
	Cost      string
	Latency   time.Duration
	AppUsers  int
	Servers   int
	Faults    string
	Auth      string
	TLS       bool
	TimeScale float64
	JobTime   time.Duration
	Assume    []string
	// PowerPlatform is the address to serve the platform's own backups at; "" =
	// they are not served.
	PowerPlatform string
	Data          string // folder that keeps the organisation; "" = nothing is kept
}

// Emulator is a running emulator.
type Emulator struct {
	URL           string
	CAFile        string // "" without TLS
	PowerPlatform string // URL; "" = not served
	Rows          int64
	Wait          func() error // until the context of Emulate ends
}

func (a *app) emulateCommand() *cobra.Command {
	var o EmulateOptions
	cmd := &cobra.Command{
		Use: "emulate KIND", Short: "Run a local server that behaves like the real one", Args: cobra.ExactArgs(1), Example: "  allod emulate dataverse --listen 127.0.0.1:8080",
		Long: `Run a local server that behaves like the real one, with a fictional company in
it, or with any real $metadata as its schema. KIND is dataverse. Prints
"listening on URL" when it is ready and runs until interrupted.

--assume KEY=VALUE switches what Microsoft's documents leave open; the list is
at /_emulator/assume of the running server, its other controls at /_emulator/.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Kind = args[0]
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			e, err := a.deps.Emulate(ctx, o)
			if err != nil {
				return err
			}
			if e.CAFile != "" {
				a.errf("certificate authority: %s\n", e.CAFile)
			}
			if e.PowerPlatform != "" {
				a.errf("Power Platform API on %s\n", e.PowerPlatform)
			}
			if a.json {
				a.print(map[string]any{"url": e.URL, "ca_file": e.CAFile, "power_platform": e.PowerPlatform, "rows": e.Rows})
			} else {
				a.errf("%d rows\n", e.Rows)
				a.outf("listening on %s\n", e.URL)
			}
			return e.Wait()
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:0", "address to listen on; port 0 picks one")
	f.Uint64Var(&o.Seed, "seed", 1, "the same seed gives the same company")
	f.IntVar(&o.Scale, "scale", 1, "how much data")
	f.BoolVar(&o.Empty, "empty", false, "only the users, units, roles and settings; no rows of data and link tables but those every environment has")
	f.StringSliceVar(&o.Metadata, "metadata", nil, "real $metadata as schema (.xml or .xml.gz); further files refine it with EntityMetadata exports")
	f.StringVar(&o.Data, "data", "", "folder that keeps the organisation: what is there goes on (whatever --metadata, --scale, --empty and --seed say), and all is saved there every minute and at the end")
	f.StringVar(&o.Limits, "limits", "off", "service protection limits: real or off")
	f.StringVar(&o.Cost, "cost", "", "cost model: a JSON file, or default")
	f.DurationVar(&o.Latency, "latency", 0, "added to every answer, e.g. 80ms")
	f.IntVar(&o.AppUsers, "app-users", 1, "application users")
	f.IntVar(&o.Servers, "servers", 1, "web servers, each with limits of its own")
	f.StringVar(&o.PowerPlatform, "power-platform", "", "address to serve the Power Platform's backup API on, e.g. 127.0.0.1:0; the environment is a sandbox there")
	f.StringVar(&o.Faults, "faults", "", "JSON file of faults to begin with")
	f.StringVar(&o.Auth, "auth", "loose", "loose takes any token, strict only those it issued")
	f.BoolVar(&o.TLS, "tls", false, "https with a self-made certificate authority")
	f.Float64Var(&o.TimeScale, "time-scale", 1, "how much faster time passes for tokens and windows")
	f.DurationVar(&o.JobTime, "job-time", 0, "how long asynchronous jobs take (bulk deletion, exports, imports), e.g. 2m")
	f.StringArrayVar(&o.Assume, "assume", nil, "KEY=VALUE for what the documents leave open; may be repeated")
	return cmd
}

// DemoOptions are the flags of `allod demo`.
type DemoOptions struct {
	Dir   string
	Port  int
	Scale int
	Once  bool
}

func (a *app) demoCommand() *cobra.Command {
	var o DemoOptions
	cmd := &cobra.Command{
		Use: "demo", Short: "See it all happen with a fictional company; needs no account", Args: cobra.NoArgs,
		Long: `Start a local Dataverse with a fictional company, back it up, let accidents
happen, show what was lost, restore it and prove that it is back. The emulator
is left running to try things on; --once ends when the proof is made.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Dir = a.dir
			return a.deps.Demo(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Port, "port", 0, "port of the emulator (default: any free one)")
	f.IntVar(&o.Scale, "scale", 1, "how much data")
	f.BoolVar(&o.Once, "once", false, "end when the proof is made")
	return cmd
}
