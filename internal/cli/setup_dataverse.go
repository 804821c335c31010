package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/cli/text"
	"allod/internal/source"
)

func (a *app) setupCommand() *cobra.Command {
	var opts source.RoleOptions
	var plan, yes, register bool
	cmd := &cobra.Command{Use: "setup", Short: "Write the roles Allod works with", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	dataverse := &cobra.Command{
		Use: "dataverse ENV", Short: "Write the roles of the reader and the restorer", Args: cobra.ExactArgs(1),
		Example: `  allod setup dataverse prod --register
  allod setup dataverse prod --plan
  allod setup dataverse prod --reader CLIENT-ID --restorer CLIENT-ID --yes`,
		Long: `Write two security roles and two column security profiles into an environment:
"Allod reader", which reads every table, every secured column and the audit
summary and writes nothing, and "Allod restorer", which writes data and is
disabled until a restore is approved. What will be done is shown first. Running
it again does what is missing; --remove takes everything back. The application
that Allod is connected as must be allowed to do this: System Administrator, for
the moment. An application that has no user in the environment yet gets one.
--register comes first: it says how to register the applications in Entra, which
Allod cannot do itself, and changes nothing.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if register {
				a.showRegistration(args[0])
				return nil
			}
			return a.withOffice(cmd.Context(), func(o *act.Office) error { return a.setup(cmd, o, args[0], opts, plan, yes) })
		},
	}
	f := dataverse.Flags()
	f.StringVar(&opts.Reader, "reader", "", "client id of the application that backs up")
	f.StringVar(&opts.Restorer, "restorer", "", "client id of the application that restores")
	f.BoolVar(&opts.Remove, "remove", false, "take roles and profiles back")
	f.BoolVar(&register, "register", false, "say how to register the applications, and do nothing")
	f.BoolVar(&plan, "plan", false, "show what would be done, and do nothing")
	f.BoolVar(&yes, "yes", false, "do it without asking")
	cmd.AddCommand(dataverse)
	return cmd
}

func (a *app) setup(cmd *cobra.Command, o *act.Office, env string, opts source.RoleOptions, plan, yes bool) error {
	p, err := o.PlanRoles(cmd.Context(), env, opts)
	if err != nil {
		return err
	}
	if !a.json {
		a.showRoles(env, p)
	}
	switch {
	case plan || len(p.Steps) == 0:
		if a.json {
			a.print(p)
		}
		return nil
	case !yes && (a.json || !a.agreed()):
		return allod.WithHint(allod.Errorf(allod.Invalid, "set up %s: nothing was done", env), "Add --yes to do what is shown.")
	}
	done := 0
	err = o.CarryOutRoles(cmd.Context(), env, p, func(source.RoleStep) { done++ })
	if err != nil {
		hint := fmt.Sprintf("%d of %d steps are done; run the same command again to go on.", done, len(p.Steps))
		return allod.WithHint(err, "%s", strings.TrimSpace(hint+" "+allod.HintOf(err)))
	}
	if a.json {
		a.print(p)
		return nil
	}
	a.outf("Done: %d steps.\n", done)
	return nil
}

func (a *app) showRegistration(env string) {
	if a.json {
		a.print(map[string]string{"environment": env, "text": fmt.Sprintf(text.Registration, env)})
		return
	}
	a.outf(text.Registration, env)
}

// agreed asks somebody at a terminal. Nobody there is no.
func (a *app) agreed() bool {
	if !a.deps.Terminal {
		return false
	}
	a.errf("Do this? Type yes: ")
	line, err := bufio.NewReader(a.deps.In).ReadString('\n')
	return err == nil && strings.TrimSpace(line) == "yes"
}

// showRoles lists the steps of a plan, those of one kind on columns together.
func (a *app) showRoles(env string, p *source.RolePlan) {
	if len(p.Steps) == 0 {
		a.outf("Nothing to do in %s: all is as it should be.\n", env)
	} else {
		a.outf("In %s, this will be done:\n", env)
	}
	const most = 6 // names of a step
	for _, s := range p.Steps {
		a.para("    ", "  %-8s %s", s.Op, s.What)
		if n := len(s.Names); n > most {
			a.para("           ", "           %s and %d more (`--json` lists them)", strings.Join(s.Names[:most], ", "), n-most)
		} else if n > 1 {
			a.para("           ", "           %s", strings.Join(s.Names, ", "))
		}
	}
	for _, n := range p.Notes {
		a.para("  ", "Note: %s", n)
	}
}
