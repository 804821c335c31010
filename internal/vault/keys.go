package vault

import (
	"context"

	"allod"
	"allod/internal/vault/keyring"
)

// held returns the secrets as of now.
func (v *Vault) held() keyring.Secrets {
	v.keys.Lock()
	defer v.keys.Unlock()
	return v.secrets
}

// inForce makes sure that the trees loaded are those that the log says are in
// force: one that was punctured since would still open what was erased. Where
// the log has moved on it opens its slot again and loads the newer tree;
// Conflict if it cannot.
func (v *Vault) inForce(ctx context.Context) error {
	if err := v.needKeys("use the key tree"); err != nil {
		return err
	}
	if v.current() {
		return nil
	}
	v.keys.Lock()
	defer v.keys.Unlock()
	if v.current() { // by another goroutine, meanwhile
		return nil
	}
	moved := func(err error) error {
		e := allod.Errorf(allod.Conflict, "the key tree has moved to epoch %d while this process holds an earlier one", v.log.Epoch())
		if err != nil {
			e = allod.Errorf(allod.KindOf(err), "follow the key tree to epoch %d: %w", v.log.Epoch(), err)
		}
		return allod.WithHint(e, "Run the command again.")
	}
	if v.wrapper == nil {
		return moved(nil)
	}
	s, err := v.Slots().Open(ctx, v.log.Epoch(), v.wrapper)
	if err != nil {
		return moved(err)
	}
	if err := v.content.Load(ctx, s); err != nil {
		return moved(err)
	}
	v.secrets.RootKey, v.secrets.Older = s.RootKey, s.Older
	if !v.current() {
		return moved(nil)
	}
	return nil
}

// current reports whether neither root nor epoch has moved beyond what is
// loaded: all roots share one epoch.
func (v *Vault) current() bool {
	chain, tree := v.log.Chain(), v.content.Tree()
	return tree.Root() >= chain.Root() && tree.Epoch() >= chain.Epoch()
}
