package vault

import (
	"context"

	"allod/internal/govern/gate"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/rack"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

func (v *Vault) keyringPin() keyring.Pin {
	return keyring.Pin{Vault: v.ID(), Signers: v.cfg.Pin.Keys(vlog.UseSlot)}
}

// Slots looks after the slots of the vault in all their places. It opens
// nothing.
func (v *Vault) Slots() *rack.Rack {
	return &rack.Rack{Places: v.cfg.Slots, Pin: v.keyringPin(), Now: v.cfg.Now, Epoch: v.epoch}
}

// epoch returns the epoch in force of the current root, as the log has it now.
func (v *Vault) epoch(ctx context.Context) (uint64, error) {
	if err := v.log.Refresh(ctx); err != nil {
		return 0, err
	}
	return max(v.log.Epoch(), 1), nil // an empty log names none
}

// AddSlot makes a slot whose private half w holds, and writes it into every
// place for the epoch in force. The session must have been opened for keys.
// Conflict if a place has a slot of the name, or if the keys were rotated
// meanwhile: the new slot is removed then; Denied if the slot that the vault was
// opened with lacks what the role needs.
func (v *Vault) AddSlot(ctx context.Context, s gate.Session, name string, role keyring.Role, w keyring.Wrapper) error {
	if err := v.mayPuncture(s, gate.ActionKeys); err != nil {
		return err
	}
	if err := v.settle(ctx); err != nil {
		return object.Named("add a slot", err)
	}
	slot, err := keyring.NewSlot(ctx, v.ID(), name, role, w)
	if err != nil {
		return err
	}
	return v.Slots().Add(ctx, slot, v.held())
}
