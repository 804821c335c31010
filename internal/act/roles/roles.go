// Package roles has the use cases around processes that hold one role alone:
// what a capture that cannot read has to know of the rows that are stored.
package roles

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/gate"
	"allod/internal/vault"
)

// RebuildIndex makes the index of what is known anew in a folder, "" = beside
// the configuration, from the rows that are stored. It needs a slot that reads.
// No backup may run with that folder meanwhile.
func RebuildIndex(ctx context.Context, o *act.Office, folder string) ([]vault.Indexed, error) {
	v, g, _, deps := o.Inside()
	s, err := g.Open(ctx, gate.Request{
		Actor: deps.Actor, Action: gate.ActionVerify, Purpose: cmp.Or(deps.Purpose, allod.PurposeOperate),
		Resource: gate.Resource{Environment: gate.AllEnvironments, Class: allod.ClassContent},
	})
	if err != nil {
		return nil, err
	}
	place, err := deps.OpenStore(ctx, cmp.Or(folder, filepath.Join(o.Dir, act.IndexDir)), true)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the index: %w", err)
	}
	list, err := v.RebuildIndex(ctx, s, place)
	if err != nil {
		return nil, fmt.Errorf("make the index of what is known: %w", err)
	}
	return list, g.Act(ctx, s, "indexed", map[string]int64{"environments": int64(len(list))})
}
