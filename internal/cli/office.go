package cli

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"allod/internal/act"
	"allod/internal/cli/audit"
	"allod/internal/cli/keys"
	"allod/internal/cli/people"
)

// officeCommands are those about the people who approve, and about the ledger.
func (a *app) officeCommands() []*cobra.Command {
	p := &people.Console{
		In: a.deps.In, Out: a.deps.Out, Getenv: a.deps.Getenv, JSON: func() bool { return a.json }, Print: a.print, OwnKey: keys.NotFromEnvironment,
		With: func(ctx context.Context, f func(*act.Office) error) error {
			a.deps.Key = cmp.Or(a.key, a.deps.Getenv("ALLOD_KEY")) // --key of these commands may be an SSH key
			return a.withOffice(ctx, f)
		},
	}
	l := &audit.Console{
		Deps: func() act.Deps { return a.deps.Deps }, Out: a.deps.Out, Folder: a.folder, Write: a.create, JSON: func() bool { return a.json }, Print: a.print, With: a.withOffice,
		Said: func(err error) error { return &silent{err} },
	}
	return append(p.Commands(), l.Command())
}
