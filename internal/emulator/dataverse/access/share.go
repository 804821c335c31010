package access

import (
	"allod"
	"allod/internal/emulator/dataverse/store"
)

// Shares is the table of who was given which rights to which row.
const Shares = "principalobjectaccess"

// Principals are the user and the teams the user is a member of.
func Principals(tx *store.Tx, user allod.GUID) []allod.GUID {
	out := []allod.GUID{user}
	for _, p := range tx.Find("teammembership", "systemuserid", allod.IDValue(user)) {
		out = append(out, tx.Value("teammembership", tx.Get("teammembership", p), "teamid").GUID())
	}
	return out
}

// Shared returns the rights to each row that were given to the user or to
// teams of the user, own and inherited, as bits of Rights.
func Shared(tx *store.Tx, user allod.GUID) map[allod.GUID]int64 {
	out := map[allod.GUID]int64{}
	if tx.Len(Shares) == 0 {
		return out
	}
	for _, p := range Principals(tx, user) {
		for _, id := range tx.Find(Shares, "principalid", allod.IDValue(p)) {
			r := tx.Get(Shares, id)
			out[tx.Value(Shares, r, "objectid").GUID()] |= tx.Value(Shares, r, "accessrightsmask").Int() | tx.Value(Shares, r, "inheritedaccessrightsmask").Int()
		}
	}
	return out
}

// orShared widens what may be read by the rows that are shared with the user.
func orShared(tx *store.Tx, user allod.GUID, see func(*store.Row) bool) func(*store.Row) bool {
	shared := Shared(tx, user)
	if len(shared) == 0 {
		return see
	}
	return func(r *store.Row) bool { return shared[r.Key]&1 != 0 || see(r) }
}
