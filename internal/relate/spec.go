package relate

import (
	"slices"
	"strconv"
	"strings"

	"allod"
)

// Kind is a kind of relation to follow. The text is what people write in
// --related KIND:DEPTH.
type Kind string

// The kinds of relations.
const (
	Children    Kind = "children"    // rows of data tables that refer to the record
	Parents     Kind = "parents"     // rows that the record refers to
	Pairs       Kind = "pairs"       // its pairs in many-to-many relationships (the pairs, not the rows at their other ends)
	Parties     Kind = "parties"     // the party rows of an activity
	Notes       Kind = "notes"       // notes and attachments
	Activities  Kind = "activities"  // activities regarding the record
	Connections Kind = "connections" // rows of connection
	Queues      Kind = "queues"      // queue items
	Members     Kind = "members"     // memberships in lists
	All         Kind = "all"         // everything but parents
)

var kinds = [...]Kind{Children, Parents, Pairs, Parties, Notes, Activities, Connections, Queues, Members, All}

// Follow is one relation to follow, and how many steps away from the roots.
type Follow struct {
	Kind  Kind
	Depth int // 1 = from the roots only
}

// Spec says what belongs to a closure. The zero value follows nothing.
type Spec struct {
	Follow []Follow
	// Limit is the largest number of records, roots included; 0 = 100,000.
	// A closure that would be larger is cut off and says so.
	Limit int
	// Classes of tables that may enter it; nil = data and link.
	Classes []allod.Class
}

// DefaultLimit is the largest closure when Spec.Limit is zero, in records.
const DefaultLimit = 100_000

// Attached is what belongs to a record by itself and comes back with it:
// pairs, parties, connections, queue items and list members
// (design/restore.md).
func Attached() []Follow {
	return []Follow{{Pairs, 1}, {Parties, 1}, {Connections, 1}, {Queues, 1}, {Members, 1}}
}

// Parse reads KIND:DEPTH, e.g. "children:2"; without a depth it is 1. An
// unknown kind or a depth that is not between 1 and 9 is Invalid.
func Parse(s string) (Follow, error) {
	name, depth, ok := strings.Cut(s, ":")
	f := Follow{Kind: Kind(name), Depth: 1}
	if !slices.Contains(kinds[:], f.Kind) {
		var all []string
		for _, k := range kinds {
			all = append(all, string(k))
		}
		return Follow{}, allod.WithHint(allod.Errorf(allod.Invalid, "read related %q: no such kind", clip(s)), "kinds are %s", strings.Join(all, ", "))
	}
	if ok {
		n, err := strconv.Atoi(depth)
		if err != nil || n < 1 || n > 9 {
			return Follow{}, allod.Errorf(allod.Invalid, "read related %q: the depth is a number from 1 to 9", clip(s))
		}
		f.Depth = n
	}
	return f, nil
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func (s *Spec) limit() int {
	if s.Limit > 0 {
		return s.Limit
	}
	return DefaultLimit
}

func (s *Spec) admits(t *allod.Table) bool {
	if t == nil || t.Unreadable != "" {
		return false
	}
	if s.Classes == nil {
		return t.Class == allod.ClassData || t.Class == allod.ClassLink
	}
	return slices.Contains(s.Classes, t.Class)
}

// depth returns how far the kind is followed; All stands for every kind but
// Parents.
func (s *Spec) depth(k Kind) int {
	d := 0
	for _, f := range s.Follow {
		if f.Kind == k || f.Kind == All && k != Parents {
			d = max(d, f.Depth)
		}
	}
	return d
}

func (s *Spec) deepest() int {
	d := 0
	for _, f := range s.Follow {
		d = max(d, f.Depth)
	}
	return d
}

// kindOf says which kind a reference from a row of many through column is.
// Children covers all of them.
func kindOf(many *allod.Table, column string) Kind {
	switch {
	case many.Name == "activityparty" && column == "activityid":
		return Parties
	case many.Name == "annotation" && column == "objectid", many.Name == "activitymimeattachment" && column == "objectid":
		return Notes
	case many.Name == "connection" && (column == "record1id" || column == "record2id"):
		return Connections
	case many.Name == "queueitem" && column == "objectid":
		return Queues
	case many.Name == "listmember" && (column == "entityid" || column == "listid"):
		return Members
	case many.Activity && column == "regardingobjectid":
		return Activities
	}
	return Children
}

// bookkeeping are lookups by which the platform notes who made or owns a row;
// they are no relation between records.
func bookkeeping(column string) bool {
	switch column {
	case "createdby", "createdonbehalfby", "createdbyexternalparty", "modifiedby", "modifiedonbehalfby", "modifiedbyexternalparty",
		"ownerid", "owninguser", "owningteam", "owningbusinessunit":
		return true
	}
	return false
}
