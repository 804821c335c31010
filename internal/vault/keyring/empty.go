package keyring

import (
	"context"

	"allod"
	"allod/internal/blob"
)

// Empty is Conflict if one of the places holds a slot, of whichever vault:
// writing others there would destroy the keys of that one.
func Empty(ctx context.Context, places []blob.Mutable) error {
	for i, place := range places {
		for info, err := range place.List(ctx, slotPrefix) {
			if err != nil {
				return allod.Errorf(allod.KindOf(err), "look for slots in place %d: %w", i+1, err)
			}
			return allod.WithHint(allod.Errorf(allod.Conflict, "create a vault: place %d of slots holds %s already", i+1, info.Name),
				"Every vault needs a place of its own: name another folder, or remove these slots if they are of a vault that was never made.")
		}
	}
	return nil
}
