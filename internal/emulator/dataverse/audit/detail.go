package audit

import (
	"encoding/json"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

const namespace = "#Microsoft.Dynamics.CRM."

// Detail is the AuditDetail of a row of the history (§10.2): what changed,
// without who and when. hidden tells columns whose values the reader may not
// see, nil = none. column narrows it to one column, "" = all.
func Detail(tx *store.Tx, s *wire.Schema, r *store.Row, column string, notes wire.Annotations, hidden func(*entity.Column) bool) map[string]any {
	d := read(tx, r)
	switch {
	case d.Share != nil:
		return map[string]any{
			"@odata.type": namespace + "ShareAuditDetail", "Principal": reference(s, d.Share.Principal),
			"OldPrivileges": access.RightNames(d.Share.Old), "NewPrivileges": access.RightNames(d.Share.New),
		}
	case d.Link != nil:
		targets := []any{}
		for _, t := range d.Link.Targets {
			targets = append(targets, reference(s, t))
		}
		return map[string]any{"@odata.type": namespace + "RelationshipAuditDetail", "RelationshipName": d.Link.Relationship, "TargetRecords": targets}
	case d.Role != nil:
		return map[string]any{
			"@odata.type": namespace + "RolePrivilegeAuditDetail", "InvalidNewPrivileges": []string{},
			"OldRolePrivileges": holdings(d.Role.Unit, d.Role.Old), "NewRolePrivileges": holdings(d.Role.Unit, d.Role.New),
		}
	case tx.Value(Table, r, "operation").Int() == Access:
		return map[string]any{"@odata.type": namespace + "UserAccessAuditDetail", "AccessTime": tx.Value(Table, r, "createdon").Text(), "Interval": d.Hours}
	}
	table := tx.Value(Table, r, "objecttypecode").Text()
	out := map[string]any{
		"@odata.type": namespace + "AttributeAuditDetail", "InvalidNewValueAttributes": []string{}, "LocLabelLanguageCode": 0,
	}
	t := s.Model.Table(table)
	var deleted []string // columns that the table no longer has
	before, after := start(table), start(table)
	for _, a := range d.Attributes {
		if column != "" && a.Name != column {
			continue
		}
		var c *entity.Column
		if t != nil {
			c = t.Column(a.Name)
		}
		if c == nil {
			deleted = append(deleted, a.Name)
			continue
		}
		if hidden != nil && hidden(c) {
			continue
		}
		cell := wire.NewAliased(tx, s, t, c, c.Property(), notes)
		before = cell.Append(before, tx, value(t, c, a.Old))
		after = cell.Append(after, tx, value(t, c, a.New))
	}
	if tx.Value(Table, r, "operation").Int() != Create {
		out["OldValue"] = json.RawMessage(append(before, '}'))
	}
	if tx.Value(Table, r, "operation").Int() != Delete {
		out["NewValue"] = json.RawMessage(append(after, '}'))
	}
	keys := slices.Clone(deleted)
	if keys == nil {
		keys = []string{}
	}
	out["DeletedAttributes"] = map[string]any{"Count": len(deleted), "IsReadOnly": false, "Keys": keys, "Values": keys}
	return out
}

// holdings are values of the type RolePrivilege.
func holdings(unit string, list []Holding) []any {
	out := []any{}
	for _, h := range list {
		out = append(out, map[string]any{
			"Depth": h.Depth, "PrivilegeId": h.Privilege, "BusinessUnitId": unit, "PrivilegeName": h.Name,
			"RecordFilterId": allod.GUID{}.String(), "RecordFilterUniqueName": "",
		})
	}
	return out
}

func start(table string) []byte { return []byte(`{"@odata.type":"` + namespace + table + `"`) }

// reference is the row that text names as table,id.
func reference(s *wire.Schema, text string) map[string]any {
	table, id, _ := strings.Cut(text, ",")
	g, _ := allod.ParseGUID(id) // Record wrote it
	return wire.Reference(s, table, g)
}

// Erase removes the history of the row and returns how much that was
// (§10.3).
func Erase(tx *store.Tx, row allod.GUID) int {
	ids := tx.Find(Table, "objectid", allod.IDValue(row))
	for _, id := range ids {
		tx.Delete(Table, id)
	}
	return len(ids)
}

// EraseBefore removes everything that is older than the moment, as rows hold
// moments, and returns how much that was.
func EraseBefore(tx *store.Tx, moment string) int {
	n := 0
	for _, r := range tx.Changed(Table, 0, tx.Version(), tx.Len(Table)) {
		if tx.Value(Table, r, "createdon").Text() < moment {
			tx.Delete(Table, r.Key)
			n++
		}
	}
	return n
}
