package message

import (
	"allod"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/wire"
)

// restore is the message Restore (protocols/dataverse.md §6.13).
func restore(c change.Writer) (object, error) {
	m, err := members(c)
	if err != nil {
		return nil, err
	}
	var id allod.GUID
	err = c.Update(func(a *platform.Act) error {
		t, key, err := row(c, a, m["Target"], "Target")
		if err != nil {
			return err
		}
		p, err := wire.ParsePayload(c.Schema, t, m["Target"])
		if err != nil {
			return err
		}
		id = key
		return a.Restore(t, key, p)
	})
	return object{"id": id.String()}, err
}
