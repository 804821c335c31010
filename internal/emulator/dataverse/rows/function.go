package rows

import (
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// maxDepth is how far up a hierarchy is followed.
const maxDepth = 100

// queryFunction compiles a query function that needs to know the caller or
// other rows (protocols/dataverse.md §4.3). Functions over values and times are
// the query language's own.
func (c Reader) queryFunction(tx *store.Tx, t *entity.Table, name string, args []query.Arg, aliases map[string]query.Expr) (func(Entity) (allod.Value, error), error) {
	property := text(argument(args, aliases, "PropertyName"))
	if ids, not, ok := c.idsOf(tx, name); ok {
		get, err := c.getter(tx, t, property)
		if err != nil {
			// These functions take the name of the column, too.
			if col := t.Column(property); col != nil && wire.IsLookup(col) {
				get, err = c.getter(tx, t, col.Property())
			}
		}
		if err != nil {
			return nil, err
		}
		return func(e Entity) (allod.Value, error) {
			v, err := get(e)
			if err != nil || v.IsNull() || v.IsAbsent() {
				return allod.NullValue(), err
			}
			return allod.BooleanValue(slices.Contains(ids, v.GUID()) != not), nil
		}, nil
	}
	switch name {
	case "Above", "AboveOrEqual", "Under", "UnderOrEqual", "NotUnder":
		id, err := allod.ParseGUID(text(argument(args, aliases, "PropertyValue")))
		if err != nil || property != t.PrimaryID {
			return nil, wire.BadQuery("The function %s needs the primary key and an id.", name)
		}
		return c.hierarchy(tx, t, name, id)
	}
	return nil, wire.Refuse(http.StatusNotImplemented, "0x80040800", "The emulator does not know the query function %s.", name)
}

// idsOf are the rows of which a function about the caller speaks, and whether
// it means all others; ok is false if it is none of these.
func (c Reader) idsOf(tx *store.Tx, name string) (ids []allod.GUID, not, ok bool) {
	positive, not := strings.CutPrefix(name, "Not")
	user := c.User.User
	if id, ok := c.Impersonated(tx); ok {
		user = id
	}
	switch positive {
	case "EqualUserId":
		ids = []allod.GUID{user}
	case "EqualBusinessId":
		ids = []allod.GUID{c.unit(tx)}
	case "EqualUserTeams", "EqualUserOrUserTeams":
		for _, p := range tx.Find("teammembership", "systemuserid", allod.IDValue(user)) {
			ids = append(ids, tx.Value("teammembership", tx.Get("teammembership", p), "teamid").GUID())
		}
		if positive == "EqualUserOrUserTeams" {
			ids = append(ids, user)
		}
	default:
		return nil, false, false
	}
	if not && positive != "EqualUserId" && positive != "EqualBusinessId" {
		return nil, false, false
	}
	return ids, not, true
}

// hierarchy compiles a function over the rows above and under a row.
func (c Reader) hierarchy(tx *store.Tx, t *entity.Table, name string, id allod.GUID) (func(Entity) (allod.Value, error), error) {
	parent := c.parent(t)
	if parent == "" {
		return nil, wire.BadQuery("The table %s has no hierarchy.", t.LogicalName)
	}
	up := func(key allod.GUID) []allod.GUID {
		var out []allod.GUID
		for range maxDepth {
			r := tx.Get(t.LogicalName, key)
			if r == nil {
				break
			}
			if key = tx.Value(t.LogicalName, r, parent).GUID(); key.IsZero() || slices.Contains(out, key) {
				break
			}
			out = append(out, key)
		}
		return out
	}
	above := up(id)
	return func(e Entity) (allod.Value, error) {
		key := e.Row.Key
		var yes bool
		switch name {
		case "Above", "AboveOrEqual":
			yes = slices.Contains(above, key)
		default:
			yes = slices.Contains(up(key), id)
		}
		yes = yes || key == id && strings.HasSuffix(name, "OrEqual")
		if name == "NotUnder" {
			yes = !yes
		}
		return allod.BooleanValue(yes), nil
	}, nil
}

// parent is the lookup that makes the hierarchy of a table: that to the table
// itself whose name begins with "parent".
func (c Reader) parent(t *entity.Table) string {
	for _, col := range t.Columns {
		if strings.HasPrefix(col.LogicalName, "parent") && len(col.Targets) == 1 && col.Targets[0] == t.LogicalName {
			return col.LogicalName
		}
	}
	return ""
}

// argument is an argument of a function, aliases resolved.
func argument(args []query.Arg, aliases map[string]query.Expr, name string) query.Expr {
	for _, a := range args {
		if a.Name != name {
			continue
		}
		if alias, ok := a.Value.(*query.Alias); ok {
			return aliases[alias.Name]
		}
		return a.Value
	}
	return nil
}

// text is the text of a literal.
func text(e query.Expr) string {
	if lit, ok := e.(*query.Literal); ok {
		return lit.Text
	}
	return ""
}
