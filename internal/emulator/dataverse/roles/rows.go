package roles

import (
	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

const privileges = "privilege"

// Keep makes the rows of privileges of tables that are new, and takes away those of
// tables that are gone with what roles held of them; where the schema has no table of
// privileges there is nothing to do (§11.2). Activities share theirs.
func Keep(tx *store.Tx, made, gone []*entity.Table) {
	if !tx.Has(privileges) {
		return
	}
	for _, t := range made {
		for _, verb := range verbs(t) {
			if tx.Get(privileges, t.PrivilegeID(verb)) == nil {
				tx.Put(privileges, t.PrivilegeID(verb), cells(tx, t, verb))
			}
		}
	}
	for _, t := range gone {
		if t.Activity {
			continue
		}
		for _, verb := range verbs(t) {
			id := t.PrivilegeID(verb)
			for _, pair := range tx.Find(pairs, "privilegeid", allod.IDValue(id)) {
				tx.Delete(pairs, pair)
			}
			tx.Delete(privileges, id)
		}
	}
}

// verbs are what can be done with rows of a table; nothing where it has no privileges.
func verbs(t *entity.Table) []string {
	if t.Intersect || t.Abstract || t.Ownership == 0 {
		return nil
	}
	out := []string{"Create", "Read", "Write", "Delete", "Append", "AppendTo"}
	if t.Ownership == 1 {
		out = append(out, "Assign", "Share")
	}
	return out
}

func cells(tx *store.Tx, t *entity.Table, verb string) []store.Cell {
	right := int64(0)
	for _, r := range access.Rights() {
		if r.Name == verb+"Access" {
			right = int64(r.Bit)
		}
	}
	var out []store.Cell
	put := func(column string, v allod.Value) {
		if i := tx.Column(privileges, column); i >= 0 {
			out = append(out, store.Cell{Column: i, Value: v})
		}
	}
	put("name", allod.StringValue(t.Privilege(verb)))
	put("accessright", allod.IntegerValue(right))
	put("canbebasic", allod.BooleanValue(t.Ownership == 1))
	put("canbedeep", allod.BooleanValue(t.Ownership != 8))
	put("canbelocal", allod.BooleanValue(t.Ownership != 8))
	put("canbeglobal", allod.BooleanValue(true))
	return out
}
