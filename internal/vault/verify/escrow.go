package verify

import (
	"context"
	"fmt"
	"strings"

	"allod"
	"allod/internal/blob"
	"allod/internal/vault/escrow"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
)

// escrow checks every escrow object of every place: its form and its signature,
// by a key that the vault pins for erasing, and that it is of the record in its
// name. With a key tree also that each place has what another one has of the
// records that are restricted or held now, and that some place has the escrow of
// each of these. The content is sealed to a container and stays so.
func (c *check) escrow(ctx context.Context) error {
	known := c.Tree != nil && !c.opts.Public
	var have []map[string]bool
	all, tags := map[string]bool{}, map[keytree.Tag]bool{}
	for i, place := range c.Slots {
		there, err := c.escrowIn(ctx, place, i)
		if err != nil {
			return err
		}
		have = append(have, there)
		for name, good := range there {
			if r, ok := escrow.ParseName(name); ok && good && known && c.Escrow.Counts(&r) {
				all[name], tags[r.Tag] = true, true
			}
		}
	}
	for i, there := range have {
		for name := range all {
			if _, ok := there[name]; !ok {
				c.Bad = append(c.Bad, Bad{Object: name, What: fmt.Sprintf("it is missing in place %d and there in another", i+1), Kind: "missing"})
			}
		}
	}
	if !known {
		return nil
	}
	kinds := c.Tree.Kinds()
	if want := kinds[keytree.Restricted] + kinds[keytree.Held]; want > len(tags) && len(have) > 0 {
		c.Bad = append(c.Bad, Bad{Object: escrow.Prefix, What: fmt.Sprintf("no place has the escrow of %d of the %d records that are restricted or held: nobody opens them again", want-len(tags), want), Kind: "missing"})
	}
	return nil
}

// escrowIn checks what lies in one place, and returns the names with whether they
// are good.
func (c *check) escrowIn(ctx context.Context, place blob.Mutable, i int) (map[string]bool, error) {
	pin := escrow.Pin{Vault: c.Pin.Vault, Signers: c.Pin.Keys(vlog.UseErase)}
	there := map[string]bool{}
	for info, err := range place.List(ctx, escrow.Prefix) {
		if err != nil {
			return nil, allod.Errorf(allod.KindOf(err), "verify the escrow in place %d: %w", i+1, err)
		}
		if _, again := there[info.Name]; again {
			continue // a store may list it twice
		}
		c.Objects++
		r, ok := escrow.ParseName(info.Name)
		if ok {
			_, err = escrow.Read(ctx, []blob.Mutable{place}, r, pin)
		} else {
			err = allod.Errorf(allod.Corrupt, "not the name of an escrow object")
		}
		there[info.Name] = err == nil
		if allod.KindOf(err) == allod.Denied {
			c.Bad = append(c.Bad, Bad{Object: info.Name, What: fmt.Sprintf("in place %d: %v", i+1, err), Kind: "forged"})
			continue
		}
		if err := c.bad(info.Name, inPlace(i, info.Name, err)); err != nil {
			return nil, err
		}
	}
	return there, nil
}

// inPlace says in which place an object is bad.
func inPlace(i int, name string, err error) error {
	if err == nil {
		return nil
	}
	return allod.Errorf(allod.KindOf(err), "in place %d: %s", i+1, strings.TrimPrefix(err.Error(), name+": "))
}
