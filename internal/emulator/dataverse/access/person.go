package access

import (
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// AdminTemplate is the role template of System Administrator, the same in
// every organisation.
const AdminTemplate = "627090ff-40a3-4053-8790-584edc5be201"

// Person is what a user may do by security roles, own and of teams, as they are
// at one moment. The zero Person may do nothing.
type Person struct {
	User          allod.GUID
	Administrator bool // by the role System Administrator

	held map[allod.GUID]string // privilege: depth
	free bool                  // privileges of Miscellaneous are not asked for
}

// Of reckons what the user may do; nil where the organisation has no tables to
// say it in, and nothing is restricted.
func Of(tx *store.Tx, user allod.GUID) *Person {
	if !tx.Has("role") || !tx.Has("systemuserroles") || !tx.Has(RolePrivileges) {
		return nil
	}
	p := &Person{User: user, held: map[allod.GUID]string{}}
	for _, role := range rolesOf(tx, user) {
		if _, template := tx.Value("role", tx.Get("role", role), "roletemplateid").Target(); template.String() == AdminTemplate {
			p.Administrator = true
			return p
		}
		for id, d := range Held(tx, role) {
			p.held[id] = Wider(d, p.held[id])
		}
	}
	return p
}

// rolesOf returns the roles of a user and of its teams.
func rolesOf(tx *store.Tx, user allod.GUID) []allod.GUID {
	far := func(pairs, near string, id allod.GUID, want string) (out []allod.GUID) {
		if !tx.Has(pairs) {
			return nil
		}
		for _, p := range tx.Find(pairs, near, allod.IDValue(id)) {
			out = append(out, tx.Value(pairs, tx.Get(pairs, p), want).GUID())
		}
		return out
	}
	out := far("systemuserroles", "systemuserid", user, "roleid")
	for _, team := range far("teammembership", "systemuserid", user, "teamid") {
		out = append(out, far("teamroles", "teamid", team, "roleid")...)
	}
	return slices.DeleteFunc(out, func(id allod.GUID) bool { return tx.Get("role", id) == nil })
}

// bound reports whether the table has privileges of its own; others are not
// restricted.
func bound(t *entity.Table) bool {
	return t.LogicalName == "audit" || !t.Intersect && t.Ownership != 0
}

// Depth is how far the person may do what the verb says; DepthNone = not at all.
func (p *Person) Depth(verb string, t *entity.Table) string {
	if p.Administrator || !bound(t) {
		return DepthGlobal
	}
	id := t.PrivilegeID(verb)
	if t.LogicalName == "audit" {
		if verb != "Read" {
			return DepthGlobal // refused elsewhere, whoever asks
		}
		id = NamedID(Privilege(verb, t))
	}
	if d := p.held[id]; d != "" {
		return d
	}
	return DepthNone
}

// Has reports whether the person holds one of Miscellaneous.
func (p *Person) Has(name string) bool {
	return p.Administrator || p.free || p.held[NamedID(name)] != ""
}

// RolePrivileges is the table of what roles hold.
const RolePrivileges = "roleprivileges"

// DepthMask is its column of depths; a schema without it knows Global only.
const DepthMask = "privilegedepthmask"

// Level is a PrivilegeDepth and its bit in DepthMask.
type Level struct {
	Name string
	Bit  int64
}

// Levels lists the depths from the least to the widest.
func Levels() []Level {
	return []Level{{DepthBasic, 1}, {DepthLocal, 2}, {DepthDeep, 4}, {DepthGlobal, 8}}
}

// Held is what a role holds: privilege → depth.
func Held(tx *store.Tx, role allod.GUID) map[allod.GUID]string {
	out := map[allod.GUID]string{}
	if !tx.Has(RolePrivileges) {
		return out
	}
	for _, id := range tx.Find(RolePrivileges, "roleid", allod.IDValue(role)) {
		r := tx.Get(RolePrivileges, id)
		name := DepthGlobal
		if bits := tx.Value(RolePrivileges, r, DepthMask); bits.Type() == allod.Integer {
			for _, l := range Levels() {
				if bits.Int()&l.Bit != 0 {
					name = l.Name
				}
			}
		}
		out[tx.Value(RolePrivileges, r, "privilegeid").GUID()] = name
	}
	return out
}

func rank(depth string) int {
	return slices.IndexFunc(Levels(), func(l Level) bool { return l.Name == depth })
}

// Wider is the wider of two depths, "" and DepthNone being the least.
func Wider(a, b string) string {
	if rank(a) >= rank(b) {
		return a
	}
	return b
}

func narrower(a, b string) string {
	if rank(a) <= rank(b) {
		return a
	}
	return b
}

// For returns the user acting on behalf of another: it may do what both may
// (protocols/dataverse.md §6.8). With free, privileges of Miscellaneous are those
// of the user alone. nil restricts nothing.
func (u *User) For(other *Person, free bool) *User {
	out := *u
	out.other = nil
	if other != nil {
		p := *other
		p.free = free
		out.other = &p
	}
	return &out
}

// Customizes reports whether the user may change the schema: who is System
// Administrator may.
func (u *User) Customizes() bool {
	return u.Administrator && (u.other == nil || u.other.Administrator)
}

// ReadDepth is the read depth in the table, that of the other included on whose
// behalf the user acts.
func (u *User) ReadDepth(t *entity.Table) string {
	d := u.DepthOf(t.LogicalName)
	if u.other != nil {
		d = narrower(d, u.other.Depth("Read", t))
	}
	return d
}
