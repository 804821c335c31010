package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/keyring"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
)

// provedWithin is how recently two reader slots must have been opened for real
// (design/vault.md "Slots").
const provedWithin = 90 * 24 * time.Hour

func (v *Vault) keyringPin() keyring.Pin {
	return keyring.Pin{Vault: v.ID(), Signers: v.cfg.Pin.Keys(vlog.UseSlot)}
}

// proofName is where the newest proof of a slot lies: beside the slots.
func proofName(slot string) string { return "proofs/" + slot }

// slotStatus fills places, slots and warnings.
func (v *Vault) slotStatus(ctx context.Context, s *Status) error {
	proved := 0
	readers := map[string]bool{}
	for i, place := range v.cfg.Slots {
		name := fmt.Sprintf("place %d", i+1)
		s.Places = append(s.Places, name)
		slots, bad, err := keyring.List(ctx, place, v.keyringPin())
		if err != nil {
			return err
		}
		for _, b := range bad {
			s.Warnings = append(s.Warnings, name+": "+b.Error())
		}
		for _, slot := range slots {
			st := SlotStatus{Name: slot.Name, Place: name, Epoch: slot.Epoch}
			b, err := object.Get(ctx, place, proofName(slot.Name), 1<<16)
			if err != nil && !errors.Is(err, blob.ErrNotFound) {
				return err
			}
			var p keyring.Proof
			if err == nil && json.Unmarshal(b, &p) == nil && p.Slot == slot.Name && p.Epoch <= slot.Epoch { // rotation carries the private half on
				st.Proved = p.At
			}
			if slot.Role.Reader() && !readers[slot.Name] && v.cfg.Now().Sub(st.Proved) < provedWithin {
				proved, readers[slot.Name] = proved+1, true
			}
			s.Slots = append(s.Slots, st)
		}
	}
	s.ErasuresPending = v.pending(s.Slots)
	if proved < 2 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%d of 2 reader slots were proved to open in the last 90 days: prove them with `allod vault keys prove`", proved))
	}
	if len(v.cfg.Slots) < 2 {
		s.Warnings = append(s.Warnings, "slots lie in one place: keep them in two independent places")
	}
	return nil
}

// Prove opens the named slot for real, in every place that has it, and records
// the date there. NotFound when no place has it.
func (v *Vault) Prove(ctx context.Context, slot string, w keyring.Wrapper) error {
	found := false
	for _, place := range v.cfg.Slots {
		p, err := keyring.Prove(ctx, place, v.keyringPin(), v.log.Epoch(), slot, w, v.cfg.Now)
		if allod.KindOf(err) == allod.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		b, err := json.Marshal(p)
		if err != nil {
			return allod.Errorf(allod.Internal, "record a proof: %w", err)
		}
		if err := place.Replace(ctx, proofName(slot), bytes.TrimSpace(b)); err != nil {
			return allod.Errorf(allod.KindOf(err), "record that slot %s opens: %w", slot, err)
		}
		found = true
	}
	if !found {
		return allod.Errorf(allod.NotFound, "prove slot %s: no place has it", slot)
	}
	return nil
}
