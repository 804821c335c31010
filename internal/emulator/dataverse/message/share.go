package message

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/share"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// sharing answers GrantAccess, ModifyAccess and RevokeAccess (GrantAccess
// Action and its like): apply says what is done with the rights, name which
// parameter names the principal, action what the history calls it.
func sharing(message, name string, action int64, apply func(share.Change, *store.Tx, int64) (old, now int64)) func(change.Writer) (object, error) {
	return func(c change.Writer) (object, error) {
		m, err := members(c)
		if err != nil {
			return nil, err
		}
		principal, mask := m[name], int64(0)
		if name == "PrincipalAccess" {
			var pa struct {
				Principal  json.RawMessage
				AccessMask string
			}
			if json.Unmarshal(principal, &pa) != nil {
				return nil, wire.BadPayload("A property 'PrincipalAccess' was expected.")
			}
			if mask, err = maskOf(pa.AccessMask); err != nil {
				return nil, err
			}
			principal = pa.Principal
		}
		return nil, c.Update(func(a *platform.Act) error {
			t, id, err := row(c, a, m["Target"], "Target")
			if err != nil {
				return err
			}
			pt, pid, err := row(c, a, principal, name)
			if err != nil {
				return err
			}
			if err := mayShare(c, a, t, id, message); err != nil {
				return err
			}
			if pt.LogicalName != "systemuser" && pt.LogicalName != "team" || !a.Exists(pt, pid) {
				return wire.NoRow(pt.LogicalName, pid.String())
			}
			old, now := apply(share.Change{Schema: c.Schema, Table: t, Row: id, Type: pt.LogicalName, Principal: pid, Now: a.Now, NewID: a.NewID}, a.Tx, mask)
			if audit.On(a.Tx, t) {
				a.Record(audit.Event{
					Table: t, Row: id, Operation: audit.Update, Action: action,
					Share: &audit.Share{Principal: pt.LogicalName + "," + pid.String(), Old: old, New: now},
				})
			}
			return nil
		})
	}
}

// maskOf reads AccessMask: names with commas.
func maskOf(text string) (mask int64, err error) {
	for _, name := range strings.Split(text, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(access.Rights(), func(r access.Right) bool { return r.Name == name })
		switch {
		case i >= 0:
			mask |= access.Rights()[i].Bit
		case name != "None":
			return 0, wire.BadPayload("The value of 'AccessMask' is invalid.")
		}
	}
	return mask, nil
}

// mayShare refuses rows that cannot be shared, that the caller does not see or
// whose table the caller may not share.
func mayShare(c change.Writer, a *platform.Act, t *entity.Table, id allod.GUID, message string) error {
	if t.Ownership != 1 && t.Ownership != 2 || t.Column("ownerid") == nil {
		return wire.Refuse(http.StatusMethodNotAllowed, "0x80040800", "The '%s' method does not support entities of type '%s'.", message, t.LogicalName)
	}
	if err := a.Allow("Share", t); err != nil {
		return err
	}
	return mayRead(c, a.Tx, t, id)
}

// mayRead is the 404 or 403 of a row the caller cannot read.
func mayRead(c change.Writer, tx *store.Tx, t *entity.Table, id allod.GUID) error {
	r := tx.Get(t.LogicalName, id)
	if r == nil {
		return wire.NoRow(t.LogicalName, id.String())
	}
	see, err := access.Reading(tx, c.User, t, c.Org.Unit)
	if err == nil && see != nil && !see(r) {
		err = wire.Refuse(http.StatusForbidden, "0x80048306", "Principal with id %v does not have ReadAccess right(s) for record with id %v of entity %s", c.User.User, id, t.LogicalName)
	}
	return err
}

// sharedWith is RetrieveSharedPrincipalsAndAccess.
func sharedWith(c change.Writer, _ *query.Segment) (object, error) {
	list := []any{}
	err := c.View(func(tx *store.Tx) error {
		t, id, err := row(c, c.Act(tx), param(c, "Target"), "Target")
		if err != nil {
			return err
		}
		if err := mayRead(c, tx, t, id); err != nil {
			return err
		}
		for _, e := range share.With(tx, id) {
			list = append(list, object{"AccessMask": access.RightNames(e.Mask), "Principal": wire.Reference(c.Schema, e.Type, e.Principal)})
		}
		return nil
	})
	return object{"PrincipalAccesses": list}, err
}

// principalAccess is RetrievePrincipalAccess: what the user or team may do with
// the row. Of users other than the caller it knows what they own and what was
// shared with them.
func principalAccess(c change.Writer, seg *query.Segment) (object, error) {
	mask := int64(0)
	err := c.View(func(tx *store.Tx) error {
		a := c.Act(tx)
		pt := c.Schema.Model.Set(c.Req.Path[0].Name)
		who, err := a.Key(pt, seg)
		if err != nil {
			return err
		}
		if !a.Exists(pt, who) {
			return wire.NoRow(pt.LogicalName, who.String())
		}
		t, id, err := row(c, a, param(c, "Target"), "Target")
		if err != nil {
			return err
		}
		r := tx.Get(t.LogicalName, id)
		if r == nil {
			return wire.NoRow(t.LogicalName, id.String())
		}
		mask = access.Shared(tx, who)[id]
		if slices.Contains(access.Principals(tx, who), tx.Value(t.LogicalName, r, "ownerid").GUID()) {
			for _, right := range access.Rights() {
				mask |= right.Bit
			}
		}
		if who == c.User.User {
			mask |= own(c, tx, a, t, r)
		}
		return nil
	})
	return object{"AccessRights": access.RightNames(mask)}, err
}

// own is what the privileges of the caller allow with the row.
func own(c change.Writer, tx *store.Tx, a *platform.Act, t *entity.Table, r *store.Row) (mask int64) {
	see, err := access.Reading(tx, c.User, t, c.Org.Unit)
	if err != nil || see != nil && !see(r) {
		return 0
	}
	for _, right := range access.Rights() {
		verb := strings.TrimSuffix(right.Name, "Access")
		if verb == "Read" || a.Allow(verb, t) == nil {
			mask |= right.Bit
		}
	}
	return mask
}
