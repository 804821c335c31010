package keyring

import (
	"strings"

	"allod"
)

// Check is nil if b is the object of this name as one of the pinned signers
// wrote it, whoever put it there: of several versions of a slot's object this
// tells the genuine ones. Names of other objects pass. The Kind of the error is
// that of List's.
func Check(name string, b []byte, pin Pin) error {
	if !strings.HasPrefix(name, slotPrefix) {
		return nil
	}
	slot, epoch, ok := parseObjectName(name)
	if !ok {
		return allod.Errorf(allod.Corrupt, "%s: not the name of a slot", name)
	}
	o, err := parseSlot(b, pin)
	if err == nil && (o.Name != slot || o.epoch != epoch) {
		err = allod.Errorf(allod.Corrupt, "holds slot %s of epoch %d", o.Name, o.epoch)
	}
	if err != nil {
		return keep(err, "%s: %w", name, err)
	}
	return nil
}
