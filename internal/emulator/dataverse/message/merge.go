package message

import (
	"encoding/json"
	"net/http"
	"slices"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

const incident = "incident"

// mergeOf says of a table whose rows can be merged how the subordinate row ends
// and which lookups are its parents. Of the status of leads, and of what counts
// as a parent, the documentation says nothing.
func mergeOf(table string) (state, status int64, parents []string) {
	switch table {
	case "account":
		return 1, 0, []string{"parentaccountid"}
	case "contact":
		return 1, 0, []string{"parentcustomerid"}
	case "lead":
		return 2, 7, []string{"parentaccountid", "parentcontactid"}
	case incident:
		return 2, 2000, []string{"customerid"}
	}
	return 0, 0, nil
}

// merging is one Merge.
type merging struct {
	c           change.Writer
	a           *platform.Act
	t           *entity.Table
	target, sub allod.GUID
}

// merge is Merge (Merge Action, "Merge table rows using the Web API", Merge
// message privileges): what refers to the subordinate row refers to the target
// afterwards, where the relationship says so, and the subordinate row becomes
// inactive. The codes of its refusals are assumed, their texts are documented.
func merge(c change.Writer) (object, error) {
	m, err := members(c)
	if err != nil {
		return nil, err
	}
	var check bool
	if json.Unmarshal(m["PerformParentingChecks"], &check) != nil {
		return nil, wire.BadPayload("A property 'PerformParentingChecks' was expected.")
	}
	return nil, c.Update(func(a *platform.Act) error {
		t, target, err := row(c, a, m["Target"], "Target")
		if err != nil {
			return err
		}
		st, sub, err := row(c, a, m["Subordinate"], "Subordinate")
		if err != nil {
			return err
		}
		if _, _, parents := mergeOf(t.LogicalName); parents == nil || st != t {
			return refused("This type: %s is not supported with merge operation", st.LogicalName)
		}
		x := merging{c, a, t, target, sub}
		if err := x.allowed(); err != nil {
			return err
		}
		if err := x.valid(check); err != nil {
			return err
		}
		if err := x.content(m["UpdateContent"]); err != nil {
			return err
		}
		if err := x.children(); err != nil {
			return err
		}
		return x.end()
	})
}

func refused(format string, args ...any) error {
	return wire.Refuse(http.StatusBadRequest, "0x80040203", format, args...)
}

// allowed refuses callers that lack one of the documented privileges or do not
// see one of the rows.
func (x merging) allowed() error {
	if err := access.Need(x.c.User, "prvMerge"); err != nil {
		return err
	}
	for _, verb := range []string{"Append", "AppendTo", "Share", "Write"} {
		if err := x.a.Allow(verb, x.t); err != nil {
			return err
		}
	}
	if act := x.c.Schema.Model.Table("activitypointer"); act != nil {
		for _, verb := range []string{"Append", "Write"} {
			if err := x.a.Allow(verb, act); err != nil {
				return err
			}
		}
	}
	for _, id := range []allod.GUID{x.target, x.sub} {
		if err := mayRead(x.c, x.a.Tx, x.t, id); err != nil {
			return err
		}
	}
	return nil
}

func (x merging) row(id allod.GUID) *store.Row { return x.a.Tx.Get(x.t.LogicalName, id) }

func (x merging) value(id allod.GUID, column string) allod.Value {
	return x.a.Tx.Value(x.t.LogicalName, x.row(id), column)
}

// valid refuses rows that cannot be merged: the same row, inactive rows, which
// merged ones are, rows below each other, child cases of different cases, and
// where the caller asks for it rows of different parents.
func (x merging) valid(check bool) error {
	if x.target == x.sub {
		return refused("Merge cannot be performed on master and sub-entities that are identical.")
	}
	for _, id := range []allod.GUID{x.target, x.sub} {
		if x.value(id, "statecode").Int() != 0 {
			return refused("Merge cannot be performed on entity that is inactive.")
		}
	}
	for _, rel := range x.c.Schema.Children(x.t.LogicalName) {
		if rel.Referencing == x.t.LogicalName && rel.Cascade.Merge == "Cascade" && x.value(x.target, rel.ReferencingAttr).GUID() == x.sub {
			return refused("Merge could create cyclical parenting.")
		}
	}
	if x.t.LogicalName == incident {
		if a, b := x.value(x.target, "parentcaseid").GUID(), x.value(x.sub, "parentcaseid").GUID(); !a.IsZero() && !b.IsZero() && a != b {
			return refused("A child case can be merged into another child case only if both have the same parent case.")
		}
	}
	if !check {
		return nil
	}
	_, _, parents := mergeOf(x.t.LogicalName)
	for _, column := range parents {
		switch a, b := x.value(x.target, column).GUID(), x.value(x.sub, column).GUID(); {
		case b.IsZero() || a == b:
		case a.IsZero():
			return refused("Merge warning: sub-entity might lose parenting")
		default:
			return refused("Merge warning: sub-entity will be differently parented.")
		}
	}
	return nil
}

// content gives the target the values that the caller wants it to have. They
// are not used for cases.
func (x merging) content(raw json.RawMessage) error {
	p := &wire.Payload{}
	if len(raw) > 0 && string(raw) != "null" && x.t.LogicalName != incident {
		var err error
		if p, err = wire.ParsePayload(x.c.Schema, x.t, raw); err != nil {
			return err
		}
		if p.Type != x.t.LogicalName {
			return wire.BadPayload("The property 'UpdateContent' must have the type of the rows, as '@odata.type'.")
		}
	}
	if len(p.Values)+len(p.Binds)+len(p.Nested) > 0 {
		if err := x.a.Update(x.t, x.target, p); err != nil {
			return err
		}
	}
	if x.a.Assume("merge-fills") != "empty" {
		return nil
	}
	set := map[string]allod.Value{}
	for _, col := range x.t.Columns {
		if v := x.value(x.sub, col.LogicalName); col.ValidForUpdate && !v.IsNull() && x.value(x.target, col.LogicalName).IsNull() {
			set[col.LogicalName] = v
		}
	}
	if len(set) == 0 {
		return nil
	}
	return x.a.Patch(x.t, x.target, set)
}

// children makes what refers to the subordinate row refer to the target. The
// first two addresses stay: they are columns of the row. For cases the caller
// must be allowed to change what moves, else nothing is merged; for others the
// system does it.
func (x merging) children() error {
	to := allod.LookupValue(x.t.LogicalName, x.target)
	for _, rel := range x.c.Schema.Children(x.t.LogicalName) {
		if rel.Cascade.Merge != "Cascade" {
			continue
		}
		for _, ct := range x.rowsOf(rel.Referencing) {
			for _, id := range x.a.Tx.Find(ct.LogicalName, rel.ReferencingAttr, allod.IDValue(x.sub)) {
				if n := x.a.Tx.Value(ct.LogicalName, x.a.Tx.Get(ct.LogicalName, id), "addressnumber").Int(); n == 1 || n == 2 {
					continue
				}
				if x.t.LogicalName == incident {
					if err := x.a.Allow("Write", ct); err != nil {
						return err
					}
				}
				if err := x.a.Move(ct, id, rel.ReferencingAttr, to); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// rowsOf returns the tables that hold rows of the type: itself, or for
// activities those of each kind.
func (x merging) rowsOf(name string) []*entity.Table {
	t := x.c.Schema.Model.Table(name)
	switch {
	case t == nil:
		return nil
	case t.Abstract || name == "activitypointer":
		return x.c.Schema.Derived(name)
	case t.Intersect || !x.a.Tx.Has(name):
		return nil
	}
	return []*entity.Table{t}
}

// end makes the subordinate row one that was merged. A status that the table
// does not have gives way to the default of the state.
func (x merging) end() error {
	state, status, _ := mergeOf(x.t.LogicalName)
	if c := x.t.Column("statuscode"); c != nil && c.OptionSet != nil &&
		!slices.ContainsFunc(c.OptionSet.Options, func(o entity.Option) bool { return int64(o.Value) == status }) {
		status = 0
	}
	return x.a.CloseWith(x.t, x.sub, state, status, map[string]allod.Value{
		"masterid": allod.LookupValue(x.t.LogicalName, x.target), "merged": allod.BooleanValue(true),
	})
}
