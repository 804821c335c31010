package act

import (
	"context"

	"allod/internal/vault/keyring/keyspec"
)

// SetKeys stores what allod.yaml says of keys.
func (o *Office) SetKeys(ctx context.Context, s keyspec.Settings) error {
	old := o.config.Keys
	o.config.Keys = s
	if err := saveConfig(ctx, o.deps.Disk, o.Dir, o.config); err != nil {
		o.config.Keys = old
		return err
	}
	return nil
}
