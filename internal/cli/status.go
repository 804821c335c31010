package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/cli/upkeep"
)

func (a *app) statusCommand() *cobra.Command {
	var maxAge time.Duration
	cmd := &cobra.Command{
		Use: "status [ENV]", Short: "Say when each environment was last captured well", Args: cobra.MaximumNArgs(1),
		Long: "Say when each environment was last captured well and what is missing.\nWith --max-age, which is for monitors, it ends with 3 when that is longer ago,\nor never, or when the newest backup has gaps that nobody chose.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withOffice(cmd.Context(), func(o *act.Office) error {
				list, err := o.Status(cmd.Context(), args, maxAge)
				if err != nil {
					return err
				}
				view, err := a.upkeep().Look(cmd.Context(), o)
				if err != nil {
					return err
				}
				wanting := false
				for i := range list {
					upkeep.Schedule(&list[i], view)
					wanting = wanting || list[i].TooOld || maxAge > 0 && list[i].Gaps > 0
					if a.json {
						a.print(&list[i])
					} else {
						a.showStatus(&list[i])
					}
				}
				if !a.json {
					a.upkeep().ShowChecks(view)
				}
				if len(list) == 0 && !a.json {
					a.outf("No environment is connected. Run `allod connect ENV URL --kind dataverse`.\n")
				}
				if wanting {
					return &silent{allod.Errorf(allod.Partial, "too old, or in part")}
				}
				return nil
			})
		},
	}
	cmd.Flags().DurationVar(&maxAge, "max-age", 0, "end with 3 when the last good capture is older, e.g. 26h, or has gaps")
	return cmd
}

func (a *app) showStatus(s *act.EnvironmentStatus) {
	word := "ok"
	switch {
	case s.AgeSeconds < 0:
		word = "NEVER BACKED UP"
	case s.TooOld:
		word = "TOO OLD"
	case s.Incomplete:
		word = "CUT OFF"
	case s.Gaps > 0:
		word = "GAPS"
	}
	a.outf("%-16s %-16s last good %s", s.Environment, word, agoText(time.Duration(s.AgeSeconds)*time.Second))
	if s.AgeSeconds >= 0 {
		a.outf(" (%s), %d rows, %d gaps", s.LastGood.Format("2006-01-02 15:04 MST"), s.Rows, s.Gaps)
	}
	a.outf("\n")
	if s.Incomplete {
		a.outf("  The newest run was cut off; `allod backup %s` goes on where it was.\n", s.Environment)
	}
	a.upkeep().ShowRuns(s)
	const tokenAlarm = 3 * 24 * 3600 // of 7 days they live: protocols/dataverse.md §5.2, design/capture.md
	if s.TokenAge > tokenAlarm {
		a.outf("  The change-tracking tokens are %s old; they live 7 days. Back up soon, or the next\n  backup reads everything.\n", strings.TrimSuffix(agoText(time.Duration(s.TokenAge)*time.Second), " ago"))
	}
	a.showBrokenOff(s.BrokenOff)
	a.showGaps(s.GapList)
	if len(s.Slots) > 0 {
		a.outf("  Keys: %s.\n  Roles: %s.\n", strings.Join(s.Slots, ", "), s.Separation)
	}
}
