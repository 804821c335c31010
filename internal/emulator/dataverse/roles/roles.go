// Package roles answers what security roles hold: RetrieveRolePrivilegesRole,
// AddPrivilegesRole, ReplacePrivilegesRole and RemovePrivilegeRole
// (protocols/dataverse.md §11.2). Rows of roleprivileges are the only state.
package roles

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

type object = map[string]any

const (
	table = "role"
	pairs = access.RolePrivileges
)

// Function is RetrieveRolePrivilegesRole(RoleId=…).
func Function(c change.Writer) (map[string]any, error) {
	var id allod.GUID
	path := c.Req.Path
	if json.Unmarshal(request.JSON(c.Param(&path[len(path)-1], "RoleId")), &id) != nil {
		return nil, wire.BadPayload("A parameter 'RoleId' was expected.")
	}
	out := []object{}
	err := c.View(func(tx *store.Tx) error {
		if !tx.Has(table) || tx.Get(table, id) == nil {
			return wire.NoRow(table, id.String())
		}
		names := Names(c.Schema.Model)
		for p, d := range access.Held(tx, id) {
			out = append(out, object{
				"Depth": d, "PrivilegeId": p.String(), "BusinessUnitId": c.Org.Unit.String(), "PrivilegeName": names[p],
				"RecordFilterId": allod.GUID{}.String(), "RecordFilterUniqueName": "",
			})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b object) int { return cmp.Compare(a["PrivilegeId"].(string), b["PrivilegeId"].(string)) })
	return object{"RolePrivileges": out}, err
}

// Action returns the action of that name bound to rows of the table; nil when
// there is none.
func Action(of, name string) func(change.Writer, *query.Segment) (map[string]any, error) {
	if of != table {
		return nil
	}
	switch name {
	case "AddPrivilegesRole":
		return func(c change.Writer, seg *query.Segment) (object, error) { return nil, grant(c, seg, false) }
	case "ReplacePrivilegesRole":
		return func(c change.Writer, seg *query.Segment) (object, error) { return nil, grant(c, seg, true) }
	case "RemovePrivilegeRole":
		return func(c change.Writer, seg *query.Segment) (object, error) { return nil, revoke(c, seg) }
	}
	return nil
}

// Names are the privileges there are, by id.
func Names(m *entity.Model) map[allod.GUID]string {
	out := map[allod.GUID]string{}
	for _, t := range m.Tables {
		for _, verb := range []string{"Create", "Read", "Write", "Delete", "Append", "AppendTo", "Assign", "Share"} {
			out[t.PrivilegeID(verb)] = t.Privilege(verb)
		}
	}
	for _, name := range access.Miscellaneous() {
		out[access.NamedID(name)] = name
	}
	return out
}

// grant adds the privileges of the body to the role, or makes them all it has.
func grant(c change.Writer, seg *query.Segment, replace bool) error {
	var body struct {
		Privileges []struct {
			PrivilegeID allod.GUID `json:"PrivilegeId"`
			Depth       string
		}
	}
	if err := json.Unmarshal(c.Body, &body); err != nil || body.Privileges == nil {
		return wire.BadPayload("A property 'Privileges' was expected.")
	}
	known := Names(c.Schema.Model)
	action := int64(audit.ActAddPrivileges)
	if replace {
		action = audit.ActReplacePrivileges
	}
	return update(c, seg, action, func(a *platform.Act, role allod.GUID) error {
		if replace {
			for _, id := range a.Tx.Find(pairs, "roleid", allod.IDValue(role)) {
				a.Tx.Delete(pairs, id)
			}
		}
		for _, p := range body.Privileges {
			i := slices.IndexFunc(access.Levels(), func(l access.Level) bool { return strings.EqualFold(l.Name, p.Depth) })
			if i < 0 {
				return wire.BadPayload("'%s' is no PrivilegeDepth.", p.Depth)
			}
			if known[p.PrivilegeID] == "" && (!a.Tx.Has("privilege") || a.Tx.Get("privilege", p.PrivilegeID) == nil) {
				return wire.NoRow("privilege", p.PrivilegeID.String())
			}
			put(a, role, p.PrivilegeID, access.Levels()[i].Bit)
		}
		return nil
	})
}

// Give gives the role a privilege at the depth of that name; false when there
// is no such depth, or no table to keep it in.
func Give(a *platform.Act, role, privilege allod.GUID, level string) bool {
	i := slices.IndexFunc(access.Levels(), func(l access.Level) bool { return strings.EqualFold(l.Name, level) })
	if i < 0 || !a.Tx.Has(pairs) {
		return false
	}
	put(a, role, privilege, access.Levels()[i].Bit)
	return true
}

// put gives the role one privilege, or another depth of it.
func put(a *platform.Act, role, privilege allod.GUID, bit int64) {
	id := a.NewID()
	for _, old := range a.Tx.Find(pairs, "roleid", allod.IDValue(role)) {
		if a.Tx.Value(pairs, a.Tx.Get(pairs, old), "privilegeid").GUID() == privilege {
			id = old
		}
	}
	var cells []store.Cell
	for _, v := range []struct {
		column string
		value  allod.Value
	}{{"roleid", allod.IDValue(role)}, {"privilegeid", allod.IDValue(privilege)}, {access.DepthMask, allod.IntegerValue(bit)}} {
		if i := a.Tx.Column(pairs, v.column); i >= 0 {
			cells = append(cells, store.Cell{Column: i, Value: v.value})
		}
	}
	slices.SortFunc(cells, func(x, y store.Cell) int { return cmp.Compare(x.Column, y.Column) })
	a.Tx.Put(pairs, id, cells)
}

// revoke takes one privilege from the role.
func revoke(c change.Writer, seg *query.Segment) error {
	var body struct {
		PrivilegeID allod.GUID `json:"PrivilegeId"`
	}
	if err := json.Unmarshal(c.Body, &body); err != nil || body.PrivilegeID.IsZero() {
		return wire.BadPayload("A property 'PrivilegeId' was expected.")
	}
	return update(c, seg, audit.ActRemovePrivileges, func(a *platform.Act, role allod.GUID) error {
		for _, id := range a.Tx.Find(pairs, "roleid", allod.IDValue(role)) {
			if a.Tx.Value(pairs, a.Tx.Get(pairs, id), "privilegeid").GUID() == body.PrivilegeID {
				a.Tx.Delete(pairs, id)
			}
		}
		return nil
	})
}

// update changes what the role holds that the segment names, and writes the
// change down where roles are audited (§10.2).
func update(c change.Writer, seg *query.Segment, action int64, do func(*platform.Act, allod.GUID) error) error {
	return c.Update(func(a *platform.Act) error {
		t := c.Schema.Model.Table(table)
		if t == nil || !a.Tx.Has(pairs) {
			return wire.NoSegment(pairs)
		}
		role, err := a.Key(t, seg)
		if err != nil {
			return err
		}
		if !a.Exists(t, role) {
			return wire.NoRow(table, role.String())
		}
		if err := a.Allow("Write", t); err != nil {
			return err
		}
		if !audit.On(a.Tx, t) {
			return do(a, role)
		}
		was := holdings(a, role)
		if err := do(a, role); err != nil {
			return err
		}
		if now := holdings(a, role); !slices.Equal(was, now) {
			a.Record(audit.Event{Table: t, Row: role, Operation: audit.Update, Action: action, Role: &audit.Role{Unit: c.Org.Unit.String(), Old: was, New: now}})
		}
		return nil
	})
}

// holdings are all that the role holds, as the history keeps it.
func holdings(a *platform.Act, role allod.GUID) []audit.Holding {
	out, names := []audit.Holding{}, Names(a.Schema.Model)
	for p, depth := range access.Held(a.Tx, role) {
		out = append(out, audit.Holding{Privilege: p.String(), Name: names[p], Depth: depth})
	}
	slices.SortFunc(out, func(a, b audit.Holding) int { return cmp.Compare(a.Privilege, b.Privilege) })
	return out
}
