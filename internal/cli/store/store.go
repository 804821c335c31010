// Package store is the command line of places: `allod check store`.
package store

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/store"
	"allod/internal/blob"
	"allod/internal/cli/text"
)

// Console is what the command needs of the command line.
type Console struct {
	Deps   func() act.Deps
	Out    io.Writer
	Folder func() (string, error) // of this Allod
	JSON   func() bool
	Print  func(any)         // one line of JSON
	Show   func(act.Checked) // one check
}

// Command is `allod check store`.
func (a *Console) Command() *cobra.Command {
	var lock bool
	cmd := &cobra.Command{
		Use: "store [PLACE]", Short: "Prove that a folder or a bucket can hold a vault", Args: cobra.MaximumNArgs(1), Example: "  allod check store s3://bucket/vault?region=eu-central-1 --lock",
		Long: `Prove that a folder or a bucket can hold a vault, and say whether slots may lie
in it: whether what is deleted there is gone, and after how many days. Without a
PLACE those of this Allod are checked. What the checks write they remove.

With --lock locks are tried too: an object stays locked for some seconds.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			places := []store.Place{}
			if len(args) == 1 {
				places = append(places, store.Place{Address: args[0]})
			} else {
				dir, err := a.Folder()
				if err != nil {
					return err
				}
				if places, err = store.Own(dir); err != nil {
					return err
				}
			}
			var failed error
			for _, p := range places {
				err := store.Check(cmd.Context(), p, a.Deps(), store.Options{Lock: lock, Facts: a.facts, Report: a.Show})
				if err != nil && allod.KindOf(err) != allod.Partial {
					return err
				}
				failed = errors.Join(failed, err)
			}
			if failed != nil {
				return allod.Errorf(allod.Partial, "%w", failed)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&lock, "lock", false, "try locks too; a place that cannot lock fails")
	return cmd
}

// facts shows what is known of a place.
func (a *Console) facts(f store.Found) {
	if a.JSON() {
		a.Print(f)
		return
	}
	use := map[string]string{store.UseVault: ", the vault", store.UseSlots: ", slots"}[f.Use]
	fmt.Fprintf(a.Out, "%s%s\n", f.Place, use)
	a.say("Versions: %s. Locks: %s.", f.Facts.Versions, locks(f.Facts))
	for _, r := range f.Facts.Rules {
		what := "old versions"
		if r.Current {
			what = "objects"
		}
		a.say("The lifecycle rule %q deletes %s after %d days.", r.Name, what, r.Days)
	}
	switch v := f.Slots; {
	case v.Erasable:
		a.say("Slots may lie here; what is deleted is gone after L = %d days: %s.", v.LatencyDays, strings.Join(v.Reasons, "; "))
	case v.LatencyDays >= 0:
		a.say("Slots may not lie here (L = %d days): %s.", v.LatencyDays, strings.Join(v.Reasons, "; "))
	default:
		a.say("Slots may not lie here (L is not known): %s.", strings.Join(v.Reasons, "; "))
	}
	for _, w := range f.Slots.Warnings {
		a.say("Careful: %s.", w)
	}
	for _, n := range f.Slots.NotKnown {
		a.say("Not known: %s.", n)
	}
}

func locks(f blob.Facts) string {
	switch {
	case f.DefaultLockDays > 0:
		return fmt.Sprintf("every object for %d days (%s)", f.DefaultLockDays, f.DefaultLock)
	case f.Locks:
		return "possible"
	}
	return "none"
}

func (a *Console) say(format string, args ...any) {
	text.Paragraph(a.Out, "  ", "  "+fmt.Sprintf(format, args...))
}
