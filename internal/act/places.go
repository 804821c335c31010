package act

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/place"
	"allod/internal/vault/verify"
)

// checkPlaces refuses to put slots inside the store: copies of the vault must
// never carry its keys.
func (o *Office) checkPlaces() error {
	store := place.Whole(o.path(o.config.Store))
	for _, p := range o.config.Slots {
		if strings.HasPrefix(place.Whole(o.path(p)), store) {
			return allod.WithHint(allod.Errorf(allod.Invalid, "put slots into %s: it lies inside the vault's store", p), "Whoever copies the vault would copy its keys. Name a folder or a bucket elsewhere with --slots.")
		}
	}
	return nil
}

// placeWarnings says which places keep what is deleted, and how the store was
// tampered with as far as this process has looked.
func (o *Office) placeWarnings() []string {
	var all []string
	for _, p := range o.config.AcceptSlotHistory {
		all = append(all, fmt.Sprintf("slots in %s: what is deleted there is not gone, which was accepted when the vault was made: no erasure is provably final", p))
	}
	if bad := o.tampered(); len(bad) > 0 {
		all = append(all, fmt.Sprintf("somebody changed what was stored; it is read through. Objects: %d, the first is %s: %s. `allod vault verify` names them all", len(bad), bad[0].Name, bad[0].What))
	}
	return all
}

func (o *Office) tampered() []blob.Tampering {
	var all []blob.Tampering
	for _, p := range o.places {
		if w, ok := p.(blob.Witness); ok {
			all = append(all, w.Tampered()...)
		}
	}
	return all
}

// tampered is the kind of what was changed and could be read through.
const tampered = "tampered"

// addTampering adds what the store noticed to what a check found bad.
func (o *Office) addTampering(rep *verify.Report) {
	for _, t := range o.tampered() {
		rep.Bad = append(rep.Bad, verify.Bad{Object: t.Name, What: t.What, Kind: tampered})
	}
	slices.SortStableFunc(rep.Bad, func(a, b verify.Bad) int { return cmp.Compare(a.Object, b.Object) })
}
