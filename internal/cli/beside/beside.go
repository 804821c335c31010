// Package beside holds the flags of `allod restore` that say what is done besides
// writing rows.
package beside

import (
	"github.com/spf13/cobra"

	"allod/internal/act"
)

// Flags gives them to the command.
func Flags(cmd *cobra.Command, r *act.RestoreRequest) {
	f := cmd.Flags()
	f.StringSliceVar(&r.Contact, "allow-contact", nil, "TABLE:ID of a person who may be reached again as at that moment; else what is refused now stays refused; may be repeated")
	f.StringSliceVar(&r.Bypass, "bypass", nil, "custom logic to keep from running: plugins, flows")
	f.BoolVar(&r.FixSeeds, "fix-seeds", false, "numbers that the platform counts go on behind those that come back")
	f.StringVar(&r.Holding, "no-sync-owners", "", "TEAM (name or id) that owns rows that are made, where the mailbox of their owner would give them to Exchange")
	f.StringVar(&r.Selection.Unmerge, "unmerge", "", "TABLE:ID of a record that was merged into another: bring it back, with what referred to it and refers to that one now")
	f.BoolVar(&r.Sharing, "with-sharing", false, "share rows that are made again with the users and teams they were shared with")
}
