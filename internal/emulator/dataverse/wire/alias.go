package wire

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/odata"
)

// Aliased writes one column of a query whose columns have names of their own
// (protocols/dataverse.md §4.6).
type Aliased struct {
	plan *Plan
	col  planned
	bare bool // a number that is no value of a column
}

// NewAliased prepares writing a column of the table under the name; a nil
// column stands for a number the query made.
func NewAliased(tx *store.Tx, schema *Schema, t *entity.Table, c *entity.Column, name string, notes Annotations) *Aliased {
	a := &Aliased{plan: &Plan{schema: schema, table: t, notes: notes, names: tx.Store().TableNames()}, bare: c == nil}
	if c == nil {
		c = &entity.Column{LogicalName: name}
	}
	a.col = a.plan.column(tx, c, false)
	a.col.rename(name)
	return a
}

// Append appends the member and its annotations; null is left out. dst must
// end in "{" or in a member.
func (a *Aliased) Append(dst []byte, tx *store.Tx, v allod.Value) []byte {
	if v.IsNull() || v.IsAbsent() {
		return dst
	}
	raw := store.Raw{Type: v.Type(), Text: v.Text(), Num: v.Int(), ID: v.GUID()}
	if target, _ := v.Target(); target != "" {
		if raw.Table = slices.Index(a.plan.names, target); raw.Table < 0 {
			raw.Type = allod.ID
		}
	}
	first := dst[len(dst)-1] == '{'
	at := len(dst)
	if a.col.kind == fileNameCell {
		if b := tx.Blob(raw.ID); b == nil {
			return dst
		}
	}
	if a.plan.notes.Formatted && (a.bare && raw.Type == allod.Integer || a.col.kind == versionCell) {
		dst = append(append(dst, ','), a.col.formal...)
		dst = odata.AppendString(dst, string(appendGrouped(nil, v.String(), 0)))
		dst = append(append(dst, ','), a.col.member...)
		dst = odata.AppendInt(dst, raw.Num)
	} else {
		dst = a.plan.appendCell(dst, tx, &a.col, &raw)
	}
	if first {
		dst = slices.Delete(dst, at, at+1) // the comma
	}
	return dst
}

// AppendEtag appends the etag of a row as its first member.
func AppendEtag(dst []byte, version uint64) []byte { return appendEtagMember(dst, version) }
