// Package access is what an application user may do: read depths, privileges,
// column security (protocols/dataverse.md §1.2, §6.8).
package access

import (
	"crypto/x509"
	"net/http"
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Read depths of an application user (PrivilegeDepth; "" and None = no right).
const (
	DepthNone   = "None"
	DepthBasic  = "Basic"  // own rows
	DepthLocal  = "Local"  // rows of the own business unit
	DepthDeep   = "Deep"   // and of those below it
	DepthGlobal = "Global" // all
)

// User is an application user of the organisation.
type User struct {
	ClientID string     `json:"client_id"`
	Secret   string     `json:"secret"`
	Tenant   string     `json:"tenant,omitempty"` // "" = any
	Name     string     `json:"name"`
	User     allod.GUID `json:"user"` // systemuser; zero = made up

	// What the application may sign in with besides its secret; see
	// emulator.Client.
	Certificates []*x509.Certificate `json:"-"`
	Workloads    []string            `json:"workloads,omitempty"`

	// Administrator sees secured columns. Depth holds the read depth by
	// table (logical name); the entry "*" is for all others, Global when
	// there is none.
	Administrator bool              `json:"administrator"`
	Depth         map[string]string `json:"depth,omitempty"`
	// Deny lists privileges the user lacks, e.g. prvCreateAccount.
	Deny []string `json:"deny,omitempty"`
	// Granted lists those of Miscellaneous that the roles of a user hold who is
	// no administrator.
	Granted []string `json:"granted,omitempty"`

	other *Person // on whose behalf the user acts; nil = nobody's, or nothing is said of it
}

// DepthOf is the read depth of the user in the table.
func (u *User) DepthOf(table string) string {
	if d, ok := u.Depth[table]; ok {
		return d
	}
	if d, ok := u.Depth["*"]; ok {
		return d
	}
	return DepthGlobal
}

// Privilege is the name of the right to do what the verb says.
func Privilege(verb string, t *entity.Table) string {
	if t.LogicalName == "audit" && verb == "Read" {
		return "prvReadAuditSummary" // §10.1
	}
	return t.Privilege(verb)
}

// Denied is the 403 for a privilege that is lacking: an administrator who acts
// for another lacks what the other lacks.
func Denied(u *User, name string) *wire.Error {
	if u.other != nil && u.Administrator && !slices.Contains(u.Deny, name) {
		return denied(u.other.User, name)
	}
	return denied(u.User, name)
}

func denied(user allod.GUID, name string) *wire.Error {
	return wire.Refuse(http.StatusForbidden, "0x80040220", "Principal user (Id=%v, type=8) is missing %s privilege (Id=%v) on OTC=0 for entity. If you use a security group team, make sure it has the privilege.", user, name, NamedID(name))
}

// NamedID makes an id that always belongs to the same name. It is made up: not
// the id the name has on a real server.
func NamedID(name string) allod.GUID {
	var g allod.GUID
	h := uint64(14695981039346656037)
	for i := range 16 {
		for j := range len(name) {
			h = (h ^ uint64(name[j])) * 1099511628211
		}
		g[i] = byte(h >> 32)
	}
	g[6], g[8] = g[6]&0x0f|0x40, g[8]&0x3f|0x80
	return g
}

// Writing decides what the user may write, as platform.Act.Allow wants it: nil
// or the 403.
func Writing(u *User) func(string, *entity.Table) error {
	return func(verb string, t *entity.Table) error {
		if name := Privilege(verb, t); slices.Contains(u.Deny, name) {
			return denied(u.User, name)
		}
		if o := u.other; o != nil && o.Depth(verb, t) == DepthNone {
			return denied(o.User, Privilege(verb, t))
		}
		return nil
	}
}

// Reading returns which rows of the table the user may read, and the other on
// whose behalf the user acts: nil = all. No right at all is the 403.
func Reading(tx *store.Tx, u *User, t *entity.Table, unit allod.GUID) (func(*store.Row) bool, error) {
	name := Privilege("Read", t)
	depth := u.DepthOf(t.LogicalName)
	if depth == "" || depth == DepthNone || slices.Contains(u.Deny, name) {
		return nil, denied(u.User, name)
	}
	see := reading(tx, u.User, depth, t, unit)
	if u.other == nil {
		return see, nil
	}
	depth = u.other.Depth("Read", t)
	if depth == DepthNone {
		return nil, denied(u.other.User, name)
	}
	too := reading(tx, u.other.User, depth, t, unit)
	switch {
	case too == nil:
		return see, nil
	case see == nil:
		return too, nil
	}
	return func(r *store.Row) bool { return see(r) && too(r) }, nil
}

// reading returns which rows of the table a user reads who has that depth.
func reading(tx *store.Tx, user allod.GUID, depth string, t *entity.Table, unit allod.GUID) func(*store.Row) bool {
	if depth == DepthGlobal || t.Column("ownerid") == nil {
		return nil
	}
	owner, owning := tx.Column(t.LogicalName, "ownerid"), tx.Column(t.LogicalName, "owningbusinessunit")
	if depth == DepthBasic {
		return orShared(tx, user, func(r *store.Row) bool { return lookupID(r, owner) == user })
	}
	// Local and Deep: business units below the own one do not differ here
	// from the own one unless the row names another.
	mine := tx.Value("systemuser", tx.Get("systemuser", user), "businessunitid").GUID()
	if mine.IsZero() {
		mine = unit
	}
	return orShared(tx, user, func(r *store.Row) bool {
		at := lookupID(r, owning)
		for n := 0; n < 20 && !at.IsZero(); n++ {
			if at == mine {
				return true
			}
			if depth == DepthLocal {
				return false
			}
			at = tx.Value("businessunit", tx.Get("businessunit", at), "parentbusinessunitid").GUID()
		}
		return false
	})
}

func lookupID(r *store.Row, column int) allod.GUID {
	var raw store.Raw
	for c := r.Cursor(); c.Next(&raw) && raw.Column <= column; {
		if raw.Column == column {
			return raw.ID
		}
	}
	return allod.GUID{}
}

// Hidden returns which secured columns of the table are null for the user:
// all but those a column security profile of the user lets be read, and of the
// other on whose behalf the user acts.
func Hidden(tx *store.Tx, u *User, t *entity.Table) func(*entity.Column) bool {
	if !slices.ContainsFunc(t.Columns, func(c *entity.Column) bool { return c.Secured }) {
		return nil
	}
	var readers []map[string]bool
	if !u.Administrator {
		readers = append(readers, opened(tx, u.User, t))
	}
	if u.other != nil && !u.other.Administrator {
		readers = append(readers, opened(tx, u.other.User, t))
	}
	if len(readers) == 0 {
		return nil
	}
	return func(c *entity.Column) bool {
		return c.Secured && slices.ContainsFunc(readers, func(open map[string]bool) bool { return !open[c.LogicalName] })
	}
}

// opened are the secured columns of the table that the user may read.
func opened(tx *store.Tx, user allod.GUID, t *entity.Table) map[string]bool {
	open := map[string]bool{}
	for _, profile := range profiles(tx, user) {
		for _, id := range tx.Find("fieldpermission", "fieldsecurityprofileid", allod.IDValue(profile)) {
			r := tx.Get("fieldpermission", id)
			if tx.Value("fieldpermission", r, "entityname").Text() == t.LogicalName && tx.Value("fieldpermission", r, "canread").Int() == 4 {
				open[tx.Value("fieldpermission", r, "attributelogicalname").Text()] = true
			}
		}
	}
	return open
}

// profiles returns the user's column security profiles, own and of teams.
func profiles(tx *store.Tx, user allod.GUID) []allod.GUID {
	var out []allod.GUID
	pairs := func(intersect, near string, id allod.GUID, far string) (ids []allod.GUID) {
		for _, p := range tx.Find(intersect, near, allod.IDValue(id)) {
			ids = append(ids, tx.Value(intersect, tx.Get(intersect, p), far).GUID())
		}
		return ids
	}
	out = pairs("systemuserprofiles", "systemuserid", user, "fieldsecurityprofileid")
	for _, team := range pairs("teammembership", "systemuserid", user, "teamid") {
		out = append(out, pairs("teamprofiles", "teamid", team, "fieldsecurityprofileid")...)
	}
	return out
}
